"""gantry migrate single_tasks: forth, again, after kills, and back again."""
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

from cli_house import GANTRY, run

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("GANTRY_STORAGE", "GANTRY_DATA", "GANTRY_CONFIG"))}


@pytest.fixture(params=["one file system", "two"])
def roots(request, tmp_path):
    """single_tasks and workflows, and in the second case on two file systems."""
    old, new = tmp_path / "single_tasks", tmp_path / "workflows"
    far = None
    if request.param == "two":
        far = pathlib.Path("/dev/shm") / f"gantry-migrate-{os.getpid()}"
        try:
            far.mkdir(mode=0o700)
            if far.stat().st_dev == tmp_path.stat().st_dev:
                raise OSError("the same file system")
        except OSError as problem:
            pytest.skip(f"no second file system: /dev/shm: {problem}")
        old = far / "single_tasks"
    old.mkdir()
    new.mkdir()
    yield old, new
    for place in (old, new, far):
        if place:
            shutil.rmtree(place, ignore_errors=True)


def fill(old, tasks=6, size=70000):
    """Tasks with files, folders and an empty one, odd modes and old times."""
    chance = random.Random(1)
    for i in range(tasks):
        task = old / f"task-{i}"
        for name in ("original.mp4", "frames/0001.jpg", "frames/0002.jpg", "audio/deep/er/vocals.wav", "名字 with \"quotes\"\n.txt"):
            path = task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chance.randbytes(size))
            path.chmod(chance.choice([0o600, 0o640, 0o444]))
        (task / "empty").mkdir()
        (task / "audio").chmod(0o750)
        for path in sorted(task.rglob("*"), reverse=True) + [task]:
            os.utime(path, ns=(10**18, 10**18 + chance.randrange(10**15)))
    return tree(old)


