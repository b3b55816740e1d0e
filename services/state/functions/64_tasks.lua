-- Tasks, each as a whole: all there are, in slices, or those of some ids.

do
  local LOOK_MAX, LOOK_BYTES = 1000, 1048576 -- stages looked at in one call, and bytes of their bodies
  local TASKS_MAX = 100 -- told in one call of a walk: each costs some 20 us
  local NAMES_MAX = 100000 -- fields asked for in one call: every node's name may be a stage
  local SCAN_STEP, KEYS_STEP = 16, 250

  local function earlier(a, b)
    return (a == 0 or (b > 0 and b < a)) and b or a
  end

  local function add_stage(item, body, packed)
    item.found = true
    item.created = earlier(item.created, body_created(body))
    if item.owner == '' and body_owned(body) then item.owner = body_map(body).owner or '' end
    if not packed or (state_good(packed) and not terminal(state_of(packed))) then
      item.living = true
    elseif state_good(packed) then
      item.ended = math.max(item.ended, state_ended(packed))
    end
  end

  -- One task, or nil.  names: of all nodes, since nothing else can be a stage.
  local function item_of(walk, id)
    local P, item, fields, bodies = walk.prefix, { id = id, owner = '', created = 0, ended = 0, living = false }, {}, {}
    for i, name in ipairs(walk.names) do fields[i] = id .. '/' .. name end
    local all = #fields > 0 and get_many(P .. 'bodies', fields) or {}
    local there = {}
    for i, field in ipairs(fields) do
      if all[i] then
        there[#there + 1], bodies[#bodies + 1] = field, all[i]
        walk.bytes = walk.bytes + #all[i]
      end
    end
    local states = #there > 0 and get_many(P .. 'states', there) or {}
    for i = 1, #there do add_stage(item, bodies[i], states[i]) end
    local outside = created.external(P, id) -- of one that was adopted the HASH says the same
    if outside then add_stage(item, outside[3], outside[4]) end
    walk.work = walk.work + #fields
    return item.found and item or nil
  end

  -- Unless it was looked at in this call already.
  local function add(walk, id)
    if walk.seen[id] then return end
    walk.seen[id] = true
    local item = item_of(walk, id)
    if not item or (walk.before > 0 and (item.created == 0 or item.created >= walk.before)) then return end
    local reply, r = walk.reply, #walk.reply
    reply[r + 1], reply[r + 2], reply[r + 3] = item.id, item.owner, item.created
    reply[r + 4], reply[r + 5] = item.living and 0 or item.ended, item.living and 1 or 0
    walk.count = walk.count + 1
  end

  local function full(walk)
    return walk.count >= walk.limit or walk.looked >= LOOK_MAX or walk.bytes >= LOOK_BYTES or walk.work >= NAMES_MAX
  end

  -- A task's earliest stage is the one that is as old as the task: that one fits whenever the task does.
  local function scan(walk, cursor)
    repeat
      local page = call('HSCAN', walk.prefix .. 'bodies', cursor, 'COUNT', SCAN_STEP)
      local flat = page[2]
      for i = 1, #flat, 2 do
        walk.looked, walk.bytes = walk.looked + 1, walk.bytes + #flat[i + 1]
        local id = match(flat[i], FIELD)
        if created.id(id) and (walk.before == 0 or body_created(flat[i + 1]) < walk.before) then add(walk, id) end
      end
      cursor = page[1]
    until cursor == '0' or full(walk)
    return cursor
  end

  -- Those that have no stage: their keys are all there is of them.  Stages lie in a few large keys, so these are most of all keys.
  local function scan_created(walk, cursor)
    local head = walk.prefix .. 'task:'
    local pattern = string.gsub(head, '[%*%?%[%]\\]', '\\%0') .. '*'
    repeat
      local page = call('SCAN', cursor, 'MATCH', pattern, 'COUNT', KEYS_STEP, 'TYPE', 'hash')
      walk.looked = walk.looked + KEYS_STEP
      for _, key in ipairs(page[2]) do
        local id = sub(key, #head + 1)
        if created.id(id) then add(walk, id) end
      end
      cursor = page[1]
    until cursor == '0' or full(walk)
    return cursor
  end

  -- '0' begins and ends; what begins with a c is a place among the created ones.
  local function walk_on(walk, cursor)
    local at = match(cursor, '^c(%d+)$')
    if not at then
      cursor = scan(walk, cursor)
      if cursor ~= '0' then return cursor end
      if full(walk) then return 'c0' end
      at = '0'
    end
    at = scan_created(walk, at)
    return at == '0' and '0' or 'c' .. at
  end

  local function tasks(keys, args)
    local cursor = args[1]
    if not cursor or #cursor > 21 or not find(cursor, '^c?%d+$') then refuse('tasks', 'cursor') end
    local limit = whole('tasks', 'limit', args[2], 1, 1000)
    local before = whole('tasks', 'created_before_ms', args[3], 0, 2 ^ 53)
    local n = items('tasks', args, 3, 1)
    for i = 1, n do
      if args[3 + i] == '' or #args[3 + i] > 128 then refuse('tasks', 'id') end
    end
    local walk = { prefix = keys[1], names = call('HKEYS', keys[1] .. 'nodes'), before = before, limit = math.min(limit, TASKS_MAX), seen = {}, reply = { '0' },
      count = 0, looked = 0, bytes = 0, work = 0 }
    if n == 0 then walk.reply[1] = walk_on(walk, cursor) end
    for i = 1, n do add(walk, args[3 + i]) end
    return walk.reply
  end

  define('tasks', tasks, 'no-writes')
end
