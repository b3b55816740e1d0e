"""The numbered updates: every transition of every stage, once, in its order, to whoever asks on from the last number."""
import time

import pytest

import harness
from state_house import (  # noqa: F401: broker is a fixture
    BUSY, INVALID, NOT_FOUND, OK, UNAVAILABLE, Broker, Worker, a_house, a_worker, broker, input_, node, receipt_of, task, until)

ECHO = node("system.echo", input_("text", "text"))
OTHER = node("other.echo")

house = a_house(lease_ms=500)
worker = a_worker(ECHO, OTHER)


def poll(broker, since, peer=0, **more):
    answer = broker.ask("SUBSCRIBE", {"since": since, **more}, peer=peer)
    assert answer.status == OK, answer
    return answer.body


def now(broker, **more):
    body = poll(broker, 0, **more)
    assert "snapshot" in body and "items" not in body
    return body["seq"]


def states(updates, id_=None):
    return [u["state"] for u in updates if id_ in (None, u["id"])]


class Follower:
    """A client that asks on and on, one request at a time, and keeps what it was told."""

    def __init__(self, broker, since, peer=0, **more):
        self.broker, self.since, self.peer, self.more = broker, since, peer, more
        self.updates, self.resets, self.answers, self.request = [], 0, 0, None

    def step(self):
        """Takes an answer if there is one; asks if nothing is asked."""
        if self.request is None:
            self.request = self.broker.begin("SUBSCRIBE", {"since": self.since, "timeout_ms": 2000, **self.more}, peer=self.peer)
        answer = self.broker.answers.get(self.request)
        if not answer:
            return
        self.request = None
        self.take(answer)

    def take(self, answer):
        assert answer.status in (OK, UNAVAILABLE), answer
        if answer.status == OK:
            self.answers += 1
            self.resets += answer.body.get("reset", False)
            self.updates += answer.body.get("items", [])
            self.since = answer.body["seq"]

    def again(self, broker):
        """What was asked is lost: it asks another broker."""
        self.broker, self.request = broker, None

    def until(self, done, seconds=20):
        end = time.monotonic() + seconds
        while not done(self.updates):
            assert time.monotonic() < end, self.updates[-5:]
            self.step()
            self.broker.pump(0.01)

    def check(self, since):
        """Nothing is missing and nothing twice. Entries that tell no transition take a number too."""
        numbers = [u["seq"] for u in self.updates]
        assert numbers == sorted(set(numbers))
        assert numbers[0] > since
        assert all(a["at_ms"] <= b["at_ms"] for a, b in zip(self.updates, self.updates[1:]))
        return numbers


def finish_all(worker, n, peer=0):
    while n:
        got = worker.claim(n=n, peer=peer)
        if not isinstance(got, list):
            worker.broker.pump(0.01)
            continue
        worker.done(*[worker.result(h) for h in got], peer=peer)
        n -= len(got)


# ---- what is told --------------------------------------------------------------------------------


def test_the_first_answer_says_what_is(broker, worker):
    receipt_of(broker, task("t1"))
    body = poll(broker, 0)
    assert body["snapshot"]["accepted"] == body["snapshot"]["pending"] == 1 and body["snapshot"]["balanced"] is True
    assert body["seq"] == body["snapshot"]["seq"] > 0 and "reset" not in body
    body = poll(broker, 0, id="t1")
    assert body["snapshot"]["stages"]["system.echo"]["state"] == "pending"
    answer = broker.ask("SUBSCRIBE", raw=b"")
    assert answer.status == OK and answer.body["seq"] == body["seq"]
    assert broker.ask("SUBSCRIBE", {"id": "nobody"}).status == NOT_FOUND


