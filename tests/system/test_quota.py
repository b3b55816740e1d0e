"""The door: how many an owner may have, how many wait in a queue; and that what was accepted goes on when it is shut."""
import os
import subprocess

import pytest

from state_house import BIN, BUSY, OK, House, Worker, input_, node, receipt_of, stage_of, task, until

ECHO = node("system.echo", input_("text", "text"))
OTHER = node("media.cut")


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.close()


def started(house, **settings):
    house.state(**settings)
    worker = Worker(house.broker)
    worker.register(ECHO, OTHER)
    return house.broker, worker


def offer(broker, *tasks, service="system", **more):
    answer = broker.ask("SUBMIT", list(tasks), service=service, **more)
    assert answer.status == OK, answer
    return answer.body


def owned(house):
    client = house.redis.client
    return client.hlen("owned"), sum(client.scard(key) for key in client.keys("user:*"))


# ---- owners --------------------------------------------------------------------------------------


def test_a_user_waits_for_what_runs(house):
    broker, worker = started(house)  # by default: one of a user, five in all
    first, second = offer(broker, task("a1", owner="ann"), task("a2", owner="ann"))
    assert first["status"] == OK and second["status"] == BUSY
    assert (second["scope"], second["limit"], second["current"]) == ("user", 1, 1)
    assert second["message"] == "请等待当前任务完成" and second["retry_after_ms"] > 0
    assert stage_of(broker, "a1")["owner"] == "ann"
    [handout] = worker.claim(n=5)
    assert offer(broker, task("a2", owner="ann"))[0]["status"] == BUSY  # it runs
    worker.done(worker.result(handout, "retry", retry_after_ms=60000))
    assert offer(broker, task("a2", owner="ann"))[0]["status"] == BUSY  # it waits for another attempt
    broker.ask("CANCEL", {"id": "a1"})
    assert offer(broker, task("a2", owner="ann"))[0]["status"] == OK
    [handout] = worker.claim()
    worker.done(worker.result(handout, output={"text": "x"}))
    assert owned(house) == (0, 0)
    assert offer(broker, task("a3", owner="ann"))[0]["status"] == OK


def test_all_users_together_have_a_bound(house):
    broker, worker = started(house)
    receipts = offer(broker, *[task("b%d" % i, owner="user %d" % i) for i in range(6)])
    assert [receipt["status"] for receipt in receipts] == [OK] * 5 + [BUSY]
    over = receipts[5]
    assert (over["scope"], over["limit"], over["current"], over["message"]) == ("users", 5, 5, "系统繁忙，请稍后重试")
    assert [r["status"] for r in offer(broker, *[task("free%d" % i) for i in range(50)])] == [OK] * 50  # nobody's
    worker.done(worker.result(worker.claim()[0], "failed"))
    assert offer(broker, task("b5", owner="user 5"))[0]["status"] == OK
    assert owned(house) == (5, 5)


def test_the_same_submit_again_is_no_second_one(house):
    broker, worker = started(house)
    for _ in range(3):
        assert offer(broker, task("c1", owner="ann"))[0]["status"] == OK
    assert offer(broker, task("c1", owner="ann", token=2))[0]["reuse"] == "wait"
    assert owned(house) == (1, 1)
    worker.done(worker.result(worker.claim()[0], output={"text": "x"}))
    offer(broker, task("c2", owner="ann"))
    assert offer(broker, task("c1", owner="ann", token=3))[0]["reuse"] == "hit"  # what is done costs nothing


def test_no_limit_is_no_limit(house):
    broker, _ = started(house, quota_user=0, quota_all=0)
    assert {r["status"] for r in offer(broker, *[task("n%d" % i, owner="ann") for i in range(100)])} == {OK}


