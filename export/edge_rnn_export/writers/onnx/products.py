"""Matrices in a graph: storage of each format, and the operators that multiply a value by it.

- float32, and block-sparse matrices expanded to float32: ``MatMul``. Low rank: two of them.
- float16, and 8-bit weights with exact vectors: stored in that format, converted to float32 by ``Cast`` and ``Mul``.
onnxruntime does that
  once, when it loads the file, and multiplies in float32. (It would not do so with DequantizeLinear: in front of a
  recurrent operator that runs in every step, and in front of a MatMul it becomes a MatMulNBits that rounds vectors to 8
  bits. MatMulNBits with 8-bit weights and exact vectors takes about 20 times longer than a MatMul, in onnxruntime
  1.32 on AVX-512.)
- int8: vectors are rounded to 8 bits at run time, ``DynamicQuantizeMatMul``; in standard operators
  ``DynamicQuantizeLinear`` and ``MatMulInteger``. Weights are stored as uint8 with the zero point 128: onnxruntime's
  int8 products overflow on x86 processors without VNNI, unless a session asks for ``session.x64quantprecision``, and in
  the body of a loop, whose weights belong to the outer graph, even then.
- int4: ``MatMulNBits``, blocks of 32 columns, exact vectors (``accuracy_level`` unset); in standard operators stored as
INT4 (opset 21) and converted to float32 as above.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from edge_rnn.formats import GROUP, Float16, Int4, Int8, LowRank
from edge_rnn.layers import Weight
from edge_rnn.typing import F32, AnyArray
from edge_rnn_export.writers.onnx.nodes import Nodes

__all__ = ["MICROSOFT", "ZERO", "Multiply", "is_dense", "is_rounding", "product", "rows_of", "stored", "unsigned"]


MICROSOFT = "com.microsoft"
"""Domain of onnxruntime's own operators."""

ZERO = 128
"""Zero point of 8-bit weights."""

Multiply = Callable[[Nodes, str, str], str]
"""``multiply(nodes, value, out)`` adds the product with a value ``(..., K)`` to nodes: ``(..., R)``, named ``out``."""


def is_rounding(graph: Nodes, matrix: Weight) -> bool:
    """True if vectors multiplied by the matrix are rounded to 8 bits."""
    return isinstance(matrix, Int8) and not graph.weight_only


