"""What a stage takes from other stages of its task: references in its inputs, and outputs that stand in for what is not
given.  The worker gets final values; the record keeps what was submitted.
"""
import itertools
import time

import pytest

from state_house import *  # noqa: F403

A = node("a.x")
B = node("b.y", input_("file", "path"), input_("n", "whole"), input_("list", "list"), input_("map", "map"), input_("note", "text"),
         input_("any"), outputs=["file"])
UP = node("b.up", dict(input_("audio", "path", True), upstream="vocals, audio"), dict(input_("tag", "text"), upstream="tag"),
          input_("file", "path"))
OUT = {"audio": "/a.wav", "n": 7, "half": 0.5, "ok": True, "none": None, "empty": "", "segments": [{"text": "one"}, {"text": "two"}],
       "info": {"lang": "zh", "deep": {"x": [1, [2, 3]]}}}


house = a_house(lease_ms=2000)
worker = a_worker(A, node("a.z"), B, UP)
REF = "${{ stages.%s.output.%s }}"


def put(broker, id_, name="b.y", token=1, **more):
    return receipt_of(broker, task(id_, name, token, **more), name.split(".")[0])


def run(broker, worker, id_, name="a.x", output=OUT, state="completed", token=1, **more):
    put(broker, id_, name, token)
    (handout,) = worker.claim(name.split(".")[0])
    assert (handout["id"], handout["task"]) == (id_, name)
    assert worker.done(worker.result(handout, state, output=output, **more)).body[0]["status"] == OK


def inputs_of(broker, worker, id_, input_, name="b.y", token=2):
    """What the worker gets of this."""
    put(broker, id_, name, token, input=input_)
    (handout,) = worker.claim("b")
    assert (handout["id"], handout["task"]) == (id_, name)
    assert stage_of(broker, id_, name).get("input") == input_
    assert worker.done(worker.result(handout, output={"file": "f"})).body[0]["status"] == OK
    return handout["input"]


def why_failed(broker, id_, name="b.y"):
    stage = until(lambda: (lambda s: s if s["state"] == "failed" else None)(stage_of(broker, id_, name)))
    return stage["error"]


def test_a_reference_that_is_the_whole_text_keeps_its_type(broker, worker):
    run(broker, worker, "t1")
    said = {"file": REF % ("a.x", "audio"), "n": "${{stages.a.x.output.n}}", "list": REF % ("a.x", "segments"),
            "map": REF % ("a.x", "info"), "any": REF % ("a.x", "segments.1.text")}
    assert inputs_of(broker, worker, "t1", said) == {"file": "/a.wav", "n": 7, "list": OUT["segments"], "map": OUT["info"], "any": "two"}


def test_within_a_longer_text_and_nested(broker, worker):
    run(broker, worker, "t1")
    said = {"note": "%s: %s of %s!" % (REF % ("a.x", "info.lang"), REF % ("a.x", "n"), REF % ("a.x", "half")),
            "list": [1, {"k": [REF % ("a.x", "ok"), "plain ${ {", None]}], "map": {REF % ("a.x", "n"): REF % ("a.x", "info.deep.x.1.0")},
            "any": REF % ("a.x", "none")}
    assert inputs_of(broker, worker, "t1", said) == {
        "note": "zh: 7 of 0.5!", "list": [1, {"k": [True, "plain ${ {", None]}], "map": {REF % ("a.x", "n"): 2}, "any": None}


def test_what_an_output_says_is_no_reference_itself(broker, worker):
    run(broker, worker, "t1", output={"text": REF % ("a.x", "text"), "odd": "${{ x"})
    said = {"note": REF % ("a.x", "text"), "any": REF % ("a.x", "odd")}
    assert inputs_of(broker, worker, "t1", said) == {"note": REF % ("a.x", "text"), "any": "${{ x"}


@pytest.mark.parametrize("text", ["${{ x }}", "${{ stages.a.output.n }}", "${{ stages.a.x.output }}", "${{ stages.a.x.output. }}",
                                  "${{ stages.a.x.output.a..b }}", "${{ stages.A.x.output.n }}", "${{ stages.a.x.error.n }}", "a ${{ stages.a.x.output.n",
                                  "${{ stages.a.x.output.n }} ${{ }}", "${{}}"])
