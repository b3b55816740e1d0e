"""Redis goes away in the middle of load, for longer than a lease, and comes back: nothing that was accepted is lost,
nothing that runs is disturbed, clients are told when to come again, and all goes on by itself.
"""
import time

import pytest

from harness import BUSY, OK, UNAVAILABLE, System, processes_in, until

LEASE_MS, AWAY_S, SLEEP_S, SLEEPERS = 3000, 4.5, 8, 4
NODE = "system.sleep"


def killed(redis):
    redis.kill()
    return redis.start


def stopped(redis):
    redis.stop()
    return redis.start


def hung(redis):
    """Connections are taken, and nothing is answered; what was written to it is done when it wakes, for nobody."""
    redis.freeze()
    return redis.thaw


class Load:
    """Submits a few tasks at a time, all the time; remembers which were accepted, and how often it was told to wait."""

    def __init__(self, client):
        self.client, self.count, self.accepted, self.refused, self.asked = client, 0, [], [], {}

    def turn(self, most=8):
        if len(self.asked) < most:
            tasks = [self.client.task(f"load-{self.count + n}", value=n) for n in range(5)]
            self.asked[self.client.begin("SUBMIT", tasks, service="system")] = tasks
            self.count += len(tasks)
        self.client.pump(0.02)
        for request in [request for request in self.asked if request in self.client.answers]:
            answer, tasks = self.client.answers.pop(request), self.asked.pop(request)
            if answer.status:
                assert answer.status in (BUSY, UNAVAILABLE), answer
                assert answer.body["retry_after_ms"] > 0 and answer.body["message"], answer
                self.refused.append((time.monotonic(), answer))
                continue
            for task, receipt in zip(tasks, answer.body):
                if receipt["status"] == OK:
                    self.accepted.append(task["id"])
                else:
                    assert receipt["status"] == UNAVAILABLE and receipt["retry_after_ms"] > 0, receipt
                    self.refused.append((time.monotonic(), receipt))

    def keep_on(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn()

    def finish(self):
        end = time.monotonic() + 40
        while self.asked:
            assert time.monotonic() < end, f"{len(self.asked)} submits without an answer"
            self.turn(0)


@pytest.mark.parametrize("way", (killed, stopped, hung), ids=lambda way: way.__name__)
def test_away(way):
    # kill -9 while a fsync is under way may lose what everysec promises to lose: always promises more
    always = ("--appendfsync", "always") if way is killed else ()
    with System("away", workers=2, worker_slots=4, lease_ms=LEASE_MS, heartbeat_ms=300, liveness_ms=1000,
                redis_timeout_ms=500, redis_flags=always) as system:
        client = system.client()
        client.ready(NODE, "system.echo")
        sleepers = [client.task(f"sleeper-{n}", NODE, seconds=SLEEP_S) for n in range(SLEEPERS)]
        receipts = client.submit(*sleepers)
        assert {receipt["durability"] for receipt in receipts} == {"always" if always else "everysec"}
        until(lambda: system.balance()["running"] == SLEEPERS)
        waits = {client.begin("WAIT", {"id": task["id"], "timeout_ms": 30000}): task for task in sleepers}
        load = Load(client)
        load.keep_on(1)
        assert load.accepted and not load.refused
        engines = [pid for pid, line in processes_in(system.folder).items() if "gantry-engine" in line]

        come_back = way(system.redis)
        gone, before = time.monotonic(), len(load.accepted)
        load.keep_on(AWAY_S)
        assert load.refused and load.refused[0][0] - gone < 1.5, "nobody was told"
        told = [at for at, _ in load.refused]
        assert told[-1] - gone > AWAY_S - 1 and len(load.accepted) - before <= 40 * (way is not hung)
        asked = time.monotonic()
        answer = client.ask("GET", {"id": "sleeper-0"})
        assert answer.status == UNAVAILABLE and answer.body["retry_after_ms"] > 0 and time.monotonic() - asked < 1
        assert client.ask("STATUS").status == OK  # the broker itself is well

        begin = time.monotonic()
        come_back()
        until(system.redis_answers)
        accepted = len(load.accepted)
        while len(load.accepted) == accepted:
            load.turn()
            assert time.monotonic() - begin < 6, "it did not go on"
        load.keep_on(0.5)
        assert set(engines) <= set(processes_in(system.folder)), "what ran was killed"
        load.finish()

        for task in sleepers:
            stage = client.wait((task["id"], NODE))[0]["stages"][NODE]
            assert (stage["state"], stage.get("crashes", 0), stage["attempt"]) == ("completed", 0, 1), stage
        for request in waits:  # parked before all that: answered, or told to ask again
            assert client.end(request, 40).status in (OK, UNAVAILABLE)
        client.wait(*((id_, "system.echo") for id_ in load.accepted))
        until(lambda: system.balance()["pending"] + system.balance()["running"] == 0)
        system.settle()
        ledger = system.balance()
        assert ledger["crashes"] == 0 and ledger["completed"] == ledger["accepted"] >= len(load.accepted) + SLEEPERS, ledger
        system.check()
