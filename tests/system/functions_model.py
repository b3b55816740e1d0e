"""A model of what the Redis functions promise: plain Python, one rule after the other.  Times are not in it: whoever plays
the operations says which timers and deadlines are due.
"""
import hashlib
import struct

from functions_library import (BUSY, CANCELLED, CANCELLING, COMPLETED, CONFLICT, COUNTERS, FAILED, HIGH, HIT, LOW, MISS, NORMAL, OK, OVER_ALL,
                               OVER_USER, PENDING, PRIORITY_NAMES, QUARANTINED, RETRY, RETURN, RUNNING, SCHEDULED, SKIPPED, SNOOZE, STALE, WAIT, token_of)

NOT_FOUND = 2
HISTORY_MAX = 16
APART = ("delay_ms", "owner", "callback")  # who says one of these is taken by itself
DELIVERY = "system.callback"
VIDEO, VIDEO_LIMITS = "video.process", {"crashes_max": 3, "failures_max": 2, "retry_ms": 1000}  # of created tasks
TOLD = {PENDING: "PENDING", SCHEDULED: "PENDING", RUNNING: "PROCESSING", CANCELLING: "PROCESSING", COMPLETED: "COMPLETED", SKIPPED: "COMPLETED",
        FAILED: "FAILED", QUARANTINED: "FAILED", CANCELLED: "FAILED"}


class Stage:
    def __init__(self):
        self.generation, self.attempt, self.history, self.checkpoint = 0, 0, [], b""
        self.waiting, self.told, self.joined = [], "", set()  # addresses; the one told last, and its delivery; tokens
        self.made = False  # by CreateTask

    def begin(self, priority):
        """It is to run: its counts begin anew."""
        self.failures, self.crashes, self.state, self.started, self.priority, self.kept = 0, 0, PENDING, False, priority, None

    def remember(self, state):
        self.history = (self.history + [(self.attempt, state)])[-HISTORY_MAX:]


