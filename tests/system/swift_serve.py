"""OpenStack Swift with its S3 front in one process: proxy, account, container and object server, one of each, all from
Debian's packages. Started by swift_house.py:

    /usr/bin/python3 swift_serve.py FOLDER PORT

All that is written lies below FOLDER; nothing of /etc/swift is read. Only the proxy's port is given: the others have a
free one each, and rings are made anew to name them."""
import ctypes
import logging
import os
import signal
import socket
import sys
import time as clock
import warnings

ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: this ends with the test, however that ends
warnings.simplefilter("ignore")

from swift.common import utils  # noqa: E402

utils.eventlet_monkey_patch()

import eventlet  # noqa: E402
from eventlet import wsgi  # noqa: E402
from swift.common import storage_policy  # noqa: E402
from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

SWIFT = """[swift-hash]
swift_hash_path_suffix = gantry
[storage-policy:0]
name = gold
default = yes
"""
BACKEND = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
log_level = WARNING
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
recon_cache_path = {folder}
fallocate_reserve = 0
"""
PROXY = """[DEFAULT]
swift_dir = {folder}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
recoverable_node_timeout = 60
conn_timeout = 10
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
max_upload_part_num = 10000
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


class ToStderr(logging.StreamHandler):
    """In place of syslog, which may not be there."""
    priority_map = {}

    def __init__(self, *args, **kwargs):
        super().__init__(sys.stderr)


class Cache:
    """What memcached is to Swift, within the one process: tempauth refuses to work without."""

    def __init__(self):
        self.items = {}

    def get(self, key, **_):
        value, until = self.items.get(key, (None, 0))
        return value if until == 0 or clock.monotonic() < until else None

    def set(self, key, value, time=0, **_):
        self.items[key] = (value, clock.monotonic() + time if time else 0)

    def delete(self, key, **_):
        self.items.pop(key, None)

    def incr(self, key, delta=1, time=0, **_):
        self.set(key, (self.get(key) or 0) + delta, time)
        return self.get(key)


def cached(app):
    cache = Cache()

    def call(env, start_response):
        env["swift.cache"] = cache
        return app(env, start_response)
    return call


def listener(port):
    sock = socket.socket()
    if port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # the test holds it, bound
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    return sock


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def ring(folder, name, port):
    builder = RingBuilder(2, 1, 0)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "disk", "weight": 1.0})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")


def main(folder, port):
    os.makedirs(f"{folder}/devices/disk", exist_ok=True)
    write(f"{folder}/swift.conf", SWIFT)
    utils.ThreadSafeSysLogHandler = ToStderr
    utils.set_swift_dir(folder)
    storage_policy.reload_storage_policies()
    backends = {kind: listener(0) for kind in ("account", "container", "object")}
    for kind, sock in backends.items():
        ring(folder, kind, sock.getsockname()[1])

    threads = []

    def serve(kind, sock, text):
        app = cached(loadapp(write(f"{folder}/{kind}-server.conf", text.format(kind=kind, folder=folder))))
        threads.append(eventlet.spawn(wsgi.server, sock, app, utils.NullLogger(), protocol=SwiftHttpProtocol,
                                      capitalize_response_headers=False, socket_timeout=60))

    for kind, sock in backends.items():
        serve(kind, sock, BACKEND)
    serve("proxy", listener(port), PROXY)
    threads[-1].wait()


if __name__ == "__main__":
    if os.getppid() == 1:
        sys.exit("the test is gone already")
    main(os.path.realpath(sys.argv[1]), int(sys.argv[2]))
