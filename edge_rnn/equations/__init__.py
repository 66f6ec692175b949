"""What a cell computes, as a graph of operations on vectors, recorded from a function that says it once.

``operations`` is the one table of what there is, ``symbols`` records, ``functions`` are what equations are written in,
``graph`` holds and checks, ``json_form`` goes to files and back, ``evaluation`` computes in float64, ``bounds`` limits
values, ``printing`` writes maths as text and LaTeX.
"""

from __future__ import annotations

from edge_rnn.equations.functions import (
    above,
    absolute,
    clip,
    concat,
    elu,
    exp,
    hard_sigmoid,
    largest,
    leaky_relu,
    maximum,
    mean,
    minimum,
    relu,
    sigmoid,
    softmax,
    softplus,
    softsign,
    split,
    sqrt,
    tanh,
    total,
    variance,
)

__all__ = [
    "above",
    "absolute",
    "clip",
    "concat",
    "elu",
    "exp",
    "hard_sigmoid",
    "largest",
    "leaky_relu",
    "maximum",
    "mean",
    "minimum",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "split",
    "sqrt",
    "tanh",
    "total",
    "variance",
]
