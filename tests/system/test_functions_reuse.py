"""The Redis functions of services/state/functions: what a submit meets, and who is told of an end.

Run: /usr/bin/python3 -m pytest tests/system/test_functions_reuse.py
"""
import msgpack
import pytest

from functions_library import (BUSY, CANCELLED, COMPLETED, FAILED, HIT, MISS, OK, PENDING, QUARANTINED, RETRY, SCHEDULED, SKIPPED, WAIT,
                               Gantry, read_body, server)

OVER_CALLBACKS = 5
A, B, C = "http://a.example/", "http://b.example/?x=1", "https://c.example/cb"


@pytest.fixture(params=["", "{g1}"])
def gantry(server, request):
    server.flushall()
    return Gantry(server, request.param)


def declare(gantry, task="a.x", *key):
    gantry.redis.hset(gantry.shard + "nodes", task, msgpack.packb({"name": task, "key": list(key)}))
    gantry.names.add(task)


def run(gantry, state=COMPLETED, output={"x": 1}, error=None):
    (handout,) = gantry.claim(1)
    tail = {k: v for k, v in (("output", output), ("error", error)) if v is not None}
    assert gantry.finish((handout, state, tail)) == [OK]
    return handout


def submit(gantry, token, input_=None, task="a.x", **options):
    return gantry.submit(("t", task, token, input_, options))[0]


def deliveries(gantry):
    """Of each delivery: id, its input."""
    bodies = gantry.redis.hgetall(gantry.shard + "bodies")
    out = {}
    for field, body in bodies.items():
        id_, task = field.decode().split("/")
        if task == "system.callback":
            assert id_.startswith("callback-") and len(id_) == 49
            created, flags, crashes, failures, retry, said, token = read_body(body)
            assert (flags, crashes, failures, retry, said["priority"], len(token)) == (0, 3, 1000, 0, "normal", 16) and created > 10 ** 12
            out[id_] = said["input"]
    return out


def told(gantry):
    return sorted((said["url"], said["status"], said["reuse"]) for said in deliveries(gantry).values())


# what a completed stage must have

@pytest.mark.parametrize("key, output, reuse", [
    ([], {"x": 1}, HIT),
    ([], {}, MISS),
    ([], None, MISS),
    (["x"], {"x": "there"}, HIT),
    (["x"], {"x": 0}, HIT),
    (["x"], {"x": False}, HIT),
    (["x"], {"x": []}, HIT),
    (["x"], {"x": {}}, HIT),
    (["x"], {"x": ""}, MISS),
    (["x"], {"x": None}, MISS),
    (["x"], {"y": 1}, MISS),
    (["x", "y"], {"x": 1}, MISS),
    (["x", "y"], {"x": 1, "y": 2}, HIT),
    (["x|old_x"], {"old_x": 1}, HIT),
    (["x|old_x"], {"x": "", "old_x": 1}, HIT),
    (["x|old_x"], {"x": None, "old_x": ""}, MISS),
])
def test_a_hit_needs_every_key_output(gantry, key, output, reuse):
    declare(gantry, "a.x", *key)
    assert submit(gantry, 1) == (OK, PENDING, MISS)
    run(gantry, output=output)
    assert submit(gantry, 2) == (OK, COMPLETED if reuse == HIT else PENDING, reuse)
    gantry.check()
    if reuse == MISS:
        assert run(gantry)["attempt"] == 2


@pytest.mark.parametrize("state", [SKIPPED, FAILED, CANCELLED])
def test_only_what_completed_is_a_hit(gantry, state):
    submit(gantry, 1)
    run(gantry, state)
    assert submit(gantry, 2) == (OK, PENDING, MISS)


@pytest.mark.parametrize("first, second, reuse", [
    ({"a": 1, "b": [1, {"c": None}]}, {"b": [1, {"c": None}], "a": 1}, HIT),
    ({"a": 1}, {"a": 2}, MISS),
    ({"a": 1}, {"a": 1, "b": 1}, MISS),
    ({"a": 1, "b": 1}, {"a": 1}, MISS),
    ({"a": [1, 2]}, {"a": [2, 1]}, MISS),
    ({"a": 1}, {"a": "1"}, MISS),
    ({"a": {}}, {"a": {}}, HIT),
    ({"a": 2 ** 53 - 1, "b": 0.5}, {"a": 2 ** 53 - 1, "b": 0.5}, HIT),
    ({"a": 2 ** 53}, {"a": 2 ** 53 + 1}, MISS),
    ({"a": -2 ** 63}, {"a": 1 - 2 ** 63}, MISS),
    ({}, {}, HIT),
])
def test_a_hit_by_input_needs_the_same_input(gantry, first, second, reuse):
    submit(gantry, 1, first)
    run(gantry)
    assert submit(gantry, 2, second) == (OK, COMPLETED, HIT)
    assert submit(gantry, 3, second, reuse="input")[2] == reuse


