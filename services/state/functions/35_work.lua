-- What a worker says of what it holds: finish, give_back, heartbeat.  A reference that names nothing
-- (or is no name at all) is found nowhere, so it needs no check of its own: it is STALE.

-- Not held under this token: written before under it (its ACK was lost), or somebody else's by now.
local function late(P, id, task, token)
  local packed = redis.pcall('HGET', P .. 'task:' .. id, task .. '.s')
  if type(packed) == 'string' and state_good(packed) and terminal(state_of(packed)) and state_token(packed) == token then return OK end
  return STALE
end

local MAY_SAY = { ['4'] = COMPLETED, ['5'] = SKIPPED, ['6'] = FAILED, ['8'] = CANCELLED }

local function check_results(args, n)
  local fields = {}
  for i = 1, n do
    local at = 5 * i - 2
    fields[i] = args[at] .. '/' .. args[at + 1]
    if #args[at + 2] ~= 12 then refuse('finish', 'token') end
    if not MAY_SAY[args[at + 3]] then refuse('finish', 'state') end
    if not is_map(args[at + 4], 1) then refuse('finish', 'tail') end
  end
  return fields
end

local function finish(keys, args)
  local P = keys[1]
  local sid = session('finish', args[1])
  local worker = text('finish', 'worker', args[2], 128)
  local n = items('finish', args, 2, 5)
  if n == 0 then return {} end
  local fields = check_results(args, n)

  local holds = get_many(P .. 'running:' .. sid, fields)
  local change = change_new(P, now_ms())
  local gone, seen, reply = {}, {}, {}
  for i = 1, n do
    local at, field, hold = 5 * i - 2, fields[i], holds[i]
    local id, task, token, tail = args[at], args[at + 1], args[at + 2], args[at + 4]
    if not hold or seen[field] or hold_token(hold) ~= token then
      reply[i] = late(P, id, task, token)
    else
      local state, counters = MAY_SAY[args[at + 3]], hold_counters(hold)
      if hold_cancelled(hold) then
        state, tail = CANCELLED, tail_of(worker)
      elseif state == FAILED then
        local generation, attempt, failures, crashes = counters_unpack(hold, 15)
        counters = counters_pack(generation, attempt, failures + 1, crashes)
      end
      hold_end(change, sid, id, task, hold, state, counters, tail)
      change_final(change, field, state)
      seen[field] = true
      gone[#gone + 1] = field
      reply[i] = OK
    end
  end
  if #gone > 0 then
    call_many('HDEL', P .. 'running:' .. sid, gone)
    change_write(change)
  end
  return reply
end

local function give_back(keys, args)
  local P = keys[1]
  local sid = session('give_back', args[1])
  local n = items('give_back', args, 1, 3)
  local fields = {}
  for i = 1, n do
    fields[i] = args[3 * i - 1] .. '/' .. args[3 * i]
    if #args[3 * i + 1] ~= 12 then refuse('give_back', 'token') end
  end
  if n == 0 then return {} end

  local holds = get_many(P .. 'running:' .. sid, fields)
  local change = change_new(P, now_ms())
  local gone, seen, back, reply = {}, {}, {}, {}
  for i = 1, n do
    local field, hold = fields[i], holds[i]
    if hold and not seen[field] and hold_token(hold) == args[3 * i + 1] then
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
  call_many('HDEL', P .. 'running:' .. sid, gone)
  change_write(change)
  return reply
end

-- What the worker says it holds: field -> token -> the share done as 8 bytes, or true.
local function check_held(args, n)
  local fields, said = {}, {}
  for i = 1, n do
    local at = 1 + 4 * i
    local field, token, progress = args[at] .. '/' .. args[at + 1], args[at + 2], args[at + 3]
    if #token ~= 12 then refuse('heartbeat', 'token') end
    local share = true
    if progress ~= '' then
      share = find(progress, '^%d') and #progress <= 32 and tonumber(progress)
      if not share or share > 1 then refuse('heartbeat', 'progress') end
      share = pack('>d', share)
    end
    fields[i] = field
    said[field] = said[field] or {}
    said[field][token] = share
  end
  return fields, said
end

-- Compares what Redis lent with what the worker says it holds: what it never got, what it must stop, what moved on.
local function reconcile(flat, said, claim_open)
  local lost, cancel, progress, held = {}, {}, {}, {}
  for i = 1, #flat, 2 do
    local field, hold = flat[i], flat[i + 1]
    local token = hold_token(hold)
    local share = said[field] and said[field][token]
    if share then
      held[token] = true
      if hold_cancelled(hold) then cancel[#cancel + 1] = token end
      if share ~= true and share ~= hold_progress(hold) then
        progress[#progress + 1] = field
        progress[#progress + 1] = sub(hold, 1, 51) .. share
      end
    elseif hold_seq(hold) < claim_open then
      lost[#lost + 1] = { field, hold }
    end
  end
  return lost, cancel, progress, held
end

local function heartbeat(keys, args)
  local P = keys[1]
  local sid = session('heartbeat', args[1])
  local worker = text('heartbeat', 'worker', args[2], 128)
  local claim_open = whole('heartbeat', 'claim_open', args[3], 0, 2 ^ 53)
  local lease = whole('heartbeat', 'lease_ms', args[4], 1, 2 ^ 40)
  local n = items('heartbeat', args, 4, 4)
  local fields, said = check_held(args, n)

  local now = now_ms()
  if call('ZADD', P .. 'sessions', now + lease, sid) == 1 and worker ~= '' then
    call('HSET', P .. 'workers', sid, worker)
  end
  local running = P .. 'running:' .. sid
  local lost, cancel, progress, held = reconcile(holds_of(running), said, claim_open)
  local stale = {}
  for i = 1, n do
    local token = args[3 + 4 * i]
    -- a result that was written while its ACK was lost is no reason to kill anything
    if not held[token] and late(P, args[1 + 4 * i], args[2 + 4 * i], token) == STALE then stale[#stale + 1] = token end
  end
  call_many('HSET', running, progress)

  if #lost > 0 then
    local change, gone = change_new(P, now), {}
    for i, entry in ipairs(release_order(lost)) do
      release(change, sid, worker, entry[1], entry[2], false)
      gone[i] = entry[1]
    end
    call_many('HDEL', running, gone)
    change_write(change)
  end
  local reply = { #stale, #cancel, #lost }
  for _, token in ipairs(stale) do reply[#reply + 1] = token end
  for _, token in ipairs(cancel) do reply[#reply + 1] = token end
  return reply
end

define('finish', finish, 'allow-oom')
define('give_back', give_back, 'allow-oom')
define('heartbeat', heartbeat, 'allow-oom')
