"""gantry-front's own part of HTTP: what it refuses, and how; its limits, each met; TLS; how it ends."""
import json
import os
import re
import resource
import socket
import ssl
import subprocess
import time

import pytest

from front_house import HOST, Front, closes, detail, drain, parse, start  # noqa: F401: start is a fixture
from harness import System, until

REFUSED = [
    # what is said, status, a word of the reason
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "several Host"),
    (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "no Host"),
    (b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "several Content-Length"),
    (b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "both"),
    (b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "not chunked"),
    (b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "not chunked"),
    (b"POST /v1/tasks HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP/1.0"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n", 400, "name"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX(A: b\r\n\r\n", 400, "name"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, ""),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\x01c\r\n\r\n", 400, "control character"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n", 400, "control character"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n", 400, "NUL"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n", 400, "CR LF"),
    (b"GET /healthz HTTP/1.1\nHost: a\r\n\r\n", 400, "CR LF"),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\tc\r\n\r\n", 400, ""),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c: d\r\n\r\n", 400, ""),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 400, "too many headers"),
    (b"GET /health%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "no escape"),
    (b"GET /health%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control character"),
    (b"GET /health%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "UTF-8"),
    (b"GET /health z HTTP/1.1\r\nHost: a\r\n\r\n", 400, "blank"),
    (b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "begin with /"),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "begin with /"),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "begin with /"),
    (b"GET /healthz?a=1&a=2 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "twice"),
]
# What libmicrohttpd refuses before anybody is asked: the status is right, the text its own.
REFUSED_BELOW = [
    (b"GET \r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\r\nHost\r\n\r\n", 400),
    (b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
    (b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 65536 + b"\r\n\r\n", 431),
    (b"GET /" + b"y" * 65536 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
]
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


# ---- what is refused ---------------------------------------------------------------------------------


def test_every_line_of_the_guard(start):
    front = start()
    for said, status, word in REFUSED:
        (answer,) = parse(front.say(said + SMUGGLED))  # one answer, and the connection ends
        assert answer.status == status and word in detail(answer), (said, answer)
        assert answer.headers["connection"] == "close", said
    assert front.alive()


def test_what_the_parser_below_refuses(start):
    front = start()
    for said, status in REFUSED_BELOW:
        got = front.say(said + SMUGGLED)
        assert got.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close" in got and b"smuggled" not in got, (said[:80], got)
    assert front.alive()


def test_paths_methods_and_types(start):
    front = start()
    answer = front.ask(path="/nothing")
    assert answer.status == 404 and detail(answer) == "there is nothing at /nothing"
    for path in ("/", "/healthz/", "//healthz", "/v1", "/v1/tasks/", "/healthz/../healthz", "/%2e%2e/healthz", "/healthz%2f"):
        assert front.ask(path=path).status == 404, path
    long = "/" + "%E4%B8%AD" * 100  # is quoted cut
    assert "中" in detail(front.ask(path=long))
    (answer,) = parse(front.say(b"\xff\xfe /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    assert answer.status == 405 and detail(answer).startswith("?? ")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "get"):
        answer = front.ask(method)
        assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD" and detail(answer), method
    answer = front.ask("GET", "/v1/tasks")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    for kind in (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"application/jsonp", b"json", b""):
        answer = front.ask("POST", "/v1/tasks", b"Content-Type: " + kind + b"\r\n", b"{}")
        assert answer.status == 415 and "application/json" in detail(answer), kind
    for kind in (b"application/json", b"Application/JSON; charset=utf-8", b"application/problem+json"):
        answer = front.ask("POST", "/v1/tasks", b"Content-Type: " + kind + b"\r\n", b"{}")
        assert answer.status == 400 and detail(answer), kind  # its words are the handler's


def test_a_refusal_leaves_the_connection_as_it_was(start):
    """Unless who asked cannot be trusted with its own framing: the body of what was refused is no request."""
    front = start()
    said = (b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\n" + SMUGGLED.ljust(37) +
            b"PUT /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert [answer.status for answer in parse(front.say(said))] == [404, 405, 200]


# ---- what works --------------------------------------------------------------------------------------


def test_answers_have_an_id_and_a_trace(start):
    front = start()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = front.ask(headers=b"X-Request-Id: order-7\r\ntraceparent: " + trace.encode() + b"\r\n")
    assert (answer.status, answer.raw) == (200, b'{"status":"ok"}')
    assert (answer.headers["x-request-id"], answer.headers["traceparent"]) == ("order-7", trace)
    made = [front.ask(path=path, headers=b"X-Request-Id: a b\r\ntraceparent: 00-x\r\n") for path in ("/healthz", "/nothing")]
    assert len({answer.headers["x-request-id"] for answer in made}) == 2
    assert all(len(answer.headers["x-request-id"]) == 32 and len(answer.headers["traceparent"]) == 55 for answer in made)


def test_head_is_get_without_a_body(start):
    front = start()
    for path in ("/healthz", "/openapi.json"):
        answer, whole = front.ask("HEAD", path), front.ask("GET", path)
        assert answer.status == 200 and int(answer.headers["content-length"]) == len(whole.raw) > 0


def test_connections_live_on_and_requests_may_be_sent_ahead(start):
    front = start()
    one = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: %d\r\n\r\n"
    last = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = parse(front.say(b"".join(one % n for n in range(50)) + last))
    assert [answer.headers["x-request-id"] for answer in answers[:50]] == [str(n) for n in range(50)]
    assert {answer.status for answer in answers} == {200} and json.loads(answers[50].raw)
    with front.connect() as end:
        for _ in range(3):
            end.sendall(one % 1)
            assert end.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
            time.sleep(0.05)
    assert parse(front.say(one % 1, half=True))[0].status == 200  # who asks may close its own side


def test_http_1_0(start):
    front = start()
    answer = front.ask(version=b"1.0", host=b"")
    assert answer.status == 200 and answer.headers["connection"] == "close"


def test_a_body_may_be_waited_for(start):
    """Expect: 100-continue: asked to go on, or refused at once."""
    front = start()
    with front.connect() as end:
        end.sendall(b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert end.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        end.sendall(b"{}")
        assert parse(drain(end))[0].status == 400
    for path, size, status in (("/v1/tasks", 2000000, 413), ("/nothing", 2, 404)):
        said = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (path.encode(), size)
        assert [answer.status for answer in parse(front.say(said))] == [status]


def test_the_document_and_the_rows_are_the_same(start):
    """Every path of the document answers something else than 404, with its methods and no others."""
    front = start(front_answer_ms=100)
    document = json.loads(front.ask(path="/openapi.json").raw)
    assert document["openapi"] == "3.1.0" and document["info"]["title"] == "Gantry"
    assert {"/healthz", "/readyz", "/openapi.json", "/v1/tasks"} <= set(document["paths"])
    for path, operations in document["paths"].items():
        real = path.replace("{id}", "nobody").replace("{path}", "nowhere/at/all")
        allowed = front.ask("BREW", real)
        assert allowed.status == 405, path
        methods = set(allowed.headers["allow"].lower().split(", ")) - {"head"}
        assert methods >= set(operations) - {"head"}, path  # of another row that fits too there may be more
        for method, operation in operations.items():
            answer = front.ask(method.upper(), real, body=b"{}" if method == "post" else b"")
            assert answer.status != 404 or (404 in map(int, set(operation["responses"]) - {"default"}) and b"nothing at" not in answer.raw), (method, path)
            assert operation["summary"] and operation["operationId"] and set(operation["responses"]) & {"200", "201", "204"}
            wanted = {part["name"] for part in operation["parameters"] if part["in"] == "path"}
            assert wanted == set(re.findall(r"{(\w+)}", path))
    ids = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
    assert len(set(ids)) == len(ids)


def has_ids(answer, name=None):
    """Those of the request where it has some."""
    said = answer.headers["x-request-id"]
    return len(answer.headers["traceparent"]) == 55 and (said == name if name else len(said) == 32)


# ---- limits ------------------------------------------------------------------------------------------


def test_a_body_is_bounded(start):
    front = start(front_body_bytes=2048)
    for size, status in ((2048, 400), (2049, 413)):
        answer = front.ask("POST", "/v1/tasks", body=b"x" * size)
        assert answer.status == status and detail(answer)
    chunked = b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nX-Request-Id: big\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    for sizes, status in (((1000, 1048), 400), ((1000, 1049), 413)):
        body = b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes) + b"0\r\n\r\n"
        (answer,) = parse(front.say(chunked + body))
        assert answer.status == status and detail(answer) and has_ids(answer, "big")
    (answer,) = parse(front.say(b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 64000000\r\n\r\n"))
    assert answer.status == 413  # none of it had to come


def test_all_bodies_together_are_bounded(start):
    """Who is too much is told so behind its body, and its connection lives on; there is room again later."""
    front = start(front_bodies_bytes=64 << 20, front_request_ms=60000)
    head = b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    holders = [front.connect() for _ in range(64)]
    for end in holders:
        end.sendall(head % (1 << 20) + b"x" * ((1 << 20) - 1))
    with front.connect() as end:
        for size in (1, 100000):
            def asked():
                end.sendall(head % size + b"x" * size)
                return parse(end.recv(4096))[0]
            answer = until(lambda: asked() if asked().status == 503 else None)
            assert answer.headers["retry-after"] == "1" and "too many bodies" in detail(answer)
            assert answer.headers["x-request-id"] and "connection" not in answer.headers
        assert front.alive()  # what has no body is not concerned
        for holder in holders:
            holder.close()
        until(lambda: asked().status == 400)


def test_who_sends_too_much_without_looking_still_learns_why(start):
    """The answer is not lost in a reset of the connection, if what comes behind it has an end."""
    front = start(front_body_bytes=65536)
    for framing in (b"Content-Length: 150000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n249f0\r\n"):
        with front.connect() as end:
            end.sendall(b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\n" + framing + b"x" * 75000)
            time.sleep(0.3)
            end.sendall(b"x" * 75000)
            (answer,) = parse(drain(end))
            assert answer.status == 413


def test_junk_is_not_read_for_long(start):
    front = start(front_body_bytes=65536)
    with front.connect() as end:
        sent = 0
        try:
            end.sendall(b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 64000000\r\n\r\n")
            while sent < 64000000:
                sent += end.send(b"x" * 65536)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert sent < 16000000  # what lies in the kernel's buffers is all
    assert front.alive()


def test_headers_are_bounded(start):
    front = start(front_header_bytes=2048)
    rest = len(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: \r\n\r\n")
    assert front.ask(headers=b"X: " + b"y" * (2048 - rest) + b"\r\n").status == 200
    answer = front.ask(headers=b"X: " + b"y" * (2049 - rest) + b"\r\n")
    assert answer.status == 431 and "2048" in detail(answer)


def test_a_request_comes_within_its_time(start):
    """However busily it trickles, headers and body alike."""
    front = start(front_request_ms=800, front_idle_ms=5000)
    for said in (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ", b"POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n", b"G"):
        with front.connect() as end:
            end.sendall(said)
            began = time.monotonic()
            end.settimeout(0.05)
            got = None
            while got is None and time.monotonic() - began < 5:
                try:
                    end.sendall(b"x")
                    got = end.recv(4096)
                except socket.timeout:
                    continue
            assert 0.7 < time.monotonic() - began < 2, said
            (answer,) = parse(got)
            assert answer.status == 408 and "in time" in detail(answer) and has_ids(answer)
    with front.connect() as end:  # the second request of a connection as well
        end.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in end.recv(4096)
        end.sendall(b"GET /healthz HT")
        assert 0.7 < closes(end, 5) < 2
    assert front.alive()


def test_an_idle_connection_ends(start):
    front = start(front_idle_ms=600, front_request_ms=5000)
    with front.connect() as end:
        assert 0.5 < closes(end, 5) < 1.5
    with front.connect() as end:
        end.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert 0.5 < closes(end, 5) < 1.5


def test_who_does_not_read_its_answers_is_dropped(start):
    front = start(front_request_ms=800, front_idle_ms=60000)
    with front.connect(receive_bytes=2048) as end:
        end.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
        until(lambda: 'dropped why="does not read"' in front.said(), 8)
        until(lambda: not end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or True)
    assert front.alive()


def test_who_reads_slowly_is_not(start):
    front = start(front_request_ms=500, front_idle_ms=60000)
    with front.connect(receive_bytes=4096) as end:
        end.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 300)
        began, got = time.monotonic(), 0
        while time.monotonic() - began < 2.5:
            got += len(end.recv(2048))
            time.sleep(0.01)
        assert got > 100000
    assert "dropped" not in front.said()


def test_connections_are_bounded_and_the_idle_make_room(start):
    front = start(front_connections_max=8, front_idle_ms=60000, front_request_ms=60000)
    busy = [front.connect() for _ in range(7)]
    for end in busy:
        end.sendall(b"GET /healthz HT")
    time.sleep(0.3)
    idle = front.connect()
    assert closes(idle, 5) < 2  # the only one that nobody would miss
    for _ in range(20):
        assert front.alive()
    late = front.connect()
    late.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"200 OK" in late.recv(4096)
    for end in (*busy, idle, late):
        end.close()
    assert front.alive()


def test_who_comes_when_files_run_out_waits(start):
    front = start(front_idle_ms=60000)
    resource.prlimit(front.process.process.pid, resource.RLIMIT_NOFILE, (64, 64))
    ends = [front.connect(2) for _ in range(80)]
    until(lambda: "Too many open files" in front.said())
    for end in ends:
        end.close()
    assert front.alive()


def test_many_idle_connections_are_borne(start):
    front = start(front_idle_ms=60000)
    ends = [front.connect() for _ in range(1000)]
    began = time.monotonic()
    assert all(front.alive() for _ in range(20))
    assert time.monotonic() - began < 5
    for end in ends:
        end.close()


# ---- where it listens, and TLS -------------------------------------------------------------------------


def refused(start, **settings):
    front = start(wait=False, **settings)
    code = front.process.process.wait(20)
    said = front.said()
    front.process.killed, front.process.process.returncode = True, -9  # it has ended as it should
    return code, said


def test_others_are_let_in_on_purpose_only(start):
    code, said = refused(start, front_http="0.0.0.0:0")
    assert code == 2 and "can be reached by others and nothing is encrypted" in said and "front.insecure" in said
    code, said = refused(start, front_http="127.0.0.1")
    assert code == 2 and "is no ADDRESS:PORT" in said
    front = start(front_http="0.0.0.0:0", front_insecure="true")
    front.host = "127.0.0.1"
    assert front.alive()
    code, said = refused(start, front_http=f"127.0.0.1:{front.port}")
    assert code == 1 and "cannot listen on" in said


def test_ipv6(start):
    if not os.path.exists("/proc/net/if_inet6") or not open("/proc/net/if_inet6").read():
        pytest.skip("no IPv6 on this machine")
    front = start(front_http="[::1]:0")
    assert front.host == "[::1]" and front.alive()


def certificate(name="localhost"):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name}", "-keyout", "key.pem", "-out", "cert.pem"],
                   check=True, capture_output=True)


def test_tls(start):
    certificate()
    settings = {"front_tls_cert": "cert.pem", "front_tls_key": "key.pem", "front_request_ms": 1000}
    front = start(scheme="https", front_http="0.0.0.0:0", **settings)
    front.host = "127.0.0.1"
    assert front.alive() and " tls=true" in front.said()
    for version, good in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with socket.create_connection((front.host, front.port), 5) as end:
            try:
                with context.wrap_socket(end) as wrapped:
                    assert good and wrapped.version() == version.name.replace("_", ".")
            except (ssl.SSLError, ConnectionResetError):
                assert not good, version
    front.scheme = "http"
    assert b"200 OK" not in front.say(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    with front.connect() as end:  # who never says hello has the time of a request
        end.sendall(b"\x16\x03\x01")
        assert closes(end, 5) < 3
    front.scheme = "https"
    body = b"x" * 1048576
    answer = front.ask("POST", "/v1/tasks", body=body)
    assert answer.status == 400
    answers = parse(front.say(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 50 + b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    assert [answer.status for answer in answers] == [200] * 51


def test_tls_that_cannot_be(start):
    certificate()
    code, said = refused(start, front_tls_cert="cert.pem")
    assert code == 2 and "front.tls_key is empty" in said
    code, said = refused(start, front_tls_cert="cert.pem", front_tls_key="nothing.pem")
    assert code == 1 and "cannot read front.tls_key" in said
    os.rename("key.pem", "old.pem")
    certificate()
    code, said = refused(start, front_tls_cert="cert.pem", front_tls_key="old.pem")
    assert code == 1 and "belong together" in said


# ---- with the rest of Gantry ---------------------------------------------------------------------------


class House(System):
    def front(self, **settings):
        self.http = Front(brokers=self.endpoints("clients"), **settings)
        return self.http

    def all(self):
        return [*([self.http.process] if hasattr(self, "http") else []), *super().all()]


@pytest.fixture
def house():
    with House("house", workers=0) as system:
        yield system


def ready(front):
    return front.ask(path="/readyz")


def test_it_is_ready_when_the_store_answers(house):
    front = house.front(front_answer_ms=3000)
    answer = until(lambda: ready(front) if ready(front).status == 200 else None)
    assert json.loads(answer.raw) == {"status": "ready"}
    house.redis.freeze()
    until(lambda: ready(front).status == 503)
    answer = ready(front)
    assert answer.status == 503 and answer.headers["retry-after"] == "1" and detail(answer)
    assert front.alive()
    house.redis.thaw()
    until(lambda: ready(front).status == 200)
    house.brokers[0].kill()
    until(lambda: ready(front).status == 503)
    began = time.monotonic()
    answer = front.ask(path="/v1/tasks/nobody/status")
    assert answer.status == 503 and answer.headers["retry-after"] and time.monotonic() - began < 15
    house.brokers[0].start()
    until(lambda: ready(front).status == 200)
    assert front.ask(path="/v1/tasks/nobody/status").status == 404


def test_the_store_is_asked_once_however_many_want_to_know(house):
    front = house.front()
    until(lambda: ready(front).status == 200)
    before = int(house.db.info("commandstats")["cmdstat_fcall"]["calls"])
    one = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for _ in range(5):
        assert {answer.status for answer in parse(front.say(one * 99 + last))} == {200}
    assert int(house.db.info("commandstats")["cmdstat_fcall"]["calls"]) - before < 100


def test_a_request_under_way_is_answered_before_it_ends(house):
    front = house.front(front_stop_ms=8000)
    until(lambda: ready(front).status == 200)
    house.redis.freeze()
    with front.connect() as busy, front.connect() as idle:
        busy.sendall(b"GET /v1/tasks/nobody/status HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        until(front.process.listens_to_term)
        front.process.process.terminate()
        assert closes(idle, 5) < 1
        with pytest.raises(OSError):
            front.connect().recv(1)
        time.sleep(0.3)
        assert front.process.alive()
        house.redis.thaw()
        (answer,) = parse(drain(busy))
        assert answer.status == 404 and answer.headers["connection"] == "close"
    assert front.process.process.wait(10) == 0


def test_its_patience_has_an_end(house):
    front = house.front(front_stop_ms=500)
    until(lambda: ready(front).status == 200)
    house.redis.freeze()
    with front.connect() as busy, front.connect() as slow:
        busy.sendall(b"GET /v1/tasks/nobody/status HTTP/1.1\r\nHost: a\r\n\r\n")
        slow.sendall(b"GET /healthz HT")
        time.sleep(0.3)
        began = time.monotonic()
        front.process.process.terminate()
        (answer,) = parse(drain(busy))
        assert answer.status == 503 and answer.headers["retry-after"]
        assert drain(slow) == b""
    assert front.process.process.wait(10) == 0 and time.monotonic() - began < 4
    house.redis.thaw()


def stream_of(house, front, name):
    """A stream of a task's events, its headers read."""
    answer = front.ask("POST", "/v1/tasks", body=json.dumps({"task_name": "system.sleep", "task_id": name, "input_data": {"seconds": 60}}).encode())
    assert answer.status == 200, answer
    end = front.connect()
    end.sendall(b"GET /v1/tasks/%s/events HTTP/1.1\r\nHost: a\r\n\r\n" % name.encode())
    got = b""
    while b"event: snapshot" not in got:
        got += end.recv(4096)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n") and b"text/event-stream" in got
    return end, got


@pytest.fixture
def streaming(house):
    house.add_worker()
    house.client().ready("system.sleep")
    house.workers[0].freeze()
    yield house
    house.workers[0].thaw()


def test_a_stream_is_ended_in_order(streaming):
    front = streaming.front(front_stop_ms=8000)
    until(lambda: ready(front).status == 200)
    end, got = stream_of(streaming, front, "streamed")
    began = time.monotonic()
    front.process.process.terminate()
    got += drain(end)
    assert got.endswith(b"\r\n0\r\n\r\n") and time.monotonic() - began < 3
    assert front.process.process.wait(10) == 0


def test_a_stream_whose_peer_has_left_is_closed(streaming):
    front = streaming.front(front_connections_max=8)
    until(lambda: ready(front).status == 200)
    for n in range(30):  # more than there is room for at once
        end, _ = stream_of(streaming, front, f"left{n}")
        end.close()
    assert front.alive()


def test_a_silent_stream_is_pinged(streaming):
    front = streaming.front()
    until(lambda: ready(front).status == 200)
    end, got = stream_of(streaming, front, "silent")
    end.settimeout(20)
    began = time.monotonic()
    while b": ping\n\n" not in got:
        got += end.recv(4096)
    assert time.monotonic() - began > 5
    end.close()
