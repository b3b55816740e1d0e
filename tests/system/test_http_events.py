"""GET /v1/tasks/{id}/events: everything that happens to a task, in order and once, whatever goes away meanwhile."""
import concurrent.futures
import http.client
import json
import socket
import time
import uuid

import pytest

from harness import until
from http_house import House, node

A, B = "py.a", "py.b"


class Events:
    """A reader of server-sent events."""

    def __init__(self, town, id_, last=None, query="", seconds=30):
        self.socket = socket.create_connection(("127.0.0.1", town.port), seconds)
        more = "" if last is None else f"Last-Event-ID: {last}\r\n"
        self.socket.sendall(f"GET /v1/tasks/{id_}/events{query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{more}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = dict(line.decode().strip().split(": ", 1) for line in iter(self.file.readline, b"\r\n"))
        self.text, self.last, self.comments, self.over = "", last, 0, False

    def chunk(self):
        size = int(self.file.readline() or b"0", 16)
        self.text += self.file.read(size).decode()
        self.file.readline()
        return size

    def next(self):
        """(event, data), or None at the end."""
        while "\n\n" not in self.text:
            if self.chunk() == 0:
                self.over = True
                return None
        one, self.text = self.text.split("\n\n", 1)
        fields = dict(line.split(": ", 1) for line in one.split("\n") if not line.startswith(":"))
        if not fields:
            self.comments += 1
            return self.next()
        assert set(fields) <= {"id", "event", "data"}, one
        self.last = fields.get("id", self.last)
        return fields["event"], json.loads(fields["data"])

    def rest(self):
        return list(iter(self.next, None))

    def until(self, event):
        for one in iter(self.next, None):
            if one[0] == event:
                return one[1]
        raise AssertionError(f"it ended without {event}")

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture(scope="module")
def town():
    with House("events") as house:
        house.py = house.hand(node(A), node(B))
        house.knows(A, "system.echo")
        yield house


def fresh():
    return f"e{uuid.uuid4().hex[:12]}"


def states(events, task=None):
    return [data["state"] for event, data in events if event == "update" and task in (None, data["task_name"])]


def submit(town, task, id_, **more):
    answer = town.http.submit(task, id_, **more)
    assert answer.status == 200, answer


def test_a_task_is_followed_to_its_end(town):
    id_ = fresh()
    submit(town, A, id_, value=1)
    task = town.py.wait(id_)
    events = Events(town, id_)
    assert events.status == 200 and events.headers["Content-Type"] == "text/event-stream" and "no-" in events.headers["Cache-Control"]
    event, context = events.next()
    assert event == "snapshot" and context == town.http.context(id_) and context["stages"][A]["status"] == "RUNNING" and int(events.last) > 0
    submit(town, B, id_, value=2)
    town.py.wait(id_, B)
    town.py.complete(id_, B, value="x")
    town.py.end(task, "failed", error={"code": "FAILED", "message": "it broke"})
    rest = events.rest()
    assert rest[-1] == ("end", {"task_id": id_, "status": "failed"}) and events.over
    assert [event for event, _ in rest[:-1]] == ["update"] * (len(rest) - 1)
    assert states(rest, B) == ["pending", "running", "completed"] and states(rest, A) == ["failed"]
    last = rest[-2][1]
    assert set(last) == {"task_name", "state", "status", "at"} and last["status"] == "failed" and last["at"].endswith("Z")


def test_one_that_has_ended_is_told_at_once(town):
    id_ = fresh()
    submit(town, "system.echo", id_, value=1)
    town.http.ended(id_)
    began = time.monotonic()
    rest = Events(town, id_).rest()
    assert [event for event, _ in rest] == ["snapshot", "end"] and time.monotonic() - began < 3
    assert rest[0][1]["stages"]["system.echo"]["status"] == "SUCCESS" and rest[1][1] == {"task_id": id_, "status": "completed"}


@pytest.mark.parametrize("by_header", [True, False])
def test_who_comes_back_gets_what_was_missed_and_nothing_twice(town, by_header):
    id_ = fresh()
    submit(town, A, id_)
    town.py.wait(id_)
    first = Events(town, id_)
    assert first.next()[0] == "snapshot"
    first.close()
    town.py.complete(id_, A, value="x")
    submit(town, B, id_)
    town.py.wait(id_, B)
    again = Events(town, id_, last=first.last) if by_header else Events(town, id_, query=f"?since={first.last}")
    assert [again.next()[1]["state"] for _ in range(3)] == ["completed", "pending", "running"]
    again.close()
    town.py.complete(id_, B, value="y")
    town.http.ended(id_)
    third = Events(town, id_, last=again.last or first.last) if by_header else Events(town, id_, query=f"?since={again.last}")
    rest = third.rest()
    assert states(rest) == ["completed"] and rest[-1] == ("end", {"task_id": id_, "status": "completed"})
    fourth = Events(town, id_, last=third.last).rest()
    assert fourth == [("end", {"task_id": id_, "status": "completed"})]


def test_progress_is_told_while_it_runs(town):
    id_ = fresh()
    submit(town, A, id_)
    task = town.py.wait(id_)
    far = {"progress": 0.25}
    beat = town.py.beat

    def beat_with_progress():
        with town.py.lock:
            held = [{**{key: one[key] for key in ("id", "task", "token")}, **far} for one in town.py.taken.values()]
        town.py.say(21, {"session": town.py.session, "claim_open": town.py.seq, "worker": "hand", "held": held})
    town.py.beat = beat_with_progress
    events = Events(town, id_)
    assert events.next()[0] == "snapshot"
    assert events.next() == ("progress", {"task_name": A, "progress": 0.25})
    far["progress"] = 0.5
    assert events.next() == ("progress", {"task_name": A, "progress": 0.5})
    town.py.beat = beat
    town.py.end(task, output={"value": "x"})
    rest = events.rest()
    assert states(rest) == ["completed"] and rest[-1][0] == "end"


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "99999999999999999999", "1 2"])
def test_a_number_that_is_none_is_refused(town, number):
    id_ = fresh()
    submit(town, "system.echo", id_)
    answer = town.http.get(f"/v1/tasks/{id_}/events", headers={"Last-Event-ID": number})
    assert (answer.status, answer.body) == (400, {"detail": "参数验证失败: Last-Event-ID: must be a number"})


