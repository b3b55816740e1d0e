-- Claim: one HMGET a task; entries that no longer hold are dropped here, never searched for.

local POPS_MAX = 4096 -- entries one claim looks at: a queue full of cancelled ones must not block Redis
local INDEX = {}      -- the last four bytes of a lease token, by the handout's place in its call

local function index_of(n)
  local packed = INDEX[n]
  if not packed then
    packed = pack('>I4', n)
    INDEX[n] = packed
  end
  return packed
end

-- Hands out the entries that still hold.  Fills reply and holds; returns how many.
local function hand_out(claim, list, priority)
  local reply, holds, count, prefix, pcall = claim.reply, claim.holds, claim.count, claim.prefix, redis.pcall
  local first_hold = '\0' .. char(priority) .. FIRST_RUN .. claim.times
  for i = 1, #list do
    local id, task, generation = match(list[i], '^([^/ ]+)/([^ ]+) (%d+)$')
    local found = id and pcall('HMGET', prefix .. id, task, task .. '.s')
    local body, packed = found and found[1], found and found[2]
    local attempt, hold
    if body and not packed then
      if generation == '0' then attempt, hold = 1, first_hold end
    elseif body and state_good(packed) and state_of(packed) == PENDING and state_generation(packed) == tonumber(generation) then
      local now, before, failures, crashes = state_counters(packed)
      attempt = before + 1
      hold = '\0' .. char(priority) .. counters_pack(now, attempt, failures, crashes) .. claim.times
    end
    if hold then
      local token = claim.random .. index_of(count)
      holds[2 * count + 1] = id .. '/' .. task
      holds[2 * count + 2] = token .. hold
      local r = 6 * count + 1
      reply[r + 1], reply[r + 2], reply[r + 3] = id, task, token
      reply[r + 4], reply[r + 5], reply[r + 6] = attempt, tonumber(generation), body
      count = count + 1
    end
  end
  claim.count = count
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

  local now = now_ms()
  local taken = { reply = { 0 }, holds = {}, count = 0, prefix = P .. 'task:', random = args[7], times = pack('>I8', seq) .. time_pack(now) }
  local order = lowest_first == 1 and LOWEST_FIRST or HIGHEST_FIRST
  local looked = 0
  for i = 1, 3 do
    local queue = P .. 'queue:' .. service .. ':' .. PRIORITY_NAMES[order[i]]
    while taken.count < want and looked < POPS_MAX do
      local asked = want - taken.count
      local list = call('RPOP', queue, asked)
      if not list then break end
      looked = looked + #list
      hand_out(taken, list, order[i])
      if #list < asked then break end
    end
  end
  if taken.count == 0 then
    if looked >= POPS_MAX then taken.reply[1] = 1 end
    return taken.reply
  end

  call_many('HSET', P .. 'running:' .. sid, taken.holds)
  if call('ZADD', P .. 'sessions', 'NX', now + lease, sid) == 1 and worker ~= '' then
    call('HSET', P .. 'workers', sid, worker)
  end
  return taken.reply
end

define('claim', claim, 'allow-oom')
