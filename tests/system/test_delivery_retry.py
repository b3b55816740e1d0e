"""What becomes of an attempt that did not end its stage: failures and their back-off, snoozes, crashes, checkpoints."""
import time

import pytest

from state_house import (  # noqa: F401: broker is a fixture
    INVALID, OK, STALE, TOO_LARGE, Worker, a_house, a_worker, broker, input_, node, receipt_of, stage_of, task, until)

ECHO = node("system.echo", input_("text", "text"))
TWICE = node("system.twice", failures_max=2, retry_ms=50)
TEN_YEARS_MS = 315576000000

house = a_house(lease_ms=500, retry_cap_ms=5000)
worker = a_worker(ECHO, TWICE)


def claimed(worker, seconds=15):
    """The next handout, whenever it comes; the session lives on meanwhile."""
    def ask():
        worker.beat()
        got = worker.claim()
        return got[0] if isinstance(got, list) else None
    return until(ask, seconds)


def again(worker, handout, state="retry", **more):
    answer = worker.done(worker.result(handout, state, **more))
    assert answer.status == OK
    return answer.body[0]


# ---- failures ------------------------------------------------------------------------------------


def test_a_failure_is_tried_again_after_its_back_off_and_may_succeed(broker, worker):
    receipt_of(broker, task("t1", retry_ms=200, failures_max=5))
    handout = claimed(worker)
    assert "failures" not in handout and handout["attempt"] == 1
    for n in (1, 2):
        assert again(worker, handout, error={"code": "FAILED", "message": "no %d" % n}, usage={"wall_ms": n})["status"] == OK
        waits = stage_of(broker, "t1")
        assert waits["state"] == "scheduled" and waits["failures"] == n and waits["attempt"] == n
        past = waits["history"][-1]
        first = 200 << n - 1
        assert first <= waits["due_ms"] - past["ended_ms"] <= first * 1.1 + 1
        assert broker.ask("GET", {"id": "t1"}).body["status"] == "pending"
        handout = claimed(worker)
        assert handout["failures"] == n and handout["attempt"] == n + 1
        assert time.time() * 1000 >= waits["due_ms"]
    worker.done(worker.result(handout, output={"text": "x"}))
    done = stage_of(broker, "t1")
    assert done["state"] == "completed" and done["failures"] == 2 and done["attempt"] == 3
    assert [(past["attempt"], past["state"], past["worker"], past["error"]["message"], past["usage"]["wall_ms"])
            for past in done["history"]] == [(1, "failed", "w1", "no 1", 1), (2, "failed", "w1", "no 2", 2)]
    ledger = broker.ask("LEDGER").body
    assert ledger["balanced"] and ledger["retries"] == 2 and ledger["completed"] == 1 and ledger["dead"] == 0


def test_the_last_failure_is_for_good_and_dead_with_its_whole_history(house, broker, worker):
    receipt_of(broker, task("t2", retry_ms=1, failures_max=3))
    for n in (1, 2, 3):
        again(worker, claimed(worker), error={"code": "FAILED", "message": "no %d" % n, "stderr": "e%d" % n})
    dead = stage_of(broker, "t2")
    assert dead["state"] == "failed" and dead["failures"] == 3 and dead["error"]["message"] == "no 3"
    assert [past["error"]["stderr"] for past in dead["history"]] == ["e1", "e2"]
    assert [entry.decode() for entry in house.redis.client.zrange("dead", 0, -1)] == ["t2/system.echo"]
    assert house.redis.client.zcard("timers") == 0
    ledger = broker.ask("LEDGER").body
    assert ledger["balanced"] and ledger["failed"] == ledger["dead"] == 1 and ledger["retries"] == 2


def test_the_history_keeps_the_latest_sixteen(broker, worker):
    receipt_of(broker, task("t3", retry_ms=1, failures_max=20))
    for n in range(1, 20):
        again(worker, claimed(worker), error={"code": "FAILED", "message": str(n)}, retry_after_ms=1)
    worker.done(worker.result(claimed(worker)))
    assert [past["attempt"] for past in stage_of(broker, "t3")["history"]] == list(range(4, 20))


