"""gantry-front against half a minute of requests that are nearly good: it lives, and keeps answering others.

What is sent is made from a seed, which a failure shows; GANTRY_FUZZ_SEED sends the same again.
"""
import contextlib
import os
import random
import select
import socket
import time

from front_house import Front
from harness import System, until

SECONDS = 30
AT_ONCE = 32
ASKED_EVERY = 0.25

METHODS = [b"GET", b"HEAD", b"POST", b"DELETE", b"PUT", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"get", b"", b"\x16\x03\x01"]
PATHS = [b"/healthz", b"/readyz", b"/openapi.json", b"/v1/tasks", b"/v1/tasks/health", b"/v1/tasks/supported-tasks", b"/v1/tasks/a/status",
         b"/v1/tasks/a/result?task_name=system.echo", b"/v1/tasks/a/events?since=0", b"/v1/tasks/a/retry", b"/v1/tasks/a/delete", b"/v1/tasks/a",
         b"/", b"*", b"//", b"/%2e%2e/", b"/%00", b"/%zz", b"http://a/healthz", b"/v1/tasks/" + b"x" * 300, b"/?" + b"a&" * 40, b""]
HEADERS = [b"Host: a", b"Host: b", b"Connection: close", b"Connection: keep-alive, upgrade", b"Content-Length: 2", b"Content-Length: 0",
           b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 2000000", b"Transfer-Encoding: chunked",
           b"Transfer-Encoding: identity", b"Expect: 100-continue", b"Expect: x", b"Content-Type: application/json", b"Content-Type: text/html",
           b"X-Request-Id: a b", b"traceparent: 00-" + b"0" * 32, b"Upgrade: h2c", b"Cookie: a=b; c", b"Cookie: " + b"=;" * 50, b"Last-Event-ID: 7",
           b"Idempotency-Key: k", b"Range: bytes=0-1", b"X: " + b"y" * 3000, b"X : y", b" folded", b"\tfolded: b", b"X", b": y", b"X:\x00", b"Accept: */*"]
BODIES = [b"", b"{}", b"[]", b"{", b'{"task_name":"system.echo","task_id":"a","input_data":{"value":1}}', b'{"task_name":"nobody.x"}',
          b'{"task_name":"system.echo","callback":"http://127.0.0.1/","input_data":{}}', b'{"force":true}', b'{"a":' * 50, b"\xff\xfe", b"x" * 5000,
          b"2\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"2;x=y\r\n{}\r\n0\r\nX: y\r\n\r\n", b"zz\r\n"]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\x00"]


def request(dice):
    """Mostly in order; each part of it wrong at times."""
    end = b"\r\n" if dice.random() < 0.8 else dice.choice(ENDS)
    version = b"HTTP/1.1" if dice.random() < 0.9 else dice.choice([b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.11", b""])
    method, path = dice.choice(METHODS[:4]) if dice.random() < 0.8 else dice.choice(METHODS), dice.choice(PATHS)
    lines = [b" ".join([method, path, version])]
    if dice.random() < 0.9:
        lines.append(b"Host: a")
    body = dice.choice(BODIES) if method == b"POST" or dice.random() < 0.2 else b""
    if body and dice.random() < 0.8:
        lines.append(b"Content-Length: %d" % len(body))
    lines += dice.sample(HEADERS, dice.choice([0, 0, 1, 1, 2, 3, 8]))
    if dice.random() < 0.02:
        lines += [b"X: y"] * 200
    return end.join(lines) + end + end + body


def mutate(dice, said):
    said = bytearray(said)
    for _ in range(dice.choice([0, 0, 0, 1, 1, 2, 5])):
        if not said:
            break
        at, kind = dice.randrange(len(said)), dice.randrange(5)
        if kind == 0:
            said[at] = dice.randrange(256)
        elif kind == 1:
            del said[at:at + dice.randrange(1, 20)]
        elif kind == 2:
            said[at:at] = said[at:at + dice.randrange(1, 40)]
        elif kind == 3:
            said[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 9)))
        else:
            said[at:at] = dice.choice([b"\r\n", b"\n", b"\x00", b"%", b":", b" ", b"\r\n\r\n", b"\xc3\x28"])
    return bytes(said)


class Peer:
    """One connection that says its piece in bits, reads or does not, and leaves at some point in some way."""

    def __init__(self, dice, port):
        self.dice = dice
        said = b"".join(request(dice) for _ in range(dice.choice([1, 1, 1, 2, 5])))
        self.left = mutate(dice, said)
        self.deaf = dice.random() < 0.1
        self.until = time.monotonic() + dice.choice([0.01, 0.05, 0.2, 0.5])
        self.rude = dice.random() < 0.2
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setblocking(False)
        self.got = b""

    def turn(self):
        """False: it has left."""
        try:
            if self.left:
                size = len(self.left) if self.dice.random() < 0.6 else self.dice.randrange(1, len(self.left) + 1)
                self.left = self.left[self.socket.send(self.left[:size]):]
            if not self.deaf:
                more = self.socket.recv(65536)
                self.got += more
                if not more:
                    return self.leave()
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            return self.leave()
        return time.monotonic() < self.until or self.leave()

    def leave(self):
        if self.rude:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()
        return False


def fuzz(front, seed, seconds):
    dice = random.Random(seed)
    end, asked, slowest, count, statuses = time.monotonic() + seconds, 0, 0.0, 0, {}
    peers = []
    while time.monotonic() < end:
        while len(peers) < AT_ONCE:
            peers.append(Peer(dice, front.port))
            count += 1
        staying = [peer for peer in peers if peer.turn()]
        for peer in set(peers) - set(staying):
            assert not peer.got or peer.got.startswith(b"HTTP/1.1 "), (seed, peer.got[:200])
            statuses[peer.got[9:12]] = statuses.get(peer.got[9:12], 0) + 1
        peers = staying
        if time.monotonic() - asked > ASKED_EVERY:
            asked = time.monotonic()
            assert front.alive(), (seed, front.process.said())
            slowest = max(slowest, time.monotonic() - asked)
        select.select([peer.socket for peer in peers if not peer.deaf], [], [], 0.002)
    for peer in peers:
        peer.leave()
    return count, slowest, statuses


def test_it_lives_and_answers_others(tmp_path):
    seed = int(os.environ.get("GANTRY_FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"GANTRY_FUZZ_SEED={seed}")
    with System(tmp_path / "house", workers=1) as house:
        front = Front(brokers=house.endpoints("clients"), log_level="error", front_request_ms=1000, front_idle_ms=1000,
                      front_header_bytes=2048, front_body_bytes=4096, front_answer_ms=1000, front_connections_max=128, wait=False)
        front.host, front.port = "127.0.0.1", listening_port(front)
        house.client().ready("system.echo")
        count, slowest, statuses = fuzz(front, seed, SECONDS)
        print(f"{count} connections, the slowest /healthz took {slowest * 1000:.0f} ms, first answers {statuses}")
        assert count > 500 and slowest < 5
        assert {b"200", b"400", b"404", b"405", b"413"} <= set(statuses), statuses
        until(lambda: open_files(front) < 60, 20)  # nothing of all that is kept
        front.stop()


def open_files(front):
    return len(os.listdir(f"/proc/{front.process.pid}/fd"))


def listening_port(front):
    """Of a front that says nothing as long as all is well."""
    def look():
        inodes = set()
        for fd in os.listdir(f"/proc/{front.process.pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                inodes.add(os.readlink(f"/proc/{front.process.pid}/fd/{fd}"))
        with open("/proc/net/tcp") as table:
            for line in table.read().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                    return int(words[1].split(":")[1], 16)
        return None
    return until(look)
