"""The Redis functions: the repairs of the audit; every damage it can meet."""
import pytest

from audit_house import FINE, PUT_BACK, FREED, UNDECIDED, NONE_SEEN, ASTRAY, MANY_SEEN, Audit, audit, healthy, running, hold, begin
from functions_library import (  # noqa: F401: fixtures
    COMPLETED, FAILED, HIGH, LOW, NORMAL, OK, PENDING, PRIORITY_NAMES, RETRY, RUNNING, SCHEDULED, STALE, Hold, server, sid_of, with_state, with_tail)
from functions_tools import DAY, gantry, now_ms  # noqa: F401: fixtures

# held by none

@pytest.mark.parametrize("priority", [NORMAL, HIGH, LOW])
def test_an_entry_that_was_taken_out_of_its_queue(gantry, priority):
    gantry.put("t", priority=priority)
    gantry.put("u", priority=priority)
    key = gantry.key("queue:a:" + PRIORITY_NAMES[priority])
    assert gantry.redis.lrem(key, 0, "t/a.x") == 1
    assert gantry.books()["balanced"] == 0
    assert audit(gantry) == {("t/a.x", NONE_SEEN): PUT_BACK}
    assert gantry.queue(priority=priority) == ["u/a.x", "t/a.x 1"]
    assert gantry.events()[-1] == {b"q": b"a", b"0": b"t/a.x"}
    assert gantry.books()["requeues"] == 1
    healthy(gantry, 1)
    assert [h["id"] for h in gantry.claim(2)] == ["t", "u"]


def test_a_lost_entry_of_a_stage_that_has_run(gantry):
    begin(gantry, "t")
    gantry.sweep()
    gantry.lapse(0)
    gantry.sweep()
    before = gantry.get("t")["a.x"]
    assert (before["state"], before["generation"], before["crashes"]) == (PENDING, 1, 1)
    gantry.redis.delete(gantry.key("queue:a:normal"))
    assert audit(gantry) == {("t/a.x", NONE_SEEN): PUT_BACK}
    after = gantry.get("t")["a.x"]
    assert after == dict(before, generation=2)
    healthy(gantry, 1)


def test_all_queues_lost(gantry):
    gantry.put(*["t%d" % i for i in range(50)])
    gantry.put(*["t%d" % i for i in range(20)], task="b.y", priority=LOW)
    for key in gantry.redis.keys("*queue:*"):
        gantry.redis.delete(key)
    assert list(audit(gantry).values()) == [PUT_BACK] * 70
    healthy(gantry, 70)


def test_a_lost_timer_is_set_again_for_the_same_moment(gantry):
    gantry.put("t", delay_ms=DAY)
    gantry.put("u", delay_ms=2 * DAY)
    due = gantry.redis.zscore(gantry.key("timers"), "t/a.x")
    gantry.redis.zrem(gantry.key("timers"), "t/a.x")
    assert gantry.books()["balanced"] == 0
    assert audit(gantry) == {("t/a.x", NONE_SEEN): PUT_BACK}
    assert gantry.redis.zscore(gantry.key("timers"), "t/a.x") == due == gantry.get("t")["a.x"]["due_ms"]
    assert gantry.events()[-1] == {b"t": b"%d" % due, b"1": b"t/a.x"}
    healthy(gantry, 1)


def test_a_lost_timer_whose_moment_is_not_known_is_due_now(gantry):
    gantry.put("t", delay_ms=DAY)
    packed = gantry.kept("states", "t/a.x")
    for tail in (b"", b"\x80", b"\xc1", b"\x81\xa6due_ms\xa1x", b"\x81\xa6due_ms\xff"):
        gantry.keep("states", "t/a.x", with_tail(packed, tail))
        gantry.redis.zrem(gantry.key("timers"), "t/a.x")
        assert audit(gantry) == {("t/a.x", NONE_SEEN): PUT_BACK}
        assert abs(gantry.redis.zscore(gantry.key("timers"), "t/a.x") - now_ms()) < 10000
    assert gantry.timers()[2] == 1 and gantry.state("t") == PENDING
    healthy(gantry, 5)


