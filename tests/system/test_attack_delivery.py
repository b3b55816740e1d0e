"""Peers that mean harm, and operators who are tired: schedules, updates, retries, steering, a store that was emptied or is another's."""
import secrets
import struct
import subprocess
import time

import msgpack
import pytest
import zmq

import harness
from harness import BUSY, INVALID, MALFORMED, NOT_FOUND, OK, STALE, TOO_LARGE, UNAVAILABLE, until

VERBS = {**harness.VERBS, "CLAIM": 20, "HEARTBEAT": 21, "DONE": 22, "RETURN": 23, "REGISTER": 24, "DRAIN": 36}
SESSION = b"s" * 16
ODD = [None, True, 0, 1, -1, 2 ** 53 - 1, 2 ** 53 + 1, 2 ** 64 - 1, -2 ** 63, 1.5, float("nan"), float("inf"), "", "*", "[a-z]*", "a\nb",
       "a\0b", "\x1b[31m", "../..", "/etc/localtime", "视频", "x" * 5000, b"", b"x" * 12, b"\0" * 70000, [], [1], {}, {"a": 1}, "retry",
       "snoozed", "drain", "set", "0 0 30 2 *", "* * * * *", "America", "posix/UTC", "9" * 40, "snan x", "sinf x", "s1e400 x", "e1 99",
       [[[[[[[[[[[[]]]]]]]]]]]], msgpack.ExtType(5, b"abc")]
