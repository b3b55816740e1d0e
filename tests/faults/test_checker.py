"""The checker on histories made by hand: what is good passes, and each thing that must not be is found and counted."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from checker import CONFLICT, NOT_FOUND, OK, Execution, History, Rules, Sight, Submit, check  # noqa: E402

REF, S = "c0-1/faults.work", 1_000_000_000


class Story:
    """One stage from submit to end; times in seconds."""

    def __init__(self, ref=REF, how="done", **plan):
        self.ref, self.history = ref, History()
        self.history.submits[ref] = Submit(ref, how, **plan)

    def accepted(self, at=1, status=OK, state="pending", reuse="miss"):
        submit = self.history.submits[self.ref]
        submit.receipts.append((at * S, status, state, reuse))
        if status == OK and submit.accepted_ns is None:
            submit.accepted_ns = at * S
        return self

    def ran(self, attempt, begin, end, how="done", nonce=None, gaps=(), **more):
        self.history.executions.append(Execution(self.ref, attempt, int(begin * S), int(end * S), how, nonce or f"w.{attempt}",
                                                 [(int(a * S), int(b * S)) for a, b in gaps], **more))
        return self

    def saw(self, at=9, status=OK, state="completed", attempt=1, nonce=None, kind="waits", **more):
        nonce = nonce or (f"w.{attempt}" if state == "completed" else "-")
        getattr(self.history, kind)[self.ref].append(Sight(at * S, status, state, attempt, nonce=nonce, **more))
        return self

    def cancelled(self, at=2, status=OK, state="cancelling"):
        self.history.cancels[self.ref].append(Sight(at * S, -1, "asked"))
        return self.saw(at, status, state, kind="cancels")

    def final(self, state="completed", attempt=1, nonce=None, **more):
        self.history.finals[self.ref] = Sight(0, OK, state, attempt, nonce=nonce or (f"w.{attempt}" if state == "completed" else "-"), **more)
        self.history.ends[self.ref] = int(state in ("completed", "failed", "cancelled", "quarantined"))
        return self

    def found(self, rules=None):
        """Which kinds of findings there are."""
        verdict = check(self.history, rules)
        return {kind for kind in ("lost", "duplicated", "stuck", "broken", "forgotten") if getattr(verdict, kind)}


def plain():
    return Story().accepted().ran(1, 2, 3).saw().final()


# ---- good ones


def test_a_plain_run():
    assert plain().found() == set()
    assert check(plain().history).line() == "lost 0 duplicated 0 stuck 0" and check(plain().history).good()


def test_a_crash_and_another_attempt():
    assert Story().accepted().ran(1, 2, 3, "vanished").ran(2, 6, 7).saw(attempt=2, crashes=1).final(attempt=2, crashes=1).found() == set()


def test_a_handout_that_never_began():
    assert Story().accepted().ran(3, 6, 7).saw(attempt=3).final(attempt=3).found() == set()


def test_a_stopped_attempt_is_overtaken_and_fenced():
    story = Story().accepted().ran(1, 2, 9.2, "stale", gaps=[(3, 9)]).ran(2, 6, 7)
    assert story.saw(attempt=2, crashes=1).final(attempt=2, crashes=1).found() == set()
    story = Story().accepted().ran(1, 2, 9.2, "done", gaps=[(3, 9)]).ran(2, 6, 7)  # its DONE was STALE
    assert story.saw(attempt=2, crashes=1).final(attempt=2, crashes=1).found() == set()


def test_failed_cancelled_and_quarantined_as_planned():
    assert Story(how="fail").accepted().ran(1, 2, 3, "fail").saw(state="failed", failures=1).final("failed", failures=1).found() == set()
    assert Story().accepted().cancelled().ran(1, 2, 3, "cancelled").saw(state="cancelled").final("cancelled").found() == set()
    assert Story().accepted().cancelled(at=5, status=CONFLICT, state="-").ran(1, 2, 3).saw().final().found() == set()
    story = Story().accepted().ran(1, 2, 3, "vanished").ran(2, 6, 7, "vanished").ran(3, 10, 11, "vanished")
    assert story.saw(20, state="quarantined", attempt=3, crashes=3).final("quarantined", 3, crashes=3).found() == set()


def test_an_unanswered_submit_said_again():
    assert plain().accepted(at=1, status=8, state="-", reuse="-").accepted(at=4, state="completed").found() == set()


def test_engines_that_were_killed_fail():
    story = Story("c0-1/system.sleep").accepted().ran(1, 2, 3, "signal 9").saw(state="failed").final("failed")
    assert story.found(Rules(engines_fail=True)) == set() and story.found() == {"broken"}


def test_retries_snoozes_and_delays():
    story = Story(how="retry", times=1).accepted().ran(1, 2, 3, "retry", after_ms=500).ran(2, 3.5, 4)
    assert story.saw(attempt=2, failures=1).final(attempt=2, failures=1).found() == set()
    story = Story(how="exhaust", times=2).accepted().ran(1, 2, 3, "exhaust").ran(2, 4, 5, "exhaust")
    assert story.saw(state="failed", attempt=2, failures=2).final("failed", 2, failures=2).found() == set()
    story = Story(how="snooze", times=1).accepted().ran(1, 2, 3, "snooze", after_ms=500).ran(2, 3.5, 4, kept=1)
    assert story.saw(attempt=2).final(attempt=2).found() == set()
    assert Story(delay_ms=1000).accepted().ran(1, 1.1, 2).saw().final().found() == set()


# ---- lost


def test_accepted_and_vanished():
    assert Story().accepted().found() == {"lost"}


def test_a_wait_that_is_told_there_is_no_such_task():
    assert plain().saw(5, NOT_FOUND, "-").found() == {"lost"}


def test_a_result_nobody_made():
    assert Story().accepted().ran(1, 2, 3).saw(nonce="w.other").final(nonce="w.other").found() == {"lost"}


# ---- duplicated


def test_two_ends():
    assert plain().saw(5, state="failed").found() == {"duplicated"}
    assert plain().saw(5, nonce="w.7").found() == {"duplicated"}


def test_ended_twice_by_the_lists():
    story = plain()
    story.history.ends[REF] = 2
    assert story.found() == {"duplicated"}


def test_two_attempts_at_once():
    story = Story().accepted().ran(1, 2, 6.5, "done").ran(2, 6, 7).saw(attempt=2).final(attempt=2)
    assert story.found() == {"duplicated"}


def test_a_stopped_attempt_that_goes_on_after_it_woke():
    story = Story().accepted().ran(1, 2, 14, "done", gaps=[(3, 9)]).ran(2, 6, 15).saw(20, attempt=2).final(attempt=2)
    assert story.found() == {"duplicated"}


def test_a_killed_attempt_that_outlives_the_next_ones_start():
    story = Story().accepted().ran(1, 2, 6.1, "vanished").ran(2, 6, 7).saw(attempt=2).final(attempt=2)
    assert story.found() == {"duplicated"}


def test_one_attempt_executed_twice():
    assert Story().accepted().ran(1, 2, 3, "vanished", "w.0").ran(1, 4, 5).saw().final().found() == {"duplicated"}


def test_a_stale_result_that_was_taken():
    story = Story().accepted().ran(1, 2, 9.2, "done", gaps=[(3, 9)]).ran(2, 6, 7)
    assert "duplicated" in story.saw(attempt=2, nonce="w.1").final(attempt=2, nonce="w.1").found()


def test_run_again_after_it_completed():
    assert Story().accepted().ran(1, 2, 3).ran(2, 5, 6).saw(attempt=1).final(attempt=1).found() >= {"duplicated"}
    assert "duplicated" in Story().accepted().ran(1, 2, 3).ran(2, 10, 11, "vanished").saw(9, attempt=2).final(attempt=2).found()


def test_the_same_submit_taken_for_another():
    assert plain().accepted(5, reuse="hit", state="completed").found() == {"duplicated"}


# ---- stuck


@pytest.mark.parametrize("state", ("pending", "running", "scheduled", "cancelling"))
def test_not_ended(state):
    assert Story().accepted().final(state).found() == {"stuck"}


def test_nobody_told_who_waits():
    assert Story().accepted().ran(1, 2, 3).final().found() == {"stuck"}


def test_no_receipt():
    assert "stuck" in Story().accepted(status=8).ran(1, 2, 3).saw().final().found()


# ---- what else must hold


def test_a_cancel_that_was_forgotten():
    assert Story().accepted().cancelled().ran(1, 2, 3).saw().final().found() == {"broken"}


def test_ends_other_than_planned():
    assert Story(how="fail").accepted().ran(1, 2, 3).saw().final().found() == {"broken"}
    assert Story().accepted().ran(1, 2, 3).saw(state="failed").final("failed").found() == {"broken"}
    assert Story().accepted().ran(1, 2, 3).saw(state="cancelled").final("cancelled").found() == {"broken"}


def test_counters():
    assert Story().accepted().ran(1, 2, 3, "vanished").saw(state="quarantined", crashes=1).final("quarantined", crashes=1).found() == {"broken"}
    assert Story().accepted().ran(1, 2, 3).saw(crashes=1).final(crashes=1).found() == {"broken"}
    assert Story().accepted().ran(1, 2, 3).saw(failures=1).final(failures=1).found() == {"broken"}
    assert "broken" in Story().accepted().ran(1, 2, 3).ran(2, 4, 5, "return").saw(attempt=1).final(attempt=1).found()


def test_before_its_time():
    assert Story(delay_ms=3000).accepted().ran(1, 2, 3).saw().final().found() == {"broken"}
    story = Story(how="snooze", times=1).accepted().ran(1, 2, 3, "snooze", after_ms=500).ran(2, 3.2, 4, kept=1)
    assert story.saw(attempt=2).final(attempt=2).found() == {"broken"}


def test_failures_and_checkpoints_as_planned():
    story = Story(how="retry", times=2).accepted().ran(1, 2, 3, "retry").ran(2, 4, 5)
    assert story.saw(attempt=2, failures=1).final(attempt=2, failures=1).found() == {"broken"}
    story = Story(how="return", times=1).accepted().ran(1, 2, 3, "return").ran(2, 4, 5)  # the checkpoint got lost
    assert story.saw(attempt=2).final(attempt=2).found() == {"broken"}
    story = Story().accepted().ran(1, 2, 3, kept=1)  # and here is one from nowhere
    assert story.saw().final().found() == {"broken"}


def test_the_ledger():
    story = plain()
    story.history.ledgers = [(S, {"accepted": 1, "pending": 1}), (9 * S, {"accepted": 1, "completed": 1})]
    assert story.found() == set()
    story.history.ledgers.insert(1, (5 * S, {"accepted": 2, "running": 1}))
    assert story.found() == {"broken"}
    story.history.ledgers = [(S, {"accepted": 1, "pending": 1, "repaired": 1}), (9 * S, {"accepted": 1, "completed": 1})]
    assert story.found() == {"broken"}
    story.history.ledgers = [(9 * S, {"accepted": 1, "failed": 1})]
    assert story.found() == {"broken"}


def test_a_client_without_its_answers():
    story = plain()
    story.history.unfinished = ["c0"]
    assert story.found() == {"broken"}


def test_what_the_store_may_forget_is_told_apart():
    story = Story().accepted(at=5)
    assert story.found(Rules(windows=[(4 * S, 6 * S)])) == {"forgotten"}
    assert story.found(Rules(windows=[(6 * S, 8 * S)])) == {"lost"}


def test_a_client_that_is_not_judged():
    """Whatever its words became, what runs ends, and never twice at once."""
    story = plain()
    story.history.submits.clear()
    story.history.ends[REF] = 2
    assert story.found() == set()
    story.ran(3, 2.5, 4)
    assert story.found() == {"duplicated"}
    story.final("running")
    assert story.found() == {"duplicated", "stuck"}


def test_each_stage_counts_once_in_the_line():
    story = Story().accepted().ran(1, 2, 6.5, "done").ran(1, 6, 7).saw(attempt=2).final(attempt=2)
    assert " duplicated 1 " in check(story.history).line()
