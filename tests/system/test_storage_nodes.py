"""Transfers to and from the object store: the storage service, the ffmpeg nodes' uploads, storage.auto_upload, inputs that are addresses.
The worker is real and so is the store, which is Swift; the broker is the house."""
import contextlib
import hashlib
import http.server
import io
import os
import pathlib
import signal
import socket
import subprocess
import tarfile
import threading
import zipfile

import pytest

from swift_house import SwiftHouse
from worker_house import House

UPLOAD, UPLOAD_FILE, DOWNLOAD = "storage.upload_directory", "storage.upload_file", "storage.download"
AUDIO, FRAMES, CROP = "ffmpeg.extract_audio", "ffmpeg.extract_keyframes", "ffmpeg.crop_subtitle_images"
MIB = 1 << 20


@pytest.fixture(scope="module")
def swift(tmp_path_factory):
    with SwiftHouse(tmp_path_factory.mktemp("swift") / "store") as store:
        yield store


@pytest.fixture(scope="module")
def s3(swift):
    return swift.client()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "talk.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10:duration=2", "-f", "lavfi",
                    "-i", "sine=frequency=440:duration=2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac",
                    path], check=True)
    return path


@pytest.fixture
def place(tmp_path, swift):
    """Workers that know the store, and folders for them. Nothing of an attempt is left behind, whatever came of it."""
    houses = []

    def make(**more):
        given = {"objects_endpoint": swift.endpoint, "objects_region": swift.region, "objects_access_key": swift.access_key,
                 "objects_secret_key": swift.secret_key, "objects_tries": 2, "objects_timeout_ms": 10000, "storage_input_roots": "inputs", **more}
        folder = tmp_path / f"house{len(houses)}"
        (folder / "inputs").mkdir(parents=True)
        houses.append(House(folder, lease_ms=8000, **given))
        return houses[-1].start()

    yield make
    for house in houses:
        house.close()


@pytest.fixture
def task(request):
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[:60].strip("-") + "-" + os.urandom(3).hex()


def fill(folder, files):
    for name, content in files.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


def own(house, id_, name="frames"):
    return pathlib.Path(house.root) / id_ / name


def read(folder):
    folder = pathlib.Path(folder)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def objects(s3, prefix, bucket="gantry"):
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            found[item["Key"][len(prefix):]] = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
    return found


def done(result):
    assert result["state"] == "completed", result
    return result["output"]


def refused(result, code, field=None):
    assert (result["state"], result["error"]["code"], result["error"].get("field")) == ("failed", code, field), result
    return result["error"]["message"]


def run(house, node, id_, **inputs):
    house.results = [r for r in house.results if r["id"] != id_]
    result = house.run(node, id=id_, **inputs)
    assert house.attempt_folders(id_) == []
    return result


PICTURES = {"frame_000000.jpg": b"one" * 999, "frame_000001.jpg": b"two" * 99, "sub/三=a+b.txt": "三".encode(), "sub/nothing": b""}


# ---- upload


def test_a_folder_as_it_is(place, s3, task):
    h = place()
    fill(own(h, task), PICTURES)
    out = done(run(h, UPLOAD, task, directory_path="frames"))
    assert objects(s3, f"{task}/frames/") == PICTURES
    assert out["directory_minio_url"].endswith(f"/gantry/{task}/frames") and "archive_url" not in out
    assert out["files_count"] == 4 and out["bytes"] == sum(map(len, PICTURES.values())) and out["local_deleted"] is False
    assert out["uploaded_files"] == sorted(PICTURES, key=str.encode)
    assert s3.head_object(Bucket="gantry", Key=f"{task}/frames/frame_000000.jpg")["ContentType"] == "image/jpeg"
    assert read(own(h, task)) == PICTURES


