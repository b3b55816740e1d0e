"""Real videos through the whole system: what comes out, what a broken one leaves, and that no ffmpeg outlives its right."""
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from harness import System, processes_in, until

AUDIO, KEYFRAMES, CROP = "ffmpeg.extract_audio", "ffmpeg.extract_keyframes", "ffmpeg.crop_subtitle_images"
WORDS = "Gantry hands a real video to a real engine, and waits for every word of it."
LEASE_MS, GRACE_MS = 2000, 500


def ffmpeg(*args):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *args], check=True)


def speech(path):
    if shutil.which("espeak-ng"):
        subprocess.run(["espeak-ng", "-w", path, WORDS], check=True)
    else:
        ffmpeg("-f", "lavfi", "-i", f"flite=text='{WORDS}'", path)


@pytest.fixture(scope="module")
def town():
    with System("media", workers=2, worker_slots=1, worker_services="ffmpeg", lease_ms=LEASE_MS, worker_grace_ms=GRACE_MS) as system:
        folder = system.folder + "/in/"
        speech(folder + "speech.wav")
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4", "-i", folder + "speech.wav", "-af", "apad", "-t", "4",
               "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", folder + "talk.mp4")
        # every picture of it is written as a file: some seconds of work for one ffmpeg
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=35", "-c:v", "libx264", "-preset", "ultrafast", "-g", "250",
               folder + "long.mkv")
        whole = open(folder + "talk.mp4", "rb").read()
        open(folder + "corrupt.mp4", "wb").write(whole[:40] + os.urandom(5000))
        open(folder + "cut.mp4", "wb").write(whole[:len(whole) // 2])
        client = system.client()
        client.ready(AUDIO, KEYFRAMES, CROP)
        yield system, client, folder


def engines(system):
    return [pid for pid, line in processes_in(system.folder).items()
            if os.path.basename(line.split(" ")[0]) in ("gantry-exec", "gantry-engine", "ffmpeg", "ffprobe")]


def left_over(system):
    """What attempts have left behind in their folders."""
    return [f"{where}/{name}" for where, folders, files in os.walk(system.folder + "/share")
            if "/tmp" in where for name in folders + files]


def clean(system):
    until(lambda: not engines(system), 10)
    until(lambda: not left_over(system), 5)
    system.settle()
    system.check()


def long_task(client, folder, id_):
    client.submit(client.task(id_, CROP, video_path=folder + "long.mkv", subtitle_area=[0, 0, 1280, 720]))
    until(lambda: client.stage(id_, CROP).get("progress", 0) > 0.02, 20)
    return client.stage(id_, CROP)


def test_sound_of_a_real_video(town):
    system, client, folder = town
    video = folder + "talk.mp4"
    client.submit(client.task("talk", AUDIO, video_path=video), client.task("talk", KEYFRAMES, video_path=video, keyframe_sample_count=5))
    record = client.wait(("talk", ""))[0]
    assert record["status"] == "completed", record
    home = record["storage_path"]
    output = record["stages"][AUDIO]["output"]
    assert output == {"audio_path": home + "/audio/talk.wav"}
    told = json.loads(subprocess.run(["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", output["audio_path"]],
                                     check=True, capture_output=True).stdout)
    stream, = told["streams"]
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == ("pcm_s16le", "16000", 1), stream
    assert 3.5 < float(told["format"]["duration"]) < 4.5
    level = subprocess.run(["ffmpeg", "-nostdin", "-i", output["audio_path"], "-af", "volumedetect", "-f", "null", "-"],
                           capture_output=True, text=True).stderr
    assert float(re.search(r"max_volume: (\S+) dB", level).group(1)) > -30  # somebody speaks
    output = record["stages"][KEYFRAMES]["output"]
    assert len(os.listdir(output["keyframe_dir"])) == output["keyframe_files_count"] == 5
    assert record["stages"][AUDIO]["usage"]["wall_ms"] > 0
    assert client.submit(client.task("talk", AUDIO, video_path=video))[0]["reuse"] == "hit"
    clean(system)


def test_a_corrupt_video_fails_with_the_engine_s_last_words(town):
    system, client, folder = town
    client.submit(client.task("bad", AUDIO, video_path=folder + "corrupt.mp4"), client.task("good", AUDIO, video_path=folder + "talk.mp4"),
                  client.task("half", AUDIO, video_path=folder + "cut.mp4"))
    bad, good, half = (record["stages"][AUDIO] for record in client.wait(*((id_, AUDIO) for id_ in ("bad", "good", "half"))))
    assert (good["state"], good["attempt"]) == ("completed", 1), good
    for stage in (bad, half):
        error = stage["error"]
        assert (stage["state"], stage["failures"], error["code"], error["field"]) == ("failed", 1, "FAILED", "video_path"), stage
        assert "moov atom not found" in error["message"] + error.get("stderr", ""), error
        assert "crashes" not in stage, stage
    assert not os.path.exists(f"{system.folder}/share/bad/audio")
    clean(system)


def test_a_cancelled_transcode_leaves_nothing(town):
    system, client, folder = town
    stage = long_task(client, folder, "cancelled")
    assert len(engines(system)) >= 3  # launcher, engine, ffmpeg
    begin = time.monotonic()
    answer = client.insist("CANCEL", {"id": "cancelled", "task": CROP})
    assert answer.status == 0 and answer.body["stages"][CROP]["state"] in ("cancelling", "cancelled"), answer
    after = client.wait(("cancelled", CROP))[0]["stages"][CROP]
    assert (after["state"], after["attempt"]) == ("cancelled", stage["attempt"]), after
    assert time.monotonic() - begin < 3
    assert not engines(system), processes_in(system.folder)
    assert not os.path.exists(f"{system.folder}/share/cancelled/cropped_images")
    clean(system)


def test_a_stopped_worker_keeps_no_ffmpeg(town):
    """Its lease ends while it cannot act: the launcher alone ends the work, then somebody else does it, and it comes too late."""
    system, client, folder = town
    first = long_task(client, folder, "stopped")
    stopped = next(worker for worker in system.workers if worker.name == first["worker"])
    mine = engines(system)
    stopped.freeze()
    begin = time.monotonic()
    until(lambda: not set(mine) & set(engines(system)), 10)
    died_ms = time.time() * 1000
    assert time.monotonic() - begin < (LEASE_MS + GRACE_MS) / 1000
    until(lambda: client.stage("stopped", CROP).get("worker") not in (None, stopped.name), 15)
    running = client.stage("stopped", CROP)
    assert (running["attempt"], running["crashes"]) == (first["attempt"] + 1, 1), running
    assert running["started_ms"] > died_ms - 50, (running, died_ms)  # never side by side
    stopped.thaw()
    last = client.wait(("stopped", CROP), seconds=60)[0]["stages"][CROP]
    assert (last["state"], last["worker"], last["attempt"]) == ("completed", running["worker"], running["attempt"]), last
    frames = last["output"]["cropped_images_path"]
    assert len(os.listdir(frames + "/frames" if os.path.isdir(frames + "/frames") else frames)) >= last["output"]["cropped_images_files_count"]
    time.sleep(1)  # whatever the late one may still say
    assert client.stage("stopped", CROP) == last
    assert client.run("later", AUDIO, video_path=folder + "talk.mp4")["state"] == "completed"
    clean(system)


def test_a_killed_worker_takes_its_ffmpeg_along(town):
    system, client, folder = town
    first = long_task(client, folder, "killed")
    worker = next(worker for worker in system.workers if worker.name == first["worker"])
    mine = set(engines(system))
    worker.kill()
    until(lambda: not mine & set(engines(system)), 2)
    worker.start()
    last = client.wait(("killed", CROP), seconds=60)[0]["stages"][CROP]
    assert (last["state"], last["crashes"]) == ("completed", 1), last
    system.settle()
    assert all(f"/killed/tmp/{CROP}.{first['attempt']}" in path for path in left_over(system))  # clean-up sweeps it later
