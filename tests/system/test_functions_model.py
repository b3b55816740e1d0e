"""Random operations on the Redis functions against the model of what they promise.

After each one the answer, the transitions, the ledger and who holds what are compared.
GANTRY_SEED=n repeats a run, GANTRY_STEPS=n makes it longer.
"""
import datetime
import os
import random
import struct

from functions_library import (CANCELLED, CAP_MS, COMPLETED, FAILED, HOUR, LEASE_MS, PRIORITY_NAMES, RETRY, RETURN, SEED, SKIPPED, SNOOZE, Gantry, back_off,
                               entry_of, server, sid_of)
from functions_model import TOLD, VIDEO, VIDEO_LIMITS, Model, deadline_member

STEPS = int(os.environ.get("GANTRY_STEPS", "3000"))
SERVICES = ("a", "b")
SESSIONS = 5
LIMITS = {"queue_max": 10, "quota_user": 2, "quota_all": 5}
DAY = 24 * HOUR
VIDEO_BODY = struct.pack(">BBBHBI", 0xcc, VIDEO_LIMITS["crashes_max"], 0xcd, VIDEO_LIMITS["failures_max"], 0xce, VIDEO_LIMITS["retry_ms"])


class Walk:
    """Draws operations, plays them on both sides, compares."""

    def __init__(self, gantry, seed):
        self.gantry, self.model, self.random = gantry, Model(SERVICES), random.Random(seed)
        self.tokens, self.created, self.seq, self.old, self.repeat = 0, 0, 0, [], None
        gantry.know(VIDEO)

    def field(self, service=None):
        service = service or self.random.choice((*SERVICES, *SERVICES, "video"))
        if service == "video":
            return "t%d" % self.random.randrange(25), VIDEO
        return "t%d" % self.random.randrange(25), service + "." + self.random.choice("xy")

    def chance(self, share):
        return self.random.random() < share

    def some(self, session):
        """Holds of a session, some of them old, foreign or with a wrong token."""
        items = [(f, h["token"]) for f, h in self.model.held.get(session, {}).items() if self.chance(0.7)]
        if self.old and self.chance(0.3):
            items.append(self.random.choice(self.old[-40:]))
        if self.chance(0.1):
            items.append((self.field(), self.random.randbytes(12)))
        fields = {}
        for field, token in items:
            fields.setdefault(field, token)
        items = list(fields.items())
        self.random.shuffle(items)
        return items

    @staticmethod
    def handout(field, token):
        return {"id": field[0], "task": field[1], "token": token}

    def options(self):
        self.created += 1
        options = {"created_ms": self.created, "crashes_max": self.random.randrange(1, 4), "failures_max": self.random.randrange(1, 5),
                   "retry_ms": self.random.choice((0, 0, 1000, CAP_MS))}
        for name in ("delay_ms", "to_start_ms", "to_close_ms"):
            if self.chance(0.2):
                options[name] = self.random.randrange(HOUR, DAY)
        if self.chance(0.3):
            options["owner"] = self.random.choice(("ann", "bob", "carl"))
        if self.chance(0.3):
            options["callback"] = "http://%s.example/" % self.random.choice("xyz")
        if self.chance(0.1):
            options["reuse"] = "never"
        return options

    def submit(self):
        service, priority = self.random.choice((*SERVICES, *SERVICES, "video")), self.random.choice(list(PRIORITY_NAMES))
        tasks = []
        for _ in range(self.random.randrange(1, 6)):
            id_, task = self.field(service)
            known = self.model.stages.get((id_, task))
            self.tokens += 1
            token = known.token if known and known.token and self.chance(0.2) else self.tokens
            tasks.append((id_, task, token, None, self.options()))
        limits = {k: v if self.chance(0.8) else 0 for k, v in LIMITS.items() if k != "queue_max"}
        limits["queue_max"] = LIMITS["queue_max"]
        assert self.gantry.submit(*tasks, service=service, priority=priority, **limits) == \
            self.model.submit(service, priority, tasks, **limits)

    def claim(self):
        self.seq += 1
        args = (self.random.randrange(1, 6), self.random.randrange(SESSIONS), self.random.choice(SERVICES), self.seq,
                int(self.chance(0.125)), struct.pack(">II", self.random.getrandbits(32), self.seq))
        n, session, service, seq, lowest_first, random8 = args
        got = self.gantry.claim(n, session, service, seq, lowest_first, random8=random8)
        names = ("id", "task", "token", "attempt", "generation", "failures", "crashes", "checkpoint")
        assert [tuple(h[k] for k in names) for h in got] == self.model.claim(*args)
        self.old += [((h["id"], h["task"]), h["token"]) for h in got]

    def create(self):
        for _ in range(self.random.randrange(1, 4)):
            id_ = "t%d" % self.random.randrange(25)
            assert self.gantry.call("create", id_, "/in/" + id_) == int(id_ not in self.model.hashes)
            made = self.gantry.redis.hget("task:" + id_, "created_at").decode().replace("Z", "+00:00")
            self.model.create(id_, int(datetime.datetime.fromisoformat(made).timestamp()) * 1000)

    def adopt(self):
        """A claim of video: what is created becomes stages."""
        self.seq += 1
        n, session, random8 = self.random.randrange(1, 4), self.random.randrange(SESSIONS), struct.pack(">II", self.random.getrandbits(32), self.seq)
        flat = self.gantry.call("claim", sid_of(session), "video", n, self.seq, LEASE_MS, 0, random8, "w", VIDEO_BODY)[2:]
        self.model.adopt(n)
        said = self.model.claim(n, session, "video", self.seq, 0, random8)
        assert [f.decode() for f in flat[::3]] == ["%s/%s" % tuple(h[:2]) for h in said]
        self.old += [((h[0], h[1]), h[2]) for h in said]

    def take_outside(self):
        id_ = self.gantry.redis.rpop("task:pending")
        assert id_ == (self.model.outside[0][0].encode() if self.model.outside else None)
        if id_ and self.model.is_external(id_.decode()):
            self.gantry.redis.hset("task:" + id_.decode(), "status", "PROCESSING")
        self.model.take_outside()

    def finish(self):
        session = self.random.randrange(SESSIONS)
        results = [(f, t, self.random.choice((COMPLETED, COMPLETED, SKIPPED, FAILED, CANCELLED))) for f, t in self.some(session)]
        call = lambda: self.gantry.finish(*[(self.handout(f, t), s) for f, t, s in results], sid=session)
        assert call() == self.model.finish(session, results)
        self.repeat = call, lambda: self.model.finish(session, results)

    def wait_of(self, field, token, how, after):
        stage = self.model.stages.get(field)
        if after != "" or not stage:
            return max(int(after or 1), 1 if how == SNOOZE else 0)
        return 1 if how == SNOOZE else back_off(stage.failures + 1, stage.options["retry_ms"], token)

    def put_back(self):
        session = self.random.randrange(SESSIONS)
        said, told = [], []
        for field, token in self.some(session):
            how = self.random.choice((RETURN, RETRY, RETRY, SNOOZE))
            after = self.random.choice(("", str(HOUR + self.random.randrange(1000)))) if how == RETRY else str(DAY) if how else ""
            checkpoint = self.random.randbytes(8) if self.chance(0.3) else b""
            said.append((self.handout(field, token), how, after, {"error": {"code": "FAILED"}}, checkpoint))
            told.append((field, token, how, self.wait_of(field, token, how, after), checkpoint))
        call = lambda: self.gantry.put_back(*said, sid=session)
        assert call() == self.model.put_back(session, told)
        self.repeat = call, lambda: self.model.put_back(session, told)

    def again(self):
        """The answer was lost: the same words once more."""
        if self.repeat:
            call, expected = self.repeat
            assert call() == expected()

    def heartbeat(self):
        session = self.random.randrange(SESSIONS)
        items, claim_open = self.some(session), self.seq + 1 - self.random.randrange(20)
        stale, cancel, lost = self.gantry.heartbeat(*[(self.handout(*i), "0.5") for i in items], sid=session, claim_open=max(0, claim_open))
        assert (stale, sorted(cancel), lost) == self.model.heartbeat(session, items, claim_open)

    def cancel(self):
        id_, task = self.field()
        task = self.random.choice(("", task))
        assert {k: v["state"] for k, v in self.gantry.cancel(id_, task).items()} == self.model.cancel(id_, task)

    def replay(self):
        field = self.random.choice(sorted(self.model.dead)) if self.model.dead and self.chance(0.8) else self.field()
        assert self.gantry.call("replay", *field, LIMITS["queue_max"])[0] == self.model.replay(field, LIMITS["queue_max"])

    def purge(self):
        field = self.random.choice(sorted(self.model.dead)) if self.model.dead and self.chance(0.5) else self.field()
        assert self.gantry.call("purge", *field) == self.model.purge(field)

    def forget(self):
        id_, force = self.field()[0], int(self.chance(0.5))
        before = [f for f in self.model.stages if f[0] == id_]
        assert self.gantry.call("forget", id_, force) == self.model.forget(id_, force)
        self.gantry.follow()
        for field in before:
            if field not in self.model.stages:
                del self.gantry.told["%s/%s" % field]

    def pause(self):
        service = self.random.choice(SERVICES)
        if service in self.model.paused:
            self.model.paused.discard(service)
            assert self.gantry.call("resume", service) == 1
        elif self.chance(0.3):
            self.model.paused.add(service)
            assert self.gantry.call("pause", service) == 1

    def fire(self):
        """Some timers and deadlines are due, in some order; fired in calls of some size."""
        deadlines = [d for d in sorted(self.model.deadlines) if self.chance(0.1)]
        timers = [f for f in sorted(self.model.timers) if self.chance(0.4)]
        self.random.shuffle(deadlines)
        self.random.shuffle(timers)
        self.gantry.due(*map(deadline_member, deadlines), key="deadlines")
        self.gantry.due(*[entry_of("%s/%s" % f, self.model.stages[f].generation) for f in timers])
        most, fired = self.random.randrange(1, 12), None
        while fired is None or fired == most:
            _, _, fired, crons = self.gantry.timers(most)
            due = deadlines[:most]
            deadlines = deadlines[most:]
            for deadline in due:
                self.model.close(deadline)
            deadlines = [d for d in deadlines if d in self.model.deadlines]
            timers = [f for f in timers if f in self.model.timers]  # a deadline ends a scheduled stage with its timer
            room = most - len(due)
            for field in timers[:room]:
                self.model.fire(field)
            assert fired == len(due) + len(timers[:room]) and crons == []
            timers = timers[room:]
        assert not deadlines and not timers

    def bye(self):
        session = self.random.randrange(SESSIONS)
        self.gantry.call("bye", sid_of(session))
        self.model.leave(session, crashed=False)

    def expire(self):
        session = self.random.randrange(SESSIONS)
        self.gantry.lapse(session)
        self.gantry.sweep()
        self.model.leave(session, crashed=True)

    def look(self):
        id_ = self.field()[0]
        got = {k: (v["state"], v["generation"], v["attempt"], v["failures"], v["crashes"], [(h["attempt"], h["state"]) for h in v["history"]])
               for k, v in self.gantry.get(id_).items() if not v["body"][9] & 16}
        if self.model.is_external(id_):
            assert self.gantry.state(id_, VIDEO) == self.model.external_state(id_)
        for field, stage in self.model.stages.items():
            if field[0] == id_:
                callbacks = self.gantry.get(id_)[field[1]]["callbacks"]
                assert callbacks == ("".join("\n" + url for url in stage.waiting) or stage.told), (field, callbacks)
        assert got == {f[1]: (s.state, s.generation, s.attempt, s.failures, s.crashes, s.history)
                       for f, s in self.model.stages.items() if f[0] == id_}
        assert {k: self.gantry.kept("checkpoints", f"{id_}/{k}") or b"" for k in got} == {f[1]: s.checkpoint for f, s in self.model.stages.items() if f[0] == id_}

    # after every operation

    def check_timers(self):
        """Each new timer has the time that the rules say, reckoned from its event; then it is moved out of the way."""
        for at, name in self.gantry.scheduled:
            field = tuple(name.split("/"))
            member = entry_of(name, self.model.stages[field].generation)
            assert self.gantry.redis.zscore("timers", member) == at + self.model.timers[field], (name, self.model.timers[field])
            self.gantry.redis.zadd("timers", {member: at + DAY})
        self.gantry.scheduled.clear()

    def check(self):
        self.gantry.check()
        assert sorted(self.gantry.news) == sorted(self.model.moves)
        self.gantry.news.clear()
        self.model.moves.clear()
        self.check_timers()
        states = {"%s/%s" % f: s.state for f, s in self.model.stages.items()}
        assert self.gantry.told == states
        assert self.gantry.ledger() == {k: v for k, v in self.model.ledger.items() if v}

    def check_created(self):
        found = {k.decode()[5:]: self.gantry.redis.hget(k, "status").decode() for k in self.gantry.redis.keys("task:t*")}
        assert found == {id_: "FAILED" if status == "CANCELLED" else status for id_, status in self.model.hashes.items()}
        assert [v.decode() for v in self.gantry.redis.lrange("task:pending", 0, -1)] == [id_ for id_, _ in self.model.outside[::-1]]
        for field, stage in self.model.stages.items():
            if stage.made and field[0] in self.model.hashes:
                assert self.model.hashes[field[0]] == TOLD[stage.state]

    def compare(self):
        self.check_created()
        for (service, priority), entries in self.model.queues.items():
            found, said = self.gantry.queue(service, priority), [entry_of("%s/%s" % f, g) for f, g in entries]
            assert sorted(found) == sorted(said) and (found == said or service == "system")  # deliveries of a call come in any order
        assert {m.decode() for m in self.gantry.redis.zrange("deadlines", 0, -1)} == set(map(deadline_member, self.model.deadlines))
        assert {m.decode() for m in self.gantry.redis.smembers("stale")} == {entry_of("%s/%s" % f, g) for f, g in self.model.stale}
        assert {m.decode() for m in self.gantry.redis.zrange("dead", 0, -1)} == {"%s/%s" % f for f in self.model.dead}
        assert {k.decode(): v.decode() for k, v in self.gantry.redis.hgetall("owned").items()} == \
            {"%s/%s" % f: o for f, o in self.model.owned.items()}
        listed = {(i, t): s for i, t, s, _ in self.gantry.list()[0]}
        assert listed == {f: s.state for f, s in self.model.stages.items()}


def test_random_operations_agree_with_the_model(server):
    server.flushall()
    walk = Walk(Gantry(server), SEED)
    operations = [walk.create, walk.adopt, walk.adopt, walk.take_outside] + [walk.submit] * 6 + [walk.claim] * 8 + [walk.finish] * 3 + [walk.put_back] * 4 + [walk.fire] * 3 + \
        [walk.heartbeat, walk.heartbeat, walk.cancel, walk.bye, walk.expire, walk.expire, walk.look, walk.look, walk.again, walk.replay, walk.purge,
         walk.pause, walk.forget]
    for step in range(STEPS):
        operation = walk.random.choice(operations)
        try:
            operation()
            walk.check()
            if step % 20 == 0:
                walk.compare()
        except AssertionError as e:
            raise AssertionError(f"seed {SEED}, step {step}, {operation.__name__}") from e
    walk.compare()
    assert all(walk.model.ledger.get(c) for c in ("completed", "skipped", "failed", "cancelled", "quarantined", "requeues", "crashes", "retries"))