RAW = [b"\xa3\xed\xa0\x80", b"\xa2\xff\xfe", b"\xdb\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 200 + b"\x90", b"\xc1"]
SOUND = {
    "SUBSCRIBE": ({"since": 1, "timeout_ms": 10}, ("since", "id", "service", "limit")),
    "WHY": ({"id": "g"}, ("id", "task")),
    "REPLAY": ({"id": "g"}, ("id", "task")),
    "PURGE": ({"id": "g"}, ("id", "task")),
    "STEER": ({"action": "pause", "service": "zzz"}, ("action", "service", "worker")),
    "CRON": ({"action": "set", "name": "n", "schedule": "0 0 1 1 *", "task": "system.echo"},
             ("action", "name", "schedule", "zone", "task", "input", "priority", "timeout_ms", "next_ms")),
    "LIST": ({}, ("state", "service", "task", "since_ms", "until_ms", "limit", "cursor")),
    "SUBMIT": ({"id": "f", "task": "system.echo", "token": b"t" * 16, "delay_ms": 10 ** 9},
               ("owner", "delay_ms", "not_before_ms", "schedule_to_start_ms", "schedule_to_close_ms", "failures_max", "crashes_max", "retry_ms")),
    "DONE": ({"id": "g", "task": "system.echo", "session": SESSION, "token": b"k" * 12, "state": "retry"},
             ("id", "session", "token", "state", "error", "usage", "retry_after_ms", "checkpoint")),
    "RETURN": ({"id": "g", "task": "system.echo", "session": SESSION, "token": b"k" * 12}, ("id", "token", "checkpoint")),
    "HEARTBEAT": ({"session": SESSION, "claim_open": 1, "held": []}, ("claim_open", "worker", "services", "slots", "held")),
    "DRAIN": ({"on": False}, ("on",)),
}
LISTS = ("SUBMIT", "DONE", "RETURN")
REFUSED = (INVALID, MALFORMED, TOO_LARGE, NOT_FOUND, harness.CONFLICT, BUSY, STALE)


class Peer:
    """A peer of any role that sends what it likes."""

    def __init__(self, system, endpoint, role, service="zzz"):
        self.socket = system.zmq.socket(zmq.DEALER)
        self.socket.linger = self.socket.sndhwm = self.socket.rcvhwm = 0
        self.socket.connect(endpoint)
        self.request, self.epoch, self.answers = 0, 0, {}
        if role:
            self.epoch = self.ask("HELLO", {"role": role, "name": "odd", "session": SESSION, "services": [service], "slots": 9}
                                  if role == "worker" else {"role": role})[1]["epoch"]

    def say(self, verb, body, service="", count=None):
        self.request += 1
        packed = body if isinstance(body, bytes) else msgpack.packb(body)
        header = [harness.MAGIC, VERBS[verb], self.request, self.epoch, 0, service, 0, len(body) if count is None else count, 0, ""]
        self.socket.send_multipart([msgpack.packb(header), packed])
        return self.request

    def end(self, request, seconds=10):
        end = time.monotonic() + seconds
        while request not in self.answers:
            assert time.monotonic() < end, "no answer"
            if self.socket.poll(100):
                header, *body = self.socket.recv_multipart()
                header = msgpack.unpackb(header)
                self.answers[header[2]] = header[4], msgpack.unpackb(body[0], strict_map_key=False) if body and body[0] else None
        return self.answers.pop(request)

    def ask(self, verb, body, **more):
        return self.end(self.say(verb, body, **{"count": len(body) if isinstance(body, list) else 0, **more}))


@pytest.fixture(scope="module")
def town():
    with harness.System("town", states=2, lease_ms=4000, liveness_ms=3000) as made:
        made.front = made.client()
        made.front.ready("system.echo")
        yield made


def well(system, seconds=5):
    """A normal task is done soon, and nobody was killed."""
    begin = time.monotonic()
    assert system.front.run("well-" + secrets.token_hex(6), value=1)["state"] == "completed"
    assert time.monotonic() - begin < seconds, time.monotonic() - begin
    system.check()


@pytest.mark.parametrize("verb", SOUND)
def test_odd_values(town, verb):
    role, endpoint = ("worker", "ipc://run/workers0") if verb in ("DONE", "RETURN", "HEARTBEAT") else ("client", "ipc://run/clients0")
    peer = Peer(town, endpoint, role) if verb != "DRAIN" else Peer(town, "ipc://run/status0", "")
    sound, fields = SOUND[verb]
    asked = {}
    for field in fields:
        for value in ODD:
            body = {**sound, field: value, **({"id": "f" + secrets.token_hex(5)} if verb == "SUBMIT" else {})}
            asked[peer.say(verb, [body] if verb in LISTS else body, service="system" if verb == "SUBMIT" else "",
                           count=int(verb in LISTS))] = field, value
        for value in RAW:
            body = b"\x91" * (verb in LISTS) + b"\x81" + msgpack.packb(field) + value
            asked[peer.say(verb, body, count=int(verb in LISTS))] = field, value
    for request, what in asked.items():
        status, body = peer.end(request)
        if status == OK and verb in LISTS:
            status, body = body[0]["status"], body[0]
        assert status == OK or (status in REFUSED and (body["message"] or status == STALE)), (what, status, body)
    if verb == "DRAIN":
        assert peer.ask(verb, {"on": False})[0] == OK
    peer.socket.close()
    well(town)


def test_one_that_is_put_off_for_ever_costs_others_little(town):
    node = {"name": "odd.odd", "inputs": [], "outputs": []}
    worker = Peer(town, "ipc://run/workers0", "worker", "odd")
    beat = lambda seq, *held: worker.ask("HEARTBEAT", {"session": SESSION, "claim_open": seq, "held": list(held)})  # noqa: E731
    assert worker.ask("REGISTER", {"session": SESSION, "nodes": [node]})[0] == OK
    beat(1)
    town.front.submit(town.front.task("circle", "odd.odd"))
    end, seq = time.monotonic() + 3, 0
    while time.monotonic() < end:
        seq += 1
        [item] = worker.ask("CLAIM", {"session": SESSION, "seq": seq}, count=1)[1]
        result = {key: item[key] for key in ("id", "task", "session", "token")}
        beat(seq + 1, {key: item[key] for key in ("id", "task", "token")})
        said = worker.ask("DONE", [{**result, "state": "snoozed", "retry_after_ms": 1, "checkpoint": "x" * 65000}])
        assert said[1][0]["status"] == OK, said
        assert worker.ask("DONE", [{**result, "token": b"k" * 12, "state": "retry"}])[1][0]["status"] == STALE
        if seq % 20 == 0:
            well(town)
    assert seq > 20 and town.front.stage("circle", "odd.odd").get("failures", 0) == 0
    assert town.front.ask("CANCEL", {"id": "circle"}).status == OK
    worker.socket.close()
    until(lambda: town.front.stage("circle", "odd.odd")["state"] == "cancelled")
    assert town.front.ask("LEDGER").body["balanced"]


def pack_body(n):
    return (b"\xcf" + struct.pack(">Q", int(time.time() * 1000)) + b"\0\xcc\x03\xcd\0\x05\xce\0\0\0\0" +
            msgpack.packb({"input": {}, "priority": "normal"}) + b"\xc4\x10" + struct.pack(">QQ", n, 7))


def fill(db, count):
    """Long names in full entries: what a reader of the stream gets most of."""
    for first in range(0, count, 1000):
        args = [a for n in range(first, first + 1000) for a in (f"t{n}".ljust(120, "x") + "/other." + "y" * 50, pack_body(n), "")]
        db.execute_command("FCALL", "gantry_submit", 1, "", "other", 0, 10 ** 8, 0, 0, *args)


def test_floods_of_subscribers_hold_up_nobody(town):
    since = int(town.db.get("events_seq"))
    peer = Peer(town, "ipc://run/clients0", "client")
    for _ in range(3000):  # for updates that do not come
        peer.say("SUBSCRIBE", {"since": since, "service": "zzz", "timeout_ms": 20000})
    status, body = peer.end(peer.request)
    assert (status, body["scope"], body["limit"]) == (BUSY, "subscribers", 1024), body
    until(lambda: town.front.ask("STATUS").body["requests_in_flight"] <= 2048)
    well(town)
    fill(town.db, 40000)
    well(town)
    peer.socket.close()

    peer = Peer(town, "ipc://run/clients0", "client")
    for _ in range(900):  # through all that the stream keeps
        peer.say("SUBSCRIBE", {"since": since, "service": "zzz", "timeout_ms": 2000})
    for _ in range(5):
        well(town)
    assert town.redis.rss() < 300 << 20
    peer.socket.close()


def test_hundreds_of_looks_at_a_large_record_hold_up_nobody(town):
    assert town.front.run("large", value="x" * 900_000)["state"] == "completed"
    peer = Peer(town, "ipc://run/clients0", "client")
    for _ in range(500):
        peer.say("GET", {"id": "large"})
    for _ in range(3):
        well(town)
    assert town.redis.rss() < 300 << 20
    peer.socket.close()


def test_names_that_are_steered_are_bounded(town):
    for name, action in (("paused", "pause"), ("draining", "drain")):
        town.db.delete(name)
        town.db.sadd(name, *(f"n{n}" for n in range(10000)))
        ask = lambda word, who: town.front.ask("STEER", {"action": word, "service": who, "worker": who})  # noqa: E731
        full = ask(action, "one_more")
        assert (full.status, full.body["limit"]) == (BUSY, 10000) and full.body["message"]
        assert ask(action, "n1").status == OK and not ask(action, "n1").body.get("changed")
        assert ask("resume" if action == "pause" else "undrain", "n1").body["changed"]
        assert ask(action, "one_more").body["changed"]
        town.db.delete(name)
    well(town)


def test_an_emptied_store_is_one_to_go_on_with():
    with harness.System("emptied", brokers=2, states=2) as system:
        front = system.client()
        front.ready("system.echo")
        assert front.run("before", value=1)["state"] == "completed"
        system.db.flushall()
        until(lambda: front.ask("NODES").body, 25, 0.2)
        until(lambda: front.submit(front.task("after", value=1))[0]["status"] == OK)
        assert front.wait(("after", "system.echo"))[0]["status"] == "completed"
        assert front.ask("LEDGER").body["balanced"]


def test_records_of_a_former_version_are_left_alone():
    with harness.System("former", states=0) as system:
        library = ("#!lua name=gantry\nredis.register_function{function_name='gantry_version', callback=function() return 1001 end, "
                   "flags={'no-writes'}}")
        system.db.execute_command("FUNCTION", "LOAD", library)
        system.db.hset("ledger", "accepted", 1)
        system.db.hset("task:a", "system.echo", b"\xcf\0\0\0\0\0\0\0\1\xc4\x10" + b"k" * 16 + b"\x81\xa5input\x80")
        before = system.db.hgetall("task:a")
        system.states.append(system.state(0))
        until(lambda: "records of an older Gantry" in system.states[0].said())
        front = system.client()
        assert front.ask("GET", {"id": "a"}).status == UNAVAILABLE
        assert system.db.hgetall("task:a") == before
        assert system.db.execute_command("FCALL_RO", "gantry_version", 1, "") == 1001
        system.db.flushall()
        front.ready("system.echo")
        assert front.run("a", value=1)["state"] == "completed"
        assert system.db.execute_command("FCALL_RO", "gantry_version", 1, "") >= 2000


@pytest.mark.parametrize("flags, word", [
    (["--queue-limits=a"], "queue.limits"), (["--queue-limits=a=0"], "queue.limits"), (["--queue-limits=a=1,a=2"], "queue.limits"),
    (["--queue-limits=A b=1"], "queue.limits"), (["--queue-limits=a=99999999999999999999"], "queue.limits"), (["--retry-cap=1"], "retry-cap"),
    (["--quota-user=-1"], "quota"), (["--redis-shard=" + "x" * 65], "redis.shard"),
])
def test_settings_that_are_none_are_named(flags, word, tmp_path):
    end = subprocess.run([harness.BIN + "/gantry-state", "--state-brokers=ipc://nobody", *flags], cwd=tmp_path, capture_output=True, text=True,
                         timeout=20)
    assert end.returncode and word in end.stderr, end.stderr
