"""Registry of formats: every class is registered, and has all properties that its users need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Model, reference
from edge_rnn.boards import fitting
from edge_rnn.cli import main
from edge_rnn.errors import InputError, ModelError
from edge_rnn.formats import FORMATS, PLAIN, Fitting, Matrix, grammar, parse, precisions, uniform
from edge_rnn.kernels.matrices import segments
from edge_rnn.quantization import search
from edge_rnn.quantization.apply import matrices, spelled
from edge_rnn.typing import F32
from edge_rnn_export.writers.onnx.precision import PRECISIONS, at_precision

Build = Callable[..., Model]
ROOT = Path(__file__).parents[2]


def test_formats_are_these_in_this_order() -> None:
    assert [*FORMATS] == ["float16", "int8", "w8a8", "int4", "sparse", "rank"]
    assert uniform() == fitting.FORMATS == ("float16", "int8", "w8a8", "int4")
    assert (*uniform(), "sparse:0.5", "sparse:0.75", "rank:25%", "rank:50%") == search.FORMATS
    assert precisions() == PRECISIONS == ("float32", "float16", "int8", "int8-weights", "int4")


def test_each_format_has_a_segment_and_a_row_in_the_docs() -> None:
    assert segments._SEGMENTS.keys() == {"float32", *FORMATS}
    text = (ROOT / "docs/how_to/quantize.md").read_text(encoding="utf-8")
    table = text.partition("| Format | Stored | Use |\n")[2].partition("\n\n")[0]
    assert [name.partition(":")[0] for name in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)] == [*FORMATS]


@pytest.mark.parametrize("name", FORMATS)
def test_vectors_are_rounded_for_the_formats_that_say_so(name: str) -> None:
    assert segments.rounds_vectors(name) == (FORMATS[name].vector_steps is not None)


@pytest.mark.parametrize(
    ("spelling", "found"),
    [
        ("int8", ("int8", "")),
        ("sparse:0.75", ("sparse", "0.75")),
        ("sparse:.5", ("sparse", ".5")),
        ("rank:16", ("rank", "16")),
        *((each, None) for each in ("float32", "int9", "", "int8:", "int8:1", "sparse", "sparse:", "sparse:1.5")),
        *((each, None) for each in ("sparse:1", "rank:0", "rank:-1", "rank:1.5", "rank:25%", "rank:1\n", " int8")),
    ],
)
def test_a_spelling_is_a_class_and_an_option(spelling: str, found: tuple[str, str] | None) -> None:
    parsed = parse(spelling)
    assert (None if parsed is None else (parsed[0].format, parsed[1])) == found


@pytest.mark.parametrize("spelling", search.FORMATS)
def test_what_a_search_tries_is_spelled_alike_afterwards(spelling: str, make_model: Build) -> None:
    model = make_model("gru", 24, 32)
    kind = FORMATS[spelling.partition(":")[0]]
    shapes = {name: matrix.shape for name, matrix in matrices(model).items()}
    wanted = {name: kind.for_shape(spelling, shape) or "float32" for name, shape in shapes.items()}
    made = edge_rnn.quantize(model, wanted)
    assert {name: spelled(matrix) for name, matrix in matrices(made).items()} == wanted
    assert edge_rnn.quantize(made, wanted).fingerprint == made.fingerprint


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_a_precision_keeps_the_formats_that_name_it(precision: str, make_model: Build) -> None:
    model = make_model("gru", 5, 8)
    kept = [name for name, each in FORMATS.items() if precision in each.precisions]
    assert at_precision(model, precision).fingerprint == edge_rnn.quantize(model, kept[0]).fingerprint
    for name in uniform():
        made = edge_rnn.quantize(model, name)
        if name in kept:
            assert at_precision(made, precision) is made
        else:
            with pytest.raises(InputError, match=f"in the format {name} and the precision {precision!r}"):
                at_precision(made, precision)


# A format that is added


@pytest.fixture
def signs() -> Iterator[type[Matrix]]:
    @dataclass(frozen=True, slots=True, eq=False)
    class Signs(Matrix):
        """Format that stores the sign of each weight, and one scale."""

        format: ClassVar[str] = "signs"
        dtypes: ClassVar[dict[str, str]] = {"values": "int8", "scale": "float32"}
        option: ClassVar[str] = r"\d+"
        grammar: ClassVar[str] = "signs:PERCENT"
        tried: ClassVar[tuple[str, ...]] = ("signs:100",)
        about: ClassVar[str] = "one bit each"
        precisions: ClassVar[tuple[str, ...]] = ("one-bit",)

        values: np.ndarray
        scale: np.ndarray

        @property
        def shape(self) -> tuple[int, int]:
            return self.values.shape[0], self.values.shape[1]

        @property
        def spelling(self) -> str:
            return "signs:100"

        def dense(self) -> F32:
            return self.scale * self.values.astype(np.float32)

        def _check(self) -> None:
            self._is_matrix(self.values, "values")

        def misfit(self, gates: int) -> str:
            return "" if gates < 4 else "1 sign"

        @classmethod
        def quantized(cls, matrix: F32, fitting: Fitting = PLAIN, option: str = "") -> Matrix:
            return cls(np.sign(matrix), np.abs(matrix).mean() * int(option) / 100)

    yield FORMATS["signs"]
    del FORMATS["signs"]


def test_a_format_is_known_once_its_class_is_there(
    signs: type[Matrix], make_model: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grammar().endswith("sparse:SHARE (0 < SHARE < 1), rank:NUMBER or signs:PERCENT")
    assert precisions()[-1] == "one-bit"
    assert main(["export", "--help"]) == 0
    assert "int4,one-bit}" in capsys.readouterr().out
    assert main(["shrink", "--help"]) == 0
    assert "signs:100 (one bit each)." in " ".join(capsys.readouterr().out.split())
    model = make_model("gru", 5, 8)
    made = edge_rnn.quantize(model, "signs:50")
    matrix = made.layers[0].formats["weight_hh"]
    weights = model.layers[0].arrays["weight_hh"]
    assert isinstance(matrix, signs)
    np.testing.assert_array_equal(np.asarray(matrix), np.sign(weights) * np.float32(np.abs(weights).mean() * 50 / 100))
    xs = np.ones((3, 5), np.float32)
    dense = edge_rnn.quantization.dequantize(made)
    np.testing.assert_array_equal(reference.run(made, xs)[0], reference.run(dense, xs)[0])
    assert at_precision(made, "float32").fingerprint == dense.fingerprint
    with pytest.raises(ModelError, match="got 1 sign, expected 4"):
        edge_rnn.quantize(make_model("lstm", 5, 8), "signs:50")


def test_a_model_file_holds_a_format_that_was_added(signs: type[Matrix], make_model: Build, tmp_path: Path) -> None:
    made = edge_rnn.quantize(make_model("gru", 5, 8), "signs:50")
    edge_rnn.save(made, tmp_path / "m.safetensors")
    assert edge_rnn.load(tmp_path / "m.safetensors").fingerprint == made.fingerprint


def test_a_name_that_a_format_has_is_refused() -> None:
    with pytest.raises(TypeError, match="has the format 'int8', which Int8 has"):
        type("Other", (Matrix,), {"format": "int8", "__module__": __name__})
    assert FORMATS["int8"].__qualname__ == "Int8"
