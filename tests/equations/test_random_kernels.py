"""Random equations against float64: compiled for this machine, in banks, in integers, as a library, and in onnxruntime.

How far each may be off follows from the equation and the format: see ``error_bounds``. A few of each run usually, since
every one compiles kernels of its own; many more are marked ``slow``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from built_libraries import Library, this_machine
from edge_rnn import Model, Stream, StreamBank, quantize
from edge_rnn.kernels.entry import object_cache
from edge_rnn.layers import Cell
from edge_rnn_export import OrtStream, build
from error_bounds import bounded_steps
from graphs import graph_of
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


def assert_within(found: Any, wanted: Any, error: Any, what: str = "y") -> None:
    excess = np.abs(found - wanted) - error
    assert (excess <= 0).all(), f"{what} is {excess.max():.3g} further off than {error[excess.argmax()]:.3g}"


def follows(stream: Any, layer: Cell, xs: Any) -> None:
    for x, (y, error, states, errors) in zip(xs, expected(layer, xs), strict=True):
        assert_within(stream.step(x), y, error)
        for name, value in states.items():
            assert_within(stream.state[f"program1.{name}"], value, errors[name], name)


def streams_and_banks(program: Program) -> None:
    layer, xs = as_cell(program), samples(program)
    model = Model([layer.replaced(name="program1")])
    follows(Stream(model), layer, xs)
    steps = expected(layer, xs)
    for count in (2, object_cache.host().group + 1):
        bank = StreamBank(model, count)
        for x, (y, error, _, _) in zip(xs, steps, strict=True):
            for row in bank.step(np.tile(x, (count, 1))):
                assert_within(row, y, error)


def in_format(program: Program, format_: str) -> None:
    model = quantize(Model([as_cell(program).replaced(name="program1")]), format_)
    (layer,) = model.layers
    assert isinstance(layer, Cell)
    follows(Stream(model), layer, samples(program))


def in_a_library(program: Program, path: Path) -> None:
    layer, xs = as_cell(program), samples(program)
    folder = Path(tempfile.mkdtemp(dir=path))  # one that was loaded from the same path would be taken again
    steps = expected(layer, xs)
    build(Model([layer]), this_machine(), folder, name="net")
    built = Library(folder, "net")
    assert built("self_test", built.state) == 0
    assert built("reset", built.state) == 0
    for x, (y, error, _, _) in zip(xs, steps, strict=True):
        status, found = built.step(x)
        assert status == 0
        assert_within(found, y, error)


def in_onnxruntime(program: Program) -> None:
    layer, xs = as_cell(program), samples(program)
    steps = expected(layer, xs, own=4.0)
    stream = OrtStream(graph_of(Model([layer])).SerializeToString())
    for x, (y, error, _, _) in zip(xs, steps, strict=True):
        assert_within(stream.step(x), y, error)


@examples(1)
@given(program=programs(most_steps=4))
def test_streams_and_banks(program: Program) -> None:
    streams_and_banks(program)


@pytest.mark.slow
@examples(20)
@given(program=programs())
def test_streams_and_banks_of_many(program: Program) -> None:
    streams_and_banks(program)


@pytest.mark.slow
@pytest.mark.parametrize("op", [*UNARY, *BINARY, *REDUCED, "matrix", "sum of gates", "row", "part", "concat"])
def test_streams_and_banks_of_one_operation(op: str) -> None:
    @examples(1)
    @given(program=programs(only=(op,), most_steps=3))
    def check(program: Program) -> None:
        streams_and_banks(program)

    check()


@examples(1)
@given(program=programs(most_steps=4))
def test_integers(program: Program) -> None:
    in_format(program, "int8")


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["int8", "w8a8", "int4", "float16"])
def test_formats_of_many(format_: str) -> None:
    @examples(6)
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
@examples(6)
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
