"""A system under load: its processes, what they use, and how all of them end."""
import atexit
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOM = TOP / "build" / "bench"  # every system has a folder in it
NAMES = {"redis-server": "redis", "gantry-broker": "broker", "gantry-state": "state", "gantry-node": "node"}
TICK = os.sysconf("SC_CLK_TCK")
CONNECT_S = 0.3  # within which a worker that was told to go is there
SETTLE_S = 0.1  # results that are still on their way belong to the round
LOG_LINES = 20  # of the system's, told with trouble
made = 0


class Trouble(Exception):
    """The bench cannot go on; its text is for the user."""


def cpu_seconds(pid):
    """Of all threads, to the nanosecond."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[0])
        except OSError:  # it ended meanwhile
            pass
    return total / 1e9


def busy_seconds():
    """Of all processors, whoever uses them; what the host steals counts."""
    words = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(words[i] for i in (0, 1, 2, 5, 6, 7)) / TICK


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) << 10
    return 0


def free_port():
    """The first of four."""
    for _ in range(1000):  # connections that ended keep theirs for a minute
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            base = first.getsockname()[1]
        try:
            for port in range(base + 1, base + 4):
                with socket.socket() as other:
                    other.bind(("127.0.0.1", port))
            return base
        except (OSError, OverflowError):
            continue
    raise Trouble("no free ports")


class Load:
    """One load program; what it says comes through the system's queue."""

    def __init__(self, system, role, **options):
        common = {"dir": system.folder, "brokers": system.options.brokers, "first": len(system.loads) % system.options.brokers}
        arguments = [f"{key}={value}" for key, value in {**common, **options}.items()]
        self.process = subprocess.Popen([system.program("gantry-bench"), role, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.role, self.count, self.last, self.start, self.ended = role, 0, 0, 0, 0
        self.times, self.before, self.cpu = [], 0.0, 0.0
        system.loads.append(self)

    def ready(self, lines):
        if self.process.stdout.readline() != "READY\n":
            raise Trouble(f"a {self.role} program did not get ready")
        threading.Thread(target=self.read, args=(lines,), daemon=True).start()

    def go(self):
        self.before = cpu_seconds(self.process.pid)
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def read(self, lines):
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "S":
                self.start = int(words[1])
            elif words[0] == "P":
                self.count, self.last = int(words[1]), int(words[2])
            elif words[0] == "D":
                self.ended = int(words[1])
            elif words[0] == "L":
                self.times.append((int(words[1]), int(words[2])))
            if words[0] != "L":
                lines.put(self)
        lines.put(self)

    def poll(self):
        """Its exit code, or None; keeps what it used."""
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu = usage.ru_utime + usage.ru_stime - self.before
        return self.process.returncode

    def wait(self, seconds=30):
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                raise Trouble(f"a {self.role} program does not end")
            time.sleep(0.002)
        return self.process.returncode

    def stop(self):
        if self.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.wait()


class System:
    """A private Redis with brokers and state services, in a folder of its own. serve: more options of gantry-bench serve."""

    def __init__(self, options, folder=None, **serve):
        global made
        made += 1
        self.options, self.bin, self.loads, self.lines = options, folder or options.bin, [], queue.Queue()
        where = ROOM / f"{os.getpid()}-{made}"
        where.mkdir(parents=True)
        self.folder = os.path.relpath(where)  # sockets' paths are short
        serve = {"dir": self.folder, "fsync": options.fsync, "port": options.port or free_port(), "brokers": options.brokers,
                 "states": options.states, "fused": int(options.fused), **serve}
        self.log = where / "serve.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program("gantry-bench"), "serve", *(f"{k}={v}" for k, v in serve.items())], stderr=log)
        atexit.register(self.stop)
        try:
            for broker in ("clients", "clients2")[:options.brokers]:
                self.until(lambda: self.answers(broker), 20, "the system's start")
        except Trouble:
            self.tell()
            raise

    def program(self, name):
        return os.path.join(self.bin, name)

    def until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise Trouble("the system ended by itself")
            if time.monotonic() > end:
                raise Trouble(f"{what} takes longer than {seconds} s")
            time.sleep(0.005)

    def pids(self):
        """(name, pid) of its processes."""
        found = []
        try:
            for pid in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                if name in NAMES:
                    found.append((NAMES[name], int(pid)))
        except OSError:  # one ended meanwhile
            pass
        return found

    def sums(self, measure):
        """Of processes of one name together."""
        found = {}
        for name, pid in self.pids():
            found[name] = found.get(name, 0) + measure(pid)
        return found

    def start(self, role, **options):
        return Load(self, role, **options)

    def add(self, role, count, **options):
        """Programs that are ready to go."""
        made = [self.start(role, **options) for _ in range(count)]
        for load in made:
            load.ready(self.lines)
        return made

    def wait_line(self, since, patience_s=120):
        """Until a load program says something. since: when there was progress last."""
        if time.monotonic() - since > patience_s:
            raise Trouble(f"no progress for {patience_s} s")
        try:
            load = self.lines.get(timeout=1)
        except queue.Empty:
            return
        if load.poll() not in (None, 0):
            raise Trouble(f"a {load.role} program failed")

    def redis(self, line):
        """The answer to one inline command, as it came; "" when there is none."""
        answer = b""
        with socket.socket(socket.AF_UNIX) as link:
            try:
                link.settimeout(5)
                link.connect(f"{self.folder}/redis.sock")
                link.sendall(f"{line}\r\nQUIT\r\n".encode())
                while part := link.recv(65536):
                    answer += part
            except OSError:
                pass
        return answer.decode()

    def used_memory(self):
        return int(self.redis("INFO memory").split("used_memory:")[1].split()[0])

    def tool(self, *words, broker="clients"):
        return subprocess.run([self.program("gantry"), *words, "--broker", f"ipc://{self.folder}/{broker}"], capture_output=True,
                              text=True)

    def answers(self, broker):
        """Does the whole way to Redis work?"""
        return self.tool("ledger", "--timeout", "1s", broker=broker).returncode == 0

    def gantry(self, *words):
        """What the tool prints."""
        done = self.tool(*words)
        if done.returncode:
            raise Trouble(f"gantry {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def stop(self):
        atexit.unregister(self.stop)
        try:
            for load in self.loads:
                if load.poll() is None:
                    load.process.kill()
                load.wait()
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)
        finally:
            if self.process.poll() is None:
                self.process.kill()  # its children end with it
                self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is Trouble:
            self.tell()
        self.stop()

    def tell(self):
        """What its processes said last."""
        sys.stderr.write("".join(self.log.read_text(errors="replace").splitlines(True)[-LOG_LINES:]))


def check_programs(options, *more):
    """The folders' programs are there; those of the default folder are built when missing."""
    needed = ["gantry-bench", "gantry", *more, *(["gantry-node"] if options.fused else ["gantry-broker", "gantry-state"])]
    for folder in filter(None, (options.bin, getattr(options, "against", None))):
        missing = [name for name in needed if not os.access(os.path.join(folder, name), os.X_OK)]
        if missing and pathlib.Path(folder) == TOP / "build" / "bin":
            print("building: cmake --preset release && cmake --build --preset release", file=sys.stderr)
            for command in (["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release"]):
                if subprocess.run(command, cwd=TOP, stdout=subprocess.DEVNULL).returncode:
                    raise Trouble("the programs cannot be built: see `cmake --build --preset release`")
            missing = [name for name in needed if not os.access(os.path.join(folder, name), os.X_OK)]
        if missing:
            raise Trouble(f"{folder} has no {', '.join(missing)}")
