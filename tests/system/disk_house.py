"""Disks of a test's own: small ones, and ones that are another file system than the rest."""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNS = 0x20000
apart = None  # None: not asked yet; "": in a mount namespace of our own; else why not


def why_not():
    """"" once this process, and whatever it starts from now on, mounts for itself alone; else why it cannot."""
    global apart
    if apart is None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0:
            apart = f"no mount namespace of its own: {os.strerror(ctypes.get_errno())}"
        else:
            done = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, text=True)
            apart = f"what is mounted cannot be kept from others: {done.stderr.strip()}" if done.returncode else ""
    return apart


@contextlib.contextmanager
def disk(folder, size):
    """A file system of so many bytes at the folder, in memory."""
    assert why_not() == "", why_not()
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path, leave=0):
    """A file that takes all that is free but so much; answers its path."""
    space = os.statvfs(os.path.dirname(path))
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_frsize - leave))
    return path
