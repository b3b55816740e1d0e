"""Decides over a history of submits, executions, cancels, results and final records. Knows no process, file or clock:
times are nanoseconds of one clock. Every finding is (ref, sentence); ref is "<task id>/<node>", or "" for the whole."""
import collections
import dataclasses

WORK = "faults.work"  # the node whose executions are all written down, with a nonce each that its result carries
ENDED = ("completed", "skipped", "failed", "quarantined", "cancelled")
OK, NOT_FOUND, CONFLICT = 0, 2, 3
FENCE_NS = 1_000_000_000  # within so long after it was stopped or starved an attempt has learnt that it is fenced off
EARLY_NS = 20_000_000  # the store's clock is the wall's, in milliseconds, the journals' is not
NEAR_NS = 300_000_000  # a gap is known only as well as the process looks at its clock


@dataclasses.dataclass(slots=True)
class Submit:
    ref: str
    how: str = "done"  # what the plan says: done, fail, return, retry, exhaust, snooze, late
    times: int = 0  # how often it retries, returns or snoozes before it is done; exhaust: its limit of failures
    delay_ms: int = 0
    asked_ns: int = 0  # for the first time
    accepted_ns: int | None = None
    receipts: list = dataclasses.field(default_factory=list)  # (ns, status, state, reuse) of this very submit, each time it was said


@dataclasses.dataclass(slots=True)
class Execution:
    ref: str
    attempt: int
    begin_ns: int
    end_ns: int  # when it told its end, or the last moment that it can have lived
    how: str  # done, fail, cancelled, return, stale, retry, snooze, exit 0, signal 9, ... or "vanished"
    nonce: str
    gaps: list = dataclasses.field(default_factory=list)  # (from ns, to ns) in which its process did not run
    after_ms: int = 0  # how soon another may be made, as its end said
    kept: int = 0  # the checkpoint it got: how often its stage was put off or handed back


@dataclasses.dataclass(slots=True)
class Sight:
    """A record as somebody saw it; status is the answer's."""
    ns: int
    status: int
    state: str
    attempt: int = 0
    generation: int = 0
    failures: int = 0
    crashes: int = 0
    nonce: str = "-"

    def end(self):
        return self.state, self.attempt, self.generation, self.nonce


@dataclasses.dataclass
class History:
    submits: dict = dataclasses.field(default_factory=dict)  # ref: Submit
    executions: list = dataclasses.field(default_factory=list)
    waits: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(list))  # ref: [Sight]
    cancels: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(list))  # ref: [Sight]
    finals: dict = dataclasses.field(default_factory=dict)  # ref: Sight, as Redis has it in the end
    ends: dict = dataclasses.field(default_factory=dict)  # ref: how often it is in the lists of the ended
    ledgers: list = dataclasses.field(default_factory=list)  # (ns, {name: value}), each taken in one moment
    unfinished: list = dataclasses.field(default_factory=list)  # clients that had not all their answers within the bound


@dataclasses.dataclass
class Rules:
    crashes_max: int = 3
    engines_fail: bool = False  # a fault was injected that makes engines fail
    windows: list = dataclasses.field(default_factory=list)  # (from ns, to ns) of which the store may have forgotten what it was told


@dataclasses.dataclass
class Verdict:
    lost: list = dataclasses.field(default_factory=list)
    duplicated: list = dataclasses.field(default_factory=list)
    stuck: list = dataclasses.field(default_factory=list)
    broken: list = dataclasses.field(default_factory=list)  # whatever else does not hold
    forgotten: list = dataclasses.field(default_factory=list)  # would be one of these, but for a window of Rules

    def good(self):
        return not (self.lost or self.duplicated or self.stuck or self.broken)

    def line(self):
        """A stage counts once in each figure."""
        return " ".join(f"{name} {len(set(ref for ref, _ in found))}" for name, found in
                        (("lost", self.lost), ("duplicated", self.duplicated), ("stuck", self.stuck)))


def balanced(ledger):
    return ledger.get("accepted", 0) == sum(ledger.get(name, 0) for name in (*ENDED, "scheduled", "pending", "running"))


def check(history, rules=None):
    checker = Checker(history, rules or Rules())
    for ref in sorted(checker.refs):
        checker.stage(ref)
    checker.whole()
    return checker.verdict