def test_a_retry_whose_timer_was_lost(gantry):
    (handout,) = begin(gantry, "t")
    gantry.put_back((handout, RETRY, 5000, {"error": {}}, b"\x01"))
    gantry.redis.delete(gantry.key("timers"))
    assert audit(gantry) == {("t/a.x", NONE_SEEN): PUT_BACK}
    stage = gantry.get("t")["a.x"]
    assert (stage["state"], stage["failures"], stage["reason"]) == (SCHEDULED, 1, "retrying")
    healthy(gantry, 1)


def test_a_lost_hash_of_a_session(gantry):
    handouts = begin(gantry, "t", "u", "v")
    gantry.redis.delete(running(gantry, 0))
    assert gantry.books()["balanced"] == 0
    assert set(audit(gantry).items()) == {((h["id"] + "/a.x", NONE_SEEN), PUT_BACK) for h in handouts}
    healthy(gantry, 3)
    assert sorted(gantry.heartbeat(*[(h, "") for h in handouts])[0]) == sorted(h["token"] for h in handouts)
    assert gantry.finish(*[(h, COMPLETED) for h in handouts]) == [STALE] * 3
    again = gantry.claim(9, sid=1)
    assert [h["attempt"] for h in again] == [1] * 3
    assert gantry.finish(*[(h, COMPLETED) for h in again], sid=1) == [OK] * 3
    healthy(gantry, 3)


def test_a_lost_session_gets_its_lease_again(gantry):
    begin(gantry, "t")
    gantry.redis.zrem(gantry.key("sessions"), sid_of(0))
    assert gantry.books()["balanced"] == 0
    assert audit(gantry) == {}
    assert 0 < gantry.redis.zscore(gantry.key("sessions"), sid_of(0)) - now_ms() <= 10000
    healthy(gantry, 0)
    # nobody renews it: the sweep takes it as any other
    gantry.sweep()
    gantry.lapse(0)
    gantry.sweep()
    assert gantry.queue() == ["t/a.x 1"]
    healthy(gantry, 0)


def test_a_lost_session_whose_worker_lives(gantry):
    (handout,) = begin(gantry, "t")
    gantry.redis.zrem(gantry.key("sessions"), sid_of(0))
    audit(gantry)
    assert gantry.heartbeat((handout, "")) == ([], [], 0)
    assert gantry.redis.zscore(gantry.key("sessions"), sid_of(0)) - now_ms() > 9000
    assert gantry.finish((handout, COMPLETED)) == [OK]
    healthy(gantry, 0)


# held by too many

@pytest.mark.parametrize("other", [NORMAL, HIGH, LOW])
@pytest.mark.parametrize("end", ["lpush", "rpush"])
def test_a_doubled_entry(gantry, other, end):
    gantry.put("t", "u")
    getattr(gantry.redis, end)(gantry.key("queue:a:" + PRIORITY_NAMES[other]), "t/a.x", "t/a.x")
    assert gantry.books()["balanced"] == 0
    assert audit(gantry) == {("t/a.x", MANY_SEEN): FREED}
    assert sorted(gantry.queue()) == ["t/a.x", "u/a.x"] and gantry.queue(priority=HIGH) == gantry.queue(priority=LOW) == []
    healthy(gantry, 1)


def test_the_entry_that_is_out_next_stays(gantry):
    gantry.put("t", "u")
    gantry.redis.lpush(gantry.key("queue:a:normal"), "t/a.x")
    assert gantry.queue() == ["t/a.x", "u/a.x", "t/a.x"]
    audit(gantry)
    assert gantry.queue() == ["u/a.x", "t/a.x"]
    healthy(gantry, 1)


