"""POST /v1/tasks as fast as a fixed number of connections goes, beside gateways before Celery."""
import os
import statistics
import time

import fronts
from figures import hint, spread
from house import Trouble, busy_seconds

NAMES = {"gantry": "Gantry", "flask": "Flask + Celery", "fastapi": "FastAPI + Celery"}
ORDER = ("front", "redis", "state", "broker", "worker", "workers")


def one_round(options, peer, folder):
    with fronts.make(peer, options, folder) as front:
        fronts.Wrk(front.port, options, options.warm).figures()
        before = front.drained()
        cpu, busy, begun = front.cpu(), busy_seconds(), time.monotonic()
        load = fronts.Wrk(front.port, options, options.seconds)
        figures = load.figures()
        after, seconds, busy = front.cpu(), time.monotonic() - begun, busy_seconds() - busy
        executed = front.counts()[1] - before[1]
        accepted, finished = (now - then for now, then in zip(front.drained(), before))
        drained = time.monotonic() - begun - seconds
    used = {name: after[name] - cpu[name] for name in after}
    others = max(0.0, busy - sum(used.values()) - figures["wrk_cpu_s"]) / (seconds * os.cpu_count())
    check(peer, figures, accepted, finished, options.connections)
    return {**figures, "cpu_s": used, "cpu_us_per_request": sum(used.values()) * 1e6 / figures["answered"], "accepted": accepted,
            "executed": finished, "executed_meanwhile": executed, "drain_s": drained, "tasks_per_s": finished / (seconds + drained), "others_cpu": others}


def check(peer, figures, accepted, executed, connections):
    """What was answered was accepted, but for requests that the load's end cut off; all of it was executed."""
    good = figures["answered"] - figures["refused"]
    if figures["refused"] or figures["timed_out"] or figures["broken"]:
        raise Trouble(f"{peer}: of {figures['answered']} requests {figures['refused']} were refused, {figures['timed_out']} came too late, "
                      f"{figures['broken']} broke off")
    if not good <= accepted <= good + connections or executed != accepted:
        raise Trouble(f"{peer}: {good} good answers, {accepted} accepted, {executed} executed")


def median(rows):
    names = [name for name in ORDER if name in rows[0]["cpu_s"]]
    figures = {name: statistics.median(row[name] for row in rows)
               for name in ("requests_per_s", "p50_us", "p99_us", "cpu_us_per_request", "executed_meanwhile", "accepted", "tasks_per_s")}
    figures["cpu_us"] = {name: statistics.median(row["cpu_s"][name] * 1e6 / row["answered"] for row in rows) for name in names}
    return {"peer": rows[0]["peer"], "bin": rows[0]["bin"], "rounds": len(rows), **figures}


def show(options, report, rows, kinds):
    table = [["", "rounds", "requests/s, median (least–most)", "p50 ms", "p99 ms", "CPU us a request", "of it the front", "tasks/s to the last's end",
              "requests/s to the first"]]
    first = None
    for peer, folder in kinds:
        mine = [row for row in rows if (row["peer"], row["bin"]) == (peer, folder)]
        figures = median(mine)
        first = first or figures
        ratios = {name: figures[name] / first[name] for name in ("requests_per_s", "p50_us", "p99_us", "cpu_us_per_request")}
        report.row("median", **figures, ratio=ratios)
        label = NAMES[peer] + (f", {folder}" if options.against else "")
        table.append([label, len(mine), spread([row["requests_per_s"] for row in mine]), f"{figures['p50_us'] / 1000:.2f}",
                      f"{figures['p99_us'] / 1000:.2f}", f"{figures['cpu_us_per_request']:,.0f}", f"{figures['cpu_us']['front']:,.0f}",
                      f"{figures['tasks_per_s']:,.0f}", f"x {ratios['requests_per_s']:.3f}"])
    report.say("")
    report.table(table)
    report.say("all that was accepted was executed; executed while the load ran:")
    for peer, folder in kinds:
        mine = [row for row in rows if (row["peer"], row["bin"]) == (peer, folder)]
        part = statistics.median(row["executed_meanwhile"] / row["accepted"] for row in mine)
        report.say(f"  {NAMES[peer]}: {part:.0%}, the rest within {max(row['drain_s'] for row in mine):.1f} s")
    others = statistics.median(row["others_cpu"] for row in rows)
    if others > 0.1:
        report.say(f"note: other programs used {others:.0%} of this machine meanwhile")


def run(options, report):
    kinds = [("gantry", options.bin), ("gantry", options.against)] if options.against else [(peer, options.bin) for peer in options.peers]
    fronts.check_packages([peer for peer, _ in kinds])
    report.say(f"fsync {options.fsync}, {options.connections} connections, {options.payload} bytes, {options.seconds:g} s a round, "
               f"{options.workers} workers, gateways of {options.processes} processes, {os.cpu_count()} CPUs")
    rows = []
    for number in range(1, options.rounds + 1):
        for peer, folder in kinds:
            hint(f"round {number}: {NAMES[peer]}")
            row = {"round": number, "peer": peer, "bin": folder, **one_round(options, peer, folder)}
            hint("")
            rows.append(row)
            report.row("round", **row)
            report.say(f"{time.strftime('%H:%M:%S')} round {number}  {NAMES[peer]:<16} {row['requests_per_s']:9,.0f} requests/s  "
                       f"p50 {row['p50_us'] / 1000:7.2f} ms  p99 {row['p99_us'] / 1000:7.2f} ms  {row['cpu_us_per_request']:6,.0f} us a request"
                       + (f"  {folder}" if options.against else ""))
    show(options, report, rows, kinds)
