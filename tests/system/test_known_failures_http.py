"""What went wrong in the systems that users of the HTTP API come from: each cause brought about, and nothing of it happens.

Failures of object storage, archives and GPU locks are not here: there is no HTTP call that reaches them."""
import concurrent.futures
import datetime
import os
import subprocess
import time
import urllib.parse
import uuid

import pytest

from harness import STALE, processes_in, until
from http_house import SLOTS, House, node

A, B, C = "py.a", "py.b", "py.c"
MISS, WAIT, HIT = "任务已创建并开始执行", "任务已存在执行中，等待完成后回调", "任务已命中缓存并完成回调"
RUN_KEYS = {"task_id", "status", "result", "timestamp"}


@pytest.fixture(scope="module")
def town():
    with House("known", media="ffmpeg") as house:
        house.py = house.hand(*(node(name) for name in (A, B, C, "py.d", "py.e")))
        house.knows(A, "system.echo", "ffmpeg.extract_audio")
        yield house


def fresh():
    return f"k{uuid.uuid4().hex[:12]}"


def url(town, name):
    return town.receiver.url(f"/{name}")


def submitted(town, *args, **input_):
    answer = town.http.submit(*args, **input_)
    assert answer.status == 200, answer
    return answer.body


def done(town, id_, task=A, **output):
    """A stage that has completed."""
    assert submitted(town, task, id_, value=1)["reuse_info"]["reuse_hit"] is False
    town.py.complete(id_, task, **(output or {"value": 1}))
    return town.http.ended(id_)


def is_wait(answer, task):
    return (answer["status"], answer["message"]) == ("pending", WAIT) and answer["reuse_info"] == {
        "reuse_hit": True, "task_name": task, "source": "redis", "state": "pending"}


def film(town, name, sound=True):
    """A second of video, as a worker may read it."""
    path = f"{town.folder}/in/{name}.mp4"
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1") if sound else ()
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1", *tone,
                    "-c:v", "libx264", "-preset", "ultrafast", path], check=True)
    return path


def instant(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


# ---- running twice --------------------------------------------------------------------------------

def test_running_stage_dispatched_again(town):
    id_ = fresh()
    assert submitted(town, A, id_, value=1) == {"task_id": id_, "status": "pending", "message": MISS,
                                                "reuse_info": {"reuse_hit": False, "task_name": A}}
    town.py.wait(id_)
    before = town.http.context(id_)
    for _ in range(3):
        assert is_wait(submitted(town, A, id_, value=2), A)
    assert town.http.context(id_)["stages"] == before["stages"], "a wait writes no stage"
    town.py.complete(id_, value=1)
    town.http.ended(id_)
    assert town.py.runs(id_) == [A]


def test_visibility_timeout_runs_long_jobs_twice(town):
    """The stage runs three times as long as a lease."""
    id_ = fresh()
    submitted(town, A, id_, value=1)
    town.py.wait(id_)
    time.sleep(3 * town.settings["lease_ms"] / 1000)
    town.py.complete(id_, value=1)
    town.http.ended(id_)
    assert town.py.runs(id_) == [A]


def test_pop_without_ack(town):
    """The worker is gone with what it took."""
    id_, lost = fresh(), town.hand(node("lost.work"))
    submitted(town, "lost.work", id_, value=1)
    lost.wait(id_)
    lost.freeze()
    other = town.hand(node("lost.work"))
    other.complete(id_, value=2)
    assert town.http.ended(id_)["stages"]["lost.work"]["output"] == {"value": 2}
    lost.thaw()


def test_wrong_format_or_lifo_queue(town):
    ids, hand = [fresh() for _ in range(20)], town.hand(node("late.work"), slots=1)
    for n, id_ in enumerate(ids):
        submitted(town, "late.work", id_, value=n)
    for n, id_ in enumerate(ids):
        task = hand.wait(id_)
        assert task["input"] == {"value": n}
        hand.end(task, output=task["input"])
    assert [task["id"] for task in hand.handed] == ids


# ---- stages that lose each other ------------------------------------------------------------------

def test_a_nodes_failure_erases_other_stages(town):
    id_ = fresh()
    done(town, id_, A, value="kept")
    submitted(town, B, id_, value=1)
    town.py.fail(id_, B, "b broke")
    until(lambda: town.http.status(id_)["status"] == "failed")
    stages = town.http.context(id_)["stages"]
    assert (stages[A]["status"], stages[A]["output"], stages[A]["error"]) == ("SUCCESS", {"value": "kept"}, None)
    assert (stages[B]["status"], stages[B]["error"]) == ("FAILED", "b broke")
    hit = submitted(town, A, id_, value=1)
    assert hit["reuse_info"]["reuse_hit"] and set(hit["result"]["stages"]) == {A, B}


def test_two_nodes_in_flight_overwrite_each_other(town):
    id_, names = fresh(), (A, B, C, "py.d", "py.e")
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda name: submitted(town, name, id_, value=name), names))
        tasks = [town.py.wait(id_, name) for name in names]
        assert all(stage["status"] == "RUNNING" for stage in town.http.context(id_)["stages"].values())
        list(pool.map(lambda task: town.py.end(task, output=task["input"]), tasks))
    stages = town.http.ended(id_)["stages"]
    assert {name: (stage["status"], stage["output"]["value"]) for name, stage in stages.items()} == {
        name: ("SUCCESS", name) for name in names}


