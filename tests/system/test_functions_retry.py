"""The Redis functions of services/state/functions: attempts that fail, are put off or crash, and what the next one gets.

Run: /usr/bin/python3 -m pytest tests/system/test_functions_retry.py
"""
import struct

import msgpack
import pytest

from functions_library import (BUSY, CANCELLED, CANCELLING, CAP_MS, COMPLETED, FAILED, HIGH, HOUR, MISS, OK, OVER_ALL, OVER_USER, PENDING,
                               QUARANTINED, RETRY, RETURN, RUNNING, SCHEDULED, SKIPPED, SNOOZE, STALE, WAIT, Gantry, Hold, back_off, entry_of,
                               read_history, server, sid_of)

FAULT = {"error": {"code": "FAILED", "message": "no"}, "usage": {"wall_ms": 3}, "worker": "w"}


@pytest.fixture(params=["", "{g1}"])
def gantry(server, request):
    server.flushall()
    return Gantry(server, request.param)


def submit_and_claim(gantry, **options):
    assert gantry.submit(("t", "a.x", 1, None, options))[0][0] == OK
    (handout,) = gantry.claim(1)
    return handout


def fire(gantry, member="t/a.x 1"):
    gantry.due(member)
    assert gantry.timers()[2] == 1


def waits(gantry, member="t/a.x 1"):
    """how long this timer was set ahead, by the event that told of it"""
    at = [int(e[b"at"]) for _, e in gantry.redis.xrange(gantry.shard + "events") if b"1" in e][-1]
    return gantry.redis.zscore(gantry.shard + "timers", member) - at


# retry

def test_a_retry_waits_for_its_time_and_runs_again(gantry):
    handout = submit_and_claim(gantry)
    assert gantry.put_back((handout, RETRY, "5000", FAULT)) == [OK]
    stage = gantry.get("t")["a.x"]
    assert {k: stage[k] for k in ("state", "generation", "attempt", "failures", "crashes", "reason", "token")} == \
        {"state": SCHEDULED, "generation": 1, "attempt": 1, "failures": 1, "crashes": 0, "reason": "retrying", "token": handout["token"]}
    assert stage["due_ms"] == gantry.redis.zscore(gantry.shard + "timers", "t/a.x 1") and waits(gantry) == 5000
    assert stage["started_ms"] > 0 and stage["ended_ms"] == 0
    (before,) = stage["history"]
    assert {k: before[k] for k in ("state", "attempt", "failures", "worker", "error", "usage", "token")} == \
        dict(FAULT, state=FAILED, attempt=1, failures=1, token=handout["token"])
    assert before["started_ms"] == stage["started_ms"] and before["ended_ms"] >= before["started_ms"]
    assert gantry.claim(1) == [] and gantry.ledger() == {"accepted": 1, "retries": 1} and gantry.books()["scheduled"] == 1
    assert gantry.submit(("t", "a.x", 2)) == [(OK, SCHEDULED, WAIT)] and gantry.submit(("t", "a.x", 1)) == [(OK, SCHEDULED, MISS)]
    fire(gantry)
    assert gantry.events()[-1] == {b"q": b"a", b"0": b"t/a.x"}
    (again,) = gantry.claim(1)
    assert {k: again[k] for k in ("attempt", "generation", "failures", "crashes", "checkpoint")} == \
        {"attempt": 2, "generation": 1, "failures": 1, "crashes": 0, "checkpoint": b""}
    assert gantry.finish((again, COMPLETED)) == [OK]
    stage = gantry.get("t")["a.x"]
    assert stage["state"] == COMPLETED and stage["failures"] == 1 and len(stage["history"]) == 1
    gantry.check()


def test_the_last_failure_allowed_is_for_good(gantry):
    gantry.submit(("t", "a.x", 1, None, {"failures_max": 3}))
    for attempt in (1, 2, 3):
        (handout,) = gantry.claim(1)
        assert handout["failures"] == attempt - 1
        assert gantry.put_back((handout, RETRY, "1", FAULT)) == [OK]
        if attempt < 3:
            fire(gantry, entry_of("t/a.x", attempt))
    stage = gantry.get("t")["a.x"]
    assert stage["state"] == FAILED and stage["failures"] == 3 and stage["error"] == FAULT["error"]
    assert [(h["attempt"], h["state"]) for h in stage["history"]] == [(1, FAILED), (2, FAILED)]
    assert gantry.redis.zrange(gantry.shard + "dead", 0, -1) == [b"t/a.x"]
    assert gantry.ledger() == {"accepted": 1, "retries": 2, "failed": 1}
    gantry.check()
    # it is submitted anew: counts begin again, what happened is kept
    assert gantry.submit(("t", "a.x", 2)) == [(OK, PENDING, MISS)]
    stage = gantry.get("t")["a.x"]
    assert (stage["failures"], stage["attempt"]) == (0, 3)
    assert [(h["attempt"], h["state"]) for h in stage["history"]] == [(1, FAILED), (2, FAILED), (3, FAILED)]
    gantry.check()


