"""What tests/faults/run can run. Each answers whether all was well."""
import collections
import os
import shutil
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
    return faults.plan(options.seed, seconds(options, 1.2), 3.0, options.pace, options.only)


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
            ("crashes (leases lost)", last.get("crashes", 0)), ("requeues", last.get("requeues", 0)),
            ("cancels asked", sum(any(s.state == "asked" for s in sights) for sights in history.cancels.values())),
            ("submits said again", sum(len(s.receipts) for s in history.submits.values()) - len(history.submits)),
            ("answers BUSY", receipts[7]), ("answers UNAVAILABLE or none", receipts[8] + receipts[11]),
            ("results seen by who waited", sum(len(sights) for sights in history.waits.values())),
            ("processes started", sum(p.boot for p in run.town.processes)),
            ("ledgers taken", f"{len(run.ledger.taken)} ({run.ledger.missed} times Redis was away)")]
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
        run.settle(75)
        verdict = run.judge()
    return report(run, verdict)


SCENARIOS = {"storm": storm}
