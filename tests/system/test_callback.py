"""system.callback against real receivers that behave badly in every way: with a broker made of Python for what one
delivery does, and with a whole system for what becomes of it."""
import datetime
import json
import math
import os
import random
import socket
import struct
import subprocess
import time
import wave

import pytest

from callback_house import (RECORD, CallbackHouse, Receiver, answer, close_early, drip, endless_head, half_a_body, half_a_head, hang, huge,
                            junk, server_context, verify)
from harness import System, until

BUILD = os.environ.get("GANTRY_BUILD", "build")


@pytest.fixture
def house(tmp_path):
    houses = []

    def make(allow="127.0.0.1,::1", **settings):
        houses.append(CallbackHouse(tmp_path, callback_allow=allow, **settings))
        return houses[-1].start()

    yield make
    for h in houses:
        h.close()


@pytest.fixture
def receive():
    receivers = []

    def make(*acts, **more):
        receivers.append(Receiver(*acts, **more))
        return receivers[-1]

    yield make
    for r in receivers:
        r.close()


# ---- what is sent

def test_it_is_said_as_clients_of_old_expect(house, receive):
    home, receiver = house(), receive()
    before = time.time()
    id = home.begin(receiver.url())
    result = home.result(id)
    assert result["state"] == "completed", result
    output = result["output"]
    assert output["http_status"] == 200 and output["tries"] == 1 and before * 1000 - 1 <= output["sent_at_ms"], output

    (told,) = receiver.told
    assert told.line == "POST /hook?a=1 HTTP/1.1"
    assert told.headers["content-type"] == "application/json"
    assert told.headers["user-agent"] == "YiVideo-API-Gateway/1.0"
    assert told.headers["content-length"] == str(len(told.body))
    assert told.headers["x-request-id"] == told.headers["gantry-delivery"] == id
    assert len(told.names) == len(set(told.names)) and not {"expect", "transfer-encoding", "gantry-signature"} & set(told.names)

    body = told.json
    assert told.body == json.dumps(body).encode()
    assert list(body) == ["task_id", "status", "result", "timestamp"]
    assert body["task_id"] == "job" and body["status"] == "completed"
    said_at = datetime.datetime.fromisoformat(body["timestamp"].removesuffix("Z") + "+00:00")
    assert body["timestamp"].endswith("Z") and abs(said_at.timestamp() - time.time()) < 10
    assert body["result"] == {
        "workflow_id": "job", "create_at": "2026-01-31T03:00:00.123Z",
        "input_params": {"task_name": "ffmpeg.extract_audio", "input_data": {"video_path": "/v/中文.mp4"},
                         "callback_url": receiver.url()},
        "shared_storage_path": "/share/job",
        "stages": {"ffmpeg.extract_audio": {"status": "SUCCESS", "input_params": {"video_path": "/v/中文.mp4"},
                                            "output": {"audio_path": "/a.wav", "n": 0.1}, "error": None, "duration": 1.5}},
        "error": None}


def test_a_hit_has_reuse_info_and_a_run_has_none(house, receive):
    home, receiver = house(), receive()
    home.deliver(receiver.url(), reuse="hit")
    home.deliver(receiver.url(), status="failed")
    hit, run = receiver.told
    assert hit.json["result"]["reuse_info"] == {"reuse_hit": True, "task_name": "ffmpeg.extract_audio", "source": "redis",
                                                "cached_at": "2026-01-31T03:00:01.500Z"}
    assert "reuse_info" not in run.json["result"] and run.json["status"] == "failed"
    assert not os.path.exists(home.root)  # no folder is made for a delivery


def test_settings_choose_stages_reuse_info_user_agent_and_signature(house, receive):
    home = house(reuse_result_stages="requested", callback_reuse_info="always", callback_user_agent="Ours/2",
                 callback_secret="s3cret ✓")
    stages = {**RECORD["stages"], "x.other": {"state": "failed", "output": {"b_minio_url": "http://m/b.txt"}}}
    stages["ffmpeg.extract_audio"] = {**stages["ffmpeg.extract_audio"], "output": {"a_minio_url": "http://m/b/a.wav"}}
    home.records["job"] = {**RECORD, "stages": stages}
    receiver = receive()
    assert home.deliver(receiver.url())["state"] == "completed"
    (told,) = receiver.told
    assert list(told.json["result"]["stages"]) == ["ffmpeg.extract_audio"]
    assert told.json["result"]["reuse_info"] == {"reuse_hit": False, "task_name": "ffmpeg.extract_audio"}
    assert told.json["minio_files"] == [{"name": "a.wav", "url": "http://m/b/a.wav", "type": "audio", "size": None}]
    assert list(told.json) == ["task_id", "status", "result", "timestamp", "minio_files"]
    assert told.headers["user-agent"] == "Ours/2"
    assert verify("s3cret ✓", told.headers["gantry-signature"], told.body)
    assert not verify("other", told.headers["gantry-signature"], told.body)
    assert not verify("s3cret ✓", told.headers["gantry-signature"], told.body + b" ")


