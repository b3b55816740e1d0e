"""gantry-state as a broker meets it: real program, real Redis, the broker's end of the wire by hand."""
import signal
import socket
import time

import msgpack
import pytest

from functions_library import library_text
from state_house import (BUSY, CONFLICT, EMPTY, INVALID, MALFORMED, NOT_FOUND, OK, STALE, TIMEOUT, TOO_LARGE,
                         UNAVAILABLE, UNSUPPORTED, Broker, House, Redis, State, Worker, input_, node, task,
                         until)

ECHO = node("system.echo", input_("text", "text"), input_("n", "whole"))
TYPES = ("text", "path", "whole", "number", "switch", "list", "map", "any")
TYPED = node("system.typed", *[input_(t, t) for t in TYPES], input_("must", "text", True))


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    house.state()
    yield house
    house.close()


@pytest.fixture
def broker(house):
    return house.broker


@pytest.fixture
def worker(broker):
    worker = Worker(broker)
    worker.register(ECHO, TYPED)
    return worker


def submit(broker, *tasks, service="system", **more):
    answer = broker.ask("SUBMIT", list(tasks), service=service, **more)
    assert answer.status == OK, answer
    assert answer.count == len(tasks)
    return answer.body


def stage(broker, id_, name="system.echo", peer=0):
    answer = broker.ask("GET", {"id": id_}, peer=peer)
    assert answer.status == OK, answer
    return answer.body["stages"][name]


# ---- a task's way --------------------------------------------------------------------------------


def test_a_task_goes_from_submit_to_its_record(broker, worker):
    [receipt] = submit(broker, task("t1", input={"text": "hé"}, timeout_ms=5000, owner="ann"))
    assert receipt == {"status": 0, "id": "t1", "task": "system.echo", "state": "pending", "reuse": "miss",
                       "durability": "everysec"}
    assert stage(broker, "t1")["state"] == "pending"
    broker.expect(lambda: broker.ready)
    assert broker.ready[0][1] == "system"

    [handout] = worker.claim(n=5)
    assert handout["input"] == {"text": "hé"} and handout["attempt"] == 1 and handout["timeout_ms"] == 5000
    assert handout["session"] == worker.session and len(handout["token"]) == 12
    running = stage(broker, "t1")
    assert running["state"] == "running" and running["worker"] == "w1" and running["attempt"] == 1

    assert worker.beat((handout, {"progress": 0.25})).body == {"stale": [], "cancel": []}
    assert stage(broker, "t1")["progress"] == 0.25

    answer = worker.done(worker.result(handout, output={"text": "hé"}, usage={"wall_ms": 3}))
    assert answer.status == OK and answer.body == [{"status": 0, "id": "t1", "task": "system.echo"}]
    answer = broker.ask("GET", {"id": "t1"})
    record, done = answer.body, answer.body["stages"]["system.echo"]
    assert record["id"] == "t1" and record["status"] == "completed" and record["storage_path"] == "/share/workflows/t1"
    assert record["created_ms"] == done["created_ms"]
    assert done["state"] == "completed" and done["output"] == {"text": "hé"} and done["usage"] == {"wall_ms": 3}
    assert done["worker"] == "w1" and done["priority"] == "normal" and done["input"] == {"text": "hé"}
    assert done["created_ms"] <= done["started_ms"] <= done["ended_ms"]
    assert broker.ask("WAIT", {"id": "t1", "task": "system.echo"}).body == record


def test_one_message_of_many_and_many_messages_of_one(broker, worker):
    receipts = submit(broker, *[task("m%d" % i, input={"n": i}) for i in range(600)])
    assert [r["id"] for r in receipts] == ["m%d" % i for i in range(600)]
    requests = [broker.begin("SUBMIT", [task("s%d" % i, input={"n": i})], service="system") for i in range(600)]
    for i, request in enumerate(requests):
        answer = broker.end(request)
        assert answer.status == OK and answer.body[0]["id"] == "s%d" % i and answer.body[0]["state"] == "pending"

    handouts = worker.claim(n=1024)
    while len(handouts) < 1200:
        handouts += worker.claim(n=1024)
    assert sorted(h["id"] for h in handouts) == sorted(["m%d" % i for i in range(600)] + ["s%d" % i for i in range(600)])
    assert all(h["input"] == {"n": int(h["id"][1:])} for h in handouts)
    requests = [broker.begin("DONE", [worker.result(h, output={"n": h["id"]})]) for h in handouts]
    assert all(broker.end(r).body[0]["status"] == OK for r in requests)
    assert stage(broker, "m17")["output"] == {"n": "m17"}
    assert worker.claim(n=1024).status == EMPTY