class Model:
    def __init__(self, services):
        self.stages = {}  # (id, task) -> Stage
        self.queues = {(s, p): [] for s in (*services, "system", "video") for p in PRIORITY_NAMES}  # (field, generation); the last is the head
        self.held = {}  # session -> field -> hold
        self.timers = {}  # field -> the wait it was set with, or None when it is not told
        self.deadlines = set()  # (field, kind)
        self.owned, self.dead, self.paused = {}, set(), set()
        self.stale = set()  # (field, generation), in a queue
        self.ledger, self.moves = {}, []
        self.hashes, self.outside = {}, []  # created tasks: id -> status; those that nobody has taken, the oldest first

    # what several rules need

    def count(self, counter, by=1):
        self.ledger[counter] = self.ledger.get(counter, 0) + by

    def move(self, field, state):
        self.moves.append(("%s/%s" % field, state))
        if self.stages[field].made and field[0] in self.hashes:
            self.hashes[field[0]] = TOLD[state]

    def queue_of(self, field):
        return self.queues[field[1].split(".")[0], self.stages[field].priority]

    def enqueue(self, field, head=False):
        queue = self.queue_of(field)
        queue.insert(len(queue) if head else 0, (field, self.stages[field].generation))
        self.stages[field].state = PENDING
        self.move(field, PENDING)

    def end(self, field, state, lease=None):
        stage = self.stages[field]
        stage.state, stage.kept = state, lease
        self.owned.pop(field, None)
        self.deadlines -= {(field, kind) for kind in "sc"}
        self.count(COUNTERS[state])
        self.move(field, state)
        if state in (FAILED, QUARANTINED):
            self.dead.add(field)
        for url in stage.waiting:
            self.deliver(field, f"%s/%s {stage.created} {stage.generation} {stage.attempt} {url}" % field, url)
        stage.waiting = []

    def deliver(self, field, what, url):
        """A task like any other, that is made once."""
        delivery = "callback-" + hashlib.sha1(what.encode("latin-1")).hexdigest(), DELIVERY
        self.stages[field].told = f"{url} {delivery[0]}"
        if delivery not in self.stages:
            stage = self.stages[delivery] = Stage()
            stage.token, stage.options = None, {}
            stage.begin(NORMAL)
            self.count("accepted")
            self.enqueue(delivery)

    def end_waiting(self, field, state):
        if self.stages[field].state == SCHEDULED:
            del self.timers[field]
        else:
            self.stale.add((field, self.stages[field].generation))
        self.end(field, state)

    @staticmethod
    def stopped(hold):
        return CANCELLED if "cancel" in hold["flags"] else FAILED if "closed" in hold["flags"] else None

    # submit and replay

    def busy(self, queue, queue_max, owner, quota_user, quota_all):
        mine = sum(1 for o in self.owned.values() if o == owner)
        if len(queue) >= queue_max:
            return BUSY, len(queue), MISS
        if owner and quota_user and mine >= quota_user:
            return BUSY, mine, OVER_USER
        if owner and quota_all and len(self.owned) >= quota_all:
            return BUSY, len(self.owned), OVER_ALL
        return None

    def again(self, field):
        """An ended stage is to run once more."""
        stage = self.stages[field]
        if stage.kept and stage.state in (FAILED, QUARANTINED, CANCELLED):
            stage.remember(stage.state)
        stage.generation += 1
        self.dead.discard(field)

    def submit(self, service, priority, tasks, queue_max, quota_user, quota_all):
        """What is new and says nothing of waiting, of owners and of who is to be told goes first; the others follow, one by one."""
        room, seen, first, then = queue_max - len(self.queues[service, priority]), set(), [], []
        for i, (id_, task, _, _, options) in enumerate(tasks):
            plain = (id_, task) not in self.stages and (id_, task) not in seen and not any(map(options.get, APART))
            (first if plain and len(first) < room else then).append(i)
            seen.add((id_, task))
        answers = {}
        for i in first + then:
            answers[i] = self.submit_one(service, priority, tasks[i], queue_max, quota_user, quota_all)
        return [answers[i] for i in range(len(tasks))]

    def submit_one(self, service, priority, said, queue_max, quota_user, quota_all):
        id_, task, token, _, options = said
        field, owner, queue = (id_, task), options.get("owner"), self.queues[service, priority]
        stage = self.stages.get(field)
        told = stage and (PENDING if stage.state in (RUNNING, CANCELLING) else stage.state)
        refused = self.busy(queue, queue_max, owner, quota_user, quota_all)
        if stage and stage.token == token:
            return OK, told, MISS
        if stage and stage.state < COMPLETED:
            if options.get("callback"):
                self.join(stage, options["callback"], token)
            return OK, told, WAIT
        if stage and stage.state == COMPLETED and options.get("reuse") != "never":
            if options.get("callback") and token not in stage.joined:
                self.deliver(field, f"hit {'/'.join(field)} {token_of(token).decode('latin-1')} {options['callback']}", options["callback"])
            return OK, told, HIT
        if refused:
            return refused
        if stage:
            self.again(field)
            stage.checkpoint = b""
        else:
            stage = self.stages[field] = Stage()
            stage.created = options["created_ms"]
        stage.token, stage.options = token, options
        stage.begin(priority)
        stage.waiting, stage.told, stage.joined = [options["callback"]] if options.get("callback") else [], "", set()
        self.count("accepted")
        if options.get("delay_ms"):
            self.schedule(field, options["delay_ms"])
        else:
            self.enqueue(field)
        if owner:
            self.owned[field] = owner
        for kind, name in (("s", "to_start_ms"), ("c", "to_close_ms")):
            if options.get(name):
                self.deadlines.add((field, kind))
        return OK, stage.state, MISS

    @staticmethod
    def join(stage, url, token):
        if url in stage.waiting:
            stage.waiting.remove(url)
        stage.waiting.append(url)
        stage.joined.add(token)

    def replay(self, field, queue_max):
        stage = self.stages.get(field)
        if not stage:
            return NOT_FOUND
        if field not in self.dead:
            return CONFLICT
        if len(self.queue_of(field)) >= queue_max:
            return BUSY
        self.again(field)
        stage.begin(stage.priority)
        self.count("accepted")
        if stage.options.get("owner"):
            self.owned[field] = stage.options["owner"]
        if stage.told:
            stage.waiting, stage.told, stage.joined = [stage.told.split(" ")[0]], "", set()
        self.enqueue(field)
        return OK

    def purge(self, field):
        if field not in self.stages:
            return -1
        was = field in self.dead
        self.dead.discard(field)
        return int(was)

    # created tasks

    def create(self, id_, created_ms):
        """created_ms is 0 when it was made before."""
        if id_ not in self.hashes:
            self.hashes[id_] = "PENDING"
            self.outside.append((id_, created_ms))

    def is_external(self, id_):
        return id_ in self.hashes and (id_, VIDEO) not in self.stages

    def adopt(self, n):
        depth = sum(len(queue) for (service, _), queue in self.queues.items() if service == "video")
        while depth < n and self.outside and "video" not in self.paused:
            id_, created_ms = self.outside.pop(0)
            field = id_, VIDEO
            if self.hashes.get(id_) != "PENDING" or field in self.stages and self.stages[field].made:
                self.count("created_dropped")
            elif field in self.stages:
                self.stages[field].made = True
                self.hashes[id_] = TOLD[self.stages[field].state]
            else:
                stage = self.stages[field] = Stage()
                stage.token, stage.options, stage.created, stage.made = None, dict(VIDEO_LIMITS), created_ms, True
                stage.begin(NORMAL)
                self.count("accepted")
                self.enqueue(field)
                depth += 1

    def take_outside(self):
        """Somebody else's RPOP and HSET."""
        if self.outside:
            id_, _ = self.outside.pop(0)
            if self.is_external(id_):
                self.hashes[id_] = "PROCESSING"

    # claim

    def claim(self, n, session, service, seq, lowest_first, random8):
        out = []
        for priority in ((LOW, NORMAL, HIGH) if lowest_first else (HIGH, NORMAL, LOW)) if service not in self.paused else ():
            queue = self.queues[service, priority]
            while queue and len(out) < n:
                field, generation = queue.pop()
                stage = self.stages[field]
                if stage.state != PENDING or stage.generation != generation:
                    self.stale.remove((field, generation))
                    continue
                stage.state = RUNNING
                stage.attempt += 1
                token = random8 + struct.pack(">I", len(out))
                self.held.setdefault(session, {})[field] = {"token": token, "seq": seq, "index": len(out), "flags": set()}
                out.append((*field, token, stage.attempt, generation, stage.failures, stage.crashes, stage.checkpoint))
                self.move(field, RUNNING)
        return out

    # what workers say

    def late(self, field, token, put_off):
        stage = self.stages.get(field)
        return OK if stage and stage.kept == token and (put_off or stage.state >= COMPLETED) else STALE

    def hold_of(self, session, field, token):
        hold = self.held.get(session, {}).get(field)
        return hold if hold and hold["token"] == token else None

    def finish(self, session, results):
        answers = []
        for field, token, state in results:
            hold, stage = self.hold_of(session, field, token), self.stages.get(field)
            if not hold:
                answers.append(self.late(field, token, False))
                continue
            if self.stopped(hold):
                state = self.stopped(hold)
            elif state == FAILED:
                stage.failures += 1
            elif state in (COMPLETED, SKIPPED):
                stage.checkpoint = b""
            del self.held[session][field]
            self.end(field, state, token)
            answers.append(OK)
        return answers

    def put_off(self, field, how, wait, token):
        stage = self.stages[field]
        if how == RETRY:
            stage.failures += 1
            if stage.failures >= stage.options["failures_max"]:
                return self.end(field, FAILED, token)
            stage.remember(FAILED)
            self.count("retries")
        stage.generation += 1
        stage.started, stage.kept = True, token
        return self.schedule(field, wait)

    def schedule(self, field, wait):
        self.stages[field].state = SCHEDULED
        self.timers[field] = wait
        self.move(field, SCHEDULED)

    def put_back(self, session, items):
        """items: (field, token, how, wait as the functions reckon it, checkpoint)"""
        answers, back = [], {}
        for field, token, how, wait, checkpoint in items:
            hold = self.hold_of(session, field, token)
            if not hold or field in back:
                answers.append(STALE if how == RETURN else self.late(field, token, True))
                continue
            answers.append(OK)
            self.stages[field].checkpoint = checkpoint or self.stages[field].checkpoint
            if how == RETURN:
                back[field] = bool(checkpoint)
                continue
            del self.held[session][field]
            if self.stopped(hold):
                self.end(field, self.stopped(hold), token)
            else:
                self.put_off(field, how, wait, token)
        self.release(session, back)
        return answers

    def release(self, session, ran, crashed=False):
        """ran: field -> had a worker begun it?"""
        holds = self.held.get(session, {})
        for field in sorted(ran, key=lambda f: (holds[f]["seq"], holds[f]["index"]), reverse=True):
            hold, stage = holds.pop(field), self.stages[field]
            if crashed:
                stage.crashes += 1
                self.count("crashes")
            if self.stopped(hold):
                self.end(field, self.stopped(hold), hold["token"])
            elif crashed and stage.crashes >= stage.options["crashes_max"]:
                self.end(field, QUARANTINED, hold["token"])
            else:
                if crashed:
                    stage.remember(QUARANTINED)
                stage.generation += 1
                stage.started, stage.kept = crashed or ran[field], None
                self.enqueue(field, head=True)
                self.count("requeues")

    def leave(self, session, crashed):
        self.release(session, dict.fromkeys(self.held.get(session, {}), True), crashed)

    def heartbeat(self, session, held, claim_open):
        said, mine = dict(held), self.held.get(session, {})
        lost = {f: False for f, h in mine.items() if said.get(f) != h["token"] and h["seq"] < claim_open}
        stale, cancel = [], []
        for field, token in held:
            hold = self.hold_of(session, field, token)
            if hold:
                if hold["flags"]:
                    cancel.append(token)
            elif self.late(field, token, True) == STALE:
                stale.append(token)
        self.release(session, lost)
        return stale, sorted(cancel), len(lost)

    # cancel, deadlines, timers

    def stop(self, field, flag):
        for holds in self.held.values():
            if field in holds:
                if not holds[field]["flags"]:
                    self.stages[field].state = CANCELLING
                    self.move(field, CANCELLING)
                holds[field]["flags"].add(flag)

    def cancel(self, id_, task):
        answer = {}
        for field, stage in list(self.stages.items()):
            if field[0] == id_ and task in ("", field[1]):
                if stage.state in (PENDING, SCHEDULED):
                    self.end_waiting(field, CANCELLED)
                else:
                    self.stop(field, "cancel")
                answer[field[1]] = stage.state
        if self.is_external(id_) and task in ("", VIDEO):
            if any(out[0] == id_ for out in self.outside) and self.hashes[id_] == "PENDING":
                self.hashes[id_] = "CANCELLED"  # told as FAILED, with a word
                self.outside = [out for out in self.outside if out[0] != id_]
            answer[VIDEO] = self.external_state(id_)
        return answer

    def external_state(self, id_):
        return {"PENDING": PENDING, "PROCESSING": RUNNING, "COMPLETED": COMPLETED, "FAILED": FAILED, "CANCELLED": CANCELLED}[self.hashes[id_]]

    def forget(self, id_, force):
        fields = [f for f in self.stages if f[0] == id_]
        living = [f for f in fields if self.stages[f].state < COMPLETED]
        external = int(self.is_external(id_))
        outside = external and int(self.hashes[id_] in ("PENDING", "PROCESSING"))
        if not fields and not external:
            return [NOT_FOUND, 0]
        if (living or outside) and not force:
            return [CONFLICT, len(living) + outside]
        for field in living:
            if self.stages[field].state in (PENDING, SCHEDULED):
                self.end_waiting(field, CANCELLED)
            else:
                for holds in self.held.values():
                    holds.pop(field, None)
                self.end(field, CANCELLED)
        for queue in self.queues.values():
            queue[:] = [entry for entry in queue if entry[0] not in fields]
        self.stale = {entry for entry in self.stale if entry[0] not in fields}
        for field in fields:
            self.dead.discard(field)
            del self.stages[field]
        if self.hashes.pop(id_, "") == "PENDING":
            self.outside = [out for out in self.outside if out[0] != id_]
        return [OK, len(fields) + external]

    def close(self, deadline):
        field, kind = deadline
        stage = self.stages[field]
        self.deadlines.discard(deadline)
        if stage.state >= COMPLETED:
            return
        waits = stage.state in (PENDING, SCHEDULED)
        begun = stage.started or stage.failures or stage.crashes
        if kind == "c" and not waits:
            self.stop(field, "closed")
        elif waits and (kind == "c" or not begun):
            self.end_waiting(field, FAILED)

    def fire(self, field):
        if self.timers.pop(field, self) is not self:
            self.enqueue(field)


def deadline_member(deadline):
    field, kind = deadline
    return "%s/%s %s" % (*field, kind)
