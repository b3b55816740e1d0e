"""`gantry up` under strace: which file each of its processes looked for, by name and by what came of it."""
import collections
import os
import pathlib
import re
import shutil
import subprocess
import time

import cli_house

BIN = cli_house.BIN
SYSTEM_TMP = ("/tmp", "/var/tmp")
# LeakSanitizer stops at a ptrace; engines are given no variable of ours, so theirs is set by what stands in their place
NO_LEAKS = "detect_leaks=0"
ENGINE = """#!/bin/sh
export ASAN_OPTIONS={options}
exec {program} "$@"
"""
STRACE = ["strace", "-D", "-ff", "-y", "-s", "4096", "--seccomp-bpf", "-e", "signal=none",
          "-e", "trace=%file,bind,clone,clone3,fork,vfork,fchdir"]
CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<([^>]*)>)?(?: (E\w+))?", re.DOTALL)
CUT = re.compile(r"(\w+)\((.*?)(?: <unfinished \.\.\.>.*)?$", re.DOTALL)
PART = re.compile(r'(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>|(@?)"((?:[^"\\]|\\.)*)"')
PATHS = {"rename": 2, "renameat": 2, "renameat2": 2, "link": 2, "linkat": 2, "symlink": 2, "symlinkat": 2}
CHANGES = {"creat", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2", "link", "linkat", "symlink",
           "symlinkat", "unlink", "unlinkat", "rmdir", "chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat",
           "truncate", "utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr", "removexattr", "lremovexattr", "bind"}
FORKS = {"clone", "clone3", "fork", "vfork"}
WRITES = re.compile(r"\b(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE)\b")

# who: the program; work: the folder that an engine was started in, of it and all that came of it, else None
Touch = collections.namedtuple("Touch", "who work call path writes error line")


def usable():
    """Why no program can be traced here, or None."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run([*STRACE, "-o", "trace-probe", "true"], capture_output=True, text=True)
    for probe in pathlib.Path().glob("trace-probe.*"):
        probe.unlink()
    return None if done.returncode == 0 else f"strace cannot trace here: {done.stderr.strip()}"


def programs(folder):
    """The programs once more, an engine's leak check left out; answers their folder."""
    place = folder / "bin"
    place.mkdir()
    for program in BIN.glob("gantry*"):
        if program.is_file() and program.name != "gantry-engine":
            os.link(program, place / program.name)
    engine = place / "gantry-engine"
    engine.write_text(ENGINE.format(options=NO_LEAKS, program=(BIN / "gantry-engine").resolve()))
    engine.chmod(0o755)
    return place


def environment():
    """A user's: nothing that says where temporary files belong."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TMP", "TEMP", "GANTRY_", "PYTEST", "XDG_"))}
    return {**own, "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:{NO_LEAKS}".lstrip(":")}


def traced(trace, *command):
    """The command line that runs it and writes trace.PID for each of its processes and threads."""
    return [*STRACE, "-o", str(trace), *command]


# ---- reading ----------------------------------------------------------------------------------------

def plain(quoted):
    """A string as strace prints it: octal where it is not ASCII."""
    return quoted.encode("latin-1", "replace").decode("unicode_escape").encode("latin-1", "replace").decode("utf-8", "replace")


class Reader:
    def __init__(self, trace):
        self.trace = pathlib.Path(trace)
        self.left = {int(path.name.rpartition(".")[2]) for path in self.trace.parent.glob(f"{self.trace.name}.*")}
        self.touches = []

    def read(self, home):
        """All of it: the first process began in home. One whose parent was killed before it could be told is by itself."""
        first = min(self.left, default=None)
        assert first is not None, "nothing was traced"
        waiting = [(first, [str(home)], "?", None)]
        while waiting or self.left:
            pid, where, who, work = waiting.pop() if waiting else (min(self.left), ["?"], "?", None)
            if pid in self.left:
                self.left.remove(pid)
                waiting += self.process(pid, where, who, work)
        return self.touches

    def process(self, pid, where, who, work):
        """where: a list of one, the current folder, shared with those who share it."""
        born = []
        with open(f"{self.trace}.{pid}", errors="replace") as lines:
            for line in lines:
                found = CALL.match(line) or CUT.match(line)
                if not found:
                    continue
                call, inside = found.group(1), found.group(2)
                result, opened, error = found.groups()[2:] if found.re is CALL else (None, None, None)
                if call in FORKS:
                    if result and result.isdigit():
                        born.append((int(result), where if "CLONE_FS" in inside else list(where), who, work))
                    continue
                paths = list(self.paths(call, inside, where[0]))
                if error is None and result is not None:
                    where[0] = paths[0] if call in ("chdir", "fchdir") and paths else where[0]
                    if call == "execve":
                        who = os.path.basename(paths[0])
                        work = where[0] if who == "gantry-engine" else work
                if opened and opened.startswith("/"):
                    paths.append(opened)
                writes = call in CHANGES or bool(WRITES.search(inside))
                self.touches += [Touch(who, work, call, path, writes, error, line.strip()) for path in paths]
        return born

    @staticmethod
    def paths(call, inside, where):
        base, wanted, seen = where, PATHS.get(call, 1), 0
        for folder, abstract, name in (part.groups() for part in PART.finditer(inside)):
            if name is None:
                base = folder.removesuffix("(deleted)") if folder.startswith("/") else where
                if call == "fchdir":
                    yield base
                continue
            seen += 1
            if not abstract and not (call.startswith("symlink") and seen == 1) and call != "getcwd":
                yield os.path.normpath(os.path.join(base, plain(name)))
            base = where
            if seen == wanted:
                return


def tracers(trace):
    """Who still writes it: a tracer is nobody's parent, and ends after what it traced."""
    found = []
    for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"strace" and str(trace).encode() in words:
            found.append(line)
    return found


def read(trace, home):
    end = time.monotonic() + 20
    while tracers(trace):
        assert time.monotonic() < end, "the tracer does not come to its end"
        time.sleep(0.02)
    return Reader(trace).read(home)


def beneath(path, *folders):
    return any(path == str(folder) or path.startswith(f"{folder}/") for folder in folders)


# ---- a whole system ---------------------------------------------------------------------------------

class System(cli_house.System):
    """`gantry up` as cli_house has it, traced; its verbs are run by self.run, traced by self.run_traced."""

    def __init__(self, folder, *flags):
        self.bin, self.trace, self.runs = programs(folder), folder / "trace", 0
        self.trace.mkdir()
        super().__init__(folder, *flags, program=traced(self.trace / "up", str(self.bin / "gantry")), env=environment())

    def run_traced(self, *args, **more):
        self.runs += 1
        command = traced(self.trace / f"verb{self.runs}", str(self.bin / "gantry"), *args, "--data", "data")
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=environment(),
                                        timeout=cli_house.SLOW, **more)

    def touches(self):
        """Of all that ran, once it has ended."""
        return [touch for name in ["up", *(f"verb{n + 1}" for n in range(self.runs))]
                for touch in read(self.trace / name, self.folder)]