def test_the_same_token_is_the_same_submit(broker, worker):
    assert submit(broker, task("r1"))[0]["reuse"] == "miss"
    assert submit(broker, task("r1"))[0]["reuse"] == "miss"
    again = submit(broker, task("r1", token=2), task("r1"))
    assert [r["reuse"] for r in again] == ["wait", "miss"]
    [handout] = worker.claim(n=10)
    worker.done(worker.result(handout, output={"text": "x"}))
    after = submit(broker, task("r1"), task("r1", token=3))
    assert [(r["reuse"], r["state"]) for r in after] == [("miss", "completed"), ("hit", "completed")]
    assert worker.claim().status == EMPTY

    submit(broker, task("r2"))
    [handout] = worker.claim()
    worker.done(worker.result(handout, "failed", error={"code": "FAILED", "message": "no"}))
    assert broker.ask("GET", {"id": "r2"}).body["status"] == "failed"
    assert stage(broker, "r2")["error"]["message"] == "no"
    assert submit(broker, task("r2", token=9))[0] == {"status": 0, "id": "r2", "task": "system.echo", "state": "pending",
                                                     "reuse": "miss", "durability": "everysec"}
    assert worker.claim()[0]["generation"] == 1


def test_a_result_is_kept_once(broker, worker):
    submit(broker, task("d1"))
    [handout] = worker.claim()
    for _ in range(2):  # its acknowledgement was lost
        assert worker.done(worker.result(handout, output={"text": "a"})).body[0]["status"] == OK
    late = dict(worker.result(handout, output={"text": "b"}), token=b"x" * 12)
    assert worker.done(late).body[0]["status"] == STALE
    assert stage(broker, "d1")["output"] == {"text": "a"}


def test_what_comes_back_is_handed_out_again(broker, worker):
    submit(broker, task("b1"))
    [handout] = worker.claim()
    assert broker.ask("RETURN", [handout]).body[0]["status"] == OK  # as the broker does: the body as it came
    assert broker.ask("RETURN", [handout]).body[0]["status"] == STALE
    [again] = worker.claim()
    assert again["id"] == "b1" and again["token"] != handout["token"]
    assert "crashes" not in stage(broker, "b1")


def test_a_claim_whose_answer_was_lost_comes_back(broker, worker):
    submit(broker, task("l1"))
    worker.claim()  # never seen by the worker
    answer = worker.beat(claim_open=worker.seq + 1)
    assert answer.body == {"stale": [], "cancel": []}
    [handout] = worker.claim()
    assert handout["id"] == "l1"
    gone = dict(handout, token=b"y" * 12)
    assert worker.beat((gone, {}), (handout, {})).body["stale"] == [b"y" * 12]


def test_priorities(broker, worker):
    for priority, id_ in ((2, "low"), (0, "normal"), (1, "high")):
        submit(broker, task(id_), priority=priority)
    assert [h["id"] for h in worker.claim(n=3)] == ["high", "normal", "low"]
    assert stage(broker, "low")["priority"] == "low"


def test_cancel(broker, worker):
    submit(broker, task("c1"), task("c2"))
    record = broker.ask("CANCEL", {"id": "c1"}).body
    assert record["status"] == "cancelled"
    [handout] = worker.claim(n=5)
    assert handout["id"] == "c2"
    assert broker.ask("CANCEL", {"id": "c2", "task": "system.echo"}).body["stages"]["system.echo"]["state"] == "cancelling"
    assert worker.beat((handout, {})).body["cancel"] == [handout["token"]]
    worker.done(worker.result(handout, output={"text": "too late"}))
    assert stage(broker, "c2")["state"] == "cancelled" and "output" not in stage(broker, "c2")
    assert broker.ask("CANCEL", {"id": "c2"}).status == OK
    assert broker.ask("CANCEL", {"id": "nobody"}).status == NOT_FOUND
    submit(broker, task("c3"))
    worker.done(worker.result(worker.claim()[0]))
    assert broker.ask("CANCEL", {"id": "c3"}).status == CONFLICT


def test_lists_and_queues(broker, worker):
    submit(broker, *[task("q%d" % i) for i in range(5)])
    submit(broker, task("q9"), priority=1)
    [handout] = worker.claim()
    [queue] = broker.ask("QUEUES").body
    assert queue == {"service": "system", "normal": 5, "high": 0, "low": 0, "running": 1}
    seen, cursor = [], ""
    for _ in range(20):
        answer = broker.ask("LIST", {"limit": 2, "cursor": cursor})
        assert answer.status == OK, answer
        seen += [(item["id"], item["state"]) for item in answer.body["items"]]
        cursor = answer.body["cursor"]
        if not cursor:
            break
    assert sorted(seen) == sorted([("q%d" % i, "pending") for i in range(5)] + [("q9", "running")])
    worker.done(worker.result(handout))
    [item] = broker.ask("LIST", {"state": "completed"}).body["items"]
    assert item["id"] == "q9" and item["task"] == "system.echo" and item["at_ms"] > 1600000000000
    nodes = {n["name"]: n for n in broker.ask("NODES").body}
    assert nodes["system.echo"] == dict(ECHO, available=False) and set(nodes) == {"system.echo", "system.typed"}


