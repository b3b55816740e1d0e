"""The three ways of a folder into an object store as one zip, and what each takes."""
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

from house import Trouble

# What a real JPEG begins with: tables that each file has again.
HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300") + bytes(range(1, 65)) * 2 + bytes.fromhex(
    "ffc0001108043807800301220002110103110 1ffc4001f0000010501010101010100".replace(" ", "")) + bytes(range(200)) + bytes.fromhex(
    "ffda000c03010002110311003f00")
PYTHON = """
import os, sys, zipfile
folder, archive, endpoint, bucket, key = sys.argv[1:]
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
    for top, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(top, name)
            made.write(path, os.path.relpath(path, folder))
import boto3
from botocore.config import Config
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=os.environ["BENCH_ACCESS_KEY"],
                      aws_secret_access_key=os.environ["BENCH_SECRET_KEY"],
                      config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
client.upload_file(archive, bucket, key)
"""


def make_images(folder, count, total):
    """Files as an encoder leaves them: a head that all have, then bytes that no compressor makes less of."""
    chance = random.Random(7)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    mean = total // count
    for number in range(count):
        size = max(16, int(mean * chance.uniform(0.6, 1.4)) - len(HEAD) - 2)
        body = chance.randbytes(size).replace(b"\xff", b"\xff\0")[:size]
        (folder / f"frame_{number:06}.jpg").write_bytes(HEAD + body + b"\xff\xd9")
    return sum(path.stat().st_size for path in folder.iterdir())


class Peak(threading.Thread):
    """The most memory that a process ever had: read often, as it is gone with the process."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.kib = f"/proc/{pid}/status", 0
        self.start()

    def run(self):
        while True:
            try:
                lines = pathlib.Path(self.path).read_text().splitlines()
            except OSError:
                return
            found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
            if not found:
                return  # a zombie has none
            self.kib = max(self.kib, *found)
            time.sleep(0.01)


def run(command, **more):
    """(seconds, CPU seconds, peak KiB, what it said)"""
    begun = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    peak = Peak(process.pid)
    words = process.stdout.read()
    error = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    peak.join()
    if process.returncode:
        raise Trouble(f"{command[0]} ended with {process.returncode}: {error.strip()[-500:]}")
    return seconds, used.ru_utime + used.ru_stime, peak.kib, words


class Ways:
    """Each leaves the archive in the store at its key, and answers a row."""

    def __init__(self, options, folder, store):
        self.options, self.folder, self.store = options, pathlib.Path(folder), store
        self.images = self.folder / "images"
        self.archive = self.folder / "archive.zip"
        self.client = store.client()
        self.environment = {**os.environ, "BENCH_ENDPOINT": store.endpoint, "BENCH_ACCESS_KEY": store.access_key,
                            "BENCH_SECRET_KEY": store.secret_key}
        self.client.create_bucket(Bucket="bench")

    def ours(self, key):
        seconds, cpu, peak, words = run([pathlib.Path(self.options.bin) / "gantry-bench-upload", self.images, "bench", key,
                                         "zip", "fast"], env=self.environment)
        said = json.loads(words)
        return {"seconds": seconds, "cpu_s": cpu, "peak_kib": max(peak, said["peak_kib"]), "sha256": said["sha256"]}

    def zip(self, key):
        zipped = run(["zip", "-1", "-r", "-q", self.archive, "."], cwd=self.images)
        url = self.client.generate_presigned_url("put_object", {"Bucket": "bench", "Key": key}, ExpiresIn=3600)
        sent = run(["curl", "-sS", "--fail", "-T", self.archive, "-o", os.devnull, url])
        return {"seconds": zipped[0] + sent[0], "zip_s": zipped[0], "curl_s": sent[0], "cpu_s": zipped[1] + sent[1],
                "peak_kib": max(zipped[2], sent[2])}

    def python(self, key):
        seconds, cpu, peak, _ = run([sys.executable, "-c", PYTHON, self.images, self.archive, self.store.endpoint, "bench", key],
                                    env=self.environment)
        return {"seconds": seconds, "cpu_s": cpu, "peak_kib": peak}

    def pack(self, _):
        """Ours without a store, for the profile."""
        seconds, cpu, peak, words = run([pathlib.Path(self.options.bin) / "gantry-bench-upload", self.images, "bench", "-",
                                         "zip", "fast"], env=self.environment)
        return {"seconds": seconds, "cpu_s": cpu, "peak_kib": max(peak, json.loads(words)["peak_kib"])}

    def take(self, way, number):
        key = f"{way}/{number}.zip"
        row = {"way": way, **getattr(self, way)(key)}
        if way != "pack":
            row["bytes"] = self.client.head_object(Bucket="bench", Key=key)["ContentLength"]
            self.look(way, key, row) if number == 0 else None
            self.client.delete_object(Bucket="bench", Key=key)
        self.archive.unlink(missing_ok=True)
        return row

    def look(self, way, key, row):
        """The first of each way is read back and tested by somebody else."""
        self.client.download_file("bench", key, str(self.archive))
        if row.get("sha256"):
            found = run(["sha256sum", self.archive])[3].split()[0]
            if found != row["sha256"]:
                raise Trouble(f"{way}: the store has {found}, not {row['sha256']}")
        run(["unzip", "-tqq", self.archive])
