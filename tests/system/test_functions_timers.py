"""The Redis functions of services/state/functions: delays, deadlines, schedules that are due, the events and the ledger.

Run: /usr/bin/python3 -m pytest tests/system/test_functions_timers.py
"""
import time

import pytest

from functions_library import (BUSY, CANCELLED, CANCELLING, COMPLETED, CONFLICT, FAILED, HIGH, HOUR, LEASE_MS, LOW, MISS, OK, PENDING, RETRY, RETURN,
                               RUNNING, SCHEDULED, SNOOZE, STALE, WAIT, WAIT_ON, Gantry, moves_of, server, sid_of)


@pytest.fixture(params=["", "{g1}"])
def gantry(server, request):
    server.flushall()
    return Gantry(server, request.param)


def now_ms():
    return int(time.time() * 1000)


def deadline(id_, kind, task="a.x"):
    return "%s/%s %s" % (id_, task, kind)


def close(gantry, *members):
    gantry.due(*members, key="deadlines")
    assert gantry.timers()[2] == len(members)


# delay

def test_a_delayed_task_waits_in_the_timers_alone(gantry):
    assert gantry.submit(("t", "a.x", 1, None, {"delay_ms": HOUR})) == [(OK, SCHEDULED, MISS)]
    stage = gantry.get("t")["a.x"]
    assert (stage["state"], stage["reason"], stage["attempt"], stage["started_ms"]) == (SCHEDULED, "delayed", 0, 0)
    assert abs(stage["due_ms"] - now_ms() - HOUR) < 5000
    assert gantry.redis.zrange(gantry.shard + "timers", 0, -1, withscores=True) == [(b"t/a.x", stage["due_ms"])]
    assert gantry.events() == [{b"t": b"%d" % stage["due_ms"], b"1": b"t/a.x"}]
    assert gantry.claim(1) == [] and gantry.timers()[1:] == (stage["due_ms"], 0, [])
    gantry.check()
    gantry.due("t/a.x")
    assert gantry.timers()[1:] == (-1, 1, [])
    assert gantry.events()[-1] == {b"q": b"a", b"0": b"t/a.x"} and gantry.queue() == ["t/a.x"]
    assert gantry.redis.smembers(gantry.shard + "queues") == {b"a"}
    gantry.check()
    (handout,) = gantry.claim(1)
    assert (handout["attempt"], handout["generation"]) == (1, 0) and gantry.finish((handout, COMPLETED)) == [OK]
    gantry.check()


def test_not_before_and_delay_the_later_counts(gantry):
    soon, later = now_ms() + HOUR, now_ms() + 2 * HOUR
    gantry.submit(("t1", "a.x", 1, None, {"not_before_ms": soon}), ("t2", "a.x", 2, None, {"not_before_ms": soon, "delay_ms": 3 * HOUR}),
                  ("t3", "a.x", 3, None, {"not_before_ms": later, "delay_ms": 1}), ("t4", "a.x", 4, None, {"not_before_ms": 1}),
                  ("t5", "a.x", 5, None, {"not_before_ms": 2 ** 60}))
    due = {i: gantry.get(i)["a.x"].get("due_ms") for i in ("t1", "t2", "t3", "t4", "t5")}
    assert due["t1"] == soon and due["t3"] == later and abs(due["t2"] - now_ms() - 3 * HOUR) < 5000 and due["t4"] is None
    assert abs(due["t5"] - now_ms() - 3660 * 24 * HOUR) < 5000
    assert gantry.queue() == ["t4/a.x"]
    gantry.check()


def test_only_the_earliest_timer_is_told(gantry):
    told = []
    for i, delay in enumerate((3 * HOUR, 2 * HOUR, 4 * HOUR, 5 * HOUR, HOUR)):
        gantry.submit(("t%d" % i, "a.x", i, None, {"delay_ms": delay}))
        told.append(b"t" in gantry.events()[-1])
    assert told == [True, True, False, False, True]
    # of a batch, once; a deadline counts as well
    gantry.submit(*[("u%d" % i, "a.x", i, None, {"delay_ms": 1000 + i, "to_close_ms": 500}) for i in range(3)])
    event = gantry.redis.xrevrange(gantry.shard + "events", count=1)[0][1]
    assert event[b"t"] == b"%d" % (int(event[b"at"]) + 500)


