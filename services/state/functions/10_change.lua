-- A change: what one call gathers about stages that ended or went back to a queue, written once at its end.
-- Writes to task:<id> are pcalls: a key that an outsider replaced by another type must not stop a batch half-way.

local function change_new(prefix, now)
  return { prefix = prefix, now = now, finals = {}, ended = {}, dead = {}, queues = {}, order = {}, services = {}, events = {}, counts = {} }
end

local function change_count(change, counter, by)
  change.counts[counter] = (change.counts[counter] or 0) + by
end

local function change_event(change, service)
  if not change.services[service] then
    change.services[service] = true
    change.events[#change.events + 1] = 'q'
    change.events[#change.events + 1] = service
  end
end

-- The stage reached a terminal state; its .s is written already.
local function change_final(change, field, state)
  local n = #change.finals + 1
  change.finals[n] = field
  change.ended[n] = field .. ' ' .. state .. ' ' .. change.now
  change_count(change, COUNTERS[state], 1)
  if state == FAILED or state == QUARANTINED then
    change.dead[#change.dead + 1] = change.now
    change.dead[#change.dead + 1] = field
  end
end

-- The stage goes back to the head of its queue; its .s is written already.
local function change_requeue(change, field, generation, priority)
  local service = match(field, '/([^.]+)%.')
  local key = change.prefix .. 'queue:' .. service .. ':' .. (PRIORITY_NAMES[priority] or 'normal')
  local list = change.queues[key]
  if not list then
    list = {}
    change.queues[key] = list
    change.order[#change.order + 1] = key
  end
  list[#list + 1] = field .. ' ' .. generation
  change_event(change, service)
  change_count(change, 'requeues', 1)
end

local function change_write(change)
  local P = change.prefix
  for _, key in ipairs(change.order) do
    call_many('RPUSH', key, change.queues[key])
  end
  local n = #change.finals
  if n > 0 then
    local hour = floor(change.now / HOUR_MS)
    -- a list as long as what was pushed is new: so the index of hours costs nothing per batch
    if call_many('RPUSH', P .. 'ended:' .. hour, change.ended) <= n then
      redis.call('ZADD', P .. 'hours', hour, hour)
    end
    call_many('ZADD', P .. 'dead', change.dead)
    change.events[#change.events + 1] = 'f'
    change.events[#change.events + 1] = table.concat(change.finals, ' ')
  end
  for counter, by in pairs(change.counts) do
    redis.call('HINCRBY', P .. 'ledger', counter, by)
  end
  if #change.events > 0 then
    -- entries with long lists are kept in smaller number, so the stream's memory has a bound
    local most = math.max(256, math.min(EVENTS_MAX, floor(EVENT_TASKS_MAX / math.max(n, 1))))
    redis.call('XADD', P .. 'events', 'MAXLEN', '~', most, '*', unpack(change.events))
  end
end

-- A session loses a stage that did not end.  crashed: its lease ran out.  The caller removes the hold itself.
local function release(change, sid, worker, field, hold, crashed)
  local id, task = match(field, '^([^/]+)/(.+)$')
  local token, cancel, priority, attempt, generation, failures, crashes, _, claimed = unpack_bytes(HOLD_FORMAT, hold)
  local key, name = change.prefix .. 'task:' .. id, task .. '.s'
  if crashed then
    crashes = crashes + 1
    change_count(change, 'crashes', 1)
  end
  local state, tail = PENDING, EMPTY_MAP
  if cancel == 1 then
    state, tail = CANCELLED, tail_of(worker)
  elseif crashed and crashes >= CRASHES_MAX then
    state = QUARANTINED
    tail = tail_of(worker)
    tail = string.char(byte(tail) + 1) .. sub(tail, 2) .. text_pack('error') .. CRASH_ERROR
  end
  if state == PENDING then
    generation = generation + 1
    redis.pcall('HSET', key, name, state_pack(PENDING, generation, attempt, failures, crashes,
      NO_TOKEN, NO_SESSION, 0, 0, priority) .. EMPTY_MAP)
    change_requeue(change, field, generation, priority)
  else
    redis.pcall('HSET', key, name, state_pack(state, generation, attempt, failures, crashes,
      token, sid, claimed, change.now, priority) .. tail)
    change_final(change, field, state)
  end
end

-- Latest claim first: pushed in this order, the oldest ends up at the head of its queue.
local function release_order(list)
  table.sort(list, function(a, b)
    local x, y = sub(a[2], 31, 38), sub(b[2], 31, 38)
    if x ~= y then return x > y end
    return sub(a[2], 9, 12) > sub(b[2], 9, 12)
  end)
  return list
end

-- All that a session holds, released; the session is gone afterwards.  Returns how many stages it had.
local function session_end(change, sid, crashed)
  local P = change.prefix
  local flat = redis.call('HGETALL', P .. 'running:' .. sid)
  local list = {}
  for i = 1, #flat, 2 do list[#list + 1] = { flat[i], flat[i + 1] } end
  if #list > 0 then
    local worker = redis.call('HGET', P .. 'workers', sid) or ''
    for _, held in ipairs(release_order(list)) do
      release(change, sid, worker, held[1], held[2], crashed)
    end
    redis.call('DEL', P .. 'running:' .. sid, P .. 'progress:' .. sid)
  end
  redis.call('ZREM', P .. 'sessions', sid)
  redis.call('HDEL', P .. 'workers', sid)
  return #list
end
