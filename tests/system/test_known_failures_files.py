"""What went wrong with files in the systems that users come from: each cause brought about, and nothing of it happens."""
import json
import os
import shutil
import subprocess
import threading
import uuid

import pytest

import disk_house
from harness import INVALID, NOT_FOUND, System, until

AUDIO, FRAMES, CROP, SPLIT = "ffmpeg.extract_audio", "ffmpeg.extract_keyframes", "ffmpeg.crop_subtitle_images", "ffmpeg.split_audio_segments"
PSEUDO_IDS = ["", "pending", ".", "..", "../x", "a/b", "/", "/etc", ".trash", ".hidden", "a..b", "%2e%2e", "a\\b", "a b", "a\0b", "a\nb", "é", "x" * 129]
MB = 1 << 20


def fresh():
    return f"k{uuid.uuid4().hex[:12]}"


def ffmpeg(*args):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *args], check=True)


def film(path, seconds=2, size="160x120"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=10:duration={seconds}", "-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}",
           "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", path)
    return path


WATCH = {"storage_low_bytes": 0, "storage_high_bytes": 0}  # a disk that is nearly full is what is looked for here


class Town(System):
    def process(self, name, program, **settings):
        return super().process(name, program, **{**settings, **(WATCH if program == "gantry-state" else {})})

    def own(self, id_):
        return f"{self.settings['storage_root']}/{id_}"


@pytest.fixture(scope="module")
def town():
    with Town("known", workers=1, worker_services="ffmpeg,system", worker_slots=2) as system:
        system.user = system.client()
        system.user.ready(AUDIO, "system.echo")
        system.film = film(f"{system.folder}/in/talk.mp4")
        yield system


def tree(folder):
    return sorted(os.path.relpath(os.path.join(where, name), folder) for where, folders, files in os.walk(folder) for name in folders + files)


def error_of(stage):
    assert stage["state"] == "failed", stage
    return stage["error"]


# ---- names ----------------------------------------------------------------------------------------

def test_the_prefix_trick(town):
    """/in is a root of inputs: /in-x is none, nor is whatever a link in /in leads to."""
    beside = film(f"{town.folder}/in-x/secret.mp4")
    os.symlink(beside, f"{town.folder}/in/link.mp4")
    os.symlink(os.path.dirname(beside), f"{town.folder}/in/links")
    for path in (beside, f"{town.folder}/in/../in-x/secret.mp4", f"{town.folder}/in/link.mp4", f"{town.folder}/in/links/secret.mp4"):
        error = error_of(town.user.run(fresh(), AUDIO, video_path=path))
        assert (error["code"], error["field"]) == ("DENIED", "video_path"), (path, error)
    assert town.user.run(fresh(), AUDIO, video_path=town.film)["state"] == "completed"


def test_a_file_of_another_task(town):
    mine, other = fresh(), fresh()
    theirs = town.user.run(other, AUDIO, video_path=town.film)["output"]["audio_path"]
    for path in (theirs, f"../{other}/audio/talk.wav", f"{town.own(mine)}/../{other}/audio/talk.wav"):
        error = error_of(town.user.run(fresh(), SPLIT, audio_path=path, subtitle_path=path))
        assert error["code"] in ("DENIED", "NOT_FOUND"), (path, error)


@pytest.mark.parametrize("id_", PSEUDO_IDS)
def test_pseudo_ids(town, id_):
    before = tree(town.settings["storage_root"])
    if id_:  # without one it is given a good one
        answer = town.user.ask("SUBMIT", [town.user.task(id_, "system.echo", value=1)], service="system")
        assert answer.status == INVALID or answer.body[0]["status"] == INVALID, answer
    assert town.user.ask("FORGET", {"id": id_, "force": True}).status == INVALID
    assert tree(town.settings["storage_root"]) == before


