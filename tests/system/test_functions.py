"""The Redis functions of services/state/functions, one by one.

Run: /usr/bin/python3 -m pytest tests/system/test_functions.py
"""
import time

import msgpack
import pytest
import redis

from functions_library import (BUSY, CANCELLED, CANCELLING, COMPLETED, CONFLICT, FAILED, HIGH, HIT, LEASE_MS, LOW, MISS, OK, PENDING,
                               PRIORITY_NAMES, QUARANTINED, RUNNING, SKIPPED, STALE, WAIT, Gantry, body_of, library_text, read_body, read_end,
                               server, sid_of, token_of)


@pytest.fixture(params=["", "{g1}"])
def gantry(server, request):
    server.flushall()
    return Gantry(server, request.param)


# submit

def test_submit_keeps_body_and_queue_entry(gantry):
    before = int(time.time() * 1000) - 1000
    assert gantry.submit(("t1", "a.x", 1, {"p": "v"}), ("t2", "a.x", 2)) == [(OK, PENDING, MISS)] * 2
    created, *limits, rest, token = read_body(gantry.kept("bodies", "t1/a.x"))
    assert created >= before and token == token_of(1) and limits == [0, 3, 5, 0] and rest["input"] == {"p": "v"}
    assert gantry.queue() == ["t2/a.x", "t1/a.x"]
    assert gantry.ledger() == {"accepted": 2}
    assert gantry.events() == [{b"q": b"a", b"0": b"t1/a.x t2/a.x"}]
    assert gantry.redis.smembers(gantry.shard + "queues") == {b"a"}
    assert gantry.record("t1/a.x")[1:] == [None] * 3
    assert gantry.state("t1") == PENDING
    gantry.check()


def test_same_submit_token_gets_the_same_answer_and_no_new_run(gantry):
    for _ in range(3):
        assert gantry.submit(("t", "a.x", 1)) == [(OK, PENDING, MISS)]
    (handout,) = gantry.claim(5)
    assert gantry.submit(("t", "a.x", 1)) == [(OK, PENDING, MISS)]
    gantry.finish((handout, COMPLETED))
    assert gantry.submit(("t", "a.x", 1)) == [(OK, COMPLETED, MISS)]
    assert gantry.claim(5) == [] and gantry.ledger()["accepted"] == 1
    gantry.check()


def test_reuse_wait_then_hit(gantry):
    gantry.submit(("t", "a.x", 1))
    assert gantry.submit(("t", "a.x", 2)) == [(OK, PENDING, WAIT)]
    (handout,) = gantry.claim(5)
    assert gantry.submit(("t", "a.x", 3)) == [(OK, PENDING, WAIT)]
    gantry.cancel("t")
    assert gantry.submit(("t", "a.x", 3)) == [(OK, PENDING, WAIT)]
    gantry.finish((handout, CANCELLED))
    assert gantry.submit(("t", "a.x", 4)) == [(OK, PENDING, MISS)]
    (handout,) = gantry.claim(5)
    gantry.finish((handout, COMPLETED))
    before = gantry.record("t/a.x")
    assert gantry.submit(("t", "a.x", 5)) == [(OK, COMPLETED, HIT)]
    assert gantry.record("t/a.x") == before
    gantry.check()


@pytest.mark.parametrize("end", [FAILED, SKIPPED, CANCELLED])
def test_reuse_miss_runs_again_with_the_next_generation(gantry, end):
    gantry.submit(("t", "a.x", 1))
    (handout,) = gantry.claim(1)
    gantry.finish((handout, end, {}))
    assert gantry.redis.zcard(gantry.shard + "dead") == (1 if end == FAILED else 0)
    created = read_body(gantry.kept("bodies", "t/a.x"))[0]
    assert gantry.submit(("t", "a.x", 2, {"new": 1})) == [(OK, PENDING, MISS)]
    assert gantry.queue() == ["t/a.x 1"]
    assert gantry.redis.zcard(gantry.shard + "dead") == 0
    stage = gantry.get("t")["a.x"]
    assert (stage["state"], stage["generation"], stage["attempt"], stage["failures"]) == (PENDING, 1, 1, 0)
    (again,) = gantry.claim(1)
    assert again["attempt"] == 2 and again["generation"] == 1
    assert read_body(again["body"]) == [created, 0, 3, 5, 0, {"input": {"new": 1}, "priority": "normal"}, token_of(2)]
    assert gantry.ledger()["accepted"] == 2
    gantry.check()


def test_equal_submits_in_one_batch_run_once(gantry):
    assert gantry.submit(*[("t", "a.x", i) for i in range(200)]) == [(OK, PENDING, MISS)] + [(OK, PENDING, WAIT)] * 199
    assert len(gantry.claim(10)) == 1


