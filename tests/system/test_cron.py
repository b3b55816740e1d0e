"""Schedules: set, listed, removed, refused by field; a slot fires once whoever lives; of what an outage missed, the latest.

There are no schedules with seconds: a test that needs a fire says in Redis that the next slot is now.
"""
import datetime
import re
import time

import msgpack
import pytest

from harness import System
from state_house import (BUSY, INVALID, NOT_FOUND, OK, TOO_LARGE, House, Worker, input_, node, until)

ECHO = node("system.echo", input_("text", "text"), input_("n", "whole"))
FAR = "0 0 1 1 *"


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    house.state()
    Worker(house.broker).register(ECHO)
    yield house
    house.close()


def plan(name="nightly", schedule=FAR, **more):
    return {"action": "set", "name": name, "schedule": schedule, "task": "system.echo", **more}


def cron(house, **body):
    return house.broker.insist("CRON", body)


def set_(house, *args, **more):
    answer = cron(house, **plan(*args, **more))
    assert answer.status == OK, answer
    return answer.body[0]


def listed(house):
    return {row["name"]: row for row in cron(house).body}


def now_ms():
    return int(time.time() * 1000)


def slot_id(name, ms):
    return name + datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc).strftime("-%Y%m%dT%H%M%SZ")


def due(db, name, ms=None):
    """Its next slot is then, by default now; answers the id of the task that it fires."""
    ms = ms or now_ms()
    db.zadd("cron_due", {name: ms})
    return slot_id(name, ms)


def fired(db, name):
    return sorted(key.decode().split("/")[0] for key in db.hkeys("bodies") if key.startswith(name.encode() + b"-"))


def said(house, event):
    return [line for state in house.states for line in state.lines() if event in line]


# ---- the verb ------------------------------------------------------------------------------------


def test_a_schedule_is_set_listed_replaced_and_removed(house):
    assert cron(house).body == [] and cron(house, action="list").body == []
    row = set_(house, schedule="30 4 * * mon-fri", zone="Asia/Shanghai", input={"n": 1}, priority="low", timeout_ms=5000)
    kept = dict(plan(schedule="30 4 * * mon-fri", zone="Asia/Shanghai", input={"n": 1}, priority="low", timeout_ms=5000))
    del kept["action"]
    assert row == dict(kept, next_ms=row["next_ms"])
    at = datetime.datetime.fromtimestamp(row["next_ms"] / 1000, datetime.timezone.utc)
    assert (at.hour, at.minute, at.second) == (20, 30, 0) and at.weekday() in (6, 0, 1, 2, 3)
    assert now_ms() < row["next_ms"] < now_ms() + 4 * 86400000
    assert listed(house) == {"nightly": row}
    set_(house, "other", "@hourly")
    again = set_(house, schedule="@monthly")
    assert set(listed(house)) == {"nightly", "other"} and listed(house)["nightly"] == again and "zone" not in again
    assert house.redis.client.zscore("cron_due", "nightly") == again["next_ms"]
    answer = cron(house, action="remove", name="nightly")
    assert answer.status == OK and answer.body == []
    assert set(listed(house)) == {"other"} and house.redis.client.zcard("cron_due") == 1
    assert cron(house, action="remove", name="nightly").status == NOT_FOUND


@pytest.mark.parametrize("field,status,change", [
    ("action", INVALID, {"action": "delete"}),
    ("name", INVALID, {"name": ""}), ("name", INVALID, {"name": "Night"}), ("name", INVALID, {"name": "-x"}),
    ("name", INVALID, {"name": "a/b"}), ("name", INVALID, {"name": "x" * 65}),
    ("schedule", INVALID, {"schedule": ""}), ("schedule", INVALID, {"schedule": "* * * *"}),
    ("schedule", INVALID, {"schedule": "0 25 * * *"}), ("schedule", INVALID, {"schedule": "0 0 31 2 *"}),
    ("zone", INVALID, {"zone": "Mars/Olympus"}), ("zone", INVALID, {"zone": "../../etc/passwd"}),
    ("zone", INVALID, {"zone": "tzdata.zi"}),
    ("task", INVALID, {"task": "echo"}), ("task", NOT_FOUND, {"task": "system.unknown"}),
    ("input.n", INVALID, {"input": {"n": "one"}}), ("input.m", INVALID, {"input": {"m": 1}}),
    ("input", INVALID, {"input": [1]}), ("input", TOO_LARGE, {"input": {"text": "x" * 70000}}),
    ("priority", INVALID, {"priority": "urgent"}), ("schedule", INVALID, {"schedule": 5}),
], ids=lambda value: str(value)[:30] if isinstance(value, dict) else None)
def test_what_is_wrong_is_refused_by_its_field(house, field, status, change):
    answer = cron(house, **{**plan(), **change})
    assert answer.status == status and answer.body["field"] == field, answer
    assert cron(house).body == []


