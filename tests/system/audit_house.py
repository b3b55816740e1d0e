"""A walk of the audit as README.md of the functions says, and what its tests look at."""

from functions_library import PRIORITY_NAMES, sid_of
from functions_tools import gantry

FINE, PUT_BACK, FREED, UNDECIDED = 0, 1, 2, 3
NONE_SEEN, ASTRAY, MANY_SEEN = 0, 1, 2
SEARCH_MAX = 200000


class Audit:
    """Walks as README.md says, a slice a step; `between` is called before each call."""

    def __init__(self, gantry, count=7, between=lambda: None):
        self.gantry, self.count, self.between = gantry, count, between
        self.looked, self.stages, self.held, self.queued = 0, {}, [], []

    def call(self, *args):
        self.between()
        return self.gantry.call(*args)

    def pages(self, *args):
        cursor = b"0"
        while True:
            cursor, *page = self.call(*args, cursor, self.count)
            yield page
            if cursor == b"0":
                return

    def walk(self):
        for looked, *flat in self.pages("audit_stages"):
            self.looked += looked
            for i in range(0, len(flat), 3):
                self.stages[flat[i].decode(), flat[i + 2]] = flat[i + 1]
        for sid in self.call("audit_sessions"):
            for flat in self.pages("audit_held", sid.decode()):
                self.held += [(flat[i].decode(), flat[i + 1]) for i in range(0, len(flat), 2)]
        for page in self.pages("audit_timers"):
            self.held += [self.parse(entry) for entry in page]
        for service in self.call("audit_queues"):
            for priority in PRIORITY_NAMES:
                self.walk_queue(service.decode(), priority)
        return self

    def walk_queue(self, service, priority):
        start = 0
        while True:
            length, *page = self.call("audit_queue", service, priority, start, self.count)
            self.queued += [self.parse(entry) for entry in page]
            start += len(page)
            if not page:
                return

    @staticmethod
    def parse(entry):
        field, blank, generation = entry.decode(errors="replace").partition(" ")
        return field, int(generation) if generation.isdigit() else -1 if blank else 0

    def suspects(self):
        counts = dict.fromkeys(self.stages, 0)
        astray = []
        for held in self.held:
            if held in counts:
                counts[held] += 1
            elif "/" in held[0]:
                astray.append((*held, ASTRAY))
        for held in self.queued:
            if held in counts:
                counts[held] += 1
        return [(*stage, NONE_SEEN if n == 0 else MANY_SEEN) for stage, n in counts.items() if n != 1] + astray

    def fix(self):
        """What was done about each suspect: {(field, seen): the greatest answer}."""
        answers = {}
        for field, generation, seen in self.suspects():
            answer = self.call("audit_fix", field, generation, seen)
            answers[field, seen] = max(answer, answers.get((field, seen), FINE))
        return answers


def audit(gantry, **how):
    return Audit(gantry, **how).walk().fix()


def healthy(gantry, repaired):
    """As good as new, and told so in the ledger."""
    gantry.check()
    assert gantry.balanced()["repaired"] == repaired
    assert audit(gantry) == {}
    assert gantry.books()["repaired"] == repaired


def running(gantry, sid):
    return gantry.key("running:" + sid_of(sid))


def hold(gantry, sid=0, field="t/a.x"):
    return gantry.redis.hget(running(gantry, sid), field)


def begin(gantry, *ids, sid=0, worker="w"):
    """Put, claimed, and known to live."""
    gantry.put(*ids)
    gantry.heartbeat(sid=sid, worker=worker)
    return gantry.claim(len(ids), sid=sid)