def test_a_failure_for_good_is_not_tried_again(gantry):
    handout = submit_and_claim(gantry)
    assert gantry.finish((handout, FAILED, FAULT)) == [OK]
    assert gantry.state("t") == FAILED and gantry.redis.zcard(gantry.shard + "timers") == 0
    gantry.check()


@pytest.mark.parametrize("random8", [bytes(8), b"\xff" * 8, b"\x80" + bytes(7)])
def test_the_back_off_grows_with_jitter_from_the_token(gantry, random8):
    share = random8[0] / 256
    for name, retry_ms in (("formula", 0), ("doubling", 400)):
        for failure in range(1, 12):
            field = "%s%d" % (name, failure)
            gantry.submit((field, "a.x", 1, None, {"failures_max": 1000, "retry_ms": retry_ms}))
            for attempt in range(failure):
                (handout,) = gantry.claim(1, random8=random8)
                assert gantry.put_back((handout, RETRY), cap_ms=HOUR) == [OK]
                if attempt < failure - 1:
                    fire(gantry, entry_of(field + "/a.x", attempt + 1))
            wait = waits(gantry, entry_of(field + "/a.x", failure))
            least = 400 * 2 ** (failure - 1) if retry_ms else (failure ** 4 + 15) * 1000
            most = least * 1.1 if retry_ms else least + 10000 * (failure + 1)
            assert wait == min(HOUR, wait) == back_off(failure, retry_ms, handout["token"], HOUR)
            assert min(HOUR, least) <= wait <= min(HOUR, most)
            assert wait == HOUR or abs(wait - (least + (most - least) * share)) <= (most - least) * 0.01 + 1
    gantry.check()


def test_the_back_off_of_a_thousandth_failure_is_the_cap(gantry):
    handout = submit_and_claim(gantry, failures_max=1001, retry_ms=2 ** 32 - 1)
    running = gantry.shard + "running:" + sid_of(0)
    hold = Hold(gantry.redis.hget(running, "t/a.x")).with_counters(0, 1, 999, 0)
    gantry.redis.hset(running, "t/a.x", hold.bytes())
    assert gantry.put_back((handout, RETRY), cap_ms=777) == [OK]
    assert waits(gantry) == 777 and gantry.get("t")["a.x"]["failures"] == 1000


def test_jitter_differs_within_a_batch(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(100)])
    gantry.put_back(*[(h, RETRY) for h in gantry.claim(100)])
    due = {score for _, score in gantry.redis.zrange(gantry.shard + "timers", 0, -1, withscores=True)}
    assert len(due) > 90 and max(due) - min(due) > 15000


def test_what_a_worker_asks_for_is_not_capped_but_bounded(gantry):
    gantry.submit(("t", "a.x", 1), ("u", "a.x", 2))
    one, two = gantry.claim(2)
    gantry.put_back((one, RETRY, str(2 * CAP_MS)), (two, SNOOZE, "9" * 20))
    assert waits(gantry) == 2 * CAP_MS and waits(gantry, "u/a.x 1") == 3660 * 24 * HOUR
    assert gantry.timers()[2] == 0
    gantry.check()


# lost answers

