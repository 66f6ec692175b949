"""Random equations against float64: compiled for this machine, in banks, in integers, as a library, and in onnxruntime.

How far each may be off follows from the equation and the format: see ``error_bounds``. A few of each run usually, since
every one compiles kernels of its own; many more are marked ``slow``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

import doors
from edge_rnn import Model, Stream, quantize
from edge_rnn.layers import Cell
from error_bounds import bounded_steps
from random_equations import BINARY, REDUCED, UNARY, Program, as_cell, programs

STEPS = 5


def examples(count: int) -> Any:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
    phases = {*Phase} - {Phase.shrink}  # which would compile hundreds; a program is a few lines anyway
    return settings(max_examples=count, deadline=None, suppress_health_check=checks, phases=phases)


def samples(program: Program) -> Any:
    return np.random.default_rng(program.seed).normal(size=(STEPS, program.inputs)).astype(np.float32)


def expected(layer: Cell, xs: Any, own: float = 1.0) -> Any:
    """Steps in float64 with their bounds; discards programs that overflow float32, or whose bounds are too wide."""
    with np.errstate(all="ignore"):
        steps = list(bounded_steps(layer, xs, own=own))
    for y, error, _, _ in steps:
        assume(np.isfinite(y).all() and np.abs(y).max() < 1e9 and error.max() < 0.1 * (1 + np.abs(y).max()))
    return steps


def streams_and_banks(program: Program) -> None:
    layer, xs = as_cell(program), samples(program)
    doors.streams_and_banks(layer, xs, expected(layer, xs))


def in_a_stream(program: Program) -> None:
    layer, xs = as_cell(program), samples(program)
    doors.follows(Stream(Model([layer.replaced(name="cell1")])), xs, expected(layer, xs))


def in_format(program: Program, format_: str) -> None:
    model, xs = quantize(Model([as_cell(program).replaced(name="cell1")]), format_), samples(program)
    (layer,) = model.layers
    assert isinstance(layer, Cell)
    doors.follows(Stream(model), xs, expected(layer, xs))


def in_a_library(program: Program, path: Path) -> None:
    layer, xs = as_cell(program), samples(program)
    doors.library(layer, xs, expected(layer, xs), path)


def in_onnxruntime(program: Program) -> None:
    layer, xs = as_cell(program), samples(program)
    doors.onnxruntime(layer, xs, expected(layer, xs, own=4.0))


@examples(1)
@given(program=programs(most_steps=4))
def test_streams(program: Program) -> None:
    in_a_stream(program)


@pytest.mark.slow
@examples(4)
@given(program=programs())
def test_streams_and_banks_of_many(program: Program) -> None:
    streams_and_banks(program)


@pytest.mark.slow
@pytest.mark.parametrize("op", [*UNARY, *BINARY, *REDUCED, "matrix", "sum of gates", "row", "part", "concat"])
def test_streams_of_one_operation(op: str) -> None:
    @examples(1)
    @given(program=programs(only=(op,), most_steps=3))
    def check(program: Program) -> None:
        in_a_stream(program)

    check()


@pytest.mark.slow
@examples(1)
@given(program=programs(most_steps=4))
def test_integers(program: Program) -> None:
    in_format(program, "int8")


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["int8", "w8a8", "int4", "float16"])
def test_formats_of_many(format_: str) -> None:
    @examples(3)
    @given(program=programs())
    def check(program: Program) -> None:
        in_format(program, format_)

    check()


@pytest.mark.needs("linker:here")
@examples(1)
@given(program=programs(most_steps=4))
@pytest.mark.slow
def test_library(program: Program, tmp_path: Path) -> None:
    in_a_library(program, tmp_path)


@pytest.mark.slow
@pytest.mark.needs("linker:here")
@examples(3)
@given(program=programs())
def test_library_of_many(program: Program, tmp_path: Path) -> None:
    in_a_library(program, tmp_path)


@examples(2)
@given(program=programs(most_steps=6))
def test_onnxruntime(program: Program) -> None:
    in_onnxruntime(program)


@pytest.mark.slow
@examples(30)
@given(program=programs())
def test_onnxruntime_of_many(program: Program) -> None:
    in_onnxruntime(program)