def unsigned(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """8-bit weights as uint8, whose zero point is 128."""
    return (values.astype(np.int16) + ZERO).astype(np.uint8)


def is_dense(graph: Nodes, matrix: Weight) -> bool:
    """True if the graph holds the matrix in float32, which any operator accepts."""
    if isinstance(matrix, Int4):
        return graph.standard
    return not isinstance(matrix, LowRank) and not is_rounding(graph, matrix)


def rows_of(matrix: Weight, rows: Any) -> Weight:
    """Rows of a matrix, by a slice or an index array, in its format; of a sparse one in float32."""
    if isinstance(matrix, Float16):
        return Float16(matrix.values[rows])
    if isinstance(matrix, Int8):
        return type(matrix)(matrix.values[rows], matrix.scale[rows], matrix.input_range)
    if isinstance(matrix, Int4):
        return Int4(matrix.packed[rows], matrix.scale[rows], matrix.columns, matrix.input_range)
    if isinstance(matrix, LowRank):
        return LowRank(matrix.left[rows], matrix.right)
    dense: F32 = np.asarray(matrix)[rows]
    return dense


def stored(graph: Nodes, matrix: Weight, name: str, *, transposed: bool = False, directed: bool = False) -> str:
    """Add a matrix that :func:`is_dense` as float32, ``(R, K)``; return the value's name.

    Parameters
    ----------
    transposed
        ``(K, R)``, for MatMul.
    directed
        ``(1, R, K)``, for recurrent operators.
    """

    def shaped(array: AnyArray) -> AnyArray:
        return array[None] if directed else array.T if transposed else array

    if isinstance(matrix, Float16):
        half = graph.constant(f"{name}.float16", shaped(matrix.values))
        return graph.apply("Cast", [half], name, to=TensorProto.FLOAT)
    if isinstance(matrix, Int8):
        whole = graph.constant(f"{name}.int8", shaped(matrix.values))
        scale = graph.constant(f"{name}.scale", shaped(matrix.scale[:, None]))
        wide = graph.apply("Cast", [whole], f"{name}.cast", to=TensorProto.FLOAT)
        return graph.apply("Mul", [wide, scale], name)
    if isinstance(matrix, Int4):
        return _int4(graph, matrix, name, transposed, directed)
    return graph.constant(name, shaped(np.asarray(matrix)))


def product(graph: Nodes, matrix: Weight, name: str, added: str = "") -> Multiply:
    """Return a function that multiplies a value by a matrix, and adds a bias.

    Parameters
    ----------
    graph
        Receives the constants and the operations applied to them once; the products themselves may be in a loop's body.
    added
        Name of the bias, ``(R,)``; empty for none.
    """
    if is_rounding(graph, matrix):
        return _rounding(graph, matrix, name, added)
    if isinstance(matrix, Int4) and not graph.standard:
        return _blocks(graph, matrix, name, added)
    if isinstance(matrix, LowRank):
        factors = [stored(graph, matrix.right, f"{name}.right", transposed=True)]
        factors.append(stored(graph, matrix.left, f"{name}.left", transposed=True))
    else:
        factors = [stored(graph, matrix, name, transposed=True)]

    def multiply(nodes: Nodes, value: str, out: str) -> str:
        for place, factor in enumerate(factors, start=1):
            last = place == len(factors) and not added
            label = f"{name}.matmul" if len(factors) == 1 else f"{name}.matmul{place}"
            value = nodes.apply("MatMul", [value, factor], out if last else label)
        return nodes.apply("Add", [value, added], out) if added else value

    return multiply


def _rounding(graph: Nodes, matrix: Any, name: str, bias: str) -> Multiply:
    """Product with 8 bits on both sides; the value's range, extended to zero, is divided into 255 steps."""
    weight = graph.constant(f"{name}.uint8", unsigned(matrix.values.T))
    scale = graph.constant(f"{name}.scale", matrix.scale)
    zero = graph.constant(f"{name}.zero", np.array(ZERO, np.uint8))

    def multiply(nodes: Nodes, value: str, out: str) -> str:
        return nodes.apply("DynamicQuantizeMatMul", [value, weight, scale, zero, bias], out, domain=MICROSOFT)

    def multiply_standard(nodes: Nodes, value: str, out: str) -> str:
        rounded = [f"{name}.{part}" for part in ("rounded", "step", "offset")]
        nodes.node("DynamicQuantizeLinear", [value], *rounded, name=f"{name}.round")
        whole = nodes.apply("MatMulInteger", [rounded[0], weight, rounded[2], zero], f"{name}.sums")
        wide = nodes.apply("Cast", [whole], f"{name}.wide", to=TensorProto.FLOAT)
        unit = nodes.apply("Mul", [rounded[1], scale], f"{name}.unit")
        scaled = nodes.apply("Mul", [wide, unit], f"{name}.scaled" if bias else out)
        return nodes.apply("Add", [scaled, bias], out) if bias else scaled

    return multiply_standard if graph.standard else multiply


def _blocks(graph: Nodes, matrix: Int4, name: str, bias: str) -> Multiply:
    """MatMulNBits, with the same packing: first of two values in the low bits, plus 8; rows padded with zeros."""
    rows, columns = matrix.shape
    blocks = matrix.scale.shape[1]
    packed = np.full((rows, blocks * GROUP // 2), 0x88, np.uint8)
    packed[:, : matrix.packed.shape[1]] = matrix.packed
    if columns % 2:
        packed[:, columns // 2] = (packed[:, columns // 2] & 0x0F) | 0x80
    weight = graph.constant(f"{name}.int4", packed.reshape(rows, blocks, GROUP // 2))
    scale = graph.constant(f"{name}.scale", matrix.scale)
    options = {"K": columns, "N": rows, "bits": 4, "block_size": GROUP}
    inputs = [weight, scale, "", "", bias] if bias else [weight, scale]

    def multiply(nodes: Nodes, value: str, out: str) -> str:
        return nodes.apply("MatMulNBits", [value, *inputs], out, domain=MICROSOFT, **options)

    return multiply


def _int4(graph: Nodes, matrix: Int4, name: str, transposed: bool, directed: bool) -> str:
    rows, columns = matrix.shape
    blocks = matrix.scale.shape[1]
    values = np.zeros((rows, blocks * GROUP), np.int8)
    values[:, :columns] = matrix.values
    pairs = (values & 15).astype(np.uint8)
    tensor = TensorProto(
        name=f"{name}.int4",
        data_type=TensorProto.INT4,
        dims=[rows, blocks, GROUP],
        raw_data=(pairs[:, ::2] | pairs[:, 1::2] << 4).tobytes(),
    )
    graph.constants[tensor.name] = tensor
    scale = graph.constant(f"{name}.scale", matrix.scale[:, :, None])
    shape = graph.constant(f"{name}.shape", np.array([1] * directed + [rows, -1], np.int64))
    wide = graph.apply("Cast", [tensor.name], f"{name}.cast", to=TensorProto.FLOAT)
    scaled = graph.apply("Mul", [wide, scale], f"{name}.scaled")
    plain = not transposed and columns % GROUP == 0
    value = graph.apply("Reshape", [scaled, shape], name if plain else f"{name}.filled")
    if columns % GROUP:
        ends = {"first": 0, "columns": columns, "axis": -1}
        cut = [graph.constant(f"{name}.{key}", np.array([end], np.int64)) for key, end in ends.items()]
        value = graph.apply("Slice", [value, *cut], name if not transposed else f"{name}.cut")
    return graph.apply("Transpose", [value], name, perm=[1, 0]) if transposed else value
