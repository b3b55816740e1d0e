"""gantry-worker against a broker made of Python: what it runs, what it says, and what it never leaves behind."""

import os
import re
import signal
import subprocess
import time

import msgpack
import pytest

from worker_house import BYE, CLAIM, PYTHON, alive, house, say  # noqa: F401: house is a fixture


# ---- nodes and inputs


def test_registers_what_it_runs(house):
    h = house(worker_services="system")
    assert h.services == ["system"]
    assert set(h.nodes) == {"system.echo", "system.sleep", "system.fail", "system.callback", "system.cleanup"}
    seconds = h.nodes["system.sleep"]["inputs"][0]
    assert (seconds["name"], seconds["type"], seconds["required"]) == ("seconds", "number", True)


def test_echo(house):
    result = house().run("system.echo", value={"a": [1, None, "ü"]})
    assert result["state"] == "completed"
    assert result["output"] == {"value": {"a": [1, None, "ü"]}}


def test_many_echoes(house):
    h = house(worker_slots=8)
    for i in range(500):
        h.hand("system.echo", id=f"t{i}", value=i)
    h.until(lambda: len(h.results) == 500)
    assert sorted(r["output"]["value"] for r in h.results) == list(range(500))


def test_sleep_tells_its_progress_and_figures(house):
    h = house()
    result = h.run("system.sleep", seconds=1)
    assert result["state"] == "completed"
    assert 990 < result["output"]["slept_ms"] < 3000
    assert result["usage"]["wall_ms"] >= 990
    assert result["usage"]["rss_bytes"] > 100_000
    steps = h.progress["t1"]
    assert steps == sorted(steps) and 0.1 < steps[-1] <= 1
    assert h.attempt_folders() == []


@pytest.mark.parametrize("given,code,field", [
    ({}, "INVALID", "seconds"),
    ({"seconds": None}, "INVALID", "seconds"),
    ({"seconds": "long"}, "INVALID", "seconds"),
    ({"seconds": -1}, "INVALID", "seconds"),
    ({"seconds": 0, "exit": 1.5}, "INVALID", "exit"),
    ({"seconds": 0, "secs": 1}, "INVALID", "secs"),
])
def test_wrong_inputs(house, given, code, field):
    result = house().run("system.sleep", **given)
    assert result["state"] == "failed"
    assert (result["error"]["code"], result["error"]["field"]) == (code, field)


def test_a_failure_has_its_exit_code_and_last_words(house):
    result = house().run("system.sleep", seconds=0, message="out of sheep", exit=3)
    error = result["error"]
    assert (result["state"], error["code"], error["exit"]) == ("failed", "FAILED", 3)
    assert "out of sheep" in error["stderr"]


@pytest.mark.parametrize("path,code", [
    ("no.mp4", "NOT_FOUND"), ("../t2/in.mp4", "DENIED"), ("/etc/passwd", "DENIED"), ("", "INVALID"), ("tmp", "INVALID"),
    ("link.mp4", "DENIED"), ("ftp://example.org/v.mp4", "UNSUPPORTED"), ("s3://bucket/v.mp4", "UNSUPPORTED"),
    ("{folder}/inputs-x/v.mp4", "DENIED"), ("{folder}/inputs/no.mp4", "NOT_FOUND"),
])
def test_paths_that_cannot_be_inputs(house, path, code):
    h = house(storage_input_roots="inputs")
    os.makedirs(f"{h.folder}/inputs")
    os.makedirs(f"{h.folder}/inputs-x")
    os.makedirs(f"{h.root}/t1")
    open(f"{h.folder}/inputs-x/v.mp4", "w").close()
    os.symlink("/etc/passwd", f"{h.root}/t1/link.mp4")
    error = h.run("ffmpeg.extract_audio", video_path=path.format(folder=h.folder))["error"]
    assert (error["code"], error["field"]) == (code, "video_path")


GIVEN = PYTHON + """
inputs = sys.stdin.buffer.read()
open("../../inputs", "wb").write(inputs)
""" + say({"output": {"done": True}})