def test_submit_into_a_full_queue_is_busy_but_reuse_answers(gantry):
    assert gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2), ("t3", "a.x", 3), queue_max=2) == \
        [(OK, PENDING, MISS), (OK, PENDING, MISS), (BUSY, 2, MISS)]
    assert gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 9), ("t4", "a.x", 4), queue_max=2) == \
        [(OK, PENDING, MISS), (OK, PENDING, WAIT), (BUSY, 2, MISS)]
    assert gantry.get("t3") == {} and gantry.get("t4") == {}
    (handout,) = gantry.claim(1)
    gantry.finish((handout, FAILED))
    gantry.submit(("t5", "a.x", 5), queue_max=2)
    assert gantry.submit(("t1", "a.x", 6), queue_max=2) == [(BUSY, 2, MISS)]
    assert gantry.state("t1") == FAILED
    assert gantry.submit(("t6", "a.x", 6), priority=HIGH, queue_max=2) == [(OK, PENDING, MISS)]
    gantry.check()


def test_a_state_that_is_none_is_a_conflict_for_its_task_alone(gantry):
    gantry.spoil("t2/a.x", "outside")
    assert gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2), ("t3", "a.x", 3)) == \
        [(OK, PENDING, MISS), (CONFLICT, PENDING, MISS), (OK, PENDING, MISS)]
    assert len(gantry.claim(5)) == 2


def test_full_batches(gantry):
    assert gantry.submit(*[("t%d" % i, "a.x", i) for i in range(1024)]) == [(OK, PENDING, MISS)] * 1024
    out = gantry.claim(1024)
    assert [h["id"] for h in out] == ["t%d" % i for i in range(1024)]
    assert len({h["token"] for h in out}) == 1024
    assert gantry.heartbeat(*[(h, "0.25") for h in out], claim_open=2) == ([], [], 0)
    assert gantry.get("t1023")["a.x"]["progress"] == 0.25
    assert gantry.finish(*[(h, COMPLETED) for h in out]) == [OK] * 1024
    assert gantry.redis.exists(f"{gantry.shard}running:{sid_of(0)}") == 0
    gantry.check()


# claim

def test_claim_is_first_in_first_out_and_lends_once(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(5)])
    first, second = gantry.claim(2), gantry.claim(9, sid=1)
    assert [h["id"] for h in first + second] == ["t0", "t1", "t2", "t3", "t4"]
    assert gantry.claim(9, sid=2, raw=True) == (0, [])
    assert gantry.redis.zscore(gantry.shard + "sessions", sid_of(2)) is None
    stage = gantry.get("t0")["a.x"]
    assert stage["state"] == RUNNING and stage["attempt"] == 1 and stage["worker"] == "w"
    assert stage["token"] == first[0]["token"] and stage["session"] == sid_of(0)
    assert abs(stage["started_ms"] - time.time() * 1000) < 5000 and "progress" not in stage
    assert gantry.get("t0", holders=0)["a.x"]["state"] == PENDING
    gantry.check()


def test_priorities_and_lowest_first(gantry):
    for priority, name in PRIORITY_NAMES.items():
        gantry.submit((name + "1", "a.x", priority), (name + "2", "a.x", 10 + priority), priority=priority)
    assert [h["id"] for h in gantry.claim(3)] == ["high1", "high2", "normal1"]
    assert [h["id"] for h in gantry.claim(3, lowest_first=1)] == ["low1", "low2", "normal2"]
    gantry.check()


def test_a_second_claim_does_not_shorten_or_stretch_the_lease(gantry):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2))
    gantry.claim(1)
    gantry.redis.zadd(gantry.shard + "sessions", {sid_of(0): 77})
    gantry.claim(1, seq=2)
    assert gantry.redis.zscore(gantry.shard + "sessions", sid_of(0)) == 77


def test_entries_that_do_not_match_are_dropped(gantry):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2))
    key = gantry.shard + "queue:a:normal"
    gantry.redis.rpush(key, "t1/a.x 7", "nobody/a.x", "nobody/a.x 3", "junk", "", "t1/a.x x", "t1/a.x 0 0", "/", "/ 0", "t1/a.y", " ", "t1/a.x -1",
                       b"\xff\x00\xfe", "x" * 5000)
    gantry.spoil("short/a.x")
    gantry.submit(("scheduled", "a.x", 3, None, {"delay_ms": 1000}))
    gantry.keep("states", "bare/a.x", "no body")
    gantry.redis.rpush(key, "short/a.x", "short/a.x 1", "scheduled/a.x", "bare/a.x")
    assert [h["id"] for h in gantry.claim(2)] == ["t1", "t2"]
    assert gantry.queue() == []
    gantry.unspoil("short/a.x", "bare/a.x")
    gantry.check()


def test_a_queue_of_nothing_but_cancelled_entries_is_cleared_in_bounded_steps(gantry):
    for i in range(0, 6000, 1000):
        gantry.submit(*[("t%d" % j, "a.x", j) for j in range(i, i + 1000)])
    pipe = gantry.redis.pipeline(transaction=False)
    for i in range(6000):
        pipe.execute_command("FCALL", "gantry_cancel", 1, gantry.shard, "t%d" % i, "")
    pipe.execute()
    gantry.submit(("last", "a.x", 9999))
    answers = [gantry.claim(1024, raw=True) for _ in range(2)]
    assert answers[0] == (1, []) and [h["id"] for h in answers[1][1]] == ["last"]
    gantry.check()


