"""The Redis functions: batches of every mixture, and how the store is kept."""
import msgpack
import pytest

from functions_library import (
    BUSY, CANCELLED, COMPLETED, CONFLICT, FAILED, HIT, HOUR, LOW, MISS, OK, OVER_USER, PENDING, RETRY, RUNNING, SCHEDULED, STALE, WAIT,
    body_of, read_body, server, sid_of, token_of)  # noqa: F401: fixtures
from functions_tools import gantry, now_ms  # noqa: F401: fixtures

NEW = (OK, PENDING, MISS)
MIB = 1 << 20


def stage(id_, token, **options):
    return id_, "a.x", token, None, options


# the same stage more than once

@pytest.mark.parametrize("token, reuse", [(1, MISS), (2, WAIT)])
@pytest.mark.parametrize("first, second", [({}, {}), ({"delay_ms": HOUR}, {}), ({}, {"delay_ms": HOUR}), ({"delay_ms": HOUR}, {"delay_ms": HOUR}),
                                           ({"owner": "ann"}, {}), ({}, {"owner": "ann"})])
def test_the_first_of_two_in_a_batch_is_taken(gantry, token, reuse, first, second):
    state = SCHEDULED if "delay_ms" in first else PENDING
    assert gantry.submit(stage("t", 1, **first), stage("t", token, **second)) == [(OK, state, MISS), (OK, state, reuse)]
    assert gantry.kept("bodies", "t/a.x").endswith(token_of(1)) and gantry.ledger() == {"accepted": 1}
    assert gantry.queue() == ([] if state else ["t/a.x"])
    gantry.check()


def test_the_same_between_others_in_every_place(gantry):
    for at in range(1, 5):
        tasks = [stage("t%d" % at, 1), *(stage("n%d.%d" % (at, n), n) for n in range(3))]
        tasks.insert(at, stage("t%d" % at, 2))
        found = gantry.submit(*tasks)
        assert found == [(OK, PENDING, WAIT) if n == at else NEW for n in range(5)]
        gantry.check()
    assert gantry.ledger() == {"accepted": 16}


def test_an_ended_stage_twice_in_a_batch_runs_once_more(gantry):
    gantry.end("t", state=FAILED)
    assert gantry.submit(stage("t", 5), stage("t", 6), stage("t", 5)) == [NEW, (OK, PENDING, WAIT), NEW]
    assert gantry.queue() == ["t/a.x 1"] and gantry.ledger()["accepted"] == 2
    gantry.check()


def test_a_body_that_somebody_cut_is_whole_when_its_stage_runs_again(gantry):
    gantry.end("t", state=FAILED)
    gantry.keep("bodies", "t/a.x", b"\xcf\0")
    assert gantry.submit(stage("t", 5)) == [NEW]
    created_ms, flags, *_, token = read_body(gantry.kept("bodies", "t/a.x"))
    assert abs(created_ms - now_ms()) < 60000 and flags == 0 and token == token_of(5)
    gantry.check()


# mixtures

def test_new_repeated_reused_and_refused_in_one_batch(gantry):
    gantry.end("done")
    gantry.end("failed", state=FAILED)
    gantry.submit(stage("running", 2), stage("pending", 1))
    gantry.claim(1)
    gantry.spoil("junk/a.x")
    before = len(gantry.queue())
    said = [(stage("n1", 10), NEW), (stage("pending", 1), NEW), (stage("done", 11), (OK, COMPLETED, HIT)), (stage("running", 12), (OK, PENDING, WAIT)),
            (stage("n2", 13, owner="ann"), NEW), (stage("junk", 14), (CONFLICT, PENDING, MISS)), (stage("failed", 15), NEW),
            (stage("later", 16, delay_ms=HOUR), (OK, SCHEDULED, MISS)), (stage("n3", 17, owner="ann"), (BUSY, 1, OVER_USER)), (stage("n4", 18), NEW)]
    tasks, answers = zip(*said)
    assert gantry.submit(*tasks, quota_user=1) == list(answers)
    assert sorted(gantry.queue()[:-before]) == ["failed/a.x 1", "n1/a.x", "n2/a.x", "n4/a.x"]
    gantry.unspoil("junk/a.x")
    gantry.check()


