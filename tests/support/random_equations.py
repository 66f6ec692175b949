"""Random equations: programs of a few lines that run on symbols and on arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from edge_rnn import cell
from edge_rnn.equations import functions as eq
from edge_rnn.layers import Cell

UNARY: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(eq, name) for name in ("sigmoid", "tanh", "relu", "absolute", "softplus", "hard_sigmoid", "erf")},
    **{name: getattr(eq, name) for name in ("leaky_relu", "softsign", "elu")},
    "falling": lambda a: eq.exp(-abs(a)),
    "power of e": lambda a: eq.exp(eq.minimum(a, 2.0)),
    "square": lambda a: a**2,
    "logarithm": lambda a: eq.log(abs(a) + 0.25),
    "root": lambda a: eq.sqrt(abs(a) + 0.25),
    "clip": lambda a: eq.clip(a, 0.75),
    "above": lambda a: eq.above(a, 0.3),
    "affine": lambda a: 0.5 * a - 0.25,
    "reflected": lambda a: 1 - a,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "tame quotient": lambda a, b: a / (abs(b) + 1.5),
    "minimum": eq.minimum,
    "maximum": eq.maximum,
    "mix": lambda a, b: (1 - eq.sigmoid(a)) * a + eq.sigmoid(a) * b,
    "sum and product": lambda a, b: a * b + a,
    "two products": lambda a, b: a * b + a * a,
}
REDUCED: dict[str, Callable[[Any, Any], Any]] = {
    "mean": lambda a, b: a + eq.mean(b),
    "total": lambda a, b: a * (0.1 * eq.total(b)),
    "largest": lambda a, b: a - eq.largest(b),
    "variance": lambda a, b: a / eq.sqrt(eq.variance(b) + 0.5),
    "softmax": lambda a, b: eq.softmax(a),
    "log softmax": lambda a, b: eq.log_softmax(a),
    "layer norm": lambda a, b: (a - eq.mean(a)) / eq.sqrt(eq.variance(a) + 0.1),
}
KEPT: tuple[Callable[[Any, Any], Any], ...] = (
    lambda old, new: eq.tanh(new),
    lambda old, new: eq.clip(new, 1.0),
    lambda old, new: (1 - eq.sigmoid(new)) * old + eq.sigmoid(new) * eq.tanh(new + old),
)
"""How a new state follows from an old one, so that it stays within 1."""
SIZES = (1, 3, 8, 13, 20)


class _Wanted:
    """Parameters that are created on first use: ``m8_3_0`` is a matrix, ``v8`` a vector."""

    def __init__(self, seed: int) -> None:
        self.made: dict[str, Any] = {"s": float(np.float32(np.random.default_rng(seed).normal()))}

    def __getattr__(self, name: str) -> Any:
        if name not in self.made:
            shape = [int(length) for length in name[1:].split("_")][: 2 if name[0] == "m" else 1]
            random = np.random.default_rng([*name.encode()])
            self.made[name] = random.normal(0, 1 / np.sqrt(shape[-1]), shape).astype(np.float32)
        return self.made[name]


@dataclass(frozen=True)
class Program:
    """Steps that each take earlier values; the last one is the output, and all states are derived from it.

    ``sizes_`` are the lengths of the states; an equation without states has vectors of the first length all the same.
    """

    sizes_: tuple[int, ...]
    keeps: bool
    inputs: int
    gates: int
    steps: tuple[tuple[str, int, int], ...]
    seed: int

    @property
    def states(self) -> int:
        return len(self.sizes())

    def parameters(self) -> dict[str, Any]:
        """Matrices and vectors whose products stay within a few units, and a number."""
        wanted = _Wanted(self.seed)
        self.equation(wanted, np.zeros(self.inputs), **{name: np.zeros(size) for name, size in self.sizes().items()})
        return {name: wanted.made[name] for name in sorted(wanted.made)}

    def sizes(self) -> dict[str, int]:
        return {f"s{k}": size for k, size in enumerate(self.sizes_) if self.keeps}

    def equation(self, p: Any, x: Any, **old: Any) -> tuple[Any, dict[str, Any]]:
        rows = self.gates * self.sizes_[0]

        def times(rows: int, value: Any, number: int = 0) -> Any:
            return getattr(p, f"m{rows}_{value.shape[0]}_{number}") @ value

        def row(size: int) -> Any:
            return getattr(p, f"v{size}")

        wx = times(rows, x)
        gates = eq.split(wx + row(rows) + times(rows, old.get("s0", x), 1), self.gates)
        values = [*gates, *eq.split(wx, self.gates), *old.values(), row(self.sizes_[0]) * p.s]
        for op, a, b in self.steps:
            left = values[a % len(values)]
            size = left.shape[0]
            alike = [value for value in values if value.shape == left.shape]
            right = alike[b % len(alike)]
            if op in BINARY:
                made = BINARY[op](left, right)
            elif op in REDUCED:
                made = REDUCED[op](left, right)
            elif op == "matrix":
                made = times(SIZES[b % len(SIZES)], left, b % 2)
            elif op == "sum of gates":
                made = sum(gates[1:], gates[0]) + times(self.sizes_[0], x, 2)
            elif op == "row":
                made = left * row(size)
            elif op == "part":
                start = b % size
                made = left[start : start + max(1, (size - start) // 2)]
            elif op == "concat":
                made = eq.concat(left, values[b % len(values)])
            else:
                made = UNARY[op](left)
            values.append(made)
        new = {}
        for k, (name, size) in enumerate(self.sizes().items()):
            found = [value for value in values if value.shape == (size,)]
            value = found[-1] if found and k % 2 == 0 else times(size, values[-1])
            new[name] = KEPT[(self.seed + k) % len(KEPT)](old[name], value)
        return values[-1], new


def programs(*, reductions: bool = True, most_steps: int = 8, only: tuple[str, ...] = ()) -> st.SearchStrategy[Program]:
    """Programs out of all operations, or out of some by name."""
    ops = only or (*UNARY, *BINARY, "matrix", "sum of gates", "row", "part", "concat", *(REDUCED if reductions else ()))
    places = st.integers(0, 63)
    return st.builds(
        Program,
        sizes_=st.lists(st.sampled_from(SIZES), min_size=1, max_size=3).map(tuple),
        keeps=st.integers(0, 3).map(bool),
        inputs=st.integers(1, 5),
        gates=st.integers(1, 4),
        steps=st.lists(st.tuples(st.sampled_from(ops), places, places), min_size=1, max_size=most_steps).map(tuple),
        seed=st.integers(0, 999),
    )


def as_cell(program: Program) -> Cell:
    """The layer that computes a program."""
    functions = {
        0: lambda p, x: program.equation(p, x),
        1: lambda p, x, s0: program.equation(p, x, s0=s0),
        2: lambda p, x, s0, s1: program.equation(p, x, s0=s0, s1=s1),
        3: lambda p, x, s0, s1, s2: program.equation(p, x, s0=s0, s1=s1, s2=s2),
    }
    function = functions[program.states]
    function.__name__ = "program"
    return cell(function)(**program.parameters(), **program.sizes(), input_size=program.inputs)