def test_a_refusal_says_what_would_be_right(house):
    assert "hour '25'" in cron(house, **plan(schedule="0 25 * * *")).body["message"]
    assert "0 to 23" in cron(house, **plan(schedule="0 25 * * *")).body["message"]
    assert "5 years" in cron(house, **plan(schedule="0 0 31 2 *")).body["message"]
    assert "Asia/Shanghai" in cron(house, **plan(zone="Mars/Olympus")).body["message"]


def test_there_are_so_many_and_no_more(house):
    house.redis.client.hset("crons", mapping={"old%d" % n: b"\x80" for n in range(999)})
    set_(house, "last")
    answer = cron(house, **plan("more"))
    assert answer.status == BUSY and answer.body["scope"] == "schedules" and answer.body["limit"] == 1000
    set_(house, "last", "@daily")
    assert len(cron(house).body) == 1000


# ---- fires ---------------------------------------------------------------------------------------


def test_a_slot_fires_its_task(house):
    db = house.redis.client
    set_(house, input={"text": "hé", "n": 7}, priority="high", timeout_ms=4321)
    after = listed(house)["nightly"]["next_ms"]
    slot = now_ms()
    id_ = due(db, "nightly", slot)
    until(lambda: fired(db, "nightly"))
    assert fired(db, "nightly") == [id_] and re.fullmatch(r"nightly-\d{8}T\d{6}Z", id_)
    row = listed(house)["nightly"]
    assert row["last_ms"] == slot and row["next_ms"] == after
    [handout] = Worker(house.broker).claim()
    assert handout["id"] == id_ and handout["input"] == {"text": "hé", "n": 7} and handout["timeout_ms"] == 4321
    stage = house.broker.ask("GET", {"id": id_}).body["stages"]["system.echo"]
    assert stage["priority"] == "high" and stage["state"] == "running"
    assert house.broker.ask("LEDGER").body["balanced"] is True
    assert not said(house, "cron_")


def test_a_minute_comes_by_itself(house):
    """The real thing, waited for."""
    row = set_(house, "each-minute", "* * * * *")
    assert 0 < row["next_ms"] - now_ms() <= 60000 and row["next_ms"] % 60000 == 0
    if row["next_ms"] - now_ms() > 15000:
        pytest.skip("the minute has just begun: not waited for")
    until(lambda: fired(house.redis.client, "each-minute"), 20)
    late = now_ms() - row["next_ms"]
    assert fired(house.redis.client, "each-minute") == [slot_id("each-minute", row["next_ms"])] and late < 1000
    assert listed(house)["each-minute"]["next_ms"] == row["next_ms"] + 60000


def test_of_missed_slots_only_the_latest_fires(house):
    db = house.redis.client
    row = set_(house, "hourly", "@hourly")
    house.states.pop().stop()
    house.broker.peers.clear()
    due(db, "hourly", row["next_ms"] - 30 * 3600000)
    house.state()
    until(lambda: fired(db, "hourly"))
    time.sleep(0.5)
    latest = row["next_ms"] - 3600000
    if now_ms() < row["next_ms"]:  # not at the full hour
        assert fired(db, "hourly") == [slot_id("hourly", latest)]
        assert listed(house)["hourly"] == dict(row, last_ms=latest)


def test_a_full_queue_costs_the_slot_and_not_the_schedule(house):
    db = house.redis.client
    house.states.pop().stop()
    house.broker.peers.clear()
    house.state(queue_max=1)
    row = set_(house)
    first = due(db, "nightly", now_ms() - 5000)
    until(lambda: fired(db, "nightly"))
    due(db, "nightly", now_ms() - 3000)
    until(lambda: said(house, "cron_refused"))
    assert fired(db, "nightly") == [first] and listed(house)["nightly"]["next_ms"] == row["next_ms"]
    assert len(said(house, "cron_refused")) == 1 and "schedule=nightly" in said(house, "cron_refused")[0]
    [handout] = Worker(house.broker).claim()
    assert handout["id"] == first
    second = due(db, "nightly")
    until(lambda: len(fired(db, "nightly")) == 2)
    assert second in fired(db, "nightly")


