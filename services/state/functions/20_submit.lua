-- Submit: new tasks are written together; everything else (reuse, delay, callbacks, quota) is the slow path, one by one.

local MISS, WAIT, HIT = 0, 1, 2

-- The stage is its owner's until it ends.
local function own(P, field, owner)
  call('HSET', P .. 'owned', field, owner)
  call('SADD', P .. 'user:' .. owner, field)
end

local submit

do -- what follows is this file's own: one chunk has room for 200 locals

local OVER_USER, OVER_ALL, OVER_CALLBACKS = 3, 4, 5

local MAY_REUSE = { input = true, never = true } -- absent: by name
local EXTRA_TIMES = { 'delay_ms', 'not_before_ms', 'to_start_ms', 'to_close_ms' }

-- What a submit says beyond its body.
local function check_extra(packed)
  local good, extra = pcall(cmsgpack.unpack, packed)
  if not good or not is_map(packed, 1) then refuse('submit', 'extra') end
  for _, name in ipairs(EXTRA_TIMES) do
    local ms = extra[name] or 0
    if type(ms) ~= 'number' or not (ms >= 0) then refuse('submit', name) end
    extra[name] = math.min(floor(ms), 2 ^ 53)
  end
  local owner = extra.owner
  if owner and (type(owner) ~= 'string' or owner == '' or #owner > 128) then refuse('submit', 'owner') end
  if extra.reuse and not MAY_REUSE[extra.reuse] then refuse('submit', 'reuse') end
  local url = extra.callback
  if url and (type(url) ~= 'string' or #url > 2048 or find(url, '[^!-~]')) then refuse('submit', 'callback') end
  return extra
end

-- Field, body and extra of each, which C has checked.  Where there is no extra nobody owns the stage.  Those that say the same
-- beyond their bodies share one extra, which nobody changes: what comes over HTTP mostly says the same.
local function check_tasks(args, n)
  local fields, extras, last, extra = {}, {}, ''
  for i = 1, n do
    local at = 3 + 3 * i
    local packed = args[at + 2]
    fields[i] = args[at]
    if packed ~= '' then
      if packed ~= last then last, extra = packed, check_extra(packed) end
      if (extra.owner ~= nil) ~= body_owned(args[at + 1]) then refuse('submit', 'owner and flags') end
      extras[i] = extra
    end
  end
  return fields, extras
end

-- Why an owner's stage may not run now: status, state, reuse; nothing when it may.
local function over_quota(batch, owner)
  local P = batch.change.prefix
  local current = batch.quota_user > 0 and call('SCARD', P .. 'user:' .. owner) or 0
  if batch.quota_user > 0 and current >= batch.quota_user then return BUSY, current, OVER_USER end
  current = batch.quota_all > 0 and call('HLEN', P .. 'owned') or 0
  if batch.quota_all > 0 and current >= batch.quota_all then return BUSY, current, OVER_ALL end
end

local function add_deadline(change, member, due)
  local list = change_list(change, 'deadlines')
  list[#list + 1] = math.min(due, change.now + FAR_MS)
  list[#list + 1] = member
end

-- The two clocks that run from the submit on, until the stage ends.
local function set_deadlines(change, field, extra, from)
  if extra.to_start_ms > 0 then add_deadline(change, field .. ' s', from + extra.to_start_ms) end
  if extra.to_close_ms > 0 then add_deadline(change, field .. ' c', change.now + extra.to_close_ms) end
end

local NO_EXTRA = { delay_ms = 0, not_before_ms = 0, to_start_ms = 0, to_close_ms = 0 }

-- The stage is to run: for the first time, or again after its end.  old, packed: what it has of before.
local function place(batch, field, body, extra, old, packed)
  local change, priority = batch.change, char(batch.priority)
  local generation, attempt = 0, 0
  local was_created = old and body_flag(old, FLAG_CREATED)
  if was_created then body = body_flagged(body, FLAG_CREATED) end
  -- the task's age is that of its first submit
  call('HSET', change.prefix .. 'bodies', field, old and #old >= BODY_LEAST and sub(old, 1, 9) .. sub(body, 10) or body)
  if packed then
    generation, attempt = state_counters(packed) -- attempts go on so that no two share a folder
    generation = generation + 1
    history_of_end(change, field, packed)
    change_uncheck(change, field)
    if state_of(packed) == FAILED or state_of(packed) == QUARANTINED then
      local undead = change_list(change, 'undead')
      undead[#undead + 1] = field
    end
  end
  local due = math.min(math.max(change.now + extra.delay_ms, extra.not_before_ms), change.now + FAR_MS)
  local state = due > change.now and SCHEDULED or PENDING
  if state == SCHEDULED then
    change_state(change, field,
      scheduled_pack(counters_pack(generation, attempt, 0, 0), NO_TOKEN, NO_SESSION, NOT_STARTED, priority, due, 'delayed'))
    change_schedule(change, field, generation, due)
  else
    if packed then change_state(change, field, pending_pack(generation, attempt, 0, 0, priority)) end
    batch.entries[#batch.entries + 1] = entry_of(field, generation)
    batch.moved[#batch.moved + 1] = field
  end
  if was_created then change_created(change, field, state) end
  if extra.owner then own(change.prefix, field, extra.owner) end
  callback_begin(change.prefix, field, extra.callback, old)
  set_deadlines(change, field, extra, due)
  change_count(change, 'accepted')
  return OK, state, MISS
end

-- A key output counts when it is there under any of its names, and is neither nil nor "".
local function present(output, names)
  for name in string.gmatch(names, '[^|]+') do
    if output[name] ~= nil and output[name] ~= '' then return true end
  end
  return false
end

-- The outputs that its node says must be there.
local function keys_of(P, field)
  local declared = call('HGET', P .. 'nodes', match(field, '/(.+)$'))
  local good, node = pcall(cmsgpack.unpack, declared or '\128')
  return good and type(node) == 'table' and type(node.key) == 'table' and node.key or {}
end

-- Values of msgpack; the order of a map's keys is nothing.  Beyond 2^53 Lua takes one number for another: no two are the same.
local function same(a, b)
  if type(a) == 'number' and math.abs(a) >= 2 ^ 53 then return false end
  if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- May the output of this completed stage be taken for what is submitted now?
local function reusable(P, field, body, how, old, packed)
  if how == 'never' then return false end
  local good, tail = pcall(cmsgpack.unpack, sub(packed, STATE_SIZE + 1))
  local output = good and type(tail) == 'table' and tail.output
  if type(output) ~= 'table' or next(output) == nil then return false end
  for _, names in ipairs(keys_of(P, field)) do
    if not present(output, names) then return false end
  end
  return how ~= 'input' or same(body_map(old).input, body_map(body).input)
end

-- It meets a run that is under way, or one that was: status, state, reuse; nothing: it is to run.
local function meet(batch, field, body, extra, old, packed)
  local P, state, url = batch.change.prefix, packed and state_of(packed) or PENDING, extra.callback
  if body_token(old) == body_token(body) then return OK, state, MISS end
  if not terminal(state) then
    if url then
      local joined, waiting = callback_join(P, field, old, url, body_token(body))
      if not joined then return BUSY, waiting, OVER_CALLBACKS end
    end
    return OK, state, WAIT
  end
  if state == COMPLETED and reusable(P, field, body, extra.reuse, old, packed) then
    if url then callback_hit(batch.change, field, old, url, body_token(body)) end
    return OK, state, HIT
  end
end

-- Same token = same answer; under way = wait; completed, and good for this = hit; else it runs, if there is room.
-- Returns status, state, reuse.
local function decide(batch, field, body, extra)
  local P = batch.change.prefix
  local old, packed = call('HGET', P .. 'bodies', field), call('HGET', P .. 'states', field)
  if old then
    if packed and not state_good(packed) then return CONFLICT, PENDING, MISS end
    local status, state, reuse = meet(batch, field, body, extra or NO_EXTRA, old, packed)
    if status then return status, state, reuse end
  end
  local depth = batch.depth + #batch.entries
  if depth >= batch.most then return BUSY, depth, MISS end
  if extra and extra.owner then
    local status, current, over = over_quota(batch, extra.owner)
    if status then return status, current, over end
  end
  return place(batch, field, body, extra or NO_EXTRA, old, packed)
end

-- What this call has gathered, written: the same stage comes once more in it.
local function settle(batch)
  local change = batch.change
  call_many('HSET', change.prefix .. 'bodies', batch.bodies)
  call_many('HSET', change.prefix .. 'states', change.states)
  batch.bodies, change.states, batch.seen = {}, {}, {}
end

-- Beyond its deadlines it says nothing that a new stage needs more than its body for.
local function is_plain(extra)
  return not extra.owner and not extra.callback and extra.delay_ms == 0 and extra.not_before_ms == 0
end

-- Takes all that are new and plain; returns the places of the others.
local function take_new(batch, args, fields, extras)
  local found = get_many(batch.change.prefix .. 'bodies', fields)
  local bodies, entries, moved, seen, others = batch.bodies, batch.entries, batch.moved, batch.seen, {}
  local room, count = batch.most - batch.depth, 0
  for i = 1, #fields do
    local field = fields[i]
    local extra = extras[i]
    if found[i] or (extra and not is_plain(extra)) or seen[field] or count >= room then
      others[#others + 1] = i
    else
      count = count + 1
      bodies[2 * count - 1], bodies[2 * count] = field, args[4 + 3 * i]
      entries[count], moved[count] = field, field
      if extra then set_deadlines(batch.change, field, extra, batch.change.now) end
    end
    seen[field] = true -- what names it once more comes after it
  end
  if count > 0 then change_count(batch.change, 'accepted', count) end
  return others
end

submit = function(keys, args)
  local P = keys[1]
  local service = service_name('submit', args[1])
  local priority = whole('submit', 'priority', args[2], 0, 2)
  local most = whole('submit', 'queue_max', args[3], 0, 2 ^ 53)
  local quota_user = whole('submit', 'quota_user', args[4], 0, 2 ^ 53)
  local quota_all = whole('submit', 'quota_all', args[5], 0, 2 ^ 53)
  local n = items('submit', args, 5, 3)
  if n == 0 then return 0 end
  local fields, extras = check_tasks(args, n)

  local change = change_new(P, now_ms())
  local moved, reply = {}, {}
  change.moved[PENDING] = moved
  local batch = { change = change, priority = priority, most = most, quota_user = quota_user,
    quota_all = quota_all, depth = call('LLEN', queue_key(P, service, priority)), bodies = {}, seen = {},
    entries = change_queue(change, 'tails', service, priority), moved = moved }
  local others = take_new(batch, args, fields, extras)
  if #others == 0 then
    call_many('HSET', P .. 'bodies', batch.bodies)
    change_write(change)
    return n
  end
  for i = 1, 3 * n, 3 do reply[i], reply[i + 1], reply[i + 2] = OK, PENDING, MISS end
  settle(batch)
  for _, i in ipairs(others) do
    if batch.seen[fields[i]] then settle(batch) end
    batch.seen[fields[i]] = true
    reply[3 * i - 2], reply[3 * i - 1], reply[3 * i] = decide(batch, fields[i], args[4 + 3 * i], extras[i])
  end
  change_write(change)
  return reply
end

define('submit', submit)

end
