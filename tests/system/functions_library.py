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
PENDING, RUNNING, CANCELLING, COMPLETED, SKIPPED, FAILED, QUARANTINED, CANCELLED = 0, 2, 3, 4, 5, 6, 7, 8
MISS, WAIT, HIT = 0, 1, 2
OK, CONFLICT, BUSY, STALE = 0, 3, 7, 9
NORMAL, HIGH, LOW = 0, 1, 2
PRIORITY_NAMES = {NORMAL: "normal", HIGH: "high", LOW: "low"}
COUNTERS = {COMPLETED: "completed", SKIPPED: "skipped", FAILED: "failed", QUARANTINED: "quarantined", CANCELLED: "cancelled"}
LEASE_MS = 10000
SEED = int(os.environ.get("GANTRY_SEED", "20240607"))


def library_text():
    return b"".join(open(f, "rb").read() for f in sorted(glob.glob(os.path.join(LUA, "*.lua"))))


def sid_of(n):
    return "%032x" % (n + 1)


def token_of(n):
    return struct.pack(">IIQ", 0x70000000, 0, n)


def read_state(packed):
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(packed)
    head, tail = unpacker.unpack(), unpacker.unpack()
    names = ["state", "generation", "attempt", "failures", "crashes", "token", "session", "started_ms", "ended_ms", "priority"]
    assert len(head) == len(names)
    return dict(zip(names, head), **tail)


def read_body(body):
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(body)
    return unpacker.unpack(), unpacker.unpack(), unpacker.unpack()