def test_a_definition_that_no_longer_holds_is_passed_over(house):
    db = house.redis.client
    row, bad = set_(house, "good"), set_(house, "bad", input={"n": 1})
    Worker(house.broker).register(node("system.echo", input_("text", "text")))
    db.hset("crons", "rubbish", b"\xc1\xff")
    for name in ("rubbish", "bad", "nobody", "good"):
        due(db, name)
    until(lambda: fired(db, "good"))
    until(lambda: len(said(house, "cron_passed_over")) == 2)
    assert not fired(db, "bad") and not fired(db, "rubbish") and not fired(db, "nobody")
    assert any("schedule=bad" in line and "field=input.n" in line for line in said(house, "cron_passed_over"))
    rows = listed(house)
    assert rows["bad"]["next_ms"] == bad["next_ms"] and "last_ms" not in rows["bad"]
    assert now_ms() + 3000000 < rows["rubbish"]["next_ms"] < now_ms() + 3700000
    assert db.zscore("cron_due", "nobody") is None
    assert rows["good"]["next_ms"] == row["next_ms"]


def test_a_slot_in_a_zone_that_is_not_known_here_stays_due(house):
    """Another state service may know it; and however many wait so, the others fire."""
    db = house.redis.client
    set_(house, "good")
    names = ["far%d" % n for n in range(150)]
    said_of = {name: {k: v for k, v in plan(name).items() if k != "action"} for name in names}
    db.hset("crons", mapping={name: msgpack.packb(dict(said, zone="Mars/Olympus")) for name, said in said_of.items()})
    slot = now_ms() - 1000
    for name in names:
        due(db, name, slot)
    due(db, "good")
    until(lambda: fired(db, "good"))
    until(lambda: said(house, "cron_waits"))
    assert db.zcount("cron_due", slot, slot) == len(names)
    db.hset("crons", "far7", msgpack.packb(said_of["far7"]))
    until(lambda: fired(db, "far7") == [slot_id("far7", slot)])


def test_a_full_redis_is_waited_for(house):
    db = house.redis.client
    set_(house)
    slot = now_ms() + 700
    id_ = due(db, "nightly", slot)
    db.config_set("maxmemory", 1)
    until(lambda: said(house, "cron_waits"))
    assert not fired(db, "nightly")
    db.config_set("maxmemory", 0)
    until(lambda: fired(db, "nightly") == [id_])
    assert listed(house)["nightly"]["last_ms"] == slot


# ---- whoever lives -------------------------------------------------------------------------------


def test_two_state_services_and_two_brokers_fire_once():
    with System("cron", brokers=2, states=2, workers=1, worker_services="system") as system:
        client = system.client()
        client.ready("system.echo")
        names = ["job%d" % n for n in range(8)]
        for name in names:
            assert client.insist("CRON", plan(name, input={"value": name})).status == OK
        ids = []
        for _ in range(5):
            slot = now_ms() // 1000 * 1000
            system.db.zadd("cron_due", {name: slot for name in names})
            ids += [slot_id(name, slot) for name in names]
            until(lambda: all(score > slot for _, score in system.db.zrange("cron_due", 0, -1, withscores=True)))
            time.sleep(1.1)
        client.wait(*[(id_, "system.echo") for id_ in ids])
        system.settle()
        assert sorted(id_ for name in names for id_ in fired(system.db, name)) == sorted(ids)
        assert all(client.stage(id_)["attempt"] == 1 for id_ in ids)


def test_whoever_would_fire_may_die():
    with System("cron-kill", brokers=1, states=2, workers=1, worker_services="system") as system:
        client = system.client()
        client.ready("system.echo")
        assert client.insist("CRON", plan("job", input={"value": 1})).status == OK
        ids = []
        for turn in range(6):
            slot = now_ms() // 1000 * 1000
            system.db.zadd("cron_due", {"job": slot})
            time.sleep(0.01 * turn)
            system.states[turn % 2].restart()
            ids.append(slot_id("job", slot))
            until(lambda: system.db.zscore("cron_due", "job") > slot)
            time.sleep(1.1)
        client.wait(*[(id_, "system.echo") for id_ in ids])
        system.settle()
        assert fired(system.db, "job") == sorted(ids)


def test_schedules_survive_everything():
    with System("cron-all", brokers=1, states=1, workers=1, worker_services="system",
                redis_flags=("--appendfsync", "always")) as system:
        client = system.client()
        client.ready("system.echo")
        assert client.insist("CRON", plan("job", input={"value": 1})).status == OK
        before = client.insist("CRON", {}).body
        for process in (*system.states, *system.brokers, system.redis):
            process.kill()
        time.sleep(0.3)
        for process in (system.redis, *system.brokers, *system.states):
            process.start()
        until(system.redis_answers)
        assert client.insist("CRON", {}).body == before
        id_ = due(system.db, "job")
        until(lambda: fired(system.db, "job"))
        client.wait((id_, "system.echo"))
        system.settle()
