-- Sessions that end: bye, and sweep for those whose lease ran out.

do -- what follows is this file's own: one chunk has room for 200 locals

local SWEEP_GAP_MS = 900    -- several state services sweep each second; one of them is enough
local SWEEP_AWAY_MS = 3000  -- no sweep for so long: Redis or all state services were away, not the workers;
local SWEEP_LATE_MS = 1500  -- of a short lease half of it will do, but no less than this: sweeps come each second
local SWEEP_SHARE = 0.2     -- of the sessions may expire in a sweep: more at once looks like a broker's outage
local SWEEP_STAGES_MAX = 2048 -- released in one sweep, so that Redis is not held up; those still due come a second later

local function bye(keys, args)
  local sid = session('bye', args[1])
  if #args ~= 1 then refuse('bye', 'number of arguments') end
  local change = change_new(keys[1], now_ms())
  session_end(change, sid, false)
  change_write(change)
  return { change.counts.requeues or 0, change.ended }
end

local function extend(P, sids, lease_end)
  local list = {}
  for _, sid in ipairs(sids) do
    list[#list + 1] = lease_end
    list[#list + 1] = sid
  end
  call_many('ZADD', P .. 'sessions', list)
end

local function sweep(keys, args)
  local P = keys[1]
  local lease = whole('sweep', 'lease_ms', args[1], 1, 2 ^ 40)
  if #args ~= 1 then refuse('sweep', 'number of arguments') end
  local now = now_ms()
  local last = tonumber(call('GET', P .. 'swept_at') or nil)
  if last and now >= last and now - last < SWEEP_GAP_MS then return { 0, 0, 0, 0, 0 } end
  call('SET', P .. 'swept_at', now)
  -- what is left of a lease after an outage must be enough for the next heartbeat
  local away = math.max(SWEEP_LATE_MS, math.min(SWEEP_AWAY_MS, lease / 2))
  if not last or now < last or now - last > away then
    local all = call('ZRANGE', P .. 'sessions', 0, -1)
    extend(P, all, now + lease)
    return { 2, 0, #all, 0, 0 }
  end

  local due = call('ZRANGEBYSCORE', P .. 'sessions', '-inf', now)
  if #due == 0 then return { 1, 0, 0, 0, 0 } end
  local may = math.max(1, floor(call('ZCARD', P .. 'sessions') * SWEEP_SHARE))
  local change = change_new(P, now)
  local expired, stages, later = 0, 0, {}
  for _, sid in ipairs(due) do
    if call('EXISTS', P .. 'running:' .. sid) == 0 then
      session_end(change, sid, true) -- holds nothing, so nobody is harmed: not counted
      expired = expired + 1
    elseif may == 0 then
      later[#later + 1] = sid
    else
      may = may - 1
      if stages < SWEEP_STAGES_MAX then
        stages = stages + session_end(change, sid, true)
        expired = expired + 1
      end
    end
  end
  extend(P, later, now + lease)
  change_write(change)
  return { 1, expired, #later, change.counts.requeues or 0, change.ended }
end

define('bye', bye, 'allow-oom')
define('sweep', sweep, 'allow-oom')

end
