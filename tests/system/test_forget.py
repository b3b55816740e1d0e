"""FORGET of real programs: record and folder go, the engine dies, and what cannot be removed is told."""
import os
import shutil
import subprocess
import time

import pytest

from harness import BIN, CONFLICT, INVALID, NOT_FOUND, OK, UNAVAILABLE, System, processes_in, until

SLEEP, ECHO = "system.sleep", "system.echo"


@pytest.fixture(scope="module")
def town():
    with System("forget", workers=1, worker_slots=4) as system:
        client = system.client()
        client.ready(SLEEP, ECHO)
        yield system, client


def folder(system, id_):
    return os.path.join(system.folder, "share", id_)


def put(client, id_, node, **input_):
    task = client.task(id_, node, **input_)
    receipt = client.submit(task)[0]
    assert (receipt["status"], receipt["reuse"]) == (OK, "miss"), receipt
    return task


def forgotten(answer):
    """The status, and what became of each resource."""
    assert answer.status == OK, answer
    results = answer.body["results"]
    assert [r["resource"] for r in results] == ["local_directory", "redis", "minio"]
    assert all(bool(r.get("message")) == (r["status"] != "deleted") for r in results)
    assert all(("retriable" in r) == (r["status"] == "failed") for r in results)
    assert results[2]["status"] == "skipped"
    return answer.body["status"], results[0]["status"], results[1]["status"]


def wait(client, id_):
    """The record once every stage has ended."""
    return client.wait((id_, ""))[0]


def forget(client, id_, **more):
    return client.ask("FORGET", {"id": id_, **more})


def test_what_was_migrated_and_forgotten_does_not_come_back(town, tmp_path):
    system, client = town
    new = os.path.join(system.folder, "share")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GANTRY_STORAGE", "GANTRY_DATA", "GANTRY_CONFIG"))}
    def migrate(*flags):
        return subprocess.run([os.path.join(BIN, "gantry"), "migrate", "single_tasks", "--from", str(tmp_path), "--to", new, *flags], capture_output=True,
                              text=True, timeout=60, env=clean)
    for id_ in ("old1", "old2"):
        (tmp_path / id_).mkdir()
        (tmp_path / id_ / "file").write_text(id_)
        put(client, id_, ECHO, value=1)
        assert wait(client, id_)["status"] == "completed"
    assert migrate().returncode == 0 and os.path.exists(f"{new}/.migrated/old1.jsonl")
    assert forgotten(forget(client, "old1"))[1] == "deleted"
    assert not os.path.exists(f"{new}/.migrated/old1.jsonl") and os.path.exists(f"{new}/.migrated/old2.jsonl")
    back = migrate("--back", "--json")
    assert back.returncode == 0 and not back.stderr and '"tasks":1' in back.stdout.replace(" ", ""), back
    assert (tmp_path / "old2" / "file").read_text() == "old2" and not (tmp_path / "old1").exists()
    again = migrate("--back")
    assert again.returncode == 0 and "deleted there since" in again.stderr, again


def test_record_and_folder_go(town):
    system, client = town
    for id_ in ("t1", "t10", "t1.x"):
        put(client, id_, ECHO, value=1)
        assert wait(client, id_)["status"] == "completed"
        os.makedirs(folder(system, id_) + "/deep/er", exist_ok=True)
        with open(folder(system, id_) + "/deep/er/file", "w") as file:
            file.write("x")
    os.symlink("../t10", folder(system, "t1") + "/link")
    assert forgotten(forget(client, "t1")) == ("success", "deleted", "deleted")
    assert not os.path.lexists(folder(system, "t1"))
    assert client.ask("GET", {"id": "t1"}).status == NOT_FOUND
    for id_ in ("t10", "t1.x"):
        assert os.path.exists(folder(system, id_) + "/deep/er/file") and client.ask("GET", {"id": id_}).status == OK
    assert forget(client, "t1").status == NOT_FOUND
    put(client, "t1", ECHO, value=2)
    stage = wait(client, "t1")["stages"][ECHO]
    assert (stage["attempt"], stage.get("generation", 0), stage["output"]) == (1, 0, {"value": 2})


def test_what_is_missing_is_skipped(town):
    system, client = town
    put(client, "t2", ECHO, value=1)
    wait(client, "t2")
    shutil.rmtree(folder(system, "t2"), ignore_errors=True)
    assert forgotten(forget(client, "t2")) == ("success", "skipped", "deleted")
    os.mkdir(folder(system, "t2"))
    assert forgotten(forget(client, "t2", force=True)) == ("success", "deleted", "skipped")
    assert forget(client, "t2").status == NOT_FOUND


def test_what_runs_is_a_conflict_unless_forced_and_then_dies(town):
    system, client = town
    put(client, "t3", SLEEP, seconds=60)
    until(lambda: client.stage("t3", SLEEP)["state"] == "running")
    until(lambda: engines(system))
    answer = forget(client, "t3")
    assert answer.status == CONFLICT and answer.body["field"] == "id" and "1 of its stages" in answer.body["message"]
    assert client.stage("t3", SLEEP)["state"] == "running" and os.path.isdir(folder(system, "t3"))
    waiting = client.begin("WAIT", {"id": "t3"})
    assert forgotten(forget(client, "t3", force=True))[::2] == ("success", "deleted")
    assert client.end(waiting, 5).status == NOT_FOUND
    until(lambda: not engines(system), 10)
    ledger = client.ask("LEDGER").body
    assert ledger["balanced"] and ledger["running"] == 0 and ledger["cancelled"] == 1
    put(client, "t3", SLEEP, seconds=0.01)
    assert wait(client, "t3")["status"] == "completed"


