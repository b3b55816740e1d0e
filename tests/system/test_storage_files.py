"""The storage room as processes see it: hand-overs that are killed, disks that are full, folders that come and go at once."""
import hashlib
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import threading
import time

import pytest

TOOL = os.path.join(os.environ["GANTRY_BUILD"], "tests", "storage_tool")
MIB = 1 << 20
NO_LEAKS = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # the leak check stops at a ptrace


@pytest.fixture
def far(tmp_path):
    """A folder on another file system."""
    place = pathlib.Path("/dev/shm") / f"gantry-test-{os.getpid()}"
    try:
        place.mkdir(mode=0o700)
        if place.stat().st_dev == tmp_path.stat().st_dev:
            raise OSError("the same file system")
    except OSError as problem:
        pytest.skip(f"no second file system: /dev/shm: {problem}")
    yield place
    shutil.rmtree(place)


@pytest.fixture
def near(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def call(*args, **more):
    return subprocess.run([TOOL, *map(str, args)], capture_output=True, text=True, timeout=120, **more)


def make(path, kind, seed, size=2 * MIB):
    """A file, or a folder of several; the seed says of which bytes."""
    make_bytes = random.Random(seed).randbytes
    if kind == "file":
        path.write_bytes(make_bytes(6 * size))
        return
    for name in ("a", "deep/b", "deep/er/c", "deep/er/d"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(make_bytes(size))
    (path / "link").symlink_to("deep/b")


def digest(path):
    """Of a file, or of names and bytes of a folder; None for nothing."""
    if not os.path.lexists(path):
        return None
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*"))
    return str([(n, os.readlink(path / n) if (path / n).is_symlink() else (path / n).is_file() and digest(path / n)) for n in names])


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Reader(threading.Thread):
    """Reads what is at a place again and again, and keeps what it saw."""

    def __init__(self, place):
        super().__init__()
        self.place, self.seen, self.enough = place, set(), False
        self.start()

    def run(self):
        while not self.enough:
            try:
                self.seen.add(digest(self.place))
            except FileNotFoundError:
                continue  # between the look and the read it was replaced

    def end(self):
        self.enough = True
        self.join()
        return self.seen


class Case:
    """One hand-over from another file system: what was there, what is to be there, and what may never be."""

    def __init__(self, near, far, kind, before, seed, size=2 * MIB):
        self.source, self.place = far / "made", near / "out"
        for path in (self.source, self.place, *near.glob(".part.*")):
            remove(path)
        if before:
            make(self.place, kind, seed + 1, size)
        make(self.source, kind, seed, size)
        self.old, self.new = digest(self.place), digest(self.source)

    def check(self):
        """All is as it was, or the new one is whole; answers which, and whether a part was left."""
        now = digest(self.place)
        assert now in (self.old, self.new)
        if now != self.new:
            assert digest(self.source) == self.new
        others = [p.name for p in self.place.parent.iterdir() if p != self.place]
        assert all(name.startswith(".part.") for name in others), others
        return "whole" if now == self.new else "part" if others else "as it was"

    def go_on(self):
        """Who comes next can do it again."""
        if digest(self.source) == self.new:
            done = call("hand-over", self.source, self.place)
            assert done.returncode == 0, done
        assert digest(self.place) == self.new


def test_a_killed_hand_over_leaves_nothing_half(near, far):
    outcomes, chance = {}, random.Random(6)
    longest = {"file": 0.0, "folder": 0.0}
    for turn in range(200):
        kind = ("file", "folder")[turn % 2]
        case = Case(near, far, kind, before=turn % 3 > 0, seed=turn)
        tool = subprocess.Popen([TOOL, "hand-over", case.source, case.place, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert tool.stdout.readline() == b"ready\n"
        reader = Reader(case.place) if kind == "file" else None
        tool.stdin.write(b"\n")
        tool.stdin.flush()
        if turn < 6:  # how long it takes
            began = time.monotonic()
            assert tool.wait(timeout=60) == 0
            longest[kind] = max(longest[kind], time.monotonic() - began)
        else:
            time.sleep(chance.uniform(0, longest[kind]))
            tool.kill()
            assert tool.wait() in (0, -signal.SIGKILL)
        tool.stdin.close()
        tool.stdout.close()
        seen = reader.end() if reader else set()
        assert seen <= {case.old, case.new}
        outcome = case.check()
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if turn % 10 == 0:
            case.go_on()
    print(outcomes)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_before_any_of_its_steps_leaves_nothing_half(near, far, kind):
    """The same for every single step, without chance: strace kills it as it enters its n-th call that changes something."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    probe = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True)
    if probe.returncode:
        pytest.skip(f"strace cannot trace here: {probe.stderr}")
    outcomes = []
    for step in ("mkdir", "openat", "ioctl", "copy_file_range", "write", "fchown", "fchmod", "utimensat", "fsync", "symlink", "rename",
                 "renameat2", "unlinkat"):
        done = None
        for nth in range(1, 100):
            case = Case(near, far, kind, before=True, seed=nth % 4, size=MIB // 4)
            done = subprocess.run(["strace", "-qq", "-o", os.devnull, "-e", f"trace={step}", "-e", f"inject={step}:signal=KILL:when={nth}",
                                   TOOL, "hand-over", case.source, case.place], capture_output=True, env=NO_LEAKS, timeout=60)
            outcomes.append(case.check())
            case.go_on()
            if done.returncode == 0:
                break
        assert done.returncode == 0, (step, done)
    assert set(outcomes) == {"as it was", "part", "whole"}
    print(len(outcomes), {o: outcomes.count(o) for o in outcomes})


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("before", [False, True])
def test_what_the_system_will_not_write_leaves_nothing(near, far, kind, before):
    case = Case(near, far, kind, before, seed=1)

    def limits():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))

    done = call("hand-over", case.source, case.place, preexec_fn=limits)
    assert done.returncode == 1 and done.stdout.startswith("-27 "), done  # EFBIG
    assert case.check() == "as it was"
    assert list(near.iterdir()) == ([case.place] if before else [])
    case.go_on()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_full_disk_leaves_nothing(near, kind):
    """A disk of 4 MiB in a mount namespace of its own."""
    source, disk = near / "made", near / "disk"
    disk.mkdir()
    make(source, kind, 1)
    before = digest(source)
    script = 'mount -t tmpfs -o size=4m none "$1" || exit 77; echo old >"$1/other"; "$2" hand-over "$3" "$1/out"; ls -A "$1"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", disk, TOOL, source], capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    answer, *left = done.stdout.split("\n")
    assert answer.startswith("-28 ") and left == ["other", ""], done  # ENOSPC
    assert digest(source) == before


def test_what_is_there_stays_when_it_must(near, far):
    for folder in (near, far):
        (near / "out").write_bytes(b"old")
        (folder / "made").write_bytes(b"new")
        done = call("hand-over-new", folder / "made", near / "out")
        assert done.stdout.startswith("-17 "), done  # EEXIST
        assert (near / "out").read_bytes() == b"old" and (folder / "made").read_bytes() == b"new"
        (near / "out").unlink()
        assert call("hand-over-new", folder / "made", near / "out").returncode == 0
        assert (near / "out").read_bytes() == b"new" and not (folder / "made").exists()


def test_two_hand_overs_to_one_place_make_one_of_them(near, far):
    """Whoever is last has it, whole; of those that must not replace, one."""
    for verb, succeed in (("hand-over", 8), ("hand-over-new", 1)):
        remove(near / "out")
        makers = []
        for i in range(8):
            make(far / f"made{i}", "file", i)
            makers.append(digest(far / f"made{i}"))
        tools = [subprocess.Popen([TOOL, verb, far / f"made{i}", near / "out"], stdout=subprocess.PIPE) for i in range(8)]
        answers = [tool.communicate(timeout=120)[0] for tool in tools]
        assert sum(a.startswith(b"0 ") for a in answers) == succeed, answers
        assert digest(near / "out") in makers and [p.name for p in near.iterdir()] == ["out"]
        for i in range(8):
            remove(far / f"made{i}")


def test_no_removal_touches_another_task(near):
    """64 tasks are made, filled, looked at and removed by two threads at once, in four processes, with links to each other,
    while another process empties the trash and one asks for what is no task's folder."""
    ids = [f"t{i}" for i in range(24)] + [f"t1.{i}" for i in range(20)] + [f"t1-{i}" for i in range(20)]
    rounds = 40
    churns = [subprocess.Popen([TOOL, "churn", near, str(rounds), *ids[n::4]], stdout=subprocess.PIPE, text=True) for n in range(4)]
    strange = ["", ".", "..", "/", "t1/", "../" + near.name, "t1/in", "./t1", ".trash", "t*", "x" * 129, "pending"]
    while any(tool.poll() is None for tool in churns):
        done = call("empty", near, 0)
        assert done.returncode == 0, done
        for id_ in random.sample(strange, 3):
            done = call("remove", near, id_)
            assert (done.returncode, done.stdout.split()[0]) == (1, "failed"), (id_, done)
        done = call("remove", near, "t")
        assert done.stdout.startswith("missing "), done
    for tool in churns:
        said, _ = tool.communicate()
        assert (tool.returncode, said) == (0, "")
    assert [p.name for p in near.iterdir()] == [".trash"] and not list((near / ".trash").iterdir())


def test_what_a_killed_removal_left_goes_with_the_trash(near):
    chance = random.Random(7)
    for turn in range(30):
        for i in range(20):
            (near / "t1" / str(i)).mkdir(parents=True)
            for k in range(20):
                (near / "t1" / str(i) / str(k)).write_bytes(b"x")
        (near / "t2").mkdir(exist_ok=True)
        (near / "t2" / "kept").write_bytes(b"x")
        tool = subprocess.Popen([TOOL, "remove", near, "t1"], stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, 0.06))
        tool.kill()
        tool.wait()
        if (near / "t1").exists():  # all of it, or nothing
            assert len(list((near / "t1").rglob("*"))) == 420
            assert call("remove", near, "t1").stdout.startswith("removed ")
        assert call("remove", near, "t1").stdout.startswith("missing ")
        if (near / ".trash").exists():
            assert call("empty", near, 3600000).stdout == "0 0\n"  # somebody may be at it
    time.sleep(0.05)
    left = len(list((near / ".trash").iterdir()))
    assert call("empty", near, 0).stdout == f"0 {left}\n"
    assert not list((near / ".trash").iterdir()) and (near / "t2" / "kept").exists()
