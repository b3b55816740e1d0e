"""gantry-exec: whatever comes of a command ends when it has to, and not before."""

import os
import signal
import subprocess
import sys
import time

import pytest

BIN = os.environ.get("GANTRY_BIN", "build/bin")
DAEMON = """
import os, sys, time
if os.fork():
    while {exits} and not os.path.exists("daemon"):
        time.sleep(0.01)
    sys.exit(0) if {exits} else time.sleep(60)
os.setsid()
if os.fork():
    os._exit(0)
open("part", "w").write(str(os.getpid()))
os.rename("part", "daemon")
time.sleep(60)
"""


def now_ms():
    return int(time.monotonic() * 1000)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # gone, before it was opened or since
        return False


def eventually(check, seconds=10):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class Exec:
    """gantry-exec with its pipes on 3, 4 and 5, as the worker starts it."""

    def __init__(self, cwd, *command, args=(), before=None, stdin=b""):
        self.cwd = cwd
        ends = [os.pipe() for _ in range(3)]
        theirs = [ends[0][1], ends[1][0], ends[2][1]]
        self.messages, self.orders, self.report = ends[0][0], ends[1][1], ends[2][0]

        def place():
            high = [os.dup(os.dup2(fd, 100 + i)) for i, fd in enumerate(theirs)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            if before:
                before()

        self.process = subprocess.Popen(
            [os.path.join(BIN, "gantry-exec"), *args, *command], cwd=cwd, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False, preexec_fn=place)
        for fd in theirs:
            os.close(fd)
        self.process.stdin.write(stdin)
        self.process.stdin.close()
        self.lines = os.fdopen(self.report, "r")
        self.pid = None

    def order(self, text):
        os.write(self.orders, (text + "\n").encode())

    def started(self):
        word, pid = self.lines.readline().split()
        assert word == "started"
        self.pid = int(pid)
        return self.pid

    def ended(self):
        """exit, signal, user_ms, system_ms, rss_bytes, why"""
        if self.pid is None:
            self.started()
        word, *figures, why = self.lines.readline().split()
        assert word == "ended"
        assert self.lines.readline() == ""
        self.process.wait(10)
        return [int(f) for f in figures] + [why]

    def pid_in(self, name):
        path = os.path.join(self.cwd, name)
        eventually(lambda: os.path.exists(path) and open(path).read())
        return int(open(path).read())

    def close(self):
        for fd in (self.orders, self.messages):
            try:
                os.close(fd)
            except OSError:
                pass
        self.process.stdout.close()
        self.lines.close()
        self.process.wait(10)


@pytest.fixture
def run(tmp_path):
    runs = []

    def start(*command, **options):
        runs.append(Exec(str(tmp_path), *command, **options))
        return runs[-1]

    yield start
    for r in runs:
        r.close()


def python(code):
    return sys.executable, "-S", "-c", code


def test_exit_code_output_and_messages(run):
    r = run("sh", "-c", "cat; echo error >&2; echo message >&3; exit 7", stdin=b"input\n")
    assert r.ended()[:2] == [7, 0]
    assert r.process.stdout.read() == b"input\nerror\n"
    assert os.read(r.messages, 100) == b"message\n"
    assert r.process.returncode == 0


def test_signal_is_told(run):
    assert run("sh", "-c", "kill -SEGV $$").ended()[:2] == [0, signal.SIGSEGV]


def test_a_command_that_is_none(run):
    r = run("./no-such-program")
    r.started()
    assert r.lines.readline() == "failed 2\n"
    assert r.process.wait(10) == 127


def test_figures(run):
    code = """
import os, time
b = bytearray(80_000_000)
if os.fork():
    os.wait()
end = time.process_time() + 0.3
while time.process_time() < end: pass
"""
    _, _, user, system, rss, why = run(*python(code)).ended()
    assert 550 < user + system < 3000
    assert 80_000_000 < rss < 200_000_000
    assert why == "itself"


def test_figures_of_a_daemon_count_too(run):
    code = """
import os, time
done, busy = os.pipe()
if os.fork():
    os.close(busy)
    os.read(done, 1)
    os._exit(0)
if os.fork():
    os._exit(0)
os.setsid()
end = time.process_time() + 0.3
while time.process_time() < end: pass
os.write(busy, b"x")
"""
    _, _, user, system, _, _ = run(*python(code)).ended()
    assert user + system > 280


def test_kill_ends_the_whole_tree(run):
    r = run("sh", "-c", "sh -c 'sleep 60 & echo $! >grandchild; wait' & echo $! >child; wait")
    child, grandchild = r.pid_in("child"), r.pid_in("grandchild")
    r.order("kill")
    assert r.ended()[1] == signal.SIGKILL
    assert not alive(child) and not alive(grandchild)


@pytest.mark.parametrize("exits", [True, False])
def test_a_daemon_that_forked_twice_ends_too(run, exits):
    r = run(*python(DAEMON.format(exits=exits)))
    daemon = r.pid_in("daemon")
    if not exits:
        r.order("kill")
    r.ended()
    assert not alive(daemon)


def test_a_deep_chain_of_sessions_ends(run):
    code = """
import os, time
for i in range(30):
    if os.fork():
        time.sleep(60)
    os.setsid()
open("daemon", "w").write(str(os.getpid()))
time.sleep(60)
"""
    r = run(*python(code))
    daemon = r.pid_in("daemon")
    begin = time.monotonic()
    r.order("kill")
    r.ended()
    assert not alive(daemon)
    assert time.monotonic() - begin < 5


def test_stop_is_polite_first(run):
    r = run("sh", "-c", "trap 'echo bye; exit 5' TERM; echo ready >&3; while :; do sleep 0.01; done")
    os.read(r.messages, 10)
    r.order("stop 5000")
    assert r.ended()[:2] == [5, 0]
    assert b"bye\n" in r.process.stdout.read()


def test_stop_insists_after_the_grace(run):
    r = run("sh", "-c", "trap '' TERM; echo ready >&3; while :; do sleep 1; done")
    os.read(r.messages, 10)
    begin = now_ms()
    r.order("stop 300")
    assert r.ended()[1] == signal.SIGKILL
    assert 290 <= now_ms() - begin < 3000


def test_a_second_stop_does_not_lengthen_the_grace(run):
    r = run("sh", "-c", "trap '' TERM; echo ready >&3; while :; do sleep 1; done")
    os.read(r.messages, 10)
    r.order("stop 300")
    r.order("stop 60000")
    assert r.ended()[5] == "stopped"


def test_stop_wakes_what_is_stopped(run):
    r = run("sleep", "60")
    os.kill(r.started(), signal.SIGSTOP)
    r.order("stop 5000")
    assert r.ended()[1] == signal.SIGTERM


def test_sigterm_of_the_launcher_is_a_stop(run):
    r = run("sleep", "60", args=("--grace", "1000"))
    r.started()
    r.process.send_signal(signal.SIGTERM)
    assert r.ended()[1] == signal.SIGTERM


def test_the_deadline_kills(run):
    begin = now_ms()
    r = run("sleep", "60", args=("--until", str(begin + 400)))
    assert r.ended()[5] == "deadline"
    assert 390 <= now_ms() - begin < 3000


def test_renewals_move_the_deadline(run):
    begin = now_ms()
    r = run("sleep", "1.2", args=("--until", str(begin + 400)))
    for _ in range(9):
        time.sleep(0.1)
        r.order(f"until {now_ms() + 400}")
    assert r.ended()[5] == "itself"


def test_orders_come_in_pieces_and_together(run):
    r = run("sleep", "60")
    r.started()
    os.write(r.orders, f"until {now_ms() + 60000}\nuntil {now_ms() + 60000}\nsto".encode())
    time.sleep(0.1)
    os.write(r.orders, b"p 1000\n")
    assert r.ended()[1] == signal.SIGTERM


def test_an_old_renewal_cannot_revive(run):
    r = run("sleep", "60", args=("--until", str(now_ms() + 60000)))
    r.started()
    r.order(f"until {now_ms() - 1}")
    assert r.ended()[5] == "deadline"


def test_rubbish_for_an_order_kills(run):
    r = run("sleep", "60")
    r.started()
    r.order("x" * 1000)
    assert r.ended()[5] == "killed"


def test_a_closed_pipe_kills(run):
    r = run(*python(DAEMON.format(exits=False)))
    daemon = r.pid_in("daemon")
    os.close(r.orders)
    assert r.ended()[5] == "closed"
    assert not alive(daemon)


PARENT = """
import os, subprocess, sys, time
ends = [os.pipe() for _ in range(3)]
def place():
    for i, fd in enumerate([ends[0][1], ends[1][0], ends[2][1]]):
        os.dup2(fd, 100 + i)
    for i in range(3):
        os.dup2(100 + i, 3 + i)
p = subprocess.Popen([sys.argv[1], "--until", str(int(time.monotonic() * 1000) + {ms})] + sys.argv[2:],
                     close_fds=False, preexec_fn=place)
open("launcher", "w").write(str(p.pid))
time.sleep(60)
"""


@pytest.mark.parametrize("sig,ms,within", [(signal.SIGSTOP, 1500, 4), (signal.SIGKILL, 60000, 2)])
def test_a_worker_stopped_or_killed(tmp_path, sig, ms, within):
    parent = subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT.format(ms=ms), os.path.abspath(os.path.join(BIN, "gantry-exec")),
         *python(DAEMON.format(exits=False))], cwd=tmp_path)
    try:
        eventually(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text())
        daemon = int((tmp_path / "daemon").read_text())
        launcher = int((tmp_path / "launcher").read_text())
        parent.send_signal(sig)
        eventually(lambda: not alive(daemon), within)
        eventually(lambda: not alive(launcher), within)
    finally:
        parent.kill()
        parent.wait()


