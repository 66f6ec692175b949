"""Compare the step times of two checkouts, in turn: the speed-up by a change to the kernels.

    taskset -c 1 python tests/benchmarks/against.py ../before        # this checkout against the one in ../before
    taskset -c 1 python tests/benchmarks/against.py 7eebd92          # or against a commit, checked out aside

Each checkout runs in a separate process, and does a chunk of 0.5 ms of steps on request: first one, then
the other, case by case. Of many chunks the least counts. A process keeps the places of its code and memory, which small
networks feel, so there are several pairs of processes; what is printed is the least of all, and in brackets how far
apart the ratios of single pairs lie. A ratio below 1 is a gain of this checkout. See README.md in this folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
SHAPES = ((1, 8), (1, 20), (1, 40), (6, 32), (16, 64), (40, 128))
CELLS = ("Elman", "GRU", "LSTM")
CALLS = ("loop", "python", "run", "bank")
"""A step in a compiled loop of the user's; called from Python; many steps in one call; of 8 streams together."""
STREAMS = 8
CHUNK_NS = 500_000


def network(cell: str, inputs: int, hidden: int, format_: str = "float32") -> Any:
    """The cell and a Dense of 4 outputs, weights uniform in +-1/sqrt(H)."""
    import numpy as np

    import edge_rnn

    kind, _, variant = cell.partition(":")
    rng, gates = np.random.default_rng(hidden), {"Elman": 1, "GRU": 3, "LSTM": 4}[kind]

    def uniform(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape) / np.sqrt(hidden)

    rows, outputs = gates * hidden, min(16, hidden) if variant == "projection" else hidden
    options: dict[str, Any] = {
        "": {},
        "relu": {"activation": "relu"},
        "before": {"reset_after": False},
        "softsign": {"candidate_activation": "softsign"},
        "hard": {"gate_activation": "hard_sigmoid"},
        "peephole": {"peephole": uniform(3 * hidden)},
        "input": {"coupled": "input"},
        "forget": {"coupled": "forget", "peephole": uniform(3 * hidden), "cell_clip": 0.5},
        "clip": {"gate_clip": 0.5},
        "projection": {"weight_hr": uniform(outputs, hidden)},
    }[variant]
    arrays = uniform(rows, inputs), uniform(rows, outputs), uniform(rows), uniform(rows)
    recurrent = getattr(edge_rnn, kind)(*arrays, **options)
    model = edge_rnn.Model([recurrent, edge_rnn.Dense(uniform(4, outputs), uniform(4))])
    return model if format_ == "float32" else edge_rnn.quantize(model, format_)


