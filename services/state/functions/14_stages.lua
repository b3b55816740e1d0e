-- Stages as they are found: by reference, by who holds them; and how one ends that nobody holds.

local TASK = '^[%l%d_]+%.[%l%d_]+$'

local stages_of

do -- what only it needs

local function callbacks_of(P, field, body)
  local text = body_flag(body, FLAG_CALLBACK) and redis.pcall('HGET', P .. 'callbacks', field)
  return type(text) == 'string' and match(text, '^[^%z]*') or nil -- of a key of another type nothing is there
end

-- The stages that a reference names, each { id, task, body, packed state or nil, history or nil, callbacks or nil }.  A whole task is
-- asked for under every name there is: only nodes that some worker registered can be submitted.
stages_of = function(P, id, task)
  local names = task ~= '' and { task } or call('HKEYS', P .. 'nodes')
  if #names == 0 then return {} end
  local fields, found = {}, {}
  for i, name in ipairs(names) do fields[i] = id .. '/' .. name end
  local bodies = get_many(P .. 'bodies', fields)
  for i, name in ipairs(names) do
    if bodies[i] then
      found[#found + 1] = { id, name, bodies[i], call('HGET', P .. 'states', fields[i]) or nil, call('HGET', P .. 'histories', fields[i]) or nil,
        callbacks_of(P, fields[i], bodies[i]) }
    end
  end
  table.sort(found, function(a, b) return a[2] < b[2] end)
  return found
end

end

local function is_over(stage)
  return stage[4] and (not state_good(stage[4]) or terminal(state_of(stage[4])))
end

local function is_scheduled(stage)
  return stage[4] and state_good(stage[4]) and state_of(stage[4]) == SCHEDULED
end

-- Which session runs each of these stages: sessions are asked one by one, each once.
-- Returns field -> { sid, hold }.
local function holders_of(P, stages)
  local fields, held = {}, {}
  for _, stage in ipairs(stages) do
    if not is_over(stage) and not is_scheduled(stage) then fields[#fields + 1] = stage[1] .. '/' .. stage[2] end
  end
  if #fields == 0 then return held end
  for _, sid in ipairs(call('ZRANGE', P .. 'sessions', 0, -1)) do
    local holds = get_many(P .. 'running:' .. sid, fields)
    for i, field in ipairs(fields) do
      if holds[i] and #holds[i] >= HOLD_SIZE then held[field] = { sid, holds[i] } end
    end
  end
  return held
end

-- What was submitted: a map, {} when it cannot be read.
local function body_map(body)
  local good, map = pcall(cmsgpack.unpack, sub(body, BODY_MAP, -BODY_TOKEN - 1))
  return good and type(map) == 'table' and map or {}
end

-- A body says its priority by name; a stage that never left its first queue says it nowhere else.
local function body_priority(body)
  local said = body_map(body).priority
  for number, name in pairs(PRIORITY_NAMES) do
    if said == name then return char(number) end
  end
  return '\0'
end

-- The priorities, the stage's own first.
local function priorities_of(body, packed)
  local own = byte(packed and state_priority(packed) or body_priority(body))
  return { own, (own + 1) % 3, (own + 2) % 3 }
end

-- A stage that nobody holds, pending or scheduled, ends.
local function waiting_end(change, stage, state, tail)
  local P, field, packed = change.prefix, stage[1] .. '/' .. stage[2], stage[4] or PENDING_STATE
  if is_scheduled(stage) then
    call('ZREM', P .. 'timers', entry_of(field, state_generation(packed)))
  else
    local stale = change_list(change, 'stale') -- its queue entry is dropped when a claim meets it
    stale[#stale + 1] = entry_of(field, state_generation(packed))
  end
  if body_owned(stage[3]) then change_disown(change, field) end
  if body_flag(stage[3], FLAG_CREATED) then change_created(change, field, state, tail) end
  change_final(change, field, state, state_pack(state, state_packed_counters(packed), NO_TOKEN, NO_SESSION, NOT_STARTED, change.packed_now,
    stage[4] and state_priority(packed) or body_priority(stage[3])) .. tail)
end

-- The worker that holds this stage is told to stop it.
local function hold_stop(change, field, holder, flag)
  local sid, hold = holder[1], holder[2]
  if hold_flag(hold, flag) then return end
  if not hold_stopping(hold) then change_moved(change, field, CANCELLING) end
  call('HSET', change.prefix .. 'running:' .. sid, field, hold_flagged(hold, flag))
end
