"""The real processes of a whole system in one folder, and what can be done to each.

All are children of this process and die with it, however it ends; what was mounted was so in a namespace of its own.
"""
import ctypes
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

import redis

PR_SET_PDEATHSIG, CLONE_NEWNS, MS_REC, MS_PRIVATE = 1, 0x20000, 0x4000, 1 << 18
PROGRAMS = ("gantry-broker", "gantry-state", "gantry-worker", "gantry-exec", "gantry-engine", "gantry-faults-load")
READS = {"gantry-broker": ("broker_", "limits_", "log_", "lease_ms", "heartbeat_ms", "liveness_ms"),
         "gantry-state": ("state_", "redis_", "queue_", "quota_", "retry_", "audit_", "log_", "storage_root", "lease_ms"),
         "gantry-worker": ("worker_", "storage_", "log_")}
TROUBLE = re.compile(r"Sanitizer|runtime error:|Assertion|assertion|stack smashing|free\(\)|malloc\(\)")
libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def private_mounts():
    """Whether mounts made from now on are ours alone and end with us."""
    return libc.unshare(CLONE_NEWNS) == 0 and libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0


def mount_small(folder, megabytes):
    options = f"size={megabytes}m".encode()
    return libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) == 0


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                todo += [int(p) for p in pathlib.Path(f"/proc/{one}/task/{thread}/children").read_text().split()]
        except OSError:
            continue
        found.append(one)
    return found[1:]


class Process:
    """kind: broker, state, worker, sdk, client, redis, proxy. deaths: (pid, monotonic ns); freezes: (pid, from ns, to ns or None)."""

    def __init__(self, name, kind, command, env=None, boots=False):
        self.name, self.kind, self.command, self.env, self.boots = name, kind, command, env, boots
        self.log = os.path.abspath(f"log/{name}.log")
        self.process, self.boot, self.wanted, self.excuse = None, 0, True, ""
        self.buried = False  # its death is known
        self.deaths, self.freezes, self.unexpected, self.excused = [], [], [], {}

    def start(self, **popen):
        self.boot, self.wanted, self.buried = self.boot + 1, True, False
        command = [*self.command, f"name={self.name}.{self.boot}"] if self.boots else self.command
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stderr=log, preexec_fn=die_with_parent, env={**os.environ, **(self.env or {})},
                                            **{"stdout": log, "stdin": subprocess.DEVNULL, **popen})
        return self

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def dead(self):
        """To be called once for each death."""
        self.buried = True
        self.deaths.append((self.pid, time.monotonic_ns()))
        self.thawed()

    def kill(self):
        self.wanted = False
        if self.alive():
            self.process.kill()
            self.process.wait()
        if self.process and not self.buried:
            self.dead()

    def terminate(self):
        self.wanted = False
        if self.alive():
            self.process.terminate()

    def freeze(self, tree=False):
        pids = [self.pid, *(descendants(self.pid) if tree else ())]
        for pid in pids:
            self.freezes.append([pid, time.monotonic_ns(), None])
            send(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in {freeze[0] for freeze in self.freezes if freeze[2] is None}:
            send(pid, signal.SIGCONT)
        self.thawed()

    def thawed(self):
        for freeze in self.freezes:
            if freeze[2] is None:
                freeze[2] = time.monotonic_ns()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text()).group(1)) * 1024

    def cap_descriptors(self, soft):
        hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (hard if soft is None else min(soft, hard), hard))

    def said(self, size=1500):
        with open(self.log, errors="replace") as log:
            return log.read()[-size:]


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Proxy:
    """The proxy's process; ways in by name."""

    def __init__(self, seed, ways):
        self.process = Process("proxy", "proxy", ["/usr/bin/python3", os.path.join(os.path.dirname(__file__), "proxy.py"), str(seed),
                                                  *(f"{name}={path}" for name, path in ways.items())])
        self.process.start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.ports = {}
        while (words := self.process.process.stdout.readline().split()) != ["READY"]:
            if not words:
                raise RuntimeError("the proxy did not start: " + self.process.said())
            self.ports[words[1]] = int(words[2])

    def say(self, *words):
        self.process.process.stdin.write(" ".join(map(str, words)) + "\n")


