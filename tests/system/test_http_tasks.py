"""Every call of /v1/tasks but its events (test_http_events.py): answers, messages and refusals, on a real system."""
import concurrent.futures
import http.client
import json
import os
import socket
import time
import uuid

import pytest

from harness import until
from http_house import LISTENS, House, Http, node

A, B, KEYLESS, PICKY = "py.a", "py.b", "py.keyless", "py.picky"
MISS, WAIT, HIT = "任务已创建并开始执行", "任务已存在执行中，等待完成后回调", "任务已命中缓存并完成回调"
WRONG = "参数验证失败: "
RULE = "must be [A-Za-z0-9][A-Za-z0-9._-]{0,127}, with no two dots together, and not 'pending'"


@pytest.fixture(scope="module")
def town():
    picky = {**node(PICKY), "inputs": [{"name": "path", "type": "path", "required": True}, {"name": "count", "type": "whole"}]}
    with House("tasks") as house:
        house.py = house.hand(node(A), node(B), node(KEYLESS, key=()), picky)
        house.knows(A, "system.echo")
        yield house


def fresh():
    return f"t{uuid.uuid4().hex[:12]}"


def ok(answer):
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/json" and answer.headers["X-Request-Id"] and answer.headers["traceparent"]
    return answer.body


def refused(answer, status, detail):
    assert (answer.status, answer.body) == (status, {"detail": detail}), answer


def starts(answer, status, detail):
    assert answer.status == status and list(answer.body) == ["detail"] and answer.body["detail"].startswith(detail), answer


def completed(town, task=A, id_=None, **more):
    """A task of one stage that has completed."""
    id_ = id_ or fresh()
    ok(town.http.submit(task, id_, **more))
    town.py.complete(id_, task, value=f"of {task}")
    town.http.ended(id_)
    return id_


def failed(town, task=A, id_=None, **more):
    id_ = id_ or fresh()
    ok(town.http.submit(task, id_, **more))
    town.py.fail(id_, task)
    town.http.ended(id_)
    return id_


def cut(text):
    """Without what a clock says."""
    return {key: value for key, value in text.items() if key not in ("duration", "create_at")}


# ---- POST /v1/tasks -------------------------------------------------------------------------------


def test_a_submit_is_a_miss_a_wait_and_a_hit(town):
    id_ = fresh()
    miss = ok(town.http.submit(A, id_, value=1))
    assert miss == {"task_id": id_, "status": "pending", "message": MISS, "reuse_info": {"reuse_hit": False, "task_name": A}}

    wait = ok(town.http.submit(A, id_, value=2))
    pending = {"reuse_hit": True, "task_name": A, "source": "redis", "state": "pending"}
    assert wait == {"task_id": id_, "status": "pending", "message": WAIT, "reuse_info": pending}

    town.py.complete(id_, A, value="made")
    context = town.http.ended(id_)
    hit = ok(town.http.submit(A, id_, town.receiver.url("/newest"), value=3))
    info = hit["reuse_info"]
    assert hit["status"] == "completed" and hit["message"] == HIT and set(hit) == {"task_id", "status", "message", "reuse_info", "result"}
    assert info == {"reuse_hit": True, "task_name": A, "source": "redis", "cached_at": info["cached_at"]}
    assert info["cached_at"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) and info["cached_at"].endswith("Z")
    assert hit["result"]["stages"] == context["stages"] and hit["result"]["workflow_id"] == id_
    assert hit["result"]["stages"][A]["output"] == {"value": "made"} and hit["result"]["stages"][A]["input_params"] == {"value": 1}
    assert hit["result"]["input_params"]["callback_url"] == town.receiver.url("/newest")
    assert town.py.runs(id_) == [A]


def test_cached_at_is_when_it_ended_and_not_when_it_was_asked_for(town):
    id_ = completed(town)
    first = ok(town.http.submit(A, id_))["reuse_info"]["cached_at"]
    time.sleep(0.05)
    assert ok(town.http.submit(A, id_))["reuse_info"]["cached_at"] == first == town.http.status(id_)["updated_at"]


def test_force_and_reuse_say_what_may_be_reused(town):
    id_ = fresh()
    ok(town.http.submit(A, id_, value=1))
    town.py.complete(id_, A, value="x")
    town.http.ended(id_)
    assert ok(town.http.submit(A, id_, reuse="input", value=1))["message"] == HIT
    assert ok(town.http.submit(A, id_, reuse="name", value=2))["message"] == HIT
    for more in ({"reuse": "input", "input_data": {"value": 2}}, {"reuse": "never"}, {"force": True}, {"force": True, "reuse": "name"}):
        runs = len(town.py.runs(id_))
        assert ok(town.http.post("/v1/tasks", {"task_name": A, "task_id": id_, "input_data": {}, **more}))["message"] == MISS, more
        until(lambda: len(town.py.runs(id_)) == runs + 1)
        town.py.complete(id_, A, value="y")
        town.http.ended(id_)
    assert ok(town.http.post("/v1/tasks", {"task_name": A, "task_id": id_, "force": False, "reuse": None}))["message"] == HIT


