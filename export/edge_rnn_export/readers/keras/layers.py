"""Write Keras's layers as ONNX operators, one function per kind."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from edge_rnn.errors import FileError
from edge_rnn_export.readers.keras.activations import ACTIVATION_LAYERS, activation_of, layer_function
from edge_rnn_export.readers.keras.emission import At, Tensor, broadcast
from edge_rnn_export.readers.keras.normalizations import (
    batch_normalization,
    group_normalization,
    layer_normalization,
    normalization,
    rescaling,
    rms_normalization,
    unit_normalization,
)
from edge_rnn_export.readers.keras.options import count_of, flag_of
from edge_rnn_export.readers.keras.shapes import concatenated, cropping, flattened, permuted, repeated, reshaped

__all__ = ["IDENTITIES", "LAYERS", "MERGES"]

_INT64 = 7

IDENTITIES = (
    "Dropout",
    "SpatialDropout1D",
    "GaussianDropout",
    "GaussianNoise",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
    "Masking",
)
"""Layers that are the identity in inference; Masking where no step is padding."""


def _dense(at: At, x: Tensor) -> Tensor:
    """``activation(x kernel + bias)`` along the last axis."""
    return _projected(at, x, "units", ())


def _convolution(at: At, x: Tensor) -> Tensor:
    """Convolution over a single step, which is a Dense."""
    width = at.config.get("kernel_size")
    alone = at.config.get("strides", [1]) in ([1], 1) and at.config.get("groups", 1) == 1
    if width not in ([1], 1) or not alone or at.config.get("data_format", "channels_last") != "channels_last":
        raise at.refuse(f"its kernel_size is {reprlib.repr(width)}; convolutions over several steps are not supported.")
    return _projected(at, x, "filters", (1,))


def _projected(at: At, x: Tensor, key: str, before: tuple[int, ...]) -> Tensor:
    units = count_of(at.title, at.config, key)
    if len(x.shape) < 2:
        raise at.refuse(f"it reads the shape {x.shape}, expected features.")
    names = ["kernel", *(["bias"] if flag_of(at.title, at.config, "use_bias", True) else [])]
    arrays = at.arrays(*names)
    shapes = ((*before, x.size, units), (units,))
    for name, array, shape in zip(names, arrays, shapes, strict=False):
        at.check_shape(name, array, shape)
    y = at("MatMul", x, arrays[0].reshape(-1, units))
    if len(arrays) == 2:
        y = at("Add", y, arrays[1])
    return Tensor(activation_of(at.title, at.config, "activation", at.version).write(at, y), (*x.shape[:-1], units))


def _embedding(at: At, x: Tensor) -> Tensor:
    """Rows of a table, by symbols."""
    rows, size = (count_of(at.title, at.config, key) for key in ("input_dim", "output_dim"))
    (table,) = at.arrays("embeddings")
    at.check_shape("embeddings", table, (rows, size))
    symbols = x.name if x.integers else at("Cast", x, to=_INT64)
    return Tensor(at("Gather", table, symbols, axis=0), (*x.shape, size))


def _slopes(at: At, x: Tensor) -> Tensor:
    """``x`` above 0, below it times a slope: one per element, equal along ``shared_axes``."""
    (alpha,) = at.arrays("alpha")
    lengths = zip(alpha.shape, x.shape[1:], strict=False)
    if alpha.ndim != len(x.shape) - 1 or any(n not in (1, length) for n, length in lengths):
        raise FileError(f"{at.title} alpha got shape {alpha.shape}, expected {x.shape[1:]}, or 1 along shared axes.")
    return Tensor(at("PRelu", x, alpha), x.shape)


def _activation(at: At, x: Tensor) -> Tensor:
    return Tensor(layer_function(at.title, at.layer.kind, at.config, at.version).write(at, x.name), x.shape)


LAYERS: Mapping[str, Callable[[At, Tensor], Tensor]] = MappingProxyType(
    {
        **dict.fromkeys(ACTIVATION_LAYERS, _activation),
        **dict.fromkeys(IDENTITIES, lambda at, x: x),
        "BatchNormalization": batch_normalization,
        "Conv1D": _convolution,
        "Cropping1D": cropping,
        "Dense": _dense,
        "Embedding": _embedding,
        "Flatten": flattened,
        "GroupNormalization": group_normalization,
        "LayerNormalization": layer_normalization,
        "Normalization": normalization,
        "PReLU": _slopes,
        "Permute": permuted,
        "RMSNormalization": rms_normalization,
        "RepeatVector": repeated,
        "Rescaling": rescaling,
        "Reshape": reshaped,
        "UnitNormalization": unit_normalization,
    }
)
"""Layers that read one tensor."""


def _elementwise(kind: str) -> Callable[[At, Sequence[Tensor]], Tensor]:
    def merge(at: At, tensors: Sequence[Tensor]) -> Tensor:
        return Tensor(at(kind, *tensors), _alike(at, tensors))

    return merge


def _product(at: At, tensors: Sequence[Tensor]) -> Tensor:
    shape, found = _alike(at, tensors), tensors[0].name
    for tensor in tensors[1:]:
        found = at("Mul", found, tensor)
    return Tensor(found, shape)


def _difference(at: At, tensors: Sequence[Tensor]) -> Tensor:
    if len(tensors) != 2:
        raise FileError(f"{at.title} reads {len(tensors)} outputs, expected two.")
    return Tensor(at("Sub", *tensors), _alike(at, tensors))


def _average(at: At, tensors: Sequence[Tensor]) -> Tensor:
    return Tensor(at("Mul", at("Sum", *tensors), 1.0 / len(tensors)), _alike(at, tensors))


def _alike(at: At, tensors: Sequence[Tensor]) -> tuple[int | None, ...]:
    """Shape of tensors that are combined element by element."""
    if len({len(tensor.shape) for tensor in tensors}) > 1:
        shapes = " and ".join(str(tensor.shape) for tensor in tensors[:8])
        raise at.refuse(
            f"it reads the shapes {shapes}, expected the same steps from each: a sequence and its last step "
            f"(return_sequences=False) cannot be combined in a stream."
        )
    return broadcast(at, *(tensor.shape for tensor in tensors))


def _concatenation(at: At, tensors: Sequence[Tensor]) -> Tensor:
    return concatenated(at, tensors, at.config.get("axis", -1))


MERGES: Mapping[str, Callable[[At, Sequence[Tensor]], Tensor]] = MappingProxyType(
    {
        "Add": _elementwise("Sum"),
        "Average": _average,
        "Concatenate": _concatenation,
        "Maximum": _elementwise("Max"),
        "Minimum": _elementwise("Min"),
        "Multiply": _product,
        "Subtract": _difference,
    }
)
"""Layers that read several tensors."""
