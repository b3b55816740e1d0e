"""Created tasks in the Redis functions: the task service's HASH and LIST, adoption by a claim, and that whatever becomes of the
stage is told there; whatever an outsider writes.
"""
import datetime
import struct
import time

import pytest
import redis

from functions_library import (CANCELLED, CANCELLING, COMPLETED, FAILED, LEASE_MS, OK, PENDING, RETRY, RETURN, RUNNING, SKIPPED, SNOOZE,
                               read_body, server, sid_of)
from functions_tools import Tools

NOT_FOUND, CONFLICT = 2, 3
LIMITS = struct.pack(">BBBHBI", 0xcc, 3, 0xcd, 2, 0xce, 1)
NODE = "video.process"


class Created(Tools):
    def create(self, *ids, path="/in/%s.mp4"):
        for id_ in ids:
            assert self.call("create", id_, path % id_) == 1

    def adopt(self, n=1, sid=0, limits=LIMITS):
        """A claim that brings the limits, again while there is more."""
        self.calls += 1
        more, token8, *flat = self.call("claim", sid_of(sid), "video", n, 1, LEASE_MS, 0, struct.pack(">Q", self.calls), "w", limits)
        out = []
        for i in range(0, len(flat), 3):
            id_, task = flat[i].decode().split("/")
            out.append({"id": id_, "task": task, "token": token8 + struct.pack(">I", i // 3), "body": flat[i + 1]})
        return self.adopt(n, sid, limits) if more else out

    def fields(self, id_):
        return {k.decode(): v.decode() for k, v in self.redis.hgetall(self.key("task:" + id_)).items()}

    def status(self, id_):
        told = self.fields(id_)
        return told["status"], told["result_file_path"], told["error_message"]

    def waiting(self):
        return [v.decode() for v in self.redis.lrange(self.key("task:pending"), 0, -1)]

    def dropped(self):
        return [v.decode() for v in self.redis.lrange(self.key("created_dropped"), 0, -1)]


@pytest.fixture(params=["", "{g1}"])
def gantry(server, request):
    server.flushall()
    gantry = Created(server, request.param)
    gantry.know(NODE)
    return gantry


def test_it_is_made_once(gantry):
    gantry.create("v1")
    told = gantry.fields("v1")
    assert list(told) == ["task_id", "status", "original_file_path", "result_file_path", "error_message", "created_at", "updated_at"]
    assert told["task_id"] == "v1" and told["status"] == "PENDING" and told["original_file_path"] == "/in/v1.mp4"
    assert abs(datetime.datetime.fromisoformat(told["created_at"].replace("Z", "+00:00")).timestamp() - time.time()) < 5
    assert gantry.call("create", "v1", "/elsewhere.mp4") == 0
    assert gantry.fields("v1") == told and gantry.waiting() == ["v1"]
    assert [f[b"q"] for f in gantry.events()] == [b"video"]
    assert gantry.call("created") == [1, 0, b""]
    assert gantry.balanced()["accepted"] == 0


@pytest.mark.parametrize("args", [(), ("v1",), ("v1", ""), ("", "/x"), ("../x", "/x"), ("pending", "/x"), ("a..b", "/x"), ("v1", "/x", "y"),
                                  ("x" * 129, "/x"), ("v1", "/" + "x" * 4096)])
def test_wrong_arguments(gantry, args):
    with pytest.raises(redis.ResponseError, match="gantry_create"):
        gantry.call("create", *args)
    assert gantry.waiting() == []


def test_keys_of_another_type_are_left_alone(gantry):
    gantry.redis.set(gantry.key("task:v1"), "x")
    with pytest.raises(redis.ResponseError):
        gantry.call("create", "v1", "/x")
    gantry.redis.set(gantry.key("task:pending"), "x")
    with pytest.raises(redis.ResponseError):
        gantry.call("create", "v2", "/x")
    assert gantry.fields("v2") == {} and gantry.call("created") == [0, 0, b""]
    assert gantry.adopt() == [] and gantry.call("queues") == []
    assert gantry.get("v1") == {} and gantry.call("forget", "v1", 0) == [NOT_FOUND, 0]


def test_days_of_the_calendar(gantry):
    """As Python counts them."""
    moments = [0, 951782399, 951782400, 951868800, 1709164800, 1709251200, 1735689599, 4107542400, 1900000000] + [86400 * n * 37 + n for n in range(0, 900, 7)]
    for s in moments:
        text = datetime.datetime.fromtimestamp(s, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        gantry.redis.hset(gantry.key("task:d"), mapping={"status": "PENDING", "created_at": text})
        assert read_body(gantry.get("d")[NODE]["body"])[0] == s * 1000, text
    for text, ms in [("2026-01-31T03:00:00+02:00", 1769821200000), ("2026-01-31t03:00:00.123456z", 1769828400000), ("2026-01-31 03:00:00-00:30", 1769830200000),
                     ("yesterday", 0), ("", 0), ("2026-01-31T03:00:00", 0), ("2026-01-31", 0), ("0000-00-00T00:00:00Z", 0)]:
        gantry.redis.hset(gantry.key("task:d"), "created_at", text)
        assert read_body(gantry.get("d")[NODE]["body"])[0] == ms, text


def test_what_an_outside_processor_says_reads_as_a_stage(gantry):
    gantry.create("v1")
    key = gantry.key("task:v1")
    stage = gantry.get("v1")[NODE]
    assert stage["state"] == PENDING and read_body(stage["body"])[1] == 24 and read_body(stage["body"])[5]["input"] == {"video_path": "/in/v1.mp4"}
    gantry.redis.hset(key, mapping={"status": "PROCESSING", "updated_at": "2026-01-31T03:00:00Z"})
    stage = gantry.get("v1")[NODE]
    assert (stage["state"], stage["worker"], stage["started_ms"], stage["attempt"]) == (RUNNING, "external", 1769828400000, 1)
    gantry.redis.hset(key, mapping={"status": "COMPLETED", "result_file_path": "/r.mp4"})
    stage = gantry.get("v1")[NODE]
    assert (stage["state"], stage["output"], stage["ended_ms"]) == (COMPLETED, {"result_file_path": "/r.mp4"}, 1769828400000)
    gantry.redis.hset(key, mapping={"status": "FAILED", "error_message": "no"})
    assert gantry.get("v1")[NODE]["error"] == {"code": "FAILED", "message": "no"}
    gantry.redis.hset(key, "status", "Done")
    assert gantry.state("v1", NODE) == RUNNING
    assert gantry.call("task_status", "v1")[:2] == [b"hash", b"Done"]
    assert gantry.get("v1", "a.x") == {} and set(gantry.get("v1", NODE)) == {NODE}
    gantry.put("v1")
    assert set(gantry.get("v1")) == {"a.x", NODE}  # beside stages of ours
    gantry.check()


def test_any_bytes_come_out_fit_for_a_message(gantry):
    for said, told in [(b"\xff", "?"), (b"\xc3\xa9", "\u00e9"), (b"\xc3", "?"), (b"\xe4\xb8\xad\xe6", "\u4e2d?"), (b"\xf0\x9f\x8e\xac", "\U0001f3ac"), (b"\xed\xa0\x80", "???"),
                       (b"\xc0\xaf", "??"), (b"\xf4\x90\x80\x80", "????"), (b"\xe0\x80\x80x", "???x"), (b"a\0b", "a?b"), (b"\xf0\x9f\x8ex", "???x"),
                       (b"x" * 5000, "x" * 4096)]:
        gantry.redis.hset(gantry.key("task:b"), mapping={"status": "FAILED", "error_message": said, "original_file_path": said})
        assert gantry.get("b")[NODE]["error"]["message"] == told
        assert read_body(gantry.get("b")[NODE]["body"])[5]["input"]["video_path"] == told
        assert gantry.call("task_status", "b")[3].decode() == told


# ---- adoption


def test_a_claim_adopts_the_oldest(gantry):
    gantry.create("v1", "v2", "v3")
    handouts = gantry.adopt(2)
    assert [h["id"] for h in handouts] == ["v1", "v2"] and gantry.waiting() == ["v3"]
    created, flags, crashes, failures, retry, said, token = read_body(handouts[0]["body"])
    assert (flags, crashes, failures, retry) == (8, 3, 2, 1) and said == {"input": {"video_path": "/in/v1.mp4"}, "priority": "normal"}
    assert [gantry.status(i)[0] for i in ("v1", "v2", "v3")] == ["PROCESSING", "PROCESSING", "PENDING"]
    books = gantry.balanced()
    assert (books["accepted"], books["running"]) == (2, 2)
    gantry.check()


def test_only_as_many_as_are_wanted(gantry):
    gantry.put("s1", "s2", task=NODE)
    gantry.create("v1", "v2", "v3")
    assert [h["id"] for h in gantry.adopt(1)] == ["s1"] and len(gantry.waiting()) == 3
    assert [h["id"] for h in gantry.adopt(3)] == ["s2", "v1", "v2"] and gantry.waiting() == ["v3"]
    gantry.check()


def test_who_does_not_bring_limits_adopts_nothing(gantry):
    gantry.create("v1")
    assert gantry.claim(5, service="video") == [] and gantry.waiting() == ["v1"]
    gantry.call("pause", "video")
    assert gantry.adopt() == [] and gantry.waiting() == ["v1"]
    gantry.call("resume", "video")
    gantry.redis.hdel(gantry.key("nodes"), NODE)
    assert gantry.adopt() == [] and gantry.waiting() == ["v1"]
    with pytest.raises(redis.ResponseError, match="number of arguments"):
        gantry.call("claim", sid_of(0), "a", 1, 1, LEASE_MS, 0, b"12345678", "w", LIMITS)
    gantry.redis.hset(gantry.key("nodes"), NODE, b"\x80")
    with pytest.raises(redis.ResponseError, match="limits"):
        gantry.adopt(limits=b"short")
    assert gantry.waiting() == ["v1"]


def test_what_is_no_task_that_waits_is_dropped_and_kept_to_be_seen(gantry):
    gantry.create("v1")
    (taken,) = gantry.adopt()
    gantry.redis.lpush(gantry.key("task:pending"), "none", "..", "v1", b"\xff" * 200)
    gantry.redis.hset(gantry.key("task:done"), mapping={"status": "COMPLETED"})
    gantry.redis.lpush(gantry.key("task:pending"), "done")
    gantry.create("v2")
    assert [h["id"] for h in gantry.adopt(9, sid=1)] == ["v2"]
    count, latest = gantry.call("created")[1:]
    assert count == 5 and latest == b"done its status is COMPLETED"
    assert gantry.redis.llen(gantry.key("created_dropped")) == 5
    assert gantry.status("v1")[0] == "PROCESSING"
    gantry.check()


def test_a_stage_that_was_submitted_by_hand_becomes_the_tasks(gantry):
    gantry.create("v1", "v2", "v3")
    gantry.put("v1", "v2", task=NODE)
    assert [h["id"] for h in gantry.claim(1, service="video")] == ["v1"]  # runs already
    assert gantry.adopt(3, sid=1)[0]["id"] == "v2"
    assert gantry.status("v1")[0] == "PROCESSING" and gantry.status("v2")[0] == "PROCESSING" and gantry.status("v3")[0] == "PROCESSING"
    handout = {"id": "v1", "task": NODE, "token": struct.pack(">QI", 1, 0)}
    assert gantry.finish((handout, COMPLETED, {"output": {"result_file_path": "/r"}})) == [OK]
    assert gantry.status("v1") == ("COMPLETED", "/r", "")
    gantry.check()


# ---- told


@pytest.mark.parametrize("state,tail,told", [
    (COMPLETED, {"output": {"result_file_path": "/r", "a_path": "/a"}}, ("COMPLETED", "/r", "")),
    (COMPLETED, {"output": {"b_path": "/b", "a_path": "/a", "c": 1}}, ("COMPLETED", "/a", "")),
    (COMPLETED, {"output": {"n": 1}}, ("COMPLETED", "", "")),
    (COMPLETED, {}, ("COMPLETED", "", "")),
    (SKIPPED, {"output": {"x_path": "/x"}}, ("COMPLETED", "/x", "")),
    (FAILED, {"error": {"code": "FAILED", "message": "why"}}, ("FAILED", "", "why")),
    (FAILED, {}, ("FAILED", "", "failed")),
    (CANCELLED, {}, ("FAILED", "", "cancelled"))])
def test_its_end_is_told(gantry, state, tail, told):
    gantry.create("v1")
    (handout,) = gantry.adopt()
    before = gantry.fields("v1")
    assert gantry.finish((handout, state, tail)) == [OK]
    assert gantry.status("v1") == told
    after = gantry.fields("v1")
    assert after["updated_at"] >= before["updated_at"] and {k: after[k] for k in ("task_id", "original_file_path", "created_at")} == \
        {k: before[k] for k in ("task_id", "original_file_path", "created_at")}
    gantry.check()


@pytest.mark.parametrize("how", [RETURN, RETRY, SNOOZE])
def test_going_back_is_told(gantry, how):
    gantry.create("v1")
    (handout,) = gantry.adopt()
    assert gantry.put_back((handout, how, "" if how == RETURN else "5", {"error": {"code": "FAILED"}})) == [OK]
    assert gantry.status("v1") == ("PENDING", "", "")
    if how != RETURN:
        gantry.due("v1/%s 1" % NODE)
        gantry.timers()
    (handout,) = gantry.adopt()
    assert gantry.status("v1")[0] == "PROCESSING"
    if how == RETRY:
        assert gantry.put_back((handout, RETRY, "5", {"error": {"code": "FAILED", "message": "twice"}})) == [OK]
        assert gantry.status("v1") == ("FAILED", "", "twice")
        assert gantry.call("replay", "v1", NODE, 100)[0] == OK
        assert gantry.status("v1") == ("PENDING", "", "")
    gantry.check()


def test_a_lost_lease_and_the_end_of_a_session_are_told(gantry):
    gantry.create("v1", "v2", "v3")
    gantry.adopt(3)
    gantry.heartbeat(sid=0, claim_open=2)  # the claim's answer was lost
    assert {gantry.status(i)[0] for i in ("v1", "v2", "v3")} == {"PENDING"}
    for _ in range(3):
        gantry.adopt(3)
        assert {gantry.status(i)[0] for i in ("v1", "v2", "v3")} == {"PROCESSING"}
        gantry.lapse(0)
        gantry.sweep()
    assert {gantry.status(i)[:2] for i in ("v1", "v2", "v3")} == {("FAILED", "")} and "lease was lost" in gantry.status("v1")[2]
    gantry.create("v4")
    gantry.adopt()
    gantry.call("bye", sid_of(0))
    assert gantry.status("v4")[0] == "PENDING"
    gantry.check()


def test_cancel_is_told(gantry):
    gantry.create("v1", "v2", "v3")
    (handout,) = gantry.adopt()
    gantry.give_back(handout)
    assert gantry.cancel("v1")[NODE]["state"] == CANCELLED and gantry.status("v1") == ("FAILED", "", "cancelled")  # it waited in a queue
    (handout,) = gantry.adopt()
    assert gantry.cancel("v2")[NODE]["state"] == CANCELLING and gantry.status("v2")[0] == "PROCESSING"
    gantry.finish((handout, COMPLETED))
    assert gantry.status("v2") == ("FAILED", "", "cancelled")
    assert gantry.cancel("v3")[NODE]["state"] == CANCELLED and gantry.status("v3") == ("FAILED", "", "cancelled")  # nobody had it
    assert gantry.waiting() == []
    gantry.create("v4")
    gantry.redis.rpop(gantry.key("task:pending"))
    assert gantry.cancel("v4")[NODE]["state"] == PENDING and gantry.status("v4")[0] == "PENDING"
    gantry.redis.hset(gantry.key("task:v4"), "status", "PROCESSING")
    assert gantry.cancel("v4")[NODE]["state"] == RUNNING
    gantry.check()


def test_it_runs_again_by_hand(gantry):
    gantry.create("v1")
    (handout,) = gantry.adopt()
    gantry.finish((handout, FAILED, {"error": {"message": "no"}}))
    gantry.put("v1", task=NODE, owner="ann")
    assert gantry.status("v1") == ("PENDING", "", "")
    (handout,) = gantry.adopt()
    assert gantry.status("v1")[0] == "PROCESSING"
    gantry.finish((handout, COMPLETED, {"output": {"result_file_path": "/r"}}))
    assert gantry.status("v1") == ("COMPLETED", "/r", "")
    gantry.check()


def test_what_an_outsider_deleted_or_spoiled_stays_so(gantry):
    gantry.create("v1", "v2")
    one, two = gantry.adopt(2)
    gantry.redis.delete(gantry.key("task:v1"), gantry.key("task:v2"))
    gantry.redis.set(gantry.key("task:v2"), "mine")
    assert gantry.finish((one, COMPLETED), (two, COMPLETED)) == [OK, OK]
    assert gantry.fields("v1") == {} and gantry.redis.get(gantry.key("task:v2")) == b"mine"
    assert gantry.call("task_status", "v1")[0] == 1  # as its record says
    gantry.check()


def test_an_audit_puts_it_back_and_tells(gantry):
    gantry.create("v1")
    gantry.adopt()
    gantry.redis.delete(gantry.key("running:" + sid_of(0)))
    assert gantry.call("audit_fix", "v1/" + NODE, 0, 0) == 1
    assert gantry.status("v1")[0] == "PENDING"
    (handout,) = gantry.adopt()
    assert gantry.status("v1")[0] == "PROCESSING"


def test_forget_takes_all_of_it(gantry):
    gantry.create("v1", "v2", "v3", "v4")
    (handout,) = gantry.adopt()
    assert gantry.call("forget", "v1", 0) == [CONFLICT, 1] and gantry.call("forget", "v2", 0) == [CONFLICT, 1]
    assert gantry.call("forget", "v2", 1) == [OK, 1] and gantry.fields("v2") == {} and gantry.waiting() == ["v4", "v3"]
    gantry.finish((handout, COMPLETED))
    assert gantry.call("forget", "v1", 0) == [OK, 1] and gantry.fields("v1") == {} and gantry.get("v1") == {}
    gantry.redis.rpop(gantry.key("task:pending"))
    gantry.redis.hset(gantry.key("task:v3"), "status", "COMPLETED")
    assert gantry.call("forget", "v3", 0) == [OK, 1]
    gantry.put("v4")  # a stage of ours beside
    (handout,) = gantry.claim(1)
    gantry.finish((handout, COMPLETED))
    assert gantry.call("forget", "v4", 0) == [CONFLICT, 1]
    assert gantry.call("forget", "v4", 1) == [OK, 2] and gantry.fields("v4") == {} and gantry.waiting() == []
    assert gantry.call("forget", "v4", 1) == [NOT_FOUND, 0]


def test_why_and_queues(gantry):
    assert gantry.call("queues") == []
    gantry.create("v1", "v2")
    assert gantry.call("queues") == [b"video", 2, 0, 0, 0]
    (handout,) = gantry.adopt()
    gantry.give_back(handout)
    assert gantry.call("queues") == [b"video", 2, 0, 0, 0]
    task, body, state, worker, *rest = gantry.call("why", "v2", "")
    assert task == NODE.encode() and worker == b"" and rest == [0] * 8 and read_body(body)[1] == 24
