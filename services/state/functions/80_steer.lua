-- An operator's word: a paused service is claimed from no more, a draining worker claims no more.

do
  local NAMES_MAX = 10000 -- in a set: names are anybody's

  local function remember(key, name)
    if call('SCARD', key) >= NAMES_MAX and call('SISMEMBER', key, name) == 0 then return -1 end
    return call('SADD', key, name)
  end

  local function pause(keys, args)
    local service = service_name('pause', args[1])
    if #args ~= 1 then refuse('pause', 'number of arguments') end
    return remember(keys[1] .. 'paused', service)
  end

  local function resume(keys, args)
    local P = keys[1]
    local service = service_name('resume', args[1])
    if #args ~= 1 then refuse('resume', 'number of arguments') end
    local changed = call('SREM', P .. 'paused', service)
    if changed == 1 then event_add(P, now_ms(), 0, { 'q', service }) end
    return changed
  end

  local function worker_of(name, args)
    if #args ~= 1 then refuse(name, 'number of arguments') end
    if args[1] == '' or #args[1] > 128 then refuse(name, 'worker') end
    return args[1]
  end

  local function drain(keys, args)
    return remember(keys[1] .. 'draining', worker_of('drain', args))
  end

  local function undrain(keys, args)
    return call('SREM', keys[1] .. 'draining', worker_of('undrain', args))
  end

  define('pause', pause, 'allow-oom')
  define('resume', resume, 'allow-oom')
  define('drain', drain, 'allow-oom')
  define('undrain', undrain, 'allow-oom')
end
