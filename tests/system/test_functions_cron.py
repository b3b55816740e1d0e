"""The Redis functions: schedules; one fire a slot, whoever asks and however often."""
import random
import threading

import pytest
import redis

from functions_library import (BUSY, CONFLICT, HIT, LOW, MISS, NORMAL, OK, PENDING, SCHEDULED, SEED, WAIT, body_of, server)
from functions_tools import DAY, Tools, gantry, now_ms

CRONS_MAX = 1000


def put(gantry, name="nightly", packed=b"\x80", next_ms=1000):
    return gantry.call("cron_set", name, packed, next_ms)


def task(id_="t", token=1, service="a", priority=NORMAL, queue_max=1000, extra=""):
    return [service, priority, queue_max, 0, 0, f"{id_}/{service}.x", body_of(token, {}, priority=priority), extra]


def fire(gantry, slot=1000, next_ms=2000, name="nightly", given=None):
    return gantry.call("cron_fire", name, slot, next_ms, *(task() if given is None else given))


def crons(gantry, *name):
    flat = gantry.call("crons", *name)
    return {flat[i].decode(): tuple(flat[i + 1:i + 4]) for i in range(0, len(flat), 4)}


def test_set_replace_list_remove(gantry):
    assert crons(gantry) == {} and crons(gantry, "nightly") == {}
    assert put(gantry) == 1
    assert put(gantry, "weekly", b"\x81\x01\x02", 5000) == 1
    assert crons(gantry) == {"nightly": (b"\x80", 1000, 0), "weekly": (b"\x81\x01\x02", 5000, 0)}
    assert crons(gantry, "weekly") == {"weekly": (b"\x81\x01\x02", 5000, 0)} and crons(gantry, "none") == {}
    assert put(gantry, packed=b"\x90", next_ms=7000) == 0
    assert crons(gantry, "nightly") == {"nightly": (b"\x90", 7000, 0)}
    assert put(gantry, packed=b"\x90", next_ms="") == 0
    assert crons(gantry, "nightly") == {"nightly": (b"\x90", 0, 0)}
    assert gantry.call("cron_remove", "nightly") == 1 and gantry.call("cron_remove", "nightly") == 0
    assert crons(gantry) == {"weekly": (b"\x81\x01\x02", 5000, 0)}
    assert gantry.call("cron_remove", "weekly") == 1
    assert gantry.redis.keys("*cron*") == []


def test_a_slot_fires_once(gantry):
    put(gantry)
    assert fire(gantry) == [1, OK, PENDING, MISS]
    assert crons(gantry) == {"nightly": (b"\x80", 2000, 1000)}
    assert gantry.queue() == ["t/a.x"] and gantry.books()["accepted"] == 1
    for _ in range(3):
        assert fire(gantry) == [0, OK, PENDING, MISS]
    assert crons(gantry) == {"nightly": (b"\x80", 2000, 1000)} and gantry.books()["accepted"] == 1
    assert fire(gantry, 2000, 3000, given=task("u", 2)) == [1, OK, PENDING, MISS]
    assert crons(gantry) == {"nightly": (b"\x80", 3000, 2000)}
    gantry.check()


def test_the_last_slot_is_the_last(gantry):
    put(gantry)
    assert fire(gantry, next_ms="") == [1, OK, PENDING, MISS]
    assert crons(gantry) == {"nightly": (b"\x80", 0, 1000)} and fire(gantry, next_ms="") == [0, OK, PENDING, MISS]
    assert gantry.redis.zcard(gantry.key("cron_due")) == 0


def test_what_is_not_its_slot_does_not_fire(gantry):
    put(gantry)
    for slot in (999, 1001, 2000):
        assert fire(gantry, slot, 9000) == [0, OK, PENDING, MISS]
    assert fire(gantry, name="other") == [0, OK, PENDING, MISS]
    gantry.call("cron_remove", "nightly")
    assert fire(gantry) == [0, OK, PENDING, MISS]
    assert gantry.queue() == [] and crons(gantry) == {}


