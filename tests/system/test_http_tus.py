"""Resumable uploads (tus 1.0) up to the last byte: what the front-end service does by itself, with a disk, and nobody behind it."""
import http.client
import json
import os
import re
import select
import socket
import subprocess
import time

import pytest

from front_house import closes, detail, drain, parse, start  # noqa: F401: start is a fixture
from harness import until
from tus_peer import BYTES, TUS, Tus, checksum, form, metadata

MIB = 1 << 20
STORE = {"objects_endpoint": "http://127.0.0.1:1", "objects_access_key": "k", "objects_secret_key": "s", "storage_low_bytes": 0,
         "front_answer_ms": 1000}
NAMES = ["../x", "a/../x", "/x", "//x", "a//x", "a/./x", "..", ".", "a/..", "a\\..\\x", "a\x01", "\x7f", "x" * 1025, "a/", "a\x00b"]
BLOCK = os.urandom(MIB)


def rss(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def peak(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) / 1024


def bare(start, **settings):
    """A front-end service with a disk, but with nobody behind it."""
    os.makedirs("share", exist_ok=True)
    front = start(**{"storage_root": os.path.abspath("share"), **STORE, **settings})
    return front, Tus(front.port)


def files_of(id_):
    """All of an upload's folder but what says what it is."""
    found = []
    for folder, _, names in os.walk(f"share/{id_}"):
        found += [os.path.relpath(os.path.join(folder, name), f"share/{id_}") for name in names]
    return sorted(set(found) - {"upload.json"})


def send(end, data):
    """As much of it as the other side wants."""
    end.settimeout(10)
    try:
        end.sendall(data)
    except OSError:
        pass


def ask(front, method, path, headers=None, body=b""):
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return front.ask(method, path, lines.encode(), body)


# ---- without a store -----------------------------------------------------------------------------------


def test_without_a_store_nothing_is_taken(start):
    front = start(storage_root=os.path.abspath("share"))
    body, kind = form(("file", "a", b"x"), ("file_path", None, b"a"))
    for method, path, headers in (("POST", "/v1/files/upload", kind), ("POST", "/v1/files/uploads", {**TUS, "Upload-Length": "1"}),
                                  ("GET", "/v1/files/download/a", {}), ("GET", "/v1/files/presigned/a", {}), ("DELETE", "/v1/files/a", {}),
                                  ("DELETE", "/v1/files/directories?directory_path=a", {})):
        answer = ask(front, method, path, headers, body if path.endswith("upload") else b"")
        assert answer.status == 503 and "objects.endpoint" in detail(answer), path
    assert not os.path.exists("share")


def test_tus_says_what_it_offers(start):
    front, tus = bare(start, front_upload_bytes=1000)
    answer = tus.call("OPTIONS", "/v1/files/uploads", headers={})
    assert (answer.status, answer.headers["Tus-Version"], answer.headers["Tus-Max-Size"]) == (204, "1.0.0", "1000")
    assert answer.headers["Tus-Extension"] == "creation,termination,checksum" and "sha1" in answer.headers["Tus-Checksum-Algorithm"]
    for headers in ({}, {"Tus-Resumable": "0.2.2"}):
        answer = tus.call("POST", "/v1/files/uploads", headers={"Upload-Length": "1", "X": "y", **headers})
        assert answer.status == 412 and answer.headers["Tus-Version"] == "1.0.0"


def test_tus_refuses_what_cannot_be(start):
    front, tus = bare(start, front_upload_bytes=1000)
    good = metadata(file_path="a")
    for headers, status, word in (({"Upload-Metadata": good}, 400, "Upload-Length"), ({"Upload-Length": "0", "Upload-Metadata": good}, 400, "not 0"),
                                  ({"Upload-Length": "-1", "Upload-Metadata": good}, 400, "Upload-Length"),
                                  ({"Upload-Length": "1001", "Upload-Metadata": good}, 413, "1000"),
                                  ({"Upload-Length": "1"}, 400, "file_path"), ({"Upload-Length": "1", "Upload-Metadata": "file_path ???"}, 400, "cannot be read"),
                                  ({"Upload-Length": "1", "Upload-Metadata": metadata(file_path="a", bucket="other")}, 400, "bucket")):
        answer = tus.call("POST", "/v1/files/uploads", headers={**TUS, **headers})
        assert answer.status == status and word in json.loads(answer.body)["detail"], (headers, answer.body)
    for name in NAMES:
        answer = tus.call("POST", "/v1/files/uploads", headers={**TUS, "Upload-Length": "1", "Upload-Metadata": metadata(file_path=name)})
        assert answer.status == 400, name
    for id_ in ("nobody", "..", "%2e%2e%2fshare", "x" * 200, ".trash"):
        assert tus.call("HEAD", f"/v1/files/uploads/{id_}").status in (404, 405), id_
        assert tus.call("PATCH", f"/v1/files/uploads/{id_}", b"x", {**BYTES, "Upload-Offset": "0"}).status in (404, 405), id_
    tus.create(10)
    assert tus.call("PATCH", body=b"x", headers={**TUS, "Upload-Offset": "0", "Content-Type": "text/plain"}).status == 415
    for offset, status in (("1", 409), ("x", 400), ("-1", 400), ("", 400)):
        assert tus.call("PATCH", body=b"x", headers={**BYTES, "Upload-Offset": offset}).status == status, offset
    assert tus.patch(0, b"x" * 11).status == 413
    for said in ("crc32 AAAA", "sha1 x", "sha1"):
        assert tus.patch(0, b"x", **{"Upload-Checksum": said}).status == 400
    assert tus.offset() == 0 and tus.patch(0, b"").status == 204  # nothing of all that was kept
    assert os.listdir("share") == [tus.id]


def test_a_chunk_whose_checksum_is_wrong_is_not_kept(start):
    front, tus = bare(start)
    tus.create(3 * MIB)
    for algorithm in ("sha1", "sha256", "md5"):
        at = tus.offset()
        answer = tus.patch(at, BLOCK, **{"Upload-Checksum": checksum(algorithm, BLOCK + b"x")})
        assert answer.status == 460 and tus.offset() == at
        if at + MIB < tus.size:
            assert tus.patch(at, BLOCK, **{"Upload-Checksum": checksum(algorithm, BLOCK)}).status == 204
    with tus.begin(2 * MIB, MIB) as end:  # nor what came of one that was cut off
        pass
    assert tus.offset() == 2 * MIB
    assert tus.patch(5, BLOCK, **{"Upload-Checksum": checksum("sha1", BLOCK)}).status == 409 and tus.offset() == 2 * MIB


def test_tus_bodies_may_be_chunked(start):
    front, tus = bare(start)
    tus.create(2 * MIB)
    link = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    link.request("PATCH", tus.location, iter([BLOCK[:1000], BLOCK[1000:]]), {**BYTES, "Upload-Offset": "0"}, encode_chunked=True)
    assert link.getresponse().read() == b"" and tus.offset() == MIB
    link.request("PATCH", tus.location, iter([BLOCK, b"x"]), {**BYTES, "Upload-Offset": str(MIB)}, encode_chunked=True)
    answer = link.getresponse()  # more than was announced
    assert answer.status == 413 and answer.read() and tus.call("HEAD").status == 503  # it is whole, and nobody takes its task
    assert os.path.getsize(f"share/{tus.id}/a.mp4") == 2 * MIB
    link.close()


def test_an_upload_goes_on_where_it_was(start):
    """The client breaks off; the service is killed; another one goes on; at its end nobody takes the task: nothing is lost."""
    front, tus = bare(start)
    data = os.urandom(5 * MIB)
    tus.create(len(data))
    with tus.begin(0, len(data)) as end:
        end.sendall(data[:2 * MIB])
    at = until(lambda: tus.offset() or None)
    assert at <= 2 * MIB
    until(lambda: tus.patch(tus.offset(), data[tus.offset():tus.offset() + MIB]).status == 204)  # once the lock of the first is gone
    at = tus.offset()
    with tus.begin(at, len(data) - at) as end:
        end.sendall(data[at:at + MIB])
        until(lambda: os.path.getsize(f"share/{tus.id}/tmp/upload.data") > at)
        front.process.kill()
    second, _ = bare(start)
    tus.port = second.port
    assert at < tus.offset() <= at + MIB
    at = tus.offset()
    while at + MIB < len(data):
        assert tus.patch(at, data[at:at + MIB]).status == 204
        at = tus.offset()
    answer = tus.patch(at, data[at:])
    assert answer.status == 503 and answer.headers["Retry-After"]  # no broker
    assert json.loads(answer.body)["detail"].startswith("storage.upload_file was not accepted")
    assert tus.call("HEAD").status == 503  # and whoever asks tries again
    with open(f"share/{tus.id}/a.mp4", "rb") as file:
        assert file.read() == data
    assert files_of(tus.id) == ["a.mp4"]
    assert second.alive()


def test_two_at_once_are_one_too_many(start):
    front, tus = bare(start)
    second = start(storage_root=os.path.abspath("share"), **STORE)
    tus.create(2 * MIB)
    with tus.begin(0, 2 * MIB) as end:
        end.sendall(BLOCK)
        until(lambda: tus.offset() > 0)
        for port in (front.port, second.port):
            other = Tus(port)
            other.location, other.size = tus.location, tus.size
            answer = other.patch(0, b"x")
            assert answer.status == 423 and answer.headers["Retry-After"]
            assert other.call("DELETE").status == 423
    until(lambda: tus.call("DELETE").status == 204)
    assert tus.call("HEAD").status == 404 and tus.call("DELETE").status == 404 and not os.path.exists(f"share/{tus.id}")


PACE, REQUEST_S = 4096, 2  # so many bytes of a body in every front.request_ms: services/front/connections.h


def drip(end, piece, pause, seconds):
    """Sends a piece after each pause until it is answered: the bytes sent."""
    sent, began = 0, time.monotonic()
    while time.monotonic() - began < seconds and not select.select([end], [], [], pause)[0]:
        try:
            end.sendall(bytes(piece))
        except OSError:
            break
        sent += piece
    return sent


def test_who_stalls_is_ended_and_who_is_slow_is_not(start):
    front, tus = bare(start, front_request_ms=REQUEST_S * 1000)
    tus.create(1 << 20)
    with tus.begin(0, 1 << 20) as end:
        began = time.monotonic()
        sent = drip(end, PACE // 8, REQUEST_S / 20, 3 * REQUEST_S)  # far longer than a request may take, at some twice the pace
        assert time.monotonic() - began > 3 * REQUEST_S and not select.select([end], [], [], 0)[0]
        (answer,) = parse(drain(end))
        assert answer.status == 408
    until(lambda: tus.offset() == sent)
    with tus.begin(sent, 10) as end:
        assert closes(end, 5 + REQUEST_S) < 3 + REQUEST_S
    assert front.alive()


@pytest.mark.parametrize("piece, pause", [(1, 0.2), (PACE // 8, REQUEST_S / 4)])  # half of the pace is too little as well
def test_who_trickles_keeps_no_room_from_others(start, piece, pause):
    front, tus = bare(start, front_request_ms=REQUEST_S * 1000, front_uploads_max=1)
    tus.create(MIB)
    body, kind = form(("file_path", None, b"a"), ("file", "a", b""))
    head = f"POST /v1/files/upload HTTP/1.1\r\nHost: a\r\nContent-Type: {kind['Content-Type']}\r\nContent-Length: {MIB}\r\n\r\n".encode()
    def trickle(end):
        began = time.monotonic()
        sent = drip(end, piece, pause, 10 * REQUEST_S)
        assert time.monotonic() - began < 6 * REQUEST_S
        (answer,) = parse(drain(end))
        assert answer.status == 408 and "slowly" in detail(answer), answer
        return sent
    with tus.begin(0, MIB) as end:
        sent = trickle(end)
    assert until(tus.offset) <= sent  # what came last may have met a closed connection
    with socket.create_connection(("127.0.0.1", front.port), 60) as end:
        end.sendall(head + body[:body.rindex(b"\r\n--")])
        trickle(end)
    until(lambda: tus.patch(tus.offset(), b"y" * 10).status == 204)  # there is room, and it goes on
    assert front.alive()


def test_transfers_are_bounded(start):
    front, tus = bare(start, front_uploads_max=64)
    ends = []
    for n in range(64):
        one = Tus(front.port).create(MIB)
        ends.append(one.begin(0, MIB))
        ends[-1].sendall(b"x")
    last = Tus(front.port).create(MIB)
    def refused():
        answer = last.patch(0, b"y" * 10)
        return answer if answer.status == 503 else None
    answer = until(refused)
    assert answer.headers["Retry-After"] == "1" and "64 uploads" in json.loads(answer.body)["detail"]
    assert front.alive()  # what moves no files is not concerned
    for end in ends:
        end.close()
    until(lambda: last.patch(last.offset(), b"y" * 10).status == 204)


def test_disk_and_quota_are_told_with_figures(start):
    front, tus = bare(start, storage_low_bytes=1 << 59, storage_high_bytes=1 << 59)
    headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": metadata(file_path="a")}
    answer = tus.call("POST", "/v1/files/uploads", headers=headers)
    assert answer.status == 503 and answer.headers["Retry-After"] and re.search(r"\d+ bytes left; 5 more .* storage.low_bytes, 576460752303423488",
                                                                                  json.loads(answer.body)["detail"])
    second = start(storage_root=os.path.abspath("share"), **{**STORE, "quota_task_bytes": 4})
    tus.port = second.port
    answer = tus.call("POST", "/v1/files/uploads", headers=headers)
    assert answer.status == 413 and "larger than 4 bytes" in json.loads(answer.body)["detail"]


@pytest.fixture
def small(tmp_path):
    """A disk of 4 MiB."""
    os.makedirs(tmp_path / "small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", tmp_path / "small"], capture_output=True).returncode:
        pytest.skip("nobody lets us mount a small disk")
    yield str(tmp_path / "small")
    subprocess.run(["umount", "-l", tmp_path / "small"], check=True)


def test_a_full_disk_ends_an_upload(small, start):
    """Told in the middle of the body; what came is there, and it goes on once there is room."""
    front, tus = bare(start, storage_root=small)
    tus.create(4 * MIB - 100000)
    with open(small + "/other", "wb") as other:
        other.write(BLOCK)
    with tus.begin(0, tus.size) as end:
        send(end, (BLOCK * 4)[:tus.size])
        (answer,) = parse(end.recv(65536))
    assert answer.status == 503 and "full" in detail(answer)
    assert front.alive() and 2 * MIB < tus.offset() < 3 * MIB
    os.unlink(small + "/other")
    at = tus.offset()
    assert tus.patch(at, b"x" * 500000).status == 204 and tus.offset() == at + 500000


def test_an_upload_under_way_outlives_its_service(start):
    """SIGTERM: what does not end within front.stop_ms is cut, and can be gone on with."""
    front, tus = bare(start, front_stop_ms=700)
    tus.create(2 * MIB)
    with tus.begin(0, 2 * MIB) as end:
        end.sendall(BLOCK)
        until(lambda: tus.offset() > 0)
        began = time.monotonic()
        front.process.process.terminate()
        assert closes(end, 10) > 0.5
    assert front.process.process.wait(20) == 0 and time.monotonic() - began < 15
    second, _ = bare(start)
    tus.port = second.port
    at = tus.offset()
    assert at == MIB and tus.patch(at, b"x").status == 204


def test_uploads_that_nobody_comes_back_for_go(start):
    front, tus = bare(start)
    old, young = Tus(front.port).create(100), Tus(front.port).create(100)
    for one in (old, young):
        one.patch(0, b"x")
    long_ago = time.time() - 90000
    os.utime(f"share/{old.id}/tmp/upload.data", (long_ago, long_ago))
    os.makedirs("share/a-task/tmp")
    second = start(storage_root=os.path.abspath("share"), **STORE)
    until(lambda: "uploads_expired count=1" in second.said())
    assert old.call("HEAD").status == 404 and young.offset() == 1 and os.path.isdir("share/a-task/tmp")


def test_connections_live_on(start):
    """Behind an upload, and behind one that was refused while its body was still to come."""
    front, tus = bare(start)
    tus.create(10 * MIB)
    link = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    for offset, size, status in ((0, MIB, 204), (5, 1000, 409), (MIB, MIB, 204), (0, 1000, 409)):
        link.request("PATCH", tus.location, BLOCK[:size], {**BYTES, "Upload-Offset": str(offset)})
        held, answer = link.sock, link.getresponse()
        assert answer.status == status and answer.read() is not None and link.sock is held
    link.request("GET", tus.location)
    said = json.loads(link.getresponse().read())
    assert said == {"upload_id": tus.id, "offset": 2 * MIB, "size": 10 * MIB, "status": "uploading", "progress": 0.2, "file_path": "videos/a.mp4",
                    "bucket": "gantry"}
    link.close()
    with tus.begin(5, 8 * MIB) as end:  # much more than is read for the connection's sake: it ends
        send(end, BLOCK * 8)
        assert [answer.status for answer in parse(drain(end))] == [409]
    assert front.alive()


def test_a_body_may_be_waited_for(start):
    """Expect: 100-continue: refusals that only the disk knows come before it."""
    front, tus = bare(start)
    tus.create(MIB)
    said = "PATCH %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nUpload-Offset: %d\r\nExpect: 100-continue\r\nTus-Resumable: 1.0.0\r\n" \
           "Content-Type: application/offset+octet-stream\r\nConnection: close\r\n\r\n"
    assert [answer.status for answer in parse(front.say((said % (tus.location, 7)).encode()))] == [409]
    with front.connect() as end:
        end.sendall((said % (tus.location, 0)).encode())
        assert end.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        end.sendall(b"hello")
        assert parse(drain(end))[0].status == 204
    assert tus.offset() == 5


def test_memory_is_bounded_when_the_disk_is_slow_or_not(start):
    front, tus = bare(start)
    tus.create(600 * MIB)
    tus.patch(0, BLOCK)
    before, began = peak(front.process.pid), time.monotonic()
    with tus.begin(MIB, 300 * MIB) as end:
        for _ in range(300):
            end.sendall(BLOCK)
        assert end.recv(65536).startswith(b"HTTP/1.1 204")
    took = time.monotonic() - began
    print(f"\nupload of 300 MiB to disk: {300 / took:.0f} MiB/s, RSS {before:.1f} -> {peak(front.process.pid):.1f} MiB")
    assert tus.offset() == 301 * MIB and peak(front.process.pid) - before < 24
