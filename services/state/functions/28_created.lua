-- Created tasks: made, adopted by a claim, told of.

do -- what follows is this file's own: one chunk has room for 200 locals

local POPS_MAX = 4096 -- ids that one claim looks at
local DROPPED_KEPT = 1000
local LIMITS_SIZE = 10
local LATEST_MOST = 256
local DROPPED_MOST, PATH_MOST = 128, 4096

-- 1: made; 0: it was made before, by the same call.
local function create(keys, args)
  local P, id, path = keys[1], args[1], args[2]
  if #args ~= 2 then refuse('create', 'number of arguments') end
  if not created.id(id) then refuse('create', 'id') end
  if text('create', 'path', path, PATH_MOST) == '' then refuse('create', 'path') end
  local key, pending = created.key(P, id), P .. created.PENDING
  local kind, list = call('TYPE', key).ok, call('TYPE', pending).ok
  if kind == 'hash' then return 0 end
  if kind ~= 'none' or (list ~= 'none' and list ~= 'list') then refuse('create', 'a key of it is something else') end
  local now = now_ms()
  local at = created.time(now)
  call('HSET', key, 'task_id', id, 'status', 'PENDING', 'original_file_path', path, 'result_file_path', '', 'error_message', '',
    'created_at', at, 'updated_at', at)
  call('LPUSH', pending, id)
  event_add(P, now, 0, { 'q', created.SERVICE })
  return 1
end

-- How many wait in the list; how many a claim ever left aside, and the latest of them.
local function waiting(keys)
  local P = keys[1]
  return { length('LLEN', P .. created.PENDING), tonumber(call('HGET', P .. 'ledger', 'created_dropped') or 0),
    created.said(redis.pcall('LINDEX', P .. 'created_dropped', 0), LATEST_MOST) }
end

-- Whatever is taken from the list and is no task that waits stays to be seen.
local function drop(change, id, why)
  local key = change.prefix .. 'created_dropped'
  redis.pcall('LPUSH', key, sub(id, 1, DROPPED_MOST) .. ' ' .. why)
  redis.pcall('LTRIM', key, 0, DROPPED_KEPT - 1)
  change_count(change, 'created_dropped')
end

-- Its stage is there already: somebody has submitted it.  That one is the task's from now on.
local function join(change, id, field)
  local P = change.prefix
  local body, packed = call('HGET', P .. 'bodies', field), call('HGET', P .. 'states', field) or nil
  if body_flag(body, FLAG_CREATED) or #body < BODY_LEAST or (packed and not state_good(packed)) then
    return drop(change, id, 'stood there before')
  end
  call('HSET', P .. 'bodies', field, body_flagged(body, FLAG_CREATED))
  local holder = holders_of(P, { { id, created.TASK, body, packed } })[field]
  if holder then call('HSET', P .. 'running:' .. holder[1], field, hold_flagged(holder[2], HOLD_CREATED)) end
  local state = holder and RUNNING or packed and state_of(packed) or PENDING
  change_created(change, field, state, packed and sub(packed, STATE_SIZE + 1))
end

local function adopt_one(change, entries, id, limits)
  local P = change.prefix
  local said = created.id(id) and created.hash(P, id)
  if not said then return drop(change, id, 'no record') end
  if said[1] ~= 'PENDING' then return drop(change, id, 'its status is ' .. said[1]) end
  local field = id .. '/' .. created.TASK
  local made = created.ms(said[5])
  if made <= 0 or made > change.now then made = change.now end -- retention counts from there
  local body = created.body(made, FLAG_CREATED, limits, said[2], sub(redis.sha1hex('created ' .. id), 1, 16))
  if call('HSETNX', P .. 'bodies', field, body) == 0 then return join(change, id, field) end
  entries[#entries + 1] = field
  change_moved(change, field, PENDING)
  change_count(change, 'accepted')
end

-- Ordinary stages of what waits in the list, oldest first, until its queue has as many as are wanted.  limits: ten bytes of
-- each body.
created.adopt = function(P, want, limits, now)
  if not limits or #limits ~= LIMITS_SIZE then refuse('claim', 'limits') end
  local key, depth, popped = P .. created.PENDING, 0, 0
  if length('LLEN', key) == 0 or call('HEXISTS', P .. 'nodes', created.TASK) == 0 then return end
  for priority in pairs(PRIORITY_NAMES) do depth = depth + length('LLEN', queue_key(P, created.SERVICE, priority)) end
  local change = change_new(P, now)
  local entries = change_queue(change, 'tails', created.SERVICE, 0)
  while depth + #entries < want and popped < POPS_MAX do
    local ids = call('RPOP', key, digits(want - depth - #entries))
    if not ids then break end
    popped = popped + #ids
    for _, id in ipairs(ids) do adopt_one(change, entries, id, limits) end
  end
  change_write(change)
end

define('create', create)
define('created', waiting, 'no-writes')

end
