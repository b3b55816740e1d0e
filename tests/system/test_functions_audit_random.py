"""The Redis functions: an audit leaves a healthy busy store alone, and repairs every random damage.

GANTRY_SEED=n repeats a run.
"""
import random
import time

import pytest

from audit_house import FINE, NONE_SEEN, ASTRAY, MANY_SEEN, Audit, audit, healthy, running
from functions_library import (  # noqa: F401: fixtures
    CANCELLED, COMPLETED, FAILED, HIGH, LOW, NORMAL, PENDING, RETRY, RETURN, SEED, SNOOZE, Gantry, Hold, entry_of, entry_parts, server, sid_of)
from functions_tools import DAY, gantry, now_ms  # noqa: F401: fixtures

# a busy store

class Busy:
    """Random work on the store; remembers what was handed out, now and then for too long."""

    def __init__(self, gantry, seed):
        self.gantry, self.random, self.handouts, self.seq, self.broken = gantry, random.Random(seed), [], 0, 0
        self.acts = [self.put] * 4 + [self.later] * 2 + [self.claim] * 5 + [self.finish] * 4 + \
            [self.back, self.retry, self.snooze, self.cancel, self.cancel_task, self.bye, self.expire, self.beat, self.replay] + [self.fire] * 3

    def id(self):
        return "t%d" % self.random.randrange(60)

    def step(self):
        self.random.choice(self.acts)()

    def put(self, **options):
        self.gantry.put(self.id(), task=self.random.choice(("a.x", "a.y", "b.x")), priority=self.random.choice((NORMAL, HIGH, LOW)),
                        failures_max=2, **options)

    def later(self):
        self.put(delay_ms=self.random.choice((1, DAY)))

    def claim(self):
        self.seq += 1
        sid = self.random.randrange(4)
        self.handouts += [(sid, h) for h in self.gantry.claim(self.random.randrange(1, 6), sid=sid, seq=self.seq,
                                                             service=self.random.choice("ab"))]

    def one(self):
        if not self.handouts:
            return None
        keep = self.random.random() < 0.1
        at = self.random.randrange(len(self.handouts))
        return self.handouts[at] if keep else self.handouts.pop(at)

    def finish(self):
        one = self.one()
        if one:
            self.gantry.finish((one[1], self.random.choice((COMPLETED, COMPLETED, FAILED, CANCELLED))), sid=one[0])

    def give(self, how, after=""):
        one = self.one()
        if one:
            self.gantry.put_back((one[1], how, after), sid=one[0])

    def back(self):
        self.give(RETURN)

    def retry(self):
        self.give(RETRY, self.random.choice((0, 1, DAY)))

    def snooze(self):
        self.give(SNOOZE, self.random.choice((1, DAY)))

    def cancel(self):
        self.gantry.cancel(self.id(), self.random.choice(("a.x", "b.x")))

    def cancel_task(self):
        self.gantry.cancel(self.id())

    def bye(self):
        self.gantry.call("bye", sid_of(self.random.randrange(4)))

    def expire(self):
        sid = self.random.randrange(4)
        if self.gantry.redis.exists(running(self.gantry, sid)):
            self.gantry.lapse(sid)
        self.gantry.sweep()

    def beat(self):
        sid = self.random.randrange(4)
        self.gantry.heartbeat(*[(h, "0.5") for s, h in self.handouts if s == sid][:20], sid=sid, claim_open=self.seq - 5 if self.seq > 5 else 0)

    def replay(self):
        self.gantry.call("replay", self.id(), "", 1000)

    def fire(self):
        members = self.gantry.redis.zrange(self.gantry.key("timers"), 0, -1)
        if members:
            self.gantry.due(self.random.choice(members).decode())
        self.gantry.timers()


@pytest.mark.parametrize("count", [3, 10])
def test_a_healthy_busy_store_is_never_repaired(gantry, count):
    busy = Busy(gantry, SEED + count)
    for _ in range(300):
        busy.step()
    suspects = 0
    for _ in range(12):
        found = Audit(gantry, count=count, between=lambda: [busy.step() for _ in range(busy.random.randrange(3))])
        answers = found.walk().fix()
        suspects += len(answers)
        assert set(answers.values()) <= {FINE}, (SEED, answers)
        gantry.check()
    assert suspects > 20  # it was busy indeed
    assert gantry.books()["repaired"] == 0


