"""Reuse over HTTP and ZMQ together: one decision, one run, every answer and every callback."""
import collections
import secrets
import threading
import uuid

import pytest

from harness import OK, until
from http_house import House, burst, node, post_of

A, B, C = "py.a", "py.b", "py.c"
EQUALS = 1000


@pytest.fixture(scope="module", params=(1, 2), ids=("one_broker", "two_brokers"))
def town(request):
    with House(f"reuse{request.param}", brokers=request.param, states=request.param) as house:
        house.py = house.hand(*(node(name) for name in (A, B, C)))
        house.knows(A, "system.echo")
        yield house


def fresh():
    return f"r{uuid.uuid4().hex[:12]}"


def submitted(town, *args, **more):
    answer = town.http.submit(*args, **more)
    assert answer.status == 200, answer
    return answer.body


def kind(answer):
    """miss, wait or hit, by what an answer says."""
    info = answer["reuse_info"]
    if not info["reuse_hit"]:
        assert answer["status"] == "pending" and set(info) == {"reuse_hit", "task_name"}
        return "miss"
    assert info["source"] == "redis"
    if info.get("state") == "pending":
        assert answer["status"] == "pending" and "result" not in answer
        return "wait"
    assert answer["status"] == "completed" and info["cached_at"] and answer["result"]
    return "hit"


# ---- a thousand at once ---------------------------------------------------------------------------

class Crowd:
    """Equal submits, half over HTTP and half over ZMQ, every fifth with an address of its own."""

    def __init__(self, town, task, id_, count=EQUALS, **input_):
        self.town, self.task, self.id, self.input = town, task, id_, input_
        self.paths = [f"/{id_}-{n}" for n in range(0, count, 5)]
        self.requests, self.messages = [], []
        for n in range(count):
            callback = {"callback": town.receiver.url(f"/{id_}-{n}")} if n % 5 == 0 else {}
            if n % 2:
                self.requests.append(post_of("/v1/tasks", {"task_name": task, "task_id": id_, "input_data": input_, **callback}))
            else:
                self.messages.append({"id": id_, "task": task, "token": secrets.token_bytes(16), "input": input_, **callback})

    def all_at_once(self):
        """How many were told miss, wait and hit."""
        replies = []
        thread = threading.Thread(target=lambda: replies.extend(burst(self.town.port, self.requests)))
        thread.start()
        told = collections.Counter(self.by_zmq())
        thread.join()
        assert len(replies) == len(self.requests) and all(reply.status == 200 for reply in replies), replies[:1]
        told.update(kind(reply.body) for reply in replies)
        assert told.total() == len(self.requests) + len(self.messages)
        return told

    def by_zmq(self):
        clients = [self.town.client(n % self.town.counts[0]) for n in range(5)]
        asked = [(clients[n % 5], clients[n % 5].begin("SUBMIT", [message], service=self.task.split(".")[0]))
                 for n, message in enumerate(self.messages)]
        for client, request in asked:
            answer = client.end(request)
            assert answer.status == OK and answer.body[0]["status"] == OK, answer
            yield answer.body[0]["reuse"]
        for client in clients:
            client.close()
            self.town.clients.remove(client)

    def called_once_each(self):
        for path in self.paths:
            self.town.receiver.wait(path, seconds=60)
        self.town.delivered()
        assert [len(self.town.receiver.of(path)) for path in self.paths] == [1] * len(self.paths)


def test_a_thousand_equal_submits_run_once_and_wait(town):
    """The stage does not end before all of them were answered."""
    id_ = fresh()
    crowd = Crowd(town, A, id_, value=1)
    assert crowd.all_at_once() == {"miss": 1, "wait": EQUALS - 1}
    town.py.complete(id_, value=1)
    crowd.called_once_each()
    stage = town.client().stage(id_, A)
    assert (stage["state"], stage["attempt"]) == ("completed", 1) and town.py.runs(id_) == [A]