def test_bytes_are_those_of_pythons_dumps():
    """json.dumps() and ours, on some thousand values."""
    rng = random.Random(5)

    def text():
        ranges = ((1, 0x30), (0x20, 0x100), (0x100, 0xd800), (0xe000, 0x110000))
        return "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(12)))

    def number():
        pick = rng.choice((lambda: struct.unpack("d", rng.randbytes(8))[0], lambda: 2.0 ** rng.randrange(-1074, 1024),
                           lambda: round(rng.uniform(-1e6, 1e6), rng.randrange(6)), lambda: float(rng.randrange(-10**17, 10**17))))
        value = pick()
        return value if math.isfinite(value) else 0.5

    def value(depth=0):
        kind = rng.randrange(9 if depth < 6 else 5)
        if kind < 5:
            return (rng.choice((None, True, False)), rng.randrange(-2**63, 2**63), number(), text(), text())[kind]
        if kind < 7:
            return [value(depth + 1) for _ in range(rng.randrange(4))]
        return {text(): value(depth + 1) for _ in range(rng.randrange(4))}

    values = [value() for _ in range(3000)] + [number() for _ in range(5000)] + [2.0 ** n for n in range(-1074, 1024)]
    lines = "".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values)
    said = subprocess.run([os.path.join(BUILD, "tests", "proto_python_json_test"), "--dump"], input=lines, capture_output=True,
                          text=True, check=True)
    assert said.stdout.split("\n")[:-1] == [json.dumps(v) for v in values]


# ---- receivers that behave badly

WAITS = (2000, 2400)  # callback.retry_ms, and a fifth at most


@pytest.mark.parametrize("act, words", [
    (answer(500, body=b"out of order"), "answered 500"), (answer(404), "answered 404"), (answer(400), "answered 400"),
    (answer(304), "answered 304, and redirects"), (close_early, "did not answer"), (half_a_head, "did not answer"),
    (half_a_body, "answered 500"), (junk, "did not answer"), (hang, "timed out"), (drip, "timed out"), (huge(503), "answered 503"),
    (endless_head, "did not answer")],
    ids=("500", "404", "400", "304", "closes_early", "half_a_head", "half_a_body", "junk", "hangs", "drips", "huge_503", "endless_head"))
def test_every_class_of_error_is_tried_again(house, receive, act, words):
    home, receiver = house(), receive(act)
    result = home.deliver(receiver.url())
    assert result["state"] == "retry" and words in result["error"]["message"], result
    assert WAITS[0] <= result["retry_after_ms"] <= WAITS[1], result
    if act in (half_a_body, ):
        assert result["error"]["stderr"] == "only this", result
    for taken in receiver.taken:
        assert taken < 20_000_000  # what the kernel's buffers hold
    home.until(lambda: len(receiver.told) == 1)
    assert home.deliver(receive().url())["state"] == "completed"  # and the next one is none the worse


def test_a_huge_answer_of_success_is_one(house, receive):
    home, receiver = house(), receive(huge(200))
    begun = time.monotonic()
    assert home.deliver(receiver.url())["output"]["http_status"] == 200
    assert time.monotonic() - begun < 1


def test_nobody_listens_or_the_name_is_unknown(house):
    home = house()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://no-such-host.invalid/"):
        result = home.deliver(url)
        assert result["state"] == "retry" and "did not answer" in result["error"]["message"], result


def test_redirects_are_not_followed(house, receive):
    home, other = house(), receive()
    for status in (301, 302, 303, 307, 308):
        receiver = receive(answer(status, f"Location: {other.url()}\r\n"))
        result = home.deliver(receiver.url())
        assert result["state"] == "retry" and "redirects" in result["error"]["message"], result
        assert len(receiver.told) == 1
    assert other.connected == 0


def test_tls_must_be_right(house, receive, tmp_path):
    home = house()
    plain, unknown = receive(), receive(context=server_context(str(tmp_path)))
    for receiver in (plain, unknown):
        result = home.deliver(receiver.url("localhost", scheme="https"))
        assert result["state"] == "retry" and "did not answer" in result["error"]["message"], result
        assert not receiver.told