@pytest.mark.parametrize("level", ["store", "fast", "default", "maximum"])
@pytest.mark.parametrize("format_,ending", [("zip", ".zip"), ("tar.gz", ".tar.gz")])
def test_a_folder_as_an_archive(place, s3, task, format_, ending, level):
    h = place()
    fill(own(h, task), PICTURES)
    out = done(run(h, UPLOAD, task, directory_path=str(own(h, task)), compress=True, compression_format=format_, compression_level=level,
                   object_prefix="shelf/" + task))
    (name, raw), = objects(s3, f"shelf/{task}/").items()
    info = out["compression_info"]
    assert name == "frames_compressed" + ending and out["uploaded_files"] == [name]
    assert out["archive_url"] == out["directory_minio_url"] and out["archive_url"].endswith(f"/gantry/shelf/{task}/{name}")
    assert info["checksum"] == hashlib.sha256(raw).hexdigest() and info["compressed_size"] == len(raw) and info["format"] == format_
    assert info["original_size"] == out["bytes"] == sum(map(len, PICTURES.values())) and info["files_count"] == out["files_count"] == 4
    assert info["compression_ratio"] == pytest.approx(1 - len(raw) / info["original_size"]) and info["compression_time"] >= 0
    if format_ == "zip":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            assert {n: archive.read(n) for n in archive.namelist() if not n.endswith("/")} == PICTURES
    else:
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            assert {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()} == PICTURES


def test_files_of_no_bytes_have_a_ratio(place, task):
    h = place()
    fill(own(h, task), {"a": b"", "b": b""})
    info = done(run(h, UPLOAD, task, directory_path="frames", compress=True))["compression_info"]
    assert (info["original_size"], info["compression_ratio"], info["files_count"]) == (0, 0, 2)


@pytest.mark.parametrize("compress", [False, True])
def test_an_empty_folder_is_no_success(place, s3, task, compress):
    h = place()
    (own(h, task) / "sub").mkdir(parents=True)
    assert "no file" in refused(run(h, UPLOAD, task, directory_path="frames", compress=compress, delete_local=True), "INVALID", "directory_path")
    assert own(h, task).is_dir() and objects(s3, task) == {}


@pytest.mark.parametrize("compress", [False, True])
def test_nothing_is_left_out_in_silence(place, s3, task, compress):
    h = place()
    fill(own(h, task), PICTURES)
    os.symlink("/etc/passwd", own(h, task) / "link")
    assert "link" in refused(run(h, UPLOAD, task, directory_path="frames", compress=compress, delete_local=True), "UNSUPPORTED", "directory_path")
    assert objects(s3, task) == {} and read(own(h, task)).items() >= PICTURES.items()


@pytest.mark.parametrize("inputs,code,field", [
    ({"directory_path": "nowhere"}, "NOT_FOUND", "directory_path"), ({"directory_path": "../t2"}, "DENIED", "directory_path"),
    ({"directory_path": "/share"}, "DENIED", "directory_path"), ({"directory_path": "frames/frame_000000.jpg"}, "INVALID", "directory_path"),
    ({"directory_path": "frames", "bucket": "others"}, "DENIED", "bucket"), ({"directory_path": "frames", "bucket": "GANTRY/.."}, "DENIED", "bucket"),
    ({"directory_path": "frames", "object_prefix": "a/../b"}, "INVALID", "object_prefix"),
    ({"directory_path": "frames", "object_prefix": "/a"}, "INVALID", "object_prefix"),
    ({"directory_path": "frames", "compress": True, "compression_format": "rar"}, "INVALID", "compression_format"),
    ({"directory_path": "frames", "compress": True, "compression_level": "eleven"}, "INVALID", "compression_level"),
])
def test_what_cannot_be_uploaded_is_named(place, task, inputs, code, field):
    h = place()
    fill(own(h, task), PICTURES)
    refused(run(h, UPLOAD, task, **inputs), code, field)


def test_further_buckets(place, s3, task):
    h = place(objects_buckets="archive, shelf-2")
    fill(own(h, task), PICTURES)
    s3.create_bucket(Bucket="shelf-2")
    out = done(run(h, UPLOAD, task, directory_path="frames", bucket="shelf-2"))
    assert "/shelf-2/" in out["directory_minio_url"] and objects(s3, f"{task}/frames/", "shelf-2") == PICTURES
    refused(run(h, UPLOAD, task, directory_path="frames", bucket="archive"), "NOT_FOUND", "bucket")  # only our own is made


