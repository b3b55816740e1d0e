-- Tasks that CreateTask makes: a HASH `task:<id>` with the task service's seven fields, and the id in the LIST `task:pending`.
-- One is external, held by whoever takes it from the list, until a claim of ours makes a stage of it (28_created.lua).  That
-- stage has a flag, and what becomes of it is told in the HASH by the same call.

created.SERVICE, created.TASK, created.PENDING = 'video', 'video.process', 'task:pending'

do -- what follows is this file's own: one chunk has room for 200 locals

local TEXT_MOST, WORD_MOST = 4096, 64
local ID, ID_MOST = '^%w[%w._-]*$', 128
local DAY_S = 86400
local USUAL_LIMITS = '\204\3\205\0\5\206\0\0\0\0' -- crashes_max, failures_max, retry_ms, as in a body
local FIELDS = { 'status', 'original_file_path', 'result_file_path', 'error_message', 'created_at', 'updated_at' }

local STATUS = { [PENDING] = 'PENDING', [SCHEDULED] = 'PENDING', [RUNNING] = 'PROCESSING', [CANCELLING] = 'PROCESSING',
  [COMPLETED] = 'COMPLETED', [SKIPPED] = 'COMPLETED', [FAILED] = 'FAILED', [QUARANTINED] = 'FAILED', [CANCELLED] = 'FAILED' }
local STATE = { PENDING = PENDING, PROCESSING = RUNNING, COMPLETED = COMPLETED, FAILED = FAILED }
local FLAG_EXTERNAL = 16 -- of a body that is in answers only
local CANCELLED_TEXT = 'cancelled' -- the task service knows no such state: it has failed, and says this

created.key = function(P, id) return P .. 'task:' .. id end

-- As task_id_valid() has it: what outsiders write may be called anything, and no message could carry that.
created.id = function(id)
  return id and #id <= ID_MOST and id ~= 'pending' and find(id, ID) and not find(id, '..', 1, true)
end

-- RFC 3339, UTC.  Years begin in March here, so that a leap day is their last.
created.time = function(ms)
  local s = floor(ms / 1000)
  local days = floor(s / DAY_S) + 719468 -- since 0000-03-01
  local era = floor(days / 146097)
  local of_era = days - era * 146097
  local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
  local of_year = of_era - 365 * year - floor(year / 4) + floor(year / 100)
  local month = floor((5 * of_year + 2) / 153)
  local day = of_year - floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  s = s % DAY_S
  return string.format('%04d-%02d-%02dT%02d:%02d:%02dZ', year + 400 * era + (month <= 2 and 1 or 0), month, day,
    floor(s / 3600), floor(s / 60) % 60, s % 60)
end

-- The other way; 0: it is none.
created.ms = function(said)
  local y, m, d, h, min, s, zone = match(said, '^(%d%d%d%d)%-(%d%d)%-(%d%d)[Tt ](%d%d):(%d%d):(%d%d)%.?%d*(.*)$')
  local sign, zone_h, zone_min = match(zone or '', '^([+-])(%d%d):(%d%d)$')
  if not y or not (sign or zone == 'Z' or zone == 'z') then return 0 end
  m = tonumber(m)
  local year = m <= 2 and y - 1 or tonumber(y)
  local era = floor(year / 400)
  local of_year = floor((153 * (m > 2 and m - 3 or m + 9) + 2) / 5) + d - 1
  local of_era = year - era * 400
  local days = era * 146097 + of_era * 365 + floor(of_era / 4) - floor(of_era / 100) + of_year - 719468
  local ahead = sign and (sign == '+' and 1 or -1) * (zone_h * 3600 + zone_min * 60) or 0
  return math.max(0, (days * DAY_S + h * 3600 + min * 60 + s - ahead) * 1000)
end

-- Bytes of the character there, nil: it is none (RFC 3629).
local function character(s, at)
  local first, second = byte(s, at, at + 1)
  local size = first >= 0xf0 and first <= 0xf4 and 4 or first >= 0xe0 and first < 0xf0 and 3 or first >= 0xc2 and first < 0xe0 and 2
  local least = first == 0xe0 and 0xa0 or first == 0xf0 and 0x90 or 0x80
  local most = first == 0xed and 0x9f or first == 0xf4 and 0x8f or 0xbf
  if not size or not second or second < least or second > most then return end
  return find(sub(s, at + 2, at + size - 1), '^[\128-\191]*$') and at + size - 1 <= #s and size or nil
end