def test_nothing_of_a_healthy_store_is_repaired_whatever_is_suspected(gantry):
    busy = Busy(gantry, SEED)
    for _ in range(25):
        for _ in range(20):
            busy.step()
        stages = Gantry.stages_in(gantry.load())
        for field, (_, generation, _) in stages.items():
            for guess in (generation, max(0, generation - 1), generation + 1):
                for seen in (NONE_SEEN, ASTRAY, MANY_SEEN):
                    assert gantry.call("audit_fix", field, guess, seen) == FINE, (SEED, field, guess, seen)
    healthy(gantry, 0)


class Vandal:
    """One random damage at a time."""

    def __init__(self, busy):
        self.gantry, self.random, self.redis = busy.gantry, busy.random, busy.gantry.redis
        self.acts = [self.lose_entry, self.double_entry, self.lose_timer, self.lose_hold, self.lose_hash, self.double_hold, self.queue_held,
                     self.time_held, self.hold_over, self.lose_session]

    def waiting(self):
        return [f for f, (state, _, _) in Gantry.stages_in(self.gantry.load()).items() if state < COMPLETED]

    def some(self, pattern):
        keys = sorted(self.redis.keys(self.gantry.shard.replace("{", "[{]") + pattern))
        return self.random.choice(keys) if keys else None

    def entry(self):
        key = self.some("queue:*")
        live = key and [e for e in self.redis.lrange(key, 0, -1) if self.holds(e.decode())]
        return (key, self.random.choice(live)) if live else None

    def holds(self, entry):
        field, generation = entry_parts(entry)
        id_, task = field.split("/")
        stage = self.gantry.get(id_, task)[task]
        return stage["state"] == PENDING and stage["generation"] == generation

    def held(self):
        key = self.some("running:*")
        return (key, self.random.choice(sorted(self.redis.hkeys(key)))) if key else None

    def entry_held(self, found):
        return entry_of(found[1].decode(), Hold(self.redis.hget(*found)).generation)

    def lose_entry(self):
        found = self.entry()
        return found and self.redis.lrem(found[0], 1, found[1])

    def double_entry(self):
        found = self.entry()
        return found and self.redis.lpush(self.some("queue:%s:*" % found[1].decode().split("/")[1][0]), found[1])

    def lose_timer(self):
        members = self.redis.zrange(self.gantry.key("timers"), 0, -1)
        return members and self.redis.zrem(self.gantry.key("timers"), self.random.choice(members))

    def lose_hold(self):
        found = self.held()
        return found and self.redis.hdel(*found)

    def lose_hash(self):
        key = self.some("running:*")
        return key and self.redis.delete(key)

    def double_hold(self):
        found = self.held()
        sid = self.random.randrange(4)
        if not found or found[0].decode().endswith(sid_of(sid)):
            return 0
        self.gantry.heartbeat(sid=sid)
        return self.redis.hset(running(self.gantry, sid), found[1], self.redis.hget(*found))

    def queue_held(self):
        found = self.held()
        if not found:
            return 0
        service = found[1].decode().split("/")[1][0]
        return self.redis.rpush(self.gantry.key("queue:%s:low" % service), self.entry_held(found))

    def time_held(self):
        found = self.held()
        if not found:
            return 0
        return self.redis.zadd(self.gantry.key("timers"), {self.entry_held(found): now_ms() + DAY})

    def hold_over(self):
        over = [f for f, (state, _, _) in Gantry.stages_in(self.gantry.load()).items() if state >= COMPLETED]
        found = self.held()
        return found and over and self.redis.hset(found[0], self.random.choice(over), self.redis.hget(*found))

    def lose_session(self):
        key = self.some("running:*")
        return key and self.redis.zrem(self.gantry.key("sessions"), key[-32:])


def test_every_random_damage_is_repaired(gantry):
    busy = Busy(gantry, SEED)
    vandal = Vandal(busy)
    done = set()
    for round_ in range(150):
        for _ in range(8):
            busy.step()
        act = vandal.random.choice(vandal.acts)
        damaged = act()
        if damaged:
            done.add(act.__name__)
            # a second look may be needed: what a lost session holds is found only when the session is back
            for _ in range(2):
                audit(gantry, count=100)
        try:
            gantry.check()
        except AssertionError as e:
            raise AssertionError(f"seed {SEED}, round {round_}, {act.__name__}") from e
        assert audit(gantry, count=100) == {}
    assert done == {act.__name__ for act in vandal.acts}
    assert gantry.books()["repaired"] > 50