def test_a_file(place, s3, task):
    h = place()
    fill(own(h, task, "."), {"audio/talk.wav": b"RIFF" * 9})
    out = done(run(h, UPLOAD_FILE, task, file_path="audio/talk.wav"))
    head = s3.get_object(Bucket="gantry", Key=f"{task}/talk.wav")
    assert head["Body"].read() == b"RIFF" * 9 and head["ContentType"] == "audio/wav"
    assert out["file_minio_url"].endswith(f"/gantry/{task}/talk.wav") and out["object_name"] == f"{task}/talk.wav"
    assert (out["bytes"], out["sha256"], out["content_type"]) == (36, hashlib.sha256(b"RIFF" * 9).hexdigest(), "audio/wav")
    out = done(run(h, UPLOAD_FILE, task, file_path="audio/talk.wav", object_name="x/y", content_type="text/x", delete_local=True))
    assert s3.head_object(Bucket="gantry", Key="x/y")["ContentType"] == "text/x"
    assert out["local_deleted"] is True and not own(h, task, "audio/talk.wav").exists()


# ---- what is deleted


def test_only_what_is_the_tasks_own_is_deleted(place, s3, task):
    h = place()
    fill(own(h, task), PICTURES)
    fill(own(h, task, "frames-x"), {"a": b"a"})
    other = fill(pathlib.Path(h.folder) / "inputs" / "frames", {"b": b"b"})
    fill(own(h, task, "tmp/mine"), {"c": b"c"})
    for path in (other, ".", "frames/..", "tmp", "tmp/mine", str(own(h, task, "tmp/mine"))):
        refused(run_with_tmp(h, task, directory_path=path, delete_local=True), "DENIED", "delete_local")
    for path in (str(own(h, task, "")), h.root, "/share", "/share/", "/"):
        refused(run_with_tmp(h, task, directory_path=path, delete_local=True), "DENIED", "directory_path")
    out = done(run_with_tmp(h, task, directory_path="frames", delete_local=True))
    assert out["local_deleted"] is True and not own(h, task).exists() and objects(s3, f"{task}/frames/") == PICTURES
    assert read(own(h, task, "frames-x")) == {"a": b"a"} and read(other) == {"b": b"b"}


def run_with_tmp(house, id_, **inputs):
    house.results = [r for r in house.results if r["id"] != id_]
    return house.run(UPLOAD, id=id_, **inputs)


def test_a_folder_of_another_task_is_out_of_reach(place, task):
    h = place()
    other = fill(own(h, task + "-x"), PICTURES)
    fill(own(h, task), {"a": b"a"})
    refused(run(h, UPLOAD, task, directory_path=other, delete_local=True), "DENIED", "directory_path")
    assert read(other) == PICTURES


# ---- the store fails


class Gate:
    """Between a worker and the store: passes so many bytes on to it, then shuts, until it is opened again."""

    def __init__(self, port):
        self.port, self.left, self.shut = port, None, threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.links = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                here, _ = self.socket.accept()
                if self.shut.is_set():
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self.port))
                self.links += [here, there]
                for source, sink, counted in ((here, there, True), (there, here, False)):
                    threading.Thread(target=self.carry, args=(source, sink, counted), daemon=True).start()

    def carry(self, source, sink, counted):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if counted and self.left is not None:
                    self.left -= len(data)
                    if self.left < 0:
                        self.close_links()
                        return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close_links(self):
        self.shut.set()
        for link in self.links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def open(self):
        self.left = None
        self.shut.clear()

    def close(self):
        self.close_links()
        self.socket.close()


@pytest.fixture
def gate(swift):
    g = Gate(swift.port)
    yield g
    g.close()


