"""gantry-broker on the wire: HELLO, forwarding, state services, silence, status, start."""

import re
import secrets
import signal
import socket
import subprocess
import time

import pytest

from broker_house import *  # noqa: F403: the peers, the fixtures and the wire's numbers


# ---- HELLO ------------------------------------------------------------------------------------------


def test_welcome_tells_the_limits(start):
    broker = start("--heartbeat-ms=300", "--liveness-ms=900", "--lease-ms=5000", "--limits-batch=7",
                   "--limits-body-bytes=2000")
    welcome = broker.stranger("clients").hello()
    assert welcome["epoch"] != 0
    assert {k: welcome[k] for k in ("heartbeat_ms", "liveness_ms", "lease_ms", "batch_max", "body_max")} == {
        "heartbeat_ms": 300, "liveness_ms": 900, "lease_ms": 5000, "batch_max": 7, "body_max": 2000}
    assert re.fullmatch(r"gantry-broker \S+", welcome["software"])


@pytest.mark.parametrize("role, verb", [("clients", SUBMIT), ("clients", PING), ("workers", CLAIM),
                                        ("workers", DONE), ("states", READY), ("states", ANSWER),
                                        ("clients", 99)])
def test_hello_comes_first(broker, role, verb):
    stranger = broker.stranger(role)
    answer = stranger.ask(verb, {"id": "x"}, count=1)
    assert answer.status == HELLO_FIRST and "HELLO" in answer.body["message"]


def test_an_epoch_of_another_broker_means_hello_first(broker):
    client = broker.client()
    assert client.ask(PING).status == OK
    assert client.ask(PING, epoch=client.epoch ^ 1).status == HELLO_FIRST
    assert client.ask(PING).status == OK


def test_hello_may_come_again(broker):
    client = broker.client()
    epoch = client.epoch
    client.hello()
    assert client.epoch == epoch
    assert client.ask(PING).status == OK
    assert broker.status()["peers"]["clients"] == 1


GOOD = {"role": "worker", "session": b"s" * 16, "services": ["ffmpeg"]}


@pytest.mark.parametrize("change, status, field", [
    ({"role": "client"}, INVALID, "role"),
    ({"role": None}, INVALID, "role"),
    ({"role": 5}, INVALID, "role"),
    ({"session": b"short"}, INVALID, "session"),
    ({"session": b"s" * 17}, INVALID, "session"),
    ({"services": []}, INVALID, "services"),
    ({"services": "ffmpeg"}, INVALID, "services"),
    ({"services": ["a"] * 2}, INVALID, "services"),
    ({"services": [f"s{i}" for i in range(17)]}, INVALID, "services"),
    ({"services": ["../x"]}, INVALID, "services"),
    ({"services": ["a" * 33]}, INVALID, "services"),
    ({"services": [7]}, INVALID, "services"),
    ({"name": "n" * 129}, INVALID, "name"),
    ({"extra": "x" * 5000}, TOO_LARGE, "body"),
])
def test_a_wrong_hello_names_the_field(broker, change, status, field):
    worker = broker.stranger("workers")
    answer = worker.ask(HELLO, {**GOOD, **change})
    assert (answer.status, answer.body["field"]) == (status, field)
    assert worker.ask(HELLO, GOOD).status == OK


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\xdd\x0f\xff\xff\xff", b"\x91" * 40 + b"\xc0", b"\x93\x01"])
def test_a_hello_that_is_no_map_is_malformed(broker, body):
    assert broker.stranger("clients").ask(HELLO, body).status == MALFORMED


def test_peers_are_bounded(start):
    broker = start("--broker-peers-max=4")
    clients = [broker.client() for _ in range(4)]
    late = broker.stranger("clients")
    answer = late.ask(HELLO, {"role": "client"})
    assert (answer.status, answer.body["scope"], answer.body["limit"]) == (BUSY, "peers", 4)
    clients[0].send(BYE, request=0)
    eventually(lambda: broker.status()["peers"]["clients"] == 3)
    late.hello()


