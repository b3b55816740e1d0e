-- Forget: nothing is left of a task.  A submit of the same id begins anew at generation 0, so none of its queue entries may
-- stay behind, of whatever generation.

do
  local NOT_FOUND = 2

  -- What has not ended: { stage, its holder or nil } of each.
  local function living_of(stages, held)
    local living = {}
    for _, stage in ipairs(stages) do
      if not is_over(stage) then living[#living + 1] = { stage, held[stage[1] .. '/' .. stage[2]] } end
    end
    return living
  end

  -- It ends at once, also where a worker has it: that one learns STALE, and kills what it runs.
  local function stop(change, stage, holder)
    if not holder then return waiting_end(change, stage, CANCELLED, EMPTY_MAP) end
    local P, field, sid, hold = change.prefix, stage[1] .. '/' .. stage[2], holder[1], holder[2]
    call('HDEL', P .. 'running:' .. sid, field)
    hold_end(change, field, hold, CANCELLED, tail_of(worker_name(P, sid)))
  end

  -- The entries that a cancel or a deadline left in its queues.  Generations may be many, by snoozes, and so may what is stale: the
  -- shorter list is gone through.
  local function stale_entries(P, field, newest)
    local key, entries = P .. 'stale', {}
    local size = call('SCARD', key)
    if size == 0 then return entries end
    if size <= newest then
      for _, entry in ipairs(call('SMEMBERS', key)) do
        if entry_parts(entry) == field then entries[#entries + 1] = entry end
      end
      return entries
    end
    for from = 0, newest, CHUNK do
      local some = {}
      for generation = from, math.min(newest, from + CHUNK - 1) do some[#some + 1] = entry_of(field, generation) end
      for i, is in ipairs(call('SMISMEMBER', key, unpack(some))) do
        if is == 1 then entries[#entries + 1] = some[i] end
      end
    end
    return entries
  end

  -- It stands in one of three queues, the stage's own first.
  local function leave_queue(P, stage, entry)
    local service = match(stage[2], '^[^.]+')
    call('SREM', P .. 'stale', entry)
    for _, priority in ipairs(priorities_of(stage[3], stage[4] and state_good(stage[4]) and stage[4] or nil)) do
      local removed = redis.pcall('LREM', queue_key(P, service, priority), -1, entry)
      if removed == 1 then return end
    end
  end

  local function remove(P, stage)
    local field = stage[1] .. '/' .. stage[2]
    local packed = call('HGET', P .. 'states', field)
    local good = not packed or state_good(packed)
    local newest = packed and good and state_generation(packed) or 0
    if not good then leave_queue(P, stage, field) end -- whoever spoiled it, its first entry may be there
    for _, entry in ipairs(stale_entries(P, field, newest)) do leave_queue(P, stage, entry) end
    for _, hash in ipairs({ 'bodies', 'states', 'histories', 'checkpoints', 'callbacks' }) do call('HDEL', P .. hash, field) end
    call('ZREM', P .. 'dead', field)
    call('ZREM', P .. 'timers', entry_of(field, newest))
    call('ZREM', P .. 'deadlines', field .. ' s', field .. ' c')
  end

  -- What the task service has of it.
  local function remove_created(P, id)
    local said = created.hash(P, id)
    if not said then return end
    if said[1] == 'PENDING' then redis.pcall('LREM', P .. created.PENDING, 0, id) end
    call('DEL', created.key(P, id))
  end

  -- It ended at that moment or later: it is not what the caller has seen.
  local function ended_since(stages, before)
    for _, stage in ipairs(stages) do
      if stage[4] and state_good(stage[4]) and terminal(state_of(stage[4])) and state_ended(stage[4]) >= before then return true end
    end
    return false
  end

  local function forget(keys, args)
    local P, id = keys[1], args[1]
    local force = whole('forget', 'force', args[2], 0, 1)
    local before = whole('forget', 'ended_before_ms', args[3] or '0', 0, 2 ^ 53)
    if #args ~= 2 and #args ~= 3 then refuse('forget', 'number of arguments') end
    local stages = stages_of(P, id, '')
    local with = created.with_external(P, id, '', stages)
    if #with == 0 then return { NOT_FOUND, 0 } end
    local living, outside = living_of(stages, holders_of(P, stages)), #living_of(with, {}) - #living_of(stages, {})
    if #living + outside > 0 and force == 0 then return { CONFLICT, #living + outside } end
    if before == 1 or (before > 0 and ended_since(with, before)) then return { CONFLICT, 0 } end
    if #living > 0 then
      local change = change_new(P, now_ms())
      for _, one in ipairs(living) do stop(change, one[1], one[2]) end
      change_write(change)
    end
    for _, stage in ipairs(stages) do remove(P, stage) end
    remove_created(P, id)
    return { OK, #with }
  end

  define('forget', forget, 'allow-oom')
end
