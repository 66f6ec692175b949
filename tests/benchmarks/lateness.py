"""Measure the lateness of a sensor loop's ticks, in turn with a loop that only sleeps; see README.md."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from report import markdown

import edge_rnn
from edge_rnn.bench.conditions import conditions
from edge_rnn.cli.shared.console import spell_ns
from edge_rnn.cli.shared.options import cpus, positive_float, positive_int
from edge_rnn.loop import LogHistogram, Realtime, SensorLoop, sinks, sources
from edge_rnn.loop.system.garbage import off_the_hot_path
from edge_rnn.loop.system.realtime import applied

SLICE_S = 5.0
COLUMNS = ("p50", "p99", "p99.9", "max")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=positive_float, default=300.0, help="for each of the two (default: 300)")
    parser.add_argument("--rate", type=positive_float, default=1000.0, help="ticks a second (default: 1000)")
    parser.add_argument("--priority", type=positive_int, help="SCHED_FIFO")
    parser.add_argument("--cpus", type=cpus, help="processors to run on")
    parser.add_argument("--lock-memory", action="store_true")
    parser.add_argument("--spin", type=float, default=0.0, help="seconds before each deadline spent awake (default: 0)")
    parser.add_argument("--snapshot", type=Path, help="keep a snapshot here, every second")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    found = measure(args)
    print(json.dumps(found, indent=1) if args.json else report(found))
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run both loops in turn, in slices of some seconds, so that other load affects both alike."""
    realtime = Realtime(args.priority, args.cpus, args.lock_memory)
    names = ("empty loop, late", "SensorLoop, late", "SensorLoop, work")
    histograms = {name: LogHistogram() for name in names}
    counters = {"missed_deadlines": 0, "overruns": 0}
    warnings: list[str] = []
    slices = max(1, round(args.seconds / SLICE_S))
    for _ in range(slices):
        seconds = args.seconds / slices
        with applied(realtime, args.rate), off_the_hot_path("slack"):
            empty(histograms[names[0]], args.rate, seconds)
        loop = full(args, realtime, seconds)
        histograms[names[1]].add(loop.lateness)
        histograms[names[2]].add(loop.work)
        status = loop.status()
        warnings = status["warnings"]
        for name in counters:
            counters[name] += status["counters"][name]
    rows = {name: histogram.as_json() for name, histogram in histograms.items()}
    return {**conditions(), "rate_hz": args.rate, "rows": rows, **counters, "warnings": warnings}


def empty(histogram: LogHistogram, rate_hz: float, seconds: float) -> None:
    """Run a loop that only sleeps until its deadlines and reads the clock."""
    start_ns = time.monotonic_ns()
    for tick in range(1, int(seconds * rate_hz)):
        deadline_ns = start_ns + int(tick * 1e9 / rate_hz)
        left_ns = deadline_ns - time.monotonic_ns()
        if left_ns > 0:
            time.sleep(left_ns / 1e9)
        histogram.record(time.monotonic_ns() - deadline_ns)


def full(args: argparse.Namespace, realtime: Realtime, seconds: float) -> SensorLoop:
    """Run the watch's GRU on its recording, repeatedly."""
    folder = edge_rnn.data_path("smart_watch")
    xs = np.load(folder / "recording.npz")["x"].astype(np.float32)
    left = int(seconds * args.rate)

    def read() -> Any:
        nonlocal left
        left -= 1
        return xs[left % len(xs)] if left > 0 else None

    loop = SensorLoop(
        edge_rnn.Stream(edge_rnn.load(folder / "gru.safetensors")),
        sources.Call(read),
        sinks.Call(lambda y, t_s: None),
        args.rate,
        realtime=realtime,
        spin_s=args.spin,
        snapshot=args.snapshot,
        snapshot_every_s=1.0,
    )
    loop.run()
    return loop


def report(found: dict[str, Any]) -> str:
    """Format a table in Markdown."""
    rows = [(name, *(spell_ns(row[column]) for column in COLUMNS)) for name, row in found["rows"].items()]
    count = found["rows"]["SensorLoop, late"]["count"]
    lines = [*markdown(("", *COLUMNS), rows), ""]
    lines.append(
        f"{count:,} ticks of each at {found['rate_hz']:g} Hz, in slices of {SLICE_S:g} s in turn; SensorLoop missed "
        f"{found['missed_deadlines']} deadlines and overran {found['overruns']}. Measured {found['date'][:10]} with "
        f"edge_rnn {found['version']} on {found['processor']}, {found['python']}."
    )
    return "\n".join([*lines, *found["warnings"]])


if __name__ == "__main__":
    raise SystemExit(main())
