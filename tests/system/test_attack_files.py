"""What was broken once about files, by peers that mean harm and by operators that are tired."""
import contextlib
import ctypes
import json
import os
import subprocess
import threading
import time

import pytest

from front_house import start  # noqa: F401: a fixture
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
    assert done.returncode == 2 and "setting=storage.local" in done.stderr and "folder of its own" in done.stderr, done


@pytest.mark.parametrize("program", ["gantry-state", "gantry-worker"])
@pytest.mark.parametrize("word, wrong", [("secret_key", {"objects-secret-key": ""}), ("bucket", {"objects-bucket": "Upper"}),
                                         ("http://host", {"objects-endpoint": "127.0.0.1:1"}), ("http://host", {"objects-endpoint": "http://127.0.0.1:1/path"})])
def test_a_store_that_cannot_be_is_told_at_the_start(tmp_path, monkeypatch, program, word, wrong):
    monkeypatch.chdir(tmp_path)
    store = {"objects-endpoint": "http://127.0.0.1:1", "objects-access-key": "a", "objects-secret-key": "hushed", **wrong}
    done = subprocess.run([os.path.join(BIN, program), *(f"--{name}={value}" for name, value in store.items())],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "start_failed" in done.stderr and word in done.stderr and "hushed" not in done.stderr, done


def test_a_log_lines_value_is_quoted_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([os.path.join(BIN, "gantry-state"), "--redis-addr", "none", "--cleanup-schedule", "every day"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and 'setting=cleanup.schedule why="must be five' in done.stderr and '""' not in done.stderr, done


@pytest.mark.parametrize("missing, there", [("--from", "--to"), ("--to", "--from")])
def test_migrate_says_which_folder_is_missing(tmp_path, monkeypatch, missing, there):
    monkeypatch.chdir(tmp_path)
    os.mkdir("there")
    done = subprocess.run([os.path.join(BIN, "gantry"), "migrate", "single_tasks", missing, "missing", there, "there"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 4 and "missing must be a folder" in done.stderr and "there" not in done.stderr, done


# ---- uploads over HTTP: what others put on the shared disk


def forge(id_, **more):
    """A task's folder that passes for an upload."""
    os.makedirs(f"share/{id_}")
    state = {"file_path": "a", "bucket": "gantry", "content_type": "x/y", "size": 5, "resumable": True, "submitted": False, **more}
    put(f"share/{id_}/upload.json", json.dumps(state))
    return f"share/{id_}"


TUS = b"Tus-Resumable: 1.0.0\r\n"


def patch(front, id_):
    headers = TUS + b"Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
    return front.ask("PATCH", f"/v1/files/uploads/{id_}", headers, b"abcde").status


@pytest.fixture
def front(start):  # noqa: F811
    return start(storage_root=os.path.abspath("share"), objects_endpoint="http://127.0.0.1:1", objects_access_key="a", objects_secret_key="b",
                 storage_low_bytes=0)


def test_an_upload_writes_through_no_link(front):
    os.mkdir("elsewhere")
    put("elsewhere/upload.data", "")
    os.symlink(os.path.abspath("elsewhere"), forge("linked") + "/tmp")
    assert patch(front, "linked") == 500
    assert os.listdir("elsewhere") == ["upload.data"] and os.path.getsize("elsewhere/upload.data") == 0


def test_a_pipe_is_no_upload_and_is_not_waited_for(front):
    os.mkdir(forge("data") + "/tmp")
    os.mkfifo("share/data/tmp/upload.data")
    os.makedirs("share/state/tmp")
    os.mkfifo("share/state/upload.json")
    for _ in range(20):  # more than there are threads
        for id_ in ("data", "state"):
            assert front.ask("HEAD", f"/v1/files/uploads/{id_}", TUS).status == 500
            assert patch(front, id_) == 500
    assert front.ask("GET", "/v1/files/uploads/none").status == 404


def test_an_uploads_state_says_what_could_have_been_asked_for(front):
    for n, wrong in enumerate(({"file_path": "../../x"}, {"file_path": ""}, {"size": 0}, {"size": -1})):
        os.mkdir(forge(f"wrong{n}", **wrong) + "/tmp")
        put(f"share/wrong{n}/tmp/upload.data", "")
        assert patch(front, f"wrong{n}") == 500
