"""gantry-front alone, and raw sockets that say whatever they like to it."""
import collections
import json
import os
import re
import shutil
import socket
import ssl
import time

import pytest

from harness import BIN, TROUBLE, Process, until

SUPPRESSIONS = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "checks", "asan.suppressions"))
LISTENS = re.compile(r"started http=(\S+):(\d+) ")
Answer = collections.namedtuple("Answer", "status headers raw")
HOST = b"Host: a\r\n"
# What is freed is overwritten: libraries that still use it are not checked by themselves.
FREED = "max_free_fill_size=65536:free_fill_byte=221"


def parse(data, head=False):
    """All answers in what came, in order; chunked bodies joined."""
    answers = []
    while data:
        top, mark, data = data.partition(b"\r\n\r\n")
        assert mark, f"no whole answer: {top!r}"
        first, *lines = top.decode("latin-1").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 \d\d\d \S.*", first), first
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        status, body = int(first.split()[1]), b""
        if status in (100, 204, 304) or head:
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while True:
                size, mark, data = data.partition(b"\r\n")
                assert mark, "no whole chunk"
                body, data = body + data[:int(size, 16)], data[int(size, 16) + 2:]
                if int(size, 16) == 0:
                    break
        else:
            size = int(headers["content-length"])
            body, data = data[:size], data[size:]
            assert len(body) == size
        answers.append(Answer(status, headers, body))
    return answers


def detail(answer):
    assert answer.headers["content-type"] == "application/json", answer
    said = json.loads(answer.raw)
    assert list(said) == ["detail"] and said["detail"]
    return said["detail"]


class Front:
    """A gantry-front in the current folder. No broker is there unless one is named."""

    def __init__(self, name="front", scheme="http", brokers="ipc://nobody", wait=True, **settings):
        self.scheme = scheme
        flags = {"front_http": "127.0.0.1:0", "front_brokers": brokers, "log_level": "debug", **settings}
        self.process = Process(name, os.path.join(BIN, "gantry-front"),
                               *[f"--{key.replace('_', '-')}={value}" for key, value in flags.items()],
                               env={"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:{FREED}:suppressions={SUPPRESSIONS}"})
        if wait:
            self.host, port = until(lambda: LISTENS.search(self.process.said())).groups()
            self.port = int(port)

    def said(self):
        with open(self.process.log, errors="replace") as log:
            return log.read()

    def connect(self, seconds=10, receive_bytes=None):
        end = socket.socket(socket.AF_INET6 if "[" in self.host else socket.AF_INET)
        if receive_bytes:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        end.settimeout(seconds)
        end.connect((self.host.strip("[]"), self.port))
        if self.scheme == "https":
            context = ssl.create_default_context(cafile="cert.pem")
            end = context.wrap_socket(end, server_hostname="localhost")
        return end

    def say(self, data, seconds=10, half=False):
        """All that is answered until the connection ends."""
        with self.connect(seconds) as end:
            end.sendall(data)
            if half:
                end.shutdown(socket.SHUT_WR)
            return drain(end)

    def ask(self, method="GET", path="/healthz", headers=b"", body=b"", version=b"1.1", host=HOST):
        if body:
            headers = b"Content-Length: %d\r\n" % len(body) + headers
        asked = method.encode() + b" " + path.encode() + b" HTTP/" + version + b"\r\n" + host + b"Connection: close\r\n" + headers
        answers = parse(self.say(asked + b"\r\n" + body), head=method == "HEAD")
        assert len(answers) == 1, answers
        return answers[0]

    def alive(self):
        return self.process.alive() and self.ask().status == 200

    def stop(self):
        self.process.stop()
        with open(self.process.log, errors="replace") as log:
            said = log.read()
        assert not TROUBLE.search(said) and "handle_left" not in said, said


def drain(end):
    got = b""
    try:
        while True:
            more = end.recv(65536)
            if not more:
                return got
            got += more
    except (ConnectionResetError, BrokenPipeError):
        return got


def closes(end, seconds):
    """Within how long the other side closes, throwing away what it says."""
    began = time.monotonic()
    end.settimeout(seconds)
    drain(end)
    return time.monotonic() - began


@pytest.fixture
def start(tmp_path):
    """Starts fronts in a folder of the test's own; each must end well."""
    home, fronts = os.getcwd(), []
    os.chdir(tmp_path)

    def begin(**settings):
        fronts.append(Front(f"front{len(fronts)}", **settings))
        return fronts[-1]

    yield begin
    try:
        for front in fronts:
            front.stop()
    finally:
        for front in fronts:
            if front.process.alive():
                front.process.kill()
        os.chdir(home)
        shutil.rmtree(tmp_path, ignore_errors=True)
