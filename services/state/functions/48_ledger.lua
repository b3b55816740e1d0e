-- The ledger: everything accepted, and where all of it is at this instant.

do

local COUNTED = { 'accepted', 'completed', 'skipped', 'failed', 'quarantined', 'cancelled', 'retries', 'crashes', 'requeues',
  'audits', 'audited_ms', 'audited', 'repaired' }

local function pending_count(P)
  local entries = -call('SCARD', P .. 'stale')
  for _, service in ipairs(call('SMEMBERS', P .. 'queues')) do
    for priority = 0, 2 do entries = entries + length('LLEN', queue_key(P, service, priority)) end
  end
  return entries
end

local function running_count(P)
  local held = 0
  for _, sid in ipairs(call('ZRANGE', P .. 'sessions', 0, -1)) do held = held + length('HLEN', P .. 'running:' .. sid) end
  return held
end

local function ledger(keys)
  local P, is = keys[1], {}
  local found = call('HMGET', P .. 'ledger', unpack(COUNTED))
  for i, name in ipairs(COUNTED) do is[name] = tonumber(found[i] or 0) end
  is.scheduled = call('ZCARD', P .. 'timers')
  is.pending = pending_count(P)
  is.running = running_count(P)
  is.dead = call('ZCARD', P .. 'dead')
  is.seq = tonumber(call('GET', P .. 'events_seq') or 0)
  local sum = is.completed + is.skipped + is.failed + is.quarantined + is.cancelled + is.scheduled + is.pending + is.running
  is.balanced = is.accepted == sum and 1 or 0
  local reply = {}
  for name, value in pairs(is) do
    reply[#reply + 1] = name
    reply[#reply + 1] = value
  end
  return reply
end

define('ledger', ledger, 'no-writes')

end
