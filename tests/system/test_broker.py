"""gantry-broker on the wire: fake clients, workers and state services, made of pyzmq and msgpack alone."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time

import msgpack
import pytest
import zmq

BIN = os.path.abspath(os.environ.get("GANTRY_BIN", "build/bin"))
MAGIC = 0x4701
OK, INVALID, MALFORMED, TOO_LARGE, UNSUPPORTED, BUSY, UNAVAILABLE = 0, 1, 4, 5, 6, 7, 8
EMPTY, HELLO_FIRST = 10, 12
HELLO, PING, BYE, ANSWER, READY = 1, 2, 3, 4, 5
SUBMIT, GET, WAIT, LIST, CANCEL, NODES = 10, 11, 12, 13, 14, 15
CLAIM, HEARTBEAT, DONE, RETURN, REGISTER = 20, 21, 22, 23, 24
STATUS, WORKERS, QUEUES = 30, 31, 32
ROLES = ("clients", "workers", "states", "status")
SECONDS = 10
QUIET_MS = 250  # how long silence is listened to before it counts


class Message:
    """One message as it came: the header by name, the body's bytes."""

    def __init__(self, frames):
        assert len(frames) in (1, 2), frames
        header = msgpack.unpackb(frames[0])
        assert len(header) == 10 and header[0] == MAGIC
        (_, self.verb, self.request, self.epoch, self.status, self.service, self.priority, self.count,
         self.hash, self.trace) = header
        self.raw = frames[1] if len(frames) == 2 else b""

    @property
    def body(self):
        return msgpack.unpackb(self.raw, strict_map_key=False)


class Peer:
    """A DEALER with request numbers. epoch is what WELCOME gave."""

    def __init__(self, broker, role):
        self.broker, self.role, self.epoch, self.request = broker, role, 0, 0
        self.socket = broker.zmq.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(f"ipc://run/{role}")

    def close(self):
        self.socket.close()

    def send(self, verb, body=b"", *, request=None, service="", count=0, status=0, epoch=None,
             priority=0, trace=""):
        if request is None:
            self.request += 1
            request = self.request
        header = [MAGIC, verb, request, self.epoch if epoch is None else epoch, status, service,
                  priority, count, 0, trace]
        if not isinstance(body, bytes):
            body = msgpack.packb(body)
        self.socket.send_multipart([msgpack.packb(header), body])
        return request

    def receive(self, seconds=SECONDS):
        assert self.socket.poll(int(seconds * 1000)), f"{self.role}: nothing came"
        return Message(self.socket.recv_multipart())

    def answer_to(self, request):
        message = self.receive()
        assert (message.verb, message.request) == (ANSWER, request), vars(message)
        return message

    def ask(self, verb, body=b"", **header):
        return self.answer_to(self.send(verb, body, **header))

    def silent(self):
        return not self.socket.poll(QUIET_MS)

    def hello(self, **body):
        welcome = self.ask(HELLO, {"role": self.role[:-1], "name": "test", **body}, epoch=0)
        assert welcome.status == OK, welcome.body
        self.epoch = welcome.body["epoch"]
        return welcome.body


class Worker(Peer):
    def __init__(self, broker, *services):
        super().__init__(broker, "workers")
        self.session, self.seq, self.services = secrets.token_bytes(16), 0, list(services)
        self.hello()

    def hello(self):
        return super().hello(session=self.session, services=self.services, slots=2, host="here", pid=7)

    def claim(self, count=1):
        self.seq += 1
        body = {"session": self.session, "seq": self.seq, "worker": "test"}
        return self.send(CLAIM, body, count=count)


class State(Peer):
    """Does what the test says; PINGs it answers by itself."""

    def __init__(self, broker):
        super().__init__(broker, "states")
        self.hello()

    def receive(self, seconds=SECONDS):
        end = time.monotonic() + seconds
        while True:
            message = super().receive(max(0, end - time.monotonic()))
            if message.verb != PING:
                return message
            self.reply(message)

    def silent(self):
        end = time.monotonic() + QUIET_MS / 1000
        while self.socket.poll(max(0, int((end - time.monotonic()) * 1000))):
            message = Message(self.socket.recv_multipart())
            if message.verb != PING:
                return False
            self.reply(message)
        return True

    def reply(self, message, body=b"", status=OK, count=0):
        self.send(ANSWER, body, request=message.request, status=status, count=count)

    def ready(self, service):
        self.send(READY, request=0, service=service)

    def empty(self, worker, *services):
        """Answers claims of the queues until all are known to be empty."""
        for _ in services:
            claim = self.receive()
            assert claim.verb == CLAIM
            self.reply(claim, status=EMPTY)
        assert worker.silent()


