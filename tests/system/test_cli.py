"""gantry as people and scripts use it: `gantry up` in a folder of the test's own, then every verb."""

import http.server
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from cli_house import BIN, GANTRY, SLOW, SOURCE, System, gone, run, session_of


@pytest.fixture(scope="module")
def system():
    folder = pathlib.Path("s").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    one = System(folder, "--set", "lease_ms=4000", "--set", "callback.allow=127.0.0.1")
    yield one
    code, err, left = one.stop()
    assert (code, left) == (0, set()), err


def ask(url):
    """The HTTP status, None when nobody answers."""
    try:
        return urllib.request.urlopen(url, timeout=5).status
    except urllib.error.HTTPError as answer:
        return answer.code
    except OSError:
        return None


@pytest.fixture
def folder(tmp_path_factory):
    path = pathlib.Path("f").absolute()
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


# ---- without a system ----


def test_help_and_usage():
    for args in (["help"], ["--help"]):
        assert "submit" in run(*args, check=0).stdout
    assert "--priority" in run("help", "submit", check=0).stdout
    assert run("submit", "--help", check=0).stdout == run("help", "submit", check=0).stdout
    assert re.match(r"gantry \d+\.\d+\.\d+\n", run("--version", check=0).stdout)
    assert "usage" in run(check=2).stderr
    assert "did you mean `gantry submit`" in run("sumbit", check=2).stderr + run("subm", check=2).stderr
    assert "--colour" in run("list", "--colour", check=2).stderr
    assert "TASK [KEY=VALUE...]" in run("submit", check=2).stderr
    assert "--timeout takes a time" in run("list", "--timeout", "soon", check=2).stderr


def test_no_system(folder):
    done = run("status", cwd=folder, check=4)
    assert "gantry up" in done.stderr and "--broker" in done.stderr and done.stdout == ""
    done = run("status", "--broker", "ipc://nowhere", cwd=folder, check=4)
    assert "no system answers at ipc://nowhere" in done.stderr
    done = run("status", "--broker", "tcp://127.0.0.1:9", "--timeout", "300ms", cwd=folder, check=4)
    assert "no broker answers at tcp://127.0.0.1:9" in done.stderr and "gantry up" in done.stderr
    assert "is no endpoint" in run("status", "--broker", "localhost", cwd=folder, check=2).stderr
    assert "--data is empty" in run("status", "--data", "", cwd=folder, check=2).stderr
    assert "two systems" in run("status", "--broker", "ipc://x", "--data", "y", cwd=folder, check=2).stderr
    environment = dict(os.environ, GANTRY_BROKER="ipc://elsewhere")
    assert "ipc://elsewhere" in run("status", cwd=folder, check=4, env=environment).stderr
    environment = dict(os.environ, GANTRY_DATA="elsewhere")
    assert "gantry up --data elsewhere" in run("status", cwd=folder, check=4, env=environment).stderr


def test_a_stale_socket_is_no_system(system):
    """Left by a system that was killed: refused soon, not waited for."""
    began = time.monotonic()
    done = run("status", "--broker", f"ipc://{system.folder}/data/run/nobody", check=4)
    assert "no system answers" in done.stderr and time.monotonic() - began < 5


def test_up_refuses_what_cannot_work(folder):
    assert "--input-root nowhere" in run("up", "--input-root", "nowhere", cwd=folder, check=2).stderr
    assert "--data is empty" in run("up", "--data", "", cwd=folder, check=2).stderr
    assert "NAME=VALUE" in run("up", "--set", "lease", cwd=folder, check=2).stderr
    done = run("up", "--set", "lease_minutes=5", cwd=folder, check=2)
    assert "no setting is named 'lease_minutes'" in done.stderr
    assert "lease_ms" in run("up", "--set", "lease_ms=soon", cwd=folder, check=2).stderr
    assert "No such file" in run("up", "--data", "a/b/c", cwd=folder, check=4).stderr
    (folder / "file").write_text("")
    assert run("up", "--data", "file", cwd=folder).returncode == 4
    assert "--services" in run("up", "--services", ",", "--http", "off", cwd=folder, check=2).stderr
    for address in ("8788", "127.0.0.1", ":8788", "127.0.0.1:65536", "127.0.0.1:http", "::1:0", "nobody.invalid:0", "127.0.0.1:"):
        assert "--http takes ADDRESS:PORT" in run("up", "--http", address, cwd=folder, check=2).stderr, address


