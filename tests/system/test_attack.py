"""Peers that mean harm or are broken, and Redis data that somebody changed by hand: only their own stage suffers."""
import os
import socket as sockets
import time

import msgpack
import pytest
import zmq

import harness
from harness import BUSY, INVALID, NOT_FOUND, OK, until


@pytest.fixture
def system():
    with harness.System("s") as made:
        made.front = made.client()
        made.front.ready("system.echo", "system.sleep")
        yield made


def test_an_asker_that_does_not_read_costs_a_bounded_number_of_bytes(system):
    size, asked = 600_000, 300
    assert system.front.run("big", value="x" * size)["state"] == "completed"
    socket = system.zmq.socket(zmq.DEALER)
    socket.linger, socket.sndhwm, socket.rcvhwm = 0, 0, 1
    socket.connect("ipc://run/clients0")

    def say(verb, request, epoch, body):
        header = [harness.MAGIC, harness.VERBS[verb], request, epoch, 0, "", 0, 0, 0, ""]
        socket.send_multipart([msgpack.packb(header), msgpack.packb(body)])

    say("HELLO", 1, 0, {"role": "client"})
    assert socket.poll(5000)
    epoch = msgpack.unpackb(socket.recv_multipart()[1])["epoch"]
    for n in range(asked):
        say("GET", n + 2, epoch, {"id": "big"})
    until(lambda: system.front.ask("STATUS").body["requests_in_flight"] == 0, 30)
    assert system.front.ask("GET", {"id": "big"}).status == OK  # others have room of their own

    answers = {}
    while len(answers) < asked:
        assert socket.poll(5000), len(answers)
        header, body = map(msgpack.unpackb, socket.recv_multipart())
        answers[header[2]] = (header[4], body.get("scope"))
    full = sum(answer == (OK, None) for answer in answers.values())
    assert set(answers.values()) == {(OK, None), (BUSY, "unread")}
    assert full * size < 100 << 20

    say("GET", 1000, epoch, {"id": "big"})  # it reads again
    assert socket.poll(5000) and msgpack.unpackb(socket.recv_multipart()[0])[4] == OK
    socket.close()


def test_a_hold_that_is_none_keeps_no_lease_from_ending(system):
    sid = "ab" * 16
    system.db.zadd("sessions", {sid: 1})
    system.db.hset(f"running:{sid}", mapping={"a/system.echo": b"x", "junk": b"x" * 60})
    system.front.submit(system.front.task("t", "system.sleep", seconds=1))
    until(lambda: system.front.stage("t", "system.sleep")["state"] == "running")
    assert system.front.ask("LIST", {"state": "running"}).status == OK
    assert system.front.ask("QUEUES").status == OK
    system.workers[0].restart()
    stage = system.front.wait(("t", "system.sleep"))[0]["stages"]["system.sleep"]
    assert stage["state"] == "completed" and stage["crashes"] == 1
    assert not system.db.exists(f"running:{sid}")


@pytest.mark.parametrize("packed", [b"", b"\x9a\x00\xce", b"junk"])
def test_a_state_that_is_none_takes_no_other_stage_with_it(system, packed):
    front = system.front
    system.workers[0].kill()
    tasks = [front.task(f"t{n}", value=n) for n in range(6)]
    front.submit(*tasks)
    system.db.hset("states", "t3/system.echo", packed)
    assert front.ask("LIST", {}).status == OK
    assert front.ask("GET", {"id": "t3"}).status == NOT_FOUND
    assert front.submit(front.task("t3", value=1))[0]["status"] == harness.CONFLICT
    system.workers[0].start()
    front.wait(*[(f"t{n}", "system.echo") for n in range(6) if n != 3])


NO_VALUES = [b"junk", b"\xdf\xff\xff\xff\xff", b"\xa2\xff\xff", b"\x91" * 15 + b"\x01"]


@pytest.mark.parametrize("junk", NO_VALUES)
def test_a_checkpoint_that_is_none_takes_no_other_stage_with_it(system, junk):
    front = system.front
    front.submit(front.task("again", "system.sleep", seconds=60))
    until(lambda: front.stage("again", "system.sleep")["state"] == "running")
    system.workers[0].kill()
    system.db.hset("checkpoints", "again/system.sleep", junk)
    tasks = [front.task(f"with{n}", value=n) for n in range(3)]
    front.submit(*tasks)
    until(lambda: front.stage("again", "system.sleep")["state"] == "pending")
    system.workers[0].start()
    until(lambda: front.stage("again", "system.sleep")["state"] == "running")
    front.wait(*[(task["id"], "system.echo") for task in tasks])
    stage = front.stage("again", "system.sleep")
    assert (stage["state"], stage["attempt"]) == ("running", 2)
    assert front.insist("CANCEL", {"id": "again"}).status == OK
    front.wait(("again", "system.sleep"))


@pytest.mark.parametrize("junk", NO_VALUES)
def test_a_declaration_that_is_none_hides_no_other_node(system, junk):
    system.db.hset("nodes", "some.node", junk)
    assert {"system.echo", "system.sleep"} <= {node["name"] for node in system.front.ask("NODES").body}


def test_a_cursor_of_another_world_is_refused(system):
    for cursor in ("psystem 1 99999999999999999999", "e1 99999999999999999999", "psystem 1 1e9", "x", "r\0 x"):
        answer = system.front.ask("LIST", {"cursor": cursor})
        assert (answer.status, answer.body["field"]) == (INVALID, "cursor"), cursor


def test_more_connections_than_a_login_shell_allows_files(system):
    os.makedirs("few")
    broker = harness.Process("few", "sh", "-c", f"ulimit -Sn 64; exec {system.bin}/gantry-broker "
                             "--broker-clients=ipc://few/c --broker-workers=ipc://few/w --broker-states=ipc://few/s "
                             "--broker-status=ipc://few/t")
    until(lambda: os.path.exists("few/t"))
    held = []
    end = time.monotonic() + 20
    while len(held) < 200 and time.monotonic() < end:
        one = sockets.socket(sockets.AF_UNIX)
        one.setblocking(False)
        try:
            one.connect("few/c")
            held.append(one)
        except BlockingIOError:  # its backlog is full
            one.close()
            time.sleep(0.01)
    time.sleep(0.2)
    assert len(held) == 200
    broker.stop()
    for one in held:
        one.close()


def test_many_who_wait_for_one_task_hold_up_nobody(system):
    front = system.front
    front.submit(front.task("w", "system.sleep", seconds=3))
    waits = []
    while len(waits) < 3000:
        waits += [front.begin("WAIT", {"id": "w"}) for _ in range(100)]
        front.pump(0.01)
    begin = time.monotonic()
    assert front.run("other", value=1)["state"] == "completed"
    assert time.monotonic() - begin < 5
    assert {front.end(request).body["status"] for request in waits} == {"completed"}


def test_answers_lost_on_a_full_connection_are_asked_for_again(system):
    """More answers than a connection's queue holds, read by nobody: the broker forgets the asker, which repeats what is open."""
    front = system.front
    front.submit(front.task("r"))
    front.wait(("r", "system.echo"))
    asked = []
    for _ in range(250):
        asked += [front.begin("GET", {"id": "r"}) for _ in range(100)]
        time.sleep(0.01)  # sent, and nothing is read
    for request in asked:
        assert front.end(request, 120).status in (0, BUSY)
