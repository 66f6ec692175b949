"""Equations of cells: graphs of operations on vectors, traced from a Python function.

``operations`` is the table of all operations, ``symbols`` traces a function, ``functions`` are the functions to write
equations with, ``graph`` holds and checks a graph, ``json_form`` converts it for files and back, ``evaluation``
computes it in float64, ``bounds`` derives intervals of its values, and ``printing`` writes it as text and LaTeX.
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