class Gantry:
    """The calling conventions of services/state/functions/README.md."""

    def __init__(self, client, shard=""):
        self.redis = client
        self.shard = shard
        self.calls = 0

    def call(self, name, *args):
        return self.redis.execute_command("FCALL", "gantry_" + name, 1, self.shard, *args)

    def submit(self, *tasks, service="a", priority=NORMAL, queue_max=1000000):
        """tasks: (id, task, token number[, input]); answers [(status, state, reuse)]"""
        args = []
        for id_, task, token, *given in tasks:
            rest = msgpack.packb(token_of(token)) + msgpack.packb({"input": given[0] if given else {"n": token}})
            args += [id_, task, rest]
        flat = self.call("submit", service, priority, queue_max, *args)
        return [tuple(flat[i:i + 3]) for i in range(0, len(flat), 3)]

    def claim(self, n, sid=0, service="a", seq=1, lowest_first=0, worker="w", random8=None, raw=False):
        self.calls += 1
        random8 = random8 or struct.pack(">Q", self.calls)
        more, *flat = self.call("claim", sid_of(sid), service, n, seq, LEASE_MS, lowest_first, random8, worker)
        names = ["id", "task", "token", "attempt", "generation", "body"]
        out = [dict(zip(names, flat[i:i + 6])) for i in range(0, len(flat), 6)]
        for handout in out:
            handout["id"], handout["task"] = handout["id"].decode(), handout["task"].decode()
        return (more, out) if raw else out

    def finish(self, *results, sid=0, worker="w"):
        """results: (handout, state[, tail])"""
        args = []
        for handout, state, *tail in results:
            tail = tail[0] if tail else {"output": {"x": 1}, "worker": worker}
            args += [handout["id"], handout["task"], handout["token"], state, msgpack.packb(tail)]
        return self.call("finish", sid_of(sid), worker, *args)

    def give_back(self, *handouts, sid=0):
        return self.call("give_back", sid_of(sid), *[h[k] for h in handouts for k in ("id", "task", "token")])

    def heartbeat(self, *held, sid=0, worker="w", claim_open=0):
        """held: (handout, progress text); answers stale tokens, cancel tokens, how many were requeued"""
        args = []
        for handout, progress in held:
            args += [handout["id"], handout["task"], handout["token"], progress]
        flat = self.call("heartbeat", sid_of(sid), worker, claim_open, LEASE_MS, *args)
        stale, cancel, requeued = flat[:3]
        assert len(flat) == 3 + stale + cancel
        return flat[3:3 + stale], flat[3 + stale:], requeued

    def get(self, id_, task="", holders=1):
        return self.stages(self.call("get", holders, id_, task))

    def cancel(self, id_, task=""):
        return self.stages(self.call("cancel", id_, task))

    @staticmethod
    def stages(flat):
        assert len(flat) == 1 + 3 * flat[0]
        out = {}
        for i in range(1, len(flat), 3):
            out[flat[i].decode()] = dict(read_state(flat[i + 2]), body=flat[i + 1])
        return out

    def state(self, id_, task="a.x"):
        return self.get(id_, task)[task]["state"]

    def list(self, state="", service="", limit=1000, cursor=""):
        cursor, *flat = self.call("list", state, service, limit, cursor)
        return [(flat[i].decode(), flat[i + 1].decode(), flat[i + 2], flat[i + 3]) for i in range(0, len(flat), 4)], cursor

    def sweep(self, lease_ms=LEASE_MS):
        """As if a second had passed since the sweep before."""
        self.redis.set(self.shard + "swept_at", int(time.time() * 1000) - 1000)
        return self.call("sweep", lease_ms)

    def lapse(self, *sids):
        for n in sids:
            self.redis.zadd(self.shard + "sessions", {sid_of(n): int(time.time() * 1000) - 1})

    def ledger(self):
        return {k.decode(): int(v) for k, v in self.redis.hgetall(self.shard + "ledger").items()}

    def queue(self, service="a", priority=NORMAL):
        return [e.decode() for e in self.redis.lrange(f"{self.shard}queue:{service}:{PRIORITY_NAMES[priority]}", 0, -1)]

    def events(self):
        return [{k: v for k, v in fields.items()} for _, fields in self.redis.xrange(self.shard + "events")]

    def check(self):
        """Every stage that is not terminal is held by exactly one, and the ledger balances."""
        P = self.shard
        keys = [k.decode() for k in self.redis.keys(P.replace("{", "[{]") + "*")]
        pipe = self.redis.pipeline(transaction=False)
        for k in keys:
            k = k[len(P):]
            if k.startswith("task:") or k.startswith("running:"):
                pipe.hgetall(P + k)
            elif k.startswith("queue:"):
                pipe.lrange(P + k, 0, -1)
            elif k.startswith("ended:"):
                pipe.llen(P + k)
            else:
                pipe.exists(P + k)
        states, entries, holds, running, ended = {}, {}, {}, [], 0
        for k, value in zip(keys, pipe.execute()):
            k = k[len(P):]
            if k.startswith("task:"):
                for field, body in value.items():
                    if not field.endswith(b".s"):
                        packed = value.get(field + b".s")
                        head = (packed[1], struct.unpack(">I", packed[3:7])[0]) if packed else (PENDING, 0)
                        states[k[5:] + "/" + field.decode()] = head
            elif k.startswith("queue:"):
                for e in value:
                    entries[e.decode()] = entries.get(e.decode(), 0) + 1
            elif k.startswith("running:"):
                running.append(k[8:])
                for field, hold in value.items():
                    holds[field.decode()] = holds.get(field.decode(), 0) + 1
                    assert len(hold) in (51, 59)
            elif k.startswith("ended:"):
                ended += value
        live = 0
        for field, (state, generation) in states.items():
            queued = entries.get(f"{field} {generation}", 0)
            if state < COMPLETED:
                live += 1
                assert state == PENDING
                assert queued + holds.get(field, 0) == 1, (field, queued, holds.get(field, 0))
            else:
                assert field not in holds
        assert set(holds) <= set(states)
        sessions = {s.decode() for s in self.redis.zrange(P + "sessions", 0, -1)}
        assert set(running) <= sessions
        ledger = self.ledger()
        over = sum(ledger.get(c, 0) for c in COUNTERS.values())
        assert ledger.get("accepted", 0) == over + live, (ledger, live)
        assert ended == over


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
