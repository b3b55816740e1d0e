"""The Redis functions: why, in figures, for each reason there is; pause, resume, drain, undrain."""
import pytest
import redis

from functions_library import (CANCELLED, CANCELLING, COMPLETED, FAILED, HIGH, HOUR, LOW, NORMAL, OK, PENDING, PRIORITY_NAMES, RETRY,
                               RUNNING, SCHEDULED, SNOOZE, end_line, read_body, read_state, server, sid_of)
from functions_tools import DAY, gantry, now_ms

NAMES = ["task", "body", "state", "worker", "paused", "workers", "draining", "position", "before", "ended", "span", "found"]
FOUND, ABSENT, UNKNOWN = 1, 0, -1
SEARCH_MAX, WORK_MAX = 200000, 600000


def why(gantry, id_="t", task=""):
    flat = gantry.call("why", id_, task)
    out = [dict(zip(NAMES, flat[i:i + 12])) for i in range(0, len(flat), 12)]
    assert len(flat) == 12 * len(out)
    for stage in out:
        read_body(stage["body"])
        stage.update({k: v for k, v in read_state(stage["state"]).items() if k in ("state", "attempt", "reason", "due_ms", "failures")})
    return out if not task else out[0]


def figures(stage):
    return [stage[k] for k in NAMES[4:]]


NOTHING = [0] * 8


def serve(gantry, sid=0, worker="w", services="a"):
    """A live worker."""
    gantry.heartbeat(sid=sid, worker=worker, services=services)


# reasons

@pytest.mark.parametrize("state", [COMPLETED, FAILED, CANCELLED])
def test_ended(gantry, state):
    gantry.end("t", state=state)
    stage = why(gantry, task="a.x")
    assert stage["state"] == state and stage["worker"] == b"" and figures(stage) == NOTHING


def test_running_and_cancelling(gantry):
    serve(gantry, worker="alpha")
    gantry.put("t")
    gantry.claim(1)
    gantry.call("pause", "a")
    stage = why(gantry, task="a.x")
    assert (stage["state"], stage["worker"], stage["attempt"]) == (RUNNING, b"alpha", 1) and figures(stage) == NOTHING
    gantry.cancel("t")
    stage = why(gantry, task="a.x")
    assert (stage["state"], stage["worker"]) == (CANCELLING, b"alpha") and figures(stage) == NOTHING


def test_a_worker_that_has_said_nothing_yet_but_its_name(gantry):
    gantry.put("t", "u")
    gantry.claim(1, worker="beta")
    assert why(gantry, task="a.x")["worker"] == b"beta"
    assert why(gantry, "u", "a.x")["workers"] == 0
    gantry.claim(1, sid=1, worker="")
    assert why(gantry, "u", "a.x")["worker"] == b""


def test_delayed(gantry):
    gantry.put("t", delay_ms=DAY)
    stage = why(gantry, task="a.x")
    assert (stage["state"], stage["reason"]) == (SCHEDULED, "delayed") and stage["due_ms"] > now_ms() and figures(stage) == NOTHING


@pytest.mark.parametrize("how, reason", [(RETRY, "retrying"), (SNOOZE, "snoozed")])
def test_retrying_and_snoozed(gantry, how, reason):
    serve(gantry)
    gantry.put("t")
    gantry.put_back((gantry.claim(1)[0], how, DAY))
    stage = why(gantry, task="a.x")
    assert (stage["state"], stage["reason"], stage["failures"]) == (SCHEDULED, reason, int(how == RETRY))
    assert figures(stage) == [0, 1, 0, 0, 0, 0, 0, 0]


def test_paused(gantry):
    serve(gantry)
    gantry.put("t")
    gantry.put("t", task="b.y")
    assert gantry.call("pause", "a") == 1
    assert [s["paused"] for s in why(gantry)] == [1, 0]
    gantry.call("resume", "a")
    assert [s["paused"] for s in why(gantry)] == [0, 0]


def test_no_worker(gantry):
    gantry.put("t")
    assert why(gantry, task="a.x")["workers"] == 0
    serve(gantry, services="b,aa,a_,xa")
    assert why(gantry, task="a.x")["workers"] == 0
    for sid, services in enumerate(("a", "a,b", "b,a", "c,a,b")):
        serve(gantry, sid, services=services)
        assert why(gantry, task="a.x")["workers"] == sid + 1
    gantry.call("bye", sid_of(3))
    gantry.lapse(2)  # its lease is over, though no sweep has taken it yet
    assert why(gantry, task="a.x")["workers"] == 2


def test_a_workers_name_is_not_its_services(gantry):
    gantry.put("t")
    serve(gantry, worker="a", services="b")
    serve(gantry, 1, worker=",a,", services="")
    assert why(gantry, task="a.x")["workers"] == 0


def test_draining(gantry):
    gantry.put("t")
    serve(gantry, 0, "one")
    serve(gantry, 1, "two")
    assert [gantry.call("drain", w) for w in ("one", "other")] == [1, 1]
    stage = why(gantry, task="a.x")
    assert (stage["workers"], stage["draining"]) == (2, 1)
    gantry.call("drain", "two")
    assert why(gantry, task="a.x")["draining"] == 2
    gantry.call("undrain", "one")
    assert why(gantry, task="a.x")["draining"] == 1


