"""Operators of TFLite as ONNX's: onnxruntime computes of them what LiteRT computes of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn_export.readers.tflite.file import open_contents
from edge_rnn_export.readers.tflite.graph import graph_of
from edge_rnn_export.runtime.session import session
from tflite_files import Net, T, const, uniform
from tflite_models import litert
from tracing_graphs import as_onnx

B, S, F = 2, 3, 4  # axes of the input
RNG = np.random.default_rng(23)
TOLERANCE = 2e-6  # of functions that the two approximate, such as tanh; all else is exact or rounds once
ADD, RELUS = "AddOptions", {"": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}


def x() -> Net:
    return Net(T([B, S, F], name="x"))


def same(kind: str, title: str = "", positive: bool = False, **options: Any) -> Callable[[], Net]:
    """Operator of one input; of its exponential, if that has to be positive."""

    def build() -> Net:
        net = x().add("EXP", [], T([B, S, F])) if positive else x()
        return net.add(kind, [], T([B, S, F]), title, **options)

    return build


def with_constant(kind: str, shape: tuple[int, ...], title: str = "", **options: Any) -> Callable[[], Net]:
    return lambda: x().add(kind, [const(uniform(RNG, *shape))], T([B, S, F]), title, **options)


def of_two(kind: str, title: str = "", gives: str = "float32") -> Callable[[], Net]:
    """Operator of the input and its square."""

    def build() -> Net:
        net = x()
        (square,) = net.op("SQUARE", [0], [T([B, S, F])])
        net.outputs = net.op(kind, [0, square], [T([B, S, F], type=gives)], title)
        return net

    return build


def decided(kind: str, select: str = "SELECT_V2") -> Callable[[], Net]:
    """Choice between the input and a constant, by a comparison of the input with its square."""

    def build() -> Net:
        net = of_two(kind, gives="bool")()
        (chosen,) = net.op(select, [net.outputs[0], 0, const(uniform(RNG, B, S, F))], [T([B, S, F])])
        net.outputs = [chosen]
        return net

    return build


def logical(kind: str) -> Callable[[], Net]:
    def build() -> Net:
        net = of_two("LESS", gives="bool")()
        (positive,) = net.op("GREATER", [0, const(np.float32(0))], [T([B, S, F], type="bool")])
        reads = [positive] if kind == "LOGICAL_NOT" else [positive, net.outputs[0]]
        (found,) = net.op(kind, reads, [T([B, S, F], type="bool")])
        net.outputs = net.op("SELECT_V2", [found, 0, const(np.float32(7))], [T([B, S, F])])
        return net

    return build


def reduced(kind: str, axes: list[int], keeps: bool) -> Callable[[], Net]:
    def build() -> Net:
        taken = [axis % 3 for axis in axes]
        shape = [1 if axis in taken else size for axis, size in enumerate((B, S, F)) if keeps or axis not in taken]
        return x().add(kind, [const(np.int32(axes))], T(shape), "ReducerOptions", KeepDims=keeps)

    return build


def moved(kind: str, numbers: Any, shape: list[int], title: str = "", **options: Any) -> Callable[[], Net]:
    """Operator with integers as its second input, or none of them."""
    extra = [] if numbers is None else [const(np.int32(numbers))]
    return lambda: x().add(kind, extra, T(shape), title, **options)


def sliced(begin: list[int], end: list[int], step: list[int], shape: list[int], **masks: int) -> Callable[[], Net]:
    parts = [const(np.int32(each)) for each in (begin, end, step)]
    return lambda: x().add("STRIDED_SLICE", list(parts), T(shape), "StridedSliceOptions", **masks)


def joined(parts: list[list[int]], cut: Callable[[Net], list[int]]) -> Callable[[], Net]:
    """Parts of the input, squared and concatenated, flat."""

    def build() -> Net:
        net = x()
        flat = []
        for place, shape in zip(cut(net), parts, strict=True):
            (square,) = net.op("SQUARE", [place], [T(shape)])
            flat += net.op("RESHAPE", [square, const(np.int32([-1]))], [T([int(np.prod(shape))])])
        size = [sum(int(np.prod(shape)) for shape in parts)]
        net.outputs = net.op("CONCATENATION", list(flat), [T(size)], "ConcatenationOptions", Axis=0)
        return net

    return build


def split(net: Net) -> list[int]:
    return net.op("SPLIT", [const(np.int32(2)), 0], [T([B, S, 2]), T([B, S, 2])], "SplitOptions", NumSplits=2)


def split_v(net: Net) -> list[int]:
    sizes = [const(np.int32([1, -1, 2])), const(np.int32(-1))]
    writes = [T([B, S, each]) for each in (1, 1, 2)]
    return net.op("SPLIT_V", [0, *sizes], writes, "SplitVOptions", NumSplits=3)


def unpacked(net: Net) -> list[int]:
    return net.op("UNPACK", [0], [T([B, F])] * S, "UnpackOptions", Num=S, Axis=1)


def packed() -> Net:
    net = x()
    parts = unpacked(net)
    net.outputs = net.op("PACK", [parts[2], parts[0]], [T([B, F, 2])], "PackOptions", ValuesCount=2, Axis=2)
    return net


def by_shape(kind: str) -> Callable[[], Net]:
    """Sum of the input and what an operator makes of the input's shape."""

    def build() -> Net:
        net = x()
        (shape,) = net.op("SHAPE", [0], [T([3], type="int32")], "ShapeOptions", OutType=2)
        one = [const(np.int32([1]))]
        if kind == "FILL":
            (made,) = net.op("FILL", [shape, const(np.float32(2.5))], [T([B, S, F])])
        elif kind == "BROADCAST_TO":
            (made,) = net.op("BROADCAST_TO", [const(uniform(RNG, 1, 1, F)), shape], [T([B, S, F])])
        elif kind == "ZEROS_LIKE":
            (made,) = net.op("ZEROS_LIKE", [0], [T([B, S, F])])
        elif kind == "REDUCE_PROD":
            (all_of_it,) = net.op(
                kind, [shape, const(np.int32([0]))], [T([1], type="int32")], "ReducerOptions", KeepDims=1
            )
            (flat,) = net.op("RESHAPE", [0, all_of_it], [T([B * S * F])])
            (made,) = net.op("RESHAPE", [flat, shape], [T([B, S, F])])
        else:  # RANGE, from 0 to the number of features
            cut = [const(np.int32([2])), const(np.int32([3])), *one]
            (last,) = net.op(
                "STRIDED_SLICE", [shape, *cut], [T([], type="int32")], "StridedSliceOptions", ShrinkAxisMask=1
            )
            ends = [const(np.int32(0)), last, const(np.int32(1))]
            (count,) = net.op("RANGE", ends, [T([F], type="int32")])
            (made,) = net.op("CAST", [count], [T([F])], "CastOptions")
        net.outputs = net.op("ADD", [0, made], [T([B, S, F])], ADD)
        return net

    return build