@pytest.mark.parametrize("place", ["inputs/v.mp4", "storage/videos/x/original.mp4", "root/t1/v.mp4"])
def test_paths_are_resolved_for_the_engine(house, place):
    h = house(GIVEN, storage_input_roots=f"nowhere,inputs")
    path = os.path.join(h.folder, place)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").close()
    assert h.run("ffmpeg.extract_audio", video_path=path)["state"] == "completed"
    inputs, before = msgpack.Unpacker(open(f"{h.root}/t1/inputs", "rb"))
    assert inputs == {"video_path": os.path.realpath(path)}
    assert before.pop("settings") and before.pop("addresses") == [] and before.pop("owned") is False
    assert before == {"attempt": 1, "failures": 0, "crashes": 0, "checkpoint": None}


def test_settings_reach_the_engine_and_no_other_place(house):
    known = 'open("../../known", "wb").write(b"".join(open(f"/proc/self/{name}", "rb").read() for name in ("environ", "cmdline")))\n'
    h = house(GIVEN + "\n" + known, objects_secret_key="hush-hush", storage_legacy="old", objects_ca_file="/ca.pem",
              storage_input_roots="a, /b", worker_clients="ipc://run/c,tcp://127.0.0.1:9", unpack_files_max=7, storage_auto_upload="true")
    open(f"{h.folder}/v.mp4", "w").close()
    os.makedirs(f"{h.root}/t1/in")
    open(f"{h.root}/t1/in/v.mp4", "w").close()
    assert h.run("ffmpeg.extract_audio", video_path="in/v.mp4")["state"] == "completed"
    _, before = msgpack.Unpacker(open(f"{h.root}/t1/inputs", "rb"))
    got, here = before["settings"], os.path.realpath(h.folder)
    assert got["objects.secret_key"] == "hush-hush" and b"hush" not in open(f"{h.root}/t1/known", "rb").read()
    assert got["storage.legacy"] == f"{here}/old" and got["objects.ca_file"] == "/ca.pem" and got["storage.input_roots"] == f"{here}/a,/b"
    first, second = got["worker.clients"].split(",")
    assert second == "tcp://127.0.0.1:9" and len(first) <= 6 + 107 and first.endswith("/run/c")
    assert first in (f"ipc://{here}/run/c", f"ipc:///proc/{h.worker.pid}/cwd/run/c")
    assert got["unpack.files_max"] == "7" and got["storage.auto_upload"] == "true" and got["objects.endpoint"] == ""
    assert not any(name.startswith(("redis.", "callback.secret", "broker.", "front.")) for name in set(got) - {"front.upload_ms"})


def test_a_relative_path_and_defaults(house):
    h = house(GIVEN)
    os.makedirs(f"{h.root}/t1/in")
    open(f"{h.root}/t1/in/v.mp4", "w").close()
    assert h.run("ffmpeg.extract_keyframes", video_path="in/v.mp4")["state"] == "completed"
    inputs, _ = msgpack.Unpacker(open(f"{h.root}/t1/inputs", "rb"))
    assert inputs["video_path"] == os.path.realpath(f"{h.root}/t1/in/v.mp4")
    assert inputs["keyframe_sample_count"] == 100
    assert inputs["keyframe_compression_format"] == "zip"


# ---- engines


def test_what_an_engine_gets(house):
    h = house(PYTHON + """
with open("../../environment", "w") as f:
    f.write(repr((os.getcwd(), sys.argv[1:], dict(os.environ), sorted(os.listdir(".")))))
""" + say({"output": {"a": 1}}))
    h.run("system.sleep", id="t-5", attempt=3, seconds=0)
    cwd, argv, env, files = eval(open(f"{h.root}/t-5/environment").read())
    folder = os.path.realpath(f"{h.root}/t-5")
    work = cwd
    assert re.fullmatch(re.escape(folder) + r"/tmp/system\.sleep\.3\.[0-9a-f]{8}", work)
    assert (argv, files) == (["system.sleep"], [])
    assert env.pop("PATH") and env.pop("HOME")
    env.pop("LC_CTYPE", None)  # Python's own
    assert env == {"LANG": "C.UTF-8", "TMPDIR": work, "GANTRY_TASK_ID": "t-5", "GANTRY_TASK_NAME": "system.sleep",
                   "GANTRY_ATTEMPT": "3", "GANTRY_FOLDER": folder, "GANTRY_WORK": work, "GANTRY_FFMPEG": "ffmpeg",
                   "GANTRY_FFPROBE": "ffprobe"}