# ---- forwarding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 29, 33, 34, 1000, 65 * 1024, 1000_000])
def test_bodies_pass_untouched(broker, size):
    state, client = broker.state(), broker.client()
    there, back = secrets.token_bytes(size), secrets.token_bytes(size)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = client.send(SUBMIT, there, service="ffmpeg", priority=2, count=3, trace=trace)
    asked = state.receive()
    assert asked.raw == there
    assert (asked.verb, asked.service, asked.priority, asked.count, asked.trace, asked.epoch) == (
        SUBMIT, "ffmpeg", 2, 3, trace, client.epoch)
    state.reply(asked, back, count=3)
    answer = client.answer_to(request)
    assert (answer.raw, answer.status, answer.count) == (back, OK, 3)


def test_a_refusal_of_the_state_service_passes_too(broker):
    state, client = broker.state(), broker.client()
    request = client.send(GET, {"id": "x"})
    state.reply(state.receive(), {"message": "no such task"}, status=2)
    answer = client.answer_to(request)
    assert (answer.status, answer.body) == (2, {"message": "no such task"})


def test_answers_find_their_request_in_any_order(broker):
    state, one, other = broker.state(), broker.client(), broker.client()
    requests = [(c, c.send(GET, {"n": n})) for n, c in enumerate((one, other, one, other))]
    asked = [state.receive() for _ in requests]
    assert len({a.request for a in asked}) == 4
    for message in reversed(asked):
        state.reply(message, message.raw)
    for n, (client, request) in reversed(list(enumerate(requests))):
        assert client.answer_to(request).body == {"n": n}


@pytest.mark.parametrize("verb", [SUBMIT, GET, WAIT, LIST, CANCEL, NODES, SUBSCRIBE, 17, 18, 19, QUEUES, 33, 34, 35])
def test_a_client_s_verbs_reach_the_state_service(broker, verb):
    state, client = broker.state(), broker.client()
    request = client.send(verb, {"id": "x"})
    asked = state.receive()
    assert asked.verb == verb
    state.reply(asked, {"ok": True})
    assert client.answer_to(request).body == {"ok": True}


@pytest.mark.parametrize("verb", [HEARTBEAT, DONE, RETURN, REGISTER])
def test_a_worker_s_verbs_reach_the_state_service(broker, verb):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.send(verb, {"session": worker.session})
    asked = state.receive()
    assert asked.verb == verb
    state.reply(asked, {"ok": True})
    assert worker.answer_to(request).body == {"ok": True}


@pytest.mark.parametrize("role, verb", [("clients", CLAIM), ("clients", READY), ("clients", ANSWER),
                                        ("clients", 0), ("clients", DRAIN), ("clients", 4000000000),
                                        ("workers", SUBMIT), ("workers", READY), ("states", SUBMIT),
                                        ("status", HELLO), ("status", SUBMIT), ("status", ANSWER)])
def test_a_verb_of_another_role_is_unsupported(broker, role, verb):
    peer = broker.worker("a") if role == "workers" else broker.stranger(role)
    if role in ("clients", "states"):
        peer.hello()
    answer = peer.ask(verb)
    assert (answer.status, answer.body["field"]) == (UNSUPPORTED, "verb")
    assert str(verb) in answer.body["message"]


# ---- state services ---------------------------------------------------------------------------------


def test_without_a_state_service_all_is_unavailable(broker):
    client, worker = broker.client(), broker.worker("ffmpeg")
    for peer, verb in ((client, SUBMIT), (client, WAIT), (worker, HEARTBEAT), (worker, DONE)):
        answer = peer.ask(verb, {})
        assert (answer.status, answer.body["retry_after_ms"]) == (UNAVAILABLE, 1000)
    assert broker.status()["counters"]["unavailable"] == 4


def test_state_services_take_turns(broker):
    one, other, client = broker.state(), broker.state(), broker.client()
    for _ in range(10):
        client.send(GET, {})
    assert [one.receive().verb for _ in range(5)] == [GET] * 5
    assert [other.receive().verb for _ in range(5)] == [GET] * 5
    assert one.silent() and other.silent()