@pytest.mark.parametrize("id_", ["", ".", "./", "..", "/", "workflows", "share", "*"])
def test_share_itself_deletable(town, id_):
    """No spelling of the root removes it: not its parent, nor its name, nor what a link of a task's name leads to."""
    root, kept = town.settings["storage_root"], fresh()
    town.user.run(kept, AUDIO, video_path=town.film)
    before = tree(root)
    answer = town.user.ask("FORGET", {"id": id_, "force": True})
    assert answer.status in (INVALID, NOT_FOUND), answer
    assert tree(root) == before


def test_share_itself_deletable_through_a_link(town):
    root, id_ = town.settings["storage_root"], fresh()
    for target in (".", "..", root, "/"):
        os.symlink(target, f"{root}/{id_}")
        before = tree(root)
        answer = town.user.ask("FORGET", {"id": id_, "force": True})
        assert answer.status == NOT_FOUND or answer.body["results"][0]["status"] in ("failed", "skipped"), answer
        assert tree(root) == before
        os.unlink(f"{root}/{id_}")


def test_two_files_of_one_name(town):
    """In two folders, by two tasks, and twice in one task: each has its own, the later one of a task stays whole."""
    long = film(f"{town.folder}/in/other/talk.mp4", seconds=4)
    ids = [fresh(), fresh()]
    for id_, path in zip(ids, (town.film, long)):
        town.user.run(id_, AUDIO, video_path=path)
    sizes = [os.path.getsize(f"{town.own(id_)}/audio/talk.wav") for id_ in ids]
    assert sizes[1] > 1.5 * sizes[0]
    task = {**town.user.task(ids[0], AUDIO, video_path=long), "reuse": "never"}
    town.user.submit(task)
    town.user.wait((ids[0], AUDIO))
    assert os.path.getsize(f"{town.own(ids[0])}/audio/talk.wav") == sizes[1]
    assert tree(town.own(ids[0])) == ["audio", "audio/talk.wav", "tmp"]


# ---- outcomes that are none -----------------------------------------------------------------------

def test_completed_without_a_file(town):
    """A video without sound, an empty one, one that is not there: no output names a file that is not."""
    mute, empty = f"{town.folder}/in/mute.mp4", f"{town.folder}/in/empty.mp4"
    ffmpeg("-i", town.film, "-an", "-c", "copy", mute)
    open(empty, "w").close()
    for path in (mute, empty, f"{town.folder}/in/none.mp4"):
        id_ = fresh()
        stage = town.user.run(id_, AUDIO, video_path=path)
        assert error_of(stage)["field"] == "video_path" and "output" not in stage, stage
        assert tree(town.own(id_)) in ([], ["tmp"])


def test_failed_part_silently_dropped(town):
    """Of three segments one lies behind the end of the sound: it is counted, listed and told."""
    id_, srt = fresh(), f"{town.folder}/in/parts.srt"
    with open(srt, "w") as file:
        file.write("1\n00:00:00,000 --> 00:00:01,000\na\n\n2\n00:01:00,000 --> 00:01:02,000\nb\n\n3\n00:00:01,000 --> 00:00:02,000\nc\n")
    stage = town.user.run(id_, SPLIT, audio_path=town.film, subtitle_path=srt, min_segment_duration=0.1)
    output = stage["output"]
    assert (output["total_segments"], output["successful_segments"], output["failed_segments"]) == (3, 2, 1), output
    with open(output["split_info_file"]) as file:
        listed = json.load(file)
    assert "b" in json.dumps(listed), listed


# ---- a full disk ----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def narrow(town):
    """A system whose folders lie on a disk of 8 MB."""
    why = disk_house.why_not()
    if why:
        pytest.skip(why)
    with disk_house.disk(os.path.abspath("narrow-share"), 8 * MB) as share:
        with Town("narrow", workers=1, worker_services="ffmpeg,system", worker_slots=2, storage_root=share) as system:
            system.user = system.client()
            system.user.ready(AUDIO)
            system.film = film(f"{system.folder}/in/talk.mp4", seconds=20, size="320x180")
            yield system
    os.rmdir("narrow-share")