def chunk_of(model: Any, call: str, loop: Callable[..., None]) -> Callable[[int], Any]:
    """Make a function that takes the given number of steps."""
    import numpy as np

    import edge_rnn

    rng = np.random.default_rng(1)
    if call == "bank":
        bank = edge_rnn.StreamBank(model, STREAMS)
        xs = rng.standard_normal((STREAMS, model.input_size)).astype(np.float32)

        def step_bank(count: int) -> None:
            for _ in range(count // STREAMS):
                bank.step(xs)

        return step_bank
    stream = edge_rnn.Stream(model)
    x = rng.standard_normal(model.input_size).astype(np.float32)
    y = np.zeros(model.output_size, np.float32)
    if call == "loop":
        return lambda count: loop(stream.handle, x, y, count, stream)
    if call == "python":

        def step(count: int) -> None:
            one = stream.step
            for _ in range(count):
                one(x)

        return step
    xs, ys = np.tile(x, (20_000, 1)), np.empty((20_000, model.output_size), np.float32)
    return lambda count: stream.run(xs[:count], ys[:count])


def work(cases: Sequence[Sequence[Any]]) -> None:
    """Serve in a process of a checkout: run a chunk of each case whose number is received; answer ns per step."""
    from numba import njit

    import edge_rnn

    step = edge_rnn.step

    @njit
    def steps(handle, x, y, count):  # type: ignore[no-untyped-def]
        for _ in range(count):
            step(handle, x, y)

    def loop(handle: int, x: Any, y: Any, count: int, _keep: Any) -> None:
        steps(handle, x, y, count)

    now, ready = time.perf_counter_ns, []
    for cell, inputs, hidden, call, format_ in cases:
        chunk, count = chunk_of(network(cell, inputs, hidden, format_), call, loop), STREAMS
        ns = 0
        while ns < CHUNK_NS and count < 10_000:
            count *= 2
            chunk(count)
            start = now()
            chunk(count)
            ns = now() - start
        ready.append((chunk, max(STREAMS, count * CHUNK_NS // max(ns, 1) // STREAMS * STREAMS)))
    print("ready", flush=True)
    for line in sys.stdin:
        chunk, count = ready[int(line)]
        count = min(count, 20_000)
        chunk(max(STREAMS, count // 8))
        start = now()
        chunk(count)
        print((now() - start) / count, flush=True)


@contextmanager
def worker(checkout: Path, cases: Sequence[Sequence[Any]]) -> Iterator[Callable[[int], float]]:
    """Start a process of a checkout; return a function that makes it run a chunk of a case and returns ns per step."""
    places = os.pathsep.join(map(str, (checkout, checkout / "export")))
    command = [sys.executable, __file__, "--work", json.dumps(cases)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": places}
    )
    assert process.stdin
    assert process.stdout
    if process.stdout.readline().strip() != "ready":
        raise SystemExit(f"{checkout} does not start; what it says is above.")

    def chunk(case: int) -> float:
        process.stdin.write(f"{case}\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    try:
        yield chunk
    finally:
        process.stdin.close()
        process.wait()


@contextmanager
def checkout_of(what: str) -> Iterator[Path]:
    """Folder as given, or a commit of this repository exported to a temporary folder."""
    if Path(what).is_dir():
        yield Path(what).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "-C", str(HERE), "archive", what], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def measure(before: Path, cases: Sequence[Sequence[Any]], chunks: int) -> list[tuple[float, float]]:
    """Measure the minimum ns per step of both checkouts in each case, with one pair of processes."""
    least = [[float("inf")] * 2 for _ in cases]
    with ExitStack() as stack:
        pair = [stack.enter_context(worker(checkout, cases)) for checkout in (before, HERE)]
        for turn, case in product(range(chunks), range(len(cases))):
            for side in (0, 1) if turn % 2 else (1, 0):
                least[case][side] = min(least[case][side], pair[side](case))
    return [(old, new) for old, new in least]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", nargs="?", help="a folder with a checkout, or a commit")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of processes")
    parser.add_argument("--chunks", type=int, default=40, help="chunks of each case in each process")
    parser.add_argument("--cells", default=",".join(CELLS), help="GRU, or a variant of one: GRU:before, LSTM:peephole")
    parser.add_argument("--format", default="float32", help="of all matrices")
    parser.add_argument("--calls", default=",".join(CALLS))
    parser.add_argument("--shapes", default=" ".join(f"{i},{h}" for i, h in SHAPES))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(json.loads(args.work))
        return
    if not args.before:
        parser.error("which checkout to compare with: a folder or a commit")
    shapes = [tuple(map(int, shape.split(","))) for shape in args.shapes.split()]
    cases = [
        (cell, *shape, call, args.format)
        for cell in args.cells.split(",")
        for shape in shapes
        for call in args.calls.split(",")
    ]
    with checkout_of(args.before) as before:
        found = [measure(before, cases, args.chunks) for _ in range(args.pairs)]
    print(f"{'':30}{'before':>10}{'now':>10}{'ratio':>8}   pairs")
    for case, (cell, inputs, hidden, call, _) in enumerate(cases):
        old, new = (min(pair[case][side] for pair in found) for side in (0, 1))
        ratios = sorted(pair[case][1] / pair[case][0] for pair in found)
        print(
            f"{cell:16}{f'({inputs},{hidden})':9}{call:6}"
            f"{old:9.1f} {new:9.1f} {new / old:7.3f}   [{ratios[0]:.2f} {ratios[-1]:.2f}]"
        )


if __name__ == "__main__":
    main()