def test_late_running_erases_success(town):
    """A worker that was away speaks of the attempt that another has completed meanwhile."""
    id_, late = fresh(), town.hand(node("two.work"))
    submitted(town, "two.work", id_, value=1)
    task = late.wait(id_)
    late.freeze()
    other = town.hand(node("two.work"))
    other.complete(id_, value="good")
    ended = town.http.ended(id_)
    late.thaw()
    assert late.end(task, "failed", error={"code": "FAILED", "message": "late"}) == STALE
    assert town.http.context(id_) == ended and ended["stages"]["two.work"]["output"] == {"value": "good"}


def test_nodes_that_never_write_their_state(town):
    ends = {A: ("completed", {"output": {"value": 1}}, "SUCCESS"), B: ("skipped", {"output": {"value": 0}}, "SKIPPED"),
            C: ("failed", {"error": {"code": "FAILED", "message": "no"}}, "FAILED")}
    id_ = fresh()
    for task, (state, more, told) in ends.items():
        submitted(town, task, id_, value=1)
        handed = town.py.wait(id_, task)
        assert town.http.context(id_)["stages"][task]["status"] == "RUNNING"
        assert town.py.end(handed, state, **more) == 0
        assert town.http.context(id_)["stages"][task]["status"] == told


def test_top_level_status_never_final(town):
    for state, more, told in (("completed", {"output": {"value": 1}}, "completed"), ("skipped", {}, "completed"),
                              ("failed", {"error": {"code": "FAILED", "message": "no"}}, "failed")):
        id_ = fresh()
        submitted(town, A, id_, value=1)
        assert town.http.status(id_)["status"] in ("pending", "running")
        handed = town.py.wait(id_)
        assert town.http.status(id_)["status"] == "running"
        town.py.end(handed, state, **more)
        assert town.http.status(id_)["status"] == told


# ---- reuse and callbacks --------------------------------------------------------------------------

def test_a_waiting_callers_callback_dropped(town):
    id_ = fresh()
    names = [f"{id_}-{n}" for n in range(4)]
    submitted(town, A, id_, url(town, names[0]), value=1)
    town.py.wait(id_)
    for name in names[1:]:
        assert is_wait(submitted(town, A, id_, url(town, name), value=1), A)
    town.py.complete(id_, value=1)
    for name in names:
        town.calls("/" + name)
    town.delivered()
    for name in names:
        (call,) = town.receiver.of("/" + name)
        assert (call.method, call.body["task_id"], call.body["status"]) == ("POST", id_, "completed")
        assert call.body["result"]["stages"][A]["status"] == "SUCCESS"


