-- What a session held ends, or goes back.

-- How a stage ends that was told to stop, or nil: state, tail.
local function stopped(hold, worker)
  if hold_flag(hold, HOLD_CANCEL) then return CANCELLED, tail_of(worker) end
  if hold_flag(hold, HOLD_CLOSED) then
    return FAILED, tail_error(worker, 'TIMEOUT', 'it had not ended in the time it was given, schedule to close')
  end
end

-- The stage ended while it was held.
local function hold_end(change, field, hold, state, tail)
  if hold_flags(hold) >= HOLD_OWNED then
    if hold_flag(hold, HOLD_OWNED) then change_disown(change, field) end
    if hold_flag(hold, HOLD_CREATED) then change_created(change, field, state, tail) end
  end
  change_final(change, field, state, state_of_hold(hold, state, change.packed_now, tail))
end

-- A lost lease.  Returns the state and the tail that it ends in, or nothing: it waits again, and its history says why.
local function crash(change, worker, field, hold, crashes)
  if crashes >= body_limits(call('HGET', change.prefix .. 'bodies', field)) then
    return QUARANTINED, tail_error(worker, 'FAILED',
      'the lease was lost ' .. crashes .. ' times: each time the worker died, hung or was cut off')
  end
  local attempt = state_of_hold(hold, QUARANTINED, change.packed_now, tail_of(worker))
  change_history(change, field, history_add(call('HGET', change.prefix .. 'histories', field), attempt))
end

-- A session loses a stage that did not end.  crashed: its lease ran out; ran: a worker had begun it (known of crashes).
-- The caller removes the hold itself.
local function release(change, worker, field, hold, crashed, ran)
  local generation, attempt, failures, crashes = hold_numbers(hold)
  if crashed then
    crashes = crashes + 1
    hold = hold_counted(hold, generation, attempt, failures, crashes)
    change_count(change, 'crashes')
  end
  local state, tail = stopped(hold, worker)
  if crashed and not state then state, tail = crash(change, worker, field, hold, crashes) end
  if state then
    hold_end(change, field, hold, state, tail)
  else
    local started = (crashed or ran) and hold_started(hold) or nil
    change_state(change, field, pending_pack(generation + 1, attempt, failures, crashes, hold_priority(hold), started))
    change_requeue(change, field, generation + 1, hold_priority(hold))
    if hold_flag(hold, HOLD_CREATED) then change_created(change, field, PENDING) end
  end
end

-- Latest claim first: pushed in this order, the oldest ends up at the head of its queue.
local function release_order(list)
  -- by numbers: strings compare as the locale of Redis orders them
  table.sort(list, function(a, b)
    local x, y = hold_seq(a[2]), hold_seq(b[2])
    if x ~= y then return x > y end
    return hold_index(a[2]) > hold_index(b[2])
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
    local worker = worker_name(P, sid)
    for _, held in ipairs(release_order(list)) do
      release(change, worker, held[1], held[2], crashed, true)
    end
  end
  call('DEL', P .. 'running:' .. sid)
  call('ZREM', P .. 'sessions', sid)
  call('HDEL', P .. 'workers', sid)
  return #list
end
