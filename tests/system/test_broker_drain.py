"""gantry-broker: it drains on an operator's word, and nobody asks it too much at once."""

import pytest

from broker_house import *  # noqa: F403: the peers, the fixtures and the wire's numbers


def operator_says(broker, on):
    operator = broker.stranger("status")
    answer = operator.ask(DRAIN, {"on": on})
    operator.close()
    return answer


def sent_away(peer):
    word = peer.receive()
    return (word.verb, word.request, word.status) == (ANSWER, 0, HELLO_FIRST)


def test_draining_sends_idle_peers_away_and_takes_no_new_ones(broker):
    state, client, worker = broker.state(), broker.client(), broker.worker("ffmpeg")
    worker.claim()
    state.empty(worker, "ffmpeg")
    assert operator_says(broker, True).status == OK
    assert sent_away(client) and sent_away(worker)
    assert broker.status()["draining"] is True
    assert broker.status()["peers"] == {"clients": 0, "workers": 0, "states": 1}
    for role, more in (("clients", {}), ("workers", {"session": worker.session, "services": ["ffmpeg"]})):
        refused = broker.stranger(role).ask(HELLO, {"role": role[:-1], **more}, epoch=0)
        assert refused.status == UNAVAILABLE and "draining" in refused.body["message"]
    broker.state()  # these still come


def test_what_is_under_way_is_answered_before(broker):
    state, client = broker.state(), broker.client()
    request = client.send(SUBMIT, [{}], count=1, service="ffmpeg")
    asked = state.receive()
    assert operator_says(broker, True).status == OK
    assert client.silent()
    state.reply(asked, [{"status": 0}], count=1)
    assert client.answer_to(request).status == OK
    assert sent_away(client)


@pytest.mark.parametrize("verb", [WAIT, SUBSCRIBE])
def test_who_only_waits_is_sent_away(broker, verb):
    state, client = broker.state(), broker.client()
    client.send(verb, {"id": "x"})
    state.receive()
    assert operator_says(broker, True).status == OK
    assert sent_away(client)


def test_who_never_rests_is_cut_off_after_a_while(broker):
    broker.state()
    client = broker.client()
    client.send(GET, {"id": "x"})  # never answered
    assert operator_says(broker, True).status == OK
    assert sent_away(client)


def test_it_is_reversible(broker):
    broker.state()
    operator_says(broker, True)
    assert operator_says(broker, False).status == OK
    assert broker.status()["draining"] is False
    broker.client()
    broker.worker("ffmpeg")


@pytest.mark.parametrize("body, status", [(b"", MALFORMED), ({"on": "yes"}, INVALID), (b"\xc1", MALFORMED)])
def test_a_wrong_word_changes_nothing(broker, body, status):
    operator = broker.stranger("status")
    assert operator.ask(DRAIN, body).status == status
    assert broker.status()["draining"] is False


@pytest.mark.parametrize("role", ["clients", "workers", "states"])
def test_only_operators_drain(broker, role):
    peer = {"clients": broker.client, "workers": lambda: broker.worker("ffmpeg"), "states": broker.state}[role]()
    assert peer.ask(DRAIN, {"on": True}).status == UNSUPPORTED


def test_the_window_of_a_client(start):
    broker = start("--heartbeat-ms=200", "--liveness-ms=60000", "--broker-window=2")
    state = broker.state()
    client, other = broker.stranger("clients"), broker.client()
    assert client.hello()["window"] == 2
    first = client.send(GET, {"id": "a"})
    client.send(GET, {"id": "b"})
    asked = state.receive()
    state.receive()
    refused = client.ask(GET, {"id": "c"})
    assert refused.status == BUSY
    assert (refused.body["scope"], refused.body["limit"], refused.body["current"]) == ("window", 2, 2)
    assert refused.body["retry_after_ms"] > 0
    client.send(WAIT, {"id": "a"})  # who waits takes no place
    assert state.receive().verb == WAIT
    other.send(GET, {"id": "a"})  # another one has a window of its own
    assert state.receive().verb == GET
    state.reply(asked, {})
    assert client.answer_to(first).status == OK
    client.send(GET, {"id": "d"})
    assert state.receive().verb == GET


def test_workers_have_no_window(start):
    broker = start("--heartbeat-ms=200", "--liveness-ms=60000", "--broker-window=1")
    state, worker = broker.state(), broker.worker("ffmpeg")
    for _ in range(3):
        worker.send(HEARTBEAT, {"session": worker.session, "claim_open": 1})
        assert state.receive().verb == HEARTBEAT
