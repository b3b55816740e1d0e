"""CreateTask and GetTaskStatus of the task service, by the wire and by Redis: the real gantry-state and redis-server, a broker
played by hand, and an outside processor that knows redis-py and nothing of Gantry.
"""
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid

import pytest
import redis

from state_house import (BUSY, CONFLICT, INVALID, NOT_FOUND, OK, TIMEOUT, UNAVAILABLE, Answer, House, Worker, a_house, broker, input_, node,
                         until)

DENIED = 13
PENDING, PROCESSING, COMPLETED, FAILED = range(4)  # seed: enum TaskStatus
FIELDS = {"task_id", "status", "original_file_path", "result_file_path", "error_message", "created_at", "updated_at"}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
VIDEO = b"a video, or so it says\n" * 100


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    os.makedirs("in")
    yield house
    house.close()


def start(house, **settings):
    state = house.state(**dict({"storage_local": "storage", "storage_input_roots": os.path.abspath("in")}, **settings))
    house.broker.insist("LEDGER", peer=len(house.states) - 1)
    return state


def a_file(name="in/temp.mp4", content=VIDEO):
    with open(name, "wb") as f:
        f.write(content)
    return os.path.abspath(name)


def token(n):
    return n.to_bytes(16, "big")


def create(broker, path, **more):
    seconds = more.pop("seconds", 15)
    peer = more.pop("peer", 0)
    return broker.ask("CREATE_TASK", {"temp_file_path": path, **more}, peer=peer, seconds=seconds)


def created(broker, path, **more):
    answer = create(broker, path, **more)
    assert answer.status == OK, answer
    return answer.body["task_id"]


def status_of(broker, id_, **more):
    return broker.ask("GET_TASK_STATUS", {"task_id": id_}, **more)


def hash_of(house, id_):
    return {k.decode(): v.decode() for k, v in house.redis.client.hgetall("task:" + id_).items()}


def pending(house):
    return [v.decode() for v in house.redis.client.lrange("task:pending", 0, -1)]


def place_of(id_):
    return os.path.abspath(f"storage/videos/{id_}/original.mp4")


def folders():
    return sorted(set(os.listdir("storage/videos")) - {".trash"}) if os.path.isdir("storage/videos") else []