def test_a_retry_repeated_after_its_ack_was_lost_is_ok_again(gantry):
    handout = submit_and_claim(gantry)
    assert gantry.put_back((handout, RETRY, "1", FAULT), (handout, RETRY, "1", FAULT)) == [OK, OK]
    again = lambda: gantry.put_back((handout, RETRY, "1", FAULT))
    beat = lambda: gantry.heartbeat((handout, "0.5"))
    assert again() == [OK] and beat() == ([], [], 0)
    fire(gantry)
    assert again() == [OK] and beat() == ([], [], 0)
    (second,) = gantry.claim(1, sid=1)
    assert again() == [OK] and beat() == ([], [], 0)
    assert gantry.ledger() == {"accepted": 1, "retries": 1} and len(gantry.get("t")["a.x"]["history"]) == 1
    # but it is no right to the stage
    assert gantry.finish((handout, COMPLETED)) == [STALE] and gantry.give_back(handout) == [STALE]
    assert gantry.put_back((dict(handout, token=b"x" * 12), RETRY)) == [STALE]
    assert gantry.finish((second, COMPLETED), sid=1) == [OK]
    assert again() == [STALE] and beat()[0] == [handout["token"]]
    gantry.check()


def test_the_last_retry_repeated_is_ok_again(gantry):
    handout = submit_and_claim(gantry, failures_max=1)
    for _ in range(2):
        assert gantry.put_back((handout, RETRY, "", FAULT)) == [OK]
    assert gantry.finish((handout, FAILED)) == [OK] and gantry.heartbeat((handout, "")) == ([], [], 0)
    assert gantry.ledger() == {"accepted": 1, "failed": 1}


def test_a_receipt_that_was_lost_is_given_again_at_every_stage_of_its_life(gantry):
    task = ("t", "a.x", 1, None, {"delay_ms": HOUR, "owner": "ann", "to_close_ms": HOUR})
    submit = lambda: gantry.submit(task, quota_user=1, quota_all=1)
    assert submit() == [(OK, SCHEDULED, MISS)] and submit() == [(OK, SCHEDULED, MISS)]
    fire(gantry, "t/a.x")
    assert submit() == [(OK, PENDING, MISS)]
    (handout,) = gantry.claim(1)
    assert submit() == [(OK, PENDING, MISS)]
    gantry.finish((handout, COMPLETED))
    assert submit() == [(OK, COMPLETED, MISS)]
    assert gantry.ledger() == {"accepted": 1, "completed": 1} and gantry.redis.zcard(gantry.shard + "deadlines") == 0
    gantry.check()


def test_a_lost_claim_leaves_checkpoint_and_counts_as_they_were(gantry):
    handout = submit_and_claim(gantry)
    gantry.put_back((handout, RETRY, "1", FAULT, b"half"))
    fire(gantry)
    (lost,) = gantry.claim(1, seq=2)
    assert lost["checkpoint"] == b"half" and gantry.heartbeat(claim_open=3) == ([], [], 1)
    (again,) = gantry.claim(1, seq=3)
    assert (again["failures"], again["crashes"], again["attempt"], again["generation"], again["checkpoint"]) == (1, 0, 3, 2, b"half")
    gantry.check()


# snooze, return, checkpoint

def test_a_snooze_is_no_failure(gantry):
    handout = submit_and_claim(gantry, failures_max=1)
    for generation in (1, 2, 3):
        assert gantry.put_back((handout, SNOOZE, "60000")) == [OK]
        stage = gantry.get("t")["a.x"]
        assert (stage["state"], stage["failures"], stage["reason"], stage["history"]) == (SCHEDULED, 0, "snoozed", [])
        assert waits(gantry, entry_of("t/a.x", generation)) == 60000
        fire(gantry, entry_of("t/a.x", generation))
        (handout,) = gantry.claim(1)
    assert gantry.ledger() == {"accepted": 1}
    gantry.check()


@pytest.mark.parametrize("after", ["", "0"])
def test_a_snooze_of_nothing_still_waits(gantry, after):
    gantry.put_back((submit_and_claim(gantry), SNOOZE, after))
    assert waits(gantry) == 1


def test_a_checkpoint_goes_to_the_next_attempt_until_the_stage_is_done(gantry):
    handout = submit_and_claim(gantry)
    field = lambda: gantry.kept("checkpoints", "t/a.x")
    for generation, (how, given) in enumerate([(RETRY, b"one"), (SNOOZE, b""), (RETURN, b"two"), (RETURN, b""), (RETRY, b"c" * 65536)], 1):
        assert gantry.put_back((handout, how, "1", FAULT, given)) == [OK]
        last = given or last
        if how != RETURN:
            fire(gantry, entry_of("t/a.x", generation))
        (handout,) = gantry.claim(1)
        assert handout["checkpoint"] == last == field()
    assert gantry.get("t")["a.x"]["state"] == RUNNING
    gantry.finish((handout, SKIPPED))
    assert field() is None
    gantry.check()


