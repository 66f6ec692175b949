"""Functions to write equations with: called with symbols they record, called with arrays and numbers they compute.

So a cell's function, called with NumPy arrays, is its own reference.
"""

from __future__ import annotations

from math import pi
from typing import Any

from edge_rnn.equations.symbols import Symbol, apply, joined, refused, share
from edge_rnn.errors import ModelError
from edge_rnn.spelling import counted

__all__ = [
    "above",
    "absolute",
    "celu",
    "clip",
    "concat",
    "elu",
    "erf",
    "exp",
    "gelu",
    "hard_sigmoid",
    "hard_swish",
    "largest",
    "layer_norm",
    "leaky_relu",
    "log",
    "log_sigmoid",
    "log_softmax",
    "maximum",
    "mean",
    "minimum",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "rsqrt",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "split",
    "sqrt",
    "tanh",
    "total",
    "variance",
]


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848, 1.0507009873554804934


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return apply("sigmoid", x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return apply("tanh", x)


def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return apply("maximum", x, 0.0)


def exp(x: Any) -> Any:
    """Exponential function; infinite above 88.72 in a stream, where float32 overflows."""
    return apply("exp", x)


def log(x: Any) -> Any:
    """Natural logarithm; -infinite for 0, NaN below it."""
    return apply("log", x)


def erf(x: Any) -> Any:
    """Error function."""
    return apply("erf", x)


def sqrt(x: Any) -> Any:
    """Square root."""
    return apply("sqrt", x)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return apply("softplus", x)


def absolute(x: Any) -> Any:
    """Absolute value."""
    return apply("absolute", x)


def minimum(a: Any, b: Any) -> Any:
    """Elementwise minimum."""
    return apply("minimum", a, b)


def maximum(a: Any, b: Any) -> Any:
    """Elementwise maximum."""
    return apply("maximum", a, b)


def above(x: Any, limit: Any) -> Any:
    """``x`` if it is above the limit, else 0."""
    return apply("above", x, limit)


def clip(x: Any, limit: Any) -> Any:
    """``x`` clipped to ``-limit .. limit``."""
    return apply("maximum", apply("minimum", x, limit), apply("sub", 0.0, limit))


def hard_sigmoid(x: Any, alpha: Any = 0.2, beta: Any = 0.5) -> Any:
    """``alpha x + beta`` clipped to 0 .. 1; the defaults are ONNX's, PyTorch has an ``alpha`` of 1/6."""
    return apply("maximum", apply("minimum", alpha * x + beta, 1.0), 0.0)


def leaky_relu(x: Any, alpha: Any = 0.01) -> Any:
    """``x`` if it is positive, else ``alpha x``."""
    return relu(x) + alpha * minimum(x, 0.0)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """``x`` if it is positive, else ``alpha (exp(x) - 1)``."""
    return relu(x) + alpha * apply("expm1", minimum(x, 0.0))


def softsign(x: Any) -> Any:
    """``x / (1 + |x|)``."""
    return x / (absolute(x) + 1.0)


def relu6(x: Any) -> Any:
    """``x`` clipped to 0 .. 6 (Krizhevsky 2010, Convolutional Deep Belief Networks on CIFAR-10)."""
    return apply("minimum", relu(x), 6.0)


def prelu(x: Any, weight: Any) -> Any:
    """``x`` if it is positive, else ``weight x``, where ``weight`` is trained (He et al. 2015, arXiv:1502.01852)."""
    return leaky_relu(x, weight)


def selu(x: Any) -> Any:
    """ELU scaled such that means and variances settle at 0 and 1 (Klambauer et al. 2017, arXiv:1706.02515)."""
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def celu(x: Any, alpha: Any = 1.0) -> Any:
    """``x`` if it is positive, else ``alpha (exp(x / alpha) - 1)`` (Barron 2017, arXiv:1704.07483)."""
    return relu(x) + alpha * apply("expm1", minimum(x, 0.0) * (1.0 / alpha))


def silu(x: Any) -> Any:
    """``x sigmoid(x)``, also called swish (Elfwing et al. 2017, arXiv:1702.03118)."""
    return x * sigmoid(x)


def gelu(x: Any, approximate: str = "none") -> Any:
    """``x (1 + erf(x / sqrt(2))) / 2`` (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    With ``approximate="tanh"``, ``x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``.
    """
    if approximate not in ("none", "tanh"):
        message = f"gelu approximate got {approximate!r}, expected 'none' or 'tanh'."
        raise refused(message) if isinstance(x, Symbol) else ModelError(message)
    share = erf(x * sqrt(0.5)) if approximate == "none" else tanh(sqrt(2 / pi) * (x + 0.044715 * x**2 * x))
    return 0.5 * x * (1.0 + share)


def hard_swish(x: Any) -> Any:
    """``x relu6(x + 3) / 6`` (Howard et al. 2019, arXiv:1905.02244)."""
    return x * hard_sigmoid(x, 1 / 6, 0.5)


def mish(x: Any) -> Any:
    """``x tanh(softplus(x))`` (Misra 2019, arXiv:1908.08681)."""
    return x * tanh(softplus(x))


def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))``, as ``-softplus(-x)``, which does not overflow."""
    return -softplus(-x)


def rsqrt(x: Any) -> Any:
    """``1 / sqrt(x)``."""
    return 1.0 / sqrt(x)


def total(x: Any) -> Any:
    """Sum over all units, a single number."""
    return apply("total", x)


def largest(x: Any) -> Any:
    """Maximum over all units, a single number."""
    return apply("largest", x)


def mean(x: Any) -> Any:
    """Mean over all units, a single number."""
    return total(x) * share(x)


def variance(x: Any) -> Any:
    """Variance over all units (mean squared deviation from the mean), a single number."""
    return mean((x - mean(x)) ** 2)


def softmax(x: Any) -> Any:
    """``exp(x) / sum(exp(x))``."""
    e = exp(x - largest(x))
    return e / total(e)


def log_softmax(x: Any) -> Any:
    """``log(softmax(x))``, which stays finite where a share rounds to 0."""
    below = x - largest(x)
    return below - log(total(exp(below)))


def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5) -> Any:
    """``(x - mean(x)) / sqrt(variance(x) + eps) weight + bias`` over all units (Ba et al. 2016, arXiv:1607.06450)."""
    return _affine((x - mean(x)) / sqrt(variance(x) + eps), weight, bias)


def rms_norm(x: Any, weight: Any = None, eps: Any = 2.0**-23) -> Any:
    """``x / sqrt(mean(x²) + eps) weight`` over all units (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    return _affine(x / sqrt(mean(x**2) + eps), weight, None)


def split(x: Any, parts: int) -> tuple[Any, ...]:
    """Split a vector into ``parts`` adjacent vectors of equal length, such as its gates."""
    size = x.shape[0] if x.shape else 0
    if not size or size % parts:
        message = f"{counted(size, 'value')} cannot be split into {parts} parts of equal length."
        raise refused(message) if isinstance(x, Symbol) else ModelError(message)
    each = size // parts
    return tuple(x[start : start + each] for start in range(0, size, each))


def concat(*vectors: Any) -> Any:
    """Concatenation of vectors."""
    return joined(*vectors)


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    scaled = x if weight is None else x * weight
    return scaled if bias is None else scaled + bias
