"""A peer written from docs/protocol.md alone, in Python: its programs are taken from the page and run against the real processes."""
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid

import msgpack
import pytest
import redis
import zmq

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.abspath(os.environ.get("GANTRY_BIN", "build/bin"))
ROOT = os.path.abspath(os.environ.get("GANTRY_SOURCE", os.path.join(HERE, "..", "..")))
with open(os.path.join(ROOT, "docs", "protocol.md"), encoding="utf-8") as page_file:
    PAGE = page_file.read()
MAGIC = 0x4701
HELLO, PING, BYE, SUBMIT, GET, WAIT, LIST, CANCEL, NODES, SUBSCRIBE = 1, 2, 3, 10, 11, 12, 13, 14, 15, 16
CLAIM, HEARTBEAT, DONE, RETURN, REGISTER = 20, 21, 22, 23, 24
OK, INVALID, NOT_FOUND, UNAVAILABLE, STALE, TIMEOUT, HELLO_FIRST = 0, 1, 2, 8, 9, 11, 12


class System:
    """Broker, state service and Redis, in the current folder."""

    def __init__(self, name):
        self.folder, self.children, self.log = name, {}, open(f"{name}.log", "ab")
        os.makedirs(os.path.join(name, "redis"))
        self.sock = os.path.join(name, "redis", "sock")
        self.clients, self.workers = f"ipc://{name}/c", f"ipc://{name}/w"
        self.start("redis", "redis-server", "--port", "0", "--unixsocket", os.path.abspath(self.sock), "--dir", os.path.join(name, "redis"),
                   "--appendonly", "yes", "--save", "")
        self.redis = redis.Redis(unix_socket_path=self.sock)
        until(self.redis_answers)
        self.start_broker()
        self.start("state", os.path.join(BIN, "gantry-state"), f"--redis-addr={self.sock}", f"--state-brokers=ipc://{name}/s",
                   f"--storage-root={os.path.abspath(name)}/storage")

    def start_broker(self):
        self.start("broker", os.path.join(BIN, "gantry-broker"), f"--broker-clients={self.clients}", f"--broker-workers={self.workers}",
                   f"--broker-states=ipc://{self.folder}/s", f"--broker-status=ipc://{self.folder}/t")

    def redis_answers(self):
        try:
            return self.redis.ping()
        except redis.exceptions.RedisError:
            return False

    def start(self, name, *command):
        self.children[name] = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def kill(self, name, number=signal.SIGKILL):
        child = self.children.pop(name)
        child.send_signal(number)
        return child.wait(10)

    def stop(self):
        for name in reversed(list(self.children)):
            self.kill(name, signal.SIGTERM if name != "redis" else signal.SIGKILL)


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


class Peer:
    """The least that speaks the protocol: asks, and asks again."""

    def __init__(self, endpoint, **hello):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger, self.socket.immediate = 0, 1
        self.socket.connect(endpoint)
        self.words, self.epoch, self.request = hello, 0, 0
        self.hello()

    def hello(self):
        self.epoch = 0
        status, welcome = self.once(HELLO, self.words)
        assert status == OK, welcome
        self.epoch = welcome["epoch"]
        return welcome

    def once(self, verb, body=None, service="", count=0, seconds=30):
        self.request += 1
        header = [MAGIC, verb, self.request, self.epoch, 0, service, 0, count, 0, ""]
        self.socket.send_multipart([msgpack.packb(header)] + ([msgpack.packb(body)] if body is not None else []))
        end = time.monotonic() + seconds
        while self.socket.poll(max(0, int(1000 * (end - time.monotonic())))):
            head, *rest = self.socket.recv_multipart()
            head = msgpack.unpackb(head)
            if head[2] == self.request:
                return head[4], msgpack.unpackb(rest[0], strict_map_key=False) if rest and rest[0] else None
        return TIMEOUT, None

    def ask(self, verb, body=None, tries=60, **header):
        for _ in range(tries):
            status, answer = self.once(verb, body, **header)
            if status == HELLO_FIRST:
                self.hello()
            elif status == UNAVAILABLE:
                time.sleep(answer["retry_after_ms"] / 1000)
            else:
                return status, answer
        raise AssertionError("no answer")

    def close(self):
        self.socket.close()


