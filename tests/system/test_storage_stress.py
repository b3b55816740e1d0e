"""Folders under many hands: 64 tasks come, run, are forgotten by force and come again under the same ids, by several clients at
once, while clean-up passes run and the disk is measured. At the end each living task has exactly what is its own."""
import os
import random
import subprocess
import threading
import time
import traceback

import pytest

from harness import BUSY, CONFLICT, NOT_FOUND, OK, UNAVAILABLE, System, until

AUDIO, ECHO, CLEANUP = "ffmpeg.extract_audio", "system.echo", "system.cleanup"
CLIENTS, IDS, ROUNDS, SOUNDS = 4, 16, 2, 4
# names that are each other's beginnings: who removes by them removes too much
NAMES = ["s", "s1", "s10", "s1.x", "s1-tmp", "s.1", "s1_", "S1"]
WATCH = {"storage_low_bytes": 0, "storage_high_bytes": 0}
LEAST_MS = 1500  # as old as anything is that clean-up takes: longer than a submit's way to its first file


class Town(System):
    def process(self, name, program, **settings):
        return super().process(name, program, **{**settings, **(WATCH if program == "gantry-state" else {})})


@pytest.fixture(scope="module")
def town():
    with Town("stress", workers=2, worker_slots=3, worker_services="ffmpeg,system", cleanup_schedule="") as system:
        for n in range(SOUNDS):
            subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", f"sine=frequency=440:duration={n + 1}",
                            f"{system.folder}/in/sound{n}.wav"], check=True)
        client = system.client()
        client.ready(AUDIO, ECHO)
        stages = [client.run(f"first{n}", AUDIO, video_path=f"{system.folder}/in/sound{n}.wav") for n in range(SOUNDS)]
        system.sizes = [os.path.getsize(stage["output"]["audio_path"]) for stage in stages]
        assert len(set(system.sizes)) == SOUNDS
        for n in range(SOUNDS):
            client.ask("FORGET", {"id": f"first{n}"})
        yield system


def tree(folder):
    return {os.path.relpath(os.path.join(where, name), folder): os.path.getsize(os.path.join(where, name))
            for where, _, files in os.walk(folder) for name in files}


class Owner(threading.Thread):
    """Of some ids: nobody else submits or forgets them, so what they must have is known."""

    def __init__(self, town, number):
        super().__init__()
        self.town, self.random, self.client = town, random.Random(number), town.client()
        self.ids = [f"{name}-{number}" if n >= len(NAMES) or number else name for n, name in enumerate(NAMES)]
        self.ids += [f"t{number}.{n}" for n in range(IDS - len(NAMES))]
        self.living = {}  # id: the files it must have, or None once it is forgotten
        self.failure = None
        self.start()

    def run(self):
        try:
            for _ in range(ROUNDS):
                self.random.shuffle(self.ids)
                for at in range(0, IDS, 4):
                    self.turn(self.ids[at:at + 4])
        except BaseException:
            self.failure = traceback.format_exc()

    def turn(self, ids):
        """A few at once: submitted, some forgotten in the middle and submitted anew, waited for, some forgotten for good."""
        chosen = {id_: self.submit(id_) for id_ in ids}
        time.sleep(self.random.random() * 0.4)
        for id_ in ids:
            if self.random.random() < 0.5:
                self.forget(id_, force=True)
                chosen[id_] = self.submit(id_)
        for id_ in ids:
            self.finish(id_, chosen[id_])
        for id_ in ids:
            if self.random.random() < 0.3:
                self.forget(id_, force=self.random.random() < 0.5)

    def submit(self, id_):
        sound = self.random.randrange(SOUNDS)
        self.client.submit({**self.client.task(id_, AUDIO, video_path=f"{self.town.folder}/in/sound{sound}.wav"), "reuse": "never"})
        if self.random.random() < 0.3:
            self.client.submit(self.client.task(id_, ECHO, value=id_))
        return sound

    def finish(self, id_, sound):
        stage = self.client.wait((id_, AUDIO), seconds=60)[0]["stages"][AUDIO]
        assert stage["state"] == "completed", (id_, stage)
        kept = self.living.get(id_) or {}
        self.living[id_] = {**kept, f"audio/sound{sound}.wav": self.town.sizes[sound]}
        self.look(id_)

    def look(self, id_):
        home = f"{self.town.folder}/share/{id_}"
        found = tree(home)
        assert found == self.living[id_], (id_, found, self.living[id_])

    def forget(self, id_, force):
        answer = self.client.ask("FORGET", {"id": id_, "force": force})
        while answer.status in (CONFLICT, UNAVAILABLE, BUSY):  # its echo may not have ended
            assert answer.status != CONFLICT or not force, answer
            time.sleep(0.05)
            answer = self.client.ask("FORGET", {"id": id_, "force": force})
        assert answer.status == OK and answer.body["status"] == "success", (id_, answer)
        self.living[id_] = None


class Busybody(threading.Thread):
    """Asks one thing again and again until it is told to stop."""

    def __init__(self, town, what):
        super().__init__()
        self.client, self.what, self.over, self.done, self.failure = town.client(), what, False, 0, None
        self.start()

    def run(self):
        try:
            while not self.over:
                self.what(self.client)
                self.done += 1
        except BaseException:
            self.failure = traceback.format_exc()

    def stop(self):
        self.over = True
        self.join()
        return self.done


def measure(client):
    answer = client.ask("DISK", {"measure": True, "limit": 100})
    assert answer.status == OK, answer
    assert answer.body.get("folders", 0) <= CLIENTS * IDS + 2, answer.body


def clean(client, **more):
    """A whole pass, as the schedule would begin it. Nothing is old enough to expire."""
    stage = client.run("cleaner", CLEANUP, **{"grace_ms": LEAST_MS, "tmp_ms": LEAST_MS, **more})
    assert stage["state"] == "completed", stage
    assert stage["output"]["expired"]["found"] == 0, stage
    assert not any(step["failed"] for step in stage["output"].values() if isinstance(step, dict)), stage
    assert client.ask("FORGET", {"id": "cleaner"}).status == OK
    return stage["output"]


def test_nobody_loses_what_is_his(town):
    town.client().ready(CLEANUP)
    others = [Busybody(town, measure), Busybody(town, clean), Busybody(town, lambda client: client.ask("TASKS", {}))]
    owners = [Owner(town, number) for number in range(CLIENTS)]
    for owner in owners:
        owner.join()
    turns = [other.stop() for other in others]
    failures = [one.failure for one in (*owners, *others) if one.failure]
    assert not failures, "\n".join(failures)
    assert all(turns), turns

    time.sleep(LEAST_MS / 1000)
    client, share = town.client(), f"{town.folder}/share"
    clean(client, many=True)
    for owner in owners:
        for id_, files in owner.living.items():
            answer = client.ask("GET", {"id": id_})
            if files is None:
                assert answer.status == NOT_FOUND and not os.path.exists(f"{share}/{id_}"), (id_, answer)
                continue
            owner.look(id_)
            assert answer.status == OK and os.listdir(f"{share}/{id_}/tmp") == [], id_
            output = answer.body["stages"][AUDIO]["output"]["audio_path"]
            assert os.path.relpath(output, f"{share}/{id_}") in files
    living = {id_ for owner in owners for id_, files in owner.living.items() if files}
    assert {name for name in os.listdir(share) if not name.startswith(".")} == living
    assert os.listdir(f"{share}/.trash") == []
    until(lambda: town.balance()["running"] == 0)
    said = "".join(open(process.log).read() for process in town.workers + town.states)
    assert " error " not in said and "folder_left" not in said and "machine_trouble" not in said, said
