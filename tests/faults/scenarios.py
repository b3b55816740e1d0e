"""What tests/faults/run can run. Each answers whether all was well."""
import collections
import os
import random
import sys
import time

import checker
import faults
import journal
import watch
from town import Town

SHOWN = 12  # findings of a kind that are printed


class Progress:
    """One line that is written over on a terminal, else a line each ten seconds."""

    def __init__(self):
        self.begin, self.due, self.terminal = time.monotonic(), 0.0, sys.stdout.isatty()

    def say(self, text):
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + (1 if self.terminal else 10)
        line = f"{time.monotonic() - self.begin:6.0f} s  {text}"
        print("\r\x1b[K" + line if self.terminal else line, end="" if self.terminal else "\n", flush=True)

    def end(self):
        if self.terminal:
            print("\r\x1b[K", end="")


def seconds(options, fallback):
    return (options.minutes or fallback) * 60


def plan_of(options):
    return faults.plan(options.seed, seconds(options, 1.2), 3.0, options.pace, options.only, options.fsync == "everysec")


def show_plan(options):
    for fault in plan_of(options):
        print(fault)
    return 0


class Run:
    """A town under load with chaos, from the first task to the verdict."""

    def __init__(self, options, plan, **town):
        self.options, self.progress = options, Progress()
        self.town = Town(options.folder, os.path.join(options.build, "bin"), options.seed, fsync=options.fsync, rate=options.rate,
                         clients=options.clients, **town)
        self.plan, self.notes, self.history = plan, [], None

    def __enter__(self):
        try:
            self.town.start()
            say = print if self.options.verbose else None
            self.chaos, self.keeper, self.ledger = faults.Chaos(self.town, self.plan, say), faults.Keeper(self.town, say), watch.Ledger(self.town.db)
        except BaseException:
            self.town.kill()
            raise
        return self

    def __exit__(self, *what):
        self.town.kill()

    def turn(self):
        self.chaos.turn()
        self.keeper.turn()
        self.ledger.turn()
        last = self.ledger.last()
        ended = sum(last.get(state, 0) for state in checker.ENDED)
        self.progress.say(f"{sum(self.chaos.counts.values())} faults, {last.get('accepted', 0)} accepted, {ended} ended, "
                          f"{last.get('running', 0)} running, {last.get('pending', 0)} pending")
        time.sleep(0.01)

    def storm(self, most_s):
        self.town.load()
        self.chaos.begin = end = time.monotonic()
        while time.monotonic() < end + most_s:
            self.turn()
        self.chaos.peace()

    def settle(self, bound_s):
        """No more faults, no more submits: all that is open must end within the bound."""
        clients = self.town.of("client")
        for client in clients:
            client.command.append("most=0")  # should it be started again
            if client.alive():
                client.process.terminate()
        end = time.monotonic() + bound_s
        while any(client.wanted for client in clients) and time.monotonic() < end:
            self.turn()
        open_now = lambda: self.ledger.last().get("pending", 0) + self.ledger.last().get("running", 0) + self.ledger.last().get("scheduled", 0)
        while True:  # what a client whose words were changed left behind, and one more look
            taken = len(self.ledger.taken)
            while len(self.ledger.taken) == taken and time.monotonic() < end + 5:
                self.turn()
            if not open_now() or time.monotonic() > end:
                break
        self.unfinished = [client.name for client in clients if client.wanted]

    def judge(self, rules=None):
        for client in self.town.of("client"):
            client.kill()
        self.progress.end()
        self.history = journal.read("journal", self.town.processes, time.monotonic_ns())
        self.history.unfinished = self.unfinished
        self.history.ledgers = self.ledger.taken
        journal.read_store(self.history, self.town.db)
        injected = self.chaos.counts
        rules = rules or checker.Rules()
        rules.engines_fail = any(injected[kind] for kind in faults.ENGINES_FAIL)
        rules.windows = self.windows()
        verdict = checker.check(self.history, rules)
        verdict.broken += [("", text) for text in (*self.keeper.unexpected, *self.town.stop(), *self.town.troubles())]
        if not verdict.good():
            self.town.keep_redis()
        return verdict

    def windows(self):
        """With everysec Redis may have forgotten what it was told up to two seconds before it died."""
        if self.options.fsync == "always":
            return []
        redis = self.town.of("redis")[0]
        return [(ns - 2_000_000_000, ns + 200_000_000) for _, ns in redis.deaths]


# ---- what is printed


def faults_table(run):
    counts, skips = run.chaos.counts, run.chaos.skips
    lines = [f"  {kind:<16} {counts[kind]:5}   {faults.KINDS[kind].does}" + (f"  ({skips[kind]} not possible)" if skips[kind] else "")
             for kind in faults.KINDS if counts[kind] or skips[kind]]
    if run.town.mangled:
        lines.append(f"  {'mangle':<16} {'':5}   a client of its own all the while: 2 % of its pieces have a byte changed; it is not judged")
    if not run.town.small.get("redis"):
        lines.append("  no small disk could be mounted: nothing was filled")
    for kind, times in run.keeper.excused.items():
        lines.append(f"  {kind}: a process ended of it {times} times, and was started again")
    return [f"faults injected  {sum(counts.values())}", *lines]