def client(system):
    return Peer(system.clients, role="client", name="test")


class Worker(Peer):
    def __init__(self, system, service="pytest", slots=64):
        self.session, self.seq, self.slots = os.urandom(16), 1, slots
        super().__init__(system.workers, role="worker", name="py", session=self.session, services=[service], slots=slots,
                         host=socket.gethostname(), pid=os.getpid())
        nodes = [{"name": f"{service}.work", "inputs": [{"name": "n", "type": "whole", "required": True}], "outputs": ["n"], "key": ["n"]}]
        assert self.ask(REGISTER, {"session": self.session, "nodes": nodes})[0] == OK

    def claim(self, seconds=30):
        status, tasks = self.once(CLAIM, {"session": self.session, "seq": self.seq, "worker": "py"}, count=self.slots, seconds=seconds)
        self.seq += 1
        return tasks if status == OK else []

    def beat(self, held=()):
        held = [{key: task[key] for key in ("id", "task", "token")} for task in held]
        status, beat = self.ask(HEARTBEAT, {"session": self.session, "claim_open": self.seq, "worker": "py", "held": held})
        assert status == OK
        return beat or {}

    def done(self, tasks, state="completed", **more):
        results = [{**{key: task[key] for key in ("id", "task", "session", "token")}, "state": state, "worker": "py",
                    **({"output": {"n": task["input"]["n"] + 1}} if state == "completed" else {}), **more} for task in tasks]
        status, outcomes = self.ask(DONE, results, count=len(results))
        assert status == OK
        return [outcome["status"] for outcome in outcomes]


def tasks_of(count, service="pytest"):
    return [{"id": str(uuid.uuid4()), "task": f"{service}.work", "token": os.urandom(16), "input": {"n": n}} for n in range(count)]


@pytest.fixture(scope="module")
def system():
    made = System(f"s{os.getpid()}")  # the state service may come last: peers repeat what is UNAVAILABLE till then
    yield made
    made.stop()


@pytest.fixture
def worker(system):
    made = Worker(system)
    yield made
    made.ask(BYE, {"session": made.session})
    made.close()


def program(name):
    code = re.search(rf"```python {name}\n(.*?)```", PAGE, re.S).group(1)
    with open(name, "w") as out:
        out.write(code)
    return code


# ---- the page ----

def test_the_programs_of_the_page_work(system):
    for name in ("client.py", "worker.py"):
        lines = [line for line in program(name).splitlines() if line.strip()]
        assert len(lines) <= 48, f"{name}: {len(lines)} lines"
    peer = subprocess.Popen([sys.executable, "worker.py", system.workers], stdout=system.log, stderr=system.log)
    asker = client(system)
    try:
        until(lambda: any(node["name"] == "demo.upper" for node in asker.ask(NODES)[1] or []))
        for text in ("hello", "grüße"):
            said = subprocess.run([sys.executable, "client.py", system.clients, text], capture_output=True, text=True, timeout=30)
            assert said.stdout == f"miss\ncompleted {text.upper()}\n", said
        system.kill("broker")
        system.start_broker()
        said = subprocess.run([sys.executable, "client.py", system.clients, "again"], capture_output=True, text=True, timeout=60)
        assert said.stdout == "miss\ncompleted AGAIN\n", said
        assert peer.poll() is None
    finally:
        peer.kill()
        peer.wait()
        asker.close()


def test_the_hexadecimal_of_the_page():
    frames = []
    for block in re.findall(r"```hex\n(.*?)```", PAGE, re.S):
        for frame in block.strip().split("\n\n"):
            digits = "".join(re.match(r"\s*((?:[0-9a-f]{2} ?)+)(?:  .*)?$", line).group(1) for line in frame.splitlines())
            frames.append(msgpack.unpackb(bytes.fromhex(digits)))
    assert frames == [
        [MAGIC, HELLO, 1, 0, 0, "", 0, 0, 0, ""],
        {"role": "client", "name": "cli", "software": "demo/1", "host": "box", "pid": 4242},
        [MAGIC, SUBMIT, 2, 0xC0FFEE, 0, "demo", 0, 1, 0, ""],
        [{"id": "t1", "task": "demo.upper", "token": bytes(range(16, 32)), "input": {"text": "hi"}}],
    ]