def no_room(stage):
    """It has failed for now, and says why."""
    assert stage["state"] not in ("failed", "quarantined"), stage
    return stage.get("history") and "No space left" in stage["history"][-1]["error"]["message"]


def idle(system, id_, node):
    """Nothing of an attempt is there any more, for a while."""
    return system.user.stage(id_, node)["state"] == "scheduled" and tree(system.own(id_)) == ["tmp"]


@pytest.mark.parametrize("node,given", [
    (AUDIO, {}), (FRAMES, {"keyframe_sample_count": 200}), (CROP, {"subtitle_area": [0, 0, 320, 180]}),
    (SPLIT, {"output_format": "mp3", "min_segment_duration": 0.1}), (SPLIT, {"output_format": "wav", "min_segment_duration": 0.1})])
def test_disk_full(narrow, node, given):
    """It fails with the reason, nothing half is left, it is tried again, and completes once there is room."""
    id_, share = fresh(), narrow.settings["storage_root"]
    with open(f"{narrow.folder}/in/all.srt", "w") as file:
        for n in range(5):
            file.write(f"{n + 1}\n00:00:{4 * n:02},000 --> 00:00:{4 * n + 4:02},000\nx\n\n")
    paths = {"audio_path": narrow.film, "subtitle_path": f"{narrow.folder}/in/all.srt"} if node == SPLIT else {"video_path": narrow.film}
    ballast = disk_house.fill(f"{share}/ballast", leave=64 * 1024)
    narrow.user.submit({**narrow.user.task(id_, node, **paths, **given), "retry_ms": 500, "failures_max": 1000})
    until(lambda: no_room(narrow.user.stage(id_, node)), 30)
    until(lambda: idle(narrow, id_, node))
    assert narrow.balance()["accepted"] >= 1
    os.unlink(ballast)
    until(lambda: narrow.user.stage(id_, node)["state"] == "completed", 30)
    assert os.listdir(f"{narrow.own(id_)}/tmp") == []
    assert narrow.user.ask("FORGET", {"id": id_}).body["status"] == "success"
    assert os.listdir(share) in ([], [".trash"])


def test_disk_full_at_the_last_byte(narrow):
    """Whatever is free, what is said to be completed is whole: an encoder that could not write its last bytes may end well."""
    share, whole, ends = narrow.settings["storage_root"], None, set()
    for leave in (2 * MB, *range(600 * 1024, 680 * 1024, 16 * 1024)):
        id_, ballast = fresh(), disk_house.fill(f"{share}/ballast", leave)
        narrow.user.submit(narrow.user.task(id_, AUDIO, video_path=narrow.film))
        state = until(lambda: "none" if no_room(narrow.user.stage(id_, AUDIO)) else narrow.user.stage(id_, AUDIO).get("output"), 30)
        ends.add(state == "none")
        if state == "none":
            assert tree(narrow.own(id_)) == ["tmp"]
        else:
            whole = whole or os.path.getsize(state["audio_path"])
            assert os.path.getsize(state["audio_path"]) == whole, leave
        assert narrow.user.ask("FORGET", {"id": id_, "force": True}).body["status"] == "success"
        os.unlink(ballast)
    assert ends == {True, False}


def test_disk_full_by_a_limit(town):
    """Where no disk of its own can be mounted: a worker whose files may be of 100 KB."""
    id_, here = fresh(), os.getcwd()
    os.chdir(town.folder)  # its sockets are named from there
    limited = town.add_worker(worker_services="audio_separator")
    os.chdir(here)
    subprocess.run(["prlimit", f"--pid={limited.pid}", "--fsize=100000:unlimited"], check=True)
    town.user.ready("audio_separator.separate_vocals")
    node = "audio_separator.separate_vocals"
    town.user.submit({**town.user.task(id_, node, audio_path=town.film), "retry_ms": 300, "failures_max": 1000})
    error = until(lambda: town.user.stage(id_, node).get("history"), 30)[-1]["error"]
    assert "signal 25" in error["message"] or "File too large" in error["message"], error
    subprocess.run(["prlimit", f"--pid={limited.pid}", "--fsize=unlimited:unlimited"], check=True)
    until(lambda: town.user.stage(id_, node)["state"] == "completed", 30)
    assert tree(f"{town.own(id_)}/tmp") == []