def engines(system):
    return [pid for pid, line in processes_in(system.folder).items() if "gantry-engine" in line and "exec" not in line]


def test_what_waits_is_cancelled_first(town):
    system, client = town
    assert client.ask("STEER", {"action": "pause", "service": "system"}).status == OK
    put(client, "t4", ECHO, value=1)
    assert forget(client, "t4").status == CONFLICT
    assert forgotten(forget(client, "t4", force=True)) == ("success", "skipped", "deleted")
    put(client, "t4", ECHO, value=2)
    assert client.ask("QUEUES").body[0]["normal"] == 1
    assert client.ask("STEER", {"action": "resume", "service": "system"}).status == OK
    assert wait(client, "t4")["stages"][ECHO]["output"] == {"value": 2}
    assert client.ask("LEDGER").body["balanced"]


@pytest.mark.parametrize("id_", ["", "..", "../in", "a/b", "pending", "a..b", ".hidden", "/etc", "x" * 129, "a\0b"])
def test_nothing_but_a_task_id(town, id_):
    _, client = town
    assert forget(client, id_, force=True).status == INVALID


def test_never_through_a_link_and_never_a_file(town):
    system, client = town
    os.makedirs("in/precious", exist_ok=True)
    with open("in/precious/file", "w") as file:
        file.write("x")
    os.symlink("../in/precious", folder(system, "t5"))
    answer = forget(client, "t5")
    assert forgotten(answer) == ("failed", "failed", "skipped")
    assert answer.body["results"][0]["retriable"] is False and "symbolic link" in answer.body["results"][0]["message"]
    assert os.path.exists("in/precious/file") and os.path.islink(folder(system, "t5"))
    os.unlink(folder(system, "t5"))
    with open(folder(system, "t6"), "w") as file:
        file.write("x")
    assert forgotten(forget(client, "t6")) == ("failed", "failed", "skipped")
    os.unlink(folder(system, "t6"))
    os.mkdir(folder(system, "t7"))
    os.symlink("../../in/precious", folder(system, "t7") + "/link")
    assert forgotten(forget(client, "t7")) == ("success", "deleted", "skipped")
    assert os.path.exists("in/precious/file")


@pytest.mark.skipif(os.getuid() == 0, reason="root may remove anything")
def test_what_cannot_be_removed_is_told_and_can_be_tried_again(town):
    system, client = town
    put(client, "t8", ECHO, value=1)
    wait(client, "t8")
    os.makedirs(folder(system, "t8") + "/locked/in", exist_ok=True)
    os.chmod(folder(system, "t8") + "/locked", 0o500)
    answer = forget(client, "t8")
    assert forgotten(answer) == ("partial_failed", "failed", "deleted")
    assert answer.body["results"][0]["message"] == "Permission denied"
    assert client.ask("GET", {"id": "t8"}).status == NOT_FOUND
    os.chmod(folder(system, "t8") + "/locked", 0o700)
    assert forgotten(forget(client, "t8")) == ("success", "deleted", "skipped")


def test_a_large_folder_keeps_nobody_waiting(town):
    system, client = town
    for i in range(200):
        os.makedirs(folder(system, "t9") + "/%d" % i)
        for k in range(100):
            open(folder(system, "t9") + "/%d/%d" % (i, k), "w").close()
    request = client.begin("FORGET", {"id": "t9"})
    worst = 0
    while request not in client.answers:
        began = time.monotonic()
        assert client.ask("LEDGER").status == OK
        worst = max(worst, time.monotonic() - began)
    assert forgotten(client.end(request)) == ("success", "deleted", "skipped")
    assert worst < 1 and not os.path.exists(folder(system, "t9"))


def test_a_state_service_that_is_stopped_meanwhile_ends_well(town):
    system, client = town
    for i in range(100):
        os.makedirs(folder(system, "ta") + "/%d" % i)
        for k in range(100):
            open(folder(system, "ta") + "/%d/%d" % (i, k), "w").close()
    request = client.begin("FORGET", {"id": "ta"})
    client.pump(0.02)
    system.states[0].stop()
    system.states[0].start()
    answer = client.end(request)
    assert answer.status in (NOT_FOUND, UNAVAILABLE) or forgotten(answer)[0] == "success", answer
    until(lambda: forget(client, "ta").status == NOT_FOUND)
    assert not os.path.exists(folder(system, "ta"))
    client.ready(SLEEP, ECHO)


def test_references_with_a_real_worker(town):
    """What they are is told in test_refer; here the programs of everyday."""
    _, client = town
    put(client, "tr", SLEEP, seconds=1.2)
    put(client, "tr", ECHO, value={"slept": "${{ stages.system.sleep.output.slept_ms }}", "text": "for ${{ stages.system.sleep.output.slept_ms }} ms"})
    stage = wait(client, "tr")["stages"][ECHO]
    slept = client.stage("tr", SLEEP)["output"]["slept_ms"]
    assert stage["output"] == {"value": {"slept": slept, "text": "for %d ms" % slept}}
    assert stage["input"]["value"]["slept"].startswith("${{") and stage.get("failures", 0) == 0


def test_nodes_say_whether_somebody_serves_them(town):
    system, client = town
    nodes = {n["name"]: n for n in client.ask("NODES").body}
    assert nodes[ECHO]["available"] is True and nodes[ECHO]["inputs"][0]["name"] == "value"
    assert {n["available"] for name, n in nodes.items() if not name.startswith("system.")} <= {False}
    system.workers[0].stop()
    assert {n["available"] for n in client.ask("NODES").body} == {False}
    system.workers[0].start()
    until(lambda: {n["name"]: n["available"] for n in client.ask("NODES").body}[ECHO])