def test_every_transition_in_its_order(house, broker, worker):
    start = now(broker)
    follower = Follower(broker, start)

    receipt_of(broker, task("retried", retry_ms=30))
    worker.done(worker.result(worker.claim()[0], "retry", error={"code": "FAILED", "message": "no"}))
    follower.until(lambda seen: states(seen, "retried")[2:] == ["scheduled", "pending"])
    worker.done(worker.result(worker.claim()[0]))

    receipt_of(broker, task("waits"))
    broker.ask("CANCEL", {"id": "waits"})
    receipt_of(broker, task("runs"))
    [handout] = worker.claim()
    broker.ask("CANCEL", {"id": "runs"})
    broker.ask("CANCEL", {"id": "runs"})  # nothing new
    worker.done(worker.result(handout, "cancelled"))

    receipt_of(broker, task("delayed", delay_ms=100))
    follower.until(lambda seen: states(seen, "delayed") == ["scheduled", "pending"])
    worker.done(worker.result(worker.claim()[0], "skipped"))

    receipt_of(broker, task("snoozed"))
    worker.done(worker.result(worker.claim()[0], "snoozed", retry_after_ms=10))
    follower.until(lambda seen: states(seen, "snoozed")[2:] == ["scheduled", "pending"])
    worker.done(worker.result(worker.claim()[0], "failed", error={"code": "FAILED", "message": "no"}))

    receipt_of(broker, task("crashed", crashes_max=2))
    for n in (1, 2):
        other = Worker(broker, 1 + n, "gone%d" % n)
        other.claim()
        follower.until(lambda seen: len(states(seen, "crashed")) == 1 + 2 * n)

    follower.until(lambda seen: states(seen, "crashed")[-1] == "quarantined")
    assert states(follower.updates, "retried") == ["pending", "running", "scheduled", "pending", "running", "completed"]
    assert states(follower.updates, "waits") == ["pending", "cancelled"]
    assert states(follower.updates, "runs") == ["pending", "running", "cancelling", "cancelled"]
    assert states(follower.updates, "delayed") == ["scheduled", "pending", "running", "skipped"]
    assert states(follower.updates, "snoozed") == ["pending", "running", "scheduled", "pending", "running", "failed"]
    assert states(follower.updates, "crashed") == ["pending", "running", "pending", "running", "quarantined"]
    assert follower.check(start) == list(range(start + 1, start + len(follower.updates) + 1))
    assert {u["task"] for u in follower.updates} == {"system.echo"} and not follower.resets

    late = Follower(broker, start, limit=3)  # whoever reads the same again later reads the same
    late.until(lambda seen: len(seen) >= len(follower.updates))
    assert late.updates == follower.updates and late.answers >= len(late.updates) / 3


def test_a_parked_request_is_answered_once_for_all_that_came_at_once(broker, worker):
    start = now(broker)
    request = broker.begin("SUBSCRIBE", {"since": start, "timeout_ms": 10000})
    broker.pump(0.2)
    assert request not in broker.answers
    begun = time.monotonic()
    broker.ask("SUBMIT", [task("m%d" % i) for i in range(50)], service="system")
    body = broker.end(request).body
    assert time.monotonic() - begun < 2
    assert [u["id"] for u in body["items"]] == ["m%d" % i for i in range(50)] and body["seq"] == start + 50
    assert [u["seq"] for u in body["items"]] == list(range(start + 1, start + 51))
    for since in (start, start + 1, start + 17, start + 49):  # in the middle of what was one call
        assert [u["seq"] for u in poll(broker, since)["items"]] == list(range(since + 1, start + 51))
    body = poll(broker, start, limit=7)
    assert len(body["items"]) == 7 and body["seq"] == start + 7


def test_filters(broker, worker):
    start = now(broker)
    one = broker.begin("SUBSCRIBE", {"since": start, "id": "mine"})
    two = broker.begin("SUBSCRIBE", {"since": start, "service": "other"})
    three = broker.begin("SUBSCRIBE", {"since": start, "id": "mine", "service": "other"})
    receipt_of(broker, task("theirs"))
    broker.pump(0.2)
    assert not {one, two, three} & set(broker.answers)
    receipt_of(broker, task("mine"))
    assert [(u["id"], u["seq"]) for u in broker.end(one).body["items"]] == [("mine", start + 2)]
    broker.pump(0.2)
    assert not {two, three} & set(broker.answers)
    receipt_of(broker, task("mine", "other.echo"), service="other")
    for request in (two, three):
        assert [(u["id"], u["task"], u["seq"]) for u in broker.end(request).body["items"]] == [("mine", "other.echo", start + 3)]
    body = poll(broker, start, id="mine")  # the same from the stream
    assert [u["seq"] for u in body["items"]] == [start + 2, start + 3] and body["seq"] == start + 3
    assert [u["seq"] for u in poll(broker, start, service="other")["items"]] == [start + 3]