def test_a_thousand_equal_submits_of_what_takes_no_time(town):
    """Some are told while it runs, some of its result."""
    id_, before = fresh(), town.balance()["accepted"]
    crowd = Crowd(town, "system.echo", id_, value="same")
    told = crowd.all_at_once()
    assert told["miss"] == 1, told
    crowd.called_once_each()
    stage = town.client().stage(id_, "system.echo")
    assert (stage["state"], stage["attempt"], stage.get("generation", 0)) == ("completed", 1, 0)
    ledger = town.balance()
    assert ledger["accepted"] - before == 1 + len(crowd.paths), "one run, and one delivery for each address"
    assert town.ends()[f"{id_}/system.echo"] == 1


def test_a_repeat_starts_nothing(town):
    """While it is pending, while it runs, and after its end."""
    id_, client = fresh(), town.client()
    with_nobody = town.hand(node("idle.work"))
    with_nobody.stop()
    assert kind(submitted(town, "idle.work", id_, value=1)) == "miss"
    assert [kind(submitted(town, "idle.work", id_, value=n)) for n in range(3)] == ["wait"] * 3
    assert client.stage(id_, "idle.work")["state"] == "pending" and town.db.llen("queue:idle:normal") == 1
    hand = town.hand(node("idle.work"))
    hand.wait(id_)
    assert [kind(submitted(town, "idle.work", id_, value=n)) for n in range(3)] == ["wait"] * 3
    hand.complete(id_, value=1)
    town.http.ended(id_)
    assert [kind(submitted(town, "idle.work", id_, value=n)) for n in range(3)] == ["hit"] * 3
    assert hand.runs(id_) == ["idle.work"]
    stage = client.stage(id_, "idle.work")
    assert (stage["attempt"], stage["input"]) == (1, {"value": 1}), "what was submitted first is what ran"


# ---- what is a hit --------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def keyed(town):
    """py.key gives back as its output what it was given, and needs a and one of b, bb and bbb for a hit."""
    def at_once(task):
        value = task["input"]["value"]
        return {"state": "failed", "error": {"code": "FAILED", "message": "as told"}} if value == "fail" else \
            {"state": "skipped", "output": {"a": 1, "b": 1}} if value == "skip" else {"output": value}
    town.hand(node("keys.work", outputs=("a", "b", "c"), key=("a", "b|bb|bbb")), at_once=at_once)
    return town


@pytest.mark.parametrize("first, then", [
    ({"a": 1, "b": 1}, "hit"), ({"a": 0, "b": False}, "hit"), ({"a": [], "bb": {}}, "hit"), ({"a": "x", "bbb": "y"}, "hit"),
    ({"a": "x", "b": None, "bb": "y"}, "hit"), ({}, "miss"), ({"c": 1}, "miss"), ({"a": 1}, "miss"), ({"b": 1}, "miss"),
    ({"a": None, "b": 1}, "miss"), ({"a": "", "b": 1}, "miss"), ({"a": 1, "b": "", "bb": None}, "miss"), ({"a": 1, "bbbb": 1}, "miss"),
    ("fail", "miss"), ("skip", "miss")])
def test_what_was_before_decides(keyed, first, then):
    id_, good = fresh(), {"a": "good", "b": "good"}
    assert kind(submitted(keyed, A, id_, value="other")) == "miss"
    keyed.py.complete(id_, A, value="other")
    assert kind(submitted(keyed, "keys.work", id_, value=first)) == "miss"
    before = keyed.http.ended(id_)["stages"]
    assert kind(submitted(keyed, "keys.work", id_, value=good)) == then
    after = keyed.http.ended(id_)["stages"]
    assert set(after) == {A, "keys.work"} and after[A] == before[A], "the other stage is as it was"
    assert after["keys.work"]["output"] == (first if then == "hit" else good)
    assert kind(submitted(keyed, "keys.work", id_, value=1)) == "hit"


