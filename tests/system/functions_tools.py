"""The tools among the Redis functions (list, dead letters, audit, schedules, why) as their tests call them."""
import struct
import time

import msgpack
import pytest

from functions_library import LEASE_MS, NORMAL, PRIORITY_NAMES, Gantry, server, sid_of, token_of

SCHEDULED = 1
NOT_FOUND = 2
FINE, PUT_BACK, FREED, UNDECIDED = 0, 1, 2, 3
NONE_SEEN, ASTRAY, MANY_SEEN = 0, 1, 2


def now_ms():
    return int(time.time() * 1000)


def body_rest(token, failures_max=3, crashes_max=3, retry_ms=1, **given):
    body = {"input": {"n": token}, **given}
    fixed = bytes([1 if "owner" in body else 0]) + struct.pack(">BBBHBI", 0xcc, crashes_max, 0xcd, failures_max, 0xce, retry_ms)
    return msgpack.packb(token_of(token)) + fixed + msgpack.packb(body)


def submit_args(*tasks, service="a", priority=NORMAL, queue_max=1000000, quota_user=0, quota_all=0, extra=None, **limits):
    """tasks: (id, task, token number)"""
    args = [service, priority, queue_max, quota_user, quota_all]
    if extra and "owner" in extra:
        limits["owner"] = extra["owner"]
    for id_, task, token in tasks:
        args += [id_, task, body_rest(token, priority=PRIORITY_NAMES[priority], **limits), msgpack.packb(extra) if extra else b""]
    return args


class Tools(Gantry):
    def submit(self, *tasks, **how):
        flat = self.call("submit", *submit_args(*tasks, **how))
        return [tuple(flat[i:i + 3]) for i in range(0, len(flat), 3)]

    def claim(self, n, sid=0, service="a", seq=1, lowest_first=0, worker="w"):
        self.calls += 1
        flat = self.call("claim", sid_of(sid), service, n, seq, LEASE_MS, lowest_first, struct.pack(">Q", self.calls), worker)[1:]
        names = ["id", "task", "token", "attempt", "generation", "failures", "crashes", "body", "checkpoint"]
        out = [dict(zip(names, flat[i:i + 9])) for i in range(0, len(flat), 9)]
        for handout in out:
            handout["id"], handout["task"] = handout["id"].decode(), handout["task"].decode()
        return out

    def give_back(self, handout, how=0, after="", sid=0, checkpoint=b"", tail=None):
        """how: 0 return, 1 retry, 2 snooze"""
        packed = msgpack.packb(tail or {}) if how else b""
        return self.call("give_back", sid_of(sid), "w", 10**9, handout["id"], handout["task"], handout["token"], how, after, packed, checkpoint)[0]

    def heartbeat(self, *held, sid=0, worker="w", services="a", slots=1, claim_open=0):
        """held: handouts; answers the stale tokens and whether it is drained"""
        args = []
        for handout in held:
            args += [handout["id"], handout["task"], handout["token"], ""]
        stale, cancel, _, drained, *tokens = self.call("heartbeat", sid_of(sid), worker, services, slots, claim_open, LEASE_MS, *args)
        assert len(tokens) == stale + cancel
        return tokens[:stale], drained

    @staticmethod
    def stages(flat):
        """Answers of get with their history left out."""
        assert len(flat) == 1 + 4 * flat[0]
        return Gantry.stages([flat[0]] + [x for i, x in enumerate(flat[1:]) if i % 4 != 3])

    def list(self, state="", service="", limit=1000, cursor="", task="", since=0, until=0):
        cursor, *flat = self.call("list", state, service, task, since, until, limit, cursor)
        return [(flat[i].decode(), flat[i + 1].decode(), flat[i + 2], flat[i + 3]) for i in range(0, len(flat), 4)], cursor

    def list_all(self, **how):
        """Page by page; answers all and the number of pages."""
        found, cursor, pages = [], "", 0
        while True:
            some, cursor = self.list(cursor=cursor, **how)
            found += some
            pages += 1
            if not cursor:
                return found, pages
            assert len(cursor) <= 256

    def figures(self):
        flat = self.call("ledger")
        return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}

    def balanced(self):
        figures = self.figures()
        assert figures["balanced"] == 1, figures
        return figures

    def timers(self):
        now, due, fired, *crons = self.call("timers", 1024)
        return fired, [(crons[i].decode(), crons[i + 1]) for i in range(0, len(crons), 2)], due

    def end(self, *ids, state=4, sid=9, task="a.x"):
        """Submits, runs and ends these."""
        for id_ in ids:
            service = task.split(".")[0]
            self.submit((id_, task, abs(hash(id_)) % 10**9), service=service)
            (handout,) = self.claim(1, sid=sid, service=service)
            assert handout["id"] == id_
            assert self.finish((handout, state), sid=sid) == [0]

    def key(self, name):
        return self.shard + name


@pytest.fixture(params=["", "{g1}"])
def gantry(server, request):
    server.flushall()
    return Tools(server, request.param)