def test_retry_after_goes_before_the_doubling(house, receive):
    home = house()
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=20)
    for status, value, least, most in ((429, "7", 7000, 7000), (503, "0", 1, 1), (500, "100000", 3600000, 3600000), (429, "soon", *WAITS),
                                       (503, soon.strftime("%a, %d %b %Y %H:%M:%S GMT"), 10000, 20000)):
        result = home.deliver(receive(answer(status, f"Retry-After: {value}\r\n")).url())
        assert result["state"] == "retry" and least <= result["retry_after_ms"] <= most, (value, result)


def test_waits_double_and_the_last_failure_is_for_good(house, receive):
    home, receiver = house(), receive(answer(500))
    for failures, first in ((1, 4000), (2, 8000), (3, 16000)):
        result = home.deliver(receiver.url(), before={"failures": failures})
        assert result["state"] == "retry" and first <= result["retry_after_ms"] <= first * 1.2, result
    result = home.deliver(receiver.url(), before={"failures": 4})
    assert result["state"] == "failed" and result["error"]["message"] == "the receiver answered 500", result
    good = home.deliver(receive().url(), before={"failures": 4})
    assert good["output"]["tries"] == 5


# ---- addresses

LOOPBACKS = ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0.0.0.0", "[::1]",
             "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[::127.0.0.1]", "ip6-localhost",
             "a.localhost"]


def test_loopback_is_refused_in_every_spelling(house, receive):
    home, receiver = house(allow=""), receive()
    for host in [*LOOPBACKS, "169.254.169.254", "[fe80::1]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "[::ffff:169.254.169.254]"]:
        result = home.deliver(receiver.url(host))
        if host in ("localhost.", "ip6-localhost") and "Could not resolve" in result["error"]["message"]:
            continue  # this machine's resolver does not know it
        assert result["state"] == "failed" and result["error"]["code"] == "DENIED", (host, result)
        assert result["error"]["field"] == "url" and "callback.allow" in result["error"]["message"], (host, result)
    assert receiver.connected == 0


def test_private_addresses_are_not_for_users(house):
    home = house(allow="", callback_timeout_ms=300)
    for host in ("[::ffff:10.0.0.1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fd00::1]", "[64:ff9b::10.0.0.1]"):
        result = home.deliver(f"http://{host}:9/", owned=True)
        assert result["state"] == "failed" and "a private address" in result["error"]["message"], (host, result)
        result = home.deliver(f"http://{host}:9/", owned=False)
        assert result["state"] == "retry", (host, result)  # it was tried, and nobody is there


@pytest.mark.parametrize("allow, good, bad", [
    ("127.0.0.1", ["127.0.0.1", "localhost", "2130706433"], ["[::1]"]),
    ("127.0.0.0/8", ["127.0.0.1", "127.9.9.9"], ["[::1]", "0.0.0.0"]),
    ("10.0.0.0/8, localhost", ["localhost", "LocalHost"], ["127.0.0.1", "a.localhost"]),
])
def test_what_is_allowed_is_reached(house, receive, allow, good, bad):
    home, receiver = house(allow=allow), receive(host="0.0.0.0")
    for host in good:
        assert home.deliver(receiver.url(host), owned=True)["state"] == "completed", host
    for host in bad:
        assert home.deliver(receiver.url(host))["error"]["code"] == "DENIED", host
    assert len(receiver.told) == len(good)


def test_a_proxy_of_the_environment_is_not_used(house, receive, monkeypatch):
    proxy, receiver = receive(), receive()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url(path="/"))
    assert house().deliver(receiver.url())["state"] == "completed"
    assert len(receiver.told) == 1 and proxy.connected == 0


@pytest.mark.parametrize("setting, value", [("callback_allow", "10.0.0.0/33"), ("callback_reuse_info", "never"),
                                            ("reuse_result_stages", "some")])
def test_a_wrong_setting_is_told_at_the_start(tmp_path, setting, value):
    home = CallbackHouse(tmp_path, **{setting.replace("_", "-"): value})
    try:
        with pytest.raises(AssertionError, match="did not start"):
            home.start()
        assert home.worker.wait(5) == 2
        with open(tmp_path / "worker.log") as log:
            assert f"setting={setting.replace('_', '.', 1)} what={value}" in log.read()
    finally:
        home.close()


# ---- inputs, records, being stopped

@pytest.mark.parametrize("wrong", [{"url": "ftp://h/"}, {"url": "http://h:99999/"}, {"url": "http://[::1/"}, {"url": "http://user:pw@h/"}, {"url": "nothing"}, {"status": "SUCCESS"},
                                   {"reuse": "wait"}, {"task_id": ""}, {"task_id": "../x"}, {"task": "x"}, {"url": 7}, {"more": 1}])
