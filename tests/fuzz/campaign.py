"""Run mutations of a kind in a child process, and collect their outcomes.

A mutation follows from kind, seed and number alone. The child says on a pipe which one it begins and what came of it,
under a limit of memory; the parent has the clock, and starts another child behind a mutation that ended this one.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from edge_rnn.errors import EdgeRnnError
from tests.fuzz import judge, seeds
from tests.fuzz.kinds import KINDS

__all__ = ["Outcome", "attempt", "child", "mutation", "run"]

SECONDS = 5.0
"""Longest time of computing that reading may take."""

HANG_SECONDS = 60.0
"""Longest time by the clock, on a machine that does other things too."""

GROWTH_BYTES = 500 * 2**20
"""Most memory that reading may take."""

GOOD = ("refused", "read", "ran")
"""What outcomes that are right begin with."""

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / part) for part in (".", "export", "tests/support")]


@dataclass
class Outcome:
    """Outcomes of the mutations of a kind: counts, and the failed ones by number."""

    kind: str
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)

    def add(self, number: int, what: str, detail: str = "") -> None:
        """Count a mutation."""
        self.counts[what] += 1
        if not what.startswith(GOOD):
            self.faults[number] = f"{what} {detail}".strip()


def mutation(kind: str, seed: int, number: int) -> bytes:
    """Bytes of a mutation."""
    rng = Random(f"{kind}/{seed}/{number}")
    return KINDS[kind].damaged(rng, rng.choice(_seeds(kind)))


_made: dict[str, list[Any]] = {}


def _seeds(kind: str) -> list[Any]:
    if kind not in _made:
        seeds.begin_again()
        _made[kind] = KINDS[kind].make()
    return _made[kind]


def attempt(kind: str, number: int, data: bytes, folder: Path) -> tuple[str, str]:
    """Read a mutation; return the outcome in a word, and details."""
    path = folder / f"given{KINDS[kind].suffix}"
    path.write_bytes(data)
    peak, began = _peak(), time.process_time()
    try:
        what, detail = KINDS[kind].read(path, number), ""
    except EdgeRnnError as error:
        found = judge.complaint(error)
        what, detail = (found, repr(str(error))[:300]) if found else ("refused", "")
    except Exception as error:
        own = [each for each in traceback.extract_tb(error.__traceback__) if "edge_rnn" in each.filename]
        place = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
        what, detail = f"{type(error).__name__}{place}", str(error)[:300]
    if what.startswith("refused") and time.process_time() - began > SECONDS:
        return "slow", f"{time.process_time() - began:.1f} s"
    if _peak() - peak > GROWTH_BYTES:
        return "memory", f"{(_peak() - peak) >> 20} MiB for {len(data)} bytes"
    return what, detail


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def child(kind: str, seed: int, first: int, count: int, answers: int) -> None:
    """Try mutations, and write a line of JSON before and after each to a file descriptor."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for number in (-1, -2):  # what is imported and compiled now is not a file's doing
            attempt(kind, number, mutation(kind, seed, number), Path(folder))
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GROWTH_BYTES, resource.RLIM_INFINITY))
        for number in range(first, first + count):
            os.write(answers, json.dumps([number]).encode() + b"\n")
            found = attempt(kind, number, mutation(kind, seed, number), Path(folder))
            os.write(answers, json.dumps([number, *found]).encode() + b"\n")


def run(kind: str, seed: int, count: int, first: int = 0) -> Outcome:
    """Try ``count`` mutations in child processes."""
    outcome, at, end = Outcome(kind, seed), first, first + count
    while at < end:
        ours, theirs = os.pipe()
        words = [
            sys.executable,
            "-m",
            "tests.fuzz",
            kind,
            "--seed",
            str(seed),
            "--child",
            str(at),
            str(end - at),
            str(theirs),
        ]
        process = subprocess.Popen(
            words,
            pass_fds=[theirs],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)},
        )
        os.close(theirs)
        begun = _followed(ours, outcome, process)
        os.close(ours)
        _, told = process.communicate()
        if begun is None and process.returncode == 0:
            return outcome
        if begun is None:
            outcome.add(at, "no start", told.decode(errors="replace")[-1000:])
            return outcome
        how = "hang" if process.returncode == -signal.SIGKILL else f"crash {process.returncode}"
        outcome.add(begun, how, told.decode(errors="replace")[-1000:])
        at = begun + 1
    return outcome


def _followed(answers: int, outcome: Outcome, process: subprocess.Popen[bytes]) -> int | None:
    """Count a child's reports; return the number of the mutation from which it has not returned."""
    begun, rest, limit = None, b"", 10 * HANG_SECONDS  # to import and compile what it needs
    while select.select([answers], [], [], limit)[0]:
        part = os.read(answers, 2**16)
        if not part:
            return begun
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            number, *found = json.loads(line)
            begun, limit = (None if found else number), HANG_SECONDS
            if found:
                outcome.add(number, *found)
    process.kill()
    return begun
