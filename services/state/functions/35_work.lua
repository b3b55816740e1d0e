-- What a worker says of what it holds: finish, give_back, heartbeat.  A reference that names nothing
-- (or is no name at all) is found nowhere, so it needs no check of its own: it is STALE.

do -- what follows is this file's own: one chunk has room for 200 locals

local STALE = 9
local CHECKPOINT_MAX = 65536

local function hold_session(hold) return sub(hold, 25, 56) end
local function hold_first(hold) return sub(hold, 1, 6) == HOLD_FIRST end
local function hold_with_progress(hold, progress) return sub(hold, 1, HOLD_SIZE) .. progress end

-- Not held under this token: written before under it (its ACK was lost), or somebody else's by now.
-- put_off: a stage that this token put off counts too.
local function late(P, field, token, put_off)
  local packed = call('HGET', P .. 'states', field)
  local mine = packed and state_good(packed) and state_token(packed) == token
  return mine and (put_off or terminal(state_of(packed))) and OK or STALE
end

local MAY_SAY = { ['4'] = COMPLETED, ['5'] = SKIPPED, ['6'] = FAILED, ['8'] = CANCELLED }

local RESULT = 4 -- arguments of each

local function check_results(args, n)
  local fields = {}
  for i = 1, n do
    local at = RESULT * i - 1
    fields[i] = args[at]
    if not MAY_SAY[args[at + 2]] then refuse('finish', 'state') end
  end
  return fields
end

-- The end of a stage that its worker holds, as it says or as it was told to.
local function end_of(change, worker, field, hold, state, tail)
  if hold_stopping(hold) then
    state, tail = stopped(hold, worker)
  elseif state == FAILED then
    local generation, attempt, failures, crashes = hold_numbers(hold)
    hold = hold_counted(hold, generation, attempt, failures + 1, crashes)
  elseif state ~= CANCELLED and not hold_first(hold) then
    change_uncheck(change, field)
  end
  hold_end(change, field, hold, state, tail)
end

