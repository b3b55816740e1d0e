"""Systems that take tasks over HTTP: Gantry's, and the gateways before Celery that people come from (gateway.py)."""
import http.client
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import house
from house import Trouble, cpu_seconds

HERE = pathlib.Path(__file__).resolve().parent
START_S, STOP_S, DRAIN_S = 60, 20, 600
PYTHON = "/usr/bin/python3"
MODULES = {"celery": "python3-celery", "redis": "python3-redis", "gunicorn": "python3-gunicorn", "flask": "python3-flask",
           "fastapi": "python3-fastapi", "uvicorn": "python3-uvicorn", "uvloop": "python3-uvloop", "httptools": "python3-httptools"}
NEEDS = {"gantry": (), "flask": ("celery", "redis", "gunicorn", "flask"),
         "fastapi": ("celery", "redis", "gunicorn", "fastapi", "uvicorn", "uvloop", "httptools")}


def check_packages(peers):
    """Everything that these rounds need is installed."""
    missing = [] if shutil.which("wrk") else ["wrk"]
    if shutil.which("redis-server") is None:
        missing.append("redis-server")
    for module in sorted({module for peer in peers for module in NEEDS[peer]}):
        if importlib.util.find_spec(module) is None:
            missing.append(MODULES[module])
    if missing:
        raise Trouble(f"missing packages; as root: apt-get install --no-install-recommends {' '.join(missing)}\n"
                      "or: . deploy/install.sh && gantry_install bench")


