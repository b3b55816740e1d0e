"""Created tasks from end to end: `gantry up`, `gantry create`, real videos, the real ffmpeg; and beside it an outside processor."""
import json
import os
import pathlib

import stat
import subprocess

import pytest
import redis

from cli_house import GANTRY, System, run


FFMPEG = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
SIZE = "testsrc2=size=160x120:rate=25:duration=2"
TONE = ["-f", "lavfi", "-i", "sine=440:duration=2"]


def ffmpeg(*args):
    subprocess.run([*FFMPEG, *map(str, args)], check=True, timeout=120)


def make(path, *codecs, source=SIZE, tone=TONE):
    ffmpeg("-f", "lavfi", "-i", source, *tone, *codecs, path)
    return path


def streams(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", str(path)], check=True, capture_output=True).stdout
    found = json.loads(out)
    return {s["codec_type"]: s for s in found["streams"]}, found["format"]


def index_first(path):
    """moov before mdat: a browser plays it while it comes."""
    head = pathlib.Path(path).read_bytes()
    return head.index(b"moov") < head.index(b"mdat")


def packets(path):
    """What the video stream's packets hold: equal after a copy."""
    out = subprocess.run([*FFMPEG, "-i", str(path), "-map", "0:v", "-c", "copy", "-f", "framemd5", "-"], check=True, capture_output=True).stdout
    return [line.split(b",")[-1].strip() for line in out.splitlines() if not line.startswith(b"#")]


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    (folder / "in").mkdir()
    system = System(folder, "--input-root", "in", "--slots", "2", "--set", f"storage.local={folder}/local")
    yield system
    code, err, left = system.stop()
    assert code == 0 and not left, (code, err, left)


@pytest.fixture
def outside(system):
    (socket,) = [p for p in system.folder.glob("data/**/*") if "redis" in str(p) and stat.S_ISSOCK(p.stat().st_mode)]
    here = os.getcwd()
    os.chdir(socket.parent)
    client = redis.Redis(unix_socket_path=socket.name, decode_responses=True)
    client.ping()
    os.chdir(here)
    return client


def create(system, path, *flags):
    return system.json("create", str(path), *flags)


def test_any_video_becomes_one_that_browsers_play(system, outside):
    video = make(system.folder / "in" / "old.avi", "-c:v", "mpeg4", "-c:a", "mp3", "-pix_fmt", "yuv420p")
    record = create(system, video, "--wait")
    stage = record["stages"]["video.process"]
    result = stage["output"]["result_file_path"]
    assert record["status"] == "completed" and not video.exists()
    assert result == f"{record['storage_path']}/result.mp4" and stage["input"]["video_path"].endswith(f"/videos/{record['id']}/original.mp4")
    found, form = streams(result)
    assert found["video"]["codec_name"] == "h264" and found["video"]["pix_fmt"] == "yuv420p" and found["audio"]["codec_name"] == "aac"
    assert 1.8 < float(form["duration"]) < 2.3 and index_first(result)
    told = outside.hgetall("task:" + record["id"])
    assert told["status"] == "COMPLETED" and told["result_file_path"] == result and told["error_message"] == ""
    shown = system.run("show", record["id"], check=0).stdout
    assert "completed" in shown and "original.mp4" in shown and "result.mp4" in shown


def test_streams_that_fit_are_copied(system):
    video = make(system.folder / "in" / "web.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")
    before = packets(video)
    record = create(system, video, "--wait")
    result = record["stages"]["video.process"]["output"]["result_file_path"]
    assert packets(result) == before and index_first(result)


@pytest.mark.parametrize("name,codecs,source,tone", [
    ("odd.mkv", ["-c:v", "ffv1"], "testsrc2=size=161x121:rate=10:duration=1", []),
    ("ten.mkv", ["-c:v", "ffv1", "-pix_fmt", "yuv422p10le", "-c:a", "flac"], SIZE, TONE),
    ("t.ts", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"], SIZE, TONE)])
def test_other_shapes(system, name, codecs, source, tone):
    record = create(system, make(system.folder / "in" / name, *codecs, source=source, tone=tone), "--wait")
    found, _ = streams(record["stages"]["video.process"]["output"]["result_file_path"])
    assert found["video"]["codec_name"] == "h264" and found["video"]["pix_fmt"] == "yuv420p" and ("audio" in found) == bool(tone)


def test_what_is_no_video_fails_and_says_so(system, outside):
    (system.folder / "in" / "text.mp4").write_text("no video at all")
    make_sound = system.folder / "in" / "sound.m4a"
    ffmpeg(*TONE, make_sound)
    for path, word in ((system.folder / "in" / "text.mp4", "ffprobe"), (make_sound, "no video stream")):
        done = system.run("create", str(path), "--wait", "--json", check=1)
        record = json.loads(done.stdout)
        told = outside.hgetall("task:" + record["id"])
        assert record["status"] == "failed" and told["status"] == "FAILED" and word in told["error_message"], told
        assert record["stages"]["video.process"]["error"]["field"] == "video_path"


def test_the_verb(system, tmp_path):
    make(system.folder / "in" / "a b.mp4")
    done = system.run("create", "in/a b.mp4", check=0)
    id_ = done.stdout.strip()
    assert len(id_) == 36
    system.run("wait", id_, check=0)
    assert system.json("create", str(make(system.folder / "in" / "c.mp4"))).keys() == {"task_id"}
    make(tmp_path / "x.mp4")
    done = system.run("create", str(tmp_path / "x.mp4"), check=3)
    assert "DENIED" in done.stderr and "storage.input_roots" in done.stderr and "--input-root" in done.stderr and (tmp_path / "x.mp4").exists()
    done = system.run("create", "in/none.mp4", check=3)
    assert "NOT_FOUND" in done.stderr
    done = system.run("create", "none/none.mp4", check=2)
    os.symlink("c.mp4", system.folder / "in" / "link.mp4")
    system.run("create", "in/link.mp4", check=3)
    assert "examples:" in run("create", "--help", check=0).stdout
    system.run("create", check=2)


def test_an_outside_processor_takes_them_while_ours_rest(system, outside):
    system.run("pause", "video", check=0)
    try:
        ids = [create(system, make(system.folder / "in" / f"{i}.mp4"))["task_id"] for i in range(3)]
        queues = {q["service"]: q for q in system.json("queues")}
        assert queues["video"]["normal"] == 3
        (why,) = system.json("why", ids[0])
        assert why["reason"] == "external"
        assert [outside.rpop("task:pending") for _ in range(2)] == ids[:2]
        outside.hset("task:" + ids[0], mapping={"status": "PROCESSING", "updated_at": "2026-01-31T03:00:00Z"})
        assert "external" in system.run("show", ids[0], check=0).stdout
        assert "outside processor" in system.run("why", ids[0], check=0).stdout
        assert system.run("cancel", ids[0]).returncode == 3
        waiter = subprocess.Popen([GANTRY, "wait", ids[0], "--data", "data", "--json"], cwd=system.folder, stdout=subprocess.PIPE, text=True)
        outside.hset("task:" + ids[0], mapping={"status": "COMPLETED", "result_file_path": "/outside/r.mp4"})
        record = json.loads(waiter.communicate(timeout=60)[0])
        assert record["status"] == "completed" and record["stages"]["video.process"]["output"] == {"result_file_path": "/outside/r.mp4"}
        outside.hset("task:" + ids[1], mapping={"status": "FAILED", "error_message": "no model"})
        shown = system.run("show", ids[1], check=0).stdout
        assert "failed" in shown and "no model" in shown
        folder = system.folder / "local" / "videos"
        assert (folder / ids[1]).is_dir()
        system.run("delete", ids[1], check=0)
        assert not (folder / ids[1]).exists() and outside.hgetall("task:" + ids[1]) == {}
    finally:
        system.run("resume", "video", check=0)
    record = json.loads(system.run("wait", ids[2], "--json", check=0).stdout)  # what nobody took is ours
    assert record["status"] == "completed" and outside.llen("task:pending") == 0
    ledger = system.json("ledger")
    assert ledger["balanced"]


def test_nothing_of_it_is_left_behind(system):
    """No half files, no attempts' folders."""
    left = [p for p in system.folder.rglob("*") if ".part." in p.name]
    assert not left
    for tmp in (system.folder / "data").rglob("tmp"):
        assert not tmp.is_dir() or not list(tmp.iterdir()), tmp