def test_up_says_that_its_port_is_taken(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        done = run("up", "--http", taken, cwd=folder, check=4)
    assert done.stderr.count("\n") == 1 and "serves on " + taken in done.stderr and "--http off" in done.stderr, done.stderr
    assert "READY" not in done.stdout


@pytest.mark.parametrize("setting, child, why", [
    ("worker.services=nope", "worker", 'what=nope known="audio_separator, ffmpeg, storage, system, video"'),
    ("broker.clients=tcp://0.0.0.0:5999", "broker", "broker.insecure"),
])
def test_up_says_why_a_child_cannot_start_and_gives_up(folder, setting, child, why):
    done = run("up", "--data", "data", "--http", "off", "--set", setting, cwd=folder, check=1)
    assert done.stderr.count("starting it again") >= 4 and done.stderr.count(why) >= 5
    assert f"{child}" in done.stderr and "cannot start, stopping; its log is " in done.stderr
    assert "READY" not in done.stdout


# ---- with one ----


def test_second_up_is_refused(system):
    done = run("up", "--data", "data", cwd=system.folder, check=3)
    assert f"already (process {system.up.pid})" in done.stderr
    system.run("status", check=0)


def test_submit_prints_the_id_and_show_the_record(system):
    done = system.run("submit", "system.echo", "value=hello", check=0)
    assert re.fullmatch(r"[0-9a-f-]{36}\n", done.stdout)
    task = done.stdout.strip()
    shown = system.run("wait", task, check=0).stdout
    assert task in shown and "system.echo" in shown and "completed" in shown and "value  hello" in shown
    assert system.run("show", task, check=0).stdout.split("\n")[0] == f"task     {task}"
    record = system.json("show", task)
    assert record["stages"]["system.echo"]["output"] == {"value": "hello"}
    assert record["status"] == "completed" and record["storage_path"] == str(system.folder / "data/workflows" / task)


def test_submit_and_wait_in_one(system):
    record = system.json("submit", "system.echo", "value=[1, {\"a\": null}]", "--wait")
    assert record["stages"]["system.echo"]["output"] == {"value": [1, {"a": None}]}
    done = system.run("submit", "system.echo", "value=x", "--wait", "--quiet", check=0)
    assert done.stderr == "" and "completed" in done.stdout


def test_input_from_json_file_and_standard_input(system):
    (system.folder / "in.json").write_text('{"value": 7}')
    for flags, more in ((["--input", '{"value": 7}'], {}), (["--input=@in.json"], {}), (["-i", "@-"], {"input": '{"value": 7}'})):
        record = json.loads(system.run("submit", "system.echo", *flags, "-wj", check=0, **more).stdout)
        assert record["stages"]["system.echo"]["output"] == {"value": 7}
    for text, why in (("[1]", "expected a map"), ("{", "line 1"), ("@none.json", "none.json"), ('{"a":1,"a":2}', "duplicate")):
        assert why in system.run("submit", "system.echo", "--input", text, check=2).stderr
    assert "given twice" in system.run("submit", "system.echo", "value=1", "value=2", check=2).stderr
    assert "not KEY=VALUE" in system.run("submit", "system.echo", "word", check=2).stderr


def test_the_same_id_gathers_stages_and_is_not_run_again(system):
    first = system.json("submit", "system.echo", "value=1", "--id", "gathers.1", "--wait")
    receipt = system.json("submit", "system.echo", "value=2", "--id", "gathers.1")
    assert receipt == {"id": "gathers.1", "task": "system.echo", "state": "completed", "reuse": "hit", "durability": "everysec"}
    assert system.json("show", "gathers.1") == first
    system.run("submit", "system.sleep", "--input", '{"seconds": 0.01}', "--id", "gathers.1", "--wait", check=0)
    assert set(system.json("show", "gathers.1")["stages"]) == {"system.echo", "system.sleep"}


def test_reuse_by_input_and_force_run_it_again(system):
    def submit(value, *flags):
        stage = system.json("submit", "system.echo", f"value={value}", "--id", "reuse.1", "--wait", *flags)["stages"]["system.echo"]
        return stage.get("generation", 0), stage["output"]["value"]

    assert submit(1) == submit(2) == (0, 1)
    assert submit(1, "--reuse", "input") == (0, 1) and submit(3, "--reuse", "input") == (1, 3)
    assert submit(3, "--force") == (2, 3) and submit(3, "--reuse", "never") == (3, 3)


def test_show_tells_what_became_of_a_callback(system):
    bodies = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{receiver.server_port}/told"
        task = system.run("submit", "system.sleep", "seconds=0.5", "--callback", url, check=0).stdout.strip()
        assert re.search(rf"callback  {url}\n  delivery  when the stage has ended", system.run("show", task, check=0).stdout)
        until = time.monotonic() + SLOW
        while "delivered, 1 try" not in (shown := system.run("show", task, check=0).stdout) and time.monotonic() < until:
            time.sleep(0.1)
        receiver.shutdown()
    assert re.search(rf"callback  {url}\n  delivery  delivered, 1 try; callback-[0-9a-f]{{40}}\n", shown), shown
    assert [(body["task_id"], body["status"]) for body in bodies] == [(task, "completed")]

    refused = f"http://127.0.0.1:{receiver.server_port}/nobody"
    task = system.run("submit", "system.echo", "value=1", "--wait", "--callback", refused, check=0).stdout.split()[1]
    until = time.monotonic() + SLOW
    while "the next at" not in (shown := system.run("show", task, check=0).stdout) and time.monotonic() < until:
        time.sleep(0.1)
    assert re.search(r"delivery  scheduled, \d tr\w+, the next at 20\d\d-", shown), shown


def test_delete(system):
    task = system.json("submit", "system.echo", "value=1", "--wait")["id"]
    shown = system.run("delete", task, check=0).stdout
    assert re.search(r"^local_directory +(deleted|skipped)", shown, re.M) and re.search(r"^redis +deleted", shown, re.M), shown
    assert "NOT_FOUND" in system.run("show", task, check=3).stderr and not (system.folder / "data/workflows" / task).exists()
    assert "NOT_FOUND" in system.run("delete", "never-was", check=3).stderr
    task = system.run("submit", "system.sleep", "seconds=60", check=0).stdout.strip()
    assert "CONFLICT" in system.run("delete", task, check=3).stderr
    done = system.json("delete", task, "--force")
    assert done["status"] == "success" and {result["resource"] for result in done["results"]} >= {"redis", "local_directory"}


def test_nodes_say_whether_a_worker_is_there(system):
    assert all(node["available"] for node in system.json("nodes"))
    assert not re.search(r"^\w+\.\w+ .*no worker", system.run("nodes", check=0).stdout, re.M)


def test_refusals_name_the_field(system):
    done = system.run("submit", "system.nothing", check=3)
    assert "NOT_FOUND" in done.stderr and "system.nothing" in done.stderr
    assert "(id)" in system.run("submit", "system.echo", "value=1", "--id", "../etc", check=3).stderr
    assert "input." in system.run("submit", "ffmpeg.extract_audio", check=3).stderr
    assert "input.nothing" in system.run("submit", "system.echo", "value=1", "nothing=1", check=3).stderr
    assert "NOT_FOUND" in system.run("show", "never-was", check=3).stderr
    assert "NOT_FOUND" in system.run("wait", "never-was", check=3).stderr
    assert "NOT_FOUND" in system.run("cancel", "never-was", check=3).stderr
    assert "callback" in system.run("submit", "system.echo", "value=1", "--callback", "ftp://x", check=3).stderr
    assert "name, input or never" in system.run("submit", "system.echo", "--reuse", "always", check=2).stderr
    assert "one of the two" in system.run("submit", "system.echo", "--reuse", "name", "--force", check=2).stderr
    assert "high, normal or low" in system.run("submit", "system.echo", "--priority", "urgent", check=2).stderr


def test_cancel_and_its_exit_codes(system):
    task = system.run("submit", "system.sleep", "seconds=60", check=0).stdout.strip()
    waiting = subprocess.Popen([GANTRY, "wait", task, "--data", "data"], cwd=system.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + SLOW
    while system.json("show", task)["status"] != "running" and time.monotonic() < until:
        time.sleep(0.1)
    assert task in system.run("list", "--state", "running", check=0).stdout
    assert "cancel" in system.run("cancel", task, check=0).stdout
    out, err = waiting.communicate(timeout=SLOW)
    assert waiting.returncode == 1 and "cancelled" in out, err
    done = system.json("submit", "system.echo", "value=1", "--wait")
    assert "CONFLICT" in system.run("cancel", done["id"], check=3).stderr
    assert system.run("wait", task).returncode == 1


def test_wait_gives_up_in_time(system):
    task = system.run("submit", "system.sleep", "seconds=60", check=0).stdout.strip()
    done = system.run("wait", task, "--timeout", "300ms", check=4)
    assert f"gantry show {task}" in done.stderr
    system.run("cancel", task, check=0)
    system.run("wait", task, check=1)


def test_wait_for_several_ends_with_the_first_refusal(system):
    task = system.run("submit", "system.sleep", "seconds=60", check=0).stdout.strip()
    strict = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_stack_use_after_return=1"}
    done = system.run("wait", task, "system.sleep", "system.echo", check=3, env=strict)
    assert "NOT_FOUND" in done.stderr and "system.echo" in done.stderr
    system.run("cancel", task, check=0)


def test_a_failed_stage_shows_last_words_and_exits_1(system):
    (system.folder / "broken.mp4").write_bytes(b"no video at all" * 100)
    done = system.run("submit", "ffmpeg.extract_audio", "video_path=broken.mp4", "--wait", check=1)
    assert "failed" in done.stdout and "last words" in done.stdout


def test_a_relative_path_is_meant_from_here(system):
    """Made absolute, although client and worker stand elsewhere; and a text that looks like a number stays text."""
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "sine=duration=1", "-f", "lavfi", "-i", "testsrc2=duration=1:size=64x64",
                    "-shortest", "1.mp4"], cwd=system.folder, check=True)
    (system.folder / "1.mp4").rename(system.folder / "1")
    record = system.json("submit", "ffmpeg.extract_audio", "video_path=1", "--wait")
    stage = record["stages"]["ffmpeg.extract_audio"]
    assert stage["input"]["video_path"] == str(system.folder / "1")
    audio = stage["output"]["audio_path"]
    probe = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,sample_rate,channels", "-of", "csv=p=0", audio],
                           capture_output=True, text=True, check=True)
    assert probe.stdout.strip() == "pcm_s16le,16000,1"
    again = system.run("submit", "ffmpeg.extract_audio", "--input", '{"video_path": "1"}', "--wait", "--json", check=0)
    assert json.loads(again.stdout)["stages"]["ffmpeg.extract_audio"]["input"]["video_path"] == str(system.folder / "1")