def tree(folder, times=True):
    """Every name with its mode, time and checksum."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if ".migrated" in path.parts or ".migrated" == path.name:
            continue
        info = path.lstat()
        data = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        found[path.relative_to(folder).as_posix()] = (oct(info.st_mode), times and info.st_mtime_ns, data)
    return found


def migrate(old, new, *flags, check=0, **more):
    done = run("migrate", "single_tasks", "--from", str(old), "--to", str(new), "--json", *flags, check=check, env=CLEAN, **more)
    assert "Sanitizer" not in done.stderr
    return json.loads(done.stdout)


def told(answer):
    return {(n["task"], n["path"]): n["what"] for n in answer["notes"]}


def test_forth_again_and_back(roots):
    old, new = roots
    before = fill(old)
    looked = migrate(old, new, "--dry-run")
    assert looked["moved"] == {"files": 30, "bytes": 30 * 70000} and looked["dry_run"]
    assert tree(old) == before and not list(new.iterdir())

    answer = migrate(old, new)
    assert (answer["tasks"], answer["moved"]["files"], answer["conflicts"], answer["skipped"], answer["failed"]) == (6, 30, 0, 0, 0)
    assert answer["notes"] == [] and not list(old.iterdir()) and tree(new) == before

    lines = [json.loads(line) for line in (new / ".migrated" / "task-0.jsonl").read_text().splitlines()]
    video = next(line for line in lines if line["path"] == "original.mp4")
    assert video["sha256"] == before["task-0/original.mp4"][2] and video["bytes"] == 70000

    again = migrate(old, new)
    assert (again["tasks"], again["moved"]["files"]) == (0, 0) and tree(new) == before

    looked = migrate(old, new, "--back", "--dry-run")
    assert looked["moved"]["files"] == 30 and tree(new) == before and not list(old.iterdir())
    back = migrate(old, new, "--back")
    assert back["moved"] == {"files": 30, "bytes": 30 * 70000} and back["notes"] == []
    assert tree(old) == before and tree(new) == {} and not list((new / ".migrated").iterdir())
    assert migrate(old, new, "--back")["tasks"] == 0
    assert migrate(old, new)["moved"]["files"] == 30 and tree(new) == before


def test_folders_that_are_there_are_merged_and_nothing_is_overwritten(roots):
    old, new = roots
    fill(old, tasks=2)
    task = new / "task-0"
    (task / "frames").mkdir(parents=True)
    (task / "frames/0001.jpg").write_text("another")
    (task / "original.mp4").write_bytes((old / "task-0/original.mp4").read_bytes())
    (task / "mine").write_text("of the task here")
    (task / "empty").write_text("no folder")
    before, there = tree(old), tree(new, times=False)

    for flags in (("--dry-run",), ()):
        answer = migrate(old, new, *flags, check=1)
        assert (answer["conflicts"], answer["skipped"], answer["moved"]["files"]) == (2, 1, 8)
        assert told(answer) == {("task-0", "frames/0001.jpg"): "conflict", ("task-0", "empty"): "conflict"}
    now = tree(new, times=False)
    assert {name: now[name] for name in there} == there
    assert "task-0/frames/0002.jpg" in now and tree(new / "task-1") == {n[7:]: v for n, v in before.items() if n.startswith("task-1/")}
    left = tree(old, times=False)
    assert {n for n, v in left.items() if v[2]} == {"task-0/frames/0001.jpg", "task-0/original.mp4"}

    answer = migrate(old, new, check=1)
    assert (answer["conflicts"], answer["moved"]["files"]) == (2, 0)
    (task / "frames/0001.jpg").unlink()
    (task / "empty").unlink()
    answer = migrate(old, new)
    assert (answer["conflicts"], answer["skipped"], answer["moved"]["files"]) == (0, 1, 1)

    migrate(old, new, "--back")
    assert tree(old) == before
    there = {n: v for n, v in there.items() if n not in ("task-0/frames/0001.jpg", "task-0/empty")}
    assert tree(new, times=False) == there


def test_what_was_changed_meanwhile_does_not_go_back(roots):
    old, new = roots
    before = fill(old, tasks=2)
    migrate(old, new)
    (new / "task-0/original.mp4").chmod(0o600)
    (new / "task-0/original.mp4").write_text("made anew")
    (new / "task-1/frames/0001.jpg").unlink()
    (new / "task-1/new").write_text("made since")
    answer = migrate(old, new, "--back", check=1)
    assert told(answer) == {("task-0", "original.mp4"): "conflict", ("task-1", "frames/0001.jpg"): "left alone"}
    assert (new / "task-0/original.mp4").read_text() == "made anew" and (new / "task-1/new").exists()
    missing = {"task-0/original.mp4", "task-1/frames/0001.jpg"}
    assert tree(old) == {n: v for n, v in before.items() if n not in missing}
    again = migrate(old, new, "--back", check=1)
    assert (again["tasks"], again["conflicts"], again["moved"]["files"]) == (1, 1, 0)


def test_what_is_no_task_is_told_and_left_alone(roots):
    old, new = roots
    fill(old, tasks=1)
    outside = old.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "kept").write_text("x")
    for name in (".hidden", "a..b", "pending", "with space"):
        (old / name).mkdir()
        (old / name / "file").write_text("x")
    (old / "file").write_text("x")
    (old / "link").symlink_to(outside)
    (old / "task-0/link").symlink_to("../../outside")
    os.mkfifo(old / "task-0/fifo")
    (old / "task-0/.part.0123abcd").write_text("half")
    (new / "task-9").symlink_to(outside)
    (old / "task-9").mkdir()
    (old / "task-9/file").write_text("x")
    os.mkdir(os.fsencode(old) + b"/task-0/\xff\xfe")
    answer = migrate(old, new, check=1)
    what = told(answer)
    for name in (".hidden", "a..b", "pending", "with space", "file", "link"):
        assert what[(name, "")] == "left alone" and os.path.lexists(old / name)
    for name in ("link", "fifo", ".part.0123abcd"):
        assert what[("task-0", name)] == "left alone" and os.path.lexists(old / "task-0" / name)
    assert what[("task-9", "")] == "conflict" and what[("", "")] == "failed"
    assert answer["moved"]["files"] == 5 and sorted(os.listdir(outside)) == ["kept"]
    assert sorted(p.name for p in new.iterdir()) == [".migrated", "task-0", "task-9"]
    shutil.rmtree(outside)


def test_what_was_left_alone_is_not_said_to_be_gone(roots):
    old, new = roots
    fill(old, tasks=1)
    migrate(old, new)
    (new / "task-0").rename(new / "aside")
    (new / "task-0").symlink_to("aside")
    done = run("migrate", "single_tasks", "--from", str(old), "--to", str(new), "--back", env=CLEAN)
    assert "left alone" in done.stdout + done.stderr and "gone" not in done.stdout + done.stderr, done


@pytest.mark.parametrize("back", [False, True])
def test_it_goes_on_after_kills(roots, back):
    old, new = roots
    before = fill(old, tasks=30, size=150000)
    if back:
        migrate(old, new)
    flags = ["migrate", "single_tasks", "--from", str(old), "--to", str(new), *(["--back"] if back else [])]
    chance, kills = random.Random(3), 0
    for turn in range(80):
        tool = subprocess.Popen([GANTRY, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=CLEAN)
        time.sleep(chance.uniform(0.01, 0.1))
        tool.kill()
        kills += tool.wait() == -signal.SIGKILL
        both = {**tree(old, times=False), **tree(new, times=False)}
        assert {n: v[2] for n, v in both.items() if n in before} == {n: v[2] for n, v in before.items()}
        assert all(os.path.basename(n).startswith(".part.") for n in both if n not in before)
        if not list((new if back else old).glob("task-*")):
            break
    migrate(old, new, *(["--back"] if back else []))
    print(kills, "kills in", turn + 1, "runs")
    assert tree(old if back else new) == before
    if not back:
        migrate(old, new, "--back")
        assert tree(old) == before and tree(new) == {}


def test_what_goes_is_on_disk_where_it_went(roots, tmp_path):
    """Of a copy that was killed before its end: the source goes only behind both syncs, of the file and of its folder."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    probe = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True)
    if probe.returncode:
        pytest.skip(f"strace cannot trace here: {probe.stderr}")
    old, new = roots
    fill(old, tasks=1)
    shutil.copytree(old, tmp_path / "kept")
    migrate(old, new)
    shutil.copytree(tmp_path / "kept", old, dirs_exist_ok=True)
    log = tmp_path / "strace.log"
    subprocess.run(["strace", "-f", "-qq", "-y", "-s", "512", "-e", "trace=fsync,unlink", "-o", str(log), GANTRY, "migrate", "single_tasks", "--from", str(old),
                    "--to", str(new)], env={**CLEAN, "ASAN_OPTIONS": "detect_leaks=0"}, check=True, stdout=subprocess.DEVNULL)
    assert not list(old.iterdir())
    synced, ended = set(), 0
    for line in log.read_text().splitlines():
        synced |= set(re.findall(r"fsync\(\d+<(.*)>\) += 0", line))
        if re.search(r'unlink\(".*original\.mp4"\) += 0', line):
            ended += 1
            assert {str(new), f"{new}/task-0", f"{new}/task-0/original.mp4"} <= synced, line
    assert ended == 1


