"""system.cleanup by real programs: what expired goes whole, what nobody works at any more goes, and nothing else."""
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import BIN, NOT_FOUND, OK, System, processes_in, until

CLEAN, ECHO, SLEEP = "system.cleanup", "system.echo", "system.sleep"
STEPS = ("expired", "temporary", "trash", "orphan_folders", "orphan_records", "strangers")
NEVER = {"retention_ms": 0, "grace_ms": 3600000, "tmp_ms": 3600000}
count = 0


@pytest.fixture
def town():
    with System("cleanup", workers=1, worker_slots=8) as system:
        client = system.client()
        client.ready(CLEAN, ECHO, SLEEP)
        yield system, client


def clean(client, name=None, **input_):
    """One pass; answers what it told."""
    global count
    count += 1
    stage = client.run(name or "clean%d" % count, CLEAN, seconds=120, **{**NEVER, **input_})
    assert stage["state"] == "completed", stage
    output = stage["output"]
    for step in STEPS:
        told = output[step]
        assert len(told["names"]) == min(5, len(told["names"])) and told["failed"] == 0, output
        if not output["dry_run"]:
            assert told["found"] == told["removed"] + told["kept"], output
    return output


def figures(output, step):
    return tuple(output[step][name] for name in ("found", "removed", "kept"))


