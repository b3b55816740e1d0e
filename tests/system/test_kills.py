"""kill -9 of a broker, a state service, both in one process, or a worker at any moment after the receipt: the task still ends, once.

Moments between two messages are reached by stopping (SIGSTOP) what would answer next: the worker before it reads its
handout, the victim or the state service before it handles DONE, Redis so that DONE is written and nobody hears of it.
"""
import os
import random
import subprocess
import time

import pytest

from harness import ENDED, System, processes_in, until

SLEEP_S = 0.7
NODE = "system.sleep"


@pytest.fixture(scope="module", params=("broker", "state", "node", "worker"))
def town(request):
    with System(request.param, workers=2, worker_slots=4, lease_ms=1500, fused=request.param == "node") as system:
        client = system.client()
        client.ready(NODE, "system.echo")
        yield request.param, system, client


class Strike:
    """The victim dies at once and comes back after a moment; a worker comes back when its task has ended elsewhere."""

    def __init__(self, town, task):
        self.kind, self.system, self.client = town
        self.task, self.victim, self.attempt = task, None, None

    def holder(self):
        name = self.client.stage(self.task["id"], NODE).get("worker")
        return next((worker for worker in self.system.workers if worker.name == name), None)

    def choose(self):
        if not self.victim:
            self.victim = {"broker": lambda: self.system.brokers[0], "state": lambda: self.system.states[0],
                           "node": lambda: self.system.brokers[0],
                           "worker": lambda: self.holder() or self.system.workers[0]}[self.kind]()
        return self.victim

    def kill(self):
        self.choose().kill()

    def back(self):
        if self.victim and not self.victim.alive():
            self.victim.start()

    def again(self):
        """Dead and back in a moment; of a worker only the death."""
        self.kill()
        if self.kind != "worker":
            time.sleep(0.1)
            self.back()

    def submit(self):
        receipt = self.client.submit(self.task)[0]
        assert (receipt["status"], receipt["reuse"]) == (0, "miss"), receipt

    def begun(self, share=0.0):
        """The engine runs, and so much of its time has passed."""
        until(self.engines)
        self.attempt = self.client.stage(self.task["id"], NODE)["attempt"]
        time.sleep(share * SLEEP_S)

    def engines(self):
        return [pid for pid, line in processes_in(self.system.folder).items() if "gantry-engine" in line and "exec" not in line]


def pending(strike):
    for worker in strike.system.workers:
        worker.stop()
    strike.submit()
    if strike.kind == "worker":
        strike.system.workers[0].start()
        time.sleep(0.05)
    strike.again()
    for worker in strike.system.workers:
        if not worker.alive():
            worker.start()


def handed_out(strike):
    for worker in strike.system.workers:
        worker.freeze()
    strike.submit()
    until(lambda: strike.system.balance()["running"] == 1)
    strike.again()
    for worker in strike.system.workers:
        worker.thaw()


def early(strike):
    strike.submit()
    strike.begun()
    strike.again()


def late(strike):
    strike.submit()
    strike.begun(0.6)
    strike.again()


def done_unread(strike):
    """The result is on its way when the victim dies."""
    strike.submit()
    strike.begun(0.4)
    victim = strike.choose()
    stopped = strike.system.states[0] if strike.kind == "worker" else victim
    stopped.freeze()
    until(lambda: not strike.engines())
    time.sleep(0.1)
    strike.again()
    stopped.thaw()


def done_written(strike):
    """The result is kept, and who would say so dies."""
    strike.submit()
    strike.begun(0.4)
    strike.choose()
    strike.system.redis.freeze()
    until(lambda: not strike.engines())
    time.sleep(0.3)
    strike.kill()
    strike.system.redis.thaw()
    until(lambda: not strike.system.balance()["running"] or strike.kind == "worker")
    if strike.kind != "worker":
        strike.back()


def waited_for(strike):
    strike.submit()
    strike.begun()
    asked = strike.client.begin("WAIT", {"id": strike.task["id"], "task": NODE, "timeout_ms": 20000})
    strike.client.pump(0.1)
    strike.again()
    answer = strike.client.end(asked)
    assert answer.status in (0, 8) and (answer.status or answer.body["status"] == "completed"), answer


MOMENTS = (pending, handed_out, early, late, done_unread, done_written, waited_for)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_one_task(town, moment):
    kind, system, client = town
    strike = Strike(town, client.task(f"{kind}-{moment.__name__}", NODE, seconds=SLEEP_S))
    until(lambda: len(client.insist("WORKERS").body) == 2)
    moment(strike)
    stage = client.wait((strike.task["id"], NODE))[0]["stages"][NODE]
    strike.back()
    assert stage["state"] == "completed" and stage["output"]["slept_ms"] >= SLEEP_S * 1000, stage
    assert stage.get("failures", 0) == 0, stage
    if strike.attempt and (kind != "worker" or moment is done_written):
        assert (stage["attempt"], stage.get("crashes", 0)) == (strike.attempt, 0), stage  # what ran was not disturbed
    if kind == "worker" and moment in (early, late, waited_for):
        assert stage["attempt"] == strike.attempt + 1 and stage["crashes"] == 1, stage
    assert client.stage(strike.task["id"], NODE) == stage
    system.settle()
    assert client.submit(strike.task)[0]["reuse"] == "miss"  # the same submit again: no new run
    system.settle()
    until(lambda: not strike.engines())
    system.check()