local function finish(keys, args)
  local P = keys[1]
  local sid = session('finish', args[1])
  local worker = text('finish', 'worker', args[2], 128)
  local n = items('finish', args, 2, RESULT)
  if n == 0 then return 0 end
  local fields = check_results(args, n)

  local holds = get_many(P .. 'running:' .. sid, fields)
  local change = change_new(P, now_ms())
  local gone, seen, late_ones, done = {}, {}, {}, 0
  local states, completed, head, ended = change.states, {}, STATE_HEAD[COMPLETED], change.packed_now
  change.moved[COMPLETED] = completed
  for i = 1, n do
    local at, field, hold = RESULT * i - 1, fields[i], holds[i]
    if not hold or seen[field] or hold_token(hold) ~= args[at + 1] then
      late_ones[#late_ones + 1] = i
    else
      local state = MAY_SAY[args[at + 2]]
      seen[field] = true
      done = done + 1
      gone[done] = field
      if state == COMPLETED and #hold == HOLD_SIZE and hold_first(hold) then -- as nearly all
        change.ended = change.ended + 1
        completed[#completed + 1] = field
        states[#states + 1] = field
        states[#states + 1] = head .. hold .. ended .. args[at + 3]
      else
        end_of(change, worker, field, hold, state, args[at + 3])
      end
    end
  end
  if done > 0 then
    call_many('HDEL', P .. 'running:' .. sid, gone)
    change_write(change)
  end
  if done == n then return n end
  local reply = {}
  for i = 1, n do reply[i] = OK end
  for _, i in ipairs(late_ones) do reply[i] = late(P, fields[i], args[RESULT * i]) end
  return reply
end

local RETURNED, RETRY, SNOOZE, WAIT_ON = '0', '1', '2', '3'
local HOWS = { [RETURNED] = true, [RETRY] = true, [SNOOZE] = true, [WAIT_ON] = true }
local GIVEN = 6 -- arguments of each

local function check_given(args, n)
  local fields = {}
  for i = 1, n do
    local at = GIVEN * i - 2
    local how, after = args[at + 2], args[at + 3]
    fields[i] = args[at]
    if #args[at + 1] ~= 12 then refuse('give_back', 'token') end
    if not HOWS[how] then refuse('give_back', 'how') end
    if find(after, '%D') or #after > 20 then refuse('give_back', 'after_ms') end
    if how == RETRY and not is_map(args[at + 4], 1) then refuse('give_back', 'tail') end
    text('give_back', 'checkpoint', args[at + 5], CHECKPOINT_MAX)
  end
  return fields
end

-- How long to wait after the n-th failure.  The random part comes from the lease token, so a test can choose it.
local function back_off(n, retry_ms, token, cap)
  local first, _, last = unpack_bytes('>I4I4I4', token)
  local share = (first + last % 65536 * 2654435761) % 4294967296 / 4294967296
  if retry_ms > 0 then
    local wait = math.min(retry_ms * 2 ^ (n - 1), cap) -- which may be infinite
    return floor(math.min(wait + wait * share / 10, cap))
  end
  return floor(math.min((n ^ 4 + 15 + share * 10 * (n + 1)) * 1000, cap))
end

-- When the attempt before this one began, of which no worker has heard.
local function started_before(P, field)
  local packed = call('HGET', P .. 'states', field)
  return packed and state_good(packed) and state_started(packed) or NOT_STARTED
end

-- An attempt failed, or was put off: the stage waits for its time, or has failed once too often.
local function put_off(change, worker, field, hold, item, cap)
  local generation, attempt, failures, crashes = hold_numbers(hold)
  local state, tail = stopped(hold, worker)
  if state then return hold_end(change, field, hold, state, tail) end
  local wait, reason = tonumber(item.after), 'snoozed'
  if item.how == RETRY then
    local _, failures_max, retry_ms = body_limits(call('HGET', change.prefix .. 'bodies', field))
    failures, reason = failures + 1, 'retrying'
    hold = hold_counted(hold, generation, attempt, failures, crashes)
    if failures >= failures_max then return hold_end(change, field, hold, FAILED, item.tail) end
    wait = wait or back_off(failures, retry_ms, hold_token(hold), cap)
    local attempt_was = state_of_hold(hold, FAILED, change.packed_now, item.tail)
    change_history(change, field, history_add(call('HGET', change.prefix .. 'histories', field), attempt_was))
    change_count(change, 'retries')
  end
  -- a snooze of nothing would go round in circles
  local due = change.now + math.min(math.max(wait or 1, item.how == RETRY and 0 or 1), FAR_MS)
  local started = item.how == WAIT_ON and started_before(change.prefix, field) or hold_started(hold)
  -- the token stays in the record: the same words again, after a lost answer, are known by it
  change_state(change, field, scheduled_pack(counters_pack(generation + 1, attempt, failures, crashes), hold_token(hold),
    hold_session(hold), started, hold_priority(hold), due, reason))
  change_schedule(change, field, generation + 1, due)
  if hold_flag(hold, HOLD_CREATED) then change_created(change, field, SCHEDULED) end
end

local function give_back(keys, args)
  local P = keys[1]
  local sid = session('give_back', args[1])
  local worker = text('give_back', 'worker', args[2], 128)
  local cap = whole('give_back', 'retry_cap_ms', args[3], 1, 2 ^ 53)
  local n = items('give_back', args, 3, GIVEN)
  local fields = check_given(args, n)
  if n == 0 then return {} end

  local holds = get_many(P .. 'running:' .. sid, fields)
  local change = change_new(P, now_ms())
  local gone, seen, back, late_ones, reply = {}, {}, {}, {}, {}
  for i = 1, n do
    local at, field, hold = GIVEN * i - 2, fields[i], holds[i]
    local item = { how = args[at + 2], after = args[at + 3], tail = args[at + 4] }
    if hold and not seen[field] and hold_token(hold) == args[at + 1] then
      local checkpoint = args[at + 5]
      seen[field] = true
      gone[#gone + 1] = field
      if checkpoint ~= '' then
        local list = change_list(change, 'checkpoints')
        list[#list + 1] = field
        list[#list + 1] = checkpoint
      end
      if item.how == RETURNED then
        back[#back + 1] = { field, hold, checkpoint ~= '' }
      else
        put_off(change, worker, field, hold, item, cap)
      end
      reply[i] = OK
    else
      reply[i] = STALE
      if item.how ~= RETURNED then late_ones[#late_ones + 1] = i end
    end
  end
  for _, held in ipairs(release_order(back)) do
    release(change, worker, held[1], held[2], false, held[3])
  end
  call_many('HDEL', P .. 'running:' .. sid, gone)
  change_write(change)
  for _, i in ipairs(late_ones) do reply[i] = late(P, fields[i], args[GIVEN * i - 1], true) end
  return reply
end

local HELD = 3 -- arguments of each

-- What the worker says it holds: field -> token -> the share done as 8 bytes, or true.
local function check_held(args, n)
  local fields, said = {}, {}
  for i = 1, n do
    local at = 4 + HELD * i
    local field, token, progress = args[at], args[at + 1], args[at + 2]
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
      if hold_stopping(hold) then cancel[#cancel + 1] = token end
      if share ~= true and share ~= hold_progress(hold) then
        progress[#progress + 1] = field
        progress[#progress + 1] = hold_with_progress(hold, share)
      end
    elseif hold_seq(hold) < claim_open then
      lost[#lost + 1] = { field, hold }
    end
  end
  return lost, cancel, progress, held
end

-- Keeps what operators see of a worker.
local function introduce(P, sid, worker, services, slots)
  local said = string.gsub(worker, '%c', ' ') .. '\n' .. services .. '\n' .. slots
  if call('HGET', P .. 'workers', sid) ~= said then call('HSET', P .. 'workers', sid, said) end
end

local function heartbeat(keys, args)
  local P = keys[1]
  local sid = session('heartbeat', args[1])
  local worker = text('heartbeat', 'worker', args[2], 128)
  local services = args[3] and find(args[3], '^[%l%d_,]*$') and text('heartbeat', 'services', args[3], 640) or refuse('heartbeat', 'services')
  local slots = whole('heartbeat', 'slots', args[4], 0, 2 ^ 32)
  local claim_open = whole('heartbeat', 'claim_open', args[5], 0, 2 ^ 53)
  local lease = whole('heartbeat', 'lease_ms', args[6], 1, 2 ^ 40)
  local n = items('heartbeat', args, 6, HELD)
  local fields, said = check_held(args, n)

  local now = now_ms()
  call('ZADD', P .. 'sessions', now + lease, sid)
  introduce(P, sid, worker, services, slots)
  local running = P .. 'running:' .. sid
  local lost, cancel, progress, held = reconcile(holds_of(running), said, claim_open)
  local stale = {}
  for i = 1, n do
    local token = args[5 + HELD * i]
    -- a result that was written while its ACK was lost is no reason to kill anything
    if not held[token] and late(P, fields[i], token, true) == STALE then stale[#stale + 1] = token end
  end
  call_many('HSET', running, progress)

  if #lost > 0 then
    local change, gone = change_new(P, now), {}
    for i, entry in ipairs(release_order(lost)) do
      release(change, worker, entry[1], entry[2], false, false)
      gone[i] = entry[1]
    end
    call_many('HDEL', running, gone)
    change_write(change)
  end
  local reply = { #stale, #cancel, #lost, call('SISMEMBER', P .. 'draining', worker) }
  for _, token in ipairs(stale) do reply[#reply + 1] = token end
  for _, token in ipairs(cancel) do reply[#reply + 1] = token end
  return reply
end

define('finish', finish, 'allow-oom')
define('give_back', give_back, 'allow-oom')
define('heartbeat', heartbeat, 'allow-oom')

end
