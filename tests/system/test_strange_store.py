"""gantry-state and a Redis that answers anything: every function replaced by one whose replies have all sorts of shapes.

Whatever comes back, each request gets one answer, and the state service lives on.
"""
import os
import re

import pytest

from state_house import OK, Worker, a_house, broker, input_, node, task  # noqa: F401: fixtures

ECHO = node("system.echo", input_("n", "whole"))
LONGEST = 16
FUNCTIONS = os.path.join(os.environ["GANTRY_SOURCE"], "services", "state", "functions")
KEPT = ("version", "nodes", "register")  # or it would know no node
LIBRARY = """#!lua name=gantry
local SHAPES = { function(i) return -1 end, function(i) return 2 ^ 53 end, function(i) return i end, function(i) return '' end,
  function(i) return 'a/b.c' end, function(i) return string.rep('x', 12) end, function(i) return false end, function(i) return {} end,
  function(i) return { -1, { {} } } end, function(i) return { ok = 'fine' } end, function(i) return i %% 2 == 0 and 'x/y' or -i end,
  function(i) return i == 1 and -1 or i == 2 and 1 or 0 end }
local function strange()
  local shape, n = SHAPES[tonumber(redis.call('GET', 'shape') or 1)], tonumber(redis.call('GET', 'count') or 0)
  if n < 0 then return shape(1) end
  local reply = {}
  for i = 1, n do reply[i] = shape(i) end
  return reply
end
local function version() return %d end
local function nodes() return redis.call('HGETALL', 'nodes') end
local function register() return 0 end
%s
"""
SHAPES = 12

house = a_house(audit_interval_ms=1000)


def library():
    text = "".join(open(os.path.join(FUNCTIONS, name)).read() for name in sorted(os.listdir(FUNCTIONS)) if name.endswith(".lua"))
    names = set(re.findall(r"define\('(\w+)'", text))
    assert len(names) > 30 and set(KEPT) < names
    rows = ["redis.register_function({ function_name = 'gantry_%s', callback = %s, flags = { 'no-writes' } })"
            % (name, name if name in KEPT else "strange") for name in sorted(names)]
    return LIBRARY % (int(re.search(r"VERSION = (\d+)", text)[1]), "\n".join(rows))


def requests(worker):
    hold = {"id": "t", "task": "system.echo", "session": worker.session, "token": b"t" * 12}
    ref = {"id": "t"}
    yield "SUBMIT", [task("t"), task("u", token=2), task("v", token=3, delay_ms=9)], {"service": "system"}
    yield "GET", ref, {}
    yield "CLAIM", {"session": worker.session, "seq": 1, "worker": "w1"}, {"service": "system", "count": 3}
    yield "DONE", [dict(hold, state="completed", worker="w1"), dict(hold, id="u", state="retry", worker="w1")], {}
    yield "RETURN", [hold], {}
    yield "HEARTBEAT", {"session": worker.session, "claim_open": 1, "worker": "w1", "held": [{k: hold[k] for k in ("id", "task", "token")}]}, {}
    yield "WAIT", dict(ref, timeout_ms=1), {}
    yield "SUBSCRIBE", {"since": 0, "id": "t", "timeout_ms": 1}, {}
    yield "LIST", {"limit": 5}, {}
    for verb in ("CANCEL", "WHY", "REPLAY", "PURGE"):
        yield verb, ref, {}
    yield "QUEUES", None, {}
    yield "LEDGER", None, {}
    yield "CRON", {"action": "list"}, {}
    yield "STEER", {"action": "pause", "service": "system"}, {}
    yield "STEER", {"action": "audit"}, {}
    yield "BYE", {"session": worker.session}, {}


@pytest.mark.parametrize("shape", range(1, SHAPES + 1))
def test_answers_of_every_shape(house, broker, shape):
    worker = Worker(broker)
    worker.register(ECHO)
    assert broker.ask("SUBMIT", [task("known")], service="system").status == OK
    client = house.redis.client
    client.set("shape", shape)
    client.execute_command("FUNCTION", "LOAD", "REPLACE", library())
    for count in range(-1, LONGEST):
        client.set("count", count)
        asked = [broker.begin(verb, body, **more) for verb, body, more in requests(worker)]
        for request in asked:
            broker.end(request)
    assert house.states[0].process.poll() is None, house.states[0].lines()[-20:]