def test_list_filters_and_bounds(system):
    for _ in range(5):
        system.run("submit", "system.echo", "value=1", "--wait", check=0)
    items = system.json("list", "--state", "completed", "--service", "system", "--limit", "3")
    assert len(items) == 3 and all(i["state"] == "completed" and i["task"].startswith("system.") for i in items)
    assert system.json("list", "--limit", "0") == []
    assert system.run("list", "--state", "sleeping").returncode == 3
    assert system.run("list", check=0).stdout.startswith("TASK")


def test_operators_verbs(system):
    status = system.json("status")
    assert status["peers"]["workers"] == 2 and status["peers"]["states"] == 1
    assert "workers connected" in system.run("status", check=0).stdout
    workers = system.json("workers")
    rows = {w["name"]: (w["slots"], w["services"]) for w in workers}
    assert rows["system"] == (64, ["system"]) and rows["worker-1"][0] == 2 and "system" not in rows["worker-1"][1], rows
    assert "worker-1" in system.run("workers", check=0).stdout
    assert {q["service"] for q in system.json("queues")} >= {"system"}
    assert system.run("queues", check=0).stdout.startswith("SERVICE")
    nodes = {n["name"] for n in system.json("nodes")}
    assert nodes >= {"system.echo", "system.sleep", "ffmpeg.extract_audio", "ffmpeg.extract_keyframes"}
    assert "video_path" in system.run("nodes", "ffmpeg.extract_audio", check=0).stdout
    assert "no node is named" in system.run("nodes", "a.b", check=3).stderr


