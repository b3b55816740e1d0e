"""Submits that gather in gantry-state while it has three calls at Redis: what comes behind them, and what may end meanwhile."""
import signal
import time

import msgpack
import pytest

from state_house import OK, UNAVAILABLE, Broker, a_house, a_worker, broker, input_, node, task, until  # noqa: F401: fixtures

COUNT = 12

house = a_house(lease_ms=60000)
worker = a_worker(node("system.echo", input_("n", "whole")), node("other.echo"))


@pytest.fixture
def hung(house, broker, worker):
    """Redis hangs, so that what is asked one by one gathers behind the first three. All nodes are known."""
    for service in ("system", "other"):
        assert broker.ask("SUBMIT", [task("known", service + ".echo")], service=service).body[0]["status"] == OK
        assert len(worker.claim(service)) == 1
    house.redis.process.send_signal(signal.SIGSTOP)
    yield house.redis
    house.redis.process.send_signal(signal.SIGCONT)


def submit_all(broker, name="t", service="system"):
    """Each in a turn of its own; answers their requests."""
    asked = []
    for i in range(COUNT):
        asked.append(broker.begin("SUBMIT", [task("%s%d" % (name, i), service + ".echo", i + 1)], service=service))
        broker.pump(0.02)
    return asked


def kept(broker, asked):
    return all(broker.end(one).body[0]["status"] == OK for one in asked)


def test_a_claim_behind_gathered_submits_finds_them_in_their_order(broker, worker, hung):
    asked = submit_all(broker)
    claim = broker.begin("CLAIM", {"session": worker.session, "seq": 1, "worker": "w1"}, service="system", count=COUNT)
    broker.pump(0.1)
    assert not broker.answers.keys() & {claim, *asked}
    hung.process.send_signal(signal.SIGCONT)
    assert kept(broker, asked)
    assert [handout["id"] for handout in broker.end(claim).body] == ["t%d" % i for i in range(COUNT)]


def test_submits_of_a_node_that_is_looked_up_keep_their_order(house, broker, worker):
    house.redis.client.hset("nodes", "new.echo", msgpack.packb(node("new.echo")))
    house.redis.process.send_signal(signal.SIGSTOP)
    asked = submit_all(broker, service="new")
    house.redis.process.send_signal(signal.SIGCONT)
    assert kept(broker, asked)
    assert [handout["id"] for handout in worker.claim("new", COUNT)] == ["t%d" % i for i in range(COUNT)]


def test_two_queues_gather_side_by_side(broker, worker, hung):
    asked = submit_all(broker) + submit_all(broker, "o", "other")
    hung.process.send_signal(signal.SIGCONT)
    assert kept(broker, asked)
    for name, service in (("t", "system"), ("o", "other")):
        assert [handout["id"] for handout in worker.claim(service, COUNT)] == ["%s%d" % (name, i) for i in range(COUNT)]


def test_the_same_submit_twice_among_the_gathered_runs_once(broker, worker, hung):
    asked = submit_all(broker) + submit_all(broker)
    hung.process.send_signal(signal.SIGCONT)
    assert kept(broker, asked)
    assert len(worker.claim(n=3 * COUNT)) == COUNT


def test_their_broker_may_go_meanwhile(house, broker, worker, hung):
    submit_all(broker)
    broker.close()
    again = house.broker = Broker(house.context, "ipc://states", epoch=78)
    again.request = broker.request
    again.expect(lambda: again.peers)
    hung.process.send_signal(signal.SIGCONT)
    worker.broker = again
    assert kept(again, submit_all(again))
    assert len(worker.claim(n=3 * COUNT)) == COUNT


def test_redis_may_go_meanwhile(house, broker, worker, hung):
    asked = submit_all(broker)
    hung.kill()
    assert {broker.end(one).status for one in asked} == {UNAVAILABLE}
    hung.start()
    until(lambda: broker.ask("NODES").status == OK)
    assert all(broker.insist("SUBMIT", [task("t%d" % i, token=i + 1)], service="system").body[0]["status"] == OK for i in range(COUNT))
    assert len(worker.claim(n=3 * COUNT)) == COUNT
    begun = time.monotonic()
    assert broker.ask("SUBMIT", [task("lone")], service="system").body[0]["status"] == OK
    assert time.monotonic() - begun < 1  # no call of the former connection is still counted
