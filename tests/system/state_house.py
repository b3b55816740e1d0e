"""What the tests of gantry-state share: a private redis-server, the real programs, and a broker played by hand.

Writes only below the current folder. Nothing here is code of Gantry's: the wire is spoken with pyzmq and msgpack.
"""
import os
import shutil
import signal
import subprocess
import time

import msgpack
import pytest
import redis
import zmq

BIN = os.environ.get("GANTRY_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "bin"))
MAGIC = 0x4701
VERBS = {"HELLO": 1, "PING": 2, "BYE": 3, "ANSWER": 4, "READY": 5, "SUBMIT": 10, "GET": 11, "WAIT": 12, "LIST": 13,
         "CANCEL": 14, "NODES": 15, "SUBSCRIBE": 16, "WHY": 17, "REPLAY": 18, "PURGE": 19, "CLAIM": 20, "HEARTBEAT": 21,
         "DONE": 22, "RETURN": 23, "REGISTER": 24, "QUEUES": 32, "LEDGER": 33, "STEER": 34, "CRON": 35, "FORGET": 37,
         "CREATE_TASK": 38, "GET_TASK_STATUS": 39, "TASKS": 40, "DISK": 41}
NAMES = {number: name for name, number in VERBS.items()}
OK, INVALID, NOT_FOUND, CONFLICT, MALFORMED, TOO_LARGE, UNSUPPORTED, BUSY, UNAVAILABLE, STALE, EMPTY, TIMEOUT = range(12)
LEASE_MS = 10000


def until(what, seconds=15, every=0.02):
    """The first true answer of what()."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, "not within %s s: %s" % (seconds, what)
        time.sleep(every)


class Redis:
    """A server with AOF on a unix socket in the current folder."""

    def __init__(self, folder="redis", *options, password=None):
        self.folder, self.options, self.password, self.process = folder, options, password, None
        os.mkdir(folder)
        self.addr = os.path.join(folder, "sock")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", "sock", "--dir", ".", "--appendonly", "yes", "--appendfsync", "everysec",
             "--save", "", "--loglevel", "warning", *self.options],
            cwd=self.folder, stdout=open(os.path.join(self.folder, "log"), "ab"), stderr=subprocess.STDOUT)
        self.client = redis.Redis(unix_socket_path=self.addr, password=self.password)
        until(self.up)

    def up(self):
        try:
            return self.client.ping()
        except redis.exceptions.RedisError:
            return False

    def kill(self):
        self.client.connection_pool.disconnect()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.kill()


class Answer:
    def __init__(self, header, body):
        self.verb, self.request, self.epoch, self.status, self.service, self.count = (
            NAMES.get(header[1], header[1]), header[2], header[3], header[4], header[5], header[7])
        self.body = msgpack.unpackb(body) if body else None

    def __repr__(self):
        return "%s %s status=%s %s" % (self.verb, self.request, self.status, self.body)


class Broker:
    """The broker's ROUTER for state services, by the wire: peers in the order of their HELLOs."""

    def __init__(self, context, endpoint, epoch=77, lease_ms=LEASE_MS):
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(endpoint)
        self.endpoint, self.epoch, self.lease_ms = endpoint, epoch, lease_ms
        self.peers, self.answers, self.ready, self.left, self.hellos = [], {}, [], [], []
        self.request = 1000

    def close(self):
        self.socket.close()

    def send(self, peer, verb, request=0, status=0, service="", priority=0, count=0, body=b""):
        header = [MAGIC, VERBS[verb], request, self.epoch, status, service, priority, count, 0, ""]
        self.socket.send_multipart([peer, msgpack.packb(header), body])

    def take(self, frames):
        peer, header, body = frames[0], msgpack.unpackb(frames[1]), frames[2] if len(frames) > 2 else b""
        message = Answer(header, body)
        if message.verb == "HELLO":
            self.hellos.append(message.body)
            if peer not in self.peers:
                self.peers.append(peer)
            welcome = {"epoch": self.epoch, "heartbeat_ms": 1000, "liveness_ms": 60000, "lease_ms": self.lease_ms,
                       "batch_max": 256, "body_max": 1 << 20}
            self.send(peer, "ANSWER", message.request, body=msgpack.packb(welcome))
        elif message.verb == "PING":
            try:
                self.send(peer, "ANSWER", message.request)
            except zmq.ZMQError as error:  # it was killed meanwhile
                if error.errno != zmq.EHOSTUNREACH:
                    raise
        elif message.verb == "BYE":
            self.left.append(peer)
        elif message.verb == "READY":
            self.ready.append((peer, message.service))
        else:
            assert message.verb == "ANSWER" and message.epoch == self.epoch
            assert message.request not in self.answers, "answered twice: %s" % message
            self.answers[message.request] = message

    def pump(self, seconds=0.0):
        """Takes what comes until there is nothing for so long."""
        while self.socket.poll(int(seconds * 1000)):
            self.take(self.socket.recv_multipart())

    def expect(self, what, seconds=15):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "not within %s s" % seconds
            if self.socket.poll(20):
                self.take(self.socket.recv_multipart())

    def begin(self, verb, body=None, service="", priority=0, count=None, peer=0, raw=None):
        self.request += 1
        if count is None:
            count = len(body) if isinstance(body, list) else 0
        data = raw if raw is not None else msgpack.packb(body) if body is not None else b""
        self.send(self.peers[peer], verb, self.request, 0, service, priority, count, data)
        return self.request

    def end(self, request, seconds=15):
        self.expect(lambda: request in self.answers, seconds)
        return self.answers[request]

    def ask(self, verb, body=None, seconds=15, **more):
        return self.end(self.begin(verb, body, **more), seconds)

    def insist(self, verb, body=None, **more):
        """Asks until it is something else than UNAVAILABLE."""
        for _ in range(200):
            answer = self.ask(verb, body, **more)
            if answer.status != UNAVAILABLE:
                return answer
            time.sleep(answer.body["retry_after_ms"] / 5000)
        raise AssertionError("still unavailable")


class State:
    """A gantry-state process."""

    def __init__(self, redis_addr, *brokers, name="state", **settings):
        flags = ["--state-brokers", ",".join(brokers), "--redis-addr", redis_addr, "--storage-root", "/share/workflows"]
        for key, value in {"cleanup_schedule": "", **settings}.items():
            flags += ["--" + key.replace("_", "-"), str(value)]
        self.log = name + ".log"
        self.process = subprocess.Popen([os.path.join(BIN, "gantry-state"), *flags], stderr=open(self.log, "ab"))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=20)

    def lines(self):
        with open(self.log) as log:
            return log.read().splitlines()


