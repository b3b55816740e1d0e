"""The Redis functions: list, with every filter, its bounds and its cursors."""
import pytest
import redis

from functions_library import (CANCELLED, COMPLETED, FAILED, PENDING, PRIORITY_NAMES, QUARANTINED, RUNNING, SCHEDULED, SKIPPED,
                               body_of, end_line, read_end, server, sid_of, with_end)
from functions_tools import DAY, gantry, now_ms


def names(found):
    return [(id_, state) for id_, _, state, _ in found[0]]


def one_of_each(gantry):
    gantry.put("pending")
    gantry.put("other", task="b.y")
    gantry.put("scheduled", delay_ms=DAY)
    gantry.put("snoozed", task="b.y", delay_ms=2 * DAY)
    gantry.end("completed", state=COMPLETED, task="c.z")
    gantry.end("skipped", state=SKIPPED, task="c.z")
    gantry.end("failed", state=FAILED, task="c.z")
    gantry.end("cancelled", state=CANCELLED, task="c.z")
    gantry.put("running", task="c.z")
    gantry.claim(1, service="c")


def test_every_state(gantry):
    one_of_each(gantry)
    ended = [("cancelled", CANCELLED), ("failed", FAILED), ("skipped", SKIPPED), ("completed", COMPLETED)]
    waiting = [("pending", PENDING), ("other", PENDING)]
    later = [("scheduled", SCHEDULED), ("snoozed", SCHEDULED)]
    assert names(gantry.list()) == waiting + later + [("running", RUNNING)] + ended
    assert names(gantry.list("pending")) == waiting
    assert names(gantry.list("scheduled")) == later
    assert names(gantry.list("running")) == [("running", RUNNING)]
    assert names(gantry.list("ended")) == ended
    assert names(gantry.list("completed")) == ended[2:]
    assert names(gantry.list("failed")) == ended[1:2]
    assert names(gantry.list("cancelled")) == ended[:1]
    assert names(gantry.list("dead")) == [("failed", FAILED)]
    gantry.call("purge", "failed", "")
    assert names(gantry.list("dead")) == [] and names(gantry.list("failed")) == ended[1:2]
    gantry.balanced()


def test_by_service_and_by_node(gantry):
    one_of_each(gantry)
    gantry.put("pending", task="a.w")
    assert names(gantry.list(service="a")) == [("pending", PENDING), ("pending", PENDING), ("scheduled", SCHEDULED)]
    assert names(gantry.list(task="a.x")) == [("pending", PENDING), ("scheduled", SCHEDULED)]
    assert names(gantry.list(task="a.w", service="a")) == [("pending", PENDING)]
    assert names(gantry.list(task="a.w", service="b")) == []
    assert names(gantry.list("running", task="c.z")) == [("running", RUNNING)] and names(gantry.list("running", task="c.y")) == []
    assert len(names(gantry.list("ended", task="c.z"))) == 4 and names(gantry.list("ended", task="c.y")) == []
    assert names(gantry.list("dead", service="c")) == [("failed", FAILED)] and names(gantry.list("dead", service="a")) == []
    assert names(gantry.list("dead", task="c.y")) == []
    assert names(gantry.list("scheduled", task="b.y")) == [("snoozed", SCHEDULED)]


@pytest.mark.parametrize("state", ["pending", "scheduled", "running", "ended", "dead"])
def test_by_time(gantry, state):
    one_of_each(gantry)
    items = [at for _, _, _, at in gantry.list(state)[0]]
    low, high = min(items), max(items)
    inside = len(items)
    assert len(gantry.list(state, since_ms=low, until_ms=high + 1)[0]) == inside
    assert len(gantry.list(state, since_ms=low)[0]) == inside and len(gantry.list(state, until_ms=high + 1)[0]) == inside
    assert len(gantry.list(state, since_ms=high + 1)[0]) == 0 and len(gantry.list(state, until_ms=low)[0]) == 0
    assert len(gantry.list(state, until_ms=high)[0]) == len([at for at in items if at < high])
    assert len(gantry.list(state, since_ms=low + 1)[0]) == len([at for at in items if at > low])


