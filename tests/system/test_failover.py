"""Two brokers, two state services: a broker is killed, hangs or is drained while clients wait and workers work. Workers
and our own clients (the program gantry, which is libgantry) go on at the other one, and every task runs once."""
import os
import subprocess
import threading
import time

import pytest

from harness import BIN, System, until

SLOTS = 4
# The defaults of the programs, which the promise of 5 s is about.
REAL = {"lease_ms": 10000, "heartbeat_ms": 1000, "liveness_ms": 3000}
MOST_S = 8  # what the test insists on; the promise, 5 s, is printed beside it


@pytest.fixture(scope="module")
def town():
    with System("failover", brokers=2, states=2, workers=2, worker_slots=SLOTS, **REAL) as system:
        system.other = system.client()  # at the broker that nothing happens to
        system.other.endpoints = ["ipc://run/clients1"]
        system.other.connect()
        system.other.ready("system.sleep", "system.echo")
        yield system


def gantry(system, *args):
    return subprocess.Popen([os.path.join(BIN, "gantry"), *args, "--broker", system.endpoints("clients")],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


class Wait(threading.Thread):
    """gantry wait, and when it was answered."""

    def __init__(self, system, id_):
        super().__init__()
        self.process = gantry(system, "wait", id_, "--timeout", "40s")
        self.start()

    def run(self):
        self.out, _ = self.process.communicate(timeout=60)
        self.ended = time.monotonic()


def peers(system, kind):
    return system.other.insist("STATUS").body["peers"][kind]


def all_at_the_first(system):
    """Where they are after a start: the first of their list. After a failover they stay where they are."""
    first = system.client()
    first.endpoints = ["ipc://run/clients0"]
    first.connect()
    until(lambda: first.insist("STATUS").body["peers"]["states"] == 2)  # else they would leave it again
    for worker in system.workers:
        worker.stop()
        worker.start()
    until(lambda: first.insist("STATUS").body["claims_parked"] == 2)
    first.close()
    system.clients.remove(first)


def held_most(system):
    return max((system.db.hlen(key) for key in system.db.scan_iter("running:*")), default=0)


def strike(system, how):
    first = system.brokers[0]
    if how == "killed":
        first.kill()
    elif how == "hangs":
        first.freeze()
    else:
        drained = gantry(system, "drain", "--status", "ipc://run/status0")
        assert drained.wait(10) == 0, drained.stdout.read()


def heal(system, how):
    first = system.brokers[0]
    if how == "killed":
        first.start()
    elif how == "hangs":
        first.thaw()
    else:
        assert gantry(system, "undrain", "--status", "ipc://run/status0").wait(10) == 0


@pytest.mark.parametrize("how", ["killed", "hangs", "drained"])
def test_work_goes_on_at_the_other_broker(town, how):
    all_at_the_first(town)
    client = town.other
    # They end before, while and after the failover is noticed.
    tasks = [client.task(f"{how}-{n}", "system.sleep", seconds=0.5 + n) for n in range(6)]
    client.submit(*tasks)
    until(lambda: sum(town.db.hlen(key) for key in town.db.scan_iter("running:*")) == 6)
    submitted = time.monotonic()
    waits = [Wait(town, task["id"]) for task in tasks]
    until(lambda: town.other.insist("STATUS").body["peers"]["clients"] == 1)
    time.sleep(0.3)  # their WAITs are parked

    began = time.monotonic()
    strike(town, how)
    more = [client.task(f"{how}-more-{n}", "system.sleep", seconds=0.2) for n in range(24)]
    client.submit(*more)
    moved = None
    while not moved:
        assert held_most(town) <= SLOTS
        client.pump(0.02)
        moved = time.monotonic() - began if peers(town, "workers") == 2 else None
        assert time.monotonic() - began < MOST_S
    first_done = None
    while not first_done:
        assert held_most(town) <= SLOTS
        stages = [client.stage(task["id"], "system.sleep") for task in more[:8]]
        first_done = time.monotonic() - began if any(s["state"] == "completed" for s in stages) else None
        assert time.monotonic() - began < MOST_S + 1
    print(f"{how}: workers at the other broker after {moved:.2f} s, a new task done after {first_done:.2f} s; promised 5 s")

    late = []
    for task, wait in zip(tasks, waits):
        wait.join(60)
        assert wait.process.returncode == 0, wait.out.decode()
        late.append(wait.ended - max(began, submitted + task["input"]["seconds"]))
    print(f"{how}: a waiting client had its answer at most {max(late):.2f} s after the task's end or the strike; promised 5 s")
    assert max(late) < MOST_S
    records = client.wait(*((task["id"], "system.sleep") for task in (*tasks, *more)))
    for record in records:
        stage = record["stages"]["system.sleep"]
        assert (stage["state"], stage.get("crashes", 0)) == ("completed", 0), record
        assert stage["attempt"] == 1 or how == "drained", record  # a claim that was answered too late goes back
    heal(town, how)
    town.settle()
    town.check()


def test_a_submit_at_one_broker_wakes_a_worker_parked_at_the_other(town):
    for worker in town.workers:
        worker.stop()
    here = town.process("here", "gantry-worker", worker_name="here", worker_brokers="ipc://run/workers0")
    try:
        town.other.run("wake-first")
        took = []
        for n in range(30):
            time.sleep(0.05)  # it parks
            began = time.monotonic()
            town.other.submit(town.other.task(f"wake-{n}"))
            assert town.other.insist("WAIT", {"id": f"wake-{n}", "task": "system.echo"}).status == 0
            took.append(time.monotonic() - began)
        took.sort()
        print(f"from a submit at one broker to the end at the other: median {took[15] * 1000:.1f} ms, most {took[-1] * 1000:.1f} ms")
        assert took[15] < 0.5 and took[-1] < 1
    finally:
        here.stop()
        for worker in town.workers:
            worker.start()


def test_an_empty_first_broker_is_passed_over(town):
    """A client that comes while the first of its list is dead, or hangs, is served by the next."""
    town.other.ready("system.echo")
    for how in ("killed", "hangs"):
        strike(town, how)
        began = time.monotonic()
        done = gantry(town, "submit", "system.echo", "value=1", "--wait")
        out, _ = done.communicate(timeout=20)
        assert done.returncode == 0, out.decode()
        print(f"{how}: a new client had its result after {time.monotonic() - began:.2f} s")
        assert time.monotonic() - began < MOST_S
        heal(town, how)


def test_a_broker_cut_off_from_the_state_services_is_left(town):
    """It lives, and answers UNAVAILABLE; another one of the list is of use. What runs keeps its lease meanwhile."""
    all_at_the_first(town)
    task = town.other.task("cut", "system.sleep", seconds=14)  # longer than a lease
    town.other.submit(task)
    until(lambda: sum(town.db.hlen(key) for key in town.db.scan_iter("running:*")) == 1)
    for state in town.states:
        state.stop()
    lone = town.process("lone", "gantry-state", state_brokers="ipc://run/states1")
    try:
        began = time.monotonic()
        until(lambda: peers(town, "workers") == 2)
        moved = time.monotonic() - began
        done = gantry(town, "submit", "system.echo", "value=1", "--wait")
        out, _ = done.communicate(timeout=30)
        assert done.returncode == 0, out.decode()
        print(f"cut off: workers at the other broker after {moved:.2f} s, a new task done after {time.monotonic() - began:.2f} s; promised 5 s")
        assert moved < MOST_S
        (record,) = town.other.wait(("cut", "system.sleep"))
        stage = record["stages"]["system.sleep"]
        assert (stage["state"], stage["attempt"], stage.get("crashes", 0)) == ("completed", 1, 0)
    finally:
        lone.stop()
        for state in town.states:
            state.start()
    town.settle()
    town.check()
