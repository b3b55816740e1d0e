"""What leaves the tree: libgantry, which an outside project links by pkg-config and by find_package; programs and their pages."""
import os
import pathlib
import shutil
import subprocess

import pytest

BUILD = os.path.abspath(os.environ.get("GANTRY_BUILD", "build"))

PROGRAM = r"""
#include <gantry.h>
#include <stdio.h>

int clock_ms(void); /* a name that libgantry has for itself, too */
int clock_ms(void) { return 7; }

static void run(gantry_job_t *job, void *arg) { (void)arg; gantry_job_done(job, NULL); }

int main(void)
{
    struct gantry_node node = { .name = "outside.node", .run = run };
    struct gantry_worker_options options = { .brokers = "ipc://none.ipc", .nodes = &node, .nodes_count = 1 };
    gantry_worker_t *worker = gantry_worker_new(&options);
    gantry_client_t *client = gantry_client_new("ipc://none.ipc");
    struct gantry_task task = { .task = "outside.node" };
    struct gantry_receipt receipt;
    int r = gantry_submit(client, &task, 1, &receipt, 50);
    printf("%s %d %d\n", gantry_status_name(r), gantry_worker_run(worker, 50) == GANTRY_TIMEOUT, clock_ms());
    gantry_client_destroy(&client);
    gantry_worker_destroy(&worker);
    return 0;
}
"""

CMAKE = """
cmake_minimum_required(VERSION 3.25)
project(outside C)
find_package(gantry 0.1 REQUIRED)
add_executable(outside outside.c)
target_link_libraries(outside PRIVATE gantry::gantry)
"""


def run(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def sanitizers():
    with open(os.path.join(BUILD, "CMakeCache.txt")) as cache:
        lines = cache.read().splitlines()
    compiler = next(line.split("=", 1)[1] for line in lines if line.startswith("CMAKE_C_COMPILER:"))
    for option, flags in (("GANTRY_ASAN", "-fsanitize=address,undefined"), ("GANTRY_TSAN", "-fsanitize=thread"),
                          ("GANTRY_COVERAGE", "--coverage")):
        if f"{option}:BOOL=ON" in lines:
            return compiler, [flags]
    return compiler, []


@pytest.fixture(scope="module")
def installed():
    folder = os.path.abspath("install")
    run("cmake", "--install", BUILD, "--component", "sdk", "--prefix", folder)
    with open("outside.c", "w") as source:
        source.write(PROGRAM)
    return folder


@pytest.mark.parametrize("static", [[], ["--static"]])
def test_pkg_config(installed, static):
    compiler, flags = sanitizers()
    env = dict(os.environ, PKG_CONFIG_PATH=os.path.join(installed, "lib", "pkgconfig"))
    libs = run("pkg-config", "--cflags", "--libs", *static, "gantry", env=env).split()
    run(compiler, "-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *flags, "outside.c", "-o", "outside", *libs)
    assert run("./outside") == "TIMEOUT 1 7\n"


def test_find_package(installed):
    compiler, flags = sanitizers()
    with open("CMakeLists.txt", "w") as lists:
        lists.write(CMAKE)
    run("cmake", "-S", ".", "-B", "made", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={installed}", f"-DCMAKE_C_COMPILER={compiler}",
        f"-DCMAKE_C_FLAGS={' '.join(flags)}")
    run("cmake", "--build", "made")
    assert run("made/outside") == "TIMEOUT 1 7\n"


def test_programs_pages_and_completions():
    folder = pathlib.Path("programs").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    run("cmake", "--install", BUILD, "--component", "Unspecified", "--prefix", str(folder))
    programs = {"gantry", *(f"gantry-{name}" for name in ("broker", "state", "node", "worker", "exec", "engine", "front"))}
    assert {path.name for path in (folder / "bin").iterdir()} == programs
    assert run(folder / "bin/gantry-front", "--version").startswith("gantry-front ")
    if shutil.which("scdoc"):
        pages = {path.stem for path in (pathlib.Path(os.environ["GANTRY_SOURCE"]) / "docs/man").glob("*.scd")}
        assert {path.name for path in folder.glob("share/man/man*/*")} == pages
    assert (folder / "share/bash-completion/completions/gantry").is_file() and (folder / "share/zsh/site-functions/_gantry").is_file()


def test_nothing_but_its_own_names_is_seen(installed):
    names = [line.split() for line in run("nm", os.path.join(installed, "lib", "libgantry.a")).splitlines()]
    seen = [parts[2] for parts in names if len(parts) == 3 and parts[1] in "TDBRVW"]
    assert len(seen) > 30
    assert [name for name in seen if not name.startswith("gantry_")] == []