# ---- what is wrong -------------------------------------------------------------------------------


def test_nobody_has_registered(house):
    answer = house.broker.insist("SUBMIT", [task("t1")], service="system")
    [receipt] = answer.body
    assert receipt["status"] == NOT_FOUND and receipt["field"] == "task" and "no worker has ever registered" in receipt["message"]


@pytest.mark.parametrize("change, status, field", [
    ({"id": "../x"}, INVALID, "id"),
    ({"id": ""}, INVALID, "id"),
    ({"id": "a" * 129}, INVALID, "id"),
    ({"id": "pending"}, INVALID, "id"),
    ({"id": "a..b"}, INVALID, "id"),
    ({"id": "a\0b"}, INVALID, "id"),
    ({"id": 7}, INVALID, "id"),
    ({"id": None}, INVALID, "id"),
    ({"task": "System.echo"}, INVALID, "task"),
    ({"task": "echo"}, INVALID, "task"),
    ({"task": "ffmpeg.extract_audio"}, INVALID, "task"),
    ({"task": "system.nothing"}, NOT_FOUND, "task"),
    ({"token": b"short"}, INVALID, "token"),
    ({"token": b"x" * 17}, INVALID, "token"),
    ({"token": None}, INVALID, "token"),
    ({"callback": "ftp://x/"}, INVALID, "callback"),
    ({"callback": "http://x/ y"}, INVALID, "callback"),
    ({"callback": "http://x/" + "y" * 2040}, INVALID, "callback"),
    ({"reuse": "always"}, INVALID, "reuse"),
    ({"reuse": 1}, INVALID, "reuse"),
    ({"timeout_ms": -1}, INVALID, "timeout_ms"),
    ({"owner": "o" * 129}, INVALID, "owner"),
    ({"input": [1]}, INVALID, "input"),
    ({"input": {"wrong": 1}}, INVALID, "input.wrong"),
    ({"input": {"text": 1}}, INVALID, "input.text"),
    ({"input": {"n": 1.5}}, INVALID, "input.n"),
    ({"input": {1: 1}}, INVALID, "input"),
])
def test_wrong_items_are_refused_one_by_one(broker, worker, change, status, field):
    good, bad = task("good"), dict(task("bad"), **change)
    receipts = submit(broker, good, bad, task("good2"))
    assert [r["status"] for r in receipts] == [OK, status, OK]
    assert receipts[1]["field"] == field and receipts[1]["message"]
    assert sorted(h["id"] for h in worker.claim(n=5)) == ["good", "good2"]


RIGHT = {"text": ["", "x"], "path": ["a/b", "x" * 4095], "whole": [0, -5, 2 ** 63], "number": [1, -1, 0.5],
         "switch": [True, False], "list": [[], [1]], "map": [{}, {"a": 1}], "any": [1, "x", [1], {}]}
WRONG = {"text": [1, b"x", ["x"]], "path": ["", "x" * 4096, "a\0b", 5], "whole": [0.5, "1", True], "number": ["1", True, float("inf")],
         "switch": [0, "true"], "list": [{}, "x"], "map": [[], "x"], "any": []}


def test_inputs_by_their_type(broker, worker):
    right = [(t, v) for t in TYPES for v in RIGHT[t]] + [(t, None) for t in TYPES]
    wrong = [(t, v) for t in TYPES for v in WRONG[t]]
    tasks = [task("y%d" % i, "system.typed", input={t: v, "must": "x"}) for i, (t, v) in enumerate(right + wrong)]
    receipts = submit(broker, *tasks)
    for (type_, value), receipt in zip(right, receipts):
        assert receipt["status"] == OK, (type_, value, receipt)
    for (type_, value), receipt in zip(wrong, receipts[len(right):]):
        assert (receipt["status"], receipt["field"]) == (INVALID, "input." + type_), (type_, value)
    for given in ({}, {"must": None}, {"text": "x"}):
        [receipt] = submit(broker, task("miss", "system.typed", input=given))
        assert (receipt["status"], receipt["field"]) == (INVALID, "input.must")