def test_reuse_never_runs_again_but_not_twice_at_once(gantry):
    submit(gantry, 1)
    assert submit(gantry, 2, reuse="never") == (OK, PENDING, WAIT)
    run(gantry)
    assert submit(gantry, 3, reuse="never") == (OK, PENDING, MISS) and submit(gantry, 4, reuse="never") == (OK, PENDING, WAIT)
    assert run(gantry)["attempt"] == 2 and gantry.ledger()["accepted"] == 2


# callbacks

def test_every_address_that_waits_is_told_once(gantry):
    assert submit(gantry, 1, callback=A) == (OK, PENDING, MISS)
    for token, url in enumerate([B, A, B, C, A], 2):
        assert submit(gantry, token, callback=url) == (OK, PENDING, WAIT)
    assert submit(gantry, 9) == (OK, PENDING, WAIT)
    stage = gantry.get("t")["a.x"]
    assert stage["callbacks"] == "".join("\n" + url for url in (B, C, A)) and deliveries(gantry) == {}
    run(gantry)
    assert told(gantry) == sorted((url, "completed", "miss") for url in (A, B, C))
    (mine,) = [id_ for id_, said in deliveries(gantry).items() if said["url"] == A]
    assert deliveries(gantry)[mine] == {"task_id": "t", "task": "a.x", "url": A, "status": "completed", "reuse": "miss", "owned": False}
    assert gantry.get("t")["a.x"]["callbacks"] == f"{A} {mine}" and gantry.ledger()["accepted"] == 4
    assert gantry.events()[-1][b"q"] == b"system"
    gantry.check()
    handed = gantry.claim(9, service="system")
    assert len(handed) == 3 and gantry.finish(*[(h, COMPLETED) for h in handed]) == [OK] * 3
    assert gantry.get("t")["a.x"]["state"] == COMPLETED and len(deliveries(gantry)) == 3
    gantry.check()


@pytest.mark.parametrize("state, status", [(COMPLETED, "completed"), (SKIPPED, "completed"), (FAILED, "failed"), (CANCELLED, "failed")])
def test_the_end_says_how_it_went(gantry, state, status):
    submit(gantry, 1, callback=A)
    run(gantry, state)
    assert told(gantry) == [(A, status, "miss")]


def test_one_that_joins_while_it_runs_is_told(gantry):
    submit(gantry, 1)
    (handout,) = gantry.claim(1)
    assert submit(gantry, 2, callback=B)[2] == WAIT
    gantry.finish((handout, COMPLETED))
    assert told(gantry) == [(B, "completed", "miss")]


def test_an_attempt_that_is_not_the_last_tells_nobody(gantry):
    submit(gantry, 1, callback=A)
    (handout,) = gantry.claim(1)
    gantry.put_back((handout, RETRY, "1", {"error": {"code": "FAILED", "message": ""}}))
    assert submit(gantry, 2, callback=B) == (OK, SCHEDULED, WAIT) and deliveries(gantry) == {}
    gantry.due("t/a.x 1")
    gantry.timers()
    run(gantry)
    assert [url for url, *_ in told(gantry)] == [A, B]


@pytest.mark.parametrize("end, state", [("cancelled", CANCELLED), ("cancelled while held", CANCELLED), ("failed too often", FAILED),
                                        ("crashed too often", QUARANTINED), ("late to start", FAILED)])
def test_every_way_to_end_tells(gantry, end, state):
    assert submit(gantry, 1, callback=A, crashes_max=1, failures_max=1, to_start_ms=60000)[0] == OK
    if end == "cancelled":
        gantry.cancel("t")
    elif end == "late to start":
        gantry.redis.zadd(gantry.shard + "deadlines", {"t/a.x s": 1})
        gantry.timers()
    else:
        (handout,) = gantry.claim(1)
        if end == "cancelled while held":
            gantry.cancel("t")
            gantry.finish((handout, COMPLETED))
        elif end == "failed too often":
            gantry.put_back((handout, RETRY, "", {"error": {"code": "FAILED", "message": ""}}))
        else:
            gantry.sweep()
            gantry.lapse(0)
            gantry.sweep()
    assert gantry.get("t")["a.x"]["state"] == state and told(gantry) == [(A, "failed", "miss")]
    gantry.check()


def test_a_hit_tells_the_newest_address_at_once(gantry):
    submit(gantry, 1, callback=A)
    run(gantry)
    assert submit(gantry, 2) == (OK, COMPLETED, HIT) and len(deliveries(gantry)) == 1
    assert submit(gantry, 3, callback=B) == (OK, COMPLETED, HIT)
    assert told(gantry) == [(A, "completed", "miss"), (B, "completed", "hit")]
    assert gantry.get("t")["a.x"]["callbacks"].split(" ")[0] == B
    # the same submit again, after a lost answer: no second call; another one is another call
    assert submit(gantry, 3, callback=B) == (OK, COMPLETED, HIT) and len(deliveries(gantry)) == 2
    assert submit(gantry, 4, callback=B) == (OK, COMPLETED, HIT) and len(deliveries(gantry)) == 3
    assert gantry.get("t")["a.x"]["attempt"] == 1
    gantry.check()


