"""The tools among the Redis functions (list, dead letters, audit, schedules, why) as their tests call them."""
import time

import pytest

from functions_library import COMPLETED, NORMAL, OK, Gantry, server

DAY = 86400000
NOT_FOUND = 2


def now_ms():
    return int(time.time() * 1000)


class Tools(Gantry):
    tokens = 1000000

    def put(self, *ids, task="a.x", priority=NORMAL, input_=None, **options):
        """Submits each as new work."""
        tasks = []
        for id_ in ids:
            self.tokens += 1
            tasks.append((id_, task, self.tokens, input_, options))
        answers = []
        for i in range(0, len(tasks), 1000):
            answers += self.submit(*tasks[i:i + 1000], service=task.split(".")[0], priority=priority)
        assert {status for status, _, _ in answers} == {OK}

    def end(self, *ids, state=COMPLETED, sid=9, task="a.x", **options):
        """Submits, runs and ends them one by one."""
        for id_ in ids:
            self.put(id_, task=task, **options)
            (handout,) = self.claim(1, sid=sid, service=task.split(".")[0])
            assert handout["id"] == id_
            assert self.finish((handout, state), sid=sid) == [OK]

    def list_all(self, **how):
        """Page by page; answers all and the number of pages."""
        found, cursor, pages = [], "", 0
        while True:
            some, cursor = self.list(cursor=cursor, **how)
            found += some
            pages += 1
            if not cursor:
                return found, pages
            assert len(cursor) <= 256 and cursor.isascii()

    def balanced(self):
        books = self.books()
        assert books["balanced"] == 1, books
        return books

    def key(self, name):
        return self.shard + name


@pytest.fixture(params=["", "{g1}"])
def gantry(server, request):
    server.flushall()
    return Tools(server, request.param)