class Town:
    def __init__(self, folder, bin, seed, brokers=2, states=2, workers=2, sdks=3, clients=2, fsync="always", rate=30, mounts=True,
                 mangled=True, window=200, slots=12, redis_flags=(), **settings):
        self.folder, self.bin, self.seed, self.home = os.path.realpath(folder), os.path.realpath(bin), seed, os.getcwd()
        self.counts = {"broker": brokers, "state": states, "worker": workers, "sdk": sdks, "client": clients}
        self.fsync, self.rate, self.mangled, self.window, self.slots = fsync, rate, mangled, window, slots
        self.settings = {"lease_ms": 3000, "heartbeat_ms": 500, "liveness_ms": 1500, "redis_timeout_ms": 1500, "audit_interval_ms": 2000, "worker_services": "system",
                         "worker_slots": 4, "worker_grace_ms": 500, "worker_drain_ms": 1000, **settings}
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        os.chdir(self.folder)
        for name in ("run", "share", "local", "in", "redis", "log", "journal", "bin"):
            os.mkdir(name)
        self.small = {}
        if mounts and private_mounts():
            self.small = {name: mount_small(name, size) for name, size in (("redis", 512), ("share", 64))}
        self.link_programs()
        self.settings |= {"storage_root": self.folder + "/share", "storage_local": self.folder + "/local",
                          "storage_input_roots": self.folder + "/in"}
        self.redis_flags = redis_flags
        self.processes = []
        self.proxy, self.db = None, redis.Redis(unix_socket_path="redis/sock", socket_timeout=0.5, socket_connect_timeout=0.5)

    def link_programs(self):
        for name in ("gantry-worker", "gantry-exec"):
            shutil.copy(os.path.join(self.bin, name), "bin")
        shutil.copy(os.path.join(self.bin, "gantry-engine"), "bin/gantry-engine.real")
        shutil.copy(os.path.join(self.bin, "gantry-faults-load"), "bin/gantry-engine")

    # ---- start

    def start(self):
        self.add("redis", "redis", ["redis-server", "--port", "0", "--unixsocket", "sock", "--dir", "redis", "--appendonly", "yes",
                                    "--appendfsync", self.fsync, "--save", "", "--loglevel", "notice", "--maxmemory-policy", "noeviction",
                                    *self.redis_flags])
        self.until(self.redis_answers, "Redis")
        ways = {f"{role}{n}": f"run/{role}{n}" for n in range(self.counts["broker"]) for role in "cws"}
        ways |= {f"m{n}": f"run/c{n}" for n in range(self.counts["broker"])} | {"redis": "redis/sock"}
        self.proxy = Proxy(self.seed, ways)
        for kind in ("broker", "state", "worker", "sdk"):
            for n in range(self.counts[kind]):
                getattr(self, kind)(n)
        nodes = {"worker": (b"system.echo", b"system.sleep"), "sdk": (b"faults.work",)}
        wanted = {node for kind, names in nodes.items() if self.counts[kind] for node in names}
        self.until(lambda: wanted <= set(self.db.hkeys("nodes")), "the nodes", 30)
        return self

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind, value, trace):
        """For tests: ends well, or says what did not."""
        try:
            if kind:
                print("".join(f"---- {process.name}\n{process.said()}" for process in self.processes))
            wrong = [] if kind else [*self.stop(), *self.troubles()]
        finally:
            self.kill()
        assert not wrong, wrong
        if not kind:
            shutil.rmtree(self.folder, ignore_errors=True)

    def load(self, **more):
        for n in range(self.counts["client"]):
            self.client(f"c{n}", self.way("c", n), **more)
        if self.mangled:
            self.client("m0", self.way("m", 0), engines=0, rate=5, window=40)
            for n in range(self.counts["broker"]):
                self.proxy.say(f"m{n}", "mangle", 0.02)

    def way(self, role, n):
        """Every other one goes through the proxy; each begins with another broker."""
        order = [(n + k) % self.counts["broker"] for k in range(self.counts["broker"])]
        return ",".join(f"tcp://127.0.0.1:{self.proxy.ports[f'{role}{k}']}" if n % 2 == 0 else f"ipc://run/{role}{k}" for k in order)

    def add(self, name, kind, command, **more):
        self.processes.append(Process(name, kind, command, **more).start())
        return self.processes[-1]

    def ours(self, name, kind, program, where=None, **settings):
        flags = [f"--{key.replace('_', '-')}={value}" for key, value in {**self.settings, **settings}.items() if key.startswith(READS[program])]
        return self.add(name, kind, [os.path.join(where or self.bin, program), *flags])

    def broker(self, n):
        sockets = {f"broker_{role}s": f"ipc://run/{role[0]}{n}" for role in ("client", "worker", "state")}
        return self.ours(f"broker{n}", "broker", "gantry-broker", **sockets, broker_status=f"ipc://run/t{n}")

    def state(self, n):
        addr = f"127.0.0.1:{self.proxy.ports['redis']}" if n % 2 == 0 else "redis/sock"
        return self.ours(f"state{n}", "state", "gantry-state", state_brokers=self.way("s", n), redis_addr=addr)

    def worker(self, n):
        return self.ours(f"worker{n}", "worker", "gantry-worker", "bin", worker_name=f"worker{n}", worker_brokers=self.way("w", n))

    def sdk(self, n):
        return self.add(f"sdk{n}", "sdk", [os.path.join(self.bin, "gantry-faults-load"), "worker", f"journal=journal/sdk{n}",
                                           f"brokers={self.way('w', n)}", f"slots={self.slots}"], boots=True)

    def client(self, name, brokers, **more):
        options = {"journal": f"journal/{name}", "name": name, "brokers": brokers, "seed": self.seed, "rate": self.rate,
                   "window": self.window, "lease_ms": self.settings["lease_ms"], "engines": int(self.counts["worker"] > 0), **more}
        return self.add(name, "client", [os.path.join(self.bin, "gantry-faults-load"), "client", *(f"{k}={v}" for k, v in options.items())])

    # ---- ask

    def of(self, *kinds):
        return [process for process in self.processes if process.kind in kinds]

    def redis_answers(self):
        try:
            return self.db.ping()
        except redis.exceptions.RedisError:
            return False

    def until(self, what, name, seconds=15):
        end = time.monotonic() + seconds
        while not what():
            for process in self.processes:
                if not process.alive():
                    raise RuntimeError(f"{process.name} ended: {process.said()}")
            if time.monotonic() > end:
                raise RuntimeError(f"not within {seconds} s: {name}")
            time.sleep(0.05)

    # ---- end

    def stop(self):
        """Whoever is left is killed in the end; what did not end well by itself is told."""
        wrong = []
        for kinds in (("client",), ("sdk", "worker"), ("state",), ("broker",), ("redis",)):
            group = [process for process in self.of(*kinds) if process.alive()]
            for process in group:
                process.thaw()
                process.terminate()
            end = time.monotonic() + 15
            while any(process.alive() for process in group) and time.monotonic() < end:
                time.sleep(0.02)
            wrong += [f"{p.name} ended with {p.process.poll()}: {p.said(600)}" for p in group if p.process.poll() != 0]
        return wrong

    def keep_redis(self):
        """Its data for a look at it later: the small disk goes."""
        shutil.copytree("redis", "redis.kept", ignore=shutil.ignore_patterns("sock", "ballast"), dirs_exist_ok=True)

    def kill(self):
        for process in [*self.processes, *([self.proxy.process] if self.proxy else ())]:
            for pid in descendants(process.pid) if process.alive() else ():
                send(pid, signal.SIGKILL)
            process.kill()
        for name, mounted in self.small.items():
            if mounted:
                libc.umount2(os.fsencode(os.path.join(self.folder, name)), 2)
        os.chdir(self.home)

    def troubles(self):
        """What sanitizers and asserts said."""
        return [f"{process.name}: {found.group()}: {text[max(0, found.start() - 200):found.start() + 800]}" for process in self.processes
                for text in [open(process.log, errors="replace").read()] for found in [TROUBLE.search(text)] if found]
