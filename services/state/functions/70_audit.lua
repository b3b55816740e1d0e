-- The audit's slices, and the examination that repairs.  A stage that waits is held by exactly one of: a queue entry of
-- its generation, a timers member of its generation, a session.  See README.md for how they are walked.

do
  local COUNT_MAX = 10000
  local WALK_MS = 30000         -- a walker that says nothing for so long has lost the right to walk
  local ORPHAN_LEASE_MS = 10000 -- several heartbeats: the worker may be alive
  local SCAN_STEP, SCAN_BYTES = 16, 1048576 -- fields read at a time, and bytes of bodies in one call
  local SEARCH_MAX = 200000     -- queue entries looked at from each end
  local FINE, PUT_BACK, FREED, UNDECIDED = 0, 1, 2, 3
  local NONE_SEEN, ASTRAY = 0, 1 -- else: more than one

  local function holder_name(name, value)
    if not value or value == '' or #value > 128 then refuse(name, 'holder') end
    return value
  end

  local function cursor_text(name, value)
    if not value or #value > 20 or not find(value, '^%d+$') then refuse(name, 'cursor') end
    return value
  end

  local function audit_begin(keys, args)
    local P = keys[1]
    local holder = holder_name('audit_begin', args[1])
    local interval = whole('audit_begin', 'interval_ms', args[2], 0, 2 ^ 53)
    if #args ~= 2 then refuse('audit_begin', 'number of arguments') end
    local walker = call('GET', P .. 'audit_by')
    if walker and walker ~= holder then return 0 end
    local asked = 0
    if not walker then
      local now, last = now_ms(), tonumber(call('HGET', P .. 'ledger', 'audited_ms') or nil)
      local due = not last or now < last or now - last >= interval
      if not due and call('EXISTS', P .. 'audit_asked') == 0 then return 0 end
      asked = call('DEL', P .. 'audit_asked')
    end
    call('SET', P .. 'audit_by', holder, 'PX', WALK_MS)
    return 1 + asked
  end

  local function audit_done(keys, args)
    local P = keys[1]
    local holder = holder_name('audit_done', args[1])
    local looked = whole('audit_done', 'looked_at', args[2], 0, 2 ^ 53)
    if #args ~= 2 then refuse('audit_done', 'number of arguments') end
    if call('GET', P .. 'audit_by') ~= holder then return 0 end
    call('DEL', P .. 'audit_by')
    call('HINCRBY', P .. 'ledger', 'audits', 1)
    call('HSET', P .. 'ledger', 'audited', looked, 'audited_ms', now_ms())
    return 1
  end

  local function audit_ask(keys)
    return call('SETNX', keys[1] .. 'audit_asked', '1')
  end

  -- slices

  -- Adds those of these stages that wait.
  local function add_waiting(P, reply, fields)
    local states = #fields > 0 and get_many(P .. 'states', fields) or {}
    for i, field in ipairs(fields) do
      local packed = states[i]
      local state = packed and (state_good(packed) and state_of(packed) or CANCELLED) or PENDING
      if state == PENDING or state == SCHEDULED then
        local r = #reply
        reply[r + 1], reply[r + 2], reply[r + 3] = field, state, packed and state_generation(packed) or 0
      end
    end
  end

  local function audit_stages(keys, args)
    local P = keys[1]
    local cursor = cursor_text('audit_stages', args[1])
    local count = whole('audit_stages', 'count', args[2], 1, COUNT_MAX)
    if #args ~= 2 then refuse('audit_stages', 'number of arguments') end
    local reply, fields, looked, bytes = { cursor, 0 }, {}, 0, 0
    repeat -- bodies come with their fields, and may be large
      local page = call('HSCAN', P .. 'bodies', reply[1], 'COUNT', math.min(count, SCAN_STEP))
      local flat = page[2]
      for i = 1, #flat, 2 do
        looked, bytes = looked + 1, bytes + #flat[i + 1]
        if find(flat[i], FIELD) then fields[#fields + 1] = flat[i] end
      end
      reply[1] = page[1]
    until page[1] == '0' or looked >= count or bytes >= SCAN_BYTES
    add_waiting(P, reply, fields)
    reply[2] = looked
    return reply
  end

  -- What a session holds whose lease is nowhere: given one that ends soon, so that the sweep sees to it.
  local function audit_sessions(keys)
    local P, now = keys[1], now_ms()
    for _, sid in ipairs(call('HKEYS', P .. 'workers')) do
      if #sid == 32 and not find(sid, '[^%da-f]') and call('EXISTS', P .. 'running:' .. sid) == 1 then
        call('ZADD', P .. 'sessions', 'NX', now + ORPHAN_LEASE_MS, sid)
      end
    end
    return call('ZRANGE', P .. 'sessions', 0, -1)
  end

  local function audit_held(keys, args)
    local sid = session('audit_held', args[1])
    local cursor = cursor_text('audit_held', args[2])
    local count = whole('audit_held', 'count', args[3], 1, COUNT_MAX)
    if #args ~= 3 then refuse('audit_held', 'number of arguments') end
    local page = redis.pcall('HSCAN', keys[1] .. 'running:' .. sid, cursor, 'COUNT', count)
    if page.err then return { '0' } end
    local reply, flat = { page[1] }, page[2]
    for i = 1, #flat, 2 do
      if find(flat[i], FIELD) and #flat[i + 1] >= HOLD_SIZE then
        reply[#reply + 1] = flat[i]
        reply[#reply + 1] = (hold_numbers(flat[i + 1]))
      end
    end
    return reply
  end

  local function audit_timers(keys, args)
    local cursor = cursor_text('audit_timers', args[1])
    local count = whole('audit_timers', 'count', args[2], 1, COUNT_MAX)
    if #args ~= 2 then refuse('audit_timers', 'number of arguments') end
    local page = call('ZSCAN', keys[1] .. 'timers', cursor, 'COUNT', count)
    local reply, flat = { page[1] }, page[2]
    for i = 1, #flat, 2 do reply[#reply + 1] = flat[i] end
    return reply
  end

  local function audit_queues(keys)
    return call('SMEMBERS', keys[1] .. 'queues')
  end

  local function audit_queue(keys, args)
    local service = service_name('audit_queue', args[1])
    local priority = whole('audit_queue', 'priority', args[2], 0, 2)
    local start = whole('audit_queue', 'start', args[3], 0, 2 ^ 40)
    local count = whole('audit_queue', 'count', args[4], 1, COUNT_MAX)
    if #args ~= 4 then refuse('audit_queue', 'number of arguments') end
    local key = queue_key(keys[1], service, priority)
    local length = redis.pcall('LLEN', key)
    if type(length) ~= 'number' then return { 0 } end
    local reply = call('LRANGE', key, start, start + count - 1)
    table.insert(reply, 1, length)
    return reply
  end

  -- the examination

  -- { field, id, task, body, packed, state, generation }, or nil: no stage
  local function suspect_read(P, field)
    local id, task = match(field, FIELD)
    local body, packed = call('HGET', P .. 'bodies', field), call('HGET', P .. 'states', field)
    if not body or (packed and not state_good(packed)) then return nil end
    return { field = field, id = id, task = task, body = body, packed = packed, state = packed and state_of(packed) or PENDING,
      generation = packed and state_generation(packed) or 0 }
  end

  -- All who hold the field, each { sid, generation, hold }.
  local function holders(P, field)
    local list = {}
    for _, sid in ipairs(call('ZRANGE', P .. 'sessions', 0, -1)) do
      local hold = redis.pcall('HGET', P .. 'running:' .. sid, field)
      if type(hold) == 'string' and #hold >= HOLD_SIZE then list[#list + 1] = { sid, (hold_numbers(hold)), hold } end
    end
    return list
  end

  -- How often a queue has the entry, and whether all of it was looked at.
  local function search(key, entry)
    local length = redis.pcall('LLEN', key)
    if type(length) ~= 'number' then return 0, false end
    if length == 0 then return 0, true end
    local count = #call('LPOS', key, entry, 'RANK', -1, 'COUNT', 0, 'MAXLEN', SEARCH_MAX)
    local rest = math.min(SEARCH_MAX, length - SEARCH_MAX)
    if rest > 0 then count = count + #call('LPOS', key, entry, 'COUNT', 0, 'MAXLEN', rest) end
    return count, length <= 2 * SEARCH_MAX
  end

  -- In its three queues: priority -> count, the sum, whether all was looked at.  any: one is enough.
  local function entries_of(P, stage, any)
    local service, entry = match(stage.task, '^[^.]+'), entry_of(stage.field, stage.generation)
    local counts, total, whole_seen = {}, 0, true
    for _, priority in ipairs(priorities_of(stage.body, stage.packed)) do
      local count, seen = search(queue_key(P, service, priority), entry)
      counts[priority], total, whole_seen = count, total + count, whole_seen and seen
      if any and total > 0 then break end
    end
    return counts, total, whole_seen
  end

  -- Removes what holds, all of it or only what is of this generation.  Returns how many.
  local function free(P, field, generation, list)
    local removed = 0
    for _, held in ipairs(list) do
      if not generation or held[2] == generation then
        removed = removed + call('HDEL', P .. 'running:' .. held[1], field)
      end
    end
    return removed
  end

  local function repaired(P)
    call('HINCRBY', P .. 'ledger', 'repaired', 1)
  end

  local function due_of(packed, now)
    local good, tail = pcall(cmsgpack.unpack, sub(packed, STATE_SIZE + 1))
    local due = good and type(tail) == 'table' and tonumber(tail.due_ms)
    return due and due > 0 and due < 2 ^ 53 and due or now
  end

  local function put_back(P, stage)
    local change = change_new(P, now_ms())
    if stage.state == SCHEDULED then
      change_schedule(change, stage.field, stage.generation, due_of(stage.packed, change.now))
    else
      local packed = stage.packed or PENDING_STATE
      local generation, attempt, failures, crashes = state_counters(packed)
      local priority = char(priorities_of(stage.body, stage.packed)[1])
      change_state(change, stage.field, pending_pack(generation + 1, attempt, failures, crashes, priority, state_started(packed)))
      change_requeue(change, stage.field, generation + 1, priority)
    end
    change_count(change, 'repaired')
    if body_flag(stage.body, FLAG_CREATED) then change_created(change, stage.field, stage.state) end
    change_write(change)
    return PUT_BACK
  end

  -- Nothing was seen that holds it: the first holder found ends the search.
  local function fix_none(P, stage, member)
    local list = holders(P, stage.field)
    for _, held in ipairs(list) do
      if held[2] == stage.generation then return FINE end
    end
    if stage.state == SCHEDULED then
      if call('ZSCORE', P .. 'timers', member) then return FINE end
    else
      local _, total, seen = entries_of(P, stage, true)
      if total > 0 then return FINE end
      if not seen then return UNDECIDED end
    end
    free(P, stage.field, nil, list) -- of another generation: its worker must not end what runs again
    return put_back(P, stage)
  end

  -- The session that keeps the stage: the newer attempt, then the later start.
  local function keeper(list, generation)
    local best, best_attempt, best_start
    for _, held in ipairs(list) do
      local _, attempt = hold_numbers(held[3])
      local start = hold_started_ms(held[3])
      local newer = not best or attempt > best_attempt or (attempt == best_attempt and start > best_start)
      if held[2] == generation and newer then best, best_attempt, best_start = held, attempt, start end
    end
    return best
  end

  -- Leaves one entry, the next out, of the stage's own priority if it has one there; or none.  Returns how many it removed.
  local function thin(P, stage, counts, keep)
    local service, entry, removed = match(stage.task, '^[^.]+'), entry_of(stage.field, stage.generation), 0
    for _, priority in ipairs(priorities_of(stage.body, stage.packed)) do
      local count = counts[priority]
      local leave = keep and count > 0 and 1 or 0
      if leave > 0 then keep = false end
      if count > leave then
        -- 0 = all of them, those too that lie deeper than was looked
        removed = removed + call('LREM', queue_key(P, service, priority), leave > 0 and count - leave or 0, entry)
      end
    end
    return removed
  end

  local function fix_many(P, stage, member)
    local list = holders(P, stage.field)
    local best, removed = keeper(list, stage.generation), 0
    for _, held in ipairs(list) do
      if held ~= best then removed = removed + call('HDEL', P .. 'running:' .. held[1], stage.field) end
    end
    local timed = call('ZSCORE', P .. 'timers', member)
    if timed and (best or stage.state == PENDING) then removed = removed + call('ZREM', P .. 'timers', member) end
    local counts, total, seen = entries_of(P, stage)
    if total > 0 then removed = removed + thin(P, stage, counts, not best and stage.state == PENDING) end

    local held = best or (stage.state == SCHEDULED and timed) or (stage.state == PENDING and total > 0)
    if not held and (seen or stage.state == SCHEDULED) then return put_back(P, stage) end
    if removed > 0 then
      repaired(P)
      return FREED
    end
    return seen and FINE or UNDECIDED
  end

  local function audit_fix(keys, args)
    local P = keys[1]
    local field = args[1]
    if not field or #field > 200 or not find(field, FIELD) then refuse('audit_fix', 'field') end
    local generation = whole('audit_fix', 'generation', args[2], 0, 2 ^ 32 - 1)
    local seen = whole('audit_fix', 'seen', args[3], 0, 2)
    if #args ~= 3 then refuse('audit_fix', 'number of arguments') end

    local stage, member = suspect_read(P, field), entry_of(field, generation)
    if not stage or (not terminal(stage.state) and stage.state > SCHEDULED) then return FINE end
    if terminal(stage.state) or generation ~= stage.generation then
      if seen == NONE_SEEN then return FINE end -- it moved on
      local which = not terminal(stage.state) and generation or nil
      local removed = free(P, field, which, holders(P, field)) + call('ZREM', P .. 'timers', member)
      if removed == 0 then return FINE end
      repaired(P)
      return FREED
    end
    if seen == NONE_SEEN then return fix_none(P, stage, member) end
    if seen == ASTRAY then return FINE end
    return fix_many(P, stage, member)
  end

  define('audit_begin', audit_begin, 'allow-oom')
  define('audit_done', audit_done, 'allow-oom')
  define('audit_ask', audit_ask, 'allow-oom')
  define('audit_stages', audit_stages, 'no-writes')
  define('audit_sessions', audit_sessions, 'allow-oom')
  define('audit_held', audit_held, 'no-writes')
  define('audit_timers', audit_timers, 'no-writes')
  define('audit_queues', audit_queues, 'no-writes')
  define('audit_queue', audit_queue, 'no-writes')
  define('audit_fix', audit_fix, 'allow-oom')
end