@pytest.mark.parametrize("verb, raw, more, status", [
    ("SUBMIT", b"\xc1", {"count": 1, "service": "system"}, MALFORMED),
    ("SUBMIT", b"\xdd\x0f\xff\xff\xff", {"count": 1, "service": "system"}, MALFORMED),
    ("SUBMIT", b"", {"count": 1, "service": "system"}, MALFORMED),
    ("SUBMIT", b"\x80", {"count": 1, "service": "system"}, MALFORMED),
    ("SUBMIT", b"\x90", {"count": 0, "service": "system"}, INVALID),
    ("SUBMIT", b"\x91\x80", {"count": 2, "service": "system"}, INVALID),
    ("SUBMIT", b"\x91\x80", {"count": 1, "service": ""}, INVALID),
    ("SUBMIT", msgpack.packb([1] * 1025), {"count": 1025, "service": "system"}, TOO_LARGE),
    ("DONE", b"\x90", {"count": 0}, INVALID),
    ("RETURN", b"\xc0", {"count": 1}, MALFORMED),
    ("GET", b"", {}, MALFORMED),
    ("GET", b"\x80", {}, INVALID),
    ("GET", msgpack.packb({"id": "../x"}), {}, INVALID),
    ("GET", msgpack.packb({"id": "x", "task": "no"}), {}, INVALID),
    ("GET", msgpack.packb({"id": "x"}), {}, NOT_FOUND),
    ("WAIT", msgpack.packb({"id": "x"}), {}, NOT_FOUND),
    ("WAIT", msgpack.packb({"id": "x", "task": "system.echo"}), {}, NOT_FOUND),
    ("CANCEL", msgpack.packb({"id": 5}), {}, INVALID),
    ("LIST", msgpack.packb({"state": "odd"}), {}, INVALID),
    ("LIST", msgpack.packb({"limit": 1001}), {}, INVALID),
    ("LIST", msgpack.packb({"service": "Bad!"}), {}, INVALID),
    ("LIST", msgpack.packb({"cursor": "junk!"}), {}, INVALID),
    ("CLAIM", msgpack.packb({"session": b"s" * 16, "seq": 1}), {"count": 0, "service": "system"}, INVALID),
    ("CLAIM", msgpack.packb({"session": b"s" * 16, "seq": 1}), {"count": 1, "service": ""}, INVALID),
    ("CLAIM", msgpack.packb({"session": b"short", "seq": 1}), {"count": 1, "service": "system"}, INVALID),
    ("CLAIM", msgpack.packb({"session": b"s" * 16, "seq": 2 ** 60}), {"count": 1, "service": "system"}, INVALID),
    ("HEARTBEAT", msgpack.packb({"session": b"short", "claim_open": 1}), {}, INVALID),
    ("HEARTBEAT", msgpack.packb({"session": b"s" * 16, "claim_open": 1, "held": 3}), {}, INVALID),
    ("HEARTBEAT", msgpack.packb({"session": b"s" * 16, "claim_open": 1, "held": [{"id": "x"}]}), {}, INVALID),
    ("HEARTBEAT", msgpack.packb({"session": b"s" * 16, "claim_open": 1, "held": [{}] * 1025}), {}, TOO_LARGE),
    ("HEARTBEAT", msgpack.packb({"session": b"s" * 16, "claim_open": 1, "services": "system,Bad"}), {}, INVALID),
    ("HEARTBEAT", msgpack.packb({"session": b"s" * 16, "claim_open": 1, "services": ",".join(["s" * 32] * 20)}), {}, INVALID),
    ("HEARTBEAT", msgpack.packb({"session": b"s" * 16, "claim_open": 1, "worker": "two\nlines"}), {}, INVALID),
    ("BYE", msgpack.packb({}), {}, INVALID),
    ("REGISTER", msgpack.packb({"session": b"s" * 16, "nodes": 1}), {}, INVALID),
    ("REGISTER", msgpack.packb({"session": b"s" * 16, "nodes": [{"name": "bad"}]}), {}, INVALID),
    ("REGISTER", msgpack.packb({"session": b"s" * 16, "nodes": [node("a.b", input_("x", "odd"))]}), {}, INVALID),
    ("REGISTER", msgpack.packb({"session": b"s" * 16, "nodes": [node("a.b", doc="d" * 1025)]}), {}, INVALID),
    ("READY", b"", {}, UNSUPPORTED),
])
def test_wrong_messages_are_refused_whole(broker, worker, verb, raw, more, status):
    answer = broker.ask(verb, raw=raw, **more)
    assert answer.status == status, answer
    assert answer.body["message"]
    assert broker.ask("GET", {"id": "nobody"}).status == NOT_FOUND  # alive


def test_wrong_results_are_refused_one_by_one(broker, worker):
    submit(broker, task("w1"))
    [handout] = worker.claim()
    good = worker.result(handout)
    wrong = [dict(good, state="running"), dict(good, state="odd"), dict(good, token=b"x"), dict(good, session=b"x"),
             dict(good, id="../x"), dict(good, task="x"), dict(good, output=[1]), dict(good, error=5), 7, {}]
    statuses = [o["status"] for o in worker.done(*wrong, good).body]
    assert statuses == [INVALID] * 8 + [MALFORMED, INVALID, OK]


def nested(levels):
    value = {"end": 1}
    for _ in range(levels - 1):
        value = {"in": value}
    return value


