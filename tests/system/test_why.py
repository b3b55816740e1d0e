"""WHY: each reason of the closed list, brought about for real."""
import time

import pytest

from state_house import (  # noqa: F401: broker is a fixture
    INVALID, MALFORMED, NOT_FOUND, OK, Worker, a_house, broker, input_, node, receipt_of, stage_of, task, until)

ECHO = node("system.echo", input_("text", "text"))
OTHER = node("other.echo")

house = a_house(lease_ms=2000)


@pytest.fixture
def worker(broker):
    worker = Worker(broker)
    worker.register(ECHO, OTHER)
    serves(worker)
    return worker


def serves(worker, *held, services="system"):
    assert worker.beat(*[(h, {}) for h in held], services=services, slots=2).status == OK


def why(broker, id_, task_="system.echo"):
    answer = broker.ask("WHY", {"id": id_, "task": task_})
    assert answer.status == OK and answer.count == 1, answer
    [row] = answer.body
    assert row["task"] == task_ and row["state"] == stage_of(broker, id_, task_)["state"] and row["text"]
    return row


def steer(broker, action, **more):
    answer = broker.ask("STEER", {"action": action, **more})
    assert answer.status == OK, answer
    return answer.body.get("changed", False)


def test_what_waits_in_a_queue(broker, worker):
    for i in range(3):
        receipt_of(broker, task("n%d" % i))
    row = why(broker, "n0")
    assert row["reason"] == "next" and row["position"] == 1 and "estimate_ms" not in row
    row = why(broker, "n2")
    assert row["reason"] == "queued" and row["position"] == 3 and "estimate_ms" not in row and "number 3" in row["text"]
    receipt_of(broker, task("h"), priority=1)
    receipt_of(broker, task("l"), priority=2)
    row = why(broker, "n0")
    assert row["reason"] == "queued" and row["position"] == 1 and "1 of higher priority" in row["text"]
    row = why(broker, "l")
    assert row["reason"] == "queued" and row["position"] == 1 and "4 of higher priority" in row["text"]

    begun = time.monotonic()
    [handout] = worker.claim()
    time.sleep(0.3)
    worker.done(worker.result(handout))
    row = why(broker, "n2")  # one every 0.3 s or so
    assert 0 < row["estimate_ms"] <= 3 * 1000 * (time.monotonic() - begun) + 100, row
    assert "at the pace of late" in row["text"]


def test_who_runs_it_and_how_it_ended(broker, worker):
    for id_ in ("runs", "done", "failed"):
        receipt_of(broker, task(id_))
    runs, done, failed = worker.claim(n=3)
    row = why(broker, "runs")
    assert row["reason"] == "running" and row["worker"] == "w1" and "w1" in row["text"] and "attempt 1" in row["text"]
    broker.ask("CANCEL", {"id": "runs"})
    row = why(broker, "runs")
    assert row["reason"] == "cancelling" and row["worker"] == "w1" and row["state"] == "cancelling"
    worker.done(worker.result(runs, "cancelled"), worker.result(done),
                worker.result(failed, "failed", error={"code": "FAILED", "message": "no"}))
    assert [why(broker, id_)["reason"] for id_ in ("runs", "done", "failed")] == ["ended"] * 3
    assert "cancelled" in why(broker, "runs")["text"] and "completed" in why(broker, "done")["text"]
    assert "gantry dead replay failed system.echo" in why(broker, "failed")["text"]


def test_what_waits_for_its_time(broker, worker):
    now = time.time() * 1000
    receipt_of(broker, task("delayed", delay_ms=60000))
    row = why(broker, "delayed")
    assert row["reason"] == "delayed" and abs(row["due_ms"] - now - 60000) < 5000 and row["state"] == "scheduled"
    assert time.strftime("%Y-%m-%dT", time.gmtime(row["due_ms"] / 1000)) in row["text"]

    receipt_of(broker, task("retried", failures_max=7))
    worker.done(worker.result(worker.claim()[0], "retry", retry_after_ms=70000, error={"code": "FAILED", "message": "no"}))
    row = why(broker, "retried")
    assert row["reason"] == "retrying" and abs(row["due_ms"] - now - 70000) < 5000
    assert "attempt 1 failed, failure 1 of at most 7" in row["text"]

    receipt_of(broker, task("snoozed"))
    worker.done(worker.result(worker.claim()[0], "snoozed", retry_after_ms=80000))
    row = why(broker, "snoozed")
    assert row["reason"] == "snoozed" and abs(row["due_ms"] - now - 80000) < 5000


def test_a_queue_that_is_paused(broker, worker):
    receipt_of(broker, task("t1"))
    assert steer(broker, "pause", service="system")
    row = why(broker, "t1")
    assert row["reason"] == "paused" and "gantry resume system" in row["text"]
    steer(broker, "resume", service="system")
    assert why(broker, "t1")["reason"] == "next"


def test_a_queue_without_a_worker(broker, worker):
    receipt_of(broker, task("t1", "other.echo"), service="other")
    row = why(broker, "t1", "other.echo")
    assert row["reason"] == "no_worker"
    assert row["text"] == "no worker serves queue other: start one with gantry-worker --worker-services=other"
    second = Worker(broker, 2, "w2")
    serves(second, services="more,other")
    assert why(broker, "t1", "other.echo")["reason"] == "next"
    until(lambda: serves(worker) or why(broker, "t1", "other.echo")["reason"] == "no_worker", 8, 0.3)  # its lease ends


def test_a_queue_whose_workers_all_drain(broker, worker):
    receipt_of(broker, task("t1"))
    second = Worker(broker, 2, "w2")
    serves(second)
    steer(broker, "drain", worker="w1")
    assert why(broker, "t1")["reason"] == "next"
    steer(broker, "drain", worker="w2")
    row = why(broker, "t1")
    assert row["reason"] == "draining" and "gantry undrain" in row["text"]
    steer(broker, "undrain", worker="w1")
    assert why(broker, "t1")["reason"] == "next"


def test_what_nothing_holds(house, broker, worker):
    receipt_of(broker, task("t1"))
    assert house.redis.client.lrem("queue:system:normal", 0, "t1/system.echo") == 1
    row = why(broker, "t1")
    assert row["reason"] == "unheld" and "audit" in row["text"] and "position" not in row


def test_every_stage_of_a_task(broker, worker):
    receipt_of(broker, task("t1"))
    receipt_of(broker, task("t1", "other.echo", delay_ms=60000), service="other")
    answer = broker.ask("WHY", {"id": "t1"})
    assert answer.count == 2 and {row["task"]: row["reason"] for row in answer.body} == {"system.echo": "next", "other.echo": "delayed"}


@pytest.mark.parametrize("raw, status", [
    (b"", MALFORMED), (b"\x80", INVALID), (b"\x81\xa2id\xa4../x", INVALID), (b"\x81\xa2id\xa1x", NOT_FOUND),
    (b"\x82\xa2id\xa1x\xa4task\xa3x.y", NOT_FOUND),
])
def test_what_is_wrong_is_refused(broker, worker, raw, status):
    answer = broker.ask("WHY", raw=raw)
    assert answer.status == status and answer.body["message"]