def connected(keeps: bool, bias: bool, activation: int) -> Callable[[], Net]:
    def build() -> Net:
        weights = [const(uniform(RNG, 5, F)), const(uniform(RNG, 5)) if bias else None]
        options = {"KeepNumDims": keeps, "FusedActivationFunction": activation}
        return x().add(
            "FULLY_CONNECTED", weights, T([B, S, 5] if keeps else [B * S, 5]), "FullyConnectedOptions", **options
        )

    return build


def multiplied(adjoint: bool) -> Callable[[], Net]:
    shape = (5, F) if adjoint else (F, 5)
    return lambda: x().add(
        "BATCH_MATMUL", [const(uniform(RNG, *shape))], T([B, S, 5]), "BatchMatMulOptions", AdjY=adjoint
    )


def updated(start: int) -> Callable[[], Net]:
    def build() -> Net:
        net = x()
        starts = const(np.int32([0, start, 0]))
        block = const(uniform(RNG, B, 1, F))
        return net.add("DYNAMIC_UPDATE_SLICE", [block, starts], T([B, S, F]))

    return build


def looked_up(kind: str) -> Callable[[], Net]:
    """Rows of a table by the places of features that follow from the shape."""

    def build() -> Net:
        net = by_shape("RANGE")()
        count = next(writes[0] for name, _, writes, *_ in net.operators if name == "RANGE")
        table = const(uniform(RNG, F, 2))
        reads = [count, table] if kind == "EMBEDDING_LOOKUP" else [table, count]
        options = ("GatherOptions", {"Axis": 0}) if kind == "GATHER" else ("", {})
        (rows,) = net.op(kind, reads, [T([F, 2])], options[0], **options[1])
        net.outputs = net.op("BATCH_MATMUL", [net.outputs[0], rows], [T([B, S, 2])], "BatchMatMulOptions")
        return net

    return build