def test_an_id_is_minted_and_extra_keys_and_nulls_are_ignored(town):
    body = {"task_name": "system.echo", "task_id": None, "callback": None, "input_data": None, "reuse": None, "force": None,
            "priority": None, "timeout_ms": None, "owner": "nobody", "something": {"old": [1]}}
    id_ = ok(town.http.post("/v1/tasks", body))["task_id"]
    assert str(uuid.UUID(id_)) == id_ and uuid.UUID(id_).version == 4
    assert town.http.ended(id_)["stages"]["system.echo"]["output"] == {"value": None}
    assert ok(town.http.post("/v1/tasks", {"task_name": "system.echo"}))["message"] == MISS


def test_input_data_arrives_as_it_was_sent(town):
    value = {"文": ["字", 1, -1, 1.5, 2**53, -2**63, 2**63 - 1, True, False, None, {}, [], "\u0001\"\\/"], "": {"a.b": {"c": [[["d"]]]}}}
    id_ = ok(town.http.submit("system.echo", value=value))["task_id"]
    context = town.http.ended(id_)
    assert context["stages"]["system.echo"]["output"] == {"value": value}
    assert context["stages"]["system.echo"]["input_params"] == context["input_params"]["input_data"] == {"value": value}


@pytest.mark.parametrize("body, detail", [
    ({}, "task_name不能为空"), ({"task_name": ""}, "task_name不能为空"), ({"task_name": None}, "task_name不能为空"),
    ({"task_name": 7}, WRONG + "task_name: must be a string"),
    ({"task_name": "echo"}, WRONG + "task_name: echo must be service.method of [a-z0-9_], at most 64 bytes, 32 of them service"),
    ({"task_name": "a.b.c"}, WRONG + "task_name: a.b.c must be"), ({"task_name": "Py.a"}, WRONG + "task_name: Py.a must be"),
    ({"task_name": "." + "a" * 200}, WRONG + "task_name: .aaa"), ({"task_name": "文.字"}, WRONG + "task_name: 文.字 must be"),
    ({"task_name": "文" * 60}, WRONG + "task_name: " + "文" * 33 + "?"),  # cut within a character
    ({"task_name": A, "task_id": ""}, WRONG + "task_id: " + RULE), ({"task_name": A, "task_id": "../../etc"}, WRONG + "task_id: " + RULE),
    ({"task_name": A, "task_id": "a" * 129}, WRONG + "task_id: " + RULE), ({"task_name": A, "task_id": 5}, WRONG + "task_id: must be a string"),
    ({"task_name": A, "task_id": "pending"}, WRONG + "task_id: " + RULE), ({"task_name": A, "task_id": "a/b"}, WRONG + "task_id: " + RULE),
    *(({"task_name": A, "callback": url}, "无效的callback URL格式") for url in (
        "", "no-url", "ftp://host/x", "http://", "http:///x", "//host", "javascript:alert(1)", "http://u:p@host/", "http://h/" + "x" * 2048,
        "http://host/a b", "http://host/\n", 5, [], {})),
    ({"task_name": A, "input_data": []}, WRONG + "input_data: must be an object"),
    ({"task_name": A, "input_data": "x"}, WRONG + "input_data: must be an object"),
    ({"task_name": A, "input_data": 0}, WRONG + "input_data: must be an object"),
    ({"task_name": A, "priority": "urgent"}, WRONG + "priority: must be normal, high or low"),
    ({"task_name": A, "priority": 1}, WRONG + "priority: must be a string"),
    ({"task_name": A, "reuse": "always"}, WRONG + "reuse: must be name, input or never"), ({"task_name": A, "reuse": True}, WRONG + "reuse: must be a string"),
    ({"task_name": A, "force": "yes"}, WRONG + "force: must be true or false"),
    *(({"task_name": A, key: value}, WRONG + f"{key}: must be a whole number from 0 to ")
      for key in ("timeout_ms", "delay_ms", "schedule_to_start_ms", "schedule_to_close_ms") for value in (-1, 1.5, "1", True, [])),
    ({"task_name": A, "timeout_ms": 2**32}, WRONG + "timeout_ms: must be a whole number from 0 to 4294967295"),
    ({"task_name": "system.callback", "input_data": {"url": "http://127.0.0.1/"}}, WRONG + "task_name: system.callback cannot be asked for"),
    ({"task_name": "system.cleanup", "input_data": {"retention_ms": 1}}, WRONG + "task_name: system.cleanup cannot be asked for"),
    # what the state service refuses
    ({"task_name": "py.nothing"}, WRONG + "task: no worker has ever registered a node py.nothing"),
    ({"task_name": "nobody.nothing"}, WRONG + "task: no worker has ever registered a node nobody.nothing"),
    ({"task_name": PICKY}, WRONG + "input.path: is required by py.picky"),
    ({"task_name": PICKY, "input_data": {"path": "x", "count": "many"}}, WRONG + "input.count: must be"),
    ({"task_name": PICKY, "input_data": {"path": "x", "paht": "y"}}, WRONG + "input.paht: py.picky has no such input"),
    ({"task_name": A, "delay_ms": 2**62}, WRONG + "delay_ms: must be at most ten years"),
    ({"task_name": A, "schedule_to_close_ms": 2**62}, WRONG + "schedule_to_close_ms: must be at most ten years"),
])
def test_what_is_wrong_in_a_submit_is_named(town, body, detail):
    starts(town.http.post("/v1/tasks", {"task_id": fresh(), **body}), 400, detail)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"7", b'"x"', b'{"task_name":"py.a"', b'{"task_name":"py.a"}x', b"{'task_name':'py.a'}",
                                 b'{"task_name":"py.a","task_name":"py.b"}', b'{"task_name":"\xff"}', b'{"task_name":NaN}', b'{"task_name":"py.a","a":1e999}',
                                 b'{"task_name":"py.a","a":99999999999999999999}', b'{"task_name":"py.a","a":"\\u0000"}', b"[" * 100000,
                                 '{"task_name":"py.a", 任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务任务}'.encode()])
