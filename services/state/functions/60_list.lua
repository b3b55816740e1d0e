-- List: a bounded walk over what waits, runs, has ended or is dead.

local function sorted(list)
  table.sort(list)
  return list
end

local function services_of(P, service)
  if service ~= '' then return { service } end
  local found = {}
  for _, name in ipairs(call('SMEMBERS', P .. 'queues')) do
    if find(name, '^[%l%d_]+$') then found[#found + 1] = name end
  end
  return sorted(found)
end

do
  local PAGE = 100
  local ENDS_PAGE, ENDS_MAX = 8, 99999 -- lines of what ended; more than one line ever has
  local WORK_MAX = 10000            -- entries looked at in one call
  local BYTES_MAX = 8 * 1024 * 1024 -- read in one call: bodies and outputs may be large
  local MEMBER_MAX = 220            -- of a sorted set: a longer one is not ours, and no place to go on from;
  local MEMBER = '^[%w._/ -]+$'     -- nor is one of other bytes

  local STATES = {
    [''] = { pending = true, scheduled = true, running = true, ended = true },
    pending = { pending = true },
    scheduled = { scheduled = true },
    running = { running = true },
    ended = { ended = true },
    completed = { ended = { [COMPLETED] = true, [SKIPPED] = true } },
    failed = { ended = { [FAILED] = true, [QUARANTINED] = true } },
    cancelled = { ended = { [CANCELLED] = true } },
    dead = { dead = true },
  }
  local PRIORITIES = { 'high', 'normal', 'low' }

  local function wanted(walk, service, task)
    return (walk.service == '' or service == walk.service) and (walk.task == '' or task == walk.task)
  end

  local function add(walk, id, task, state, at)
    if at < walk.since or (walk.before > 0 and at >= walk.before) then return end
    local r = #walk.reply
    walk.reply[r + 1], walk.reply[r + 2], walk.reply[r + 3], walk.reply[r + 4] = id, task, state, at
    walk.room = walk.room - 1
  end

  local function full(walk)
    return walk.room <= 0 or walk.work >= WORK_MAX or walk.bytes >= BYTES_MAX
  end

  local function read(walk, hash, field)
    local found = call('HGET', walk.prefix .. hash, field)
    walk.bytes = walk.bytes + #(found or '')
    return found
  end

  -- Each walk goes on from the cursor and returns where it stopped, or nil at its end.

  local function look_pending(walk, entry)
    local field, generation = entry_parts(entry)
    local id, task, service = match(field or '', FIELD)
    if not id or not wanted(walk, service, task) then return end
    local body, packed = read(walk, 'bodies', field), read(walk, 'states', field)
    local state, now_generation = PENDING, 0
    if packed and not state_good(packed) then return end
    if packed then state, now_generation = state_of(packed), state_generation(packed) end
    if body and state == PENDING and now_generation == generation then add(walk, id, task, PENDING, body_created(body)) end
  end

  local function list_pending(walk, at)
    local from, rank, offset = match(at or '', '^(%S+) (%d) (%d+)$')
    for _, service in ipairs(services_of(walk.prefix, walk.service)) do
      for p, priority in ipairs(PRIORITIES) do
        local here = service == from and p == tonumber(rank)
        local skip = from and (service < from or (service == from and p < tonumber(rank)))
        local i = here and tonumber(offset) or 0
        while not skip do
          local page = call('LRANGE', walk.prefix .. 'queue:' .. service .. ':' .. priority, i, i + PAGE - 1)
          if #page == 0 then break end
          for _, entry in ipairs(page) do
            if full(walk) then return service .. ' ' .. p .. ' ' .. i end
            look_pending(walk, entry)
            walk.work = walk.work + 1
            i = i + 1
          end
        end
      end
    end
  end

  local function list_session(walk, sid, last)
    local flat = holds_of(walk.prefix .. 'running:' .. sid)
    local holds, fields = {}, {}
    for i = 1, #flat, 2 do
      fields[#fields + 1] = flat[i]
      holds[flat[i]] = flat[i + 1]
    end
    for _, field in ipairs(sorted(fields)) do
      if field > last then
        if full(walk) then return sid .. ' ' .. last end
        local id, task, service = match(field, FIELD)
        if wanted(walk, service, task) then
          local hold = holds[field]
          add(walk, id, task, hold_stopping(hold) and CANCELLING or RUNNING, hold_started_ms(hold))
        end
        walk.work = walk.work + 1
        last = field
      end
    end
  end

  local function list_running(walk, at)
    local from, after = match(at or '', '^(%x+) (%S*)$')
    for _, sid in ipairs(sorted(call('ZRANGE', walk.prefix .. 'sessions', 0, -1))) do
      if find(sid, '^%x+$') and (not from or sid >= from) then
        if full(walk) then return sid .. ' ' .. (sid == from and after or '') end
        walk.work = walk.work + 1
        local stopped = list_session(walk, sid, sid == from and after or '')
        if stopped then return stopped end
      end
    end
  end

  local function look_ended(walk, field, state, ended)
    local id, task, service = match(field, FIELD)
    if not id or not wanted(walk, service, task) then return end
    -- a stage that ran again since is listed under its latest end only
    local packed = read(walk, 'states', id .. '/' .. task)
    walk.work = walk.work + 4
    if packed and state_good(packed) and state_of(packed) == state and state_ended(packed) == ended then
      add(walk, id, task, state, ended)
    end
  end

  -- What ended in one call, the last first: from the place `from` downwards.  Returns where it stopped, or nil.
  local function look_ends(walk, line, from)
    local state, ended, fields = match(line, '^(%d) (%d+) (.+)$')
    state, ended = tonumber(state), tonumber(ended)
    if not state or (walk.states ~= true and not walk.states[state]) then return end
    local list = {}
    for field in string.gmatch(fields, '%S+') do list[#list + 1] = field end
    for i = math.min(from or #list, #list), 1, -1 do
      if full(walk) then return i end
      look_ended(walk, list[i], state, ended)
      walk.work = walk.work + 1
    end
  end

  local function list_ended(walk, at)
    local from, index, place = match(at or '', '^(%d+) (%d+) (%d+)$')
    local newest = from or (walk.before > 0 and floor((walk.before - 1) / HOUR_MS)) or '+inf'
    local hours = call('ZREVRANGEBYSCORE', walk.prefix .. 'hours', newest, floor(walk.since / HOUR_MS))
    for _, hour in ipairs(hours) do
      local key = walk.prefix .. 'ended:' .. hour
      local i = call('LLEN', key) - 1
      if hour == from then i = math.min(i, tonumber(index)) end
      while i >= 0 do
        local page = call('LRANGE', key, math.max(0, i - ENDS_PAGE + 1), i)
        for j = #page, 1, -1 do
          local here = hour == from and i == tonumber(index) and tonumber(place) or nil
          local stopped = full(walk) and (here or ENDS_MAX) or look_ends(walk, page[j], here)
          if stopped then return hour .. ' ' .. i .. ' ' .. stopped end
          walk.work = walk.work + 1
          i = i - 1
        end
        if #page == 0 then break end
      end
    end
  end

  -- As Redis orders members, whatever the locale.
  local function bytes_less(a, b)
    for i = 1, math.min(#a, #b) do
      local x, y = byte(a, i), byte(b, i)
      if x ~= y then return x < y end
    end
    return #a < #b
  end

  -- The rank, in the direction of `command`, of the first entry behind (score, member), which may be gone by now.
  local function rank_behind(key, command, score, member)
    local low, high = 0, call('ZCARD', key)
    while low < high do
      local middle = floor((low + high) / 2)
      local entry = call(command, key, middle, middle, 'WITHSCORES')
      local here = tonumber(entry[2])
      local a, b = score, here
      local m, n = member, entry[1]
      if command == 'ZREVRANGE' then a, b, m, n = b, a, n, m end
      if a < b or (a == b and bytes_less(m, n)) then
        high = middle
      else
        low = middle + 1
      end
    end
    return low
  end

  -- A sorted set, upwards with ZRANGE or downwards with ZREVRANGE; look(walk, member, score) takes one entry.
  local function list_sorted(walk, key, command, at, look)
    local up = command == 'ZRANGE'
    local score, member = match(at or (up and '-inf -' or 'inf -'), '^(%S+) (.*)$')
    if up and tonumber(score) < walk.since then score, member = string.format('%.0f', walk.since), '' end
    if not up and walk.before > 0 and tonumber(score) >= walk.before then
      score, member = string.format('%.0f', walk.before), ''
    end
    local rank = rank_behind(key, command, tonumber(score), member)
    while true do
      local page = call(command, key, rank, rank + PAGE - 1, 'WITHSCORES')
      if #page == 0 then return end
      for i = 1, #page, 2 do
        local here = tonumber(page[i + 1])
        if up and walk.before > 0 and here >= walk.before then return end
        if not up and here < walk.since then return end
        if full(walk) then return score .. ' ' .. member end
        if #page[i] <= MEMBER_MAX and find(page[i], MEMBER) and here >= 0 and here < 2 ^ 53 then
          look(walk, page[i], here)
          score, member = page[i + 1], page[i]
        end
        walk.work = walk.work + 1
      end
      rank = rank + #page / 2
    end
  end

  local function look_scheduled(walk, member, due)
    local id, task, service = match(entry_parts(member) or '', FIELD)
    if id and wanted(walk, service, task) then add(walk, id, task, SCHEDULED, due) end
  end

  local function list_scheduled(walk, at)
    return list_sorted(walk, walk.prefix .. 'timers', 'ZRANGE', at, look_scheduled)
  end

  local function look_dead(walk, field, ended)
    local id, task, service = match(field, FIELD)
    if not id or not wanted(walk, service, task) then return end
    local packed = read(walk, 'states', field)
    walk.work = walk.work + 4
    local state = packed and state_good(packed) and state_of(packed)
    if state == FAILED or state == QUARANTINED then add(walk, id, task, state, ended) end
  end

  local function list_dead(walk, at)
    return list_sorted(walk, walk.prefix .. 'dead', 'ZREVRANGE', at, look_dead)
  end

  local WALKS = { { 'pending', 'p', list_pending }, { 'scheduled', 's', list_scheduled }, { 'running', 'r', list_running },
    { 'ended', 'e', list_ended }, { 'dead', 'd', list_dead } }
  local CURSORS = { p = '^%S+ [123] (%d+)$', s = '^(%-?%w+) ', r = '^%x+ (%S*)$', e = '^%d+ (%d+) %d+$', d = '^(%-?%w+) ' }

  -- A longer number is no place in a list, and Redis would not read it.
  local function cursor_good(phase, at)
    local place = match(at, CURSORS[phase])
    if not place or phase == 'r' then return place end
    if phase == 's' or phase == 'd' then return tonumber(place) end
    return #place <= 15
  end

  local function list(keys, args)
    local states = args[1] and STATES[args[1]] or refuse('list', 'state')
    local service = args[2] == '' and '' or service_name('list', args[2])
    local task = text('list', 'task', args[3], 64)
    if task ~= '' and not find(task, TASK) then refuse('list', 'task') end
    local walk = { prefix = keys[1], states = states.ended, task = task, work = 0, bytes = 0, reply = { '' } }
    walk.since = whole('list', 'since_ms', args[4], 0, 2 ^ 53)
    walk.before = whole('list', 'until_ms', args[5], 0, 2 ^ 53)
    walk.room = whole('list', 'limit', args[6], 1, 1000)
    local phase, at = match(text('list', 'cursor', args[7], 256), '^([psred])(.*)$')
    if #args ~= 7 or (args[7] ~= '' and not phase) then refuse('list', 'cursor') end
    if phase and not cursor_good(phase, at) then refuse('list', 'cursor') end
    walk.service = service == '' and match(task, '^[^.]*') or service

    for _, row in ipairs(WALKS) do
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

  define('list', list, 'no-writes')
end
