"""StreamBank: run a network over many sequences together, for gateways with many sensors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.arrays import float32_array, refusal
from edge_rnn.checks import whole
from edge_rnn.errors import InputError
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry import python_function as fast
from edge_rnn.kernels.program.record import MIXED, Bank, Handle, Status
from edge_rnn.model import Model
from edge_rnn.spelling import counted
from edge_rnn.streams.claim import check_alone
from edge_rnn.streams.planner import plan_of
from edge_rnn.streams.stream import MemoryBytes, Stream
from edge_rnn.streams.stream_memory import generic_functions
from edge_rnn.typing import F32

__all__ = ["MAX_STREAMS", "StreamBank"]


MAX_STREAMS = 65_536
"""Most streams of one bank."""


class StreamBank:
    """Bank of ``n`` independent streams of one model that step together, each weight loaded once for several streams.

    Every stream has its own state: ``bank[i]`` is a :class:`~edge_rnn.Stream`, which can be reset, saved as a snapshot,
    restored, or stepped alone in between. Results equal those of single streams except for the order in which float32
    sums are rounded: they differ by less than 1e-6 over any number of steps of a network that forgets.

    Parameters
    ----------
    model
        The model to run.
    n
        Number of streams, 1 to 65536; memory for all of them is allocated at once.
    on_nonfinite
        See :class:`~edge_rnn.Stream`; with ``"raise"``, an error leaves every stream of the bank unchanged.

    Attributes
    ----------
    step
        ``step(xs) -> ys``: one time step of every stream that is present. ``xs`` is ``(n, input_size)`` float32, a
        sample for each stream; other arrays and lists are converted. The result is ``(n, output_size)`` float32, the
        same array each time: copy it to keep it. Raises InputError if a shape does not fit, or, with
        ``on_nonfinite="raise"``, if a sample or an output is not finite; then all streams are unchanged. Raises
        StateError if another thread is in one of the streams.

    Raises
    ------
    InputError
        ``n`` is not an int from 1 to 65536, ``on_nonfinite`` is unknown, or ``model`` is not a Model.
    CompileError
        A kernel cannot be compiled on this machine.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn import Elman, Model, StreamBank
    >>> bank = StreamBank(Model([Elman([[1.0]], [[0.5]])]), 3)
    >>> bank.step(np.zeros((3, 1), np.float32)).shape
    (3, 1)
    """

    __slots__ = ("__weakref__", "_arrays", "_streams", "_table", "_ys", "model", "step")

    model: Model
    step: Callable[[ArrayLike], F32]

    def __init__(self, model: Model, n: int, *, on_nonfinite: Literal["raise", "hold", "skip"] = "raise") -> None:
        words = f"a number of streams from 1 to {MAX_STREAMS}; use several banks for more"
        n = whole("StreamBank", "n", n, 1, MAX_STREAMS, expected=words)
        self._streams = tuple(Stream(model, on_nonfinite=on_nonfinite) for _ in range(n))
        self.model = model
        self._ys = np.zeros((n, model.output_size), np.float32)[:]  # a view, which cannot be resized
        group = object_cache.host().group
        grouped = [_grouped(name, group) if n >= group > 1 else 0 for name in plan_of(model).operations]
        self._arrays = {
            Bank.HANDLES: np.array([stream.handle for stream in self._streams], np.int64),
            Bank.PRESENT: np.ones(n, np.int64),
            Bank.FUNCTIONS: generic_functions(plan_of(model)),
            Bank.GROUPED: np.array(grouped, np.int64),
            Bank.WHO: np.zeros(n, np.int64),
            Bank.RECORDS: np.zeros(n, np.int64),
            Bank.ARENAS: np.zeros(n, np.int64),
        }
        self._table = np.zeros(len(Bank), np.int64)
        self._table[Bank.STEP] = object_cache.load("bank").address
        self._table[Bank.COUNT], self._table[Bank.GROUP] = n, group
        for word, array in self._arrays.items():
            self._table[word] = array.ctypes.data
        slow = partial(_convert_and_step, self._streams, self._arrays, self._table, self._ys)
        self.step = fast.make_callable(self._table, (n, model.input_size), self._ys, slow)

    def __repr__(self) -> str:
        return f"<StreamBank of {counted(len(self), 'stream')} of {self.model!r}>"

    def __len__(self) -> int:
        return len(self._streams)

    def __getitem__(self, i: int) -> Stream:
        return self._streams[i]

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Streams that take part in :meth:`step`: ``(n,)`` bool."""
        return self._arrays[Bank.PRESENT].astype(np.bool_)

    @property
    def memory(self) -> MemoryBytes:
        """Bytes of weights, shared by all streams of the model, and of all memory of the streams themselves."""
        weights, state = self._streams[0].memory
        own = sum(array.nbytes for array in self._arrays.values()) + self._table.nbytes + self._ys.nbytes
        return MemoryBytes(weights, len(self) * state + own)

    @property
    def nbytes(self) -> int:
        """Bytes of weights and state together; :attr:`memory` has each of them."""
        return sum(self.memory)

    def leave(self, i: int) -> None:
        """Exclude stream ``i`` from further steps: its row of ``xs`` is ignored, its row of the output is zero."""
        self._arrays[Bank.PRESENT][self._place(i)] = 0
        self._ys[self._place(i)] = 0

    def join(self, i: int) -> None:
        """Include stream ``i`` again, with its state unchanged; ``bank[i].reset()`` starts a new sequence."""
        self._arrays[Bank.PRESENT][self._place(i)] = 1

    def reset(self) -> None:
        """Reset every stream to the start, and include all of them."""
        self._arrays[Bank.PRESENT][:] = 1
        self._ys[:] = 0
        for stream in self._streams:
            stream.reset()

    def _place(self, i: int) -> int:
        return whole("StreamBank", "stream", i, -len(self), len(self) - 1, expected=f"0 to {len(self) - 1}")


def _grouped(name: str, group: int) -> int:
    """Address of the kernel ``name`` for a group of streams; 0 if it has no such variant."""
    grouped = object_cache.grouped(name, group)
    return object_cache.load(grouped).address if grouped else 0


def _convert_and_step(
    streams: tuple[Stream, ...], arrays: dict[Bank, NDArray[np.int64]], table: NDArray[np.int64], ys: F32, xs: ArrayLike
) -> F32:
    """Take one step for samples that the fast path does not take: convert them, or raise InputError.

    Keeps ``streams`` and ``arrays`` alive, whose addresses the table holds.
    """
    given = float32_array("bank.step", "xs", xs)
    expected = (len(streams), streams[0].input_size)
    if given.shape != expected:
        raise InputError(f"bank.step got shape {given.shape}, expected {expected} float32: a row for each stream.")
    refused = _stepper()(fast.data_address(table), fast.data_address(given), fast.data_address(ys))
    if refused < 0:
        words = streams[-1 - refused]._memory.handle
        check_alone(Status.MIXED if words[Handle.IN_USE] == MIXED else Status.IN_USE, f"bank[{-1 - refused}].step")
    if refused:
        raise InputError(refusal(f"bank.step xs[{refused - 1}]", given[refused - 1]))
    return ys


@cache
def _stepper() -> Callable[[int, int, int], int]:
    return ctypes.PYFUNCTYPE(ctypes.c_int32, *(ctypes.c_void_p,) * 3)(object_cache.load("bank").address)
