"""A function as a sink."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edge_rnn.loop.scheme import Scheme, Url
from edge_rnn.model import Model
from edge_rnn.typing import F32

__all__ = ["NULL", "Call"]


class Call:
    """Sink that passes outputs to a function.

    Parameters
    ----------
    function
        ``function(y, t_s)``: see :meth:`edge_rnn.loop.Sink.write`.
    """

    def __init__(self, function: Callable[[F32, float], object]) -> None:
        self._function = function

    def write(self, y: F32, t_s: float) -> None:
        """Call the function."""
        self._function(y, t_s)


def _nowhere(url: Url, model: Model) -> Callable[[], Call]:
    return partial(Call, lambda y, t_s: None)


NULL = Scheme(name="null", place="", help="nowhere", open=_nowhere)