def test_the_vectors_are_what_their_maker_makes():
    subprocess.run([sys.executable, os.path.join(ROOT, "tests", "vectors", "make.py"), "vectors"], check=True)
    for kind in ("good", "hostile"):
        stored, made = os.path.join(ROOT, "tests", "vectors", kind), os.path.join("vectors", kind)
        assert sorted(os.listdir(stored)) == sorted(os.listdir(made))
        for name in os.listdir(made):
            with open(os.path.join(stored, name)) as one, open(os.path.join(made, name)) as other:
                assert one.read() == other.read(), name


# ---- a peer of nobody's code ----

def test_a_task_from_submit_to_record(system, worker):
    asker, (task,) = client(system), tasks_of(1)
    status, receipts = asker.ask(SUBMIT, [task], service="pytest", count=1)
    assert status == OK and receipts[0]["status"] == OK and receipts[0]["state"] == "pending"
    worker.beat()
    (handed,) = worker.claim()
    assert handed["id"] == task["id"] and handed["attempt"] == 1 and handed["input"] == {"n": 0}
    assert asker.ask(GET, {"id": task["id"]})[1]["status"] == "running"
    assert not any(worker.beat([handed]).values())
    assert worker.done([handed]) == [OK]
    status, record = asker.ask(WAIT, {"id": task["id"]})
    stage = record["stages"]["pytest.work"]
    assert (status, record["status"], stage["state"], stage["output"]) == (OK, "completed", "completed", {"n": 1})
    assert worker.done([handed]) == [OK], "the same DONE again has the same outcome"
    handed["token"] = bytes(12)
    assert worker.done([handed]) == [STALE], "another token has not"
    asker.close()


def test_the_same_token_is_the_same_submit(system, worker):
    asker, (task,) = client(system), tasks_of(1)
    first = asker.ask(SUBMIT, [task], service="pytest", count=1)
    again = asker.ask(SUBMIT, [task], service="pytest", count=1)
    assert first == again and first[1][0]["reuse"] == "miss"
    other = dict(task, token=os.urandom(16))
    assert asker.ask(SUBMIT, [other], service="pytest", count=1)[1][0]["reuse"] == "wait"
    worker.beat()
    handed = worker.claim()
    assert [one["id"] for one in handed] == [task["id"]]
    assert worker.done(handed) == [OK]
    assert asker.ask(SUBMIT, [dict(task, token=os.urandom(16))], service="pytest", count=1)[1][0]["reuse"] == "hit"
    asker.close()


def test_a_thousand_in_batches_each_once(system, worker):
    asker, tasks = client(system), tasks_of(1000)
    for at in range(0, 1000, 200):
        status, receipts = asker.ask(SUBMIT, tasks[at:at + 200], service="pytest", count=200)
        assert status == OK and all(receipt["status"] == OK for receipt in receipts)
    seen = {}
    while len(seen) < 1000:
        worker.beat()
        handed = worker.claim()
        for one in handed:
            assert one["id"] not in seen
            seen[one["id"]] = one["input"]["n"]
        assert worker.done(handed) == [OK] * len(handed)
    assert seen == {task["id"]: task["input"]["n"] for task in tasks}
    asker.close()