def test_a_wrong_input_is_invalid(house, wrong):
    result = house().deliver(**{"url": "http://127.0.0.1/", **wrong})
    assert result["state"] == "failed" and result["error"]["code"] == "INVALID", result
    assert result["error"].get("field", "") == next(iter(wrong)), result


def test_without_a_record_there_is_nothing_to_tell(house, receive):
    home, receiver = house(), receive()
    assert home.deliver(receiver.url(), task_id="gone")["state"] == "skipped"
    assert receiver.connected == 0


def test_while_records_cannot_be_read_it_is_put_off_and_no_try_is_spent(house, receive):
    home, receiver = house(), receive()
    home.broker_away = True
    result = home.deliver(receiver.url())
    assert result["state"] == "snoozed" and result["retry_after_ms"] > 0, result
    home.broker_away = False
    assert home.deliver(receiver.url())["state"] == "completed"


def test_a_cancelled_delivery_stops_at_once(house, receive):
    home, receiver = house(callback_timeout_ms=60000), receive(hang)
    id = home.begin(receiver.url())
    home.until(lambda: receiver.told)
    home.cancel.append(home.tokens[id])
    assert home.result(id)["state"] == "cancelled"
    home.cancel.clear()
    assert home.deliver(receive().url())["state"] == "completed"


def test_a_stale_delivery_stops_and_says_nothing(house, receive):
    home, receiver = house(callback_timeout_ms=60000), receive(hang)
    id = home.begin(receiver.url())
    home.until(lambda: receiver.told)
    home.stale.append(home.tokens[id])
    home.idle(0.5)
    home.stale.clear()
    assert home.deliver(receive().url())["state"] == "completed"
    assert not [r for r in home.results + home.returned if r["id"] == id]


def test_a_drain_hands_back_what_hangs(house, receive):
    home, receiver = house(callback_timeout_ms=60000, worker_drain_ms=300), receive(hang)
    id = home.begin(receiver.url())
    home.until(lambda: receiver.told)
    home.worker.terminate()
    home.until(lambda: home.worker.poll() is not None)
    assert home.worker.returncode == 0
    assert [r["id"] for r in home.returned] == [id]


def test_a_limit_of_the_attempt_counts_too(house, receive):
    home, receiver = house(callback_timeout_ms=60000), receive(hang)
    begun = time.monotonic()
    assert "timed out" in home.deliver(receiver.url(), timeout_ms=300)["error"]["message"]
    assert time.monotonic() - begun < 5


def test_killed_while_a_record_is_awaited(house):
    home = house()
    home.clients.close()  # nobody answers
    home.begin("http://127.0.0.1/")
    home.turn = lambda timeout_ms=10: super(CallbackHouse, home).turn(timeout_ms)
    home.idle(0.5)
    home.settings["worker-drain-ms"] = "1"
    home.worker.terminate()  # the drain's patience is longer than the test's: the second is for good
    home.idle(0.2)


# ---- a whole system

def system(**settings):
    return System("town", workers=0, **{"callback_retry_ms": 100, "callback_timeout_ms": 1500, "callback_tries": 3,
                                        "callback_allow": "127.0.0.1", **settings})


def task(client, id, url, node="system.echo", **inputs):
    return {**client.task(id, node, **inputs), "callback": url}


def client_of(town, *services):
    """A client, once there are workers of these services."""
    client = town.client()
    until(lambda: {node["name"].split(".")[0] for node in client.insist("NODES").body or []} >= set(services))
    return client


def record(client, id):
    return client.insist("GET", {"id": id}).body


def delivery_of(client, id, node="system.echo"):
    """The delivery's stage, once it has ended, and its id."""
    def ended():
        callback = record(client, id)["stages"][node].get("callback_id")
        stage = callback and record(client, callback)["stages"]["system.callback"]
        return stage and stage["state"] in ("completed", "failed", "skipped") and (callback, stage)
    return until(ended)


def test_submitted_with_a_callback_the_receiver_is_called_once(receive):
    with system() as town:
        town.add_worker()
        client, receiver = client_of(town, "system"), receive()
        client.submit(task(client, "once", receiver.url(), value="中"))
        id, stage = delivery_of(client, "once")
        assert stage["state"] == "completed" and stage["output"]["tries"] == 1, stage
        (told,) = receiver.told
        assert told.headers["gantry-delivery"] == id and told.body == json.dumps(told.json).encode()
        assert told.json["task_id"] == "once" and told.json["status"] == "completed"
        assert told.json["result"]["stages"]["system.echo"]["output"] == {"value": "中"}
        assert "reuse_info" not in told.json["result"]

        client.submit(task(client, "once", receiver.url("127.0.0.1", "/hit"), value="中"))
        until(lambda: len(receiver.told) == 2)
        hit = receiver.told[1].json["result"]
        assert hit["reuse_info"]["reuse_hit"] is True and hit["input_params"]["callback_url"] == receiver.url("127.0.0.1", "/hit")
        until(lambda: town.balance()["running"] == 0)
        town.settle()


