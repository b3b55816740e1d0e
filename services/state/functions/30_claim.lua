-- Claim: bodies and states of all entries are read together; entries that no longer hold are dropped here, never searched for.

do -- what follows is this file's own: one chunk has room for 200 locals

local FIRST_RUN = '\206\0\0\0\0\206\0\0\0\1\206\0\0\0\0\206\0\0\0\0' -- the counters

local POPS_MAX = 4096 -- entries one claim looks at: a queue full of cancelled ones must not block Redis
local HANDOUT = 3     -- values that the reply has of each
local INDEX = {}      -- the last four bytes of a lease token, by the handout's place in its call
local SIBLINGS_MAX = 8388608 -- bytes of other stages that one claim answers with;
local LOOK_BYTES = 64        -- looking one up counts as so many

local function index_of(n)
  local packed = INDEX[n]
  if not packed then
    packed = pack('>I4', n)
    INDEX[n] = packed
  end
  return packed
end

-- An entry of a stage that has a state: its field and body, its counters for the reply and the hold, its checkpoint; nil: it no longer
-- holds.
local function again(P, entry)
  local field, generation = entry_parts(entry)
  local body = field and call('HGET', P .. 'bodies', field)
  local packed = body and call('HGET', P .. 'states', field)
  if not packed or not state_good(packed) or state_of(packed) ~= PENDING or state_generation(packed) ~= generation then return end
  local now, attempt, failures, crashes = state_counters(packed)
  return field, body, counters_pack(now, attempt + 1, failures, crashes), call('HGET', P .. 'checkpoints', field) or ''
end

-- A stage that refers to others: its rest, and behind it name and packed state of each other stage of its task that has one, or
-- that its body names.  Empty: there were too many in this call.
local function with_siblings(claim, field, body, rest)
  if claim.siblings >= SIBLINGS_MAX then return {} end
  local P, own = claim.P, match(field, '[^/]+$')
  local id = sub(field, 1, -#own - 1)
  claim.nodes = claim.nodes or redis.pcall('HKEYS', P .. 'nodes')
  local fields, found, bytes = {}, { rest }, LOOK_BYTES * #claim.nodes
  for i, name in ipairs(claim.nodes) do fields[i] = id .. name end
  local states = #fields > 0 and get_many(P .. 'states', fields) or {}
  for i, name in ipairs(claim.nodes) do
    local packed = states[i]
    if not packed and find(body, name, 1, true) and call('HEXISTS', P .. 'bodies', fields[i]) == 1 then packed = PENDING_STATE end
    if packed and name ~= own then
      found[#found + 1] = name
      found[#found + 1] = packed
      bytes = bytes + #packed
    end
  end
  claim.siblings = claim.siblings + bytes
  return found
end

-- Hands out the entries that still hold, drops the others.  Fills reply, holds and moved.  The entry of a first run is its
-- field, so that most are found as they stand.
local function hand_out(claim, list, priority)
  local P, reply, holds, moved, count = claim.P, claim.reply, claim.holds, claim.moved, claim.count
  local bodies, states = get_many(P .. 'bodies', list), get_many(P .. 'states', list)
  local behind, times = char(priority) .. claim.session, claim.times
  local first, first_owned = '\0' .. FIRST_RUN .. behind, '\4' .. FIRST_RUN .. behind
  for i = 1, #list do
    local field, body = list[i], bodies[i]
    local head, rest, flagged = first, '', true
    if not body or states[i] then -- a later run, or one that was put off before its first
      local counters, checkpoint
      field, body, counters, checkpoint = again(P, field)
      if field then head, rest = (body_owned(body) and '\4' or '\0') .. counters .. behind, counters .. checkpoint end
    else
      flagged = byte(body, 10) ~= 0
      if flagged and body_owned(body) then head = first_owned end
    end
    if field then
      if flagged and body_flag(body, FLAG_REFERS) then rest = with_siblings(claim, field, body, rest) end
      if flagged and body_flag(body, FLAG_CREATED) then head = hold_flagged(head, HOLD_CREATED); change_created(claim, field, RUNNING) end
      local r = 2 + HANDOUT * count
      holds[2 * count + 1], holds[2 * count + 2] = field, head .. index_of(count) .. times
      reply[r + 1], reply[r + 2], reply[r + 3] = field, body, rest
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
      local list = redis.pcall('RPOP', queue, digits(asked))
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
  local adopts = #args == 9 and service == created.SERVICE
  if #args ~= 8 and not adopts then refuse('claim', 'number of arguments') end

  if call('SISMEMBER', P .. 'paused', service) == 1 then return { 0, args[7] } end
  local now = now_ms()
  if adopts then created.adopt(P, want, args[9], now) end
  local taken = { reply = { 0, args[7] }, holds = {}, moved = {}, count = 0, dropped = {}, siblings = 0, P = P,
    session = '\217 ' .. sid .. '\196\012' .. args[7], times = time_pack(now) .. '\207' .. pack('>I8', seq) }
  local looked = take(taken, service, want, lowest_first == 1 and LOWEST_FIRST or HIGHEST_FIRST)
  call_many('SREM', P .. 'stale', taken.dropped)
  if taken.count == 0 then
    if looked >= POPS_MAX or (adopts and looked > 0) then taken.reply[1] = 1 end -- what was dropped made room in the queue
    return taken.reply
  end

  call_many('HSET', P .. 'running:' .. sid, taken.holds)
  if taken.created then created.write(P, now, taken.created) end
  if call('ZADD', P .. 'sessions', 'NX', digits(now + lease), sid) == 1 and worker ~= '' then
    call('HSET', P .. 'workers', sid, worker)
  end
  local event = {}
  for _, piece in ipairs(pieces_of(taken.moved)) do
    event[#event + 1] = digits(RUNNING)
    event[#event + 1] = piece
  end
  event_add(P, now, taken.count, event)
  return taken.reply
end

define('claim', claim, 'allow-oom')

end