def test_timers_fire_to_the_tail_in_their_order(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i, None, {"delay_ms": HOUR}) for i in range(4)])
    gantry.submit(("h", "a.x", 8, None, {"delay_ms": HOUR}), priority=HIGH)
    gantry.submit(("b", "b.x", 9, None, {"delay_ms": HOUR}), service="b")
    gantry.submit(("first", "a.x", 5))
    gantry.due("t2/a.x", "t0/a.x", "h/a.x", "b/b.x", "t3/a.x")
    assert gantry.timers()[2] == 5
    assert gantry.queue() == ["t3/a.x", "t0/a.x", "t2/a.x", "first/a.x"]
    assert gantry.queue(priority=HIGH) == ["h/a.x"] and gantry.queue("b") == ["b/b.x"]
    assert gantry.timers()[2] == 0 and gantry.redis.zrange(gantry.shard + "timers", 0, -1) == [b"t1/a.x"]
    gantry.check()


def test_many_timers_fire_in_steps(gantry):
    for i in range(0, 3000, 1000):
        gantry.submit(*[("t%d" % j, "a.x", j, None, {"delay_ms": HOUR}) for j in range(i, i + 1000)])
    gantry.due(*["t%d/a.x" % j for j in range(2500)])
    steps = []
    while not steps or steps[-1][2] == 1024:
        steps.append(gantry.timers())
    assert [s[2] for s in steps] == [1024, 1024, 452]
    assert steps[0][1] < steps[0][0] < steps[2][1]
    assert gantry.redis.llen(gantry.shard + "queue:a:normal") == 2500 and gantry.books()["scheduled"] == 500
    # a deep queue has had its READY
    assert [b"q" in e for e in gantry.events() if b"0" in e] == [True, False, False]
    gantry.check()


def test_timers_that_mean_nothing_are_dropped(gantry):
    gantry.submit(("t", "a.x", 1, None, {"delay_ms": HOUR}), ("u", "a.x", 2))
    gantry.spoil("short/a.x")
    junk = ["t/a.x 1", "t/a.x 0 0", "u/a.x", "nobody/a.x", "junk", "", " ", "short/a.x", "t/a.x x", "/ 0", "t/a.y"]
    gantry.redis.zadd(gantry.shard + "timers", {j: 1 for j in junk})
    gantry.redis.zadd(gantry.shard + "deadlines", {j: 1 for j in ("junk", "t/a.x c zz", "nobody/a.x s", "short/a.x c", "t/a.x d")})
    assert gantry.timers()[2] == len(junk) + 5
    assert gantry.queue() == ["u/a.x"] and gantry.state("t") == SCHEDULED
    gantry.unspoil("short/a.x")
    gantry.check()


def test_a_delayed_task_is_cancelled_at_once(gantry):
    gantry.submit(("t", "a.x", 1, None, {"delay_ms": HOUR}))
    assert gantry.cancel("t")["a.x"]["state"] == CANCELLED
    assert gantry.redis.zcard(gantry.shard + "timers") == 0 and gantry.ledger() == {"accepted": 1, "cancelled": 1}
    assert gantry.timers()[1] == -1 and gantry.events()[-1] == {b"8": b"t/a.x"}
    # and may be delayed again, after which its generation is the next
    assert gantry.submit(("t", "a.x", 2, None, {"delay_ms": HOUR})) == [(OK, SCHEDULED, MISS)]
    assert gantry.redis.zrange(gantry.shard + "timers", 0, -1) == [b"t/a.x 1"]
    gantry.check()


def test_a_full_queue_refuses_delayed_tasks_but_takes_those_whose_time_came(gantry):
    gantry.submit(("t", "a.x", 1, None, {"delay_ms": HOUR}))
    gantry.submit(("u", "a.x", 2), queue_max=1)
    assert gantry.submit(("v", "a.x", 3, None, {"delay_ms": HOUR}), queue_max=1) == [(BUSY, 1, MISS)]
    gantry.due("t/a.x")
    gantry.timers()
    assert len(gantry.queue()) == 2
    gantry.check()


