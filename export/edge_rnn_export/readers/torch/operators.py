"""Write PyTorch's operators without states as ONNX's: products, sums, activations, tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_rnn_export.readers.torch.movement import MOVEMENTS
from edge_rnn_export.readers.torch.recurrent import RECURRENT
from edge_rnn_export.readers.torch.writer import Traced, Writer

__all__ = ["OPERATORS"]


def _linear(writer: Writer, a: Any) -> Traced:
    if isinstance(a.weight, Traced):
        raise writer.refuse("its matrix is computed from samples.")
    product = writer.emit("MatMul", a.input, np.swapaxes(a.weight, 0, -1))
    return product if a.bias is None else writer.emit("Add", product, a.bias)


def _matmul(writer: Writer, a: Any) -> Traced:
    other = next(value for key, value in vars(a).items() if key != "self")
    return writer.emit("MatMul", a.self, other)


def _addmm(writer: Writer, a: Any) -> Traced:
    product = _scaled(writer, writer.emit("MatMul", a.mat1, a.mat2), a.alpha)
    return writer.emit("Add", product, _scaled(writer, a.self, a.beta))


def _scaled(writer: Writer, value: Any, factor: float) -> Any:
    """Value times a number."""
    if factor == 1:
        return value
    if not isinstance(value, Traced):
        return np.asarray(value) * np.float32(factor)
    return writer.emit("Mul", value, np.array(factor, np.float32), shape=value.shape)


def _embedding(writer: Writer, a: Any) -> Traced:
    if isinstance(a.weight, Traced):
        raise writer.refuse("its table is computed from samples.")
    return writer.emit("Gather", a.weight, a.indices, axis=0)


def _one_hot(writer: Writer, a: Any) -> Traced:
    return writer.emit("Gather", np.eye(writer.shape[-1], dtype=np.float32), a.self, axis=0)


def _conv(writer: Writer, a: Any) -> Traced:
    """Convolution, of a batch or of a single sequence."""
    x, shape = a.input, writer.shape
    if isinstance(a.weight, Traced):
        raise writer.refuse("its filter is computed from samples.")
    if not isinstance(x, Traced):
        raise writer.refuse("what it reads does not depend on the samples.")
    if single := len(x.shape) < a.weight.ndim:
        x = writer.reshaped(x, (1, *x.shape))
    transposed = getattr(a, "transposed", writer.op.startswith("conv_transpose"))
    found = writer.emit(
        "ConvTranspose" if transposed else "Conv",
        x,
        a.weight,
        a.bias,
        shape=(1, *shape) if single else shape,
        kernel_shape=list(a.weight.shape[2:]),
        strides=list(a.stride),
        pads=[] if isinstance(a.padding, str) else list(a.padding),  # "same" or "valid": none for a single position
        dilations=list(a.dilation),
        group=int(a.groups),
    )
    return writer.reshaped(found, shape)


def _pool(kind: str) -> Callable[[Writer, Any], Traced]:
    def write(writer: Writer, a: Any) -> Traced:
        return writer.emit(kind, a.self)

    return write


def _layer_norm(writer: Writer, a: Any) -> Traced:
    shape = tuple(a.normalized_shape)
    scale = np.ones(shape, np.float32) if a.weight is None else a.weight
    return writer.emit("LayerNormalization", a.input, scale, a.bias, axis=-len(shape), epsilon=float(a.eps))


def _rms_norm(writer: Writer, a: Any) -> Traced:
    shape = tuple(a.normalized_shape)
    scale = np.ones(shape, np.float32) if a.weight is None else a.weight
    epsilon = float(np.finfo(np.float32).eps) if a.eps is None else float(a.eps)
    return writer.emit("RMSNormalization", a.input, scale, axis=-len(shape), epsilon=epsilon)


def _batch_norm(writer: Writer, a: Any) -> list[Traced]:
    count = a.input.shape[1]
    scale = np.ones(count, np.float32) if a.weight is None else a.weight
    bias = np.zeros(count, np.float32) if a.bias is None else a.bias
    numbers = (scale, bias, a.running_mean, a.running_var)
    shape = a.input.shape
    writer.rounds = True
    return [writer.emit("BatchNormalization", a.input, *numbers, epsilon=float(a.eps), shape=shape)]


def _batch_norm_in_use(writer: Writer, a: Any) -> Traced:
    if a.training or a.running_mean is None:
        raise writer.refuse("it takes the mean over a batch, which a stream does not have; use running statistics.")
    return _batch_norm(writer, a)[0]


def _plain(kind: str, **names: str) -> Callable[[Writer, Any], Traced]:
    """Write an operator of one value; ``names`` are ONNX's attributes by PyTorch's arguments."""

    def write(writer: Writer, a: Any) -> Traced:
        given: dict[str, Any] = {theirs: float(getattr(a, ours)) for ours, theirs in names.items()}
        return writer.emit(kind, a.self, **given)

    return write


def _elu(writer: Writer, a: Any) -> Traced:
    """Exponential linear unit, which other functions of PyTorch scale."""
    if a.input_scale != 1 or a.scale != 1:
        raise writer.refuse(f"it scales by {a.input_scale} and {a.scale}, expected 1.")
    return writer.emit("Elu", a.self, alpha=float(a.alpha))


def _hard_sigmoid(writer: Writer, a: Any) -> Traced:
    writer.rounds = True
    return writer.emit("HardSigmoid", a.self, alpha=1 / 6, beta=0.5)


def _softplus(writer: Writer, a: Any) -> Traced:
    found = writer.emit("Softplus", _scaled(writer, a.self, a.beta))
    return found if a.beta == 1 else writer.emit("Div", found, np.float32(a.beta))


def _log_sigmoid(writer: Writer, a: Any) -> Traced:
    return writer.emit("Neg", writer.emit("Softplus", writer.emit("Neg", a.self)))


def _threshold(writer: Writer, a: Any) -> Traced:
    if a.value != 0:
        raise writer.refuse(f"it gives {a.value} below a threshold, expected 0.")
    return writer.emit("ThresholdedRelu", a.self, alpha=float(a.threshold))


def _gelu(writer: Writer, a: Any) -> Traced:
    return writer.emit("Gelu", a.self, approximate=a.approximate)


def _silu(writer: Writer, a: Any) -> Traced:
    return writer.emit("Mul", a.self, writer.emit("Sigmoid", a.self))


def _prelu(writer: Writer, a: Any) -> Traced:
    slope = a.weight
    if slope.size > 1:  # one per channel, along axis 1
        slope = slope.reshape(-1, *[1] * (len(a.self.shape) - 2)) if len(a.self.shape) > 1 else slope
    return writer.emit("PRelu", a.self, slope)


def _clip(low: str, high: str) -> Callable[[Writer, Any], Traced]:
    def write(writer: Writer, a: Any) -> Traced:
        bounds = [getattr(a, name, None) for name in (low, high)]
        if any(isinstance(bound, Traced) or np.ndim(bound) for bound in bounds if bound is not None):
            found: Traced = a.self
            for kind, bound in zip(("Max", "Min"), bounds, strict=True):
                found = found if bound is None else writer.emit(kind, found, bound)
            return found
        return writer.emit("Clip", a.self, *(None if bound is None else np.float32(bound) for bound in bounds))

    return write


def _normalized(kind: str) -> Callable[[Writer, Any], Traced]:
    def write(writer: Writer, a: Any) -> Traced:
        return writer.emit(kind, a.self, axis=a.dim % max(len(a.self.shape), 1))

    return write


def _two(kind: str) -> Callable[[Writer, Any], Traced]:
    """Write arithmetic of two values, numbers among them."""

    def write(writer: Writer, a: Any) -> Traced:
        if getattr(a, "rounding_mode", None) is not None:
            raise writer.refuse(f"it rounds, rounding_mode={a.rounding_mode!r}.")
        for value in (a.self, a.other):
            if isinstance(value, Traced) and value.integers:
                raise writer.refuse("it computes with integers, which only the table of an Embedding may read.")
        return writer.emit(kind, _number(a.self), _scaled(writer, _number(a.other), getattr(a, "alpha", 1)))

    return write


def _number(value: Any) -> Any:
    return value if isinstance(value, Traced) else np.asarray(value, np.float32)


def _reversed_sub(writer: Writer, a: Any) -> Traced:
    return writer.emit("Sub", _number(a.other), _scaled(writer, a.self, a.alpha))


def _pow(writer: Writer, a: Any) -> Traced:
    return writer.emit("Pow", _number(a.self), _number(a.exponent))


def _square(writer: Writer, a: Any) -> Traced:
    return writer.emit("Pow", a.self, np.float32(2))


def _rsqrt(writer: Writer, a: Any) -> Traced:
    return writer.emit("Reciprocal", writer.emit("Sqrt", a.self))


def _reduced(kind: str, name: str = "dim") -> Callable[[Writer, Any], Traced]:
    def write(writer: Writer, a: Any) -> Traced:
        axes = getattr(a, name, None)
        axes = [axes] if isinstance(axes, int) else list(axes or range(len(a.self.shape)))
        numbers = np.array([axis % len(a.self.shape) for axis in axes], np.int64)
        return writer.emit(kind, a.self, numbers, keepdims=int(getattr(a, "keepdim", False)))

    return write


OPERATORS: dict[str, Callable[[Writer, Any], Any]] = {
    **RECURRENT,
    **MOVEMENTS,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), _matmul),
    "linear": _linear,
    **dict.fromkeys(("convolution", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"), _conv),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"), _pool("AveragePool")),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), _pool("MaxPool")),
    "addmm": _addmm,
    "embedding": _embedding,
    "one_hot": _one_hot,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "batch_norm": _batch_norm_in_use,
    "abs": _plain("Abs"),
    "celu": _plain("Celu", alpha="alpha"),
    "elu": _elu,
    "exp": _plain("Exp"),
    "gelu": _gelu,
    "hardsigmoid": _hard_sigmoid,
    "hardswish": _plain("HardSwish"),
    "hardtanh": _clip("min_val", "max_val"),
    "leaky_relu": _plain("LeakyRelu", negative_slope="alpha"),
    "log_sigmoid": _log_sigmoid,
    "mish": _plain("Mish"),
    "neg": _plain("Neg"),
    "prelu": _prelu,
    "reciprocal": _plain("Reciprocal"),
    "relu": _plain("Relu"),
    "rsqrt": _rsqrt,
    "selu": _plain("Selu"),
    "sigmoid": _plain("Sigmoid"),
    "silu": _silu,
    "softplus": _softplus,
    "softsign": _plain("Softsign"),
    "sqrt": _plain("Sqrt"),
    "square": _square,
    "tanh": _plain("Tanh"),
    "threshold": _threshold,
    "clamp": _clip("min", "max"),
    "clamp_min": _clip("min", ""),
    "clamp_max": _clip("", "max"),
    "softmax": _normalized("Softmax"),
    "log_softmax": _normalized("LogSoftmax"),
    "add": _two("Add"),
    "sub": _two("Sub"),
    "mul": _two("Mul"),
    "div": _two("Div"),
    "maximum": _two("Max"),
    "minimum": _two("Min"),
    "rsub": _reversed_sub,
    "pow": _pow,
    "mean": _reduced("ReduceMean"),
    "sum": _reduced("ReduceSum"),
    "amax": _reduced("ReduceMax"),
}
"""Functions that write PyTorch's operators, by name without overload."""
