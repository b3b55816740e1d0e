"""README's examples, taken out of README.md and run as they stand against `gantry up`."""
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess

import pytest

BIN = pathlib.Path(os.environ.get("GANTRY_BIN", "build/bin")).resolve()
BUILD = pathlib.Path(os.environ.get("GANTRY_BUILD", "build")).resolve()
README = (pathlib.Path(os.environ.get("GANTRY_SOURCE", ".")).resolve() / "README.md").read_text()


def example(language):
    found = re.search(rf"<!-- example: {language} -->\n```{language}\n(.*?)```", README, re.S)
    assert found, f"README.md has no {language} example"
    return found.group(1)


def run(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def system():
    """A whole system in ./gantry-data, which is where README's examples look."""
    shutil.rmtree("gantry-data", ignore_errors=True)  # of an earlier run, of an earlier Gantry
    up = subprocess.Popen([BIN / "gantry", "up", "--http", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        for line in up.stdout:
            if "READY" in line.upper():
                break
        assert up.poll() is None, "gantry up ended by itself"
        yield pathlib.Path("gantry-data/run/http").read_text().strip().removeprefix("http://")
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0


def test_python_example():
    assert re.fullmatch(r"[0-9a-f-]{36} is completed\n", run("/usr/bin/python3", "-c", example("python")))


def test_c_example():
    cache = (BUILD / "CMakeCache.txt").read_text()
    compiler = re.search(r"^CMAKE_C_COMPILER:\w+=(.*)$", cache, re.M).group(1)
    flags = ["-fsanitize=address,undefined"] if "GANTRY_ASAN:BOOL=ON" in cache else []
    run("cmake", "--install", str(BUILD), "--component", "sdk", "--prefix", "prefix")
    pathlib.Path("example.c").write_text(example("c"))
    env = dict(os.environ, PKG_CONFIG_PATH=os.path.abspath("prefix/lib/pkgconfig"))
    libs = shlex.split(run("pkg-config", "--cflags", "--libs", "--static", "gantry", env=env))
    run(compiler, "-Wall", "-Wextra", "-Werror", *flags, "example.c", "-o", "example", *libs)
    assert re.fullmatch(r"[0-9a-f-]{36} is completed\n", run("./example"))


def test_http_example(system):
    """On the port that is free here; the answers to the three lines."""
    lines = example("sh").replace("localhost:8788", system).splitlines()
    submitted, told, offered = (json.loads(run("sh", "-c", line)) for line in lines)
    assert submitted["task_id"] == told["task_id"] == "hello-1", (submitted, told)
    assert submitted["status"] in ("pending", "completed")  # the folder may be an earlier run's
    assert {"ffmpeg", "audio_separator", "system"} <= set(offered["supported_tasks"]), offered


def test_commands():
    """The lines after `gantry up` that need no video."""
    for line in ("submit system.echo value=hello --wait --json", "list", "status", "nodes"):
        assert f"gantry {line}" in README
        assert run(BIN / "gantry", *shlex.split(line))
