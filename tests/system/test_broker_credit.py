"""gantry-broker: claims, parked and handed out."""

import socket
import time

import msgpack
import pytest

from broker_house import *  # noqa: F403: the peers, the fixtures and the wire's numbers


# ---- credit -----------------------------------------------------------------------------------------


def tasks(*ids):
    return [{"id": i, "task": "ffmpeg.x", "session": b"s" * 16, "token": b"t" * 12} for i in ids]


def test_a_claim_goes_to_the_state_service_as_the_worker_said_it(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim(count=5)
    claim = state.receive()
    assert (claim.verb, claim.service, claim.count) == (CLAIM, "ffmpeg", 5)
    assert claim.body == {"session": worker.session, "seq": 1, "worker": "test"}
    state.reply(claim, tasks("a", "b"), count=2)
    answer = worker.answer_to(request)
    assert (answer.status, answer.count, answer.body) == (OK, 2, tasks("a", "b"))


def test_an_empty_queue_parks_the_claim_until_ready(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    state.empty(worker, "ffmpeg")
    assert broker.status()["claims_parked"] == 1
    state.ready("other")
    state.ready("ffmpeg")
    claim = state.receive()
    while claim.verb == CLAIM and broker.status()["claims_parked"]:  # the one-second look's
        state.reply(claim, status=EMPTY)
        claim = state.receive()
    state.reply(claim, tasks("a"), count=1)
    assert worker.answer_to(request).count == 1
    assert broker.status()["claims_parked"] == 0


def test_outside_pushes_are_found_within_a_second_or_so(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    state.reply(state.receive(), status=EMPTY)
    began = time.monotonic()
    state.reply(state.receive(3), tasks("a"), count=1)
    assert 0.3 < time.monotonic() - began < 2.5
    assert worker.answer_to(request).status == OK


def test_a_claim_is_tried_in_every_queue_of_its_worker(broker):
    state, worker = broker.state(), broker.worker("one", "two", "three")
    worker.claim()
    seen = []
    for _ in range(3):
        claim = state.receive()
        seen.append(claim.service)
        state.reply(claim, status=EMPTY)
    assert sorted(seen) == ["one", "three", "two"]
    state.ready("two")
    assert state.receive().service == "two"


def test_one_ready_hands_out_one_claim_and_tasks_the_next(broker):
    state = broker.state()
    workers = [broker.worker("ffmpeg") for _ in range(3)]
    for worker in workers:
        worker.claim()
        state.reply(state.receive(), status=EMPTY)
    state.ready("ffmpeg")
    for worker in workers:
        claim = state.receive()
        assert claim.body["session"] == worker.session  # who waited longest
        state.reply(claim, tasks("a"), count=1)
        assert worker.receive().count == 1


def test_many_readies_while_a_claim_is_out_cost_one_more(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    for _ in range(3):
        worker.claim()
    claim = state.receive()
    for _ in range(5):
        state.ready("ffmpeg")
    state.reply(claim, status=EMPTY)
    claim = state.receive()
    state.reply(claim, tasks("a"), count=1)  # all it asked for: there may be more
    state.reply(state.receive(), status=EMPTY)
    assert worker.receive().count == 1
    assert worker.silent()


def submit_seen(states):
    """The state service that has the next SUBMIT; the one-second look's claims meet empty queues."""
    for state in states * 200:
        while state.socket.poll(20):
            message = Message(state.socket.recv_multipart())
            if message.verb == SUBMIT:
                return state
            state.reply(message, status=EMPTY if message.verb == CLAIM else OK)
    raise AssertionError("nobody was asked")


def test_tasks_take_a_claim_of_their_idle_queue_along_to_the_same_state_service(broker):
    states = [broker.state(), broker.state()]
    worker, client = broker.worker("ffmpeg"), broker.client()
    worker.claim()
    rode = []
    for _ in range(8):  # the state services take turns
        client.send(SUBMIT, [{}], service="ffmpeg", count=1)
        state = submit_seen(states)
        if state.socket.poll(QUIET_MS):
            claim = state.receive()
            assert (claim.verb, claim.service) == (CLAIM, "ffmpeg")
            state.reply(claim, status=EMPTY)
            rode.append(state)
    assert len(rode) >= 4 and set(rode) == set(states)  # none while the look's claim was out


def test_a_claim_is_accepted_before_any_state_service_is_there(broker):
    worker = broker.worker("ffmpeg")
    worker.claim()
    assert worker.silent()
    assert broker.state().receive().verb == CLAIM


def test_a_claim_is_never_resent(broker):
    one, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    one.receive()
    other = broker.state()
    one.close()
    assert worker.answer_to(request).status == UNAVAILABLE
    assert other.silent()
    worker.claim()
    assert other.receive().body["seq"] == 2


def test_claims_of_a_worker_are_bounded(broker):
    worker = broker.worker("ffmpeg")
    for _ in range(4):
        worker.claim()
    answer = worker.answer_to(worker.claim())
    assert (answer.status, answer.body["scope"], answer.body["limit"]) == (BUSY, "claims", 4)
    assert worker.ask(CLAIM, {}, count=0).status == INVALID


def test_a_refused_claim_is_the_worker_s_to_repeat(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    state.reply(state.receive(), {"retry_after_ms": 500}, status=UNAVAILABLE)
    answer = worker.answer_to(request)
    assert (answer.status, answer.body) == (UNAVAILABLE, {"retry_after_ms": 500})


@pytest.mark.parametrize("leave", ["close", "bye", "hello"])
def test_tasks_for_a_worker_that_is_gone_are_returned(broker, leave):
    state, worker = broker.state(), broker.worker("ffmpeg")
    worker.claim()
    claim = state.receive()
    body = msgpack.packb(tasks("a", "b"))
    if leave == "close":
        worker.close()
        time.sleep(0.2)
    elif leave == "bye":
        worker.send(BYE, {"session": worker.session})
        said = state.receive()
        assert (said.verb, said.body) == (BYE, {"session": worker.session})
        state.reply(said)
    else:
        worker.hello()
    state.reply(claim, body, count=2)
    given = state.receive()
    assert (given.verb, given.raw, given.count, given.service) == (RETURN, body, 2, "ffmpeg")
    state.reply(given, [{"status": 0}] * 2)
    status = broker.status()
    assert (status["counters"]["returned"], status["claims_parked"]) == (1, 0)


def test_tasks_that_come_after_the_claim_was_given_up_are_returned(start):
    broker = start("--heartbeat-ms=100", "--liveness-ms=600")
    hung, worker = broker.state(), broker.worker("ffmpeg")
    request = worker.claim()
    claim = Message(hung.socket.recv_multipart())
    assert claim.verb == CLAIM
    answer = worker.ask(PING)
    while answer.request != request:  # the worker is alive meanwhile
        worker.send(PING)
        time.sleep(0.05)
        answer = worker.receive()
    assert answer.status == UNAVAILABLE
    hung.hello()
    hung.reply(claim, tasks("a"), count=1)
    assert hung.receive().verb == RETURN
    assert broker.status()["counters"]["late"] == 1


def test_an_answer_to_a_former_broker_meets_nobody_s_request(start):
    former = start()
    state, client = former.state(), former.client()
    client.send(GET, b"\x80")
    asked = state.receive()
    former.process.terminate()
    former.process.wait(SECONDS)

    start()
    state.hello()
    client.hello()
    request = client.send(GET, b"\x80")
    asked_now = state.receive()
    assert asked_now.request != asked.request
    state.reply(asked, b"\xa4late")
    state.reply(asked_now, b"\xa5right")
    assert client.answer_to(request).body == "right"


def test_a_bye_is_bounded(broker):
    state, worker = broker.state(), broker.worker("ffmpeg")
    answer = worker.ask(BYE, b"\xc4" * 5000)
    assert (answer.status, answer.body["field"], answer.body["limit"]) == (TOO_LARGE, "body", 4096)
    assert worker.ask(PING).status == OK
    assert state.silent()


def test_parked_claims_go_with_their_worker(broker):
    state, gone, other = broker.state(), broker.worker("ffmpeg"), broker.worker("ffmpeg")
    for worker in (gone, other):
        worker.claim()
        state.reply(state.receive(), status=EMPTY)
    gone.send(BYE, request=0)
    assert state.receive().verb == BYE
    eventually(lambda: broker.status()["claims_parked"] == 1)
    state.ready("ffmpeg")
    assert state.receive().body["session"] == other.session


def test_a_session_on_a_new_connection_replaces_the_old_one(broker):
    worker = broker.worker("ffmpeg")
    worker.claim()
    again = broker.stranger("workers")
    again.hello(session=worker.session, services=["ffmpeg"])
    status = broker.status()
    assert (status["peers"]["workers"], status["claims_parked"]) == (1, 0)
    assert again.ask(PING).status == OK
    assert worker.ask(PING).status == HELLO_FIRST
