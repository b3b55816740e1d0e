"""Figures: percentiles, tables that align, JSON lines, a progress bar."""
import json
import statistics
import sys
import time


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def spread(values, digits=0):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def size(number):
    """Bytes, for people."""
    for unit in ("B", "KiB", "MiB"):
        if abs(number) < 1024:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.2f} GiB"


def align(rows):
    """Lines of a table: the first column to the left, the others to the right; the first row is the head."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        cells = [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        yield "  ".join(cells).rstrip()


class Report:
    """What a command has to say: JSON lines, or words and tables."""

    def __init__(self, as_json):
        self.as_json = as_json

    def row(self, kind, **fields):
        if self.as_json:
            print(json.dumps({"kind": kind, **fields}), flush=True)

    def say(self, text):
        if not self.as_json:
            print(text, flush=True)

    def table(self, rows):
        for line in align(rows):
            self.say(line)


def hint(text):
    """What is being waited for, on a terminal; the next line or hint takes its place."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}\r", end="", file=sys.stderr, flush=True)


class Progress:
    """A bar on stderr, when that is a terminal."""

    def __init__(self, label, total):
        self.label, self.total, self.due = label, max(1, total), 0.0
        self.begun, self.terminal = time.monotonic(), sys.stderr.isatty()

    def at(self, done):
        now = time.monotonic()
        if not self.terminal or now < self.due:
            return
        self.due = now + 0.2
        part = min(1.0, done / self.total)
        left = (now - self.begun) * (1 - part) / part if part else 0
        bar = ("#" * int(part * 30)).ljust(30, ".")
        print(f"\r\x1b[K{self.label:<12} [{bar}] {part:4.0%}  {left:.0f} s left", end="", file=sys.stderr, flush=True)

    def end(self):
        hint("")
