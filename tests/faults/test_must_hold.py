"""What must hold, each by itself, on real processes. Times are those that are promised with the default settings."""
import os
import sys
import time

import pytest
import zmq

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "system")]

import journal  # noqa: E402
from harness_client import Client, until  # noqa: E402
from town import Town  # noqa: E402

BIN = os.path.abspath(os.environ.get("GANTRY_BIN", "build/bin"))
DEFAULTS = {"lease_ms": 10000, "heartbeat_ms": 2000, "liveness_ms": 6000, "redis_timeout_ms": 5000, "worker_grace_ms": 5000}
WORK = "faults.work"


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def town(name, **more):
    return Town(name, BIN, 1, mounts=False, mangled=False, **more)


def client_of(context, town):
    return Client(context, [f"ipc://run/c{n}" for n in range(town.counts["broker"])])


def task(client, id_, run_ms):
    return client.task(id_, WORK, plan=f"{run_ms} 0 0 0 done")


def begun(town, kind="sdk"):
    """Name of process, ns, id and attempt of each execution of the workers on libgantry."""
    return [(process.name, ns, words[0], int(words[2])) for process in town.of(kind) if os.path.exists(f"journal/{process.name}")
            for letter, ns, words in journal.lines(f"journal/{process.name}") if letter == "S"]


def name_of(town, stage):
    """The process whose worker has the stage; a boot's number is not part of it."""
    return next(process for process in town.of("sdk", "worker") if process.name == stage["worker"].split(".")[0])


def holder(town, client, id_, node):
    return name_of(town, until(lambda: (lambda s: s if s["state"] == "running" and s.get("worker") else None)(client.stage(id_, node))))


def test_a_killed_workers_task_runs_again_within_15_s(context):
    with town("killed", brokers=1, states=1, workers=2, sdks=0, **DEFAULTS) as t:
        client = client_of(context, t)
        client.submit(client.task("long", "system.sleep", seconds=60))
        victim = holder(t, client, "long", "system.sleep")
        time.sleep(1)
        killed = time.monotonic()
        victim.kill()
        until(lambda: client.stage("long", "system.sleep").get("attempt") == 2 and client.stage("long", "system.sleep")["state"] == "running", 15, 0.1)
        took = time.monotonic() - killed
        print(f"again after {took:.1f} s")
        assert took < 15 and holder(t, client, "long", "system.sleep") is not victim
        client.insist("CANCEL", {"id": "long"})
        client.wait(("long", "system.sleep"))
        client.close()


def test_clients_and_workers_are_with_another_broker_within_5_s(context):
    with town("failover", brokers=2, states=2, workers=0, sdks=4, clients=4, slots=16, rate=20, **DEFAULTS) as t:
        t.load(engines=0, lease_ms=300)  # no task is so long that a worker would be busy with it all the while
        time.sleep(3)
        killed_ns = time.monotonic_ns()
        t.processes[1].kill()
        assert t.processes[1].name == "broker0"
        time.sleep(9)
        for process in t.of("client", "sdk"):
            letter = "R" if process.kind == "client" else "S"
            times = [ns for kind, ns, _ in journal.lines(f"journal/{process.name}") if kind == letter]
            assert times[0] < killed_ns, f"{process.name} had not begun"
            after = [ns for ns in times if ns > killed_ns - 1_000_000_000]
            pause = max(b - a for a, b in zip(after, [*after[1:], time.monotonic_ns()])) / 1e9 if after else 99
            print(f"{process.name}: paused {pause:.2f} s")
            assert pause < 5, process.name
        for process in t.of("client"):
            process.kill()
            t.processes.remove(process)
        t.processes[1].start()


def test_a_task_of_ten_leases_runs_once(context):
    with town("leases", brokers=2, states=2, workers=1, sdks=1, lease_ms=1000, heartbeat_ms=200, liveness_ms=600) as t:
        client = client_of(context, t)
        client.submit(client.task("engine", "system.sleep", seconds=10))
        client.submit(task(client, "job", 10000))
        for record in client.wait(("engine", "system.sleep"), ("job", WORK), seconds=30):
            (stage,) = record["stages"].values()
            assert (stage["state"], stage["attempt"], stage.get("crashes", 0)) == ("completed", 1, 0), stage
        history = journal.read("journal", t.processes, time.monotonic_ns())
        assert sorted((one.ref, one.attempt) for one in history.executions) == [("engine/system.sleep", 1), ("job/" + WORK, 1)]
        client.close()


def test_a_worker_stopped_past_its_lease_is_stale_and_the_second_result_stands(context):
    with town("stopped", brokers=2, states=2, workers=0, sdks=2, slots=1, lease_ms=1500, heartbeat_ms=300, liveness_ms=900) as t:
        client = client_of(context, t)
        client.submit(task(client, "job", 1000))
        victim = holder(t, client, "job", WORK)
        until(lambda: len(begun(t)) == 1)  # the record knows of the attempt before its worker does
        victim.freeze()
        until(lambda: len(begun(t)) == 2)
        (stage,) = client.wait(("job", WORK))[0]["stages"].values()
        victim.thaw()
        time.sleep(1.5)
        history = journal.read("journal", t.processes, time.monotonic_ns())
        first, second = sorted(history.executions, key=lambda one: one.attempt)
        assert (first.attempt, second.attempt, second.how) == (1, 2, "done") and first.how in ("stale", "done") and first.gaps
        assert (stage["state"], stage["attempt"], stage["crashes"], stage["output"]) == ("completed", 2, 1, {"nonce": second.nonce}), stage
        assert client.stage("job", WORK) == stage
        client.close()


def test_an_engine_whose_worker_is_stopped_is_dead_before_the_next_begins(context):
    with town("launcher", brokers=1, states=1, workers=2, sdks=0, lease_ms=1500, heartbeat_ms=300, liveness_ms=900) as t:
        client = client_of(context, t)
        client.submit(client.task("long", "system.sleep", seconds=4))
        victim = holder(t, client, "long", "system.sleep")
        time.sleep(1)  # its engine has begun
        victim.freeze()
        stage = client.wait(("long", "system.sleep"))[0]["stages"]["system.sleep"]
        victim.thaw()
        first, second = sorted(journal.read("journal", t.processes, time.monotonic_ns()).executions, key=lambda one: one.begin_ns)
        assert first.end_ns < second.begin_ns and (first.how, second.how) == ("vanished", "exit 0")
        assert (stage["state"], stage["attempt"], stage["crashes"]) == ("completed", 2, 1), stage
        client.close()
