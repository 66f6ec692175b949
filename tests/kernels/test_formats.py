"""Matrices in other formats: their float32 matrix, refused values, and kernels that compute with exactly that."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import GRU, Dense, Model, Stream, StreamBank, reference
from edge_rnn.errors import ModelError
from edge_rnn.formats import W8A8, Float16, Int4, Int8, LowRank, Matrix, Sparse
from edge_rnn.layers import Embedding
from edge_rnn.quantization.apply import matrices, spelled

pytestmark = pytest.mark.sampled(1)

Build = Callable[..., Model]
InFormat = Callable[[Model, str], Model]

CELLS = ("gru", "lstm", "elman_tanh", "elman_relu", "gru_reset_before")
FORMATS = ("float16", "int8", "w8a8", "int4", "sparse:0.5", "rank:2")

# Relative RMS of Stream against the reference with the same matrices, which are exact. What is left is float32 (1e-7 a
# step, and a factor for the steps it is carried through), and vectors that are rounded to steps: an RMS of 1 / sqrt(12)
# of a step, for vectors whose own RMS is a thirteenth of their range or more.
ROUNDED = {steps: 13 / steps / np.sqrt(12) for steps in (127, 32639)}
TOLERANCE = {"float16": 1e-6, "sparse:0.5": 1e-6, "rank:2": 1e-6}
TOLERANCE |= {"int8": ROUNDED[32639], "int4": ROUNDED[32639], "w8a8": ROUNDED[127]}

SHAPES = [(3, 5), (1, 8), (9, 24), (16, 40)]


def relative_error(ys: Any, expected: Any) -> float:
    return float(np.sqrt(np.mean((ys - expected) ** 2) / np.mean(expected**2)))


def samples(model: Model, count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, model.input_size)).astype(np.float32)


@pytest.mark.parametrize(("cell", "format_"), list(itertools.product(CELLS, FORMATS)))
@pytest.mark.parametrize("shape", SHAPES)
def test_stream_computes_with_what_the_format_stands_for(
    make_model: Build, in_format: InFormat, cell: str, shape: tuple[int, int], format_: str
) -> None:
    model = in_format(make_model(cell, *shape, layers=2, head=9, initial=True), format_)
    xs = samples(model, 200)
    assert relative_error(Stream(model).run(xs), reference.run(model, xs)[0]) <= TOLERANCE[format_]


@pytest.mark.parametrize(
    ("activation", "format_"),
    list(itertools.product(["none", "sigmoid", "tanh", "softmax"], FORMATS)),
)
@pytest.mark.parametrize("head", [1, 3, 8, 20])
def test_dense_in_every_format(
    make_model: Build, in_format: InFormat, format_: str, activation: str, head: int
) -> None:
    cell, plain = make_model("elman_tanh", 4, 24, head=head, activation=activation).layers
    model = Model([cell, *in_format(Model([plain]), format_).layers])
    xs = samples(model, 100)
    assert relative_error(Stream(model).run(xs), reference.run(model, xs)[0]) <= TOLERANCE[format_]


MIXED = [("float32", "int8"), ("float16", "sparse:0.5"), ("int8", "float32"), ("int4", "w8a8"), ("sparse:0.5", "int8")]


@pytest.mark.parametrize(
    ("cell", "ih", "hh"),
    [(cell, *formats) for cell in ("gru", "lstm", "gru_reset_before") for formats in MIXED],
)
def test_formats_may_be_mixed(make_model: Build, cell: str, ih: str, hh: str) -> None:
    name = make_model(cell, 16, 24).layers[0].name
    model = edge_rnn.quantize(make_model(cell, 16, 24), {f"{name}.weight_ih": ih, f"{name}.weight_hh": hh})
    xs = samples(model, 50)
    error = relative_error(Stream(model).run(xs), reference.run(model, xs)[0])
    assert error <= max(TOLERANCE.get(ih, 0.0), TOLERANCE.get(hh, 0.0))


@pytest.mark.parametrize("units", [72, 130, 200])
def test_layers_and_ranks_wider_than_the_widest_panel(units: int) -> None:
    """A low rank is packed by its own matrices, and must agree with the kernels on the width of panels."""
    rng = np.random.default_rng(units)
    plain, left, right = (rng.standard_normal(shape) / np.sqrt(units) for shape in ((units, 3), (5, units), (units, 3)))
    first = Dense(plain, activation="tanh")
    model = Model([first, Dense(LowRank(rng.standard_normal((units, units)) / units, np.eye(units))), Dense(left)])
    xs = samples(model, 20)
    assert relative_error(Stream(model).run(xs), reference.run(model, xs)[0]) <= 1e-6
    model = Model([Dense(LowRank(left, right))])
    assert relative_error(Stream(model).run(xs), reference.run(model, xs)[0]) <= 1e-6


@pytest.mark.parametrize("rows", [511, 512, 513, 1100])
@pytest.mark.slow
def test_sums_do_not_overflow_in_long_rows(rows: int) -> None:
    """All weights and values at their largest: 1100 * 127 * 32639 is twice what 32 bits hold."""
    weight = Int8(np.full((4, rows), 127, np.int8), np.full(4, 1 / 127, np.float32))
    model = Model([Dense(weight), Dense(np.eye(4, dtype=np.float32))])
    ten = Model([Dense(Int8(np.full((10, rows), 127, np.int8), np.full(10, 1 / 127, np.float32)))])
    for each in (model, ten):
        y = Stream(each).step(np.full(rows, -7.5, np.float32))
        np.testing.assert_allclose(y, np.full(each.output_size, -7.5 * rows), rtol=1e-6)


def test_vectors_are_clipped_at_their_range() -> None:
    values = np.full((9, 8), 100, np.int8)
    weight = Int8(values, np.full(9, 0.01, np.float32), input_range=2.0)
    y = Stream(Model([Dense(weight)])).step(np.full(8, 50.0, np.float32))
    np.testing.assert_allclose(y, 8 * 2.0, rtol=1e-4)
    free = Int8(values, np.full(9, 0.01, np.float32))
    np.testing.assert_allclose(Stream(Model([Dense(free)])).step(np.full(8, 50.0, np.float32)), 400.0, rtol=1e-4)


@pytest.mark.parametrize(("kind", "steps"), [(Int8, 32639), (W8A8, 127)])
@pytest.mark.parametrize("size", [1.0, 1e36])
@pytest.mark.slow
def test_vectors_are_rounded_just_as_the_format_says_at_weights_of_any_size(
    kind: type[Int8], steps: int, size: float
) -> None:
    """At 1e36, the sign of an integer sum opens or closes a gate, and one step of one value flips it."""
    rng = np.random.default_rng(5)
    units, values = 6, rng.integers(-127, 128, (24, 6)).astype(np.int8)
    scale = (size * rng.uniform(0.5, 1.5, 24) / 127).astype(np.float32)
    weight_ih, bias = rng.uniform(-1, 1, (24, 2)).astype(np.float32), rng.uniform(-1, 1, 24).astype(np.float32)
    xs = rng.standard_normal((60, 2)).astype(np.float32)
    ys = Stream(Model([edge_rnn.LSTM(weight_ih, kind(values, scale), bias)])).run(xs)
    h, c, expected = np.zeros(units), np.zeros(units), []
    for x in xs.astype(np.float64):  # the state of the network in turn, a state's range being 1
        sums = scale.astype(np.float64) * (values @ np.rint(h * steps)) / steps + weight_ih @ x + bias
        i, f, g, o = sums.reshape(4, units)
        sigmoid_i, sigmoid_f, sigmoid_o = (np.exp(-np.logaddexp(0, -each)) for each in (i, f, o))
        c = sigmoid_f * c + sigmoid_i * np.tanh(g)
        h = sigmoid_o * np.tanh(c)
        expected.append(h)
    np.testing.assert_allclose(ys, expected, atol=1e-5)


@pytest.mark.parametrize("kind", [Int8, W8A8, Int4.of])
@pytest.mark.parametrize("limit", [0.0, -1.0, 1e-31, 1e-310, 1e39, 1e308, np.inf, np.nan, "1", True, [1.0]])
def test_a_range_that_float32_has_no_steps_for_is_refused(kind: Callable[..., Matrix], limit: Any) -> None:
    """Neither a step nor its inverse may be 0 or infinite: then all products would be 0 or not finite."""
    with pytest.raises(ModelError, match=r"input_range got .*expected None or a number from 1e-30 to 3.4e\+38"):
        kind(np.ones((2, 3), np.int8), np.ones((2, 1) if kind == Int4.of else 2, np.float32), input_range=limit)


@pytest.mark.parametrize("given", [True, False])
def test_vectors_of_the_least_and_the_largest_range_are_multiplied(given: bool) -> None:
    for limit, scale in ((1e-30, 1e30), (1e37, 1e-36)):
        weight = W8A8(np.full((3, 2), 2, np.int8), np.full(3, scale, np.float32), input_range=limit if given else None)
        y = Stream(Model([Dense(weight)])).step(np.full(2, limit, np.float32))
        np.testing.assert_allclose(y, 4 * limit * scale, rtol=1e-5)


@pytest.mark.parametrize("format_", ["int8", "int4", "w8a8"])
def test_an_initial_state_far_above_all_later_ones_does_not_coarsen_them(make_model: Build, format_: str) -> None:
    """Steps of 1e5 / 127 would round every state after the first one to 0."""
    plain = make_model("lstm", 2, 8, head=2)
    cell = dataclasses.replace(plain.layers[0], h0=np.linspace(-1e5, 1e5, 8))
    model = edge_rnn.quantize(Model([cell, *plain.layers[1:]]), format_)
    xs = samples(model, 100)
    ys, expected = Stream(model).run(xs)[50:], reference.run(model, xs)[0][50:]
    assert relative_error(ys, expected) <= TOLERANCE[format_]


@pytest.mark.parametrize("name", ["weight_hh", "dense"])
@pytest.mark.parametrize("format_", ["int8", "int4", "w8a8", "float16"])
def test_a_state_that_would_be_cut_off_is_refused(make_model: Build, format_: str, name: str) -> None:
    plain = make_model("gru", 2, 8, head=2)
    matrix = f"{plain.layers[0].name}.weight_hh" if name == "weight_hh" else plain.layers[1].name
    stream, key = Stream(edge_rnn.quantize(plain, {matrix: format_})), f"{plain.layers[0].name}.h"
    stream.set_state({key: np.linspace(-1, 1, 8)})
    before = stream.state
    if format_ == "float16":
        stream.set_state({key: np.full(8, -3.0)})
        return
    with pytest.raises(
        edge_rnn.errors.StateError, match=r"got 3 in .*h, expected at most 1, where an integer matrix clips it"
    ):
        stream.set_state({key: np.full(8, -3.0)})
    np.testing.assert_array_equal(stream.state[key], before[key])


@pytest.mark.parametrize("format_", ["int8", "int4", "w8a8"])
def test_a_row_of_an_embedding_far_above_the_others_does_not_coarsen_them(format_: str) -> None:
    rows = np.random.default_rng(2).uniform(-1, 1, (4, 8))
    rows[3] *= 1e5
    model = edge_rnn.quantize(Model([Embedding(rows), Dense(rows[:3])]), {"dense2": format_})
    xs = np.array([[0.0], [1.0], [2.0]], np.float32)
    ys, expected = Stream(model).run(xs), reference.run(model, xs)[0]
    assert relative_error(ys, expected) <= TOLERANCE[format_]


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 1e-33])
@pytest.mark.parametrize("format_", ["int8", "int4", "w8a8"])
def test_vectors_that_layers_before_keep_next_to_zero_leave_the_bias(format_: str, size: float) -> None:
    embedded = Model([Embedding(np.full((2, 3), size)), Dense(np.ones((2, 3)), [1.5, -2.0])])
    model = edge_rnn.quantize(embedded, {"dense2": format_})
    np.testing.assert_array_equal(Stream(model).step(np.ones(1, np.float32)), np.float32([1.5, -2.0]))


@pytest.mark.slow
def test_a_recording_of_values_that_are_next_to_nothing_gives_no_range() -> None:
    """States of 1e-31 are rounded by their own largest value; a range that files do not hold is not written."""
    model = Model([edge_rnn.LSTM(np.full((4, 1), 1e-15), np.eye(4, 1), None), Dense(np.ones((1, 1)))])
    small = edge_rnn.quantize(model, {"lstm1.weight_hh": "w8a8"}, calibration=np.full((20, 1), 1e-15, np.float32))
    assert small.layers[0].formats["weight_hh"].options == {"input_range": None}


@pytest.mark.parametrize("kind", [Int8, W8A8])
def test_an_overflow_is_seen_behind_integers(kind: type[Int8]) -> None:
    """Rounding must not turn a value that is not finite into a number."""
    big = Dense(np.full((8, 1), 3e38, np.float32))
    after = Dense(kind(np.ones((9, 8), np.int8), np.ones(9, np.float32)))
    infinite = Stream(Model([big, after]))
    with pytest.raises(edge_rnn.errors.InputError, match="overflow"):
        infinite.step(np.full(1, 10.0, np.float32))


@pytest.mark.slow
def test_zero_vectors_and_zero_rows() -> None:
    model = Model([GRU(np.zeros((24, 3)), np.zeros((24, 8))), Dense(np.zeros((12, 8)), np.arange(12))])
    for format_ in ("float16", "int8", "w8a8", "int4", "sparse:0.5"):
        y = Stream(edge_rnn.quantize(model, format_)).step(np.zeros(3, np.float32))
        np.testing.assert_array_equal(y, np.arange(12))


def test_one_step_in_compiled_loop_bank_and_python_are_the_same(make_model: Build) -> None:
    model = edge_rnn.quantize(make_model("lstm", 5, 24), "int8")
    xs = samples(model, 20)
    whole, single, bank = Stream(model).run(xs), Stream(model), StreamBank(model, 5)
    for x, y in zip(xs, whole, strict=True):
        np.testing.assert_array_equal(single.step(x), y)
        np.testing.assert_array_equal(bank.step(np.tile(x, (5, 1))), np.tile(y, (5, 1)))


@pytest.mark.parametrize("format_", FORMATS)
def test_saved_and_loaded_is_the_same(make_model: Build, in_format: InFormat, format_: str, tmp_path: Path) -> None:
    model = in_format(make_model("gru", 6, 24, layers=2), format_)
    edge_rnn.save(model, tmp_path / "a.safetensors")
    loaded = edge_rnn.load(tmp_path / "a.safetensors")
    assert loaded.fingerprint == model.fingerprint
    assert {name: spelled(m) for name, m in matrices(loaded).items()} == {
        name: spelled(m) for name, m in matrices(model).items()
    }
    edge_rnn.save(loaded, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    xs = samples(model, 30)
    np.testing.assert_array_equal(Stream(loaded).run(xs), Stream(model).run(xs))


def test_fingerprint_distinguishes_formats(make_model: Build, in_format: InFormat) -> None:
    model = make_model("gru", 3, 8)
    seen = {model.fingerprint, *(in_format(model, format_).fingerprint for format_ in FORMATS)}
    nudged = edge_rnn.quantize(model, "int8")
    scale = np.array(nudged.layers[0].weight_hh.scale)  # type: ignore[attr-defined]
    scale[0] *= np.float32(1.5)
    values = nudged.layers[0].weight_hh.values  # type: ignore[attr-defined]
    layers = [dataclasses.replace(nudged.layers[0], weight_hh=Int8(values, scale)), *nudged.layers[1:]]
    seen.add(Model(layers).fingerprint)
    assert len(seen) == len(FORMATS) + 2


REFUSED: list[tuple[str, Callable[[], Matrix], str]] = [
    (
        "scale shape",
        lambda: Int8(np.ones((3, 2), np.int8), np.ones(2, np.float32)),
        "got shape (2,), expected (3,)",
    ),
    ("negative scale", lambda: Int8(np.ones((1, 2), np.int8), -np.ones(1, np.float32)), "none negative"),
    ("-128", lambda: Int8(np.full((1, 2), -128, np.int8), np.ones(1, np.float32)), "-128, expected -127 to 127"),
    ("flat", lambda: Float16(np.ones(3, np.float16)), "values got shape (3,), expected (rows, columns)"),
    ("infinite", lambda: Float16(np.full((1, 1), np.inf, np.float16)), "not finite"),
    ("range", lambda: Int8(np.ones((1, 2), np.int8), np.ones(1, np.float32), input_range=0.0), "input_range got 0.0"),
    ("columns", lambda: Int4(np.zeros((2, 3), np.uint8), np.ones((2, 1), np.float32), 7), "columns got 7"),
    ("-8", lambda: Int4(np.zeros((1, 1), np.uint8), np.ones((1, 1), np.float32), 2), "-8, expected -7 to 7"),
    ("int4 scale", lambda: Int4(np.full((1, 17), 8, np.uint8), np.ones((1, 1), np.float32), 34), "expected (1, 2)"),
    ("ranks", lambda: LowRank(np.ones((3, 2)), np.ones((1, 3))), "expected (R, r) and (r, K)"),  # type: ignore[arg-type]
    ("order", lambda: Sparse(np.ones((1, 2, 1, 16), np.float32), np.array([[1, 0]], np.int32), 16, 4), "rising order"),
    ("index", lambda: Sparse(np.ones((1, 1, 1, 16), np.float32), np.array([[4]], np.int32), 16, 4), "beyond 0 to 4"),
    ("ghosts", lambda: Sparse(np.ones((1, 1, 1, 16), np.float32), np.array([[0]], np.int32), 15, 4), "do not exist"),
    ("panels", lambda: Sparse(np.ones((2, 1, 1, 16), np.float32), np.zeros((2, 1), np.int32), 16, 4), "units got 16"),
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(make: Callable[[], Matrix], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        make()
    assert message in str(caught.value)


def test_layers_refuse_what_does_not_fit() -> None:
    three_gates = Sparse(np.ones((1, 2, 3, 16), np.float32), np.array([[0, 1]], np.int32), 16, 16)
    GRU(np.zeros((48, 2)), three_gates)
    with pytest.raises(ModelError, match="weight_ih got shape"):
        GRU(Float16(np.zeros((47, 2), np.float16)), three_gates)
    with pytest.raises(ModelError, match="blocks of 3 gates, expected 1"):
        Dense(three_gates)
    with pytest.raises(ModelError, match="bias_ih"):
        GRU(np.zeros((48, 2)), three_gates, bias_ih=Float16(np.zeros((48, 1), np.float16)))  # type: ignore[arg-type]


VARIANTS = {
    "pmaddwd": "+avx2,+fma,+bmi,+bmi2,+f16c,+sse4.2,+popcnt,+avx,+sse,+sse2,+sse3,+ssse3,+sse4.1,+64bit,+cx8,+cmov",
    "sse2": "+sse,+sse2,+64bit,+cx8,+cmov",
    "mla": "+sse,+sse2,+64bit,+cx8,+cmov",
}


# Cells and formats whose sums are compared.
ELSEWHERE = [("lstm", "int8"), ("lstm", "w8a8"), ("lstm", "int4"), ("lstm", "float16")]
ELSEWHERE += [("gru_reset_before", "int8"), ("gru_reset_before", "int4")]
ELSEWHERE_CODE = """
import sys
import numpy as np
from conftest import build
import edge_rnn
from edge_rnn.kernels.compile import target
variant, path, *cells = sys.argv[1:]
if variant == "mla":
    target.Target.dot = property(lambda self: "mla")
