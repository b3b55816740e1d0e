"""A whole system of real processes that may be killed, stopped and started again. Its client is in harness_client.py.

Everything lies in one folder below the current one, which is also every process' working folder: a process that is
left over is found by that.
"""
import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import redis
import zmq

from harness_client import *  # noqa: F403: tests have it all from here
from harness_client import Client, until

BIN = os.path.abspath(os.environ.get("GANTRY_BIN", "build/bin"))
ENDED = ("completed", "skipped", "failed", "quarantined", "cancelled")
QUICK = {"lease_ms": 1000, "heartbeat_ms": 200, "liveness_ms": 600}
READS = {"gantry-broker": ("broker_", "limits_", "log_", *QUICK),
         "gantry-state": ("state_", "redis_", "queue_", "quota_user", "quota_all", "retry_", "audit_", "log_", "storage_root", "storage_local",
                          "storage_input", "storage_low", "storage_high", "cleanup_schedule", "objects_", "lease_ms"),
         "gantry-worker": ("worker_", "storage_root", "storage_local", "storage_input", "storage_legacy", "storage_auto", "storage_retention",
                           "quota_task", "cleanup_grace", "cleanup_tmp", "objects_", "unpack_", "callback_", "reuse_", "log_"),
         "gantry-front": ("front_", "storage_root", "storage_low", "storage_high", "quota_task", "objects_", "reuse_", "log_")}
READS["gantry-node"] = READS["gantry-broker"] + READS["gantry-state"]
BALANCE = """
local waiting, held, later, seen, twice = 0, 0, 0, {}, {}
local function at(field)
  if seen[field] then twice[#twice + 1] = field end
  seen[field] = true
end
for _, key in ipairs(redis.call('KEYS', 'queue:*')) do
  for _, entry in ipairs(redis.call('LRANGE', key, 0, -1)) do
    local field, generation = string.match(entry, '^(%S+) ?(%d*)$')
    local packed = redis.call('HGET', 'states', field)
    local state = packed and string.byte(packed, 2) or 0
    local now = packed and struct.unpack('>I4', packed, 5) or 0
    if state == 0 and now == (tonumber(generation) or 0) then
      waiting = waiting + 1
      at(field)
    end
  end
end
for _, key in ipairs(redis.call('KEYS', 'running:*')) do
  for _, field in ipairs(redis.call('HKEYS', key)) do
    held = held + 1
    at(field)
  end
end
for _, entry in ipairs(redis.call('ZRANGE', 'timers', 0, -1)) do
  later = later + 1
  at(string.match(entry, '^(%S+)'))
end
return { waiting, held, later, twice, redis.call('HGETALL', 'ledger') }
"""
STREAM = "return redis.call('XRANGE', 'events', '-', '+')"  # redis-py drops a field that an entry has twice
TROUBLE = re.compile(r"Sanitizer|runtime error:|Assertion|assertion|stack smashing|free\(\)|malloc\(\)")


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
    """Use with `with`: at its end all is stopped, and nothing may be left over or have been reported.

    fused: each broker is a gantry-node with its state service in it, and states counts those beside."""

    def __init__(self, folder, brokers=1, states=None, workers=1, bin=BIN, env=None, redis_flags=(), fused=False, **settings):
        self.folder, self.home = os.path.realpath(folder), os.getcwd()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        os.chdir(self.folder)
        for name in ("run", "share", "in", "redis"):
            os.mkdir(name)
        self.bin, self.env, self.zmq, self.clients = bin, env, zmq.Context(), []
        self.settings = {**QUICK, "worker_services": "system", "worker_grace_ms": 500, "worker_drain_ms": 2000,
                         "storage_root": self.folder + "/share", "storage_local": self.folder + "/local",
                         "storage_input_roots": self.folder + "/in", "redis_addr": "redis/sock",
                         "cleanup_schedule": "", **settings}  # nothing runs that a test has not asked for
        self.redis = Process("redis", "redis-server", "--port", "0", "--unixsocket", "sock", "--dir", "redis",
                             "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning",
                             *redis_flags)
        self.db = redis.Redis(unix_socket_path="redis/sock")
        self.brokers, self.states, self.workers = [], [], []
        self.fused = fused
        self.counts = brokers, (0 if fused else 1) if states is None else states, workers

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
        return self.process(f"node{n}", "gantry-node", **sockets) if self.fused else self.process(f"broker{n}", "gantry-broker", **sockets)

    def endpoints(self, role):
        return ",".join(f"ipc://run/{role}{n}" for n in range(self.counts[0]))

    def state(self, n):
        return self.process(f"state{n}", "gantry-state", state_brokers=self.endpoints("states"))

    def worker(self, n, **settings):
        return self.process(f"worker{n}", "gantry-worker", worker_name=f"worker{n}",
                            worker_brokers=self.endpoints("workers"),
                            worker_clients=self.endpoints("clients"), **settings)

    def add_worker(self, **settings):
        self.workers.append(self.worker(len(self.workers), **settings))
        return self.workers[-1]

    def all(self):
        return [*self.workers, *self.states, *self.brokers, self.redis]

    def client(self, first=0):
        """first: which broker it goes to, as long as that lives."""
        endpoints = self.endpoints("clients").split(",")
        self.clients.append(Client(self.zmq, endpoints[first:] + endpoints[:first]))
        return self.clients[-1]

    # ---- what Redis has -------------------------------------------------------------------------

    def balance(self):
        """The ledger as it stands this moment: what was accepted has ended, waits or runs; each stage at one place."""
        waiting, held, later, twice, flat = self.db.eval(BALANCE, 0)
        assert not twice, f"at two places: {twice[:5]}"
        ledger = collections.Counter({key.decode(): int(value) for key, value in zip(flat[::2], flat[1::2])})
        ledger.update(pending=waiting, running=held, scheduled=later)
        assert ledger["accepted"] == sum(ledger[state] for state in (*ENDED, "pending", "running", "scheduled")), ledger
        return ledger

    def ends(self):
        """How often each stage reached a terminal state, by the stream of events and by the lists of the ended."""
        said, listed = collections.Counter(), collections.Counter()
        for _, flat in self.db.eval(STREAM, 0):
            for name, value in zip(flat[::2], flat[1::2]):
                if name in (b"4", b"5", b"6", b"7", b"8"):
                    said.update(value.decode().split())
        for key in self.db.scan_iter("ended:*"):
            for line in self.db.lrange(key, 0, -1):
                listed.update(line.decode().split()[2:])  # behind the state and the time
        assert said == listed, (said - listed, listed - said)
        return listed

    def settle(self):
        """All that was accepted has ended, each stage once."""
        ledger = self.balance()
        assert ledger["pending"] == ledger["running"] == ledger["scheduled"] == 0, ledger
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
