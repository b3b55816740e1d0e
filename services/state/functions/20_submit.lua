-- Submit: one HSETNX a new task; everything else is the slow path of reuse.

local MISS, WAIT, HIT = 0, 1, 2

-- The stage exists: same token = same answer; completed = hit; under way = wait; else it runs again.
-- Returns status, state, reuse and, when it must be queued, its new generation and the state it had.
local function reuse(key, task, rest, priority, room)
  local found = call('HMGET', key, task, task .. '.s')
  local body, packed = found[1], found[2]
  if packed and not state_good(packed) then return CONFLICT, PENDING, MISS end
  local state = packed and state_of(packed) or PENDING
  if sub(body, 12, 27) == sub(rest, 3, 18) then return OK, state, MISS end
  if state == COMPLETED then return OK, state, HIT end
  if not terminal(state) then return OK, state, WAIT end
  if room <= 0 then return BUSY end

  local generation, attempt = state_counters(packed)
  -- the task's age is that of its first submit; attempts go on so that no two share a folder
  call('HSET', key, task, sub(body, 1, 9) .. rest, task .. '.s', pending_pack(generation + 1, attempt, 0, 0, char(priority)))
  return OK, PENDING, MISS, generation + 1, state
end

local function check_tasks(args, n, service)
  local pattern = '^[%w._-]+/' .. service .. '%.[%l%d_]+$'
  local fields = {}
  for i = 1, n do
    local at = 1 + 3 * i
    local field, rest = args[at] .. '/' .. args[at + 1], args[at + 2]
    if not find(field, pattern) then refuse('submit', 'id or task') end
    if sub(rest, 1, 2) ~= '\196\016' or not is_map(rest, 19) then refuse('submit', 'rest') end
    fields[i] = field
  end
  return fields
end

-- What new entries change beside the stages themselves.
local function enqueue(P, service, queue, entries, dead, depth)
  local count = #entries
  -- a list as long as what was pushed was empty: only then can its service be new
  if call_many('LPUSH', queue, entries) <= count then call('SADD', P .. 'queues', service) end
  if dead then call_many('ZREM', P .. 'dead', dead) end
  call('HINCRBY', P .. 'ledger', 'accepted', count)
  if depth <= QUIET_DEPTH then call('XADD', P .. 'events', 'MAXLEN', '~', EVENTS_MAX, '*', 'q', service) end
end

local function submit(keys, args)
  local P = keys[1]
  local service = service_name('submit', args[1])
  local priority = whole('submit', 'priority', args[2], 0, 2)
  local most = whole('submit', 'queue_max', args[3], 0, 2 ^ 53)
  local n = items('submit', args, 3, 3)
  local fields = check_tasks(args, n, service)

  local queue = P .. 'queue:' .. service .. ':' .. PRIORITY_NAMES[priority]
  local depth = call('LLEN', queue)
  local created, prefix, pcall = time_pack(now_ms()), P .. 'task:', redis.pcall
  local entries, dead, reply, count = {}, nil, {}, 0
  for i = 1, n do
    local at = 1 + 3 * i
    local key, task, rest = prefix .. args[at], args[at + 1], args[at + 2]
    local full = depth + count >= most
    local new = full and pcall('HEXISTS', key, task) or not full and pcall('HSETNX', key, task, created .. rest)
    local status, state, how = OK, PENDING, MISS
    if new == 1 and not full then
      count = count + 1
      entries[count] = fields[i] .. ' 0'
    elseif type(new) == 'table' then
      status = CONFLICT
    elseif full and new == 0 then
      status = BUSY
    else
      local generation, was
      status, state, how, generation, was = reuse(key, task, rest, priority, most - depth - count)
      if generation then
        count = count + 1
        entries[count] = fields[i] .. ' ' .. generation
      end
      if was == FAILED or was == QUARANTINED then
        dead = dead or {}
        dead[#dead + 1] = fields[i]
      end
    end
    if status == BUSY then state, how = depth + count, MISS end
    local r = 3 * i
    reply[r - 2], reply[r - 1], reply[r] = status, state, how
  end

  if count > 0 then enqueue(P, service, queue, entries, dead, depth) end
  return reply
end

define('submit', submit)