class Broker:
    def __init__(self, *settings):
        self.zmq = zmq.Context()
        self.peers = []
        self.log = open("log", "w")
        flags = [f"--broker-{role}=ipc://run/{role}" for role in ROLES]
        env = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"}  # what is freed counts as freed
        self.process = subprocess.Popen([f"{BIN}/gantry-broker", *flags, *settings], stderr=self.log, env=env)
        eventually(lambda: "started" in self.text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()

    def text(self):
        with open("log") as log:
            return log.read()

    def keep(self, peer):
        self.peers.append(peer)
        return peer

    def client(self):
        client = self.stranger("clients")
        client.hello()
        return client

    def stranger(self, role):
        return self.keep(Peer(self, role))

    def worker(self, *services):
        return self.keep(Worker(self, *services))

    def state(self):
        return self.keep(State(self))

    def status(self):
        operator = Peer(self, "status")
        try:
            return operator.ask(STATUS).body
        finally:
            operator.close()

    def rss(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def end(self):
        for peer in self.peers:
            peer.close()
        self.zmq.term()
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            assert self.process.wait(SECONDS) == 0, self.text()
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()
        assert "ERROR: AddressSanitizer" not in self.text() and "runtime error" not in self.text()


def eventually(check):
    end = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def folder(monkeypatch):
    """Short and relative: a unix socket's path has at most 107 bytes."""
    name = f"b{os.getpid()}"
    os.mkdir(name)
    before = os.getcwd()
    monkeypatch.chdir(name)
    yield
    os.chdir(before)
    shutil.rmtree(name)


@pytest.fixture
def start(folder):
    started = []

    def begin(*settings):
        started.append(Broker(*settings))
        return started[-1]

    yield begin
    for broker in started:
        broker.end()


@pytest.fixture
def broker(start):
    return start("--heartbeat-ms=200", "--liveness-ms=60000")


# ---- HELLO ------------------------------------------------------------------------------------------


def test_welcome_tells_the_limits(start):
    broker = start("--heartbeat-ms=300", "--liveness-ms=900", "--lease-ms=5000", "--limits-batch=7",
                   "--limits-body-bytes=2000")
    welcome = broker.stranger("clients").hello()
    assert welcome["epoch"] != 0
    assert {k: welcome[k] for k in ("heartbeat_ms", "liveness_ms", "lease_ms", "batch_max", "body_max")} == {
        "heartbeat_ms": 300, "liveness_ms": 900, "lease_ms": 5000, "batch_max": 7, "body_max": 2000}
    assert re.fullmatch(r"gantry-broker \S+", welcome["software"])


@pytest.mark.parametrize("role, verb", [("clients", SUBMIT), ("clients", PING), ("workers", CLAIM),
                                        ("workers", DONE), ("states", READY), ("states", ANSWER),
                                        ("clients", 99)])
def test_hello_comes_first(broker, role, verb):
    stranger = broker.stranger(role)
    answer = stranger.ask(verb, {"id": "x"}, count=1)
    assert answer.status == HELLO_FIRST and "HELLO" in answer.body["message"]


def test_an_epoch_of_another_broker_means_hello_first(broker):
    client = broker.client()
    assert client.ask(PING).status == OK
    assert client.ask(PING, epoch=client.epoch ^ 1).status == HELLO_FIRST
    assert client.ask(PING).status == OK


def test_hello_may_come_again(broker):
    client = broker.client()
    epoch = client.epoch
    client.hello()
    assert client.epoch == epoch
    assert client.ask(PING).status == OK
    assert broker.status()["peers"]["clients"] == 1


GOOD = {"role": "worker", "session": b"s" * 16, "services": ["ffmpeg"]}


@pytest.mark.parametrize("change, status, field", [
    ({"role": "client"}, INVALID, "role"),
    ({"role": None}, INVALID, "role"),
    ({"role": 5}, INVALID, "role"),
    ({"session": b"short"}, INVALID, "session"),
    ({"session": b"s" * 17}, INVALID, "session"),
    ({"services": []}, INVALID, "services"),
    ({"services": "ffmpeg"}, INVALID, "services"),
    ({"services": ["a"] * 2}, INVALID, "services"),
    ({"services": [f"s{i}" for i in range(17)]}, INVALID, "services"),
    ({"services": ["../x"]}, INVALID, "services"),
    ({"services": ["a" * 33]}, INVALID, "services"),
    ({"services": [7]}, INVALID, "services"),
    ({"name": "n" * 129}, INVALID, "name"),
    ({"extra": "x" * 5000}, TOO_LARGE, "body"),
])
def test_a_wrong_hello_names_the_field(broker, change, status, field):
    worker = broker.stranger("workers")
    answer = worker.ask(HELLO, {**GOOD, **change})
    assert (answer.status, answer.body["field"]) == (status, field)
    assert worker.ask(HELLO, GOOD).status == OK


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\xdd\x0f\xff\xff\xff", b"\x91" * 40 + b"\xc0", b"\x93\x01"])
def test_a_hello_that_is_no_map_is_malformed(broker, body):
    assert broker.stranger("clients").ask(HELLO, body).status == MALFORMED


def test_peers_are_bounded(start):
    broker = start("--broker-peers-max=4")
    clients = [broker.client() for _ in range(4)]
    late = broker.stranger("clients")
    answer = late.ask(HELLO, {"role": "client"})
    assert (answer.status, answer.body["scope"], answer.body["limit"]) == (BUSY, "peers", 4)
    clients[0].send(BYE, request=0)
    eventually(lambda: broker.status()["peers"]["clients"] == 3)
    late.hello()


# ---- forwarding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 29, 33, 34, 1000, 65 * 1024, 1000_000])
def test_bodies_pass_untouched(broker, size):
    state, client = broker.state(), broker.client()
    there, back = secrets.token_bytes(size), secrets.token_bytes(size)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = client.send(SUBMIT, there, service="ffmpeg", priority=2, count=3, trace=trace)
    asked = state.receive()
    assert asked.raw == there
    assert (asked.verb, asked.service, asked.priority, asked.count, asked.trace, asked.epoch) == (
        SUBMIT, "ffmpeg", 2, 3, trace, client.epoch)
    state.reply(asked, back, count=3)
    answer = client.answer_to(request)
    assert (answer.raw, answer.status, answer.count) == (back, OK, 3)


def test_a_refusal_of_the_state_service_passes_too(broker):
    state, client = broker.state(), broker.client()
    request = client.send(GET, {"id": "x"})
    state.reply(state.receive(), {"message": "no such task"}, status=2)
    answer = client.answer_to(request)
    assert (answer.status, answer.body) == (2, {"message": "no such task"})


def test_answers_find_their_request_in_any_order(broker):
    state, one, other = broker.state(), broker.client(), broker.client()
    requests = [(c, c.send(GET, {"n": n})) for n, c in enumerate((one, other, one, other))]
    asked = [state.receive() for _ in requests]
    assert len({a.request for a in asked}) == 4
    for message in reversed(asked):
        state.reply(message, message.raw)
    for n, (client, request) in reversed(list(enumerate(requests))):
        assert client.answer_to(request).body == {"n": n}


@pytest.mark.parametrize("verb", [SUBMIT, GET, WAIT, LIST, CANCEL, NODES, QUEUES])
def test_a_client_s_verbs_reach_the_state_service(broker, verb):
    state, client = broker.state(), broker.client()
    request = client.send(verb, {"id": "x"})
    asked = state.receive()
    assert asked.verb == verb
    state.reply(asked, {"ok": True})
    assert client.answer_to(request).body == {"ok": True}


@pytest.mark.parametrize("verb", [HEARTBEAT, DONE, RETURN, REGISTER])
def test_a_worker_s_verbs_reach_the_state_service(broker, verb):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.send(verb, {"session": worker.session})
    asked = state.receive()
    assert asked.verb == verb
    state.reply(asked, {"ok": True})
    assert worker.answer_to(request).body == {"ok": True}


@pytest.mark.parametrize("role, verb", [("clients", CLAIM), ("clients", READY), ("clients", ANSWER),
                                        ("clients", 0), ("clients", 33), ("clients", 4000000000),
                                        ("workers", SUBMIT), ("workers", READY), ("states", SUBMIT),
                                        ("status", HELLO), ("status", SUBMIT), ("status", ANSWER)])
def test_a_verb_of_another_role_is_unsupported(broker, role, verb):
    peer = broker.worker("a") if role == "workers" else broker.stranger(role)
    if role in ("clients", "states"):
        peer.hello()
    answer = peer.ask(verb)
    assert (answer.status, answer.body["field"]) == (UNSUPPORTED, "verb")
    assert str(verb) in answer.body["message"]


# ---- state services ---------------------------------------------------------------------------------


def test_without_a_state_service_all_is_unavailable(broker):
    client, worker = broker.client(), broker.worker("ffmpeg")
    for peer, verb in ((client, SUBMIT), (client, WAIT), (worker, HEARTBEAT), (worker, DONE)):
        answer = peer.ask(verb, {})
        assert (answer.status, answer.body["retry_after_ms"]) == (UNAVAILABLE, 1000)
    assert broker.status()["counters"]["unavailable"] == 4


def test_state_services_take_turns(broker):
    one, other, client = broker.state(), broker.state(), broker.client()
    for _ in range(10):
        client.send(GET, {})
    assert [one.receive().verb for _ in range(5)] == [GET] * 5
    assert [other.receive().verb for _ in range(5)] == [GET] * 5
    assert one.silent() and other.silent()


def ask_both(broker, states, client, count=20):
    sent = {client.send(SUBMIT, {"n": n}): n for n in range(count)}
    asked = [[s.receive() for _ in range(count // 2)] for s in states]
    return sent, asked


def collect(client, sent):
    for _ in range(len(sent)):
        answer = client.receive()
        assert answer.status == OK, answer.body
        assert answer.body == {"n": sent.pop(answer.request)}


def test_what_a_dead_state_service_was_asked_goes_to_another(broker):
    one, other, client = broker.state(), broker.state(), broker.client()
    sent, (_, asked) = ask_both(broker, (one, other), client)
    one.close()  # the kernel says so at once, as after kill -9
    for message in asked:
        other.reply(message, message.raw)
    for _ in range(10):
        message = other.receive()
        other.reply(message, message.raw)
    collect(client, sent)
    status = broker.status()
    assert (status["counters"]["resent"], status["requests_in_flight"]) == (10, 0)
    assert status["peers"]["states"] == 1


def test_a_state_service_that_hangs_is_given_up(start):
    broker = start("--heartbeat-ms=100", "--liveness-ms=600")
    other, hung, client = broker.state(), broker.state(), broker.client()
    sent = {client.send(GET, {"n": n}): n for n in range(2)}
    for _ in sent:  # its own, then the one that hung keeps
        message = other.receive()
        other.reply(message, message.raw)
    collect(client, sent)
    late = Message(hung.socket.recv_multipart())
    while hung.socket.poll(0):
        assert Message(hung.socket.recv_multipart()).verb in (PING, GET)
    hung.reply(late)
    said = hung.receive()
    assert (said.request, said.status) == (late.request, HELLO_FIRST)
    assert client.silent()
    hung.hello()
    assert "state_silent" in broker.text()


def test_with_the_last_state_service_gone_requests_are_unavailable(broker):
    state, client = broker.state(), broker.client()
    request = client.send(SUBMIT, {})
    state.receive()
    state.close()
    answer = client.answer_to(request)
    assert answer.status == UNAVAILABLE and answer.body["retry_after_ms"] > 0
    assert broker.status()["requests_in_flight"] == 0


def test_a_state_service_that_says_hello_again_is_asked_again(broker):
    state, client = broker.state(), broker.client()
    request = client.send(GET, {})
    first = state.receive()
    state.hello()
    again = state.receive()
    assert again.raw == first.raw
    state.reply(again)
    assert client.answer_to(request).status == OK


def test_bye_of_a_state_service_hands_its_requests_over(broker):
    one, client = broker.state(), broker.client()
    request = client.send(GET, {})
    one.receive()
    other = broker.state()
    one.send(BYE, request=0)
    message = other.receive()
    other.reply(message)
    assert client.answer_to(request).status == OK


# ---- limits and junk --------------------------------------------------------------------------------


def test_requests_are_bounded(start):
    broker = start("--broker-requests-max=16")
    state, client, worker = broker.state(), broker.client(), broker.worker("a")
    requests = [client.send(WAIT, {}) for _ in range(16)]
    asked = [state.receive() for _ in requests]
    answer = client.ask(GET, {})
    body = answer.body
    assert (answer.status, body["scope"], body["limit"], body["current"]) == (BUSY, "requests", 16, 16)
    assert body["retry_after_ms"] == 100
    done = worker.send(DONE, {})  # waiting clients never shut out results
    state.reply(state.receive())
    assert worker.answer_to(done).status == OK
    state.reply(asked[0])
    assert client.answer_to(requests[0]).status == OK
    client.send(GET, {})
    assert state.receive().verb == GET


def test_bytes_of_requests_are_bounded(start):
    broker = start("--broker-request-bytes-max=1048576", "--limits-body-bytes=1048576")
    state, client = broker.state(), broker.client()
    client.send(SUBMIT, b"x" * 700_000)
    state.receive()
    answer = client.ask(SUBMIT, b"x" * 700_000)
    assert (answer.status, answer.body["scope"], answer.body["limit"], answer.body["current"]) == (
        BUSY, "request_bytes", 1048576, 700_000)


def test_an_oversized_body_is_too_large(start):
    broker = start("--limits-body-bytes=2000")
    state, client, worker = broker.state(), broker.client(), broker.worker("a")
    for peer, verb in ((client, SUBMIT), (worker, DONE), (worker, CLAIM)):
        answer = peer.ask(verb, b"x" * 2001, count=1)
        body = answer.body
        assert (answer.status, body["field"], body["limit"], body["current"]) == (TOO_LARGE, "body", 2000, 2001)
    client.send(SUBMIT, b"x" * 2000)
    assert len(state.receive().raw) == 2000


def test_too_many_items_are_too_large(start):
    broker = start("--limits-batch=7")
    state, client = broker.state(), broker.client()
    answer = client.ask(SUBMIT, b"", count=8)
    assert (answer.status, answer.body["field"], answer.body["limit"]) == (TOO_LARGE, "count", 7)
    client.send(SUBMIT, b"", count=7)
    assert state.receive().count == 7


def header_with(**change):
    fields = {"magic": MAGIC, "verb": PING, "request": 1, "epoch": 0, "status": 0, "service": "",
              "priority": 0, "count": 0, "hash": 0, "trace": "", **change}
    return msgpack.packb(list(fields.values()))


@pytest.mark.parametrize("frames", [
    [b""],
    [b"junk", b"junk"],
    [b"", b""],
    [b"\xff" * 255],
    [b"\xdd\x0f\xff\xff\xff", b""],
    [msgpack.packb([MAGIC, PING]), b""],
    [msgpack.packb({"verb": PING}), b""],
    [header_with(magic=0x4702), b""],
    [header_with(verb=-1), b""],
    [header_with(verb="PING"), b""],
    [header_with(request=1.5), b""],
    [header_with(trace="x" * 56), b""],
    [header_with() + b"\x00", b""],
    [header_with(), b"", b""],
    [b"", header_with(), b""],
    [header_with()] + [b"x"] * 1000,
], ids=lambda frames: repr(frames[0][:12]) + str(len(frames)))
@pytest.mark.parametrize("role", ROLES)
def test_junk_is_malformed_and_harms_nobody(broker, role, frames):
    client = broker.client()
    stranger = broker.stranger(role)
    stranger.socket.send_multipart(frames)
    answer = stranger.answer_to(0)
    assert answer.status == MALFORMED
    assert client.ask(PING).status == OK
    assert broker.status()["counters"]["refused_malformed"] == 1


@pytest.mark.parametrize("field, change", [
    ("service", {"service": "x" * 33}), ("service", {"service": "../etc"}), ("priority", {"priority": 3})])
def test_a_queue_that_there_cannot_be_is_refused_by_its_field(broker, field, change):
    stranger = broker.stranger("clients")
    stranger.socket.send_multipart([header_with(verb=SUBMIT, request=77, **change), b""])
    answer = stranger.answer_to(77)
    assert (answer.status, answer.body["field"]) == (INVALID, field)


def test_junk_floods_are_logged_seldom(broker):
    stranger = broker.stranger("clients")
    for _ in range(500):
        stranger.socket.send_multipart([b"junk", b"junk"])
    for _ in range(500):
        assert stranger.receive().status == MALFORMED
    assert broker.text().count("malformed") < 10


def test_a_frame_beyond_all_bounds_costs_the_connection_only(broker):
    client, rude = broker.client(), broker.stranger("clients")
    rude.socket.send_multipart([header_with(), b"x" * (64 * 1024 * 1024 + 1)])
    assert rude.silent()
    assert client.ask(PING).status == OK


def test_half_open_peers_block_nobody(broker):
    client = broker.client()
    halves = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for n, half in enumerate(halves):
        half.connect("run/" + ROLES[n % 4])
        half.send(b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f"[:n % 11])  # a greeting's beginning, or none
    assert client.ask(PING).status == OK
    assert broker.status()["peers"]["clients"] == 1
    for half in halves:
        half.close()


def test_a_peer_that_does_not_read_blocks_nobody(broker):
    deaf, client = broker.client(), broker.client()
    deaf.socket.rcvhwm = 1
    for _ in range(30_000):
        deaf.send(PING)
    for _ in range(10):
        assert client.ask(PING).status == OK


# ---- credit -----------------------------------------------------------------------------------------


def tasks(*ids):
    return [{"id": i, "task": "ffmpeg.x", "session": b"s" * 16, "token": b"t" * 12} for i in ids]


def test_a_claim_goes_to_the_state_service_as_the_worker_said_it(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim(count=5)
    claim = state.receive()
    assert (claim.verb, claim.service, claim.count) == (CLAIM, "ffmpeg", 5)
    assert claim.body == {"session": worker.session, "seq": 1, "worker": "test"}
    state.reply(claim, tasks("a", "b"), count=2)
    answer = worker.answer_to(request)
    assert (answer.status, answer.count, answer.body) == (OK, 2, tasks("a", "b"))


def test_an_empty_queue_parks_the_claim_until_ready(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    state.empty(worker, "ffmpeg")
    assert broker.status()["claims_parked"] == 1
    state.ready("other")
    state.ready("ffmpeg")
    claim = state.receive()
    while claim.verb == CLAIM and broker.status()["claims_parked"]:  # the one-second look's
        state.reply(claim, status=EMPTY)
        claim = state.receive()
    state.reply(claim, tasks("a"), count=1)
    assert worker.answer_to(request).count == 1
    assert broker.status()["claims_parked"] == 0


def test_outside_pushes_are_found_within_a_second_or_so(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    state.reply(state.receive(), status=EMPTY)
    began = time.monotonic()
    state.reply(state.receive(3), tasks("a"), count=1)
    assert 0.3 < time.monotonic() - began < 2.5
    assert worker.answer_to(request).status == OK


def test_a_claim_is_tried_in_every_queue_of_its_worker(broker):
    state, worker = broker.state(), broker.worker("one", "two", "three")
    worker.claim()
    seen = []
    for _ in range(3):
        claim = state.receive()
        seen.append(claim.service)
        state.reply(claim, status=EMPTY)
    assert sorted(seen) == ["one", "three", "two"]
    state.ready("two")
    assert state.receive().service == "two"


def test_one_ready_hands_out_one_claim_and_tasks_the_next(broker):
    state = broker.state()
    workers = [broker.worker("ffmpeg") for _ in range(3)]
    for worker in workers:
        worker.claim()
        state.reply(state.receive(), status=EMPTY)
    state.ready("ffmpeg")
    for worker in workers:
        claim = state.receive()
        assert claim.body["session"] == worker.session  # who waited longest
        state.reply(claim, tasks("a"), count=1)
        assert worker.receive().count == 1


def test_a_claim_is_accepted_before_any_state_service_is_there(broker):
    worker = broker.worker("ffmpeg")
    worker.claim()
    assert worker.silent()
    assert broker.state().receive().verb == CLAIM


def test_a_claim_is_never_resent(broker):
    one, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    one.receive()
    other = broker.state()
    one.close()
    assert worker.answer_to(request).status == UNAVAILABLE
    assert other.silent()
    worker.claim()
    assert other.receive().body["seq"] == 2


def test_claims_of_a_worker_are_bounded(broker):
    worker = broker.worker("ffmpeg")
    for _ in range(4):
        worker.claim()
    answer = worker.answer_to(worker.claim())
    assert (answer.status, answer.body["scope"], answer.body["limit"]) == (BUSY, "claims", 4)
    assert worker.ask(CLAIM, {}, count=0).status == INVALID


def test_a_refused_claim_is_the_worker_s_to_repeat(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    state.reply(state.receive(), {"retry_after_ms": 500}, status=UNAVAILABLE)
    answer = worker.answer_to(request)
    assert (answer.status, answer.body) == (UNAVAILABLE, {"retry_after_ms": 500})


@pytest.mark.parametrize("leave", ["close", "bye", "hello"])
def test_tasks_for_a_worker_that_is_gone_are_returned(broker, leave):
    state, worker = broker.state(), broker.worker("ffmpeg")
    worker.claim()
    claim = state.receive()
    body = msgpack.packb(tasks("a", "b"))
    if leave == "close":
        worker.close()
        time.sleep(0.2)
    elif leave == "bye":
        worker.send(BYE, {"session": worker.session})
        said = state.receive()
        assert (said.verb, said.body) == (BYE, {"session": worker.session})
        state.reply(said)
    else:
        worker.hello()
    state.reply(claim, body, count=2)
    given = state.receive()
    assert (given.verb, given.raw, given.count, given.service) == (RETURN, body, 2, "ffmpeg")
    state.reply(given, [{"status": 0}] * 2)
    status = broker.status()
    assert (status["counters"]["returned"], status["claims_parked"]) == (1, 0)


def test_tasks_that_come_after_the_claim_was_given_up_are_returned(start):
    broker = start("--heartbeat-ms=100", "--liveness-ms=600")
    hung, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    claim = Message(hung.socket.recv_multipart())
    assert claim.verb == CLAIM
    answer = worker.ask(PING)
    while answer.request != request:  # the worker is alive meanwhile
        worker.send(PING)
        time.sleep(0.05)
        answer = worker.receive()
    assert answer.status == UNAVAILABLE
    hung.hello()
    hung.reply(claim, tasks("a"), count=1)
    assert hung.receive().verb == RETURN
    assert broker.status()["counters"]["late"] == 1


def test_an_answer_to_a_former_broker_meets_nobody_s_request(start):
    former = start()
    state, client = former.state(), former.client()
    client.send(GET, b"\x80")
    asked = state.receive()
    former.process.terminate()
    former.process.wait(SECONDS)

    start()
    state.hello()
    client.hello()
    request = client.send(GET, b"\x80")
    asked_now = state.receive()
    assert asked_now.request != asked.request
    state.reply(asked, b"\xa4late")
    state.reply(asked_now, b"\xa5right")
    assert client.answer_to(request).body == "right"


def test_a_bye_is_bounded(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    answer = worker.ask(BYE, b"\xc4" * 5000)
    assert (answer.status, answer.body["field"], answer.body["limit"]) == (TOO_LARGE, "body", 4096)
    assert worker.ask(PING).status == OK
    assert state.silent()


def test_parked_claims_go_with_their_worker(broker):
    state, gone, other = broker.state(), broker.worker("ffmpeg"), broker.worker("ffmpeg")
    for worker in (gone, other):
        worker.claim()
        state.reply(state.receive(), status=EMPTY)
    gone.send(BYE, request=0)
    assert state.receive().verb == BYE
    eventually(lambda: broker.status()["claims_parked"] == 1)
    state.ready("ffmpeg")
    assert state.receive().body["session"] == other.session


def test_a_session_on_a_new_connection_replaces_the_old_one(broker):
    worker = broker.worker("ffmpeg")
    worker.claim()
    again = broker.stranger("workers")
    again.hello(session=worker.session, services=["ffmpeg"])
    status = broker.status()
    assert (status["peers"]["workers"], status["claims_parked"]) == (1, 0)
    assert again.ask(PING).status == OK
    assert worker.ask(PING).status == HELLO_FIRST


# ---- silence ----------------------------------------------------------------------------------------


def test_silent_peers_are_forgotten(start):
    broker = start("--heartbeat-ms=50", "--liveness-ms=200")
    client, worker = broker.client(), broker.worker("ffmpeg")
    worker.claim()
    eventually(lambda: broker.status()["peers"]["workers"] == 0)
    status = broker.status()
    assert (status["peers"]["clients"], status["claims_parked"], status["queues"]) == (1, 0, [])
    assert worker.ask(HEARTBEAT, {}).status == HELLO_FIRST
    eventually(lambda: broker.status()["peers"]["clients"] == 0)
    assert client.ask(PING).status == HELLO_FIRST
    worker.hello()
    client.hello()


def test_a_broker_that_stood_still_forgets_nobody(start):
    broker = start("--heartbeat-ms=100", "--liveness-ms=400")
    worker = broker.worker("ffmpeg")
    broker.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    broker.process.send_signal(signal.SIGCONT)
    time.sleep(0.15)
    assert worker.ask(PING).status == OK
    assert "stalled" in broker.text()


def test_answers_of_a_former_life_mean_hello_first(start):
    broker = start("--heartbeat-ms=100", "--liveness-ms=60000")
    client = broker.client()
    broker.process.kill()
    broker.process.wait()
    successor = start()
    eventually(lambda: client.socket.poll(0) or not client.socket.poll(100))
    assert client.ask(PING).status == HELLO_FIRST
    client.hello()
    assert client.ask(PING).status == OK
    broker.process = successor.process


# ---- status -----------------------------------------------------------------------------------------


def test_status_by_socket(broker):
    state, client, worker = broker.state(), broker.client(), broker.worker("ffmpeg")
    worker.claim()
    state.empty(worker, "ffmpeg")
    client.send(SUBMIT, b"x" * 100)
    state.receive()
    for status in (broker.status(), client.ask(STATUS).body):
        assert status["peers"] == {"clients": 1, "workers": 1, "states": 1}
        assert (status["requests_in_flight"], status["request_bytes_in_flight"]) in ((1, 100), (2, 100 + 35))
        assert status["pid"] == broker.process.pid and status["epoch"] == client.epoch
        assert status["uptime_ms"] > 0 and status["rss_bytes"] > 1_000_000
        assert status["counters"]["received"] >= 5 and status["counters"]["sent"] >= 5
        (queue,) = status["queues"]
        assert queue["service"] == "ffmpeg" and queue["parked"] + queue["in_flight"] == 1


def test_workers_by_socket(broker):
    worker = broker.worker("ffmpeg", "system")
    worker.claim()
    worker.ask(PING)  # behind the claim: it is parked now
    operator = broker.stranger("status")
    answer = operator.ask(WORKERS)
    (row,) = answer.body
    assert answer.count == 1
    assert row.pop("connected_ms") >= row.pop("silent_ms") >= 0
    assert row.pop("software") == ""
    assert row == {"name": "test", "session": worker.session.hex()[:8], "host": "here", "pid": 7,
                   "services": ["ffmpeg", "system"], "slots": 2, "parked": 1}


def test_queues_by_socket_are_asked_of_the_state_service(broker):
    operator = broker.stranger("status")
    assert operator.ask(QUEUES).status == UNAVAILABLE
    state = broker.state()
    request = operator.send(QUEUES)
    state.reply(state.receive(), [{"service": "ffmpeg"}], count=1)
    assert operator.answer_to(request).body == [{"service": "ffmpeg"}]


def test_memory_does_not_follow_the_traffic(broker):
    state, client = broker.state(), broker.client()

    def traffic(rounds):
        for _ in range(rounds):
            sent = {client.send(SUBMIT, b"x" * 300) for _ in range(100)}
            for _ in range(100):
                message = state.receive()
                state.reply(message, b"y" * 300)
            sent -= {client.receive().request for _ in range(100)}
            assert not sent

    traffic(20)
    before = broker.rss()
    traffic(100)
    assert broker.rss() - before < 5 << 20


# ---- starting and stopping --------------------------------------------------------------------------


def refused(*settings):
    flags = [f"--broker-{role}=ipc://run/{role}" for role in ROLES]
    done = subprocess.run([f"{BIN}/gantry-broker", *flags, *settings], stderr=subprocess.PIPE, text=True,
                          timeout=SECONDS)
    assert done.returncode in (1, 2)
    return done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_open_tcp_is_refused(folder, role):
    text = refused(f"--broker-{role}=tcp://0.0.0.0:17470")
    assert "tcp://0.0.0.0:17470" in text and "broker.insecure" in text


def test_open_tcp_is_bound_when_it_is_said_to_be_insecure(start):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    broker = start(f"--broker-clients=ipc://run/clients,tcp://0.0.0.0:{port}", "--broker-insecure")
    client = broker.stranger("clients")
    client.socket.disconnect("ipc://run/clients")
    client.socket.connect(f"tcp://127.0.0.1:{port}")
    client.hello()


def test_a_path_that_is_too_long_is_a_clear_error(folder):
    assert re.search(r"\d+ bytes.*may have 107", refused("--broker-states=ipc://" + "d/" * 60))


def test_a_second_broker_does_not_rob_the_first(broker):
    assert "another process listens there" in refused()
    assert broker.client().ask(PING).status == OK


def test_it_is_quiet(broker):
    state, client = broker.state(), broker.client()
    request = client.send(GET, {})
    state.reply(state.receive())
    client.answer_to(request)
    (line,) = broker.text().splitlines()
    assert "started" in line and all(f"{role}=ipc://run/{role}" in line for role in ROLES)
