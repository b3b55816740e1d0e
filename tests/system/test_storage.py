"""The tour of the object store as a person runs it."""
import os
import pathlib
import subprocess

SCRIPT = pathlib.Path(os.environ["GANTRY_SOURCE"]) / "tests" / "system" / "storage"


def test_it_shows_sha256_both_ways_and_ends_well(tmp_path):
    done = subprocess.run([SCRIPT, "--folder", tmp_path], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    assert said.count("uploaded") == said.count("downloaded") == 2
    assert done.stdout.splitlines()[-1] == "sha256 is the same both ways"


def test_it_can_be_asked_what_it_does():
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "storage.upload_directory" in done.stdout
