-- Callbacks, `callbacks`: of a stage the addresses that its run is to tell, a newline before each, the newest last; once they
-- were told the newest alone, and behind a blank the id of the delivery to it.  Then, behind a NUL, marks of the latest submits
-- that joined the run: one that is said again, after a lost answer, is told once.  Bodies say by a flag that there is something.

local callback_join, callback_begin, callback_hit

do -- what follows is this file's own: one chunk has room for 200 locals

local CALLBACKS_MAX = 65536 -- bytes of addresses that wait for one run: each that joins rewrites them, and its end tells all in one call
local MARKS_MAX, MARK_SIZE = 32, 16
local DELIVERY_NODE, DELIVERY_SERVICE = 'system.callback', 'system'

-- What a delivery's body is before and behind its map: its worker alone decides how often it is tried.
local DELIVERY_LIMITS = '\0\204\3\205\3\232\206\0\0\0\0'

-- A delivery is a task like any other.  what: names it for good, so that it is made once; said: its input.  Returns its id.
local function deliver(change, what, said)
  local digest = redis.sha1hex(what)
  local id = 'callback-' .. digest
  local P, field = change.prefix, id .. '/' .. DELIVERY_NODE
  local body = change.packed_now .. DELIVERY_LIMITS .. cmsgpack.pack({ input = said, priority = 'normal' }) .. '\196\16' .. sub(digest, 1, 16)
  if call('HSETNX', P .. 'bodies', field, body) == 1 then
    local entries = change_queue(change, 'tails', DELIVERY_SERVICE, 0)
    entries[#entries + 1] = field
    change_moved(change, field, PENDING)
    change_count(change, 'accepted')
  end
  return id
end

local function callback_flag(P, field, body)
  if not body_flag(body, FLAG_CALLBACK) then
    call('HSET', P .. 'bodies', field, body_flagged(body, FLAG_CALLBACK))
  end
end

local function mark_of(token) return sub(redis.sha1hex(token), 1, MARK_SIZE) end

-- Its addresses, its marks.
local function callback_parts(P, field)
  return match(call('HGET', P .. 'callbacks', field) or '', '^([^%z]*)%z?(.*)$')
end

-- The address is told when the run ends: now the newest, and once, however often it was named.  False: too many wait, of so
-- many bytes.
callback_join = function(P, field, body, url, token)
  local waiting, marks = callback_parts(P, field)
  if byte(waiting) ~= 10 then waiting = '' end
  local from, to = find(waiting .. '\n', '\n' .. url .. '\n', 1, true)
  if from then waiting = sub(waiting, 1, from - 1) .. sub(waiting, to) end
  if #waiting + #url >= CALLBACKS_MAX then return false, #waiting end
  local mark = mark_of(token)
  if not find(marks, mark, 1, true) then marks = sub(marks .. mark, -MARKS_MAX * MARK_SIZE) end -- said again it takes no other's place
  call('HSET', P .. 'callbacks', field, waiting .. '\n' .. url .. '\0' .. marks)
  callback_flag(P, field, body)
  return true
end

-- The stage runs anew: what waited for an earlier run was told.
callback_begin = function(P, field, url, old)
  if url then
    call('HSET', P .. 'callbacks', field, '\n' .. url)
  elseif old and body_flag(old, FLAG_CALLBACK) then
    call('HDEL', P .. 'callbacks', field)
  end
end

-- A hit: its address is told at once, and is the newest from now on.
callback_hit = function(change, field, body, url, token)
  local _, marks = callback_parts(change.prefix, field)
  if find(marks, mark_of(token), 1, true) then return end -- it had joined the run, and was told of its end
  local id, task = match(field, '^([^/]+)/(.+)$')
  local delivery = deliver(change, 'hit ' .. field .. ' ' .. token .. ' ' .. url,
    { task_id = id, task = task, url = url, status = 'completed', reuse = 'hit', owned = body_owned(body) })
  call('HSET', change.prefix .. 'callbacks', field, url .. ' ' .. delivery .. '\0' .. marks)
  callback_flag(change.prefix, field, body)
end

-- The run ended in this state: all that waited for it are told.  When the task was accepted is part of a delivery's name: one
-- that was forgotten and comes again begins at generation 0 again.
local function callback_end(change, field, state, packed)
  local P = change.prefix
  local waiting, marks = callback_parts(P, field)
  local id, task = match(field, '^([^/]+)/(.+)$')
  local generation, attempt = state_counters(packed)
  local body, newest = call('HGET', P .. 'bodies', field) or '', ''
  for url in string.gmatch(waiting, '[^\n]+') do
    newest = url .. ' ' .. deliver(change, field .. ' ' .. body_created(body) .. ' ' .. generation .. ' ' .. attempt .. ' ' .. url,
      { task_id = id, task = task, url = url, status = (state == COMPLETED or state == SKIPPED) and 'completed' or 'failed',
        reuse = 'miss', owned = body_owned(body) })
  end
  call('HSET', P .. 'callbacks', field, newest .. '\0' .. marks)
end

change_tell = function(change)
  local key = change.prefix .. 'callbacks'
  if call('EXISTS', key) == 0 then return end
  local fields, states = {}, {}
  for state = COMPLETED, CANCELLED do
    for _, field in ipairs(change.moved[state] or {}) do
      fields[#fields + 1] = field
      states[#states + 1] = state
    end
  end
  local waiting, packed = get_many(key, fields), nil
  for i, field in ipairs(fields) do
    if waiting[i] and byte(waiting[i]) == 10 then
      if not packed then
        packed = {}
        for k = 1, #change.states, 2 do packed[change.states[k]] = change.states[k + 1] end
      end
      callback_end(change, field, states[i], packed[field])
    end
  end
end

end
