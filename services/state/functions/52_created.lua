-- How a created task is, in the task service's words; any other as its record says, which C puts into them.

do -- what follows is this file's own: one chunk has room for 200 locals

local function task_status(keys, args)
  if #args ~= 1 then refuse('task_status', 'number of arguments') end
  local said = created.hash(keys[1], args[1])
  if not said then return get(keys, { '1', args[1], '' }) end
  return { 'hash', said[1], said[3], said[4], said[5], said[6] }
end

define('task_status', task_status, 'no-writes')

end
