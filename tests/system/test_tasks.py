"""TASKS: all tasks page by page, or some by their ids, over the wire."""
import pytest

from state_house import BUSY, INVALID, OK, a_house, a_worker, broker, node, receipt_of, task

house = a_house()
worker = a_worker(node("system.echo"), node("a.x"))


def walk(broker, **more):
    found, cursor = {}, ""
    while True:
        answer = broker.ask("TASKS", dict(more, cursor=cursor))
        assert answer.status == OK, answer
        found.update({item["id"]: item for item in answer.body["items"]})
        cursor = answer.body.get("cursor")
        if not cursor:
            return found


def test_all_and_some(broker, worker):
    assert broker.ask("TASKS").body == {"cursor": "", "items": []}
    for i in range(7):
        receipt_of(broker, task("t%d" % i, token=i + 1, **({"owner": "ann"} if i == 3 else {})))
    receipt_of(broker, task("t0", "a.x", token=9), service="a")
    (handout,) = worker.claim()
    assert handout["id"] == "t0"
    worker.done(worker.result(handout, output={"text": "x"}))
    (handout,) = worker.claim()
    worker.done(worker.result(handout, output={"text": "x"}))
    found = walk(broker, limit=2)
    assert set(found) == {"t%d" % i for i in range(7)}
    assert found["t3"]["owner"] == "ann" and found["t0"]["living"] and not found["t1"].get("living", False)
    assert found["t1"]["ended_ms"] >= found["t1"]["created_ms"] > 0 and not found["t0"].get("ended_ms")
    answer = broker.ask("TASKS", {"ids": ["t5", "nobody", "t1"]})
    assert [item["id"] for item in answer.body["items"]] == ["t5", "t1"] and answer.body["cursor"] == ""
    assert walk(broker, created_before_ms=found["t1"]["created_ms"] - 60000) == {}
    assert set(walk(broker, created_before_ms=found["t6"]["created_ms"] + 60000)) == set(found)


@pytest.mark.parametrize("body,field", [
    ({"limit": 1001}, "limit"), ({"cursor": "x"}, "cursor"), ({"cursor": "9" * 22}, "cursor"), ({"cursor": "c"}, "cursor"), ({"created_before_ms": 2 ** 60}, "created_before_ms"),
    ({"ids": []}, "ids"), ({"ids": "t1"}, "ids"), ({"ids": ["../x"]}, "ids"), ({"ids": [1]}, "ids"), ({"ids": ["t"] * 1001}, "ids")])
def test_what_is_refused(broker, body, field):
    answer = broker.insist("TASKS", body)
    assert (answer.status, answer.body["field"]) == (INVALID, field)
