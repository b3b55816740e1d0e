"""Dead letters: found by filters, run again, forgotten; with all that their attempts said."""
import time

from state_house import (  # noqa: F401: broker is a fixture
    BUSY, CONFLICT, INVALID, NOT_FOUND, OK, Worker, a_house, a_worker, broker, input_, node, receipt_of, stage_of, task, until)

ECHO = node("system.echo", input_("text", "text"))
TYPED = node("system.typed")
OTHER = node("other.echo")
FAULT = {"code": "FAILED", "message": "no", "exit": 3, "stderr": "its last words"}

house = a_house(lease_ms=500)
worker = a_worker(ECHO, TYPED, OTHER)


def fail(worker, *tasks, service="system", **more):
    for item in tasks:
        receipt_of(worker.broker, item, service=service, **more)
        [handout] = worker.claim(service)
        assert worker.done(worker.result(handout, "failed", error=FAULT, usage={"wall_ms": 5})).body[0]["status"] == OK


def listed(broker, **filters):
    seen, cursor = [], ""
    while True:
        answer = broker.ask("LIST", {"state": "dead", "cursor": cursor, **filters})
        assert answer.status == OK, answer
        seen += answer.body["items"]
        cursor = answer.body.get("cursor", "")
        if not cursor:
            return seen


def ids(items):
    return sorted((item["id"], item["task"], item["state"]) for item in items)


def ledger(broker):
    answer = broker.ask("LEDGER")
    assert answer.status == OK and answer.body["balanced"] is True, answer
    return answer.body


def test_dead_letters_are_listed_by_filters(broker, worker):
    fail(worker, task("a"), task("b", "system.typed"))
    time.sleep(0.01)
    middle = int(time.time() * 1000)
    time.sleep(0.01)
    fail(worker, task("a", "other.echo"), service="other")
    receipt_of(broker, task("q", crashes_max=1))
    Worker(broker, 2, "gone").claim()
    until(lambda: broker.pump(0.05) or stage_of(broker, "q")["state"] == "quarantined")
    receipt_of(broker, task("fine"))
    worker.done(worker.result(worker.claim()[0]))

    everything = [("a", "other.echo", "failed"), ("a", "system.echo", "failed"), ("b", "system.typed", "failed"),
                  ("q", "system.echo", "quarantined")]
    assert ids(listed(broker)) == ids(listed(broker, limit=1)) == everything
    assert [item["id"] for item in listed(broker)][0] == "q"  # newest first
    assert ids(listed(broker, service="system")) == everything[1:]
    assert ids(listed(broker, task="system.echo")) == [everything[1], everything[3]]
    assert ids(listed(broker, until_ms=middle)) == everything[1:3]
    assert ids(listed(broker, since_ms=middle)) == [everything[0], everything[3]]
    assert ids(listed(broker, since_ms=middle, service="other")) == [everything[0]]
    assert broker.ask("LIST", {"state": "dead", "task": "Bad"}).body["field"] == "task"
    assert ledger(broker)["dead"] == 4


def test_one_is_replayed_with_all_it_has_learnt(broker, worker):
    receipt_of(broker, task("r", input={"text": "hé"}, retry_ms=1, failures_max=2, owner="ann"))
    for state in ("retry", "retry"):  # the second is one too many
        handout = until(lambda: broker.pump(0.01) or (lambda got: got[0] if isinstance(got, list) else None)(worker.claim()))
        worker.done(worker.result(handout, state, error=FAULT, usage={"wall_ms": 7}, checkpoint={"part": 3}))
    stage = stage_of(broker, "r")
    assert stage["state"] == "failed" and stage["failures"] == 2 and stage["attempt"] == 2 and len(stage["history"]) == 1
    record = broker.ask("REPLAY", {"id": "r", "task": "system.echo"}).body
    assert record["status"] == "pending" and record["stages"]["system.echo"]["state"] == "pending"
    assert listed(broker) == [] and broker.ask("REPLAY", {"id": "r"}).status == CONFLICT

    stage = stage_of(broker, "r")
    assert [a["attempt"] for a in stage["history"]] == [1, 2] and stage["input"] == {"text": "hé"}
    for attempt in stage["history"]:
        assert attempt["state"] == "failed" and attempt["worker"] == "w1" and attempt["error"] == FAULT
        assert attempt["usage"] == {"wall_ms": 7} and 0 < attempt["started_ms"] <= attempt["ended_ms"]
    [handout] = worker.claim()
    assert handout["attempt"] == 3 and handout["input"] == {"text": "hé"} and "failures" not in handout
    assert handout["checkpoint"] == {"part": 3}
    worker.done(worker.result(handout, output={"text": "x"}))
    stage = stage_of(broker, "r")
    assert stage["state"] == "completed" and len(stage["history"]) == 2
    figures = ledger(broker)
    assert figures["accepted"] == 2 and figures["failed"] == figures["completed"] == 1 and figures["dead"] == 0


