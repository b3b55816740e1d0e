"""An operator's words: pause and resume of a queue, drain and undrain of a worker, an audit now."""
import time

import pytest

import harness
from state_house import (  # noqa: F401: broker is a fixture
    EMPTY, INVALID, MALFORMED, OK, Worker, a_house, a_worker, broker, input_, node, receipt_of, stage_of, task, until)

ECHO = node("system.echo", input_("text", "text"))

house = a_house(lease_ms=2000)
worker = a_worker(ECHO)


def steer(broker, action, peer=0, **more):
    answer = broker.ask("STEER", {"action": action, **more}, peer=peer)
    assert answer.status == OK, answer
    return answer.body.get("changed", False)


def test_a_paused_queue_hands_out_nothing_and_takes_everything(house, broker, worker):
    house.state()
    receipt_of(broker, task("before"))
    [held] = worker.claim()
    assert steer(broker, "pause", service="system") and not steer(broker, "pause", service="system", peer=1)
    receipt_of(broker, task("during"), priority=1)
    assert worker.claim(n=5).status == worker.claim(n=5, peer=1).status == EMPTY
    assert worker.done(worker.result(held)).body[0]["status"] == OK  # what runs goes on
    receipt_of(broker, task("later", delay_ms=50))
    until(lambda: broker.pump(0.01) or stage_of(broker, "later")["state"] == "pending")
    assert worker.claim(n=5).status == EMPTY

    broker.pump(0.2)
    broker.ready.clear()
    assert steer(broker, "resume", service="system", peer=1) and not steer(broker, "resume", service="system")
    broker.expect(lambda: {service for _, service in broker.ready} == {"system"})  # parked claims are woken
    assert sorted(h["id"] for h in worker.claim(n=5)) == ["during", "later"]


def test_a_pause_is_of_one_queue_and_outlives_the_services(house, broker, worker):
    worker.register(node("other.echo"))
    receipt_of(broker, task("mine"))
    receipt_of(broker, task("theirs", "other.echo"), service="other")
    steer(broker, "pause", service="system")
    assert len(worker.claim("other")) == 1
    time.sleep(1.2)  # the AOF is on disk
    broker.pump(0)
    house.redis.kill()
    house.redis.start()
    house.states.pop().kill()
    broker.peers.clear()
    house.state()
    answer = until(lambda: (lambda got: got if isinstance(got, list) or got.status == EMPTY else None)(worker.claim()))
    assert not isinstance(answer, list)
    steer(broker, "resume", service="system")
    assert worker.claim()[0]["id"] == "mine"


def test_a_draining_worker_is_told_with_every_heartbeat(house, broker, worker):
    house.state()
    second = Worker(broker, 2, "w2")
    assert "drain" not in worker.beat(services="system", slots=1).body
    assert steer(broker, "drain", worker="w1") and not steer(broker, "drain", worker="w1")
    for peer in (0, 1):
        assert worker.beat(services="system", slots=1, peer=peer).body["drain"] is True
        assert not second.beat(services="system", slots=1, peer=peer).body.get("drain")
    receipt_of(broker, task("t1"))
    assert second.claim()[0]["id"] == "t1"
    twin = Worker(broker, 3, "w1")  # it is the name that is meant: it outlives the process
    assert twin.beat(services="system", slots=1).body["drain"] is True
    assert steer(broker, "undrain", worker="w1", peer=1) and not steer(broker, "undrain", worker="w1")
    assert not worker.beat(services="system", slots=1).body.get("drain")


def test_a_worker_that_is_not_there_may_be_drained(broker, worker):
    assert steer(broker, "drain", worker="to come")
    assert Worker(broker, 4, "to come").beat(services="system", slots=1).body["drain"] is True


def test_an_audit_is_asked_for(house, broker, worker):
    figures = broker.ask("LEDGER").body
    assert steer(broker, "audit")
    until(lambda: broker.pump(0.05) or broker.ask("LEDGER").body.get("audits", 0) > figures.get("audits", 0), 30)


def test_a_worker_whose_claims_are_parked_claims_no_more_until_it_may(tmp_path):
    with harness.System(tmp_path / "house", workers=1) as house:
        client = house.client()
        client.ready("system.echo")
        assert client.run("first")["state"] == "completed"

        def say(action):
            answer = client.insist("STEER", {"action": action, "worker": "worker0"})
            assert answer.status == OK and answer.body["changed"] is True
            client.pump(0.7)  # a few heartbeats

        for n in range(3):
            say("drain")
            client.submit(client.task("t%d" % n))
            client.pump(0.7)
            assert client.stage("t%d" % n)["state"] == "pending"
            [row] = client.insist("WHY", {"id": "t%d" % n}).body
            assert row["reason"] == "draining"
            say("undrain")
            [record] = client.wait(("t%d" % n, "system.echo"))
            assert record["status"] == "completed" and record["stages"]["system.echo"].get("crashes", 0) == 0
        house.settle()


@pytest.mark.parametrize("body, field", [
    ({}, "action"), ({"action": "stop"}, "action"), ({"action": "pause"}, "service"),
    ({"action": "pause", "service": "Bad!"}, "service"), ({"action": "resume", "worker": "w1"}, "service"),
    ({"action": "drain"}, "worker"), ({"action": "undrain", "service": "system"}, "worker"),
    ({"action": "drain", "worker": "w" * 129}, "worker"),
])
def test_what_is_wrong_is_refused(broker, worker, body, field):
    answer = broker.ask("STEER", body)
    assert answer.status == INVALID and answer.body["field"] == field, answer
    assert broker.ask("STEER", raw=b"").status == MALFORMED
