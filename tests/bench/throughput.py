"""Producers and workers together, from the producers' start to the last completion."""
import os
import statistics
import time

from figures import spread
from house import CONNECT_S, SETTLE_S, System, busy_seconds, cpu_seconds, rss_bytes

ORDER = ("redis", "state", "broker", "node", "producers", "workers", "sum")


def per_task(loads, tasks):
    return sum(load.cpu for load in loads) * 1e6 / tasks


def one_round(options, folder, batch):
    with System(options, folder) as system:
        each = options.tasks // options.producers
        total = each * options.producers
        workers = system.add("work", options.workers, window=256)
        producers = system.add("produce", options.producers, tasks=each, window=options.window, batch=batch,
                               payload=options.payload, merge=0 if options.no_merge else 1)
        for load in workers:
            load.go()
        time.sleep(CONNECT_S)
        before, busy, begun = system.sums(cpu_seconds), busy_seconds(), time.monotonic()
        for load in producers:
            load.go()
        done, progress = 0, time.monotonic()
        while done < total:
            system.wait_line(progress)
            now = sum(load.count for load in workers)
            progress = time.monotonic() if now > done else progress
            done = now
        time.sleep(SETTLE_S)
        after, seconds = system.sums(cpu_seconds), time.monotonic() - begun
        memory, busy = system.sums(rss_bytes), busy_seconds() - busy
        for load in producers + workers:
            load.stop() if load.role == "work" else load.wait()
    start = min(load.start for load in producers)
    cpu = {name: (after[name] - before[name]) * 1e6 / total for name in after}
    cpu |= {"producers": per_task(producers, total), "workers": per_task(workers, total)}
    cpu["sum"] = sum(cpu.values())
    others = max(0.0, busy - cpu["sum"] * total / 1e6) / (seconds * os.cpu_count())
    return {"batch": batch, "tasks": total, "tasks_per_s": total * 1e9 / (max(load.last for load in workers) - start),
            "accepted_per_s": total * 1e9 / (max(load.ended for load in producers) - start), "cpu_us_per_task": cpu,
            "rss_bytes": memory, "others_cpu": others}


def summary(rows):
    """Medians of rounds of one kind."""
    first = rows[0]
    cpu = {name: statistics.median(row["cpu_us_per_task"][name] for row in rows) for name in ORDER if name in first["cpu_us_per_task"]}
    return {"batch": first["batch"], "bin": first["bin"], "rounds": len(rows), "tasks": first["tasks"], "cpu_us_per_task": cpu,
            "tasks_per_s": statistics.median(row["tasks_per_s"] for row in rows)}


def ratios(one, other):
    """Of the second folder's medians to the first one's."""
    names = [name for name in one["cpu_us_per_task"] if other["cpu_us_per_task"].get(name)]
    return {"batch": one["batch"], "tasks_per_s": other["tasks_per_s"] / one["tasks_per_s"],
            "cpu_us_per_task": {name: other["cpu_us_per_task"][name] / max(1e-9, one["cpu_us_per_task"][name]) for name in names}}


def cells(cpu, names, form):
    return [format(cpu[name], form) if name in cpu else "-" for name in names]


def show(options, report, rows, folders):
    names = [name for name in ORDER if any(name in row["cpu_us_per_task"] for row in rows)]
    table = [["", "rounds", "tasks/s, median (least–most)", *(f"{name} us" for name in names)]]
    for batch in options.batch:
        medians = []
        for folder in folders:
            mine = [row for row in rows if row["bin"] == folder and row["batch"] == batch]
            medians.append(summary(mine))
            report.row("median", **medians[-1])
            unit = "message" if options.no_merge else "call"
            label = (f"one a {unit}" if batch == 1 else f"{batch} a {unit}") + (f", {folder}" if len(folders) > 1 else "")
            table.append([label, len(mine), spread([row["tasks_per_s"] for row in mine]),
                          *cells(medians[-1]["cpu_us_per_task"], names, ".2f")])
        if len(folders) > 1:
            ratio = ratios(*medians)
            report.row("ratio", **ratio)
            table.append(["  ratio of medians", "", f"x {ratio['tasks_per_s']:.3f}", *cells(ratio["cpu_us_per_task"], names, ".3f")])
    report.say("\nCPU microseconds a task, by process")
    report.table(table)
    others = statistics.median(row["others_cpu"] for row in rows)
    if others > 0.1:
        report.say(f"note: other programs used {others:.0%} of this machine meanwhile")


def run(options, report):
    folders = [options.bin] + ([options.against] if options.against else [])
    end, rows, number = time.monotonic() + options.minutes * 60, [], 0
    report.say(f"fsync {options.fsync}, {options.producers} producers, {options.workers} workers, {options.payload} bytes, "
               f"{options.tasks:,} tasks a round, {os.cpu_count()} CPUs")
    while number < options.rounds or time.monotonic() < end:
        number += 1
        for batch in options.batch:
            for folder in folders:
                row = {"round": number, "bin": folder, **one_round(options, folder, batch)}
                rows.append(row)
                report.row("round", **row)
                report.say(f"{time.strftime('%H:%M:%S')} round {number}  batch {batch:<4} {row['tasks_per_s']:10,.0f} tasks/s  "
                           f"{row['cpu_us_per_task']['sum']:6.2f} us a task" + (f"  {folder}" if options.against else ""))
    show(options, report, rows, folders)