def test_queued_and_next(gantry):
    serve(gantry)
    gantry.put("h0", "h1", priority=HIGH)
    gantry.put("n0", "n1", "n2")
    gantry.put("l0", "l1", priority=LOW)
    places = {id_: (why(gantry, id_, "a.x")["position"], why(gantry, id_, "a.x")["before"], why(gantry, id_, "a.x")["found"])
              for id_ in ("h0", "h1", "n0", "n1", "n2", "l0", "l1")}
    assert places == {"h0": (1, 0, FOUND), "h1": (2, 0, FOUND), "n0": (1, 2, FOUND), "n1": (2, 2, FOUND), "n2": (3, 2, FOUND),
                      "l0": (1, 5, FOUND), "l1": (2, 5, FOUND)}
    for id_ in ("h0", "h1", "n0"):
        assert gantry.claim(1)[0]["id"] == id_
    assert (why(gantry, "n1", "a.x")["position"], why(gantry, "n1", "a.x")["before"]) == (1, 0)


def test_one_that_came_back_is_next(gantry):
    gantry.put("t", "u", "v")
    gantry.give_back(*gantry.claim(1))
    assert [why(gantry, id_, "a.x")["position"] for id_ in "tuv"] == [1, 2, 3]


@pytest.mark.parametrize("other", [NORMAL, HIGH, LOW])
def test_an_entry_in_another_queue_than_its_own_is_found(gantry, other):
    gantry.put("t")
    gantry.redis.delete(gantry.key("queue:a:normal"))
    gantry.put("u", "v", priority=HIGH)
    gantry.redis.lpush(gantry.key("queue:a:" + PRIORITY_NAMES[other]), "t/a.x")
    stage = why(gantry, task="a.x")
    assert (stage["position"], stage["before"], stage["found"]) == (3 if other == HIGH else 1, 0 if other == HIGH else 2, FOUND)


def test_unheld(gantry):
    serve(gantry)
    gantry.put("t", "u")
    gantry.redis.lrem(gantry.key("queue:a:normal"), 0, "t/a.x")
    stage = why(gantry, task="a.x")
    assert (stage["state"], stage["position"], stage["before"], stage["found"]) == (PENDING, 0, 0, ABSENT)
    gantry.redis.lpush(gantry.key("queue:a:normal"), "t/a.x 1")  # of another generation
    assert why(gantry, task="a.x")["found"] == ABSENT
    gantry.redis.delete(gantry.key("queue:a:normal"))
    assert why(gantry, task="a.x")["found"] == ABSENT


# how fast

def test_the_pace_of_its_service(gantry):
    serve(gantry)
    gantry.put("t", priority=LOW)
    assert (why(gantry, task="a.x")["ended"], why(gantry, task="a.x")["span"]) == (0, 0)
    gantry.end("b1", "b2", task="b.x")
    assert why(gantry, task="a.x")["ended"] == 0
    gantry.end("a1", "a2", task="a.x", priority=HIGH)
    gantry.end("a3", task="a.y", priority=HIGH, state=FAILED)
    stage = why(gantry, task="a.x")
    assert stage["ended"] == 3 and 1 <= stage["span"] < 60000
    assert why(gantry, "a1", "a.x")["ended"] == 0


