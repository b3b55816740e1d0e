"""The quickstart of the single-task API as a person runs it."""
import json
import os
import pathlib
import subprocess

SCRIPT = pathlib.Path(os.environ["GANTRY_SOURCE"]) / "tests" / "system" / "quickstart_http"


def test_it_prints_the_four_answers_and_ends_well(tmp_path):
    done = subprocess.run([SCRIPT, "--folder", tmp_path], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    answers = [line["answer"] for line in said if "answer" in line]
    assert [answer["status"] for answer in answers] == ["pending", "completed", "pending", "completed"]
    assert [answer["reuse_info"]["reuse_hit"] for answer in answers] == [False, True, False, True]
    assert len({answer["task_id"] for answer in answers}) == 1
    assert len([line for line in said if "callback" in line]) == 4


def test_it_can_be_asked_what_it_does():
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "ffmpeg.extract_audio" in done.stdout
