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

_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
_TYPES |= {"resource": 13, "variant": 14}


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
    """Network under construction, in the order of its operators; ``x`` is its first input.

    Attributes
    ----------
    inputs, outputs
        Indices of tensors.
    others
        Subgraphs of loops and branches, whose indices begin at 1.
    """

    x: T
    tensors: list[T] = field(default_factory=list)
    operators: list[tuple[str, list[int], list[int], str, dict[str, Any]]] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    inputs: list[int] = field(default_factory=lambda: [0])
    others: list[Net] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tensors.append(self.x)
        self.outputs = [0]

    def tensor(self, tensor: T | int | None) -> int:
        """Index of a tensor, which is added if it is new."""
        if not isinstance(tensor, T):
            return -1 if tensor is None else tensor
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def input(self, tensor: T) -> int:
        """Add an input."""
        self.inputs.append(self.tensor(tensor))
        return self.inputs[-1]

    def op(
        self, kind: str, reads: Sequence[T | int | None], writes: Sequence[T], title: str = "", **options: Any
    ) -> list[int]:
        """Add an operator; ``CUSTOM:name`` is a custom one. Return the indices of its outputs."""
        places = [self.tensor(each) for each in reads]
        found = [self.tensor(each) for each in writes]
        self.operators.append((kind, places, found, title, options))
        return found

    def add(self, kind: str, extra: Sequence[T | int | None], out: T, title: str = "", **options: Any) -> Net:
        """Add an operator that reads the last output, and ``extra``: tensors, their indices, or None."""
        self.outputs = self.op(kind, [self.outputs[0], *extra], [out], title, **options)
        return self

    def bytes(self) -> bytes:
        """The file."""
        file = _File()
        graphs = file.offsets([file.graph(each) for each in (self, *self.others)])
        model = {"OperatorCodes": file.offsets(file.codes), "Subgraphs": graphs, "Version": 3}
        model["Buffers"] = file.offsets(file.buffers)
        file.b.Finish(file.table("Model", **model), file_identifier=b"TFL3")
        return bytes(file.b.Output())


class _File:
    """Flatbuffer under construction: tables of all subgraphs."""

    def __init__(self) -> None:
        self.b = flatbuffers.Builder(1024)
        self.buffers = [self.table("Buffer")]
        self.codes: list[int] = []

    def vector(self, numbers: Any, dtype: str = "int32") -> int:
        return int(self.b.CreateNumpyVector(np.asarray(numbers, dtype)))

    def offsets(self, items: Sequence[int]) -> int:
        self.b.StartVector(4, len(items), 4)
        for item in reversed(items):
            self.b.PrependUOffsetTRelative(item)
        return int(self.b.EndVector())

    def table(self, title: str, **values: Any) -> int:
        """Write a table; lists become vectors of int32, and texts strings."""
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = self.vector(value)
            elif isinstance(value, str):
                values[name] = self.b.CreateString(value)
        getattr(tflite, f"{title}Start")(self.b)
        for name, value in values.items():
            getattr(tflite, f"{title}Add{name}")(self.b, value)
        return int(getattr(tflite, f"{title}End")(self.b))

    def graph(self, net: Net) -> int:
        tensors = self.offsets([self.tensor(tensor) for tensor in net.tensors])
        operators = self.offsets([self.operator(*operator) for operator in net.operators])
        return self.table("SubGraph", Tensors=tensors, Inputs=net.inputs, Outputs=net.outputs, Operators=operators)

    def tensor(self, tensor: T) -> int:
        place = 0
        if tensor.data is not None:
            raw = np.ascontiguousarray(tensor.data).tobytes()
            self.b.StartVector(1, len(raw), 16)
            self.b.head -= len(raw)
            self.b.Bytes[self.b.head : self.b.head + len(raw)] = raw
            self.buffers.append(self.table("Buffer", Data=self.b.EndVector()))
            place = len(self.buffers) - 1
        values: dict[str, Any] = {"Shape": self.vector(tensor.shape), "Name": tensor.name}
        if len(tensor.signature):
            values["ShapeSignature"] = self.vector(tensor.signature)
        if len(tensor.scale):
            zeros = tensor.zero_point or [0] * len(tensor.scale)
            parts = {"Scale": self.vector(tensor.scale, "float32"), "ZeroPoint": self.vector(zeros, "int64")}
            values["Quantization"] = self.table("QuantizationParameters", **parts)
        values |= {"Type": _TYPES[tensor.type], "Buffer": place, "IsVariable": tensor.variable}
        return self.table("Tensor", **values)

    def operator(self, kind: str, inputs: list[int], outputs: list[int], title: str, options: dict[str, Any]) -> int:
        kind, _, custom = kind.partition(":")
        number = getattr(tflite.BuiltinOperator, kind)
        version = 2 if kind == "BROADCAST_TO" else 1  # LiteRT has no first version of it
        numbers: dict[str, Any] = {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number, "Version": version}
        self.codes.append(self.table("OperatorCode", **numbers, **({"CustomCode": custom} if custom else {})))
        values: dict[str, Any] = {"Inputs": inputs, "Outputs": outputs, "OpcodeIndex": len(self.codes) - 1}
        if title:
            values["BuiltinOptions"] = self.table(title, **options)
            values["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, title)
        return self.table("Operator", **values)


def uniform(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(-0.6, 0.6, shape).astype(np.float32)
