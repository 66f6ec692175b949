"""The decorator that makes a kind of layer of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from edge_rnn.checks import is_whole, real
from edge_rnn.equations.graph import NAME
from edge_rnn.equations.symbols import ELAPSED, trace
from edge_rnn.errors import ModelError
from edge_rnn.formats import Matrix
from edge_rnn.layers.equation import Cell
from edge_rnn.layers.layer import float32_copy

__all__ = ["CellFunction", "cell"]


class CellFunction:
    """Function of a cell, which makes layers when it is called; see :func:`cell`."""

    def __init__(self, equation: Callable[..., Any]) -> None:
        update_wrapper(self, equation)
        self.equation = equation
        arguments = inspect.signature(equation).parameters
        by_name = [name for name, each in arguments.items() if each.kind is each.KEYWORD_ONLY]
        names = [name for name in arguments if name not in by_name]
        if len(names) < 2 or by_name not in ([], [ELAPSED]):
            raise ModelError(
                f"cell got {equation.__name__}{inspect.signature(equation)}, expected a function of parameters, input, "
                f"states if it has some, and perhaps the time since the last sample: "
                f"def {equation.__name__}(p, x, h, *, {ELAPSED})."
            )
        self.states, self.timed = tuple(names[2:]), bool(by_name)

    def __repr__(self) -> str:
        return f"<cell {self.equation.__name__}, states {', '.join(self.states) or 'none'}>"

    def __call__(
        self,
        *,
        name: str = "",
        inputs: Sequence[str] = (),
        input_size: int | None = None,
        elapsed: float | None = None,
        **given: Any,
    ) -> Cell:
        """Make a layer with these parameters.

        Parameters
        ----------
        name, inputs
            See :class:`~edge_rnn.layers.Layer`.
        input_size
            Number of values read per step; needed only if it does not follow from a matrix.
        elapsed
            For a function that takes ``elapsed``: s from each sample to the next, where that is always the same. None:
            it is the last value that the layer reads.
        **given
            Parameters by name: arrays, matrices in a format, numbers. Values of other types are options, which the
            function may branch on. The name of a state takes its length, if that does not follow from a matrix, or its
            initial values.
        """
        title = self.equation.__name__
        starts, sizes = {}, dict[str, int | None]()
        for state in self.states:
            value = given.pop(state, None)
            sizes[state] = int(value) if is_whole(value) else None
            if value is not None and sizes[state] is None:
                starts[state] = start = float32_copy(title, state, value)
                if start.ndim != 1:
                    raise ModelError(
                        f"{title} {state} got shape {start.shape}, expected one value for each unit: (H,)."
                    )
                sizes[state] = start.size
        parameters = {key: self._parameter(key, value) for key, value in given.items()}
        if elapsed is not None:
            if not self.timed:
                raise ModelError(
                    f"{title} got {ELAPSED}, which its function does not take: def f(p, x, h, *, {ELAPSED})."
                )
            words = "seconds above zero, or None where the layer reads them as its last value"
            parameters[ELAPSED] = real(title, ELAPSED, elapsed, 0, above=True, expected=words, error=ModelError)
        graph = trace(self.equation, parameters, input_size, sizes, timed=self.timed)
        return Cell(graph, parameters, starts, title, name=name, inputs=tuple(inputs))

    def _parameter(self, name: str, value: Any) -> Any:
        if not NAME.fullmatch(name):
            raise ModelError(f"{self.equation.__name__} got a parameter {name!r}, expected letters, digits and _.")
        if value is None or isinstance(value, (Matrix, str, bool, int)):
            return value
        if isinstance(value, (float, np.floating)):
            return float(value)
        return float32_copy(self.equation.__name__, name, value)


def cell(equation: Callable[..., Any]) -> CellFunction:
    """Turn a function that computes one step into a kind of layer.

    Parameters
    ----------
    equation
        ``equation(p, x, h, …)``: ``p`` has the parameters as attributes, ``x`` is the input, and each state has an
        argument of its own; a layer without states has none, and its dict of new states is empty. It returns the output
        and a dict of the new states. It may use ``@`` between a matrix and a vector, ``+ - * /``, slices, and the
        functions of :mod:`edge_rnn.equations`. An ``if`` may test options, not values.

    Returns
    -------
    CellFunction
        Makes a layer when it is called with parameters. Lengths follow from the matrices.

    Raises
    ------
    ModelError
        The function takes other arguments. When it is called: it uses something that is not allowed in an equation; the
        message names the line.

    Examples
    --------
    >>> import numpy as np, edge_rnn
    >>> from edge_rnn.equations import sigmoid, tanh
    >>> @edge_rnn.cell
    ... def mgu(p, x, h):
    ...     f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    ...     h = (1 - f) * h + f * tanh(p.W_h @ x + p.U_h @ (f * h) + p.b_h)
    ...     return h, {"h": h}
    >>> w, u, b = np.ones((2, 3)), np.ones((2, 2)), np.zeros(2)
    >>> model = edge_rnn.Model([mgu(W_f=w, U_f=u, b_f=b, W_h=w, U_h=u, b_h=b)])
    >>> edge_rnn.Stream(model).step(np.ones(3, np.float32)).shape
    (2,)
    """
    return CellFunction(equation)
