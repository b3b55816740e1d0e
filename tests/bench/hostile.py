"""The p99 of well-behaved clients that keep a pace, alone and under each attack (attacks.py), in turn."""
import json
import os
import signal
import statistics
import subprocess
import time

import fronts
from figures import hint, size, spread
from house import Trouble, cpu_seconds, rss_bytes

ATTACKS = ("slow", "idle", "junk", "big", "half", "deaf")
CONNECTIONS, PAUSE_MS = 16, 10  # about 1,500 requests a second, half of them GETs
SETTLE_S = 1.0
READY_S = 30


class Attack:
    """attacks.py, under way. Use with `with`; said is its report afterwards."""

    def __init__(self, name, port):
        self.name, self.said = name, None
        self.process = subprocess.Popen([fronts.PYTHON, str(fronts.HERE / "attacks.py"), name, str(port)], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        if self.process.stdout.readline() != "READY\n":
            raise Trouble(f"the attack {self.name} does not get under way")
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            out, _ = self.process.communicate(timeout=READY_S)
        finally:
            self.process.kill()
            self.process.wait()
        if kind is None:
            self.said = json.loads(out.splitlines()[-1])


def paced(front, options):
    """Figures of the well-behaved clients, and what the front used meanwhile."""
    pid = front.front().pid
    before, begun = cpu_seconds(pid), time.monotonic()
    figures = fronts.Wrk(front.port, options, options.seconds, PAUSE_MS, CONNECTIONS).figures()
    if figures["refused"] or figures["timed_out"] or figures["broken"]:
        raise Trouble(f"{figures['refused']} refused, {figures['timed_out']} late, {figures['broken']} broken off")
    return {**figures, "front_cpu": (cpu_seconds(pid) - before) / (time.monotonic() - begun), "front_rss_bytes": rss_bytes(pid)}


def pair(front, options, name):
    alone = paced(front, options)
    time.sleep(SETTLE_S)
    with Attack(name, front.port) as attack:
        under = paced(front, options)
    time.sleep(SETTLE_S)
    if front.front().poll() is not None:
        raise Trouble(f"the front did not live through {name}")
    return {"attack": name, "alone": alone, "under": under, "attackers": attack.said, "p99_ratio": under["p99_us"] / alone["p99_us"],
            "p50_ratio": under["p50_us"] / alone["p50_us"]}


def show(options, report, rows):
    table = [["attack", "rounds", "alone p50", "p99 us", "under p50", "p99 us", "p99 ratio, median (least–most)", "front CPU alone", "under",
              "front RSS"]]
    for name in options.attacks:
        mine = [row for row in rows if row["attack"] == name]
        ratios = [row["p99_ratio"] for row in mine]
        figures = {way: {key: statistics.median(row[way][key] for row in mine) for key in mine[0][way]} for way in ("alone", "under")}
        report.row("median", attack=name, rounds=len(mine), p99_ratio=statistics.median(ratios), **figures)
        table.append([name, len(mine), *(f"{figures[way][key]:,.0f}" for way in ("alone", "under") for key in ("p50_us", "p99_us")),
                      spread(ratios, 2), *(f"{figures[way]['front_cpu']:.1%}" for way in ("alone", "under")),
                      size(max(row["under"]["front_rss_bytes"] for row in mine))])
    report.say("")
    report.table(table)


def run(options, report):
    fronts.check_packages(["gantry"])
    report.say(f"{CONNECTIONS} well-behaved connections, a request each about {PAUSE_MS} ms, every second one a GET; {options.seconds:g} s "
               f"alone, {options.seconds:g} s under attack; {os.cpu_count()} CPUs; attackers have the lowest priority")
    rows = []
    for number in range(1, options.rounds + 1):
        with fronts.Gantry(options) as front:
            fronts.Wrk(front.port, options, options.warm, PAUSE_MS, CONNECTIONS).figures()
            for name in options.attacks:
                hint(f"round {number}: {name}")
                row = {"round": number, **pair(front, options, name)}
                hint("")
                rows.append(row)
                report.row("round", **row)
                report.say(f"{time.strftime('%H:%M:%S')} round {number}  {name:<5} p99 {row['alone']['p99_us']:6,d} us alone, "
                           f"{row['under']['p99_us']:6,d} under: x {row['p99_ratio']:.2f}  {json.dumps(row['attackers'])}")
    show(options, report, rows)
