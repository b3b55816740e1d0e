"""100,000 tasks wait: the broker does not grow with them, and all are drained.

RSS says little under AddressSanitizer, whose quarantine keeps freed memory: with GANTRY_PLAIN_BIN, a folder of programs
built without sanitizers, these are measured; else there is no quarantine.
"""
import os
import subprocess
import time

from harness import BIN, System, until

WARM, TASKS, GROWTH = 4000, 100_000, 5 << 20
PLAIN = os.environ.get("GANTRY_PLAIN_BIN")
ENV = None if PLAIN else {"ASAN_OPTIONS": "quarantine_size_mb=0:thread_local_quarantine_size_kb=0:malloc_context_size=0"}


class Load:
    """A role of gantry-bench, which is told to begin as soon as it is ready."""

    def __init__(self, system, role, **options):
        self.process = subprocess.Popen([os.path.join(PLAIN or BIN, "gantry-bench"), role, "dir=run",
                                         *(f"{key}={value}" for key, value in options.items())],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **(ENV or {})})
        while self.process.stdout.readline() != "READY\n":  # a worker may find work before it is ready
            assert self.process.poll() is None

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        """What it has counted."""
        count = [int(line.split()[1]) for line in self.process.stdout if line.startswith("P ")][-1]
        assert self.process.wait(60) == 0
        return count


def produce(system, tasks):
    load = Load(system, "produce", tasks=tasks, batch=250, window=2000)
    load.go()
    assert load.end() == tasks


def test_backlog():
    with System("backlog", workers=0, bin=os.path.abspath(PLAIN) if PLAIN else BIN, env=ENV, lease_ms=10000, heartbeat_ms=2000,
                liveness_ms=6000) as system:
        for role in ("clients", "workers"):  # where gantry-bench looks
            os.symlink(f"{role}0", f"run/{role}")
        client, broker = system.client(), system.brokers[0]
        worker = Load(system, "work", window=256)
        worker.go()
        client.ready("system.echo")
        worker.process.terminate()  # known now, and gone: what comes has to wait
        assert worker.process.wait(20) == 0
        produce(system, WARM)
        time.sleep(0.5)
        before = broker.rss()
        begin = time.monotonic()
        produce(system, TASKS)
        seconds, after = time.monotonic() - begin, broker.rss()
        queue = next(queue for queue in client.insist("QUEUES").body if queue["service"] == "system")
        assert queue["normal"] == WARM + TASKS, queue
        print(f"{TASKS / seconds:.0f} tasks/s accepted; the broker's RSS: {before >> 10} KiB, then {after >> 10} KiB")
        assert after - before < GROWTH, (before, after)

        workers, begin = [Load(system, "work", window=256) for _ in range(2)], time.monotonic()
        for worker in workers:
            worker.go()
        until(lambda: int(system.db.hget("ledger", "completed") or 0) == WARM + TASKS, 120, 0.2)
        print(f"{(WARM + TASKS) / (time.monotonic() - begin):.0f} tasks/s drained; then {broker.rss() >> 10} KiB")
        for worker in workers:
            worker.process.terminate()
        assert sum(worker.end() for worker in workers) == WARM + TASKS
        ledger = system.balance()
        assert ledger["accepted"] == ledger["completed"] == WARM + TASKS and not ledger["requeues"], ledger
        assert broker.rss() - before < GROWTH, (before, broker.rss())
        system.check()
