#!/usr/bin/python3
"""A small TCP proxy that treats its connections badly on demand. tests/faults/run starts it.

  proxy.py SEED NAME=UNIX-PATH ...      listens on a free port of 127.0.0.1 for each name, says "PORT NAME NUMBER"
                                   for each, then READY, then obeys lines of stdin until its end:
  NAME MODE [NUMBER]               delay MS, throttle BYTES/S, hole (nothing passes), drop (reset all connections),
                                   refuse (reset them, and each new one), half (close one direction of each), garble (change a byte of
                                   the greeting of each new one), mangle SHARE (change a byte in such a share of all pieces), heal
"""
import asyncio
import random
import socket
import struct
import sys

PIECE, GREETING = 65536, 64


class Link:
    """One way in, all its connections, and how they are treated."""

    def __init__(self, name, path, dice):
        self.name, self.path, self.dice = name, path, dice
        self.open = asyncio.Event()
        self.open.set()
        self.connections = set()
        self.heal()

    def heal(self):
        self.delay = self.rate = self.share = 0.0
        self.refusing = self.garbling = False
        self.open.set()

    def obey(self, mode, number=0.0):
        if mode == "delay":
            self.delay = number / 1000
        elif mode == "throttle":
            self.rate = number
        elif mode == "mangle":
            self.share = number
        elif mode == "hole":
            self.open.clear()
        elif mode in ("drop", "refuse"):
            self.refusing = mode == "refuse"
            for connection in list(self.connections):
                connection.reset()
        elif mode == "half":
            for connection in list(self.connections):
                connection.half()
        elif mode == "garble":
            self.garbling = True
            for connection in list(self.connections):
                connection.reset()
        elif mode == "heal":
            self.heal()

    async def treat(self, piece):
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.rate:
            await asyncio.sleep(len(piece) / self.rate)
        await self.open.wait()
        if self.share and self.dice.random() < self.share:
            piece = self.change(piece, len(piece))
        return piece

    def change(self, piece, within):
        piece = bytearray(piece)
        piece[self.dice.randrange(min(within, len(piece)))] ^= 1 << self.dice.randrange(8)
        return bytes(piece)

    async def accept(self, reader, writer):
        if self.refusing:
            return reset(writer)
        try:
            behind = await asyncio.open_unix_connection(self.path)
        except OSError:
            return reset(writer)
        await Connection(self, reader, writer, *behind).run()


def reset(writer):
    """The other side gets ECONNRESET, not an end."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.family == socket.AF_INET:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Connection:
    def __init__(self, link, reader, writer, behind_reader, behind_writer):
        self.link, self.writers, self.halved = link, (writer, behind_writer), None
        self.pumps = ((reader, behind_writer, True), (behind_reader, writer, False))

    def reset(self):
        for writer in self.writers:
            reset(writer)

    def half(self):
        self.halved = self.link.dice.choice(self.writers)
        if self.halved.can_write_eof() and not self.halved.is_closing():
            self.halved.write_eof()

    async def pump(self, reader, writer, forth):
        first = forth and self.link.garbling
        while True:
            piece = await reader.read(PIECE)
            if not piece:
                break
            piece = await self.link.treat(piece)
            if first:
                piece, first = self.link.change(piece, GREETING), False
            if writer is self.halved:
                continue
            writer.write(piece)
            await writer.drain()
        if writer is not self.halved and writer.can_write_eof():
            writer.write_eof()

    async def run(self):
        self.link.connections.add(self)
        try:
            await asyncio.gather(*(self.pump(*one) for one in self.pumps))
        except (OSError, RuntimeError):
            pass  # one side is gone: then both go
        finally:
            self.link.connections.discard(self)
            self.reset()


async def main():
    dice, links = random.Random(int(sys.argv[1])), {}
    for word in sys.argv[2:]:
        name, path = word.split("=", 1)
        links[name] = Link(name, path, dice)
        server = await asyncio.start_server(links[name].accept, "127.0.0.1", 0)
        print("PORT", name, server.sockets[0].getsockname()[1])
    print("READY", flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := (await orders.readline()).decode().split():
        links[line[0]].obey(line[1], *map(float, line[2:]))


if __name__ == "__main__":
    asyncio.run(main())
