#!lua name=gantry
-- The functions that change and read Gantry's records.  See README.md for keys, packings and the
-- calling conventions.  Rules: check every argument, then write (an error does not roll back);
-- TIME is read once; one redis.call a batch, none a task: a call costs a microsecond, a field of one a tenth; every byte of
-- every string that comes into being here is hashed, a nanosecond each: so few strings a task, and short ones.
-- The files are one chunk, which may have 200 locals: files from 30 on keep theirs between `do` and `end`.

local VERSION = 3102 -- major * 1000 + minor; raise it with every change of these files

local PENDING, SCHEDULED, RUNNING, CANCELLING = 0, 1, 2, 3
local COMPLETED, SKIPPED, FAILED, QUARANTINED, CANCELLED = 4, 5, 6, 7, 8
local OK, CONFLICT, BUSY = 0, 3, 7

local PRIORITY_NAMES = { [0] = 'normal', [1] = 'high', [2] = 'low' }

local BATCH_MAX = 1024
local CHUNK = 1000 -- arguments handed to one unpack(); Lua's C stack holds about 8000
local HOUR_MS = 3600000
local FAR_MS = 3660 * 86400000 -- no timer is set further ahead
local EVENTS_KEPT = 65536 -- transitions that the stream reaches back, roughly

local NO_TOKEN, NO_SESSION = '\0\0\0\0\0\0\0\0\0\0\0\0', '00000000000000000000000000000000'
local EMPTY_MAP = '\128'

-- Redis hides Lua's libraries while a library loads, so these are set by the first call.
local call, floor, find, sub, byte, char, match, pack, unpack_bytes
local PENDING_STATE
local DIGITS = {} -- of the numbers of a batch

local function refuse(name, what)
  error({ err = 'ERR gantry_' .. name .. ': ' .. what })
end

-- A decimal text as a number, or the refusal of the call.
local function whole(name, what, text, least, most)
  local n = text and tonumber(text)
  if not n or n < least or n > most or n ~= floor(n) then refuse(name, what) end
  return n
end

-- A whole number for redis.call, which would write it as a fraction: that costs ten times as much.
local function digits(n)
  local text = DIGITS[n]
  if text then return text end
  text = string.format('%d', n)
  if n >= 0 and n <= BATCH_MAX then DIGITS[n] = text end
  return text
end

local function text(name, what, value, most)
  if not value or #value > most then refuse(name, what) end
  return value
end

local function session(name, sid)
  if not sid or #sid ~= 32 or find(sid, '[^%da-f]') then refuse(name, 'sid') end
  return sid
end

local function service_name(name, service)
  if not service or #service > 32 or not find(service, '^[%l%d_]+$') then refuse(name, 'service') end
  return service
end

local function is_map(packed, at)
  local first = packed and byte(packed, at)
  return first and ((first >= 0x80 and first <= 0x8f) or first == 0xde or first == 0xdf)
end

