"""Constant load for long: memory, latency and CPU by the minute, and what has grown at the end."""
import time

from figures import align, percentile, size
from house import System, cpu_seconds, rss_bytes

ASK_MS = 50         # pause between two tasks that are timed
HEAD_EVERY = 20     # lines


class Meter:
    """What happened between two looks."""

    def __init__(self, system, workers, asker):
        self.system, self.workers, self.asker = system, workers, asker
        self.begun = time.monotonic()
        self.done, self.timed, self.at, self.cpu = 0, 0, self.begun, system.sums(cpu_seconds)

    def look(self):
        now, cpu, times = time.monotonic(), self.system.sums(cpu_seconds), self.asker.times
        done = sum(load.count for load in self.workers)
        tasks, fresh = max(1, done - self.done), times[self.timed:]
        figures = {"seconds": now - self.begun, "tasks": done, "tasks_per_s": (done - self.done) / (now - self.at),
                   "cpu_us_per_task": {name: (cpu[name] - self.cpu[name]) * 1e6 / tasks for name in cpu},
                   "rss_bytes": self.system.sums(rss_bytes), "redis_used_bytes": self.system.used_memory()}
        for i, name in enumerate(("to_worker_us", "to_result_us")):
            values = [pair[i] / 1000 for pair in fresh]
            figures[name] = {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99)} if values else {}
        self.done, self.timed, self.at, self.cpu = done, len(times), now, cpu
        return figures


def cells(figures):
    times = [f"{figures[name].get(p, 0):,.0f}" for name in ("to_worker_us", "to_result_us") for p in ("p50", "p99")]
    return [f"{figures['seconds'] / 60:.2f}", f"{figures['tasks_per_s']:,.0f}", *times,
            *(size(value) for value in figures["rss_bytes"].values()), f"{sum(figures['cpu_us_per_task'].values()):.1f}"]


def head(figures):
    return ["minute", "tasks/s", "worker p50", "p99", "result p50", "p99", *(f"{name} RSS" for name in figures["rss_bytes"]),
            "server us"]


def show_row(report, figures, number):
    """Lines that align although they are printed one by one."""
    widths = [max(len(cell), 10) for cell in head(figures)]
    for line in ([head(figures)] if number % HEAD_EVERY == 0 else []) + [cells(figures)]:
        report.say("  ".join(cell.rjust(width) for cell, width in zip(line, widths)))


def show_growth(report, first, last):
    seconds, tasks = last["seconds"] - first["seconds"], last["tasks"] - first["tasks"]
    grown = {name: last["rss_bytes"][name] - first["rss_bytes"][name] for name in last["rss_bytes"]}
    kept = (last["redis_used_bytes"] - first["redis_used_bytes"]) / max(1, tasks)
    report.row("growth", seconds=seconds, tasks=tasks, rss_bytes=grown, redis_bytes_per_task=kept)
    report.say(f"\ngrown within {seconds / 60:.1f} minutes and {tasks:,} tasks")
    for line in align([["", "RSS"], *([name, size(value)] for name, value in grown.items())]):
        report.say(line)
    report.say(f"Redis keeps {kept:.0f} bytes of a task that has ended")


def run(options, report):
    until, each = options.minutes * 60, max(1, options.rate // options.producers)
    with System(options) as system:
        workers = system.add("work", options.workers, window=256)
        producers = system.add("produce", options.producers, tasks=int(each * until) + 1, rate=each, window=options.window,
                               payload=options.payload)
        asker, = system.add("rtt", 1, tasks=10 ** 9, payload=options.payload, pause_ms=ASK_MS)
        report.say(f"fsync {options.fsync}, {each * options.producers:,} tasks/s, {options.producers} producers, "
                   f"{options.workers} workers; latencies in microseconds, of one task each {ASK_MS} ms")
        for load in workers + producers + [asker]:
            load.go()
        meter, looks = Meter(system, workers, asker), []
        while not looks or looks[-1]["seconds"] + options.every / 2 < until:
            due = time.monotonic() + min(options.every, until)
            while time.monotonic() < due:
                system.wait_line(time.monotonic())
            looks.append(meter.look())
            report.row("minute", **looks[-1])
            show_row(report, looks[-1], len(looks) - 1)
        show_growth(report, looks[0], looks[-1])
