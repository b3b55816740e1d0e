#!/usr/bin/python3
"""Clients of a HTTP server as nobody wants them, until SIGTERM: attacks.py NAME PORT [SCALE].

  slow   senders of one byte a second, of headers and of bodies
  idle   connections that say nothing
  junk   64 MB of random bytes, over and over, as requests and as bodies
  big    headers, targets and bodies beyond all limits, some without an end
  half   connections whose sending side is closed, in the middle of a request and after one
  deaf   readers that never read: event streams, and many answers asked for at once

Whoever is cut off comes again. Says READY once all are there, ENOUGH once all that may not stay have been cut off (and
64 MB of junk are sent), and at the end one line of JSON: connections opened, cut off, seconds that the longest of these
lasted, bytes sent, answers by status. SCALE 0.1: a tenth of them. Its priority is the lowest, for real attackers do not
use the processor of who they attack."""
import asyncio
import collections
import json
import os
import resource
import signal
import socket
import sys
import time

POST = b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
ESTABLISHED = 1  # of TCP_INFO's states
BLOCK, JUNK_EACH, JUNK = os.urandom(1 << 16), 1 << 20, 64 << 20
PAUSE_S, AGAIN_S, JUNK_S = 1.0, 0.5, 8.0  # between two bytes; before coming again; in which 64 MB are sent


class Attack:
    def __init__(self, port, scale):
        self.port, self.scale, self.counts, self.answers = port, scale, collections.Counter(), collections.Counter()
        self.longest, self.loop, self.there = 0.0, asyncio.get_running_loop(), 0

    def report(self):
        return {**self.counts, "longest_s": round(self.longest, 2), "answers": self.answers}

    async def connect(self, buffer=0):
        link = socket.socket()
        link.setblocking(False)
        if buffer:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            await self.loop.sock_connect(link, ("127.0.0.1", self.port))
        except BaseException:
            link.close()
            raise
        self.counts["opened"] += 1
        return link

    async def send(self, link, data):
        await self.loop.sock_sendall(link, data)
        self.counts["bytes"] += len(data)

    async def answer(self, link, seconds):
        """Reads for so long. False: the server has closed."""
        try:
            data = await asyncio.wait_for(self.loop.sock_recv(link, 1 << 16), seconds)
        except asyncio.TimeoutError:
            return True
        if data.startswith(b"HTTP/1.1 "):
            self.answers[data[9:12].decode(errors="replace")] += 1
        return bool(data)

    async def one(self, one, number):
        """One attacker, who comes again when it is cut off."""
        while True:
            try:
                with await self.connect(4096 if one is deaf else 0) as link:
                    begun = time.monotonic()
                    self.there += 1
                    try:
                        await one(self, link, number)
                        while await self.answer(link, 3600):
                            pass
                    finally:
                        self.longest = max(self.longest, time.monotonic() - begun)
                    self.counts["cut"] += 1
            except ConnectionError:
                self.counts["cut"] += 1
            await asyncio.sleep(AGAIN_S)

    async def enough(self, cut, size):
        while self.counts["cut"] < cut or self.counts["bytes"] < size:
            await asyncio.sleep(0.05)
        print("ENOUGH", flush=True)
        await asyncio.sleep(3600)

    async def run(self, name):
        one, count, leave = ATTACKS[name]
        count = max(2, round(count * self.scale))
        tasks = [asyncio.create_task(self.one(one, number)) for number in range(count)]
        while self.there < count:
            await asyncio.sleep(0.01)
        print("READY", flush=True)
        stop = asyncio.Event()
        self.loop.add_signal_handler(signal.SIGTERM, stop.set)
        tasks.append(asyncio.create_task(self.enough(int(count * leave), JUNK * self.scale if one is junk else 0)))
        await asyncio.wait([*tasks, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # what it died of
            task.cancel()
        print(json.dumps(self.report()), flush=True)


async def slow(self, link, number):
    text = POST + b"X-Filler: " + b"a" * 600 + b"\r\n"
    if number % 2:
        text = b"x" * 600
        await self.send(link, POST + b"Content-Length: 600\r\n\r\n")
    for i in range(len(text)):
        await self.send(link, text[i:i + 1])
        if not await self.answer(link, PAUSE_S):
            return


async def idle(self, link, number):
    pass


async def junk(self, link, number):
    """All of them together keep the pace."""
    if number % 2:
        await self.send(link, POST + b"Content-Length: %d\r\n\r\n" % JUNK_EACH)
    for _ in range(JUNK_EACH // len(BLOCK)):
        await self.send(link, BLOCK)
        if not await self.answer(link, JUNK_S * ATTACKS["junk"][1] * len(BLOCK) / JUNK):
            return
    link.shutdown(socket.SHUT_WR)


async def big(self, link, number):
    kind = number % 5
    line = b"X-Filler: " + b"a" * 1000 + b"\r\n"
    if kind == 0:
        await self.send(link, b"GET /" + b"a" * (1 << 17) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    if kind == 1:
        await self.send(link, POST + b"Content-Length: 1073741824\r\n\r\n")
    if kind == 2:
        await self.send(link, POST + b"X: y\r\n" * 5000 + b"\r\n")
    head = {3: POST, 4: POST + b"Transfer-Encoding: chunked\r\n\r\n"}.get(kind, b"")
    piece = {3: line * 16, 4: b"4000\r\n" + b"x" * 0x4000 + b"\r\n"}.get(kind, BLOCK)
    await self.send(link, head)
    while await self.answer(link, 0.05):
        await self.send(link, piece)


async def half(self, link, number):
    await self.send(link, POST + b"Content-Length: 600\r\n\r\n{" if number % 2 else GET)
    link.shutdown(socket.SHUT_WR)


async def deaf(self, link, number):
    """Its buffers are small: soon nothing more fits."""
    if number % 2 == 0:
        await self.send(link, b"GET /v1/tasks/%s/events HTTP/1.1\r\nHost: x\r\n\r\n" % os.environ.get("ATTACK_TASK", "none").encode())
    while link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:
        try:
            self.counts["bytes"] += link.send(GET * 50) if number % 2 else 0
        except BlockingIOError:
            pass
        await asyncio.sleep(0.2)
    raise ConnectionResetError


# What each does, how many there are, and the part of them that may not stay: event streams may.
ATTACKS = {"slow": (slow, 200, 1), "idle": (idle, 1000, 1), "junk": (junk, 16, 1), "big": (big, 50, 1), "half": (half, 200, 1),
           "deaf": (deaf, 200, 0.5)}


async def main():
    name, port, *scale = sys.argv[1:]
    os.nice(19)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    await Attack(int(port), float(scale[0]) if scale else 1.0).run(name)


if __name__ == "__main__":
    asyncio.run(main())
