"""``edge_rnn.step`` for the user's own compiled loops.

The handle of a stream is an address: the user's ``@njit`` function reads the step's address from it and calls it. So it
runs the same machine code as ``Stream.step``, and no part of the network is compiled into the user's function.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload

from edge_rnn.errors import InputError, StateError
from edge_rnn.kernels.compile.compiler import FLOATS
from edge_rnn.kernels.program.record import Handle, Status
from edge_rnn.kernels.vectors.addresses import as_words, call_for_status

__all__ = ["step"]


def step(handle: int, x: Any, y: Any) -> None:
    """Take one time step of a stream, in the user's own compiled loop.

    Call it inside a function compiled with ``numba.njit``; from plain Python, use ``Stream.step``.

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


@intrinsic
def _data(typing_context: Any, array: Any) -> Any:
    """``float*`` of an array, without counting a reference."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_array(array)(context, builder, args[0]).data

    return FLOATS(array), generate


@overload(step, inline="never")
def _step(handle: Any, x: Any, y: Any) -> Any:
    if not isinstance(handle, types.Integer):
        raise TypingError(f"edge_rnn.step got {handle} as handle, expected an integer: pass stream.handle.")
    for name, array in (("x", x), ("y", y)):
        if not (
            isinstance(array, types.Array)
            and array.dtype == types.float32
            and array.ndim == 1
            and array.layout == "C"
            and (name == "x" or array.mutable)
        ):
            raise TypingError(
                f"edge_rnn.step got {array} as {name}, expected a C-contiguous float32 array of one axis."
            )

    def call(handle: Any, x: Any, y: Any) -> None:
        words = as_words(handle)
        if x.size != words[Handle.INPUT_SIZE] or y.size != words[Handle.OUTPUT_SIZE]:
            raise ValueError("edge_rnn.step got an x or y whose length is not the model's input_size or output_size.")
        status = call_for_status(words[Handle.STEP], (words, _data(x), _data(y)))
        if status in (Status.IN_USE, Status.MIXED):
            raise StateError(
                "edge_rnn.step got a stream that another thread is in, or was; give each thread one of its own, "
                "stream.clone(). If both were in it at once, its state is invalid until stream.reset()."
            )
        if status != Status.DONE:
            raise ValueError(
                "edge_rnn.step got a sample that is not finite, or whose output is not; the state is unchanged."
            )

    return call


# Numba itself may be the first to look up edge_rnn.step, while it types the user's function. By then it has listed the
# functions that it knows, and has to refresh the list.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
