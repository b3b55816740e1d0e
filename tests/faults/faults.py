"""What is done to a town, and when: a plan made from a seed alone, and who carries it out."""
import collections
import dataclasses
import glob
import os
import random
import signal
import time

import redis

from town import descendants, send

LINKS = ("c0", "c1", "w0", "w1", "s0", "s1", "redis")
OURS = ("broker0", "broker1", "state0", "state1", "worker0", "worker1", "sdk0", "sdk1", "sdk2")
LINK_KINDS = ("delay", "throttle", "drop", "refuse", "half-close", "hole", "garble")
OF_FIRST_STATE, SECOND_STATE, BACK_S = ("link s0", "link s1", "link redis"), "state1", 2.0
BALLAST = "ballast"


@dataclasses.dataclass(slots=True)
class Fault:
    at_s: float
    kind: str
    target: str
    lasts_s: float
    number: float = 0.0
    skipped: bool = False

    def __str__(self):
        return f"{self.at_s:8.2f} s  {self.kind:<16} {self.target:<8} for {self.lasts_s:5.2f} s" + (f"  ({self.number:.4g})" if self.number else "")


@dataclasses.dataclass(frozen=True)
class Kind:
    """lasts: seconds from and to, in leases when in_leases. often: how often it is in the deck."""
    targets: tuple
    lasts: tuple
    does: str
    often: int = 1
    in_leases: bool = False
    numbers: tuple = (0, 0)


KINDS = {
    "kill": Kind((*OURS, "c0", "c1"), (0.05, 1.5), "kill -9, started again", 5),
    "kill-long": Kind(("worker0", "worker1", "sdk0", "sdk1", "sdk2", "broker0", "broker1"), (1.2, 1.8), "kill -9, away longer than the lease", 1, True),
    "terminate": Kind(OURS, (0.1, 1), "SIGTERM, started again", 2),
    "stop": Kind((*OURS, "c0", "c1"), (0.05, 0.6), "SIGSTOP, SIGCONT within the lease", 2, True),
    "stop-long": Kind(OURS, (1.2, 2.2), "SIGSTOP beyond lease and liveness, SIGCONT", 2, True),
    "stop-tree": Kind(("worker0", "worker1"), (1.2, 2.2), "SIGSTOP of a worker with all it runs, beyond the lease", 1, True),
    "engine-kill": Kind(("worker0", "worker1"), (0, 0), "kill -9 of an engine", 1),
    "exec-kill": Kind(("worker0", "worker1"), (0, 0), "kill -9 of a launcher", 1),
    "delay": Kind(LINKS, (0.5, 4), "a link is slow, ms", 1, numbers=(20, 400)),
    "throttle": Kind(LINKS, (0.5, 4), "a link is narrow, bytes/s", 1, numbers=(2000, 50000)),
    "drop": Kind(LINKS, (0, 0), "connections reset", 2),
    "refuse": Kind(LINKS, (0.2, 3), "connections reset, and each new one", 1),
    "half-close": Kind(LINKS, (0, 0), "one direction of each connection closed", 1),
    "hole": Kind(LINKS, (0.5, 5), "nothing passes, nothing is closed", 2),
    "garble": Kind(LINKS[:-1], (0.2, 2), "reset, and a byte of each new greeting changed", 1),
    "redis-kill": Kind(("redis",), (0.1, 1.5), "Redis: kill -9, started again", 2),
    "redis-forget": Kind(("redis",), (0.1, 1.5), "Redis: kill -9, and it has lost up to 1.8 s", 3, numbers=(0.2, 1.8)),
    "redis-restart": Kind(("redis",), (0.1, 2), "Redis: SIGTERM, started again", 1),
    "redis-stop": Kind(("redis",), (0.2, 4.5), "Redis: SIGSTOP, SIGCONT", 1),
    "redis-pause": Kind(("redis",), (0.2, 4), "Redis: CLIENT PAUSE", 1),
    "redis-memory": Kind(("redis",), (0.5, 3), "Redis: at maxmemory", 1),
    "redis-disk": Kind(("redis",), (0.3, 2), "Redis: disk full", 1),
    "share-disk": Kind(("share",), (0.5, 3), "task folders: disk full", 1),
    "pause": Kind(("faults", "system"), (0.3, 3), "a queue paused", 1),
    "drain": Kind(("worker0", "worker1", "sdk0", "sdk1", "sdk2"), (0.3, 3), "a worker drained by an operator", 1),
    "descriptors": Kind((*OURS, "redis"), (0.5, 2), "no file descriptor left", 1),
}
ENGINES_FAIL = ("engine-kill", "exec-kill", "share-disk", "descriptors", "stop-tree")
MAY_DIE = {"descriptors": ("broker", "state", "worker", "sdk"), "redis-disk": ("redis",)}  # and be started again