def test_reuse_info_leaking_into_the_next_nodes_callback(town):
    id_ = fresh()
    done(town, id_, A)
    assert submitted(town, A, id_, url(town, f"{id_}-hit"), value=1)["reuse_info"]["reuse_hit"]
    assert town.calls(f"/{id_}-hit")[0].body["result"]["reuse_info"]["reuse_hit"]
    assert submitted(town, B, id_, url(town, f"{id_}-run"), value=1)["reuse_info"] == {"reuse_hit": False, "task_name": B}
    town.py.complete(id_, B, value=2)
    call = town.calls(f"/{id_}-run")[0]
    assert set(call.body) - {"minio_files"} == RUN_KEYS and "reuse_info" not in call.body["result"]
    assert "reuse_info" not in town.http.context(id_) and "reuse_info" not in town.http.status(id_)


def test_repeated_callbacks(town):
    """The address is named again and again, and processes die between the end and the delivery."""
    id_ = fresh()
    path = f"/{id_}"
    town.receiver.plan(path, 503, 200)
    for _ in range(4):
        submitted(town, A, id_, url(town, id_), value=1)
    town.py.complete(id_, value=1)
    town.states[0].restart()
    town.brokers[0].restart()
    assert len({call.headers["Gantry-Delivery"] for call in town.calls(path, 2)}) == 1
    until(lambda: town.ready() == 200)
    town.delivered()
    time.sleep(0.3)
    assert len(town.receiver.of(path)) == 2, "one that was refused, and one"


def test_callback_blocking_a_worker(town):
    """More receivers hang than there are slots for deliveries: work goes on, and later the deliveries do."""
    town.receiver.plan("/hang", "hang")
    ids = [fresh() for _ in range(SLOTS + 4)]
    for id_ in ids:
        submitted(town, A, id_, town.receiver.url("/hang"), value=1)
        town.py.complete(id_, value=1)
    town.calls("/hang", count=SLOTS)
    video, began = film(town, "short"), time.monotonic()
    for task, input_ in ((A, {"value": 1}), ("ffmpeg.extract_audio", {"video_path": video})):
        id_ = fresh()
        submitted(town, task, id_, town.receiver.url("/later"), **input_)
        if task == A:
            town.py.complete(id_, value=1)
        assert town.http.ended(id_)["stages"][task]["status"] == "SUCCESS"
    assert time.monotonic() - began < 10, "far below a delivery's limit of 30 s"
    town.receiver.plan("/hang", 200)
    town.receiver.release()
    town.delivered()
    assert len(town.receiver.of("/later")) == 2
    assert {call.body["task_id"] for call in town.receiver.of("/hang")} == set(ids)


def test_cached_at_is_the_time_of_asking(town):
    id_ = fresh()
    done(town, id_, A)
    ended = town.client().stage(id_, A)["ended_ms"]
    time.sleep(0.2)
    first, second = (submitted(town, A, id_, value=1)["reuse_info"] for _ in range(2))
    assert first == second and instant(first["cached_at"]) == ended


def test_ttl_lost_or_never_set(town):
    """Nothing of a record is on a clock of its own in Redis, and none of miss, wait and hit makes it younger."""
    id_ = fresh()
    done(town, id_, A)
    before = town.http.context(id_)
    submitted(town, A, id_, value=1)
    submitted(town, B, id_, value=1)
    submitted(town, B, id_, value=1)
    town.py.complete(id_, B, value=1)
    after = town.http.ended(id_)
    assert all(after[key] == before[key] for key in ("workflow_id", "create_at", "shared_storage_path"))
    assert after["stages"][A] == before["stages"][A]
    for key in (b"bodies", b"states", b"callbacks", b"ledger"):
        assert town.db.ttl(key) == -1 or not town.db.exists(key), key


# ---- what is refused ------------------------------------------------------------------------------

def accepted(town):
    return int(town.db.hget("ledger", "accepted"))


def test_unknown_node_accepted_and_pending_for_ever(town):
    before = accepted(town)
    for task in ("py.nobody", "nobody.work", "py", "py.a.b", ".a", "py.", "", "../etc", None, 7):
        id_ = fresh()
        answer = town.http.post("/v1/tasks", {"task_name": task, "task_id": id_, "input_data": {}})
        assert answer.status in (400, 404) and answer.body["detail"], (task, answer)
        assert town.http.get(f"/v1/tasks/{id_}/status").status == 404
    assert accepted(town) == before