def test_a_number_of_another_store_begins_anew(town):
    id_ = fresh()
    submit(town, A, id_)
    town.py.wait(id_)
    events = Events(town, id_, last=10**15)
    event, context = events.next()
    assert event == "snapshot" and context["workflow_id"] == id_ and int(events.last) < 10**15
    town.py.complete(id_, A, value="x")
    assert events.rest()[-1] == ("end", {"task_id": id_, "status": "completed"})


def test_a_stage_that_runs_again_keeps_the_stream_open(town):
    id_ = fresh()
    submit(town, A, id_)
    task = town.py.wait(id_)
    submit(town, B, id_)
    town.py.wait(id_, B)
    events = Events(town, id_)
    assert events.next()[0] == "snapshot"
    town.py.end(task, output={"value": "x"})
    submit(town, A, id_, reuse="never")
    again = until(lambda: next((one for one in list(town.py.taken.values()) if one["id"] == id_ and one["task"] == A), None))
    town.py.end(again, output={"value": "y"})
    town.py.complete(id_, B, value="z")
    rest = events.rest()
    assert states(rest, A) == ["completed", "pending", "running", "completed"] and states(rest, B) == ["completed"]
    assert rest[-1][0] == "end"


def test_a_task_that_is_deleted_ends_its_streams(town):
    id_ = fresh()
    answer = town.http.post("/v1/tasks", {"task_name": A, "task_id": id_, "delay_ms": 60000})
    assert answer.status == 200
    events = Events(town, id_)
    assert events.next()[0] == "snapshot"
    assert town.http.post(f"/v1/tasks/{id_}/delete", {"force": True}).body["status"] == "success"
    rest = events.rest()
    assert rest[-1][0] == "end" and rest[-1][1]["status"] in ("deleted", "cancelled"), rest


def test_a_large_record_is_one_event(town):
    id_, value = fresh(), "x" * 600000
    submit(town, A, id_, value=value)
    town.py.wait(id_)
    events = Events(town, id_)
    event, context = events.next()
    assert event == "snapshot" and context["stages"][A]["input_params"]["value"] == value
    town.py.complete(id_, A, value="x")
    assert events.rest()[-1][0] == "end"