def test_what_cannot_go_better_is_failed_at_once(broker, worker):
    receipt_of(broker, task("t4", failures_max=5))
    again(worker, claimed(worker), "failed", error={"code": "INVALID", "message": "never"})
    assert stage_of(broker, "t4")["state"] == "failed" and "history" not in stage_of(broker, "t4")


def test_limits_are_the_submits_or_the_nodes_or_the_settings(house, broker, worker):
    for id_, name, limits, most in (("n1", "system.twice", {}, 2), ("n2", "system.twice", {"failures_max": 1}, 1),
                                    ("n3", "system.echo", {"retry_ms": 1}, 5)):
        receipt_of(broker, task(id_, name, **limits))
        for n in range(1, most + 1):
            assert stage_of(broker, id_, name)["state"] in ("pending", "scheduled")
            again(worker, claimed(worker))
        assert stage_of(broker, id_, name)["state"] == "failed"
        assert stage_of(broker, id_, name)["failures"] == most
    receipt_of(broker, task("n4"))  # nobody says how long to wait: n^4 + 15 + up to 10(n+1) seconds, here capped
    again(worker, claimed(worker))
    waits = stage_of(broker, "n4")
    assert waits["due_ms"] - waits["history"][0]["ended_ms"] == 5000


# ---- put off -------------------------------------------------------------------------------------


def test_retry_after_goes_before_the_back_off(broker, worker):
    receipt_of(broker, task("r1", retry_ms=4000))
    again(worker, claimed(worker), retry_after_ms=70)
    waits = stage_of(broker, "r1")
    assert waits["due_ms"] - waits["history"][0]["ended_ms"] == 70
    assert claimed(worker, 3)["failures"] == 1


def test_a_snooze_spends_no_failure(house, broker, worker):
    receipt_of(broker, task("s1", failures_max=1))
    for n in range(3):
        handout = claimed(worker)
        assert "failures" not in handout and handout["attempt"] == n + 1
        again(worker, handout, "snoozed", retry_after_ms=60)
        assert stage_of(broker, "s1")["state"] == "scheduled"
    worker.done(worker.result(claimed(worker)))
    done = stage_of(broker, "s1")
    assert done["state"] == "completed" and "failures" not in done and "history" not in done


@pytest.mark.parametrize("left", ["retry", "snoozed"])
def test_a_checkpoint_reaches_the_next_attempt(broker, worker, left):
    receipt_of(broker, task("c1", failures_max=9))
    handout = claimed(worker)
    assert "checkpoint" not in handout
    again(worker, handout, left, retry_after_ms=1, checkpoint={"at": [1, 2], "bytes": b"\0\xff"})
    handout = claimed(worker)
    assert handout["checkpoint"] == {"at": [1, 2], "bytes": b"\0\xff"}
    again(worker, handout, left, retry_after_ms=1)  # nothing said: as before
    handout = claimed(worker)
    assert handout["checkpoint"]["at"] == [1, 2]
    assert broker.ask("RETURN", [handout]).body[0]["status"] == OK  # as a broker does that could not deliver it
    handout = claimed(worker)
    assert handout["checkpoint"]["at"] == [1, 2]
    assert broker.ask("RETURN", [dict(handout, checkpoint="from a drain")]).body[0]["status"] == OK
    handout = claimed(worker)
    assert handout["checkpoint"] == "from a drain"
    worker.done(worker.result(handout, output={"text": "x"}))
    receipt_of(broker, task("c1", token=2))  # a hit
    assert stage_of(broker, "c1")["state"] == "completed"


