"""A whole system with HTTP in front of it: harness.System, gantry-front, a worker for media and one for callbacks.

Beside them a worker of the test's own, which ends what it was handed when the test says so: whatever has to happen
while a stage runs happens then, without a race."""
import collections
import os
import re
import threading
import time

import msgpack
import zmq

from harness import HELLO_FIRST, OK, System, until
from http_peer import *  # noqa: F403: tests have it all from here
from http_peer import Http, Receiver

HELLO, BYE, CLAIM, HEARTBEAT, DONE, REGISTER = 1, 3, 20, 21, 22, 24
SLOTS = 16  # of the worker for callbacks, as gantry up has it
LISTENS = re.compile(r"127\.0\.0\.1:(\d+)")


class House(System):
    """Use with `with`. media: services of one more worker; receiver: takes callbacks."""

    def __init__(self, folder, media="", **settings):
        super().__init__(folder, workers=0, **{"callback_allow": "127.0.0.1", "callback_retry_ms": 50, "front_answer_ms": 3000, **settings})
        self.services, self.front, self.hands = media, None, []
        self.receiver = Receiver()

    def __enter__(self):
        super().__enter__()
        try:
            self.system = self.add_worker(worker_services="system", worker_slots=SLOTS)
            self.media = self.add_worker(worker_services=self.services) if self.services else None
            self.front = self.process("front", "gantry-front", front_http="127.0.0.1:0", front_brokers=self.endpoints("clients"))
            self.port = int(until(lambda: LISTENS.search(self.front.said())).group(1))
            self.front.command = [word.replace("127.0.0.1:0", f"127.0.0.1:{self.port}") for word in self.front.command]
            self.http = Http(self.port)
            until(lambda: self.ready() == 200)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.receiver.close()
        for hand in self.hands:
            hand.stop()
        super().__exit__(kind, value, trace)

    def all(self):
        return [*([self.front] if self.front else []), *super().all()]

    def ready(self):
        try:
            return self.http.get("/readyz").status
        except OSError:
            return None

    def hand(self, *nodes, **how):
        """A worker of the test's own for these nodes, there and known."""
        self.hands.append(Hand(self, nodes, **how))
        until(lambda: self.hands[-1].registered)
        return self.hands[-1]

    def knows(self, *names):
        """Until the catalogue has these nodes and somebody runs them."""
        until(lambda: {name for of_service in self.supported().values() for name in of_service} >= set(names), 30)

    def supported(self):
        answer = self.http.get("/v1/tasks/supported-tasks")
        return answer.body["supported_tasks"] if answer.status == 200 else {}

    def calls(self, path="/done", count=1, still=0.0, seconds=30):
        """The calls of a path once there are so many, and after a while that nothing more came."""
        self.receiver.wait(path, count, seconds)
        time.sleep(still)
        return self.receiver.of(path)

    def delivered(self):
        """Every delivery that was ever queued has ended: what has not been called by now never will be."""
        def left():
            return [field for field in map(bytes.decode, self.db.hkeys("bodies")) if field.endswith("/system.callback")
                    and self.state_of(field) not in range(4, 9)]
        until(lambda: not left(), 30)

    def state_of(self, field):
        packed = self.db.hget("states", field)
        return packed[1] if packed else 0


