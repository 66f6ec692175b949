"""Compare the compiled loop for text generation with bare steps of the same network; see README.md in this folder.

    taskset -c 1 python tests/benchmarks/generate.py

Steps are those of ``Stream.run`` over the symbols of greedy generation, one-hot; LSTM of 128 units, 96 symbols, weights
uniform in +-1/sqrt(H). An untrained network makes all symbols about equally likely, which is the worst case of nucleus
sampling, so it is also measured with scores spread by a factor of 20, as in trained networks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np

import edge_rnn
from edge_rnn.bench.conditions import conditions, spell_conditions
from edge_rnn.cli.shared.console import spell_ns
from edge_rnn.sampling import Sampler
from edge_rnn.timing import Make, runs, time_chunks

KINDS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "greedy, penalty": {"temperature": 0, "repetition_penalty": 1.1},
    "drawn": {},
    "drawn, temperature": {"temperature": 0.8},
    "top_k 10": {"top_k": 10},
    "min_p 0.05": {"min_p": 0.05},
    "top_p 0.9": {"top_p": 0.9},
    "top_p 0.9, sure": {"top_p": 0.9, "temperature": 0.05},
    "all of it": {"top_k": 40, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.1, "temperature": 0.8},
}


def network(symbols: int, hidden: int, seed: int = 0) -> edge_rnn.Model:
    rng = np.random.default_rng(seed)

    def uniform(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape) / np.sqrt(hidden)

    cell = edge_rnn.LSTM(*(uniform(4 * hidden, *rest) for rest in ((symbols,), (hidden,), (), ())))
    return edge_rnn.Model([cell, edge_rnn.Dense(uniform(symbols, hidden), uniform(symbols))])


def writes(sampler: Sampler) -> Make:
    """Generate the requested number of symbols in one call."""

    def make(count: int) -> Callable[[], Any]:
        return lambda: sampler.generate([1], max_length=count) if count else None

    return make


def measure(symbols: int, hidden: int, seconds: float) -> dict[str, Any]:
    model = network(symbols, hidden)
    samplers = {name: Sampler(edge_rnn.Stream(model), **options) for name, options in KINDS.items()}
    written = samplers["greedy"].generate([1], max_length=1000).symbols
    xs = np.eye(symbols, dtype=np.float32)[[1, *written[:-1]]]
    makes = {"steps": runs(edge_rnn.Stream(model), xs)} | {name: writes(each) for name, each in samplers.items()}
    times = time_chunks(makes, seconds=seconds)
    return {"symbols": symbols, "hidden_size": hidden, "ns": {name: round(each.ns, 1) for name, each in times.items()}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--symbols", type=int, action="append", help="default 96")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each kind")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = conditions()
    rows = [measure(symbols, args.hidden, args.seconds) for symbols in args.symbols or [96]]
    if args.json:
        print(json.dumps({**found, "rows": rows}, indent=1))
        return 0
    for row in rows:
        steps = row["ns"].pop("steps")
        print(f"LSTM({row['hidden_size']}), {row['symbols']} symbols: {spell_ns(steps)} a step")
        for name, ns in row["ns"].items():
            print(f"  {name:20} {spell_ns(ns):>8} a symbol, {steps / ns:.2f} times the speed of bare steps")
    print(f"{found['date'][:10]}: {spell_conditions(found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