def test_what_is_nested_too_deep_for_a_record_is_refused(broker, worker):
    receipts = submit(broker, *[task("n%d" % i, "system.typed", input={"must": "x", "map": nested(i)}) for i in (10, 11)])
    assert [r["status"] for r in receipts] == [OK, INVALID] and receipts[1]["field"] == "input"
    [handout] = worker.claim(n=2)
    assert worker.done(worker.result(handout, output=nested(12))).body[0]["status"] == INVALID
    assert worker.done(worker.result(handout, output=nested(11))).body[0]["status"] == OK
    assert stage(broker, "n10", "system.typed")["output"] == nested(11)


def test_a_full_queue_is_busy(house):
    house.states[0].stop()
    house.broker.peers.clear()
    house.states.clear()
    house.state(queue_max=3)
    worker = Worker(house.broker)
    worker.register(ECHO)
    receipts = submit(house.broker, *[task("f%d" % i) for i in range(5)])
    assert [r["status"] for r in receipts] == [OK] * 3 + [BUSY] * 2
    assert receipts[3]["scope"] == "queue" and receipts[3]["limit"] == 3 and receipts[3]["retry_after_ms"] > 0
    assert len(worker.claim(n=9)) == 3


def test_strangers_in_redis_break_nothing(house, broker, worker):
    client = house.redis.client
    client.hset("bodies", mapping={"junk/system.echo": "junk", "bare/system.echo": "junk", "junk": "junk", "": "junk"})
    client.hset("states", mapping={"junk/system.echo": "junk", "none/system.echo": "junk"})
    client.rpush("queue:system:normal", "junk", "", "junk/system.echo", "junk/system.echo 1", "no/system.echo", "bare/system.echo", b"\xff\xfe", "fine/system.echo 0")
    assert submit(broker, task("junk"))[0]["status"] == CONFLICT
    for id_ in ("junk", "none", "bare"):
        assert broker.ask("GET", {"id": id_}).status in (OK, NOT_FOUND)
    submit(broker, task("fine"))
    assert "fine" in [h["id"] for h in worker.claim(n=10)]


def test_handouts_that_do_not_fit_go_back(broker, worker):
    blob = "x" * 1000000
    for i in range(30):
        submit(broker, task("big%02d" % i, input={"text": blob}))
    first = worker.claim(n=30)
    assert 0 < len(first) < 30
    seen = [h["id"] for h in first]
    for _ in range(10):
        seen += [h["id"] for h in until(lambda: worker.claim(n=30))] if len(seen) < 30 else []
    assert seen == ["big%02d" % i for i in range(30)]  # in their order


# ---- waiting -------------------------------------------------------------------------------------


def test_a_wait_ends_with_the_stage_and_with_the_task(broker, worker):
    submit(broker, task("w1"), task("w1", "system.typed", input={"must": "x"}))
    one = broker.begin("WAIT", {"id": "w1", "task": "system.echo"})
    two = broker.begin("WAIT", {"id": "w1"})
    broker.pump(0.2)
    assert one not in broker.answers and two not in broker.answers
    handouts = {h["task"]: h for h in worker.claim(n=2)}
    worker.done(worker.result(handouts["system.echo"], output={"text": "x"}))
    record = broker.end(one).body
    assert record["status"] == "running"
    assert {name: s["state"] for name, s in record["stages"].items()} == {"system.echo": "completed", "system.typed": "running"}
    broker.pump(0.1)
    assert two not in broker.answers
    worker.done(worker.result(handouts["system.typed"], "skipped"))
    assert broker.end(two).body["status"] == "completed"


def test_a_wait_has_its_time(broker, worker):
    submit(broker, task("w1"))
    begun = time.monotonic()
    assert broker.ask("WAIT", {"id": "w1", "timeout_ms": 300}).status == TIMEOUT
    assert 0.29 <= time.monotonic() - begun < 1.5


def test_a_thousand_wait_for_one(broker, worker):
    submit(broker, task("w1"))
    requests = [broker.begin("WAIT", {"id": "w1", "task": "system.echo"}) for _ in range(1000)]
    broker.pump(0.2)
    worker.done(worker.result(worker.claim()[0]))
    assert all(broker.end(r).body["status"] == "completed" for r in requests)


def test_too_many_waits_are_busy(house):
    house.states[0].stop()
    house.broker.peers.clear()
    house.states.clear()
    house.state(state_waits_max=2)
    worker = Worker(house.broker)
    worker.register(ECHO)
    submit(house.broker, task("w1"))
    waits = [house.broker.begin("WAIT", {"id": "w1", "timeout_ms": 500}) for _ in range(3)]
    answer = house.broker.end(waits[2])
    assert answer.status == BUSY and answer.body["scope"] == "waits" and answer.body["limit"] == 2
    assert [house.broker.end(w).status for w in waits[:2]] == [TIMEOUT] * 2


# ---- several, and what dies ----------------------------------------------------------------------