def test_a_store_that_goes_away_is_a_retry_and_the_next_attempt_goes_on(place, s3, gate, task):
    h = place(objects_endpoint=gate.endpoint)
    files = {f"frame_{i:06}.jpg": bytes([i]) * 100000 for i in range(20)}
    fill(own(h, task), files)
    gate.left = 1000000
    result = run(h, UPLOAD, task, directory_path="frames", delete_local=True)
    assert result["state"] == "retry" and read(own(h, task)) == files, result
    before = {o["Key"]: o["LastModified"] for o in s3.list_objects_v2(Bucket="gantry", Prefix=task)["Contents"]}
    assert 0 < len(before) < 20
    gate.open()
    done(run(h, UPLOAD, task, attempt=2, directory_path="frames", delete_local=True))
    assert objects(s3, f"{task}/frames/") == files and not own(h, task).exists()
    after = {o["Key"]: o["LastModified"] for o in s3.list_objects_v2(Bucket="gantry", Prefix=task)["Contents"]}
    assert {k: after[k] for k in before} == before, "what was there was sent again"


def test_a_large_file_goes_on_with_the_parts_that_are_there(place, s3, gate, task):
    h = place(objects_endpoint=gate.endpoint, objects_part_bytes=5 * MIB, objects_parallel=1)
    content = os.urandom(1 * MIB) * 17
    fill(own(h, task, "."), {"big.bin": content})
    gate.left = 12 * MIB
    result = run(h, UPLOAD_FILE, task, file_path="big.bin")
    assert result["state"] == "retry" and set(result["checkpoint"]) == {"bucket", "key", "upload"}, result
    gate.open()
    gate.left = 12 * MIB  # all of it would not go through
    out = done(run(h, UPLOAD_FILE, task, attempt=2, before={"checkpoint": result["checkpoint"]}, file_path="big.bin"))
    assert out["sha256"] == hashlib.sha256(content).hexdigest() and objects(s3, f"{task}/") == {"big.bin": content}


def test_an_archive_goes_on_too(place, s3, gate, task):
    h = place(objects_endpoint=gate.endpoint, objects_part_bytes=5 * MIB, objects_parallel=1)
    files = {f"{i}.bin": os.urandom(MIB) for i in range(17)}
    fill(own(h, task), files)
    gate.left = 12 * MIB
    inputs = {"directory_path": "frames", "compress": True, "compression_level": "store", "delete_local": True}
    result = run(h, UPLOAD, task, **inputs)
    assert result["state"] == "retry" and result["checkpoint"]["key"].endswith(".zip") and read(own(h, task)) == files
    gate.open()
    gate.left = 12 * MIB
    done(run(h, UPLOAD, task, attempt=2, before={"checkpoint": result["checkpoint"]}, **inputs))
    (raw,) = objects(s3, f"{task}/frames/").values()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == files
    assert not own(h, task).exists()


def test_cancelled_in_the_middle(place, swift, task):
    h = place(objects_timeout_ms=60000)
    fill(own(h, task), PICTURES)
    done(run(h, UPLOAD, task, directory_path="frames"))  # the bucket is there
    h.results.clear()
    swift.freeze()
    try:
        token = h.hand(UPLOAD, id=task, directory_path="frames", compress=True, delete_local=True)
        h.running(task)
        h.cancel = [token]
        assert h.result(task)["state"] == "cancelled"
    finally:
        swift.thaw()
    assert h.attempt_folders(task) == [] and read(own(h, task)) == PICTURES and h.engine_pids(task) == []


def test_the_worker_dies_in_the_middle(place, s3, swift, task):
    h = place(objects_timeout_ms=60000)
    fill(own(h, task), PICTURES)
    swift.freeze()
    try:
        h.hand(UPLOAD, id=task, directory_path="frames", delete_local=True)
        h.running(task)
        h.worker.send_signal(signal.SIGKILL)
        h.worker.wait()
    finally:
        swift.thaw()
    h.until(lambda: not h.engine_pids(task))
    assert read(own(h, task)) == PICTURES
    h.nodes, h.waiting = {}, []
    h.start()
    h.hand(UPLOAD, id=task, attempt=2, directory_path="frames", delete_local=True)
    done(h.result(task))
    assert objects(s3, f"{task}/frames/") == PICTURES and not own(h, task).exists()


