"""gantry-worker against a broker made of Python: what is tried again, what is put off, and what one attempt leaves
for the next; an operator's drain."""

import os
import signal
import subprocess
import time

import msgpack
import pytest

from worker_house import BIN, CLAIM, HEARTBEAT, PYTHON, alive, house, say  # noqa: F401: house is a fixture

BEFORE = PYTHON + """
sys.path.insert(0, {path!r})
import msgpack
inputs, before = msgpack.Unpacker(sys.stdin.buffer)
""".format(path=os.path.dirname(os.path.dirname(msgpack.__file__)))


# ---- which failures are tried again


@pytest.mark.parametrize("given,state,code,words", [
    ({"verdict": "failed"}, "failed", "FAILED", "as it was told"),
    ({"verdict": "failed", "message": "no such codec"}, "failed", "FAILED", "no such codec"),
    ({"verdict": "retry", "message": "the disk is full"}, "retry", "FAILED", "the disk is full"),
    ({"exit": 75}, "retry", "FAILED", "exit code 75"),
    ({"exit": 9}, "failed", "FAILED", "exit code 9"),
    ({"signal": 9}, "retry", "FAILED", "signal 9"),
    ({"verdict": "perhaps"}, "failed", "INVALID", "verdict"),
    ({"after_ms": 0}, "failed", "INVALID", "after_ms"),
])
def test_failures_told_to_system_fail(house, given, state, code, words):
    result = house().run("system.fail", **given)
    assert (result["state"], result["error"]["code"]) == (state, code)
    assert words in result["error"]["message"]
    assert "retry_after_ms" not in result


def test_system_fail_completes_in_the_end(house):
    h = house()
    h.hand("system.fail", verdict="retry", attempts=2, attempt=2, before={"failures": 1})
    assert h.result()["state"] == "retry"
    h.hand("system.fail", id="t2", verdict="retry", attempts=2, attempt=3, before={"failures": 1, "crashes": 1})
    result = h.result("t2")
    assert (result["state"], result["output"]) == ("completed", {"attempt": 3, "failures": 1, "crashes": 1})


@pytest.mark.parametrize("end", ["sys.exit(1)", say({"output": {"a": 1}, "files": [["made", "made"]]}), say({"error": {"code": "INVALID", "message": "gone"}})])
def test_a_folder_that_was_taken_away_is_no_failure_for_good(house, end):
    """By a FORGET of a former task of this id."""
    h = house(PYTHON + """
open("made", "w").close()
os.rename(os.environ["GANTRY_FOLDER"], os.environ["GANTRY_FOLDER"] + ".trash")
""" + end)
    assert h.run("system.sleep", seconds=0)["state"] == "retry"


def test_a_retry_says_when(house):
    result = house().run("system.fail", verdict="retry", after_ms=5000)
    assert (result["state"], result["retry_after_ms"]) == ("retry", 5000)


def test_a_snooze_is_no_failure(house):
    result = house().run("system.fail", verdict="snooze", after_ms=7000)
    assert (result["state"], result["retry_after_ms"]) == ("snoozed", 7000)
    assert "error" not in result


@pytest.mark.parametrize("script,state,code", [
    ("os.kill(os.getpid(), 11)", "retry", "FAILED"),
    (say({"output": {"a": 1}}) + "os.kill(os.getpid(), 11)", "retry", "FAILED"),
    ("os.write(3, b'\\x82\\xa1a'); os.kill(os.getpid(), 9)", "retry", "FAILED"),  # amid its last message
    (say({"error": {"code": "UNAVAILABLE", "message": "away"}}), "retry", "UNAVAILABLE"),
    (say({"error": {"code": "NOT_FOUND", "message": "gone"}}) + "sys.exit(75)", "retry", "NOT_FOUND"),
    (say({"error": {"code": "NOT_FOUND", "message": "gone"}}) + "sys.exit(1)", "failed", "NOT_FOUND"),
    (say({"retry": {}}) + "sys.exit(3)", "retry", "FAILED"),
    (say({"retry": {"after_ms": "soon"}}), "failed", "FAILED"),
    (say({"snooze": {}}), "failed", "FAILED"),
    ("os.kill(os.getppid(), 9)\ntime.sleep(60)", "retry", "FAILED"),
])
def test_failures_of_engines(house, script, state, code):
    result = house(PYTHON + script).run("system.sleep", seconds=0)
    assert (result["state"], result["error"]["code"]) == (state, code)


# ---- checkpoints


def test_a_checkpoint_goes_with_a_retry_and_the_last_one_counts(house):
    engine = PYTHON + say({"checkpoint": {"n": 1}}) + say({"checkpoint": {"n": 2}}) + say({"retry": {"message": "later"}})
    result = house(engine).run("system.sleep", seconds=0)
    assert (result["state"], result["checkpoint"]) == ("retry", {"n": 2})


