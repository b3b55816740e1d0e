"""A whole system of real processes that may be killed, stopped and started again, and a client that never gives up.

Everything lies in one folder below the current one, which is also every process' working folder: a process that is
left over is found by that. The client is made of pyzmq and msgpack alone.
"""
import collections
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time

import msgpack
import redis
import zmq

BIN = os.path.abspath(os.environ.get("GANTRY_BIN", "build/bin"))
MAGIC = 0x4701
VERBS = {"HELLO": 1, "PING": 2, "BYE": 3, "SUBMIT": 10, "GET": 11, "WAIT": 12, "LIST": 13, "CANCEL": 14, "NODES": 15,
         "STATUS": 30, "WORKERS": 31, "QUEUES": 32}
(OK, INVALID, NOT_FOUND, CONFLICT, MALFORMED, TOO_LARGE, UNSUPPORTED, BUSY, UNAVAILABLE, STALE, EMPTY, TIMEOUT,
 HELLO_FIRST) = range(13)
PASSING = (BUSY, UNAVAILABLE, TIMEOUT)
ENDED = ("completed", "skipped", "failed", "quarantined", "cancelled")
QUICK = {"lease_ms": 1000, "heartbeat_ms": 200, "liveness_ms": 600}
READS = {"gantry-broker": ("broker_", "limits_", "log_", *QUICK),
         "gantry-state": ("state_", "redis_", "queue_", "log_", "storage_root", "lease_ms"),
         "gantry-worker": ("worker_", "storage_", "log_")}
BALANCE = """
local waiting, held, seen, twice = 0, 0, {}, {}
local function at(field)
  if seen[field] then twice[#twice + 1] = field end
  seen[field] = true
end
for _, key in ipairs(redis.call('KEYS', 'queue:*')) do
  for _, entry in ipairs(redis.call('LRANGE', key, 0, -1)) do
    local id, task, generation = string.match(entry, '^([^/]+)/(%S+) (%d+)$')
    local packed = redis.call('HGET', 'task:' .. id, task .. '.s')
    local state = packed and string.byte(packed, 2) or 0
    local now = packed and struct.unpack('>I4', packed, 4) or 0
    if state == 0 and now == tonumber(generation) then
      waiting = waiting + 1
      at(id .. '/' .. task)
    end
  end
end
for _, key in ipairs(redis.call('KEYS', 'running:*')) do
  for _, field in ipairs(redis.call('HKEYS', key)) do
    held = held + 1
    at(field)
  end
end
return { waiting, held, twice, redis.call('HGETALL', 'ledger') }
"""
TROUBLE = re.compile(r"Sanitizer|runtime error:|Assertion|assertion|stack smashing|free\(\)|malloc\(\)")


def until(what, seconds=15, every=0.02):
    """The first true answer of what()."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(every)


def processes_in(folder):
    """Command lines of every process whose working folder is there, by pid."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            where = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
            if int(pid) == os.getpid() or not (where + "/").startswith(folder + "/"):
                continue
            with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline") as line:
                if stat.read().rsplit(")", 1)[1].split()[0] != "Z":
                    found[int(pid)] = line.read().replace("\0", " ").strip()
        except OSError:
            continue
    return found


class Process:
    def __init__(self, name, *command, env=None):
        self.name, self.command, self.env, self.process, self.log = name, command, env, None, os.path.abspath(f"{name}.log")
        self.killed = False
        self.start()

    def start(self):
        assert not self.alive(), f"{self.name} runs already"
        self.killed = False
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env={**os.environ, **(self.env or {})})

    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        self.killed = True
        self.process.kill()
        self.process.wait()

    def listens_to_term(self):
        """Not yet so in the first moment of its life: it would just die."""
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"SigCgt:\s+(\w+)", status.read()).group(1), 16) & 1 << signal.SIGTERM - 1

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """SIGTERM; everything of ours then ends by itself, and well."""
        if self.alive():
            self.thaw()
            until(self.listens_to_term)
            self.process.terminate()
        code = self.process.wait(timeout=30)
        assert code == 0 or (self.killed and code == -signal.SIGKILL), f"{self.name} ended with {code}: {self.said()}"

    def restart(self, pause=0.0):
        self.kill()
        time.sleep(pause)
        self.start()

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-4000:]

    def rss(self):
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024


