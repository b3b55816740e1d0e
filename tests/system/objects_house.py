"""What test_objects.py puts between the library and a store: who asks, what counts and breaks on the way, and stores that lie."""
import contextlib
import http.client
import http.server
import json
import os
import socket
import subprocess
import threading
import urllib.parse

ASK = os.path.join(os.path.abspath(os.environ.get("GANTRY_BUILD", "build/asan")), "tests", "objects_ask")


class Call:
    """One call of the library in a process of its own, under way."""

    def __init__(self, endpoint, *arguments, stdin=subprocess.DEVNULL, env=None, **settings):
        rows = [f"{name}={value}" for name, value in {"endpoint": endpoint, **settings}.items()]
        self.process = subprocess.Popen([ASK, *rows, "--", *map(str, arguments)], stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=stdin != subprocess.PIPE, env={**os.environ, **(env or {})})

    def kill(self):
        self.process.kill()
        return self.process.communicate()[1]

    def end(self, data=None, seconds=120):
        try:
            out, errors = self.process.communicate(data, timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        assert self.process.returncode == 0, errors
        answer = json.loads(out)
        answer["said"] = errors if isinstance(errors, str) else errors.decode()
        return answer


def upload_of(said):
    return said.split("began ")[1].split()[0]


class Asked:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        split = urllib.parse.urlsplit(path)
        self.query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        self.part = int(self.query.get("partNumber", 0))


class Between(http.server.ThreadingHTTPServer):
    """Carries requests to a store, and notes them. rule(asked) may wait, change asked.body, or answer "drop" (nothing is sent
    on, the link breaks), "deaf" (sent on, and the answer kept from who asked) or a number (so many bytes of the answer's body
    come through before it breaks)."""
    daemon_threads = True

    def __init__(self, store_port, rule=None, context=None):
        self.store_port, self.rule = store_port, rule or (lambda asked: None)
        self.asked, self.answered, self.lock = [], [], threading.Lock()
        super().__init__(("127.0.0.1", 0), Carrier)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.endpoint = f"http{'s' if context else ''}://{'localhost' if context else '127.0.0.1'}:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    def handle_error(self, request, client_address):
        pass  # links break here on purpose

    def puts(self):
        return [asked.part for asked in self.asked if asked.method == "PUT" and asked.part]

    def stored(self):
        """Parts that the store has answered for."""
        with self.lock:
            return {asked.part for asked in self.answered if asked.part}

    def kinds(self):
        return [asked.method for asked in self.asked]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Carrier(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def carry(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, self.headers, body)
        with self.server.lock:
            self.server.asked.append(asked)
        ruled = self.server.rule(asked)
        if ruled == "drop":
            self.close_connection = True
            return
        link = http.client.HTTPConnection("127.0.0.1", self.server.store_port, timeout=120)
        try:
            link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                link.putheader(name, value)
            link.endheaders(asked.body)
            self.answer(asked, link.getresponse(), ruled)
        except OSError:
            self.close_connection = True
        finally:
            link.close()

    def answer(self, asked, answer, ruled):
        body = answer.read()
        with self.server.lock:
            self.server.answered.append(asked)
        if ruled == "deaf":
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") if asked.method == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(body if ruled is None else body[:ruled])
        self.close_connection = ruled is not None

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = carry  # noqa: N815: as http.server wants them named


# ---- a store that lies

def http_answer(status, body=b"", *headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def error(status, code, message="so it is", *headers):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return http_answer(status, body, "Content-Type: application/xml", *headers)


class Liar:
    """acts[n] is what becomes of request n (the last one: of all further ones): bytes, that are the answer, or a function of
    (socket, asked). The link ends behind each. What it was asked stands in asked."""

    def __init__(self, *acts):
        self.acts, self.asked, self.over = acts, [], threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.run)]
        self.threads[0].start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self.socket.accept()
                self.threads.append(threading.Thread(target=self.serve, args=(link,)))
                self.threads[-1].start()

    def serve(self, link):
        with link, contextlib.suppress(OSError, ValueError, IndexError):
            reader = link.makefile("rb")
            method, path, _ = reader.readline().decode().split()
            headers = http.client.parse_headers(reader)
            body = reader.read(int(headers.get("Content-Length", 0)))
            asked = Asked(method, path, headers, body)
            self.asked.append(asked)
            act = self.acts[min(len(self.asked), len(self.acts)) - 1]
            act(link, self) if callable(act) else link.sendall(act)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in self.threads:
            thread.join()


def hang(link, liar):
    liar.over.wait(60)


def junk(link, liar):
    link.sendall(os.urandom(4000))


def endless(head):
    def act(link, liar):
        link.sendall(head)
        sent = 0
        while sent < 1 << 30 and not liar.over.is_set():
            sent += link.send(b"X-Filler: " + b"x" * 8000 + b"\r\n")
    return act


def drip(head, byte=b"x"):
    """Never nothing, and never an answer."""
    def act(link, liar):
        link.sendall(head)
        while not liar.over.wait(0.02):
            link.sendall(byte)
    return act