def test_what_was_made_is_handed_over(house):
    h = house(PYTHON + """
os.makedirs("made/deep")
open("made/deep/file", "w").write("new")
open("sound", "w").write("sound")
""" + say({"output": {"a": 1}, "files": [["made", "out/frames"], ["sound", "audio/sound.wav"]]}))
    os.makedirs(f"{h.root}/t1/out/frames")
    open(f"{h.root}/t1/out/frames/old", "w").close()
    result = h.run("system.sleep", seconds=0)
    assert (result["state"], result["output"]) == ("completed", {"a": 1})
    assert os.listdir(f"{h.root}/t1/out/frames") == ["deep"]
    assert open(f"{h.root}/t1/out/frames/deep/file").read() == "new"
    assert open(f"{h.root}/t1/audio/sound.wav").read() == "sound"
    assert h.attempt_folders() == []


@pytest.mark.parametrize("pair,code", [
    (["file", "../t2/x"], "INVALID"), (["file", "/etc/x"], "INVALID"), (["file", "a/./x"], "INVALID"),
    (["file", "tmp/x"], "INVALID"), (["file", ""], "INVALID"), (["../../x", "x"], "INVALID"), (["link", "x"], "NOT_FOUND"),
    (["missing", "x"], "NOT_FOUND"), (["file"], "INVALID"), (["file", 7], "INVALID"), (["file", "away/x"], "INTERNAL"),
])
def test_what_may_not_be_handed_over(house, pair, code):
    h = house(PYTHON + "open('file', 'w').close(); os.symlink('/etc/passwd', 'link')\n"
              + say({"output": {"a": 1}, "files": [pair]}))
    os.makedirs(f"{h.root}/t1")
    os.symlink(h.folder, f"{h.root}/t1/away")
    result = h.run("system.sleep", seconds=0)
    assert (result["state"], result["error"]["code"]) == ("failed", code)
    assert not os.path.exists(f"{h.folder}/x")
    assert h.attempt_folders() == []


def test_skipped(house):
    result = house(PYTHON + say({"skipped": {"why": "off"}})).run("system.sleep", seconds=0)
    assert (result["state"], result["output"]) == ("skipped", {"why": "off"})


def test_an_engine_says_why(house):
    engine = PYTHON + say({"error": {"code": "UNSUPPORTED", "message": "no such codec", "field": "seconds"}}) + "sys.exit(1)"
    error = house(engine).run("system.sleep", seconds=0)["error"]
    assert (error["code"], error["message"], error["field"]) == ("UNSUPPORTED", "no such codec", "seconds")


def deep(levels):
    value = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("script,code,words", [
    ("", "FAILED", "without a result"),
    (say({"output": {"a": 1}}) + "sys.exit(9)", "FAILED", "exit code 9"),
    ("os.write(3, b'\\xc1'); time.sleep(0.1)", "FAILED", "cannot be read"),
    ("os.write(3, b'\\x01'); time.sleep(60)", "FAILED", "cannot be read"),
    ("os.write(3, b'\\x82\\xa1a')", "FAILED", "cannot be read"),
    (say({"output": 5}) + "time.sleep(60)", "FAILED", "cannot be read"),
    (say({"what": 5}) + "time.sleep(60)", "FAILED", "cannot be read"),
    (say({"progress": "half"}) + "time.sleep(60)", "FAILED", "cannot be read"),
    (say({"output": deep(15)}) + "time.sleep(60)", "FAILED", "cannot be read"),
    ("b = b'x' * 65536\nos.write(3, b'\\x81\\xa6output\\x81\\xa1a\\xc6\\x7f\\xff\\xff\\xff')\nwhile 1: os.write(3, b)",
     "TOO_LARGE", "larger than"),
])
def test_engines_that_go_wrong(house, script, code, words):
    h = house(PYTHON + script)
    result = h.run("system.sleep", seconds=0)
    assert result["state"] == "failed"
    assert result["error"]["code"] == code
    assert words in result["error"]["message"]
    h.until(lambda: not h.engine_pids())
    assert h.attempt_folders() == []


def test_an_output_that_is_large_and_comes_in_pieces(house):
    engine = PYTHON + say({"progress": 0.5}) + """
import struct
b = b"\\x81\\xa6output\\x81\\xa1a\\xdb" + struct.pack(">I", 900000) + b"x" * 900000
for i in range(0, len(b), 10007):
    os.write(3, b[i:i + 10007])
"""
    assert house(engine).run("system.sleep", seconds=0)["output"] == {"a": "x" * 900000}


