"""What stands behind the HTTP front is stopped, or killed in the middle of its work: callers are told when to come again,
nothing that was accepted is lost, and callbacks arrive."""
import json
import socket
import threading
import time
import uuid

import pytest

from harness import until
from http_house import House, node

A = "py.a"


@pytest.fixture(scope="module")
def town():
    with House("away", front_answer_ms=1000, redis_timeout_ms=500) as house:
        house.py = house.hand(node(A), at_once=lambda task: {"output": task["input"]})
        house.knows(A, "system.echo")
        yield house


def fresh():
    return f"a{uuid.uuid4().hex[:12]}"


class Load(threading.Thread):
    """Submits all the time, each id until it is accepted, under one Idempotency-Key; keeps what it was told."""

    def __init__(self, town, task=A):
        super().__init__(daemon=True)
        self.town, self.task, self.over = town, task, False
        self.accepted, self.refused, self.cut, self.wrong = [], [], 0, []
        self.start()

    def run(self):
        while not self.over:
            id_ = fresh()
            while not self.over and not self.once(id_):
                time.sleep(0.05)

    def once(self, id_):
        try:
            answer = self.town.http.submit(self.task, id_, self.town.receiver.url(f"/{id_}"), {"Idempotency-Key": id_}, value=id_)
        except OSError:
            self.cut += 1
            return False
        except Exception as error:  # half an answer of a front that was killed
            self.wrong.append(error) if self.town.front.alive() and not self.town.front.killed else None
            self.cut += 1
            return False
        if answer.status == 200:
            self.accepted.append(id_)
        else:
            self.refused.append(answer)
        return answer.status == 200

    def accepts(self, count=10):
        """Until so many more were accepted."""
        enough = len(self.accepted) + count
        until(lambda: len(self.accepted) >= enough, 40)

    def end(self):
        """Everything that was accepted has completed, and was told of."""
        self.over = True
        self.join()
        assert not self.wrong, self.wrong
        for answer in self.refused:
            assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0 and answer.body["detail"], answer
        for id_ in self.accepted:
            stage = self.town.http.ended(id_)["stages"][self.task]
            assert (stage["status"], stage["output"]) == ("SUCCESS", {"value": id_})
        for id_ in self.accepted:
            calls = self.town.calls(f"/{id_}", seconds=60)
            assert len({call.headers["Gantry-Delivery"] for call in calls}) == 1 and calls[0].body["status"] == "completed"


def refused(town):
    """Every call of a task's is told to come again."""
    id_ = fresh()
    for method, path, body in (("POST", "/v1/tasks", {"task_name": A, "task_id": id_, "input_data": {"value": 1}}),
                               ("GET", f"/v1/tasks/{id_}/status", None), ("GET", f"/v1/tasks/{id_}/result", None),
                               ("DELETE", f"/v1/tasks/{id_}", None), ("POST", f"/v1/tasks/{id_}/retry", None),
                               ("POST", f"/v1/tasks/{id_}/delete", {"force": True})):
        answer = town.http.call(method, path, body)
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0, (method, path, answer)
        assert set(answer.body) == {"detail"} and answer.body["detail"], answer
    assert town.http.get("/healthz").status == 200 and town.http.get("/readyz").status == 503
    return id_


STOPS = {"redis": lambda town: town.redis, "broker": lambda town: town.brokers[0], "state": lambda town: town.states[0]}


@pytest.mark.parametrize("who", STOPS)
@pytest.mark.parametrize("how", ("stop", "kill", "freeze"))
def test_what_stands_behind_it_goes_away(town, who, how):
    process = STOPS[who](town)
    load = Load(town)
    load.accepts()
    getattr(process, how)()
    if not (who == "broker" and how == "freeze"):
        until(lambda: town.ready() == 503)
    refused(town)
    process.thaw() if how == "freeze" else process.start()
    until(lambda: town.ready() == 200, 30)
    load.accepts()
    load.end()
    assert load.refused and not load.cut, "the front itself was there all the time"
    town.balance()


def test_the_front_is_killed(town):
    load = Load(town)
    for _ in range(3):
        load.accepts()
        town.front.restart(0.1)
        until(lambda: town.ready() == 200)
    load.accepts()
    load.end()
    assert len(set(load.accepted)) == len(load.accepted)
    runs = [task["id"] for task in town.py.handed]
    assert all(runs.count(id_) == 1 for id_ in load.accepted), "a request that was repeated did not run again"


def listens(town):
    try:
        socket.create_connection(("127.0.0.1", town.port), 1).close()
        return True
    except ConnectionRefusedError:
        return False


def test_the_front_stops_in_order(town):
    """SIGTERM while a request is under way: it is answered, nobody else is let in, and the program ends well."""
    id_, replies = fresh(), []
    town.states[0].freeze()
    asker = threading.Thread(target=lambda: replies.append(town.http.submit(A, id_, value=1)))
    asker.start()
    time.sleep(0.1)
    town.front.process.terminate()
    until(lambda: not listens(town), every=0.005)
    assert town.front.alive() and not replies
    town.states[0].thaw()
    asker.join()
    assert replies[0].status == 200 and town.front.process.wait(10) == 0
    town.front.start()
    until(lambda: town.ready() == 200)
    assert town.http.ended(id_)["stages"][A]["status"] == "SUCCESS"


def test_the_worker_of_callbacks_is_killed_in_the_middle_of_a_delivery(town):
    """The receiver has read everything and has not answered: it is called again, and can tell that it is the same."""
    ids = [fresh() for _ in range(5)]
    for id_ in ids:
        town.receiver.plan(f"/{id_}", "hang", 200)
        assert town.http.submit(A, id_, town.receiver.url(f"/{id_}"), value=1).status == 200
    for id_ in ids:
        town.calls(f"/{id_}")
    town.system.restart()
    for id_ in ids:
        first, second = town.calls(f"/{id_}", 2)
        assert first.headers["Gantry-Delivery"] == second.headers["Gantry-Delivery"]
        assert {**first.body, "timestamp": 0} == {**second.body, "timestamp": 0}
    town.delivered()
    assert all(len(town.receiver.of(f"/{id_}")) == 2 for id_ in ids)
    told = [call.headers["Gantry-Delivery"] for id_ in ids for call in town.receiver.of(f"/{id_}")]
    assert len(set(told)) == len(ids), json.dumps(told)