local function clean_run(run)
  local parts, at = {}, 1
  while at <= #run do
    local size = character(run, at)
    parts[#parts + 1] = size and sub(run, at, at + size - 1) or '?'
    at = at + (size or 1)
  end
  return table.concat(parts)
end

-- What outsiders write may be anything: made fit for a message, and no longer than it may be there.
created.said = function(said, most)
  if type(said) ~= 'string' then return '' end
  return (string.gsub(string.gsub(sub(said, 1, most), '%z', '?'), '[\128-\255]+', clean_run))
end

-- limits: ten bytes, as in a body.
created.body = function(ms, flags, limits, path, token)
  return time_pack(ms) .. char(flags) .. limits .. cmsgpack.pack({ input = { video_path = path }, priority = 'normal' }) .. '\196\16' .. token
end

-- The HASH as status, original, result, error, created, updated, all fit for a message; nil: there is none.
created.hash = function(P, id)
  local said = redis.pcall('HMGET', created.key(P, id), unpack(FIELDS))
  if said.err or not (said[1] or said[2]) then return end
  local status, original, result = created.said(said[1], WORD_MOST), created.said(said[2], TEXT_MOST), created.said(said[3], TEXT_MOST)
  return { status, original, result, created.said(said[4], TEXT_MOST), created.said(said[5], WORD_MOST), created.said(said[6], WORD_MOST) }
end

local function map_of(packed)
  local good, map = pcall(cmsgpack.unpack, packed)
  return good and type(map) == 'table' and map or {}
end

-- Its result, of whatever output it has: the first path in the order of their names stands in.
local function result_of(tail)
  local output, best = map_of(tail).output, nil
  if type(output) ~= 'table' then return '' end
  if type(output.result_file_path) == 'string' then return output.result_file_path end
  for name, value in pairs(output) do
    if type(name) == 'string' and type(value) == 'string' and find(name, '_path$') and (not best or name < best) then best = name end
  end
  return best and output[best] or ''
end

local function error_of(state, tail)
  if state == CANCELLED then return CANCELLED_TEXT end
  local fault = map_of(tail).error
  return type(fault) == 'table' and type(fault.message) == 'string' and fault.message or 'failed'
end

-- Nothing here may fail, for the call has written already; and what an outsider has removed stays so.
created.write = function(P, now, list)
  local at = created.time(now)
  for _, one in ipairs(list) do
    local key, state, tail = created.key(P, one[1]), one[2], one[3]
    if length('HLEN', key) > 0 then
      redis.pcall('HSET', key, 'status', STATUS[state],
        'result_file_path', (state == COMPLETED or state == SKIPPED) and result_of(tail) or '',
        'error_message', state >= FAILED and error_of(state, tail) or '', 'updated_at', at)
    end
  end
end

local function external_tail(state, said)
  local tail = { worker = 'external' }
  if state == PENDING then return EMPTY_MAP end
  if state == COMPLETED then tail.output = { result_file_path = said[3] } end
  if state == FAILED and said[4] ~= CANCELLED_TEXT then tail.error = { code = 'FAILED', message = said[4] } end
  return cmsgpack.pack(tail)
end

-- The stage of a task that an outside processor has, as one of ours would read; nil: there is no such task.  A status that is
-- none of the four is that of somebody who is at work.
created.external = function(P, id)
  local said = created.hash(P, id)
  if not said then return end
  local state = STATE[said[1]] or RUNNING
  local at = time_pack(created.ms(said[6]))
  local tail = external_tail(state, said)
  if state == FAILED and said[4] == CANCELLED_TEXT then state = CANCELLED end
  local packed = state_pack(state, counters_pack(0, state == PENDING and 0 or 1, 0, 0), NO_TOKEN, NO_SESSION, state == RUNNING and at or NOT_STARTED,
    terminal(state) and at or NOT_STARTED, '\0') .. tail
  local body = created.body(created.ms(said[5]), FLAG_CREATED + FLAG_EXTERNAL, USUAL_LIMITS, said[2], NO_TOKEN .. '\0\0\0\0')
  return { id, created.TASK, body, packed, external = true }
end

-- What stages_of() found, and with it that stage, where it is asked for and none of ours.
created.with_external = function(P, id, task, stages)
  if task ~= '' and task ~= created.TASK then return stages end
  for _, stage in ipairs(stages) do
    if stage[2] == created.TASK then return stages end
  end
  local outside = created.external(P, id)
  if not outside then return stages end
  local with = { outside, unpack(stages) }
  table.sort(with, function(a, b) return a[2] < b[2] end)
  return with
end

end

-- The stage is one that CreateTask made, and came into this state; tail: of an end.
local function change_created(change, field, state, tail)
  local list = change_list(change, 'created')
  list[#list + 1] = { match(field, '^[^/]+'), state, tail }
end