# finish

def test_finish_writes_the_state_and_the_lists(gantry):
    gantry.submit(("t", "a.x", 1), ("u", "a.x", 2), priority=HIGH)
    one, two = gantry.claim(2)
    gantry.heartbeat((one, "0.5"), (two, "1"))
    assert gantry.get("t")["a.x"]["progress"] == 0.5
    tail = {"output": {"f": "/p"}, "usage": {"wall_ms": 5}, "worker": "w"}
    assert gantry.finish((one, COMPLETED, tail), (two, FAILED, {"error": {"code": "FAILED"}})) == [OK, OK]
    stage = gantry.get("t")["a.x"]
    assert {k: stage[k] for k in ("state", "generation", "attempt", "failures", "crashes", "priority", "output", "usage", "worker")} == \
        dict(tail, state=COMPLETED, generation=0, attempt=1, failures=0, crashes=0, priority=HIGH)
    assert stage["started_ms"] <= stage["ended_ms"]
    assert gantry.get("u")["a.x"]["failures"] == 1
    assert gantry.redis.zrange(gantry.shard + "dead", 0, -1) == [b"u/a.x"]
    (hour,) = gantry.redis.zrange(gantry.shard + "hours", 0, -1)
    ended = gantry.redis.lrange(b"%sended:%s" % (gantry.shard.encode(), hour), 0, -1)
    assert [read_end(line) for line in ended] == [(COMPLETED, stage["ended_ms"], ["t/a.x"]), (FAILED, stage["ended_ms"], ["u/a.x"])]
    assert gantry.events()[-1] == {b"4": b"t/a.x", b"6": b"u/a.x"}
    assert gantry.redis.keys(gantry.shard + "running:*") == []
    gantry.check()


def test_done_repeated_after_its_ack_was_lost_is_ok_again(gantry):
    gantry.submit(("t", "a.x", 1))
    (handout,) = gantry.claim(1)
    assert gantry.finish((handout, COMPLETED), (handout, FAILED)) == [OK, OK]
    before = gantry.record("t/a.x")
    assert gantry.finish((handout, FAILED)) == [OK]
    assert gantry.finish((dict(handout, token=b"x" * 12), COMPLETED)) == [STALE]
    assert gantry.record("t/a.x") == before
    assert gantry.ledger() == {"accepted": 1, "completed": 1}
    # and a heartbeat that still names it is no reason to kill anything
    assert gantry.heartbeat((handout, "1")) == ([], [], 0)
    gantry.check()


def test_an_old_token_is_stale(gantry):
    gantry.submit(("t", "a.x", 1))
    (old,) = gantry.claim(1)
    assert gantry.finish((old, COMPLETED), sid=5) == [STALE]
    gantry.lapse(0)
    gantry.sweep()
    assert gantry.finish((old, COMPLETED)) == [STALE]
    (new,) = gantry.claim(1, sid=1)
    assert gantry.finish((old, COMPLETED)) == [STALE]
    assert gantry.finish((dict(new, token=old["token"]), COMPLETED), sid=1) == [STALE]
    assert gantry.finish((new, COMPLETED), sid=1) == [OK]
    assert gantry.finish((old, COMPLETED)) == [STALE]
    for id_, task in (("none", "a.x"), ("", ""), ("t/a.x", ""), ("../x", "a.x.s")):
        assert gantry.finish(({"id": id_, "task": task, "token": old["token"]}, COMPLETED)) == [STALE]
    assert gantry.finish(({"id": "none", "task": "a.x", "token": old["token"]}, COMPLETED)) == [STALE]
    gantry.check()


# give_back

def test_give_back_returns_to_the_head_in_order(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(4)])
    out = gantry.claim(3)
    assert gantry.give_back(*out, out[0], dict(out[1], token=b"y" * 12)) == [OK, OK, OK, STALE, STALE]
    assert gantry.give_back(*out) == [STALE] * 3
    again = gantry.claim(4, sid=1)
    assert [(h["id"], h["generation"], h["attempt"]) for h in again] == [("t0", 1, 2), ("t1", 1, 2), ("t2", 1, 2), ("t3", 0, 1)]
    assert gantry.ledger() == {"accepted": 4, "requeues": 3}
    assert gantry.get("t0")["a.x"]["crashes"] == 0
    gantry.check()


def test_give_back_of_a_cancelled_stage_ends_it(gantry):
    gantry.submit(("t", "a.x", 1))
    (handout,) = gantry.claim(1)
    gantry.cancel("t")
    assert gantry.give_back(handout) == [OK]
    assert gantry.state("t") == CANCELLED
    gantry.check()