class Checker:
    def __init__(self, history, rules):
        self.history, self.rules, self.verdict = history, rules, Verdict()
        self.executions = collections.defaultdict(list)
        for execution in sorted(history.executions, key=lambda one: one.begin_ns):
            self.executions[execution.ref].append(execution)
        self.refs = {*history.submits, *self.executions, *history.finals}

    def say(self, kind, ref, text):
        getattr(self.verdict, "forgotten" if ref and self.in_window(ref) else kind).append((ref, text))

    def in_window(self, ref):
        """Something of this stage happened while the store may have forgotten it."""
        if not self.rules.windows:
            return False
        times = [ns for submit in [self.history.submits.get(ref)] if submit for ns, status, *_ in submit.receipts if status == OK]
        times += [ns for one in self.executions[ref] for ns in (one.begin_ns, one.end_ns)]
        times += [sight.ns for sight in (*self.history.waits.get(ref, ()), *self.history.cancels.get(ref, ()))]
        return any(begin <= ns <= end for ns in times for begin, end in self.rules.windows)

    # ---- one stage

    def stage(self, ref):
        submit, final = self.history.submits.get(ref), self.history.finals.get(ref)
        self.check_ended(ref, submit, final)
        self.check_overlaps(ref)
        if not submit:
            return  # of a client whose words were changed on their way: nobody knows what it was told
        self.check_one_end(ref, final)
        self.check_attempts(ref, final)
        if final and final.state in ENDED:
            self.check_after_end(ref, final)
            self.check_plan(ref, submit, final)
            self.check_cancel(ref, final)
        self.check_receipts(ref, submit)
        self.check_times(ref, submit)

    def check_ended(self, ref, submit, final):
        if submit and submit.accepted_ns is not None and not final:
            self.say("lost", ref, "was accepted, and the store does not know it")
        if final and final.state not in ENDED:
            self.say("stuck", ref, f"is {final.state} long after the last fault")
        if submit and submit.accepted_ns is None:
            self.say("stuck", ref, "never got a receipt")
        if submit and submit.accepted_ns is not None and final and final.state in ENDED and not self.seen(ref):
            self.say("stuck", ref, f"is {final.state}, and who waits for it was never told")
        if any(sight.status == NOT_FOUND for sight in self.history.waits.get(ref, ())):
            self.say("lost", ref, "was accepted, and who waits was told that there is no such task")
        if submit and final and final.state == "completed" and ref.endswith("/" + WORK):
            self.check_result(ref, final)

    def seen(self, ref):
        return [sight for sight in self.history.waits.get(ref, ()) if sight.status == OK]

    def check_result(self, ref, final):
        """The result is of an execution that ran to its end, under the attempt that the record names."""
        made = [one for one in self.executions[ref] if one.nonce == final.nonce]
        if not made:
            self.say("lost", ref, f"is completed with a result that nobody made: {final.nonce}")
        elif made[0].attempt != final.attempt or made[0].how != "done":
            self.say("duplicated", ref, f"is completed by attempt {final.attempt} with the result of attempt {made[0].attempt} ({made[0].how})")

    def check_one_end(self, ref, final):
        ends = {sight.end() for sight in self.seen(ref)} | ({final.end()} if final and final.state in ENDED else set())
        if len(ends) > 1:
            self.say("duplicated", ref, f"has more than one end: {sorted(ends)}")
        listed = self.history.ends.get(ref, 0)
        if listed > 1:
            self.say("duplicated", ref, f"ended {listed} times by the lists of the ended")
        if final and final.state in ENDED and self.history.ends and listed == 0:
            self.say("broken", ref, f"is {final.state}, and in no list of the ended")
        for sight in self.seen(ref):
            if sight.state not in ENDED:
                self.say("broken", ref, f"a wait was answered in state {sight.state}")

    def check_overlaps(self, ref):
        for first, second in ((a, b) for n, a in enumerate(self.executions[ref]) for b in self.executions[ref][n + 1:]):
            if second.begin_ns >= first.end_ns:
                continue
            if not any(begin - NEAR_NS <= second.begin_ns <= end + NEAR_NS and first.end_ns <= end + FENCE_NS for begin, end in first.gaps):
                self.say("duplicated", ref, f"attempt {second.attempt} began {(first.end_ns - second.begin_ns) / 1e6:.0f} ms before attempt "
                                            f"{first.attempt} had ended ({first.how}), which had not been stopped")

    def check_attempts(self, ref, final):
        for attempt, times in collections.Counter(one.attempt for one in self.executions[ref]).items():
            if times > 1:
                self.say("duplicated", ref, f"attempt {attempt} was executed {times} times")
        if not final:
            return
        most = max((one.attempt for one in self.executions[ref]), default=0)
        if most > final.attempt:
            self.say("broken", ref, f"attempt {most} was executed, and the record knows of {final.attempt}")
        if final.state == "quarantined" and final.crashes < self.rules.crashes_max:
            self.say("broken", ref, f"is quarantined after {final.crashes} crashes")
        if final.crashes + (final.state == "completed") > final.attempt:
            self.say("broken", ref, f"has more crashes ({final.crashes}) than attempts ({final.attempt})")
        told = sum(one.how in ("fail", "retry", "exhaust") for one in self.executions[ref])
        if ref.endswith("/" + WORK) and final.failures > told:
            self.say("broken", ref, f"has {final.failures} failures, and its workers told {told}")

    def check_after_end(self, ref, final):
        later = [one for one in self.executions[ref] if one.attempt > final.attempt]
        told = min((sight.ns for sight in self.seen(ref)), default=None)
        later += [one for one in self.executions[ref] if told is not None and one.begin_ns > told and one not in later]
        for one in later:
            self.say("duplicated", ref, f"attempt {one.attempt} began after it was {final.state}")

    def check_plan(self, ref, submit, final):
        may = {"cancelled"} if ref in self.history.cancels else set()
        may |= {"quarantined"} if final.crashes >= self.rules.crashes_max else set()
        may |= {"failed"} if submit.how in ("fail", "exhaust", "late") or (self.rules.engines_fail and not ref.endswith("/" + WORK)) else {"completed"}
        if not ref.endswith("/" + WORK) or submit.how == "late":  # that its time is over may be noticed too late
            may.add("completed")
        if final.state in ("completed", "failed") and submit.how in ("retry", "exhaust") and final.failures != submit.times:
            self.say("broken", ref, f"is {final.state} after {final.failures} failures instead of {submit.times}")
        made = next((one for one in self.executions[ref] if one.nonce == final.nonce), None)
        if made and submit.how in ("snooze", "return") and made.kept < submit.times:
            self.say("broken", ref, f"was done with checkpoint {made.kept} instead of {submit.times}")
        if final.state not in may:
            self.say("broken", ref, f"is {final.state}, and may be {' or '.join(sorted(may))}")

    def check_cancel(self, ref, final):
        """Cancelled means that nothing else comes of it."""
        for sight in self.history.cancels.get(ref, ()):
            if sight.status == OK and sight.state in ("cancelling", "cancelled") and final.state != "cancelled":
                self.say("broken", ref, f"is {final.state} though its cancel was acknowledged ({sight.state})")

    def check_receipts(self, ref, submit):
        for ns, status, state, reuse in submit.receipts:
            if status == OK and reuse != "miss":
                self.say("duplicated", ref, f"the same submit said again was answered {reuse} ({state})")
            if status == OK and submit.accepted_ns is not None and state not in (*ENDED, "pending", "running", "scheduled", "cancelling"):
                self.say("broken", ref, f"a receipt says {state}")

    def check_times(self, ref, submit):
        """Nothing starts before its time, nor goes on from more than was kept."""
        earlier, wait_ns = [], submit.asked_ns + submit.delay_ms * 1_000_000
        for one in self.executions[ref]:
            if one.begin_ns < wait_ns - EARLY_NS:
                self.say("broken", ref, f"attempt {one.attempt} began {(wait_ns - one.begin_ns) / 1e6:.0f} ms before its time")
            if one.kept > sum(before.how in ("snooze", "return") for before in earlier):
                self.say("broken", ref, f"attempt {one.attempt} got a checkpoint ({one.kept}) that nobody left")
            earlier.append(one)
            if one.how in ("retry", "snooze", "exhaust") and not one.gaps:
                wait_ns = max(wait_ns, one.end_ns + one.after_ms * 1_000_000)

    # ---- the whole

    def whole(self):
        for ns, ledger in self.history.ledgers:
            if not balanced(ledger):
                self.verdict.broken.append(("", f"the ledger at {ns / 1e9:.1f} s is not balanced: {dict(ledger)}"))
        for name in self.history.unfinished:
            self.verdict.broken.append(("", f"client {name} did not get all its answers in time"))
        if self.history.ledgers:
            repaired = max(ledger.get("repaired", 0) for _, ledger in self.history.ledgers)
            if repaired:
                self.verdict.broken.append(("", f"the audit found {repaired} stages held by none or by two"))
            last = self.history.ledgers[-1][1]
            states = collections.Counter(final.state for final in self.history.finals.values())
            again = sum(times - 1 for ref, times in self.history.ends.items() if ref not in self.history.submits)
            for state in ENDED:  # a client whose words are changed may run one again under another token: each end was counted
                if not 0 <= last.get(state, 0) - states[state] <= again:
                    self.verdict.broken.append(("", f"the ledger says {last.get(state, 0)} {state}, and there are {states[state]}"))