def test_a_key_that_the_store_refuses(place, task):
    h = place(objects_secret_key="wrong")
    fill(own(h, task), PICTURES)
    refused(run(h, UPLOAD, task, directory_path="frames", delete_local=True), "DENIED", "bucket")
    refused(run(h, DOWNLOAD, task, source=f"{task}/x"), "DENIED", "source")
    assert read(own(h, task)) == PICTURES


@pytest.mark.parametrize("node,inputs", [
    (UPLOAD, {"directory_path": "frames"}), (UPLOAD_FILE, {"file_path": "frames/frame_000000.jpg"}), (DOWNLOAD, {"source": "minio://gantry/x"}),
    (FRAMES, {"upload_keyframes_to_minio": True}), (CROP, {"upload_cropped_images_to_minio": True, "subtitle_area": [0, 0, 9, 9]}),
])
def test_without_a_store_all_of_it_is_unsupported(place, film, task, node, inputs):
    h = place(objects_endpoint="", storage_input_roots=str(film.parent))
    fill(own(h, task), PICTURES)
    more = {"video_path": str(film)} if node in (FRAMES, CROP) else {}
    field = {DOWNLOAD: "source", FRAMES: "upload_keyframes_to_minio", CROP: "upload_cropped_images_to_minio"}.get(node)
    assert "objects.endpoint" in refused(run(h, node, task, **inputs, **more), "UNSUPPORTED", field)


# ---- download


@pytest.fixture
def shelf(place, s3, task):
    """A task's folder that was uploaded in three ways."""
    h = place()
    fill(own(h, task), PICTURES)
    done(run(h, UPLOAD, task, directory_path="frames"))
    done(run(h, UPLOAD, task, directory_path="frames", compress=True, object_prefix=f"{task}/z"))
    done(run(h, UPLOAD, task, directory_path="frames", compress=True, compression_format="tar.gz", object_prefix=f"{task}/z"))
    return h


def test_a_source_in_every_spelling(shelf, swift, task):
    key = f"{task}/frames/frame_000001.jpg"
    for source in (key, f"minio://gantry/{key}", f"s3://gantry/{key}", f"{swift.endpoint}/gantry/{key}"):
        out = done(run(shelf, DOWNLOAD, task, source=source))
        assert out["local_path"] == str(own(shelf, task, "frame_000001.jpg")) and open(out["local_path"], "rb").read() == b"two" * 99
        assert (out["files_count"], out["bytes"], out["unpacked"]) == (1, 297, False)
        assert out["sha256"] == hashlib.sha256(b"two" * 99).hexdigest()
        os.unlink(out["local_path"])


@pytest.mark.parametrize("end", ["", "/"])
def test_all_beneath_a_prefix(shelf, task, end):
    out = done(run(shelf, DOWNLOAD, task, source=f"minio://gantry/{task}/frames{end}", local_path="deep/back"))
    assert out["local_path"] == str(own(shelf, task, "deep/back")) and read(out["local_path"]) == PICTURES
    assert (out["files_count"], out["bytes"], "sha256" in out) == (4, sum(map(len, PICTURES.values())), False)


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_an_archive_is_unpacked_when_asked(shelf, s3, task, ending):
    key = f"{task}/z/frames_compressed{ending}"
    out = done(run(shelf, DOWNLOAD, task, source=key))
    raw = s3.get_object(Bucket="gantry", Key=key)["Body"].read()
    assert out["local_path"] == str(own(shelf, task, "frames_compressed")) and out["unpacked"] is True
    assert read(out["local_path"]) == PICTURES and out["files_count"] == 4 and out["sha256"] == hashlib.sha256(raw).hexdigest()
    out = done(run(shelf, DOWNLOAD, task, source=key, auto_decompress=False))
    assert out["local_path"].endswith(ending) and open(out["local_path"], "rb").read() == raw and out["unpacked"] is False


