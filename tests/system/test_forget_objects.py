"""FORGET with an object store: a task's objects go with it and nobody else's; what the store did not take off is found again."""
import os

import pytest

from harness import NOT_FOUND, OK, System, until
from swift_house import SwiftHouse

CLEAN, ECHO = "system.cleanup", "system.echo"
BUCKET = "gantry"


@pytest.fixture(scope="module")
def swift():
    with SwiftHouse("swift") as swift:
        yield swift


@pytest.fixture
def town(swift):
    settings = {"objects_" + row.split("=")[0].split(".")[1]: row.split("=", 1)[1] for row in swift.settings()}
    store = swift.client()
    with System("town", workers=1, objects_timeout_ms=2000, objects_tries=2, **settings) as system:
        client = system.client()
        client.ready(CLEAN, ECHO)
        yield system, client, store
    if swift.alive():
        for item in store.list_objects_v2(Bucket=BUCKET).get("Contents", []) if has_bucket(store) else []:
            store.delete_object(Bucket=BUCKET, Key=item["Key"])


def has_bucket(store):
    return BUCKET in [bucket["Name"] for bucket in store.list_buckets()["Buckets"]]


def keys(store):
    return sorted(item["Key"] for item in store.list_objects_v2(Bucket=BUCKET).get("Contents", []))


def fill(store, *names):
    if not has_bucket(store):
        store.create_bucket(Bucket=BUCKET)
    for name in names:
        store.put_object(Bucket=BUCKET, Key=name, Body=b"x" * 10)


def forget(client, id_, **more):
    answer = client.ask("FORGET", {"id": id_, **more}, seconds=60)
    if answer.status == NOT_FOUND:
        return NOT_FOUND
    assert answer.status == OK, answer
    results = {part["resource"]: part for part in answer.body["results"]}
    return answer.body["status"], {name: part["status"] for name, part in results.items()}, results["minio"]


def test_without_a_bucket_there_are_no_objects(town):
    system, client, store = town
    if has_bucket(store):
        pytest.skip("the bucket is there already")
    client.run("t0", ECHO, value=1)
    status, parts, minio = forget(client, "t0")
    assert (status, parts["redis"], parts["minio"]) == ("success", "deleted", "skipped") and "no objects" in minio["message"]


def test_objects_go_with_their_task(town):
    system, client, store = town
    for id_ in ("t1", "t10"):
        client.run(id_, ECHO, value=1)
    fill(store, "t1/audio/a.wav", "t1/b", "t10/c", "t", "t2/d")
    status, parts, _ = forget(client, "t1")
    assert (status, parts["redis"], parts["minio"]) == ("success", "deleted", "deleted")
    assert keys(store) == ["t", "t10/c", "t2/d"]
    assert forget(client, "t1") == NOT_FOUND
    assert not os.path.lexists(os.path.join(system.folder, "share", "t1"))
    status, parts, _ = forget(client, "t2")  # objects alone are something too
    assert (status, parts) == ("success", {"local_directory": "skipped", "redis": "skipped", "minio": "deleted"})
    assert keys(store) == ["t", "t10/c"] and forget(client, "t10")[1]["minio"] == "deleted"


def test_what_a_store_that_is_away_keeps_is_found_again(town, swift):
    system, client, store = town
    share = os.path.join(system.folder, "share")
    for id_ in ("t1", "t2"):
        client.run(id_, ECHO, value=1)
    fill(store, "t1/a", "t2/b")
    swift.stop()
    for id_ in ("t1", "t2"):
        status, parts, minio = forget(client, id_)
        assert (status, parts["redis"], parts["minio"]) == ("partial_failed", "deleted", "failed")
        assert minio["retriable"] is True and minio["message"] == "the object store cannot be reached: Couldn't connect to server"
    assert forget(client, "unknown")[0] == "failed" and not os.path.exists(os.path.join(share, "unknown"))
    assert os.listdir(os.path.join(share, "t1")) == [] and os.listdir(os.path.join(share, "t2")) == []
    swift.start()
    assert keys(store) == ["t1/a", "t2/b"]
    status, parts, _ = forget(client, "t1")
    assert (status, parts) == ("success", {"local_directory": "deleted", "redis": "skipped", "minio": "deleted"})
    until(lambda: not os.path.exists(os.path.join(share, "t1")))
    told = client.run("clean", CLEAN, seconds=60, retention_ms=0, grace_ms=0, tmp_ms=3600000)["output"]
    assert told["orphan_folders"]["removed"] == 1 and told["orphan_folders"]["names"] == ["t2"]
    assert keys(store) == [] and not os.path.exists(os.path.join(share, "t2"))


def test_what_a_killed_run_still_sends_is_found_again(town):
    """A forced FORGET does not wait for the worker that it takes the task from: what lands behind it goes with the next clean-up."""
    system, client, store = town
    share = os.path.join(system.folder, "share")
    client.run("t3", ECHO, value=1)
    fill(store, "t3/a")
    assert forget(client, "t3", force=True)[0] == "success" and keys(store) == []
    fill(store, "t3/late")
    told = client.run("clean3", CLEAN, seconds=60, retention_ms=0, grace_ms=0, tmp_ms=3600000)["output"]
    assert told["orphan_folders"]["names"] == ["t3"] and keys(store) == []
    assert not os.path.exists(os.path.join(share, "t3"))


def test_expired_tasks_take_their_objects_along(town):
    system, client, store = town
    ids = ["e%d" % i for i in range(20)]
    for id_ in ids:
        client.run(id_, ECHO, value=1)
    fill(store, *[id_ + "/x" for id_ in ids], "kept/x")
    told = client.run("clean", CLEAN, seconds=60, retention_ms=1, grace_ms=3600000)["output"]
    assert told["expired"]["removed"] >= 20 and told["expired"]["failed"] == 0
    assert keys(store) == ["kept/x"]


def test_clean_up_does_not_wait_for_a_store_again_and_again(town, swift):
    """Of twenty expired tasks it has tried a few when it leaves the rest, with their records, for another attempt."""
    system, client, store = town
    ids = ["a%d" % i for i in range(20)]
    for id_ in ids:
        client.run(id_, ECHO, value=1)
    swift.stop()
    try:
        client.submit({**client.task("clean4", CLEAN, retention_ms=1, grace_ms=3600000), "failures_max": 2, "retry_ms": 1000000})
        until(lambda: client.stage("clean4", CLEAN).get("history"), 90)
        assert "is away" in client.stage("clean4", CLEAN)["history"][-1]["error"]["message"]
        assert 0 < sum(client.ask("GET", {"id": id_}).status == NOT_FOUND for id_ in ids) <= 6
    finally:
        swift.start()