def ask_both(broker, states, client, count=20):
    sent = {client.send(SUBMIT, {"n": n}): n for n in range(count)}
    asked = [[s.receive() for _ in range(count // 2)] for s in states]
    return sent, asked


def collect(client, sent):
    for _ in range(len(sent)):
        answer = client.receive()
        assert answer.status == OK, answer.body
        assert answer.body == {"n": sent.pop(answer.request)}


def test_what_a_dead_state_service_was_asked_goes_to_another(broker):
    one, other, client = broker.state(), broker.state(), broker.client()
    sent, (_, asked) = ask_both(broker, (one, other), client)
    one.close()  # the kernel says so at once, as after kill -9
    for message in asked:
        other.reply(message, message.raw)
    for _ in range(10):
        message = other.receive()
        other.reply(message, message.raw)
    collect(client, sent)
    status = broker.status()
    assert (status["counters"]["resent"], status["requests_in_flight"]) == (10, 0)
    assert status["peers"]["states"] == 1


def test_a_state_service_that_hangs_is_given_up(start):
    broker = start("--heartbeat-ms=100", "--liveness-ms=600")
    other, hung, client = broker.state(), broker.state(), broker.client()
    sent = {client.send(GET, {"n": n}): n for n in range(2)}
    for _ in sent:  # its own, then the one that hung keeps
        message = other.receive()
        other.reply(message, message.raw)
    collect(client, sent)
    late = Message(hung.socket.recv_multipart())
    while hung.socket.poll(0):
        assert Message(hung.socket.recv_multipart()).verb in (PING, GET)
    hung.reply(late)
    said = hung.receive()
    assert (said.request, said.status) == (late.request, HELLO_FIRST)
    assert client.silent()
    hung.hello()
    assert "state_silent" in broker.text()


def test_with_the_last_state_service_gone_requests_are_unavailable(broker):
    state, client = broker.state(), broker.client()
    request = client.send(SUBMIT, {})
    state.receive()
    state.close()
    answer = client.answer_to(request)
    assert answer.status == UNAVAILABLE and answer.body["retry_after_ms"] > 0
    assert broker.status()["requests_in_flight"] == 0


def test_a_state_service_that_says_hello_again_is_asked_again(broker):
    state, client = broker.state(), broker.client()
    request = client.send(GET, {})
    first = state.receive()
    state.hello()
    again = state.receive()
    assert again.raw == first.raw
    state.reply(again)
    assert client.answer_to(request).status == OK


def test_bye_of_a_state_service_hands_its_requests_over(broker):
    one, client = broker.state(), broker.client()
    request = client.send(GET, {})
    one.receive()
    other = broker.state()
    one.send(BYE, request=0)
    message = other.receive()
    other.reply(message)
    assert client.answer_to(request).status == OK


# ---- silence ----------------------------------------------------------------------------------------


def test_silent_peers_are_forgotten(start):
    broker = start("--heartbeat-ms=50", "--liveness-ms=200")
    client, worker = broker.client(), broker.worker("ffmpeg")
    worker.claim()
    eventually(lambda: broker.status()["peers"]["workers"] == 0)
    status = broker.status()
    assert (status["peers"]["clients"], status["claims_parked"], status["queues"]) == (1, 0, [])
    assert worker.ask(HEARTBEAT, {}).status == HELLO_FIRST
    eventually(lambda: broker.status()["peers"]["clients"] == 0)
    assert client.ask(PING).status == HELLO_FIRST
    worker.hello()
    client.hello()


def test_a_broker_that_stood_still_forgets_nobody(start):
    broker = start("--heartbeat-ms=100", "--liveness-ms=400")
    worker = broker.worker("ffmpeg")
    broker.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    broker.process.send_signal(signal.SIGCONT)
    time.sleep(0.15)
    assert worker.ask(PING).status == OK
    assert "stalled" in broker.text()


def test_answers_of_a_former_life_mean_hello_first(start):
    broker = start("--heartbeat-ms=100", "--liveness-ms=60000")
    client = broker.client()
    broker.process.kill()
    broker.process.wait()
    successor = start()
    eventually(lambda: client.socket.poll(0) or not client.socket.poll(100))
    assert client.ask(PING).status == HELLO_FIRST
    client.hello()
    assert client.ask(PING).status == OK
    broker.process = successor.process


# ---- status -----------------------------------------------------------------------------------------


def test_status_by_socket(broker):
    state, client, worker = broker.state(), broker.client(), broker.worker("ffmpeg")
    worker.claim()
    state.empty(worker, "ffmpeg")
    client.send(SUBMIT, b"x" * 100)
    state.receive()
    for status in (broker.status(), client.ask(STATUS).body):
        assert status["peers"] == {"clients": 1, "workers": 1, "states": 1}
        assert (status["requests_in_flight"], status["request_bytes_in_flight"]) in ((1, 100), (2, 100 + 35))
        assert status["pid"] == broker.process.pid and status["epoch"] == client.epoch
        assert status["uptime_ms"] > 0 and status["rss_bytes"] > 1_000_000
        assert status["counters"]["received"] >= 5 and status["counters"]["sent"] >= 5
        (queue,) = status["queues"]
        assert queue["service"] == "ffmpeg" and queue["parked"] + queue["in_flight"] == 1


def test_workers_by_socket(broker):
    worker = broker.worker("ffmpeg", "system")
    worker.claim()
    worker.ask(PING)  # behind the claim: it is parked now
    operator = broker.stranger("status")
    answer = operator.ask(WORKERS)
    (row,) = answer.body
    assert answer.count == 1
    assert row.pop("connected_ms") >= row.pop("silent_ms") >= 0
    assert row.pop("software") == ""
    assert row == {"name": "test", "session": worker.session.hex()[:8], "host": "here", "pid": 7,
                   "services": ["ffmpeg", "system"], "slots": 2, "parked": 1}


def test_queues_by_socket_are_asked_of_the_state_service(broker):
    operator = broker.stranger("status")
    assert operator.ask(QUEUES).status == UNAVAILABLE
    state = broker.state()
    request = operator.send(QUEUES)
    state.reply(state.receive(), [{"service": "ffmpeg"}], count=1)
    assert operator.answer_to(request).body == [{"service": "ffmpeg"}]


def test_memory_does_not_follow_the_traffic(broker):
    state, client = broker.state(), broker.client()

    def traffic(rounds):
        for _ in range(rounds):
            sent = {client.send(SUBMIT, b"x" * 300) for _ in range(100)}
            for _ in range(100):
                message = state.receive()
                state.reply(message, b"y" * 300)
            sent -= {client.receive().request for _ in range(100)}
            assert not sent

    traffic(20)
    before = broker.rss()
    traffic(100)
    assert broker.rss() - before < 5 << 20


# ---- starting and stopping --------------------------------------------------------------------------


def refused(*settings):
    flags = [f"--broker-{role}=ipc://run/{role}" for role in ROLES]
    done = subprocess.run([f"{BIN}/gantry-broker", *flags, *settings], stderr=subprocess.PIPE, text=True,
                          timeout=SECONDS)
    assert done.returncode in (1, 2)
    return done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_open_tcp_is_refused(folder, role):
    text = refused(f"--broker-{role}=tcp://0.0.0.0:17470")
    assert "tcp://0.0.0.0:17470" in text and "broker.insecure" in text


def test_open_tcp_is_bound_when_it_is_said_to_be_insecure(start):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    broker = start(f"--broker-clients=ipc://run/clients,tcp://0.0.0.0:{port}", "--broker-insecure")
    client = broker.stranger("clients")
    client.socket.disconnect("ipc://run/clients")
    client.socket.connect(f"tcp://127.0.0.1:{port}")
    client.hello()


def test_a_path_that_is_too_long_is_a_clear_error(folder):
    assert re.search(r"\d+ bytes.*may have 107", refused("--broker-states=ipc://" + "d/" * 60))


def test_a_second_broker_does_not_rob_the_first(broker):
    assert "another process listens there" in refused()
    assert broker.client().ask(PING).status == OK


def test_it_is_quiet(broker):
    state, client = broker.state(), broker.client()
    request = client.send(GET, {})
    state.reply(state.receive())
    client.answer_to(request)
    (line,) = broker.text().splitlines()
    assert "started" in line and all(f"{role}=ipc://run/{role}" in line for role in ROLES)