def family(pid):
    """A process and all that came of it."""
    found = [pid]
    for member in found:
        for children in pathlib.Path(f"/proc/{member}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:  # it ended meanwhile
                pass
    return found


def family_seconds(pid):
    return sum(cpu_seconds(member) for member in family(pid))


def ask(port, method, path, body=None):
    """(status, what the JSON says)"""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = link.getresponse()
        return answer.status, json.loads(answer.read() or "null")
    finally:
        link.close()


class Daemon:
    """A program with a log, in a process group of its own: what it started ends with it. The session stays the bench's, for
    the kernel shares processors out by session."""

    def __init__(self, folder, name, *command, **env):
        self.name, self.log = name, pathlib.Path(folder) / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, process_group=0,
                                            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(folder), **env})

    def said(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Front:
    """What all of them have in common. Use with `with`."""

    def __init__(self, options):
        self.options, self.daemons, self.port = options, [], house.free_port()

    def daemon(self, name, *command, **env):
        self.daemons.append(Daemon(self.folder, name, *command, **env))
        return self.daemons[-1]

    def until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            for daemon in self.daemons:
                if daemon.process.poll() is not None:
                    raise Trouble(f"{daemon.name} ended by itself")
            if time.monotonic() > end:
                raise Trouble(f"{what} takes longer than {seconds} s")
            time.sleep(0.02)

    def takes_tasks(self):
        """Answers one POST as it should."""
        body = {"task_name": "system.echo", "task_id": f"first-{time.monotonic_ns()}", "input_data": {"value": "x"}}
        try:
            status, answer = ask(self.port, "POST", "/v1/tasks", body)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and answer["task_id"] == body["task_id"] and answer["status"] == "pending"

    def cpu(self):
        """Seconds used so far, by process."""
        return {daemon.name: family_seconds(daemon.process.pid) for daemon in self.daemons}

    def tell(self):
        for daemon in self.daemons:
            sys.stderr.write(f"---- {daemon.name}\n" + "".join(daemon.said().splitlines(True)[-house.LOG_LINES:]))

    def drained(self):
        """Until nothing waits; the tasks accepted and executed in all."""
        self.until(self.idle, DRAIN_S, "executing what was accepted")
        return self.counts()

    def __enter__(self):
        try:
            self.start()
            self.until(self.takes_tasks, START_S, "the start")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is Trouble:
            self.tell()
        for daemon in reversed(self.daemons):
            daemon.stop()
        self.end()


class Gantry(Front):
    """gantry-front on a system of house.System, and workers that do nothing. more: flags of gantry-front."""

    def __init__(self, options, folder=None, more=()):
        super().__init__(options)
        self.bin, self.more, self.system = folder or options.bin, more, None

    def start(self):
        self.system = house.System(self.options, self.bin)
        self.folder = os.path.abspath(self.system.folder)
        for load in self.system.add("work", self.options.workers, window=256):
            load.go()
        self.daemon("front", self.system.program("gantry-front"), f"--front-http=127.0.0.1:{self.port}",
                    f"--front-brokers=ipc://{self.system.folder}/clients", *self.more)

    def front(self):
        return self.daemons[0].process

    def cpu(self):
        workers = sum(cpu_seconds(load.process.pid) for load in self.system.loads)
        return {**super().cpu(), **self.system.sums(cpu_seconds), "workers": workers}

    def ledger(self):
        return json.loads(self.system.gantry("ledger", "--json"))

    def idle(self):
        ledger = self.ledger()
        return ledger["accepted"] == ledger["completed"]

    def counts(self):
        ledger = self.ledger()
        return ledger["accepted"], ledger["completed"]

    def end(self):
        if self.system:
            self.system.stop()


class Gateway(Front):
    """A gateway in Python, Celery with two processes, and Redis as it is for Gantry: unix socket, log never rewritten."""

    def __init__(self, options, kind):
        super().__init__(options)
        self.kind = kind
        house.made += 1
        self.folder = house.ROOM / f"{os.getpid()}-{house.made}"
        self.socket = self.folder / "redis.sock"

    def start(self):
        import redis
        self.folder.mkdir(parents=True)
        none = self.options.fsync == "none"
        self.daemon("redis", "redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", "",
                    "--appendonly", "no" if none else "yes", "--appendfsync", "no" if none else self.options.fsync,
                    "--auto-aof-rewrite-percentage", "0", "--loglevel", "warning")
        self.db = redis.Redis(unix_socket_path=str(self.socket))
        self.until(self.socket.exists, START_S, "Redis' start")
        env = {"GATEWAY_REDIS": str(self.socket), "PYTHONPATH": str(HERE)}
        self.daemon("worker", PYTHON, "-W", "ignore", "-m", "celery", "-A", "gateway.celery", "worker", "-c", str(self.options.workers),
                    "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR", GATEWAY_KIND="none", **env)
        kind = {"flask": ("-k", "gthread", "--threads", "16"), "fastapi": ("-k", "uvicorn.workers.UvicornWorker")}[self.kind]
        self.daemon("front", PYTHON, "-W", "ignore", "-m", "gunicorn", "-w", str(self.options.processes), *kind, "--keep-alive", "75",
                    "--backlog", "2048", "--worker-tmp-dir", str(self.folder), "--log-level", "warning",
                    "-b", f"127.0.0.1:{self.port}", f"gateway:{self.kind}", GATEWAY_KIND=self.kind, **env)

    def idle(self):
        return self.db.llen("celery") == 0 and self.db.hlen("unacked") == 0 and self.counts()[0] == self.counts()[1]

    def counts(self):
        accepted = executed = 0
        for key in self.db.scan_iter(count=10000):
            accepted += key.startswith(b"task:")
            executed += key.startswith(b"celery-task-meta-")
        return accepted, executed

    def end(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def make(peer, options, folder=None):
    return Gantry(options, folder) if peer == "gantry" else Gateway(options, peer)


class Wrk:
    """The load: wrk with post.lua. pause_ms: keeps a pace, and half of the requests are GETs."""

    def __init__(self, port, options, seconds, pause_ms=0, connections=None):
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections or options.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s",
             str(HERE / "post.lua"), f"http://127.0.0.1:{port}/v1/tasks", "--", f"t{time.monotonic_ns():x}", str(options.payload),
             str(pause_ms)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, process_group=0)

    def figures(self):
        try:
            out = self.process.stdout.read()
            _, status, usage = os.wait4(self.process.pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if self.process.returncode is None:
                self.process.kill()
                self.process.wait()
        found = re.search(r"^RESULT (.*)$", out, re.M)
        if self.process.returncode or not found:
            raise Trouble("wrk did not get through")
        values = [int(word) for word in found.group(1).split()]
        answered, duration_us, refused, late, broken = values[:5]
        return {"answered": answered, "requests_per_s": answered * 1e6 / duration_us, "refused": refused, "timed_out": late,
                "broken": broken, **dict(zip(("p50_us", "p90_us", "p99_us", "max_us"), values[5:])),
                "wrk_cpu_s": usage.ru_utime + usage.ru_stime}
