"""What tests of archives share: the probe, trees of files, and zips whose every field can be a lie."""
import ctypes
import os
import struct
import subprocess
import zlib

PROBE = os.path.join(os.environ["GANTRY_BUILD"], "tests", "pack_probe")
LIMITS = (100000, 1 << 40, 1000)  # files, bytes, ratio
PR_CAPBSET_DROP, DAC = 24, (1, 2)


def without_override():
    """Root too may read only what is readable, from its next exec on."""
    libc = ctypes.CDLL(None)
    for capability in DAC:
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def probe(*arguments, **more):
    done = subprocess.run([PROBE, *map(str, arguments)], capture_output=True, text=True, timeout=200,
                          env={"LC_ALL": "C", **more.pop("env", {})}, **more)
    assert done.returncode == 0 and not done.stderr, (done.returncode, done.stdout, done.stderr)
    status, rest = done.stdout.rstrip("\n").split(" ", 1)
    return status, rest


def pack(kind, level, folder, out="-", env=None, **more):
    """(files, original, packed, sha256), or (status, message)."""
    status, rest = probe("pack", kind, level, folder, out, env=env or {}, **more)
    if status != "OK":
        return status, rest
    files, original, packed, sha256 = rest.split()
    return int(files), int(original), int(packed), sha256


def unpack(archive, folder, limits=LIMITS, env=None, **more):
    """(files, bytes), or (status, message); what failed has left nothing."""
    before = tree(folder)
    status, rest = probe("unpack", archive, folder, *limits, env=env or {}, **more)
    if status != "OK":
        assert tree(folder) == before, rest
        return status, rest
    files, original, *_ = rest.split()
    return int(files), int(original)


def tree(folder):
    """What lies beneath: {name: bytes, or None for a folder}."""
    found = {}
    for top, folders, files in os.walk(folder):
        for name in folders:
            found[os.path.relpath(os.path.join(top, name), folder)] = None
        for name in files:
            path = os.path.join(top, name)
            if os.path.islink(path):
                found[os.path.relpath(path, folder)] = os.readlink(path)
                continue
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def plant(folder, files):
    """Makes what tree() tells."""
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(path if content is None else os.path.dirname(path), exist_ok=True)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)


def deflate(content, level=6):
    squeeze = zlib.compressobj(level, zlib.DEFLATED, -15)
    return squeeze.compress(content) + squeeze.flush()


class Zip:
    """A zip made by hand. add() answers where the member lies; end() the bytes."""

    def __init__(self):
        self.body, self.directory, self.count = b"", b"", 0

    def add(self, name, content=b"", method=8, mode=0o100644, **lies):
        """Lies: packed, size, crc, flags, local_name, local_method, offset, version, extra, data."""
        name = name.encode() if isinstance(name, str) else name
        data = lies.get("data", deflate(content) if method == 8 else content)
        crc, packed, size = lies.get("crc", zlib.crc32(content)), lies.get("packed", len(data)), lies.get("size", len(content))
        flags, extra = lies.get("flags", 0x800), lies.get("extra", b"")
        local, at = lies.get("local_name", name), lies.get("offset", len(self.body))
        if "offset" not in lies:
            self.body += struct.pack("<4s5H3I2H", b"PK\3\4", 20, flags, lies.get("local_method", method), 0, 0x21, crc,
                                     packed & 0xffffffff, size & 0xffffffff, len(local), 0) + local + data
        self.directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", lies.get("version", 3 << 8 | 20), 20, flags, method, 0, 0x21, crc,
                                      packed, size, len(name), len(extra), 0, 0, 0, mode << 16, at) + name + extra
        self.count += 1
        return at

    def end(self, **lies):
        """Lies: count, size, begin, disk, comment."""
        count, comment = lies.get("count", self.count), lies.get("comment", b"")
        return self.body + self.directory + struct.pack(
            "<4s4H2IH", b"PK\5\6", lies.get("disk", 0), 0, count, count, lies.get("size", len(self.directory)),
            lies.get("begin", len(self.body)), len(comment)) + comment
