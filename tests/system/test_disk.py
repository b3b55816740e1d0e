"""The disk watch, DISK, the quota of bytes, `gantry disk` and /metrics: what needs space is refused with figures, all else goes on."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import BIN, BUSY, INVALID, OK, UNAVAILABLE, System, until
from http_peer import Http

GB = 1 << 30
ECHO, AUDIO, SLEEP = "system.echo", "ffmpeg.extract_audio", "system.sleep"
STEP = 6 * GB  # what others write meanwhile is less


def free():
    space = os.statvfs(".")
    return space.f_bavail * space.f_frsize


def need_room():
    if free() < 4 * STEP:
        pytest.skip("the disk of the tests is nearly full itself")


class Filler:
    """A large file without contents."""

    def __init__(self, path="filler"):
        self.path = path

    def __enter__(self):
        with open(self.path, "wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, 2 * STEP)
            except OSError as error:
                os.unlink(self.path)
                pytest.skip(f"the file system makes no large files: {error}")
        return self

    def __exit__(self, *_):
        if os.path.exists(self.path):
            os.unlink(self.path)


def submit(client, id_, node, service, **more):
    input_ = more.pop("input", {})
    answer = client.ask("SUBMIT", [{**client.task(id_, node, **input_), **more}], service=service)
    assert answer.status == OK, answer
    return answer.body[0]


def disk(client, **asked):
    def known():
        answer = client.ask("DISK", asked or None)
        assert answer.status in (OK, UNAVAILABLE), answer
        return answer.status == OK and answer.body
    return until(known)


def lines(process, event):
    with open(process.log) as log:
        return [line for line in log if f" {event} " in line]


def test_the_marks_and_what_is_between_them(tmp_path):
    need_room()
    marks = {"storage_low_bytes": free() - STEP, "storage_high_bytes": free() - STEP // 2}
    with System("marks", workers=1, worker_services="system,ffmpeg", storage_auto_upload="false", **marks) as system:
        client = system.client()
        client.ready(AUDIO, ECHO)
        use = disk(client)
        assert not use.get("refusing") and use["low_bytes"] == marks["storage_low_bytes"] and abs(use["free_bytes"] - free()) < STEP
        client.submit(client.task("runs", SLEEP, seconds=600))
        until(lambda: client.stage("runs", SLEEP)["state"] == "running")
        with Filler():
            until(lambda: disk(client).get("refusing"))
            receipt = submit(client, "t1", AUDIO, "ffmpeg", input={"video_path": "x.mp4"})
            assert (receipt["status"], receipt["scope"], receipt["limit"]) == (BUSY, "disk", marks["storage_low_bytes"])
            assert receipt["current"] < receipt["limit"] and receipt["retry_after_ms"] > 0 and "GiB free" in receipt["message"]
            assert client.run("t2", ECHO, value=1)["output"] == {"value": 1}  # it writes nothing
            assert client.ask("CANCEL", {"id": "runs"}).status == OK
            until(lambda: client.stage("runs", SLEEP)["state"] == "cancelled")
            both = client.ask("SUBMIT", [client.task("t3", AUDIO, video_path="x.mp4"), client.task("t4", AUDIO, video_path="y.mp4")], service="ffmpeg")
            assert [r["status"] for r in both.body] == [BUSY, BUSY]
            assert disk(client)["refused"] == 3
            assert client.ask("LEDGER").body["accepted"] == 2
            # between the marks all stays as it is
            os.truncate("filler", STEP * 3 // 4)
            time.sleep(5)  # two looks
            assert disk(client)["refusing"] and submit(client, "t1", AUDIO, "ffmpeg", input={"video_path": "x.mp4"})["status"] == BUSY
        until(lambda: not disk(client).get("refusing"))
        assert submit(client, "t1", AUDIO, "ffmpeg", input={"video_path": "x.mp4"})["status"] == OK
        assert len(lines(system.states[0], "disk_low")) == len(lines(system.states[0], "disk_fine")) == 1
        assert "free_bytes=" in lines(system.states[0], "disk_low")[0]


def test_what_is_there_is_told_and_a_schedule_waits(tmp_path):
    """Hits, waits and repeats of a token need no space; a slot that comes meanwhile is not lost."""
    with System("waits", workers=1, worker_services="system,ffmpeg") as system:
        client = system.client()
        client.ready(AUDIO, ECHO)
        client.ask("STEER", {"action": "pause", "service": "ffmpeg"})
        first = client.task("t1", AUDIO, video_path="x.mp4")
        assert client.submit(first)[0]["reuse"] == "miss"
        system.settings.update(storage_low_bytes=1 << 59, storage_high_bytes=1 << 59)
        system.states[0].stop()
        system.states[0] = system.state(1)
        until(lambda: disk(client).get("refusing"))
        assert client.submit(first)[0]["status"] == OK
        assert submit(client, "t1", AUDIO, "ffmpeg", input={"video_path": "x.mp4"})["reuse"] == "wait"
        assert submit(client, "t2", AUDIO, "ffmpeg", input={"video_path": "x.mp4"})["scope"] == "disk"
        plan = {"action": "set", "name": "news", "schedule": "* * * * *", "task": AUDIO, "input": {"video_path": "/in/x.mp4"}}
        assert client.ask("CRON", plan).status == OK
        slot = int(time.time()) // 60 * 60000
        system.db.zadd("cron_due", {"news": slot})
        until(lambda: lines(system.states[0], "cron_waits"))
        assert slot <= system.db.zscore("cron_due", "news") <= slot + 60000  # a minute may have ended since
        assert client.ask("LEDGER").body["accepted"] == 1
        answer = client.ask("CREATE_TASK", {"temp_file_path": system.folder + "/in/x.mp4"})
        assert answer.status == BUSY and answer.body["scope"] == "disk", answer
        system.settings.update(storage_low_bytes=0, storage_high_bytes=0)
        system.states[0].stop()
        system.states[0] = system.state(2)
        until(lambda: client.ask("LEDGER").status == OK and client.ask("LEDGER").body["accepted"] >= 2)
        assert not disk(client).get("refusing")


def begun(program, folder, *flags, before=()):
    """A program that reaches nobody: its exit code, 0 when it had to be stopped, and what it said."""
    away = {"gantry-state": ["--state-brokers", "ipc://nobody", "--redis-addr", "nowhere"], "gantry-worker": ["--worker-brokers", "ipc://nobody"],
            "gantry-front": ["--front-http", "127.0.0.1:0", "--front-brokers", "ipc://nobody", "--objects-endpoint", "http://127.0.0.1:1",
                             "--objects-access-key", "k", "--objects-secret-key", "s"]}
    with open(folder / "said", "w") as said:
        process = subprocess.Popen([*before, os.path.join(BIN, program), *away[program], *flags], cwd=folder, stderr=said)
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    return process.wait(30), (folder / "said").read_text()


@pytest.mark.parametrize("program", ["gantry-state", "gantry-front"])
@pytest.mark.parametrize("low,high,good", [(2, 1, False), (0, 0, True), (1, 1, True)])
def test_marks_that_cannot_be(tmp_path, program, low, high, good):
    code, said = begun(program, tmp_path, "--storage-root", str(tmp_path / "share"), "--storage-low-bytes", str(low), "--storage-high-bytes", str(high))
    assert code == (0 if good else 2), said
    assert good or "storage.low_bytes, 2, is above storage.high_bytes, 1" in said


@pytest.mark.parametrize("program, makes", [("gantry-state", False), ("gantry-worker", True), ("gantry-front", True)])
def test_a_root_that_cannot_be(tmp_path, program, makes):
    (tmp_path / "file").write_text("")
    (tmp_path / "closed").mkdir(mode=0o555)
    (tmp_path / "closed" / "root").mkdir(mode=0o555)
    (tmp_path / "run").mkdir()
    plain = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.geteuid() == 0 else ()  # whom modes bind
    def at(root):
        return begun(program, tmp_path / "run", "--storage-root", str(tmp_path / root), before=plain)
    for root, code, what in [("file", 2, "name one on the shared disk"), ("closed/root", 0, "storage_trouble setting=storage.root root="),
                             ("closed/root", 0, "may not be written"), ("closed/new", 0, "cannot be made" if makes else ""), ("run/deep/new", 0, "")]:
        ended, said = at(root)
        assert ended == code and what in said and "Sanitizer" not in said, (root, ended, said)
        assert not code or "start_failed setting=storage.root" in said, said
    assert not (tmp_path / "run" / "deep").exists()  # not before it is needed


@pytest.fixture
def town(tmp_path):
    with System("use", workers=1, storage_low_bytes=0) as system:
        client = system.client()
        client.ready(ECHO)
        yield system, client


def fill(system, id_, *sizes, root="share"):
    for i, size in enumerate(sizes):
        path = os.path.join(system.folder, root, id_, "file%d" % i)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x" * size)


def put(client, id_, owner=None):
    more = {"owner": owner} if owner else {}
    assert submit(client, id_, ECHO, "system", input={"value": 1}, **more)["status"] == OK
    client.wait((id_, ECHO))


def test_use_by_task_and_user(town):
    system, client = town
    for id_, owner, size in (("t1", "ann", 3 << 20), ("t2", "bob", 1 << 20), ("t3", "ann", 2 << 20), ("t4", None, 5 << 20)):
        put(client, id_, owner)
        fill(system, id_, size)
    fill(system, "t4", 1 << 20, root="local/videos")
    fill(system, ".trash/t9.0123abcd", 1 << 20)
    fill(system, "not a task", 9 << 20)
    use = disk(client, measure=True)
    assert [t["id"] for t in use["tasks"]] == ["t4", "t1", "t3", "t2"]
    assert [(u["owner"], u["tasks"]) for u in use["users"]] == [("ann", 2), ("bob", 1)]
    assert 5 << 20 <= use["users"][0]["bytes"] < 6 << 20 and 6 << 20 <= use["tasks"][0]["bytes"] < 7 << 20
    assert use["folders"] == 4 and use["bytes"] == sum(t["bytes"] for t in use["tasks"]) and 1 << 20 <= use["trash_bytes"] < 2 << 20
    assert abs(use["measured_ms"] - time.time() * 1000) < 60000 and not use.get("partial")
    fill(system, "t1", *[1 << 20] * 9)
    use = disk(client, limit=1)
    assert [t["id"] for t in use["tasks"]] == ["t4"] and len(use["users"]) == 1  # as it was looked at
    assert [t["id"] for t in disk(client, limit=1, measure=True)["tasks"]] == ["t1"]
    assert client.ask("DISK", {"limit": 1001}).status == INVALID
    requests = [client.begin("DISK", {"measure": True}) for _ in range(20)]
    assert all(client.end(request).status == OK for request in requests)


def test_many_folders_and_redis_away(town):
    system, client = town
    for i in range(600):
        fill(system, "g%d" % i, 10)
    use = disk(client, measure=True)
    assert use["folders"] == 600 and len(use["tasks"]) == 20
    system.redis.stop()
    use = disk(client, measure=True)  # whose they are is not known; what was measured before is told
    assert use["folders"] == 600
    system.redis.start()
    until(lambda: client.ask("LEDGER").status == OK, 30)


def test_quota_of_bytes(tmp_path):
    with System("quota", workers=1, quota_user=0, quota_all=0, quota_user_bytes=3 << 20) as system:
        client = system.client()
        client.ready(ECHO)
        put(client, "t1", "ann")
        put(client, "t2", "bob")
        fill(system, "t1", 4 << 20)
        fill(system, "t2", 1 << 20)
        disk(client, measure=True)
        receipt = submit(client, "t3", ECHO, "system", input={"value": 1}, owner="ann")
        assert (receipt["status"], receipt["scope"], receipt["limit"]) == (BUSY, "user disk", 3 << 20)
        assert 4 << 20 <= receipt["current"] < 5 << 20 and "ann" in receipt["message"] and receipt["retry_after_ms"] > 0
        put(client, "t3", "bob")
        put(client, "t4")
        assert submit(client, "t1", ECHO, "system", input={"value": 1}, owner="ann")["reuse"] == "hit"
        assert client.ask("FORGET", {"id": "t1"}).status == OK
        disk(client, measure=True)
        put(client, "t3x", "ann")


def test_quota_is_measured_by_itself(tmp_path):
    with System("quota2", workers=1, quota_user=0, quota_all=0, quota_user_bytes=1 << 20) as system:
        client = system.client()
        client.ready(ECHO)
        put(client, "t1", "ann")
        fill(system, "t1", 4 << 20)
        system.states[0].stop()
        system.states[0] = system.state(1)
        until(lambda: client.ask("DISK").status == OK and client.ask("DISK").body.get("folders"), 30)
        assert submit(client, "t3", ECHO, "system", input={"value": 1}, owner="ann")["scope"] == "user disk"


def test_the_cli(town):
    system, client = town
    put(client, "t1", "ann")
    fill(system, "t1", 3 << 20)
    def gantry(*args):
        return subprocess.run([os.path.join(BIN, "gantry"), "disk", "--broker", system.endpoints("clients"), *args], capture_output=True, text=True,
                              cwd=system.folder)
    shown = gantry()
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^t1 +ann +3\.0 MiB +\d+$", shown.stdout, re.M) and re.search(r"^ann +3\.0 MiB +1$", shown.stdout, re.M), shown.stdout
    assert re.search(r"what needs space +is taken", shown.stdout) and "\x1b" not in shown.stdout
    fill(system, "t1", *[1 << 20] * 8)
    assert json.loads(gantry("--json", "--limit", "1").stdout)["tasks"][0]["bytes"] < 4 << 20
    use = json.loads(gantry("--json", "--limit", "1", "--measure").stdout)
    assert use["tasks"][0]["bytes"] >= 8 << 20 and use["root"].endswith("share")
    assert gantry("--limit", "1001").returncode == 2
    assert "--measure" in gantry("--help").stdout and "examples" in gantry("--help").stdout


LINE = re.compile(r'([a-z_:][a-z0-9_:]*)(\{[a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*\})? (-?\d+(?:\.\d+)?)')


def read_metrics(text):
    """The rules of the text format 0.0.4: HELP and TYPE once each before the samples of a family, which stand together."""
    assert text.endswith("\n") and "\r" not in text
    kinds, samples, family = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in kinds and len(line.split(" ")) > 3
            family = name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and kind in ("counter", "gauge") and name not in kinds
            assert (kind == "counter") == name.endswith("_total")
            kinds[name] = kind
        else:
            found = LINE.fullmatch(line)
            assert found and found[1] == family and kinds[family], line
            assert (found[1], found[2]) not in samples
            samples[found[1] + (found[2] or "")] = float(found[3])
    return samples


def test_metrics_and_http(tmp_path):
    with System("metrics", workers=1, worker_services="system,ffmpeg", quota_user=0, quota_all=0) as system:
        client = system.client()
        client.ready(AUDIO, ECHO)
        put(client, "t1", "ann")
        fill(system, "t1", 3 << 20)
        disk(client, measure=True)
        front = system.process("front", "gantry-front", front_http="127.0.0.1:0", front_brokers=system.endpoints("clients"))
        system.workers.append(front)
        port = int(until(lambda: re.search(r"127\.0\.0\.1:(\d+)", front.said())).group(1))
        http = Http(port)
        until(lambda: http.get("/readyz").status == 200)
        answer = http.get("/metrics")
        assert answer.status == 200 and answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        samples = read_metrics(answer.raw.decode() if isinstance(answer.raw, bytes) else answer.raw)
        assert samples["gantry_stages_accepted_total"] == 1 and samples['gantry_stages_ended_total{state="completed"}'] == 1
        assert samples["gantry_disk_folders"] == 1 and samples["gantry_disk_bytes"] >= 3 << 20 and samples["gantry_disk_refusing"] == 0
        assert samples["gantry_disk_free_bytes"] > 0 and samples["gantry_ledger_balanced"] == 1
        system.settings.update(storage_low_bytes=1 << 59, storage_high_bytes=1 << 59)
        system.states[0].stop()
        system.states[0] = system.state(1)
        until(lambda: disk(client).get("refusing"))
        refused = http.post("/v1/tasks", {"task_name": AUDIO, "task_id": "t2", "input_data": {"video_path": "x.mp4"}})
        assert refused.status == 503 and int(refused.headers["Retry-After"]) > 0 and "free" in refused.body["detail"]
        until(lambda: read_metrics(http.get("/metrics").raw.decode())["gantry_disk_refused_total"] >= 1)
        system.redis.stop()
        until(lambda: http.get("/metrics").status == 503)
        system.redis.start()
        until(lambda: http.get("/metrics").status == 200, 30)
