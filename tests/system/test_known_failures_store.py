"""What went wrong with archives and object stores in the systems that users come from: each cause brought about over the real
wire, and nothing of it happens."""
import gzip
import hashlib
import io
import os
import stat
import subprocess
import tarfile
import threading
import uuid
import zipfile

import pytest

from harness import BIN, NOT_FOUND, OK, System, until
from store_proxy import StoreProxy
from swift_house import SwiftHouse

UP, FILE, DOWN = "storage.upload_directory", "storage.upload_file", "storage.download"
BUCKET = "gantry"
PART = 5 << 20
# an engine that may not look past a file's mode, though it may be root
MODEST = """#!/bin/sh
exec setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search {program} "$@"
"""


def fresh():
    return f"k{uuid.uuid4().hex[:12]}"


def modest_programs(folder):
    """The programs once more, engines without the rights of root over files; their folder."""
    os.mkdir(folder)
    for name in os.listdir(BIN):
        if name.startswith("gantry") and name != "gantry-engine":
            os.link(f"{BIN}/{name}", f"{folder}/{name}")
    with open(f"{folder}/gantry-engine", "w") as file:
        file.write(MODEST.format(program=f"{BIN}/gantry-engine") if os.geteuid() == 0 else f'#!/bin/sh\nexec {BIN}/gantry-engine "$@"\n')
    os.chmod(f"{folder}/gantry-engine", 0o755)
    return folder


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    programs = modest_programs(str(tmp_path_factory.mktemp("modest") / "bin"))
    with SwiftHouse("swift") as swift:
        proxy = StoreProxy(swift.port)
        rows = dict(row.partition("=")[::2] for row in swift.settings(endpoint=proxy.endpoint, part_bytes=PART, parallel=1, tries=2, timeout_ms=10000))
        rows = {name.replace(".", "_"): value for name, value in rows.items()}
        try:
            with System("store", workers=1, worker_services="system,storage", worker_slots=2, bin=programs, unpack_ratio_max=200, **rows) as system:
                system.swift, system.proxy, system.s3 = swift, proxy, swift.client()
                system.s3.create_bucket(Bucket=BUCKET)
                system.user = system.client()
                system.user.ready(UP, FILE, DOWN)
                yield system
        finally:
            proxy.close()


@pytest.fixture(autouse=True)
def honest(town):
    yield
    town.proxy.honest()


def own(town, id_, *names):
    """The task's folder, with these files of a few bytes in it."""
    home = f"{town.folder}/share/{id_}"
    for name in names:
        put(f"{home}/{name}", name.encode() * 100)
    os.makedirs(home, exist_ok=True)
    return home


def put(path, data=b"x"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def tree(folder):
    return {os.path.relpath(os.path.join(where, name), folder): os.path.getsize(os.path.join(where, name))
            for where, _, files in os.walk(folder) for name in files}


def objects(town, prefix):
    return {item["Key"]: item["Size"] for item in town.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])}


def error_of(stage, code):
    assert stage["state"] == "failed" and stage["error"]["code"] == code, stage
    return stage["error"]["message"]


def again(town, id_, node, **given):
    """Submits what is tried again soon, for as long as it takes."""
    town.user.submit({**town.user.task(id_, node, **given), "retry_ms": 200, "failures_max": 1000})


def failed_for_now(town, id_, node):
    stage = town.user.stage(id_, node)
    assert stage["state"] not in ("failed", "completed"), stage
    return stage.get("history") and stage["history"][-1]["error"]


# ---- archives that come -----------------------------------------------------------------------------

def zipped(*members):
    """Of (name, data) or (ZipInfo, data)."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return made.getvalue()


def zip_link(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = (stat.S_IFLNK | 0o777) << 16, 3
    return info, target


def tarred(*members):
    """Of TarInfo, data of its size."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def tar_entry(name, type_=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, target
    return info


