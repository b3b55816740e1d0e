"""The audit: every damage is made by hand in Redis, found, repaired, counted, and the task completes; a healthy store,
however busy, is never repaired.
"""
import collections
import time

import pytest

from state_house import OK, House, Worker, input_, node, task, until

ECHO = node("system.echo", input_("text", "text"), input_("n", "whole"))
FIELD = "system.echo"


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path, lease_ms=60000, audit_interval_ms=86400000)
    house.state()
    yield house
    house.close()


@pytest.fixture
def worker(house):
    worker = Worker(house.broker)
    worker.register(ECHO)
    return worker


def ledger(house, peer=0):
    answer = house.broker.insist("LEDGER", peer=peer)
    assert answer.status == OK, answer
    return collections.defaultdict(int, answer.body)


def audit(house, peer=0):
    """Asks for one, waits for its end; answers how many stages it repaired."""
    before = ledger(house)
    answer = house.broker.insist("STEER", {"action": "audit"}, peer=peer)
    assert answer.status == OK, answer
    until(lambda: ledger(house).get("audits", 0) > before.get("audits", 0), 30)
    after = ledger(house)
    assert after["balanced"] is True, after
    return after.get("repaired", 0) - before.get("repaired", 0)


def first_audit(house):
    """The one that a store gets that never had any."""
    until(lambda: ledger(house).get("audits", 0) > 0)


def submit(house, *tasks, **more):
    answer = house.broker.ask("SUBMIT", list(tasks), service="system", **more)
    assert answer.status == OK and all(r["status"] == OK for r in answer.body), answer
    return answer.body


def run(house, worker, *ids):
    """Claims and ends what there is: exactly these, each once."""
    got, end = [], time.monotonic() + 10
    while len(got) < len(ids) and time.monotonic() < end:
        handouts = worker.claim(n=10)
        if isinstance(handouts, list):
            for handout in handouts:
                assert worker.done(worker.result(handout, output={"text": "x"})).body[0]["status"] == OK
                got.append(handout["id"])
    assert sorted(got) == sorted(ids)
    assert not isinstance(worker.claim(n=10), list)
    for id_ in ids:
        stages = house.broker.ask("GET", {"id": id_}).body["stages"]
        assert all(stage["state"] == "completed" for stage in stages.values()), stages
    told = ledger(house)
    assert told["balanced"] is True, told


def said(house):
    return [line for state in house.states for line in state.lines() if "audit" in line]


def test_a_queue_entry_that_is_gone_comes_back(house, worker):
    first_audit(house)
    submit(house, task("lost"), task("kept"), task("high"))
    assert house.redis.client.lrem("queue:system:normal", 0, "lost/system.echo") == 1
    assert audit(house) == 1
    assert audit(house) == 0
    [line] = [line for line in said(house) if "audit_repaired" in line]
    assert "lost/system.echo" in line and "held by none" in line and "put back" in line
    run(house, worker, "lost", "kept", "high")


def test_a_queue_entry_that_is_there_twice_is_there_once(house, worker):
    first_audit(house)
    submit(house, task("double"), task("kept"))
    house.redis.client.rpush("queue:system:normal", "double/system.echo")
    house.redis.client.lpush("queue:system:high", "double/system.echo")
    assert audit(house) == 1
    assert house.redis.client.llen("queue:system:normal") + house.redis.client.llen("queue:system:high") == 2
    assert audit(house) == 0
    run(house, worker, "double", "kept")


def test_a_timer_that_is_lost_is_set_again(house, worker):
    first_audit(house)
    submit(house, task("later", delay_ms=2500), task("much-later", delay_ms=3600000))
    assert house.redis.client.delete("timers") == 1
    assert audit(house) == 2
    assert house.redis.client.zcard("timers") >= 1
    until(lambda: house.redis.client.llen("queue:system:normal") == 1)
    run(house, worker, "later")
    told = ledger(house)
    assert told["scheduled"] == 1 and told["completed"] == 1


def test_what_a_session_lost_is_handed_out_again(house, worker):
    first_audit(house)
    submit(house, *[task("run%d" % n) for n in range(5)])
    handouts = worker.claim(n=5)
    assert len(handouts) == 5
    assert house.redis.client.delete("running:" + worker.session.hex()) == 1
    assert audit(house) == 5
    assert audit(house) == 0
    late = worker.done(*[worker.result(h, output={"text": "late"}) for h in handouts])
    assert {outcome["status"] for outcome in late.body} == {9}
    run(house, worker, *[h["id"] for h in handouts])


def test_a_stage_that_runs_and_waits_only_runs(house, worker):
    first_audit(house)
    submit(house, task("both"))
    [handout] = worker.claim()
    house.redis.client.lpush("queue:system:normal", "both/system.echo")
    assert audit(house) == 1
    assert not isinstance(worker.claim(), list)
    assert worker.done(worker.result(handout, output={"text": "x"})).body[0]["status"] == OK
    assert ledger(house)["balanced"] is True


def test_what_holds_a_stage_that_has_ended_lets_it_go(house, worker):
    first_audit(house)
    submit(house, task("over"), task("timed"))
    handouts = worker.claim(n=2)
    key = "running:" + worker.session.hex()
    hold = house.redis.client.hget(key, "over/system.echo")
    worker.done(*[worker.result(h, output={"text": "x"}) for h in handouts])
    house.redis.client.hset(key, "over/system.echo", hold)
    house.redis.client.zadd("timers", {"timed/system.echo": 4e12})
    assert not ledger(house)["balanced"]
    assert audit(house) == 2
    assert house.redis.client.zcard("timers") == house.redis.client.hlen(key) == 0