def test_head_tells_that_there_is_a_stream(town):
    id_ = fresh()
    submit(town, A, id_)
    answer = town.http.call("HEAD", f"/v1/tasks/{id_}/events")
    assert answer.status == 200 and answer.raw == b""
    town.py.complete(id_, A, value="x")


def test_many_readers_of_one_task_and_of_many(town):
    ids = [fresh() for _ in range(10)]
    for id_ in ids:
        submit(town, A, id_)
    for id_ in ids:
        town.py.wait(id_)
    readers = [Events(town, id_) for id_ in ids for _ in range(10)]
    with concurrent.futures.ThreadPoolExecutor(len(readers)) as pool:
        told = [pool.submit(reader.rest) for reader in readers]
        for id_ in ids:
            town.py.complete(id_, A, value="x")
        for one in told:
            rest = one.result(30)
            assert rest[0][0] == "snapshot" and states(rest) == ["completed"] and rest[-1][0] == "end"


def test_readers_that_leave_are_missed_by_nobody(town):
    """The sanitizers look on: what brokers answer then finds nobody."""
    id_ = fresh()
    submit(town, A, id_)
    town.py.wait(id_)
    for n in range(60):
        reader = Events(town, id_)
        if n % 2:
            reader.next()
        if n % 3:
            reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        reader.close()
    last = Events(town, id_)
    town.py.complete(id_, A, value="x")
    assert last.rest()[-1][0] == "end"
    town.check()


@pytest.mark.parametrize("what", ["states", "brokers", "redis"])
def test_a_stream_outlasts_what_stands_behind_it(town, what):
    id_ = fresh()
    submit(town, A, id_)
    task = town.py.wait(id_)
    events = Events(town, id_)
    assert events.next()[0] == "snapshot"
    gone = [town.redis] if what == "redis" else getattr(town, what)
    for process in gone:
        process.kill()
    time.sleep(1.5)
    for process in gone:
        process.start()
    until(lambda: town.http.get("/v1/tasks/health").status == 200, 30)
    try:
        town.py.end(task, output={"value": "x"})
    except AssertionError:
        pass  # its lease ended meanwhile: another attempt is made
    if town.http.status(id_)["status"] != "completed":
        town.py.complete(id_, A, value="x")
    rest = events.rest()
    assert states(rest)[-1] == "completed" and rest[-1] == ("end", {"task_id": id_, "status": "completed"}), rest


def test_a_stream_ends_when_the_service_does(town):
    id_ = fresh()
    submit(town, "system.echo", id_, value=1)
    slow = fresh()
    submit(town, A, slow)
    town.py.wait(slow)
    events = Events(town, slow)
    assert events.next()[0] == "snapshot"
    began = time.monotonic()
    town.front.stop()
    assert [event for event, _ in events.rest()] == [] and time.monotonic() - began < 4
    town.front.start()
    until(lambda: town.ready() == 200)
    again = Events(town, slow, last=events.last)
    town.py.complete(slow, A, value="x")
    assert states(again.rest())[-1] == "completed"


def test_a_stop_with_questions_open_leaves_nothing_behind(town):
    """The sanitizers look on: requests and streams end before what was asked for them is answered."""
    id_ = fresh()
    submit(town, A, id_)
    town.py.wait(id_)
    events = [Events(town, id_) for _ in range(5)]
    assert all(one.next()[0] == "snapshot" for one in events)
    for broker in town.brokers:
        broker.freeze()
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(ask, town, path, id_) for path in ("/status", "/result", "/events", "") for _ in range(6)]
        time.sleep(0.3)
        town.front.stop()
        answers = [one.result() for one in asked]
    assert set(answers) <= {503, None}, answers
    for broker in town.brokers:
        broker.thaw()
    town.front.start()
    until(lambda: town.ready() == 200)
    until(lambda: town.http.get("/v1/tasks/health").status == 200, 30)


def ask(town, path, id_):
    """None: the connection ended."""
    try:
        return (town.http.get(f"/v1/tasks/{id_}{path}") if path else town.http.submit(A, id_)).status
    except (OSError, http.client.HTTPException):
        return None