# heartbeat

def test_heartbeat_renews_the_lease(gantry):
    gantry.heartbeat(worker="bob")
    first = gantry.redis.zscore(gantry.shard + "sessions", sid_of(0))
    assert abs(first - time.time() * 1000 - LEASE_MS) < 5000
    assert gantry.redis.hget(gantry.shard + "workers", sid_of(0)) == b"bob\na\n2"
    gantry.lapse(0)
    gantry.heartbeat()
    assert gantry.redis.zscore(gantry.shard + "sessions", sid_of(0)) >= first


def test_a_lost_claim_reply_is_reconciled_by_claim_open(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(6)])
    held = gantry.claim(2, seq=1)
    lost = gantry.claim(2, seq=2)
    late = gantry.claim(1, seq=3)
    # claim 2 still unanswered: nothing happens
    assert gantry.heartbeat(*[(h, "") for h in held], claim_open=2) == ([], [], 0)
    # the worker gave claim 2 up; claim 3 is still open
    assert gantry.heartbeat(*[(h, "") for h in held], claim_open=3) == ([], [], 2)
    assert gantry.queue() == ["t5/a.x", "t3/a.x 1", "t2/a.x 1"]
    assert gantry.ledger()["requeues"] == 2 and "crashes" not in gantry.ledger()
    # its handouts come after all: refused
    assert gantry.give_back(*lost) == [STALE, STALE]
    assert gantry.heartbeat(*[(h, "") for h in held + lost + late], claim_open=4)[0] == [h["token"] for h in lost]
    assert gantry.finish((late[0], COMPLETED), (lost[0], COMPLETED)) == [OK, STALE]
    gantry.check()


def test_heartbeat_names_what_is_stale_and_what_to_cancel(gantry):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2), ("t3", "a.x", 3))
    one, two, three = gantry.claim(3)
    gantry.cancel("t2")
    fake = dict(three, token=b"z" * 12)
    stale, cancel, requeued = gantry.heartbeat((one, "0.1"), (two, "0.2"), (fake, "0.9"), claim_open=1)
    assert (stale, cancel, requeued) == ([b"z" * 12], [two["token"]], 0)
    assert [gantry.get(t)["a.x"].get("progress") for t in ("t1", "t2", "t3")] == [0.1, 0.2, None]
    gantry.heartbeat((one, ""), (two, "0.3"), claim_open=1)
    assert gantry.get("t1")["a.x"]["progress"] == 0.1 and gantry.get("t2")["a.x"]["progress"] == 0.3
    assert gantry.get("t2")["a.x"]["state"] == CANCELLING
    gantry.check()


def test_a_lost_claim_of_a_cancelled_stage_ends_it(gantry):
    gantry.submit(("t", "a.x", 1))
    gantry.claim(1, seq=1)
    gantry.cancel("t")
    assert gantry.heartbeat(claim_open=2) == ([], [], 1)
    assert gantry.state("t") == CANCELLED
    gantry.check()


# cancel

def test_cancel_of_a_waiting_stage_is_at_once(gantry):
    gantry.submit(("t", "a.x", 1), ("u", "a.x", 2))
    assert gantry.cancel("t")["a.x"]["state"] == CANCELLED
    assert gantry.events()[-1] == {b"8": b"t/a.x"}
    assert gantry.cancel("t")["a.x"]["state"] == CANCELLED
    assert [h["id"] for h in gantry.claim(5)] == ["u"]
    assert gantry.ledger() == {"accepted": 2, "cancelled": 1}
    assert gantry.cancel("none") == {} and gantry.cancel("t", "a.y") == {}
    gantry.check()


def test_cancel_of_a_running_stage_beats_a_late_success(gantry):
    gantry.submit(("t", "a.x", 1))
    (handout,) = gantry.claim(1)
    stage = gantry.cancel("t", "a.x")["a.x"]
    assert stage["state"] == CANCELLING and stage["worker"] == "w" and stage["ended_ms"] == 0
    assert gantry.ledger() == {"accepted": 1}
    assert gantry.finish((handout, COMPLETED)) == [OK]
    stage = gantry.get("t")["a.x"]
    assert stage["state"] == CANCELLED and "output" not in stage and stage["worker"] == "w"
    assert gantry.finish((handout, COMPLETED)) == [OK]
    gantry.check()


def test_cancel_of_a_task_stops_every_stage_that_is_not_over(gantry):
    gantry.submit(("t", "a.x", 1), ("t", "a.y", 2), ("t", "a.z", 3))
    done, running = gantry.claim(2)
    gantry.finish((done, COMPLETED))
    assert {k: v["state"] for k, v in gantry.cancel("t").items()} == {"a.x": COMPLETED, "a.y": CANCELLING, "a.z": CANCELLED}
    gantry.lapse(0)
    gantry.sweep()
    assert gantry.state("t", "a.y") == CANCELLED
    gantry.check()


# sweep and bye