def test_a_body_that_is_no_object_is_refused(town, raw):
    answer = town.http.post("/v1/tasks", raw)
    assert answer.status == 400 and answer.body["detail"], answer


def deep(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


def test_input_data_may_be_so_deep_and_so_large(town):
    id_ = ok(town.http.submit("system.echo", value=deep(10)))["task_id"]
    assert town.http.ended(id_)["stages"]["system.echo"]["output"] == {"value": deep(10)}
    refused(town.http.submit("system.echo", value=deep(11)), 400, WRONG + "input_data: is nested deeper than 11 levels")
    refused(town.http.submit("system.echo", value=deep(25)), 400, WRONG + "input_data: is nested deeper than 11 levels")
    answer = town.http.submit("system.echo", value="x" * (1 << 20))
    assert answer.status == 413 and answer.body["detail"], answer
    body = {"task_name": "system.echo", "input_data": {"value": [0] * 120000}}  # a byte each there, two here
    assert town.http.post("/v1/tasks", body).status == 200


def test_a_hit_carries_the_stage_that_was_asked_for_when_it_is_set_so(town):
    id_ = completed(town, A)
    completed(town, B, id_)
    other = town.process("requested", "gantry-front", front_http="127.0.0.1:0", front_brokers=town.endpoints("clients"), reuse_result_stages="requested")
    try:
        http = Http(int(until(lambda: LISTENS.search(other.said())).group(1)))
        until(lambda: http.get("/readyz").status == 200)
        assert set(ok(http.submit(A, id_))["result"]["stages"]) == {A} and set(http.context(id_)["stages"]) == {A, B}
    finally:
        other.stop()
    assert set(ok(town.http.submit(A, id_))["result"]["stages"]) == {A, B}


def test_the_clocks_and_the_priority_are_those_of_the_task(town):
    id_ = fresh()
    body = {"task_name": "gone.node", "task_id": id_, "input_data": {}}
    gone = town.hand(node("gone.node"))
    gone.stop()
    body = {"task_name": "gone.node", "input_data": {}}
    to_start, to_close, later = fresh(), fresh(), fresh()
    ok(town.http.post("/v1/tasks", {**body, "task_id": to_start, "schedule_to_start_ms": 200}))
    ok(town.http.post("/v1/tasks", {**body, "task_id": to_close, "schedule_to_close_ms": 200, "priority": "high"}))
    ok(town.http.post("/v1/tasks", {**body, "task_id": later, "delay_ms": 86400000, "priority": "low", "timeout_ms": 5}))
    for id_ in (to_start, to_close):
        context = town.http.ended(id_)
        assert context["stages"]["gone.node"]["status"] == "FAILED" and context["error"] and context["stages"]["gone.node"]["error"]
        assert town.http.status(id_)["message"].startswith("任务执行失败: gone.node: ")
    record = town.client().ask("GET", {"id": later}).body
    stage = record["stages"]["gone.node"]
    assert stage["state"] == "scheduled" and stage["priority"] == "low" and town.http.status(later)["status"] == "pending"
    town.hands.remove(gone)


# ---- Idempotency-Key ------------------------------------------------------------------------------


def test_the_same_key_is_the_same_submit(town):
    id_, key = fresh(), {"Idempotency-Key": uuid.uuid4().hex}
    assert ok(town.http.submit(A, id_, headers=key, value=1))["message"] == MISS
    assert ok(town.http.submit(A, id_, headers=key, value=1))["message"] == MISS  # that one, and not another that waits for it
    assert ok(town.http.submit(A, id_, value=1))["message"] == WAIT
    town.py.complete(id_, A, value="x")
    town.http.ended(id_)
    assert ok(town.http.submit(A, id_, headers=key, reuse="never", value=1))["message"] == MISS
    assert ok(town.http.submit(A, id_, headers={"Idempotency-Key": "another"}))["message"] == HIT
    assert town.py.runs(id_) == [A]
    assert ok(town.http.submit(B, id_, headers=key))["message"] == MISS  # another stage is another submit
    town.py.complete(id_, B, value="x")


def test_a_key_without_an_id_makes_the_id(town):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    ids = {ok(town.http.submit(A, headers=key))["task_id"] for _ in range(5)}
    other = ok(town.http.submit(A, headers={"Idempotency-Key": "other " + uuid.uuid4().hex}))["task_id"]
    assert len(ids) == 1 and other not in ids and uuid.UUID(ids.copy().pop()).version == 4
    for id_ in (*ids, other):
        town.py.complete(id_, A, value="x")
        assert town.py.runs(id_) == [A]


@pytest.mark.parametrize("key", ["", "x" * 256, "schl\u00fcssel"])
def test_a_key_that_is_none_is_refused(town, key):
    refused(town.http.submit(A, fresh(), headers={"Idempotency-Key": key.encode("latin-1")}), 400,
            WRONG + "Idempotency-Key: must be 1 to 255 printable characters")


# ---- status and result ----------------------------------------------------------------------------


def test_status_follows_the_task(town):
    id_ = fresh()
    ok(town.http.submit(A, id_, value=1))
    town.py.wait(id_)
    status = town.http.status(id_)
    assert set(status) == {"task_id", "status", "message", "result", "minio_files", "create_at", "created_at", "updated_at", "callback_status"}
    assert status["task_id"] == id_ and status["status"] == "running" and status["message"] == "任务正在执行"
    assert status["create_at"] == status["created_at"] <= status["updated_at"] and status["minio_files"] == [] and status["callback_status"] is None
    assert status["result"] == town.http.context(id_) and status["result"]["stages"][A]["status"] == "RUNNING"
    town.py.complete(id_, value="x", frames_minio_url="http://store/bucket/a/frames.zip", more_minio_url=["http://store/x/1.MP4"])
    town.http.ended(id_)
    status = town.http.status(id_)
    assert status["status"] == "completed" and status["message"] == "任务执行完成" and status["result"]["stages"][A]["status"] == "SUCCESS"
    assert status["minio_files"] == [{"name": "frames.zip", "url": "http://store/bucket/a/frames.zip", "type": "unknown", "size": None},
                                     {"name": "1.MP4", "url": "http://store/x/1.MP4", "type": "video", "size": None}]


def test_a_failed_stage_is_told_and_hides_no_other(town):
    id_ = completed(town)
    failed(town, B, id_)
    status = town.http.status(id_)
    assert status["status"] == "failed" and status["message"] == "任务执行失败: py.b: it broke"
    stages = status["result"]["stages"]
    assert stages[A]["status"] == "SUCCESS" and stages[A]["output"] == {"value": "of py.a"} and stages[A]["error"] is None
    assert stages[B]["status"] == "FAILED" and stages[B]["error"] == "it broke" and stages[B]["output"] == {}


def test_result_is_the_whole_context(town):
    id_ = completed(town, A, value=1)
    completed(town, B, id_, value=2)
    context = town.http.context(id_)
    assert set(context) == {"workflow_id", "create_at", "input_params", "shared_storage_path", "stages", "error"}
    assert context["workflow_id"] == id_ and context["shared_storage_path"] == f"{town.folder}/share/{id_}" and context["error"] is None
    assert context["input_params"] == {"task_name": B, "input_data": {"value": 2}, "callback_url": None}
    assert cut(context["stages"][A]) == {"status": "SUCCESS", "input_params": {"value": 1}, "output": {"value": "of py.a"}, "error": None}
    assert set(context["stages"]) == {A, B} and context["stages"][B]["duration"] >= 0
    chosen = town.http.get(f"/v1/tasks/{id_}/result?task_name={A}").body
    assert chosen["input_params"] == {"task_name": A, "input_data": {"value": 1}, "callback_url": None}
    assert chosen["stages"] == context["stages"]
    assert town.http.get(f"/v1/tasks/{id_}/result?task_name=").body == context


def test_callback_status_follows_the_delivery(town):
    id_, path = fresh(), "/" + fresh()
    town.receiver.plan(path, "hang")
    ok(town.http.submit(A, id_, town.receiver.url(path)))
    assert town.http.status(id_)["callback_status"] == "pending"
    town.py.complete(id_, A, value="x")
    town.http.ended(id_)
    town.calls(path)
    assert town.http.status(id_)["callback_status"] == "pending"

    sent, path = fresh(), "/" + fresh()
    ok(town.http.submit(A, sent, town.receiver.url(path)))
    town.py.complete(sent, A, value="x")
    town.calls(path)
    until(lambda: town.http.status(sent)["callback_status"] == "sent", 30)
    completed(town, B, sent)  # which has none
    assert town.http.status(sent)["callback_status"] == "sent"


# ---- unknown ids ----------------------------------------------------------------------------------

ROWS = [("GET", "/status", None), ("GET", "/result", None), ("GET", "/events", None), ("POST", "/retry", None), ("POST", "/retry", {}),
        ("DELETE", "", None)]


@pytest.mark.parametrize("method, path, body", ROWS + [("POST", "/delete", {"force": True})])
def test_an_unknown_task_is_404(town, method, path, body):
    id_ = fresh()
    refused(town.http.call(method, f"/v1/tasks/{id_}{path}", body), 404, f"任务不存在: {id_}")


@pytest.mark.parametrize("method, path, body", ROWS + [("POST", "/delete", {"force": True})])
@pytest.mark.parametrize("id_", ["pending", "a..b", "-a", "%E6%96%87", "a%20b", "a%2e%2eb", "x" * 129, "a" * 255])
def test_what_cannot_be_an_id_is_404(town, method, path, body, id_):
    starts(town.http.call(method, f"/v1/tasks/{id_}{path}", body), 404, "任务不存在: ")


# ---- retry ----------------------------------------------------------------------------------------


def test_a_failed_task_is_retried_as_a_new_one(town):
    path = "/" + fresh()
    id_ = failed(town, value=[1, {"deep": True}], callback=town.receiver.url(path))
    answer = ok(town.http.post(f"/v1/tasks/{id_}/retry"))
    new = answer["task_id"]
    assert new.startswith(f"{id_}-retry-") and len(new) == len(id_) + 15 and int(new[-8:], 16) >= 0
    assert answer == {"task_id": new, "original_task_id": id_, "status": "pending", "message": f"任务重试已开始，原任务ID: {id_}"}
    task = town.py.wait(new, A)
    assert task["input"] == {"value": [1, {"deep": True}]}
    assert town.http.context(new)["input_params"]["callback_url"] == town.receiver.url(path)
    town.py.complete(new, A, value="x")
    town.calls(path, 2)
    assert town.http.ended(new)["stages"][A]["status"] == "SUCCESS" and town.http.status(id_)["status"] == "failed"


def test_a_retry_has_the_time_limit_that_was_asked_for(town):
    id_ = fresh()
    ok(town.http.post("/v1/tasks", {"task_name": A, "task_id": id_, "input_data": {"value": 1}, "timeout_ms": 77777}))
    town.py.fail(id_, A)
    town.http.ended(id_)
    new = ok(town.http.post(f"/v1/tasks/{id_}/retry"))["task_id"]
    assert town.py.wait(new, A)["timeout_ms"] == 77777
    town.py.complete(new, A, value="x")


def test_retry_takes_the_newest_stage_that_did_not_complete(town):
    id_ = failed(town, B)
    completed(town, A, id_)
    new = ok(town.http.post(f"/v1/tasks/{id_}/retry", {}))["task_id"]
    assert town.py.wait(new)["task"] == B
    named = ok(town.http.post(f"/v1/tasks/{id_}/retry", {"task_name": A}))["task_id"]
    assert town.py.wait(named)["task"] == A and named != new
    all_well = completed(town, A)
    completed(town, B, all_well)
    newest = ok(town.http.post(f"/v1/tasks/{all_well}/retry", {"task_name": None}))["task_id"]
    assert town.py.wait(newest)["task"] == B
    for one in (new, named, newest):
        town.py.complete(one, value="x")


def test_only_what_has_ended_is_retried(town):
    id_ = failed(town, B)
    ok(town.http.submit(A, id_))
    town.py.wait(id_, A)
    refused(town.http.post(f"/v1/tasks/{id_}/retry"), 400, "任务状态不允许重试: running")
    refused(town.http.post(f"/v1/tasks/{id_}/retry", {"task_name": A}), 400, "任务状态不允许重试: running")
    refused(town.http.post(f"/v1/tasks/{id_}/retry", {"task_name": "py.never"}), 404, f"任务不存在: {id_} (py.never)")
    refused(town.http.post(f"/v1/tasks/{id_}/retry", {"task_name": "none"}), 404, f"任务不存在: {id_} (none)")
    refused(town.http.post(f"/v1/tasks/{id_}/retry", {"task_name": 5}), 400, WRONG + "task_name: must be a string")
    starts(town.http.post(f"/v1/tasks/{id_}/retry", b"["), 400, WRONG)
    new = ok(town.http.post(f"/v1/tasks/{id_}/retry", {"task_name": B}))["task_id"]
    town.py.complete(new, B, value="x")
    town.py.complete(id_, A, value="x")
    waits = fresh()
    ok(town.http.post("/v1/tasks", {"task_name": A, "task_id": waits, "delay_ms": 60000}))
    refused(town.http.post(f"/v1/tasks/{waits}/retry"), 400, "任务状态不允许重试: pending")
    long = failed(town, A, "r" * 114)
    starts(town.http.post(f"/v1/tasks/{long}/retry"), 400, WRONG + "task_id: " + long + "-retry-")
    just = failed(town, A, "r" * 113)
    town.py.complete(ok(town.http.post(f"/v1/tasks/{just}/retry"))["task_id"], value="x")


def test_a_retry_under_a_key_is_one_retry(town):
    id_, key = failed(town), {"Idempotency-Key": "once"}
    new = {ok(town.http.post(f"/v1/tasks/{id_}/retry", headers=key))["task_id"] for _ in range(3)}
    other = ok(town.http.post(f"/v1/tasks/{id_}/retry", headers={"Idempotency-Key": "twice"}))["task_id"]
    assert len(new) == 1 and other not in new
    for one in (*new, other):
        town.py.complete(one, value="x")
        assert town.py.runs(one) == [A]
    refused(town.http.post(f"/v1/tasks/{id_}/retry", headers={"Idempotency-Key": "x" * 256}), 400,
            WRONG + "Idempotency-Key: must be 1 to 255 printable characters")


def test_a_retry_is_its_owners_and_meets_the_quota(town):
    client, id_, runs = town.client(), fresh(), fresh()
    def submit(id_):
        answer = client.ask("SUBMIT", [{"id": id_, "task": A, "token": os.urandom(16), "owner": "anna", "input": {}}], service="py")
        assert answer.body[0]["status"] == 0, answer
    submit(id_)
    town.py.fail(id_)
    submit(runs)
    town.py.wait(runs)
    answer = town.http.post(f"/v1/tasks/{id_}/retry")
    refused(answer, 429, "请等待当前任务完成")
    assert int(answer.headers["Retry-After"]) > 0
    town.py.complete(runs, value="x")
    new = ok(town.http.post(f"/v1/tasks/{id_}/retry"))["task_id"]
    assert client.ask("GET", {"id": new}).body["stages"][A]["owner"] == "anna"
    town.py.complete(new, value="x")


# ---- cancel ---------------------------------------------------------------------------------------


def test_a_waiting_task_is_cancelled_at_once(town):
    id_ = fresh()
    ok(town.http.post("/v1/tasks", {"task_name": A, "task_id": id_, "delay_ms": 60000}))
    assert ok(town.http.call("DELETE", f"/v1/tasks/{id_}")) == {"task_id": id_, "status": "cancelled", "message": "任务已取消"}
    assert town.http.status(id_)["status"] == "cancelled" and town.http.status(id_)["message"] == "任务已取消"
    refused(town.http.call("DELETE", f"/v1/tasks/{id_}"), 400, "任务状态不允许取消: cancelled")


def test_a_running_one_is_told_to_stop(town):
    id_ = fresh()
    ok(town.http.submit("system.sleep", id_, seconds=600))
    until(lambda: town.http.status(id_)["status"] == "running", 30)
    assert ok(town.http.call("DELETE", f"/v1/tasks/{id_}")) == {"task_id": id_, "status": "running", "message": "任务正在取消"}
    assert town.http.ended(id_)["stages"]["system.sleep"]["status"] == "CANCELLED"


def test_one_stage_is_cancelled_alone(town):
    id_ = completed(town, B)
    ok(town.http.post("/v1/tasks", {"task_name": A, "task_id": id_, "delay_ms": 60000}))
    ok(town.http.submit(KEYLESS, id_))
    town.py.wait(id_, KEYLESS)
    refused(town.http.call("DELETE", f"/v1/tasks/{id_}?task_name={B}"), 400, "任务状态不允许取消: completed")
    refused(town.http.call("DELETE", f"/v1/tasks/{id_}?task_name=py.never"), 404, f"任务不存在: {id_} (py.never)")
    assert ok(town.http.call("DELETE", f"/v1/tasks/{id_}?task_name={A}"))["status"] == "cancelled"
    assert town.http.status(id_)["status"] == "running"
    town.py.complete(id_, KEYLESS)
    stages = town.http.ended(id_)["stages"]
    assert [stages[name]["status"] for name in (A, B, KEYLESS)] == ["CANCELLED", "SUCCESS", "SUCCESS"]


def test_what_has_ended_is_not_cancelled(town):
    refused(town.http.call("DELETE", f"/v1/tasks/{completed(town)}"), 400, "任务状态不允许取消: completed")
    refused(town.http.call("DELETE", f"/v1/tasks/{failed(town)}"), 400, "任务状态不允许取消: failed")


# ---- delete ---------------------------------------------------------------------------------------


def test_a_task_is_deleted_whole(town):
    id_ = ok(town.http.submit("system.sleep", fresh(), seconds=0))["task_id"]
    town.http.ended(id_)
    answer = ok(town.http.post(f"/v1/tasks/{id_}/delete", {"force": False}))
    assert answer["status"] == "success" and answer["timestamp"].endswith("Z") and "warnings" not in answer
    results = {result["resource"]: result["status"] for result in answer["results"]}
    assert results["redis"] == "deleted" and set(results) >= {"local_directory", "redis"}
    assert set(results.values()) <= {"deleted", "skipped"}
    refused(town.http.get(f"/v1/tasks/{id_}/status"), 404, f"任务不存在: {id_}")
    assert not os.path.exists(f"{town.folder}/share/{id_}")
    refused(town.http.post(f"/v1/tasks/{id_}/delete", {}), 404, f"任务不存在: {id_}")


def test_what_runs_is_deleted_by_force_only(town):
    id_ = fresh()
    ok(town.http.submit("system.sleep", id_, seconds=600))
    until(lambda: town.http.status(id_)["status"] == "running", 30)
    detail = "任务尚未结束，请先取消任务，或使用 force=true 强制删除"
    refused(town.http.post(f"/v1/tasks/{id_}/delete"), 400, detail)
    refused(town.http.post(f"/v1/tasks/{id_}/delete", {"force": False}), 400, detail)
    refused(town.http.post(f"/v1/tasks/{id_}/delete", {"force": "yes"}), 400, WRONG + "force: must be true or false")
    answer = ok(town.http.post(f"/v1/tasks/{id_}/delete", {"force": True}))
    assert answer["status"] in ("success", "partial_failed"), answer

    def gone():
        again = town.http.post(f"/v1/tasks/{id_}/delete", {"force": True})
        return again.status == 404
    until(gone, 30)


# ---- the catalogue and health ---------------------------------------------------------------------


def test_supported_tasks_lists_the_catalogue(town):
    listing = ok(town.http.get("/v1/tasks/supported-tasks"))
    assert set(listing) == {"supported_tasks", "total_count", "description", "nodes"} and listing["description"]
    names = [name for of_service in listing["supported_tasks"].values() for name in of_service]
    assert listing["total_count"] == len(names) == len(set(names)) and set(names) == set(listing["nodes"])
    assert set(listing["supported_tasks"]["py"]) == {A, B, KEYLESS, PICKY} and "system.echo" in listing["supported_tasks"]["system"]
    assert "system.callback" not in listing["supported_tasks"]["system"]
    assert all(name.startswith(service + ".") for service, of_service in listing["supported_tasks"].items() for name in of_service)
    assert listing["nodes"][A]["outputs"] == listing["nodes"][A]["key"] == ["value"] and listing["nodes"][A]["doc"] == "a node of a test"
    assert listing["nodes"][KEYLESS]["key"] == [] and listing["nodes"][PICKY]["inputs"][0]["required"] is True
    until(lambda: ok(town.http.get("/v1/tasks/supported-tasks"))["nodes"][A]["available"])


def test_a_node_whose_worker_is_gone_is_not_available_and_is_taken(town):
    gone = town.hand(node("leaves.soon"))
    until(lambda: ok(town.http.get("/v1/tasks/supported-tasks"))["nodes"]["leaves.soon"]["available"])
    gone.stop()
    town.hands.remove(gone)
    until(lambda: not ok(town.http.get("/v1/tasks/supported-tasks"))["nodes"]["leaves.soon"]["available"], 30)
    assert ok(town.http.submit("leaves.soon", fresh()))["status"] == "pending"


def test_health_says_how_much_there_is(town):
    health = ok(town.http.get("/v1/tasks/health"))
    assert health["status"] == "healthy" and set(health["tasks"]) == {"scheduled", "pending", "running"} and health["timestamp"].endswith("Z")


# ---- many at once, and who leaves -----------------------------------------------------------------


def test_many_clients_at_once(town):
    def life(n):
        id_ = fresh()
        ok(town.http.submit("system.echo", id_, value=n))
        assert town.http.ended(id_)["stages"]["system.echo"]["output"] == {"value": n}
        assert ok(town.http.submit("system.echo", id_, value=n))["message"] == HIT
        return n
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(life, range(200))) == list(range(200))


