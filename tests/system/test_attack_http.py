"""What was broken once by peers that mean harm, and by operators that are tired, over HTTP."""
import os
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from front_house import start  # noqa: F401: a fixture
from harness import BIN, until
from http_house import House, node

FIELD = "waiting/system.echo"


@pytest.fixture(scope="module")
def town():
    with House("attack", callback_tries=1, env={"ASAN_OPTIONS": "quarantine_size_mb=4"}) as house:
        house.knows("system.echo", "system.sleep")
        house.keys = house.hand(node("t.key"))
        yield house


def test_an_address_ends_where_it_ends(start):  # noqa: F811
    front = start()
    said = front.say(b"GET /healthz\0/../secret HTTP/1.1\r\nHost: a\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 ") and b"NUL" in said, said
    said = front.say(b"GET /healthz\0HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 ") and b"NUL" in said, said
    assert front.ask(path="/healthz?a=b&c=d%20e").status == 200
    assert front.alive()


def test_a_setting_that_means_nothing_is_told(tmp_path):
    done = subprocess.run([os.path.join(BIN, "gantry-front"), "--front-http", "127.0.0.1:0", "--reuse-result-stages", "some"],
                          capture_output=True, text=True, timeout=20, cwd=tmp_path)
    assert done.returncode == 2 and "reuse.result_stages" in done.stderr and "requested" in done.stderr, done


def test_what_a_new_task_writes_outlasts_the_old_ones_removal(town):
    folder = f"{town.folder}/share/again"
    town.http.submit("t.key", "again", value=1)
    town.keys.complete("again", value=1)
    town.http.ended("again")
    os.mkdir(folder)
    for n in range(20000):
        os.close(os.open(f"{folder}/{n}", os.O_CREAT | os.O_WRONLY))
    answers = []
    asker = threading.Thread(target=lambda: answers.append(town.http.post("/v1/tasks/again/delete", {})))
    asker.start()
    until(lambda: town.http.get("/v1/tasks/again/status").status == 404)
    until(lambda: not os.path.exists(f"{folder}/0") or not os.path.exists(f"{folder}/19999"))
    os.makedirs(f"{folder}/audio", exist_ok=True)  # as the worker of a new task does
    with open(f"{folder}/audio/new.wav", "w") as file:
        file.write("x")
    asker.join()
    assert answers[0].body["status"] == "success", answers
    assert os.listdir(folder) == ["audio"] and os.listdir(f"{folder}/audio") == ["new.wav"]
    assert os.listdir(f"{town.folder}/share/.trash") == []


def test_a_folder_that_stays_is_logged_in_one_word(town):
    open(f"{town.folder}/share/file", "w").close()
    assert town.http.post("/v1/tasks/file/delete", {}).body["status"] == "failed"
    assert re.search(r' folder_left task=file why="it is no folder"\n', town.states[0].said())
    os.unlink(f"{town.folder}/share/file")


def test_who_forgets_what_begins_stops_no_worker(town):
    over = time.monotonic() + 4

    def one(name):
        while time.monotonic() < over:
            town.http.submit("system.sleep", name, seconds=0.1)
            town.http.post(f"/v1/tasks/{name}/delete", {"force": True})

    askers = [threading.Thread(target=one, args=(f"brief{n}",)) for n in range(6)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    with open(town.system.log) as log:
        assert "machine_trouble" not in log.read()
    began = time.monotonic()
    town.http.submit("system.sleep", "innocent", seconds=0.1)
    assert town.http.ended("innocent")["stages"]["system.sleep"]["status"] == "SUCCESS"
    assert time.monotonic() - began < 10
    until(lambda: town.balance()["running"] == 0)


def test_who_waits_for_long_is_looked_at_seldom(town):
    town.http.submit("t.key", "waiting", value=1)
    town.keys.wait("waiting")
    town.http.submit("system.echo", "waiting", value="${{ stages.t.key.output.value }}")

    def put_off(least):
        """The generation that waits, at least so high, and when it is due."""
        for entry, due in town.db.zrange("timers", 0, -1, withscores=True):
            field, _, generation = entry.decode().partition(" ")
            if field == FIELD and int(generation) >= least:
                return int(generation), due
        return None

    generation, _ = until(lambda: put_off(1))
    packed = town.db.hget("states", FIELD)  # as it would be after some minutes
    pipe = town.db.pipeline()
    pipe.hset("states", FIELD, packed[:4] + struct.pack(">I", 160) + packed[8:])
    pipe.zrem("timers", f"{FIELD} {generation}")
    pipe.zadd("timers", {f"{FIELD} 160": 1})
    pipe.execute()
    _, due = until(lambda: put_off(161))
    assert 15 < due / 1000 - time.time() <= 30
    town.http.call("DELETE", "/v1/tasks/waiting?task_name=system.echo")
    town.keys.complete("waiting", value=1)


def test_a_delivery_is_nobodys_task(town):
    town.receiver.plan("/away", 500)
    town.http.submit("system.echo", "told", callback=town.receiver.url("/away"), value=1)
    until(lambda: town.http.status("told")["callback_status"] == "failed")
    (delivery,) = {key.decode().split("/")[0] for key in town.db.hkeys("bodies") if key.endswith(b"/system.callback")}
    for path, body in ((f"/v1/tasks/{delivery}/retry", {}),
                       ("/v1/tasks", {"task_name": "system.echo", "task_id": delivery, "input_data": {"value": 1}})):
        answer = town.http.post(path, body)
        assert answer.status == 400 and "callback" in answer.body["detail"], answer
    assert town.http.status("told")["callback_status"] == "failed"
    assert town.http.submit("system.echo", delivery[:-1], value=1).status == 200


def test_a_stream_keeps_no_snapshot(town):
    town.http.submit("system.echo", "large", value="x" * 1000000)
    until(lambda: town.http.status("large")["status"] == "completed")
    town.http.submit("system.sleep", "large", seconds=600)
    until(lambda: town.http.status("large")["status"] == "running")
    readers, before = [], town.front.rss()
    for _ in range(30):
        readers.append(socket.create_connection(("127.0.0.1", town.port), timeout=20))
        readers[-1].sendall(b"GET /v1/tasks/large/events HTTP/1.1\r\nHost: a\r\n\r\n")
        got = 0
        while got < 2000000:
            some = readers[-1].recv(1 << 20)
            assert some, f"it ended after {got} bytes"
            got += len(some)
    assert town.front.rss() - before < 48 << 20
    for reader in readers:
        reader.close()
    assert town.http.post("/v1/tasks/large/delete", {"force": True}).status == 200


def test_answers_that_nobody_reads_are_bounded(town):
    town.http.submit("system.echo", "heavy", value="x" * 1000000)
    until(lambda: town.http.status("heavy")["status"] == "completed")
    readers, before = [], town.front.rss()
    for _ in range(220):
        readers.append(socket.socket())
        readers[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        readers[-1].connect(("127.0.0.1", town.port))
        readers[-1].sendall(b"GET /v1/tasks/heavy/result HTTP/1.1\r\nHost: a\r\n\r\n")
    assert town.http.get("/v1/tasks/heavy/result", seconds=60).status == 200  # behind them all
    until(lambda: town.front.rss() - before < 340 << 20, 8)
    assert "answers that are not read" in town.front.said()
    for reader in readers:
        reader.close()