def test_a_schedule_that_was_replaced_fires_by_its_new_plan(gantry):
    put(gantry)
    put(gantry, packed=b"\x90", next_ms=5000)
    assert fire(gantry) == [0, OK, PENDING, MISS]
    assert fire(gantry, 5000, 6000) == [1, OK, PENDING, MISS]
    assert crons(gantry) == {"nightly": (b"\x90", 6000, 5000)}


def test_a_slot_without_a_task_is_passed_over(gantry):
    put(gantry)
    assert fire(gantry, given=[]) == [0, OK, PENDING, MISS]
    assert crons(gantry) == {"nightly": (b"\x80", 2000, 0)} and gantry.queue() == []
    assert fire(gantry, given=[]) == [0, OK, PENDING, MISS] and crons(gantry)["nightly"][1] == 2000


def test_a_slot_whose_task_is_refused_is_passed_over(gantry):
    put(gantry)
    gantry.put("other")
    assert fire(gantry, given=task(queue_max=1)) == [0, BUSY, 1, MISS]
    assert crons(gantry) == {"nightly": (b"\x80", 2000, 0)}
    gantry.spoil("t/a.x")
    assert fire(gantry, 2000, 3000) == [0, CONFLICT, PENDING, MISS]
    assert crons(gantry) == {"nightly": (b"\x80", 3000, 0)}
    gantry.unspoil("t/a.x")
    assert fire(gantry, 3000, 4000) == [1, OK, PENDING, MISS]
    gantry.check()


def test_a_task_of_a_slot_that_is_there_already_is_not_run_twice(gantry):
    put(gantry)
    fire(gantry)
    put(gantry)  # somebody set it back
    assert fire(gantry) == [1, OK, PENDING, MISS]
    assert gantry.books()["accepted"] == 1
    put(gantry)
    assert fire(gantry, given=task(token=9)) == [1, OK, PENDING, WAIT]
    gantry.finish(*[(h, 4) for h in gantry.claim(5)])
    put(gantry)
    assert fire(gantry, given=task(token=9)) == [1, OK, 4, HIT]
    gantry.check()


def test_it_submits_as_submit_does(gantry):
    put(gantry)
    gantry.know("b.x")
    extra = b"\x81\xa8delay_ms\xce" + (DAY).to_bytes(4, "big")
    assert fire(gantry, given=task("u", 5, "b", LOW, extra=extra)) == [1, OK, SCHEDULED, MISS]
    assert gantry.get("u")["b.x"]["priority"] == LOW and gantry.redis.zcard(gantry.key("timers")) == 1
    gantry.check()


