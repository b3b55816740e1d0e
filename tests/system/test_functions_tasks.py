"""gantry_tasks: every task once at least, each as a whole; those of some ids; those that CREATE_TASK made."""
import time

import pytest
import redis

from functions_library import COMPLETED, FAILED, Gantry, server
from functions_tools import DAY, gantry as tools, now_ms

ITEM = 5


def page(tools, cursor="0", limit=256, before=0, *ids):
    cursor, *flat = tools.call("tasks", cursor, limit, before, *ids)
    assert len(flat) % ITEM == 0
    rows = [flat[i:i + ITEM] for i in range(0, len(flat), ITEM)]
    return cursor.decode(), [{"id": r[0].decode(), "owner": r[1].decode(), "created": r[2], "ended": r[3], "living": r[4]} for r in rows]


def walk(tools, **how):
    cursor, found, pages = "0", {}, 0
    while cursor != "0" or pages == 0:
        cursor, items = page(tools, cursor, how.get("limit", 256), how.get("before", 0))
        found.update({item["id"]: item for item in items})
        pages += 1
    return found, pages


def look(tools, *ids):
    cursor, items = page(tools, "0", 1, 0, *ids)
    assert cursor == "0"
    return {item["id"]: item for item in items}


def test_a_task_is_told_as_a_whole(tools):
    now = now_ms()
    tools.end("t1", task="a.y", created_ms=now - 9000, owner="ann")
    tools.end("t2", state=FAILED)
    tools.put("t1", created_ms=now - 5000)
    tools.put("t3", task="b.z")
    found, _ = walk(tools)
    assert set(found) == {"t1", "t2", "t3"}
    assert found["t1"] == {"id": "t1", "owner": "ann", "created": now - 9000, "ended": 0, "living": 1}
    assert found["t2"]["living"] == 0 and abs(found["t2"]["ended"] - now) < 60000 and found["t2"]["owner"] == ""
    assert found["t3"]["living"] == 1
    assert look(tools, "t3", "t9", "t1") == {"t1": found["t1"], "t3": found["t3"]}
    tools.claim(1, service="b", sid=3)
    assert look(tools, "t3")["t3"]["living"] == 1


def test_what_ran_again_has_ended_at_its_last_end(tools):
    tools.end("t1")
    first = look(tools, "t1")["t1"]["ended"]
    time.sleep(0.01)
    tools.put("t1", reuse="never")
    assert look(tools, "t1")["t1"]["living"] == 1
    (handout,) = tools.claim(1, sid=5)
    tools.finish((handout, COMPLETED), sid=5)
    assert look(tools, "t1")["t1"]["ended"] > first > 0


def test_only_those_created_before(tools):
    now = now_ms()
    for i in range(20):
        tools.put(f"t{i}", created_ms=now - i * DAY)
    tools.put("t19", task="b.z", created_ms=now)
    found, _ = walk(tools, before=now - 15 * DAY + 1)
    assert set(found) == {f"t{i}" for i in range(15, 20)}
    assert found["t19"]["created"] == now - 19 * DAY
    assert walk(tools, before=1)[0] == {}


def test_many_come_in_slices(tools):
    ids = [f"t{i}" for i in range(3000)]
    tools.put(*ids)
    found, pages = walk(tools, limit=100)
    assert set(found) == set(ids) and 10 < pages < 100
    assert set(walk(tools, limit=1000, before=2 ** 53)[0]) == set(ids)


def test_slices_of_large_bodies_are_small(tools):
    tools.put(*[f"t{i}" for i in range(100)], input_={"x": "y" * 200000})
    found, pages = walk(tools, limit=1000)
    assert len(found) == 100 and pages > 3


def test_created_ones_are_looked_up(tools):
    at = 1762243200000  # 2025-11-04T08:00:00Z
    for id_, status, when in (("c1", "PENDING", "2025-11-04T08:00:00Z"), ("c2", "PROCESSING", "2025-11-04T16:00:00.250+08:00"),
                              ("c3", "COMPLETED", "2025-11-04T07:00:00-01:00"), ("c4", "FAILED", "yesterday")):
        tools.redis.hset(tools.key("task:" + id_), mapping={"task_id": id_, "status": status, "created_at": when, "updated_at": when})
    tools.redis.lpush(tools.key("task:c5"), "no hash")
    found = look(tools, "c1", "c2", "c3", "c4", "c5", "c6")
    assert set(found) == {"c1", "c2", "c3", "c4"}
    assert [(f["created"], f["ended"], f["living"]) for f in found.values()] == [(at, 0, 1), (at, 0, 1), (at, at, 0), (0, 0, 0)]
    assert set(walk(tools, limit=1)[0]) == {"c1", "c2", "c3", "c4"} and set(walk(tools, before=at)[0]) == set()
    assert set(walk(tools, before=at + 1)[0]) == {"c1", "c2", "c3"}
    tools.end("c1", created_ms=at + 5)
    assert (look(tools, "c1")["c1"]["created"], look(tools, "c1")["c1"]["living"]) == (at, 1)


@pytest.mark.parametrize("text,days", [("1970-01-01", 0), ("1970-03-01", 59), ("1972-02-29", 789), ("2000-01-01", 10957), ("2024-12-31", 20088),
                                       ("2100-03-01", 47541)])
def test_dates(tools, text, days):
    tools.redis.hset(tools.key("task:c1"), mapping={"status": "PENDING", "created_at": text + "T00:00:01Z"})
    assert look(tools, "c1")["c1"]["created"] == days * DAY + 1000


def test_what_others_wrote_is_no_task(tools):
    tools.put("t1")
    tools.spoil("t2/a.x")
    tools.keep("bodies", "no field at all", "x")
    tools.keep("bodies", "t3/b.unknown", "x" * 60)
    tools.keep("bodies", "t4/a.x", "x")
    tools.keep("bodies", "t..5/a.x", "x" * 60)
    for id_ in ("a..b", "-c", "d" * 129, "e f"):  # a client would refuse the whole answer
        tools.redis.hset(tools.key("task:" + id_), mapping={"status": "FAILED", "created_at": "2025-11-04T08:00:00Z"})
    found, _ = walk(tools)
    assert set(found) == {"t1", "t2", "t4"}
    assert (found["t4"]["created"], found["t2"]["living"], found["t2"]["ended"]) == (0, 0, 0)
    assert set(walk(tools, before=2 ** 53)[0]) == {"t1"}


@pytest.mark.parametrize("args", [(), ("x", 1, 0), ("0", 0, 0), ("0", 1001, 0), ("0", 1, -1), ("0", 1), ("9" * 22, 1, 0), ("c", 1, 0), ("cx", 1, 0), ("0", 1, 0, ""),
                                  ("0", 1, 0, "x" * 129), ("0", 1, 0, *["t"] * 1025)])
def test_wrong_arguments(tools, args):
    with pytest.raises(redis.exceptions.ResponseError, match="gantry_tasks"):
        tools.call("tasks", *args)