def test_a_submit_that_joined_and_is_said_again_is_told_once(gantry):
    submit(gantry, 1)
    assert submit(gantry, 2, callback=A)[2] == WAIT and submit(gantry, 2, callback=A)[2] == WAIT
    run(gantry)
    assert submit(gantry, 2, callback=A) == (OK, COMPLETED, HIT) and told(gantry) == [(A, "completed", "miss")]
    assert submit(gantry, 3, callback=A) == (OK, COMPLETED, HIT) and len(deliveries(gantry)) == 2
    assert submit(gantry, 2, callback=A) == (OK, COMPLETED, HIT) and len(deliveries(gantry)) == 2


def test_one_that_says_it_over_and_over_displaces_no_other(gantry):
    submit(gantry, 1)
    submit(gantry, 2, callback=A)
    for _ in range(40):
        submit(gantry, 3, callback=B)
    run(gantry)
    for token, url in ((2, A), (3, B)):
        assert submit(gantry, token, callback=url) == (OK, COMPLETED, HIT)
    assert told(gantry) == [(A, "completed", "miss"), (B, "completed", "miss")]


def test_hits_of_two_stages_under_one_token_are_two(gantry):
    for task in ("a.x", "a.y"):
        submit(gantry, 1, task=task)
        run(gantry)
        assert submit(gantry, 2, task=task, callback=A) == (OK, COMPLETED, HIT)
    assert sorted(said["task"] for said in deliveries(gantry).values()) == ["a.x", "a.y"]


def test_a_hit_on_what_was_submitted_without_an_address(gantry):
    submit(gantry, 1)
    run(gantry)
    submit(gantry, 2, callback=A)
    assert told(gantry) == [(A, "completed", "hit")] and gantry.get("t")["a.x"]["callbacks"].startswith(A + " callback-")
    assert read_body(gantry.get("t")["a.x"]["body"])[1] == 2


def test_another_run_begins_without_the_addresses_of_the_last(gantry):
    submit(gantry, 1, callback=A)
    run(gantry, FAILED)
    submit(gantry, 2)
    assert gantry.get("t")["a.x"]["callbacks"] == ""
    run(gantry, FAILED)
    assert told(gantry) == [(A, "failed", "miss")]
    submit(gantry, 3, callback=A)
    run(gantry)
    assert told(gantry) == [(A, "completed", "miss"), (A, "failed", "miss")]


def test_a_replay_tells_who_was_told_last(gantry):
    submit(gantry, 1, callback=A)
    submit(gantry, 2, callback=B)
    run(gantry, FAILED)
    assert gantry.call("replay", "t", "a.x", 100)[0] == OK and len(deliveries(gantry)) == 2
    run(gantry)
    assert told(gantry) == [(A, "failed", "miss"), (B, "completed", "miss"), (B, "failed", "miss")]
    gantry.check()


def test_one_node_tells_nothing_of_another(gantry):
    submit(gantry, 1, callback=A)
    submit(gantry, 2, task="a.y", callback=B)
    run(gantry)
    run(gantry, FAILED)
    assert sorted((said["task"], said["url"], said["status"]) for said in deliveries(gantry).values()) == [("a.x", A, "completed"), ("a.y", B, "failed")]


def test_an_owners_delivery_says_so(gantry):
    gantry.submit(("t", "a.x", 1, None, {"owner": "u", "callback": A}), quota_user=1)
    run(gantry)
    assert [said["owned"] for said in deliveries(gantry).values()] == [True]
    assert gantry.redis.hlen(gantry.shard + "owned") == 0, "a delivery counts against nobody's quota"


def test_as_many_addresses_as_there_is_room_for(gantry):
    submit(gantry, 1)
    url = "http://x.example/" + "y" * 2000
    joined = 0
    while True:
        status, state, reuse = submit(gantry, 2 + joined, callback=url + "%04d" % joined)
        if status != OK:
            break
        joined += 1
    assert (status, reuse) == (BUSY, OVER_CALLBACKS) and 30 < joined < 33 and state == joined * 2022
    assert submit(gantry, 900, callback=url + "0000") == (OK, PENDING, WAIT), "one that waits already needs no room"
    run(gantry)
    assert len(deliveries(gantry)) == joined
    gantry.check()


def test_what_an_outsider_wrote_is_nobodys_harm(gantry):
    submit(gantry, 1, callback=A)
    gantry.redis.hset(gantry.shard + "callbacks", "t/a.x", "\n")
    run(gantry)
    assert gantry.get("t")["a.x"]["state"] == COMPLETED
    submit(gantry, 2, callback=A, reuse="never")
    gantry.redis.delete(gantry.shard + "callbacks")
    gantry.redis.set(gantry.shard + "callbacks", "junk")
    run(gantry)
    assert gantry.get("t")["a.x"]["state"] == COMPLETED