def test_all_dead_stages_of_a_task(broker, worker):
    fail(worker, task("t"), task("t", "system.typed"))
    fail(worker, task("t", "other.echo"), service="other")
    assert broker.ask("PURGE", {"id": "t", "task": "other.echo"}).status == OK
    record = broker.ask("REPLAY", {"id": "t"}).body
    assert {name: stage["state"] for name, stage in record["stages"].items()} == {
        "system.echo": "pending", "system.typed": "pending", "other.echo": "failed"}
    assert len(worker.claim(n=9)) == 2


def test_what_is_not_dead_is_a_conflict(broker, worker):
    receipt_of(broker, task("waits"))
    receipt_of(broker, task("later", delay_ms=60000))
    receipt_of(broker, task("done"), priority=1)
    worker.done(worker.result(worker.claim()[0]))
    receipt_of(broker, task("gone"))
    broker.ask("CANCEL", {"id": "gone"})
    before = ledger(broker)
    for verb in ("REPLAY", "PURGE"):
        for id_ in ("waits", "later", "done", "gone"):
            answer = broker.ask(verb, {"id": id_})
            assert answer.status == CONFLICT and answer.body["message"].startswith("it is no dead letter"), answer
        assert broker.ask(verb, {"id": "nobody"}).status == NOT_FOUND
        assert broker.ask(verb, {"id": "done", "task": "other.echo"}).status == NOT_FOUND
        assert broker.ask(verb, {"id": "../x"}).status == INVALID
    assert ledger(broker) == before


def test_a_purged_one_is_forgotten_and_its_record_stays(broker, worker):
    fail(worker, task("p"), task("other"))
    assert broker.ask("PURGE", {"id": "p", "task": "system.echo"}).status == OK
    assert ids(listed(broker)) == [("other", "system.echo", "failed")]
    stage = stage_of(broker, "p")
    assert stage["state"] == "failed" and stage["error"] == FAULT
    for verb in ("PURGE", "REPLAY"):
        assert broker.ask(verb, {"id": "p"}).status == CONFLICT
    assert ledger(broker)["failed"] == 2 and ledger(broker)["dead"] == 1
    receipt_of(broker, task("p", token=2))  # a new submit runs it again
    assert stage_of(broker, "p")["state"] == "pending"


def test_a_full_queue_takes_no_replay(house, broker):
    house.states.pop().stop()
    broker.peers.clear()
    house.state(queue_max=5, queue_limits="system=2")
    worker = Worker(broker)
    worker.register(ECHO)
    fail(worker, task("t"))
    for i in range(2):
        receipt_of(broker, task("full%d" % i))
    answer = broker.ask("REPLAY", {"id": "t", "task": "system.echo"})
    assert answer.status == BUSY and answer.body["scope"] == "queue" and answer.body["limit"] == 2
    whole = broker.ask("REPLAY", {"id": "t"})
    assert whole.status == BUSY and "stage by stage" in whole.body["message"]
    assert answer.body["retry_after_ms"] > 0 and [item["id"] for item in listed(broker)] == ["t"]
    worker.claim()
    assert broker.ask("REPLAY", {"id": "t", "task": "system.echo"}).status == OK


def test_dead_letters_survive_restarts(house, broker, worker):
    fail(worker, *[task("t%d" % i) for i in range(5)])
    time.sleep(1.2)  # the AOF is on disk
    broker.pump(0)
    house.redis.kill()
    house.redis.start()
    house.states.pop().kill()
    broker.peers.clear()
    house.state()
    assert broker.insist("REPLAY", {"id": "t3"}).status == OK
    assert ids(listed(broker)) == [("t%d" % i, "system.echo", "failed") for i in (0, 1, 2, 4)]
    [handout] = worker.claim()
    assert handout["id"] == "t3" and handout["attempt"] == 2
    assert stage_of(broker, "t0")["error"] == FAULT
    ledger(broker)
