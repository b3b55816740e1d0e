"""tests/bench/run, http and storage: every command with small numbers. What it prints is whole and makes sense; how fast it is, is no matter."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from harness import BIN

SOURCE = pathlib.Path(os.environ["GANTRY_SOURCE"])
BENCH, HTTP, STORAGE = (SOURCE / "tests" / "bench" / name for name in ("run", "http", "storage"))
ROOM = SOURCE / "build" / "bench"
SERVER = {"redis", "state", "broker"}


def start(*words, program=BENCH, **more):
    return subprocess.Popen([program, *words, "--bin", BIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def said(*words, **more):
    process = start(*words, **more)
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    assert not list(ROOM.glob(f"{process.pid}-*"))
    return out


def rows(*words, **more):
    """Of each kind a list."""
    found = {}
    for line in said(*words, "--json", **more).splitlines():
        row = json.loads(line)
        found.setdefault(row.pop("kind"), []).append(row)
    return found


def test_throughput():
    found = rows("throughput", "--tasks", "2000", "--rounds", "1", "--producers", "2", "--workers", "2", "--batch", "1,8",
                 "--brokers", "2", "--states", "2")
    assert [row["batch"] for row in found["round"]] == [row["batch"] for row in found["median"]] == [1, 8]
    for row in found["round"]:
        cpu = row["cpu_us_per_task"]
        assert set(cpu) == set(SERVER) | {"producers", "workers", "sum"}
        assert all(figure > 0 for figure in cpu.values()), cpu
        assert abs(sum(cpu[name] for name in cpu if name != "sum") - cpu["sum"]) < 0.01
        assert row["tasks"] == 2000 and 10 < row["tasks_per_s"] <= row["accepted_per_s"] * 1.5, row
        assert set(row["rss_bytes"]) == SERVER and all(size > 1 << 20 for size in row["rss_bytes"].values())


def test_two_folders_of_programs_broker_and_state_in_one():
    found = rows("throughput", "--tasks", "1000", "--rounds", "1", "--producers", "2", "--workers", "2", "--batch", "8", "--fused",
                 "--against", os.path.relpath(BIN))
    assert [row["bin"] for row in found["round"]] == [BIN, os.path.relpath(BIN)]
    ratio, = found["ratio"]
    assert 0.02 < ratio["tasks_per_s"] < 50 and set(ratio["cpu_us_per_task"]) > {"redis", "node", "sum"}


def test_tables_align():
    out = said("throughput", "--tasks", "500", "--rounds", "1", "--batch", "1", "--fsync", "none").splitlines()
    head, line = out[-2:] if not out[-1].startswith("note:") else out[-3:-1]
    assert "tasks/s" in head and "redis us" in head and "sum us" in head and line.startswith("one a ")
    assert len(head) == len(line)


def test_latency():
    found = rows("latency", "--tasks", "100", "--rounds", "1")
    row, = found["round"]
    assert row["tasks"] == 95
    for way in ("to_worker_us", "to_result_us"):
        assert 10 < row[way]["p50"] <= row[way]["p99"] < 20e6
    assert row["to_worker_us"]["p50"] < row["to_result_us"]["p50"]
    assert [row["way"] for row in found["median"]] == ["to_worker_us", "to_result_us"]


def test_backlog():
    found = rows("backlog", "--tasks", "1000", "--workers", "2")
    memory, = found["memory"]
    assert 100 < memory["redis_bytes_per_task"] < 5000, memory
    assert set(memory["rss_bytes"]) == SERVER
    assert [row["process"] for row in found["up again"]] == ["redis", "state", "broker"]
    assert all(0 < row["accepts_s"] < 30 for row in found["up again"])
    assert found["up again"][0]["answers_s"] > 0
    assert found["audit"][0]["seconds"] > 0 and "0 repaired" in found["audit"][0]["said"]
    drain, = found["drain"]
    assert drain["tasks"] == 1000 and len(drain["per_part"]) == 10 and drain["tasks_per_s"] >= 0  # 0: all in one look


def test_a_backlog_that_has_no_room():
    process = start("backlog", "--tasks", str(10 ** 12))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1 and "memory:" in err and "disk:" in err and "wanted" in err


def test_soak():
    found = rows("soak", "--minutes", "0.05", "--every", "1", "--rate", "200", "--workers", "1", "--producers", "1")
    assert len(found["minute"]) == 3
    last = found["minute"][-1]
    assert 300 < last["tasks"] < 900 and set(last["rss_bytes"]) == SERVER and last["redis_used_bytes"] > 1 << 20
    assert 10 < last["to_result_us"]["p50"] <= last["to_result_us"]["p99"]
    assert set(found["growth"][0]["rss_bytes"]) == SERVER


needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
SHORT = ("--rounds", "1", "--seconds", "1", "--warm", "1", "--workers", "1")


@needs_wrk
def test_http():
    found = rows("--peers", "gantry", "--connections", "8", *SHORT, program=HTTP)
    row, = found["round"]
    assert row["answered"] > 10 and row["accepted"] == row["executed"] >= row["answered"], row
    assert 10 < row["p50_us"] <= row["p99_us"] <= row["max_us"]
    assert set(row["cpu_s"]) == SERVER | {"front", "workers"} and all(figure > 0 for figure in row["cpu_s"].values())
    assert found["median"][0]["ratio"]["requests_per_s"] == 1


@needs_wrk
def test_http_under_attack():
    found = rows("--hostile", "--attacks", "idle", *SHORT, program=HTTP)
    row, = found["round"]
    assert row["attackers"]["opened"] >= 1000 and row["alone"]["answered"] > 10 and row["under"]["answered"] > 10
    assert abs(row["p99_ratio"] - row["under"]["p99_us"] / row["alone"]["p99_us"]) < 0.001


def test_http_without_its_packages():
    process = subprocess.run([HTTP, "--bin", BIN], capture_output=True, text=True, timeout=20, env={**os.environ, "PATH": "/nowhere"})
    assert process.returncode == 1 and "missing packages" in process.stderr and " wrk" in process.stderr


def group(leader):
    """Processes of this group."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(words[2]) == leader and words[0] != "Z":
            found.append(int(pid))
    return found


def test_ctrl_c_ends_every_process():
    process = start("throughput", "--tasks", "50000000", start_new_session=True)
    until = time.monotonic() + 30
    while len(group(process.pid)) < 13:  # itself, serve with three, eight load programs
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert not group(process.pid) and not list(ROOM.glob(f"{process.pid}-*"))


def test_a_program_that_is_missing():
    process = subprocess.run([BENCH, "latency", "--bin", "."], capture_output=True, text=True, timeout=20)
    assert process.returncode == 1 and "has no gantry-bench" in process.stderr


def test_storage():
    found = rows("--images", "30", "--bytes", "600000", "--rounds", "2", "--ways", "ours,zip,pack", program=STORAGE)
    assert found["folder"] == [{"images": 30, "bytes": found["folder"][0]["bytes"]}] and found["folder"][0]["bytes"] > 400000
    assert [row["way"] for row in found["round"]] == ["ours", "zip", "pack", "zip", "pack", "ours"]
    assert [row["way"] for row in found["median"]] == ["ours", "zip", "pack"]
    for row in found["round"]:
        assert 0 < row["seconds"] < 40 and 0 < row["peak_kib"] < 1 << 20, row
        assert row["way"] == "pack" or row["bytes"] > 400000, row
