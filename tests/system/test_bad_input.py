"""What is wrong is refused by a typed answer that names the field or the limit, through the whole system by the wire;
nobody is killed or held up by it: a normal task goes through within a second afterwards.
"""
import os
import secrets
import socket
import time

import msgpack
import pytest
import zmq

from harness import (BUSY, INVALID, MALFORMED, NOT_FOUND, OK, TOO_LARGE, UNAVAILABLE, UNSUPPORTED, VERBS, System, until)

BODY_MAX, BATCH_MAX = 65536, 64
AUDIO, SLEEP, ECHO = "ffmpeg.extract_audio", "system.sleep", "system.echo"
SOUND_S = 1.0  # how soon a normal task is done


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def town():
    port = free_port()
    with System("bad", worker_slots=4, worker_services="ffmpeg,system", limits_body_bytes=BODY_MAX, limits_batch=BATCH_MAX,
                broker_clients=f"tcp://127.0.0.1:{port}") as system:
        system.port = port
        client = system.client()
        client.ready(ECHO, AUDIO)
        yield system, client


@pytest.fixture
def system(town):
    return town[0]


@pytest.fixture
def client(town):
    return town[1]


@pytest.fixture(autouse=True)
def sound(request):
    """After each test: everybody runs, and a normal task is done soon."""
    yield
    if "town" in request.fixturenames:
        system, client = request.getfixturevalue("town")
        well(system, client)


def well(system, client):
    begin = time.monotonic()
    stage = client.run(f"well-{secrets.token_hex(6)}", value="well")
    assert stage["output"] == {"value": "well"} and time.monotonic() - begin < SOUND_S, stage
    system.check()


def submit_one(client, service=None, **task):
    task = {"id": "x-" + secrets.token_hex(6), "task": ECHO, "token": secrets.token_bytes(16), **task}
    answer = client.ask("SUBMIT", [task], service=service or str(task["task"]).split(".")[0])
    assert answer.status == OK, answer
    return answer.body[0]


@pytest.mark.parametrize("status, field, task", [
    (NOT_FOUND, "task", {"task": "system.nothing"}),
    (NOT_FOUND, "task", {"task": "nowhere.echo"}),
    (INVALID, "task", {"task": "System.Echo", "service": "system"}),
    (INVALID, "task", {"task": "echo", "service": "system"}),
    (INVALID, "task", {"task": ECHO, "service": "ffmpeg"}),
    (INVALID, "id", {"id": "../../etc"}),
    (INVALID, "id", {"id": "a/b"}),
    (INVALID, "id", {"id": "a..b"}),
    (INVALID, "id", {"id": ".hidden"}),
    (INVALID, "id", {"id": "pending"}),
    (INVALID, "id", {"id": ""}),
    (INVALID, "id", {"id": "a" * 129}),
    (INVALID, "id", {"id": "a\0b"}),
    (INVALID, "id", {"id": "视频"}),
    (INVALID, "id", {"id": 7}),
    (INVALID, "token", {"token": b"short"}),
    (INVALID, "token", {"token": "a text of sixteen"[:16]}),
    (INVALID, "input", {"input": [1]}),
    (INVALID, "input.nothing", {"input": {"nothing": 1}}),
    (INVALID, "input.seconds", {"task": SLEEP, "input": {}}),
    (INVALID, "input.seconds", {"task": SLEEP, "input": {"seconds": "long"}}),
    (INVALID, "input.exit", {"task": SLEEP, "input": {"seconds": 1, "exit": 1.5}}),
    (INVALID, "input.video_path", {"task": AUDIO, "input": {}}),
    (INVALID, "input.video_path", {"task": AUDIO, "input": {"video_path": ["a"]}}),
    (INVALID, "input.keyframe_sample_count", {"task": "ffmpeg.extract_keyframes", "input": {
        "video_path": "a.mp4", "keyframe_sample_count": "many"}}),
    (INVALID, "timeout_ms", {"timeout_ms": -1}),
    (INVALID, "callback", {"callback": "file:///etc/passwd"}),
])
def test_wrong_task(client, status, field, task):
    receipt = submit_one(client, **task)
    assert (receipt["status"], receipt["field"]) == (status, field) and receipt["message"], receipt


