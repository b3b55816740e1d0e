"""The Redis functions: the bounds of the audit, its slices, and whose turn it is."""
import time

import pytest
import redis

from audit_house import FINE, PUT_BACK, FREED, UNDECIDED, NONE_SEEN, MANY_SEEN, SEARCH_MAX, Audit, running, hold
from functions_library import CANCELLED, HIGH, NORMAL, server, sid_of  # noqa: F401: fixtures
from functions_tools import DAY, Tools, gantry, now_ms  # noqa: F401: fixtures

# bounds

def fill(gantry, name, count, at="rpush"):
    gantry.redis.eval("for i = 1, ARGV[1] do redis.call(ARGV[2], KEYS[1], 'x' .. i .. '/a.y 0') end", 1,
                      gantry.key("queue:a:" + name), count, at)


def timed_fix(gantry, *args):
    begun = time.monotonic()
    answer = gantry.call("audit_fix", *args)
    return answer, time.monotonic() - begun


def test_a_deep_queue_is_searched_from_both_ends(gantry):
    gantry.put("t")
    queue = gantry.key("queue:a:normal")
    fill(gantry, "normal", SEARCH_MAX - 1)
    fill(gantry, "normal", SEARCH_MAX, "lpush")
    # all of it is looked at: 400,000
    assert timed_fix(gantry, "t/a.x", 0, NONE_SEEN)[0] == FINE and timed_fix(gantry, "t/a.x", 0, MANY_SEEN)[0] == FINE
    gantry.redis.lrem(queue, 1, "t/a.x")
    gantry.redis.lpush(queue, "x/a.y", "x/a.y")
    answer, took = timed_fix(gantry, "t/a.x", 0, NONE_SEEN)
    assert answer == UNDECIDED and took < 0.25
    assert gantry.call("audit_fix", "t/a.x", 0, MANY_SEEN) == UNDECIDED
    assert gantry.books()["repaired"] == 0 and gantry.get("t")["a.x"]["generation"] == 0
    # near an end it is found, however deep the queue
    for end, out in (("rpush", "rpop"), ("lpush", "")):
        getattr(gantry.redis, end)(queue, "t/a.x")
        assert gantry.call("audit_fix", "t/a.x", 0, NONE_SEEN) == FINE
        assert gantry.call("audit_fix", "t/a.x", 0, MANY_SEEN) == UNDECIDED  # one in the middle may be there
        assert not out or getattr(gantry.redis, out)(queue) == b"t/a.x"
    gantry.redis.rpush(queue, "t/a.x")
    # now it is there twice
    assert gantry.call("audit_fix", "t/a.x", 0, MANY_SEEN) == FREED
    assert gantry.redis.lpos(queue, "t/a.x", count=0) == [gantry.redis.llen(queue) - 1]
    gantry.redis.rpop(queue)
    gantry.redis.rpop(queue, 2)
    gantry.redis.lpop(queue, 1)
    assert gantry.redis.llen(queue) <= 2 * SEARCH_MAX and gantry.call("audit_fix", "t/a.x", 0, NONE_SEEN) == PUT_BACK
    assert gantry.redis.lindex(queue, -1) == b"t/a.x 1"


def test_an_entry_in_the_middle_of_a_deep_queue_is_never_doubled(gantry):
    gantry.put("t")
    fill(gantry, "normal", SEARCH_MAX)
    fill(gantry, "normal", SEARCH_MAX, "lpush")
    queue = gantry.key("queue:a:normal")
    assert gantry.redis.lpos(queue, "t/a.x") == SEARCH_MAX
    assert gantry.call("audit_fix", "t/a.x", 0, NONE_SEEN) == UNDECIDED
    # a session that has it too is preferred wherever the entry is
    gantry.put("h", task="b.y")
    gantry.claim(1, service="b")
    gantry.redis.hset(running(gantry, 0), "t/a.x", hold(gantry, field="h/b.y"))
    assert gantry.call("audit_fix", "t/a.x", 0, NONE_SEEN) == FINE
    gantry.redis.lpush(queue, "t/a.x")
    assert gantry.call("audit_fix", "t/a.x", 0, MANY_SEEN) == FREED
    assert gantry.redis.lpos(queue, "t/a.x") is None


def test_slices_are_paged_to_their_end(gantry):
    gantry.put(*["t%d" % i for i in range(700)])
    gantry.put(*["s%d" % i for i in range(700)], task="b.y", delay_ms=DAY)
    gantry.put(*["t%d" % i for i in range(200)], task="b.z", priority=HIGH)
    gantry.claim(300)
    for handout in gantry.claim(100, sid=1):
        gantry.finish((handout, CANCELLED), sid=1)
    for count in (1, 50, 10000):
        found = Audit(gantry, count=count).walk()
        assert found.looked == 1600 and len(found.stages) == 1500 and found.suspects() == []
        assert sorted(set(found.held + found.queued)) == sorted(found.stages)
    assert set(gantry.call("audit_queues")) == {b"a", b"b"}
    length, *page = gantry.call("audit_queue", "a", NORMAL, 290, 20)
    assert length == 300 and page == [b"t%d/a.x" % i for i in range(409, 399, -1)]