# ---- created tasks --------------------------------------------------------------------------------

@pytest.fixture
def made(town):
    """A system in which nobody takes what is created, and its videos."""
    with Town(f"made{fresh()}", workers=0) as system:
        system.user = system.client()
        system.videos = [shutil.copy(town.film, f"{system.folder}/in/{n}.mp4") for n in range(24)]
        yield system


def create(system, path, token):
    return system.user.insist("CREATE_TASK", {"temp_file_path": path, "token": token}).body["task_id"]


def test_record_and_queue_not_atomic(made):
    """The state service is killed again and again: each video has one record, one place in the queue and one folder."""
    over = threading.Event()

    def kill():
        while not over.wait(0.15):
            made.states[0].restart()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        ids = [create(made, path, f"{n:016}".encode()) for n, path in enumerate(made.videos)]
    finally:
        over.set()
        killer.join()
    assert len(set(ids)) == len(made.videos)
    assert [id_.decode() for id_ in reversed(made.db.lrange("task:pending", 0, -1))] == ids
    assert {key.decode().removeprefix("task:") for key in made.db.scan_iter("task:*")} == {"pending", *ids}
    assert set(os.listdir(f"{made.folder}/local/videos")) - {".trash"} == set(ids)
    assert os.listdir(f"{made.folder}/in") == []
    for id_ in ids:
        path = made.db.hget(f"task:{id_}", "original_file_path").decode()
        assert os.path.getsize(path) > 0 and path.endswith(f"/videos/{id_}/original.mp4")


def test_second_id_minted_on_the_way(made):
    """The answer was lost and the caller asks again; the id that it is told is the one in queue, record and path."""
    path, token = made.videos[0], b"the same token.."
    ids = {create(made, path, token) for _ in range(3)}
    made.states[0].restart()
    ids.add(create(made, path, token))
    (id_,) = ids
    assert [key.decode() for key in made.db.lrange("task:pending", 0, -1)] == [id_]
    assert made.db.hget(f"task:{id_}", "task_id").decode() == id_
    assert os.listdir(f"{made.folder}/local/videos") == [id_]


def test_pop_without_ack(made):
    """Who has taken the video is killed: it is made all the same, and nothing of it is lost."""
    ids = [create(made, path, f"{n:016}".encode()) for n, path in enumerate(made.videos[:3])]
    worker = made.add_worker(worker_services="video", worker_slots=1)
    until(lambda: made.user.ask("GET_TASK_STATUS", {"task_id": ids[0]}).body.get("status", 0) == 1, 30)
    worker.restart()
    until(lambda: all(made.user.ask("GET_TASK_STATUS", {"task_id": id_}).body.get("status", 0) == 2 for id_ in ids), 60)
    for id_ in ids:
        assert os.path.getsize(made.user.ask("GET_TASK_STATUS", {"task_id": id_}).body["result_file_path"]) > 0
    assert made.user.stage(ids[0], "video.process")["crashes"] == 1
    made.settle()


def test_wrong_format_or_lifo_queue(made):
    """What is created first is taken first, by an outside processor as by a worker of ours; an entry is an id and nothing else."""
    ids = [create(made, path, f"{n:016}".encode()) for n, path in enumerate(made.videos[:6])]
    assert [made.db.rpop("task:pending").decode() for _ in range(2)] == ids[:2]
    made.add_worker(worker_services="video", worker_slots=1)
    until(lambda: made.user.ask("GET_TASK_STATUS", {"task_id": ids[-1]}).body.get("status", 0) == 2, 60)
    started = [made.user.stage(id_, "video.process")["started_ms"] for id_ in ids[2:]]
    assert started == sorted(started)
    assert [made.user.ask("GET_TASK_STATUS", {"task_id": id_}).body.get("status", 0) for id_ in ids[:2]] == [0, 0]
