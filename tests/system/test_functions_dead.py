"""The Redis functions: replay and purge of dead letters."""
import pytest
import redis

from functions_library import (BUSY, CANCELLED, COMPLETED, CONFLICT, FAILED, HIGH, LOW, NORMAL, OK, PENDING, QUARANTINED, RETRY, RUNNING,
                               server)
from functions_tools import DAY, NOT_FOUND, gantry


def replay(gantry, id_, task="", queue_max=1000):
    status, *flat = gantry.call("replay", id_, task, queue_max)
    return status, {name: stage["state"] for name, stage in gantry.stages(flat).items()}


def purge(gantry, id_, task=""):
    return gantry.call("purge", id_, task)


def dead(gantry):
    return [m.decode() for m in gantry.redis.zrange(gantry.key("dead"), 0, -1)]


def crash(gantry, sid=0):
    gantry.lapse(sid)
    gantry.sweep()


def test_a_failed_stage_runs_again(gantry):
    gantry.put("t", failures_max=2, retry_ms=1)
    (handout,) = gantry.claim(1)
    assert gantry.put_back((handout, RETRY, 1, {"error": {"code": "A"}}, b"\x05")) == [OK]
    gantry.due("t/a.x 1")
    gantry.timers()
    (handout,) = gantry.claim(1)
    assert handout["checkpoint"] == b"\x05"
    assert gantry.put_back((handout, RETRY, 1, {"error": {"code": "B"}})) == [OK]
    before = gantry.get("t")["a.x"]
    assert (before["state"], before["failures"], before["attempt"]) == (FAILED, 2, 2) and dead(gantry) == ["t/a.x"]
    gantry.put("u")
    gantry.check()

    assert replay(gantry, "t") == (OK, {"a.x": PENDING})
    stage = gantry.get("t")["a.x"]
    assert [stage[k] for k in ("generation", "attempt", "failures", "crashes")] == [before["generation"] + 1, 2, 0, 0]
    assert [(h["state"], h["error"]["code"], h["attempt"]) for h in stage["history"]] == [(FAILED, "A", 1), (FAILED, "B", 2)]
    assert stage["body"] == before["body"]
    assert dead(gantry) == [] and gantry.queue() == ["t/a.x 2", "u/a.x"]
    assert gantry.events()[-1] == {b"q": b"a", b"0": b"t/a.x"}
    assert gantry.ledger()["accepted"] == 3
    gantry.check()
    _, handout = gantry.claim(2)
    assert (handout["id"], handout["attempt"], handout["failures"], handout["checkpoint"]) == ("t", 3, 0, b"\x05")
    assert gantry.finish((handout, COMPLETED)) == [OK]
    gantry.check()


def test_a_quarantined_stage_runs_again(gantry):
    gantry.put("t", crashes_max=1)
    gantry.claim(1)
    gantry.sweep()
    crash(gantry)
    assert gantry.state("t") == QUARANTINED
    assert replay(gantry, "t", "a.x") == (OK, {"a.x": PENDING})
    stage = gantry.get("t")["a.x"]
    assert stage["crashes"] == 0 and [h["state"] for h in stage["history"]] == [QUARANTINED]
    gantry.check()
    gantry.claim(1)
    crash(gantry)
    assert gantry.state("t") == QUARANTINED and dead(gantry) == ["t/a.x"]
    gantry.check()


def test_one_that_ended_without_an_attempt_has_no_history(gantry):
    gantry.put("t", to_start_ms=1)
    (member,) = gantry.redis.zrange(gantry.key("deadlines"), 0, -1)
    gantry.due(member.decode(), key="deadlines")
    gantry.timers()
    assert gantry.state("t") == FAILED
    assert replay(gantry, "t") == (OK, {"a.x": PENDING}) and gantry.get("t")["a.x"]["history"] == []
    gantry.check()
    assert [h["generation"] for h in gantry.claim(5)] == [1]
    gantry.check()


def test_the_clocks_of_its_submit_do_not_end_a_replay(gantry):
    gantry.put("other", to_close_ms=DAY, task="b.x")
    gantry.end("t", state=FAILED, to_start_ms=DAY, to_close_ms=DAY)
    replay(gantry, "t")
    (member,) = gantry.redis.zrange(gantry.key("deadlines"), 0, -1)
    assert member == b"other/b.x c"
    gantry.check()


@pytest.mark.parametrize("priority", [NORMAL, HIGH, LOW])
def test_it_goes_to_the_queue_of_its_priority(gantry, priority):
    gantry.put("t", priority=priority)
    (handout,) = gantry.claim(1)
    gantry.finish((handout, FAILED))
    replay(gantry, "t")
    assert gantry.queue(priority=priority) == ["t/a.x 1"]
    gantry.check()