def test_the_pass_comes_by_itself(house, worker):
    """Two passes at the usual pace: a suspect is one that was so in two of them."""
    submit(house, task("lost"))
    house.states.pop().stop()
    assert house.redis.client.lrem("queue:system:normal", 0, "lost/system.echo") == 1
    house.broker.peers.clear()
    house.state(audit_interval_ms=200)
    until(lambda: ledger(house)["repaired"] == 1)
    told = ledger(house)
    assert told["audits"] >= 1 and told["audited"] >= 1 and abs(told["audited_ms"] / 1000 - time.time()) < 30
    run(house, worker, "lost")
    until(lambda: ledger(house)["audits"] >= told["audits"] + 5)
    assert ledger(house)["repaired"] == 1


def test_only_one_of_two_services_walks(house, worker):
    first_audit(house)
    house.state()
    submit(house, *[task("t%d" % n) for n in range(20)])
    before = ledger(house)["audits"]
    for n in range(4):
        assert audit(house, peer=n % 2) == 0
    assert ledger(house)["audits"] == before + 4


def test_a_healthy_store_is_never_repaired(house, worker):
    """Tasks come, run, fail, are tried again, are cancelled and delayed, as fast as it goes, while one pass follows the other."""
    house.states.pop().stop()
    house.broker.peers.clear()
    for _ in range(2):
        house.state(audit_interval_ms=100, queue_max=100000)
    first, count, workers = ledger(house).get("audits", 0), 0, [Worker(house.broker, n, "w%d" % n) for n in range(2, 6)]
    end = time.monotonic() + 8
    while time.monotonic() < end:
        tasks = [task("h%d" % (count + n), token=n % 250, delay_ms=30 if n % 5 == 4 else 0, retry_ms=20) for n in range(60)]
        count += len(tasks)
        submit(house, *tasks, priority=count // 60 % 3)
        for worker in workers:
            handouts = worker.claim(n=10 + count % 7)
            for n, handout in enumerate(handouts if isinstance(handouts, list) else []):
                state = ("completed", "retry", "failed", "snoozed")[n % 4 if handout["attempt"] < 3 else 0]
                more = {"retry_after_ms": 20} if state == "snoozed" else {}
                assert worker.done(worker.result(handout, state, **more)).body[0]["status"] == OK
        house.broker.ask("CANCEL", {"id": "h%d" % (count - 7)})
    told = ledger(house)
    assert told["audits"] > first + 3, told
    assert told["repaired"] == 0 and told["balanced"] is True, told
    assert told["audited"] >= 60
    assert not [line for line in said(house)], said(house)


def test_it_takes_a_twentieth_of_the_time(house, worker):
    """Thousands of stages are looked at while Redis has time for others: its clock of commands says so."""
    first_audit(house)
    for n in range(0, 6000, 200):
        submit(house, *[task("m%d" % (n + k)) for k in range(200)])
    db = house.redis.client
    db.config_resetstat()
    begun = time.monotonic()
    assert audit(house) == 0
    took = time.monotonic() - begun
    spent = sum(row["usec"] for name, row in db.info("commandstats").items() if "fcall" in name) / 1e6
    calls = sum(row["calls"] for name, row in db.info("commandstats").items() if "fcall" in name)
    assert ledger(house)["audited"] == 6000
    assert calls > 40 and spent < took / 8, (spent, took, calls)


def test_a_pass_survives_its_walker_and_its_redis(house, worker):
    first_audit(house)
    submit(house, *[task("t%d" % n) for n in range(500)])
    db = house.redis.client
    db.set("audit_by", "somebody who died", px=1500)
    assert house.broker.ask("STEER", {"action": "audit"}).body == {"changed": True}
    assert house.broker.ask("STEER", {"action": "audit"}).body == {}
    time.sleep(0.5)
    assert ledger(house)["audits"] == 1
    until(lambda: ledger(house)["audits"] == 2)
    house.redis.kill()
    house.redis.start()
    until(lambda: house.broker.ask("LEDGER").status == OK)
    assert audit(house) == 0


def test_what_is_no_stage_of_ours_is_left_alone(house, worker):
    first_audit(house)
    db = house.redis.client
    db.hset("bodies", mapping={"short/system.echo": "y", "text": "x", "": "x", "a/b/c.d": "x"})
    db.hset("states", mapping={"short/system.echo": "zz", "bare/system.echo": "zz"})
    db.set("running:" + "0" * 32, "x")
    db.lpush("queue:system:normal", "rubbish", "", "short/system.echo", "nobody/system.echo", "nobody/system.echo 0", "bare/system.echo 1")
    db.sadd("queues", "system", "../..", "x" * 300)
    db.zadd("sessions", {"nobody": 4e12, "Z" * 32: 4e12})
    db.zadd("timers", {"rubbish": 4e12, "": 4e12, "nobody/system.echo 3": 4e12, "nobody/system.echo": 4e12, "nobody/system.echo 0": 4e12})
    submit(house, task("good"))
    before = dict(ledger(house))
    answer = house.broker.ask("STEER", {"action": "audit"})
    assert answer.status == OK
    until(lambda: ledger(house)["audits"] > before["audits"])
    assert ledger(house)["repaired"] == 0
    [state] = house.states
    assert not [line for line in state.lines() if "audit_failed" in line], state.lines()