def test_the_sound_ones_of_a_batch_are_kept(system, client):
    tasks = [client.task(f"batch-{n}", value=n) for n in range(9)]
    tasks[2]["id"], tasks[5]["task"], tasks[7]["input"] = "..", "system.nothing", {"nothing": 1}
    answer = client.ask("SUBMIT", tasks, service="system")
    assert [receipt["status"] for receipt in answer.body] == [OK, OK, INVALID, OK, OK, NOT_FOUND, OK, INVALID, OK]
    client.wait(*((task["id"], ECHO) for task, receipt in zip(tasks, answer.body) if receipt["status"] == OK))
    system.settle()


@pytest.mark.parametrize("code, path", [
    ("NOT_FOUND", "{in}/nothing.mp4"),
    ("NOT_FOUND", "nothing.mp4"),
    ("DENIED", "/etc/passwd"),
    ("DENIED", "../../../../../../etc/passwd"),
    ("DENIED", "{in}/link.mp4"),
    ("INVALID", "{in}/folder"),
    ("INVALID", "{in}/empty.mp4"),
    ("DENIED", "http://localhost/a.mp4"),
    ("UNSUPPORTED", "ftp://localhost/a.mp4"),
    ("UNSUPPORTED", "minio://gantry/a.mp4"),
])
def test_a_file_that_cannot_be_read(system, client, code, path):
    folder = system.folder + "/in"
    os.makedirs(folder + "/folder", exist_ok=True)
    open(folder + "/empty.mp4", "w").close()
    if not os.path.islink(folder + "/link.mp4"):
        os.symlink("/etc/passwd", folder + "/link.mp4")
    id_ = "file-" + secrets.token_hex(6)
    stage = client.run(id_, AUDIO, video_path=path.replace("{in}", folder))
    error = stage["error"]
    assert (stage["state"], error["code"]) == ("failed", code) and error["message"], stage
    assert error["field"] == "video_path", stage
    assert not os.listdir(f"{system.folder}/share/{id_}/tmp")


@pytest.mark.parametrize("verb", ("GET", "WAIT", "CANCEL"))
def test_wrong_references(client, verb):
    for id_ in ("../../etc", "pending", "", "a" * 129):
        answer = client.ask(verb, {"id": id_})
        assert (answer.status, answer.body["field"]) == (INVALID, "id"), answer
    answer = client.ask(verb, {"id": "nobody-knows-it"})
    assert answer.status == NOT_FOUND and answer.body["message"], answer
    answer = client.ask(verb, {"id": "nobody-knows-it", "task": "Not A Node"})
    assert answer.status in (INVALID, NOT_FOUND), answer


def test_too_large(client):
    answer = client.ask("SUBMIT", [client.task("large", value="x" * BODY_MAX)], service="system")
    assert (answer.status, answer.body["field"], answer.body["limit"]) == (TOO_LARGE, "body", BODY_MAX), answer
    assert answer.body["current"] > BODY_MAX
    answer = client.ask("SUBMIT", [client.task(f"many-{n}", value=n) for n in range(BATCH_MAX + 1)], service="system")
    assert (answer.status, answer.body["field"], answer.body["limit"]) == (TOO_LARGE, "count", BATCH_MAX), answer
    lie = [client.task(f"lie-{n}", value=n) for n in range(3)]
    for count in (0, 2, 4):
        assert client.ask("SUBMIT", lie, service="system", count=count).status in (INVALID, MALFORMED)


def nested(depth):
    return b"\x91" * depth + b"\x90"