@pytest.mark.parametrize("inputs,code,field", [
    ({"source": "{task}/nothing"}, "NOT_FOUND", "source"), ({"source": "minio://others/x"}, "DENIED", "source"),
    ({"source": "ftp://x/y"}, "UNSUPPORTED", "source"), ({"source": "../x"}, "INVALID", "source"), ({"source": "minio://gantry/"}, "INVALID", "source"),
    ({"source": "{task}/frames", "local_path": "../x"}, "INVALID", "local_path"), ({"source": "{task}/frames", "local_path": "/x"}, "INVALID", "local_path"),
    ({"source": "{task}/frames", "local_path": "tmp/x"}, "INVALID", "local_path"), ({"source": "{task}/frames", "local_path": "."}, "INVALID", "local_path"),
])
def test_what_cannot_be_downloaded_is_named(shelf, task, inputs, code, field):
    before = sorted(os.listdir(own(shelf, task, "")))
    refused(run(shelf, DOWNLOAD, task, **{k: v.format(task=task) for k, v in inputs.items()}), code, field)
    assert sorted(os.listdir(own(shelf, task, ""))) == before


@pytest.mark.parametrize("node,field,value", [(DOWNLOAD, "source", "films/a.mp4"), (AUDIO, "video_path", "minio://gantry/films/a.mp4")])
def test_nobody_is_told_where_the_store_is(place, task, node, field, value):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    h = place(objects_endpoint=f"http://127.0.0.1:{port}", objects_tries=1)
    result = run(h, node, task, **{field: value})
    assert result["state"] == "retry" and "films/a.mp4: the object store cannot be reached: Couldn't connect" in result["error"]["message"], result
    assert "127.0.0.1" not in str(result) and str(port) not in str(result)


def zip_of(**members):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "../"), content)
    return raw.getvalue()


def tar_of(member, content=b""):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def link_to(name, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


BAD = {"escape.zip": (zip_of(__out=b"x"), "DENIED"), "link.tar.gz": (tar_of(link_to("l", "/etc")), "DENIED"),
       "absolute.tar.gz": (tar_of(tarfile.TarInfo("/etc/x"), b"x"), "DENIED"), "corrupt.zip": (zip_of(a=b"x" * 999)[:-40], "MALFORMED"),
       "no.zip": (b"not at all", "MALFORMED"), "bomb.zip": (zip_of(a=bytes(4 * MIB)), "TOO_LARGE")}


@pytest.mark.parametrize("name", BAD)
def test_archives_that_mean_harm(place, s3, task, name):
    h = place(unpack_ratio_max=100)
    raw, code = BAD[name]
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="gantry")
    s3.put_object(Bucket="gantry", Key=f"{task}/{name}", Body=raw)
    refused(run(h, DOWNLOAD, task, source=f"{task}/{name}"), code, "source")
    assert os.listdir(own(h, task, "")) == ["tmp"] and not os.path.exists(os.path.join(h.root, "out"))


@pytest.mark.parametrize("limits,figures", [
    ({"unpack_files_max": 3}, "unpack.files_max"), ({"unpack_bytes_max": 3000}, "unpack.bytes_max"),
])
def test_caps_of_a_prefix(place, task, limits, figures):
    h = place(**limits)
    fill(own(h, task), PICTURES)
    done(run(h, UPLOAD, task, directory_path="frames"))
    assert figures in refused(run(h, DOWNLOAD, task, source=f"{task}/frames", local_path="back"), "TOO_LARGE", "source")
    assert not own(h, task, "back").exists()


def test_caps_of_a_file_and_an_archive(place, task):
    h = place(unpack_bytes_max=2000)
    fill(own(h, task), {"a": bytes(3000)})
    done(run(h, UPLOAD, task, directory_path="frames"))
    done(run(h, UPLOAD, task, directory_path="frames", compress=True))
    message = refused(run(h, DOWNLOAD, task, source=f"{task}/frames/a", local_path="b"), "TOO_LARGE", "source")
    assert "3000" in message and "2000" in message
    refused(run(h, DOWNLOAD, task, source=f"{task}/frames/frames_compressed.zip", local_path="b"), "TOO_LARGE", "source")
    assert not own(h, task, "b").exists()


