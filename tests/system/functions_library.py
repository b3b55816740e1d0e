"""What the tests of services/state/functions share: a private redis-server with the library, and its calls by name.

Writes only below the current folder.
"""
import glob
import os
import shutil
import struct
import subprocess
import tempfile
import time

import msgpack
import pytest
import redis

LUA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "services", "state", "functions")
PENDING, SCHEDULED, RUNNING, CANCELLING, COMPLETED, SKIPPED, FAILED, QUARANTINED, CANCELLED = range(9)
MISS, WAIT, HIT, OVER_USER, OVER_ALL = range(5)
RETURN, RETRY, SNOOZE, WAIT_ON = range(4)
OK, CONFLICT, BUSY, STALE = 0, 3, 7, 9
NORMAL, HIGH, LOW = 0, 1, 2
PRIORITY_NAMES = {NORMAL: "normal", HIGH: "high", LOW: "low"}
COUNTERS = {COMPLETED: "completed", SKIPPED: "skipped", FAILED: "failed", QUARANTINED: "quarantined", CANCELLED: "cancelled"}
RECORD = ("bodies", "states", "histories", "checkpoints")
LEASE_MS = 10000
CAP_MS = 3600000
HOUR = 3600000
SEED = int(os.environ.get("GANTRY_SEED", "20240607"))


def library_text():
    return b"".join(open(f, "rb").read() for f in sorted(glob.glob(os.path.join(LUA, "*.lua"))))


def sid_of(n):
    return "%032x" % (n + 1)


def token_of(n):
    return struct.pack(">IIQ", 0x70000000 + n, 0, n)


def read_state(packed):
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(packed)
    head, tail = unpacker.unpack(), unpacker.unpack()
    names = ["state", "flags", "generation", "attempt", "failures", "crashes", "priority", "session", "token", "started_ms", "seq", "ended_ms"]
    assert len(head) == len(names)
    return dict(zip(names, head), **tail)


STATE_SIZE = 99  # and a tail


def put_at(bytes_, at, new):
    return bytes_[:at] + new + bytes_[at + len(new):]


def with_state(packed, state):
    return put_at(packed, 1, bytes([state]))


def with_end(packed, ms):
    return put_at(packed, STATE_SIZE - 8, ms.to_bytes(8, "big"))


def with_tail(packed, tail):
    return packed[:STATE_SIZE] + tail


def read_end(line):
    """What ended in one call: its state, when, and which."""
    state, ms, *fields = line.decode().split(" ")
    return int(state), int(ms), fields


def end_line(state, ms, *fields):
    return " ".join([str(state), str(ms), *fields])


def read_body(body):
    """created_ms, flags, crashes_max, failures_max, retry_ms, the map, token"""
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(body)
    return [unpacker.unpack() for _ in range(7)]


def read_counters(counters):
    """generation, attempt, failures, crashes"""
    marks_and_numbers = struct.unpack(">BIBIBIBI", counters)
    assert marks_and_numbers[::2] == (0xce,) * 4
    return marks_and_numbers[1::2]


class Hold:
    """What `running:<sid>` has of a stage."""

    def __init__(self, packed):
        self.packed = bytearray(packed)
        assert len(packed) in (88, 96)

    flags = property(lambda self: self.packed[0])
    counters = property(lambda self: read_counters(self.packed[1:21]))
    generation = property(lambda self: self.counters[0])
    started_ms = property(lambda self: int.from_bytes(self.packed[71:79], "big"))

    def put(self, at, new):
        self.packed = put_at(self.packed, at, new)
        return self

    def with_counters(self, *counters):
        return self.put(1, b"".join(struct.pack(">BI", 0xce, n) for n in counters))

    def with_token(self, token):
        return self.put(58, token)

    def with_start(self, ms):
        return self.put(71, ms.to_bytes(8, "big"))

    def bytes(self):
        return bytes(self.packed)


