"""Files over HTTP with all of Gantry and a real store behind them: uploads, downloads, links, removals."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from front_house import detail, drain, parse
from harness import until
from http_house import House
from swift_house import SwiftHouse
from tus_peer import Tus, form

MIB = 1 << 20
SECRET = {"objects_region": "us-east-1", "storage_low_bytes": 0, "front_stop_ms": 1000, "front_request_ms": 5000, "objects_timeout_ms": 3000,
          "objects_tries": 2, "front_connections_max": 512}
NAMES = ["../x", "a/../x", "/x", "//x", "a//x", "a/./x", "..", ".", "a/..", "a\\..\\x", "a\x01", "\x7f", "x" * 1025, "a/", "a\x00b"]
CONTENT = os.urandom(3 * MIB + 4321)


@pytest.fixture(scope="module")
def swift():
    with SwiftHouse("swift") as store:
        yield store


@pytest.fixture(scope="module")
def s3(swift):
    return swift.client()


@pytest.fixture(scope="module")
def house(swift):
    more = {"objects_endpoint": swift.endpoint, "objects_access_key": swift.access_key, "objects_secret_key": swift.secret_key}
    with House("house", media="storage", worker_slots=4, env={"ASAN_OPTIONS": "quarantine_size_mb=4"}, **SECRET, **more) as system:
        system.knows("storage.upload_file")
        yield system


def figure(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(name + r":\s+(\d+)", status.read()).group(1)) / 1024


def upload(house, path, data=CONTENT, bucket=None, order=(0, 1, 2)):
    fields = [("file", "a.mp4", data), ("file_path", None, path.encode()), ("bucket", None, (bucket or "").encode())]
    body, kind = form(*[fields[n] for n in order])
    return house.http.call("POST", "/v1/files/upload", body, kind, seconds=120)


def get(house, path, method="GET", **headers):
    link = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
    try:
        link.request(method, "/v1/files/download/" + urllib.parse.quote(path), headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = link.getresponse()
        answer.body = answer.read()
        return answer
    finally:
        link.close()


@pytest.fixture(scope="module")
def there(house):
    """A file that is in the store."""
    answer = upload(house, "films/one.mp4")
    assert answer.status == 200, answer
    return answer.body


# ---- uploads -------------------------------------------------------------------------------------------


def test_a_form_is_in_the_store_when_it_is_answered(house, s3):
    for n, order in enumerate(((0, 1, 2), (1, 2, 0), (2, 0, 1))):
        path = f"videos/电影 {n}.mp4"
        answer = upload(house, path, order=order)
        assert answer.status == 200, answer
        said = answer.body
        assert list(said) == ["file_path", "bucket", "download_url", "size", "uploaded_at", "content_type", "sha256", "task_id"]
        assert (said["file_path"], said["bucket"], said["size"], said["content_type"]) == (path, "gantry", len(CONTENT), "video/mp4")
        assert said["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert s3.get_object(Bucket="gantry", Key=path)["Body"].read() == CONTENT
        with urllib.request.urlopen(said["download_url"]) as link:
            assert link.read() == CONTENT
        left = [name for _, _, names in os.walk(f"share/{said['task_id']}") for name in names]
        assert left == ["upload.json"], left
        status = house.http.status(said["task_id"])
        assert status["status"] == "completed" and list(status["result"]["stages"]) == ["storage.upload_file"]


def test_a_form_is_checked_to_its_end(house):
    before = set(os.listdir("share"))
    file, path = ("file", "a.mp4", b"x" * 1000), ("file_path", None, b"videos/a.mp4")
    bad = [((path,), "no file"), ((file,), "no file_path"), ((path, ("file", "a", b"")), "empty"), ((file, ("file_path", None, b"")), "no file_path"),
           ((file, file, path), "twice"), ((file, path, ("bucket", None, b"other")), "bucket"), ((path, file, ("bucket", None, b"g" * 200)), "bucket"),
           ((file, path, ("bucket", None, b"gantry\x00x")), "bucket")]
    bad += [((file, ("file_path", None, name.encode())), "file_path") for name in NAMES]
    bad += [((file, ("file_path", None, b"\xff\xfe")), "file_path")]
    for fields, word in bad:
        body, kind = form(*fields)
        answer = house.http.call("POST", "/v1/files/upload", body, kind)
        assert answer.status == 400 and word in answer.body["detail"], (fields, answer)
    whole, kind = form(file, path)
    for body, said, status in ((b"x", "multipart/form-data; boundary=x", 400), (b"", "multipart/form-data", 400), (b"x", "application/json", 415),
                               (whole[:-20], kind["Content-Type"], 400), (whole + b"more", kind["Content-Type"], 400)):
        assert house.http.call("POST", "/v1/files/upload", body, {"Content-Type": said}).status == status, said
    until(lambda: set(os.listdir("share")) - {".trash"} == before - {".trash"})


def test_tus_ends_in_the_store(house, s3):
    tus, data = Tus(house.port), os.urandom(5 * MIB + 7)
    tus.create(len(data), path="videos/tus.mp4", content_type="video/mp4")
    assert tus.rest(data, chunk=2 * MIB) == len(data) and tus.offset() == len(data)
    def progress():
        said = house.http.get(tus.location).body
        assert said["status"] in ("storing", "completed"), said
        return said if said["status"] == "completed" else None
    said = until(progress, 30)
    assert (said["offset"], said["size"], said["progress"], said["sha256"]) == (len(data), len(data), 1.0, hashlib.sha256(data).hexdigest())
    with urllib.request.urlopen(said["download_url"]) as link:
        assert link.read() == data and link.headers["Content-Type"] == "video/mp4"
    assert tus.offset() == len(data) and tus.call("DELETE").status == 404  # it is no upload under way any more
    assert tus.patch(0, b"x").status == 404


def test_another_client_of_tus(house, s3):
    """tus-js-client, where it is installed beside the tests."""
    folder = os.environ.get("GANTRY_TUS_JS") or os.path.join(os.environ.get("GANTRY_BUILD", "."), "tus-js")
    if not os.path.isdir(os.path.join(folder, "node_modules", "tus-js-client")) or not shutil.which("node"):
        pytest.skip("no tus-js-client")
    data = os.urandom(6 * MIB + 1)
    with open("tus.bin", "wb") as file:
        file.write(data)
    script = """
