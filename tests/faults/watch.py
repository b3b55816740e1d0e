"""Takes the ledger each second, in one moment of Redis."""
import time

import redis

MOMENT = """
local waiting, held, scheduled = 0, 0, 0
for _, service in ipairs(redis.call('SMEMBERS', 'queues')) do
  for _, priority in ipairs({ 'high', 'normal', 'low' }) do
    for _, entry in ipairs(redis.call('LRANGE', 'queue:' .. service .. ':' .. priority, 0, -1)) do
      local id, task, generation = string.match(entry, '^([^/]+)/(%S+) (%d+)$')
      local packed = redis.call('HGET', 'task:' .. id, task .. '.s')
      local state = packed and string.byte(packed, 2) or 0
      local now = packed and struct.unpack('>I4', packed, 4) or 0
      if state == 0 and now == tonumber(generation) then waiting = waiting + 1 end
    end
  end
end
for _, sid in ipairs(redis.call('ZRANGE', 'sessions', 0, -1)) do
  held = held + redis.call('HLEN', 'running:' .. sid)
end
local flat = redis.call('HGETALL', 'ledger')
for name, value in pairs({ pending = waiting, running = held, scheduled = scheduled }) do
  flat[#flat + 1] = name
  flat[#flat + 1] = tostring(value)
end
return flat
"""


class Ledger:
    def __init__(self, db, every_s=1.0):
        self.db, self.every_s, self.due, self.taken, self.missed = db, every_s, 0.0, [], 0
        self.function = True

    def turn(self):
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + self.every_s
        try:
            self.taken.append((time.monotonic_ns(), self.take()))
        except redis.exceptions.RedisError:
            self.missed += 1  # Redis is away

    def take(self):
        flat = None
        if self.function:
            try:
                flat = self.db.execute_command("FCALL_RO", "gantry_ledger", 1, "")
            except redis.exceptions.ResponseError as error:
                if "unction not found" not in str(error):
                    raise
                self.function = False  # an older library
        if flat is None:
            flat = self.db.eval(MOMENT, 0)
        return {key.decode(): int(value) for key, value in zip(flat[::2], flat[1::2])}

    def last(self):
        return self.taken[-1][1] if self.taken else {}