@pytest.mark.parametrize("end", ["lease", "bye", "deadline"])
def test_whatever_ends_it_frees_its_owner(tmp_path, end):
    house = House(tmp_path, lease_ms=400)
    try:
        broker, worker = started(house)
        offer(broker, task("e1", owner="ann", crashes_max=1, **({"schedule_to_start_ms": 100} if end == "deadline" else {})))
        if end != "deadline":
            worker.claim()
        if end == "bye":
            broker.ask("CANCEL", {"id": "e1"})
            broker.ask("BYE", {"session": worker.session})
        until(lambda: stage_of(broker, "e1").get("ended_ms"))
        assert owned(house) == (0, 0)
    finally:
        house.close()


# ---- queues --------------------------------------------------------------------------------------


def test_a_queue_has_its_own_limit(house):
    broker, _ = started(house, queue_max=4, queue_limits="media=2")
    receipts = offer(broker, *[task("m%d" % i, "media.cut") for i in range(3)], service="media")
    assert [r["status"] for r in receipts] == [OK, OK, BUSY]
    assert (receipts[2]["scope"], receipts[2]["limit"], receipts[2]["current"]) == ("queue", 2, 2)
    receipts = offer(broker, *[task("s%d" % i) for i in range(5)])
    assert [r["status"] for r in receipts] == [OK] * 4 + [BUSY] and receipts[4]["limit"] == 4


@pytest.mark.parametrize("limits", ["media", "media=0", "media=1,media=2", "Media=1", "media=x"])
def test_a_wrong_limit_is_an_error_at_start(tmp_path, limits):
    done = subprocess.run([os.path.join(BIN, "gantry-state"), "--queue-limits=ok=5," + limits], cwd=tmp_path, text=True,
                          capture_output=True, timeout=20)
    assert done.returncode != 0 and "queue.limits" in done.stderr
    assert limits.split(",")[-1] in done.stderr


def all_but_submit_works(house, broker, worker, handouts, refused):
    assert refused() == BUSY
    done, cancelled, kept, again = handouts[:4]
    assert worker.beat(*[(h, {"progress": 0.5}) for h in handouts]).body["stale"] == []
    assert worker.done(worker.result(done, output={"text": "x"})).body[0]["status"] == OK
    assert worker.done(worker.result(again, "retry", retry_after_ms=1, checkpoint="here")).body[0]["status"] == OK
    assert broker.ask("CANCEL", {"id": cancelled["id"]}).status == OK
    assert worker.beat((cancelled, {}), (kept, {})).body["cancel"] == [cancelled["token"]]
    assert worker.done(worker.result(cancelled, "cancelled")).body[0]["status"] == OK
    assert broker.ask("RETURN", [kept]).body[0]["status"] == OK
    states = [stage_of(broker, handout["id"])["state"] for handout in (done, cancelled)]
    assert states == ["completed", "cancelled"]
    waiting = []

    def back():
        answer = worker.claim(n=50)
        waiting.extend(answer if isinstance(answer, list) else [])
        return {kept["id"], again["id"]} <= {handout["id"] for handout in waiting}
    until(back)
    assert broker.ask("LEDGER").body["balanced"]


def test_what_was_accepted_goes_on_while_its_queue_is_full(house):
    broker, worker = started(house, queue_max=4)
    offer(broker, *[task("q%d" % i) for i in range(4)])
    handouts = worker.claim(n=4)
    offer(broker, *[task("w%d" % i) for i in range(4)])
    all_but_submit_works(house, broker, worker, handouts, lambda: offer(broker, task("more"))[0]["status"])


def test_what_was_accepted_goes_on_while_redis_is_full(house):
    broker, worker = started(house)
    offer(broker, *[task("q%d" % i) for i in range(4)])
    handouts = worker.claim(n=4)
    offer(broker, *[task("w%d" % i, delay_ms=50 * (i % 2)) for i in range(4)])
    house.redis.client.config_set("maxmemory", 1)

    def refused():
        answer = broker.ask("SUBMIT", [task("more")], service="system")
        assert answer.body["scope"] == "redis memory" and answer.body["retry_after_ms"] > 0
        return answer.status
    all_but_submit_works(house, broker, worker, handouts, refused)
    until(lambda: house.redis.client.zcard("timers") == 0)  # what was scheduled comes to its queue
    house.redis.client.config_set("maxmemory", 0)
    receipt_of(broker, task("more"))