class Hand(threading.Thread):
    """What it was handed is in `taken`, by task id and node, until end() says how it ends; or at_once(task) answers a
    result, or None for "not yet"."""

    def __init__(self, house, nodes, at_once=None, slots=64):
        super().__init__(daemon=True)
        self.house, self.nodes, self.at_once, self.slots = house, list(nodes), at_once, slots
        self.session = os.urandom(16)
        self.lock, self.over, self.frozen = threading.Lock(), False, False
        self.taken, self.handed, self.cancels, self.outcomes = {}, [], [], {}
        self.results = collections.deque()
        self.epoch, self.request, self.seq, self.registered = 0, 0, 1, False
        self.verbs, self.beat_s, self.beat_at, self.claim_at = {}, 1.0, 0.0, 0.0
        self.start()

    # ---- what tests say

    def wait(self, id_, node=None, seconds=30):
        """The handout of a task, once it is here."""
        def found():
            with self.lock:
                return next((task for task in self.taken.values() if task["id"] == id_ and node in (None, task["task"])), None)
        return until(found, seconds)

    def end(self, task, state="completed", **more):
        """Says how a handout ended; answers the outcome's status. The same handout may be ended again."""
        self.outcomes.pop(task["token"], None)
        self.results.append((task, state, more))
        return until(lambda: self.outcomes.get(task["token"]), 30)["status"]

    def complete(self, id_, node=None, **output):
        task = self.wait(id_, node)
        assert self.end(task, output=output) == OK, task

    def fail(self, id_, node=None, message="it broke"):
        assert self.end(self.wait(id_, node), "failed", error={"code": "FAILED", "message": message}) == OK

    def runs(self, id_):
        """How often anything of this task was handed out here."""
        with self.lock:
            return [task["task"] for task in self.handed if task["id"] == id_]

    def freeze(self):
        """Says and hears nothing more: its lease ends."""
        self.frozen = True

    def thaw(self):
        self.frozen = False

    def stop(self):
        self.over = True
        self.join()

    # ---- the wire, in its own thread

    def say(self, verb, body, count=0):
        self.request += 1
        self.verbs[self.request] = (verb, body)
        self.socket.send_multipart([msgpack.packb([0x4701, verb, self.request, self.epoch, 0, "", 0, count, 0, ""]), msgpack.packb(body)])

    def run(self):
        self.socket = self.house.zmq.socket(zmq.DEALER)
        self.socket.linger = 500
        self.socket.connect(self.house.endpoints("workers").split(",")[0])
        while not self.over:
            if self.frozen:
                time.sleep(0.02)
                continue
            self.turn()
            if self.socket.poll(20):
                self.take(self.socket.recv_multipart())
        self.say(BYE, {"session": self.session})
        self.socket.close()

    def turn(self):
        now, asked = time.monotonic(), {verb for verb, _ in self.verbs.values()}
        if now >= self.beat_at:
            self.beat() if self.epoch else self.hello()
            self.beat_at = now + (self.beat_s if self.epoch else 0.5)
        if not self.epoch:
            return
        if not self.registered and REGISTER not in asked:
            self.say(REGISTER, {"session": self.session, "nodes": self.nodes})
        if self.results and DONE not in asked:
            self.say(DONE, [self.result(*self.results[0])], 1)
        if CLAIM not in asked and now >= self.claim_at:
            self.say(CLAIM, {"session": self.session, "seq": self.seq, "worker": "hand"}, self.slots)

    def hello(self):
        self.say(HELLO, {"role": "worker", "name": "hand", "session": self.session, "services": self.services(), "slots": self.slots})

    def beat(self):
        with self.lock:
            held = [{key: task[key] for key in ("id", "task", "token")} for task in self.taken.values()]
        self.say(HEARTBEAT, {"session": self.session, "claim_open": self.seq, "worker": "hand", "held": held,
                             "services": ",".join(self.services()), "slots": self.slots})

    def services(self):
        return sorted({node["name"].split(".")[0] for node in self.nodes})

    def result(self, task, state, more):
        return {**{key: task[key] for key in ("id", "task", "session", "token")}, "state": state, "worker": "hand", **more}

    def take(self, frames):
        header = msgpack.unpackb(frames[0])
        body = msgpack.unpackb(frames[1], strict_map_key=False) if len(frames) > 1 and frames[1] else None
        verb, asked = self.verbs.pop(header[2], (None, None))
        status = header[4]
        if status == HELLO_FIRST:
            self.seq += CLAIM in {verb for verb, _ in self.verbs.values()} or verb == CLAIM
            self.verbs.clear()
            self.epoch, self.beat_at = 0, 0.0
        elif verb == HELLO and status == OK:
            self.epoch, self.beat_at, self.registered = body["epoch"], 0.0, False
            self.beat_s = body["heartbeat_ms"] / 1000
        elif verb == REGISTER:
            self.registered = status == OK
        elif verb == HEARTBEAT and status == OK:
            self.on_beat(body or {})
        elif verb == CLAIM:
            self.on_claim(status, body)
        elif verb == DONE:
            self.on_done(status, asked[0], body)

    def on_beat(self, body):
        self.cancels += body.get("cancel") or []
        with self.lock:
            for token in body.get("stale") or []:
                self.taken.pop(token, None)

    def on_claim(self, status, body):
        self.seq += 1
        self.claim_at = time.monotonic() + (body["retry_after_ms"] / 1000 if status and body else 0)
        for task in body if status == OK else []:
            with self.lock:
                self.handed.append(task)
                self.taken[task["token"]] = task
            result = self.at_once(task) if self.at_once else None
            if result is not None:
                self.results.append((task, result.pop("state", "completed"), result))

    def on_done(self, status, result, body):
        if status != OK:
            return  # the store is away: it is said again
        self.results.popleft()
        with self.lock:
            self.taken.pop(result["token"], None)
        self.outcomes[result["token"]] = body[0]


def node(name, outputs=("value",), key=None, inputs=("value",), **more):
    """A declaration as a worker registers it."""
    return {"name": name, "doc": "a node of a test", "inputs": [{"name": given, "type": "any"} for given in inputs],
            "outputs": list(outputs), "key": list(key if key is not None else outputs), **more}
