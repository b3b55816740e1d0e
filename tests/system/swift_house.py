"""An object store that speaks S3 and checks what it is told: OpenStack Swift from Debian's packages, in a folder and on
a port of its own.

    with SwiftHouse("swift") as swift:
        ... *swift.settings()
"""
import atexit
import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys

from harness_client import until

SERVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "swift_serve.py")


def keeps_attributes(folder):
    """Swift keeps its records in user.* attributes of files."""
    path = os.path.join(folder, "attributes")
    open(path, "w").close()
    try:
        os.setxattr(path, "user.swift", b"x" * 1024)
        return True
    except OSError:
        return False
    finally:
        os.unlink(path)


class SwiftHouse:
    """stop(), kill() and start() keep port and data; close() ends all. Swift ends with the thread that started it, so that
    nothing is left of a test that was killed."""
    access_key, secret_key, region = "test:tester", "testing", "us-east-1"
    part_least = 5 << 20

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.log = self.folder + ".log"
        self.process = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        if not keeps_attributes(self.folder):
            raise RuntimeError(f"Swift needs extended attributes (user.*), which the file system of {self.folder} has not")
        self.held = socket.socket()  # bound, never listening: the port stays ours between two lives
        self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.held.bind(("127.0.0.1", 0))
        self.port = self.held.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        atexit.register(self.close)

    def start(self, seconds=90):
        assert not self.alive(), "Swift runs already"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([sys.executable, SERVE, self.folder, str(self.port)], cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "TMPDIR": self.folder, "PYTHONDONTWRITEBYTECODE": "1"})
        until(self.answers, seconds, 0.05)
        return self

    def answers(self):
        assert self.alive(), f"Swift ended with {self.process.returncode}: {self.said()}"
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request("GET", "/")
            return link.getresponse().status < 500
        except OSError:
            return False
        finally:
            link.close()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.alive():
            self.thaw()
            self.process.terminate()
            self.process.wait()

    def close(self):
        if self.alive():
            self.kill()
        self.held.close()
        atexit.unregister(self.close)

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-4000:]

    def settings(self, **more):
        """Settings of Gantry that name this store: NAME=VALUE each."""
        rows = {"endpoint": self.endpoint, "region": self.region, "access_key": self.access_key,
                "secret_key": self.secret_key, **more}
        return [f"objects.{name}={value}" for name, value in rows.items()]

    def client(self):
        """boto3's, to look at the store beside us."""
        import boto3
        from botocore.config import Config
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=self.region, aws_access_key_id=self.access_key,
                            aws_secret_access_key=self.secret_key,
                            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()
