"""Answers that are lost, by name: what the caller does then (the same again) changes nothing a second time."""
import pytest

from state_house import (  # noqa: F401: broker is a fixture
    BUSY, EMPTY, OK, STALE, Worker, a_house, broker, input_, node, receipt_of, stage_of, task, until)

ECHO = node("system.echo", input_("text", "text"))

house = a_house(states=2)


@pytest.fixture
def worker(broker):
    worker = Worker(broker)
    worker.register(ECHO)
    assert broker.insist("SUBMIT", [task("known")], service="system", peer=1).body[0]["status"] == OK
    worker.done(worker.result(worker.claim()[0]))
    return worker


def ledger(broker):
    answer = broker.ask("LEDGER")
    assert answer.body["balanced"], answer
    return answer.body


def test_a_claims_answer_is_lost(broker, worker):
    """What the session never heard of goes back to the head of its queue, which is no crash."""
    receipt_of(broker, task("l1"))
    receipt_of(broker, task("l2"))
    assert worker.claim()[0]["id"] == "l1"  # never seen by the worker
    assert worker.beat(claim_open=worker.seq).body["stale"] == []  # it may be on its way yet
    assert stage_of(broker, "l1")["state"] == "running"
    worker.beat(claim_open=worker.seq + 1, peer=1)
    [handout] = worker.claim()
    assert handout["id"] == "l1" and "crashes" not in handout and "failures" not in handout
    assert ledger(broker)["crashes"] == 0 and ledger(broker)["requeues"] == 1


@pytest.mark.parametrize("state, more, becomes", [
    ("completed", {"output": {"text": "x"}}, "completed"),
    ("skipped", {}, "skipped"),
    ("failed", {}, "failed"),
    ("cancelled", {}, "cancelled"),
    ("retry", {"retry_after_ms": 60000}, "scheduled"),
    ("retry", {}, "scheduled"),
    ("snoozed", {"retry_after_ms": 60000}, "scheduled"),
])
def test_the_acknowledgement_of_a_result_is_lost(broker, worker, state, more, becomes):
    receipt_of(broker, task("d1"))
    [handout] = worker.claim()
    result = worker.result(handout, state, **more)
    first = worker.done(result).body
    seen, balance = stage_of(broker, "d1"), ledger(broker)
    assert first[0]["status"] == OK and seen["state"] == becomes
    for peer in (0, 1):
        assert worker.done(result, peer=peer).body == first  # the same answer
        assert worker.beat((handout, {}), peer=peer).body["stale"] == []  # no reason to kill anything
    assert worker.done(result, result, result).body == first * 3
    assert stage_of(broker, "d1") == seen and ledger(broker) == balance


def test_the_acknowledgement_of_a_last_failure_is_lost(broker, worker):
    receipt_of(broker, task("d2", failures_max=1))
    [handout] = worker.claim()
    for peer in (0, 1):
        assert worker.done(worker.result(handout, "retry"), peer=peer).body[0]["status"] == OK
    assert stage_of(broker, "d2")["failures"] == 1 and ledger(broker)["failed"] == 1


def claimed(worker):
    def ask():
        got = worker.claim()
        return got[0] if isinstance(got, list) else None
    return until(ask)


def test_a_retry_said_again_after_the_next_attempt_began_changes_nothing(broker, worker):
    receipt_of(broker, task("d3", failures_max=9))
    results = []
    for _ in range(2):
        handout = claimed(worker)
        results.append(worker.result(handout, "retry", retry_after_ms=1))
        assert worker.done(results[-1]).body[0]["status"] == OK
    running = claimed(worker)
    assert [worker.done(result).body[0]["status"] for result in results] == [STALE, OK]  # the latest is known by its token
    assert stage_of(broker, "d3")["failures"] == 2 and stage_of(broker, "d3")["state"] == "running"
    assert worker.beat((running, {})).body["stale"] == []


def test_the_acknowledgement_of_a_return_is_lost(broker, worker):
    receipt_of(broker, task("r1"))
    [handout] = worker.claim()
    assert broker.ask("RETURN", [handout]).body[0]["status"] == OK
    assert broker.ask("RETURN", [handout], peer=1).body[0]["status"] == STALE  # it is not its any more: all it wanted
    assert ledger(broker)["requeues"] == 1
    assert worker.claim()[0]["id"] == "r1" and worker.claim().status == EMPTY


@pytest.mark.parametrize("more, state", [
    ({}, "pending"),
    ({"delay_ms": 60000}, "scheduled"),
    ({"owner": "ann", "schedule_to_start_ms": 60000, "schedule_to_close_ms": 60000}, "pending"),
])
def test_a_receipt_is_lost_and_another_state_service_is_asked(house, broker, worker, more, state):
    item = task("s1", **more)
    first = receipt_of(broker, item, peer=0)
    assert first["state"] == state
    assert receipt_of(broker, item, peer=1) == first
    assert broker.ask("SUBMIT", [item, item], service="system", peer=1).body == [first, first]
    assert ledger(broker)["accepted"] == 2  # with the one that was there before
    client = house.redis.client
    assert client.llen("queue:system:normal") + client.zcard("timers") == 1
    assert client.hlen("owned") == ("owner" in more) and client.zcard("deadlines") == 2 * ("owner" in more)
    if "owner" in more:
        assert broker.ask("SUBMIT", [task("s2", **more)], service="system", peer=1).body[0]["status"] == BUSY


def test_a_cancels_answer_is_lost(broker, worker):
    receipt_of(broker, task("c1", delay_ms=60000))
    first = broker.ask("CANCEL", {"id": "c1"}, peer=0)
    again = broker.ask("CANCEL", {"id": "c1"}, peer=1)
    assert (again.status, again.body) == (first.status, first.body) and ledger(broker)["cancelled"] == 1
