"""What was broken once about files, by peers that mean harm and by operators that are tired."""
import contextlib
import ctypes
import os
import subprocess
import threading
import time

import pytest

from state_house import BIN, OK, House, broker  # noqa: F401: a fixture

SWAP_S = 3


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    os.makedirs("in")
    os.makedirs("outside")
    yield house
    house.close()


def a_state(house, **settings):
    state = house.state(**{"storage_local": "storage", "storage_input_roots": os.path.abspath("in"), "storage_root": "share", **settings})
    house.broker.insist("LEDGER", peer=len(house.states) - 1)
    return state


def put(path, text):
    with contextlib.suppress(OSError), open(path, "w") as file:
        file.write(text)


@contextlib.contextmanager
def exchanging(first, second):
    """Two names are exchanged all the time."""
    libc, over = ctypes.CDLL(None), threading.Event()

    def swap():
        while not over.is_set():
            libc.renameat2(-100, first.encode(), -100, second.encode(), 2)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def until_over():
    end = time.monotonic() + SWAP_S
    while time.monotonic() < end:
        yield


def create(broker, path):  # noqa: F811
    return broker.ask("CREATE_TASK", {"temp_file_path": os.path.abspath(path)})


# ---- created tasks


def test_a_folder_that_becomes_a_link_gives_nothing_of_elsewhere(house, broker):  # noqa: F811
    a_state(house)
    os.mkdir("in/folder")
    os.symlink(os.path.abspath("outside"), "in/link")
    put("outside/film", "secret")
    with exchanging("in/folder", "in/link"):
        for _ in until_over():
            for folder in ("in/folder", "in/link"):
                if not os.path.islink(folder):
                    put(f"{folder}/film", "mine")
            answer = create(broker, "in/folder/film")
            assert os.path.exists("outside/film"), answer


def test_a_file_that_becomes_a_link_is_no_video(house, broker):  # noqa: F811
    a_state(house)
    put("outside/film", "secret")
    put("in/film", "mine")
    with exchanging("in/film", "in/link"):
        for _ in until_over():
            with contextlib.suppress(OSError):
                put("in/new", "mine")
                os.rename("in/new", "in/film")
                os.symlink(os.path.abspath("outside/film"), "in/new")
                os.rename("in/new", "in/link")
            answer = create(broker, "in/film")
            place = answer.status == OK and f"storage/videos/{answer.body['task_id']}/original.mp4"
            assert not place or not os.path.islink(place), answer
    for id_ in os.listdir("storage/videos"):
        assert os.listdir(f"storage/videos/{id_}") == ["original.mp4"] and not os.path.islink(f"storage/videos/{id_}/original.mp4")


# ---- settings


@pytest.mark.parametrize("root, local", [("both", "both"), ("share", "share/local"), ("local/videos", "local"), ("link", "there"), ("share/", "./share/../share")])
def test_videos_are_no_tasks_folder(tmp_path, monkeypatch, root, local):
    monkeypatch.chdir(tmp_path)
    os.mkdir("there")
    os.symlink("there", "link")
    done = subprocess.run([os.path.join(BIN, "gantry-state"), "--redis-addr", "none", "--storage-root", root, "--storage-local", local],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "setting=storage.local" in done.stderr and "folder of its own" in done.stderr, done


def test_a_log_lines_value_is_quoted_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([os.path.join(BIN, "gantry-state"), "--redis-addr", "none", "--cleanup-schedule", "every day"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and 'setting=cleanup.schedule why="must be five' in done.stderr and '""' not in done.stderr, done


@pytest.mark.parametrize("missing, there", [("--from", "--to"), ("--to", "--from")])
def test_migrate_says_which_folder_is_missing(tmp_path, monkeypatch, missing, there):
    monkeypatch.chdir(tmp_path)
    os.mkdir("there")
    done = subprocess.run([os.path.join(BIN, "gantry"), "migrate", "single_tasks", missing, "missing", there, "there"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 4 and "missing must be a folder" in done.stderr and "there" not in done.stderr, done
