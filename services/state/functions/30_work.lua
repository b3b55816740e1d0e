-- A worker's side: claim, finish, give_back, heartbeat.

local POPS_MAX = 4096 -- entries one claim looks at: a queue full of cancelled ones must not block Redis

-- Pops up to `want` entries and hands out those that still hold; the rest are dropped.
local function hand_out(P, list, want, priority, hand)
  for _, entry in ipairs(list) do
    local id, task, generation = match(entry, '^([^/ ]+)/([^ ]+) (%d+)$')
    local found = id and redis.pcall('HMGET', P .. 'task:' .. id, task, task .. '.s')
    local body, packed = found and found[1], found and found[2]
    if body then
      local attempt, failures, crashes, now_generation, state = 0, 0, 0, 0, PENDING
      if packed then
        state, now_generation = state_of(packed), state_generation(packed)
        attempt, failures, crashes = state_counters(packed)
      end
      if state == PENDING and now_generation == tonumber(generation) then
        hand(id, task, body, attempt + 1, now_generation, failures, crashes, priority)
        want = want - 1
      end
    end
  end
  return want
end

local function claim(keys, args)
  local P = keys[1]
  local sid = session('claim', args[1])
  local service = service_name('claim', args[2])
  local want = whole('claim', 'n', args[3], 1, BATCH_MAX)
  local seq = whole('claim', 'seq', args[4], 0, 2 ^ 53)
  local lease = whole('claim', 'lease_ms', args[5], 1, 2 ^ 40)
  local lowest_first = whole('claim', 'lowest_first', args[6], 0, 1)
  local random = args[7]
  if not random or #random ~= 8 then refuse('claim', 'token8') end
  local worker = text('claim', 'worker', args[8], 128)
  if #args ~= 8 then refuse('claim', 'number of arguments') end

  local now = now_ms()
  local reply, holds = { 0 }, {}
  local function hand(id, task, body, attempt, generation, failures, crashes, priority)
    local n = #holds
    local token = random .. pack('>I4', n / 2)
    holds[n + 1] = id .. '/' .. task
    holds[n + 2] = hold_pack(token, 0, priority, attempt, generation, failures, crashes, seq, now)
    local r = #reply
    reply[r + 1], reply[r + 2], reply[r + 3] = id, task, token
    reply[r + 4], reply[r + 5], reply[r + 6] = attempt, generation, body
  end

  local looked = 0
  for _, priority in ipairs(lowest_first == 1 and { 2, 0, 1 } or { 1, 0, 2 }) do
    local queue = P .. 'queue:' .. service .. ':' .. PRIORITY_NAMES[priority]
    while want > 0 and looked < POPS_MAX do
      local asked = want
      local list = redis.call('RPOP', queue, asked)
      if not list then break end
      looked = looked + #list
      want = hand_out(P, list, want, priority, hand)
      if #list < asked then break end
    end
  end
  if #holds == 0 then
    if looked >= POPS_MAX then reply[1] = 1 end
    return reply
  end

  call_many('HSET', P .. 'running:' .. sid, holds)
  if redis.call('ZADD', P .. 'sessions', 'NX', now + lease, sid) == 1 and worker ~= '' then
    redis.call('HSET', P .. 'workers', sid, worker)
  end
  return reply
end

-- Not held under this token: written before under it (its ACK was lost), or somebody else's by now.
local function late(P, id, task, token)
  local packed = redis.pcall('HGET', P .. 'task:' .. id, task .. '.s')
  if type(packed) == 'string' and terminal(state_of(packed)) and state_token(packed) == token then return OK end
  return STALE
end

local function drop_holds(P, sid, gone)
  if #gone == 0 then return end
  call_many('HDEL', P .. 'running:' .. sid, gone)
  call_many('HDEL', P .. 'progress:' .. sid, gone)
end

local MAY_SAY = { ['4'] = COMPLETED, ['5'] = SKIPPED, ['6'] = FAILED, ['8'] = CANCELLED }

