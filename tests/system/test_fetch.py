"""Foreign addresses fetched by engines: what comes whole, what is gone on with, and where it may not go."""
import hashlib
import http.server
import os
import socket
import ssl
import subprocess
import threading

import pytest

PROBE = os.path.join(os.environ["GANTRY_BUILD"], "tests", "fetch_probe")
DATA = os.urandom(1 << 20) + b"end"
ALL = 1 << 40


class Handler(http.server.BaseHTTPRequestHandler):
    """What a path is answered with is a method of its name."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        getattr(self, "on_" + self.path.strip("/").split("/")[0].split("?")[0])()
        self.close_connection = True

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def count(self):
        return sum(path == self.path for path, _ in self.server.seen)

    def on_whole(self):
        self.head(200, Content_Length=len(DATA))
        self.wfile.write(DATA)

    def on_empty(self):
        self.head(200, Content_Length=0)

    def on_chunked(self):
        self.head(200, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA))

    def on_short(self):
        self.head(200, Content_Length=len(DATA))
        self.wfile.write(DATA[:-1])

    def on_endless(self):
        self.head(200)
        try:
            while True:
                self.wfile.write(bytes(65536))
        except OSError:
            pass

    def on_broken(self):
        """A third of what is asked for at a time."""
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        tag = {"ETag": '"one"'}
        if begin:
            assert self.headers["If-Range"] == '"one"'
            self.head(206, Content_Length=len(DATA) - begin, Content_Range=f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}", **tag)
        else:
            self.head(200, Content_Length=len(DATA), **tag)
        self.wfile.write(DATA[begin:begin + 400000])

    def on_another(self):
        """What was broken off is another when it is asked for the rest."""
        if self.count() == 1:
            self.head(200, Content_Length=len(DATA), ETag='"old"')
            self.wfile.write(bytes(300000))
        else:
            assert self.headers["If-Range"] == '"old"'
            self.head(200, Content_Length=len(DATA), ETag='"new"')
            self.wfile.write(DATA)

    def on_nameless(self):
        """Nothing says whether the rest is of the same."""
        assert "Range" not in self.headers
        self.head(200, Content_Length=len(DATA))
        self.wfile.write(DATA if self.count() > 1 else bytes(300000))

    def on_elsewhere(self):
        """Goes on at another place than it was asked to."""
        if self.count() == 2:
            self.head(206, Content_Length=1, Content_Range=f"bytes 0-0/{len(DATA)}", ETag='"one"')
            self.wfile.write(DATA[:1])
        else:
            self.head(200, Content_Length=len(DATA), ETag='"one"')
            self.wfile.write(DATA if self.count() > 2 else DATA[:1000])

    def on_busy(self):
        if self.count() < 3:
            self.head(503, Content_Length=0)
        else:
            self.on_whole()

    def on_status(self):
        self.head(int(self.path.split("/")[-1]), Content_Length=0)

    def on_silent(self):
        self.head(200, Content_Length=len(DATA))
        self.wfile.write(DATA[:1000])
        self.server.ended.wait(60)

    def on_headless(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                self.wfile.write(b"X: %s\r\n" % (b"y" * 1000))
        except OSError:
            pass

    def on_hop(self):
        left = int(self.path.split("/")[-1])
        self.head(302, Location=f"/hop/{left - 1}" if left else "/whole", Content_Length=0)

    def on_away(self):
        self.head(302, Location=self.server.away, Content_Length=5)
        self.wfile.write(b"hello")


class Server:
    def __init__(self, context=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.seen, self.server.ended, self.server.away = [], threading.Event(), ""
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def requests(self, path):
        return [headers for seen, headers in self.server.seen if seen == path]

    def close(self):
        self.server.ended.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def fetch(tmp_path, url, *, allow="127.0.0.1", owned=False, most=ALL, timeout=20000, tries=5, path="got", stop=0):
    done = subprocess.run([PROBE, url, path, allow, "yes" if owned else "no", str(most), str(timeout), str(tries)],
                          cwd=tmp_path, capture_output=True, text=True, timeout=100,
                          env={"FETCH_STOP": str(stop), "LC_ALL": "C"} if stop else {"LC_ALL": "C"})
    assert done.returncode == 0 and not done.stderr, done
    status, rest = done.stdout.strip().split(" ", 1)
    if status != "OK":
        assert not (tmp_path / path).exists() or path in ("there", "link")
        assert rest
    return status, rest


def fetched(tmp_path, url, **more):
    status, rest = fetch(tmp_path, url, **more)
    assert status == "OK", rest
    size, sha, done, _ = rest.split()
    assert (tmp_path / "got").read_bytes() == DATA and int(size) == int(done) == len(DATA)
    assert sha == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("path", ["/whole", "/chunked", "/busy", "/hop/2", "/whole?a=b%20c"])
def test_comes_whole(tmp_path, server, path):
    fetched(tmp_path, server.url + path)


def test_says_who_it_is_and_sends_nothing_else(tmp_path, server):
    fetched(tmp_path, server.url + "/whole")
    headers = server.requests("/whole")[0]
    assert headers.pop("User-Agent").startswith("gantry/")
    assert set(headers) == {"Host", "Accept"}


def test_an_empty_file_is_one(tmp_path, server):
    status, rest = fetch(tmp_path, server.url + "/empty")
    assert status == "OK" and rest.startswith("0 " + hashlib.sha256(b"").hexdigest())
    assert (tmp_path / "got").read_bytes() == b""


def test_broken_off_it_goes_on_where_it_was(tmp_path, server):
    fetched(tmp_path, server.url + "/broken")
    assert [headers.get("Range") for headers in server.requests("/broken")] == [None, "bytes=400000-", "bytes=800000-"]


@pytest.mark.parametrize("path", ["/another", "/nameless", "/elsewhere"])
def test_what_may_not_be_the_same_begins_anew(tmp_path, server, path):
    fetched(tmp_path, server.url + path)


def test_tries_are_counted(tmp_path, server):
    status, why = fetch(tmp_path, server.url + "/short", tries=3)
    assert status == "UNAVAILABLE" and "byte" in why
    assert len(server.requests("/short")) == 3


@pytest.mark.parametrize("code, status, tries", [(401, "DENIED", 1), (403, "DENIED", 1), (404, "NOT_FOUND", 1), (410, "NOT_FOUND", 1),
                                                 (204, "MALFORMED", 1), (304, "MALFORMED", 1), (400, "MALFORMED", 1),
                                                 (302, "MALFORMED", 1), (206, "UNAVAILABLE", 2), (500, "UNAVAILABLE", 2),
                                                 (429, "UNAVAILABLE", 2)])
def test_answers_that_are_no_file(tmp_path, server, code, status, tries):
    got, why = fetch(tmp_path, f"{server.url}/status/{code}", tries=2)
    assert got == status, why
    assert len(server.requests(f"/status/{code}")) == tries


@pytest.mark.parametrize("path, requests", [("/whole", 1), ("/chunked", 1), ("/endless", 1)])
def test_too_large(tmp_path, server, path, requests):
    status, why = fetch(tmp_path, server.url + path, most=len(DATA) - 1)
    assert status == "TOO_LARGE" and str(len(DATA) - 1) in why and "unpack.bytes_max" in why
    assert len(server.requests(path)) == requests


def test_a_limit_is_no_byte_less(tmp_path, server):
    fetched(tmp_path, server.url + "/chunked", most=len(DATA))


def test_silence_ends_a_try(tmp_path, server):
    status, why = fetch(tmp_path, server.url + "/silent", timeout=300, tries=2)
    assert status == "UNAVAILABLE" and "300 ms" in why
    assert len(server.requests("/silent")) == 2


def test_a_head_without_an_end(tmp_path, server):
    assert fetch(tmp_path, server.url + "/headless")[0] == "MALFORMED"


def test_stops_when_told(tmp_path, server):
    assert fetch(tmp_path, server.url + "/silent", stop=3)[0] == "ECANCELED"


def test_no_more_than_three_redirects(tmp_path, server):
    status, why = fetch(tmp_path, server.url + "/hop/3")
    assert status == "MALFORMED" and "3" in why
    assert not server.requests("/whole")


@pytest.mark.parametrize("away, status", [("http://127.0.0.2:1/", "DENIED"), ("http://localhost.localdomain.invalid/", "UNAVAILABLE"),
                                          ("file:///etc/passwd", "MALFORMED"), ("ftp://127.0.0.1/", "MALFORMED"),
                                          ("http://user:secret@127.0.0.1/", "MALFORMED"), ("gopher://127.0.0.1:6379/_x", "MALFORMED"),
                                          ("http://169.254.169.254/latest/meta-data", "DENIED"), ("http://[::1]:1/", "DENIED")])
def test_each_redirect_is_judged(tmp_path, server, away, status):
    server.server.away = away
    got, why = fetch(tmp_path, server.url + "/away", tries=1)
    assert got == status, why


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254", "[::ffff:127.0.0.1]",
                                  "2130706433", "0x7f.1", "100.100.100.200"])
def test_addresses_that_are_not_public(tmp_path, server, host):
    status, why = fetch(tmp_path, f"http://{host}:{server.server.server_port}/whole", allow="")
    assert status == "DENIED" and "callback.allow" in why, why
    assert host != "localhost" or ("may not go to localhost, " in why and "127.0.0.1" not in why and "::1" not in why), why  # not what it stands for
    assert not server.server.seen


def test_private_ones_are_not_for_users(tmp_path):
    status, why = fetch(tmp_path, "http://10.255.255.1/x", allow="", owned=True)
    assert status == "DENIED" and "of users" in why


def test_a_host_may_be_allowed_by_its_name(tmp_path, server):
    fetched(tmp_path, f"http://localhost:{server.server.server_port}/whole", allow="localhost", owned=True)


@pytest.mark.parametrize("url", ["", "x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "http://a:b@127.0.0.1/",
                                 "http://127.0.0.1/a b", "http://127.0.0.1/" + "x" * 2048])
def test_what_is_no_address(tmp_path, url):
    assert fetch(tmp_path, url)[0] == "INVALID"


def test_nobody_there(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        status, why = fetch(tmp_path, f"http://127.0.0.1:{held.getsockname()[1]}/x", tries=2)
    assert status == "UNAVAILABLE" and "127.0.0.1" in why


def test_no_http(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as held:
        def serve():
            link, _ = held.accept()
            link.recv(4096)
            link.sendall(b"220 mail.example ESMTP\r\n")
            link.close()
        thread = threading.Thread(target=serve)
        thread.start()
        status, _ = fetch(tmp_path, f"http://127.0.0.1:{held.getsockname()[1]}/x", tries=1)
        thread.join()
    assert status == "MALFORMED"


def test_a_certificate_that_nobody_signed(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(context)
    try:
        status, why = fetch(tmp_path, server.url + "/whole")
    finally:
        server.close()
    assert status == "DENIED" and "certificate" in why
    assert not server.server.seen


def test_the_file_must_be_new_and_beneath(tmp_path, server):
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to("there")
    for path, status in (("there", "EEXIST"), ("link", "EEXIST"), ("../out", "EXDEV"), ("/out", "EXDEV"), ("none/x", "ENOENT")):
        assert fetch(tmp_path, server.url + "/whole", path=path)[0] in (status, "ELOOP"), path
    assert (tmp_path / "there").read_text() == "mine" and not server.server.seen


def test_a_full_disk_leaves_nothing(tmp_path, server):
    done = subprocess.run(["bash", "-c", 'trap "" XFSZ; ulimit -f 100; exec "$@"', "bash", PROBE, server.url + "/whole", "got",
                           "127.0.0.1", "no", str(ALL), "20000", "5"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("EFBIG ") and "got" in done.stdout, done
    assert not (tmp_path / "got").exists()
    assert len(server.requests("/whole")) == 1
