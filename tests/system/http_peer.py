"""Both ends of HTTP that a user of Gantry has: one who asks, and one who is called back. The standard library alone."""
import asyncio
import collections
import email.parser
import http.client
import http.server
import json
import threading
import time

Reply = collections.namedtuple("Reply", "status headers body raw")
Call = collections.namedtuple("Call", "at method path headers raw body")


class Http:
    """One connection a call, so that any number of threads may ask at once."""

    def __init__(self, port, host="127.0.0.1", seconds=30):
        self.host, self.port, self.seconds = host, port, seconds

    def call(self, method, path, body=None, headers=None, seconds=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds or self.seconds)
        try:
            raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            more = {} if raw is None else {"Content-Type": "application/json"}
            connection.request(method, path, raw, {**more, **(headers or {})})
            answer = connection.getresponse()
            raw = answer.read()
            kind = answer.getheader("Content-Type", "")
            body = json.loads(raw) if raw and kind.startswith("application/json") else None
            return Reply(answer.status, answer.headers, body, raw)
        finally:
            connection.close()

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, body, **more)

    def submit(self, task_name, task_id=None, callback=None, headers=None, reuse=None, **input_data):
        """The whole answer to POST /v1/tasks."""
        body = {"task_name": task_name, "input_data": input_data}
        body.update({key: value for key, value in (("task_id", task_id), ("callback", callback), ("reuse", reuse)) if value is not None})
        return self.post("/v1/tasks", body, headers=headers)

    def status(self, task_id):
        answer = self.get(f"/v1/tasks/{task_id}/status")
        assert answer.status == 200, answer
        return answer.body

    def context(self, task_id):
        answer = self.get(f"/v1/tasks/{task_id}/result")
        assert answer.status == 200, answer
        return answer.body

    def ended(self, task_id, seconds=60, every=0.05):
        """The context once every stage of the task has ended."""
        end = time.monotonic() + seconds
        while self.status(task_id)["status"] not in ("completed", "failed", "cancelled"):
            assert time.monotonic() < end, f"{task_id} has not ended within {seconds} s: {self.status(task_id)}"
            time.sleep(every)
        return self.context(task_id)


def post_of(path, body, **headers):
    """A POST as bytes, whose answer ends its connection."""
    raw = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(raw)}", "Connection: close",
             *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def burst(port, requests, seconds=60):
    """Replies to requests that are all sent at once, each over a connection of its own that was open before."""
    async def one(raw, gate):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        gate.release()
        await gate.start.wait()
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, _, rest = head.decode().partition("\r\n")
        return Reply(int(first.split()[1]), email.parser.Parser().parsestr(rest), json.loads(body), body)

    async def all_of_them():
        gate = asyncio.Semaphore(0)
        gate.start = asyncio.Event()
        under_way = [asyncio.ensure_future(one(raw, gate)) for raw in requests]
        for _ in requests:
            await gate.acquire()
        gate.start.set()
        return await asyncio.wait_for(asyncio.gather(*under_way), seconds)

    return asyncio.run(all_of_them())


class Receiver:
    """Takes callbacks, keeps all of each, and answers as it was told: 200, unless a path has steps of its own.

    A step is a status, "hang" (until release()), "drop" (the connection ends without an answer), or a pair
    of a status and headers, such as (302, {"Location": url}) or (503, {"Retry-After": "1"}). The last one stays."""

    def __init__(self, host="127.0.0.1"):
        self.calls, self.steps, self.lock, self.over = [], {}, threading.Lock(), threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                step, over = receiver.take(self, raw), receiver.over
                if step == "hang":
                    over.wait()
                if step in ("hang", "drop"):
                    self.close_connection = True
                    return
                status, headers = step if isinstance(step, tuple) else (step, {})
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST = do_PUT = answer

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 1024

            def handle_error(self, *_):
                pass  # a peer that was killed

        self.server = Server((host, 0), Handler)
        self.host, self.port = host, self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def release(self):
        """Ends the connections that hang, without an answer."""
        over, self.over = self.over, threading.Event()
        over.set()

    def close(self):
        self.release()
        self.server.shutdown()
        self.server.server_close()

    def url(self, path="/done"):
        return f"http://{self.host}:{self.port}{path}"

    def plan(self, path, *steps):
        self.steps[path] = list(steps)

    def take(self, handler, raw):
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        with self.lock:
            self.calls.append(Call(time.time(), handler.command, handler.path, handler.headers, raw, body))
            steps = self.steps.get(handler.path) or [200]
            return steps.pop(0) if len(steps) > 1 else steps[0]

    def of(self, path):
        with self.lock:
            return [call for call in self.calls if call.path == path]

    def wait(self, path="/done", count=1, seconds=30):
        """The calls of this path, as soon as there are so many."""
        end = time.monotonic() + seconds
        while len(self.of(path)) < count:
            assert time.monotonic() < end, f"{len(self.of(path))} of {count} calls of {path} within {seconds} s"
            time.sleep(0.02)
        return self.of(path)