# deadlines

def test_schedule_to_start_ends_what_nobody_began(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i, None, {"to_start_ms": HOUR, "owner": "ann"}) for i in range(3)])
    gantry.submit(("d", "a.x", 7, None, {"delay_ms": HOUR, "to_start_ms": HOUR}), priority=HIGH)
    scores = dict(gantry.redis.zrange(gantry.shard + "deadlines", 0, -1, withscores=True))
    assert abs(scores[deadline("d", "s").encode()] - scores[deadline("t0", "s").encode()] - HOUR) < 5000
    gantry.claim(1)
    close(gantry, *[deadline("t%d" % i, "s") for i in range(2)], deadline("d", "s"))
    assert [gantry.state(i) for i in ("t0", "t1", "t2", "d")] == [RUNNING, FAILED, PENDING, FAILED]
    stage = gantry.get("t1")["a.x"]
    assert stage["error"]["code"] == "TIMEOUT" and "schedule to start" in stage["error"]["message"] and stage["failures"] == 0
    assert gantry.get("d")["a.x"]["priority"] == HIGH
    assert gantry.events()[-1] == {b"6": b"t1/a.x d/a.x"}
    assert gantry.redis.zrange(gantry.shard + "dead", 0, -1) == [b"d/a.x", b"t1/a.x"]
    assert gantry.ledger() == {"accepted": 4, "failed": 2} and gantry.redis.smembers(gantry.shard + "stale") == {b"t1/a.x"} and gantry.redis.zcard(gantry.shard + "timers") == 0
    gantry.check()
    assert [h["id"] for h in gantry.claim(5, seq=2)] == ["t2"] and gantry.redis.scard(gantry.shard + "stale") == 0
    gantry.check()


def test_schedule_to_start_counts_for_what_waits_for_another_stage(gantry):
    """One that a worker began before it had to wait is left alone."""
    gantry.submit(*[(id_, "a.x", i, None, {"to_start_ms": HOUR}) for i, id_ in enumerate(("t", "begun"))])
    assert gantry.put_back(*[(handout, WAIT_ON, str(HOUR)) for handout in gantry.claim(2)]) == [OK, OK]
    for generation, how in ((1, SNOOZE), (2, WAIT_ON)):
        gantry.due("begun/a.x %d" % generation)
        gantry.timers()
        (handout,) = gantry.claim(1)
        assert gantry.put_back((handout, how, str(HOUR))) == [OK]
    close(gantry, deadline("t", "s"), deadline("begun", "s"))
    assert gantry.get("t")["a.x"]["error"]["code"] == "TIMEOUT" and gantry.state("begun") == SCHEDULED
    gantry.check()


@pytest.mark.parametrize("back", [(RETRY, str(HOUR)), (SNOOZE, str(HOUR)), (RETURN, "", {}, b"checkpoint")])
def test_schedule_to_start_does_not_mind_what_was_begun_before(gantry, back):
    gantry.submit(("t", "a.x", 1, None, {"to_start_ms": HOUR}))
    (handout,) = gantry.claim(1)
    gantry.put_back((handout, *back))
    close(gantry, deadline("t", "s"))
    assert gantry.state("t") in (PENDING, SCHEDULED)
    gantry.check()


@pytest.mark.parametrize("lost", ["return", "claim"])
def test_schedule_to_start_counts_for_what_was_handed_out_and_not_begun(gantry, lost):
    gantry.submit(("t", "a.x", 1, None, {"to_start_ms": HOUR}))
    (handout,) = gantry.claim(1)
    gantry.give_back(handout) if lost == "return" else gantry.heartbeat(claim_open=2)
    close(gantry, deadline("t", "s"))
    assert gantry.state("t") == FAILED
    gantry.check()