def test_the_system_is_found_by_environment_and_endpoint(system):
    environment = dict(os.environ, GANTRY_DATA=str(system.folder / "data"))
    run("status", env=environment, check=0)
    broker = "ipc://" + str(system.folder / "data/run/clients")
    run("status", "--broker", broker, check=0)
    run("status", env=dict(os.environ, GANTRY_BROKER=broker), check=0)


def test_no_colours_but_on_a_terminal(system):
    def on_terminal(*args, **environment):
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(system.folder)
            os.environ.update(TERM="xterm", **environment)
            os.environ.pop("NO_COLOR", None) if "NO_COLOR" not in environment else None
            os.execv(GANTRY, [GANTRY, *args, "--data", "data"])
        text = b""
        until = time.monotonic() + SLOW
        while time.monotonic() < until:
            if not select.select([fd], [], [], 1)[0]:
                continue
            try:
                chunk = os.read(fd, 65536)
            except OSError:
                break
            if not chunk:
                break
            text += chunk
        os.waitpid(pid, 0)
        os.close(fd)
        return text

    assert b"\033[1mTASK" in on_terminal("list")
    assert b"\033" not in on_terminal("list", "--no-color")
    assert b"\033" not in on_terminal("list", NO_COLOR="1")
    assert "\033" not in system.run("list", check=0).stdout
    bars = on_terminal("submit", "system.sleep", "seconds=0.9", "--wait")
    assert b"[####" in bars and b"\033[1A" in bars
    plain = system.run("submit", "system.sleep", "seconds=0.01", "--wait", check=0).stderr
    assert "system.sleep: completed" in plain and "\033" not in plain


