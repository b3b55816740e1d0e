"""gantry_forget: nothing of a task is left, whatever it was doing; and what a claim tells of the other stages of a task."""
import time

import msgpack
import pytest

from functions_library import (CANCELLED, COMPLETED, CONFLICT, FAILED, HIGH, LOW, NORMAL, OK, PENDING, RETRY, RETURN, RUNNING, SCHEDULED, SNOOZE, STALE,
                               Gantry, read_state, server, sid_of)
from functions_tools import NOT_FOUND, gantry as tools

HASHES = ("bodies", "states", "histories", "checkpoints", "callbacks")


def nothing_of(tools, id_):
    """Every key is looked through; what happened, and deliveries to whoever waited, may say its name."""
    for key in tools.redis.scan_iter("*"):
        name = key.decode()[len(tools.shard):]
        if name in ("events", "nodes") or name.startswith("ended:"):
            continue
        kind = tools.redis.type(key)
        inside = {b"hash": lambda k: list(tools.redis.hgetall(k).items()), b"list": lambda k: tools.redis.lrange(k, 0, -1),
                  b"zset": lambda k: tools.redis.zrange(k, 0, -1), b"set": lambda k: list(tools.redis.smembers(k)),
                  b"string": lambda k: [tools.redis.get(k)]}[kind](key)
        for value in inside:
            of = value[0] if isinstance(value, tuple) else value
            assert not of.startswith(id_.encode() + b"/"), (name, value)
    return True


def forget(tools, id_, force=0):
    return tools.call("forget", id_, force)


def test_what_has_ended_is_forgotten_with_all_it_left(tools):
    tools.end("t1", "t2", owner="ann", callback="http://x/1")
    tools.end("t1", task="a.y", state=FAILED)
    before = tools.balanced()
    assert forget(tools, "t1") == [OK, 2]
    assert nothing_of(tools, "t1")
    after = tools.balanced()
    assert {k: after[k] for k in ("accepted", "completed", "failed")} == {k: before[k] for k in ("accepted", "completed", "failed")}
    assert after["dead"] == 0 and before["dead"] == 1
    assert tools.get("t1") == {} and set(tools.get("t2")) == {"a.x"}
    assert [i for i, *_ in tools.list(service="a")[0]] == ["t2"]
    assert forget(tools, "t1") == [NOT_FOUND, 0]
    assert forget(tools, "unknown", 1) == [NOT_FOUND, 0]


def test_what_has_not_ended_is_a_conflict_unless_forced(tools):
    tools.put("t1")
    tools.put("t1", task="a.y", delay_ms=60000, to_close_ms=90000)
    tools.end("t1", task="b.x")
    assert forget(tools, "t1") == [CONFLICT, 2]
    assert {k: v["state"] for k, v in tools.get("t1").items()} == {"a.x": PENDING, "a.y": SCHEDULED, "b.x": COMPLETED}
    assert forget(tools, "t1", 1) == [OK, 3]
    assert nothing_of(tools, "t1") and tools.queue() == []
    books = tools.balanced()
    assert (books["cancelled"], books["pending"], books["scheduled"], books["accepted"]) == (2, 0, 0, 3)


def test_only_what_ended_before(tools):
    tools.end("t1")
    (ended,) = [at for *_, at in tools.list(state="ended")[0]]
    assert tools.call("forget", "t1", 0, 1) == [CONFLICT, 0]  # none may be there
    assert tools.call("forget", "t1", 0, ended) == [CONFLICT, 0]
    tools.put("t1", task="a.y")
    assert tools.call("forget", "t1", 0, ended + 1) == [CONFLICT, 1]
    (handout,) = tools.claim(1)
    time.sleep(0.01)
    tools.finish((handout, COMPLETED))
    assert tools.call("forget", "t1", 0, ended + 1) == [CONFLICT, 0]
    assert tools.call("forget", "t1", 1, ended + 1) == [CONFLICT, 0]
    assert tools.call("forget", "t1", 0, 2 ** 53) == [OK, 2] and nothing_of(tools, "t1")
    assert tools.call("forget", "t1", 0, 1) == [NOT_FOUND, 0]


