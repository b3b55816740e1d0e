"""Random operations on the Redis functions against a small model of what they promise.

After each one the answer is compared with the model's; the invariant and the ledger are checked all along.
GANTRY_SEED=n repeats a run, GANTRY_STEPS=n makes it longer.
"""
import os
import random
import struct

from functions_library import (BUSY, CANCELLED, CANCELLING, COMPLETED, COUNTERS, FAILED, HIGH, HIT, LOW, MISS, NORMAL, OK, PENDING,
                               PRIORITY_NAMES, QUARANTINED, RUNNING, SEED, SKIPPED, STALE, WAIT, Gantry, server, sid_of)

STEPS = int(os.environ.get("GANTRY_STEPS", "4000"))
SERVICES = ("a", "b")
SESSIONS = 5
QUEUE_MAX = 25


class Stage:
    def __init__(self, token):
        self.token, self.state, self.generation, self.attempt, self.failures, self.crashes = token, PENDING, 0, 0, 0, 0
        self.lease = None


class Model:
    def __init__(self):
        self.stages = {}  # (id, task) -> Stage
        self.queues = {(s, p): [] for s in SERVICES for p in PRIORITY_NAMES}  # (field, generation); the last is the head
        self.held = {n: {} for n in range(SESSIONS)}  # session -> field -> hold
        self.ledger = {}

    def count(self, counter, by=1):
        self.ledger[counter] = self.ledger.get(counter, 0) + by

    def end(self, field, state, lease=None):
        stage = self.stages[field]
        stage.state, stage.lease = state, lease
        self.count(COUNTERS[state])

    def submit(self, service, priority, tasks):
        queue, answers = self.queues[service, priority], []
        for id_, task, token in tasks:
            stage = self.stages.get((id_, task))
            if stage and stage.token == token:
                answers.append((OK, PENDING if stage.state in (RUNNING, CANCELLING) else stage.state, MISS))
            elif stage and stage.state == COMPLETED:
                answers.append((OK, COMPLETED, HIT))
            elif stage and stage.state < COMPLETED:
                answers.append((OK, PENDING, WAIT))
            elif len(queue) >= QUEUE_MAX:
                answers.append((BUSY, len(queue), MISS))
            else:
                if stage:
                    stage.token, stage.state, stage.generation, stage.failures, stage.crashes = token, PENDING, stage.generation + 1, 0, 0
                    stage.lease = None
                else:
                    stage = self.stages[id_, task] = Stage(token)
                queue.insert(0, ((id_, task), stage.generation))
                self.count("accepted")
                answers.append((OK, PENDING, MISS))
        return answers

    def claim(self, n, session, service, seq, lowest_first, random8):
        out = []
        for priority in ((LOW, NORMAL, HIGH) if lowest_first else (HIGH, NORMAL, LOW)):
            queue = self.queues[service, priority]
            while queue and len(out) < n:
                field, generation = queue.pop()
                stage = self.stages[field]
                if stage.state != PENDING or stage.generation != generation:
                    continue
                stage.state = RUNNING
                stage.attempt += 1
                token = random8 + struct.pack(">I", len(out))
                self.held[session][field] = {"token": token, "seq": seq, "index": len(out), "priority": priority}
                out.append((field[0], field[1], token, stage.attempt, generation))
        return out

    def late(self, field, token):
        stage = self.stages.get(field)
        return OK if stage and stage.state >= COMPLETED and stage.lease == token else STALE

    def finish(self, session, results):
        answers = []
        for field, token, state in results:
            hold = self.held[session].get(field)
            if not hold or hold["token"] != token:
                answers.append(self.late(field, token))
                continue
            if self.stages[field].state == CANCELLING:
                state = CANCELLED
            elif state == FAILED:
                self.stages[field].failures += 1
            del self.held[session][field]
            self.end(field, state, token)
            answers.append(OK)
        return answers

    def release(self, session, fields, crashed=False):
        holds = self.held[session]
        for field in sorted(fields, key=lambda f: (holds[f]["seq"], holds[f]["index"]), reverse=True):
            hold, stage = holds.pop(field), self.stages[field]
            if crashed:
                stage.crashes += 1
                self.count("crashes")
            if stage.state == CANCELLING:
                self.end(field, CANCELLED, hold["token"])
            elif crashed and stage.crashes >= 3:
                self.end(field, QUARANTINED, hold["token"])
            else:
                stage.state, stage.generation = PENDING, stage.generation + 1
                self.queues[field[1].split(".")[0], hold["priority"]].append((field, stage.generation))
                self.count("requeues")

    def give_back(self, session, items):
        answers, back = [], []
        for field, token in items:
            hold = self.held[session].get(field)
            good = hold and hold["token"] == token and field not in back
            answers.append(OK if good else STALE)
            if good:
                back.append(field)
        self.release(session, back)
        return answers

    def heartbeat(self, session, held, claim_open):
        said = dict(held)
        lost = [f for f, h in self.held[session].items() if said.get(f) != h["token"] and h["seq"] < claim_open]
        stale, cancel = [], []
        for field, token in held:
            hold = self.held[session].get(field)
            if hold and hold["token"] == token:
                if self.stages[field].state == CANCELLING:
                    cancel.append(token)
            elif self.late(field, token) == STALE:
                stale.append(token)
        self.release(session, lost)
        return stale, sorted(cancel), len(lost)

    def cancel(self, id_, task):
        answer = {}
        for field, stage in self.stages.items():
            if field[0] == id_ and task in ("", field[1]):
                if stage.state == RUNNING:
                    stage.state = CANCELLING
                elif stage.state == PENDING:
                    self.end(field, CANCELLED)
                answer[field[1]] = stage.state
        return answer