def test_a_killed_launcher_takes_its_command_along(run):
    r = run("sleep", "60")
    child = r.started()
    r.process.kill()
    eventually(lambda: not alive(child))


def test_signals_that_the_caller_blocked_or_ignored(run):
    def deafen():
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    r = run("sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status; exec sleep 60", before=deafen)
    r.started()
    words = r.process.stdout.readline().split() + r.process.stdout.readline().split()
    assert [int(words[1], 16), int(words[3], 16)] == [0, 0]
    r.order("stop 5000")
    assert r.ended()[1] == signal.SIGTERM


def test_only_the_four_descriptors_are_open(run):
    code = "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd')))"
    r = run(*python(code))
    r.ended()
    assert r.process.stdout.read() in (b"[0, 1, 2, 3, 4]\n",)  # 4 is the listing's own


def test_limits(run):
    r = run("sh", "-c", "ulimit -c; ulimit -n; ulimit -t", args=("--limit", "core=0", "--limit", "files=77",
                                                                "--limit", "cpu=60"))
    assert r.ended()[0] == 0
    assert r.process.stdout.read() == b"0\n77\n60\n"


@pytest.mark.parametrize("args", [(), ("--limit", "nonsense=1", "true"), ("--until", "soon", "true"),
                                  ("--limit", "core", "true"), ("--what",)])
def test_wrong_usage(args):
    done = subprocess.run([os.path.join(BIN, "gantry-exec"), *args], capture_output=True)
    assert done.returncode == 2
    assert b"usage: gantry-exec" in done.stderr
