"""Compare the step times that ``edge-rnn fit`` estimates with measured ones; see README.md in this folder.

Kernels are compiled for this processor, for x86-64 with AVX2 and for plain x86-64, each in a process of its own, and
each is estimated by every method. What goes into the machine model is found here: the clock by a chain of
multiplications (3 cycles each on Intel's processors since 2008 and AMD's since 2017), sizes of caches by the system,
bytes a cycle by a loop that only reads.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import edge_rnn
from edge_rnn import boards
from edge_rnn.bench.conditions import conditions
from edge_rnn.bench.networks import CELLS, table
from edge_rnn.boards.fitting.program import program
from edge_rnn.boards.fitting.step_time import METHODS, step_time
from edge_rnn.cli.shared.console import spell_ns
from edge_rnn.kernels.compile.link import link
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry.code_memory import place
from edge_rnn.recordings.random_samples import random_samples
from edge_rnn.timing import reads, runs, time_chunks

AVX2 = "+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2"
TARGETS = {
    "native": {},
    "x86-64-v3": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": AVX2},
    "x86-64": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""},
}
CHAIN = """
define i64 @chain(i64 %count) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %x = phi i64 [%count, %entry], [%square, %loop]
  %square = mul i64 %x, %x
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret i64 %square
}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print what was measured")
    parser.add_argument("--target", choices=TARGETS, help="only this one, in this process: as JSON")
    args = parser.parse_args()
    if args.target:
        print(json.dumps(list(measure())))
        return 0
    found = {**conditions(), "targets": {name: _in_a_process(name) for name in TARGETS}}
    print(json.dumps(found, indent=1) if args.json else "\n".join(report(found)))
    return 0


def _in_a_process(target: str) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, "--target", target]
    done = subprocess.run(command, env={**os.environ, **TARGETS[target]}, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def measure() -> Iterator[dict[str, Any]]:
    """Measured and estimated times of the table's networks, compiled for this process's target."""
    board = this_machine()
    for entry in table():
        compiled = program(entry.model, board)
        stream = edge_rnn.Stream(entry.model)
        taken = time_chunks({"loop": runs(stream, random_samples(entry.model, 1000))}, seconds=0.3)["loop"].ns
        estimates = {name: step_time(compiled, entry.model, [name]) for name in METHODS}
        yield {
            "cell": entry.cell,
            "input_size": entry.input_size,
            "hidden_size": entry.hidden_size,
            "clock_hz": board.clock_hz,
            "measured_ns": taken,
            "estimated_ns": {name: each.ns for name, each in estimates.items()},
            "weights_in": estimates["roofline"].weights_in,
        }


def this_machine() -> boards.Device:
    """Profile of this machine: Intel's core from 2021 on, with the figures that the system reports."""
    import llvmlite.binding as llvm

    host, clock = object_cache.host(), clock_hz()
    caches = [_cache_bytes(level) for level in (1, 2, 3)]
    wide = host.register_bits == 512
    found = replace(
        boards.load("x86_64_v3"),
        triple=host.triple,
        cpu=host.cpu,
        features=host.features,
        machine_model=str(llvm.get_host_cpu_name()),
        clock_hz=clock,
        l1d_bytes=caches[0],
        l2_bytes=caches[1],
        l3_bytes=caches[2],
        register_bits=host.register_bits,
        loads_per_cycle=2 if wide else 3,
        fma_per_cycle=2 if "+fma" in host.features else 1,
        issue_width=6,
    )
    per_cycle = [_bytes_per_ns(size) / clock * 1e9 for size in (caches[1] // 2, min(caches[2] // 2, 3 * caches[1]))]
    return replace(found, l2_bytes_per_cycle=per_cycle[0], l3_bytes_per_cycle=per_cycle[1])


def clock_hz() -> float:
    import llvmlite.binding as llvm

    host = object_cache.host()
    code = host.machine().emit_object(llvm.parse_assembly(CHAIN))
    chain = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(place(link([code], host))["chain"])
    count, best = 1_000_000, float("inf")
    for _ in range(50):
        start = time.perf_counter()
        chain(count)
        best = min(best, time.perf_counter() - start)
    return 3 * count / best


def _cache_bytes(level: int) -> int:
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        read = {name: (folder / name).read_text().strip() for name in ("level", "type", "size")}
        if int(read["level"]) == level and read["type"] != "Instruction":
            return int(read["size"].removesuffix("K")) * 1024
    return 0


def _bytes_per_ns(size: int) -> float:
    block = np.ones(size // 4, np.float32)
    return block.nbytes / time_chunks({"read": reads(block)}, seconds=0.3)["read"].ns


def report(found: dict[str, Any]) -> Iterator[str]:
    """Format the ranges, and a line for each network, as Markdown."""
    yield "| compiled for | method | measured / estimated, least | median | greatest |"
    yield "|---|---|---|---|---|"
    everything: dict[str, list[float]] = {name: [] for name in METHODS}
    for target, rows in found["targets"].items():
        for name in METHODS:
            ratios = [row["measured_ns"] / row["estimated_ns"][name] for row in rows]
            everything[name] += ratios
            yield f"| {target} | {name} | {min(ratios):.2f} | {np.median(ratios):.2f} | {max(ratios):.2f} |"
    for name, ratios in everything.items():
        yield f"| all | {name} | {min(ratios):.2f} | {np.median(ratios):.2f} | {max(ratios):.2f} |"
    for target, rows in found["targets"].items():
        yield ""
        yield f"| {target} | measured | {' | '.join(METHODS)} | weights in |"
        yield "|---" * (3 + len(METHODS)) + "|"
        for row in rows:
            name = f"{CELLS[row['cell']]} ({row['input_size']}, {row['hidden_size']})"
            cells = " | ".join(f"{spell_ns(ns)}, {row['measured_ns'] / ns:.2f}" for ns in row["estimated_ns"].values())
            yield f"| {name} | {spell_ns(row['measured_ns'])} | {cells} | {row['weights_in']} |"
    yield ""
    clock = next(iter(found["targets"].values()))[0]["clock_hz"]
    date, version, processor = found["date"][:10], found["version"], found["processor"]
    yield f"Measured {date} with edge_rnn {version} on {processor} at {clock / 1e9:.2f} GHz."


if __name__ == "__main__":
    raise SystemExit(main())
