-- A change: what one call gathers about stages that ended or went back to a queue, written once at its end.
-- Writes to task:<id> are pcalls: a key that an outsider replaced by another type must not stop a batch half-way.

local function change_new(prefix, now)
  return { prefix = prefix, now = now, packed_now = time_pack(now), finals = {}, ended = {}, endings = {}, requeues = 0, crashes = 0 }
end

-- The stage reached a terminal state; its .s is written already.
local function change_final(change, field, state)
  local ending = change.endings[state]
  if not ending then
    ending = { count = 0, text = ' ' .. state .. ' ' .. change.now }
    change.endings[state] = ending
  end
  ending.count = ending.count + 1
  local n = #change.finals + 1
  change.finals[n] = field
  change.ended[n] = field .. ending.text
  if state == FAILED or state == QUARANTINED then
    local dead = change.dead or {}
    change.dead = dead
    dead[#dead + 1] = change.now
    dead[#dead + 1] = field
  end
end

-- The stage goes back to the head of its queue; its .s is written already.
local function change_requeue(change, field, generation, priority)
  local service = match(field, '/([^.]+)%.')
  local key = change.prefix .. 'queue:' .. service .. ':' .. (PRIORITY_NAMES[byte(priority)] or 'normal')
  local queues = change.queues or {}
  change.queues = queues
  if not queues[key] then queues[key] = { service = service } end
  local list = queues[key]
  list[#list + 1] = field .. ' ' .. generation
  change.requeues = change.requeues + 1
end

-- RPUSHes what was requeued and adds a `q` field per service to the event.
local function change_push(change, event)
  local said = {}
  for key, list in pairs(change.queues) do
    call_many('RPUSH', key, list)
    if not said[list.service] then
      said[list.service] = true
      event[#event + 1] = 'q'
      event[#event + 1] = list.service
    end
  end
end

local function change_write(change)
  local P, n, event = change.prefix, #change.finals, {}
  if change.queues then change_push(change, event) end
  if change.requeues > 0 then call('HINCRBY', P .. 'ledger', 'requeues', change.requeues) end
  if change.crashes > 0 then call('HINCRBY', P .. 'ledger', 'crashes', change.crashes) end
  if n > 0 then
    local hour = floor(change.now / HOUR_MS)
    -- a list as long as what was pushed is new: so the index of hours costs nothing per batch
    if call_many('RPUSH', P .. 'ended:' .. hour, change.ended) <= n then call('ZADD', P .. 'hours', hour, hour) end
    if change.dead then call_many('ZADD', P .. 'dead', change.dead) end
    for state, ending in pairs(change.endings) do
      call('HINCRBY', P .. 'ledger', COUNTERS[state], ending.count)
    end
    event[#event + 1] = 'f'
    event[#event + 1] = table.concat(change.finals, ' ')
  end
  if #event > 0 then
    -- entries with long lists are kept in smaller number, so the stream's memory has a bound; never fewer than 256, by
    -- which its readers know that they missed none
    local most = n <= 6 and EVENTS_MAX or n >= 256 and 256 or floor(EVENT_TASKS_MAX / n)
    call('XADD', P .. 'events', 'MAXLEN', '~', most, '*', unpack(event))
  end
end

-- The stage ended while it was held.
local function hold_end(change, sid, id, task, hold, state, counters, tail)
  redis.pcall('HSET', change.prefix .. 'task:' .. id, task .. '.s', state_pack(state, counters, hold_token(hold), sid,
    hold_started(hold), change.packed_now, hold_priority(hold)) .. tail)
end

-- A session loses a stage that did not end.  crashed: its lease ran out.  The caller removes the hold itself.
local function release(change, sid, worker, field, hold, crashed)
  local id, task = match(field, '^([^/]+)/(.+)$')
  local generation, attempt, failures, crashes = counters_unpack(hold, 15)
  if crashed then
    crashes = crashes + 1
    change.crashes = change.crashes + 1
  end
  local state, tail = PENDING, nil
  if hold_cancelled(hold) then
    state, tail = CANCELLED, tail_of(worker)
  elseif crashed and crashes >= CRASHES_MAX then
    state, tail = QUARANTINED, tail_of(worker)
    tail = char(byte(tail) + 1) .. sub(tail, 2) .. text_pack('error') .. CRASH_ERROR
  end
  if state == PENDING then
    generation = generation + 1
    redis.pcall('HSET', change.prefix .. 'task:' .. id, task .. '.s',
      pending_pack(generation, attempt, failures, crashes, hold_priority(hold)))
    change_requeue(change, field, generation, hold_priority(hold))
  else
    hold_end(change, sid, id, task, hold, state, counters_pack(generation, attempt, failures, crashes), tail)
    change_final(change, field, state)
  end
end

-- Latest claim first: pushed in this order, the oldest ends up at the head of its queue.
local function release_order(list)
  table.sort(list, function(a, b)
    local x, y = sub(a[2], 35, 42), sub(b[2], 35, 42)
    if x ~= y then return x > y end
    return sub(a[2], 9, 12) > sub(b[2], 9, 12)
  end)
  return list
end

-- All that a session holds, released; the session is gone afterwards.  Returns how many stages it had.
local function session_end(change, sid, crashed)
  local P = change.prefix
  local flat = holds_of(P .. 'running:' .. sid)
  local list = {}
  for i = 1, #flat, 2 do list[#list + 1] = { flat[i], flat[i + 1] } end
  if #list > 0 then
    local worker = call('HGET', P .. 'workers', sid) or ''
    for _, held in ipairs(release_order(list)) do
      release(change, sid, worker, held[1], held[2], crashed)
    end
  end
  call('DEL', P .. 'running:' .. sid)
  call('ZREM', P .. 'sessions', sid)
  call('HDEL', P .. 'workers', sid)
  return #list
end
