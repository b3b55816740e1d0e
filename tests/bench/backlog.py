"""Many tasks that wait: what they cost, how they drain, how long the audit and every start take with them."""
import json
import os
import shutil
import statistics
import time

from figures import Progress, hint, size
from house import CONNECT_S, ROOM, System, Trouble, rss_bytes

SMALL = 10_000          # the backlog that a large one is compared with
SMALL_ROUNDS = 5        # before, and as many after
PARTS = 10
BATCH = 256
TASK_MEMORY = 900       # bytes a waiting task may take in Redis, and in the log
TASK_DISK = 900
LOG_S = 2.5             # after so long everything is in the log, flushed every second
UP_S = 1800
NO_AUDIT_MS = 86400000  # after the first one none but that which is timed: it would be taken for that


def check_room(options):
    """Better now than in the middle."""
    wants = {"memory": options.tasks * TASK_MEMORY + (512 << 20), "disk": options.tasks * TASK_DISK + (256 << 20)}
    with open("/proc/meminfo") as lines:
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    ROOM.mkdir(parents=True, exist_ok=True)
    has = {"memory": free, "disk": shutil.disk_usage(ROOM).free}
    short = [f"{what}: {size(wants[what])} wanted, {size(has[what])} free" for what in wants if has[what] < wants[what]]
    if short:
        raise Trouble(f"no room for {options.tasks:,} tasks; {'; '.join(short)}")