def test_500_then_200_and_a_failed_run_is_told_too(receive):
    with system() as town:
        town.add_worker()
        client, receiver = client_of(town, "system"), receive(answer(500), answer(429, "Retry-After: 1\r\n"), answer(200))
        client.submit(task(client, "ill", receiver.url(), "system.fail", verdict="failed", message="no such voice"))
        id, stage = delivery_of(client, "ill", "system.fail")
        assert stage["state"] == "completed" and stage["output"] == {**stage["output"], "http_status": 200, "tries": 3}, stage
        assert len({told.headers["gantry-delivery"] for told in receiver.told}) == 1
        first, second, third = (told.at for told in receiver.told)
        assert second - first >= 0.1 and third - second >= 0.99
        for told in receiver.told:
            assert told.json["status"] == "failed"
            assert told.json["result"]["error"] == told.json["result"]["stages"]["system.fail"]["error"] == "no such voice"


def test_a_dead_letter_is_delivered_by_a_replay_with_its_tries_anew(receive):
    with system() as town:
        town.add_worker()
        client, receiver = client_of(town, "system"), receive(*[answer(500, body=b"out of order")] * 3, answer(500), answer(200))
        client.submit(task(client, "late", receiver.url()))
        id, stage = delivery_of(client, "late")
        assert stage["state"] == "failed" and stage["failures"] == 3 and len(receiver.told) == 3, stage
        assert stage["error"]["message"] == "the receiver answered 500" and stage["error"]["stderr"] == "out of order", stage
        assert record(client, "late")["status"] == "completed"  # a delivery is no part of its task
        again = subprocess.run([os.path.join(town.bin, "gantry"), "dead", "replay", id, f"--broker={town.endpoints('clients')}"],
                               capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        until(lambda: len(receiver.told) == 5)
        id, stage = delivery_of(client, "late")
        assert stage["state"] == "completed" and stage["output"]["tries"] == 2 and len(receiver.told) == 5, stage


def test_16_receivers_that_hang_delay_no_other_task(receive):
    """Deliveries have a worker of their own: a media task beside them is as quick as ever."""
    with system(worker_slots=16, callback_timeout_ms=30000) as town:
        town.add_worker(worker_services="system")
        town.add_worker(worker_services="ffmpeg", worker_slots=2)
        client, receiver = client_of(town, "system", "ffmpeg"), receive(hang)
        with wave.open("in/a.wav", "wb") as sound:
            sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(8000)
            sound.writeframes(b"\0\0" * 8000)

        def media(id):
            begun = time.monotonic()
            client.submit(client.task(id, "ffmpeg.extract_audio", video_path=os.path.abspath("in/a.wav")))
            ended = until(lambda: (stage := record(client, id)["stages"]["ffmpeg.extract_audio"]).get("ended_ms") and stage, every=0.005)
            assert ended["state"] == "completed", ended
            return time.monotonic() - begun

        alone = min(media(f"alone-{n}") for n in range(3))
        client.submit(*(task(client, f"t{n}", receiver.url()) for n in range(16)))
        until(lambda: receiver.connected == 16)
        beside = min(media(f"beside-{n}") for n in range(3))
        assert beside < max(2 * alone, alone + 0.5), (alone, beside)
        receiver.acts[:] = [answer(200)]
        receiver.release.set()
        for n in range(16):
            assert delivery_of(client, f"t{n}")[1]["state"] == "completed"


def test_nothing_is_lost_while_redis_or_the_broker_is_away(receive):
    with system() as town:
        town.add_worker()
        client, receiver = client_of(town, "system"), receive(answer(503), answer(200))
        client.submit(*(task(client, f"k{n}", receiver.url("127.0.0.1", f"/{n}")) for n in range(8)))
        town.redis.restart(0.5)
        until(town.redis_answers)
        town.brokers[0].restart(0.5)
        for n in range(8):
            assert delivery_of(client, f"k{n}")[1]["state"] == "completed"
        paths = [told.line.split()[1] for told in receiver.told]
        assert set(paths) == {f"/{n}" for n in range(8)}, paths
