"""Reads what the load programs wrote down, and what Redis has in the end, into a history."""
import collections
import os
import pathlib

import msgpack

from checker import ENDED, WORK, Execution, History, Sight, Submit

STATES = ("pending", "scheduled", "running", "cancelling", *ENDED[:1], "skipped", "failed", "quarantined", "cancelled")


def lines(path):
    """Words of each whole line: (letter, ns, words)."""
    for line in open(path, errors="replace"):
        words = line.split()
        if line.endswith("\n") and len(words) >= 2 and len(words[0]) == 1 and words[1].isdigit():
            yield words[0], int(words[1]), words[2:]


def read_client(history, path):
    for letter, ns, words in lines(path):
        if letter not in "AaRrCcw" or len(words) < 2:
            continue
        ref = f"{words[0]}/{words[1]}"
        if letter == "A":
            submit = history.submits.setdefault(ref, Submit(ref, words[3], int(words[4]), int(words[7]), ns))
        elif letter in "Rr":
            submit, status = history.submits[ref], int(words[2])
            submit.receipts.append((ns, status, words[3], words[4]))
            if status == 0 and submit.accepted_ns is None:
                submit.accepted_ns = ns
        elif letter in "cw":
            sight = Sight(ns, int(words[2]), words[3], *map(int, words[4:8]), words[8])
            (history.cancels if letter == "c" else history.waits)[ref].append(sight)
        elif letter == "C":
            history.cancels[ref].append(Sight(ns, -1, "asked"))


def gaps_of(pid, begin, end, found):
    return [gap for gap in found.get(pid, ()) if gap[1] >= begin and gap[0] <= end]


def read_worker(history, path, deaths, now_ns):
    """deaths: [(pid, ns)] of all boots of this worker."""
    open_ones, gaps, begun = {}, collections.defaultdict(list), []
    for letter, ns, words in lines(path):
        if letter == "S":
            one = Execution(f"{words[0]}/{words[1]}", int(words[2]), ns, now_ns, "vanished", words[5], kept=int(words[6]))
            open_ones[one.nonce] = one
            begun.append((int(words[4]), one))
        elif letter == "E":
            one = open_ones.pop(words[4])
            one.end_ns, one.how, one.after_ms = ns, words[3], int(words[5])
        elif letter == "G":
            gaps[int(words[0])].append((ns - int(words[1]) * 1_000_000, ns))
    for pid, one in begun:
        if one.how == "vanished":
            one.end_ns = min((ns for dead, ns in deaths if dead == pid and ns >= one.begin_ns), default=now_ns)
        one.gaps = gaps_of(pid, one.begin_ns, one.end_ns, gaps)
        history.executions.append(one)


def read_engines(history, path):
    """They vanish by SIGKILL: then what counts is when they last said that they live."""
    if not os.path.exists(path):
        return
    last, gaps = {}, collections.defaultdict(list)
    for letter, ns, words in lines(path):
        if letter == "S":
            last[words[4]] = one = Execution(f"{words[0]}/{words[1]}", int(words[2]), ns, ns, "vanished", f"engine.{words[4]}.{ns}")
            history.executions.append(one)
        elif words and words[0] in last:
            one = last[words[0]]
            one.end_ns = ns
            if letter == "E":
                one.how = " ".join(words[1:3])
            elif letter == "G":
                one.gaps.append((ns - int(words[1]) * 1_000_000, ns))


def nonce_of(output, node):
    value = output.get("nonce" if node == WORK else "value") if isinstance(output, dict) else None
    return value if isinstance(value, str) else "-"


def read_final(ref, packed):
    node = ref.split("/", 1)[1]
    unpacker = msgpack.Unpacker(raw=True)
    unpacker.feed(packed)
    head, tail = unpacker.unpack(), unpacker.unpack()
    state, _, generation, attempt, failures, crashes = head[:6]
    output = {k.decode(errors="replace"): v.decode(errors="replace") if isinstance(v, bytes) else v
              for k, v in (tail.get(b"output") or {}).items() if isinstance(k, bytes)}
    return Sight(0, 0, STATES[state], attempt, generation, failures, crashes, nonce_of(output, node))


def read_store(history, db):
    states = dict(db.hscan_iter("states", count=1000))
    for field in db.hkeys("bodies"):
        ref, packed = field.decode(errors="replace"), states.get(field)
        history.finals[ref] = read_final(ref, packed) if packed else Sight(0, 0, "pending")
    for key in db.scan_iter("running:*"):
        for field in db.hkeys(key):  # the packed state is of an earlier attempt, if there is one
            ref = field.decode(errors="replace")
            history.finals[ref] = Sight(0, 0, "running", 1 << 30)
    ended = collections.Counter()
    for key in db.scan_iter("ended:*"):
        for line in db.lrange(key, 0, -1):
            ended.update(line.decode(errors="replace").split()[2:])  # behind the state and the time
    history.ends = dict(ended)


def read(folder, processes, now_ns):
    """Of the journals in a folder; processes have name, kind and deaths."""
    history, folder = History(), pathlib.Path(folder)
    for process in processes:
        path = folder / process.name
        if process.kind == "client" and path.exists() and not process.name.startswith("m"):
            read_client(history, path)
        elif process.kind == "sdk" and path.exists():
            read_worker(history, path, process.deaths, now_ns)
    read_engines(history, folder / "engines")
    return history
