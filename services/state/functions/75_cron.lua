-- Schedules: packed definitions that only C reads, and when each is due next.  A slot fires once, however many state
-- services ask: the score in cron_due is the slot that has not fired.

do
  local SUBMIT_ONE = 8 -- arguments of a submit of one task
  local DEFINITION_MAX = 65536
  local CRONS_MAX = 1000 -- so that all of them fit into an answer

  local function cron_name(name, value)
    if not value or #value > 64 or not find(value, '^[%l%d][%l%d_-]*$') then refuse(name, 'name') end
    return value
  end

  -- '' = never again
  local function next_slot(name, value)
    if value == '' then return nil end
    return whole(name, 'next_ms', value, 1, 2 ^ 53)
  end

  local function plan(P, name, slot)
    if not slot then
      call('ZREM', P .. 'cron_due', name)
      return
    end
    local due = arm(P, 'cron_due', { slot, name })
    if due < math.huge then event_add(P, now_ms(), 0, { 't', due }) end
  end

  local function cron_set(keys, args)
    local P = keys[1]
    local name = cron_name('cron_set', args[1])
    local slot = next_slot('cron_set', args[3])
    if #args ~= 3 then refuse('cron_set', 'number of arguments') end
    if args[2] == '' or #args[2] > DEFINITION_MAX then refuse('cron_set', 'packed') end
    if call('HLEN', P .. 'crons') >= CRONS_MAX and call('HEXISTS', P .. 'crons', name) == 0 then return -1 end
    local new = call('HSET', P .. 'crons', name, args[2])
    plan(P, name, slot)
    return new
  end

  local function cron_remove(keys, args)
    local P = keys[1]
    local name = cron_name('cron_remove', args[1])
    if #args ~= 1 then refuse('cron_remove', 'number of arguments') end
    call('ZREM', P .. 'cron_due', name)
    call('HDEL', P .. 'cron_last', name)
    return call('HDEL', P .. 'crons', name)
  end

  -- All, or one by its name.
  local function crons(keys, args)
    local P = keys[1]
    local flat = {}
    if #args == 0 then
      flat = call('HGETALL', P .. 'crons')
    else
      local packed = call('HGET', P .. 'crons', cron_name('crons', args[1]))
      if packed then flat = { args[1], packed } end
    end
    local reply = {}
    for i = 1, #flat, 2 do
      local r = #reply
      reply[r + 1], reply[r + 2] = flat[i], flat[i + 1]
      reply[r + 3] = tonumber(call('ZSCORE', P .. 'cron_due', flat[i]) or 0)
      reply[r + 4] = tonumber(call('HGET', P .. 'cron_last', flat[i]) or 0)
    end
    return reply
  end

  -- Without a task the slot is passed over; so is one whose task was refused (the queue is full): the next may do better.
  local function cron_fire(keys, args)
    local P = keys[1]
    local name = cron_name('cron_fire', args[1])
    local slot = whole('cron_fire', 'slot', args[2], 1, 2 ^ 53)
    local after = next_slot('cron_fire', args[3])
    if after and after <= slot then refuse('cron_fire', 'next_ms') end
    if #args ~= 3 and #args ~= 3 + SUBMIT_ONE then refuse('cron_fire', 'number of arguments') end
    if tonumber(call('ZSCORE', P .. 'cron_due', name) or nil) ~= slot then return { 0, OK, PENDING, MISS } end
    local answer = args[4] and submit(keys, { unpack(args, 4) }) or { OK, PENDING, MISS }
    plan(P, name, after)
    if answer == 1 then answer = { OK, PENDING, MISS } end
    if not args[4] or answer[1] ~= OK then return { 0, unpack(answer) } end
    call('HSET', P .. 'cron_last', name, slot)
    return { 1, unpack(answer) }
  end

  define('cron_set', cron_set)
  define('cron_remove', cron_remove, 'allow-oom')
  define('crons', crons, 'no-writes')
  define('cron_fire', cron_fire)
end