def fill(system, tasks, label=None):
    """All accepted; answers how many a second."""
    options = system.options
    share = [tasks // options.producers + (i < tasks % options.producers) for i in range(options.producers)]
    producers = [system.add("produce", 1, tasks=n, batch=BATCH, window=4 * BATCH, payload=options.payload)[0] for n in share if n]
    for load in producers:
        load.go()
    progress, since, done = Progress(label, tasks) if label else None, time.monotonic(), 0
    while not all(load.ended for load in producers):
        system.wait_line(since)
        now = sum(load.count for load in producers)
        since, done = (time.monotonic(), now) if now > done else (since, done)
        if progress:
            progress.at(done)
    if progress:
        progress.end()
    for load in producers:
        load.wait()
    system.loads = [load for load in system.loads if load not in producers]
    return tasks * 1e9 / (max(load.ended for load in producers) - min(load.start for load in producers))


def drain(system, workers, tasks, label=None):
    """Goes on, and is paused again when all is done. [(ns, completed)]"""
    base, done = sum(load.count for load in workers), 0
    system.gantry("resume", "system")
    progress, since, samples = Progress(label, tasks) if label else None, time.monotonic(), []
    while done < tasks:
        system.wait_line(since)
        done = sum(load.count for load in workers) - base
        if done > (samples[-1][1] if samples else 0):
            samples.append((max(load.last for load in workers), done))
            since = time.monotonic()
        if progress:
            progress.at(done)
    if progress:
        progress.end()
    system.gantry("pause", "system")
    return samples


def when(samples, done):
    """The ns at which so many were done; between two samples the flow was even, before the first there is none."""
    if done <= samples[0][1]:
        return samples[0][0]
    for (t0, n0), (t1, n1) in zip(samples, samples[1:]):
        if n1 >= done:
            return t0 + (t1 - t0) * (done - n0) / (n1 - n0)
    raise AssertionError("more than were done")


def rate(samples, first, last):
    first = max(first, samples[0][1])
    ns = when(samples, last) - when(samples, first)
    return (last - first) * 1e9 / ns if ns else 0.0  # so few that nobody saw time pass


def small_rates(system, workers, tasks):
    """Of a small backlog, without its begin and end."""
    rates = []
    for _ in range(SMALL_ROUNDS):
        fill(system, tasks)
        samples = drain(system, workers, tasks)
        rates.append(rate(samples, tasks // 10 or 1, tasks * 9 // 10))
    return rates


def workers_ready(system):
    """Connected and registered; the queue is paused, so that they wait."""
    workers = system.add("work", system.options.workers, window=256)
    for load in workers:
        load.go()
    time.sleep(CONNECT_S)
    return workers


def up_again(system, name):
    """kill -9 of all processes of that name. Seconds until Redis answers (Redis only), and until a submit is accepted."""
    for pid in [pid for found, pid in system.pids() if found == name]:
        os.kill(pid, 9)
    begin, figures = time.monotonic(), {}
    hint(f"{name} starts again")
    probe = system.start("probe", payload=system.options.payload)
    if name == "redis":
        system.until(lambda: system.redis("PING").startswith("+PONG"), UP_S, "Redis' start")
        figures["answers_s"] = time.monotonic() - begin
    if probe.wait(UP_S):
        raise Trouble(f"no task is accepted after {name} was killed")
    figures["accepts_s"] = time.monotonic() - begin
    hint("")
    system.loads.remove(probe)
    return figures


def measure_memory(system, options, before, report):
    time.sleep(LOG_S)
    after, rss = system.used_memory(), system.sums(rss_bytes)
    figures = {"tasks": options.tasks, "redis_bytes_per_task": (after - before["used"]) / options.tasks,
               "redis_rss_per_task": (rss["redis"] - before["rss"]["redis"]) / options.tasks, "rss_bytes": rss,
               "rss_growth_bytes": {name: rss[name] - before["rss"][name] for name in rss}}
    report.row("memory", **figures)
    used, resident = figures["redis_bytes_per_task"], figures["redis_rss_per_task"]
    report.say(f"a waiting task in Redis       {used:.0f} bytes used, {resident:.0f} resident")
    for name, value in figures["rss_growth_bytes"].items():
        report.say(f"RSS of {name:<22} {size(rss[name])}, grown by {size(value)}")


def measure_starts(system, options, report):
    names = ("redis", "node") if options.fused else ("redis", "state", "broker")
    for name in names:
        figures = up_again(system, name)
        report.row("up again", process=name, **figures)
        answers = f", it answers after {figures['answers_s']:.2f} s" if "answers_s" in figures else ""
        report.say(f"{name + ' killed':<29} a submit is accepted after {figures['accepts_s']:.2f} s{answers}")
    return len(names)


def measure_audit(system, report):
    begin = time.monotonic()
    hint("audit: it rests for 95 % of its time")
    said = system.gantry("audit", "--timeout", "24h").strip()
    hint("")
    report.row("audit", seconds=time.monotonic() - begin, said=said)
    report.say(f"audit                         {time.monotonic() - begin:.2f} s: {said}")


def show_drain(report, samples, tasks, before, after):
    edges = [tasks * i // PARTS for i in range(PARTS + 1)]
    parts = [rate(samples, first, last) for first, last in zip(edges, edges[1:])]
    small = statistics.median(before + after)
    figures = {"tasks": tasks, "tasks_per_s": rate(samples, 0, tasks), "per_part": parts, "small_backlog_per_s": small,
               "ratio": parts[0] / small if small else None}
    report.row("drain", **figures)
    report.say(f"drained                       {figures['tasks_per_s']:,.0f} tasks/s; by tenths, in thousands: "
               + " ".join(f"{part / 1000:.1f}" for part in parts))
    report.say(f"a small backlog drains at     {small:,.0f} tasks/s; the first tenth of the large one at x "
               f"{figures['ratio'] or 0:.3f} of that")


def run(options, report):
    check_room(options)
    small = min(SMALL, options.tasks)
    with System(options, keep=1, **{"queue-max": 2 * options.tasks + 1000, "audit-interval-ms": NO_AUDIT_MS}) as system:
        system.until(lambda: json.loads(system.gantry("ledger", "--json"))["audits"] > 0, 30, "the first audit")
        workers = workers_ready(system)
        system.gantry("pause", "system")
        hint("a small backlog, several times")
        rates = small_rates(system, workers, small)
        hint("")
        before = {"used": system.used_memory(), "rss": system.sums(rss_bytes)}
        report.say(f"fsync {options.fsync}, {options.tasks:,} tasks of {options.payload} bytes wait; {os.cpu_count()} CPUs")
        accepted = fill(system, options.tasks, "filling")
        report.row("fill", tasks=options.tasks, tasks_per_s=accepted)
        report.say(f"filled                        {accepted:,.0f} tasks/s, {BATCH} a message")
        measure_memory(system, options, before, report)
        if not options.no_audit:
            measure_audit(system, report)
        for load in workers:
            load.stop()
        probes = measure_starts(system, options, report) if options.fsync != "none" else 0
        system.loads = []
        workers = workers_ready(system)
        samples = drain(system, workers, options.tasks + probes, "draining")
        hint("a small backlog, several times")
        after = small_rates(system, workers, small)
        hint("")
    show_drain(report, samples, options.tasks, rates, after)