def test_what_is_due_is_told_until_it_fires(gantry):
    now = now_ms()
    put(gantry, "past", next_ms=now - 5000)
    put(gantry, "past2", next_ms=now - 4000)
    put(gantry, "soon", next_ms=now + DAY)
    for _ in range(2):
        _, due, fired, told = gantry.timers()
        assert told == [(b"past", now - 5000), (b"past2", now - 4000)] and fired == 0 and due == now + DAY
    fire(gantry, now - 5000, now + 2 * DAY, "past")
    fire(gantry, now - 4000, now + DAY // 2, "past2")
    _, due, _, told = gantry.timers()
    assert told == [] and due == now + DAY // 2


def test_state_services_learn_of_an_earlier_moment(gantry):
    put(gantry, next_ms=5000)
    assert gantry.events() == [{b"t": b"5000"}]
    put(gantry, "later", next_ms=6000)
    assert len(gantry.events()) == 1
    put(gantry, "later", next_ms=4000)
    assert gantry.events()[1:] == [{b"t": b"4000"}]
    fire(gantry, 4000, 5500, "later", [])
    assert len(gantry.events()) == 2
    gantry.call("cron_remove", "nightly")
    fire(gantry, 5500, 5600, "later", [])
    assert gantry.events()[2:] == [{b"t": b"5600"}]


def test_as_many_as_fit_into_an_answer(gantry):
    for i in range(CRONS_MAX):
        assert put(gantry, "c%d" % i, next_ms=i + 1) == 1
    assert put(gantry) == -1 and put(gantry, "c7", b"\x90", 9) == 0
    found = crons(gantry)
    assert len(found) == CRONS_MAX and found["c7"] == (b"\x90", 9, 0) and gantry.redis.zcard(gantry.key("cron_due")) == CRONS_MAX
    gantry.call("cron_remove", "c7")
    assert put(gantry) == 1


@pytest.mark.parametrize("call", [
    ("cron_set", "", b"\x80", 5), ("cron_set", "x" * 65, b"\x80", 5), ("cron_set", "-a", b"\x80", 5), ("cron_set", "A", b"\x80", 5),
    ("cron_set", "a.b", b"\x80", 5), ("cron_set", "a", b"", 5), ("cron_set", "a", b"x" * 65537, 5), ("cron_set", "a", b"\x80", 0),
    ("cron_set", "a", b"\x80", -1), ("cron_set", "a", b"\x80", "x"), ("cron_set", "a", b"\x80"), ("cron_set",),
    ("cron_set", "a", b"\x80", 5, 6), ("cron_remove", "A"), ("cron_remove",), ("cron_remove", "a", "b"), ("crons", "A"),
    ("cron_fire", "A", 1000, 2000, *task()), ("cron_fire", "nightly", "x", 2000, *task()), ("cron_fire", "nightly", 0, 2000, *task()),
    ("cron_fire", "nightly", 1000, 1000, *task()), ("cron_fire", "nightly", 1000, "x", *task()), ("cron_fire", "nightly", 1000),
    ("cron_fire", "nightly"), ("cron_fire",), ("cron_fire", "nightly", 1000, 2000, *task()[:-1]),
    ("cron_fire", "nightly", 1000, 2000, *task(), *task()[5:])])
def test_wrong_arguments_write_nothing(gantry, call):
    put(gantry)
    with pytest.raises(redis.ResponseError, match="gantry_" + call[0]):
        gantry.call(*call)
    assert crons(gantry) == {"nightly": (b"\x80", 1000, 0)} and gantry.queue() == []


@pytest.mark.parametrize("at, wrong", [(0, "A"), (1, 3), (2, "x"), (7, b"junk")])
def test_a_wrong_task_leaves_the_slot(gantry, at, wrong):
    put(gantry)
    given = task()
    given[at] = wrong
    with pytest.raises(redis.ResponseError, match="gantry_submit"):
        fire(gantry, given=given)
    assert crons(gantry) == {"nightly": (b"\x80", 1000, 0)} and gantry.queue() == []
    assert fire(gantry)[0] == 1


def test_a_full_redis_refuses_and_the_slot_stays(gantry):
    put(gantry)
    gantry.redis.config_set("maxmemory", 1)
    try:
        for call in (lambda: fire(gantry), lambda: put(gantry, "other")):
            with pytest.raises(redis.ResponseError, match="OOM"):
                call()
        assert crons(gantry)["nightly"][1] == 1000
        put_back = gantry.call("cron_remove", "other")
        assert put_back == 0
    finally:
        gantry.redis.config_set("maxmemory", 0)
    assert fire(gantry)[0] == 1


def test_many_state_services_at_once_fire_each_slot_once(gantry):
    """Each follows the schedules by itself; all of them ask for every slot, some of them late."""
    slots, names = 60, ["c%d" % i for i in range(4)]
    for name in names:
        put(gantry, name, next_ms=1)
    fired = []

    def follow(seed):
        draw = random.Random(seed)
        mine = Tools(gantry.redis, gantry.shard)
        for slot in range(1, slots + 1):
            for name in draw.sample(names, len(names)):
                for at in {slot, draw.randrange(1, slot + 1)}:
                    answer = mine.call("cron_fire", name, at, at + 1, *task("%s-%d" % (name, at), int(name[1:]) * 1000 + at))
                    if answer[0]:
                        fired.append((name, at))

    threads = [threading.Thread(target=follow, args=(SEED + i,)) for i in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(fired) == sorted((name, slot) for name in names for slot in range(1, slots + 1))
    assert gantry.books()["accepted"] == len(fired)
    gantry.check()