def test_a_worker_that_has_it_learns_so(tools):
    tools.put("t1", owner="ann")
    tools.put("t2")
    t1, t2 = tools.claim(2)
    assert forget(tools, "t1") == [CONFLICT, 1]
    assert forget(tools, "t1", 1) == [OK, 1]
    assert nothing_of(tools, "t1")
    assert tools.balanced()["running"] == 1
    assert tools.heartbeat((t1, "0.5"), (t2, "0.5")) == ([t1["token"]], [], 0)
    assert tools.finish((t1, COMPLETED)) == [STALE] and tools.put_back((t1, RETRY)) == [STALE] and tools.give_back(t1) == [STALE]
    assert tools.finish((t2, COMPLETED)) == [OK]
    assert tools.get("t1") == {}
    assert tools.submit(("t3", "a.x", 9, None, {"owner": "ann"}), quota_user=1)[0][0] == OK  # its owner's place is free


def test_one_that_is_being_cancelled(tools):
    tools.put("t1")
    (handout,) = tools.claim(1)
    tools.cancel("t1")
    assert forget(tools, "t1") == [CONFLICT, 1]
    assert forget(tools, "t1", 1) == [OK, 1]
    assert nothing_of(tools, "t1") and tools.balanced()["cancelled"] == 1
    assert tools.heartbeat((handout, "")) == ([handout["token"]], [], 0)


def test_no_old_entry_survives(tools):
    """Entries of several generations, in queues of several priorities, among others."""
    tools.put("u1", "u2")
    for priority in (NORMAL, HIGH, LOW):
        tools.put("t1", priority=priority)
        tools.cancel("t1")
    tools.put("u3", priority=HIGH)
    tools.put("t1", priority=LOW)
    before = tools.balanced()
    assert before["pending"] == 4 and tools.redis.scard(tools.key("stale")) == 3
    assert forget(tools, "t1", 1) == [OK, 1]
    assert nothing_of(tools, "t1") and tools.balanced()["pending"] == 3
    tools.put("t1")
    got = tools.claim(10)
    assert [h["id"] for h in got] == ["u3", "u1", "u2", "t1"]
    assert got[3]["generation"] == 0 and got[3]["attempt"] == 1
    assert tools.claim(10) == [] and tools.balanced()["running"] == 4


@pytest.mark.parametrize("others", [0, 3000])
def test_many_generations_and_much_that_is_stale(tools, others):
    """Whichever of the two is longer."""
    for i in range(others):
        tools.redis.sadd(tools.key("stale"), "other%d/a.x" % i)
        tools.redis.rpush(tools.key("queue:a:normal"), "other%d/a.x" % i)
    tools.put("t1")
    if others:
        packed = read_state(tools.call("get", 1, "t1", "a.x")[3])
        assert packed["generation"] == 0
    tools.cancel("t1")
    for n in range(1, 1205):
        tools.put("t1", priority=(NORMAL, HIGH, LOW)[n % 3])
        if n < 1204:
            tools.cancel("t1")
    assert tools.get("t1")["a.x"]["generation"] == 1204
    assert forget(tools, "t1", 1) == [OK, 1]
    assert nothing_of(tools, "t1")
    assert tools.redis.scard(tools.key("stale")) == others
    assert sum(tools.redis.llen(tools.key("queue:a:" + p)) for p in ("normal", "high", "low")) == others


def test_one_that_waits_for_its_next_attempt(tools):
    tools.put("t1", to_start_ms=60000, to_close_ms=60000)
    (handout,) = tools.claim(1)
    tools.put_back((handout, RETRY, 60000, {}, b"\x01"))
    assert tools.kept("histories", "t1/a.x") and tools.kept("checkpoints", "t1/a.x")
    assert forget(tools, "t1", 1) == [OK, 1]
    assert nothing_of(tools, "t1") and tools.balanced()["scheduled"] == 0
    tools.put("t1")
    assert tools.get("t1")["a.x"]["history"] == [] and tools.claim(1)[0]["checkpoint"] == b""


def test_who_waits_to_be_called_is_told(tools):
    tools.put("t1", callback="http://x/1")
    assert forget(tools, "t1", 1) == [OK, 1]
    assert nothing_of(tools, "t1")
    (delivery,) = tools.claim(9, service="system")
    assert delivery["id"].startswith("callback-") and b"http://x/1" in delivery["body"]
    tools.balanced()


