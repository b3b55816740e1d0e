"""`gantry up` in a folder of the test's own, and its verbs as people and scripts use them."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

BIN = pathlib.Path(os.environ["GANTRY_BIN"])
SOURCE = pathlib.Path(os.environ["GANTRY_SOURCE"])
GANTRY = str(BIN / "gantry")
SLOW = 60  # seconds that a sanitized build on a busy machine may take


def run(*args, check=None, timeout=SLOW, **more):
    done = subprocess.run([GANTRY, *args], capture_output=True, text=True, timeout=timeout, **more)
    if check is not None:
        assert done.returncode == check, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def session_of(pid):
    """Processes of a system: `gantry up` and all that came of it, by their ancestors."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found = {pid} if pid in parents else set()
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def alive(pids):
    left = set()
    for pid in pids:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                left.add(pid)
        except OSError:
            pass
    return left


def gone(pids, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until and alive(pids):
        time.sleep(0.05)
    return alive(pids)


class System:
    """`gantry up` in a folder, HTTP on a free port; the folder is the current one of the client's verbs too."""

    def __init__(self, folder, *flags, program=(GANTRY,), env=None):
        self.folder = folder
        if "--http" not in flags:
            flags = ("--http", "127.0.0.1:0", *flags)
        self.up = subprocess.Popen(
            [*program, "up", "--data", "data", "--set", "cleanup.schedule=", *flags], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said = []
        for line in self.up.stdout:
            self.said.append(line.rstrip("\n"))
            if line == "READY\n":
                break
        if "READY" not in self.said:
            logs = "\n".join(f"-- {p}\n{p.read_text()[-2000:]}" for p in folder.glob("data/log/*"))
            pytest.fail(f"not up: {self.up.communicate()}\n{logs}")
        self.http = next((line.split()[1] for line in self.said if line.startswith("  http ")), None)

    def run(self, *args, check=None, **more):
        return run(*args, "--data", "data", check=check, cwd=self.folder, **more)

    def json(self, *args):
        return json.loads(self.run(*args, "--json", check=0).stdout)

    def stop(self, sig=signal.SIGTERM):
        """Answers exit code, what it said on stderr, and the processes that are left."""
        pids = session_of(self.up.pid)
        self.up.send_signal(sig)
        err = self.up.communicate(timeout=SLOW)[1]
        return self.up.returncode, err, gone(pids, 5)