def test_schedule_to_close_stops_every_kind(gantry):
    options = {"to_close_ms": HOUR, "owner": "ann"}
    gantry.submit(*[(i, "a.x", n, None, options) for n, i in enumerate(("running", "retrying", "done"))])
    gantry.submit(("delayed", "a.x", 3, None, dict(options, delay_ms=HOUR)), ("pending", "a.x", 4, None, options))
    running, retrying, done = gantry.claim(3)
    gantry.put_back((retrying, RETRY, "1000"))
    gantry.finish((done, COMPLETED))
    close(gantry, *[deadline(i, "c") for i in ("running", "retrying", "delayed", "pending")])
    assert {i: gantry.state(i) for i in ("running", "retrying", "done", "delayed", "pending")} == \
        {"running": CANCELLING, "retrying": FAILED, "done": COMPLETED, "delayed": FAILED, "pending": FAILED}
    assert gantry.events()[-1] == {b"3": b"running/a.x", b"6": b"retrying/a.x delayed/a.x pending/a.x"}
    assert gantry.redis.smembers(gantry.shard + "user:ann") == {b"running/a.x"}
    gantry.check()
    # its worker is told as by a cancel; whatever it says then, it was too late
    assert gantry.heartbeat((running, "0.5")) == ([], [running["token"]], 0)
    assert gantry.finish((running, COMPLETED)) == [OK]
    stage = gantry.get("running")["a.x"]
    assert stage["state"] == FAILED and stage["error"]["code"] == "TIMEOUT" and stage["worker"] == "w" and "output" not in stage
    assert stage["failures"] == 0 and b"running/a.x" in gantry.redis.zrange(gantry.shard + "dead", 0, -1)
    gantry.check()


@pytest.mark.parametrize("end", ["retry", "return", "crash", "bye", "lost"])
def test_what_was_closed_ends_as_timeout_however_its_worker_leaves_it(gantry, end):
    gantry.submit(("t", "a.x", 1, None, {"to_close_ms": HOUR}))
    (handout,) = gantry.claim(1)
    close(gantry, deadline("t", "c"))
    if end == "crash":
        gantry.lapse(0)
        gantry.sweep()
    else:
        {"retry": lambda: gantry.put_back((handout, RETRY, "1")), "return": lambda: gantry.give_back(handout),
         "bye": lambda: gantry.call("bye", sid_of(0)), "lost": lambda: gantry.heartbeat(claim_open=9)}[end]()
    stage = gantry.get("t")["a.x"]
    assert stage["state"] == FAILED and stage["error"]["code"] == "TIMEOUT" and stage["crashes"] == (end == "crash")
    gantry.check()


@pytest.mark.parametrize("first", ["cancel", "close"])
def test_a_cancel_beats_a_deadline(gantry, first):
    gantry.submit(("t", "a.x", 1, None, {"to_close_ms": HOUR}))
    (handout,) = gantry.claim(1)
    for step in (first, "close" if first == "cancel" else "cancel"):
        gantry.cancel("t") if step == "cancel" else close(gantry, deadline("t", "c"))
    assert [e for e in gantry.events() if b"3" in e] == [{b"3": b"t/a.x"}]
    gantry.finish((handout, COMPLETED))
    assert gantry.state("t") == CANCELLED
    gantry.check()


@pytest.mark.parametrize("end", ["cancel", "finish", "crash", "deadline", "cancel while it runs"])
def test_what_has_ended_has_no_deadlines(gantry, end):
    gantry.submit(("other", "b.x", 2, None, {"to_close_ms": HOUR}), service="b")
    gantry.submit(("t", "a.x", 1, None, {"to_start_ms": HOUR, "to_close_ms": HOUR, "crashes_max": 1}))
    if end == "cancel":
        gantry.cancel("t")
    elif end == "deadline":
        close(gantry, deadline("t", "c"))
    else:
        (handout,) = gantry.claim(1)
        if end == "crash":
            gantry.sweep()
            gantry.lapse(0)
            gantry.sweep()
        elif end == "finish":
            gantry.finish((handout, COMPLETED))
        else:
            gantry.cancel("t")
            assert gantry.redis.zcard(gantry.shard + "deadlines") == 3
            gantry.call("bye", sid_of(0))
    assert gantry.redis.zrange(gantry.shard + "deadlines", 0, -1) == [deadline("other", "c", "b.x").encode()]
    # so that those of a submit do not end the next one's run
    gantry.submit(("t", "a.x", 3))
    if end != "finish":
        assert gantry.state("t") == PENDING and gantry.redis.zcard(gantry.shard + "deadlines") == 1
    gantry.check()


