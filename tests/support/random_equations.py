"""Equations by chance: programs of a few lines that run on symbols and on arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from edge_rnn import cell
from edge_rnn.equations import functions as eq
from edge_rnn.layers import Cell

UNARY = ("sigmoid", "tanh", "relu", "absolute", "softplus", "hard_sigmoid", "leaky_relu", "softsign")
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
REDUCED = ("mean", "largest", "softmax", "layer norm")


@dataclass(frozen=True)
class Program:
    """Steps of which each takes earlier values; the last ones are put out and kept."""

    units: int
    inputs: int
    gates: int
    steps: tuple[tuple[str, int, int], ...]
    states: int
    seed: int

    def parameters(self) -> dict[str, Any]:
        """Matrices and vectors whose products stay within a few units."""
        random = np.random.default_rng(self.seed)

        def normal(*shape: int) -> Any:
            return random.normal(0, 1 / np.sqrt(shape[-1]), shape).astype(np.float32)

        rows = self.gates * self.units
        return {
            "w": normal(rows, self.inputs),
            "u": normal(rows, self.units),
            "v": normal(self.units, self.units),
            "b": normal(rows),
            "d": normal(self.units),
            "s": float(np.float32(random.normal())),
        }

    def sizes(self) -> dict[str, int]:
        return {f"s{k}": self.units for k in range(self.states)}

    def equation(self, p: Any, x: Any, **old: Any) -> tuple[Any, dict[str, Any]]:
        values = [*eq.split(p.w @ x + p.b + p.u @ old["s0"], self.gates), *eq.split(p.w @ x, self.gates), *old.values()]
        values += [p.d, p.d * p.s]
        for op, a, b in self.steps:
            left, right = values[a % len(values)], values[b % len(values)]
            if op in BINARY:
                made = BINARY[op](left, right)
            elif op == "matrix":
                made = p.v @ left
            elif op == "clip":
                made = eq.clip(left, 0.75)
            elif op == "layer norm":
                made = (left - eq.mean(left)) / eq.sqrt(eq.variance(left) + 0.1)
            elif op in ("mean", "largest"):
                made = left + getattr(eq, op)(right)
            else:
                made = getattr(eq, op)(left)
            values.append(made)
        new = dict(zip(old, [eq.tanh(value) for value in values[-len(old) :]], strict=True))
        return values[-1] + 0.5 * new["s0"], new


def programs(*, reductions: bool = True, most_steps: int = 8) -> st.SearchStrategy[Program]:
    ops = [*UNARY, *BINARY, "matrix", "clip", *(REDUCED if reductions else ())]
    places = st.integers(0, 63)
    return st.builds(
        Program,
        units=st.sampled_from([1, 3, 8, 13, 20]),
        inputs=st.integers(1, 5),
        gates=st.integers(1, 4),
        steps=st.lists(st.tuples(st.sampled_from(ops), places, places), min_size=1, max_size=most_steps).map(tuple),
        states=st.integers(1, 3),
        seed=st.integers(0, 999),
    )


def as_cell(program: Program) -> Cell:
    """The layer that computes a program."""
    functions = {
        1: lambda p, x, s0: program.equation(p, x, s0=s0),
        2: lambda p, x, s0, s1: program.equation(p, x, s0=s0, s1=s1),
        3: lambda p, x, s0, s1, s2: program.equation(p, x, s0=s0, s1=s1, s2=s2),
    }
    function = functions[program.states]
    function.__name__ = "program"
    return cell(function)(**program.parameters(), **program.sizes(), input_size=program.inputs)
