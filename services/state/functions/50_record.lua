-- Records: get and cancel.

local TASK = '^[%l%d_]+%.[%l%d_]+$'

-- The stages that a reference names, each { id, task, body, packed state or nil }.
local function stages_of(P, id, task)
  local found = {}
  if task ~= '' then
    local pair = redis.pcall('HMGET', P .. 'task:' .. id, task, task .. '.s')
    if pair[1] then found[1] = { id, task, pair[1], pair[2] or nil } end
    return found
  end
  local flat = redis.pcall('HGETALL', P .. 'task:' .. id)
  local states = {}
  for i = 1, #flat, 2 do
    if find(flat[i], TASK) then
      found[#found + 1] = { id, flat[i], flat[i + 1] }
    else
      states[flat[i]] = flat[i + 1]
    end
  end
  for _, stage in ipairs(found) do stage[4] = states[stage[2] .. '.s'] end
  table.sort(found, function(a, b) return a[2] < b[2] end)
  return found
end

local function is_over(stage)
  return stage[4] and (not state_good(stage[4]) or terminal(state_of(stage[4])))
end

-- Which session runs each of these stages: sessions are asked one by one, each once.
-- Returns field -> { sid, hold }.
local function holders_of(P, stages)
  local fields, held = {}, {}
  for _, stage in ipairs(stages) do
    if not is_over(stage) then fields[#fields + 1] = stage[1] .. '/' .. stage[2] end
  end
  if #fields == 0 then return held end
  for _, sid in ipairs(call('ZRANGE', P .. 'sessions', 0, -1)) do
    local holds = get_many(P .. 'running:' .. sid, fields)
    for i, field in ipairs(fields) do
      if holds[i] then held[field] = { sid, holds[i] } end
    end
  end
  return held
end

local function running_state(P, holder)
  local sid, hold = holder[1], holder[2]
  local worker = call('HGET', P .. 'workers', sid) or ''
  return state_pack(hold_cancelled(hold) and CANCELLING or RUNNING, hold_counters(hold), hold_token(hold), sid,
    hold_started(hold), NOT_STARTED, hold_priority(hold)) .. tail_of(worker, hold_progress(hold))
end

local function get(keys, args)
  local P = keys[1]
  local ask = whole('get', 'holders', args[1], 0, 1)
  local n = items('get', args, 1, 2)
  local refs, all = {}, {}
  for i = 1, n do
    refs[i] = stages_of(P, args[2 * i], args[2 * i + 1])
    for _, stage in ipairs(refs[i]) do all[#all + 1] = stage end
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
    end
  end
  return reply
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
      local hold = sub(holder[2], 1, 12) .. '\001' .. sub(holder[2], 14)
      call('HSET', P .. 'running:' .. holder[1], field, hold)
    elseif not is_over(stage) then
      -- its queue entry is dropped when a claim meets it
      local packed = stage[4] or PENDING_STATE
      call('HSET', P .. 'task:' .. id, stage[2] .. '.s', state_pack(CANCELLED, sub(packed, 3, 22), NO_TOKEN, NO_SESSION,
        NOT_STARTED, change.packed_now, state_priority(packed)) .. EMPTY_MAP)
      change_final(change, field, CANCELLED)
    end
  end
  change_write(change)
  return get(keys, { '1', id, task })
end

define('get', get, 'no-writes')
define('cancel', cancel, 'allow-oom')