-- The number of items of `width` arguments that follow the first `head` ones.
local function items(name, args, head, width)
  local n = (#args - head) / width
  if n < 0 or n ~= floor(n) or n > BATCH_MAX then refuse(name, 'number of arguments') end
  return n
end

-- LLEN, HLEN: 0 of a key of another type, which an outsider put there.
local function length(command, key)
  local n = redis.pcall(command, key)
  return type(n) == 'number' and n or 0
end

local function now_ms()
  local t = call('TIME')
  return t[1] * 1000 + floor(t[2] / 1000)
end

-- One command over a list of any length, in pieces that unpack() can take.
local function call_many(command, key, list)
  local n = #list
  if n <= CHUNK then
    if n > 0 then return call(command, key, unpack(list)) end
    return
  end
  local last
  for i = 1, n, CHUNK do
    last = call(command, key, unpack(list, i, math.min(i + CHUNK - 1, n)))
  end
  return last
end

-- HMGET of a list of any length, at least one; of a key of another type nothing is there.
local function get_many(key, fields)
  if #fields <= CHUNK then return redis.pcall('HMGET', key, unpack(fields)) end
  local values = {}
  for i = 1, #fields, CHUNK do
    local part = redis.pcall('HMGET', key, unpack(fields, i, math.min(i + CHUNK - 1, #fields)))
    for j = 1, #part do values[i + j - 1] = part[j] end
  end
  return values
end

-- The packed state: fixed widths, so that reading is by offset.  Its `counters` are the 20 bytes of generation, attempt,
-- failures and crashes, `started` the 9 bytes of started_ms.  Behind state a hold stands in it as it is (below), so finish
-- only joins strings; then come `ended`, the 9 bytes of ended_ms, and the tail.
local COUNTERS_FORMAT = '>BI4BI4BI4BI4'
local NOT_STARTED, NO_CLAIM = '\207\0\0\0\0\0\0\0\0', '\207\0\0\0\0\0\0\0\0'
local STATE_SIZE = 99 -- without its tail
local STATE_HEAD = {} -- by state: its first two bytes

local function counters_pack(generation, attempt, failures, crashes)
  return pack(COUNTERS_FORMAT, 0xce, generation, 0xce, attempt, 0xce, failures, 0xce, crashes)
end

local function counters_unpack(packed, at) -- generation, attempt, failures, crashes
  local _, generation, _, attempt, _, failures, _, crashes = unpack_bytes(COUNTERS_FORMAT, packed, at)
  return generation, attempt, failures, crashes
end

local function time_pack(ms) return '\207' .. pack('>I8', ms) end

-- started, ended: as time_pack; priority: one character
local function state_pack(state, counters, token, sid, started, ended, priority)
  return STATE_HEAD[state] .. '\0' .. counters .. priority .. '\217 ' .. sid .. '\196\012' .. token .. started .. NO_CLAIM .. ended
end

-- Anything shorter was not written by these functions: its stage is no task any more, and nobody else's harm.
local function state_good(packed) return #packed >= STATE_SIZE end
local function state_of(packed) return byte(packed, 2) end
local function state_counters(packed) return counters_unpack(packed, 4) end
local function state_packed_counters(packed) return sub(packed, 4, 23) end
local function state_generation(packed) return (unpack_bytes('>I4', packed, 5)) end
local function state_priority(packed) return sub(packed, 24, 24) end
local function state_token(packed) return sub(packed, 61, 72) end
local function state_started(packed) return sub(packed, 73, 81) end
local function state_ended(packed) return (unpack_bytes('>I8', packed, 92)) end
local function terminal(state) return state >= COMPLETED end

-- A stage waits again.  started: when its last attempt began, if it ran at all.
local function pending_pack(generation, attempt, failures, crashes, priority, started)
  return state_pack(PENDING, counters_pack(generation, attempt, failures, crashes), NO_TOKEN, NO_SESSION,
    started or NOT_STARTED, NOT_STARTED, priority) .. EMPTY_MAP
end

-- A body: created_ms 9, flags 1, crashes_max 2, failures_max 3, retry_ms 5; then a map; at its end the submit token, 18.
local BODY_MAP, BODY_TOKEN, BODY_LEAST = 21, 18, 39
local FLAG_OWNED, FLAG_CALLBACK, FLAG_REFERS, FLAG_CREATED = 1, 2, 4, 8

local function body_created(body)
  return byte(body) == 0xcf and #body >= 9 and unpack_bytes('>I8', body, 2) or 0
end

local function body_token(body) return sub(body, -16) end
local function body_flag(body, flag) return floor((byte(body, 10) or 0) / flag) % 2 == 1 end
local function body_owned(body) return body_flag(body, FLAG_OWNED) end
local function body_flagged(body, flag) return sub(body, 1, 9) .. char(byte(body, 10) + flag) .. sub(body, 11) end

-- crashes_max, failures_max, retry_ms; a stage whose body is gone gets the usual ones.
local function body_limits(body)
  if not body or #body < BODY_LEAST then return 3, 5, 0 end
  local _, crashes, _, failures, _, retry = unpack_bytes('>BBBI2BI4', body, 11)
  return crashes, failures, retry
end

-- A hold, the fence: flags 1, counters 20, priority 1, session 34, token 14, started 9, claim sequence 9, all as in the
-- packed state; then progress as a big-endian double once there is one.  With more than 64 bytes Redis keeps it in a hash
-- table: a list would be searched from its start for each of hundreds.
local HOLD_SIZE = 88
local HOLD_FIRST = '\0\206\0\0\0\0' -- how it begins at a stage's first handout, if it is nobody's and not to stop
local HOLD_CANCEL, HOLD_CLOSED, HOLD_OWNED, HOLD_CREATED = 1, 2, 4, 8 -- its flags

-- A stage's field: id, task, service.  What outsiders write may be any bytes, and no message could carry those.
local FIELD = '^([%w._-]+)/(([%l%d_]+)%.[%l%d_]+)$'

-- What a session holds, as field, hold, field, hold; what was not written by these functions is left out.
local function holds_of(key)
  local flat, good = redis.pcall('HGETALL', key), {}
  for i = 1, #flat, 2 do
    local field, hold = flat[i], flat[i + 1]
    if #hold >= HOLD_SIZE and find(field, FIELD) then
      good[#good + 1] = field
      good[#good + 1] = hold
    end
  end
  return good
end

local function hold_flags(hold) return byte(hold) end
local function hold_flag(hold, flag) return floor(byte(hold) / flag) % 2 == 1 end
local function hold_stopping(hold) return byte(hold) % 4 > 0 end -- its worker is told to stop it
local function hold_flagged(hold, flag) return char(byte(hold) + flag) .. sub(hold, 2) end
local function hold_counters(hold) return sub(hold, 2, 21) end
local function hold_numbers(hold) return counters_unpack(hold, 2) end
local function hold_priority(hold) return sub(hold, 22, 22) end
local function hold_token(hold) return sub(hold, 59, 70) end
local function hold_index(hold) return (unpack_bytes('>I4', hold, 67)) end -- its place in its claim
local function hold_started(hold) return sub(hold, 71, 79) end
local function hold_started_ms(hold) return (unpack_bytes('>I8', hold, 72)) end
local function hold_seq(hold) return (unpack_bytes('>I8', hold, 81)) end
local function hold_progress(hold) return #hold > HOLD_SIZE and sub(hold, HOLD_SIZE + 1) or nil end

-- Its counters are others by now.
local function hold_counted(hold, generation, attempt, failures, crashes)
  return sub(hold, 1, 1) .. counters_pack(generation, attempt, failures, crashes) .. sub(hold, 22)
end

-- The packed state, with its tail, of an attempt that was held.
local function state_of_hold(hold, state, ended, tail)
  if #hold > HOLD_SIZE then hold = sub(hold, 1, HOLD_SIZE) end
  return STATE_HEAD[state] .. hold .. ended .. tail
end

local function text_pack(s)
  return #s < 32 and char(0xa0 + #s) .. s or '\217' .. char(#s) .. s
end

-- {worker?, progress?} as a packed map; progress: 8 bytes, big-endian double.
local function tail_of(worker, progress)
  local n, out = 0, ''
  if worker and worker ~= '' then
    n, out = n + 1, text_pack('worker') .. text_pack(worker)
  end
  if progress then
    n, out = n + 1, out .. text_pack('progress') .. '\203' .. progress
  end
  return char(0x80 + n) .. out
end

local function tail_error(worker, code, message)
  local tail = tail_of(worker)
  return char(byte(tail) + 1) .. sub(tail, 2) .. text_pack('error') .. cmsgpack.pack({ code = code, message = message })
end

-- A stage waits for its time.  counters, started as in state_pack; token, sid: the attempt that put it off, or none.
-- reason: delayed, retrying or snoozed.
local function scheduled_pack(counters, token, sid, started, priority, due, reason)
  return state_pack(SCHEDULED, counters, token, sid, started, NOT_STARTED, priority) ..
    '\130' .. text_pack('due_ms') .. time_pack(due) .. text_pack('reason') .. text_pack(reason)
end

-- What `workers` says of a session: its worker's name, services, slots, a line each.
local function worker_name(P, sid)
  return match(call('HGET', P .. 'workers', sid) or '', '^[^\n]*')
end

-- The same of all whose session is alive: a line each of name, services, slots.
local function live_workers(P, now)
  local live = call('ZRANGEBYSCORE', P .. 'sessions', '(' .. now, '+inf')
  local said, lines = #live > 0 and get_many(P .. 'workers', live) or {}, {}
  for i = 1, #live do lines[i] = said[i] or '' end
  return lines
end

-- A stage's entry in a queue, in the timers: its field, and its generation unless that is 0.
local function entry_of(field, generation)
  return generation == 0 and field or field .. ' ' .. generation
end

-- Field, generation; nil: not what these functions write.
local function entry_parts(entry)
  if not find(entry, ' ', 1, true) then return entry, 0 end
  local field, generation = match(entry, '^(%S+) ([1-9]%d*)$') -- spelled one way only: what is equal is found
  return field, tonumber(generation)
end

local function queue_key(P, service, priority)
  return P .. 'queue:' .. service .. ':' .. (PRIORITY_NAMES[priority] or 'normal')
end

local function prepare()
  call, floor = redis.call, math.floor
  find, sub, byte, char, match = string.find, string.sub, string.byte, string.char, string.match
  pack, unpack_bytes = struct.pack, struct.unpack
  for state = PENDING, CANCELLED do STATE_HEAD[state] = '\156' .. char(state) end
  PENDING_STATE = pending_pack(0, 0, 0, 0, '\0')
end

local function define(name, callback, ...)
  redis.register_function({
    function_name = 'gantry_' .. name,
    callback = function(keys, args)
      if not find then prepare() end
      return callback(keys, args)
    end,
    flags = { ... },
  })
end