class System:
    """Use with `with`: at its end all is stopped, and nothing may be left over or have been reported."""

    def __init__(self, folder, brokers=1, states=1, workers=1, bin=BIN, env=None, redis_flags=(), **settings):
        self.folder, self.home = os.path.realpath(folder), os.getcwd()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        os.chdir(self.folder)
        for name in ("run", "share", "in", "redis"):
            os.mkdir(name)
        self.bin, self.env, self.zmq, self.clients = bin, env, zmq.Context(), []
        self.settings = {**QUICK, "worker_services": "system", "worker_grace_ms": 500, "worker_drain_ms": 2000,
                         "storage_root": self.folder + "/share", "storage_local": self.folder + "/local",
                         "storage_input_roots": self.folder + "/in", "redis_addr": "redis/sock", **settings}
        self.redis = Process("redis", "redis-server", "--port", "0", "--unixsocket", "sock", "--dir", "redis",
                             "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning",
                             *redis_flags)
        self.db = redis.Redis(unix_socket_path="redis/sock")
        self.brokers, self.states, self.workers = [], [], []
        self.counts = brokers, states, workers

    def __enter__(self):
        try:
            until(self.redis_answers)
            brokers, states, workers = self.counts
            self.brokers = [self.broker(n) for n in range(brokers)]
            self.states = [self.state(n) for n in range(states)]
            self.workers = [self.worker(n) for n in range(workers)]
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def redis_answers(self):
        try:
            return self.db.ping()
        except redis.exceptions.RedisError:
            return False

    def process(self, name, program, **settings):
        flags = [f"--{key.replace('_', '-')}={value}" for key, value in {**self.settings, **settings}.items()
                 if key.startswith(READS[program])]
        return Process(name, os.path.join(self.bin, program), *flags, env=self.env)

    def broker(self, n):
        sockets = {f"broker_{role}": f"ipc://run/{role}{n}" for role in ("clients", "workers", "states", "status")}
        more = self.settings.get("broker_clients")
        sockets["broker_clients"] += f",{more}" if more else ""
        return self.process(f"broker{n}", "gantry-broker", **sockets)

    def endpoints(self, role):
        return ",".join(f"ipc://run/{role}{n}" for n in range(self.counts[0]))

    def state(self, n):
        return self.process(f"state{n}", "gantry-state", state_brokers=self.endpoints("states"))

    def worker(self, n, **settings):
        return self.process(f"worker{n}", "gantry-worker", worker_name=f"worker{n}",
                            worker_brokers=self.endpoints("workers"), **settings)

    def add_worker(self, **settings):
        self.workers.append(self.worker(len(self.workers), **settings))
        return self.workers[-1]

    def all(self):
        return [*self.workers, *self.states, *self.brokers, self.redis]

    def client(self, **more):
        self.clients.append(Client(self.zmq, self.endpoints("clients").split(","), **more))
        return self.clients[-1]

    # ---- what Redis has -------------------------------------------------------------------------

    def balance(self):
        """The ledger as it stands this moment: what was accepted has ended, waits or runs; each stage at one place."""
        waiting, held, twice, flat = self.db.eval(BALANCE, 0)
        assert not twice, f"at two places: {twice[:5]}"
        ledger = collections.Counter({key.decode(): int(value) for key, value in zip(flat[::2], flat[1::2])})
        ledger.update(pending=waiting, running=held)
        assert ledger["accepted"] == sum(ledger[state] for state in (*ENDED, "pending", "running")), ledger
        return ledger

    def ends(self):
        """How often each stage reached a terminal state, by the stream of events and by the lists of the ended."""
        said, listed = collections.Counter(), collections.Counter()
        for _, fields in self.db.xrange("events"):
            if b"f" in fields:
                said.update(fields[b"f"].decode().split())
        for key in self.db.scan_iter("ended:*"):
            listed.update(line.decode().split()[0] for line in self.db.lrange(key, 0, -1))
        assert said == listed, (said - listed, listed - said)
        return listed

    def settle(self):
        """All that was accepted has ended, each stage once."""
        ledger = self.balance()
        assert ledger["pending"] == ledger["running"] == 0, ledger
        ends = self.ends()
        assert sum(ends.values()) == ledger["accepted"] and all(n == 1 for n in ends.values()), ends.most_common(3)

    # ---- the end --------------------------------------------------------------------------------

    def check(self):
        for process in self.all():
            assert process.alive(), f"{process.name} is gone: {process.said()}"

    def logs(self):
        return "".join(f"---- {process.name}\n{process.said()}" for process in self.all())

    def __exit__(self, kind, value, trace):
        try:
            if kind:
                print(self.logs())
            for client in self.clients:
                client.close()
            for process in self.all():
                process.stop()
            until(lambda: not processes_in(self.folder), 5)
            for process in self.all():
                with open(process.log, errors="replace") as log:
                    assert not TROUBLE.search(log.read()), process.said()
        finally:
            for pid in processes_in(self.folder):
                os.kill(pid, signal.SIGKILL)
            os.chdir(self.home)
            self.zmq.destroy(linger=0)
            if not kind:
                shutil.rmtree(self.folder, ignore_errors=True)