def test_both_deadlines_at_once_end_a_stage_once(gantry):
    gantry.submit(("t", "a.x", 1, None, {"to_start_ms": HOUR, "to_close_ms": HOUR, "delay_ms": HOUR}))
    gantry.due("t/a.x")
    close(gantry, deadline("t", "s"), deadline("t", "c"))
    assert gantry.state("t") == FAILED and gantry.ledger() == {"accepted": 1, "failed": 1}
    gantry.check()


def test_many_deadlines_are_closed_in_steps(gantry):
    gantry.submit(*[("t%d" % i, "a.x", i, None, {"to_close_ms": HOUR}) for i in range(300)])
    gantry.claim(100)
    gantry.due(*[deadline("t%d" % i, "c") for i in range(300)], key="deadlines")
    steps = [gantry.timers() for _ in range(4)]
    assert [s[2] for s in steps] == [128, 128, 44, 0] and steps[0][1] < steps[0][0] and steps[3][1] == -1
    books = gantry.books()
    assert (books["failed"], books["running"], books["pending"]) == (200, 100, 0)
    gantry.check()


def test_schedules_that_are_due_are_named_and_left(gantry):
    due = now_ms() - 1000
    gantry.redis.zadd(gantry.shard + "cron_due", {"nightly": due, "later": due + HOUR})
    for _ in range(2):
        now, following, fired, crons = gantry.timers()
        assert (following, fired, crons) == (due + HOUR, 0, [(b"nightly", due)])


def test_the_earliest_of_timers_deadlines_and_schedules_is_next(gantry):
    assert gantry.timers()[1] == -1
    for key, ms in (("cron_due", 3 * HOUR), ("deadlines", 2 * HOUR), ("timers", HOUR)):
        gantry.redis.zadd(gantry.shard + key, {"x": now_ms() + ms})
        assert abs(gantry.timers()[1] - now_ms() - ms) < 5000


# claims

def test_a_paused_service_hands_out_nothing(gantry):
    gantry.submit(("t", "a.x", 1))
    gantry.redis.sadd(gantry.shard + "paused", "a")
    assert gantry.claim(1, raw=True) == (0, []) and gantry.claim(1, service="b") == []
    gantry.redis.srem(gantry.shard + "paused", "a")
    assert len(gantry.claim(1)) == 1
    gantry.check()


def test_heartbeat_tells_of_a_drain_and_keeps_what_the_worker_says(gantry):
    gantry.submit(("t", "a.x", 1))
    gantry.claim(1, worker="bob")
    line = lambda: gantry.redis.hget(gantry.shard + "workers", sid_of(0))
    assert line() == b"bob"
    gantry.heartbeat(worker="bob", services="a,b", slots=4)
    assert line() == b"bob\na,b\n4" and gantry.drain == 0 and gantry.get("t")["a.x"]["worker"] == "bob"
    gantry.redis.sadd(gantry.shard + "draining", "bob")
    gantry.heartbeat(worker="bob\n", services="", slots=0)
    assert line() == b"bob \n\n0"
    gantry.heartbeat(worker="bob")
    assert gantry.drain == 1
    gantry.heartbeat(worker="eve", sid=1)
    assert gantry.drain == 0


