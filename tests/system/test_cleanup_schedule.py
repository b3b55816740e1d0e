"""The schedule of clean-up: every state service sees to it when it starts; what an operator added to it stays."""
import subprocess

import pytest

from state_house import BIN, OK, House, until

USUAL = "17 * * * *"


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.close()


def schedules(house):
    answer = house.broker.insist("CRON", {"action": "list"}, peer=-1)
    assert answer.status == OK, answer
    return {plan["name"]: plan for plan in answer.body}


def begun(house, **more):
    """A further state service, and what it has read of the schedules."""
    state = house.state(**more)
    until(lambda: any("store_ready" in line for line in state.lines()))
    return state


def test_it_is_set_once_and_followed(house):
    begun(house, cleanup_schedule=USUAL)
    until(lambda: "cleanup" in schedules(house))
    plan = schedules(house)["cleanup"]
    assert (plan["schedule"], plan["task"], plan.get("zone", "")) == (USUAL, "system.cleanup", "") and plan["next_ms"] > 0
    second = begun(house, cleanup_schedule=USUAL)
    third = begun(house, cleanup_schedule="3 4 * * *")
    until(lambda: schedules(house)["cleanup"]["schedule"] == "3 4 * * *")
    begun(house, cleanup_schedule="")
    house.broker.pump(0.3)
    assert schedules(house)["cleanup"]["schedule"] == "3 4 * * *" and len(schedules(house)) == 1
    assert not any("cleanup_scheduled" in line for line in second.lines())
    assert any("cleanup_scheduled" in line for line in third.lines())


def test_an_operators_inputs_stay(house):
    begun(house)
    worker = {"session": b"x" * 16, "nodes": [{"name": "system.cleanup", "inputs": [{"name": "dry_run", "type": "switch"}]}]}
    assert house.broker.insist("REGISTER", worker).status == OK
    answer = house.broker.ask("CRON", {"action": "set", "name": "cleanup", "schedule": USUAL, "task": "system.cleanup", "input": {"dry_run": True}})
    assert answer.status == OK, answer
    begun(house, cleanup_schedule=USUAL)
    house.broker.pump(0.3)
    assert schedules(house)["cleanup"]["input"] == {"dry_run": True}
    begun(house, cleanup_schedule="3 4 * * *")  # only when it runs is another
    until(lambda: schedules(house)["cleanup"]["schedule"] == "3 4 * * *")
    assert schedules(house)["cleanup"]["input"] == {"dry_run": True}


def test_none_is_none(house):
    begun(house, cleanup_schedule="")
    house.broker.pump(0.3)
    assert schedules(house) == {}


@pytest.mark.parametrize("schedule", ["every day", "61 * * * *", "0 0 31 2 *"])
def test_what_is_no_schedule_ends_the_start(tmp_path, schedule):
    ran = subprocess.run([BIN + "/gantry-state", "--state-brokers", "ipc://nobody", "--redis-addr", "nowhere", "--cleanup-schedule", schedule],
                         cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert ran.returncode not in (0, -6, -11) and "setting=cleanup.schedule" in ran.stderr, ran.stderr