const fs = require('fs'), tus = require('tus-js-client');
const upload = new tus.Upload(fs.createReadStream('tus.bin'), { endpoint: process.argv[1], chunkSize: 1 << 20, uploadSize: fs.statSync('tus.bin').size,
  metadata: { filename: 'tus.bin', file_path: 'videos/js.bin', filetype: 'video/webm' }, retryDelays: [0, 200],
  onError: error => { console.error(error); process.exit(1); }, onSuccess: () => console.log(upload.url) });
upload.start();
"""
    ran = subprocess.run(["node", "-e", script, f"http://127.0.0.1:{house.port}/v1/files/uploads"], capture_output=True, text=True, timeout=60,
                         env={**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")})
    assert ran.returncode == 0 and "/v1/files/uploads/" in ran.stdout, ran
    until(lambda: house.http.get(urllib.parse.urlparse(ran.stdout.strip()).path).body["status"] == "completed", 30)
    assert s3.get_object(Bucket="gantry", Key="videos/js.bin")["Body"].read() == data


def test_a_large_upload_takes_no_memory(house, s3):
    """300 MB to the disk and into the store, and back through the front-end service."""
    block, size = os.urandom(MIB), 300
    body, kind = form(("file_path", None, b"large.bin"), ("file", "large.bin", b"@"))
    head, tail = body.split(b"@")
    pid = house.front.pid
    house.http.get("/healthz")
    before, began = figure(pid, "VmRSS"), time.monotonic()
    with socket.create_connection(("127.0.0.1", house.port), 300) as end:
        end.sendall(f"POST /v1/files/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {kind['Content-Type']}\r\n"
                    f"Content-Length: {len(head) + len(tail) + size * MIB}\r\n\r\n".encode() + head)
        for _ in range(size):
            end.sendall(block)
        end.sendall(tail)
        sent = time.monotonic() - began
        (answer,) = parse(drain(end))
    said, took = json.loads(answer.raw), time.monotonic() - began
    assert answer.status == 200 and said["size"] == size * MIB, answer
    up = figure(pid, "VmHWM")
    print(f"\nupload of {size} MiB: {size / sent:.0f} MiB/s to the disk, {size / took:.0f} MiB/s into the store; RSS {before:.0f}, peak {up:.0f} MiB")
    began, digest = time.monotonic(), hashlib.sha256()
    with urllib.request.urlopen(f"http://127.0.0.1:{house.port}/v1/files/download/large.bin") as link:
        for piece in iter(lambda: link.read(MIB), b""):
            digest.update(piece)
    took = time.monotonic() - began
    print(f"download of {size} MiB: {size / took:.0f} MiB/s; peak {figure(pid, 'VmHWM'):.0f} MiB")
    assert digest.hexdigest() == said["sha256"] and figure(pid, "VmHWM") - before < 40


# ---- downloads -----------------------------------------------------------------------------------------


def test_a_download_is_the_file_with_all_that_is_known_of_it(house, there):
    answer = get(house, "films/one.mp4")
    assert answer.status == 200 and answer.body == CONTENT
    headers = answer.headers
    assert (headers["Content-Type"], int(headers["Content-Length"]), headers["Accept-Ranges"]) == ("video/mp4", len(CONTENT), "bytes")
    assert headers["ETag"].startswith('"') and headers["Last-Modified"].endswith("GMT")
    assert headers["Content-Disposition"] == "attachment; filename=\"one.mp4\"; filename*=UTF-8''one.mp4"
    assert headers["X-Content-Type-Options"] == "nosniff"
    head = get(house, "films/one.mp4", "HEAD")
    assert head.status == 200 and head.body == b"" and {**head.headers, "X-Request-Id": 0, "traceparent": 0, "Date": 0} == \
        {**headers, "X-Request-Id": 0, "traceparent": 0, "Date": 0}
    upload(house, "videos/电影 \"x\".mp4", b"abc")
    assert get(house, "videos/电影 \"x\".mp4").headers["Content-Disposition"].endswith("filename*=UTF-8''%E7%94%B5%E5%BD%B1%20%22x%22.mp4")
    assert get(house, "films/two.mp4").status == 404 and get(house, "films/two.mp4", "HEAD").status == 404
    assert "films/two.mp4" in json.loads(get(house, "films/two.mp4").body)["detail"]
    for name in ("a/%2e%2e/b", "%2e%2e", "a%2f%2e%2e%2fb", "a%00", "a//b", "/a", "x" * 1025, "a%5c..%5cb"):
        assert house.http.get("/v1/files/download/" + name).status == 400, name
    assert house.http.get("/v1/files/download/a?bucket=other").status == 400


@pytest.mark.parametrize("wanted, start, end", [("0-0", 0, 1), ("5-9", 5, 10), ("100-", 100, None), ("-100", -100, None), ("0-99999999", 0, None),
                                                (f"{len(CONTENT) - 1}-", len(CONTENT) - 1, None)])
def test_a_range_is_a_part_of_it(house, there, wanted, start, end):
    answer = get(house, "films/one.mp4", Range=f"bytes={wanted}")
    assert answer.status == 206 and answer.body == CONTENT[start:end]
    first = start if start >= 0 else len(CONTENT) + start
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(CONTENT)}"
    assert int(answer.headers["Content-Length"]) == len(answer.body)


def test_ranges_and_conditions(house, there):
    etag = get(house, "films/one.mp4", "HEAD").headers["ETag"]
    answer = get(house, "films/one.mp4", Range=f"bytes={len(CONTENT)}-")
    assert answer.status == 416 and json.loads(answer.body)["detail"]
    for several in ("bytes=0-1,3-4", "lines=1-2", "bytes=9-5", "bytes=x"):
        assert get(house, "films/one.mp4", Range=several).body == CONTENT, several
    for tag in (etag, f'"x", W/{etag}', "*"):
        answer = get(house, "films/one.mp4", If_None_Match=tag)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)
    assert get(house, "films/one.mp4", If_None_Match='"x"').status == 200
    assert get(house, "films/one.mp4", Range="bytes=0-9", If_Range=etag).body == CONTENT[:10]
    for stale in ('"x"', "Wed, 21 Oct 2015 07:28:00 GMT", f"W/{etag}"):
        answer = get(house, "films/one.mp4", Range="bytes=0-9", If_Range=stale)
        assert answer.status == 200 and answer.body == CONTENT, stale
    assert get(house, "films/one.mp4", "HEAD", If_None_Match=etag).status == 304


def test_an_empty_file_is_one(house, s3):
    s3.put_object(Bucket="gantry", Key="empty", Body=b"")
    answer = get(house, "empty")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


def test_many_at_once_and_connections_live_on(house, there):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(answer.body == CONTENT for answer in pool.map(lambda _: get(house, "films/one.mp4"), range(32)))
    link = http.client.HTTPConnection("127.0.0.1", house.port, timeout=20)
    for path, status in (("download/films/one.mp4", 200), ("download/nothing", 404), ("download/films/one.mp4", 200), ("presigned/x", 200)):
        link.request("GET", "/v1/files/" + path)
        held, answer = link.sock, link.getresponse()
        assert answer.status == status and answer.read() and link.sock is held
    link.close()


def test_who_reads_slowly_costs_little_and_who_does_not_is_dropped(house, s3):
    s3.put_object(Bucket="gantry", Key="slow", Body=os.urandom(64 * MIB))
    pid = house.front.pid
    before, ends = figure(pid, "VmRSS"), []
    for _ in range(8):
        end = socket.socket()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        end.settimeout(20)
        end.connect(("127.0.0.1", house.port))
        end.sendall(b"GET /v1/files/download/slow HTTP/1.1\r\nHost: a\r\n\r\n")
        ends.append(end)
    began, got = time.monotonic(), 0
    while time.monotonic() - began < 7:  # longer than front.request_ms, and than the store may be silent
        got += len(ends[0].recv(65536))
        time.sleep(0.02)
    print(f"\n8 slow readers: RSS {before:.0f} -> {figure(pid, 'VmRSS'):.0f} MiB")
    assert figure(pid, "VmRSS") - before < 24 and got > 100000
    until(lambda: 'why="does not read"' in house.front.said() or True)
    rest = got
    ends[0].settimeout(60)
    while rest < 64 * MIB:  # it is all there for who goes on
        piece = ends[0].recv(1 << 20)
        assert piece, rest
        rest += len(piece)
    for end in ends:
        end.close()
    until(lambda: get(house, "slow", Range="bytes=0-0").status == 206)


def test_a_store_that_dies_leaves_no_answer_that_looks_whole(house, swift, s3):
    s3.put_object(Bucket="gantry", Key="broken", Body=os.urandom(64 * MIB))
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    end.settimeout(30)
    end.connect(("127.0.0.1", house.port))
    end.sendall(b"GET /v1/files/download/broken HTTP/1.1\r\nHost: a\r\n\r\n")
    got = end.recv(65536)
    assert got.startswith(b"HTTP/1.1 200")
    try:
        swift.kill()
        got += drain(end)
        assert len(got) < 64 * MIB
        end.close()
        for method, path in (("GET", "download/broken"), ("HEAD", "download/broken"), ("DELETE", "broken")):
            answer = house.http.call(method, "/v1/files/" + path)
            assert answer.status == 503 and answer.headers["Retry-After"], (method, answer)
            assert method == "HEAD" or "store cannot be reached" in detail(answer) and str(swift.port) not in detail(answer), detail(answer)
    finally:
        swift.start()
    until(lambda: get(house, "broken", Range="bytes=0-0").status == 206, 30)


def test_an_upload_outlives_a_store_that_is_away(house, swift, s3):
    """tus: its bytes are kept, the task waits for the store; a form's client is told where it is when it goes."""
    tus, data = Tus(house.port), os.urandom(MIB)
    swift.stop()
    try:
        tus.create(len(data), path="videos/later.mp4")
        assert tus.patch(0, data).status == 204
        assert house.http.get(tus.location).body["status"] == "storing"
    finally:
        swift.start()
    said = until(lambda: house.http.get(tus.location).body, 5)
    assert said["status"] in ("storing", "completed")
    until(lambda: house.http.get(tus.location).body["status"] == "completed", 90)
    assert s3.get_object(Bucket="gantry", Key="videos/later.mp4")["Body"].read() == data