@pytest.mark.parametrize("shard", ["g*", "g?", "[abc]", "a\\", "a\\*", "g[1]:", "^g", "%d+", "{g*}"])
def test_a_shard_with_signs_of_patterns(server, shard):
    server.flushall()
    other = Tools(server, "gab")
    for gantry in (other, Tools(server, shard)):
        gantry.put("t", "u")
        gantry.put("s", delay_ms=DAY)
        gantry.claim(1)
    for gantry in (other, Tools(server, shard)):
        found = Audit(gantry).walk()
        assert sorted(found.stages) == [("s/a.x", 0), ("t/a.x", 0), ("u/a.x", 0)] and found.looked == 3 and found.suspects() == []


# whose turn it is

def test_one_walks_at_a_time_and_not_too_often(gantry):
    begin_, done = [lambda *args, name=name: gantry.call(name, *args) for name in ("audit_begin", "audit_done")]
    assert begin_("one", 60000) == 1 and begin_("two", 60000) == 0 and begin_("one", 60000) == 1
    assert 29000 < gantry.redis.pttl(gantry.key("audit_by")) <= 30000
    gantry.redis.pexpire(gantry.key("audit_by"), 5000)
    assert begin_("one", 60000) == 1 and gantry.redis.pttl(gantry.key("audit_by")) > 29000
    assert done("two", 5) == 0 and gantry.books()["audits"] == 0
    assert done("one", 1234) == 1
    books = gantry.books()
    assert (books["audits"], books["audited"]) == (1, 1234) and abs(books["audited_ms"] - now_ms()) < 10000
    assert done("one", 5) == 0
    assert begin_("two", 60000) == 0 and begin_("one", 60000) == 0
    assert begin_("two", 0) == 1 and done("two", 0) == 1 and gantry.books()["audits"] == 2
    gantry.redis.hset(gantry.key("ledger"), "audited_ms", now_ms() - 60001)
    assert begin_("two", 60000) == 1 and done("two", 0) == 1
    gantry.redis.hset(gantry.key("ledger"), "audited_ms", now_ms() + DAY)  # the clock was set back
    assert begin_("two", 60000) == 1


def test_the_walk_of_one_that_died_is_taken_over(gantry):
    assert gantry.call("audit_begin", "one", 60000) == 1
    gantry.redis.delete(gantry.key("audit_by"))
    assert gantry.call("audit_begin", "two", 60000) == 1
    assert gantry.call("audit_begin", "one", 60000) == 0 and gantry.call("audit_done", "one", 5) == 0
    assert gantry.call("audit_done", "two", 5) == 1


def test_an_audit_is_asked_for(gantry):
    gantry.call("audit_begin", "one", 60000)
    gantry.call("audit_done", "one", 5)
    assert gantry.call("audit_begin", "one", 60000) == 0
    assert gantry.call("audit_ask") == 1 and gantry.call("audit_ask") == 0
    assert gantry.call("audit_begin", "one", 60000) == 2
    assert gantry.call("audit_begin", "one", 60000) == 1
    assert gantry.call("audit_ask") == 1  # while it walks: another one after it
    gantry.call("audit_done", "one", 5)
    assert gantry.call("audit_begin", "two", 60000) == 2
    gantry.call("audit_done", "two", 5)
    assert gantry.call("audit_begin", "one", 60000) == 0


WRONG = [("audit_begin", "", "5"), ("audit_begin", "x" * 129, "5"), ("audit_begin", "x", "-1"), ("audit_begin", "x"), ("audit_begin",),
         ("audit_begin", "x", "5", "6"), ("audit_done", "", "5"), ("audit_done", "x", "y"), ("audit_done", "x"), ("audit_done", "x", "5", "6"),
         ("audit_stages", "x", "5"), ("audit_stages", "1" * 21, "5"), ("audit_stages", "0", "0"), ("audit_stages", "0", "10001"),
         ("audit_stages", "0"), ("audit_stages", "0", "5", "6"), ("audit_held", "x", "0", "5"), ("audit_held", sid_of(1), "-1", "5"),
         ("audit_held", sid_of(1), "0", "0"), ("audit_held", sid_of(1), "0"), ("audit_held", sid_of(1), "0", "5", "6"),
         ("audit_timers", "x", "5"), ("audit_timers", "0", "0"), ("audit_timers", "0"), ("audit_timers", "0", "5", "6"),
         ("audit_queue", "A", "0", "0", "5"), ("audit_queue", "a", "3", "0", "5"), ("audit_queue", "a", "0", "-1", "5"),
         ("audit_queue", "a", "0", "0", "0"), ("audit_queue", "a", "0", "0", "10001"), ("audit_queue", "a", "0", "0"),
         ("audit_queue", "a", "0", "0", "5", "6"), ("audit_fix", "t", "0", "0"), ("audit_fix", "t/a", "0", "0"), ("audit_fix", "", "0", "0"),
         ("audit_fix", "x" * 300 + "/a.x", "0", "0"), ("audit_fix", "t/a.x 0", "0", "0"), ("audit_fix", "t/a.x", "x", "0"),
         ("audit_fix", "t/a.x", "4294967296", "0"), ("audit_fix", "t/a.x", "0", "3"), ("audit_fix", "t/a.x", "0"),
         ("audit_fix", "t/a.x", "0", "0", "0"), ("audit_fix",)]


@pytest.mark.parametrize("call", WRONG)
def test_wrong_arguments_write_nothing(gantry, call):
    gantry.put("t")
    with pytest.raises(redis.ResponseError, match="gantry_" + call[0]):
        gantry.call(*call)
    assert not gantry.redis.exists(gantry.key("audit_by"))
    gantry.check()