def test_a_lost_lease_requeues_at_the_head_and_counts_a_crash(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(4)])
    gantry.claim(2)
    assert gantry.sweep() == [1, 0, 0, 0, 0]
    gantry.lapse(0)
    assert gantry.sweep() == [1, 1, 0, 2, 0]
    assert gantry.queue() == ["t3/a.x", "t2/a.x", "t1/a.x 1", "t0/a.x 1"]
    assert gantry.get("t0")["a.x"]["crashes"] == 1
    assert gantry.ledger() == {"accepted": 4, "requeues": 2, "crashes": 2}
    assert gantry.redis.keys(gantry.shard + "running:*") == [] and not gantry.redis.exists(gantry.shard + "workers")
    assert gantry.events()[-1] == {b"q": b"a", b"0": b"t1/a.x t0/a.x"}
    assert gantry.sweep() == [1, 0, 0, 0, 0]
    gantry.check()


def test_a_sweep_repeated_at_once_does_nothing(gantry):
    gantry.submit(("t", "a.x", 1))
    gantry.claim(1)
    gantry.sweep()
    gantry.lapse(0)
    for _ in range(3):
        assert gantry.call("sweep", LEASE_MS) == [0, 0, 0, 0, 0]
    assert gantry.state("t") == RUNNING


def test_the_third_crash_is_quarantine(gantry):
    gantry.submit(("t", "a.x", 1))
    for crash in range(1, 4):
        (handout,) = gantry.claim(1, sid=crash, worker="w%d" % crash)
        assert handout["attempt"] == crash
        gantry.lapse(crash)
        gantry.sweep()
        gantry.check()
    stage = gantry.get("t")["a.x"]
    assert stage["state"] == QUARANTINED and stage["crashes"] == 3 and stage["worker"] == "w3"
    assert stage["error"]["code"] == "FAILED" and "3 times" in stage["error"]["message"]
    assert gantry.redis.zrange(gantry.shard + "dead", 0, -1) == [b"t/a.x"]
    assert gantry.claim(1) == []
    assert gantry.ledger() == {"accepted": 1, "requeues": 2, "crashes": 3, "quarantined": 1}
    assert gantry.submit(("t", "a.x", 2)) == [(OK, PENDING, MISS)]
    assert gantry.get("t")["a.x"]["crashes"] == 0
    gantry.check()


def test_a_sweep_expires_a_fifth_and_gives_the_others_one_more_lease(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(20)])
    for n in range(20):
        gantry.claim(1, sid=n)
    gantry.lapse(*range(20))
    assert gantry.sweep() == [1, 4, 16, 4, 0]
    assert gantry.sweep() == [1, 0, 0, 0, 0]
    ends = [score for _, score in gantry.redis.zrange(gantry.shard + "sessions", 0, -1, withscores=True)]
    assert len(ends) == 16 and min(ends) > time.time() * 1000 + LEASE_MS / 2
    gantry.check()


def test_a_sweep_has_a_bound_of_work_and_goes_on_in_the_next(gantry):
    for i in range(0, 10000, 1000):
        gantry.submit(*[("t%d" % j, "a.x", j) for j in range(i, i + 1000)])
    for n in range(10):
        gantry.claim(1000, sid=n)
    gantry.heartbeat(sid=20)
    gantry.lapse(*range(10))
    assert gantry.sweep() == [1, 2, 8, 2000, 0] and gantry.sweep() == [1, 0, 0, 0, 0]
    gantry.submit(*[("u%d" % j, "a.x", j) for j in range(20)], priority=HIGH)
    for n in range(30, 50):
        gantry.claim(1, sid=n)
    gantry.claim(1000, sid=50)
    gantry.claim(1000, sid=51)
    # of 31 sessions 6 may go: three of 1000 each are more than one sweep does
    gantry.lapse(*range(2, 10))
    gantry.lapse(*range(30, 52))
    first, second = gantry.sweep(), gantry.sweep()
    assert first[1] == 3 and first[2] == 24 and first[3] == 3000
    assert second[1] == 3 and second[2] == 0
    gantry.check()


def test_one_of_few_sessions_may_always_expire_and_idle_ones_are_free(gantry):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2))
    gantry.claim(1, sid=0)
    gantry.claim(1, sid=1)
    gantry.heartbeat(sid=2)
    gantry.lapse(0, 1, 2)
    assert gantry.sweep() == [1, 2, 1, 1, 0]
    gantry.check()


def test_after_an_absence_everyone_gets_a_fresh_lease(gantry):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2))
    gantry.claim(1, sid=0)
    gantry.claim(1, sid=1)
    for away in (None, int(time.time() * 1000) - 3500, int(time.time() * 1000) + 60000):
        gantry.lapse(0, 1)
        gantry.redis.delete(gantry.shard + "swept_at")
        if away:
            gantry.redis.set(gantry.shard + "swept_at", away)
        assert gantry.call("sweep", LEASE_MS) == [2, 0, 2, 0, 0]
        assert gantry.sweep() == [1, 0, 0, 0, 0]
    gantry.check()