# ---- links and removals --------------------------------------------------------------------------------


def test_a_link_is_for_anybody_for_a_while(house, there):
    answer = house.http.get("/v1/files/presigned/films/one.mp4?seconds=60")
    assert answer.status == 200 and list(answer.body) == ["download_url", "expires_at"]
    with urllib.request.urlopen(answer.body["download_url"]) as link:
        assert link.read() == CONTENT
    for seconds in ("0", "604801", "x", "-1", ""):
        assert house.http.get(f"/v1/files/presigned/a?seconds={seconds}").status == 400, seconds
    assert house.http.get("/v1/files/presigned/a/../b").status == 400 and house.http.get("/v1/files/presigned/a?bucket=x").status == 400


def test_a_file_is_removed(house, s3):
    for path in ("gone/a b.txt", "uploads/a", "directories", "uploads/b/c"):
        s3.put_object(Bucket="gantry", Key=path, Body=b"x")
        for status in ("deleted", "skipped"):
            answer = house.http.call("DELETE", "/v1/files/" + urllib.parse.quote(path))
            assert answer.status == 200 and answer.body == {"file_path": path, "bucket": "gantry", "status": status}, answer
    for path in ("%2e%2e/x", "a/%2e%2e", "a//b", "a%00"):
        assert house.http.call("DELETE", "/v1/files/" + path).status == 400, path