class Outside:
    """A processor as the task service's document tells it: RPOP, HSET."""

    def __init__(self, address):
        self.redis = redis.Redis(unix_socket_path=address, decode_responses=True)

    def take(self):
        id_ = self.redis.rpop("task:pending")
        if id_:
            self.say(id_, status="PROCESSING")
        return id_

    def say(self, id_, **fields):
        self.redis.hset("task:" + id_, mapping={**fields, "updated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})


@pytest.fixture
def outside(house):
    return Outside(house.redis.addr)


# ---- what is made


def test_the_hash_and_the_list_are_the_task_services(house, broker):
    start(house)
    path = a_file()
    before = int(time.time()) - 1
    id_ = created(broker, path)
    assert uuid.UUID(id_).version == 4 and uuid.UUID(id_).variant == uuid.RFC_4122 and id_ == str(uuid.UUID(id_))
    record = hash_of(house, id_)
    assert set(record) == FIELDS
    assert record["task_id"] == id_ and record["status"] == "PENDING" and record["original_file_path"] == place_of(id_)
    assert record["result_file_path"] == record["error_message"] == ""
    assert record["created_at"] == record["updated_at"] and RFC3339.fullmatch(record["created_at"])
    import calendar
    made = calendar.timegm(time.strptime(record["created_at"], "%Y-%m-%dT%H:%M:%SZ"))
    assert before <= made <= time.time() + 1
    assert house.redis.client.type("task:" + id_) == b"hash" and house.redis.client.type("task:pending") == b"list"
    assert pending(house) == [id_] and house.redis.client.llen("task:pending") == 1
    assert open(place_of(id_), "rb").read() == VIDEO and not os.path.exists(path)
    assert os.listdir(os.path.dirname(place_of(id_))) == ["original.mp4"]
    answer = status_of(broker, id_)
    assert answer.status == OK
    assert answer.body == {"status": PENDING, "created_at": record["created_at"], "updated_at": record["created_at"]}


def test_first_in_first_out(house, broker, outside):
    start(house)
    ids = [created(broker, a_file(f"in/{i}.mp4", b"%d" % i)) for i in range(200)]
    assert house.redis.client.llen("task:pending") == 200
    assert pending(house) == ids[::-1]  # in on the left
    assert [outside.take() for _ in range(200)] == ids
    assert outside.take() is None
    assert [open(place_of(id_)).read() for id_ in ids] == [str(i) for i in range(200)]


def test_a_token_is_the_task(house, broker):
    start(house)
    path = a_file()
    id_ = created(broker, path, token=token(7))
    assert id_ == "00000000-0000-4000-8000-000000000007"
    for _ in range(3):  # the answer was lost; the file has gone by now
        assert created(broker, path, token=token(7)) == id_
    os.remove(place_of(id_))  # a processor may have been done with it
    assert created(broker, path, token=token(7)) == id_
    assert pending(house) == [id_]
    assert created(broker, a_file(), token=token(8)) != id_
    assert len(pending(house)) == 2
    same = a_file()
    assert created(broker, same) != created(broker, a_file())


def test_sixty_four_at_once(house, broker):
    start(house)
    paths = [a_file(f"in/{i}.mp4", b"%d" % i) for i in range(64)]
    requests = [broker.begin("CREATE_TASK", {"temp_file_path": p, "token": token(100 + i)}) for i, p in enumerate(paths)]
    ids = [broker.end(r).body["task_id"] for r in requests]
    assert len(set(ids)) == 64 and sorted(pending(house)) == sorted(ids) and folders() == sorted(ids)
    # one token, asked 64 times at once: one task, whoever is told to come again
    path = a_file("in/one.mp4")
    requests = [broker.begin("CREATE_TASK", {"temp_file_path": path, "token": token(1)}) for _ in range(64)]
    answers = [broker.end(r) for r in requests]
    assert {a.status for a in answers} <= {OK, BUSY} and OK in {a.status for a in answers}, answers
    assert all(a.body["scope"] in ("task", "creations") and a.body["retry_after_ms"] for a in answers if a.status == BUSY)
    one = created(broker, path, token=token(1))
    assert {a.body["task_id"] for a in answers if a.status == OK} == {one} and pending(house).count(one) == 1


def test_from_another_file_system(house, broker):
    local = f"/dev/shm/gantry-create-{os.getpid()}-{time.monotonic_ns()}"
    try:
        start(house, storage_local=local)
        path = a_file(content=os.urandom(3 << 20))
        content = open(path, "rb").read()
        id_ = created(broker, path, token=token(3))
        assert open(f"{local}/videos/{id_}/original.mp4", "rb").read() == content and not os.path.exists(path)
        assert os.listdir(f"{local}/videos/{id_}") == ["original.mp4"]
        assert hash_of(house, id_)["original_file_path"] == f"{local}/videos/{id_}/original.mp4"
        # and back again, when Redis does not take it
        house.redis.client.config_set("maxmemory", 1)
        path = a_file(content=content)
        answer = create(broker, path)
        assert answer.status == BUSY and answer.body["scope"] == "redis memory", answer
        assert open(path, "rb").read() == content and os.listdir(f"{local}/videos") == [id_]
    finally:
        house.redis.client.config_set("maxmemory", 0)
        shutil.rmtree(local, ignore_errors=True)


# ---- what is refused


def test_what_is_refused_names_the_field_and_leaves_nothing(house, broker):
    start(house)
    path = a_file()
    os.mkdir("elsewhere")
    outside = a_file("elsewhere/x.mp4")
    os.symlink(outside, "in/link.mp4")
    os.symlink(os.path.abspath("elsewhere"), "in/folder")
    os.mkdir("in-x")
    os.mkdir("in/sub")
    os.mkfifo("in/pipe")
    empty = a_file("in/empty.mp4", b"")
    id_ = created(broker, a_file("in/other.mp4"))
    here = os.path.abspath("in")
    for given, status in [("in/temp.mp4", INVALID), ("", INVALID), ("temp\0.mp4", INVALID), (f"{here}/a\0b", INVALID), (f"{here}/none.mp4", NOT_FOUND),
                          (f"{here}/none/none.mp4", NOT_FOUND), (outside, DENIED), (f"{here}/link.mp4", DENIED),
                          (f"{here}/folder/x.mp4", DENIED), (f"{here}/../elsewhere/x.mp4", DENIED), (a_file("in-x/x.mp4"), DENIED),
                          (f"{here}/pipe", INVALID), (here, DENIED), (f"{here}/sub", INVALID), (empty, INVALID), (f"{here}/{'n' * 300}", INVALID), ("/etc/passwd", DENIED),
                          (place_of(id_), DENIED)]:
        answer = create(broker, given)
        assert (answer.status, answer.body["field"]) == (status, "temp_file_path"), (given, answer)
        assert answer.body["message"]
    for body in ({}, {"temp_file_path": 7}, {"temp_file_path": "/" + "x" * 5000}):
        answer = broker.ask("CREATE_TASK", body)
        assert (answer.status, answer.body["field"]) == (INVALID, "temp_file_path"), answer
    answer = create(broker, path, token=b"short")
    assert (answer.status, answer.body["field"]) == (INVALID, "token"), answer
    assert folders() == [id_] and pending(house) == [id_] and os.path.exists(path) and os.path.exists(empty) and os.path.exists(outside)
    for bad, status in (("..", INVALID), ("", INVALID), ("pending", INVALID), (str(uuid.uuid4()), NOT_FOUND)):
        answer = status_of(broker, bad)
        assert (answer.status, answer.body["field"]) == (status, "task_id"), answer


def test_without_rights_to_move_it_is_denied(house, broker):
    if os.geteuid() == 0:
        pytest.skip("root may do anything")
    start(house)
    path = a_file()
    os.chmod("in", 0o555)
    try:
        answer = create(broker, path)
        assert (answer.status, answer.body["field"]) == (DENIED, "temp_file_path"), answer
        assert folders() == [] and os.path.exists(path)
    finally:
        os.chmod("in", 0o755)


def test_a_full_redis_and_keys_of_another_type_undo_it(house, broker):
    start(house)
    path = a_file()
    house.redis.client.config_set("maxmemory", 1)
    answer = create(broker, path, token=token(5))
    assert answer.status == BUSY and answer.body["scope"] == "redis memory" and answer.body["retry_after_ms"], answer
    assert os.path.exists(path) and folders() == []
    house.redis.client.config_set("maxmemory", 0)
    house.redis.client.set("task:pending", "not a list")
    answer = create(broker, path, token=token(5))
    assert answer.status == 15, answer
    assert os.path.exists(path) and folders() == [] and not house.redis.client.keys("task:0*")
    house.redis.client.delete("task:pending")
    assert created(broker, path, token=token(5)) in pending(house)


def test_a_place_that_was_taken_meanwhile_keeps_both_files(house, broker):
    """What is undone does not replace what stands there by now."""
    state = start(house)
    path = a_file()
    house.redis.process.send_signal(signal.SIGSTOP)
    request = broker.begin("CREATE_TASK", {"temp_file_path": path, "token": token(6)})
    broker.expect(lambda: not os.path.exists(path))
    a_file(content=b"another")
    house.redis.kill()
    answer = broker.end(request, 60)
    assert answer.status == UNAVAILABLE, answer
    assert open(path, "rb").read() == b"another"
    assert open(place_of("00000000-0000-4000-8000-000000000006"), "rb").read() == VIDEO
    assert any("video_left" in line for line in state.lines()), state.lines()
    house.redis.start()


# ---- kills


def again(house, path, n, state):
    """A killed service's call, made again: the same task, once."""
    state.process.wait()
    second = start(house)
    id_ = house.broker.insist("CREATE_TASK", {"temp_file_path": path, "token": token(n)}, peer=len(house.states) - 1).body["task_id"]
    assert pending(house) == [id_] and hash_of(house, id_)["status"] == "PENDING"
    assert open(place_of(id_), "rb").read() == VIDEO and not os.path.exists(path) and folders() == [id_]
    assert os.listdir(os.path.dirname(place_of(id_))) == ["original.mp4"]
    return second


@pytest.mark.parametrize("where", ["before_the_folder", "before_the_move", "after_the_move", "after_redis"])
def test_killed_at_each_step(house, broker, where):
    state = start(house)
    path = a_file()
    if where in ("after_the_move", "after_redis"):
        house.redis.process.send_signal(signal.SIGSTOP)  # what is sent to it waits
        broker.begin("CREATE_TASK", {"temp_file_path": path, "token": token(9)})
        broker.expect(lambda: not os.path.exists(path))
        if where == "after_redis":
            house.redis.process.send_signal(signal.SIGCONT)
            until(lambda: pending(house))
        state.process.kill()
        house.redis.process.send_signal(signal.SIGCONT)
    else:  # as it would have left things
        if where == "before_the_move":
            os.makedirs(os.path.dirname(place_of("00000000-0000-4000-8000-000000000009")))
        state.process.kill()
    again(house, path, 9, state)


def test_redis_dies_after_the_file_was_moved_and_comes_again(house, broker):
    """It is not known whether it was written: asked again, it is, and the answer is the task."""
    start(house)
    path = a_file()
    house.redis.process.send_signal(signal.SIGSTOP)
    request = broker.begin("CREATE_TASK", {"temp_file_path": path, "token": token(4)})
    broker.expect(lambda: not os.path.exists(path))
    house.redis.kill()
    house.redis.start()
    answer = broker.end(request, 60)
    assert answer.status in (OK, UNAVAILABLE), answer
    id_ = broker.insist("CREATE_TASK", {"temp_file_path": path, "token": token(4)}).body["task_id"]
    assert pending(house) == [id_] and os.path.exists(place_of(id_))


def test_redis_away_for_good_gives_the_file_back(house, broker):
    start(house, redis_timeout_ms=500)
    path = a_file()
    house.redis.process.send_signal(signal.SIGSTOP)
    request = broker.begin("CREATE_TASK", {"temp_file_path": path, "token": token(4)})
    broker.expect(lambda: not os.path.exists(path))
    house.redis.kill()
    answer = broker.end(request, 60)
    assert answer.status == UNAVAILABLE and answer.body["retry_after_ms"], answer
    assert open(path, "rb").read() == VIDEO and folders() == []
    answer = create(broker, path)
    assert answer.status == UNAVAILABLE and os.path.exists(path) and folders() == []
    house.redis.start()
    id_ = broker.insist("CREATE_TASK", {"temp_file_path": path, "token": token(4)}).body["task_id"]
    assert pending(house) == [id_]


# ---- an outside processor


def test_an_outside_processor(house, broker, outside):
    start(house)
    id_ = created(broker, a_file())
    record = broker.ask("GET", {"id": id_}).body
    stage = record["stages"]["video.process"]
    assert record["status"] == "pending" and stage["state"] == "pending" and stage["input"] == {"video_path": place_of(id_)}
    assert abs(record["created_ms"] / 1000 - time.time()) < 600
    (why,) = broker.ask("WHY", {"id": id_}).body
    assert why["reason"] == "external" and "task:pending" in why["text"]
    wait = broker.begin("WAIT", {"id": id_, "timeout_ms": 30000})
    assert outside.take() == id_
    assert status_of(broker, id_).body["status"] == PROCESSING
    stage = broker.ask("GET", {"id": id_}).body["stages"]["video.process"]
    assert stage["state"] == "running" and stage["worker"] == "external"
    (why,) = broker.ask("WHY", {"id": id_}).body
    assert why["reason"] == "external" and "task:" + id_ in why["text"] and why["state"] == "running"
    answer = broker.ask("CANCEL", {"id": id_})
    assert answer.status == CONFLICT and "outside" in answer.body["message"]
    answer = broker.ask("FORGET", {"id": id_})
    assert answer.status == CONFLICT, answer
    assert wait not in broker.answers
    outside.say(id_, status="COMPLETED", result_file_path="/out/result.mp4")
    seen = broker.end(wait)
    assert seen.status == OK and seen.body["status"] == "completed"
    assert seen.body["stages"]["video.process"]["output"] == {"result_file_path": "/out/result.mp4"}
    answer = status_of(broker, id_).body
    assert answer["status"] == COMPLETED and answer["result_file_path"] == "/out/result.mp4" and "error_message" not in answer
    ledger = broker.ask("LEDGER").body
    assert ledger["accepted"] == 0 and ledger["balanced"]  # it was never ours
    answer = broker.ask("FORGET", {"id": id_})
    assert answer.status == OK and {r["resource"]: r["status"] for r in answer.body["results"]}["redis"] == "deleted"
    assert hash_of(house, id_) == {} and status_of(broker, id_).status == NOT_FOUND


def test_an_outside_failure(house, broker, outside):
    start(house)
    id_ = created(broker, a_file())
    outside.take()
    outside.say(id_, status="FAILED", error_message="the model did not load")
    seen = broker.ask("WAIT", {"id": id_, "timeout_ms": 30000})
    assert seen.body["status"] == "failed"
    assert seen.body["stages"]["video.process"]["error"] == {"code": "FAILED", "message": "the model did not load"}
    answer = status_of(broker, id_).body
    assert answer["status"] == FAILED and answer["error_message"] == "the model did not load" and "result_file_path" not in answer


def test_cancel_and_forget_of_what_nobody_has_taken(house, broker, outside):
    start(house)
    first, second, third = [created(broker, a_file(f"in/{i}.mp4")) for i in range(3)]
    queues = {q["service"]: q for q in broker.ask("QUEUES").body}
    assert queues["video"]["normal"] == 3 and queues["video"]["running"] == 0
    answer = broker.ask("CANCEL", {"id": second})
    assert answer.status == OK and answer.body["status"] == "cancelled", answer
    assert broker.ask("CANCEL", {"id": second}).status == OK
    assert status_of(broker, second).body["status"] == FAILED and status_of(broker, second).body["error_message"] == "cancelled"
    assert pending(house) == [third, first]
    assert broker.ask("FORGET", {"id": first}).status == CONFLICT
    assert broker.ask("FORGET", {"id": first, "force": True}).status == OK
    assert pending(house) == [third] and hash_of(house, first) == {}
    assert outside.take() == third
    assert house.redis.client.rpop("task:pending") is None
    taken = created(broker, a_file())
    house.redis.client.rpop("task:pending")  # taken, and not said yet
    assert broker.ask("CANCEL", {"id": taken}).status == CONFLICT


def test_whatever_stands_in_the_hash_is_answered(house, broker):
    start(house)
    client = house.redis.client
    client.hset("task:odd", mapping={"status": "working on it", "original_file_path": "/x"})
    answer = status_of(broker, "odd")
    assert (answer.status, answer.body["field"]) == (CONFLICT, "status") and "working on it" in answer.body["message"]
    assert broker.ask("GET", {"id": "odd"}).body["stages"]["video.process"]["state"] == "running"
    assert broker.ask("WAIT", {"id": "odd", "timeout_ms": 100}).status == TIMEOUT
    client.hset("task:bare", mapping={"status": "COMPLETED"})
    assert status_of(broker, "bare").body == {"status": COMPLETED}
    assert broker.ask("GET", {"id": "bare"}).body["status"] == "completed"
    huge = b"\xff\0\xc3\xa9" + b"x" * 5000000
    client.hset("task:huge", mapping={"status": "FAILED", "error_message": huge, "created_at": huge, "updated_at": "yesterday", "result_file_path": huge,
                                      "original_file_path": huge})
    answer = status_of(broker, "huge")
    assert answer.status == OK and answer.body["status"] == FAILED and answer.body["error_message"].startswith("??é" + "x" * 100)
    assert len(answer.body["error_message"].encode()) <= 4096 and answer.body["updated_at"] == "yesterday"
    answer = broker.ask("GET", {"id": "huge"})
    assert answer.status == OK and answer.body["status"] == "failed" and "created_ms" not in answer.body
    client.hset("task:bad", mapping={"status": b"\xff\xfe", "updated_at": "2026-13-99T99:99:99Z"})
    assert status_of(broker, "bad").status == CONFLICT
    for key in ("string", "list"):
        client.set("task:string", "x") if key == "string" else client.lpush("task:list", "x")
        for verb, body in (("GET", {"id": key}), ("GET_TASK_STATUS", {"task_id": key}), ("WHY", {"id": key}), ("CANCEL", {"id": key}),
                           ("FORGET", {"id": key}), ("WAIT", {"id": key, "timeout_ms": 100})):
            assert broker.ask(verb, body).status == NOT_FOUND, (key, verb)
    for verb in ("GET", "WHY", "CANCEL"):
        broker.ask(verb, {"id": "huge"})
    assert broker.ask("LEDGER").status == OK


def test_a_push_from_outside_is_noticed(house, broker):
    """Somebody else makes tasks too: within a second or so brokers are told that video has work."""
    start(house)
    broker.pump(0.3)
    broker.ready.clear()
    house.redis.client.hset("task:theirs", mapping={"task_id": "theirs", "status": "PENDING", "original_file_path": "/v.mp4"})
    house.redis.client.lpush("task:pending", "theirs")
    broker.expect(lambda: any(service == "video" for _, service in broker.ready))


# ---- our own workers


@pytest.fixture
def worker(house, broker):
    start(house)
    worker = Worker(broker)
    worker.register(node("video.process", input_("video_path", "path", True), outputs=["result_file_path"], key=["result_file_path"]))
    return worker


def test_a_worker_of_ours_adopts_them_in_order(house, broker, worker):
    ids = [created(broker, a_file(f"in/{i}.mp4")) for i in range(5)]
    handouts = worker.claim("video", 3)
    assert [h["id"] for h in handouts] == ids[:3] and {h["task"] for h in handouts} == {"video.process"}
    assert handouts[0]["input"] == {"video_path": place_of(ids[0])} and handouts[0]["attempt"] == 1
    assert pending(house) == [ids[4], ids[3]]
    assert [hash_of(house, i)["status"] for i in ids] == ["PROCESSING"] * 3 + ["PENDING"] * 2
    ledger = broker.ask("LEDGER").body
    assert ledger["accepted"] == 3 and ledger["running"] == 3 and ledger["balanced"]
    assert worker.done(worker.result(handouts[0], output={"result_file_path": "/r.mp4", "other_path": "/o"})).status == OK
    assert worker.done(worker.result(handouts[1], state="failed", error={"code": "FAILED", "message": "no video"})).status == OK
    assert worker.done(worker.result(handouts[2], output={"b_path": "/b", "a_path": "/a", "n": 1})).status == OK
    told = [hash_of(house, i) for i in ids[:3]]
    assert [(t["status"], t["result_file_path"], t["error_message"]) for t in told] == \
        [("COMPLETED", "/r.mp4", ""), ("FAILED", "", "no video"), ("COMPLETED", "/a", "")]
    assert all(RFC3339.fullmatch(t["updated_at"]) and t["original_file_path"] == place_of(i) for t, i in zip(told, ids))
    assert status_of(broker, ids[1]).body["error_message"] == "no video"
    assert broker.ask("GET", {"id": ids[0]}).body["stages"]["video.process"]["state"] == "completed"
    assert broker.ask("REPLAY", {"id": ids[1], "task": "video.process"}).status == OK
    assert (hash_of(house, ids[1])["status"], hash_of(house, ids[1])["error_message"]) == ("PENDING", "")
    assert [h["id"] for h in worker.claim("video", 1)] == [ids[1]]  # what stands in the queue goes first
    assert hash_of(house, ids[1])["status"] == "PROCESSING" and len(pending(house)) == 2


def test_retry_return_and_cancel_are_told(house, broker, worker):
    id_ = created(broker, a_file())
    (handout,) = worker.claim("video")
    worker.done(worker.result(handout, state="retry", error={"code": "FAILED", "message": "once more"}, retry_after_ms=1))
    assert hash_of(house, id_)["status"] == "PENDING"
    handouts = until(lambda: [h for h in [worker.claim("video")] if isinstance(h, list)] or broker.pump(0.05))[0]
    assert handouts[0]["attempt"] == 2 and hash_of(house, id_)["status"] == "PROCESSING"
    broker.ask("RETURN", handouts)
    assert hash_of(house, id_)["status"] == "PENDING"
    (handout,) = worker.claim("video")
    answer = broker.ask("CANCEL", {"id": id_})
    assert answer.body["stages"]["video.process"]["state"] == "cancelling" and hash_of(house, id_)["status"] == "PROCESSING"
    worker.done(worker.result(handout, state="cancelled"))
    assert (hash_of(house, id_)["status"], hash_of(house, id_)["error_message"]) == ("FAILED", "cancelled")
    assert status_of(broker, id_).body["status"] == FAILED
    assert broker.ask("FORGET", {"id": id_}).status == OK and hash_of(house, id_) == {} and folders() == []


def test_what_is_no_task_is_dropped_and_told_of(house, broker, worker):
    client = house.redis.client
    client.lpush("task:pending", "nothing", "../../etc", b"\xff\xfe", "done")
    client.hset("task:done", mapping={"task_id": "done", "status": "COMPLETED"})
    id_ = created(broker, a_file())
    client.lpush("task:pending", id_)  # twice
    state = house.states[0]
    time.sleep(0)
    until(lambda: broker.pump(0.05) or client.llen("task:pending"))
    assert [h["id"] for h in worker.claim("video", 64)] == [id_]
    assert pending(house) == []
    assert [e.split(b" ", 1)[0] for e in client.lrange("created_dropped", 0, -1)] == [id_.encode(), b"done", b"\xff\xfe", b"../../etc", b"nothing"]
    ledger = broker.ask("LEDGER").body
    assert ledger["accepted"] == 1 and ledger["balanced"]
    until(lambda: broker.pump(0.05) or any("created_dropped" in line for line in state.lines()))


def test_tasks_without_a_hash_are_told_in_the_same_words(house, broker):
    start(house)
    worker = Worker(broker)
    worker.register(node("system.echo"))

    def submit(id_, n):
        assert broker.ask("SUBMIT", [{"id": id_, "task": "system.echo", "token": token(n)}], service="system").body[0]["status"] == OK

    submit("a", 1)
    assert status_of(broker, "a").body["status"] == PENDING
    (handout,) = worker.claim("system")
    assert status_of(broker, "a").body["status"] == PROCESSING
    worker.done(worker.result(handout, output={"n": 1, "audio_path": "/a.wav"}))
    answer = status_of(broker, "a").body
    assert answer["status"] == COMPLETED and answer["result_file_path"] == "/a.wav" and RFC3339.fullmatch(answer["updated_at"])
    submit("b", 2)
    broker.ask("CANCEL", {"id": "b"})
    answer = status_of(broker, "b").body
    assert (answer["status"], answer["error_message"]) == (FAILED, "cancelled")
    submit("c", 3)
    (handout,) = worker.claim("system")
    worker.done(worker.result(handout, state="failed", error={"code": "FAILED", "message": "broken"}))
    answer = status_of(broker, "c").body
    assert (answer["status"], answer["error_message"]) == (FAILED, "broken")
