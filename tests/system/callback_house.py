"""Receivers of callbacks that behave as they are bid, and a House whose worker can read records."""
import contextlib
import json
import os
import re
import socket
import ssl
import threading
import time

import msgpack
import zmq

from worker_house import ANSWER, EPOCH, HELLO, MAGIC, PING, House

GET = 11
STAGE = {"state": "completed", "attempt": 1, "created_ms": 1769828400000, "started_ms": 1769828400000,
         "ended_ms": 1769828401500, "input": {"video_path": "/v/中文.mp4"}, "output": {"audio_path": "/a.wav", "n": 0.1},
         "callback": "http://last.example/"}
RECORD = {"id": "job", "status": "completed", "storage_path": "/share/job", "created_ms": 1769828400123,
          "stages": {"ffmpeg.extract_audio": STAGE}}


# ---- what a receiver does with a connection whose request was read: sock, receiver

def answer(status, headers="", body=b"{}"):
    def act(sock, receiver):
        sock.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)
    return act


def hang(sock, receiver):
    receiver.release.wait(60)


def close_early(sock, receiver):
    pass


def half_a_head(sock, receiver):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")


def half_a_body(sock, receiver):
    sock.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nonly this")


def junk(sock, receiver):
    sock.sendall(os.urandom(3000))


def drip(sock, receiver):
    """A byte now and then: never nothing, and never an answer."""
    with contextlib.suppress(OSError):
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10000:
            sock.sendall(bytes([byte]))
            if receiver.over.wait(0.05):
                return


def huge(status):
    def act(sock, receiver):
        sent = 0
        sock.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 100000000\r\n\r\nsee: ".encode())
        with contextlib.suppress(OSError):
            while sent < 100_000_000:
                sent += sock.send(b"x" * 65536)
        receiver.taken.append(sent)
    return act


def endless_head(sock, receiver):
    sent = 0
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    with contextlib.suppress(OSError):
        while sent < 100_000_000:
            sent += sock.send(b"X-Filler: " + b"x" * 8000 + b"\r\n")
    receiver.taken.append(sent)


class Told:
    """A request as it came."""

    def __init__(self, raw_head, body):
        self.at = time.monotonic()
        lines = raw_head.decode("latin-1").split("\r\n")
        self.line, self.names, self.headers = lines[0], [], {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            self.names.append(name.lower())
            self.headers[name.lower()] = value
        self.body = body
        self.json = json.loads(body)


class Receiver:
    """Listens at its port: each request gets the next act, the last one for ever."""

    def __init__(self, *acts, host="127.0.0.1", context=None):
        self.acts, self.context, self.told, self.taken, self.connected = list(acts) or [answer(200)], context, [], [], 0
        self.over, self.release = threading.Event(), threading.Event()
        self.socket = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=64)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def url(self, host="127.0.0.1", path="/hook?a=1", scheme="http"):
        return f"{scheme}://{host}:{self.port}{path}"

    def serve(self):
        while not self.over.is_set():
            try:
                sock, _ = self.socket.accept()
            except OSError:
                return
            self.connected += 1
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        with contextlib.suppress(OSError), sock:
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            said = b""
            while b"\r\n\r\n" not in said:
                more = sock.recv(65536)
                if not more:
                    return
                said += more
            head, _, body = said.partition(b"\r\n\r\n")
            told = {line.lower().split(b": ")[0]: line.split(b": ")[1] for line in head.split(b"\r\n")[1:]}
            while len(body) < int(told[b"content-length"]):
                body += sock.recv(65536)
            self.told.append(Told(head, body))
            act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
            act(sock, self)

    def close(self):
        self.over.set()
        self.release.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)


def server_context(folder):
    """TLS with a certificate that nobody knows."""
    import subprocess
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def verify(secret, header, body):
    """As docs/operations.md shows it."""
    with open(os.path.join(os.environ["GANTRY_SOURCE"], "docs", "operations.md")) as page:
        (snippet,) = (block for block in re.findall(r"```python\n(.*?)```", page.read(), re.S) if "def genuine" in block)
    shown = {}
    exec(snippet, shown)
    return shown["genuine"](secret, header, body)


class CallbackHouse(House):
    """A House that has a broker for clients too, with the records that a test puts there."""

    def __init__(self, folder, **settings):
        self.records, self.asked, self.broker_away = {"job": RECORD}, 0, False
        self.clients = zmq.Context.instance().socket(zmq.ROUTER)
        self.clients.linger = 0
        self.count = 0
        here = os.getcwd()
        os.chdir(folder)
        self.clients.bind("ipc://c")
        os.chdir(here)
        super().__init__(folder, **{"worker-services": "system", "worker-clients": "ipc://c",
                                    "callback-timeout-ms": 1500, **settings})

    def close(self):
        super().close()
        self.clients.close()

    def turn(self, timeout_ms=10):
        super().turn(timeout_ms)
        while self.clients.poll(0):
            peer, header, *body = self.clients.recv_multipart()
            _, verb, request, *_ = msgpack.unpackb(header)
            status, packed = 0, b""
            if verb == HELLO:
                packed = msgpack.packb({"epoch": EPOCH, "heartbeat_ms": 100, "liveness_ms": 60000, "lease_ms": 2000,
                                        "batch_max": 256, "body_max": 1 << 20})
            elif verb == GET:
                self.asked += 1
                record = self.records.get(msgpack.unpackb(body[0])["id"])
                status = 8 if self.broker_away else 0 if record else 2
                packed = b"" if status else msgpack.packb(record)
            elif verb != PING:
                continue
            head = [MAGIC, ANSWER, request, EPOCH, status, "", 0, 0, 0, ""]
            self.clients.send_multipart([peer, msgpack.packb(head), packed])

    def begin(self, url, id=None, before=None, timeout_ms=0, **more):
        """Hands a delivery out; answers its id."""
        self.count += 1
        id = id or f"callback-{self.count:040x}"
        self.hand("system.callback", id=id, before=before, timeout_ms=timeout_ms,
                  **{"task_id": "job", "task": "ffmpeg.extract_audio", "url": url, "status": "completed", "reuse": "miss",
                     "owned": False, **more})
        return id

    def deliver(self, url, **more):
        return self.result(self.begin(url, **more))