def test_what_is_not_dead_is_left(gantry):
    gantry.put("pending")
    gantry.put("scheduled", delay_ms=DAY)
    for state, name in ((COMPLETED, "completed"), (CANCELLED, "cancelled"), (FAILED, "failed")):
        gantry.end(name, state=state, task="b.y")
    gantry.put("running", task="c.z")
    gantry.claim(1, service="c")
    purge(gantry, "failed")
    store = gantry.load()
    for id_ in ("pending", "scheduled", "completed", "cancelled", "running", "failed"):
        status, states = replay(gantry, id_)
        assert status == CONFLICT and len(states) == 1
        assert purge(gantry, id_) == 0
    assert replay(gantry, "running")[1] == {"c.z": RUNNING}
    assert replay(gantry, "nobody") == (NOT_FOUND, {}) and replay(gantry, "failed", "b.x") == (NOT_FOUND, {})
    assert purge(gantry, "nobody") == -1 and purge(gantry, "failed", "b.x") == -1
    assert gantry.load() == store
    gantry.check()


def test_an_entry_of_dead_that_is_no_dead_stage_is_not_replayed(gantry):
    gantry.end("t")
    gantry.spoil("short/a.x", "y")
    gantry.keep("states", "bare/a.x", gantry.kept("states", "t/a.x"))
    gantry.redis.zadd(gantry.key("dead"), {"t/a.x": 1, "short/a.x": 1, "bare/a.x": 1})
    assert replay(gantry, "t")[0] == CONFLICT and gantry.call("replay", "short", "a.x", 9)[0] == CONFLICT
    assert replay(gantry, "bare") == (NOT_FOUND, {})


def test_a_second_replay_is_a_conflict(gantry):
    gantry.end("t", state=FAILED)
    assert replay(gantry, "t")[0] == OK
    assert replay(gantry, "t") == (CONFLICT, {"a.x": PENDING}) and gantry.queue() == ["t/a.x 1"]
    gantry.check()


def test_every_dead_stage_of_a_task(gantry):
    for task in ("a.x", "a.y", "b.x"):
        gantry.end("t", state=FAILED, task=task)
    gantry.end("t", task="c.z")
    assert replay(gantry, "t") == (OK, {"a.x": PENDING, "a.y": PENDING, "b.x": PENDING, "c.z": COMPLETED})
    assert dead(gantry) == []
    assert sorted(gantry.queue("a")) == ["t/a.x 1", "t/a.y 1"] and gantry.queue("b") == ["t/b.x 1"]
    gantry.check()


def test_a_full_queue_takes_none(gantry):
    for task in ("a.x", "a.y", "b.x"):
        gantry.end("t", state=FAILED, task=task)
    gantry.put("other", task="a.x")
    assert replay(gantry, "t", "a.x", queue_max=1) == (BUSY, {"a.x": FAILED})
    assert replay(gantry, "t", "a.x", queue_max=0) == (BUSY, {"a.x": FAILED})
    assert dead(gantry) == ["t/a.x", "t/a.y", "t/b.x"] and gantry.queue() == ["other/a.x"]
    gantry.check()
    status, states = replay(gantry, "t", queue_max=2)
    assert status == BUSY and sorted(states.values()) == [PENDING, PENDING, FAILED]
    assert len(gantry.queue()) == 2 and gantry.queue("b") == ["t/b.x 1"]
    gantry.check()


def test_an_owned_stage_is_its_owners_again(gantry):
    gantry.end("t", state=FAILED, owner="u1")
    assert gantry.redis.hlen(gantry.key("owned")) == 0
    assert replay(gantry, "t")[0] == OK
    gantry.check()
    (handout,) = gantry.claim(1)
    gantry.finish((handout, FAILED))
    gantry.check()


def test_purge_forgets_the_dead_letter_and_keeps_the_record(gantry):
    gantry.end("t", state=FAILED)
    gantry.end("t", state=FAILED, task="b.y")
    gantry.end("u", state=FAILED)
    record = gantry.record("t/a.x")
    assert purge(gantry, "t", "b.y") == 1 and dead(gantry) == ["t/a.x", "u/a.x"]
    assert purge(gantry, "t") == 1 and purge(gantry, "t") == 0 and dead(gantry) == ["u/a.x"]
    assert gantry.record("t/a.x") == record and gantry.books()["dead"] == 1
    assert replay(gantry, "t")[0] == CONFLICT
    gantry.put("t")
    assert gantry.state("t") == PENDING
    gantry.check()


@pytest.mark.parametrize("call", [("replay", "t", "a.x"), ("replay", "t", "a.x", "x"), ("replay", "t", "a.x", "-1"), ("replay",),
                                  ("replay", "t", "a.x", "5", "6"), ("purge", "t"), ("purge",), ("purge", "t", "a.x", "5")])
def test_wrong_arguments_write_nothing(gantry, call):
    gantry.end("t", state=FAILED)
    store = gantry.load()
    with pytest.raises(redis.ResponseError, match="gantry_" + call[0]):
        gantry.call(*call)
    assert gantry.load() == store


def test_a_full_redis_refuses_replay_and_lets_purge(gantry):
    gantry.end("t", state=FAILED)
    gantry.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError, match="OOM"):
            replay(gantry, "t")
        assert purge(gantry, "t") == 1
    finally:
        gantry.redis.config_set("maxmemory", 0)
    gantry.check()
