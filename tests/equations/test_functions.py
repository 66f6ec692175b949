"""Functions to write equations with, against PyTorch's: on arrays, and in a cell compiled, exported and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Model, Stream, cell, reference
from edge_rnn.equations import functions as eq
from edge_rnn.equations.bounds import intervals, parameter_intervals
from edge_rnn.errors import InputError, ModelError
from edge_rnn.layers import Cell
from edge_rnn_export import from_onnx, to_onnx
from error_bounds import bounded_steps
from needs import package

GOLDEN = Path(__file__).parents[1] / "golden" / "torch_functions.npz"
INPUTS, UNITS = 3, 11

FUNCTIONS: Mapping[str, Callable[[Any, Any, Any], Any]] = {
    "relu6": lambda x, weight, bias: eq.relu6(x),
    "prelu": lambda x, weight, bias: eq.prelu(x, weight),
    "selu": lambda x, weight, bias: eq.selu(x),
    "celu": lambda x, weight, bias: eq.celu(x),
    "celu:0.5": lambda x, weight, bias: eq.celu(x, 0.5),
    "silu": lambda x, weight, bias: eq.silu(x),
    "hard_swish": lambda x, weight, bias: eq.hard_swish(x),
    "mish": lambda x, weight, bias: eq.mish(x),
    "log_sigmoid": lambda x, weight, bias: eq.log_sigmoid(x),
    "rsqrt": lambda x, weight, bias: eq.rsqrt(abs(x) + 0.5),
    "log": lambda x, weight, bias: eq.log(abs(x) + 0.5),
    "erf": lambda x, weight, bias: eq.erf(x),
    "gelu": lambda x, weight, bias: eq.gelu(x),
    "gelu:tanh": lambda x, weight, bias: eq.gelu(x, "tanh"),
    "log_softmax": lambda x, weight, bias: eq.log_softmax(x),
    "layer_norm": lambda x, weight, bias: eq.layer_norm(x, weight, bias),
    "layer_norm:1": lambda x, weight, bias: eq.layer_norm(x, eps=1.0),
    "rms_norm": lambda x, weight, bias: eq.rms_norm(x, weight),
}


@cell
def all_functions(p: Any, x: Any, h: Any) -> Any:
    """Every function of one vector, one after the other."""
    v = p.w @ x + 0.25 * h
    made = [function(v, p.weight, p.bias) for function in FUNCTIONS.values()]
    return eq.concat(*made), {"h": eq.tanh(v)}


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def make_all_functions() -> Cell:
    weights = {"w": 2 * normal(0, UNITS, INPUTS), "weight": normal(1, UNITS), "bias": normal(2, UNITS)}
    return all_functions(**weights, name="rnn")


def test_golden_file_has_every_function() -> None:
    with np.load(GOLDEN) as golden:
        assert {*golden.files} == {*FUNCTIONS, "x", "weight", "bias"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_an_array_is_that_of_pytorch(name: str) -> None:
    """PyTorch's float64 values, as ``golden/make_torch_functions.py`` kept them."""
    with np.load(GOLDEN) as golden:
        found = FUNCTIONS[name](*(golden[key] for key in ("x", "weight", "bias")))
        np.testing.assert_allclose(found, golden[name], rtol=1e-13, atol=1e-15)


@pytest.mark.torch
def test_function_of_random_values_is_that_of_pytorch() -> None:
    package("torch")
    from tests.golden.make_torch_functions import values

    x, weight, bias = (np.float64(10) * normal(seed, 1000) for seed in range(3))
    expected = values(x, weight, bias)
    assert {*expected} == {*FUNCTIONS}
    for name, function in FUNCTIONS.items():
        np.testing.assert_allclose(function(x, weight, bias), expected[name], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.torch
def test_default_of_rms_norm_is_that_of_pytorch_in_float32() -> None:
    torch = package("torch")
    x = 1e-4 * normal(0, 20)
    expected = torch.nn.functional.rms_norm(torch.tensor(x), x.shape).numpy()
    np.testing.assert_allclose(eq.rms_norm(x), expected, rtol=1e-6)
    assert np.abs(eq.rms_norm(x, eps=0.0) - expected).max() > 0.1


@pytest.mark.slow
def test_kernel_of_every_function_is_as_near_float64_as_its_operations() -> None:
    layer, xs = make_all_functions(), normal(5, 40, INPUTS)
    stream = Stream(Model([layer]))
    for x, (y, error, _, _) in zip(xs, bounded_steps(layer, xs), strict=True):
        assert (np.abs(stream.step(x) - y) <= error).all()
        assert error.max() < 1e-3 * (1 + np.abs(y).max())


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.slow
def test_onnxruntime_computes_every_function(form: Any, tmp_path: Path) -> None:
    model, path = Model([make_all_functions()]), tmp_path / "m.onnx"
    to_onnx(model, path, form=form, steps=60)  # raises where onnxruntime disagrees
    assert from_onnx(path).fingerprint == model.fingerprint


@pytest.mark.torch
def test_pytorch_module_computes_every_function() -> None:
    torch = package("torch")
    from edge_rnn_export import to_torch

    model, xs = Model([make_all_functions()]), normal(7, 20, INPUTS)
    with torch.no_grad():
        ys, _ = to_torch(model).double()(torch.tensor(xs, dtype=torch.float64))
    expected, _ = reference.run(model, xs)
    np.testing.assert_allclose(ys, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("x", [0.0, -1.0])
def test_stream_refuses_a_logarithm_that_is_not_finite(x: float) -> None:
    @cell
    def logarithm(p: Any, x: Any) -> Any:
        return eq.log(x), {}

    model = Model([logarithm(input_size=1)])
    with pytest.raises(InputError, match="overflow"):
        Stream(model).step(x)
    np.testing.assert_allclose(Stream(model).step(1e-40), np.log(np.float32(1e-40)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error_function_of_arrays_and_numbers(dtype: Any) -> None:
    x = np.linspace(-6, 6, 60).astype(dtype).reshape(5, 4, 3)
    expected = np.array([erf(value) for value in x.ravel()]).reshape(x.shape).astype(dtype)
    found = eq.erf(x)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    assert eq.erf(x[:0]).shape == (0, 4, 3)
    assert eq.erf(0.3) == erf(0.3)
    assert eq.erf(1) == erf(1)


def test_unknown_form_of_gelu_is_refused() -> None:
    @cell
    def unknown(p: Any, x: Any) -> Any:
        return eq.gelu(x, p.form), {}

    with pytest.raises(ModelError, match="gelu approximate got 'sigmoid', expected 'none' or 'tanh'"):
        eq.gelu(np.zeros(3), "sigmoid")
    with pytest.raises(ModelError, match=r"unknown, line .*gelu approximate got 'sigmoid'"):
        unknown(form="sigmoid", input_size=3)


def test_values_of_every_function_lie_within_their_intervals() -> None:
    layer, xs = make_all_functions(), normal(8, 2000, INPUTS)
    graph, most = layer.graph, float(np.abs(xs).max())
    found = intervals(graph, (-most, most), {"h": (-1.0, 1.0)}, parameter_intervals(layer.parameters))
    ys, _ = reference.run(Model([layer]), xs)
    parts = graph.nodes[graph.output].args
    assert len(parts) == len(FUNCTIONS)
    for name, place, values in zip(FUNCTIONS, parts, np.split(ys, len(parts), axis=1), strict=True):
        low, high = found[place]
        assert low - 1e-9 <= values.min(), name
        assert values.max() <= high + 1e-9, name