def test_a_short_lease_needs_a_shorter_absence(gantry):
    gantry.submit(("t1", "a.x", 1))
    gantry.claim(1, sid=0)
    for lease_ms, away_ms, ran in ((3000, 1700, 2), (2500, 1450, 1), (10000, 2900, 1), (10000, 3100, 2)):
        if gantry.queue():
            gantry.claim(1, sid=0)
        gantry.lapse(0)
        gantry.redis.set(gantry.shard + "swept_at", int(time.time() * 1000) - away_ms)
        assert gantry.call("sweep", lease_ms)[:2] == [ran, int(ran == 1)], (lease_ms, away_ms)
    gantry.check()


def test_bye_gives_all_back_without_a_crash(gantry):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2), ("t3", "a.x", 3))
    gantry.claim(2)
    gantry.cancel("t2")
    assert gantry.call("bye", sid_of(0)) == [1, 1]
    assert gantry.call("bye", sid_of(0)) == [0, 0]
    assert gantry.state("t2") == CANCELLED and gantry.queue() == ["t3/a.x", "t1/a.x 1"]
    assert gantry.ledger() == {"accepted": 3, "requeues": 1, "cancelled": 1}
    assert gantry.redis.zcard(gantry.shard + "sessions") == 0
    gantry.check()


# get, list, queues, nodes

def test_get_of_many_references(gantry):
    gantry.submit(("t", "a.x", 1), ("t", "a.y", 2), ("u", "a.x", 3))
    for field in ("t", "t/", "t/.task", "t/status", "t/a.x.s"):
        gantry.keep("bodies", field, "x")
    flat = gantry.call("get", 0, "t", "", "none", "", "u", "a.x", "u", "a.y")
    assert [flat[0], flat[1], flat[6], flat[11], flat[12], flat[13], flat[18]] == [2, b"a.x", b"a.y", 0, 1, b"a.x", 0]
    assert len(flat) == 19
    gantry.keep("states", "bare/a.x", "x")
    assert gantry.get("bare") == {} and gantry.get("bare", "a.x") == {}


def test_list_filters(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(6)])
    gantry.submit(("v", "b.x", 20), service="b", priority=LOW)
    done, failed, running = gantry.claim(3)
    gantry.finish((done, COMPLETED))
    gantry.finish((failed, FAILED))
    gantry.cancel("t5")
    ids = lambda *a, **k: [item[0] for item in gantry.list(*a, **k)[0]]
    assert ids("pending") == ["t4", "t3", "v"] and ids("running") == ["t2"]
    assert ids("completed") == ["t0"] and ids("failed") == ["t1"] and ids("cancelled") == ["t5"]
    assert ids("ended") == ["t5", "t1", "t0"]
    assert ids() == ["t4", "t3", "v", "t2", "t5", "t1", "t0"]
    assert ids("", "b") == ["v"] and ids("", "nobody") == []
    assert gantry.list("failed")[0] == [("t1", "a.x", FAILED, gantry.get("t1")["a.x"]["ended_ms"])]
    gantry.submit(("t1", "a.x", 30))
    assert ids("failed") == [] and "t1" in ids("pending")
    # in pages of any size the same items come, each once
    for limit in (1, 2, 3, 5):
        seen, cursor = [], ""
        while True:
            page, cursor = gantry.list(limit=limit, cursor=cursor)
            seen += [item[0] for item in page]
            if not cursor:
                break
        assert seen == ids()


def test_list_of_many_is_paged_to_the_end(gantry):
    for i in range(0, 3000, 1000):
        gantry.submit(*[("t%d" % j, "a.x", j) for j in range(i, i + 1000)])
    out = [h for sid in range(3) for h in gantry.claim(500, sid=sid)]
    for sid in range(2):
        gantry.finish(*[(h, COMPLETED) for h in out[500 * sid:500 * sid + 500]], sid=sid)
    for state, count in (("pending", 1500), ("running", 500), ("completed", 1000), ("failed", 0), ("", 3000)):
        seen, cursor = set(), ""
        while True:
            page, cursor = gantry.list(state, limit=170, cursor=cursor)
            seen |= {item[0] for item in page}
            if not cursor:
                break
        assert len(seen) == count


def test_queues(gantry):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2))
    gantry.submit(("t3", "b.x", 3), service="b", priority=HIGH)
    gantry.claim(1)
    assert gantry.call("queues") == [b"a", 1, 0, 0, 1, b"b", 0, 1, 0, 0]


def test_register_and_nodes(gantry):
    one, two = msgpack.packb({"name": "a.x"}), msgpack.packb({"name": "a.y", "doc": "d"})
    assert gantry.call("register", "a.x", one, "a.y", two) == 2
    assert gantry.call("register", "a.x", one, "a.y", two) == 0
    assert gantry.call("register", "a.x", two) == 1
    assert gantry.events() == [{b"n": b"2"}, {b"n": b"1"}]
    flat = gantry.call("nodes")
    assert dict(zip(flat[::2], flat[1::2])) == {b"a.x": two, b"a.y": two}