def test_burst(town):
    kind, system, client = town
    tasks = [client.task(f"burst-{kind}-{n}", value=n) for n in range(400)]
    victim = {"broker": system.brokers, "state": system.states, "node": system.brokers, "worker": system.workers}[kind][0]
    asked, batch, begun = {}, 20, 0
    while begun < len(tasks):
        asked[client.begin("SUBMIT", tasks[begun:begun + batch], service="system")] = begun
        begun += batch
        client.pump(0.01)
        if begun in (100, 240):
            victim.kill()
        if begun in (160, 320):
            victim.start()
    refused = []
    for request, at in asked.items():
        answer = client.end(request)
        refused += tasks[at:at + batch] if answer.status else [
            task for task, receipt in zip(tasks[at:at + batch], answer.body) if receipt["status"]]
    for at in range(0, len(refused), 200):
        client.submit(*refused[at:at + 200])
    records = client.wait(*((task["id"], "system.echo") for task in tasks))
    for n, record in enumerate(records):
        stage = record["stages"]["system.echo"]
        assert (stage["state"], stage.get("output")) == ("completed", {"value": n}), stage
    system.settle()
    system.check()


def sound(folder):
    path = os.path.join(folder, "in", "tone.wav")
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "sine=duration=1", path], check=True)
    return path


class Terror:
    """Kills one at random every now and then, and brings each back a little later."""

    def __init__(self, system, seed):
        self.random, self.processes = random.Random(seed), [*system.brokers, *system.states, *system.workers]
        self.back, self.next, self.kills = [], 0, 0

    def turn(self, now):
        for at, process in [one for one in self.back if one[0] <= now]:
            process.start()
            self.back.remove((at, process))
        if now < self.next:
            return
        self.next = now + self.random.uniform(0.2, 0.8)
        victim = self.random.choice(self.processes)
        if victim.alive():
            victim.kill()
            self.kills += 1
            self.back.append((now + self.random.uniform(0.05, 0.7), victim))

    def peace(self):
        for _, process in self.back:
            process.start()
        self.back = []


def test_terror():
    seed = int(os.environ.get("GANTRY_SEED", time.time_ns() % 1000000))
    print(f"GANTRY_SEED={seed}")
    with System("terror", brokers=2, states=2, workers=3, worker_slots=4, worker_services="ffmpeg,system", lease_ms=1500) as system:
        client = system.client()
        client.ready(NODE, "system.echo", "ffmpeg.extract_audio")
        path, dice = sound(system.folder), random.Random(seed + 1)
        tasks = [client.task(f"t{n}", "ffmpeg.extract_audio", video_path=path) if n % 25 == 0 else
                 client.task(f"t{n}", NODE, seconds=round(dice.uniform(0.05, 0.6), 2)) if n % 5 == 0 else
                 client.task(f"t{n}", value=n) for n in range(500)]
        terror, left, asked, begin = Terror(system, seed), list(tasks), {}, time.monotonic()
        while left or asked or time.monotonic() - begin < 20:
            now = time.monotonic()
            if now - begin < 20:
                terror.turn(now)
            else:
                terror.peace()
            assert now - begin < 60, f"{len(left)} not accepted, {len(asked)} not answered"
            if left and len(asked) < 4 and len(tasks) - len(left) <= (now - begin) * 30:
                task = left.pop(0)
                asked[client.begin("SUBMIT", [task], service=task["task"].split(".")[0])] = task
            client.pump(0.02)
            for request in [request for request in asked if request in client.answers]:
                answer, task = client.answers.pop(request), asked.pop(request)
                if answer.status or answer.body[0]["status"]:
                    left.append(task)  # not accepted: again, under the same token
        terror.peace()
        print(f"{terror.kills} kills; answers by status: {dict(client.statuses)}")
        records = client.wait(*((task["id"], task["task"]) for task in tasks))
        system.settle()
        for task, record in zip(tasks, records):
            stage = record["stages"][task["task"]]
            assert stage["state"] in ENDED and (stage["state"] == "completed" or stage.get("crashes") == 3), stage
            folder = record["storage_path"]
            if stage["state"] == "completed" and task["task"] == "ffmpeg.extract_audio":
                assert stage["output"]["audio_path"] == folder + "/audio/tone.wav"
                assert os.listdir(folder + "/audio") == ["tone.wav"]
        ledger = system.balance()
        assert ledger["accepted"] == 500 and ledger["failed"] == 0, ledger
        print(dict(ledger))
        system.check()
