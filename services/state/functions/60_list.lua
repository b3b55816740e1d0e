-- What there is: list, queues, register, nodes, version.

do -- what follows is this file's own: one chunk has room for 200 locals

local LIST_PAGE = 100
local LIST_WORK_MAX = 10000      -- entries looked at in one call
local LIST_BYTES_MAX = 8 * 1024 * 1024 -- read in one call: bodies and outputs may be large

local LIST_STATES = {
  [''] = { pending = true, running = true, ended = true },
  pending = { pending = true },
  running = { running = true },
  ended = { ended = true },
  completed = { ended = { [COMPLETED] = true, [SKIPPED] = true } },
  failed = { ended = { [FAILED] = true, [QUARANTINED] = true } },
  cancelled = { ended = { [CANCELLED] = true } },
}
local LIST_PRIORITIES = { 'high', 'normal', 'low' }

local function list_add(walk, id, task, state, at)
  local r = #walk.reply
  walk.reply[r + 1], walk.reply[r + 2], walk.reply[r + 3], walk.reply[r + 4] = id, task, state, at
  walk.room = walk.room - 1
end

local function list_full(walk)
  return walk.room <= 0 or walk.work >= LIST_WORK_MAX or walk.bytes >= LIST_BYTES_MAX
end

local function list_read(walk, id, ...)
  local found = redis.pcall('HMGET', walk.prefix .. 'task:' .. id, ...)
  for i = 1, #found do walk.bytes = walk.bytes + #(found[i] or '') end
  return found
end

local function sorted(list)
  table.sort(list)
  return list
end

local function services_of(P, service)
  return service ~= '' and { service } or sorted(call('SMEMBERS', P .. 'queues'))
end

local function list_entry(walk, entry)
  local id, task, generation = match(entry, '^([^/ ]+)/([^ ]+) (%d+)$')
  if not id then return end
  local found = list_read(walk, id, task, task .. '.s')
  local packed = found[2]
  local state, now_generation = PENDING, 0
  if packed and not state_good(packed) then return end
  if packed then state, now_generation = state_of(packed), state_generation(packed) end
  if found[1] and state == PENDING and now_generation == tonumber(generation) then
    list_add(walk, id, task, PENDING, body_created(found[1]))
  end
end

-- Each of these three walks on from the cursor and returns where it stopped, or nil at its end.
local function list_pending(walk, at)
  local from, rank, offset = match(at or '', '^(%S+) (%d) (%d+)$')
  for _, service in ipairs(services_of(walk.prefix, walk.service)) do
    for p, priority in ipairs(LIST_PRIORITIES) do
      local here = service == from and p == tonumber(rank)
      local skip = from and (service < from or (service == from and p < tonumber(rank)))
      local i = here and tonumber(offset) or 0
      while not skip do
        local page = call('LRANGE', walk.prefix .. 'queue:' .. service .. ':' .. priority, i, i + LIST_PAGE - 1)
        if #page == 0 then break end
        for _, entry in ipairs(page) do
          if list_full(walk) then return service .. ' ' .. p .. ' ' .. i end
          list_entry(walk, entry)
          walk.work = walk.work + 1
          i = i + 1
        end
      end
    end
  end
end

