"""``edge_rnn.step`` for the user's own compiled loops.

The handle of a stream is an address: the user's ``@njit`` function reads the step's address from it and calls it. So it
runs the same machine code as ``Stream.step``, and no part of the network is compiled into the user's function.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from edge_rnn.errors import InputError

__all__ = ["step"]


def step(handle: int, x: Any, y: Any) -> None:
    """Take one time step of a stream, in the user's own compiled loop.

    Call it inside a function compiled with ``numba.njit``, which the extra ``jit`` brings; from plain Python, use
    ``Stream.step``.

    Parameters
    ----------
    handle
        ``Stream.handle``; the stream has to outlive its use.
    x
        ``(input_size,)`` float32, C-contiguous: one sample.
    y
        ``(output_size,)`` float32, C-contiguous: output.

    Raises
    ------
    ValueError
        ``x`` or ``y`` has the wrong length; or, with ``on_nonfinite="raise"``, the sample or its output is not finite:
        the state and ``y`` are unchanged.
    StateError
        Another thread is in this stream; give each thread one of its own, ``stream.clone()``.

    Examples
    --------
    >>> import numba, numpy as np, edge_rnn
    >>> stream = edge_rnn.Stream(edge_rnn.Model([edge_rnn.Dense([[2.0]])]))
    >>> @numba.njit
    ... def largest(handle, xs, y):
    ...     found = -np.inf
    ...     for t in range(len(xs)):
    ...         edge_rnn.step(handle, xs[t], y)
    ...         found = max(found, y[0])
    ...     return found
    >>> largest(stream.handle, np.float32([[1], [3], [2]]), np.empty(1, np.float32))
    6.0
    """
    raise InputError("edge_rnn.step is for functions compiled with numba.njit; in Python, call stream.step(x).")


if find_spec("numba") is not None:  # without it there are no compiled loops
    from edge_rnn.kernels.entry.user_loop_type import register

    register(step)