def work_table(run, verdict):
    history, last = run.history, run.ledger.last()
    hows = collections.Counter(one.how for one in history.executions)
    ends = collections.Counter(history.finals[ref].state for ref in history.submits if ref in history.finals)
    receipts = collections.Counter(status for submit in history.submits.values() for _, status, _, _ in submit.receipts)
    stale = sum(one.how == "done" and one.nonce != history.finals[one.ref].nonce for one in history.executions
                if one.ref in history.finals and one.ref in history.submits)
    rows = [("accepted", sum(s.accepted_ns is not None for s in history.submits.values())),
            *((state, ends[state]) for state in checker.ENDED),
            ("executions", len(history.executions)), ("  of an engine", sum(one.nonce.startswith("engine.") for one in history.executions)),
            ("  vanished (killed)", hows["vanished"]), ("  told STALE", hows["stale"]), ("  done, and not counted", stale),
            ("  returned", hows["return"]), ("  failed", hows["fail"]), ("  retry", hows["retry"]), ("  snoozed", hows["snooze"]),
            ("delayed", sum(submit.delay_ms > 0 for submit in history.submits.values())),
            ("crashes (leases lost)", last.get("crashes", 0)), ("requeues", last.get("requeues", 0)),
            ("cancels asked", sum(any(s.state == "asked" for s in sights) for sights in history.cancels.values())),
            ("submits said again", sum(max(0, len(s.receipts) - 1) for s in history.submits.values())),
            ("answers BUSY", receipts[7]), ("answers UNAVAILABLE or none", receipts[8] + receipts[11]),
            ("results seen by who waited", sum(len(sights) for sights in history.waits.values())),
            ("processes started", sum(p.boot for p in run.town.processes)),
            ("audits", f"{last.get('audits', 0)} ({last.get('repaired', 0)} repaired)"),
            ("ledgers taken and balanced", f"{len(run.ledger.taken)} ({run.ledger.missed} times Redis was away)")]
    if run.options.fsync != "always":
        rows.append(("forgotten within 2 s of Redis' deaths", len({ref for ref, _ in verdict.forgotten})))
    return ["work", *(f"  {name:<26} {value}" for name, value in rows)]


def report(run, verdict):
    print("\n".join((*faults_table(run), "", *work_table(run, verdict), "")))
    for name in ("lost", "duplicated", "stuck", "broken", "forgotten"):
        found = getattr(verdict, name)
        for ref, text in found[:SHOWN]:
            print(f"  {name}: {ref} {text}")
        if len(found) > SHOWN:
            print(f"  {name}: {len(found) - SHOWN} more")
    print(verdict.line())
    if verdict.broken:
        print(f"and {len(verdict.broken)} other findings")
    return verdict.good()


# ---- scenarios


def storm(options):
    print(f"seed {options.seed}, {seconds(options, 1.2) / 60:.1f} minutes, appendfsync {options.fsync}, lease 3 s", flush=True)
    with Run(options, plan_of(options)) as run:
        run.storm(seconds(options, 1.2))
        run.settle(150)
        verdict = run.judge()
    return report(run, verdict)