def test_a_directory_is_removed_and_none_beside_it(house, s3):
    for key in ("dir/a", "dir/b/c", "dir-x/a", "dirs", "other/dir/a"):
        s3.put_object(Bucket="gantry", Key=key, Body=b"x")
    for given in ("", "/", "//", "..", "../dir", "dir/..", "/dir", "dir//", "."):
        answer = house.http.call("DELETE", f"/v1/files/directories?directory_path={urllib.parse.quote(given)}")
        assert answer.status == 400 and "directory_path" in answer.body["detail"], given
    for given, count in (("dir", 2), ("dir/", 0)):
        answer = house.http.call("DELETE", f"/v1/files/directories?directory_path={given}&bucket=gantry")
        assert answer.status == 200
        assert answer.body == {"directory_path": "dir", "bucket": "gantry", "status": "deleted" if count else "skipped", "deleted_count": count}
    left = {one["Key"] for one in s3.list_objects_v2(Bucket="gantry")["Contents"]}
    assert {"dir-x/a", "dirs", "other/dir/a"} <= left and not {key for key in left if key.startswith("dir/")}


# ---- the end of a service ------------------------------------------------------------------------------


def test_who_waits_for_the_store_is_told_where_its_file_is(house, swift, s3):
    """SIGTERM while a form's file is on its way into the store: told its task, which goes on."""
    swift.freeze()
    try:
        body, kind = form(("file_path", None, b"videos/told.mp4"), ("file", "a.mp4", b"x" * 1000))
        with socket.create_connection(("127.0.0.1", house.port), 30) as end:
            end.sendall(f"POST /v1/files/upload HTTP/1.1\r\nHost: a\r\nContent-Type: {kind['Content-Type']}\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            until(lambda: any(task.endswith(b"/storage.upload_file") and house.state_of(task) == 2 for task in house.db.hkeys("states")) or True)
            time.sleep(0.5)
            house.front.process.terminate()
            (answer,) = parse(drain(end))
        assert answer.status == 503, answer
        id_ = re.search(r"[0-9a-f-]{36}", detail(answer)).group()
    finally:
        swift.thaw()
    assert house.front.process.wait(20) == 0
    house.front.start()
    until(lambda: house.ready() == 200)
    house.http.ended(id_, 60)
    assert house.http.status(id_)["status"] == "completed"
    assert s3.get_object(Bucket="gantry", Key="videos/told.mp4")["Body"].read() == b"x" * 1000