GOOD = [("a.txt", b"a" * 5000), ("b/c.txt", b"c" * 5000)]
ESCAPING = {
    "parent.zip": zipped(*GOOD, ("../outside", b"x")), "deep.zip": zipped(*GOOD, ("b/../../outside", b"x")),
    "absolute.zip": zipped(*GOOD, ("/outside", b"x")), "backslash.zip": zipped(*GOOD, ("..\\outside", b"x")),
    "link.zip": zipped(*GOOD, zip_link("out", "/etc"), ("out/outside", b"x")), "linkfile.zip": zipped(zip_link("b", "../..")),
    "parent.tar.gz": tarred((tar_entry("a"), b"a"), (tar_entry("../outside"), b"x")),
    "absolute.tar.gz": tarred((tar_entry("/outside"), b"x")),
    "link.tar.gz": tarred((tar_entry("out", tarfile.SYMTYPE, "../.."), b""), (tar_entry("out/outside"), b"x")),
    "hard.tar.gz": tarred((tar_entry("outside", tarfile.LNKTYPE, "/etc/passwd"), b"")),
    "device.tar.gz": tarred((tar_entry("outside", tarfile.CHRTYPE), b"")), "pipe.tar.gz": tarred((tar_entry("outside", tarfile.FIFOTYPE), b"")),
}


@pytest.mark.parametrize("name", ESCAPING)
def test_archive_that_escapes_its_folder(town, name):
    id_, share = fresh(), f"{town.folder}/share"
    town.s3.put_object(Bucket=BUCKET, Key=f"bad/{name}", Body=ESCAPING[name])
    stage = town.user.run(id_, DOWN, source=f"minio://{BUCKET}/bad/{name}")
    assert stage["state"] == "failed" and stage["error"]["code"] in ("DENIED", "MALFORMED", "UNSUPPORTED"), stage
    assert tree(f"{share}/{id_}") == {}
    assert not any("outside" in name for _, folders, files in os.walk(town.folder) for name in folders + files)


def broken(data, at):
    return data[:at] + bytes([data[at] ^ 0xff]) + data[at + 1:]


PLAIN = zipped(*((f"{n}.bin", hashlib.sha256(bytes([n])).digest() * 200) for n in range(10)))
CORRUPT = {"cut.zip": PLAIN[:-30], "half.zip": PLAIN[:len(PLAIN) // 2], "bits.zip": broken(PLAIN, 60), "text.zip": b"no archive at all" * 100,
           "empty.zip": b"", "cut.tar.gz": tarred(*((tar_entry(f"{n}"), os.urandom(3000)) for n in range(5)))[:-2000],
           "bits.tar.gz": broken(tarred((tar_entry("a"), os.urandom(30000))), 15000), "no-end.tar.gz": gzip.compress(b"\1" * 700)}


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_zip(town, name):
    id_ = fresh()
    town.s3.put_object(Bucket=BUCKET, Key=f"bad/{name}", Body=CORRUPT[name])
    error_of(town.user.run(id_, DOWN, source=f"minio://{BUCKET}/bad/{name}"), "MALFORMED")
    assert tree(f"{town.folder}/share/{id_}") == {}


def test_an_archive_that_fills_the_disk(town):
    """A hundred megabytes of a hundred kilobytes."""
    id_ = fresh()
    town.s3.put_object(Bucket=BUCKET, Key="bad/bomb.zip", Body=zipped(*((f"{n}", bytes(10 << 20)) for n in range(10))))
    assert "unpack.ratio_max" in error_of(town.user.run(id_, DOWN, source=f"minio://{BUCKET}/bad/bomb.zip"), "TOO_LARGE")
    assert tree(f"{town.folder}/share/{id_}") == {}


# ---- folders that go --------------------------------------------------------------------------------

@pytest.mark.parametrize("compress", [False, True])
def test_symlinks_in_folders_to_be_packed(town, compress):
    id_ = fresh()
    home = own(town, id_, "frames/1.jpg", "frames/2.jpg")
    os.symlink("/etc/passwd", f"{home}/frames/3.jpg")
    assert "3.jpg" in error_of(town.user.run(id_, UP, directory_path="frames", compress=compress, delete_local=True), "UNSUPPORTED")
    assert objects(town, id_) == {} and len(tree(f"{home}/frames")) == 3


@pytest.mark.parametrize("compress", [False, True])
def test_empty_folder_succeeds_without_archive(town, compress):
    id_ = fresh()
    os.makedirs(f"{own(town, id_)}/frames/deeper")
    assert "frames" in error_of(town.user.run(id_, UP, directory_path="frames", compress=compress, delete_local=True), "INVALID")
    assert objects(town, id_) == {} and os.path.isdir(f"{town.folder}/share/{id_}/frames/deeper")


@pytest.mark.parametrize("format_", ["zip", "tar.gz"])
def test_zero_byte_folder_divides_by_zero(town, format_):
    id_ = fresh()
    for n in range(3):
        put(f"{own(town, id_)}/frames/{n}.jpg", b"")
    stage = town.user.run(id_, UP, directory_path="frames", compress=True, compression_format=format_)
    info = stage["output"]["compression_info"]
    assert (stage["state"], info["original_size"], info["files_count"], info["compression_ratio"]) == ("completed", 0, 3, 0), stage
    stage = town.user.run(id_, DOWN, source=stage["output"]["archive_url"], local_path="back")
    assert tree(f"{town.folder}/share/{id_}/back") == {f"{n}.jpg": 0 for n in range(3)}, stage


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["frames/2.jpg", "frames/closed/4.jpg"])
def test_unreadable_file_skipped_but_counted_then_deleted(town, compress, name):
    id_ = fresh()
    home = own(town, id_, "frames/1.jpg", "frames/2.jpg", "frames/3.jpg", "frames/closed/4.jpg")
    before = tree(f"{home}/frames")
    closed = f"{home}/{name}" if name.endswith("2.jpg") else f"{home}/frames/closed"
    os.chmod(closed, 0)
    stage = town.user.run(id_, UP, directory_path="frames", compress=compress, delete_local=True)
    assert os.path.basename(closed) in error_of(stage, "DENIED")
    assert tree(f"{home}/frames") == before
    assert not any(key.endswith((".zip", ".tar.gz")) for key in objects(town, id_))
    os.chmod(closed, 0o755)
    assert town.user.run(id_, UP, directory_path="frames", compress=compress, delete_local=True)["state"] == "completed"
    assert not os.path.exists(f"{home}/frames")


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_that_came_while_others_were_sent_is_deleted(town, compress):
    id_ = fresh()
    home = own(town, id_, "frames/1.jpg", "frames/2.jpg")
    late = threading.Event()

    def come(request, status):
        if request.method in ("PUT", "POST") and request.key.startswith(id_) and not late.is_set():
            put(f"{home}/frames/late.jpg", b"late")
            late.set()

    town.proxy.after = come
    again(town, id_, UP, directory_path="frames", compress=compress, delete_local=True)
    until(lambda: town.user.stage(id_, UP)["state"] == "completed", 30)
    assert late.is_set()
    kept = os.path.exists(f"{home}/frames/late.jpg")
    if compress and not kept:
        archive = town.s3.get_object(Bucket=BUCKET, Key=f"{id_}/frames/frames_compressed.zip")["Body"].read()
        kept = "late.jpg" in zipfile.ZipFile(io.BytesIO(archive)).namelist()
    assert kept or f"{id_}/frames/late.jpg" in objects(town, id_)