class Walk:
    """Draws operations, plays them on both sides, compares."""

    def __init__(self, gantry, seed):
        self.gantry, self.model, self.random = gantry, Model(), random.Random(seed)
        self.tokens, self.seq, self.old = 0, 0, []

    def field(self, service=None):
        service = service or self.random.choice(SERVICES)
        return "t%d" % self.random.randrange(25), service + "." + self.random.choice("xy")

    def some(self, session):
        """Holds of a session, some of them old, foreign or with a wrong token."""
        items = [(f, h["token"]) for f, h in self.model.held[session].items() if self.random.random() < 0.7]
        if self.old and self.random.random() < 0.3:
            items.append(self.random.choice(self.old))
        if self.random.random() < 0.1:
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

    def submit(self):
        service, priority = self.random.choice(SERVICES), self.random.choice(list(PRIORITY_NAMES))
        tasks = []
        for _ in range(self.random.randrange(1, 6)):
            id_, task = self.field(service)
            known = self.model.stages.get((id_, task))
            self.tokens += 1
            token = known.token if known and self.random.random() < 0.2 else self.tokens
            tasks.append((id_, task, token))
        assert self.gantry.submit(*tasks, service=service, priority=priority, queue_max=QUEUE_MAX) == \
            self.model.submit(service, priority, tasks)

    def claim(self):
        self.seq += 1
        args = (self.random.randrange(1, 6), self.random.randrange(SESSIONS), self.random.choice(SERVICES), self.seq,
                int(self.random.random() < 0.125), struct.pack(">Q", self.seq))
        n, session, service, seq, lowest_first, random8 = args
        got = self.gantry.claim(n, session, service, seq, lowest_first, random8=random8)
        assert [(h["id"], h["task"], h["token"], h["attempt"], h["generation"]) for h in got] == self.model.claim(*args)
        self.old += [((h["id"], h["task"]), h["token"]) for h in got]

    def finish(self):
        session = self.random.randrange(SESSIONS)
        results = [(f, t, self.random.choice((COMPLETED, COMPLETED, SKIPPED, FAILED, CANCELLED))) for f, t in self.some(session)]
        assert self.gantry.finish(*[(self.handout(f, t), s) for f, t, s in results], sid=session) == self.model.finish(session, results)

    def give_back(self):
        session = self.random.randrange(SESSIONS)
        items = self.some(session)
        assert self.gantry.give_back(*[self.handout(*i) for i in items], sid=session) == self.model.give_back(session, items)

    def heartbeat(self):
        session = self.random.randrange(SESSIONS)
        items, claim_open = self.some(session), self.seq + 1 - self.random.randrange(20)
        stale, cancel, lost = self.gantry.heartbeat(*[(self.handout(*i), "0.5") for i in items], sid=session, claim_open=max(0, claim_open))
        assert (stale, sorted(cancel), lost) == self.model.heartbeat(session, items, claim_open)

    def cancel(self):
        id_, task = self.field()
        task = self.random.choice(("", task))
        assert {k: v["state"] for k, v in self.gantry.cancel(id_, task).items()} == self.model.cancel(id_, task)

    def bye(self):
        session = self.random.randrange(SESSIONS)
        self.gantry.call("bye", sid_of(session))
        self.model.release(session, list(self.model.held[session]))

    def expire(self):
        session = self.random.randrange(SESSIONS)
        self.gantry.lapse(session)
        self.gantry.sweep()
        self.model.release(session, list(self.model.held[session]), crashed=True)

    def look(self):
        id_ = self.field()[0]
        got = {k: (v["state"], v["generation"], v["attempt"], v["failures"], v["crashes"]) for k, v in self.gantry.get(id_).items()}
        assert got == {f[1]: (s.state, s.generation, s.attempt, s.failures, s.crashes)
                       for f, s in self.model.stages.items() if f[0] == id_}

    def compare(self):
        for (service, priority), entries in self.model.queues.items():
            assert self.gantry.queue(service, priority) == ["%s/%s %d" % (*f, g) for f, g in entries]
        assert self.gantry.ledger() == self.model.ledger
        listed = {(i, t): s for i, t, s, _ in self.gantry.list()[0]}
        assert listed == {f: s.state for f, s in self.model.stages.items()}


def test_random_operations_agree_with_the_model(server):
    server.flushall()
    walk = Walk(Gantry(server), SEED)
    operations = [walk.submit] * 5 + [walk.claim] * 6 + [walk.finish] * 4 + [walk.give_back, walk.heartbeat, walk.heartbeat, walk.cancel,
                                                                            walk.bye, walk.expire, walk.look, walk.look]
    for step in range(STEPS):
        operation = walk.random.choice(operations)
        try:
            operation()
            walk.gantry.check()
            if step % 20 == 0:
                walk.compare()
        except AssertionError as e:
            raise AssertionError(f"seed {SEED}, step {step}, {operation.__name__}") from e
    walk.compare()
    assert all(walk.model.ledger.get(c) for c in ("completed", "skipped", "failed", "cancelled", "quarantined", "requeues", "crashes"))