def test_nothing_new_is_answered_when_its_time_is_over(broker, worker):
    start = now(broker)
    begun = time.monotonic()
    assert poll(broker, start, timeout_ms=300) == {"seq": start}
    assert 0.29 <= time.monotonic() - begun < 1.5
    request = broker.begin("SUBSCRIBE", {"since": start, "id": "mine", "timeout_ms": 500})
    receipt_of(broker, task("theirs"))
    assert broker.end(request).body == {"seq": start + 1}  # it need not be looked at again


# ---- many ----------------------------------------------------------------------------------------


def test_two_thousand_tasks_without_a_gap_and_none_twice(house, broker, worker):
    start, tasks = now(broker), 2000
    all_, half, slow = Follower(broker, start), Follower(broker, start, limit=50), Follower(broker, start, id="t7")
    handouts, submitted, done = [], 0, 0
    end = time.monotonic() + 50
    while done < tasks or any(len(f.updates) < 3 * tasks for f in (all_, half)) or len(slow.updates) < 3:
        assert time.monotonic() < end, (done, len(all_.updates), len(half.updates), len(slow.updates))
        for follower in (all_, half, slow):
            follower.step()
        if submitted < tasks:
            n = min(1 + submitted % 97, tasks - submitted)
            broker.ask("SUBMIT", [task("t%d" % i) for i in range(submitted, submitted + n)], service="system")
            submitted += n
        if done < tasks:
            got = worker.claim(n=61)
            handouts += got if isinstance(got, list) else []
            worker.beat(*[(h, {}) for h in handouts])
            batch, handouts = handouts[:43], handouts[43:]
            if batch:
                worker.done(*[worker.result(h) for h in batch])
                done += len(batch)
        broker.pump(0)
    for follower in (all_, half):
        assert follower.check(start) == list(range(start + 1, start + 1 + 3 * tasks))
        assert len({(u["id"], u["state"]) for u in follower.updates}) == 3 * tasks
    assert half.updates == all_.updates and states(slow.updates) == ["pending", "running", "completed"]


def test_too_many_are_busy_together_with_those_who_wait(house, broker):
    house.states.pop().stop()
    broker.peers.clear()
    house.state(state_waits_max=3)
    worker = Worker(broker)
    worker.register(ECHO)
    receipt_of(broker, task("w1"))
    start = now(broker)
    parked = [broker.begin("WAIT", {"id": "w1", "timeout_ms": 700})]
    parked += [broker.begin("SUBSCRIBE", {"since": start, "timeout_ms": 700, **more}) for more in ({}, {"id": "w1"})]
    broker.pump(0.2)
    for verb, body in (("SUBSCRIBE", {"since": start}), ("WAIT", {"id": "w1"})):
        answer = broker.ask(verb, body)
        assert answer.status == BUSY and answer.body["scope"] == "waits", answer
        assert answer.body["limit"] == answer.body["current"] == 3 and answer.body["retry_after_ms"] > 0
    assert [broker.end(r).body for r in parked[1:]] == [{"seq": start}] * 2
    broker.end(parked[0])
    assert poll(broker, start, timeout_ms=1) == {"seq": start}


def test_those_whose_broker_went_away_make_room(house, broker):
    house.states.pop().stop()
    broker.peers.clear()
    house.state(state_waits_max=2)
    start = until(lambda: broker.insist("SUBSCRIBE")).body["seq"] + 1000
    house.redis.client.set("events_seq", start)
    for epoch in (78, 79, 80):
        for id_ in ("", "a"):
            broker.begin("SUBSCRIBE", {"since": start, "id": id_})
        broker.pump(0.2)
        assert not broker.answers or epoch == 78
        assert broker.ask("SUBSCRIBE", {"since": start}).status == BUSY
        broker.close()
        broker = house.broker = Broker(house.context, "ipc://states", epoch=epoch, lease_ms=500)
        broker.expect(lambda: broker.peers)
    assert poll(broker, start, timeout_ms=1) == {"seq": start}


