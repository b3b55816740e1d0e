-- Timers: stages whose time has come go to their queues, deadlines that have passed end theirs, schedules that are due are named.

do

local FIRED_MAX = 1024    -- timers in one call
local DEADLINES_MAX = 128 -- deadlines in one call: each is looked for in every session
local CRONS_MAX = 1000 -- all there may be: one that stays due must not hide another

local function state_changed(packed, state) return STATE_HEAD[state] .. sub(packed, 3, STATE_SIZE) end

-- The stage comes to the tail of its queue, as a submitted one does.  A timer that means no stage is just gone.
local function fire(change, member)
  local field, generation = entry_parts(member)
  local service = field and match(field, '^[^/]+/([^.]+)%.')
  local packed = service and call('HGET', change.prefix .. 'states', field)
  if not packed or not state_good(packed) or state_of(packed) ~= SCHEDULED or state_generation(packed) ~= generation then return end
  change_state(change, field, state_changed(packed, PENDING) .. EMPTY_MAP)
  local list = change_queue(change, 'tails', service, byte(state_priority(packed)))
  list[#list + 1] = member
  change_moved(change, field, PENDING)
end

local function fire_timers(change, most)
  if most < 1 then return 0 end
  local P = change.prefix
  local due = call('ZRANGEBYSCORE', P .. 'timers', '-inf', change.now, 'LIMIT', 0, most)
  for _, member in ipairs(due) do fire(change, member) end
  call_many('ZREM', P .. 'timers', due)
  return #due
end

-- The stage that a deadline means, while it is not over.
local function deadline_stage(P, member)
  local id, task, kind = match(member, '^([^/ ]+)/([^ ]+) ([sc])$')
  local field = id and id .. '/' .. task
  local body = field and call('HGET', P .. 'bodies', field)
  if not body then return end
  local stage = { id, task, body, call('HGET', P .. 'states', field) or nil, kind = kind }
  if is_over(stage) then return end
  return stage
end

-- No worker has begun it since it was submitted.
local function never_started(packed)
  if not packed then return true end
  local _, _, failures, crashes = state_counters(packed)
  return failures == 0 and crashes == 0 and state_started(packed) == NOT_STARTED
end

local function close(change, stage, holder)
  local field = stage[1] .. '/' .. stage[2]
  if holder and stage.kind == 'c' then
    hold_stop(change, field, holder, HOLD_CLOSED)
  elseif not holder and stage.kind == 'c' then
    waiting_end(change, stage, FAILED, tail_error('', 'TIMEOUT', 'it had not ended in the time it was given, schedule to close'))
  elseif not holder and never_started(stage[4]) then
    waiting_end(change, stage, FAILED, tail_error('', 'TIMEOUT', 'no worker had begun it in the time it was given, schedule to start'))
  end
end

local function fire_deadlines(change, most)
  local P = change.prefix
  local due = call('ZRANGEBYSCORE', P .. 'deadlines', '-inf', change.now, 'LIMIT', 0, math.min(most, DEADLINES_MAX))
  local stages, closed = {}, {}
  for _, member in ipairs(due) do stages[#stages + 1] = deadline_stage(P, member) end
  local held = holders_of(P, stages)
  local before = change.ended
  for _, stage in ipairs(stages) do
    local field = stage[1] .. '/' .. stage[2]
    if not closed[field] then close(change, stage, held[field]) end
    closed[field] = change.ended > before
    before = change.ended
  end
  call_many('ZREM', P .. 'deadlines', due)
  return #due
end

local function next_due(P, now)
  local least = math.huge
  for key, from in pairs({ timers = '-inf', deadlines = '-inf', cron_due = '(' .. now }) do
    local first = call('ZRANGEBYSCORE', P .. key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if first[2] then least = math.min(least, tonumber(first[2])) end
  end
  return least < math.huge and least or -1
end

local function timers(keys, args)
  local P = keys[1]
  local most = whole('timers', 'max', args[1], 1, FIRED_MAX)
  if #args ~= 1 then refuse('timers', 'number of arguments') end
  local change = change_new(P, now_ms())
  local fired = fire_deadlines(change, most)
  fired = fired + fire_timers(change, most - fired)
  change_write(change)
  local reply = { change.now, next_due(P, change.now), fired }
  local crons = call('ZRANGEBYSCORE', P .. 'cron_due', '-inf', change.now, 'WITHSCORES', 'LIMIT', 0, CRONS_MAX)
  for i = 1, #crons, 2 do
    reply[#reply + 1] = crons[i]
    reply[#reply + 1] = tonumber(crons[i + 1])
  end
  return reply
end

define('timers', timers, 'allow-oom')

end
