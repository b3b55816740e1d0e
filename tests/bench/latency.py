"""One task in flight: submit to worker, submit to result."""
import statistics
import time

from figures import percentile
from house import CONNECT_S, System, Trouble

WAYS = (("to_worker_us", "submit to worker", 0), ("to_result_us", "submit to result", 1))
WARM = 20  # one in so many is left out, the first ones


def one_round(options, folder):
    with System(options, folder) as system:
        worker, = system.add("work", 1, window=1)
        asker, = system.add("rtt", 1, tasks=options.tasks, payload=options.payload)
        worker.go()
        time.sleep(CONNECT_S)
        asker.go()
        if asker.wait(60 + options.tasks):
            raise Trouble("a task did not come back")
        system.until(lambda: len(asker.times) == options.tasks, 10, "reading the times")
    times = asker.times[options.tasks // WARM:]
    figures = {"tasks": len(times)}
    for name, _, i in WAYS:
        values = [pair[i] / 1000 for pair in times]
        figures[name] = {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99)}
    return figures


def run(options, report):
    folders = [options.bin] + ([options.against] if options.against else [])
    end, rows, number = time.monotonic() + options.minutes * 60, [], 0
    while number < options.rounds or time.monotonic() < end:
        number += 1
        for folder in folders:
            row = {"round": number, "bin": folder, **one_round(options, folder)}
            rows.append(row)
            report.row("round", **row)
            report.say(f"{time.strftime('%H:%M:%S')} round {number}  p50 {row['to_worker_us']['p50']:,.0f} us to the worker, "
                       f"{row['to_result_us']['p50']:,.0f} us to the result" + (f"  {folder}" if options.against else ""))
    table = [["one task in flight", "rounds", "p50 us", "p99 us"]]
    for name, text, _ in WAYS:
        medians = []
        for folder in folders:
            mine = [row[name] for row in rows if row["bin"] == folder]
            medians.append({p: statistics.median(row[p] for row in mine) for p in ("p50", "p99")})
            report.row("median", way=name, bin=folder, rounds=len(mine), **medians[-1])
            label = text + (f", {folder}" if len(folders) > 1 else "")
            table.append([label, len(mine), *(f"{value:,.0f}" for value in medians[-1].values())])
        if len(folders) > 1:
            ratio = {p: medians[1][p] / medians[0][p] for p in medians[0]}
            report.row("ratio", way=name, **ratio)
            table.append(["  ratio of medians", "", *(f"x {v:.3f}" for v in ratio.values())])
    report.say(f"\nfsync {options.fsync}, {options.payload} bytes, {options.tasks:,} tasks a round; medians")
    report.table(table)
