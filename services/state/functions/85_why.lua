-- Why: everything that decides whether a stage runs, in figures; C makes a reason and a sentence of them.

do
  local SEARCH_MAX = 200000   -- entries of one queue looked at, from the end that goes out next
  local WORK_MAX = 600000     -- entries looked at in one call
  local ENDS_MAX = 100        -- latest ends that a pace is taken from
  local ENDS_AGE_MS = HOUR_MS -- older ones say nothing of now
  local GO_FIRST = { [0] = { 1 }, [1] = {}, [2] = { 1, 0 } }
  local FOUND, ABSENT, UNKNOWN = 1, 0, -1

  -- Live sessions that claim from a service, and those of them that an operator drains.
  local function workers_of(look, service)
    local known = look.workers[service]
    if known then return known[1], known[2] end
    look.lines = look.lines or live_workers(look.prefix, look.now)
    local total, draining = 0, 0
    for _, line in ipairs(look.lines) do
      local name, services = match(line, '^([^\n]*)\n([^\n]*)')
      if name and find(',' .. services .. ',', ',' .. service .. ',', 1, true) then
        total = total + 1
        draining = draining + call('SISMEMBER', look.prefix .. 'draining', name)
      end
    end
    look.workers[service] = { total, draining }
    return total, draining
  end

  -- How many stages of a service ended lately, and within how long.
  local function pace_of(look, service)
    local known = look.paces[service]
    if known then return known[1], known[2] end
    local n, oldest, left = 0, look.now, ENDS_MAX
    local hour = floor(look.now / HOUR_MS)
    for h = hour, hour - 1, -1 do
      local lines = left > 0 and call('LRANGE', look.prefix .. 'ended:' .. h, -left, -1) or {}
      for i = #lines, 1, -1 do
        local ended, fields = match(lines[i], '^%d (%d+) (.+)$')
        ended = tonumber(ended)
        for of in string.gmatch(ended and ended > look.now - ENDS_AGE_MS and fields or '', '[^/]+/([^.]+)%.%S+') do
          if left > 0 and of == service then n, oldest = n + 1, math.min(oldest, ended) end
          left = left - 1
        end
      end
    end
    local span = n > 0 and math.max(1, look.now - oldest) or 0
    look.paces[service] = { n, span }
    return n, span
  end

  -- The place of an entry in a queue, 1 = next; nil and whether all of the queue was looked at.
  local function place_in(look, key, entry)
    local size = length('LLEN', key)
    local most = math.min(SEARCH_MAX, look.work)
    if size == 0 then return nil, true end
    if most == 0 then return nil, false end
    look.work = look.work - math.min(size, most)
    local at = call('LPOS', key, entry, 'RANK', -1, 'MAXLEN', most)
    if at then return size - at, true end
    return nil, size <= most
  end

  -- Returns position, entries of higher priorities, and whether it was found.
  local function place_of(look, stage, service)
    local packed = stage[4] or PENDING_STATE
    local entry = entry_of(stage[1] .. '/' .. stage[2], state_generation(packed))
    local whole_seen = true
    for _, priority in ipairs(priorities_of(stage[3], stage[4])) do
      local position, seen = place_in(look, queue_key(look.prefix, service, priority), entry)
      if position then
        local before = 0
        for _, first in ipairs(GO_FIRST[priority]) do before = before + length('LLEN', queue_key(look.prefix, service, first)) end
        return position, before, FOUND
      end
      whole_seen = whole_seen and seen
    end
    return 0, 0, whole_seen and ABSENT or UNKNOWN
  end

  local function why_waiting(look, stage, reply, r)
    local service = match(stage[2], '^[^.]+')
    reply[r + 5] = call('SISMEMBER', look.prefix .. 'paused', service)
    reply[r + 6], reply[r + 7] = workers_of(look, service)
    if is_scheduled(stage) then return end
    reply[r + 8], reply[r + 9], reply[r + 12] = place_of(look, stage, service)
    reply[r + 10], reply[r + 11] = pace_of(look, service)
  end

  local function why(keys, args)
    local P = keys[1]
    if #args ~= 2 then refuse('why', 'number of arguments') end
    local stages = stages_of(P, args[1], args[2])
    local held = holders_of(P, stages)
    local look, reply = { prefix = P, now = now_ms(), work = WORK_MAX, workers = {}, paces = {} }, {}
    for _, stage in ipairs(created.with_external(P, args[1], args[2], stages)) do
      local r, holder = #reply, held[stage[1] .. '/' .. stage[2]]
      reply[r + 1], reply[r + 2] = stage[2], stage[3]
      reply[r + 3] = holder and running_state(P, holder) or stage[4] or PENDING_STATE
      reply[r + 4] = holder and worker_name(P, holder[1]) or ''
      for i = 5, 12 do reply[r + i] = 0 end
      if not holder and not stage.external and not is_over(stage) then why_waiting(look, stage, reply, r) end
    end
    return reply
  end

  define('why', why, 'no-writes')
end