def plan(seed, seconds, lease_s, pace_s=1.1, kinds=None, forgets=False, quiet_s=3.0):
    """Faults from quiet_s on; every kind comes round before one comes again as often. forgets: Redis may lose its last second."""
    dice, at, deck, found = random.Random(seed), quiet_s, [], []
    kinds = {name: kind for name, kind in KINDS.items() if (not kinds or name in kinds) and (forgets or name != "redis-forget")}
    while at < seconds - 1:
        if not deck:
            deck = [name for name, kind in kinds.items() for _ in range(kind.often)]
            dice.shuffle(deck)
        name = deck.pop()
        kind = kinds[name]
        unit = lease_s if kind.in_leases else 1
        found.append(Fault(at, name, dice.choice(kind.targets), dice.uniform(*kind.lasts) * unit, dice.uniform(*kind.numbers)))
        at += dice.expovariate(1 / pace_s)
    return found


class Chaos:
    """Carries a plan out: call turn() often. What ends a fault is a function, kept until its time."""

    def __init__(self, town, faults, say=None):
        self.town, self.faults, self.begin = town, collections.deque(faults), time.monotonic()
        self.active = []  # (ends at, busy name, fault, function)
        self.counts, self.skips, self.log, self.say = collections.Counter(), collections.Counter(), [], say or (lambda text: None)
        self.sizes = collections.deque(maxlen=64)  # (when, path, size) of Redis' log

    def name(self, name):
        return next(process for process in self.town.processes if process.name == name)

    def note_size(self, now):
        if self.sizes and now - self.sizes[-1][0] < 0.1:
            return
        logs = sorted(glob.glob(os.path.join(self.town.folder, "redis/appendonlydir/*.incr.aof")), key=os.path.getmtime)
        if logs:
            self.sizes.append((now, logs[-1], os.path.getsize(logs[-1])))

    def turn(self):
        now = time.monotonic()
        self.note_size(now)
        for one in [one for one in self.active if one[0] <= now]:
            self.end(one)
        while self.faults and self.begin + self.faults[0].at_s <= now:
            self.inject(self.faults.popleft(), now)

    def done(self):
        return not self.faults and not self.active

    def end(self, one):
        self.active.remove(one)
        one[3]()
        if one[2] and one[1] in (*OF_FIRST_STATE, SECOND_STATE):  # until it is of use again
            self.active.append((time.monotonic() + BACK_S, one[1], None, lambda: None))

    def peace(self):
        """All faults end now; what their ends still need is done by further turns."""
        self.faults.clear()
        self.active = [(0.0 if one[2] else one[0], *one[1:]) for one in self.active]
        self.turn()

    def inject(self, fault, now):
        busy = {one[1] for one in self.active}
        targets = [fault.target, *(t for t in KINDS[fault.kind].targets if t != fault.target)]
        target = next((t for t in targets if self.busy_name(fault.kind, t) not in busy and self.there(t) and self.fair(fault.kind, t, busy)), None)
        ends = getattr(self, "on_" + fault.kind.replace("-", "_"))(target, fault) if target else None
        if not ends:
            self.skips[fault.kind] += 1
            return
        self.counts[fault.kind] += 1
        self.log.append((time.monotonic_ns(), fault.kind, target, fault.lasts_s))
        self.say(f"{fault.kind} {target} {fault.lasts_s:.2f} s")
        with open("journal/faults", "a") as file:
            file.write(f"{self.log[-1][0]} {fault.kind} {target} {fault.lasts_s:.2f} s {fault.number or ''}\n")
        self.active.append((time.monotonic() + fault.lasts_s, self.busy_name(fault.kind, target), fault, ends))

    @staticmethod
    def busy_name(kind, target):
        return "link " + target if kind in LINK_KINDS else target

    def fair(self, kind, target, busy):
        """A broker that is cut off from every state service, while one of them still reaches Redis, keeps its workers going and
        lets others have their work (docs/decisions/006): that is known, and not looked for. The links are those of the first one."""
        if self.busy_name(kind, target) in OF_FIRST_STATE:
            return SECOND_STATE not in busy
        return target != SECOND_STATE or not busy.intersection(OF_FIRST_STATE)

    def there(self, name):
        """A link, a disk, or a process that runs."""
        found = [process for process in self.town.processes if process.name == name]
        return not found or (found[0].alive() and found[0].wanted)

    # ---- processes. Each answers what ends it, or None when it could not be done.

    def on_kill(self, target, fault):
        process = self.name(target)
        process.kill()
        return process.start

    on_kill_long = on_redis_kill = on_kill

    def on_redis_forget(self, target, fault):
        """As if what it had written lately had never reached the disk."""
        process, now = self.name(target), time.monotonic()
        process.kill()
        older = [one for one in self.sizes if one[0] <= now - fault.number and one[1] == self.sizes[-1][1]]
        if older:
            os.truncate(older[-1][1], older[-1][2])
        self.sizes.clear()
        return process.start

    def on_terminate(self, target, fault):
        process = self.name(target)
        process.terminate()
        return lambda: self.start_again(process, time.monotonic() + 8)

    def on_redis_restart(self, target, fault):
        return self.on_terminate(target, fault)

    def start_again(self, process, patience):
        """Once it has ended; a worker whose tasks are long is killed."""
        if process.alive() and time.monotonic() < patience:
            self.active.append((time.monotonic() + 0.05, process.name, None, lambda: self.start_again(process, patience)))
            return
        process.kill()
        process.start()

    def on_stop(self, target, fault, tree=False):
        process = self.name(target)
        process.freeze(tree)
        return process.thaw

    on_stop_long = on_redis_stop = on_stop

    def on_stop_tree(self, target, fault):
        return self.on_stop(target, fault, True)

    def kill_below(self, target, program):
        found = []
        for pid in descendants(self.name(target).pid):
            try:
                if program in os.readlink(f"/proc/{pid}/exe").rsplit("/", 1)[1]:
                    found.append(pid)
            except OSError:
                continue
        if not found:
            return None
        send(found[0], signal.SIGKILL)
        return lambda: None

    def on_engine_kill(self, target, fault):
        return self.kill_below(target, "gantry-engine.real")

    def on_exec_kill(self, target, fault):
        return self.kill_below(target, "gantry-exec")

    def on_descriptors(self, target, fault):
        process = self.name(target)
        process.excuse = fault.kind if process.kind in MAY_DIE[fault.kind] else ""
        boot = process.boot
        try:
            process.cap_descriptors(process.descriptors())
        except OSError:
            return None

        def enough():
            if process.alive() and process.boot == boot:
                process.cap_descriptors(None)
            self.no_excuse(process)
        return enough

    def no_excuse(self, process):
        """In a while: who dies of it may do so a moment later."""
        def now():
            process.excuse = ""
        self.active.append((time.monotonic() + 1, "excuse " + process.name, None, now))

    # ---- links

    def on_link(self, target, fault, *words):
        self.town.proxy.say(target, *words)
        return lambda: self.town.proxy.say(target, "heal")

    def on_delay(self, target, fault):
        return self.on_link(target, fault, "delay", fault.number)

    def on_throttle(self, target, fault):
        return self.on_link(target, fault, "throttle", fault.number)

    def on_drop(self, target, fault):
        return self.on_link(target, fault, "drop")

    def on_refuse(self, target, fault):
        return self.on_link(target, fault, "refuse")

    def on_half_close(self, target, fault):
        return self.on_link(target, fault, "half")

    def on_hole(self, target, fault):
        return self.on_link(target, fault, "hole")

    def on_garble(self, target, fault):
        return self.on_link(target, fault, "garble")

    # ---- the store and the disks

    def ask_redis(self, *words):
        try:
            return self.town.db.execute_command(*words)
        except redis.exceptions.RedisError:
            return None

    def on_redis_pause(self, target, fault):
        return (lambda: None) if self.ask_redis("CLIENT", "PAUSE", int(fault.lasts_s * 1000), "ALL") else None

    def until_heard(self, name, sure, *words):
        """Ends a fault; again until Redis answers, and once more when what began it may still be on its way to Redis."""
        def back():
            if self.ask_redis(*words) is None:
                self.active.append((time.monotonic() + 0.1, name, None, back))
            elif not sure:
                self.active.append((time.monotonic() + 1, name, None, self.until_heard(name, True, *words)))
        return back

    def on_redis_memory(self, target, fault):
        sure = self.ask_redis("CONFIG", "SET", "maxmemory", "1mb") is not None
        return self.until_heard("maxmemory", sure, "CONFIG", "SET", "maxmemory", "0")

    def steer(self, begin, end, name):
        """An operator's word, by its function."""
        sure = self.ask_redis("FCALL", begin, 1, "", name) is not None
        return self.until_heard(f"{end} {name}", sure, "FCALL", end, 1, "", name)

    def on_pause(self, target, fault):
        return self.steer("gantry_pause", "gantry_resume", target)

    def on_drain(self, target, fault):
        process = self.name(target)
        return self.steer("gantry_drain", "gantry_undrain", f"{target}.{process.boot}" if process.boots else target)

    def fill(self, folder):
        path = os.path.join(self.town.folder, folder, BALLAST)
        with open(path, "wb", buffering=0) as file:
            for piece in (bytes(1 << 20), bytes(4096)):
                try:
                    while file.write(piece) == len(piece):
                        pass
                except OSError:
                    continue  # full: the rest by smaller pieces
        return lambda: os.unlink(path)

    def on_redis_disk(self, target, fault):
        if not self.town.small.get("redis"):
            return None
        process = self.name("redis")
        process.excuse = fault.kind
        empty = self.fill("redis")

        def enough():
            empty()
            self.no_excuse(process)
        return enough

    def on_share_disk(self, target, fault):
        return self.fill("share") if self.town.small.get("share") else None


class Keeper:
    """Starts again who died by itself; notes who had no excuse."""

    def __init__(self, town, say=None):
        self.town, self.say, self.due, self.unexpected, self.excused = town, say or (lambda text: None), {}, [], collections.Counter()

    def turn(self):
        now = time.monotonic()
        for process in self.town.processes:
            if process.wanted and not process.buried and not process.alive():
                self.on_death(process, now)
            if process in self.due and self.due[process] <= now:
                del self.due[process]
                if not process.alive():
                    process.start()

    def on_death(self, process, now):
        process.dead()
        if process.kind == "client" and process.process.returncode == 0:
            process.wanted = False  # has all it wanted
            return
        self.due[process] = now + 0.3
        if process.excuse:
            self.excused[process.excuse] += 1
        else:
            self.unexpected.append(f"{process.name} ended with {process.process.returncode}: {process.said()}")
            self.say(f"{process.name} died: {process.process.returncode}")