Answer = collections.namedtuple("Answer", "status body count")


class Client:
    """Keeps what has no answer, says HELLO again when the broker forgot it or fell silent, and sends it again."""

    def __init__(self, context, endpoints, body_max=None):
        self.zmq, self.endpoints, self.at = context, list(endpoints), 0
        self.socket, self.epoch, self.request, self.body_max = None, 0, 0, body_max
        self.open, self.answers, self.sent_bytes = {}, {}, {}
        self.statuses = collections.Counter()
        self.connect()

    def close(self):
        if self.socket:
            self.socket.close(linger=0)
        self.socket = None

    def connect(self):
        self.close()
        self.socket = self.zmq.socket(zmq.DEALER)
        self.socket.connect(self.endpoints[self.at % len(self.endpoints)])
        self.at += 1
        self.hello()

    def hello(self):
        self.epoch, self.heard = 0, time.monotonic()
        self.pinged = self.heard
        self.request += 1
        self.greeting = self.request
        self.send("HELLO", self.greeting, msgpack.packb({"role": "client", "name": "harness"}), "", 0, 0)

    def send(self, verb, request, body, service, priority, count):
        header = [MAGIC, VERBS[verb], request, self.epoch, 0, service, priority, count, 0, ""]
        try:
            self.socket.send_multipart([msgpack.packb(header), body], zmq.DONTWAIT)
        except zmq.Again:
            pass  # it stays open, and goes out after the next WELCOME

    def begin(self, verb, body=None, service="", priority=0, count=None):
        if count is None:
            count = len(body) if isinstance(body, list) else 0
        self.request += 1
        packed = body if isinstance(body, bytes) else b"" if body is None else msgpack.packb(body)
        self.open[self.request] = (verb, self.request, packed, service, priority, count)
        if self.epoch:
            self.send(*self.open[self.request])
        return self.request

    def take(self, frames):
        self.heard = time.monotonic()
        header = msgpack.unpackb(frames[0])
        request, epoch, status = header[2], header[3], header[4]
        body = msgpack.unpackb(frames[1], strict_map_key=False) if len(frames) > 1 and frames[1] else None
        self.statuses[status] += 1
        if request == self.greeting and status == OK:
            self.epoch, self.pinged = body["epoch"], self.heard
            for asked in list(self.open.values()):
                self.send(*asked)
        elif status == HELLO_FIRST:
            if self.epoch:
                self.hello()
        elif self.open.pop(request, None):
            self.answers[request] = Answer(status, body, header[7])

    def pump(self, seconds=0.0, until_answered=None):
        """Takes what comes for so long, or until one request has its answer, and keeps the connection."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if now - self.heard > 1.0 and (self.pinged > self.heard or not self.epoch):
                self.connect()
            elif self.epoch and now - max(self.heard, self.pinged) > 0.2:
                self.pinged = now
                self.request += 1
                self.send("PING", self.request, b"", "", 0, 0)
            left = end - time.monotonic()
            if self.socket.poll(max(0, min(50, int(left * 1000)))):
                self.take(self.socket.recv_multipart())
                if until_answered in self.answers:
                    return
            elif left <= 0:
                return

    def end(self, request, seconds=30):
        end = time.monotonic() + seconds
        while request not in self.answers:
            assert time.monotonic() < end, f"no answer within {seconds} s"
            self.pump(0.1, request)
        return self.answers.pop(request)

    def ask(self, verb, body=None, seconds=30, **more):
        return self.end(self.begin(verb, body, **more), seconds)

    def insist(self, verb, body=None, seconds=40, **more):
        """Asks until the answer is a lasting one."""
        end = time.monotonic() + seconds
        while True:
            answer = self.ask(verb, body, seconds, **more)
            if answer.status not in PASSING:
                return answer
            assert time.monotonic() < end, answer
            if answer.status == UNAVAILABLE:
                assert answer.body["retry_after_ms"] > 0, answer
            self.pump((answer.body or {}).get("retry_after_ms", 0) / 1000)

    # ---- tasks ----------------------------------------------------------------------------------

    @staticmethod
    def task(id_, node="system.echo", **input_):
        return {"id": id_, "task": node, "token": secrets.token_bytes(16), "input": input_}

    def submit(self, *tasks, seconds=40):
        """Receipts of tasks of one service; what was refused for now is submitted again under the same tokens."""
        receipts, left, end = {}, list(tasks), time.monotonic() + seconds
        while left:
            service = left[0]["task"].split(".")[0]
            answer = self.insist("SUBMIT", left, seconds, service=service)
            assert answer.status == OK, answer
            for task, receipt in zip(left, answer.body):
                receipts[task["id"]] = receipt
            left = [task for task in left if receipts[task["id"]]["status"] in PASSING]
            assert time.monotonic() < end, left[:1]
            self.pump(0.05 if left else 0)
        return [receipts[task["id"]] for task in tasks]

    def wait(self, *refs, seconds=40):
        """Records of (id, node) once each of these has ended."""
        end, records = time.monotonic() + seconds, {}
        asked = {self.begin("WAIT", {"id": id_, "task": node, "timeout_ms": 5000}): (id_, node) for id_, node in refs}
        while asked:
            assert time.monotonic() < end, f"{len(asked)} of {len(refs)} have not ended: {list(asked.values())[:5]}"
            self.pump(0.02)
            for request in [request for request in asked if request in self.answers]:
                answer, ref = self.answers.pop(request), asked.pop(request)
                if answer.status == OK:
                    records[ref] = answer.body
                    continue
                assert answer.status in PASSING, (ref, answer)
                asked[self.begin("WAIT", {"id": ref[0], "task": ref[1], "timeout_ms": 5000})] = ref
        return [records[ref] for ref in refs]

    def record(self, id_):
        answer = self.insist("GET", {"id": id_})
        assert answer.status == OK, answer
        return answer.body

    def stage(self, id_, node="system.echo"):
        return self.record(id_)["stages"][node]

    def run(self, id_, node="system.echo", seconds=40, **input_):
        """Submits one task and answers its stage once it has ended."""
        receipt = self.submit(self.task(id_, node, **input_), seconds=seconds)[0]
        assert receipt["status"] == OK, receipt
        return self.wait((id_, node), seconds=seconds)[0]["stages"][node]

    def ready(self, *nodes, seconds=20):
        """Until the catalogue knows these nodes."""
        until(lambda: {n["name"] for n in self.insist("NODES").body or []} >= set(nodes), seconds)