local function list_running(walk, at)
  local from, after = match(at or '', '^(%x+) (%S*)$')
  for _, sid in ipairs(sorted(call('ZRANGE', walk.prefix .. 'sessions', 0, -1))) do
    if not from or sid >= from then
      local flat = holds_of(walk.prefix .. 'running:' .. sid)
      local holds, fields = {}, {}
      for i = 1, #flat, 2 do
        fields[#fields + 1] = flat[i]
        holds[flat[i]] = flat[i + 1]
      end
      local last = sid == from and after or ''
      for _, field in ipairs(sorted(fields)) do
        if field > last then
          if list_full(walk) then return sid .. ' ' .. last end
          local id, task, service = match(field, '^([^/]+)/(([^.]+).*)$')
          if walk.service == '' or service == walk.service then
            local hold = holds[field]
            list_add(walk, id, task, hold_stopping(hold) and CANCELLING or RUNNING, (unpack_bytes('>I8', hold, 44)))
          end
          walk.work = walk.work + 1
          last = field
        end
      end
    end
  end
end

local function list_end(walk, line)
  local id, task, service, state, ended = match(line, '^([^/]+)/(([^.]+)%.%S+) (%d) (%d+)$')
  state = tonumber(state)
  if not id or (walk.service ~= '' and service ~= walk.service) then return end
  if walk.states ~= true and not walk.states[state] then return end
  -- a stage that ran again since is listed under its latest end only
  local packed = list_read(walk, id, task .. '.s')[1]
  walk.work = walk.work + 4
  if packed and state_good(packed) and state_of(packed) == state and state_ended(packed) == tonumber(ended) then
    list_add(walk, id, task, state, tonumber(ended))
  end
end

local function list_ended(walk, at)
  local from, index = match(at or '', '^(%d+) (%d+)$')
  local hours = call('ZREVRANGEBYSCORE', walk.prefix .. 'hours', from or '+inf', '-inf')
  for _, hour in ipairs(hours) do
    local key = walk.prefix .. 'ended:' .. hour
    local i = call('LLEN', key) - 1
    if hour == from then i = math.min(i, tonumber(index)) end
    while i >= 0 do
      local page = call('LRANGE', key, math.max(0, i - LIST_PAGE + 1), i)
      for j = #page, 1, -1 do
        if list_full(walk) then return hour .. ' ' .. i end
        list_end(walk, page[j])
        walk.work = walk.work + 1
        i = i - 1
      end
      if #page == 0 then break end
    end
  end
end

local LIST_WALKS = { { 'pending', 'p', list_pending }, { 'running', 'r', list_running }, { 'ended', 'e', list_ended } }

local CURSORS = { p = '^%S+ [123] (%d+)$', r = '^%x+ (%S*)$', e = '^%d+ (%d+)$' }

-- A longer number is no place in a list, and Redis would not read it.
local function cursor_good(phase, at)
  local place = match(at, CURSORS[phase])
  return place and (phase == 'r' or #place <= 15)
end

local function list(keys, args)
  local states = args[1] and LIST_STATES[args[1]] or refuse('list', 'state')
  local service = args[2] == '' and '' or service_name('list', args[2])
  local walk = { prefix = keys[1], service = service, states = states.ended, work = 0, bytes = 0, reply = { '' } }
  walk.room = whole('list', 'limit', args[3], 1, 1000)
  local phase, at = match(text('list', 'cursor', args[4], 256), '^([pre])(.*)$')
  if #args ~= 4 or (args[4] ~= '' and not phase) then refuse('list', 'cursor') end
  if phase and not cursor_good(phase, at) then refuse('list', 'cursor') end

  for _, row in ipairs(LIST_WALKS) do
    local begun = not phase or phase == row[2]
    if begun and states[row[1]] then
      local stopped = row[3](walk, at)
      if stopped then
        walk.reply[1] = row[2] .. stopped
        return walk.reply
      end
    end
    if begun then phase, at = nil, nil end
  end
  return walk.reply
end

local function queues(keys)
  local P = keys[1]
  local running = {}
  for _, sid in ipairs(call('ZRANGE', P .. 'sessions', 0, -1)) do
    for _, field in ipairs(call('HKEYS', P .. 'running:' .. sid)) do
      local service = match(field, '/([^.]+)%.')
      if service then running[service] = (running[service] or 0) + 1 end
    end
  end
  local reply = {}
  for _, service in ipairs(services_of(P, '')) do
    local r = #reply
    local queue = P .. 'queue:' .. service .. ':'
    reply[r + 1] = service
    reply[r + 2] = call('LLEN', queue .. 'normal')
    reply[r + 3] = call('LLEN', queue .. 'high')
    reply[r + 4] = call('LLEN', queue .. 'low')
    reply[r + 5] = running[service] or 0
  end
  return reply
end

local function register(keys, args)
  local P = keys[1]
  local n = items('register', args, 0, 2)
  local names = {}
  for i = 1, n do
    local name, declaration = args[2 * i - 1], args[2 * i]
    if #name > 64 or not find(name, TASK) then refuse('register', 'name') end
    if not is_map(declaration, 1) or #declaration > 65536 then refuse('register', 'declaration') end
    names[i] = name
  end
  if n == 0 then return 0 end
  local known = get_many(P .. 'nodes', names)
  local changed, count = {}, 0
  for i = 1, n do
    if known[i] ~= args[2 * i] then
      changed[#changed + 1] = names[i]
      changed[#changed + 1] = args[2 * i]
      count = count + 1
    end
  end
  if count > 0 then
    call_many('HSET', P .. 'nodes', changed)
    event_add(P, now_ms(), 0, { 'n', count })
  end
  return count
end

local function nodes(keys)
  return call('HGETALL', keys[1] .. 'nodes')
end

local function version()
  return VERSION
end

define('list', list, 'no-writes')
define('queues', queues, 'no-writes')
define('register', register)
define('nodes', nodes, 'no-writes')
define('version', version, 'no-writes')

end