@pytest.mark.parametrize("body, field", [
    ({"since": 1, "limit": 1001}, "limit"), ({"id": "../x"}, "id"), ({"service": "Bad!"}, "service"),
    ({"since": -1}, "since"), ({"since": "x"}, "since"),
])
def test_what_is_wrong_is_refused(broker, worker, body, field):
    answer = broker.ask("SUBSCRIBE", body)
    assert answer.status == INVALID and answer.body["field"] == field


# ---- what is no longer there ---------------------------------------------------------------------


def test_who_comes_too_late_starts_anew(house, broker, worker):
    start = now(broker)
    broker.ask("SUBMIT", [task("t%d" % i) for i in range(10)], service="system")
    finish_all(worker, 10)
    newest = now(broker)
    assert newest == start + 30
    parked = broker.begin("SUBSCRIBE", {"since": newest})
    house.redis.client.xtrim("events", maxlen=1, approximate=False)
    body = poll(broker, start)
    assert body["reset"] is True and body["seq"] == newest and body["snapshot"]["completed"] == 10 and "items" not in body
    body = poll(broker, start, id="t3")
    assert body["reset"] is True and body["seq"] == newest
    assert body["snapshot"]["stages"]["system.echo"]["state"] == "completed"
    [entry] = house.redis.client.xrange("events")
    first = newest - (entry[1][b"4"].count(b" ") if b"4" in entry[1] else 0)
    assert states(poll(broker, first - 1)["items"]) == ["completed"] * (newest - first + 1)  # just not too late
    assert poll(broker, first - 2)["reset"] is True
    house.redis.client.delete("events")  # the numbers go on
    assert poll(broker, newest, timeout_ms=100) == {"seq": newest}
    receipt_of(broker, task("next"))
    until(lambda: broker.pump(0.01) or parked in broker.answers)
    follower = Follower(broker, broker.answers[parked].body["seq"])
    follower.updates += broker.answers[parked].body.get("items", [])
    follower.until(lambda seen: seen)
    assert [(u["id"], u["seq"]) for u in follower.updates] == [("next", newest + 1)]


def test_another_store_is_noticed(house, broker, worker):
    broker.ask("SUBMIT", [task("t%d" % i) for i in range(10)], service="system")
    newest = now(broker)
    follower = Follower(broker, newest)
    follower.step()
    broker.pump(0.2)
    house.redis.client.flushall()  # the functions stay, and so do the connections
    worker.register(ECHO, OTHER)
    receipt_of(broker, task("new"))
    end = time.monotonic() + 15
    while not follower.resets:
        assert time.monotonic() < end
        follower.step()
        broker.pump(0.01)
    assert 0 < follower.since < newest
    receipt_of(broker, task("newer"))
    follower.until(lambda seen: seen)
    assert [u["id"] for u in follower.updates] == ["newer"]
    request = broker.begin("WAIT", {"id": "new"})  # and the other things that follow the stream do
    finish_all(worker, 2)
    assert broker.end(request).body["status"] == "completed"


def test_strangers_in_the_stream_break_nothing(house, broker, worker):
    start = now(broker)
    follower = Follower(broker, start)

    def knows(id_):
        """By an update, or by a snapshot of all."""
        resets = follower.resets
        receipt_of(broker, task(id_))
        until(lambda: follower.step() or broker.pump(0.01) or follower.resets > resets or id_ in [u["id"] for u in follower.updates])

    follower.step()
    broker.pump(0.1)
    add = house.redis.client.xadd
    add("events", {"4": "junk /x a/b  ../x/system.echo", "at": "no", "9": "a/system.echo", "": ""}, id="%d-0" % (start + 5))
    house.redis.client.incrby("events_seq", 5)
    knows("t1")
    assert [u["seq"] for u in follower.updates] == [start + 6] and not follower.resets
    add("events", {"0": "x/system.echo"}, id="%d-7" % (start + 6))
    knows("t2")
    add("events", {"q": "system"})  # a number that no transition will ever reach
    knows("t3")
    knows("t4")
    assert follower.updates[-1]["id"] == "t4"
    house.redis.client.set("events_seq", "junk")
    knows("t5")
    house.redis.client.delete("events")
    house.redis.client.set("events", "junk")
    knows("t6")
    knows("t7")


