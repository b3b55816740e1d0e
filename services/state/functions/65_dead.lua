-- Dead letters: failed and quarantined stages that nobody replayed or purged.

do
  local NOT_FOUND = 2

  local function dead_of(P, stages)
    local dead = {}
    for _, stage in ipairs(stages) do
      local packed = stage[4]
      local state = packed and state_good(packed) and state_of(packed)
      if (state == FAILED or state == QUARANTINED) and call('ZSCORE', P .. 'dead', stage[1] .. '/' .. stage[2]) then
        dead[#dead + 1] = stage
      end
    end
    return dead
  end

  -- Back into its queue as new work; what it learnt (checkpoint, history, attempts) stays.  False: the queue is full.
  local function replay_one(change, stage, most)
    local P, id, task, body, packed = change.prefix, stage[1], stage[2], stage[3], stage[4]
    local field, priority = id .. '/' .. task, state_priority(packed)
    local list = change_queue(change, 'tails', match(task, '^[^.]+'), byte(priority))
    if call('LLEN', queue_key(P, match(task, '^[^.]+'), byte(priority))) + #list >= most then return false end
    local generation, attempt = state_counters(packed)
    history_of_end(change, field, packed)
    change_state(change, field, pending_pack(generation + 1, attempt, 0, 0, priority))
    list[#list + 1] = entry_of(field, generation + 1)
    change_moved(change, field, PENDING)
    change_count(change, 'accepted')
    if body_flag(body, FLAG_CREATED) then change_created(change, field, PENDING) end
    local undead = change_list(change, 'undead')
    undead[#undead + 1] = field
    local owner = body_owned(body) and body_map(body).owner
    if type(owner) == 'string' then own(P, field, owner) end
    callback_begin(P, field, match(stage[6] or '', '^(%S+) ')) -- who was told last is told how it ends now
    return true
  end

  local function replay(keys, args)
    local P = keys[1]
    local most, limits = whole('replay', 'queue_max', args[3], 0, 2 ^ 53), {}
    for i = 1, items('replay', args, 3, 2) do
      limits[service_name('replay', args[2 * i + 2])] = whole('replay', 'limit', args[2 * i + 3], 0, 2 ^ 53)
    end
    local stages = stages_of(P, args[1], args[2])
    local change, status = change_new(P, now_ms()), CONFLICT
    if #stages == 0 then status = NOT_FOUND end
    for _, stage in ipairs(dead_of(P, stages)) do
      status = replay_one(change, stage, limits[match(stage[2], '^[^.]+')] or most) and status ~= BUSY and OK or BUSY
    end
    change_write(change)
    return { status, unpack(get(keys, { '1', args[1], args[2] })) }
  end

  local function purge(keys, args)
    local P = keys[1]
    if #args ~= 2 then refuse('purge', 'number of arguments') end
    local stages = stages_of(P, args[1], args[2])
    if #stages == 0 then return -1 end
    local done = 0
    for _, stage in ipairs(dead_of(P, stages)) do
      done = 1
      call('ZREM', P .. 'dead', stage[1] .. '/' .. stage[2])
    end
    return done
  end

  define('replay', replay)
  define('purge', purge, 'allow-oom')
end