CASES: dict[str, Callable[[], Net]] = {
    **{kind: same(kind) for kind in ("ABS", "NEG", "EXP", "SQUARE", "TANH", "LOGISTIC", "RELU", "RELU6", "ELU")},
    **{kind: same(kind) for kind in ("RELU_N1_TO_1", "RELU_0_TO_1", "HARD_SWISH", "LOG_SOFTMAX")},
    **{kind: same(kind, positive=True) for kind in ("SQRT", "RSQRT", "LOG")},
    "LEAKY_RELU": same("LEAKY_RELU", "LeakyReluOptions", Alpha=0.3),
    "GELU": same("GELU", "GeluOptions"),
    "GELU tanh": same("GELU", "GeluOptions", Approximate=True),
    "SOFTMAX": same("SOFTMAX", "SoftmaxOptions", Beta=1.0),
    "SOFTMAX beta": same("SOFTMAX", "SoftmaxOptions", Beta=2.5),
    "PRELU": with_constant("PRELU", (1, F)),
    "POW": lambda: x().add("POW", [const(np.float32(2))], T([B, S, F])),
    **{f"ADD {name}": with_constant("ADD", (F,), ADD, FusedActivationFunction=at) for name, at in RELUS.items()},
    **{f"{kind} row": with_constant(kind, (F,), f"{kind.capitalize()}Options") for kind in ("SUB", "MUL", "DIV")},
    **{f"{kind} row": with_constant(kind, (1, 1, F)) for kind in ("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")},
    **{kind: of_two(kind, f"{kind.capitalize()}Options") for kind in ("ADD", "SUB", "MUL")},
    **{kind: of_two(kind) for kind in ("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "ADD_N")},
    **{kind: decided(kind) for kind in ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL")},
    "SELECT": decided("LESS", "SELECT"),
    **{kind: logical(kind) for kind in ("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT")},
    **{f"{kind} {keeps}": reduced(kind, [2], keeps) for kind in ("MEAN", "SUM") for keeps in (False, True)},
    **{kind: reduced(kind, [-1, 0], True) for kind in ("REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")},
    "FULLY_CONNECTED": connected(False, True, 1),
    "FULLY_CONNECTED keeps": connected(True, True, 3),
    "FULLY_CONNECTED plain": connected(True, False, 0),
    "BATCH_MATMUL": multiplied(False),
    "BATCH_MATMUL adjoint": multiplied(True),
    "RESHAPE": moved("RESHAPE", [F, -1, B], [F, S, B]),
    "RESHAPE option": moved("RESHAPE", None, [S, B, F], "ReshapeOptions", NewShape=[S, B, F]),
    "TRANSPOSE": moved("TRANSPOSE", [2, 0, 1], [F, B, S]),
    "EXPAND_DIMS": moved("EXPAND_DIMS", -1, [B, S, F, 1]),
    "SQUEEZE": lambda: moved("RESHAPE", [1, B, 1, -1], [1, B, 1, S * F])().add("SQUEEZE", [], T([B, S * F])),
    "SQUEEZE axes": lambda: moved("RESHAPE", [1, B, 1, -1], [1, B, 1, S * F])().add(
        "SQUEEZE", [], T([1, B, S * F]), "SqueezeOptions", SqueezeDims=[2]
    ),
    "TILE": moved("TILE", [1, 2, 1], [B, 2 * S, F]),
    "GATHER": moved("GATHER", [3, 0], [B, S, 2], "GatherOptions", Axis=2),
    "GATHER one": moved("GATHER", 1, [B, F], "GatherOptions", Axis=1),
    "last step": sliced([0, -1, 0], [0, 0, 0], [1, 1, 1], [B, F], BeginMask=5, EndMask=5, ShrinkAxisMask=2),
    "first step": sliced([0, 0, 0], [0, 1, 0], [1, 1, 1], [B, F], BeginMask=5, EndMask=5, ShrinkAxisMask=2),
    "some features": sliced([0, 0, 1], [B, S, 4], [1, 1, 2], [B, S, 2]),
    "to the last but one": sliced([0, 0, 0], [0, -1, 0], [1, 1, 1], [B, S - 1, F], EndMask=5),
    "first axes": sliced([1, 0], [2, 2], [1, 1], [1, 2, F]),
    "SLICE": lambda: x().add("SLICE", [const(np.int32([0, 1, 1])), const(np.int32([-1, 2, 1]))], T([B, 2, 1])),
    "SPLIT": joined([[B, S, 2], [B, S, 2]], split),
    "SPLIT_V": joined([[B, S, 1], [B, S, 1], [B, S, 2]], split_v),
    "UNPACK": joined([[B, F]] * S, unpacked),
    "PACK": packed,
    **{kind: by_shape(kind) for kind in ("FILL", "BROADCAST_TO", "ZEROS_LIKE", "RANGE", "REDUCE_PROD")},
    **{f"rows by {kind}": looked_up(kind) for kind in ("GATHER", "EMBEDDING_LOOKUP")},
    **{f"DYNAMIC_UPDATE_SLICE {start}": updated(start) for start in (0, 1, 2, 9, -3)},
}


@pytest.mark.parametrize("case", CASES)
def test_written_operators_compute_what_litert_computes(tmp_path: Path, case: str) -> None:
    net = CASES[case]()
    path, sample = tmp_path / "net.tflite", RNG.normal(size=(B, S, F)).astype(np.float32) * 2
    path.write_bytes(net.bytes())
    graph = graph_of(open_contents(path), None, None).graph
    (found,) = session(as_onnx(graph).SerializeToString()).run(None, {"x": sample})
    (expected,) = litert(net.bytes(), sample)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def by_rows() -> Net:
    """SELECT, unlike SELECT_V2, takes a condition for each row."""
    net = x()
    reads: list[T | int] = [const(np.bool_([True, False])), 0, const(uniform(RNG, B, S, F))]
    net.outputs = net.op("SELECT", reads, [T([B, S, F])])
    return net


REFUSED: dict[str, tuple[Callable[[], Net], type[EdgeRnnError], str]] = {
    "sign": (with_constant("ADD", (F,), ADD, FusedActivationFunction=5), UnsupportedError, r"activation SIGN_BIT"),
    "rows": (by_rows, UnsupportedError, r"it chooses by a condition of shape \(2,\) from \(2, 3, 4\)"),
    "ellipsis": (
        sliced([0, -1, 0], [0, 0, 0], [1, 1, 1], [B, F], EllipsisMask=1),
        UnsupportedError,
        r"STRIDED_SLICE \(operator 0\): it has an ellipsis, a new axis or ends relative",
    ),
    "batch": (
        moved("GATHER", [[0], [1]], [B, 1], "GatherOptions", Axis=1, BatchDims=1),
        UnsupportedError,
        r"for each element of",
    ),
    "block": (
        lambda: x().add(
            "DYNAMIC_UPDATE_SLICE", [const(uniform(RNG, 1, 1, F)), const(np.int32([0, 0, 0]))], T([B, S, F])
        ),
        UnsupportedError,
        r"it replaces \(1, 1, 4\) of \(2, 3, 4\), expected the whole length of every axis but one",
    ),
    "shuffled": (
        lambda: x().add(
            "FULLY_CONNECTED",
            [const(uniform(RNG, 5, F)), None],
            T([B * S, 5]),
            "FullyConnectedOptions",
            WeightsFormat=1,
        ),
        UnsupportedError,
        r"it has shuffled weights",
    ),
    "cast": (lambda: x().add("CAST", [], T([B, S, F], type="int16")), UnsupportedError, r"it casts to INT16"),
    "two axes": (moved("EXPAND_DIMS", [0, 1], [1, B, S, F]), FileError, r"has axis of int32 and shape \(2,\)"),
    "real axes": (
        lambda: x().add("TRANSPOSE", [const(np.float32([0, 1, 2]))], T([B, S, F])),
        FileError,
        r"has order of axes of float32",
    ),
    "sizes": (
        lambda: split_in([1, 1], 2),
        FileError,
        r"SPLIT_V \(operator 0\) splits axis 2 into \[1, 1\], but has 3 outputs",
    ),
    "missing": (
        lambda: x().add("SLICE", [const(np.int32([0, 0, 0]))], T([B, S, F])),
        FileError,
        r"has no size, which is its input 2",
    ),
    "alpha": (same("LEAKY_RELU", "LeakyReluOptions", Alpha=float("inf")), FileError, r"has the alpha inf"),
}


def split_in(sizes: list[int], axis: int) -> Net:
    net = x()
    writes = [T([B, S, 1])] * 3
    net.op("SPLIT_V", [0, const(np.int32(sizes)), const(np.int32(axis))], writes, "SplitVOptions", NumSplits=3)
    return net


@pytest.mark.parametrize("case", REFUSED)
def test_options_without_a_counterpart_are_refused(tmp_path: Path, case: str) -> None:
    make, kind, message = REFUSED[case]
    path = tmp_path / "net.tflite"
    path.write_bytes(make().bytes())
    with pytest.raises(kind, match=message):
        graph_of(open_contents(path), None, None)