def test_a_daemon_of_an_engine_ends_with_it(house):
    h = house(PYTHON + """
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    open("../../part", "w").write(str(os.getpid()))
    os.rename("../../part", "../../daemon")
    time.sleep(60)
while not os.path.exists("../../daemon"): time.sleep(0.01)
""" + say({"output": {"a": 1}}))
    assert h.run("system.sleep", seconds=0)["state"] == "completed"
    assert not alive(int(open(f"{h.root}/t1/daemon").read() or 0))


def test_the_last_words_are_the_last(house):
    h = house(PYTHON + "for i in range(100000): print('line', i)\nsys.stdout.flush(); os.write(2, b'\\xff\\0end'); sys.exit(1)")
    words = h.run("system.sleep", seconds=0)["error"]["stderr"]
    assert words.endswith("line 99999\n??end")
    assert words.startswith("line ") and 3900 < len(words) <= 4096


@pytest.mark.parametrize("trouble", ["engine", "disk"])
def test_a_machine_in_trouble_gives_back_and_rests(house, trouble):
    """What the machine cannot run is nobody's failure: somebody else shall have it, and this worker not the next at once."""
    h = house("#!/no/such/interpreter\n" if trouble == "engine" else PYTHON + say({"output": {"a": 1}}))
    os.makedirs(h.root, exist_ok=True)
    if trouble == "disk" and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "tmpfs", h.root]).returncode:
        pytest.skip("no file system without room can be mounted here")
    try:
        for n in (1, 2):  # the second comes by a claim that was open already
            h.hand("system.sleep", id=f"t{n}", seconds=0)
            h.until(lambda: len(h.returned) == n)
        began = time.monotonic()
        h.hand("system.sleep", id="t3", seconds=0)
        h.until(lambda: len(h.returned) == 3)
        assert time.monotonic() - began > 0.9
        assert [r["id"] for r in h.returned] == ["t1", "t2", "t3"] and h.results == []
        assert "machine_trouble" in open(os.path.join(h.folder, "worker.log")).read()
    finally:
        if trouble == "disk":
            subprocess.run(["umount", h.root], check=True)


def test_an_engine_that_reads_nothing(house):
    h = house(PYTHON + "os.close(0)\n" + say({"output": {"a": 1}}))
    assert h.run("system.sleep", seconds=0, message="x" * 500000)["state"] == "completed"


# ---- ends from outside


def test_the_time_limit(house):
    h = house()
    h.hand("system.sleep", seconds=60, timeout_ms=400)
    pids = h.running()
    result = h.result()
    assert (result["state"], result["error"]["code"]) == ("retry", "TIMEOUT")
    assert not any(map(alive, pids))


def test_cancel(house):
    h = house()
    token = h.hand("system.sleep", seconds=60)
    pids = h.running()
    h.cancel.append(token)
    assert h.result()["state"] == "cancelled"
    assert not any(map(alive, pids))
    assert h.attempt_folders() == []


def test_cancel_of_one_that_does_not_listen(house):
    h = house(PYTHON + "import signal\nsignal.signal(15, signal.SIG_IGN)\nopen('../../up', 'w').close()\ntime.sleep(60)")
    token = h.hand("system.sleep", seconds=60)
    h.until(lambda: os.path.exists(f"{h.root}/t1/up"))
    h.cancel.append(token)
    assert h.result()["state"] == "cancelled"
    assert h.engine_pids() == []


DEAF = PYTHON + """
import signal
signal.signal(15, signal.SIG_IGN)
if os.environ["GANTRY_TASK_ID"] == "t2":
    os.write(3, b"\\x81\\xa6output\\x80")
    sys.exit(0)
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
time.sleep(60)
"""


def test_stale_work_is_killed_daemons_included_and_nothing_is_said(house):
    h = house(DEAF, worker_grace_ms=30_000)  # which is not waited for
    token = h.hand("system.sleep", seconds=60)
    h.until(lambda: len(h.engine_pids()) == 2)
    h.stale.append(token)
    h.until(lambda: not h.engine_pids(), 5)
    h.idle(0.5)
    assert h.results == [] and h.returned == []
    h.stale.clear()
    assert h.run("system.sleep", id="t2", seconds=0)["state"] == "completed"


