"""Every program as its users start it, under strace: nothing of it is in the system's temporary folders, and each process writes
only where it may."""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

import trace_house
from cli_house import SLOW, alive
from http_peer import Http
from swift_house import SwiftHouse
from trace_house import SYSTEM_TMP, beneath

SRT = "1\n00:00:00,100 --> 00:00:01,200\nThe quick\n\n2\n00:00:01,300 --> 00:00:02,500\nbrown fox\n"
# who asks for what in its own way: `system` speaks for others, these two are there to end badly or late
BY_HAND = {"system.callback", "system.fail", "system.sleep"}
LOGGED = re.compile(r"(?:^|[^\w.~/-])(/(?:var/)?tmp(?:/|\b)\S*)", re.MULTILINE)
NOWHERE = ("/dev/null", "/dev/tty", "/dev/pts", "/proc")  # nothing that is written there stays


def film(path):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=3", "-f", "lavfi",
                    "-i", "sine=frequency=440:duration=3", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", path], check=True)


def inputs(town):
    """What each node is given, by its name."""
    video, srt = str(town.folder / "in.mp4"), str(town.folder / "in.srt")
    return {
        "system.echo": {"value": "x"},
        "ffmpeg.extract_audio": {"video_path": video},
        "ffmpeg.extract_keyframes": {"video_path": video, "keyframe_sample_count": 3},
        "ffmpeg.crop_subtitle_images": {"video_path": video, "subtitle_area": [0, 80, 160, 120]},
        "ffmpeg.split_audio_segments": {"audio_path": video, "subtitle_path": srt, "output_format": "mp3"},
        "audio_separator.separate_vocals": {"video_path": video},
        "video.process": {"video_path": video},
        "storage.upload_file": {"file_path": video},
        "storage.upload_directory": {"directory_path": str(town.folder / "pictures"), "compress": True, "compression_format": "tar.gz"},
        "storage.download": {"source": "storage-upload_directory/pictures/pictures_compressed.tar.gz"},
        "system.cleanup": {"tmp_ms": 0, "grace_ms": 3600000},
    }


def submit(town, node, id_, wait=True, **given):
    words = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items()]
    return town.run("submit", node, "--id", id_, *words, *(["--wait"] if wait else []))


def tmp_of(town, id_):
    return sorted(path.name for path in (town.root / id_ / "tmp").glob("*"))


def eventually(check, seconds=SLOW):
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


def every_node(town):
    for node, given in inputs(town).items():
        if node not in town.nodes:
            continue
        done = submit(town, node, node.replace(".", "-"), **given)
        assert done.returncode == 0, f"{node}: {done.stdout}{done.stderr}"


def every_bad_end(town):
    """A corrupt video, a failure that tells why, a crash, a cancelled one, and one whose worker is killed."""
    (town.folder / "bad.mp4").write_bytes(b"no video at all" * 100)
    assert submit(town, "ffmpeg.extract_audio", "corrupt", video_path=str(town.folder / "bad.mp4")).returncode == 1
    assert submit(town, "system.fail", "fails", verdict="failed", message="no").returncode == 1
    assert submit(town, "system.fail", "crashes", signal=11).returncode in (0, 1)
    submit(town, "system.sleep", "cancelled", wait=False, seconds=600)
    eventually(lambda: tmp_of(town, "cancelled"))
    town.run("cancel", "cancelled", check=0)
    town.run("wait", "cancelled")


def every_way_of_a_file(town):
    """Over HTTP in one piece and in several, back again, and by a created task."""
    http, data = Http(int(town.http.rpartition(":")[2]), seconds=SLOW), os.urandom(200_000)
    form = (b'--xx\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n' + data +
            b'\r\n--xx\r\nContent-Disposition: form-data; name="file_path"\r\n\r\nsent/f.bin\r\n--xx--\r\n')
    answer = http.post("/v1/files/upload", form, headers={"Content-Type": "multipart/form-data; boundary=xx"})
    assert answer.status == 200, answer
    tus = {"Tus-Resumable": "1.0.0"}
    name = base64.b64encode(b"sent/g.bin").decode()
    answer = http.call("POST", "/v1/files/uploads", headers={**tus, "Upload-Length": str(len(data)), "Upload-Metadata": f"file_path {name}"})
    assert answer.status == 201, answer
    for at, part in ((0, data[:70_000]), (70_000, data[70_000:])):
        there = {**tus, "Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
        assert http.call("PATCH", answer.headers["Location"], part, headers=there).status == 204
    for name in ("f", "g"):
        assert eventually(lambda: (got := http.get(f"/v1/files/download/sent/{name}.bin")).status == 200 and got.raw) == data
    assert http.call("DELETE", "/v1/files/sent/f.bin").status in (200, 204)
    shutil.copy(town.folder / "in.mp4", town.folder / "created.mp4")
    town.created = town.run("create", "created.mp4", "--wait", check=0)


def worker_pids(town):
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == str(town.bin / "gantry-worker").encode():
            found[int(path.parent.name)] = words
    return found


def a_killed_worker(town):
    submit(town, "system.sleep", "killed", wait=False, seconds=1)
    eventually(lambda: tmp_of(town, "killed"))
    workers = [pid for pid, words in worker_pids(town).items() if b"--worker-services=system" in words]
    # the others have just been forked by it, and are no engine yet
    killed = [pid for pid in workers if int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) not in workers]
    os.kill(killed[0], 9)
    eventually(lambda: not alive(killed))
    assert town.run("wait", "killed").returncode == 0


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    why = trace_house.usable()
    if why:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("town")
    film(folder / "in.mp4")
    (folder / "in.srt").write_text(SRT)
    (folder / "pictures").mkdir()
    for n in range(3):
        (folder / "pictures" / f"{n}.jpg").write_bytes(os.urandom(1000))
    with SwiftHouse(str(tmp_path_factory.mktemp("store") / "swift")) as swift:
        sets = [word for row in (*swift.settings(), "lease_ms=2000", "log.level=debug") for word in ("--set", row)]
        yield from run(trace_house.System(folder, *sets))
    shutil.rmtree(folder, ignore_errors=True)