assert target.host().dot == ("mla" if variant == "mla" else "pmaddwd")
ys = []
for cell in cells:
    cell, format_ = cell.split(":")
    model = edge_rnn.quantize(build(cell, 9, 40, head=0), format_)
    ys.append(edge_rnn.Stream(model).run(np.random.default_rng(3).standard_normal((60, 9))))
model = edge_rnn.quantize(build("elman_relu", 1030, 8, head=0), "int8")
ys.append(edge_rnn.Stream(model).run(np.random.default_rng(3).standard_normal((60, 1030))))
np.savez(path, *ys)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other CPUs of the same kind as this one, which is x86-64")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.slow
def test_the_same_for_cpus_that_multiply_otherwise(make_model: Build, variant: str, tmp_path: Path) -> None:
    """Integer sums are exact, so that CPUs differ by the rounding of float32 alone."""
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]),
        "NUMBA_CPU_NAME": "haswell" if variant == "pmaddwd" else "x86-64",
        "NUMBA_CPU_FEATURES": VARIANTS[variant],
        "EDGE_RNN_CACHE_DIR": str(tmp_path / "cache"),
    }
    told = [variant, str(tmp_path / "ys.npz"), *(":".join(each) for each in ELSEWHERE)]
    command = [sys.executable, "-W", "error", "-c", ELSEWHERE_CODE, *told]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "ys.npz") as arrays:
        theirs = [arrays[name] for name in arrays]
    models = [edge_rnn.quantize(make_model(cell, 9, 40, head=0), format_) for cell, format_ in ELSEWHERE]
    models.append(edge_rnn.quantize(make_model("elman_relu", 1030, 8, head=0), "int8"))
    ours = [Stream(model).run(samples(model, 60)) for model in models]
    formats = [format_ for _, format_ in ELSEWHERE] + ["int8"]
    for format_, mine, other in zip(formats, ours, theirs, strict=True):
        # A sum that is rounded otherwise may move a value over the edge of a step: 1/127 with w8a8.
        assert relative_error(other, mine) <= ROUNDED[127 if format_ == "w8a8" else 32639], format_
