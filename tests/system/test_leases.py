"""Leases with real processes: whoever loses one has nothing left that runs, and whoever keeps it is never disturbed."""
import os
import shutil
import subprocess
import sys
import time

import pytest

from harness import BIN, System, processes_in, until
from worker_house import alive

LEASE_MS = 1500
GRACE_MS = 1000

# Runs until it is killed, deaf to SIGTERM, and so does a daemon of its own.
STUBBORN = f"""#!{sys.executable} -S
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
folder = os.environ["GANTRY_FOLDER"]
open(f"{{folder}}/{{os.getpid()}}", "w").close()
time.sleep(60)
"""


@pytest.fixture(scope="module")
def town():
    with System("leases", workers=2, worker_slots=4, lease_ms=LEASE_MS, worker_grace_ms=GRACE_MS, worker_drain_ms=400) as system:
        system.user = system.client()
        system.user.ready("system.sleep", "system.echo")
        yield system


@pytest.fixture
def stubborn():
    """The same with an engine that does not listen."""
    bin = os.path.abspath("stubborn-bin")
    shutil.rmtree(bin, ignore_errors=True)
    os.mkdir(bin)
    for name in ("gantry-broker", "gantry-state"):
        os.symlink(os.path.join(BIN, name), os.path.join(bin, name))
    for name in ("gantry-worker", "gantry-exec"):
        shutil.copy(os.path.join(BIN, name), bin)
    with open(os.path.join(bin, "gantry-engine"), "w") as engine:
        engine.write(STUBBORN)
    os.chmod(os.path.join(bin, "gantry-engine"), 0o755)
    with System("stubborn", workers=2, bin=bin, lease_ms=LEASE_MS, worker_grace_ms=GRACE_MS) as system:
        system.user = system.client()
        system.user.ready("system.sleep")
        yield system
    shutil.rmtree(bin)


def engines(system):
    """Processes of engines, without their launchers."""
    return [pid for pid, line in processes_in(system.folder).items() if "gantry-engine" in line and "gantry-exec" not in line]


def begin(system, id_, **input_):
    """Submits a sleep; who runs it, once its engine is there."""
    system.user.submit(system.user.task(id_, "system.sleep", **input_))
    until(lambda: engines(system))
    name = until(lambda: system.user.stage(id_, "system.sleep").get("worker"))
    return next(worker for worker in system.workers if worker.name == name)


def end(system, id_):
    [record] = system.user.wait((id_, "system.sleep"))
    return record["stages"]["system.sleep"]


def marks(system, id_):
    """Processes of a stubborn engine."""
    folder = f"{system.folder}/share/{id_}"
    return [int(name) for name in os.listdir(folder) if name != "tmp"] if os.path.isdir(folder) else []


def gantry(*args):
    return subprocess.run([os.path.join(BIN, "gantry"), *args, "--broker", "ipc://run/clients0"], check=True, timeout=20,
                          capture_output=True, text=True).stdout


def test_a_worker_stopped_past_its_lease_has_nothing_left_and_its_result_does_not_count(town):
    holder = begin(town, "stopped", seconds=2)
    first = engines(town)
    began = time.monotonic()
    holder.freeze()
    until(lambda: not any(map(alive, first)))
    killed_ms = (time.monotonic() - began) * 1000
    print(f"the engine of a stopped worker was gone after {killed_ms:.0f} ms of a lease of {LEASE_MS} ms")
    assert killed_ms < LEASE_MS + 200  # its lease began no earlier than the last heartbeat
    until(lambda: town.user.stage("stopped", "system.sleep")["attempt"] == 2)
    stage = town.user.stage("stopped", "system.sleep")
    holder.thaw()
    assert stage["worker"] != holder.name
    stage = end(town, "stopped")
    assert (stage["state"], stage["attempt"], stage["crashes"]) == ("completed", 2, 1)
    time.sleep(0.5)
    again = town.user.stage("stopped", "system.sleep")
    assert (again["state"], again["worker"]) == ("completed", stage["worker"]) and again["worker"] != holder.name
    town.settle()


