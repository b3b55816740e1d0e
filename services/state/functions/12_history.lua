-- What a stage's earlier attempts came to, `histories`: bin 32 values, each the packed state of an attempt, oldest first.

local history_add, history_of_end

do -- what only they need

local HISTORY_MAX = 16
local HISTORY_TAIL_MAX = 65536 -- a longer tail (its worker said very much) is left out

-- `old` as Redis has it, or false; `packed`: a packed state and its tail.
history_add = function(old, packed)
  old = old or ''
  if #packed > STATE_SIZE + HISTORY_TAIL_MAX then packed = sub(packed, 1, STATE_SIZE) .. EMPTY_MAP end
  local starts, at = {}, 1
  while at + 4 <= #old and byte(old, at) == 0xc6 do
    starts[#starts + 1] = at
    at = at + 5 + unpack_bytes('>I4', old, at + 1)
  end
  if at ~= #old + 1 then starts, old = {}, '' end -- not what these functions write
  local first = starts[#starts - HISTORY_MAX + 2] or 1
  return sub(old, first) .. '\198' .. pack('>I4', #packed) .. packed
end

-- A stage runs again after its end: if that was an attempt's, it goes to the history.
history_of_end = function(change, field, packed)
  local state = state_of(packed)
  local attempt = (state == FAILED or state == QUARANTINED or state == CANCELLED) and state_token(packed) ~= NO_TOKEN
  if attempt then change_history(change, field, history_add(call('HGET', change.prefix .. 'histories', field), packed)) end
end

end