def ended(gantry, *ages, service="a"):
    for age in ages:
        ms = now_ms() - age
        gantry.redis.rpush(gantry.key("ended:%d" % (ms // HOUR)), end_line(COMPLETED, ms, "x/%s.x" % service))


def test_ends_of_the_last_hour_count(gantry):
    gantry.put("t")
    ended(gantry, 2 * HOUR, HOUR + 5000, HOUR - 5000, HOUR // 2, 1000)
    stage = why(gantry, task="a.x")
    assert stage["ended"] == 3 and HOUR - 5000 <= stage["span"] < HOUR + 5000


def test_the_last_hundred_ends_of_all_services_count(gantry):
    gantry.put("t")
    ended(gantry, *range(200000, 100000, -1000))
    ended(gantry, *range(50000, 49970, -1), service="b")
    assert why(gantry, task="a.x")["ended"] == 70
    ended(gantry, *range(40000, 39900, -1), service="b")
    assert why(gantry, task="a.x")["ended"] == 0


def test_an_end_in_the_future_harms_nothing(gantry):
    gantry.put("t")
    ended(gantry, -5000)
    gantry.redis.rpush(gantry.key("ended:%d" % (now_ms() // HOUR)), "junk", "4 5", "4 x x/a.x", end_line(COMPLETED, now_ms(), "", "x", "x/a", "/"))
    assert why(gantry, task="a.x")["span"] >= 1


# which, and how much

def test_every_stage_of_a_task_in_order(gantry):
    serve(gantry, services="a,b")
    gantry.put("t", task="b.y")
    gantry.put("t", task="a.x")
    gantry.put("t", task="c.z", delay_ms=DAY)
    gantry.claim(1, service="b")
    assert [(s["task"], s["state"], s["workers"], s["position"]) for s in why(gantry)] == \
        [(b"a.x", PENDING, 1, 1), (b"b.y", RUNNING, 0, 0), (b"c.z", SCHEDULED, 0, 0)]


def test_no_such_stage(gantry):
    gantry.put("t")
    gantry.keep("states", "bare/a.x", "x")
    assert why(gantry, "nobody") == [] and gantry.call("why", "t", "a.y") == [] and gantry.call("why", "bare", "") == []


def fill(gantry, queue, count):
    gantry.redis.eval("for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], 'x' .. i .. '/a.y 0') end", 1, gantry.key("queue:" + queue), count)


def test_a_deep_queue_is_looked_at_from_its_head(gantry):
    fill(gantry, "a:normal", SEARCH_MAX - 1)
    gantry.put("t")
    stage = why(gantry, task="a.x")
    assert (stage["position"], stage["found"]) == (SEARCH_MAX, FOUND)
    gantry.redis.rpush(gantry.key("queue:a:normal"), "y/a.y")
    stage = why(gantry, task="a.x")
    assert (stage["position"], stage["found"]) == (0, UNKNOWN)
    # one that is in another queue is found all the same
    gantry.redis.lpop(gantry.key("queue:a:normal"))
    gantry.redis.lpush(gantry.key("queue:a:low"), "t/a.x")
    fill(gantry, "a:normal", 10)
    stage = why(gantry, task="a.x")
    assert (stage["position"], stage["before"], stage["found"]) == (1, SEARCH_MAX + 10, FOUND)


def test_the_work_of_a_call_is_bounded(gantry):
    for service in "abcd":
        fill(gantry, service + ":normal", SEARCH_MAX)
    for service in "abcd":
        gantry.put("t", task=service + ".x")
    assert [(s["position"], s["found"]) for s in why(gantry)] == [(0, UNKNOWN)] * 4
    gantry.redis.rpush(gantry.key("queue:d:normal"), "t/d.x")
    assert why(gantry)[3]["found"] == UNKNOWN  # what was allowed was spent on the others
    assert why(gantry, task="d.x")["found"] == FOUND


# steer

def test_pause_and_resume(gantry):
    gantry.put("t", "u")
    assert [gantry.call("pause", "a") for _ in range(2)] == [1, 0]
    assert gantry.claim(5) == [] and gantry.redis.zcard(gantry.key("sessions")) == 0
    gantry.put("v")
    gantry.put("o", task="b.x")
    assert len(gantry.claim(5, service="b")) == 1
    before = len(gantry.events())
    assert [gantry.call("resume", "a") for _ in range(2)] == [1, 0]
    assert gantry.events()[before:] == [{b"q": b"a"}]
    assert [h["id"] for h in gantry.claim(5)] == ["t", "u", "v"]
    assert gantry.redis.exists(gantry.key("paused")) == 0
    gantry.check()


def test_what_runs_when_its_service_is_paused_ends(gantry):
    gantry.put("t")
    (handout,) = gantry.claim(1)
    gantry.call("pause", "a")
    assert gantry.finish((handout, COMPLETED)) == [OK]
    gantry.put("u")
    gantry.cancel("u")
    assert gantry.state("u") == CANCELLED
    gantry.check()


def test_drain_and_undrain(gantry):
    serve(gantry, worker="one")
    assert gantry.drain == 0
    assert [gantry.call("drain", "one") for _ in range(2)] == [1, 0]
    serve(gantry, worker="one")
    assert gantry.drain == 1
    serve(gantry, 1, worker="two")
    assert gantry.drain == 0
    assert [gantry.call("undrain", "one") for _ in range(2)] == [1, 0]
    serve(gantry, worker="one")
    assert gantry.drain == 0
    assert gantry.redis.exists(gantry.key("draining")) == 0


@pytest.mark.parametrize("call", [
    ("pause",), ("pause", ""), ("pause", "A"), ("pause", "a", "b"), ("resume",), ("resume", "x" * 33), ("resume", "a", "b"), ("drain",),
    ("drain", ""), ("drain", "x" * 129), ("drain", "a", "b"), ("undrain",), ("undrain", ""), ("undrain", "a", "b"), ("why",), ("why", "t"),
    ("why", "t", "", "x")])
def test_wrong_arguments_write_nothing(gantry, call):
    with pytest.raises(redis.ResponseError, match="gantry_" + call[0]):
        gantry.call(*call)
    assert gantry.redis.keys("*") == []


def test_a_full_redis_is_steered(gantry):
    gantry.put("t")
    gantry.redis.config_set("maxmemory", 1)
    try:
        assert [gantry.call(*c) for c in (("pause", "a"), ("resume", "a"), ("drain", "w"), ("undrain", "w"))] == [1] * 4
        assert why(gantry, task="a.x")["position"] == 1
    finally:
        gantry.redis.config_set("maxmemory", 0)