def test_entries_of_outsiders_do_not_spoil_the_ledger(gantry):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2))
    gantry.cancel("t1")
    queue = gantry.shard + "queue:a:normal"
    gantry.redis.rpush(queue, "t2/a.x 7", "nobody/a.x", "junk")
    (handout,) = gantry.claim(5)
    assert handout["id"] == "t2" and gantry.ledger() == {"accepted": 2, "cancelled": 1}
    gantry.check()
    gantry.finish((handout, COMPLETED))
    gantry.submit(("t1", "a.x", 3))
    gantry.redis.rpush(queue, "t1/a.x", "t2/a.x")  # as once they were
    assert gantry.books()["balanced"] == 0
    assert [h["generation"] for h in gantry.claim(5)] == [1]
    gantry.check()


# events

def test_a_life_in_numbered_transitions(gantry):
    gantry.submit(("t", "a.x", 1), ("u", "a.x", 2, None, {"delay_ms": HOUR}))
    (handout,) = gantry.claim(1)
    gantry.put_back((handout, RETRY, "1"))
    gantry.due("u/a.x", "t/a.x 1")
    gantry.timers()
    handouts = gantry.claim(2)
    gantry.cancel("u")
    gantry.cancel("u")
    gantry.finish(*[(h, COMPLETED) for h in handouts])
    ids = [int(id_.split(b"-")[0]) for id_, _ in gantry.redis.xrange(gantry.shard + "events")]
    assert ids == [2, 3, 4, 6, 8, 9, 11] and gantry.redis.get(gantry.shard + "events_seq") == b"11"
    moves = [move for _, fields in gantry.redis.xrange(gantry.shard + "events") for move in moves_of(fields)]
    assert [s for f, s in moves if f == "t/a.x"] == [PENDING, RUNNING, SCHEDULED, PENDING, RUNNING, COMPLETED]
    assert [s for f, s in moves if f == "u/a.x"] == [SCHEDULED, PENDING, RUNNING, CANCELLING, CANCELLED]
    gantry.check()


@pytest.mark.parametrize("spoil", ["seq lost", "seq junk", "stream replaced", "seq behind"])
def test_events_never_fail_a_call_that_has_written(gantry, spoil):
    gantry.submit(("t1", "a.x", 1), ("t2", "a.x", 2))
    P = gantry.shard
    if spoil == "seq lost":
        gantry.redis.delete(P + "events_seq")
    elif spoil == "seq junk":
        gantry.redis.set(P + "events_seq", "junk")
    elif spoil == "seq behind":
        gantry.redis.set(P + "events_seq", 1)
        gantry.submit(("t3", "a.x", 3))
        assert gantry.redis.get(P + "events_seq") == b"2"
    else:
        gantry.redis.delete(P + "events")
        gantry.redis.lpush(P + "events", "x")
    handouts = gantry.claim(5)
    assert gantry.finish(*[(h, COMPLETED) for h in handouts]) == [OK] * len(handouts)
    last, _ = gantry.redis.xrevrange(P + "events", count=1)[0]
    assert last == gantry.redis.get(P + "events_seq") + b"-0"
    assert gantry.books()["balanced"] == 1


# the ledger

def test_the_ledger_names_every_place(gantry):
    assert set(gantry.books().items()) >= {("accepted", 0), ("balanced", 1), ("seq", 0), ("dead", 0), ("audits", 0)}
    gantry.submit(*[("t%d" % i, "a.x", i) for i in range(5)])
    gantry.submit(("d", "a.x", 9, None, {"delay_ms": HOUR}), priority=LOW)
    out = gantry.claim(3)
    gantry.finish((out[0], COMPLETED), (out[1], FAILED))
    gantry.cancel("t4")
    books = gantry.books()
    assert {k: v for k, v in books.items() if v and k not in ("seq",)} == \
        {"accepted": 6, "completed": 1, "failed": 1, "cancelled": 1, "scheduled": 1, "pending": 1, "running": 1, "balanced": 1, "dead": 1}
    assert books["seq"] == 12 and set(books) == {
        "accepted", "completed", "skipped", "failed", "quarantined", "cancelled", "scheduled", "pending", "running", "balanced", "dead", "retries",
        "crashes", "requeues", "seq", "audits", "audited_ms", "audited", "repaired"}
    gantry.redis.hincrby(gantry.shard + "ledger", "accepted", 1)
    assert gantry.books()["balanced"] == 0