@pytest.mark.parametrize("end", [say({"snooze": {"after_ms": 9}}), "os.kill(os.getpid(), 9)", "sys.exit(75)"])
def test_a_checkpoint_goes_with_whatever_is_tried_again(house, end):
    result = house(PYTHON + say({"checkpoint": [1, "two"]}) + end).run("system.sleep", seconds=0)
    assert result["state"] in ("retry", "snoozed") and result["checkpoint"] == [1, "two"]


@pytest.mark.parametrize("end", [say({"output": {"a": 1}}), say({"error": {"code": "INVALID"}}), "sys.exit(2)"])
def test_no_checkpoint_goes_with_an_end(house, end):
    result = house(PYTHON + say({"checkpoint": 7}) + end).run("system.sleep", seconds=0)
    assert result["state"] in ("completed", "failed") and "checkpoint" not in result


@pytest.mark.parametrize("value,code", [("b'x' * 65536", "TOO_LARGE"), ("[[[[[[[[[[[[1]]]]]]]]]]]]", "FAILED")])
def test_a_checkpoint_is_bounded(house, value, code):
    result = house(BEFORE + f"os.write(3, msgpack.packb({{'checkpoint': {value}}}))\ntime.sleep(60)").run("system.sleep", seconds=0)
    assert (result["state"], result["error"]["code"]) == ("failed", code)


def test_an_engine_gets_what_was_left(house):
    h = house(BEFORE + "os.write(3, msgpack.packb({'output': {'before': before, 'inputs': inputs}}))")
    h.hand("system.sleep", attempt=4, before={"failures": 2, "crashes": 1, "checkpoint": {"at": [1, 2]}}, seconds=0)
    output = h.result()["output"]
    assert output["before"].pop("settings")["unpack.files_max"] == "100000"
    assert output["before"].pop("addresses") == [] and output["before"].pop("owned") is False
    assert output == {
        "before": {"attempt": 4, "failures": 2, "crashes": 1, "checkpoint": {"at": [1, 2]}}, "inputs": {"seconds": 0, "exit": 0}}


def test_sleep_goes_on_where_it_was(house):
    h = house()
    began = time.monotonic()
    h.hand("system.sleep", seconds=30, before={"checkpoint": 29_500})
    result = h.result()
    assert result["state"] == "completed" and 30_000 <= result["output"]["slept_ms"] < 31_000
    assert time.monotonic() - began < 10


def test_a_drain_hands_back_what_was_done_so_far(house):
    h = house(worker_drain_ms=300, worker_grace_ms=3000)
    h.hand("system.sleep", seconds=60, before={"checkpoint": 20_000})
    pids = h.running()
    h.idle(0.5)
    h.worker.send_signal(signal.SIGTERM)
    h.until(lambda: h.worker.poll() is not None)
    assert h.worker.returncode == 0
    [returned] = h.returned
    assert (returned["id"], returned["token"]) == ("t1", h.tokens["t1"])
    assert 20_500 <= returned["checkpoint"] < 30_000
    assert not any(map(alive, pids)) and h.results == []


def test_a_time_limit_leaves_a_checkpoint_too(house):
    h = house()
    h.hand("system.sleep", seconds=60, timeout_ms=500)
    result = h.result()
    assert (result["state"], result["error"]["code"]) == ("retry", "TIMEOUT")
    assert 300 <= result["checkpoint"] < 5000


# ---- an operator's drain


def claims(h):
    return sum(verb == CLAIM for verb, _ in h.said)


def test_a_drained_worker_claims_nothing_and_stays_and_claims_again(house):
    h = house(worker_slots=2)
    h.hand("system.sleep", seconds=1)
    h.running()
    h.until(lambda: h.parked)  # for its other slot
    h.drained = True
    h.idle(0.5)  # a few heartbeats
    before = claims(h)
    h.hand("system.echo", id="t2")  # by the claim that was parked: not wanted any more
    h.until(lambda: h.returned)
    assert [r["id"] for r in h.returned] == ["t2"]
    assert h.result()["state"] == "completed"  # what ran ends in peace
    h.idle(0.7)
    assert claims(h) == before and h.worker.poll() is None
    h.drained = False
    h.until(lambda: claims(h) > before)
    assert h.run("system.echo", id="t3", value=1)["state"] == "completed"


def test_a_heartbeat_says_what_the_worker_is(house):
    h = house(worker_slots=3, worker_services="ffmpeg,system", worker_name="here")
    h.until(lambda: any(verb == HEARTBEAT for verb, _ in h.said))
    body = next(body for verb, body in h.said if verb == HEARTBEAT)
    assert (body["worker"], body["services"], body["slots"]) == ("here", "ffmpeg,system", 3)


def test_a_worker_without_a_broker_says_so(tmp_path):
    process = subprocess.Popen([f"{BIN}/gantry-worker", "--worker-brokers=ipc://nobody", "--worker-services=system"],
                               cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        assert "no_broker brokers=ipc://nobody" in line and "none answers" in line
    finally:
        process.terminate()
        process.communicate(timeout=20)