def test_what_is_no_reference_is_refused_at_the_door(broker, worker, text):
    for said, field in (({"note": text}, "input.note"), ({"list": [{"x": text}]}, "input.list")):
        answer = broker.ask("SUBMIT", [task("t1", "b.y", input=said)], service="b")
        assert (answer.body[0]["status"], answer.body[0]["field"]) == (INVALID, field), answer
        assert "stages.SERVICE.METHOD.output.NAME" in answer.body[0]["message"]


def test_too_many_references_are_refused(broker, worker):
    one = REF % ("a.x", "n")
    assert broker.ask("SUBMIT", [task("t1", "b.y", input={"note": one * 64})], service="b").body[0]["status"] == OK
    answer = broker.ask("SUBMIT", [task("t2", "b.y", input={"note": one * 40, "list": [one] * 25})], service="b")
    assert answer.body[0]["status"] == INVALID and "64" in answer.body[0]["message"]
    answer = broker.ask("SUBMIT", [task("t3", "b.y", input={"n": one + " "})], service="b")
    assert (answer.body[0]["status"], answer.body[0]["field"]) == (INVALID, "input.n")


@pytest.mark.parametrize("said, message", [
    ({"file": REF % ("a.x", "odd")}, "the stage is completed, without such an output"),
    ({"file": REF % ("a.x", "segments.2.text")}, "without such an output"),
    ({"file": REF % ("a.x", "segments.x")}, "without such an output"),
    ({"file": REF % ("a.z", "audio")}, "the task has no such stage"),
    ({"file": REF % ("q.q", "audio")}, "the task has no such stage"),
    ({"file": REF % ("b.y", "audio")}, "this is the stage itself"),
    ({"note": "x" + REF % ("a.x", "info")}, "within a longer text it must be a text or a number"),
    ({"note": "x" + REF % ("a.x", "ok")}, "within a longer text it must be a text or a number"),
    ({"n": REF % ("a.x", "audio")}, "must be a whole number"),
    ({"file": REF % ("a.x", "empty")}, "must be a path"),
])
def test_what_cannot_be_had_fails_the_stage(broker, worker, said, message):
    run(broker, worker, "t1")
    put(broker, "t1", token=2, input=said)
    waiting = broker.begin("WAIT", {"id": "t1", "task": "b.y"})
    assert worker.claim("b").status == EMPTY
    (name,) = said
    assert broker.end(waiting, 5).body["stages"]["b.y"]["state"] == "failed"
    error = why_failed(broker, "t1")
    assert (error["code"], error["field"]) == ("INVALID", "input." + name) and message in error["message"], error
    stage = stage_of(broker, "t1", "b.y")
    assert stage["input"] == said and stage["failures"] == 1
    ledger = broker.ask("LEDGER").body
    assert ledger["balanced"] and ledger["failed"] == 1 and ledger["running"] == 0


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_stage_that_ended_badly_fails_those_that_refer_to_it(broker, worker, state):
    if state == "failed":
        run(broker, worker, "t1", state="failed", output=None)
    else:
        put(broker, "t1", "a.x")
        assert broker.ask("CANCEL", {"id": "t1"}).status == OK
    put(broker, "t1", token=2, input={"file": REF % ("a.x", "audio")})
    assert worker.claim("b").status == EMPTY
    assert why_failed(broker, "t1")["message"] == "stages.a.x.output.audio: the stage is %s" % state


def test_a_skipped_stage_may_have_it(broker, worker):
    run(broker, worker, "t1", state="skipped", output={"audio": "/s.wav"})
    assert inputs_of(broker, worker, "t1", {"file": REF % ("a.x", "audio")}) == {"file": "/s.wav"}
    put(broker, "t1", "b.up", token=3)
    assert worker.claim("b").status == EMPTY  # but it stands in for nothing
    error = why_failed(broker, "t1", "b.up")
    assert error["field"] == "input.audio" and "no completed stage of the task wrote vocals, audio" in error["message"]