def test_an_entry_that_is_in_the_wrong_queue_alone_stays_there(gantry):
    gantry.put("t")
    gantry.redis.delete(gantry.key("queue:a:normal"))
    gantry.redis.rpush(gantry.key("queue:a:low"), "t/a.x", "t/a.x")
    assert audit(gantry) == {("t/a.x", MANY_SEEN): FREED}
    assert gantry.queue(priority=LOW) == ["t/a.x"]
    healthy(gantry, 1)


def test_in_two_sessions_the_newer_attempt_stays(gantry):
    (old,) = begin(gantry, "t", worker="w0")
    gantry.heartbeat(sid=1, worker="w1")
    copy = Hold(hold(gantry)).with_token(b"x" * 12).with_counters(0, 2, 0, 0).bytes()
    gantry.redis.hset(running(gantry, 1), "t/a.x", copy)
    assert gantry.books()["balanced"] == 0
    assert audit(gantry) == {("t/a.x", MANY_SEEN): FREED}
    assert hold(gantry, 0) is None and hold(gantry, 1) == copy
    assert gantry.heartbeat((old, "")) == ([old["token"]], [], 0)
    assert gantry.finish((old, COMPLETED)) == [STALE]
    healthy(gantry, 1)
    assert gantry.finish((dict(old, token=b"x" * 12), COMPLETED), sid=1) == [OK]
    healthy(gantry, 1)


@pytest.mark.parametrize("later", [0, 1])
def test_of_two_equal_attempts_the_later_start_stays(gantry, later):
    begin(gantry, "t")
    gantry.heartbeat(sid=1)
    first = hold(gantry)
    second = Hold(first).with_start(Hold(first).started_ms + 5).bytes()
    holds = [first, second] if later == 1 else [second, first]
    for sid in (0, 1):
        gantry.redis.hset(running(gantry, sid), "t/a.x", holds[sid])
    assert audit(gantry) == {("t/a.x", MANY_SEEN): FREED}
    assert hold(gantry, later) == second and hold(gantry, 1 - later) is None
    healthy(gantry, 1)


def test_an_entry_that_was_handed_out_twice(gantry):
    gantry.put("t")
    gantry.redis.lpush(gantry.key("queue:a:normal"), "t/a.x", "t/a.x")
    handouts = [gantry.claim(1, sid=sid)[0] for sid in range(3)]
    assert audit(gantry) == {("t/a.x", MANY_SEEN): FREED}
    assert sorted(gantry.finish((h, COMPLETED), sid=sid)[0] for sid, h in enumerate(handouts)) == [OK, STALE, STALE]
    assert gantry.books()["repaired"] == 1
    gantry.balanced()


def test_in_a_session_and_a_queue(gantry):
    (handout,) = begin(gantry, "t")
    for priority in PRIORITY_NAMES.values():
        gantry.redis.lpush(gantry.key("queue:a:" + priority), "t/a.x")
    assert audit(gantry) == {("t/a.x", MANY_SEEN): FREED}
    assert gantry.claim(5, sid=1) == []
    healthy(gantry, 1)
    assert gantry.finish((handout, COMPLETED)) == [OK]
    healthy(gantry, 1)


def test_in_a_session_and_the_timers(gantry):
    begin(gantry, "t")
    gantry.redis.zadd(gantry.key("timers"), {"t/a.x": now_ms() + DAY})
    assert audit(gantry) == {("t/a.x", MANY_SEEN): FREED}
    assert gantry.redis.zcard(gantry.key("timers")) == 0
    healthy(gantry, 1)


def test_in_a_queue_and_the_timers_the_record_says_where_it_stays(gantry):
    gantry.put("t")
    gantry.redis.zadd(gantry.key("timers"), {"t/a.x": now_ms() + DAY})
    gantry.put("u", delay_ms=DAY)
    gantry.redis.rpush(gantry.key("queue:a:high"), "u/a.x")
    assert audit(gantry) == {("t/a.x", MANY_SEEN): FREED, ("u/a.x", MANY_SEEN): FREED}
    assert gantry.queue() == ["t/a.x"] and gantry.queue(priority=HIGH) == []
    assert gantry.redis.zrange(gantry.key("timers"), 0, -1) == [b"u/a.x"]
    healthy(gantry, 2)