def test_a_caller_may_ask_for_more(keyed):
    """reuse: input counts only the same input, never none; name is what is when nothing is said."""
    id_, good, other = fresh(), {"a": 1, "b": 1}, {"a": 2, "b": 2}
    steps = [(good, None, "miss"), (good, "input", "hit"), (other, None, "hit"), (other, "name", "hit"), (other, "input", "miss"),
             (other, "input", "hit"), (good, "input", "miss"), (good, "never", "miss"), (good, "never", "miss"), (good, None, "hit")]
    for n, (value, reuse, told) in enumerate(steps):
        assert kind(submitted(keyed, "keys.work", id_, reuse=reuse, value=value)) == told, (n, value, reuse)
        keyed.http.ended(id_)
    answer = keyed.http.post("/v1/tasks", {"task_name": "keys.work", "task_id": id_, "input_data": {"value": good}, "force": True})
    assert answer.status == 200 and kind(answer.body) == "miss"
    keyed.http.ended(id_)
    answer = keyed.http.submit("keys.work", id_, reuse="sometimes", value=good)
    assert answer.status == 400 and "reuse" in answer.body["detail"], answer


def test_running_is_never_run_beside_itself(town):
    """Whatever a caller asks for, the stage that runs is the one that is waited for."""
    id_ = fresh()
    submitted(town, A, id_, value=1)
    town.py.wait(id_)
    assert [kind(submitted(town, A, id_, reuse=reuse, value=2)) for reuse in ("name", "input", "never")] == ["wait"] * 3
    town.py.complete(id_, value=1)
    assert town.py.runs(id_) == [A]


# ---- stages and addresses -------------------------------------------------------------------------

def test_a_chain_keeps_every_stage(town):
    """Three nodes, each given the output of the one before, with hits between."""
    id_, seen = fresh(), []
    for n, task in enumerate((A, B, C)):
        value = f"${{{{ stages.{seen[-1]}.output.value }}}}" if seen else "0"
        assert kind(submitted(town, task, id_, value=value)) == "miss"
        handed = town.py.wait(id_, task)
        assert handed["input"] == {"value": str(n)}
        town.py.complete(id_, task, value=str(n + 1))
        seen.append(task)
        town.http.ended(id_)
        for before in seen:
            hit = submitted(town, before, id_, value="not compared")
            assert kind(hit) == "hit" and set(hit["result"]["stages"]) == set(seen)
            assert {name: stage["output"]["value"] for name, stage in hit["result"]["stages"].items()} == {
                name: str(at + 1) for at, name in enumerate(seen)}
    assert town.http.context(id_)["stages"][C]["input_params"] == {"value": "${{ stages.py.b.output.value }}"}, "as it was submitted"
    assert town.py.runs(id_) == seen


def test_a_hit_calls_the_newest_address(town):
    id_ = fresh()
    submitted(town, A, id_, town.receiver.url(f"/{id_}-first"), value=1)
    town.py.complete(id_, value=1)
    town.calls(f"/{id_}-first")
    newest = town.receiver.url(f"/{id_}-newest")
    hit = submitted(town, A, id_, newest, value=1)
    assert kind(hit) == "hit" and hit["result"]["input_params"]["callback_url"] == newest
    (call,) = town.calls(f"/{id_}-newest")
    assert call.body["status"] == "completed" and call.body["result"]["input_params"]["callback_url"] == newest
    assert call.body["result"]["reuse_info"] == hit["reuse_info"]
    again = submitted(town, A, id_, value=1)
    assert kind(again) == "hit" and again["result"]["input_params"]["callback_url"] == newest, "no address: the newest stays"
    town.delivered()
    assert len(town.receiver.of(f"/{id_}-first")) == len(town.receiver.of(f"/{id_}-newest")) == 1


def test_only_the_stage_that_was_asked_for():
    with House("requested", reuse_result_stages="requested") as house:
        id_, hand = fresh(), house.hand(node(A), node(B), at_once=lambda task: {"output": task["input"]})
        for task in (A, B):
            path = f"/{id_}-{task}"
            submitted(house, task, id_, house.receiver.url(path), value=task)
            assert set(house.calls(path)[0].body["result"]["stages"]) == {task}
        hit = submitted(house, A, id_, house.receiver.url("/hit"), value=1)
        assert kind(hit) == "hit" and set(hit["result"]["stages"]) == {A}
        assert set(house.calls("/hit")[0].body["result"]["stages"]) == {A}
        assert set(house.http.context(id_)["stages"]) == {A, B}, "who asks for the whole gets it"
        assert hand.runs(id_) == [A, B]