def test_a_crash_and_a_failure_keep_the_checkpoint_a_new_submit_does_not(gantry):
    handout = submit_and_claim(gantry)
    gantry.put_back((handout, RETURN, "", {}, b"kept"))
    gantry.claim(1)
    gantry.lapse(0)
    gantry.sweep()
    (handout,) = gantry.claim(1)
    assert handout["checkpoint"] == b"kept"
    gantry.finish((handout, FAILED))
    assert gantry.kept("checkpoints", "t/a.x") == b"kept"
    gantry.submit(("t", "a.x", 2))
    assert gantry.claim(1)[0]["checkpoint"] == b""


def test_returns_and_retries_of_one_call_are_each_taken(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(6)])
    out = gantry.claim(5)
    gantry.cancel("t4")
    assert gantry.put_back((out[0], RETURN), (out[1], RETRY, "7"), (out[2], RETURN), (out[3], SNOOZE, "9"), (out[4], RETRY, "1")) == [OK] * 5
    assert gantry.queue() == ["t5/a.x", "t2/a.x 1", "t0/a.x 1"] and gantry.state("t4") == CANCELLED
    assert gantry.redis.zcard(gantry.shard + "timers") == 2
    assert gantry.ledger() == {"accepted": 6, "requeues": 2, "retries": 1, "cancelled": 1}
    assert gantry.events()[-1] == {b"q": b"a", b"0": b"t2/a.x t0/a.x", b"1": b"t1/a.x t3/a.x", b"8": b"t4/a.x",
                                   b"t": b"%d" % gantry.get("t1")["a.x"]["due_ms"]}
    gantry.check()


@pytest.mark.parametrize("how", [RETRY, SNOOZE, RETURN])
def test_a_cancel_beats_a_retry(gantry, how):
    handout = submit_and_claim(gantry, failures_max=1)
    gantry.cancel("t")
    assert gantry.put_back((handout, how, "5", FAULT)) == [OK]
    stage = gantry.get("t")["a.x"]
    assert stage["state"] == CANCELLED and stage["failures"] == 0 and "error" not in stage
    gantry.check()


def test_a_cancel_of_what_waits_for_its_retry_is_at_once(gantry):
    handout = submit_and_claim(gantry)
    gantry.put_back((handout, RETRY, "5000", FAULT))
    assert gantry.cancel("t")["a.x"]["state"] == CANCELLED
    assert gantry.redis.zcard(gantry.shard + "timers") == 0 and gantry.ledger() == {"accepted": 1, "retries": 1, "cancelled": 1}
    gantry.submit(("t", "a.x", 2))
    assert [(h["attempt"], h["state"]) for h in gantry.get("t")["a.x"]["history"]] == [(1, FAILED)]
    gantry.check()


# crashes and history

@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_submit_says_how_many_crashes_are_too_many(gantry, most):
    gantry.submit(("t", "a.x", 1, None, {"crashes_max": most}))
    for crash in range(1, most + 1):
        assert gantry.state("t") == PENDING
        gantry.claim(1, worker="w%d" % crash)
        gantry.lapse(0)
        gantry.sweep()
    stage = gantry.get("t")["a.x"]
    assert stage["state"] == QUARANTINED and stage["crashes"] == most and "%d times" % most in stage["error"]["message"]
    assert [(h["state"], h["attempt"], h["crashes"], h["worker"]) for h in stage["history"]] == \
        [(QUARANTINED, n, n, "w%d" % n) for n in range(1, most)]
    gantry.check()


def test_the_history_has_the_latest_sixteen(gantry):
    gantry.submit(("t", "a.x", 1, None, {"failures_max": 1000, "crashes_max": 100}))
    for attempt in range(1, 41):
        (handout,) = gantry.claim(1)
        if attempt % 4 == 0:
            gantry.lapse(0)
            gantry.sweep()
        else:
            gantry.put_back((handout, RETRY, "1", {"error": {"code": "FAILED", "message": "x" * attempt}}))
            fire(gantry, entry_of("t/a.x", attempt))
    history = gantry.get("t")["a.x"]["history"]
    assert [h["attempt"] for h in history] == list(range(25, 41))
    assert all((h["state"] == QUARANTINED) == (h["attempt"] % 4 == 0) for h in history)
    assert all(len(h["error"]["message"]) == h["attempt"] for h in history if h["state"] == FAILED)
    gantry.check()