def test_what_lasts_ten_leases_runs_once(town):
    begin(town, "long", seconds=LEASE_MS / 100)
    stage = end(town, "long")
    assert (stage["state"], stage["attempt"]) == ("completed", 1) and not stage.get("crashes")
    town.settle()


def test_a_cancelled_tree_is_gone_within_a_heartbeat_and_the_grace(stubborn):
    begin(stubborn, "cancel", seconds=1)
    pids = until(lambda: len(marks(stubborn, "cancel")) == 2 and marks(stubborn, "cancel"))
    began = time.monotonic()
    assert stubborn.user.insist("CANCEL", {"id": "cancel", "task": "system.sleep"}).status == 0
    while any(map(alive, pids)):
        state = stubborn.user.stage("cancel", "system.sleep")["state"]
        assert state == "cancelling" or not any(map(alive, pids)), state
        stubborn.user.pump(0.02)
    took_ms = (time.monotonic() - began) * 1000
    print(f"a tree that does not listen was gone after {took_ms:.0f} ms; heartbeat {200} ms, grace {GRACE_MS} ms")
    assert GRACE_MS - 100 < took_ms < 200 + GRACE_MS + 800
    assert end(stubborn, "cancel")["state"] == "cancelled"


def test_a_drained_worker_hands_back_and_the_next_goes_on_from_there(town):
    began = time.monotonic()
    holder = begin(town, "handed", seconds=6)
    time.sleep(2)
    holder.stop()
    stage = end(town, "handed")
    took = time.monotonic() - began
    holder.start()
    assert (stage["state"], stage["attempt"]) == ("completed", 2)
    assert not stage.get("crashes") and not stage.get("failures") and stage["worker"] != holder.name
    assert stage["output"]["slept_ms"] >= 6000
    print(f"6 s of sleep, handed back in the middle, took {took:.1f} s")
    assert took < 9
    town.settle()


def test_a_failure_is_tried_again_and_the_history_tells(town):
    stage = town.user.run("again", "system.fail", verdict="retry", message="not yet", attempts=2, after_ms=100)
    assert (stage["state"], stage["attempt"], stage["failures"]) == ("completed", 3, 2)
    assert stage["output"] == {"attempt": 3, "failures": 2, "crashes": 0}
    assert [(h["attempt"], h["state"], h["error"]["message"]) for h in stage["history"]] == [
        (1, "failed", "not yet"), (2, "failed", "not yet")]
    town.settle()


def test_an_operator_drains_a_worker_and_takes_it_back(town):
    names = [worker.name for worker in town.workers]
    began = time.monotonic()
    for name in names:
        gantry("drain", name)
    time.sleep(0.6)  # told by the next heartbeat
    town.user.submit(town.user.task("rested"))
    time.sleep(1)
    assert town.user.stage("rested")["state"] == "pending"
    assert all(worker.alive() for worker in town.workers)
    gantry("undrain", names[0])
    assert town.user.wait(("rested", "system.echo"))[0]["stages"]["system.echo"]["worker"] == names[0]
    gantry("undrain", names[1])
    assert time.monotonic() - began < 20
    town.settle()


def test_a_killed_worker_s_task_runs_elsewhere_within_the_lease_and_a_sweep():
    """With the settings as they come: under 15 s."""
    with System("killed", workers=2, lease_ms=10000, heartbeat_ms=1000, liveness_ms=3000) as system:
        system.user = system.client()
        system.user.ready("system.sleep")
        holder = begin(system, "killed", seconds=2)
        pids = engines(system)
        holder.kill()
        began = time.monotonic()
        until(lambda: not any(map(alive, pids)), 3)
        until(lambda: system.user.stage("killed", "system.sleep")["attempt"] == 2, 20)
        took = time.monotonic() - began
        print(f"begun again {took:.1f} s after its worker was killed")
        assert took < 15
        stage = end(system, "killed")
        assert (stage["state"], stage["attempt"], stage["crashes"]) == ("completed", 2, 1)
        system.settle()
        holder.start()