def make(*parts, text="x"):
    path = os.path.join(*parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def share(system, *parts):
    return os.path.join(system.folder, "share", *parts)


def known(client, id_):
    return client.ask("GET", {"id": id_}).status == OK


def older(ms=30):
    time.sleep(ms / 1000)  # the file system's clock is a coarse one


def test_what_has_expired_goes_whole(town):
    system, client = town
    for id_ in ("t1", "t2"):
        client.run(id_, ECHO, value=1)
        make(share(system, id_, "audio", "a.wav"))
    client.submit(client.task("t3", SLEEP, seconds=60))
    until(lambda: client.stage("t3", SLEEP)["state"] == "running")
    make(share(system, "t3", "tmp2", "a"))
    older()
    assert figures(clean(client, retention_ms=3600000), "expired") == (0, 0, 0)
    told = clean(client, retention_ms=1, dry_run=True)
    assert told["dry_run"] and told["expired"]["removed"] == 0 and {"t1", "t2"} <= set(told["expired"]["names"])
    assert known(client, "t1") and os.path.exists(share(system, "t1", "audio", "a.wav"))
    found, removed, kept = figures(clean(client, retention_ms=1), "expired")
    assert removed == 4 and kept >= 1 and found == removed + kept  # two of them were passes; t3 and this one live
    for id_ in ("t1", "t2"):
        assert not known(client, id_) and not os.path.lexists(share(system, id_))
    assert known(client, "t3") and os.path.exists(share(system, "t3", "tmp2", "a"))
    assert client.ask("LEDGER").body["balanced"]


def test_temporary_files_of_what_does_not_live_go(town):
    system, client = town
    client.run("t1", ECHO, value=1)
    half = [make(share(system, "t1", *parts)) for parts in (("tmp", "temp_1_0123abcd.mp4"), ("tmp", "ffmpeg.extract_audio.1", "half.wav"),
                                                           ("audio", ".part.0123abcd"))]
    kept = [make(share(system, "t1", *parts)) for parts in (("audio", "a.wav"), ("audio", ".part.x"))]
    client.submit(client.task("t2", SLEEP, seconds=60))
    until(lambda: client.stage("t2", SLEEP)["state"] == "running")
    lives = make(share(system, "t2", "tmp", "temp_2_0123abcd.mp4"))
    older()
    assert figures(clean(client), "temporary") == (0, 0, 0)
    told = clean(client, tmp_ms=1, dry_run=True)
    assert told["temporary"]["found"] >= 3 and "t1" in told["temporary"]["names"] and all(map(os.path.exists, half))
    assert figures(clean(client, tmp_ms=1), "temporary")[1] >= 3
    assert not any(map(os.path.exists, half)) and all(map(os.path.exists, [*kept, lives]))
    assert client.stage("t2", SLEEP)["state"] == "running"


def test_trash_is_emptied(town):
    system, client = town
    left = [make(share(system, ".trash", "t1.0123abcd", "a")), make(system.folder, "local", "videos", ".trash", "t2.0123abcd", "b")]
    older()
    assert figures(clean(client), "trash") == (0, 0, 0)
    assert clean(client, tmp_ms=1, dry_run=True)["trash"]["found"] == 2 and all(map(os.path.exists, left))
    assert figures(clean(client, tmp_ms=1), "trash") == (2, 2, 0)
    assert not any(map(os.path.exists, left))


def test_folders_without_a_record_go_after_the_grace(town):
    system, client = town
    client.run("t1", ECHO, value=1)
    mine = make(share(system, "t1", "a"))
    ghosts = [make(share(system, "ghost1", "deep", "a")), make(system.folder, "local", "videos", "ghost2", "original.mp4")]
    strange = [make(share(system, "no task at all", "a")), make(share(system, "a..b", "a")), make(share(system, "file")),
               make(share(system, ".uploads", "u1")), make(system.folder, "in", "target")]
    os.symlink("../in", share(system, "link"))
    os.mkdir(share(system).encode() + b"/\xff\xfe")
    older()
    told = clean(client)
    assert figures(told, "orphan_folders") == (2, 0, 2) and set(told["orphan_folders"]["names"]) == {"ghost1", "ghost2"}
    assert figures(told, "strangers") == (5, 0, 5)
    assert set(told["strangers"]["names"]) == {"no task at all", "a..b", "file", "link", "??"}
    told = clean(client, grace_ms=1, dry_run=True)
    assert told["orphan_folders"]["found"] == 2 and all(map(os.path.exists, ghosts))
    assert figures(clean(client, grace_ms=1), "orphan_folders") == (2, 2, 0)
    assert not any(map(os.path.exists, ghosts)) and not os.path.exists(share(system, "ghost1"))
    assert all(map(os.path.exists, [*strange, mine])) and os.path.islink(share(system, "link"))


def test_what_was_migrated_stays_as_long_as_a_task(town):
    """It never had a record, and is no rubbish for that."""
    system, client = town
    old = make(system.folder, "old", "m1", "v.mp4")
    done = subprocess.run([os.path.join(BIN, "gantry"), "migrate", "single_tasks", "--from", system.folder + "/old", "--to", share(system)],
                          capture_output=True, text=True)
    assert done.returncode == 0 and os.path.exists(share(system, "m1", "v.mp4")) and not os.path.exists(old), done
    make(share(system, "other", "file"))
    older()
    for retention_ms in (0, 3600000):
        told = clean(client, grace_ms=1, retention_ms=retention_ms)
        assert "m1" in told["orphan_folders"]["names"] and os.path.exists(share(system, "m1", "v.mp4"))
        assert not os.path.exists(share(system, "other"))
    os.utime(share(system, ".migrated", "m1.jsonl"), (1e9, 1e9))
    clean(client, grace_ms=1, retention_ms=3600000)
    assert not os.path.exists(share(system, "m1"))


def test_a_redis_that_has_lost_its_data_loses_no_files(town):
    system, client = town
    client.run("t1", ECHO, value=1)
    make(share(system, "t1", "a"))
    ghosts = [make(share(system, "ghost%d" % i, "a")) for i in range(11)]
    older()
    told = clean(client, grace_ms=1)["orphan_folders"]
    assert (told["removed"], told["kept"]) == (0, 11) and "right Redis" in told["why"] and all(map(os.path.exists, ghosts))
    assert figures(clean(client, grace_ms=1, many=True), "orphan_folders") == (11, 11, 0)
    assert not any(map(os.path.exists, ghosts)) and os.path.exists(share(system, "t1", "a"))


def test_records_whose_folder_is_gone_go_after_the_grace(town):
    system, client = town
    client.run("t1", ECHO, value={"a": [share(system, "t1", "audio", "a.wav")]})
    client.run("t2", ECHO, value=share(system, "t1x", "a.wav"))  # of nothing of its own
    client.run("t3", ECHO, value=share(system, "t3"))
    for id_ in ("t1", "t2", "t3"):
        shutil.rmtree(share(system, id_), ignore_errors=True)
    older()
    told = clean(client)
    assert figures(told, "orphan_records") == (1, 0, 1) and told["orphan_records"]["names"] == ["t1"]
    for name in os.listdir(share(system)):
        shutil.rmtree(share(system, name))
    told = clean(client, grace_ms=1)  # the disk might not be mounted
    assert figures(told, "orphan_records") == (1, 0, 1) and "mounted" in told["orphan_records"]["why"]
    client.run("t4", ECHO, value=1)
    make(share(system, "t4", "a"))
    assert clean(client, grace_ms=1, dry_run=True)["orphan_records"]["found"] == 1 and known(client, "t1")
    assert figures(clean(client, grace_ms=1), "orphan_records") == (1, 1, 0)
    assert [known(client, id_) for id_ in ("t1", "t2", "t3", "t4")] == [False, True, True, True]


def test_a_disk_that_is_not_mounted_loses_no_records(town):
    """What runs meanwhile makes folders beneath the empty place, and videos may lie on another disk."""
    system, client = town
    lost = ["t%d" % i for i in range(1, 6)]
    for id_ in lost:
        client.run(id_, ECHO, value=share(system, id_, "a.wav"))
        shutil.rmtree(share(system, id_), ignore_errors=True)
        make(system.folder, "local", "videos", id_, "original.mp4")
    client.run("new", ECHO, value=1)
    make(share(system, "new", "a"))
    older()
    told = clean(client, grace_ms=1)
    assert figures(told, "orphan_records") == (5, 0, 5) and "mounted" in told["orphan_records"]["why"]
    assert all(known(client, id_) for id_ in lost)
    assert figures(clean(client, grace_ms=1, many=True), "orphan_records") == (5, 5, 0)


def test_what_comes_meanwhile_stays(town):
    """Folders of no record are removed while tasks of their names come: whoever was told that it is kept has its record."""
    system, client = town
    other = system.client()
    names = ["n%d" % i for i in range(150)]
    for name in names:
        make(share(system, name, "old"))
    older()
    over = threading.Event()
    kept = []

    def submit():
        for i in range(0, len(names), 5):
            some = names[i:i + 5]
            receipts = other.submit(*[other.task(name, ECHO, value=1) for name in some])
            kept.extend(name for name, receipt in zip(some, receipts) if receipt["status"] == OK)
        over.set()

    thread = threading.Thread(target=submit)
    thread.start()
    passes = 0
    while not over.is_set() or passes < 2:
        clean(client, grace_ms=1, many=True)
        passes += 1
    thread.join()
    assert len(kept) == len(names)
    for name in names:
        assert client.wait((name, ""))[0]["status"] == "completed"
    clean(client, grace_ms=1, many=True)
    assert all(known(client, name) for name in names)
    assert client.ask("LEDGER").body["balanced"]


def test_a_thousand_two_passes_at_once_and_one_that_is_killed(town):
    system, client = town
    ids = ["t%d" % i for i in range(1000)]
    for i in range(0, len(ids), 100):
        client.submit(*[client.task(id_, ECHO, value=1) for id_ in ids[i:i + 100]])
    for id_ in ids:
        make(share(system, id_, "a"))
        make(share(system, id_, "tmp", "temp_1_0123abcd"))
    until(lambda: client.ask("LEDGER").body["completed"] >= 1000)
    older()
    client.submit(client.task("killed", CLEAN, **{**NEVER, "retention_ms": 1}))
    until(lambda: len(os.listdir(share(system))) < 950)
    for pid, line in processes_in(system.folder).items():
        if "gantry-engine" in line and CLEAN in line:
            os.kill(pid, signal.SIGKILL)
    left = sum(known(client, id_) for id_ in ids[:100]) + len(os.listdir(share(system)))
    assert left > 0
    passes = [client.task(name, CLEAN, **{**NEVER, "retention_ms": 1, "tmp_ms": 1, "grace_ms": 1}) for name in ("pass1", "pass2")]
    client.submit(*passes)
    for id_ in ("pass1", "pass2"):
        assert client.wait((id_, ""), seconds=120)[0]["status"] == "completed"
    told = clean(client, grace_ms=1, tmp_ms=1)
    assert not set(ids) & set(os.listdir(share(system)))
    assert client.ask("TASKS", {"ids": ids}).body["items"] == []
    assert figures(told, "orphan_folders") == (0, 0, 0) and os.listdir(share(system, ".trash")) == []
    assert client.ask("LEDGER").body["balanced"]


@pytest.mark.parametrize("input_,field", [({"dry_run": "yes"}, "input.dry_run"), ({"grace_ms": -1}, "grace_ms"), ({"what": 1}, "input.what")])
def test_wrong_inputs(town, input_, field):
    _, client = town
    receipt = client.submit(client.task("wrong", CLEAN, **input_))[0]
    if receipt["status"] == OK:
        stage = client.wait(("wrong", ""))[0]["stages"][CLEAN]
        assert stage["state"] == "failed" and stage["error"]["field"] == field
    else:
        assert receipt["field"] == field


def test_created_tasks_expire_with_their_video(town):
    system, client = town
    id_ = "0b1f1f6e-0000-4000-8000-000000000001"
    for status, at, gone in (("PENDING", "2025-01-01T00:00:00Z", False), ("COMPLETED", "2025-01-01T00:00:00Z", True),
                             ("COMPLETED", "2025-01-01 00:00:00.000000", True)):
        system.db.hset("task:" + id_, mapping={"task_id": id_, "status": status, "original_file_path": "x", "result_file_path": "",
                                               "error_message": "", "created_at": "2025-01-01T00:00:00Z", "updated_at": at})
        video = make(system.folder, "local", "videos", id_, "original.mp4")
        clean(client, retention_ms=1, grace_ms=1)
        assert os.path.exists(video) != gone and known(client, id_) != gone


def test_settings_are_the_usual_ages(tmp_path):
    with System("cleanup2", workers=1, storage_retention_ms=1, cleanup_grace_ms=0, cleanup_tmp_ms=0) as system:
        client = system.client()
        client.ready(CLEAN, ECHO)
        client.run("t1", ECHO, value=1)
        ghost = make(share(system, "ghost", "a"))
        older()
        stage = client.run("clean", CLEAN, seconds=60)
        assert stage["output"]["expired"]["removed"] == 1 and not known(client, "t1")
        assert figures(stage["output"], "orphan_folders") == (1, 0, 1) and os.path.exists(ghost)  # it may be an upload
