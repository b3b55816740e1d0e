"""A client that never gives up, made of pyzmq and msgpack alone: what has no answer is kept and sent again."""
import collections
import secrets
import time

import msgpack
import zmq

MAGIC = 0x4701
VERBS = {"HELLO": 1, "PING": 2, "BYE": 3, "SUBMIT": 10, "GET": 11, "WAIT": 12, "LIST": 13, "CANCEL": 14, "NODES": 15,
         "SUBSCRIBE": 16, "WHY": 17, "REPLAY": 18, "PURGE": 19, "STATUS": 30, "WORKERS": 31, "QUEUES": 32, "LEDGER": 33,
         "STEER": 34, "CRON": 35, "FORGET": 37,
         "CREATE_TASK": 38, "GET_TASK_STATUS": 39, "TASKS": 40, "DISK": 41}
(OK, INVALID, NOT_FOUND, CONFLICT, MALFORMED, TOO_LARGE, UNSUPPORTED, BUSY, UNAVAILABLE, STALE, EMPTY, TIMEOUT,
 HELLO_FIRST) = range(13)
PASSING = (BUSY, UNAVAILABLE, TIMEOUT)


def until(what, seconds=15, every=0.02):
    """The first true answer of what()."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(every)


Answer = collections.namedtuple("Answer", "status body count")


class Client:
    """Keeps what has no answer, says HELLO again when the broker forgot it or fell silent, and sends it again."""

    def __init__(self, context, endpoints):
        self.zmq, self.endpoints, self.at = context, list(endpoints), 0
        self.socket, self.epoch, self.request = None, 0, 0
        self.open, self.answers = {}, {}
        self.statuses = collections.Counter()
        self.connect()

    def close(self):
        if self.socket:
            self.socket.close(linger=0)
        self.socket = None

    def connect(self):
        self.close()
        self.socket = self.zmq.socket(zmq.DEALER)
        self.socket.set(zmq.SNDHWM, 0)  # what is open is bounded by who asks
        self.socket.connect(self.endpoints[self.at % len(self.endpoints)])
        self.at += 1
        self.hello()

    def hello(self):
        self.epoch, self.heard = 0, time.monotonic()
        self.pinged = self.heard
        self.request += 1
        self.greeting = self.request
        self.send("HELLO", self.greeting, msgpack.packb({"role": "client", "name": "harness"}), "", 0, 0)

    def send(self, verb, request, body, service, priority, count):
        header = [MAGIC, VERBS[verb], request, self.epoch, 0, service, priority, count, 0, ""]
        try:
            self.socket.send_multipart([msgpack.packb(header), body], zmq.DONTWAIT)
        except zmq.Again:
            pass  # it stays open, and goes out after the next WELCOME

    def begin(self, verb, body=None, service="", priority=0, count=None):
        if count is None:
            count = len(body) if isinstance(body, list) else 0
        self.request += 1
        packed = body if isinstance(body, bytes) else b"" if body is None else msgpack.packb(body)
        self.open[self.request] = (verb, self.request, packed, service, priority, count)
        if self.epoch:
            self.send(*self.open[self.request])
        return self.request

    def take(self, frames):
        self.heard = time.monotonic()
        header = msgpack.unpackb(frames[0])
        request, epoch, status = header[2], header[3], header[4]
        body = msgpack.unpackb(frames[1], strict_map_key=False) if len(frames) > 1 and frames[1] else None
        self.statuses[status] += 1
        if request == self.greeting and status == OK:
            self.epoch, self.pinged = body["epoch"], self.heard
            for asked in list(self.open.values()):
                self.send(*asked)
        elif status == HELLO_FIRST:
            if self.epoch:
                self.hello()
        elif self.open.pop(request, None):
            self.answers[request] = Answer(status, body, header[7])

    def pump(self, seconds=0.0, until_answered=None):
        """Takes what comes for so long, or until one request has its answer, and keeps the connection."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if now - self.heard > 1.0 and (self.pinged > self.heard or not self.epoch):
                self.connect()
            elif self.epoch and now - max(self.heard, self.pinged) > 0.2:
                self.pinged = now
                self.request += 1
                self.send("PING", self.request, b"", "", 0, 0)
            left = end - time.monotonic()
            if self.socket.poll(max(0, min(50, int(left * 1000)))):
                self.take(self.socket.recv_multipart())
                if until_answered in self.answers:
                    return
            elif left <= 0:
                return

    def end(self, request, seconds=30):
        end = time.monotonic() + seconds
        while request not in self.answers:
            assert time.monotonic() < end, f"no answer within {seconds} s"
            self.pump(0.1, request)
        return self.answers.pop(request)

    def ask(self, verb, body=None, seconds=30, **more):
        return self.end(self.begin(verb, body, **more), seconds)

    def insist(self, verb, body=None, seconds=40, **more):
        """Asks until the answer is a lasting one."""
        end = time.monotonic() + seconds
        while True:
            answer = self.ask(verb, body, seconds, **more)
            if answer.status not in PASSING:
                return answer
            assert time.monotonic() < end, answer
            if answer.status == UNAVAILABLE:
                assert answer.body["retry_after_ms"] > 0, answer
            self.pump((answer.body or {}).get("retry_after_ms", 0) / 1000)

    # ---- tasks ----------------------------------------------------------------------------------

    @staticmethod
    def task(id_, node="system.echo", **input_):
        return {"id": id_, "task": node, "token": secrets.token_bytes(16), "input": input_}

    def submit(self, *tasks, seconds=40):
        """Receipts of tasks of one service; what was refused for now is submitted again under the same tokens."""
        receipts, left, end = {}, list(tasks), time.monotonic() + seconds
        while left:
            service = left[0]["task"].split(".")[0]
            answer = self.insist("SUBMIT", left, seconds, service=service)
            assert answer.status == OK, answer
            for task, receipt in zip(left, answer.body):
                receipts[task["id"]] = receipt
            left = [task for task in left if receipts[task["id"]]["status"] in PASSING]
            assert time.monotonic() < end, left[:1]
            self.pump(0.05 if left else 0)
        return [receipts[task["id"]] for task in tasks]

    def wait(self, *refs, seconds=40):
        """Records of (id, node) once each of these has ended."""
        end, records = time.monotonic() + seconds, {}
        asked = {self.begin("WAIT", {"id": id_, "task": node, "timeout_ms": 5000}): (id_, node) for id_, node in refs}
        while asked:
            assert time.monotonic() < end, f"{len(asked)} of {len(refs)} have not ended: {list(asked.values())[:5]}"
            self.pump(0.02)
            for request in [request for request in asked if request in self.answers]:
                answer, ref = self.answers.pop(request), asked.pop(request)
                if answer.status == OK:
                    records[ref] = answer.body
                    continue
                assert answer.status in PASSING, (ref, answer)
                asked[self.begin("WAIT", {"id": ref[0], "task": ref[1], "timeout_ms": 5000})] = ref
        return [records[ref] for ref in refs]

    def record(self, id_):
        answer = self.insist("GET", {"id": id_})
        assert answer.status == OK, answer
        return answer.body

    def stage(self, id_, node="system.echo"):
        return self.record(id_)["stages"][node]

    def run(self, id_, node="system.echo", seconds=40, **input_):
        """Submits one task and answers its stage once it has ended."""
        receipt = self.submit(self.task(id_, node, **input_), seconds=seconds)[0]
        assert receipt["status"] == OK, receipt
        return self.wait((id_, node), seconds=seconds)[0]["stages"][node]

    def ready(self, *nodes, seconds=20):
        """Until the catalogue knows these nodes."""
        until(lambda: {n["name"] for n in self.insist("NODES").body or []} >= set(nodes), seconds)