def test_a_very_long_tail_is_left_out_of_the_history(gantry):
    handout = submit_and_claim(gantry)
    gantry.put_back((handout, RETRY, "1", {"error": {"message": "x" * 65530}}))
    (before,) = gantry.get("t")["a.x"]["history"]
    assert before["attempt"] == 1 and "error" not in before


@pytest.mark.parametrize("wrong", [b"junk", b"\xc6\0\0\0\xffshort", b"\xc6\0\0"])
def test_a_history_that_an_outsider_spoiled_begins_anew(gantry, wrong):
    handout = submit_and_claim(gantry)
    gantry.keep("histories", "t/a.x", wrong)
    assert gantry.put_back((handout, RETRY, "1", FAULT)) == [OK]
    assert len(read_history(gantry.kept("histories", "t/a.x"))) == 1


@pytest.mark.parametrize("how", [RETRY, SNOOZE, RETURN])
def test_a_record_that_an_outsider_replaced_does_not_stop_the_others(gantry, how):
    gantry.submit(("t", "a.x", 1), ("u", "a.x", 2), ("v", "a.x", 3))
    out = gantry.claim(3)
    gantry.redis.hdel(gantry.shard + "bodies", "u/a.x")
    gantry.keep("states", "u/a.x", "outside")
    gantry.keep("histories", "u/a.x", "outside")
    assert gantry.put_back(*[(h, how, "1", FAULT, b"c") for h in out]) == [OK] * 3
    assert gantry.redis.exists(gantry.shard + "running:" + sid_of(0)) == 0
    gantry.timers()
    assert {gantry.state(i) for i in "tv"} <= {PENDING, SCHEDULED} and gantry.get("u") == {}


# quota

def test_quota_of_a_user_and_of_all(gantry):
    submit = lambda id_, owner, **more: gantry.submit((id_, "a.x", hash(id_) % 1000, None, dict({"owner": owner}, **more)), quota_user=2, quota_all=3)
    assert submit("t1", "ann") == submit("t2", "ann") == [(OK, PENDING, MISS)]
    assert submit("t3", "ann") == [(BUSY, 2, OVER_USER)] and gantry.get("t3") == {}
    assert submit("t3", "bob", delay_ms=HOUR) == [(OK, SCHEDULED, MISS)]
    assert submit("t4", "bob") == [(BUSY, 3, OVER_ALL)]
    assert submit("t1", "ann") == [(OK, PENDING, MISS)]
    # those without an owner are free
    assert gantry.submit(("free", "a.x", 7), quota_user=2, quota_all=3) == [(OK, PENDING, MISS)]
    assert gantry.redis.smembers(gantry.shard + "user:ann") == {b"t1/a.x", b"t2/a.x"}
    gantry.check()
    # an end of any kind makes room
    gantry.cancel("t1")
    gantry.cancel("t3")
    (handout, _) = gantry.claim(2)
    gantry.finish((handout, COMPLETED))
    assert not gantry.redis.exists(gantry.shard + "owned", gantry.shard + "user:ann", gantry.shard + "user:bob")
    assert submit("t1", "ann")[0][0] == OK
    gantry.check()


def test_quota_within_a_batch_and_without_limits(gantry):
    tasks = [("t%d" % i, "a.x", i, None, {"owner": "ann"}) for i in range(5)]
    assert gantry.submit(*tasks, quota_user=3) == [(OK, PENDING, MISS)] * 3 + [(BUSY, 3, OVER_USER)] * 2
    assert gantry.submit(*tasks, quota_all=4) == [(OK, PENDING, MISS)] * 4 + [(BUSY, 4, OVER_ALL)]
    assert gantry.submit(*tasks) == [(OK, PENDING, MISS)] * 5
    gantry.check()


def test_what_is_put_off_or_crashes_still_counts_what_ends_does_not(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i, None, {"owner": "ann", "crashes_max": 1 + i % 2}) for i in range(4)])
    out = gantry.claim(4)
    gantry.put_back((out[0], RETRY, "1"), (out[1], SNOOZE, "1"))
    assert gantry.redis.scard(gantry.shard + "user:ann") == 4
    gantry.check()
    gantry.lapse(0)
    gantry.sweep()
    assert gantry.redis.smembers(gantry.shard + "user:ann") == {b"t0/a.x", b"t1/a.x", b"t3/a.x"}
    gantry.check()