def read_history(history):
    out = []
    while history:
        kind, size = struct.unpack(">BI", history[:5])
        assert kind == 0xc6 and len(history) >= 5 + size
        out.append(read_state(history[5:5 + size]))
        history = history[5 + size:]
    return out


def body_of(token, input_, owner=None, callback=None, priority=NORMAL, crashes_max=3, failures_max=5, retry_ms=0, created_ms=None,
            refers=False):
    created = struct.pack(">BQ", 0xcf, int(time.time() * 1000) if created_ms is None else created_ms)
    fixed = struct.pack(">BBBBHBI", (1 if owner else 0) | (2 if callback else 0) | (4 if refers else 0), 0xcc, crashes_max, 0xcd, failures_max, 0xce, retry_ms)
    said = {"input": input_, **({"owner": owner} if owner else {}), "priority": PRIORITY_NAMES[priority]}
    return created + fixed + msgpack.packb(said) + msgpack.packb(token_of(token))


def entry_of(field, generation=0):
    """As it stands in a queue, in the timers."""
    return f"{field} {generation}" if generation else field


def entry_parts(entry):
    field, _, generation = entry.partition(" ")
    return field, int(generation or 0)


def back_off(failures, retry_ms, token, cap_ms=CAP_MS):
    first, _, last = struct.unpack(">III", token)
    share = (first + last % 65536 * 2654435761) % 2 ** 32 / 2 ** 32
    if retry_ms:
        wait = min(retry_ms * 2.0 ** (failures - 1), cap_ms)
        return int(min(wait + wait * share / 10, cap_ms))
    return int(min((failures ** 4 + 15 + share * 10 * (failures + 1)) * 1000, cap_ms))


def moves_of(fields):
    """The transitions of an entry of the stream, in order: (stage, state)."""
    return [(name, int(key)) for key, value in fields.items() if key.isdigit() for name in value.decode().split(" ")]


def entry_of_stream(flat):
    """Its fields; what came into one state may be in several pieces."""
    out = {}
    for key, value in zip(flat[::2], flat[1::2]):
        out[key] = out[key] + b" " + value if key.isdigit() and key in out else value
    return out