def test_who_waits_for_the_same_task_anew_is_told_anew(tools):
    for created in (1000, 2000):
        assert tools.submit(("t1", "a.x", 1, None, {"callback": "http://x/1", "created_ms": created}))[0] == (OK, PENDING, 0)
        (handout,) = tools.claim(1)
        assert tools.finish((handout, COMPLETED)) == [OK]
        assert len(tools.claim(9, service="system")) == 1
        assert forget(tools, "t1") == [OK, 1]


def test_what_an_outsider_spoiled_can_be_forgotten(tools):
    tools.put("t1")
    tools.keep("states", "t1/a.x", b"short")
    assert forget(tools, "t1") == [OK, 1]
    assert nothing_of(tools, "t1")
    tools.put("t1")
    assert len(tools.claim(9)) == 1


def test_wrong_arguments(tools):
    for args in ((), ("t1",), ("t1", 2), ("t1", "x"), ("t1", 1, "x"), ("t1", 1, -1), ("t1", 1, 1, 1)):
        with pytest.raises(Exception, match="gantry_forget"):
            tools.call("forget", *args)


# ---- what a claim tells of other stages


def test_a_claim_tells_of_the_other_stages_of_what_refers(tools):
    tools.end("t1", task="b.done")
    tools.end("t1", task="b.failed", state=FAILED)
    tools.end("t2", task="b.done")
    tools.put("t1", task="b.named")
    tools.put("t1", task="b.other")
    tools.put("t1", input_={"x": "${{ stages.b.named.output.y }}"}, refers=True)
    tools.put("t2")
    got = {h["id"]: h for h in tools.claim(2)}
    assert got["t2"]["siblings"] is None
    assert {k: v["state"] for k, v in got["t1"]["siblings"].items()} == {"b.done": COMPLETED, "b.failed": FAILED, "b.named": PENDING}
    assert got["t1"]["siblings"]["b.done"]["output"] == {"x": 1}
    assert got["t1"]["attempt"] == 1


def test_also_of_a_later_attempt_with_what_it_kept(tools):
    tools.put("t1", input_={"x": "${{ stages.b.x.output.y }}"}, refers=True, owner="ann")
    (handout,) = tools.claim(1)
    tools.put_back((handout, SNOOZE, 1, {}, b"\x01"))
    tools.due("t1/a.x 1")
    tools.timers()
    tools.end("t1", task="b.x")
    (handout,) = tools.claim(1)
    assert (handout["attempt"], handout["generation"], handout["checkpoint"]) == (2, 1, b"\x01")
    assert set(handout["siblings"]) == {"b.x"}


def test_what_other_stages_come_to_is_bounded(tools):
    """The first has its answer at any rate; those for which there is no room come back."""
    tools.put(*["t%d" % i for i in range(5)], task="b.x")
    for handout in tools.claim(5, service="b"):
        assert tools.finish((handout, COMPLETED, {"output": {"big": "x" * 5000000}})) == [OK]
    tools.put(*["t%d" % i for i in range(5)], input_={"x": "${{ stages.b.x.output.y }}"}, refers=True)
    got = tools.claim(5)
    assert [h["siblings"] is not None and len(h["siblings"]) for h in got] == [1, 1, False, False, False]
    assert [h["left"] for h in got] == [False, False, True, True, True]
    tools.give_back(*got[2:])
    assert [h["id"] for h in tools.claim(5)] == ["t2", "t3", "t4"]


def test_nodes_say_whether_somebody_serves_them(tools):
    tools.know("a.x")
    tools.know("b.x")

    def available():
        flat = tools.call("nodes", "available")
        return dict(zip([n.decode() for n in flat[::3]], flat[2::3]))
    assert len(tools.call("nodes")) == 4
    assert available() == {"a.x": 0, "b.x": 0}
    tools.heartbeat(services="b,c", sid=3)
    assert available() == {"a.x": 0, "b.x": 1}
    tools.lapse(3)
    assert available() == {"a.x": 0, "b.x": 0}