@pytest.mark.parametrize("body, service, priority, status", [
    (b"", "system", 0, MALFORMED),
    (b"\xc1", "system", 0, MALFORMED),
    (b"\x91", "system", 0, MALFORMED),
    (b"\x91\x80\x80", "system", 0, MALFORMED),
    (b"\xdd\xff\xff\xff\xff", "system", 0, MALFORMED),
    (nested(200), "system", 0, MALFORMED),
    (b"\x80", "system", 0, (INVALID, MALFORMED)),
    (msgpack.packb([{}]), "system", 9, INVALID),
    (msgpack.packb([{}]), "", 0, INVALID),
    (msgpack.packb([{}]), "SYSTEM", 0, INVALID),
    (msgpack.packb([{}]), "s" * 33, 0, INVALID),
    (msgpack.packb([{}]), "s" * 32, 0, OK),
])
def test_wrong_messages(client, body, service, priority, status):
    answer = client.ask("SUBMIT", body, service=service, priority=priority, count=1)
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
    if answer.status == OK:
        assert answer.body[0]["status"] == INVALID and answer.body[0]["field"] == "id"
        return
    assert answer.body["message"], answer
    if answer.status == INVALID and body != b"\x80":
        assert answer.body["field"] == ("priority" if priority else "service"), answer


GOOD = [0x4701, 30, 5, 0, 0, "", 0, 0, 0, ""]


@pytest.mark.parametrize("frames", [
    [b""], [b"junk"], [b"", b""], [os.urandom(300), b""], [msgpack.packb(GOOD[:9]), b""], [msgpack.packb(GOOD + [1]), b""],
    [msgpack.packb([1] + GOOD[1:]), b""],
    [msgpack.packb(GOOD[:5] + [7] + GOOD[6:]), b""], [msgpack.packb(GOOD), b"", b""], [msgpack.packb(GOOD)] + [b"x"] * 20, [msgpack.packb({"verb": 30}), b""],
    [msgpack.packb(GOOD) + b"x", b""], [b"\xdd\xff\xff\xff\xff", b""],
], ids=lambda frames: "-".join(str(len(frame)) for frame in frames)[:20])
def test_junk(system, frames):
    for endpoint in ("ipc://run/clients0", f"tcp://127.0.0.1:{system.port}", "ipc://run/workers0", "ipc://run/states0",
                     "ipc://run/status0"):
        with system.zmq.socket(zmq.DEALER) as peer:
            peer.linger = 0
            peer.connect(endpoint)
            peer.send_multipart(frames)
            assert peer.poll(2000), f"{endpoint}: no answer"
            header, body = peer.recv_multipart()
            assert msgpack.unpackb(header)[1:5:3] == [4, MALFORMED] and msgpack.unpackb(header)[2] == 0
            assert msgpack.unpackb(body)["message"]


# ZMTP 3.1 by hand: the greeting, READY, frames. Sent apart, for libzmq takes what follows a greeting in one packet for junk.
GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL" + b"\0" * 48
READY = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"


class Raw:
    """A connection without ZeroMQ."""

    def __init__(self, system, tcp):
        self.socket = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        self.socket.connect(("127.0.0.1", system.port) if tcp else "run/clients0")

    def say(self, part):
        try:
            self.socket.sendall(part)
        except OSError:
            pass  # cut off already, as it should be

    def ask(self, verb, request, epoch, body):
        header = msgpack.packb([0x4701, VERBS[verb], request, epoch, 0, "", 0, 0, 0, ""])
        body = msgpack.packb(body)
        self.socket.sendall(bytes([1, len(header)]) + header + bytes([0, len(body)]) + body)