local function finish(keys, args)
  local P = keys[1]
  local sid = session('finish', args[1])
  local worker = text('finish', 'worker', args[2], 128)
  local n = items('finish', args, 2, 5)
  local fields = {}
  for i = 1, n do
    local at = 5 * i - 2
    fields[i] = field_of('finish', args[at], args[at + 1])
    if #args[at + 2] ~= 12 then refuse('finish', 'token') end
    if not MAY_SAY[args[at + 3]] then refuse('finish', 'state') end
    if not is_map(args[at + 4], 1) then refuse('finish', 'tail') end
  end
  if n == 0 then return {} end

  local holds = get_many(P .. 'running:' .. sid, fields)
  local change = change_new(P, now_ms())
  local gone, seen, reply = {}, {}, {}
  for i = 1, n do
    local at, field, hold = 5 * i - 2, fields[i], holds[i]
    local id, task, token, state, tail = unpack(args, at, at + 4)
    if not hold or seen[field] or sub(hold, 1, 12) ~= token then
      reply[i] = late(P, id, task, token)
    else
      local _, cancel, priority, attempt, generation, failures, crashes, _, claimed = unpack_bytes(HOLD_FORMAT, hold)
      state = MAY_SAY[state]
      if cancel == 1 then
        state, tail = CANCELLED, tail_of(worker)
      elseif state == FAILED then
        failures = failures + 1
      end
      redis.pcall('HSET', P .. 'task:' .. id, task .. '.s', state_pack(state, generation, attempt, failures, crashes,
        token, sid, claimed, change.now, priority) .. tail)
      change_final(change, field, state)
      seen[field] = true
      gone[#gone + 1] = field
      reply[i] = OK
    end
  end
  drop_holds(P, sid, gone)
  change_write(change)
  return reply
end

local function give_back(keys, args)
  local P = keys[1]
  local sid = session('give_back', args[1])
  local n = items('give_back', args, 1, 3)
  local fields = {}
  for i = 1, n do
    fields[i] = field_of('give_back', args[3 * i - 1], args[3 * i])
    if #args[3 * i + 1] ~= 12 then refuse('give_back', 'token') end
  end
  if n == 0 then return {} end

  local holds = get_many(P .. 'running:' .. sid, fields)
  local change = change_new(P, now_ms())
  local gone, seen, back, reply = {}, {}, {}, {}
  for i = 1, n do
    local field, hold = fields[i], holds[i]
    if hold and not seen[field] and sub(hold, 1, 12) == args[3 * i + 1] then
      seen[field] = true
      gone[#gone + 1] = field
      back[#back + 1] = { field, hold }
      reply[i] = OK
    else
      reply[i] = STALE
    end
  end
  for _, held in ipairs(release_order(back)) do
    release(change, sid, '', held[1], held[2], false)
  end
  drop_holds(P, sid, gone)
  change_write(change)
  return reply
end

-- Compares what Redis lent with what the worker says it holds.
local function reconcile(flat, said, claim_open)
  local lost, cancel = {}, {}
  for i = 1, #flat, 2 do
    local field, hold = flat[i], flat[i + 1]
    local token = sub(hold, 1, 12)
    if said[field] and said[field][token] then
      said[field][token] = 'held'
      if hold_cancelled(hold) then cancel[#cancel + 1] = token end
    elseif hold_seq(hold) < claim_open then
      lost[#lost + 1] = { field, hold }
    end
  end
  return lost, cancel
end

local function heartbeat(keys, args)
  local P = keys[1]
  local sid = session('heartbeat', args[1])
  local worker = text('heartbeat', 'worker', args[2], 128)
  local claim_open = whole('heartbeat', 'claim_open', args[3], 0, 2 ^ 53)
  local lease = whole('heartbeat', 'lease_ms', args[4], 1, 2 ^ 40)
  local n = items('heartbeat', args, 4, 4)
  local fields, said = {}, {}
  for i = 1, n do
    local at = 1 + 4 * i
    local field, token, progress = field_of('heartbeat', args[at], args[at + 1]), args[at + 2], args[at + 3]
    if #token ~= 12 then refuse('heartbeat', 'token') end
    if progress ~= '' then
      local share = find(progress, '^%d') and #progress <= 32 and tonumber(progress)
      if not share or share > 1 then refuse('heartbeat', 'progress') end
    end
    fields[i] = field
    said[field] = said[field] or {}
    said[field][token] = 'said'
  end

  local now = now_ms()
  if redis.call('ZADD', P .. 'sessions', now + lease, sid) == 1 and worker ~= '' then
    redis.call('HSET', P .. 'workers', sid, worker)
  end
  local lost, cancel = reconcile(redis.call('HGETALL', P .. 'running:' .. sid), said, claim_open)
  local stale, progress = {}, {}
  for i = 1, n do
    local at = 1 + 4 * i
    local token = args[at + 2]
    if said[fields[i]][token] == 'said' then
      -- a result that was written while its ACK was lost is no reason to kill anything
      if late(P, args[at], args[at + 1], token) == STALE then stale[#stale + 1] = token end
    elseif args[at + 3] ~= '' then
      progress[#progress + 1] = fields[i]
      progress[#progress + 1] = args[at + 3]
    end
  end
  call_many('HSET', P .. 'progress:' .. sid, progress)

  if #lost > 0 then
    local change, gone = change_new(P, now), {}
    for i, held in ipairs(release_order(lost)) do
      release(change, sid, worker, held[1], held[2], false)
      gone[i] = held[1]
    end
    drop_holds(P, sid, gone)
    change_write(change)
  end
  local reply = { #stale, #cancel, #lost }
  for _, token in ipairs(stale) do reply[#reply + 1] = token end
  for _, token in ipairs(cancel) do reply[#reply + 1] = token end
  return reply
end

define('claim', claim, 'allow-oom')
define('finish', finish, 'allow-oom')
define('give_back', give_back, 'allow-oom')
define('heartbeat', heartbeat, 'allow-oom')