def test_cancel_and_failure(system, worker):
    asker, tasks = client(system), tasks_of(3)
    assert asker.ask(SUBMIT, tasks, service="pytest", count=3)[0] == OK
    status, record = asker.ask(CANCEL, {"id": tasks[0]["id"]})
    assert (status, record["status"]) == (OK, "cancelled")
    worker.beat()
    handed = worker.claim()
    assert [one["id"] for one in handed] == [tasks[1]["id"], tasks[2]["id"]]
    assert asker.ask(CANCEL, {"id": tasks[1]["id"]})[1]["stages"]["pytest.work"]["state"] == "cancelling"
    assert worker.beat(handed)["cancel"] == [handed[0]["token"]]
    assert worker.done(handed[:1], "cancelled") == [OK]
    fault = {"code": "FAILED", "message": "no", "exit": 3, "stderr": "last words"}
    assert worker.done(handed[1:], "failed", error=fault) == [OK]
    assert asker.ask(GET, {"id": tasks[1]["id"]})[1]["status"] == "cancelled"
    assert asker.ask(GET, {"id": tasks[2]["id"]})[1]["stages"]["pytest.work"]["error"] == fault
    asker.close()


def test_what_is_given_back_and_what_is_forgotten_is_handed_out_again(system, worker):
    asker, tasks = client(system), tasks_of(2)
    assert asker.ask(SUBMIT, tasks, service="pytest", count=2)[0] == OK
    worker.beat()
    handed = worker.claim()
    assert len(handed) == 2
    status, outcomes = worker.ask(RETURN, handed[:1], count=1)
    assert (status, outcomes[0]["status"]) == (OK, OK)
    worker.beat()  # the other is not in held, and its claim is answered: it was lost on the way
    again = worker.claim() + worker.claim(seconds=2)
    assert sorted(one["id"] for one in again) == sorted(task["id"] for task in tasks)
    assert worker.done(handed) == [STALE, STALE]
    assert worker.done(again) == [OK] * 2
    asker.close()


def test_what_is_tried_again_gets_what_the_last_attempt_left(system, worker):
    asker, (task,) = client(system), tasks_of(1)
    since = asker.ask(SUBSCRIBE, {})[1]["seq"]
    assert asker.ask(SUBMIT, [task], service="pytest", count=1)[0] == OK
    fault = {"code": "UNAVAILABLE", "message": "the disk is away"}
    for attempt, failures, left, state, more in ((1, 0, None, "retry", {"error": fault, "retry_after_ms": 50, "checkpoint": {"at": 1}}),
                                                 (2, 1, {"at": 1}, "snoozed", {"retry_after_ms": 50}),
                                                 (3, 1, {"at": 1}, "completed", {})):
        worker.beat()
        (handed,) = worker.claim()
        assert (handed["attempt"], handed.get("failures", 0), handed.get("checkpoint")) == (attempt, failures, left)
        assert worker.done([handed], state, **more) == [OK]
    stage = asker.ask(WAIT, {"id": task["id"]})[1]["stages"]["pytest.work"]
    assert (stage["state"], stage["attempt"], stage["failures"]) == ("completed", 3, 1)
    assert [(one["attempt"], one["state"], one["error"]) for one in stage["history"]] == [(1, "failed", fault)]
    states = []
    while states[-1:] != ["completed"]:
        updates = asker.ask(SUBSCRIBE, {"since": since, "id": task["id"]})[1]
        states += [one["state"] for one in updates["items"] or []]
        since = updates["seq"]
    assert states == ["pending", "running", "scheduled", "pending", "running", "scheduled", "pending", "running", "completed"]
    asker.close()


def test_refusals_name_what_is_wrong(system, worker):
    asker, (task,) = client(system), tasks_of(1)
    for wrong, status, field in (({"id": "../etc"}, INVALID, "id"), ({"task": "pytest.unknown"}, NOT_FOUND, "task"),
                                 ({"input": {}}, INVALID, "input.n"), ({"input": {"n": "x"}}, INVALID, "input.n"),
                                 ({"input": {"n": 1, "m": 2}}, INVALID, "input.m"), ({"token": b"short"}, INVALID, "token")):
        answer = asker.ask(SUBMIT, [{**task, **wrong}], service="pytest", count=1)
        receipt = answer[1][0] if answer[0] == OK else {**answer[1], "status": answer[0]}
        assert (receipt["status"], receipt["field"]) == (status, field), (wrong, answer)
    assert asker.ask(GET, {"id": "nobody"})[0] == NOT_FOUND
    assert asker.ask(WAIT, {"id": "nobody", "timeout_ms": 100})[0] == NOT_FOUND
    asker.close()