@pytest.mark.parametrize("parts", [
    [], [GREETING[:5]], [GREETING[:11]], [GREETING], [GREETING, READY[:7]], [GREETING, READY], [GREETING, READY, b"\x01\x20half"],
    [GREETING, READY, b"\x01\x04more"], [GREETING, READY, b"\x02\0\0\0\0\0\x01\0\0half"],
    [GREETING, READY, b"\x02\xff\xff\xff\xff\xff\xff\xff\xff"], [b"GET / HTTP/1.1\r\nHost: gantry\r\n\r\n"], [os.urandom(4000)],
], ids=lambda parts: "-".join(str(len(part)) for part in parts))
def test_half_open_peers(system, client, parts):
    peers = [Raw(system, n % 2) for n in range(20)]
    for part in parts:
        for peer in peers:
            peer.say(part)
        time.sleep(0.05)
    well(system, client)  # while they hang there
    for peer in peers:
        peer.socket.close()


def test_a_peer_that_never_reads(system, client):
    client.run("big", value="x" * 50000)
    deaf = Raw(system, True)
    for part in (GREETING, READY):
        deaf.say(part)
        time.sleep(0.1)
    deaf.ask("HELLO", 1, 0, {"role": "client"})
    before = client.ask("STATUS").body["counters"]["sent"]
    for n in range(300):
        deaf.ask("GET", n + 2, client.epoch, {"id": "big"})
    begin = time.monotonic()
    while time.monotonic() - begin < 1:
        well(system, client)
    assert client.ask("STATUS").body["counters"]["sent"] - before > 600  # asked and answered, nothing was read
    deaf.socket.close()


def test_limits_are_busy():
    with System("busy", broker_requests_max=16, queue_max=10, worker_slots=1) as system:
        client = system.client()
        client.ready(ECHO, SLEEP)
        client.submit(client.task("one", SLEEP, seconds=1.5))
        waits = [client.begin("WAIT", {"id": "one", "timeout_ms": 20000}) for _ in range(16)]
        client.pump(0.3)
        answer = client.ask("GET", {"id": "one"})
        assert (answer.status, answer.body["scope"], answer.body["limit"], answer.body["current"]) == (BUSY, "requests", 16, 16)
        assert answer.body["retry_after_ms"] > 0 and answer.body["message"]
        assert client.ask("STATUS").body["counters"]["refused_busy"] >= 1  # needs no room
        # the worker has room of its own: its lease is renewed, its result taken, and the waits are answered
        for request in waits:
            answer = client.end(request)
            assert answer.status == OK and answer.body["status"] == "completed", answer
        assert client.stage("one", SLEEP)["attempt"] == 1

        client.submit(client.task("two", SLEEP, seconds=1))
        until(lambda: system.balance()["running"] == 1)
        tasks = [client.task(f"t{n}", value=n) for n in range(15)]
        answer = client.ask("SUBMIT", tasks, service="system")
        assert [receipt["status"] for receipt in answer.body] == [OK] * 10 + [BUSY] * 5
        full = answer.body[-1]
        assert (full["scope"], full["limit"], full["current"]) == ("queue", 10, 10) and full["retry_after_ms"] > 0, full
        client.submit(*tasks)  # comes again until there is room
        client.wait(*((task["id"], ECHO) for task in tasks))
        system.settle()
        system.check()


def test_nobody_there_is_unavailable():
    with System("away") as system:
        client = system.client()
        client.ready(ECHO)
        well(system, client)
        for absent in (system.states[0], system.redis):
            absent.stop()
            for verb, body in (("SUBMIT", [client.task("a", value=1)]), ("GET", {"id": "a"}), ("WAIT", {"id": "a"}),
                               ("CANCEL", {"id": "a"}), ("NODES", None), ("QUEUES", None), ("LIST", {})):
                begin = time.monotonic()
                answer = client.ask(verb, body, service="system" if verb == "SUBMIT" else "")
                status, told = answer.status, answer.body
                assert status == UNAVAILABLE and told["retry_after_ms"] > 0 and told["message"], (absent.name, verb, answer)
                assert time.monotonic() - begin < 1, (absent.name, verb)
            assert client.ask("STATUS").status == OK
            absent.start()
            assert client.run(f"after-{absent.name}", value=1)["state"] == "completed"
        system.settle()
        system.check()
