"""Allow one call at a time in a stream: claims by Python code, and the error of a claim that fails.

Compiled code claims the same word of the stream's handle, see :mod:`edge_rnn.kernels.program.claim`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import StateError
from edge_rnn.kernels.program.record import FREE, MIXED, Handle, Status

__all__ = ["check_alone", "claimed"]

_REMEDY = "Give each thread one of its own (Stream(model), or stream.clone() for one at the same point), or lock."


def check_alone(status: int, call: str) -> None:
    """Raise a StateError if the status of compiled code reports another call in the stream, now or during this one."""
    if status == Status.IN_USE:
        raise StateError(f"{call} was called while another thread is in the stream; nothing has changed. {_REMEDY}")
    if status == Status.MIXED:
        raise StateError(
            f"{call} found that two threads were in the same stream at once: its state is mixed up until reset() or "
            f"restore(), and outputs since then are wrong. {_REMEDY}"
        )


@contextmanager
def claimed(handle: NDArray[np.int64], call: str, *, even_mixed: bool = False) -> Iterator[None]:
    """Keep all other calls out of a stream.

    Parameters
    ----------
    handle
        The stream's handle.
    call
        Name of the call, for the message.
    even_mixed
        True to accept a stream that two threads were in at once: the call replaces its whole state.

    Raises
    ------
    StateError
        Another call is in the stream, or entered it meanwhile.
    """
    found, number = int(handle[Handle.IN_USE]), threading.get_ident()
    if found != FREE and not (even_mixed and found == MIXED):
        check_alone(Status.MIXED if found == MIXED else Status.IN_USE, call)
    handle[Handle.IN_USE] = number
    try:
        yield
    finally:
        alone = int(handle[Handle.IN_USE]) == number
        handle[Handle.IN_USE] = FREE if alone else MIXED
        if not alone:
            check_alone(Status.MIXED, call)
