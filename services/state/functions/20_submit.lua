-- Submit: one HSETNX a new task; everything else is the slow path of reuse.

local MISS, WAIT, HIT = 0, 1, 2

-- The stage exists: same token = same answer; completed = hit; under way = wait; else it runs again.
-- Returns status, state, reuse and, when it must be queued, its new generation.
local function reuse(key, task, rest, priority, room)
  local found = redis.call('HMGET', key, task, task .. '.s')
  local body, packed = found[1], found[2]
  local state = packed and state_of(packed) or PENDING
  if sub(body, 12, 27) == sub(rest, 3, 18) then return OK, state, MISS end
  if state == COMPLETED then return OK, state, HIT end
  if not terminal(state) then return OK, state, WAIT end
  if room <= 0 then return BUSY end

  local generation, attempt = state_generation(packed) + 1, state_counters(packed)
  -- the task's age is that of its first submit; attempts go on so that no two share a folder
  redis.call('HSET', key, task, sub(body, 1, 9) .. rest, task .. '.s',
    state_pack(PENDING, generation, attempt, 0, 0, NO_TOKEN, NO_SESSION, 0, 0, priority) .. EMPTY_MAP)
  return OK, PENDING, MISS, generation, state
end

local function submit(keys, args)
  local P = keys[1]
  local service = service_name('submit', args[1])
  local priority = whole('submit', 'priority', args[2], 0, 2)
  local most = whole('submit', 'queue_max', args[3], 0, 2 ^ 53)
  local n = items('submit', args, 3, 3)
  local pattern = '^[%w._-]+/' .. service .. '%.[%l%d_]+$'
  local fields = {}
  for i = 1, n do
    local at = 1 + 3 * i
    local field, rest = args[at] .. '/' .. args[at + 1], args[at + 2]
    if not find(field, pattern) then refuse('submit', 'id or task') end
    if sub(rest, 1, 2) ~= '\196\016' or not is_map(rest, 19) then refuse('submit', 'rest') end
    fields[i] = field
  end

  local queue = P .. 'queue:' .. service .. ':' .. PRIORITY_NAMES[priority]
  local depth = redis.call('LLEN', queue)
  local created = '\207' .. pack('>I8', now_ms())
  local entries, dead, reply = {}, {}, {}
  for i = 1, n do
    local at = 1 + 3 * i
    local key, task, rest = P .. 'task:' .. args[at], args[at + 1], args[at + 2]
    local room = most - depth - #entries
    local new
    if room > 0 then
      new = redis.pcall('HSETNX', key, task, created .. rest)
    else
      new = redis.pcall('HEXISTS', key, task)
      if type(new) ~= 'table' then new = new == 1 and 0 or nil end
    end
    local status, state, how, generation, was = OK, PENDING, MISS, 0, nil
    if new == nil then
      status = BUSY
    elseif type(new) == 'table' then
      status, generation = CONFLICT, nil
    elseif new == 0 then
      status, state, how, generation, was = reuse(key, task, rest, priority, room)
    end
    if status == BUSY then
      state, how, generation = depth + #entries, MISS, nil
    end
    if generation then entries[#entries + 1] = fields[i] .. ' ' .. generation end
    if was == FAILED or was == QUARANTINED then dead[#dead + 1] = fields[i] end
    reply[3 * i - 2], reply[3 * i - 1], reply[3 * i] = status, state, how
  end

  local count = #entries
  if count > 0 then
    -- a list as long as what was pushed was empty: only then can its service be new
    if call_many('LPUSH', queue, entries) <= count then redis.call('SADD', P .. 'queues', service) end
    call_many('ZREM', P .. 'dead', dead)
    redis.call('HINCRBY', P .. 'ledger', 'accepted', count)
    if depth <= QUIET_DEPTH then
      redis.call('XADD', P .. 'events', 'MAXLEN', '~', EVENTS_MAX, '*', 'q', service)
    end
  end
  return reply
end

define('submit', submit)
