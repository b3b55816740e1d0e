-- A change: what one call gathers about stages that came into another state, written once at its end.

local function change_new(prefix, now)
  return { prefix = prefix, now = now, packed_now = time_pack(now), moved = {}, ended = 0, states = {}, counts = {},
    event = {} }
end

local function change_count(change, counter, by)
  change.counts[counter] = (change.counts[counter] or 0) + (by or 1)
end

-- A list of the change, made when it is first needed.
local function change_list(change, name)
  local list = change[name] or {}
  change[name] = list
  return list
end

-- The stage's packed state, to be written.
local function change_state(change, field, packed)
  local list = change.states
  list[#list + 1] = field
  list[#list + 1] = packed
end

-- The history of its attempts, to be written.
local function change_history(change, field, history)
  local list = change_list(change, 'histories')
  list[#list + 1] = field
  list[#list + 1] = history
end

-- What it kept for its next attempt goes.
local function change_uncheck(change, field)
  local list = change_list(change, 'unchecked')
  list[#list + 1] = field
end

-- The stage came into this state: a transition of the stream of events.
local function change_moved(change, field, state)
  local list = change.moved[state]
  if not list then
    list = {}
    change.moved[state] = list
  end
  list[#list + 1] = field
end

-- The stage reached a terminal state.
local function change_final(change, field, state, packed)
  change_state(change, field, packed)
  change_moved(change, field, state)
  change.ended = change.ended + 1
  if state == FAILED or state == QUARANTINED then
    local dead = change_list(change, 'dead')
    dead[#dead + 1] = change.now
    dead[#dead + 1] = field
  end
end

-- The stage has an owner, and no longer counts against the quota.
local function change_disown(change, field)
  local list = change_list(change, 'disowned')
  list[#list + 1] = field
end

-- The list of what goes into a queue: side 'heads' (out next) or 'tails' (new work).
local function change_queue(change, side, service, priority)
  local queues, key = change_list(change, side), queue_key(change.prefix, service, priority)
  queues[key] = queues[key] or { service = service }
  return queues[key]
end

-- The stage goes back to the head of its queue.
local function change_requeue(change, field, generation, priority)
  local list = change_queue(change, 'heads', match(field, '/([^.]+)%.'), byte(priority))
  list[#list + 1] = entry_of(field, generation)
  change_moved(change, field, PENDING)
  change_count(change, 'requeues')
end

-- The stage waits for its time.
local function change_schedule(change, field, generation, due)
  local list = change_list(change, 'timers')
  list[#list + 1] = due
  list[#list + 1] = entry_of(field, generation)
  change_moved(change, field, SCHEDULED)
end

-- One entry of the stream of events.  `fields` as XADD takes them, with `count` transitions in them.  Its id is the
-- number of its last transition.  Nothing here may fail: the call has written already.
local function event_add(P, now, count, fields)
  local by = count > 0 and count or 1
  local number = redis.pcall('INCRBY', P .. 'events_seq', digits(by))
  if type(number) ~= 'number' then
    call('SET', P .. 'events_seq', by)
    number = by
  end
  local oldest, id, at = digits(math.max(0, number - EVENTS_KEPT)), digits(number) .. '-0', digits(now)
  for _ = 1, 2 do
    local added = redis.pcall('XADD', P .. 'events', 'MINID', '~', oldest, id, 'at', at, unpack(fields))
    if type(added) == 'string' then return end
    call('DEL', P .. 'events') -- the number was lost and begins anew: what the stream has is another count's
  end
end

-- Adds to the timers or deadlines.  Returns the earliest of what was added when it is the earliest of all.
local function arm(P, key, list)
  local least, last, score = math.huge, nil, nil
  for i = 1, #list, 2 do
    local due = list[i]
    if due ~= last then least, last, score = math.min(least, due), due, digits(due) end
    list[i] = score
  end
  call_many('ZADD', P .. key, list)
  local first = call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')
  return least <= tonumber(first[2]) and least or math.huge
end

local PIECE = 128

-- What came into a state, joined by spaces, in pieces that Lua joins at one go.
local function pieces_of(list)
  local pieces = {}
  for i = 1, #list, PIECE do pieces[#pieces + 1] = table.concat(list, ' ', i, math.min(i + PIECE - 1, #list)) end
  return pieces
end

local change_write
local change_tell -- 18_callback.lua
local created = {} -- 13_created.lua; a table, for one chunk has room for 200 locals

do -- what only it needs

local COUNTERS = { [4] = 'completed', [5] = 'skipped', [6] = 'failed', [7] = 'quarantined', [8] = 'cancelled' }
local QUIET_DEPTH = 128   -- a queue deeper than this has had its READY

-- Pushes what goes into queues; a `q` of the event says whose services have work.
local function change_push(change)
  local said = {}
  for key, list in pairs(change.heads or {}) do
    call_many('RPUSH', key, list)
    said[list.service] = true
  end
  for key, list in pairs(change.tails or {}) do
    local count = #list
    local length = count > 0 and call_many('LPUSH', key, list)
    -- a list as long as what was pushed was empty: only then can its service be new
    if length and length <= count then call('SADD', change.prefix .. 'queues', list.service) end
    if length and length - count <= QUIET_DEPTH then said[list.service] = true end
  end
  for service in pairs(said) do
    change.event[#change.event + 1] = 'q'
    change.event[#change.event + 1] = service
  end
end

-- What has ended has no deadlines any more.
local function drop_deadlines(change)
  local key, members = change.prefix .. 'deadlines', {}
  if call('EXISTS', key) == 0 then return end
  for state = COMPLETED, CANCELLED do
    for _, field in ipairs(change.moved[state] or {}) do
      members[#members + 1] = field .. ' s'
      members[#members + 1] = field .. ' c'
    end
  end
  call_many('ZREM', key, members)
end

-- texts: by state, what came into it, in pieces.
local function change_end(change, texts)
  local P, lines = change.prefix, {}
  local hour = floor(change.now / HOUR_MS)
  for state = COMPLETED, CANCELLED do
    if texts[state] then
      local head = digits(state) .. ' ' .. digits(change.now) .. ' '
      for _, piece in ipairs(texts[state]) do lines[#lines + 1] = head .. piece end
      change_count(change, COUNTERS[state], #change.moved[state])
    end
  end
  -- a list as long as what was pushed is new: so the index of hours costs nothing per batch
  if call_many('RPUSH', P .. 'ended:' .. hour, lines) <= #lines then call('ZADD', P .. 'hours', hour, hour) end
  if change.dead then call_many('ZADD', P .. 'dead', change.dead) end
  drop_deadlines(change)
end

local function disown(P, fields)
  local owners = get_many(P .. 'owned', fields)
  for i = 1, #fields do
    if owners[i] then call('SREM', P .. 'user:' .. owners[i], fields[i]) end
  end
  call_many('HDEL', P .. 'owned', fields)
end

local function change_arm(change)
  local P, due = change.prefix, math.huge
  if change.timers then due = arm(P, 'timers', change.timers) end
  if change.deadlines then due = math.min(due, arm(P, 'deadlines', change.deadlines)) end
  if due < math.huge then
    change.event[#change.event + 1] = 't'
    change.event[#change.event + 1] = due
  end
end

local function change_texts(change)
  local texts = {}
  for state, list in pairs(change.moved) do
    if #list > 0 then texts[state] = pieces_of(list) end
  end
  return texts
end

change_write = function(change)
  if change.ended > 0 then change_tell(change) end
  local P, event, count, texts = change.prefix, change.event, 0, change_texts(change)
  call_many('HSET', P .. 'states', change.states)
  if change.histories then call_many('HSET', P .. 'histories', change.histories) end
  if change.checkpoints then call_many('HSET', P .. 'checkpoints', change.checkpoints) end
  if change.unchecked then call_many('HDEL', P .. 'checkpoints', change.unchecked) end
  if change.heads or change.tails then change_push(change) end
  if change.ended > 0 then change_end(change, texts) end
  if change.undead then call_many('ZREM', P .. 'dead', change.undead) end
  if change.stale then call_many('SADD', P .. 'stale', change.stale) end
  if change.disowned then disown(P, change.disowned) end
  if change.created then created.write(P, change.now, change.created) end
  if change.timers or change.deadlines then change_arm(change) end
  for counter, by in pairs(change.counts) do call('HINCRBY', P .. 'ledger', counter, digits(by)) end
  for state = PENDING, CANCELLED do
    if texts[state] then
      count = count + #change.moved[state]
      for _, piece in ipairs(texts[state]) do
        event[#event + 1] = digits(state)
        event[#event + 1] = piece
      end
    end
  end
  if #event > 0 then event_add(P, change.now, count, event) end
end

end