# ---- a store that lies or is away -------------------------------------------------------------------

def test_wrong_checksum(town):
    """The object is another one by the time it is looked at: nothing local goes until it is right."""
    id_, data = fresh(), os.urandom(300_000)
    path = put(f"{own(town, id_)}/film.bin", data)
    lies = iter(range(2))

    def swap(request, status):
        if request.method == "PUT" and request.key == f"{id_}/film.bin" and next(lies, None) is not None:
            town.s3.put_object(Bucket=BUCKET, Key=request.key, Body=bytes(len(data)))

    town.proxy.after = swap
    again(town, id_, FILE, file_path="film.bin", delete_local=True)
    until(lambda: failed_for_now(town, id_, FILE), 30)
    assert open(path, "rb").read() == data
    until(lambda: town.user.stage(id_, FILE)["state"] == "completed", 30)
    assert not os.path.exists(path)
    assert town.s3.get_object(Bucket=BUCKET, Key=f"{id_}/film.bin")["Body"].read() == data


def test_object_store_down_in_the_middle(town):
    """It is killed between two parts: what it has is not sent again, and the file here stays until all is verified."""
    id_, data = fresh(), os.urandom(4 * PART + 1000)
    path, key = put(f"{own(town, id_)}/film.bin", data), f"{id_}/film.bin"

    def die(request, status):
        if "partNumber=2" in request.query and town.swift.alive():
            town.swift.kill()

    town.proxy.after = die
    again(town, id_, FILE, file_path="film.bin", delete_local=True)
    until(lambda: failed_for_now(town, id_, FILE), 60)
    assert open(path, "rb").read() == data
    town.proxy.after = lambda request, status: None
    town.swift.start()
    until(lambda: town.user.stage(id_, FILE)["state"] == "completed", 60)
    assert not os.path.exists(path)
    assert town.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == data
    assert town.proxy.parts(key).count(1) == town.proxy.parts(key).count(2) == 1, town.proxy.parts(key)
    stage = town.user.stage(id_, FILE)
    assert stage["output"]["sha256"] == hashlib.sha256(data).hexdigest()


