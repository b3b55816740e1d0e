"""Takes the ledger each second, in one moment of Redis."""
import time

import redis


class Ledger:
    def __init__(self, db, every_s=1.0):
        self.db, self.every_s, self.due, self.taken, self.missed = db, every_s, 0.0, [], 0

    def turn(self):
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + self.every_s
        try:
            self.taken.append((time.monotonic_ns(), self.take()))
        except redis.exceptions.RedisError:
            self.missed += 1  # Redis is away

    def take(self):
        flat = self.db.execute_command("FCALL_RO", "gantry_ledger", 1, "")
        return {key.decode(): int(value) for key, value in zip(flat[::2], flat[1::2])}

    def last(self):
        return self.taken[-1][1] if self.taken else {}
