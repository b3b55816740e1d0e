"""A gantry-broker alone: fake clients, workers and state services, made of pyzmq and msgpack alone."""

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
SUBSCRIBE, STATUS, WORKERS, QUEUES, DRAIN = 16, 30, 31, 32, 36
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
