"""Type of ``edge_rnn.step`` in functions that Numba compiles: it becomes a call of the step's address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload

from edge_rnn.errors import StateError
from edge_rnn.kernels.compile.compiler import FLOATS
from edge_rnn.kernels.program.record import Handle, Status
from edge_rnn.kernels.vectors.addresses import as_words, call_for_status

__all__ = ["register"]


def register(step: Callable[..., None]) -> None:
    """Make ``step`` known to Numba.

    Numba itself may be the first to look it up, while it types the user's function. By then it has listed the functions
    that it knows, and has to refresh the list.
    """
    overload(step, inline="never")(_step)
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


@intrinsic
def _data(typing_context: Any, array: Any) -> Any:
    """``float*`` of an array, without counting a reference."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_array(array)(context, builder, args[0]).data

    return FLOATS(array), generate


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
