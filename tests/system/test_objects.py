"""The object store's client (common/objects) against OpenStack Swift, which checks what it is told, over links that break, and
against stores that lie."""
import hashlib
import os
import random
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
from harness_client import until
from objects_house import Between, Call, Liar, drip, endless, error, hang, http_answer, junk, upload_of
from swift_house import SwiftHouse

MIB = 1 << 20
PART = 5 * MIB
STRANGE = ["a b", "a+b", "a=b", "中文/文件 名.txt", "100%", "%41", "~tilde", "a&b;c", "q?x=1#y", "'single'", '"double"', "(round)[square]{curly}",
           "!*$,:@", "back\\slash", "<xml>&amp;", "😀", "é", "…", "a.b/.c", "x" * 1024, "中" * 341]


@pytest.fixture(scope="module")
def swift():
    with SwiftHouse("swift") as house:
        assert Call(house.endpoint, "make", "gantry").end()["status"] == "OK"
        yield house


@pytest.fixture
def ask(swift):
    def call(*arguments, endpoint=swift.endpoint, data=None, **settings):
        stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
        return Call(endpoint, *arguments, stdin=stdin, **settings).end(data)
    return call


def a_file(path, size, seed=1):
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def etag_of(data, part):
    """As S3 has it."""
    pieces = [data[at:at + part] for at in range(0, len(data), part)]
    return hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in pieces)).hexdigest() + f"-{len(pieces)}"


# ---- what it says when all is well

def test_a_bucket_is_made_once(ask, swift):
    assert ask("make", "another-one")["status"] == "OK"
    assert ask("make", "another-one")["status"] == "OK"
    assert "another-one" in [bucket["Name"] for bucket in swift.client().list_buckets()["Buckets"]]


@pytest.mark.parametrize("size", [0, 1, 5000, PART - 1, PART, PART + 1, 2 * PART, 25_000_000])
def test_bytes_go_there_and_back(ask, swift, tmp_path, size):
    source, target = a_file(tmp_path / "in", size, size), tmp_path / "out"
    put = ask("put", "gantry", "there/and/back", source, "text/x-test", part_bytes=PART)
    assert (put["status"], put["bytes"], put["sha256"], put["moved"]) == ("OK", size, sha256(source), size)
    data = source.read_bytes()
    assert put["etag"] == (etag_of(data, PART) if size > PART else hashlib.md5(data).hexdigest())
    head = ask("head", "gantry", "there/and/back")
    assert (head["bytes"], head["etag"], head["type"]) == (size, put["etag"], "text/x-test")
    assert head["sha256"] == (put["sha256"] if size <= PART else "")  # what was sent in parts has none with it
    assert abs(head["modified_ms"] / 1000 - time.time()) < 120
    got = ask("get", "gantry", "there/and/back", target)
    assert (got["status"], got["sha256"], got["bytes"], got["moved"]) == ("OK", put["sha256"], size, size)
    assert target.read_bytes() == data
    theirs = swift.client().get_object(Bucket="gantry", Key="there/and/back")
    assert hashlib.sha256(theirs["Body"].read()).hexdigest() == put["sha256"]


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_stream_is_written_as_it_comes(ask, parallel):
    data = random.Random(7).randbytes(3 * PART + 12345)
    written = ask("write", "gantry", "stream", 70000, data=data, part_bytes=PART, parallel=parallel)
    assert (written["status"], written["bytes"]) == ("OK", len(data))
    assert written["sha256"] == hashlib.sha256(data).hexdigest()
    assert written["etag"] == etag_of(data, PART)


@pytest.mark.parametrize("key", STRANGE)
def test_strange_keys(ask, swift, tmp_path, key):
    source, target = a_file(tmp_path / "in", 100, len(key)), tmp_path / "out"
    assert ask("put", "gantry", key, source)["status"] == "OK"
    assert ask("head", "gantry", key)["bytes"] == 100
    assert ask("get", "gantry", key, target)["sha256"] == sha256(source)
    assert [one["key"] for one in ask("list", "gantry", key)["keys"]] == [key]
    assert swift.client().get_object(Bucket="gantry", Key=key)["Body"].read() == source.read_bytes()
    url = ask("url", "gantry", key)
    assert (url["status"], url["bucket"], url["key"]) == ("OK", "gantry", key)
    signed = ask("presign", "GET", "", "gantry", key, 60)["url"]
    assert subprocess.run(["curl", "-sSf", signed], capture_output=True, check=True).stdout == source.read_bytes()
    assert ask("delete_prefix", "gantry", key)["count"] == 1
    assert ask("head", "gantry", key)["status"] == "NOT_FOUND"
    assert ask("delete", "gantry", key)["status"] == "OK"