def test_in_a_place_that_is_not_its_states(gantry):
    gantry.put("t")
    gantry.redis.delete(gantry.key("queue:a:normal"))
    gantry.redis.zadd(gantry.key("timers"), {"t/a.x": now_ms() + DAY})
    gantry.put("u", delay_ms=DAY)
    gantry.redis.zrem(gantry.key("timers"), "u/a.x")
    gantry.redis.rpush(gantry.key("queue:a:high"), "u/a.x")
    assert gantry.call("audit_fix", "t/a.x", 0, MANY_SEEN) == PUT_BACK and gantry.call("audit_fix", "u/a.x", 0, MANY_SEEN) == PUT_BACK
    assert gantry.queue() == ["t/a.x 1"] and gantry.queue(priority=HIGH) == []
    assert gantry.redis.zrange(gantry.key("timers"), 0, -1) == [b"u/a.x"]
    healthy(gantry, 2)


def test_a_scheduled_stage_that_a_session_has(gantry):
    begin(gantry, "t")
    gantry.put("u", delay_ms=DAY)
    gantry.redis.hset(running(gantry, 0), "u/a.x", hold(gantry))
    assert audit(gantry) == {("u/a.x", MANY_SEEN): FREED}
    assert gantry.redis.zcard(gantry.key("timers")) == 0
    assert gantry.balanced()["repaired"] == 1
    assert audit(gantry) == {}
    gantry.call("bye", sid_of(0))
    healthy(gantry, 1)


# what moved on, or is over

@pytest.mark.parametrize("sessions", [1, 2])
def test_a_stage_that_is_over_loses_what_holds_it(gantry, sessions):
    (handout,) = begin(gantry, "t")
    held = hold(gantry)
    gantry.finish((handout, COMPLETED))
    for sid in range(sessions):
        gantry.heartbeat(sid=sid)
        gantry.redis.hset(running(gantry, sid), "t/a.x", held)
    gantry.redis.zadd(gantry.key("timers"), {"t/a.x": now_ms()})
    assert gantry.books()["balanced"] == 0
    assert audit(gantry) == {("t/a.x", ASTRAY): FREED}
    record = gantry.get("t")["a.x"]
    assert gantry.finish((handout, FAILED)) == [OK] and gantry.get("t")["a.x"] == record
    healthy(gantry, 1)


def test_an_old_generation_that_somebody_has(gantry):
    (handout,) = begin(gantry, "t")
    held = hold(gantry)
    gantry.give_back(handout)
    gantry.heartbeat(sid=1)
    gantry.redis.hset(running(gantry, 1), "t/a.x", held)
    gantry.redis.zadd(gantry.key("timers"), {"t/a.x": now_ms() + DAY})
    assert audit(gantry) == {("t/a.x", ASTRAY): FREED}
    assert gantry.queue() == ["t/a.x 1"]
    healthy(gantry, 1)
    assert gantry.finish((handout, COMPLETED), sid=1) == [STALE]


def test_an_old_generation_while_the_new_one_is_lost(gantry):
    (handout,) = begin(gantry, "t")
    held = hold(gantry)
    gantry.give_back(handout)
    gantry.redis.delete(gantry.key("queue:a:normal"))
    gantry.redis.hset(running(gantry, 0), "t/a.x", held)
    assert gantry.call("audit_fix", "t/a.x", 1, NONE_SEEN) == PUT_BACK
    assert gantry.queue() == ["t/a.x 2"] and hold(gantry) is None
    healthy(gantry, 1)