class House:
    """One folder with everything in it; what is left at the end is killed, and every state service must end 0."""

    def __init__(self, folder, lease_ms=LEASE_MS, redis=(), **settings):
        self.folder, self.home = str(folder), os.getcwd()
        os.chdir(self.folder)
        self.context = zmq.Context()
        self.lease_ms, self.settings = lease_ms, dict(settings, lease_ms=lease_ms)
        self.redis = Redis("redis", *redis)
        self.broker = Broker(self.context, "ipc://states", lease_ms=lease_ms)
        self.states = []

    def state(self, *brokers, **more):
        state = State(self.redis.addr, *(brokers or ("ipc://states",)), name="state%d" % len(self.states),
                      **dict(self.settings, **more))
        self.states.append(state)
        if not brokers:
            self.broker.expect(lambda: len(self.broker.peers) >= len(self.states))
        return state

    def close(self):
        codes = [state.stop() for state in self.states]
        said = "\n".join(line for state in self.states for line in state.lines())
        self.broker.close()
        self.context.term()
        self.redis.stop()
        os.chdir(self.home)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert all(code in (0, -signal.SIGKILL) for code in codes), said


def node(name, *inputs, **more):
    return dict({"name": name, "doc": "a node", "inputs": list(inputs), "outputs": ["text"]}, **more)


def input_(name, type_="any", required=False):
    return {"name": name, "type": type_, "required": required}


class Worker:
    """What a worker says through the broker."""

    def __init__(self, broker, number=1, name="w1"):
        self.broker, self.name, self.seq = broker, name, 0
        self.session = bytes([number]) * 16

    def register(self, *nodes):
        answer = self.broker.insist("REGISTER", {"session": self.session, "nodes": list(nodes)})
        assert answer.status == OK, answer

    def claim(self, service="system", n=1, peer=0):
        self.seq += 1
        answer = self.broker.ask("CLAIM", {"session": self.session, "seq": self.seq, "worker": self.name}, service=service,
                                 count=n, peer=peer)
        return answer.body if answer.status == OK else answer

    def result(self, handout, state="completed", **more):
        return dict({"id": handout["id"], "task": handout["task"], "session": self.session, "token": handout["token"],
                     "state": state, "worker": self.name}, **more)

    def done(self, *results, peer=0):
        return self.broker.ask("DONE", list(results), peer=peer)

    def beat(self, *held, claim_open=None, peer=0, **more):
        holds = [{"id": h["id"], "task": h["task"], "token": h["token"], **said} for h, said in held]
        return self.broker.ask("HEARTBEAT", {"session": self.session, "claim_open": claim_open or self.seq + 1,
                                             "worker": self.name, "held": holds, **more}, peer=peer)


def task(id_, name="system.echo", token=1, **more):
    return dict({"id": id_, "task": name, "token": bytes([token]) * 16}, **more)


def receipt_of(broker, item, service="system", **more):
    """Submits one task, which must be kept."""
    answer = broker.ask("SUBMIT", [item], service=service, **more)
    assert answer.status == OK and answer.body[0]["status"] == OK, answer
    return answer.body[0]


def stage_of(broker, id_, name="system.echo", peer=0):
    answer = broker.ask("GET", {"id": id_}, peer=peer)
    assert answer.status == OK, answer
    return answer.body["stages"][name]


# ---- fixtures; a file names its own: house = a_house(lease_ms=500)


def a_house(states=1, **settings):
    """A fixture: a house with so many state services that read these settings."""

    @pytest.fixture
    def house(tmp_path):
        house = House(tmp_path, **settings)
        for _ in range(states):
            house.state()
        yield house
        house.close()

    return house


@pytest.fixture
def broker(house):
    return house.broker


def a_worker(*nodes):
    """A fixture: a worker that has said its nodes."""

    @pytest.fixture
    def worker(broker):
        worker = Worker(broker)
        worker.register(*nodes)
        return worker

    return worker