# ---- what dies -----------------------------------------------------------------------------------


def test_through_restarts_of_state_broker_and_redis(house, broker, worker):
    start = now(broker)
    follower = Follower(broker, start)

    def some(name):
        broker_now = follower.broker
        broker_now.insist("SUBMIT", [task("%s%d" % (name, i)) for i in range(20)], service="system")
        worker.broker = broker_now
        until(lambda: len(finish_some(worker, name)) >= 20)

    def finish_some(worker, name, done={}):
        got = worker.claim(n=50)
        if isinstance(got, list):
            worker.done(*[worker.result(h) for h in got])
            done.setdefault(name, []).extend(got)
        follower.step()
        return done.get(name, [])

    some("a")
    follower.step()
    house.states[0].kill()
    broker.peers.clear()
    house.states.clear()
    house.state()
    follower.again(broker)
    some("b")

    follower.step()
    broker.pump(0.1)
    broker.close()
    broker = house.broker = Broker(house.context, "ipc://states", epoch=78, lease_ms=500)
    broker.expect(lambda: broker.peers)
    follower.again(broker)
    some("c")

    follower.step()
    time.sleep(1.2)  # the AOF is on disk
    broker.pump(0)
    house.redis.kill()
    house.redis.start()
    some("d")

    follower.until(lambda seen: len(seen) >= 240)
    broker.pump(0.3)
    numbers = follower.check(start)
    assert len(numbers) == 240 and not follower.resets
    told = {}
    for update in follower.updates:
        told.setdefault(update["id"], []).append(update["state"])
    assert len(told) == 80 and all(s == ["pending", "running", "completed"] for s in told.values())


def test_two_state_services_tell_the_same(house, broker, worker):
    house.state()
    start = now(broker)
    assert now(broker, peer=1) == start
    followers = [Follower(broker, start, peer=peer) for peer in (0, 1)]
    for i in range(30):
        receipt_of(broker, task("t%d" % i), peer=i % 2)
        for follower in followers:
            follower.step()
    finish_all(worker, 30, peer=1)
    for follower in followers:
        follower.until(lambda seen: len(seen) == 90)
        assert follower.check(start) == list(range(start + 1, start + 91))
    assert followers[0].updates == followers[1].updates


def test_a_real_client_follows_real_work_through_kills(tmp_path):
    """It asks whichever broker answers it: a number means the same to all of them."""
    with harness.System(tmp_path / "house", brokers=2, states=2, workers=2) as house:
        client, follower, updates = house.client(), house.client(), []
        client.ready("system.echo")
        start = since = follower.insist("SUBSCRIBE").body["seq"]
        for n in range(6):
            ids = ["t%d-%d" % (n, i) for i in range(50)]
            client.submit(*[client.task(id_) for id_ in ids])
            [house.brokers[0], house.states[0], house.brokers[1], house.states[1], house.workers[0], house.workers[1]][n].restart(0.2)
            end = time.monotonic() + 20
            while sum(u["state"] == "completed" for u in updates) < 50 * (n + 1):
                assert time.monotonic() < end
                body = follower.insist("SUBSCRIBE", {"since": since, "timeout_ms": 1000}).body
                assert "reset" not in body
                updates += body.get("items", [])
                since = body["seq"]
        numbers, steps = [u["seq"] for u in updates], {}
        assert numbers == sorted(set(numbers)) and numbers[0] > start
        for update in updates:
            steps.setdefault(update["id"], []).append(update["state"])
        assert len(steps) == 300
        for states_ in steps.values():  # a handout that was lost goes back to its queue
            assert states_[-1] == "completed" and states_.count("completed") == 1
            assert states_[:-1] == ["pending", "running"] * (len(states_) // 2)
        house.settle()