def test_without_an_answer_to_its_heartbeats_nothing_runs_past_the_lease(house):
    h = house(lease_ms=3000)
    h.hand("system.sleep", seconds=60)
    h.running()
    begin = time.monotonic()
    h.beating = False
    h.until(lambda: not h.engine_pids())
    assert time.monotonic() - begin < 3
    assert h.results == []


@pytest.mark.parametrize("sig", [signal.SIGSTOP, signal.SIGKILL])
def test_a_worker_stopped_or_killed_leaves_no_engine(house, sig):
    h = house(lease_ms=3000)
    h.hand("system.sleep", seconds=60)
    pids = h.running()
    begin = time.monotonic()
    h.worker.send_signal(sig)
    h.until(lambda: not any(map(alive, pids)))
    assert time.monotonic() - begin < 3.5  # the lease, and a moment for looking
    if sig == signal.SIGSTOP:
        h.worker.send_signal(signal.SIGCONT)
        h.idle(0.5)
        assert h.results == []  # and its slot is free again
        assert h.run("system.sleep", id="t2", seconds=0)["state"] == "completed"


def test_a_renewed_lease_lets_work_go_on(house):
    h = house(lease_ms=600)
    assert h.run("system.sleep", seconds=2)["state"] == "completed"


MADE_LATE = PYTHON + """
open("file", "w").write("made")
open("../../up", "w").close()
time.sleep(1.5)
""" + say({"output": {"a": 1}, "files": [["file", "out/file"]]})


@pytest.mark.parametrize("then", ["renewed", "stale", "cancel", "drain"])
def test_what_was_made_while_the_store_is_away_waits_for_its_lease(house, then):
    h = house(MADE_LATE, lease_ms=900, worker_drain_ms=100)
    token = h.hand("system.sleep", seconds=0)
    h.until(lambda: os.path.exists(f"{h.root}/t1/up"))
    h.away = True
    h.until(lambda: not h.engine_pids())
    h.idle(0.5)
    assert h.results == [] and not os.path.exists(f"{h.root}/t1/out")
    if then == "drain":
        h.worker.send_signal(signal.SIGTERM)
        h.until(lambda: h.returned)
    else:
        getattr(h, then, []).append(token)
        h.away = False
        h.until(lambda: h.attempt_folders() == [])
    h.idle(0.5)
    states = {"renewed": ["completed"], "cancel": ["cancelled"], "stale": [], "drain": []}
    assert [r["state"] for r in h.results] == states[then]
    assert os.path.exists(f"{h.root}/t1/out/file") == (then == "renewed")


# ---- leaving


def stop(h, seconds=10):
    h.worker.send_signal(signal.SIGTERM)
    h.until(lambda: h.worker.poll() is not None, seconds)
    return h.worker.returncode


def test_an_idle_worker_leaves_at_once(house):
    h = house()
    h.until(lambda: h.parked)
    begin = time.monotonic()
    assert stop(h) == 0
    assert time.monotonic() - begin < 3
    h.idle(0.2)
    assert BYE in [verb for verb, _ in h.said]


def test_drain_lets_running_work_finish(house):
    h = house()
    h.hand("system.sleep", seconds=1.5)
    h.running()
    h.waiting.clear()
    claims = sum(verb == CLAIM for verb, _ in h.said)
    assert stop(h) == 0
    assert [r["state"] for r in h.results] == ["completed"]
    assert sum(verb == CLAIM for verb, _ in h.said) <= claims + 1


def test_drain_gives_back_what_takes_too_long(house):
    h = house(worker_drain_ms=300)
    h.hand("system.sleep", seconds=60)
    pids = h.running()
    assert stop(h) == 0
    assert [r["id"] for r in h.returned] == ["t1"] and h.results == []
    assert not any(map(alive, pids))
    assert h.attempt_folders() == []


def test_a_worker_that_cannot_start_says_why(house):
    h = house(start=False, worker_services="system,nonsense")
    with pytest.raises(AssertionError):
        h.start()
    assert h.worker.wait(5) == 2
    said = open(f"{h.folder}/worker.log").read()
    assert "what=nonsense" in said and 'known="audio_separator, ffmpeg, storage, system, video"' in said
