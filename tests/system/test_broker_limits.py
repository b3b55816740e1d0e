"""gantry-broker: its limits, and what junk does to it."""

import socket

import msgpack
import pytest

from broker_house import *  # noqa: F403: the peers, the fixtures and the wire's numbers


# ---- limits and junk --------------------------------------------------------------------------------


def test_requests_are_bounded(start):
    broker = start("--broker-requests-max=16")
    state, client, worker = broker.state(), broker.client(), broker.worker("a")
    requests = [client.send(WAIT, {}) for _ in range(16)]
    asked = [state.receive() for _ in requests]
    answer = client.ask(GET, {})
    body = answer.body
    assert (answer.status, body["scope"], body["limit"], body["current"]) == (BUSY, "requests", 16, 16)
    assert body["retry_after_ms"] == 100
    done = worker.send(DONE, {})  # waiting clients never shut out results
    state.reply(state.receive())
    assert worker.answer_to(done).status == OK
    state.reply(asked[0])
    assert client.answer_to(requests[0]).status == OK
    client.send(GET, {})
    assert state.receive().verb == GET


def test_bytes_of_requests_are_bounded(start):
    broker = start("--broker-request-bytes-max=1048576", "--limits-body-bytes=1048576")
    state, client = broker.state(), broker.client()
    client.send(SUBMIT, b"x" * 700_000)
    state.receive()
    answer = client.ask(SUBMIT, b"x" * 700_000)
    assert (answer.status, answer.body["scope"], answer.body["limit"], answer.body["current"]) == (
        BUSY, "request_bytes", 1048576, 700_000)


def test_an_oversized_body_is_too_large(start):
    broker = start("--limits-body-bytes=2000")
    state, client, worker = broker.state(), broker.client(), broker.worker("a")
    for peer, verb in ((client, SUBMIT), (worker, DONE), (worker, CLAIM)):
        answer = peer.ask(verb, b"x" * 2001, count=1)
        body = answer.body
        assert (answer.status, body["field"], body["limit"], body["current"]) == (TOO_LARGE, "body", 2000, 2001)
    client.send(SUBMIT, b"x" * 2000)
    assert len(state.receive().raw) == 2000


def test_too_many_items_are_too_large(start):
    broker = start("--limits-batch=7")
    state, client = broker.state(), broker.client()
    answer = client.ask(SUBMIT, b"", count=8)
    assert (answer.status, answer.body["field"], answer.body["limit"]) == (TOO_LARGE, "count", 7)
    client.send(SUBMIT, b"", count=7)
    assert state.receive().count == 7


def header_with(**change):
    fields = {"magic": MAGIC, "verb": PING, "request": 1, "epoch": 0, "status": 0, "service": "",
              "priority": 0, "count": 0, "hash": 0, "trace": "", **change}
    return msgpack.packb(list(fields.values()))


@pytest.mark.parametrize("frames", [
    [b""],
    [b"junk", b"junk"],
    [b"", b""],
    [b"\xff" * 255],
    [b"\xdd\x0f\xff\xff\xff", b""],
    [msgpack.packb([MAGIC, PING]), b""],
    [msgpack.packb({"verb": PING}), b""],
    [header_with(magic=0x4702), b""],
    [header_with(verb=-1), b""],
    [header_with(verb="PING"), b""],
    [header_with(request=1.5), b""],
    [header_with(trace="x" * 56), b""],
    [header_with() + b"\x00", b""],
    [header_with(), b"", b""],
    [b"", header_with(), b""],
    [header_with()] + [b"x"] * 1000,
], ids=lambda frames: repr(frames[0][:12]) + str(len(frames)))
@pytest.mark.parametrize("role", ROLES)
def test_junk_is_malformed_and_harms_nobody(broker, role, frames):
    client = broker.client()
    stranger = broker.stranger(role)
    stranger.socket.send_multipart(frames)
    answer = stranger.answer_to(0)
    assert answer.status == MALFORMED
    assert client.ask(PING).status == OK
    assert broker.status()["counters"]["refused_malformed"] == 1


@pytest.mark.parametrize("field, change", [
    ("service", {"service": "x" * 33}), ("service", {"service": "../etc"}), ("priority", {"priority": 3})])
def test_a_queue_that_there_cannot_be_is_refused_by_its_field(broker, field, change):
    stranger = broker.stranger("clients")
    stranger.socket.send_multipart([header_with(verb=SUBMIT, request=77, **change), b""])
    answer = stranger.answer_to(77)
    assert (answer.status, answer.body["field"]) == (INVALID, field)


def test_junk_floods_are_logged_seldom(broker):
    stranger = broker.stranger("clients")
    for _ in range(500):
        stranger.socket.send_multipart([b"junk", b"junk"])
    for _ in range(500):
        assert stranger.receive().status == MALFORMED
    assert broker.text().count("malformed") < 10


def test_a_frame_beyond_all_bounds_costs_the_connection_only(broker):
    client, rude = broker.client(), broker.stranger("clients")
    rude.socket.send_multipart([header_with(), b"x" * (64 * 1024 * 1024 + 1)])
    assert rude.silent()
    assert client.ask(PING).status == OK


def test_half_open_peers_block_nobody(broker):
    client = broker.client()
    halves = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for n, half in enumerate(halves):
        half.connect("run/" + ROLES[n % 4])
        half.send(b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f"[:n % 11])  # a greeting's beginning, or none
    assert client.ask(PING).status == OK
    assert broker.status()["peers"]["clients"] == 1
    for half in halves:
        half.close()


def test_a_peer_that_does_not_read_blocks_nobody(broker):
    deaf, client = broker.client(), broker.client()
    deaf.socket.rcvhwm = 1
    for _ in range(30_000):
        deaf.send(PING)
    for _ in range(10):
        assert client.ask(PING).status == OK


def test_who_missed_an_answer_is_forgotten_and_so_asks_again(broker):
    late, client = broker.client(), broker.client()
    for _ in range(30_000):
        late.send(PING)
    eventually(lambda: broker.status()["counters"]["received"] >= 30_000)
    while late.socket.poll(1000):
        assert Message(late.socket.recv_multipart()).status == OK
    assert late.ask(PING).status == HELLO_FIRST
    assert client.ask(PING).status == OK


def test_who_missed_an_error_is_forgotten_and_so_asks_again(start):
    broker = start("--broker-requests-max=30000", "--broker-window=30000")
    state, client = broker.state(), broker.client()
    for _ in range(40):  # 20000: more than fits between the broker and who does not read
        for _ in range(500):
            client.send(GET, {})
        for _ in range(500):
            state.receive()
    state.close()
    eventually(lambda: broker.status()["requests_in_flight"] == 0)
    told = 0
    while client.socket.poll(500):
        told += Message(client.socket.recv_multipart()).status == UNAVAILABLE
    assert 0 < told < 20_000
    assert client.ask(PING).status == HELLO_FIRST