def test_two_state_services_are_one(house, broker, worker):
    house.state()
    assert broker.insist("LEDGER", peer=1).status == OK  # it has come to Redis
    submit(broker, task("a1"), peer=1)
    broker.ready.clear()
    wait = broker.begin("WAIT", {"id": "a1"}, peer=1)
    [handout] = worker.claim(peer=0)
    assert broker.ask("CLAIM", {"session": b"z" * 16, "seq": 1}, service="system", count=1, peer=1).status == EMPTY
    worker.done(worker.result(handout, output={"text": "x"}), peer=0)
    assert broker.end(wait, 3).body["status"] == "completed"  # by the other one

    submit(broker, task("a2"), peer=0)
    broker.expect(lambda: len({peer for peer, _ in broker.ready}) == 2)  # both say READY
    answer = broker.ask("REGISTER", {"session": worker.session, "nodes": [node("system.late")]}, peer=0)
    assert answer.status == OK
    assert submit(broker, task("a3", "system.late"), peer=1)[0]["status"] == OK  # at once


def test_a_state_service_that_fell_behind_misses_no_end(house, broker, worker):
    """The stream of events is cut while one of two does not read it: the end it could not see is found all the same."""
    slow = house.state().process
    submit(broker, task("a1"))
    [handout] = worker.claim()
    wait = broker.begin("WAIT", {"id": "a1"}, peer=1)
    broker.pump(0.3)
    slow.send_signal(signal.SIGSTOP)
    try:
        house.redis.client.xadd("events", {"q": "none"})  # what its blocked read is given
        worker.done(worker.result(handout, output={"text": "x"}), peer=0)
        for _ in range(300):
            house.redis.client.xadd("events", {"q": "none"}, maxlen=256, approximate=False)
        assert wait not in broker.answers
    finally:
        slow.send_signal(signal.SIGCONT)
    assert broker.end(wait, 5).body["status"] == "completed"


def test_each_broker_hears_of_work(house):
    other = Broker(house.context, "ipc://states2", epoch=99)
    house.state("ipc://states", "ipc://states2")
    other.expect(lambda: other.peers)
    house.broker.expect(lambda: len(house.broker.peers) == 2)
    worker = Worker(other)
    worker.register(ECHO)
    submit(other, task("a1"))
    other.expect(lambda: other.ready)
    house.broker.expect(lambda: len(house.broker.ready) == 2)
    other.close()


def test_a_broker_with_a_longer_lease_is_named(tmp_path):
    house = House(tmp_path, lease_ms=1200)
    house.broker.lease_ms = 1201
    try:
        state = house.state()
        until(lambda: any("lease_ms_differs endpoint=ipc://states broker=1201 state=1200" in line for line in state.lines()))
    finally:
        house.close()


def test_a_silent_worker_loses_its_lease(tmp_path):
    house = House(tmp_path, lease_ms=1200)
    house.state()
    try:
        broker, worker = house.broker, Worker(house.broker)
        worker.register(ECHO)
        until(lambda: house.redis.client.get("swept_at"))
        submit(broker, task("s1"))
        for crashes in (1, 2):
            [handout] = worker.claim()
            assert handout["attempt"] == crashes
            broker.ready.clear()
            broker.expect(lambda: broker.ready, 8)  # it is back in its queue
            assert stage(broker, "s1")["state"] == "pending" and stage(broker, "s1")["crashes"] == crashes
            assert worker.done(worker.result(handout)).body[0]["status"] == STALE
        wait = broker.begin("WAIT", {"id": "s1"})
        [handout] = worker.claim()
        record = broker.end(wait).body
        assert record["status"] == "failed" and record["stages"]["system.echo"]["state"] == "quarantined"

        submit(broker, task("s2"))
        [handout] = worker.claim()
        end = time.monotonic() + 3
        while time.monotonic() < end:  # heartbeats keep it
            assert worker.beat((handout, {})).body["stale"] == []
            time.sleep(0.3)
        assert worker.done(worker.result(handout)).body[0]["status"] == OK
    finally:
        house.close()


def test_a_session_that_leaves_gives_back(broker, worker):
    submit(broker, task("g1"))
    worker.claim()
    assert broker.ask("BYE", {"session": worker.session}).status == OK
    assert worker.claim()[0]["id"] == "g1"


def test_redis_dies_and_comes_back(house, broker, worker):
    submit(broker, task("k1"), task("k2"))
    [first] = worker.claim()
    wait = broker.begin("WAIT", {"id": first["id"]})
    broker.pump(0.1)
    time.sleep(1.2)  # everysec
    house.redis.kill()
    until(lambda: broker.ask("GET", {"id": "k1"}).status == UNAVAILABLE)
    for verb, body, more in (("SUBMIT", [task("k3")], {"service": "system"}), ("GET", {"id": "k1"}, {}), ("LIST", {}, {}),
                             ("WAIT", {"id": "k1"}, {}), ("DONE", [worker.result(first)], {}), ("RETURN", [first], {}),
                             ("HEARTBEAT", {"session": worker.session, "claim_open": 2}, {}), ("QUEUES", None, {}),
                             ("CLAIM", {"session": worker.session, "seq": 9}, {"service": "system", "count": 1}),
                             ("NODES", None, {}), ("REGISTER", {"session": worker.session, "nodes": [ECHO]}, {}),
                             ("BYE", {"session": b"q" * 16}, {}), ("CANCEL", {"id": "k1"}, {})):
        answer = broker.ask(verb, body, **more)
        assert answer.status == UNAVAILABLE and answer.body["retry_after_ms"] == 500, (verb, answer)
    assert wait not in broker.answers
    house.redis.start()
    answer = broker.insist("DONE", [worker.result(first, output={"text": "x"})])
    assert answer.body[0]["status"] == OK
    assert broker.end(wait).body["status"] == "completed"  # it was parked all the while
    submit(broker, task("k3"))
    assert sorted(h["id"] for h in worker.claim(n=5)) == ["k2", "k3"]


