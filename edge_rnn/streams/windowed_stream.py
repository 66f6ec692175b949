"""WindowedStream: classify overlapping windows while samples arrive."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import float32_array
from edge_rnn.checks import whole
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.streams.one_thread import OneThread
from edge_rnn.streams.stream import MemoryBytes, Stream
from edge_rnn.typing import F32

__all__ = ["MAX_OVERLAP", "WindowedStream"]


MAX_OVERLAP = 4096
"""Largest number of windows that a sample may be in."""


class WindowedStream:
    """Many-to-one inference on a sliding window: an output every ``hop`` samples, for the last ``window`` samples.

    Windows start at samples 0, ``hop``, 2 ``hop`` …, each from the network's initial state, so an output equals
    ``Stream(model).classify(window)`` bit for bit. A sample goes through one stream for each window that it is in
    (``window / hop``, rounded up), with one step in each. Samples are not stored; all memory is allocated when the
    stream is made.

    Parameters
    ----------
    model
        The model to run.
    window
        Length of a window in samples, 1 or more.
    hop
        Number of samples from the start of a window to the start of the next, 1 or more. If it is larger than
        ``window``, samples between windows are ignored.
    on_nonfinite
        See :class:`~edge_rnn.Stream`. Each window starts without held values and without a last output; the output of a
        window in which every sample was skipped is NaN.

    Raises
    ------
    InputError
        ``window`` or ``hop`` is not a positive int, or a sample would be in more than 4096 windows.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn import Elman, Model
    >>> from edge_rnn.streams import WindowedStream
    >>> stream = WindowedStream(Model([Elman([[1.0]], [[0.5]])]), window=4, hop=2)
    >>> [stream.step(np.ones(1, np.float32)) is not None for _ in range(8)]
    [False, False, False, True, False, True, False, True]
    """

    __slots__ = ("__weakref__", "_alone", "_count", "_streams", "hop", "model", "window")

    model: Model
    window: int
    hop: int

    def __init__(
        self, model: Model, *, window: int, hop: int, on_nonfinite: Literal["raise", "hold", "skip"] = "raise"
    ) -> None:
        for name, value in (("window", window), ("hop", hop)):
            whole("WindowedStream", name, value, expected="a number of samples, 1 or more")
        overlap = -(-int(window) // int(hop))
        if overlap > MAX_OVERLAP:
            raise InputError(
                f"WindowedStream got window = {window} and hop = {hop}, so that a sample is in {overlap} windows; "
                f"expected at most {MAX_OVERLAP}: use a larger hop."
            )
        self.model, self.window, self.hop = model, int(window), int(hop)
        self._streams = tuple(Stream(model, on_nonfinite=on_nonfinite) for _ in range(overlap))
        self._count = 0
        self._alone = OneThread("WindowedStream")

    def __repr__(self) -> str:
        return f"<WindowedStream of {self.model!r}, window {self.window}, hop {self.hop}>"

    @property
    def count(self) -> int:
        """Number of samples so far."""
        return self._count

    @property
    def memory(self) -> MemoryBytes:
        """Bytes of weights, shared by all streams of the model, and of the state of all windows open at once."""
        weights, state = self._streams[0].memory
        return MemoryBytes(weights, len(self._streams) * state)

    @property
    def nbytes(self) -> int:
        """Bytes of weights and state together; :attr:`memory` has each of them."""
        return sum(self.memory)

    def reset(self) -> None:
        """Return to the start: the next sample is the first one of a window."""
        with self._alone:
            self._count = 0

    def step(self, x: ArrayLike) -> F32 | None:
        """Take one sample; return the output of the window that it ends, or None if it ends none.

        Parameters
        ----------
        x
            ``(input_size,)`` float32, or convertible to it; a model with one input also takes a plain number.

        Returns
        -------
        ``(output_size,)`` float32, valid until the next call: copy it to keep it.

        Raises
        ------
        InputError
            The shape does not fit; or, with ``on_nonfinite="raise"``, the sample or an output is not finite: all
            windows are unchanged, and the sample does not count.
        StateError
            Another thread is in a call of this stream.
        """
        with self._alone:
            return self._step(x)

    def _step(self, x: ArrayLike) -> F32 | None:
        given = float32_array("stream.step", "x", x)
        if given.ndim == 0 and self.model.input_size == 1:
            given = given[None]
        if given.shape != (self.model.input_size,):
            raise InputError(f"stream.step got shape {given.shape}, expected ({self.model.input_size},) float32.")
        t = self._count
        last = t // self.hop
        if t == last * self.hop:
            self._streams[last % len(self._streams)].reset()
        first = max(0, -((self.window - 1 - t) // self.hop))
        answer: F32 | None = None
        for window in range(first, last + 1):
            try:
                y = self._streams[window % len(self._streams)].step(given)
            except InputError:
                for moved in range(first, window):
                    self._streams[moved % len(self._streams)]._step_back()
                raise
            if t == window * self.hop + self.window - 1:
                answer = np.asarray(y)
        self._count += 1
        return answer

    def run(self, xs: ArrayLike) -> F32:
        """Take many samples; return the outputs of all windows that end among them.

        Parameters
        ----------
        xs
            ``(time, input_size)``.

        Returns
        -------
        ``(windows, output_size)`` float32.

        Raises
        ------
        InputError
            As for :meth:`step`; samples before the one that was refused have been processed.
        """
        given = float32_array("stream.run", "xs", xs)
        if given.ndim != 2 or given.shape[1] != self.model.input_size:
            raise InputError(f"stream.run got shape {given.shape}, expected (time, {self.model.input_size}).")
        with self._alone:
            answers = [answer.copy() for x in given if (answer := self._step(x)) is not None]
        return np.array(answers, np.float32).reshape(-1, self.model.output_size)