def test_the_version_agrees_with_the_text(gantry):
    assert b"local VERSION = %d " % gantry.call("version") in library_text()


def test_reads_may_run_on_a_replica(gantry):
    for name, *args in (("version",), ("ledger",), ("nodes",), ("queues",), ("get", 1, "t", ""), ("list", "", "", "", 0, 0, 10, "")):
        gantry.redis.execute_command("FCALL_RO", "gantry_" + name, 1, gantry.shard, *args)


# limits

def test_a_full_redis_still_drains(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(10)])
    held = gantry.claim(2)
    gantry.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError, match="OOM"):
            gantry.submit(("new", "a.x", 99))
        with pytest.raises(redis.ResponseError, match="OOM"):
            gantry.call("register", "a.x", msgpack.packb({}))
        held += gantry.claim(3, seq=2)
        assert len(held) == 5
        assert gantry.heartbeat(*[(h, "0.5") for h in held], claim_open=3) == ([], [], 0)
        assert gantry.finish((held[0], COMPLETED), (held[1], FAILED)) == [OK, OK]
        assert gantry.give_back(held[2]) == [OK]
        assert gantry.cancel("t9")["a.x"]["state"] == CANCELLED
        assert len(gantry.get("t1")) == 1 and gantry.list()[0] and gantry.call("queues")
        assert gantry.call("sweep", LEASE_MS)[0] == 2
        gantry.redis.config_set("maxmemory", 0)
        gantry.redis.set(gantry.shard + "swept_at", int(time.time() * 1000) - 1000)
        gantry.lapse(0)
        gantry.redis.config_set("maxmemory", 1)
        assert gantry.call("sweep", LEASE_MS) == [1, 1, 0, 2, 0]
        (one,) = gantry.claim(1)
        assert gantry.call("bye", sid_of(0)) == [1, 0]
    finally:
        gantry.redis.config_set("maxmemory", 0)
    assert gantry.get("new") == {}
    gantry.check()


SID = sid_of(0)
BODY = body_of(1, {}, created_ms=1)
OWNED = body_of(1, {}, "o")
T12 = b"t" * 12
OF_A = ("submit", "a", 0, 10, 0, 0)
GIVE = ("give_back", SID, "w", 10)
BEAT = ("heartbeat", SID, "w", "a", 2, 1, 10)
MALFORMED = [
    ("submit",), ("submit", "a", 0), ("submit", "a", 0, 10, "t/a.x"), ("submit", "a", 3, 10, 0, 0, "t/a.x", BODY, ""),
    ("submit", "a", 0, -1, 0, 0, "t/a.x", BODY, ""), ("submit", "A", 0, 10, 0, 0, "t/A.x", BODY, ""),
    ("submit", "a", 0, 10, -1, 0, "t/a.x", BODY, ""),
    ("submit", "a", 0, 10, 0, "", "t/a.x", BODY, ""), (*OF_A, "t/a.x", BODY),
    (*OF_A, *["t/a.x", BODY, ""] * 1025),
    *[(*OF_A, "ok/a.x", BODY, "", "t/a.x", BODY, extra) for extra in (
        b"\x90", b"\x81", b"\xc1", b"x", *map(msgpack.packb, ({"delay_ms": "1"}, {"delay_ms": -1}, {"not_before_ms": float("nan")},
                                                             {"to_start_ms": []}, {"to_close_ms": True}, {"owner": "o"})))],
    *[(*OF_A, "t/a.x", OWNED, extra) for extra in (b"\x80", *map(msgpack.packb, ({"owner": ""}, {"owner": 1}, {"owner": "o" * 129})))],
    ("claim", SID, "a", 0, 1, 10, 0, "12345678", "w"), ("claim", SID, "a", 1025, 1, 10, 0, "12345678", "w"),
    ("claim", "x" * 32, "a", 1, 1, 10, 0, "12345678", "w"), ("claim", SID[:31], "a", 1, 1, 10, 0, "12345678", "w"),
    ("claim", SID, "a", 1, "one", 10, 0, "12345678", "w"), ("claim", SID, "a", 1, 1, 0, 0, "12345678", "w"),
    ("claim", SID, "a", 1, 1, 10, 2, "12345678", "w"), ("claim", SID, "a", 1, 1, 10, 0, "1234567", "w"),
    ("claim", SID, "a", 1, 1, 10, 0, "12345678"), ("claim", SID, "a", 1, 1, 10, 0, "12345678", "w", "x"),
    ("claim", SID, "a", 1, 1, 10, 0, "12345678", "w" * 129), ("claim", SID, "", 1, 1, 10, 0, "12345678", "w"),
    ("finish",), ("finish", SID), ("finish", SID, "w", "t/a.x", T12, 4),
    ("finish", SID, "w", "t/a.x", T12, 2, b"\x80"), ("finish", SID, "w", "t/a.x", T12, 7, b"\x80"),
    ("finish", SID, "w", "held/a.x", "HELD", 4, b"\x80", "t/a.x", T12, 9, b"\x80"),
    ("give_back",), ("give_back", SID, "w"), (*GIVE, "t/a.x"), ("give_back", SID, "w", 0, "t/a.x", T12, 0, "", "", ""),
    *[(*GIVE, "held/a.x", "HELD", 0, "", "", "", "t/a.x", *wrong) for wrong in (
        ("short", 0, "", "", ""), (T12, 4, "", "", ""), (T12, "", "", "", ""), (T12, 1, "", "", ""), (T12, 1, "-1", b"\x80", ""),
        (T12, 2, "1.5", "", ""), (T12, 2, "9" * 21, "", ""), (T12, 1, "", b"\x90", ""), (T12, 0, "", "", b"c" * 65537))],
    ("heartbeat", SID, "w", "a", 2, 1), ("heartbeat", SID, "w", "a", 2, -1, 10), (*BEAT, "t/a.x", T12),
    ("heartbeat", SID, "w", "a b", 2, 1, 10), ("heartbeat", SID, "w", "a" * 641, 2, 1, 10), ("heartbeat", SID, "w", "a", -2, 1, 10),
    (*BEAT, "t/a.x", T12, "2"), (*BEAT, "t/a.x", T12, "nan"), (*BEAT, "t/a.x", T12, "-0.1"), (*BEAT, "t/a.x", T12[:5], ""),
    ("get", 2, "t", ""), ("get", 0, "t"), ("cancel", "held"), ("cancel", "held", "", ""), ("timers",), ("timers", 0), ("timers", 1025), ("timers", 1, 2),
    ("register", "a.x"), ("register", "ax", b"\x80"), ("register", "a.x", b"\x80", "a.y", "text"),
    ("bye",), ("bye", "x"), ("sweep",), ("sweep", 0), ("sweep", "x"),
]