def test_worker_down_in_the_middle(town):
    """It is killed between two parts, before anybody knew of the upload but the store: the next attempt finds it there."""
    id_, data = fresh(), os.urandom(4 * PART + 1000)
    put(f"{own(town, id_)}/film.bin", data)
    key, killed = f"{id_}/film.bin", []

    def die(request, status):
        if "partNumber=2" in request.query and not killed:
            killed.append(town.workers[0])
            town.workers[0].kill()

    town.proxy.after = die
    again(town, id_, FILE, file_path="film.bin")
    until(lambda: killed and not town.workers[0].alive(), 60)
    town.workers[0].start()
    until(lambda: town.user.stage(id_, FILE)["state"] == "completed", 90)
    assert town.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == data
    assert town.proxy.parts(key).count(1) == town.proxy.parts(key).count(2) == 1, town.proxy.parts(key)


@pytest.mark.parametrize("compress", [False, True])
def test_local_files_deleted_before_the_store_has_them(town, compress):
    """Every answer by which the upload could be verified is lost."""
    id_ = fresh()
    home = own(town, id_, "frames/1.jpg", "frames/2.jpg")
    before = tree(f"{home}/frames")
    town.proxy.before = lambda request: "drop" if request.method in ("HEAD", "GET") and request.key.startswith(id_) else None
    again(town, id_, UP, directory_path="frames", compress=compress, delete_local=True)
    until(lambda: failed_for_now(town, id_, UP), 60)
    assert tree(f"{home}/frames") == before
    town.proxy.honest()
    until(lambda: town.user.stage(id_, UP)["state"] == "completed", 60)
    assert not os.path.exists(f"{home}/frames") and len(objects(town, id_)) == (1 if compress else 2)


def test_an_objects_prefix_of_another_task(town):
    """FORGET of t takes t/..., not tx/... nor t.1/...; what is forgotten is gone here and there."""
    id_ = fresh()
    others = [f"{id_}x", f"{id_}.1", f"{id_}0"]
    for one in (id_, *others):
        own(town, one, "frames/1.jpg")
        assert town.user.run(one, UP, directory_path="frames")["state"] == "completed"
    answer = town.user.ask("FORGET", {"id": id_})
    assert answer.status == OK and [row["status"] for row in answer.body["results"]] == ["deleted"] * 3, answer
    assert sorted(objects(town, id_)) == sorted(f"{one}/frames/1.jpg" for one in others)
    assert town.user.ask("GET", {"id": id_}).status == NOT_FOUND and not os.path.exists(f"{town.folder}/share/{id_}")
    assert all(tree(f"{town.folder}/share/{one}") == {"frames/1.jpg": 1200} for one in others)

def engines(id_):
    """Pids of what runs for a task."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", errors="replace") as text:
                found += [pid] if f"GANTRY_TASK_ID={id_}" in text.read().split("\0") else []
        except OSError:
            continue
    return found

def test_objects_of_a_forgotten_task_come_back(town):
    """It is forgotten by force while it uploads: no more than what is on its way that moment, and asked again, by whomever or by clean-up, FORGET takes it too."""
    id_ = fresh()
    own(town, id_, *(f"frames/{n:03}.jpg" for n in range(400)))
    begun = threading.Event()
    town.proxy.after = lambda request, status: begun.set() if request.method == "PUT" and request.key.startswith(id_) else None
    town.user.submit(town.user.task(id_, UP, directory_path="frames"))
    assert begun.wait(30)
    answer = town.user.ask("FORGET", {"id": id_, "force": True})
    assert answer.status == OK and answer.body["status"] == "success", answer
    until(lambda: not engines(id_), 20)
    assert len(objects(town, id_)) <= 1 and os.listdir(f"{town.folder}/share/{id_}") == []  # by which clean-up finds it
    assert town.user.ask("FORGET", {"id": id_}).status == OK
    assert objects(town, id_) == {} and not os.path.exists(f"{town.folder}/share/{id_}")