def test_a_new_submit_begins_without_a_checkpoint(broker, worker):
    receipt_of(broker, task("c2", failures_max=1))
    again(worker, claimed(worker), checkpoint="old")
    assert stage_of(broker, "c2")["state"] == "failed"
    receipt_of(broker, task("c2", token=2))
    handout = claimed(worker)
    assert "checkpoint" not in handout and "failures" not in handout and handout["attempt"] == 2
    assert [past["state"] for past in stage_of(broker, "c2")["history"]] == ["failed"]


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("said, status, field", [
    ({"state": "snoozed"}, INVALID, "retry_after_ms"),
    ({"state": "snoozed", "retry_after_ms": TEN_YEARS_MS + 1}, INVALID, "retry_after_ms"),
    ({"state": "retry", "retry_after_ms": TEN_YEARS_MS + 1}, INVALID, "retry_after_ms"),
    ({"state": "retry", "retry_after_ms": -1}, INVALID, "retry_after_ms"),
    ({"state": "retry", "checkpoint": b"x" * 65536}, TOO_LARGE, "checkpoint"),
    ({"state": "retry", "checkpoint": deep(12)}, INVALID, "checkpoint"),
    ({"state": "retry", "error": [1]}, INVALID, "error"),
    ({"state": "running"}, INVALID, "state"),
    ({"state": "scheduled"}, INVALID, "state"),
    ({"state": "quarantined"}, INVALID, "state"),
])
def test_what_is_wrong_is_named_and_changes_nothing(broker, worker, said, status, field):
    receipt_of(broker, task("w1"))
    handout = claimed(worker)
    outcome = again(worker, handout, **said)
    assert outcome["status"] == status and outcome["message"].startswith(field)
    assert stage_of(broker, "w1")["state"] == "running"
    assert again(worker, handout, "snoozed", retry_after_ms=TEN_YEARS_MS, checkpoint=b"x" * 65533)["status"] == OK
    assert stage_of(broker, "w1")["due_ms"] > TEN_YEARS_MS


def test_a_checkpoint_to_return_has_the_same_bounds(broker, worker):
    receipt_of(broker, task("w2"))
    handout = claimed(worker)
    [outcome] = broker.ask("RETURN", [dict(handout, checkpoint=b"x" * 65536)]).body
    assert outcome["status"] == TOO_LARGE and outcome["message"].startswith("checkpoint")
    [outcome] = broker.ask("RETURN", [dict(handout, checkpoint=deep(12))]).body
    assert outcome["status"] == INVALID
    assert worker.beat((handout, {})).body["stale"] == []


def test_who_lost_it_cannot_put_it_off(broker, worker):
    receipt_of(broker, task("f1"))
    handout = claimed(worker)
    for state in ("retry", "snoozed"):
        assert again(worker, dict(handout, token=b"x" * 12), state, retry_after_ms=5)["status"] == STALE
    assert stage_of(broker, "f1")["state"] == "running"


def test_cancel_beats_a_retry(broker, worker):
    receipt_of(broker, task("k1"))
    handout = claimed(worker)
    broker.ask("CANCEL", {"id": "k1"})
    assert again(worker, handout, retry_after_ms=5)["status"] == OK
    assert stage_of(broker, "k1")["state"] == "cancelled"


# ---- crashes -------------------------------------------------------------------------------------


def test_leases_lost_too_often_are_a_quarantine(house, broker, worker):
    receipt_of(broker, task("q1", crashes_max=2))
    for n in (1, 2):
        lost = Worker(broker, number=10 + n, name="lost%d" % n)
        handout = until(lambda: [h for h in lost.claim() if h] if broker.ask("QUEUES").body[0]["normal"] else None)[0]
        assert handout.get("crashes", 0) == n - 1
        until(lambda: stage_of(broker, "q1").get("crashes") == n, 10)
    over = stage_of(broker, "q1")
    assert over["state"] == "quarantined" and over["crashes"] == 2 and "failures" not in over
    assert [(past["state"], past["attempt"], past["worker"]) for past in over["history"]] == [("crashed", 1, "lost1")]
    assert house.redis.client.zscore("dead", "q1/system.echo")
    ledger = broker.ask("LEDGER").body
    assert ledger["balanced"] and ledger["quarantined"] == 1 and ledger["crashes"] == 2