def test_malformed_arguments_write_nothing(gantry):
    gantry.submit(("held", "a.x", 1), ("waits", "a.x", 2))
    (held,) = gantry.claim(1)
    pipe_dump = lambda: {k: gantry.redis.dump(k) for k in gantry.redis.keys("*")}
    before = pipe_dump()
    for name, *args in MALFORMED:
        with pytest.raises(redis.ResponseError, match="gantry_" + name):
            gantry.call(name, *[held["token"] if a == "HELD" else a for a in args])
    assert pipe_dump() == before


def test_a_session_of_another_type_is_no_hindrance(gantry):
    gantry.submit(("t1", "a.x", 1, None, {"to_close_ms": 3600000}))
    gantry.submit(("t2", "a.x", 2))
    (handout,) = gantry.claim(1)
    gantry.heartbeat(sid=1)
    gantry.redis.set(gantry.shard + "running:" + sid_of(1), "x")
    assert gantry.books()["balanced"] == 1 and gantry.call("queues") == [b"a", 1, 0, 0, 1]
    assert gantry.state("t1") == RUNNING and gantry.cancel("t2")["a.x"]["state"] == CANCELLED
    gantry.due("t1/a.x c", key="deadlines")
    assert gantry.timers()[2] == 1 and gantry.state("t1") == CANCELLING
    assert gantry.finish((dict(handout, token=b"x" * 12), COMPLETED), sid=1) == [STALE]
    gantry.lapse(1)
    gantry.sweep()
    gantry.sweep()
    assert not gantry.redis.exists(gantry.shard + "running:" + sid_of(1))
    gantry.check()


def test_a_queue_of_another_type_takes_nothing_with_it(gantry):
    gantry.submit(("t1", "a.x", 1))
    gantry.redis.set(gantry.shard + "queue:a:low", "x")
    assert [h["id"] for h in gantry.claim(2)] == ["t1"]
    assert gantry.books()["balanced"] == 1 and gantry.call("queues") == [b"a", 0, 0, 0, 1]
    gantry.redis.delete(gantry.shard + "queue:a:low")
    gantry.check()


def test_the_stream_reaches_back_a_bounded_number_of_transitions(gantry):
    for round_ in range(120):
        tasks = [("t%d.%d" % (round_, j), "a.x", j) for j in range(300)]
        gantry.submit(*tasks)
        gantry.finish(*[(h, COMPLETED) for h in gantry.claim(300, seq=round_ + 1)])
    assert gantry.redis.get(gantry.shard + "events_seq") == b"108000"
    first = int(gantry.redis.xrange(gantry.shard + "events", count=1)[0][0].split(b"-")[0])
    assert 108000 - 65536 - 101 * 300 <= first <= 108000 - 65536 + 300
    assert gantry.redis.llen(f"{gantry.shard}queue:a:normal") == 0
