"""Small ``.tflite`` files, put together tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import needs

__all__ = ["Net", "T", "const", "uniform"]

tflite: Any = needs.package("tflite")
flatbuffers: Any = needs.package("tflite", "flatbuffers")

_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}


@dataclass
class T:
    """A tensor: constant where it has data; ``scale`` makes it quantized."""

    shape: Sequence[int]
    data: np.ndarray | None = None
    type: str = "float32"
    variable: bool = False
    scale: Sequence[float] = ()
    zero_point: Sequence[int] = ()
    name: str = ""
    signature: Sequence[int] = ()


def const(array: Any, **options: Any) -> T:
    array = np.asarray(array)
    return T(array.shape, array, str(array.dtype), **options)


@dataclass
class Net:
    """Network under construction, in the order of its operators; ``x`` is its input."""

    x: T
    tensors: list[T] = field(default_factory=list)
    operators: list[tuple[str, list[int], list[int], str, dict[str, Any]]] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tensors.append(self.x)
        self.outputs = [0]

    def add(self, kind: str, extra: Sequence[T | int | None], out: T, title: str = "", **options: Any) -> Net:
        """Add an operator that reads the last output, and ``extra``: tensors, their indices, or None."""
        places = [self.outputs[0]]
        for tensor in extra:
            if isinstance(tensor, T):
                self.tensors.append(tensor)
                places.append(len(self.tensors) - 1)
            else:
                places.append(-1 if tensor is None else tensor)
        self.tensors.append(out)
        self.outputs = [len(self.tensors) - 1]
        self.operators.append((kind, places, self.outputs, title, options))
        return self

    def bytes(self) -> bytes:
        """The file."""
        b = flatbuffers.Builder(1024)

        def vector(numbers: Sequence[int], dtype: str = "int32") -> int:
            return int(b.CreateNumpyVector(np.asarray(numbers, dtype)))

        def offsets(items: Sequence[int]) -> int:
            b.StartVector(4, len(items), 4)
            for item in reversed(items):
                b.PrependUOffsetTRelative(item)
            return int(b.EndVector())

        buffers, tensors = [_table(b, tflite, "Buffer")], []
        for tensor in self.tensors:
            place = 0
            if tensor.data is not None:
                raw = np.ascontiguousarray(tensor.data).tobytes()
                b.StartVector(1, len(raw), 16)
                b.head -= len(raw)
                b.Bytes[b.head : b.head + len(raw)] = raw
                buffers.append(_table(b, tflite, "Buffer", Data=b.EndVector()))
                place = len(buffers) - 1
            values: dict[str, Any] = {"Shape": vector(tensor.shape), "Name": b.CreateString(tensor.name)}
            if len(tensor.signature):
                values["ShapeSignature"] = vector(tensor.signature)
            if len(tensor.scale):
                zeros = tensor.zero_point or [0] * len(tensor.scale)
                parts = {"Scale": vector(tensor.scale, "float32"), "ZeroPoint": vector(zeros, "int64")}
                values["Quantization"] = _table(b, tflite, "QuantizationParameters", **parts)
            values |= {"Type": _TYPES[tensor.type], "Buffer": place, "IsVariable": tensor.variable}
            tensors.append(_table(b, tflite, "Tensor", **values))
        codes, operators = [], []
        for kind, inputs, outputs, title, options in self.operators:
            number = getattr(tflite.BuiltinOperator, kind)
            numbers = {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number, "Version": 1}
            codes.append(_table(b, tflite, "OperatorCode", **numbers))
            values = {"Inputs": vector(inputs), "Outputs": vector(outputs), "OpcodeIndex": len(codes) - 1}
            if title:
                values["BuiltinOptions"] = _table(b, tflite, title, **options)
                values["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, title)
            operators.append(_table(b, tflite, "Operator", **values))
        graph = {
            "Tensors": offsets(tensors),
            "Inputs": vector([0]),
            "Outputs": vector(self.outputs),
            "Operators": offsets(operators),
        }
        graphs = offsets([_table(b, tflite, "SubGraph", **graph)])
        model = {"OperatorCodes": offsets(codes), "Subgraphs": graphs, "Buffers": offsets(buffers), "Version": 3}
        b.Finish(_table(b, tflite, "Model", **model), file_identifier=b"TFL3")
        return bytes(b.Output())


def _table(b: Any, schema: Any, title: str, **values: Any) -> int:
    getattr(schema, f"{title}Start")(b)
    for name, value in values.items():
        getattr(schema, f"{title}Add{name}")(b, value)
    return int(getattr(schema, f"{title}End")(b))


def uniform(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(-0.6, 0.6, shape).astype(np.float32)