# ---- the ffmpeg nodes


def test_keyframes_are_uploaded_and_stay(place, s3, film, task):
    h = place(storage_input_roots=str(film.parent))
    out = done(run(h, FRAMES, task, video_path=str(film), keyframe_sample_count=5, upload_keyframes_to_minio=True))
    local = read(out["keyframe_dir"])
    assert out["keyframe_dir"] == str(own(h, task, "keyframes")) and objects(s3, f"{task}/keyframes/") == local and len(local) == 5
    assert out["keyframe_minio_url"].endswith(f"/gantry/{task}/keyframes") and out["keyframe_files_count"] == 5
    assert out["keyframe_uploaded_files"] == sorted(local) and "keyframe_upload_error" not in out and "keyframe_compression_info" not in out


def test_keyframes_are_compressed_and_only_in_the_store(place, s3, film, task):
    h = place(storage_input_roots=str(film.parent))
    out = done(run(h, FRAMES, task, video_path=str(film), keyframe_sample_count=5, upload_keyframes_to_minio=True,
                   compress_keyframes_before_upload=True, keyframe_compression_format="tar.gz", delete_local_keyframes_after_upload=True))
    raw = objects(s3, f"{task}/keyframes/")["keyframes_compressed.tar.gz"]
    url = out["keyframe_compressed_archive_url"]
    assert url.endswith(f"/gantry/{task}/keyframes/keyframes_compressed.tar.gz") and out["keyframe_minio_url"] == out["keyframe_dir"] == url
    assert out["keyframe_compression_info"]["checksum"] == hashlib.sha256(raw).hexdigest() and out["keyframe_files_count"] == 5
    assert os.listdir(own(h, task, "")) == ["tmp"]
    assert done(run(h, DOWNLOAD, task, source=out["keyframe_dir"]))["files_count"] == 5


def test_keyframes_whose_upload_fails_count_all_the_same(place, gate, film, task):
    h = place(storage_input_roots=str(film.parent), objects_endpoint=gate.endpoint)
    gate.shut.set()
    out = done(run(h, FRAMES, task, video_path=str(film), keyframe_sample_count=5, upload_keyframes_to_minio=True,
                   delete_local_keyframes_after_upload=True))
    assert out["keyframe_upload_error"] and "keyframe_minio_url" not in out and len(read(out["keyframe_dir"])) == 5


@pytest.mark.parametrize("format_,fallback", [("zip", False), ("rar", True)])
def test_cropped_images_are_uploaded(place, s3, film, task, format_, fallback):
    h = place(storage_input_roots=str(film.parent))
    out = done(run(h, CROP, task, video_path=str(film), subtitle_area=[0, 100, 320, 160], upload_cropped_images_to_minio=True,
                   compress_directory_before_upload=True, compression_format=format_))
    local, there = read(out["cropped_images_path"]), objects(s3, f"{task}/cropped_images/")
    assert len(local) == out["cropped_images_files_count"] == 20 and out["fallback_from_compression"] is fallback
    if fallback:
        assert there == local and "compressed_archive_url" not in out and out["cropped_images_minio_url"].endswith("/cropped_images")
    else:
        assert out["compressed_archive_url"] == out["cropped_images_minio_url"] and list(there) == ["frames_compressed.zip"]
        assert out["compression_info"]["files_count"] == 20 and out["cropped_images_uploaded_files"] == list(there)


# ---- storage.auto_upload