def ended_long_ago(gantry, hours):
    """One completed stage in each of these hours before now; answers their times, latest first."""
    times = []
    for n in hours:
        id_, ms = "old%d" % n, now_ms() - n * 3600000
        gantry.end(id_)
        hour = gantry.redis.lrange(gantry.key("ended:%d" % (now_ms() // 3600000)), -1, -1)[0]
        was = read_end(hour)[1]
        gantry.redis.rpop(gantry.key("ended:%d" % (was // 3600000)))
        gantry.redis.rpush(gantry.key("ended:%d" % (ms // 3600000)), end_line(COMPLETED, ms, id_ + "/a.x"))
        gantry.redis.zadd(gantry.key("hours"), {ms // 3600000: ms // 3600000})
        packed = gantry.kept("states", id_ + "/a.x")
        gantry.keep("states", id_ + "/a.x", with_end(packed, ms))
        times.append(ms)
    return times


def test_hours_out_of_the_time_asked_for_are_not_read(gantry):
    times = ended_long_ago(gantry, range(0, 50, 5))
    found, _ = gantry.list("completed")
    assert [at for *_, at in found] == times
    assert [at for *_, at in gantry.list("completed", since_ms=times[3])[0]] == times[:4]
    assert [at for *_, at in gantry.list("completed", until_ms=times[3])[0]] == times[4:]
    assert [at for *_, at in gantry.list("completed", since_ms=times[6], until_ms=times[3])[0]] == times[4:7]
    paged, pages = gantry.list_all(state="completed", since_ms=times[6], until_ms=times[3], limit=1)
    assert [at for *_, at in paged] == times[4:7] and pages >= 3


@pytest.mark.parametrize("state", ["", "pending", "scheduled", "running", "ended", "dead"])
def test_page_by_page_each_comes_once(gantry, state):
    for i in range(30):
        gantry.put("e%d" % i)
    for handout in gantry.claim(30):
        gantry.finish((handout, FAILED if int(handout["id"][1:]) % 2 else COMPLETED))
    gantry.put(*["r%d" % i for i in range(20)])
    for sid in range(4):
        gantry.claim(5, sid=sid)
    for priority in PRIORITY_NAMES:
        gantry.put(*["p%d.%d" % (priority, i) for i in range(7)], priority=priority)
    gantry.put(*["s%d" % i for i in range(23)], delay_ms=DAY)
    whole, pages = gantry.list_all(state=state)
    assert pages == 1 and len(set(whole)) == len(whole) > 0
    for limit in (1, 3, 7):
        again, pages = gantry.list_all(state=state, limit=limit)
        assert again == whole and pages >= len(whole) / limit


def test_the_same_moment_for_many(gantry):
    gantry.put(*["s%d" % i for i in range(300)], not_before_ms=now_ms() + DAY)
    assert len({at for *_, at in gantry.list("scheduled")[0]}) == 1
    found, _ = gantry.list_all(state="scheduled", limit=7)
    assert len(found) == 300 == len(set(found))


@pytest.mark.parametrize("state, key", [("scheduled", "timers"), ("dead", "dead")])
def test_a_cursor_holds_while_what_it_names_goes(gantry, state, key):
    at = now_ms() + DAY
    for i in range(60):
        if state == "dead":
            gantry.end("s%02d" % i, state=FAILED)
        else:
            gantry.put("s%02d" % i, not_before_ms=at + i // 20)
    if state == "dead":
        gantry.redis.zadd(gantry.key("dead"), {"s%02d/a.x" % i: at + i // 20 for i in range(60)})
    order = [id_ for id_, *_ in gantry.list(state)[0]]
    assert order == sorted(order, reverse=state == "dead")
    seen, cursor = [], ""
    while True:
        page, cursor = gantry.list(state, limit=4, cursor=cursor)
        seen += [id_ for id_, *_ in page]
        if not cursor:
            break
        # what was shown goes: the one that the cursor names, too
        gone = [m for m in gantry.redis.zrange(gantry.key(key), 0, -1) if m.decode().split("/")[0] in seen[-3:]]
        gantry.redis.zrem(gantry.key(key), *gone)
    assert seen == order


def test_members_are_ordered_as_redis_does(gantry):
    ids = ["b", "B", "a", "A", "a-b", "a.b", "a_b", "ab", "Z9", "_", "0"]
    gantry.put(*[id_ for i, id_ in enumerate(ids)], not_before_ms=now_ms() + DAY)
    for limit in (1, 2, 3):
        seen, cursor = [], ""
        while True:
            page, cursor = gantry.list("scheduled", limit=limit, cursor=cursor)
            seen += [id_ for id_, *_ in page]
            if not cursor:
                break
            gantry.redis.zrem(gantry.key("timers"), "%s/a.x" % seen[-1])
        assert seen == sorted(ids, key=lambda id_: id_ + "/")
        gantry.redis.zadd(gantry.key("timers"), {"%s/a.x" % id_: now_ms() + DAY for id_ in ids})


def test_the_work_of_a_call_is_bounded(gantry):
    gantry.put(*["d%d" % i for i in range(1000)], delay_ms=DAY)
    pipe = gantry.redis.pipeline(transaction=False)
    for start in range(0, 25000, 1000):
        pipe.zadd(gantry.key("timers"), {"x%d/b.y" % i: now_ms() for i in range(start, start + 1000)})
        pipe.lpush(gantry.key("queue:a:normal"), *["x%d/a.y" % i for i in range(start, start + 1000)])
    pipe.sadd(gantry.key("queues"), "a")
    pipe.execute()
    found, pages = gantry.list_all(state="scheduled", task="a.x", limit=1000)
    assert len(found) == 1000 and pages == 3
    found, pages = gantry.list_all(state="pending", task="a.x", limit=1000)
    assert found == [] and pages == 3


def test_sessions_that_hold_nothing_count_as_work(gantry):
    gantry.redis.zadd(gantry.key("sessions"), {sid_of(i): now_ms() + DAY for i in range(12000)})
    gantry.put("t")
    gantry.claim(1, sid=11999)
    found, pages = gantry.list_all(state="running")
    assert [id_ for id_, *_ in found] == ["t"] and pages == 2


def test_large_records_end_a_page(gantry):
    gantry.put(*["t%d" % i for i in range(30)], input_={"pad": "x" * 1000000})
    found, pages = gantry.list_all(state="pending")
    assert len(found) == 30 and pages >= 3


def test_names_that_no_message_can_carry_are_passed_over(gantry):
    """Whoever lists would get an answer that is no UTF-8."""
    gantry.end("good", state=FAILED)
    gantry.put("held")
    gantry.claim(1)
    (hold,) = gantry.redis.hvals(gantry.key("running:" + sid_of(0)))
    bad = b"\xff\xfe/a.x"
    gantry.redis.hset(gantry.key("bodies"), bad, body_of(1, {}))
    gantry.redis.hset(gantry.key("running:" + sid_of(0)), bad, hold)
    for name in ("timers", "dead"):
        gantry.redis.zadd(gantry.key(name), {bad: now_ms()})
    gantry.redis.lpush(gantry.key("queue:a:normal"), bad)
    gantry.redis.sadd(gantry.key("queues"), bad)
    gantry.redis.zadd(gantry.key("sessions"), {bad: now_ms() + DAY})
    assert [id_ for id_, *_ in gantry.list_all(limit=1)[0]] == ["held", "good"]
    gantry.redis.hset(gantry.key("states"), bad, gantry.kept("states", "good/a.x"))
    assert [id_ for id_, *_ in gantry.list_all(limit=1, state="dead")[0]] == ["good"]
    assert gantry.call("queues")[::5] == [b"a"]


def test_junk_is_passed_over(gantry):
    one_of_each(gantry)
    before = gantry.list_all()[0], gantry.list_all(state="dead")[0]
    redis_ = gantry.redis
    redis_.zadd(gantry.key("timers"), {"junk": 5, "x" * 10000: 6, "t/a.x": float("inf"), "u/a.x": -7, "t/a.x x": 8, "t/a.x 0 0": 8, "": 9, "t/ax 0": 1})
    redis_.zadd(gantry.key("dead"), {"junk": 5, "x" * 10000: 6, "gone/a.x": 7, "failed/c.z ": 9})
    gantry.keep("states", "bare/a.x", "no body")
    gantry.spoil("short/a.x")
    redis_.zadd(gantry.key("dead"), {"bare/a.x": now_ms(), "short/a.x": now_ms()})
    redis_.lpush(gantry.key("queue:a:normal"), "junk", "bare/a.x", "short/a.x", "short/a.x 1", "none/a.x", " ", "", "failed/c.z 5 5")
    redis_.rpush(gantry.key("ended:%d" % (now_ms() // 3600000)), "junk", "4", "4 5", "4 5 ", "4 x t/a.x", " 4 5 t/a.x",
                 *[end_line(COMPLETED, 5, *fields) for fields in (["bare/a.x"], ["short/a.x", "none/a.x"], ["", "/", "a/", "/a.x", "x" * 5000])])
    for limit in (1, 2, 1000):
        assert (gantry.list_all(limit=limit)[0], gantry.list_all(state="dead", limit=limit)[0]) == before


def test_dead_shows_the_state_of_each(gantry):
    gantry.put("t", crashes_max=1)
    gantry.claim(1)
    gantry.sweep()
    gantry.lapse(0)
    gantry.sweep()
    assert names(gantry.list("dead")) == [("t", QUARANTINED)] and names(gantry.list("failed")) == [("t", QUARANTINED)]
    gantry.put("t")
    assert names(gantry.list("dead")) == []
    gantry.balanced()


GOOD = ("", "", "", "0", "0", "10", "")
BAD = [("odd", 0), ("A", 1), ("ax", 2), ("a.x.y", 2), ("a." + "x" * 70, 2), ("-1", 3), ("x", 3), ("", 3), ("9" * 20, 4), ("x", 4),
       ("0", 5), ("1001", 5), ("", 5), ("q", 6), ("p", 6), ("pa 4 0", 6), ("pa 1 " + "9" * 16, 6), ("s", 6), ("s5", 6), ("sx y", 6),
       ("d", 6), ("dd d", 6), ("e5", 6), ("e5 x", 6), ("e5 " + "9" * 16, 6), ("r", 6), ("rxyz y", 6), ("p" * 300, 6)]


@pytest.mark.parametrize("text, at", BAD)
def test_wrong_arguments_are_refused(gantry, text, at):
    args = list(GOOD)
    args[at] = text
    with pytest.raises(redis.ResponseError, match="gantry_list"):
        gantry.call("list", *args)


def test_the_number_of_arguments_is_looked_at(gantry):
    for args in (GOOD[:6], GOOD + ("",), ()):
        with pytest.raises(redis.ResponseError, match="gantry_list"):
            gantry.call("list", *args)


@pytest.mark.parametrize("cursor", ["sinf -", "snan x", "s-inf ", "s99999999999999999999 x", "dinf -", "dnan x", "d0 x", "d-5 ", "s0x10 y"])
def test_a_cursor_out_of_the_world_ends_somewhere(gantry, cursor):
    one_of_each(gantry)
    found, left = gantry.list("scheduled" if cursor[0] == "s" else "dead", cursor=cursor)
    assert len(found) <= 2 and left == b""
