-- Records: get and cancel.

local function running_state(P, holder)
  local sid, hold = holder[1], holder[2]
  return state_pack(hold_stopping(hold) and CANCELLING or RUNNING, hold_counters(hold), hold_token(hold), sid,
    hold_started(hold), NOT_STARTED, hold_priority(hold)) .. tail_of(worker_name(P, sid), hold_progress(hold))
end

local function get(keys, args)
  local P = keys[1]
  local ask = whole('get', 'holders', args[1], 0, 1)
  local n = items('get', args, 1, 2)
  local refs, all = {}, {}
  for i = 1, n do
    refs[i] = stages_of(P, args[2 * i], args[2 * i + 1])
    for _, stage in ipairs(refs[i]) do all[#all + 1] = stage end
    refs[i] = created.with_external(P, args[2 * i], args[2 * i + 1], refs[i])
  end
  local held = ask == 1 and holders_of(P, all) or {}
  local reply = {}
  for i = 1, n do
    reply[#reply + 1] = #refs[i]
    for _, stage in ipairs(refs[i]) do
      local field = stage[1] .. '/' .. stage[2]
      local r = #reply
      reply[r + 1], reply[r + 2] = stage[2], stage[3]
      reply[r + 3] = held[field] and running_state(P, held[field]) or stage[4] or PENDING_STATE
      reply[r + 4], reply[r + 5] = stage[5] or '', stage[6] or ''
    end
  end
  return reply
end

do -- what follows is this file's own

-- Nobody has it yet, so nobody takes it any more.
local function cancel_external(P, id)
  local said = created.hash(P, id)
  if not said or said[1] ~= 'PENDING' or redis.pcall('LREM', P .. created.PENDING, 0, id) == 0 then return end
  created.write(P, now_ms(), { { id, CANCELLED } })
end

local function cancel(keys, args)
  local P = keys[1]
  if #args ~= 2 then refuse('cancel', 'number of arguments') end
  local id, task = args[1], args[2]
  local stages = stages_of(P, id, task)
  local held = holders_of(P, stages)
  local change = change_new(P, now_ms())
  for _, stage in ipairs(stages) do
    local field = id .. '/' .. stage[2]
    local holder = held[field]
    if holder then
      hold_stop(change, field, holder, HOLD_CANCEL)
    elseif not is_over(stage) then
      waiting_end(change, stage, CANCELLED, EMPTY_MAP)
    end
  end
  change_write(change)
  if (task == '' or task == created.TASK) and call('HEXISTS', P .. 'bodies', id .. '/' .. created.TASK) == 0 then cancel_external(P, id) end
  return get(keys, { '1', id, task })
end

define('cancel', cancel, 'allow-oom')

end

define('get', get, 'no-writes')