def test_two_at_once_are_one(roots):
    old, new = roots
    before = fill(old, tasks=8)
    both = [subprocess.Popen([GANTRY, "migrate", "single_tasks", "--from", old, "--to", new], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, env=CLEAN) for _ in range(2)]
    for tool in both:
        _, said = tool.communicate(timeout=60)
        assert tool.returncode == 0 or (tool.returncode == 3 and "another one is at work" in said), said
    assert tree(new) == before


def test_roots_that_are_none(tmp_path):
    (tmp_path / "old/in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("old/in")
    (tmp_path / "old-x").mkdir()
    old = tmp_path / "old"
    for one, other in ((old, old), (old, old / "in"), (old / "in", old), (old, tmp_path / "link"), (tmp_path, old)):
        done = run("migrate", "single_tasks", "--from", str(one), "--to", str(other), env=CLEAN)
        assert done.returncode == 2 and "one lies in the other" in done.stderr
    done = run("migrate", "single_tasks", "--from", str(tmp_path / "none"), "--to", str(old), env=CLEAN)
    assert done.returncode == 4 and "No such file" in done.stderr
    assert run("migrate", "double_tasks", env=CLEAN).returncode == 2
    done = run("migrate", "single_tasks", env=CLEAN, cwd=tmp_path)
    assert done.returncode == 2 and "--from" in done.stderr
    assert migrate(old, tmp_path / "old-x")["tasks"] == 1


def test_its_roots_come_from_the_settings(tmp_path):
    fill_in = tmp_path / "legacy" / "t1"
    fill_in.mkdir(parents=True)
    (fill_in / "v.mp4").write_text("x")
    (tmp_path / "share").mkdir()
    (tmp_path / "gantry-data").mkdir()
    (tmp_path / "gantry-data/gantry.yaml").write_text(f"storage.root: {tmp_path}/share\nstorage.legacy: {tmp_path}/legacy\n")
    done = run("migrate", "single_tasks", "--dry-run", env=CLEAN, cwd=tmp_path, check=0)
    assert "would be moved" in done.stdout and not list((tmp_path / "share").iterdir())
    done = run("migrate", "single_tasks", env=CLEAN, cwd=tmp_path, check=0)
    assert [line.split()[-2:] for line in done.stdout.splitlines() if line.startswith("moved")] and (tmp_path / "share/t1/v.mp4").exists()
    run("migrate", "single_tasks", "--back", "--data", str(tmp_path / "gantry-data"), env=CLEAN, check=0)
    assert (fill_in / "v.mp4").exists()
    env = {**CLEAN, "GANTRY_STORAGE_LEGACY": str(tmp_path / "legacy"), "GANTRY_STORAGE_ROOT": str(tmp_path / "share")}
    (tmp_path / "gantry-data/gantry.yaml").unlink()
    run("migrate", "single_tasks", env=env, cwd=tmp_path, check=0)
    assert (tmp_path / "share/t1/v.mp4").exists() and stat.S_ISDIR((tmp_path / "share/.migrated").stat().st_mode)
