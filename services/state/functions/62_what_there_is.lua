-- What there is: queues, register, nodes, version.

do
  local NODES_MAX = 4096 -- CATALOGUE_NODES_MAX: more than that no state service would read

  local function queues(keys)
    local P = keys[1]
    local running = {}
    for _, sid in ipairs(call('ZRANGE', P .. 'sessions', 0, -1)) do
      for _, field in ipairs(redis.pcall('HKEYS', P .. 'running:' .. sid)) do
        local service = match(field, '/([^.]+)%.')
        if service then running[service] = (running[service] or 0) + 1 end
      end
    end
    local reply, outside = {}, length('LLEN', P .. created.PENDING)
    local services = services_of(P, '')
    if outside > 0 and call('SISMEMBER', P .. 'queues', created.SERVICE) == 0 then services[#services + 1] = created.SERVICE end
    for _, service in ipairs(sorted(services)) do
      local r = #reply
      local queue = P .. 'queue:' .. service .. ':'
      reply[r + 1] = service
      reply[r + 2] = length('LLEN', queue .. 'normal') + (service == created.SERVICE and outside or 0)
      reply[r + 3] = length('LLEN', queue .. 'high')
      reply[r + 4] = length('LLEN', queue .. 'low')
      reply[r + 5] = running[service] or 0
    end
    return reply
  end

  local function register(keys, args)
    local P = keys[1]
    local n = items('register', args, 0, 2)
    local names = {}
    for i = 1, n do
      local name, declaration = args[2 * i - 1], args[2 * i]
      if #name > 64 or not find(name, TASK) then refuse('register', 'name') end
      if not is_map(declaration, 1) or #declaration > 65536 then refuse('register', 'declaration') end
      names[i] = name
    end
    if n == 0 then return 0 end
    local known = get_many(P .. 'nodes', names)
    local changed, count, new = {}, 0, 0
    for i = 1, n do
      if not known[i] then new = new + 1 end
      if known[i] ~= args[2 * i] then
        changed[#changed + 1] = names[i]
        changed[#changed + 1] = args[2 * i]
        count = count + 1
      end
    end
    if new > 0 and call('HLEN', P .. 'nodes') + new > NODES_MAX then return -1 end
    if count > 0 then
      call_many('HSET', P .. 'nodes', changed)
      event_add(P, now_ms(), 0, { 'n', count })
    end
    return count
  end

  -- The services that somebody alive claims from.
  local function served(P)
    local services = {}
    for _, line in ipairs(live_workers(P, now_ms())) do
      for service in string.gmatch(match(line, '^[^\n]*\n([^\n]*)') or '', '[^,]+') do services[service] = true end
    end
    return services
  end

  local function nodes(keys, args)
    local P = keys[1]
    local flat = call('HGETALL', P .. 'nodes')
    if args[1] ~= 'available' then return flat end
    local services, names, declared, reply = served(P), {}, {}, {}
    for i = 1, #flat, 2 do
      names[#names + 1] = flat[i]
      declared[flat[i]] = flat[i + 1]
    end
    for _, name in ipairs(sorted(names)) do
      local r = #reply
      reply[r + 1], reply[r + 2] = name, declared[name]
      reply[r + 3] = services[match(name, '^[^.]*')] and 1 or 0
    end
    return reply
  end

  local function version()
    return VERSION
  end

  define('queues', queues, 'no-writes')
  define('register', register)
  define('nodes', nodes, 'no-writes')
  define('version', version, 'no-writes')
end
