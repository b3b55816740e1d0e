-- Submit: one HSETNX a new task; everything else (reuse, delay, deadlines, quota) is the slow path.

local MISS, WAIT, HIT, OVER_USER, OVER_ALL = 0, 1, 2, 3, 4

local EXTRA_TIMES = { 'delay_ms', 'not_before_ms', 'to_start_ms', 'to_close_ms' }
local REST = '^\196\016................[%z\1-\127]\204.\205..\206....[\128-\143\222\223]'

-- What a submit says beyond its body: nil when it says nothing.
local function check_extra(packed, owned)
  local extra
  if packed ~= '' then
    local good
    good, extra = pcall(cmsgpack.unpack, packed)
    if not good or not is_map(packed, 1) then refuse('submit', 'extra') end
    for _, name in ipairs(EXTRA_TIMES) do
      local ms = extra[name] or 0
      if type(ms) ~= 'number' or not (ms >= 0) then refuse('submit', name) end
      extra[name] = math.min(floor(ms), 2 ^ 53)
    end
  end
  local owner = extra and extra.owner
  if owner and (type(owner) ~= 'string' or owner == '' or #owner > 128) then refuse('submit', 'owner') end
  if (owner ~= nil) ~= owned then refuse('submit', 'owner and flags') end
  return extra
end

local function check_tasks(args, n, service)
  local pattern = '^[%w._-]+/' .. service .. '%.[%l%d_]+$'
  local fields, extras = {}, {}
  for i = 1, n do
    local at = 2 + 4 * i
    local field, rest = args[at] .. '/' .. args[at + 1], args[at + 2]
    if not find(field, pattern) then refuse('submit', 'id or task') end
    if not find(rest, REST) then refuse('submit', 'rest') end
    fields[i] = field
    if args[at + 3] ~= '' or byte(rest, 19) ~= 0 then extras[i] = check_extra(args[at + 3], byte(rest, 19) % 2 == FLAG_OWNED) end
  end
  return fields, extras
end

-- The stage is its owner's until it ends.
local function own(P, field, owner)
  call('HSET', P .. 'owned', field, owner)
  call('SADD', P .. 'user:' .. owner, field)
end

-- Why an owner's stage may not run now: status, state, reuse; nothing when it may.
local function over_quota(batch, owner)
  local P = batch.change.prefix
  local current = batch.quota_user > 0 and call('SCARD', P .. 'user:' .. owner) or 0
  if batch.quota_user > 0 and current >= batch.quota_user then return BUSY, current, OVER_USER end
  current = batch.quota_all > 0 and call('HLEN', P .. 'owned') or 0
  if batch.quota_all > 0 and current >= batch.quota_all then return BUSY, current, OVER_ALL end
end

-- The two clocks that run from the submit on, until the stage ends.
local function set_deadlines(change, field, extra, from)
  for kind, due in pairs({ s = extra.to_start_ms > 0 and from + extra.to_start_ms, c = extra.to_close_ms > 0 and change.now + extra.to_close_ms }) do
    if due then
      local list = change_list(change, 'deadlines')
      list[#list + 1] = math.min(due, change.now + FAR_MS)
      list[#list + 1] = field .. ' ' .. kind
    end
  end
end

local NO_EXTRA = { delay_ms = 0, not_before_ms = 0, to_start_ms = 0, to_close_ms = 0 }

-- The stage is to run: for the first time, or again after its end.  found: its body, state and history.
local function place(batch, field, key, task, rest, extra, found)
  local change, priority, body, packed = batch.change, char(batch.priority), found[1], found[1] and found[2]
  local generation, attempt = 0, 0
  -- the task's age is that of its first submit
  local values = { task, (body and sub(body, 1, 9) or batch.created) .. rest }
  if packed then
    generation, attempt = state_counters(packed) -- attempts go on so that no two share a folder
    generation = generation + 1
    values[3], values[4] = history_of_end(task, found[3], packed)
    call('HDEL', key, task .. '.c')
    if state_of(packed) == FAILED or state_of(packed) == QUARANTINED then
      local undead = change_list(change, 'undead')
      undead[#undead + 1] = field
    end
  end
  local due = math.min(math.max(change.now + extra.delay_ms, extra.not_before_ms), change.now + FAR_MS)
  local state = due > change.now and SCHEDULED or PENDING
  if state == SCHEDULED then
    values[#values + 1] = task .. '.s'
    values[#values + 1] = scheduled_pack(counters_pack(generation, attempt, 0, 0), NO_TOKEN, NO_SESSION, NOT_STARTED, priority, due, 'delayed')
    change_schedule(change, field, generation, due)
  else
    if packed then
      values[#values + 1] = task .. '.s'
      values[#values + 1] = pending_pack(generation, attempt, 0, 0, priority)
    end
    batch.entries[#batch.entries + 1] = field .. ' ' .. generation
    batch.moved[#batch.moved + 1] = field
  end
  call('HSET', key, unpack(values))
  if extra.owner then own(change.prefix, field, extra.owner) end
  set_deadlines(change, field, extra, due)
  change_count(change, 'accepted')
  return OK, state, MISS
end

-- Same token = same answer; completed = hit; under way = wait; else it runs, if there is room.  Returns status, state, reuse.
local function decide(batch, field, key, task, rest, extra)
  local found = redis.pcall('HMGET', key, task, task .. '.s', task .. '.h')
  if found.err then return CONFLICT, PENDING, MISS end
  local body, packed = found[1], found[2]
  if body then
    if packed and not state_good(packed) then return CONFLICT, PENDING, MISS end
    local state = packed and state_of(packed) or PENDING
    if body_token(body) == sub(rest, 3, 18) then return OK, state, MISS end
    if state == COMPLETED then return OK, state, HIT end
    if not terminal(state) then return OK, state, WAIT end
  end
  local depth = batch.depth + #batch.entries
  if depth >= batch.most then return BUSY, depth, MISS end
  if extra and extra.owner then
    local status, current, over = over_quota(batch, extra.owner)
    if status then return status, current, over end
  end
  return place(batch, field, key, task, rest, extra or NO_EXTRA, found)
end

local function submit(keys, args)
  local P = keys[1]
  local service = service_name('submit', args[1])
  local priority = whole('submit', 'priority', args[2], 0, 2)
  local most = whole('submit', 'queue_max', args[3], 0, 2 ^ 53)
  local quota_user = whole('submit', 'quota_user', args[4], 0, 2 ^ 53)
  local quota_all = whole('submit', 'quota_all', args[5], 0, 2 ^ 53)
  local n = items('submit', args, 5, 4)
  local fields, extras = check_tasks(args, n, service)

  local depth, change = call('LLEN', queue_key(P, service, priority)), change_new(P, now_ms())
  local created, prefix, pcall = time_pack(change.now), P .. 'task:', redis.pcall
  local entries, moved, reply, new = change_queue(change, 'tails', service, priority), {}, {}, 0
  change.moved[PENDING] = moved
  local batch = { change = change, created = created, priority = priority, most = most, quota_user = quota_user, quota_all = quota_all,
    depth = depth, entries = entries, moved = moved }
  for i = 1, n do
    local at, r, count = 2 + 4 * i, 3 * i, #entries
    local key, task, rest = prefix .. args[at], args[at + 1], args[at + 2]
    if not extras[i] and depth + count < most and pcall('HSETNX', key, task, created .. rest) == 1 then
      entries[count + 1], moved[count + 1] = fields[i] .. ' 0', fields[i]
      new = new + 1
      reply[r - 2], reply[r - 1], reply[r] = OK, PENDING, MISS
    else
      reply[r - 2], reply[r - 1], reply[r] = decide(batch, fields[i], key, task, rest, extras[i])
    end
  end
  if new > 0 then change_count(change, 'accepted', new) end
  change_write(change)
  return reply
end

define('submit', submit)