def test_a_full_queue_in_the_middle_of_a_batch(gantry):
    gantry.submit(*[stage("t%d" % n, n) for n in range(7)])
    gantry.put("other", task="b.x")  # fills another queue
    answers = gantry.submit(*[stage("u%d" % n, n) for n in range(5)], stage("t3", 3), stage("t4", 99), stage("u0", 0), queue_max=10)
    assert answers == [NEW] * 3 + [(BUSY, 10, MISS)] * 2 + [NEW, (OK, PENDING, WAIT), NEW]
    assert gantry.get("u3") == {} and len(gantry.queue()) == 10
    assert gantry.submit(stage("u3", 3), stage("u4", 4, delay_ms=HOUR), stage("u1", 1), queue_max=10) == [(BUSY, 10, MISS)] * 2 + [NEW]
    assert gantry.submit(stage("u3", 3), queue_max=0) == [(BUSY, 10, MISS)]
    gantry.check()


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 1024])
def test_batches_of_every_size(gantry, size):
    ids = ["t%d" % n for n in range(size)]
    tasks = [stage(id_, n) for n, id_ in enumerate(ids)]
    assert gantry.call("submit", "a", 0, 10 ** 6, 0, 0, *[a for n, id_ in enumerate(ids) for a in (id_ + "/a.x", body_of(n, {"n": n}), "")]) == size
    gantry.know("a.x")
    assert gantry.submit(*tasks) == [NEW] * size  # once more: each is known
    assert gantry.submit(*tasks[:-1], stage("last", 9999)) == [NEW] * size
    out = gantry.claim(size)
    assert [h["id"] for h in out] == ids
    assert gantry.heartbeat(*[(h, "0.5") for h in out], claim_open=2) == ([], [], 0)
    assert gantry.put_back(*[(h, RETRY, "1", {"error": {}}, b"c%d" % n) for n, h in enumerate(out)]) == [OK] * size
    gantry.due(*[id_ + "/a.x 1" for id_ in ids])
    assert gantry.timers()[2] == size
    out = gantry.claim(1024)
    again = [h for h in out if h["id"] != "last"]
    assert len(out) == min(size + 1, 1024) and {h["generation"] for h in again} == {1}
    assert [h["checkpoint"] for h in again] == [b"c%d" % int(h["id"][1:]) for h in again]
    gantry.check()
    args = [a for h in out for a in (*gantry.named(h), COMPLETED, b"\x80")]
    assert gantry.call("finish", sid_of(0), "w", *args) == len(out)
    assert gantry.redis.hlen(gantry.key("checkpoints")) == size - len(again)
    gantry.check()


def test_one_that_is_stale_among_good_ones(gantry):
    gantry.put(*["t%d" % n for n in range(6)])
    out = gantry.claim(6)
    gantry.give_back(out[2])
    said = [(h, COMPLETED) for h in out]
    said[4] = (dict(out[4], token=b"x" * 12), COMPLETED)
    assert gantry.finish(*said) == [OK, OK, STALE, OK, STALE, OK]
    assert gantry.finish(*said) == [OK, OK, STALE, OK, STALE, OK]
    assert gantry.state("t4") == RUNNING and gantry.state("t2") == PENDING
    assert gantry.finish((out[4], COMPLETED), (out[4], FAILED), (out[0], FAILED)) == [OK] * 3
    assert gantry.state("t4") == gantry.state("t0") == COMPLETED
    gantry.check()


def test_each_of_a_batch_ends_in_its_own_way(gantry):
    gantry.put(*["t%d" % n for n in range(5)], owner="ann")
    out = gantry.claim(5)
    gantry.cancel("t3")
    assert gantry.finish(*zip(out, (COMPLETED, FAILED, CANCELLED, COMPLETED, COMPLETED))) == [OK] * 5
    assert [gantry.state("t%d" % n) for n in range(5)] == [COMPLETED, FAILED, CANCELLED, CANCELLED, COMPLETED]
    gantry.check()


# generations

def test_an_entry_counts_for_its_generation_alone(gantry):
    gantry.put("t")
    (handout,) = gantry.claim(1)
    for generation in (1, 2, 3):
        gantry.give_back(handout)
        assert gantry.queue() == ["t/a.x %d" % generation]
        gantry.redis.rpush(gantry.key("queue:a:normal"), "t/a.x", "t/a.x 0", "t/a.x %d" % (generation - 1), "t/a.x %d" % (generation + 1),
                           "t/a.x 0%d" % generation, "t/a.x  %d" % generation, "t/a.x %d " % generation, "t/a.x -%d" % generation)
        gantry.redis.zadd(gantry.key("timers"), {"t/a.x %d" % generation: 1, "t/a.x": 1, "t/a.x 0": 1})
        assert gantry.timers()[2] == 3 and gantry.state("t") == PENDING
        (handout,) = gantry.claim(9)
        assert (handout["generation"], handout["attempt"]) == (generation, generation + 1)
        assert gantry.queue() == []
        gantry.check()
    assert gantry.finish((handout, COMPLETED)) == [OK]