def test_a_connection_carries_one_request_after_the_other(town):
    connection = http.client.HTTPConnection("127.0.0.1", town.port, timeout=30)
    for n in range(50):
        connection.request("POST", "/v1/tasks", json.dumps({"task_name": "system.echo", "input_data": {"value": n}}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["message"] == MISS
    connection.close()


def test_who_leaves_while_it_is_asked_for_is_missed_by_nobody(town):
    """The sanitizers look on: brokers' answers find nobody."""
    body = json.dumps({"task_name": "system.echo", "input_data": {}}).encode()
    requests = [b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)]
    id_ = completed(town)
    requests += [f"GET /v1/tasks/{id_}/{what} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for what in ("status", "result", "events")]
    for broker in town.brokers:
        broker.freeze()
    for n in range(200):
        peer = socket.create_connection(("127.0.0.1", town.port))
        peer.sendall(requests[n % len(requests)])
        if n % 3:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        peer.close()
    time.sleep(0.2)
    for broker in town.brokers:
        broker.thaw()
    until(lambda: town.http.get("/v1/tasks/health").status == 200, 30)
    town.check()


# ---- what stands behind it is away ----------------------------------------------------------------


def away(answer):
    assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1 and answer.body["detail"], answer


CALLS = [("POST", "/v1/tasks", {"task_name": "system.echo"}), ("GET", "/v1/tasks/{}/status", None), ("GET", "/v1/tasks/{}/result", None),
         ("GET", "/v1/tasks/{}/events", None), ("POST", "/v1/tasks/{}/retry", None), ("DELETE", "/v1/tasks/{}", None),
         ("POST", "/v1/tasks/{}/delete", None), ("GET", "/v1/tasks/supported-tasks", None), ("GET", "/v1/tasks/health", None)]


@pytest.mark.parametrize("what", ["redis", "states", "brokers"])
def test_away_is_503_with_retry_after(town, what):
    id_ = completed(town)
    gone = [town.redis] if what == "redis" else getattr(town, what)
    for process in gone:
        process.kill()
    with concurrent.futures.ThreadPoolExecutor(len(CALLS)) as pool:
        for answer in pool.map(lambda call: town.http.call(call[0], call[1].format(id_), call[2]), CALLS):
            away(answer)
    for process in gone:
        process.start()
    until(lambda: town.http.get("/v1/tasks/health").status == 200, 30)
    assert town.http.status(id_)["status"] == "completed"
    town.knows(A, "system.echo")


def test_a_submit_without_an_answer_says_that_it_may_have_been_taken(town):
    id_, key = fresh(), {"Idempotency-Key": "late"}
    for broker in town.brokers:
        broker.freeze()
    answer = town.http.submit("system.echo", id_, headers=key, value=1)
    for broker in town.brokers:
        broker.thaw()
    away(answer)
    assert "may have been accepted" in answer.body["detail"] and "Idempotency-Key" in answer.body["detail"]
    assert ok(until(lambda: (lambda a: a if a.status == 200 else None)(town.http.submit("system.echo", id_, headers=key, value=1)), 30))["message"] == MISS
    assert town.http.ended(id_)["stages"]["system.echo"]["output"] == {"value": 1}