def run(town):
    town.root = town.folder / "data" / "workflows"
    try:
        town.nodes = {node["name"] for node in town.json("nodes")}
        every_node(town)
        every_way_of_a_file(town)
        every_bad_end(town)
        a_killed_worker(town)
        town.left = tmp_of(town, "killed")
        assert submit(town, "system.cleanup", "cleanup", tmp_ms=0).returncode == 0
        town.tmp = {path.name: tmp_of(town, path.name) for path in town.root.iterdir() if not path.name.startswith(".")}
        town.run_traced("submit", "system.echo", "value=1", "--wait")
    finally:
        code, said, left = town.stop()
    assert code == 0 and not left, (said, left)
    town.seen = town.touches()
    yield town


def may(town, path):
    """The test's own folder, and where the programs lie, may be beneath anything."""
    return beneath(path, town.folder, os.environ["GANTRY_SOURCE"], os.environ["GANTRY_BUILD"])


def lines(touches):
    return "\n".join(f"{touch.who} ({touch.work}): {touch.line}" for touch in touches[:20])


def test_what_is_read_of_a_trace(tmp_path):
    """By every way to name a file: in full, from the current folder, from an open one, by a child, without success."""
    if trace_house.usable():
        pytest.skip(trace_house.usable())
    script = """
import os
os.mkdir('a')
pid = os.fork()
if pid == 0:
    os.chdir('a')
    os.execv('/usr/bin/python3', ['python3', '-S', '-c', "import os; open('b c', 'w'); os.path.exists('/tmp/none-of-ours')"])
os.wait()
at = os.open('/var', os.O_RDONLY)
try:
    os.open('tmp/none-of-ours', os.O_RDONLY, dir_fd=at)
except OSError:
    os.rename('a', 'd')
"""
    subprocess.run(trace_house.traced(tmp_path / "trace", "/usr/bin/python3", "-S", "-c", script), check=True, cwd=tmp_path)
    seen = trace_house.read(tmp_path / "trace", tmp_path)
    bad = {(touch.call, touch.path) for touch in seen if "none-of-ours" in touch.path}
    assert {path for _, path in bad} == {"/tmp/none-of-ours", "/var/tmp/none-of-ours"}
    changed = {touch.path for touch in seen if touch.writes}
    assert changed == {str(tmp_path / name) for name in ("a", "a/b c", "d")}


def test_the_trace_has_every_program(town):
    seen = {touch.who for touch in town.seen}
    assert seen >= {"gantry", "redis-server", "gantry-broker", "gantry-state", "gantry-worker", "gantry-front", "gantry-exec", "gantry-engine",
                    "ffmpeg", "ffprobe"}, seen
    assert {touch.path for touch in town.seen if touch.writes and touch.who == "ffmpeg"}, "what ffmpeg writes is not seen"
    known = set(inputs(town)) | BY_HAND
    assert town.nodes <= known, f"nobody has said here how they are run: {town.nodes - known}"


def test_nothing_looks_into_tmp(town):
    bad = [touch for touch in town.seen if beneath(touch.path, *SYSTEM_TMP) and not may(town, touch.path)]
    assert not bad, lines(bad)


def test_a_task_writes_in_its_own_folder(town):
    bad = []
    for touch in town.seen:
        if touch.work and touch.writes:
            own = town.root / pathlib.Path(touch.work).relative_to(town.root).parts[0]
            whole = [town.folder / "data"] if "system.cleanup." in touch.work else []
            if not beneath(touch.path, own, *whole, *NOWHERE):
                bad.append(touch)
    assert not bad, lines(bad)


def test_services_write_in_their_data(town):
    bad = [touch for touch in town.seen if touch.writes and not touch.work and not touch.error
           and not beneath(touch.path, town.folder / "data", town.folder / "created.mp4", *NOWHERE)]
    assert not bad, lines(bad)


def test_no_log_names_tmp(town):
    for log in (town.folder / "data" / "log").iterdir():
        found = [path for path in LOGGED.findall(log.read_text(errors="replace")) if not may(town, path)]
        assert not found, (log.name, found[:10])


def test_tmp_is_empty_after_each_end(town):
    assert len(town.left) <= 1, town.left  # of the attempt that nobody could clean up after, and clean-up did
    assert not any(town.tmp.values()), town.tmp