def test_redis_dies_under_load(tmp_path):
    """Whatever moment it is: every request is answered once, and repeating under the same token ends well."""
    house = House(tmp_path, redis=("--appendfsync", "always"))  # everysec may lose its last second
    house.state()
    try:
        broker, worker = house.broker, Worker(house.broker)
        worker.register(ECHO)
        for turn in range(3):
            tasks = [task("u%d-%d" % (turn, i), input={"n": i}) for i in range(300)]
            requests = [broker.begin("SUBMIT", [t], service="system") for t in tasks]
            if turn:
                broker.pump(0)
            house.redis.kill()
            answers = [broker.end(r) for r in requests]
            assert all(a.status in (OK, UNAVAILABLE) for a in answers)
            house.redis.start()
            until(lambda: broker.ask("QUEUES").status == OK)
            for t in tasks:
                [receipt] = broker.insist("SUBMIT", [t], service="system").body
                assert receipt["status"] == OK and receipt["reuse"] == "miss"
            handouts = []
            while len(handouts) < len(tasks):
                handouts += worker.claim(n=300)
            assert sorted(h["id"] for h in handouts) == sorted(t["id"] for t in tasks)
            worker.done(*[worker.result(h) for h in handouts])
            assert worker.claim().status == EMPTY
    finally:
        house.close()


def test_a_redis_that_hangs_is_given_up(tmp_path):
    house = House(tmp_path, redis_timeout_ms=600)
    house.state()
    try:
        broker, worker = house.broker, Worker(house.broker)
        worker.register(ECHO)
        house.redis.process.send_signal(19)  # SIGSTOP
        begun = time.monotonic()
        answer = broker.ask("SUBMIT", [task("h1")], service="system")
        assert answer.status == UNAVAILABLE and 0.5 < time.monotonic() - begun < 3
        house.redis.process.send_signal(18)  # SIGCONT
        assert broker.insist("SUBMIT", [task("h1")], service="system").body[0]["status"] == OK
        assert len(worker.claim(n=5)) == 1  # although the first one ran as well
    finally:
        house.close()


def test_a_redis_that_is_slow_is_none_that_hangs(tmp_path):
    """Many calls wait for far longer than the timeout in all; each is answered a while after the one before."""
    house = House(tmp_path, redis_timeout_ms=1000)
    house.state()
    try:
        broker, worker = house.broker, Worker(house.broker)
        worker.register(ECHO)
        begins = b"local function register(keys, args)\n"
        text = library_text()
        assert text.count(begins) == 1
        house.redis.client.execute_command("FUNCTION", "LOAD", "REPLACE", text.replace(begins, begins + b"for _ = 1, 3e7 do end\n"))
        begun = time.monotonic()
        large = dict(ECHO, description="x" * 40000)  # so that Redis answers each before it reads the next
        asked = [broker.begin("REGISTER", {"session": worker.session, "nodes": [large]}) for _ in range(20)]
        assert [broker.end(request).status for request in asked] == [OK] * len(asked)
        assert time.monotonic() - begun > 1.5, "too fast to show anything"
    finally:
        house.close()


def test_the_functions_are_flushed(house, broker, worker):
    house.redis.client.execute_command("FUNCTION", "FLUSH")
    assert broker.ask("SUBMIT", [task("f1")], service="system").status == UNAVAILABLE
    assert broker.insist("SUBMIT", [task("f1")], service="system").body[0]["status"] == OK
    assert worker.claim()[0]["id"] == "f1"


def test_everything_is_flushed(house, broker, worker):
    submit(broker, task("e1"))
    house.redis.client.flushall()
    [receipt] = submit(broker, task("e2", "system.unheard"))
    assert receipt["status"] == NOT_FOUND
    worker.register(ECHO)
    submit(broker, task("e3"))
    wait = broker.begin("WAIT", {"id": "e3"})
    [handout] = worker.claim(n=5)
    worker.done(worker.result(handout))
    assert broker.end(wait).body["status"] == "completed"