def test_etc_passwd_style_id(town):
    before, folders = accepted(town), sorted(os.listdir(town.folder + "/share"))
    for id_ in ("../../etc", "..", ".", "/etc/passwd", "a/../b", "a/b", ".hidden", "-x", "a..b", "a b", "a\0b", "a\n", "é", "x" * 129, "%2e%2e"):
        answer = town.http.submit(A, id_, value=1)
        assert answer.status == 400 and answer.body["detail"], (id_, answer)
        for path in (f"/v1/tasks/{urllib.parse.quote(id_, safe='')}/status", f"/v1/tasks/{urllib.parse.quote(id_, safe='')}/result"):
            assert town.http.get(path).status in (400, 404), path
        assert town.http.post(f"/v1/tasks/{urllib.parse.quote(id_, safe='')}/delete", {"force": True}).status in (400, 404)
    assert accepted(town) == before and sorted(os.listdir(town.folder + "/share")) == folders


def test_unknown_id_gives_500_or_200(town):
    id_ = fresh()
    for method, path, body in (("GET", "status", None), ("GET", "result", None), ("POST", "retry", None), ("GET", "events", None),
                               ("POST", "delete", {"force": False}), ("POST", "delete", {"force": True}), ("DELETE", "", None)):
        answer = town.http.call(method, f"/v1/tasks/{id_}/{path}".rstrip("/"), body)
        assert (answer.status, answer.body) == (404, {"detail": f"任务不存在: {id_}"}), (method, path, answer)


def test_share_itself_deletable(town):
    keep = os.path.join(town.folder, "share", "keep")
    open(keep, "w").close()
    for id_ in ("", ".", "..", "%2e", "%2e%2e", "%2F", "..%2Fshare", "*", "keep%2F.."):
        for method, path in (("POST", f"/v1/tasks/{id_}/delete"), ("DELETE", f"/v1/tasks/{id_}")):
            answer = town.http.call(method, path, {"force": True} if method == "POST" else None)
            assert answer.status in (400, 404, 405), (path, answer)
    assert os.path.exists(keep) and os.path.isdir(town.folder + "/share")


# ---- saying one thing and doing another -----------------------------------------------------------

def test_second_id_minted_on_the_way(town):
    for given in (None, fresh()):
        said = submitted(town, "system.sleep", given, url(town, f"mint-{given}"), seconds=0.01)
        id_ = said["task_id"]
        assert given in (None, id_)
        context = town.http.ended(id_)
        assert context["workflow_id"] == id_ and os.path.basename(context["shared_storage_path"].rstrip("/")) == id_
        (call,) = town.calls(f"/mint-{given}")
        assert call.body["task_id"] == call.body["result"]["workflow_id"] == id_
    key = {"Idempotency-Key": fresh()}
    ids = {submitted_with(town, key)["task_id"] for _ in range(3)}
    assert len(ids) == 1, "a request that is repeated under its key is the same task"


def submitted_with(town, headers):
    answer = town.http.submit("system.echo", headers=headers, value=1)
    assert answer.status == 200, answer
    return answer.body


def test_queued_before_saved(town):
    """A worker that gets the task asks for its record at once, over HTTP."""
    seen = []

    def at_once(task):
        seen.append((town.http.get(f"/v1/tasks/{task['id']}/status"), town.http.get(f"/v1/tasks/{task['id']}/result")))
        return {"output": task["input"]}

    town.hand(node("early.work"), at_once=at_once)
    for _ in range(10):
        town.http.ended(submitted(town, "early.work", fresh(), value=1)["task_id"])
    assert len(seen) == 10
    for status, result in seen:
        assert (status.status, status.body["status"], result.status) == (200, "running", 200)
        assert result.body["stages"]["early.work"]["status"] == "RUNNING"


