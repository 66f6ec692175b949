"""Compare a model's own program with the generic kernels, and with the library that ``build`` makes of it.

    python tests/benchmarks/programs.py --processes 20

Each process takes steps in turn: by a compiled loop over ``edge_rnn.step`` with generic kernels, by the same loop with
the program, and by ``run`` of the library. A chunk is 0.5 ms; between two chunks of a network, those of all others run.
Printed are the least ns per step of all processes, and the ratios to the library's time in each of them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

CHUNK_NS = 500_000


def doors(libraries: Path, cell: str, inputs: int, hidden: int, format_: str) -> dict[str, Callable[[int], Any]]:
    """Make a function for each way to step a network; it takes the given number of steps."""
    import numpy as np
    from against import network
    from numba import njit

    import edge_rnn
    from built_libraries import Library, this_machine
    from edge_rnn.kernels.entry import programs
    from edge_rnn.streams import warm_up
    from edge_rnn.streams.planner import plan_of
    from edge_rnn_export import build

    step = edge_rnn.step

    @njit  # type: ignore[untyped-decorator]
    def loop(handle: int, x: Any, y: Any, count: int) -> None:
        for _ in range(count):
            step(handle, x, y)

    model = network(cell, inputs, hidden, format_)
    programs._missed[plan_of(model).structure] = float("inf")  # the cache may have it
    generic = edge_rnn.Stream(model)
    warm_up(model)
    own = edge_rnn.Stream(model)
    assert generic._memory.handle[0] != own._memory.handle[0]
    folder = libraries / f"{cell}_{inputs}_{hidden}"
    if not folder.exists():
        build(model, this_machine(), folder, name="net")
    library = Library(folder, "net")
    library("reset", library.state)
    xs = np.tile(np.random.default_rng(1).standard_normal(inputs).astype(np.float32), (20_000, 1))
    ys = np.zeros((len(xs), model.output_size), np.float32)
    x, y = xs[0].copy(), np.zeros(model.output_size, np.float32)
    places = [ctypes.c_void_p(array.ctypes.data) for array in (xs, ys, library.state)]
    kept, run = (library, xs, ys), library.library.net_run
    return {
        "generic": lambda count: loop(generic.handle, x, y, count),
        "program": lambda count: loop(own.handle, x, y, count),
        "library": lambda count: run(places[0], places[1], count, places[2]) or kept,
    }


def measure(libraries: Path, cases: list[tuple[str, int, int, str]], chunks: int) -> list[dict[str, float]]:
    """Measure the least ns per step of each case and way in this process."""
    ready = []
    for case in cases:
        for door, run in doors(libraries, *case).items():
            count = 16
            while True:
                run(count)
                start = time.perf_counter_ns()
                run(count)
                if time.perf_counter_ns() - start > CHUNK_NS or count >= 10_000:
                    break
                count *= 2
            ready.append((cases.index(case), door, run, count))
    least: list[dict[str, float]] = [{} for _ in cases]
    for _ in range(chunks):
        for case, door, run, count in ready:
            start = time.perf_counter_ns()
            run(count)
            ns = (time.perf_counter_ns() - start) / count
            least[case][door] = min(ns, least[case].get(door, ns))
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=60)
    parser.add_argument("--cells", default="Elman,GRU,LSTM")
    parser.add_argument("--shapes", default="1,8 1,20 6,32 16,64")
    parser.add_argument("--format", default="float32")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    shapes = [tuple(map(int, shape.split(","))) for shape in args.shapes.split()]
    cases = [(cell, *shape, args.format) for cell, shape in product(args.cells.split(","), shapes)]
    if args.work:
        print(json.dumps(measure(args.work, cases, args.chunks)))
        return
    found = []
    with tempfile.TemporaryDirectory() as libraries:
        command = [sys.executable, __file__, "--work", libraries, *sys.argv[1:]]
        for _ in range(args.processes):
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout))
    print(f"{'':16}{'generic':>10}{'program':>10}{'library':>10}   program / library, of each process")
    for number, (cell, inputs, hidden, _) in enumerate(cases):
        rows = [each[number] for each in found]
        least = [min(row[door] for row in rows) for door in ("generic", "program", "library")]
        ratios = sorted(row["program"] / row["library"] for row in rows)
        print(
            f"{cell:7}{f'({inputs},{hidden})':9}{''.join(f'{ns:10.1f}' for ns in least)}"
            f"   {ratios[0]:.3f} to {ratios[-1]:.3f}, median {ratios[len(ratios) // 2]:.3f}"
        )


if __name__ == "__main__":
    main()
