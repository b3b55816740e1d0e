"""A broker made of Python for one gantry-worker: hands out what a test wants, keeps what is said."""

import os
import shutil
import signal
import subprocess
import sys
import time

import msgpack
import pytest
import zmq

BIN = os.path.abspath(os.environ.get("GANTRY_BIN", "build/bin"))
MAGIC, ANSWER, EPOCH = 0x4701, 4, 7
HELLO, PING, BYE, CLAIM, HEARTBEAT, DONE, RETURN, REGISTER = 1, 2, 3, 20, 21, 22, 23, 24

PYTHON = f"#!{sys.executable} -S\nimport os, sys, time\n"


def say(value):
    """Python text that writes a msgpack value on descriptor 3."""
    return f"os.write(3, {msgpack.packb(value)!r})\n"


@pytest.fixture
def house(tmp_path):
    houses = []

    def make(engine=None, start=True, **options):
        houses.append(House(tmp_path, **options))
        if engine:
            houses[-1].engine(engine)
        return houses[-1].start() if start else houses[-1]

    yield make
    for h in houses:
        h.close()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # gone, before it was opened or since
        return False


class House:
    def __init__(self, folder, lease_ms=2000, **settings):
        self.folder = str(folder)
        self.lease_ms = lease_ms
        self.waiting, self.parked, self.tokens = [], [], {}
        self.nodes, self.results, self.returned, self.said = {}, [], [], []
        self.progress = {}
        self.cancel, self.stale = [], []
        self.drained = False  # by an operator
        self.beating = True
        self.away = False  # heartbeats are answered UNAVAILABLE
        self.root = os.path.join(self.folder, "root")
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        here = os.getcwd()
        os.chdir(self.folder)  # a socket's path is short or none
        self.socket.bind("ipc://w")
        os.chdir(here)
        self.log = open(os.path.join(self.folder, "worker.log"), "wb")
        self.bin = BIN
        self.settings = {"worker-brokers": "ipc://w", "storage-root": self.root, "worker-grace-ms": "300",
                         "worker-slots": "4", **{k.replace("_", "-"): str(v) for k, v in settings.items()}}
        self.worker = None

    def engine(self, script):
        """Another gantry-engine: beside copies of the two other programs."""
        self.bin = os.path.join(self.folder, "bin")
        os.mkdir(self.bin)
        for name in ("gantry-worker", "gantry-exec"):
            shutil.copy(os.path.join(BIN, name), self.bin)
        path = os.path.join(self.bin, "gantry-engine")
        with open(path, "w") as f:
            f.write(script)
        os.chmod(path, 0o755)

    def start(self):
        self.worker = subprocess.Popen(
            [os.path.join(self.bin, "gantry-worker"), *(f"--{k}={v}" for k, v in self.settings.items())],
            cwd=self.folder, stderr=self.log, stdin=subprocess.DEVNULL,
            env={**os.environ, "SECRET": "not for engines"})
        self.until(lambda: self.nodes or self.worker.poll() is not None)
        assert self.nodes, "the worker did not start"
        return self

    def close(self):
        if self.worker and self.worker.poll() is None:
            self.worker.send_signal(signal.SIGCONT)
            self.worker.send_signal(signal.SIGTERM)
            try:
                self.until(lambda: self.worker.poll() is not None, 10)
            except AssertionError:
                self.worker.kill()
                self.worker.wait()
        self.socket.close()
        self.log.close()
        with open(os.path.join(self.folder, "worker.log")) as f:
            log = f.read()
        assert "Sanitizer" not in log and "runtime error" not in log, log
        assert "handle_left" not in log, log

    # ---- the wire

    def answer(self, peer, request, body=None, status=0, count=0):
        header = [MAGIC, ANSWER, request, EPOCH, status, "", 0, count, 0, ""]
        packed = [] if body is None else [msgpack.packb(body)]
        self.socket.send_multipart([peer, msgpack.packb(header), *(packed or [b""])])

    def turn(self, timeout_ms=10):
        if not self.socket.poll(timeout_ms):
            return
        peer, header, *body = self.socket.recv_multipart()
        _, verb, request, _, _, _, _, count, _, _ = msgpack.unpackb(header)
        body = msgpack.unpackb(body[0]) if body and body[0] else None
        self.said.append((verb, body))
        on = {HELLO: self.on_hello, PING: self.on_ping, REGISTER: self.on_register, CLAIM: self.on_claim,
              HEARTBEAT: self.on_heartbeat, DONE: self.on_done, RETURN: self.on_return}.get(verb)
        if on:
            on(peer, request, count, body)

    def on_hello(self, peer, request, count, body):
        self.session = body["session"]
        self.services = body["services"]
        self.parked.clear()
        self.answer(peer, request, {"epoch": EPOCH, "heartbeat_ms": 100, "liveness_ms": 60000,
                                    "lease_ms": self.lease_ms, "batch_max": 256, "body_max": 1 << 20})

    def on_ping(self, peer, request, count, body):
        self.answer(peer, request)

    def on_register(self, peer, request, count, body):
        self.nodes = {n["name"]: n for n in body["nodes"]}
        self.answer(peer, request)

    def on_claim(self, peer, request, count, body):
        self.parked.append((peer, request, count))
        self.hand_out()

    def hand_out(self):
        while self.waiting and self.parked:
            peer, request, count = self.parked.pop(0)
            tasks, self.waiting = self.waiting[:count], self.waiting[count:]
            for task in tasks:
                task["session"] = self.session
            self.answer(peer, request, tasks, count=len(tasks))

    def on_heartbeat(self, peer, request, count, body):
        for held in body.get("held") or []:
            if "progress" in held:
                self.progress.setdefault(held["id"], []).append(held["progress"])
        if self.away:
            self.answer(peer, request, {"message": "the store is away", "retry_after_ms": 100}, status=8)
        elif self.beating:
            beat = {"cancel": self.cancel, "stale": self.stale, "drain": self.drained}
            self.answer(peer, request, {k: v for k, v in beat.items() if v})

    def on_done(self, peer, request, count, body):
        self.results += body
        self.answer(peer, request, [{"status": 0, "id": r["id"], "task": r["task"]} for r in body], count=len(body))

    def on_return(self, peer, request, count, body):
        self.returned += body
        self.answer(peer, request, [{"status": 0, "id": r["id"], "task": r["task"]} for r in body], count=len(body))

    # ---- what tests say

    def until(self, check, seconds=20):
        end = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < end, "it did not happen"
            self.turn()

    def idle(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn()

    def hand(self, node, id="t1", attempt=1, timeout_ms=0, before=None, **inputs):
        """before: further fields of the handout, such as failures and checkpoint."""
        token = os.urandom(12)
        self.tokens[id] = token
        self.waiting.append({"id": id, "task": node, "session": b"", "token": token, "attempt": attempt,
                             "timeout_ms": timeout_ms, "input": inputs, **(before or {})})
        self.hand_out()
        return token

    def result(self, id="t1"):
        self.until(lambda: any(r["id"] == id for r in self.results))
        return next(r for r in self.results if r["id"] == id)

    def run(self, node, **inputs):
        self.hand(node, **inputs)
        return self.result(inputs.get("id", "t1"))

    def engine_pids(self, id="t1"):
        """Living processes that carry this task's id in their environment, without the launcher."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    mine = f"GANTRY_TASK_ID={id}".encode() in f.read().split(b"\0")
                with open(f"/proc/{pid}/environ", "rb") as f:
                    mine = mine and f"{self.root}/".encode() in f.read()
                with open(f"/proc/{pid}/comm") as f:
                    if mine and f.read().strip() != "gantry-exec" and alive(pid):
                        found.append(int(pid))
            except OSError:
                continue
        return found

    def running(self, id="t1"):
        self.until(lambda: self.engine_pids(id))
        return self.engine_pids(id)

    def attempt_folders(self, id="t1"):
        tmp = os.path.join(self.root, id, "tmp")
        return os.listdir(tmp) if os.path.isdir(tmp) else []