def test_record_and_queue_not_atomic(town):
    """The state service dies in the middle of it: a task that is known ends, one that was accepted is known."""
    ids = [fresh() for _ in range(60)]

    def one(id_):
        try:
            return town.http.submit("system.echo", id_, value=id_, headers={"Connection": "close"}).status
        except OSError:
            return None

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(one, id_) for id_ in ids]
        until(lambda: sum(answer.done() for answer in answers) > 10)
        town.states[0].restart()
        answers = {id_: answer.result() for id_, answer in zip(ids, answers)}
    assert set(answers.values()) <= {200, 503}, answers
    until(lambda: town.ready() == 200)
    for id_, answer in answers.items():
        known = town.http.get(f"/v1/tasks/{id_}/status").status
        assert known in (200, 404) and (answer != 200 or known == 200), (id_, answer, known)
        if known == 200:
            assert town.http.ended(id_)["stages"]["system.echo"]["output"] == {"value": id_}
    town.balance()


def engines(town, id_):
    """Living engines of a task."""
    found = []
    for pid, line in processes_in(town.folder).items():
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if f"GANTRY_TASK_ID={id_}".encode() in environ.read().split(b"\0") and "gantry-exec" not in line:
                    found.append(pid)
        except OSError:
            continue
    return found


def test_cancel_that_only_relabels(town):
    id_ = fresh()
    submitted(town, "system.sleep", id_, url(town, id_), seconds=600)
    until(lambda: engines(town, id_))
    answer = town.http.call("DELETE", f"/v1/tasks/{id_}")
    assert answer.status == 200, answer
    until(lambda: not engines(town, id_), 10)
    until(lambda: town.http.status(id_)["status"] == "cancelled", 10)
    assert town.calls(f"/{id_}")[0].body["status"] == "failed"
    again = town.http.call("DELETE", f"/v1/tasks/{id_}")
    assert (again.status, again.body) == (400, {"detail": "任务状态不允许取消: cancelled"})


def test_completed_without_a_file(town):
    """A video without sound has no audio_path; one that has it has the file."""
    for sound, told in ((False, "FAILED"), (True, "SUCCESS")):
        id_ = fresh()
        submitted(town, "ffmpeg.extract_audio", id_, video_path=film(town, f"sound-{sound}", sound))
        stage = town.http.ended(id_)["stages"]["ffmpeg.extract_audio"]
        assert stage["status"] == told, stage
        path = (stage["output"] or {}).get("audio_path")
        assert (path is not None and os.path.getsize(path) > 1000) == (told == "SUCCESS"), stage


# ---- what needs a system of its own, or breaks one: last -------------------------------------------

def test_timeouts_that_never_fire():
    """A node that nobody runs any more, with processes far from UTC: its time to start is over when it is over."""
    with House("clocks", front_start_ms=1000, env={"TZ": "Asia/Shanghai"}) as house:
        gone = house.hand(node("gone.work"))
        gone.stop()
        began, id_ = time.monotonic(), fresh()
        assert submitted(house, "gone.work", id_, url(house, id_), value=1)["status"] == "pending"
        stage = house.http.ended(id_, seconds=20)["stages"]["gone.work"]
        assert stage["status"] == "FAILED" and "schedule to start" in stage["error"], stage
        assert 0.9 < time.monotonic() - began < 15
        call = house.calls(f"/{id_}")[0]
        assert call.body["status"] == "failed" and abs(instant(call.body["timestamp"]) / 1000 - time.time()) < 60


def test_redis_down_looks_like_miss(town):
    id_ = fresh()
    done(town, id_, A)
    runs = len(town.py.runs(id_))
    town.redis.kill()
    for method, path, body in (("POST", "/v1/tasks", {"task_name": A, "task_id": id_, "input_data": {"value": 1}}),
                               ("GET", f"/v1/tasks/{id_}/status", None), ("GET", f"/v1/tasks/{id_}/result", None),
                               ("DELETE", f"/v1/tasks/{id_}", None), ("GET", f"/v1/tasks/{fresh()}/status", None)):
        answer = town.http.call(method, path, body)
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0 and answer.body["detail"], (method, path, answer)
    town.redis.start()
    until(lambda: town.ready() == 200, 30)
    hit = until(lambda: (lambda answer: answer.status == 200 and answer.body)(town.http.submit(A, id_, value=1)), 30)
    assert hit["reuse_info"]["reuse_hit"] and hit["message"] == HIT and len(town.py.runs(id_)) == runs
