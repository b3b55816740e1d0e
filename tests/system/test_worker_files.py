"""What a gantry-worker does with a task's files: quota.task_bytes, and the folder of an older system."""

import hashlib
import os

import msgpack
import pytest

from worker_house import PYTHON, house, say  # noqa: F401: house is a fixture

KIB = 1 << 10
GIVEN = PYTHON + """
open("../../inputs", "wb").write(sys.stdin.buffer.read())
""" + say({"output": {"done": True}})


def make(*sizes, before=""):
    """An engine that makes f0, f1, ... of so many KiB and hands them over under the same names."""
    body = "".join(f"open('f{i}', 'wb').write(b'x' * {size * KIB})\n" for i, size in enumerate(sizes))
    return PYTHON + before + body + say({"output": {"a": 1}, "files": [[f"f{i}", f"out/f{i}"] for i in range(len(sizes))]})


def test_a_run_within_the_quota_is_handed_over(house):
    h = house(make(100, 100), quota_task_bytes=300 * KIB)
    assert h.run("system.sleep", seconds=0)["state"] == "completed"
    assert sorted(os.listdir(f"{h.root}/t1/out")) == ["f0", "f1"]


def test_a_run_that_would_leave_more_than_the_quota_fails_with_both_figures(house):
    h = house(make(100, 250), quota_task_bytes=300 * KIB)
    result = h.run("system.sleep", seconds=0)
    error = result["error"]
    assert (result["state"], error["code"]) == ("failed", "TOO_LARGE")
    figures = [int(word) for word in error["message"].replace(",", "").split() if word.isdigit()]
    assert figures[1] == 300 * KIB < figures[0] < 400 * KIB, error
    assert not os.path.exists(f"{h.root}/t1/out") and h.attempt_folders() == []


def test_what_is_there_already_counts_and_what_is_replaced_does_not(house):
    h = house(make(200), quota_task_bytes=300 * KIB)
    os.makedirs(f"{h.root}/t1/out")
    with open(f"{h.root}/t1/kept", "wb") as file:
        file.write(b"x" * (200 * KIB))
    assert h.run("system.sleep", seconds=0)["error"]["code"] == "TOO_LARGE"
    os.rename(f"{h.root}/t1/kept", f"{h.root}/t1/out/f0")
    h.results.clear()
    assert h.run("system.sleep", seconds=0)["state"] == "completed"


def test_temporary_files_do_not_count(house):
    """Of this run, which go with it, and of another that is not done yet."""
    h = house(make(100, before="open('rubbish', 'wb').write(b'x' * 400000)\n"), quota_task_bytes=300 * KIB)
    os.makedirs(f"{h.root}/t1/tmp/other.node.1")
    with open(f"{h.root}/t1/tmp/other.node.1/file", "wb") as file:
        file.write(b"x" * 400000)
    assert h.run("system.sleep", seconds=0)["state"] == "completed"
    assert os.path.exists(f"{h.root}/t1/tmp/other.node.1/file")


def tree(folder):
    """All that can be told of a folder that nobody may touch."""
    found = {}
    for path, folders, files in os.walk(folder):
        for name in folders + files + ["."]:
            full = os.path.join(path, name)
            info = os.lstat(full)
            data = hashlib.sha256(open(full, "rb").read()).hexdigest() if os.path.isfile(full) else None
            found[full] = (info.st_mode, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, data)
    return found


@pytest.fixture
def legacy(tmp_path):
    """single_tasks of an older system, with two tasks."""
    old = tmp_path / "single_tasks"
    for name in ("t1/v.mp4", "t1/in/deep.mp4", "t1/both.mp4", "t2/v.mp4"):
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_text(name)
    (old / "t1" / "link.mp4").symlink_to("v.mp4")
    return old


@pytest.mark.parametrize("given,found", [
    ("v.mp4", "single_tasks/t1/v.mp4"), ("in/deep.mp4", "single_tasks/t1/in/deep.mp4"), ("both.mp4", "root/t1/both.mp4"),
    ("{old}/t1/v.mp4", "single_tasks/t1/v.mp4"), ("{old}/t2/v.mp4", "single_tasks/t2/v.mp4"),
])
def test_old_files_can_be_inputs(house, legacy, given, found):
    h = house(GIVEN, storage_legacy=legacy)
    os.makedirs(f"{h.root}/t1")
    with open(f"{h.root}/t1/both.mp4", "w") as file:
        file.write("new")
    before = tree(legacy)
    assert h.run("ffmpeg.extract_audio", video_path=given.format(old=legacy))["state"] == "completed"
    inputs, _ = msgpack.Unpacker(open(f"{h.root}/t1/inputs", "rb"))
    assert inputs["video_path"] == os.path.realpath(f"{h.folder}/{found}")
    assert tree(legacy) == before


@pytest.mark.parametrize("given,code", [
    ("no.mp4", "NOT_FOUND"), ("../t2/v.mp4", "DENIED"), ("link.mp4", "DENIED"), ("in", "INVALID"),
    ("{old}/t1/no.mp4", "NOT_FOUND"), ("{old}-x/v.mp4", "DENIED"), ("{root}/t1/v.mp4", "NOT_FOUND"),
])
def test_what_is_no_old_file_of_the_task(house, legacy, given, code):
    h = house(GIVEN, storage_legacy=legacy)
    error = h.run("ffmpeg.extract_audio", video_path=given.format(old=legacy, root=h.root))["error"]
    assert (error["code"], error["field"]) == (code, "video_path")


def test_without_the_setting_or_the_folder_there_is_nothing(house, legacy):
    h = house(GIVEN, storage_legacy=f"{legacy}/none")
    assert h.run("ffmpeg.extract_audio", video_path="v.mp4")["error"]["code"] == "NOT_FOUND"
