-- Claim: one HMGET a task; entries that no longer hold are dropped here, never searched for.

do -- what follows is this file's own: one chunk has room for 200 locals

local POPS_MAX = 4096 -- entries one claim looks at: a queue full of cancelled ones must not block Redis
local HANDOUT = 9     -- values that the reply has of each
local INDEX = {}      -- the last four bytes of a lease token, by the handout's place in its call

local function index_of(n)
  local packed = INDEX[n]
  if not packed then
    packed = pack('>I4', n)
    INDEX[n] = packed
  end
  return packed
end

-- Hands out the entries that still hold, drops the others.  Fills reply and holds; returns how many.
local function hand_out(claim, list, priority)
  local reply, holds, moved, count, prefix, pcall = claim.reply, claim.holds, claim.moved, claim.count, claim.prefix, redis.pcall
  local first_hold, first_owned = '\0' .. char(priority) .. FIRST_RUN .. claim.times, '\4' .. char(priority) .. FIRST_RUN .. claim.times
  for i = 1, #list do
    local id, task, generation = match(list[i], '^([^/ ]+)/([^ ]+) (%d+)$')
    local found = id and pcall('HMGET', prefix .. id, task, task .. '.s')
    local body, packed = found and found[1], found and found[2]
    local attempt, hold
    local failures, crashes, checkpoint = 0, 0, ''
    if body and not packed then
      if generation == '0' then attempt, hold = 1, body_owned(body) and first_owned or first_hold end
    elseif body and state_good(packed) and state_of(packed) == PENDING and state_generation(packed) == tonumber(generation) then
      local now, before
      now, before, failures, crashes = state_counters(packed)
      attempt = before + 1
      hold = (body_owned(body) and '\4' or '\0') .. char(priority) .. counters_pack(now, attempt, failures, crashes) .. claim.times
      checkpoint = call('HGET', prefix .. id, task .. '.c') or ''
    end
    if hold then
      local token, field = claim.random .. index_of(count), id .. '/' .. task
      holds[2 * count + 1] = field
      holds[2 * count + 2] = token .. hold
      local r = HANDOUT * count + 1
      reply[r + 1], reply[r + 2], reply[r + 3], reply[r + 4], reply[r + 5] = id, task, token, attempt, tonumber(generation)
      reply[r + 6], reply[r + 7], reply[r + 8], reply[r + 9] = failures, crashes, body, checkpoint
      count = count + 1
      moved[count] = field
    else
      claim.dropped[#claim.dropped + 1] = list[i]
    end
  end
  claim.count = count
end

-- Takes what is there for this session, queue by queue.  Returns how many entries it looked at.
local function take(claim, service, want, order)
  local looked = 0
  for i = 1, 3 do
    local queue = queue_key(claim.P, service, order[i])
    while claim.count < want and looked < POPS_MAX do
      local asked = want - claim.count
      local list = redis.pcall('RPOP', queue, asked)
      if not list or list.err then break end -- empty, or no list: what was taken before must not be lost
      looked = looked + #list
      hand_out(claim, list, order[i])
      if #list < asked then break end
    end
  end
  return looked
end

local HIGHEST_FIRST, LOWEST_FIRST = { 1, 0, 2 }, { 2, 0, 1 }

local function claim(keys, args)
  local P = keys[1]
  local sid = session('claim', args[1])
  local service = service_name('claim', args[2])
  local want = whole('claim', 'n', args[3], 1, BATCH_MAX)
  local seq = whole('claim', 'seq', args[4], 0, 2 ^ 53)
  local lease = whole('claim', 'lease_ms', args[5], 1, 2 ^ 40)
  local lowest_first = whole('claim', 'lowest_first', args[6], 0, 1)
  if not args[7] or #args[7] ~= 8 then refuse('claim', 'token8') end
  local worker = text('claim', 'worker', args[8], 128)
  if #args ~= 8 then refuse('claim', 'number of arguments') end

  if call('SISMEMBER', P .. 'paused', service) == 1 then return { 0 } end
  local now = now_ms()
  local taken = { reply = { 0 }, holds = {}, moved = {}, count = 0, dropped = {}, P = P, prefix = P .. 'task:', random = args[7],
    times = pack('>I8', seq) .. time_pack(now) }
  local looked = take(taken, service, want, lowest_first == 1 and LOWEST_FIRST or HIGHEST_FIRST)
  call_many('SREM', P .. 'stale', taken.dropped)
  if taken.count == 0 then
    if looked >= POPS_MAX then taken.reply[1] = 1 end
    return taken.reply
  end

  call_many('HSET', P .. 'running:' .. sid, taken.holds)
  if call('ZADD', P .. 'sessions', 'NX', now + lease, sid) == 1 and worker ~= '' then
    call('HSET', P .. 'workers', sid, worker)
  end
  event_add(P, now, taken.count, { RUNNING, table.concat(taken.moved, ' ') })
  return taken.reply
end

define('claim', claim, 'allow-oom')

end
