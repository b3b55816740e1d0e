"""gantry-node: a broker and a state service in one process live, are asked much at once, drain, and die together.

kill -9 of it at every moment of a task is in test_kills.py.
"""
import os
import subprocess
import time

import pytest

from harness import BIN, NOT_FOUND, OK, UNAVAILABLE, System, until

ECHO, SLEEP = "system.echo", "system.sleep"


@pytest.fixture(scope="module")
def town():
    with System("node", workers=2, worker_slots=4, fused=True, queue_max=100000) as system:
        client = system.client()
        client.ready(ECHO, SLEEP)
        yield system, client
        system.settle()


def states(client):
    return client.insist("STATUS").body["peers"]["states"]


def test_a_life(town):
    system, client = town
    assert client.run("one", value="hi")["output"] == {"value": "hi"}
    tasks = [client.task(f"many{n}", value=n) for n in range(300)]
    for at in range(0, len(tasks), 50):
        client.submit(*tasks[at:at + 50])
    records = client.wait(*((task["id"], ECHO) for task in tasks))
    assert [record["stages"][ECHO]["output"]["value"] for record in records] == list(range(300))
    assert {record["stages"][ECHO]["worker"] for record in records} == {"worker0", "worker1"}


def test_what_waits_and_what_runs_can_be_cancelled(town):
    system, client = town
    tasks = [client.task(f"sleep{n}", SLEEP, seconds=60) for n in range(10)]
    client.submit(*tasks)
    until(lambda: system.balance()["running"] == 8)
    assert all(client.insist("CANCEL", {"id": task["id"]}).status == OK for task in tasks)
    records = client.wait(*((task["id"], SLEEP) for task in tasks))
    assert {record["stages"][SLEEP]["state"] for record in records} == {"cancelled"}


def test_operators_see_both(town):
    system, client = town
    status = client.insist("STATUS").body
    assert status["pid"] == system.brokers[0].pid
    assert (status["peers"]["states"], status["peers"]["workers"]) == (1, 2)
    assert len(client.insist("WORKERS").body) == 2
    assert client.insist("LEDGER").status == OK


def test_much_is_asked_at_once_while_redis_stands_still(town):
    """All of it lies between the two then; neither waits for the other."""
    system, client = town
    others = [system.client() for _ in range(4)]
    for other in others:
        until(lambda other=other: other.pump(0.05) or other.epoch)
    system.redis.freeze()
    asked = [(other, other.begin("GET", {"id": f"nobody{n}", "padding": "x" * 2000})) for other in others for n in range(3000)]
    for other in others:
        other.pump(0.2)
    system.redis.thaw()
    ended = [other.end(request).status for other, request in asked]
    assert len(ended) == 12000 and not {OK} & set(ended)
    for other in others:
        other.close()
        system.clients.remove(other)
    assert client.run("after", value=1)["state"] == "completed"
    assert client.insist("STATUS").body["requests_in_flight"] <= 1


def test_a_node_that_stood_still_goes_on(town):
    system, client = town
    system.brokers[0].freeze()
    time.sleep(1.5)  # longer than anything may be silent
    system.brokers[0].thaw()
    assert client.run("thawed", value=1)["state"] == "completed"


def test_it_drains_and_comes_back(town):
    """What was accepted before SIGTERM runs on, and ends after the restart."""
    system, client = town
    node = system.brokers[0]
    asked = [client.begin("SUBMIT", [client.task(f"drain{n}", SLEEP, seconds=0.5)], service="system") for n in range(8)]
    waits = [client.begin("WAIT", {"id": f"drain{n}", "task": SLEEP, "timeout_ms": 20000}) for n in range(8)]
    receipts = [client.end(request) for request in asked]
    assert all(answer.status == OK for answer in receipts)
    began = time.monotonic()
    node.stop()
    assert time.monotonic() - began < 5
    said = node.said()
    assert said.index("stopping signal=TERM") < said.index("stopped uptime_ms=") and "handle_left" not in said
    node.start()
    records = client.wait(*((f"drain{n}", SLEEP) for n in range(8)))
    assert {record["stages"][SLEEP]["state"] for record in records} == {"completed"}
    assert all(client.end(wait).status in (OK, NOT_FOUND, UNAVAILABLE) for wait in waits)


def test_state_services_of_their_own_may_join(town):
    """They share the work by broker.states, and die without harm."""
    system, client = town
    before = states(client)
    beside = system.state(7)
    until(lambda: states(client) == before + 1)
    asked = [client.begin("SUBMIT", [client.task(f"shared{n}", value=n)], service="system") for n in range(200)]
    client.pump(0.01)
    beside.kill()
    for n, request in enumerate(asked):
        answer = client.end(request)
        if answer.status:
            client.submit(client.task(f"shared{n}", value=n))
    client.wait(*((f"shared{n}", ECHO) for n in range(200)))
    until(lambda: states(client) == before)


def test_two_nodes_share_one_redis():
    with System("nodes", brokers=2, workers=2, fused=True) as system:
        client = system.client()
        client.ready(ECHO)
        other = system.client()
        other.endpoints.reverse()
        other.connect()
        other.ready(ECHO)
        tasks = [client.task(f"t{n}", value=n) for n in range(200)]
        other.submit(*tasks[:100])  # its workers are at the first
        client.submit(*tasks[100:])
        system.brokers[0].kill()
        records = other.wait(*((task["id"], ECHO) for task in tasks))
        assert all(record["stages"][ECHO]["state"] == "completed" for record in records)
        system.brokers[0].start()
        assert client.run("last", value=1)["state"] == "completed"
        system.settle()


@pytest.mark.parametrize("flag, code, event", [
    ("--queue-limits=system=0", 2, "start_failed setting=queue.limits"),
    ("--broker-clients=tcp://0.0.0.0:17470", 2, "broker.insecure"),
    ("--lease-ms=soon", 2, "lease_ms"),
])
def test_what_either_cannot_start_with_ends_it(tmp_path, flag, code, event):
    sockets = [f"--broker-{role}=ipc://{role}" for role in ("clients", "workers", "states", "status")]
    done = subprocess.run([os.path.join(BIN, "gantry-node"), *sockets, "--redis-addr=./none", flag], cwd=tmp_path,
                          stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == code and event in done.stderr and "Sanitizer" not in done.stderr, done.stderr
    assert "handle_left" not in done.stderr
