"""gantry-front among clients that mean harm (tests/bench/attacks.py): who behaves notices nothing but time, and how much
of that is printed, not asserted. What an attack costs is bounded, and who is over a limit is cut off."""
import http.client
import json
import os
import pathlib
import subprocess
import time

import pytest

from http_house import House

ATTACKS = pathlib.Path(os.environ["GANTRY_SOURCE"]) / "tests" / "bench" / "attacks.py"
EVERY_S, ALONE_S, ENOUGH_S = 0.02, 3.0, 40
REQUEST_MS, IDLE_MS = 1500, 2500
SLACK_S = 5  # a sanitized front on a busy machine, and attackers of the lowest priority, notice late
MOST = 100 << 20  # memory: 1,000 connections of 32 KiB, 16 bodies of 1 MiB on their way into JSON, and what malloc keeps


class Clients:
    """Who behaves: POST and GET in turn, fifty a second, over a connection that stays."""

    def __init__(self, house):
        self.link, self.number = http.client.HTTPConnection("127.0.0.1", house.port, timeout=30), 0

    def one(self):
        if self.number % 2 == 0:
            self.last = f"hostile-{time.monotonic_ns():x}"
            body = {"task_name": "system.echo", "task_id": self.last, "input_data": {"value": self.number}}
            self.link.request("POST", "/v1/tasks", json.dumps(body), {"Content-Type": "application/json"})
        else:
            self.link.request("GET", f"/v1/tasks/{self.last}/status")
        answer = self.link.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 200 and said["task_id"] == self.last, said
        self.number += 1

    def run(self, over):
        """Times of all requests, until over() says so."""
        times, due = [], time.monotonic()
        while not over():
            due = max(due + EVERY_S, time.monotonic() - EVERY_S)
            time.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            self.one()
            times.append(time.monotonic() - begun)
        return times


def p99_ms(times):
    return sorted(times)[int(len(times) * 0.99)] * 1000


def passed(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


class Attack:
    def __init__(self, name, port, task):
        self.log, self.until = pathlib.Path(f"{name}.log"), time.monotonic() + ENOUGH_S
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["/usr/bin/python3", ATTACKS, name, str(port)], stdout=log, env={**os.environ, "ATTACK_TASK": task})

    def enough(self):
        assert time.monotonic() < self.until and self.process.poll() is None, self.log.read_text()
        return "ENOUGH" in self.log.read_text()

    def end(self):
        self.process.terminate()
        assert self.process.wait(SLACK_S * 4) == 0
        return json.loads(self.log.read_text().splitlines()[-1])

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def house():
    with House("hostile", front_request_ms=REQUEST_MS, front_idle_ms=IDLE_MS, env={"ASAN_OPTIONS": "quarantine_size_mb=4"}) as made:
        made.knows("system.echo", "system.sleep")
        assert made.http.submit("system.sleep", "long", seconds=600).status == 200
        made.good = Clients(made)
        made.alone = made.good.run(passed(ALONE_S))
        made.rss = made.front.rss()
        yield made
        made.http.call("DELETE", "/v1/tasks/long")


def suffer(house, name):
    """One attack from its start until every attacker has had its end; its report."""
    attack = Attack(name, house.port, "long")
    try:
        times = house.good.run(attack.enough)
        rss = house.front.rss()
        report = attack.end()
    finally:
        attack.stop()
    house.check()
    alone, under = p99_ms(house.alone), p99_ms(times)
    print(f"\n{name}: p99 {alone:.1f} ms alone, {under:.1f} ms under attack (x {under / alone:.2f}, {len(times)} requests), "
          f"memory {(rss - house.rss) >> 20:+} MiB; {report}")
    assert rss - house.rss < MOST
    house.good.run(passed(0.2))
    return report


def test_slow_senders(house):
    report = suffer(house, "slow")
    assert report["longest_s"] < REQUEST_MS / 1000 + SLACK_S
    assert set(report["answers"]) == {"408"}


def test_connections_that_say_nothing(house):
    report = suffer(house, "idle")
    assert report["opened"] >= 1000 and report["longest_s"] < IDLE_MS / 1000 + SLACK_S


def test_junk(house):
    report = suffer(house, "junk")
    assert report["bytes"] >= 64 << 20
    assert set(report["answers"]) <= {"400", "408", "413"}, report


def test_requests_beyond_every_limit(house):
    report = suffer(house, "big")
    assert set(report["answers"]) <= {"400", "408", "413", "414", "431"}, report
    assert {"413", "414", "431"} <= set(report["answers"]), report


def test_connections_half_closed(house):
    report = suffer(house, "half")
    assert report["answers"]["200"] >= 100  # whole requests are answered although nothing more can come


def test_readers_that_never_read(house):
    report = suffer(house, "deaf")
    assert report["opened"] >= 200


def test_nothing_of_them_is_left(house):
    """Every connection of every attack is gone, but for the clients' own."""
    end = time.monotonic() + SLACK_S + IDLE_MS / 1000
    while (left := len(os.listdir(f"/proc/{house.front.pid}/fd"))) > 40 and time.monotonic() < end:
        house.good.run(passed(0.2))
    assert left <= 40