def broker_every_second(options):
    """A broker, now this and now that, is killed -9 each second until all tasks have ended."""
    tasks = options.tasks or 10000
    print(f"{tasks} tasks, a broker killed -9 each second, seed {options.seed}", flush=True)
    dice = random.Random(options.seed)
    plan = [faults.Fault(second, "kill", f"broker{dice.randrange(2)}", 0.1) for second in range(1, 3600)]
    options.rate, options.clients = 200, 2
    with Run(options, plan, mangled=False, workers=0, slots=50, window=400) as run:
        run.town.load(most=tasks // 2)
        run.chaos.begin = time.monotonic()
        while any(client.wanted for client in run.town.of("client")) and time.monotonic() < run.chaos.begin + 600:
            run.turn()
        took = time.monotonic() - run.chaos.begin
        run.chaos.peace()
        run.settle(60)
        verdict = run.judge()
    ended = sum(run.history.finals[ref].state in checker.ENDED for ref in run.history.submits if ref in run.history.finals)
    if ended != tasks or len(run.history.finals) != tasks:
        verdict.broken.append(("", f"{ended} ends of {tasks} tasks, {len(run.history.finals)} records"))
    good = report(run, verdict)
    print(f"{tasks} tasks, {ended} ends, {tasks - ended} missing; {run.chaos.counts['kill']} brokers killed in {took:.0f} s")
    return good


# ---- figures


def megabytes(size):
    return f"{size / (1 << 20):.1f}"


def flat(options):
    """Load without faults; what each process holds every five seconds, and how it grows once it has warmed up."""
    length = seconds(options, 30)
    print(f"load without faults for {length / 60:.0f} minutes, {options.clients} clients at {options.rate} tasks/s each", flush=True)
    with Run(options, [], mangled=False) as run:
        run.town.load()
        samples, begin, due = collections.defaultdict(list), time.monotonic(), 0.0
        while time.monotonic() < begin + length:
            run.turn()
            if time.monotonic() >= due:
                due = time.monotonic() + 5
                for process in run.town.processes:
                    samples[process.name].append((time.monotonic() - begin, process.rss(), process.descriptors()))
        run.settle(150)
        verdict = run.judge()
    good = report(run, verdict)
    table, grown = growth(samples, length)
    print(f"\nafter {run.ledger.last().get('accepted', 0)} tasks in {length / 60:.1f} minutes; growth as a line through all that was taken after the first fifth\n")
    print(table)
    print("flat" if not grown else "NOT flat: " + ", ".join(grown))
    return good and not grown


def slope(points):
    """Of the line through (x, y), by least squares."""
    n, sx, sy = len(points), sum(x for x, _ in points), sum(y for _, y in points)
    spread = n * sum(x * x for x, _ in points) - sx * sx
    return (n * sum(x * y for x, y in points) - sx * sy) / spread if spread else 0.0


def growth(samples, length):
    """A table, and the names of processes that grow. Redis keeps every record, and the clients of this harness remember
    their tasks: they are shown, and not judged."""
    rows, grown = ["| process | RSS MiB after warm-up | at the end | growth MiB/hour | descriptors | at the end |", "|---|---|---|---|---|---|"], []
    for name, taken in samples.items():
        warm = [one for one in taken if one[0] >= length / 5] or taken
        per_s, files = slope([(at, rss) for at, rss, _ in warm]), [count for _, _, count in warm]
        rows.append(f"| {name} | {megabytes(warm[0][1])} | {megabytes(warm[-1][1])} | {per_s * 3600 / (1 << 20):+.2f} | {min(files)}–{max(files)} | {files[-1]} |")
        tenth = max(1, len(warm) // 10)
        more_files = min(files[-tenth:]) - max(files[:tenth])
        if not name.startswith(("redis", "c")) and (per_s * length > max(2 << 20, warm[0][1] / 10) or more_files > 8):
            grown.append(name)
    return "\n".join(rows), grown


def delayed(options):
    """A million tasks whose time is far away: what they cost; and how late others start meanwhile."""
    tasks, probes = options.tasks or 1000000, 1000
    print(f"{tasks} delayed tasks; then {probes} whose time comes, while idle", flush=True)
    with Run(options, [], mangled=False, workers=0, sdks=1, brokers=1, states=1) as run:
        program = [os.path.join(run.town.bin, "gantry-faults-load"), "fill", f"brokers={run.town.way('c', 1)}"]
        kinds = ("broker", "state", "sdk", "redis")
        wall_ms = int(time.time() * 1000)

        def fill(name, count, start_ms, span_ms):
            filler = run.town.add(name, "client", [*program, f"name={name}", f"count={count}", f"start_ms={start_ms}", f"span_ms={span_ms}"])
            while filler.wanted:
                run.turn()

        fill("w", 20000, 0, 0)  # warm: each has handled as many as that at once
        until(run, lambda: run.ledger.last().get("completed", 0) >= 20000, 120)
        before = {process.name: process.rss() for process in run.town.of(*kinds)}
        begin = time.monotonic()
        fill("d", tasks, wall_ms + 86400000, 3600000)
        took = time.monotonic() - begin
        until(run, lambda: run.ledger.last().get("scheduled", 0) >= tasks, 60)
        after = {process.name: process.rss() for process in run.town.of(*kinds)}
        start_ms = int(time.time() * 1000) + 3000
        fill("p", probes, start_ms, 20000)
        until(run, lambda: run.ledger.last().get("completed", 0) >= 20000 + probes, 60)
        unfinished = run.keeper.unexpected
        late = lateness("journal/sdk0", "p-", start_ms, 20000, probes)
        run.progress.end()
        wrong = [*unfinished, *run.town.stop()]
    print(f"\n{tasks} accepted in {took:.0f} s ({tasks / took:,.0f}/s)\n\n| process | RSS MiB before | with {tasks:,} delayed tasks |\n|---|---|---|")
    for name, size in before.items():
        print(f"| {name} | {megabytes(size)} | {megabytes(after[name])} |")
    p50, p99 = (late[int(len(late) * share)] for share in (0.5, 0.99)) if late else (1e9, 1e9)
    print(f"\n{len(late)} of {probes} started; late: p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {late[-1] if late else 0:.1f} ms")
    print("\n".join(wrong))
    light = all(after[p] - before[p] < 16 << 20 for p in before if p != "redis")
    return light and p99 < 100 and len(late) == probes and late[0] >= -1 and not wrong


def until(run, what, most_s):
    end = time.monotonic() + most_s
    while not what() and time.monotonic() < end:
        run.turn()


def lateness(path, prefix, start_ms, span_ms, count):
    """Milliseconds between the time that a task was not to start before and its start, least first."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    late = []
    for letter, ns, words in journal.lines(path):
        if letter == "S" and words[0].startswith(prefix):
            due_ms = start_ms + int(words[0][len(prefix):]) * span_ms // count
            late.append((ns + offset_ns) / 1e6 - due_ms)
    return sorted(late)


SCENARIOS = {"storm": storm, "broker-every-second": broker_every_second, "flat": flat, "delayed": delayed}