def test_redis_becomes_a_replica(house, broker, worker):
    house.redis.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    until(lambda: broker.ask("SUBMIT", [task("p1")], service="system").status == UNAVAILABLE)
    house.redis.client.execute_command("REPLICAOF", "NO", "ONE")
    assert broker.insist("SUBMIT", [task("p1")], service="system").body[0]["status"] == OK


def test_redis_over_tcp_with_password_database_and_shard(tmp_path, monkeypatch):
    """Nobody listens at first; then the password is wrong; then all is well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    house = House(tmp_path)
    redis = None
    try:
        monkeypatch.setenv("REDIS_DB", "3")
        addr = "127.0.0.1:%d" % port
        wrong = State(addr, "ipc://states", name="wrong", redis_password="wrong")
        right = State(addr, "ipc://states", name="right", redis_password="secret", redis_shard="{g1}")
        house.states += [wrong, right]
        broker = house.broker
        broker.expect(lambda: len(broker.hellos) == 2)
        right_peer = [hello["pid"] for hello in broker.hellos].index(right.process.pid)
        answer = broker.ask("NODES", peer=right_peer)
        assert answer.status == UNAVAILABLE
        time.sleep(0.5)
        redis = Redis("tcp", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "secret", password="secret")
        assert broker.insist("NODES", peer=right_peer).body == []
        assert broker.ask("NODES", peer=1 - right_peer).status == UNAVAILABLE
        until(lambda: any("WRONGPASS" in line or "invalid" in line for line in wrong.lines()))
        answer = broker.ask("REGISTER", {"session": b"s" * 16, "nodes": [ECHO]}, peer=right_peer)
        assert answer.status == OK
        submit(broker, task("x1"), peer=right_peer)
        broker.expect(lambda: broker.ready)  # events are followed there as well
        redis.client.execute_command("SELECT", 3)
        keys = [key.decode() for key in redis.client.keys("*")]
        assert keys and all(key.startswith("{g1}") for key in keys), keys
    finally:
        house.close()
        if redis:
            redis.stop()


def test_redis_is_full(house, broker, worker):
    submit(broker, task("o1"))
    client = house.redis.client
    client.config_set("maxmemory", 1)
    answer = broker.ask("SUBMIT", [task("o2")], service="system")
    assert answer.status == BUSY and answer.body["scope"] == "redis memory" and answer.body["retry_after_ms"] > 0
    [handout] = worker.claim()
    assert worker.beat((handout, {"progress": 0.5})).status == OK
    assert worker.done(worker.result(handout)).body[0]["status"] == OK
    client.config_set("maxmemory", 0)
    assert submit(broker, task("o2"))[0]["status"] == OK


def test_a_redis_that_may_evict_is_warned_of(house, broker, worker):
    house.redis.client.config_set("maxmemory-policy", "allkeys-lru")
    assert not any("store_may_evict" in line for line in house.states[0].lines())
    other = house.state()
    until(lambda: any("store_may_evict" in line and "noeviction" in line for line in other.lines()))
    house.redis.client.config_set("maxmemory-policy", "noeviction")


def test_a_newer_library_is_left_alone(house, broker, worker):
    client = house.redis.client
    state = house.states[0]
    client.execute_command("FUNCTION", "LOAD", "REPLACE",
                           "#!lua name=gantry\nredis.register_function('gantry_version', function() return 9000000 end)")
    until(lambda: any("newer Gantry" in line for line in state.lines()))
    assert broker.ask("GET", {"id": "x"}).status == UNAVAILABLE
    client.execute_command("FUNCTION", "FLUSH")
    assert broker.insist("GET", {"id": "x"}).status == NOT_FOUND


def test_a_broker_that_comes_back_knows_nothing(house, broker, worker):
    submit(broker, task("n1"))
    wait = broker.begin("WAIT", {"id": "n1"})
    broker.pump(0.1)
    broker.close()
    again = house.broker = Broker(house.context, "ipc://states", epoch=78)
    again.request = wait - 1
    again.expect(lambda: again.peers)
    late = again.begin("GET", {"id": "nobody"})
    assert late == wait  # the same number means another request now
    assert again.end(late).status == NOT_FOUND
    worker.broker = again
    worker.done(worker.result(worker.claim()[0]))
    again.pump(0.3)
    assert list(again.answers) and again.answers[late].status == NOT_FOUND


def test_the_end_is_said(house, broker, worker):
    state = house.states[0]
    assert state.stop() == 0
    broker.expect(lambda: broker.left)
    assert broker.hellos[0]["role"] == "state"


def test_the_end_comes_though_redis_hangs_with_submits(house, broker, worker):
    """Some are on their way, and those behind them would wait for their answers."""
    house.redis.process.send_signal(19)  # SIGSTOP
    for i in range(8):
        broker.begin("SUBMIT", [task("t%d" % i)], service="system")
        broker.pump(0.05)
    assert house.states[0].stop() == 0
    house.redis.process.send_signal(18)