def test_suspects_that_moved_on_are_left(gantry):
    gantry.end("over")
    begin(gantry, "held")
    gantry.put("back")
    gantry.give_back(*gantry.claim(1))
    gantry.put("pending")
    gantry.put("scheduled", delay_ms=DAY)
    store = gantry.load()
    for field in ("pending/a.x", "scheduled/a.x", "over/a.x", "held/a.x", "back/a.x", "nobody/a.x", "pending/a.y"):
        for generation in (0, 1, 7, 2 ** 32 - 1):
            for seen in (NONE_SEEN, ASTRAY, MANY_SEEN):
                assert gantry.call("audit_fix", field, generation, seen) == FINE
    assert gantry.load() == store
    healthy(gantry, 0)


def test_junk_breaks_nothing(gantry):
    begin(gantry, "h")
    gantry.put("t")
    gantry.put("s", delay_ms=DAY)
    gantry.put("lost")
    gantry.redis.lrem(gantry.key("queue:a:normal"), 0, "lost/a.x")
    r, key = gantry.redis, gantry.key
    gantry.spoil("short/a.x", "y")
    gantry.spoil("odd/a.x", with_state(gantry.kept("states", "s/a.x"), RUNNING))
    gantry.keep("states", "bare/a.x", gantry.kept("states", "s/a.x"))
    for field in ("", "fields", "fields/", "fields/a", "fields/A.x", "fields/a.x.y.z", "fields/" + "x" * 5000, "with blank/a.x", "/a.x", "a.x", "two/of/a.x"):
        gantry.keep("bodies", field, "x")
    r.set(key("running:junk"), "x")
    r.set(key("running:" + sid_of(7)), "x")
    r.zadd(key("sessions"), {sid_of(8): now_ms() + DAY, sid_of(9): now_ms() + DAY})
    r.set(key("running:" + sid_of(8)), "x")
    r.hset(key("running:" + sid_of(9)), mapping={"junk": "x" * 60, "lost/a.x": "short", "nobody/a.x": "y" * 88, "t/a.x": ""})
    r.zadd(key("timers"), {"junk": 1, "": 2, "nobody/a.x": 3, "x" * 5000: 4})
    r.lpush(key("queue:a:normal"), "junk", "", "nobody/a.x", "lost/a.x x", b"\xff\xfe\x00")
    r.sadd(key("queues"), "b", "string", "Odd name")
    r.set(key("queue:string:high"), "x")
    found = Audit(gantry)
    for looked, *flat in found.pages("audit_stages"):
        found.stages.update({(flat[i].decode(), flat[i + 2]): flat[i + 1] for i in range(0, len(flat), 3)})
    assert found.stages == {("h/a.x", 0): 0, ("t/a.x", 0): 0, ("s/a.x", 0): 1, ("lost/a.x", 0): 0}
    assert gantry.call("audit_held", sid_of(8), "0", 10) == [b"0"]
    assert gantry.call("audit_held", sid_of(9), "0", 10)[0:2] == [b"0", b"nobody/a.x"]
    assert gantry.call("audit_held", sid_of(55), "0", 10) == [b"0"]
    assert gantry.call("audit_queue", "string", HIGH, 0, 10) == [0] and gantry.call("audit_queue", "b", HIGH, 0, 10) == [0]
    for id_ in ("bare", "short", "odd", "fields", "nobody"):
        for seen in (NONE_SEEN, ASTRAY, MANY_SEEN):
            assert gantry.call("audit_fix", id_ + "/a.x", 0, seen) == FINE
    assert gantry.call("audit_fix", "lost/a.x", 0, NONE_SEEN) == PUT_BACK
    assert r.lindex(key("queue:a:normal"), -1) == b"lost/a.x 1" and r.hget(key("ledger"), "repaired") == b"1"
    # a queue that is no list cannot be searched
    gantry.redis.lrem(key("queue:a:normal"), 0, "t/a.x")
    r.set(key("queue:a:low"), "x")
    assert [gantry.call("audit_fix", "t/a.x", 0, seen) for seen in (NONE_SEEN, MANY_SEEN)] == [UNDECIDED] * 2
    r.delete(key("queue:a:low"))
    assert gantry.call("audit_fix", "t/a.x", 0, MANY_SEEN) == PUT_BACK