def test_generation_0_is_spelled_one_way(gantry):
    gantry.put("t")
    gantry.redis.rpush(gantry.key("queue:a:normal"), "t/a.x 0", "t/a.x 00")
    assert len(gantry.claim(9)) == 1
    gantry.check()


# whole tasks

def test_a_whole_task_is_what_registered_nodes_have_of_it(gantry):
    gantry.put("t", task="a.y")
    gantry.put("t", task="a.x")
    gantry.end("t", task="b.z")
    gantry.put("t2", task="a.x")
    assert list(gantry.get("t")) == ["a.x", "a.y", "b.z"] and list(gantry.get("t2")) == ["a.x"]
    gantry.redis.hdel(gantry.key("nodes"), "a.y")
    assert list(gantry.get("t")) == ["a.x", "b.z"] and list(gantry.get("t", "a.y")) == ["a.y"]
    assert {k: v["state"] for k, v in gantry.cancel("t").items()} == {"a.x": CANCELLED, "b.z": COMPLETED}
    assert gantry.state("t", "a.y") == PENDING
    gantry.redis.delete(gantry.key("nodes"))
    assert gantry.get("t") == {} == gantry.cancel("t")
    gantry.redis.hset(gantry.key("nodes"), "", "x")
    assert gantry.get("t") == {}
    gantry.check()


def test_a_thousand_nodes_hold_up_no_whole_task(gantry):
    gantry.put("t", task="a.x")
    gantry.redis.hset(gantry.key("nodes"), mapping={"n.n%d" % n: "x" for n in range(2500)})
    assert list(gantry.get("t")) == ["a.x"] and gantry.get("u") == {}


# how it is kept

def test_a_session_holds_in_a_hash_table_whatever_it_holds(gantry):
    assert gantry.redis.config_get("hash-max-*-value").popitem()[1] == "64"
    running = gantry.key("running:" + sid_of(0))
    gantry.put("t", *["u%d" % n for n in range(40)], priority=LOW)
    (handout,) = gantry.claim(1)
    assert gantry.redis.object("ENCODING", running) == b"hashtable"
    gantry.heartbeat((handout, "0.5"), claim_open=1)
    gantry.claim(40)
    assert gantry.redis.object("ENCODING", running) == b"hashtable" and gantry.redis.hlen(running) == 41


def test_large_bodies_are_walked_in_bounded_slices(gantry):
    for n in range(40):
        assert gantry.submit(("big%d" % n, "a.x", n, {"blob": "x" * MIB})) == [NEW]
    gantry.put(*["small%d" % n for n in range(300)])
    cursor, fields, calls, most = b"0", [], 0, 0
    while True:
        cursor, looked, *flat = gantry.call("audit_stages", cursor, 10000)
        fields += flat[::3]
        assert len(flat) == 3 * looked
        most, calls = max(most, sum(f.startswith(b"big") for f in flat[::3])), calls + 1
        if cursor == b"0":
            break
    assert len(set(fields)) == 340 and most <= 40 // 2 and calls >= 3


def test_a_sessions_holds_are_adopted_though_its_lease_is_gone(gantry):
    gantry.put("t", "u", "v")
    gantry.heartbeat(sid=1, worker="two")
    gantry.claim(1, sid=0)
    gantry.claim(1, sid=1)
    gantry.claim(1, sid=2, worker="")  # said no name: nothing but its lease tells of it
    gantry.redis.delete(gantry.key("sessions"))
    gantry.redis.hset(gantry.key("workers"), mapping={"junk": "x", "Z" * 32: "x", sid_of(9): "idle"})
    assert set(gantry.call("audit_sessions")) == {sid_of(n).encode() for n in (0, 1)}
    assert all(0 < gantry.redis.zscore(gantry.key("sessions"), sid_of(n)) - now_ms() <= 10000 for n in (0, 1))
    assert gantry.call("audit_fix", "v/a.x", 0, 0) == 1  # by none that is known: put back
    assert gantry.queue() == ["v/a.x 1"]


def test_no_more_nodes_than_a_state_service_reads(gantry):
    many = ["n.n%d" % n for n in range(4095)]
    gantry.redis.hset(gantry.key("nodes"), mapping={name: msgpack.packb({"name": name}) for name in many})
    assert gantry.call("register", "new.a", msgpack.packb({"a": 1}), "new.b", msgpack.packb({"b": 1})) == -1
    assert gantry.redis.hlen(gantry.key("nodes")) == 4095
    assert gantry.call("register", "new.a", msgpack.packb({"a": 1})) == 1
    assert gantry.call("register", "new.a", msgpack.packb({"a": 2}), "n.n7", msgpack.packb({"n": 7})) == 2  # known ones change
    assert gantry.call("register", "new.b", msgpack.packb({"b": 1})) == -1