def test_a_child_that_dies_is_started_again(system):
    for name in ("gantry-broker", "gantry-state", "gantry-worker", "redis-server", "gantry-front"):
        pids = {p: pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")[0].decode() for p in session_of(system.up.pid)}
        os.kill(next(p for p, program in pids.items() if program.split()[0].endswith(name)), signal.SIGKILL)
        record = json.loads(system.run("submit", "system.echo", "value=again", "-wj", "--timeout", "50s", check=0).stdout)
        assert record["status"] == "completed", name
    until = time.monotonic() + SLOW
    while ask(system.http + "/healthz") != 200:  # again where it was, though the port was any free one
        assert time.monotonic() < until
        time.sleep(0.1)


def test_http_is_served_where_up_says(system):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", system.http)
    assert ask(system.http + "/healthz") == 200
    assert (system.folder / "data/run/http").read_text() == system.http + "\n"


def test_system_is_not_kept_waiting_by_the_pool(system):
    """Callbacks are of `system`: what waits for a slot of the pool is not before them."""
    for _ in range(3):
        system.run("submit", "system.sleep", "seconds=60", check=0)
    record = system.json("submit", "system.echo", "value=1", "--wait", "--timeout", "30s")
    assert record["status"] == "completed"
    system.run("cancel", "--task", "system.sleep", check=0)


# ---- systems that end ----


def test_interrupt_stops_all_and_what_was_accepted_is_kept(folder):
    system = System(folder)
    task = system.json("submit", "system.echo", "value=kept", "--wait")["id"]
    code, err, left = system.stop(signal.SIGINT)
    assert (code, left) == (0, set()), err
    assert not (folder / "data/run/redis.sock").exists()
    system = System(folder, "--workers", "2", "--slots", "1")
    assert system.json("show", task)["stages"]["system.echo"]["output"] == {"value": "kept"}
    assert sorted(w["name"] for w in system.json("workers")) == ["system", "worker-1", "worker-2"]
    code, err, left = system.stop()
    assert (code, left) == (0, set()), err


def test_fused_runs_broker_and_state_service_in_one_process(folder):
    system = System(folder, "--fused")

    def programs():
        lines = {p: pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")[0].decode() for p in session_of(system.up.pid)}
        return {program.split()[0].rpartition("/")[2]: pid for pid, program in lines.items()}

    assert {"gantry-node", "gantry-worker"} < set(programs()) and not {"gantry-broker", "gantry-state"} & set(programs())
    os.kill(programs()["gantry-node"], signal.SIGKILL)
    record = json.loads(system.run("submit", "system.echo", "value=again", "-wj", "--timeout", "50s", check=0).stdout)
    assert record["status"] == "completed"
    assert re.search(r"^states connected +1$", system.run("status", check=0).stdout, re.M)
    code, err, left = system.stop()
    assert (code, left) == (0, set()) and "node ended (signal 9)" in err, err
    system = System(folder)  # the same data, the other way
    assert system.json("show", record["id"])["status"] == "completed"
    assert {"gantry-broker", "gantry-state"} < set(programs())
    code, err, left = system.stop()
    assert (code, left) == (0, set()), err


def test_a_killed_up_leaves_no_process_and_can_start_again(folder):
    system = System(folder)
    task = system.run("submit", "system.sleep", "seconds=60", check=0).stdout.strip()
    until = time.monotonic() + SLOW
    while system.json("show", task)["status"] != "running" and time.monotonic() < until:
        time.sleep(0.1)
    pids = session_of(system.up.pid)
    assert len(pids) > 5
    code, _, left = system.stop(signal.SIGKILL)
    assert code == -signal.SIGKILL and left == set(), [pathlib.Path(f"/proc/{p}/cmdline").read_bytes() for p in left]
    system = System(folder)
    assert system.json("show", task)["status"] in ("pending", "running")
    system.run("cancel", task, check=0)
    system.run("wait", task, check=1)
    system.stop()


def test_the_second_signal_stops_now(folder):
    system = System(folder)
    task = system.run("submit", "system.sleep", "seconds=60", check=0).stdout.strip()
    until = time.monotonic() + SLOW
    while system.json("show", task)["status"] != "running" and time.monotonic() < until:
        time.sleep(0.1)
    pids = session_of(system.up.pid)
    system.up.send_signal(signal.SIGINT)
    time.sleep(1)
    assert system.up.poll() is None, "a running task may finish"
    began = time.monotonic()
    system.up.send_signal(signal.SIGINT)
    err = system.up.communicate(timeout=SLOW)[1]
    assert system.up.returncode == 0 and "now" in err
    assert time.monotonic() - began < 15 and gone(pids, 5) == set()


def test_without_http(folder):
    system = System(folder, "--http", "off", "--services", "system")
    assert system.http is None and [w["name"] for w in system.json("workers")] == ["system"]
    programs = [pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")[0] for p in session_of(system.up.pid)]
    assert not [p for p in programs if p.endswith(b"gantry-front")]
    code, err, left = system.stop()
    assert (code, left) == (0, set()), err


def test_a_deep_folder_works(folder):
    """Sockets in it have names of more than 107 bytes."""
    deep = folder / ("deep-" * 12) / ("er-" * 20)
    deep.mkdir(parents=True)
    system = System(deep)
    (deep / "x.txt").write_text("x")
    assert system.json("submit", "system.echo", "value=deep", "--wait")["status"] == "completed"
    code, err, left = system.stop()
    assert (code, left) == (0, set()), err


# ---- what is installed beside ----


def rows_of_help():
    rows = {}
    for line in run("help", check=0).stdout.splitlines():
        found = re.match(r"  ([a-z]+)  +\S", line)
        if found and found[1] != "gantry":
            rows[found[1]] = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", run("help", found[1], check=0).stdout, re.M))
    assert {"up", "submit", "show", "why", "dead", "cron", "ledger", "help"} < set(rows)
    return rows


def test_completions_know_every_verb_and_flag():
    rows = rows_of_help()
    script = SOURCE / "deploy/completion/gantry.bash"
    for verb, flags in rows.items():
        ask = f'source {script}; COMP_WORDS=(gantry {verb} --); COMP_CWORD=2; _gantry; printf "%s\\n" "${{COMPREPLY[@]}}"'
        answer = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()
        assert set(answer) == flags, verb
    ask = f'source {script}; COMP_WORDS=(gantry ""); COMP_CWORD=1; _gantry; printf "%s\\n" "${{COMPREPLY[@]}}"'
    answer = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert {word for word in answer if not word.startswith("-")} == set(rows)

    zsh = (SOURCE / "deploy/completion/_gantry").read_text()
    common = zsh.split("common=(")[1].split("\n    )\n")[0]
    filters = zsh.split("filter=(")[1].split("\n    )\n")[0]
    for verb, flags in rows.items():
        assert re.search(rf"^        '{verb}:", zsh, re.M), verb
        part = re.search(rf"^        (?:\w+ \| )?{verb}(?: \| \w+)?\)\n?(.*?);;", zsh, re.M | re.S)
        text = part[1] if part else "$common"
        text += (common if "$common" in text else "") + (filters if "$filter" in text else "")
        known = set(re.findall(r"--[a-z-]+", text))
        assert known == flags, verb


def test_man_page_knows_every_verb_and_flag():
    page = (SOURCE / "docs/man/gantry.1.scd").read_text()
    for verb, flags in rows_of_help().items():
        assert f"*gantry {verb}*" in page or f"*{verb}*" in page, verb
        for flag in flags:
            assert f"*{flag}*" in page, flag


def test_man_page_knows_every_setting():
    page = (SOURCE / "docs/man/gantry.yaml.5.scd").read_text().replace("\\_", "_")
    table = subprocess.run([BIN / "gantry-broker", "--print-settings=table"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^\| `?([a-z_.]+)`? \|", table, re.M)
    assert len(names) > 25
    for name in names:
        assert name == "setting" or f"*{name}* (" in page, name
    settings = (SOURCE / "common/settings.h").read_text()
    documented = set(re.findall(r"^\*([a-z_.]+)\* \(", page, re.M))
    assert documented == set(re.findall(r'(?:TEXT|WHOLE|SWITCH)\s*\(\w+,\s*"([a-z_.]+)"', settings))


@pytest.mark.skipif(not shutil.which("scdoc") or not shutil.which("mandoc"), reason="scdoc or mandoc is not installed")
def test_man_pages_are_clean():
    pages = sorted((SOURCE / "docs/man").glob("*.scd"))
    assert len(pages) == 7
    for source in pages:
        page = pathlib.Path(source.stem)
        page.write_bytes(subprocess.run(["scdoc"], stdin=source.open("rb"), capture_output=True, check=True).stdout)
        lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True, text=True).stdout
        # scdoc puts paragraphs where mandoc needs none; everything else counts
        assert [line for line in lint.splitlines() if "skipping paragraph macro" not in line] == []
        page.unlink()