class Gantry:
    """The calling conventions of services/state/functions/README.md."""

    def __init__(self, client, shard=""):
        self.redis = client
        self.shard = shard
        self.calls = 0
        self.drain = 0
        self.seen, self.told, self.news, self.scheduled = 0, {}, [], []
        self.names = set()

    def call(self, name, *args):
        return self.redis.execute_command("FCALL", "gantry_" + name, 1, self.shard, *args)

    def submit(self, *tasks, service="a", priority=NORMAL, queue_max=1000000, quota_user=0, quota_all=0):
        """tasks: (id, task, token number[, input[, options]]); answers [(status, state, reuse)]"""
        args = []
        for id_, task, token, *given in tasks:
            options = dict(given[1]) if len(given) > 1 else {}
            limits = {k: options.pop(k) for k in ("crashes_max", "failures_max", "retry_ms", "refers", "created_ms") if k in options}
            body = body_of(token, given[0] if given and given[0] is not None else {"n": token}, options.get("owner"), options.get("callback"), priority, **limits)
            args += [f"{id_}/{task}", body, msgpack.packb(options) if options else ""]
            self.know(task)
        answer = self.call("submit", service, priority, queue_max, quota_user, quota_all, *args)
        usual = [(OK, PENDING, MISS)] * len(tasks)
        if isinstance(answer, int):
            assert answer == len(tasks)
            return usual
        assert len(answer) == 3 * len(tasks)
        return [tuple(answer[i:i + 3]) for i in range(0, len(answer), 3)]

    def know(self, task):
        """As if a worker had registered it: only such a node can be submitted."""
        if task not in self.names:
            self.names.add(task)
            self.redis.hsetnx(self.shard + "nodes", task, msgpack.packb({}))

    def claim(self, n, sid=0, service="a", seq=1, lowest_first=0, worker="w", random8=None, raw=False):
        self.calls += 1
        random8 = random8 or struct.pack(">Q", self.calls)
        more, token8, *flat = self.call("claim", sid_of(sid), service, n, seq, LEASE_MS, lowest_first, random8, worker)
        assert len(flat) % 3 == 0 and token8 == random8
        out = []
        for i in range(0, len(flat), 3):
            field, body, rest = flat[i:i + 3]
            others = rest[1:] if isinstance(rest, list) else None
            left = rest == []
            rest = (rest or [b""])[0] if isinstance(rest, list) else rest
            siblings = None if others is None or left else {others[k].decode(): read_state(others[k + 1]) for k in range(0, len(others), 2)}
            id_, task = field.decode().split("/")
            generation, attempt, failures, crashes = read_counters(rest[:20]) if rest else (0, 1, 0, 0)
            out.append({"id": id_, "task": task, "token": token8 + struct.pack(">I", i // 3), "attempt": attempt, "generation": generation,
                        "failures": failures, "crashes": crashes, "body": body, "checkpoint": rest[20:], "siblings": siblings, "left": left})
        return (more, out) if raw else out

    @staticmethod
    def named(handout):
        return [f"{handout['id']}/{handout['task']}", handout["token"]]

    def finish(self, *results, sid=0, worker="w"):
        """results: (handout, state[, tail])"""
        args = []
        for handout, state, *tail in results:
            tail = tail[0] if tail else {"output": {"x": 1}, "worker": worker}
            args += [*self.named(handout), state, msgpack.packb(tail)]
        answer = self.call("finish", sid_of(sid), worker, *args)
        assert answer == len(results) if isinstance(answer, int) else len(answer) == len(results)
        return [OK] * len(results) if isinstance(answer, int) else answer

    def put_back(self, *items, sid=0, worker="w", cap_ms=CAP_MS):
        """items: (handout, how[, after_ms[, tail[, checkpoint]]])"""
        args = []
        for handout, how, *given in items:
            after, tail, checkpoint = given + ["", {"worker": worker}, b""][len(given):]
            args += [*self.named(handout), how, after, msgpack.packb(tail) if how else "", checkpoint]
        return self.call("give_back", sid_of(sid), worker, cap_ms, *args)

    def give_back(self, *handouts, sid=0):
        return self.put_back(*[(h, RETURN) for h in handouts], sid=sid)

    def heartbeat(self, *held, sid=0, worker="w", claim_open=0, services="a", slots=2):
        """held: (handout, progress text); answers stale tokens, cancel tokens, how many were requeued"""
        args = []
        for handout, progress in held:
            args += [*self.named(handout), progress]
        flat = self.call("heartbeat", sid_of(sid), worker, services, slots, claim_open, LEASE_MS, *args)
        stale, cancel, requeued, self.drain = flat[:4]
        assert len(flat) == 4 + stale + cancel
        return flat[4:4 + stale], flat[4 + stale:], requeued

    def timers(self, most=1024):
        """answers now, when the next is due, how many fired, [(schedule, slot)]"""
        now, due, fired, *crons = self.call("timers", most)
        return now, due, fired, list(zip(crons[::2], crons[1::2]))

    def due(self, *members, key="timers"):
        """Their time has come, in this order."""
        for i, member in enumerate(members):
            assert self.redis.zadd(self.shard + key, {member: i + 1}, xx=True, ch=True) == 1, member

    def get(self, id_, task="", holders=1):
        return self.stages(self.call("get", holders, id_, task))

    def cancel(self, id_, task=""):
        return self.stages(self.call("cancel", id_, task))

    @staticmethod
    def stages(flat):
        assert len(flat) == 1 + 5 * flat[0]
        out = {}
        for i in range(1, len(flat), 5):
            out[flat[i].decode()] = dict(read_state(flat[i + 2]), body=flat[i + 1], history=read_history(flat[i + 3]), callbacks=flat[i + 4].decode())
        return out

    def state(self, id_, task="a.x"):
        return self.get(id_, task)[task]["state"]

    def list(self, state="", service="", limit=1000, cursor="", task="", since_ms=0, until_ms=0):
        cursor, *flat = self.call("list", state, service, task, since_ms, until_ms, limit, cursor)
        return [(flat[i].decode(), flat[i + 1].decode(), flat[i + 2], flat[i + 3]) for i in range(0, len(flat), 4)], cursor

    def sweep(self, lease_ms=LEASE_MS):
        """As if a second had passed since the sweep before."""
        self.redis.set(self.shard + "swept_at", int(time.time() * 1000) - 1000)
        return self.call("sweep", lease_ms)

    def lapse(self, *sids):
        for n in sids:
            self.redis.zadd(self.shard + "sessions", {sid_of(n): int(time.time() * 1000) - 1})

    def ledger(self):
        """the counters that are kept"""
        return {k.decode(): int(v) for k, v in self.redis.hgetall(self.shard + "ledger").items() if int(v)}

    def books(self):
        """the ledger as it is answered"""
        flat = self.call("ledger")
        return dict(zip([k.decode() for k in flat[::2]], flat[1::2]))

    def kept(self, hash_, field):
        """What one of the four hashes of stages has of a stage, or None."""
        return self.redis.hget(self.shard + hash_, field)

    def keep(self, hash_, field, value):
        """As an outsider may."""
        self.redis.hset(self.shard + hash_, field, value)

    def spoil(self, field, packed=b"short"):
        """A stage whose state an outsider wrote."""
        self.keep("bodies", field, "x")
        self.keep("states", field, packed)

    def unspoil(self, *fields):
        for hash_ in ("bodies", "states"):
            self.redis.hdel(self.shard + hash_, *fields)

    def record(self, field):
        return [self.kept(hash_, field) for hash_ in RECORD]

    def queue(self, service="a", priority=NORMAL):
        return [e.decode() for e in self.redis.lrange(f"{self.shard}queue:{service}:{PRIORITY_NAMES[priority]}", 0, -1)]

    def stream(self, start="-"):
        """id, fields of each entry from there on; the client would lose those that come twice"""
        flat = self.redis.eval("return redis.call('XRANGE', KEYS[1], ARGV[1], '+')", 1, self.shard + "events", start)
        return [(id_, entry_of_stream(fields)) for id_, fields in flat]

    def events(self):
        """the entries of the stream without their times"""
        out = [fields for _, fields in self.stream()]
        for fields in out:
            assert next(iter(fields)) == b"at" and abs(int(fields.pop(b"at")) - time.time() * 1000) < 600000
        return out

    def follow(self):
        """Reads the stream on: no number is left out or comes twice; keeps the latest state of each stage."""
        for id_, fields in self.stream("(%d-0" % self.seen):
            moves = moves_of(fields)
            assert id_ == b"%d-0" % (self.seen + max(1, len(moves))), (id_, self.seen, moves)
            self.seen += max(1, len(moves))
            self.told.update(moves)
            self.news += moves
            self.scheduled += [(int(fields[b"at"]), name) for name, state in moves if state == SCHEDULED]
        assert int(self.redis.get(self.shard + "events_seq") or 0) == self.seen

    def load(self):
        """All keys behind the shard: {key without it: value}."""
        P = self.shard
        keys = [k.decode() for k in self.redis.keys(P.replace("{", "[{]") + "*")]
        pipe = self.redis.pipeline(transaction=False)
        reads = {"bodies": pipe.hgetall, "states": pipe.hgetall, "histories": pipe.hgetall, "checkpoints": pipe.hgetall, "running:": pipe.hgetall, "owned": pipe.hgetall, "queue:": lambda k: pipe.lrange(k, 0, -1),
                 "ended:": lambda k: pipe.lrange(k, 0, -1), "timers": lambda k: pipe.zrange(k, 0, -1), "user:": pipe.smembers,
                 "sessions": lambda k: pipe.zrange(k, 0, -1)}
        keys = [k for k in keys if any(k[len(P):].startswith(start) for start in reads)]
        for k in keys:
            next(read for start, read in reads.items() if k[len(P):].startswith(start))(k)
        return {k[len(P):]: value for k, value in zip(keys, pipe.execute())}

    @staticmethod
    def stages_in(store):
        """field -> (state, generation, body)"""
        out, states = {}, store.get("states", {})
        for field, body in store.get("bodies", {}).items():
            packed = states.get(field)
            head = (packed[1], struct.unpack(">I", packed[4:8])[0]) if packed else (PENDING, 0)
            out[field.decode()] = (*head, body)
        return out

    def check(self):
        """Every stage that is not terminal is held by exactly one, the ledger adds up, the events tell what happened."""
        store = self.load()
        stages = self.stages_in(store)
        entries, holds, ended = {}, {}, 0
        for k, value in store.items():
            if k.startswith("queue:"):
                for e in value:
                    entries[e.decode()] = entries.get(e.decode(), 0) + 1
            elif k.startswith("running:"):
                for field, hold in value.items():
                    assert field.decode() not in holds
                    holds[field.decode()] = Hold(hold)
            elif k.startswith("ended:"):
                ended += sum(len(read_end(line)[2]) for line in value)
        timers = {t.decode() for t in store.get("timers", [])}
        for kept in ("states", "histories", "checkpoints"):
            assert {f.decode() for f in store.get(kept, {})} <= set(stages)
        counts = dict.fromkeys(("scheduled", "pending", "running"), 0)
        owned = set()
        self.follow()
        for field, (state, generation, body) in stages.items():
            entry = entry_of(field, generation)
            held = (entries.get(entry, 0) if state == PENDING else 0, int(field in holds), int(entry in timers))
            now = RUNNING if field in holds and state == PENDING else state
            if now == RUNNING and holds[field].flags & 3:
                now = CANCELLING
            assert self.told.get(field) == now, (field, self.told.get(field), now)
            if state < COMPLETED:
                assert sum(held) == 1 and held[2] == (state == SCHEDULED), (field, state, held)
                counts["scheduled" if held[2] else "pending" if held[0] else "running"] += 1
                if body[9] & 1:
                    owned.add(field)
                assert field not in holds or bool(holds[field].flags & 4) == bool(body[9] & 1)
            else:
                assert held[1:] == (0, 0), (field, held)
        assert set(holds) <= set(stages) and {t.split(" ")[0] for t in timers} <= set(stages)
        assert {k[8:] for k in store if k.startswith("running:")} <= {s.decode() for s in store.get("sessions", [])}
        assert {f.decode() for f in store.get("owned", {})} == owned
        assert sorted((u, f) for f, u in store.get("owned", {}).items()) == \
            sorted((k[5:].encode(), f) for k, v in store.items() if k.startswith("user:") for f in v)
        books = self.books()
        assert {k: books[k] for k in counts} == counts and books["balanced"] == 1, (books, counts)
        over = sum(books[c] for c in COUNTERS.values())
        assert books["accepted"] == over + sum(counts.values()) and ended == over, (books, ended)


@pytest.fixture(scope="session")
def server():
    folder = tempfile.mkdtemp(prefix="functions-", dir=".")
    child = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", "r.sock", "--save", "", "--appendonly", "no",
                              "--dir", ".", "--maxmemory-policy", "noeviction"], cwd=folder, stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=os.path.join(folder, "r.sock"))
    for _ in range(200):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.02)
    client.execute_command("FUNCTION", "LOAD", library_text())
    yield client
    client.close()
    child.terminate()
    child.wait()
    shutil.rmtree(folder)