def test_it_waits_for_a_stage_that_has_not_ended(broker, worker):
    put(broker, "t1", "a.x")
    put(broker, "t1", token=2, input={"file": REF % ("a.x", "audio")})
    assert worker.claim("b").status == EMPTY
    stage = until(lambda: (lambda s: s if s["state"] == "scheduled" else None)(stage_of(broker, "t1", "b.y")))
    assert stage.get("failures", 0) == 0
    broker.ready.clear()
    (handout,) = worker.claim("a")  # runs now, and is no longer in its queue
    broker.expect(lambda: any(service == "b" for _, service in broker.ready), 5)
    assert worker.claim("b").status == EMPTY
    assert worker.done(worker.result(handout, output=OUT)).body[0]["status"] == OK
    broker.ready.clear()
    broker.expect(lambda: any(service == "b" for _, service in broker.ready), 5)
    (handout,) = worker.claim("b")
    assert handout["input"] == {"file": "/a.wav"} and handout.get("failures", 0) == 0
    assert worker.done(worker.result(handout, output={})).body[0]["status"] == OK
    assert broker.ask("LEDGER").body["balanced"]


def test_those_behind_it_need_not_wait(broker, worker):
    put(broker, "t1", "a.x")
    for i in range(5):
        put(broker, "t1", token=2, input={"file": REF % ("a.x", "audio")})
        put(broker, "u%d" % i, "a.x")
        put(broker, "u%d" % i, token=3 + i, input={"file": REF % ("a.x", "audio")})
    put(broker, "bad", token=20, input={"file": REF % ("a.x", "audio")})
    put(broker, "plain", token=21, input={"n": 1})
    (handout,) = worker.claim("b")  # one is wanted, and all before it are put off
    assert handout["id"] == "plain" and handout["input"] == {"n": 1}
    assert why_failed(broker, "bad")["code"] == "INVALID"
    put(broker, "plain2", token=22, input={"n": 2})
    put(broker, "v", "a.x")
    put(broker, "v", token=23, input={"file": REF % ("a.x", "audio")})
    put(broker, "plain3", token=24, input={"n": 3})
    assert [h["id"] for h in worker.claim("b", 8)] == ["plain2", "plain3"]


def test_outputs_stand_in_for_what_is_not_given(broker, worker):
    run(broker, worker, "t1", "a.x", {"audio": "/old.wav", "vocals": "", "tag": None})
    assert inputs_of(broker, worker, "t1", {}, "b.up") == {"audio": "/old.wav"}
    run(broker, worker, "t2", "a.x", {"audio": "/old.wav", "tag": "old"})
    time.sleep(0.01)
    run(broker, worker, "t2", "a.z", {"audio": "/new.wav", "tag": "new"}, token=7)
    assert inputs_of(broker, worker, "t2", {"audio": None, "file": "/f"}, "b.up") == {"audio": "/new.wav", "tag": "new", "file": "/f"}
    run(broker, worker, "t3", "a.x", {"vocals": "/v.wav"})
    time.sleep(0.01)
    run(broker, worker, "t3", "a.z", {"audio": "/a.wav", "tag": "x"}, token=7)
    assert inputs_of(broker, worker, "t3", {"tag": "mine"}, "b.up") == {"audio": "/v.wav", "tag": "mine"}  # the best name first; given before all
    assert inputs_of(broker, worker, "t4", {"audio": "/g.wav"}, "b.up") == {"audio": "/g.wav"}


def test_what_stands_in_is_not_waited_for(broker, worker):
    put(broker, "t1", "a.x")
    put(broker, "t1", "b.up", token=2, input={"audio": "/g.wav"})
    (handout,) = worker.claim("b")
    assert handout["input"] == {"audio": "/g.wav"}
    put(broker, "t2", "a.x", token=3)
    put(broker, "t2", "b.up", token=4)
    assert worker.claim("b").status == EMPTY
    assert why_failed(broker, "t2", "b.up")["field"] == "input.audio"