def test_outputs_are_uploaded_beside_their_field(place, s3, gate, film, task):
    h = place(storage_input_roots=str(film.parent), storage_auto_upload="true", objects_endpoint=gate.endpoint)
    out = done(run(h, AUDIO, task, video_path=str(film)))
    assert out["audio_path"] == str(own(h, task, "audio/talk.wav")) and out["audio_path_minio_url"].endswith(f"/gantry/{task}/audio/talk.wav")
    assert objects(s3, f"{task}/") == {"audio/talk.wav": open(out["audio_path"], "rb").read()}
    out = done(run(h, FRAMES, task, video_path=str(film), keyframe_sample_count=3))
    assert out["keyframe_dir_minio_url"].endswith(f"{task}/keyframes") and objects(s3, f"{task}/keyframes/") == read(out["keyframe_dir"])
    out = done(run(h, FRAMES, task, video_path=str(film), keyframe_sample_count=3, upload_keyframes_to_minio=True))
    assert out["keyframe_minio_url"] and "keyframe_dir_minio_url" not in out  # once
    out = done(run(h, DOWNLOAD, task, source=f"{task}/audio/talk.wav"))
    assert "local_path_minio_url" not in out
    gate.close_links()
    out = done(run(h, AUDIO, task, video_path=str(film)))
    assert os.path.getsize(out["audio_path"]) and out["audio_path_upload_error"] and "audio_path_minio_url" not in out


# ---- inputs that are addresses


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        found = self.path.split("?")[0] == "/films/a%20talk.mp4"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(self.server.content) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def web(film):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.content = film.read_bytes()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_object_as_input(place, s3, swift, film, task):
    h = place()
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="gantry")
    s3.put_object(Bucket="gantry", Key=f"{task}/in/谈话 1.mp4", Body=film.read_bytes())
    for id_, scheme in ((task, "minio"), (f"{task}-s3", "s3")):  # a beat of the first may come behind its end
        out = done(run(h, AUDIO, id_, video_path=f"{scheme}://gantry/{task}/in/谈话 1.mp4"))
        assert out["audio_path"] == str(own(h, id_, "audio/谈话 1.wav")) and os.path.getsize(out["audio_path"]) > 1000
        assert h.progress.get(id_, []) == sorted(h.progress.get(id_, []))
        assert sorted(os.listdir(own(h, id_, ""))) == ["audio", "tmp"]  # what was fetched is gone
    refused(run(h, AUDIO, task, video_path=f"{swift.endpoint}/gantry/{task}/in/nothing.mp4"), "NOT_FOUND", "video_path")
    refused(run(h, AUDIO, task, video_path=f"minio://gantry/{task}/in"), "NOT_FOUND", "video_path")  # no folders
    refused(run(h, AUDIO, task, video_path="minio://others/x.mp4"), "DENIED", "video_path")


def test_a_foreign_server(place, web, task):
    h = place(callback_allow="127.0.0.1")
    out = done(run(h, AUDIO, task, video_path=f"{web}/films/a%20talk.mp4?token=1"))
    assert out["audio_path"] == str(own(h, task, "audio/a talk.wav"))
    refused(run(h, AUDIO, task, video_path=f"{web}/films/none.mp4"), "NOT_FOUND", "video_path")
    out = done(run(h, DOWNLOAD, task, source=f"{web}/films/a%20talk.mp4"))
    assert out["local_path"] == str(own(h, task, "a talk.mp4"))


def test_a_foreign_server_without_any_store(place, web, task):
    h = place(callback_allow="127.0.0.1", objects_endpoint="")
    done(run(h, AUDIO, task, video_path=f"{web}/films/a%20talk.mp4"))


def test_addresses_that_are_not_public_are_refused(place, web, task):
    h = place()
    refused(run(h, AUDIO, task, video_path=f"{web}/films/a%20talk.mp4"), "DENIED", "video_path")
    refused(run(h, DOWNLOAD, task, source=f"{web}/films/a%20talk.mp4"), "DENIED", "source")
    refused(run(h, AUDIO, task, video_path="http://169.254.169.254/latest/meta-data"), "DENIED", "video_path")


def test_a_users_task_reaches_no_private_address(place, task):
    h = place()
    refused(run(h, AUDIO, task, before={"owned": True}, video_path="http://10.255.255.1/x.mp4"), "DENIED", "video_path")


def test_a_fetched_file_is_capped(place, web, task):
    h = place(callback_allow="127.0.0.1", unpack_bytes_max=1000)
    refused(run(h, AUDIO, task, video_path=f"{web}/films/a%20talk.mp4"), "TOO_LARGE", "video_path")