def test_a_strange_key_in_parts(ask, swift, tmp_path):
    source = a_file(tmp_path / "in", PART + 1)
    assert ask("put", "gantry", "中文 +=%~/大 文件", source, part_bytes=PART)["status"] == "OK"
    assert swift.client().head_object(Bucket="gantry", Key="中文 +=%~/大 文件")["ContentLength"] == PART + 1


def test_ranges(ask, tmp_path):
    source, target = a_file(tmp_path / "in", 2 * PART), tmp_path / "out"
    ask("put", "gantry", "ranged", source, part_bytes=PART)
    data = source.read_bytes()
    for first, count in [(0, 1), (5, 1000), (PART - 10, 20), (len(data) - 1, 1), (len(data) - 5, 100), (1000, 0)]:
        got = ask("read", "gantry", "ranged", target, first, count)
        assert (got["status"], got["bytes"]) == ("OK", len(data))  # of the object, not of the range
        assert target.read_bytes() == data[first:first + count if count else None]
    assert ask("read", "gantry", "ranged", target, len(data), 1)["status"] == "INVALID"  # 416


def test_a_listing_longer_than_a_page_and_a_prefix_that_is_all_that_goes(ask, swift):
    client = swift.client()
    keys = [f"many/{n:04} 中+%" for n in range(1003)]
    threads = [threading.Thread(target=lambda part: [client.put_object(Bucket="gantry", Key=key, Body=b"x") for key in part],
                                args=(keys[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in ("many", "many.txt", "manyother/a"):
        client.put_object(Bucket="gantry", Key=key, Body=b"stays")
    inside = client.create_multipart_upload(Bucket="gantry", Key="many/unfinished &<中>")["UploadId"]
    client.upload_part(Bucket="gantry", Key="many/unfinished &<中>", UploadId=inside, PartNumber=1, Body=b"x" * PART)
    outside = client.create_multipart_upload(Bucket="gantry", Key="manyother/unfinished")["UploadId"]

    listed = ask("list", "gantry", "many/")
    assert listed["status"] == "OK" and [one["key"] for one in listed["keys"]] == keys
    assert all(one["bytes"] == 1 and one["etag"] == hashlib.md5(b"x").hexdigest() for one in listed["keys"])
    assert ask("list", "gantry", "none/")["keys"] == []

    gone = ask("delete_prefix", "gantry", "many/")
    assert (gone["status"], gone["count"]) == ("OK", 1003), gone
    assert [one["key"] for one in ask("list", "gantry", "many")["keys"]] == ["many", "many.txt", "manyother/a"]
    uploads = client.list_multipart_uploads(Bucket="gantry").get("Uploads", [])
    assert [upload["UploadId"] for upload in uploads] == [outside]
    assert ask("delete_prefix", "gantry", "many/")["count"] == 0
    assert ask("delete_prefix", "gantry", "")["status"] == "INVALID"
    client.abort_multipart_upload(Bucket="gantry", Key="manyother/unfinished", UploadId=outside)


def test_what_is_not_there(ask, tmp_path):
    assert ask("head", "gantry", "nowhere")["status"] == "NOT_FOUND"
    assert ask("delete", "gantry", "nowhere")["status"] == "OK"
    assert ask("delete", "no-such-bucket", "nowhere")["status"] == "NOT_FOUND"
    assert ask("list", "no-such-bucket", "")["status"] == "NOT_FOUND"
    got = ask("get", "gantry", "nowhere", tmp_path / "out")
    assert got["status"] == "NOT_FOUND" and "NoSuchKey" in got["error"]
    assert not (tmp_path / "out").exists()
    assert ask("put", "no-such-bucket", "k", a_file(tmp_path / "in", 10))["status"] == "NOT_FOUND"
    assert ask("put", "gantry", "k", tmp_path / "none")["status"] == "ENOENT"
    assert ask("put", "gantry", "k", tmp_path)["status"] == "EISDIR"


def test_a_file_that_is_there_is_left_alone(ask, tmp_path):
    source, target = a_file(tmp_path / "in", 100), tmp_path / "out"
    ask("put", "gantry", "once", source)
    target.write_text("mine")
    assert ask("get", "gantry", "once", target)["status"] == "EEXIST"
    assert target.read_text() == "mine"


def test_a_sink_may_not_ask_the_same_store(ask, tmp_path):
    ask("put", "gantry", "within", a_file(tmp_path / "in", 100))
    assert ask("within", "gantry", "within")["status"] == "EDEADLK"


def test_verify_reads_back(ask, swift, tmp_path):
    source = a_file(tmp_path / "in", PART + 5)
    put = ask("put", "gantry", "checked", source, part_bytes=PART)
    with Between(swift.port) as between:
        def verify(size, etag, digest):
            return ask("verify", "gantry", "checked", size, etag, digest, endpoint=between.endpoint)["status"]
        assert verify(PART + 5, put["etag"], put["sha256"]) == "OK"
        assert between.kinds() == ["HEAD"]  # its etag is one of the bytes
        assert verify(PART + 5, "not-one", put["sha256"]) == "OK"
        assert between.kinds() == ["HEAD", "HEAD", "GET"]
        assert verify(PART + 4, put["etag"], put["sha256"]) == "CONFLICT"
        assert verify(PART + 5, "0" * 32, "0" * 64) == "CONFLICT"
        assert verify(PART + 5, "0" * 32, "") == "CONFLICT"
    assert ask("verify", "gantry", "unchecked", 5, "", "")["status"] == "NOT_FOUND"


def test_another_checksum_than_it_was_written_with(ask, swift, tmp_path):
    swift.client().put_object(Bucket="gantry", Key="false", Body=b"other bytes", Metadata={"sha256": hashlib.sha256(b"bytes").hexdigest()})
    got = ask("get", "gantry", "false", tmp_path / "out")
    assert got["status"] == "CONFLICT" and "SHA-256" in got["error"]
    assert not (tmp_path / "out").exists()


# ---- who may

def test_wrong_keys(ask, tmp_path):
    source = a_file(tmp_path / "in", 10)
    for wrong in ({"secret_key": "wrong"}, {"access_key": "test:nobody"}):
        listed = ask("list", "gantry", "", **wrong)
        assert listed["status"] == "DENIED" and "403" in listed["error"], listed
        assert ask("head", "gantry", "a", **wrong)["status"] == "DENIED"
        assert ask("put", "gantry", "a", source, **wrong)["status"] == "DENIED"
        assert ask("make", "gantry", **wrong)["status"] == "DENIED"
    assert ask("list", "gantry", "", region="eu-west-1")["status"] in ("DENIED", "INVALID")


def test_bytes_that_change_on_the_way_are_refused(ask, swift, tmp_path):
    def change(asked):
        asked.body = asked.body[:-1] + bytes([asked.body[-1] ^ 1]) if asked.method == "PUT" else asked.body
    with Between(swift.port, change) as between:
        put = ask("put", "gantry", "changed", a_file(tmp_path / "in", 1000), endpoint=between.endpoint)
        assert put["status"] == "INVALID" and "400" in put["error"], put
        assert between.kinds() == ["PUT"]  # it is no use to try again
    assert ask("head", "gantry", "changed")["status"] == "NOT_FOUND"


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "-o", "answer", "-w", "%{http_code}", *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_signed_addresses(ask, tmp_path):
    source = a_file(tmp_path / "in", 1000)
    put = ask("presign", "PUT", "", "gantry", "by/curl 中", 60)["url"]
    get = ask("presign", "GET", "", "gantry", "by/curl 中", 60)["url"]
    assert curl("-T", source, put) == 200
    assert curl(get) == 200 and open("answer", "rb").read() == source.read_bytes()
    assert curl("-r", "5-9", get) == 206 and open("answer", "rb").read() == source.read_bytes()[5:10]
    assert curl("-X", "DELETE", get) == 403  # it is for this one request
    assert curl(get.replace("curl", "curt")) == 403
    assert curl(get.replace("Expires=60", "Expires=600")) == 403
    brief = ask("presign", "GET", "", "gantry", "by/curl 中", 1)["url"]
    until(lambda: curl(brief) == 403)  # it has expired


def test_an_address_for_clients_who_reach_the_store_by_another_name(ask, swift, tmp_path):
    ask("put", "gantry", "public", a_file(tmp_path / "in", 10))
    with Between(swift.port) as between:
        url = ask("presign", "GET", between.endpoint, "gantry", "public", 60)["url"]
        assert url.startswith(between.endpoint) and curl(url) == 200


# ---- what breaks

def test_an_upload_that_was_killed_goes_on(ask, swift, tmp_path):
    """Eight parts; three have arrived when it is killed: five are sent by who comes next."""
    source, over = a_file(tmp_path / "in", 8 * PART - 17), threading.Event()

    def hold(asked):
        return over.wait(60) and "drop" if asked.part > 3 else None
    with Between(swift.port, hold) as between:
        call = Call(between.endpoint, "put", "gantry", "killed", source, part_bytes=PART, parallel=2)
        until(lambda: between.stored() >= {1, 2, 3}, 60)
        upload = upload_of(call.kill())
        over.set()
    assert ask("head", "gantry", "killed")["status"] == "NOT_FOUND"

    with Between(swift.port) as between:
        put = ask("put", "gantry", "killed", source, "", upload, endpoint=between.endpoint, part_bytes=PART, parallel=2)
        assert (put["status"], put["sha256"], put["moved"]) == ("OK", sha256(source), 8 * PART - 17)
        assert sorted(between.puts()) == [4, 5, 6, 7, 8]
        assert between.kinds() == ["GET"] + ["PUT"] * 5 + ["POST"]
        assert sum(len(asked.body) for asked in between.asked if asked.method == "PUT") == 5 * PART - 17
    assert ask("get", "gantry", "killed", tmp_path / "out")["sha256"] == sha256(source)


def test_parts_with_other_bytes_are_sent_again(ask, swift, tmp_path):
    source = a_file(tmp_path / "in", 4 * PART)

    def drop(asked):
        if asked.part == 4:
            until(lambda: between.stored() >= {1, 2, 3}, 60)
            return "drop"
    with Between(swift.port, drop) as between:
        put = ask("put", "gantry", "other", source, endpoint=between.endpoint, part_bytes=PART, tries=1)
        assert put["status"] == "UNAVAILABLE"
        upload = upload_of(put["said"])
    with open(source, "r+b") as file:
        file.seek(PART + 5)
        file.write(b"another byte")
    with Between(swift.port) as between:
        put = ask("put", "gantry", "other", source, "", upload, endpoint=between.endpoint, part_bytes=PART)
        assert (put["status"], put["sha256"]) == ("OK", sha256(source))
        assert sorted(between.puts()) == [2, 4]


def test_an_upload_that_is_gone_begins_anew(ask, tmp_path):
    source = a_file(tmp_path / "in", PART + 1)
    for gone in ("MTIzNDU2Nzg5MA", "no such id"):
        put = ask("put", "gantry", "anew", source, "", gone, part_bytes=PART)
        assert (put["status"], put["sha256"]) == ("OK", sha256(source)), put
        assert upload_of(put["said"]) != gone


def test_an_upload_that_is_given_up_leaves_nothing(ask, swift, tmp_path):
    stop = tmp_path / "stop"

    def stop_at(asked):
        if asked.part == 2:
            stop.touch()
    with Between(swift.port, stop_at) as between:
        call = Call(between.endpoint, "write", "gantry", "given-up", MIB, stdin=subprocess.PIPE, env={"STOP_FILE": str(stop)}, part_bytes=PART)
        assert call.end(os.urandom(6 * PART))["status"] == "ECANCELED"
    assert "Uploads" not in swift.client().list_multipart_uploads(Bucket="gantry", Prefix="given-up")


def test_a_read_that_breaks_off_goes_on_where_it_was(ask, swift, tmp_path):
    source, cuts = a_file(tmp_path / "in", 3 * MIB), [MIB, 10, 0]
    ask("put", "gantry", "cut", source)
    with Between(swift.port, lambda asked: cuts.pop(0) if cuts else None) as between:
        got = ask("get", "gantry", "cut", tmp_path / "out", endpoint=between.endpoint)
        assert (got["status"], got["sha256"], got["moved"]) == ("OK", sha256(source), 3 * MIB)
        ranges = [asked.headers.get("range") for asked in between.asked]
        assert ranges == [None, f"bytes={MIB}-", f"bytes={MIB + 10}-", f"bytes={MIB + 10}-"]
        assert all(asked.headers.get("if-match") for asked in between.asked[1:])


def test_a_read_of_what_has_become_another(ask, swift, tmp_path):
    ask("put", "gantry", "becomes", a_file(tmp_path / "in", 3 * MIB))

    def replace(asked):
        if "range" not in asked.headers:
            return 1000
        swift.client().put_object(Bucket="gantry", Key="becomes", Body=b"y" * 3 * MIB)
    with Between(swift.port, replace) as between:
        got = ask("get", "gantry", "becomes", tmp_path / "out", endpoint=between.endpoint)
    assert got["status"] == "CONFLICT"
    assert not (tmp_path / "out").exists()


def test_a_store_that_freezes_and_thaws(ask, swift, tmp_path):
    source = a_file(tmp_path / "in", 5 * PART)

    def freeze(asked):
        if asked.part == 2 and between.puts().count(2) == 1:
            swift.freeze()
    with Between(swift.port, freeze) as between:
        call = Call(between.endpoint, "put", "gantry", "frozen", source, part_bytes=PART, timeout_ms=1000, tries=30)
        try:
            until(lambda: between.puts().count(2) > 1, 60)
        finally:
            swift.thaw()
        put = call.end()
    assert (put["status"], put["sha256"]) == ("OK", sha256(source))
    assert ask("get", "gantry", "frozen", tmp_path / "out")["sha256"] == sha256(source)


def test_a_store_that_is_killed_and_comes_back(ask, swift, tmp_path):
    source, stored = a_file(tmp_path / "in", 6 * PART), set()

    def kill(asked):
        if asked.part == 4 and between.puts().count(4) == 1:
            stored.update(between.stored())
            swift.kill()
    with Between(swift.port, kill) as between:
        call = Call(between.endpoint, "put", "gantry", "back", source, part_bytes=PART, tries=30)
        until(lambda: between.puts().count(4) > 1, 60)
        swift.start()
        put = call.end()
        assert (put["status"], put["sha256"]) == ("OK", sha256(source))
        assert stored and all(between.puts().count(part) == 1 for part in stored)
    assert ask("get", "gantry", "back", tmp_path / "out")["sha256"] == sha256(source)


def test_a_store_that_dies_under_a_read_and_comes_back(ask, swift, tmp_path):
    source = a_file(tmp_path / "in", 4 * MIB)
    ask("put", "gantry", "read-back", source)
    with Between(swift.port, lambda asked: 2 * MIB if len(between.asked) == 1 else None) as between:
        call = Call(between.endpoint, "get", "gantry", "read-back", tmp_path / "out", tries=30)
        until(lambda: between.answered, 60)
        swift.kill()
        until(lambda: len(between.asked) > 2, 60)
        swift.start()
        got = call.end()
    assert (got["status"], got["sha256"]) == ("OK", sha256(source))


def test_an_answer_to_the_last_request_that_was_lost(ask, swift, tmp_path):
    """The store has made the object, and its upload is gone: that is what a second try hears."""
    source, lost = a_file(tmp_path / "in", PART + 1), ["deaf"]
    with Between(swift.port, lambda asked: lost.pop() if lost and asked.method == "POST" and "uploadId" in asked.query else None) as between:
        put = ask("put", "gantry", "lost", source, endpoint=between.endpoint, part_bytes=PART)
        assert (put["status"], put["sha256"]) == ("OK", sha256(source)), put
    assert ask("verify", "gantry", "lost", PART + 1, put["etag"], "")["status"] == "OK"


def test_a_store_that_is_away(ask, tmp_path):
    begun = time.monotonic()
    head = ask("head", "gantry", "a", endpoint="http://127.0.0.1:1", tries=2)
    assert head["status"] == "UNAVAILABLE" and "127.0.0.1:1" in head["error"] and "2 tries" in head["error"]
    assert time.monotonic() - begun < 10
    assert ask("head", "gantry", "a", endpoint="http://no-such-host.invalid", tries=1)["status"] == "UNAVAILABLE"


def test_a_wait_for_the_next_try_can_be_stopped(tmp_path):
    stop = tmp_path / "stop"
    call = Call("http://127.0.0.1:1", "get", "gantry", "a", tmp_path / "out", env={"STOP_FILE": str(stop)}, tries=100)
    time.sleep(0.3)
    stop.touch()
    assert call.end(seconds=20)["status"] == "ECANCELED"


# ---- memory

def test_memory_is_that_of_the_parts_in_flight(ask):
    least = ask("write", "gantry", "memory", MIB, data=b"x" * 1000, part_bytes=PART, parallel=3)["rss"]
    most = ask("write", "gantry", "memory", MIB, data=bytes(120 * MIB), part_bytes=PART, parallel=3)["rss"]
    assert most - least < 4 * PART + 16 * MIB, (least, most)


# ---- TLS

@pytest.fixture(scope="module")
def certificate():
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost", "-keyout", "objects.key", "-out", "objects.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("objects.pem", "objects.key")
    return context


def test_tls_is_checked(ask, swift, certificate, tmp_path):
    source = a_file(tmp_path / "in", PART + 10)
    with Between(swift.port, context=certificate) as between:
        put = ask("put", "gantry", "secret", source, endpoint=between.endpoint, ca_file="objects.pem", part_bytes=PART)
        assert (put["status"], put["sha256"]) == ("OK", sha256(source)), put
        assert ask("get", "gantry", "secret", tmp_path / "out", endpoint=between.endpoint, ca_file="objects.pem")["status"] == "OK"
        begun = time.monotonic()
        head = ask("head", "gantry", "secret", endpoint=between.endpoint)
        assert head["status"] == "UNAVAILABLE" and "certificate" in head["error"]
        assert time.monotonic() - begun < 3  # nor does it try again
        other = between.endpoint.replace("localhost", "127.0.0.1")
        assert ask("head", "gantry", "secret", endpoint=other, ca_file="objects.pem")["status"] == "UNAVAILABLE"


# ---- stores that lie: each ends, in its time, with what it is

OK_HEAD = http_answer(200, b"", "ETag: \"e\"")
HEAD_200 = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\nETag: \"e\"\r\n\r\n"
LIST = "<ListBucketResult><IsTruncated>%s</IsTruncated><NextContinuationToken>%s</NextContinuationToken>%s</ListBucketResult>"


def xml(text):
    return http_answer(200, text.encode())


LIES = [
    (("list", "b", ""), [junk], "MALFORMED"),
    (("list", "b", ""), [xml("this is no XML")], "MALFORMED"),
    (("list", "b", ""), [xml("<a><b></a>")], "MALFORMED"),
    (("list", "b", ""), [xml("<html><body>Welcome to the hotel</body></html>")], "MALFORMED"),
    (("list", "b", ""), [xml("<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]><ListBucketResult>&a;</ListBucketResult>")], "MALFORMED"),
    (("list", "b", ""), [http_answer(200)], "MALFORMED"),
    (("list", "b", ""), [xml(LIST % ("true", "x", ""))], "MALFORMED"),  # the same page for ever
    (("list", "b", ""), [xml(LIST % ("true", "", ""))], "MALFORMED"),  # more, and no way to it
    (("list", "b", ""), [xml(LIST % ("true", token, f"<Contents><Key>{token}</Key></Contents>")) for token in "xyxyxyxy"], "MALFORMED"),  # a circle
    (("list", "b", ""), [xml(LIST % ("true", token, "<Contents><Key>x</Key></Contents>")) for token in "abcdefgh"], "MALFORMED"),  # and one in disguise
    (("list", "b", ""), [xml(LIST % ("true", token, f"<Contents><Key>{token}</Key></Contents>")) for token in "ab"] + [xml(LIST % ("false", "", ""))], "OK"),
    (("list", "b", ""), [endless(b"HTTP/1.1 200 OK\r\n\r\n")], "MALFORMED"),
    (("list", "b", ""), [endless(b"HTTP/1.1 200 OK\r\n")], "MALFORMED"),
    (("list", "b", ""), [endless(b"HTTP/1.1 503 X\r\n\r\n")], "UNAVAILABLE"),
    (("list", "b", ""), [endless(b"HTTP/1.1 403 X\r\n\r\n")], "DENIED"),
    (("list", "b", ""), [b""], "UNAVAILABLE"),
    (("list", "b", ""), [b"HTTP/1.1 200 OK\r\nContent-Le"], "UNAVAILABLE"),
    (("list", "b", ""), [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<ListBucketResult>"], "UNAVAILABLE"),
    (("list", "b", ""), [hang], "UNAVAILABLE"),
    (("list", "b", ""), [drip(b"HTTP/1.1 200 OK\r\nX-Long: ")], "UNAVAILABLE"),
    (("list", "b", ""), [drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" ")], "UNAVAILABLE"),
    (("list", "b", ""), [error(503, "SlowDown"), error(429, "TooMany"), xml(LIST % ("false", "", ""))], "OK"),
    (("list", "b", ""), [error(400, "RequestTimeout"), xml(LIST % ("false", "", ""))], "OK"),
    (("list", "b", ""), [error(500, "InternalError")], "UNAVAILABLE"),
    (("list", "b", ""), [error(501, "NotImplemented")], "UNSUPPORTED"),
    (("list", "b", ""), [error(400, "AuthorizationHeaderMalformed")], "INVALID"),
    (("list", "b", ""), [http_answer(301, b"", "Location: http://169.254.169.254/latest/meta-data")], "INVALID"),
    (("list", "b", ""), [b"HTTP/1.1 100 Continue\r\n\r\n" + xml(LIST % ("false", "", ""))], "OK"),
    (("head", "b", "k"), [http_answer(403)], "DENIED"),
    (("head", "b", "k"), [http_answer(418)], "INVALID"),
    (("make", "b-1"), [http_answer(404), error(409, "BucketAlreadyExists")], "CONFLICT"),
    (("make", "b-1"), [http_answer(404), error(409, "BucketAlreadyOwnedByYou")], "OK"),
    (("put", "b", "k", "small"), [http_answer(200, b"", f"ETag: \"{'0' * 32}\"")], "CONFLICT"),
    (("put", "b", "k", "small"), [http_answer(200)], "CONFLICT"),
    (("put", "b", "k", "small"), [http_answer(200, b"", "ETag: \"abc\"", "x-amz-server-side-encryption: aws:kms")], "OK"),
    (("put", "b", "k", "large"), [xml("<InitiateMultipartUploadResult/>")], "MALFORMED"),
    (("put", "b", "k", "large"), [http_answer(200)], "MALFORMED"),
    (("get", "b", "k", "out"), [http_answer(206, b"hello", "ETag: \"e\"", "Content-Range: bytes 5-9/10")], "MALFORMED"),
    (("get", "b", "k", "out"), [http_answer(206, b"hello", "ETag: \"e\"")], "MALFORMED"),
    (("read", "b", "k", "out", 5, 5), [http_answer(200, b"0123456789", "ETag: \"e\"")], "MALFORMED"),
    (("read", "b", "k", "out", 5, 5), [http_answer(206, b"56789x", "ETag: \"e\"", "Content-Range: bytes 5-9/10")], "MALFORMED"),
    (("read", "b", "k", "out", 5, 5), [http_answer(206, b"567", "ETag: \"e\"", "Content-Range: bytes 5-7/10")], "MALFORMED"),
    (("get", "b", "k", "out"), [HEAD_200], "UNAVAILABLE"),
    (("get", "b", "k", "out"), [HEAD_200 + b"x" * 1000], "MALFORMED"),  # from the start, where the rest was asked for
    (("get", "b", "k", "out"), [HEAD_200 + b"x" * 1000, http_answer(200, b"y" * 10, "ETag: \"f\"")], "MALFORMED"),
    (("get", "b", "k", "out"), [HEAD_200 + b"x" * 1000, error(412, "PreconditionFailed")], "CONFLICT"),
    (("delete_prefix", "b", "a/"), [xml(LIST % ("false", "", "<Contents><Key>ab/not-mine</Key></Contents>"))], "MALFORMED"),
    (("delete_prefix", "b", "a/"), [xml(LIST % ("false", "", "<Contents><Key>a/1</Key></Contents>")),
                                    xml("<DeleteResult><Error><Key>a/1</Key><Code>AccessDenied</Code></Error></DeleteResult>")], "DENIED"),
    (("delete_prefix", "b", "a/"), [xml(LIST % ("false", "", "<Contents><Key>a/1</Key></Contents>")), error(200, "InternalError")], "UNAVAILABLE"),
]


@pytest.mark.parametrize("arguments,acts,status", LIES, ids=[f"{n}-{lie[0][0]}-{lie[2]}" for n, lie in enumerate(LIES)])
def test_a_store_that_lies(tmp_path, monkeypatch, arguments, acts, status):
    monkeypatch.chdir(tmp_path)
    a_file(tmp_path / "small", 100)
    a_file(tmp_path / "large", PART + 1)
    arguments = [*arguments[:1], "bucket" if arguments[1] == "b" else arguments[1], *arguments[2:]]
    with Liar(*acts) as liar:
        begun = time.monotonic()
        answer = Call(liar.endpoint, *arguments, timeout_ms=300, tries=3, part_bytes=PART).end()
        assert answer["status"] == status, answer
        assert (status == "OK") == (answer["error"] == "")
        assert time.monotonic() - begun < 30
        if arguments[0] == "delete_prefix" and status == "MALFORMED":
            assert [asked.method for asked in liar.asked] == ["GET"]  # nothing was deleted
        for asked in liar.asked:
            assert urllib.parse.urlsplit(asked.path).path.startswith("/bucket" if arguments[1] == "bucket" else "/b-1")
    assert answer["rss"] < 600 * MIB  # of which the sanitizer has most
    assert arguments[0] == "read" or not (tmp_path / "out").exists()


def test_a_circle_of_one_keys_uploads(tmp_path, monkeypatch):
    """Of one key there may be many, so no page need go further: but not for ever."""
    monkeypatch.chdir(tmp_path)
    page = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a/k</NextKeyMarker><NextUploadIdMarker>%s</NextUploadIdMarker>" \
           "<Upload><Key>a/k</Key><UploadId>%s</UploadId></Upload></ListMultipartUploadsResult>"
    acts = [act for mark in "xyz" * 400 for act in (xml(page % (mark, mark)), http_answer(404))]
    with Liar(xml(LIST % ("false", "", "")), *acts) as liar:
        answer = Call(liar.endpoint, "delete_prefix", "bucket", "a/", tries=1).end()
        assert (answer["status"], len(liar.asked)) == ("MALFORMED", 1 + 2 * 1001) and "circle" in answer["error"], (answer, len(liar.asked))


def test_what_is_said_outside_is_no_address_and_still_the_fault(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_file(tmp_path / "small", 100)
    with Liar(http_answer(200, b"", f"ETag: \"{'0' * 32}\"")) as liar:
        answer = Call(liar.endpoint, "put", "bucket", "k", "small", tries=1).end()
    assert answer["outside"] == answer["error"] and "has other bytes than it was sent" in answer["outside"], answer
    answer = Call(liar.endpoint, "list", "bucket", "", tries=1).end()  # nobody is there any more
    assert liar.endpoint in answer["error"] and answer["outside"] == "the object store cannot be reached: Couldn't connect to server", answer
    with Liar(error(500, "InternalError")) as liar:
        answer = Call(liar.endpoint, "list", "bucket", "", tries=1).end()
    assert liar.endpoint in answer["error"] and "InternalError" in answer["outside"] and liar.endpoint not in answer["outside"], answer


def test_a_late_error_of_the_last_request(tmp_path):
    """Amazon says 200 before it knows, and means it only when the body says so."""
    source = a_file(tmp_path / "in", PART + 1)
    data = source.read_bytes()
    parts = [hashlib.md5(data[:PART]).hexdigest(), hashlib.md5(data[PART:]).hexdigest()]
    begun = xml("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
    done = xml(f"  \n<?xml version='1.0'?><CompleteMultipartUploadResult><ETag>\"{etag_of(data, PART)}\"</ETag></CompleteMultipartUploadResult>")
    other = xml(f"<CompleteMultipartUploadResult><ETag>\"{'0' * 32}-2\"</ETag></CompleteMultipartUploadResult>")
    sent = [http_answer(200, b"", f'ETag: "{part}"') for part in parts]
    for ends, status in [([error(200, "InternalError"), done], "OK"), ([error(200, "InvalidPart")], "INVALID"),
                         ([error(200, "NoSuchUpload"), http_answer(404)], "NOT_FOUND"), ([other], "CONFLICT")]:
        with Liar(begun, *sent, *ends) as liar:
            put = Call(liar.endpoint, "put", "bucket", "k", source, part_bytes=PART, parallel=1).end()
            assert put["status"] == status, put
            assert [asked.method for asked in liar.asked][:4] == ["POST", "PUT", "PUT", "POST"]


def test_a_clock_that_is_wrong_is_told(tmp_path):
    past = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 7200))
    with Liar(error(403, "RequestTimeTooSkewed", "The difference is too large", f"Date: {past}")) as liar:
        listed = Call(liar.endpoint, "list", "bucket", "").end()
    assert listed["status"] == "DENIED"
    assert "RequestTimeTooSkewed" in listed["error"] and "s ahead of the store's" in listed["error"], listed
    assert 7190 < int(listed["error"].split("clock is ")[1].split()[0]) < 7300


def test_a_store_that_asks_for_patience_gets_it(tmp_path):
    with Liar(error(503, "SlowDown", "later", "Retry-After: 2"), xml(LIST % ("false", "", ""))) as liar:
        begun = time.monotonic()
        assert Call(liar.endpoint, "list", "bucket", "").end()["status"] == "OK"
        assert time.monotonic() - begun >= 2


def test_what_stands_in_a_log_is_text(tmp_path):
    with Liar(error(403, "Bad\x7f", "line&#10;feed 中 " + "y" * 5000)) as liar:
        listed = Call(liar.endpoint, "list", "bucket", "").end()
    assert listed["status"] == "DENIED" and len(listed["error"]) < 600


def test_environment_proxies_are_not_asked(ask, swift):
    call = Call(swift.endpoint, "head", "gantry", "nowhere", env={"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"})
    assert call.end()["status"] == "NOT_FOUND"