def test_a_later_attempt_is_resolved_anew_with_its_checkpoint(broker, worker):
    run(broker, worker, "t1")
    put(broker, "t1", token=2, input={"file": REF % ("a.x", "audio")})
    (handout,) = worker.claim("b")
    assert worker.done(worker.result(handout, "retry", retry_after_ms=1, checkpoint={"at": 1}, error={"code": "FAILED"})).body[0]["status"] == OK
    (again,) = until(lambda: (lambda got: got if isinstance(got, list) else None)(worker.claim("b")))
    assert (again["attempt"], again["failures"], again["checkpoint"], again["input"]) == (2, 1, {"at": 1}, {"file": "/a.wav"})


def test_a_dead_letter_that_runs_again_is_resolved_again(broker, worker):
    put(broker, "t1", token=2, input={"file": REF % ("a.x", "audio")})
    assert worker.claim("b").status == EMPTY
    assert why_failed(broker, "t1")["code"] == "INVALID"
    run(broker, worker, "t1")
    assert broker.ask("REPLAY", {"id": "t1", "task": "b.y"}).status == OK
    (handout,) = worker.claim("b")
    assert handout["input"] == {"file": "/a.wav"}


def test_what_is_too_large_or_too_deep_fails(broker, worker):
    run(broker, worker, "t1", output={"text": "x" * 700000, "deep": [[[[[[[[1]]]]]]]]})
    put(broker, "t1", token=2, input={"note": REF % ("a.x", "text"), "any": REF % ("a.x", "text")})
    put(broker, "t1", "b.up", token=3, input={"audio": "/%s%s" % (REF % ("a.x", "text"), REF % ("a.x", "text"))})
    assert worker.claim("b", 2).status == EMPTY
    assert why_failed(broker, "t1")["code"] == "TOO_LARGE" and why_failed(broker, "t1", "b.up")["code"] == "TOO_LARGE"
    put(broker, "t1", token=4, input={"any": [[[REF % ("a.x", "deep")]]]})
    assert worker.claim("b").status == EMPTY
    error = why_failed(broker, "t1")
    assert (error["code"], error["field"]) == ("TOO_LARGE", "input.any") and "levels" in error["message"]


def test_strange_siblings_are_as_if_they_were_not_there(house, broker, worker):
    run(broker, worker, "t1")
    tokens = itertools.count(2)
    for strange in (b"short", b"x" * 200, b"\x9c\x04" + b"\x00" * 97 + b"\x81\xa6output\xdf\xff\xff\xff\xff"):
        house.redis.client.hset("states", "t1/a.x", strange)
        put(broker, "t1", token=next(tokens), input={"file": REF % ("a.x", "audio")})
        assert worker.claim("b").status == EMPTY
        assert why_failed(broker, "t1")["code"] == "INVALID"


def test_a_schedule_may_refer(broker, worker):
    """Its tasks have ids of their own, so that nothing is there to refer to: the stage says so."""
    said = {"name": "c", "action": "set", "schedule": "* * * * *", "task": "b.y", "input": {"file": REF % ("a.x", "audio")}}
    assert broker.ask("CRON", said).status == OK
    said["input"] = {"file": "${{ x }}"}
    answer = broker.ask("CRON", said)
    assert (answer.status, answer.body["field"]) == (INVALID, "input.file")
    assert broker.ask("CRON", {"name": "c", "action": "remove"}).status == OK


@pytest.fixture
def two_houses(tmp_path):
    house = House(tmp_path, lease_ms=2000)
    for _ in range(2):
        house.state()
    yield house
    house.close()


def test_a_state_service_that_does_not_know_the_node_yet_puts_the_stage_off(two_houses):
    """Only until it has read the catalogue anew."""
    broker = two_houses.broker
    worker = Worker(broker)
    worker.register(A, B, UP)
    run(broker, worker, "t1")
    worker.register(node("b.new", dict(input_("audio", "path"), upstream="audio")))
    put(broker, "t1", "b.new", token=2)
    got = until(lambda: (lambda got: got if isinstance(got, list) else None)(worker.claim("b", peer=1)))
    assert got[0]["input"] == {"audio": "/a.wav"}
