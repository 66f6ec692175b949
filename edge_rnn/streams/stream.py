"""Stream: run a network over one sequence, sample by sample, in fixed memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.checks import choice
from edge_rnn.errors import InputError, InputTypeError, StateError, StateTypeError
from edge_rnn.kernels.entry import python_function as fast
from edge_rnn.kernels.program.record import Handle, Policy
from edge_rnn.model import Model
from edge_rnn.storage.snapshot import STREAM, decode, encode
from edge_rnn.streams.claim import claimed
from edge_rnn.streams.convert import convert_and_run, convert_and_step, refuse_row
from edge_rnn.streams.plan import Slots
from edge_rnn.streams.states import checked_states, may_be_kept
from edge_rnn.streams.stream_memory import stream_memory
from edge_rnn.typing import F32

__all__ = ["MemoryBytes", "Stream"]


_POLICIES = {policy.name.lower(): policy for policy in Policy}


class MemoryBytes(NamedTuple):
    """Memory of a stream, by part, in bytes."""

    weights: int
    """Packed weights, shared by all streams of one model object."""
    state: int
    """Memory of this stream alone: state, sample, outputs, scratch, handle."""


class Stream:
    """Run of a model over one sequence, sample by sample. All memory is allocated when the stream is made.

    Streams of one model object share its packed weights; each has its own state. Only one thread at a time may use a
    stream: a call during another call raises StateError. Different streams may run in different threads.

    Parameters
    ----------
    model
        The model to run.
    on_nonfinite
        Policy for a sample that holds a NaN or an infinity, or whose output does. ``"raise"``: raise InputError and
        leave state and output unchanged. ``"hold"``: replace each such value by the channel's last finite value, or, if
        there is none, by the mean of the model's Standardize or zero. ``"skip"``: return the last output again and
        leave the state unchanged. Under ``"hold"``, a sample is skipped if its output is not finite, or if it has no
        finite value and there has been no output yet. A sample that is skipped before the first output gives NaN.

    Attributes
    ----------
    step
        ``step(x) -> y``: one time step. ``x`` is ``(input_size,)`` float32; the result is ``(output_size,)`` float32,
        the same array each time: copy it to keep it. A model with one input also takes a plain number, and if it has
        one output too, it then returns a float. Lists, arrays of other number types and arrays that are not contiguous
        are converted, which takes a few microseconds. A plain attribute, so ``step = stream.step`` saves the look-up in
        a loop.

    Raises
    ------
    InputError
        ``on_nonfinite`` is unknown, or ``model`` is not a Model.
    CompileError
        A kernel cannot be compiled on this machine.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn import Elman, Model, Stream
    >>> stream = Stream(Model([Elman([[1.0]], [[0.5]])]))
    >>> float(stream.step(np.zeros(1, np.float32))[0])
    0.0
    """

    __slots__ = ("__weakref__", "_memory", "_on_nonfinite", "_run", "model", "step")

    model: Model
    step: Callable[[ArrayLike], Any]

    def __init__(self, model: Model, *, on_nonfinite: Literal["raise", "hold", "skip"] = "raise") -> None:
        if not isinstance(model, Model):
            raise InputTypeError(f"Stream got {type(model).__name__} as model, expected a Model; load(path) reads one.")
        choice("Stream", "on_nonfinite", on_nonfinite, _POLICIES)
        self.model = model
        self._on_nonfinite = on_nonfinite
        memory = self._memory = stream_memory(model, _POLICIES[on_nonfinite])
        slow = partial(convert_and_step, memory)
        self._run: Callable[[ArrayLike], F32] | None = None
        self.step = fast.make_callable(memory.handle, (model.input_size,), memory.y, slow)
        self._reset()

    def __repr__(self) -> str:
        return f"<Stream of {self.model!r}>"

    @property
    def on_nonfinite(self) -> Literal["raise", "hold", "skip"]:
        """Policy for values that are not finite, as given."""
        return self._on_nonfinite

    @property
    def input_size(self) -> int:
        """Length of a sample."""
        return self.model.input_size

    @property
    def output_size(self) -> int:
        """Length of an output."""
        return self.model.output_size

    @property
    def handle(self) -> int:
        """Address for ``edge_rnn.step`` in compiled loops; valid for as long as the stream lives."""
        return self._memory.address

    @property
    def memory(self) -> MemoryBytes:
        """Bytes of weights, shared by all streams of the model, and of state; neither grows."""
        plan = self._memory.plan
        return MemoryBytes(plan.weight_bytes, plan.state_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes of weights and state together; :attr:`memory` has each of them."""
        return sum(self.memory)

    @property
    def rejected_samples(self) -> int:
        """Number of samples so far that were held or skipped."""
        return int(self._memory.handle[Handle.REFUSED])

    @property
    def state(self) -> dict[str, F32]:
        """Copy of each layer's state by ``"layer.state"``: ``{"gru1.h": (H,) float32}``."""
        with claimed(self._memory.handle, "stream.state"):
            return {name: self._view(slots).copy() for name, slots in self._memory.plan.states.items()}

    def run(self, xs: ArrayLike, out: F32 | None = None) -> F32:
        """Take many time steps: ``stream.step`` for each row, without Python in between and with the GIL released.

        Parameters
        ----------
        xs
            ``(time, input_size)``; converted to float32 if it is not.
        out
            ``(time, output_size)`` float32, C-contiguous, to write to; allocated if None.

        Returns
        -------
        ``out``.

        Raises
        ------
        InputError
            A shape does not fit; or, with ``on_nonfinite="raise"``, a sample or its output is not finite: earlier
            samples have been processed and their outputs written.
        StateError
            Another thread is in the stream.
        """
        if out is not None:
            return convert_and_run(self._memory, xs, out)
        if self._run is None:
            memory = self._memory
            sizes = self.input_size, self.output_size
            self._run = fast.make_runner(memory.handle, sizes, partial(convert_and_run, memory), refuse_row)
        return self._run(xs)

    def reset(self) -> None:
        """Return to the start: initial states, no last output, and no rejected samples.

        Raises
        ------
        StateError
            Another thread is in the stream.
        """
        with claimed(self._memory.handle, "stream.reset", even_mixed=True):
            self._reset()

    def _reset(self) -> None:
        handle, initial = self._memory.handle, self._memory.plan.initial
        self._memory.arena[: initial.size], self._memory.arena[initial.size :] = initial, 0
        handle[Handle.PARITY] = handle[Handle.REFUSED] = 0
        self._memory.take_program()

    def _step_back(self) -> None:
        """Undo the last step; once, and only right after one that was not skipped. The last output stays."""
        self._memory.handle[Handle.PARITY] ^= 1  # swaps old and new states back

    def set_state(self, states: Mapping[str, ArrayLike]) -> None:
        """Set states that were computed elsewhere, such as by another network from a conditioning vector.

        Parameters
        ----------
        states
            States by ``"layer.state"``, as in :attr:`state`, float32 of the same shapes; others are unchanged.

        Raises
        ------
        StateError
            A state is unknown, of the wrong shape, not finite, or beyond the range of an integer matrix that reads it;
            or another thread is in the stream. All states are unchanged then.
        """
        if not isinstance(states, Mapping):
            raise StateTypeError(
                f"stream.set_state got {type(states).__name__}, expected a dict of states by name, as in stream.state."
            )
        checked = checked_states(self.model, self._memory.plan, states)
        with claimed(self._memory.handle, "stream.set_state"):
            for name, given in checked.items():
                self._view(self._memory.plan.states[name])[:] = given

    def classify(self, window: ArrayLike) -> F32:
        """Classify a window of samples: output of the last step of a run from the initial state.

        For overlapping windows, see :class:`~edge_rnn.streams.WindowedStream`.

        Parameters
        ----------
        window
            ``(time, input_size)``, at least one sample.

        Returns
        -------
        ``(output_size,)`` float32, a new array; NaN if every sample was skipped. The stream is left at the end of the
        window.

        Raises
        ------
        InputError, StateError
            As for :meth:`run`; or the window is empty.
        """
        with claimed(self._memory.handle, "stream.classify", even_mixed=True):
            self._reset()
            inside = self._memory.inside()
            try:
                ys = convert_and_run(inside, window)
            finally:
                self._memory.take_over(inside)
        if not len(ys):
            raise InputError("stream.classify got an empty window, expected at least one sample.")
        answer: F32 = ys[-1].copy()
        return answer

    def snapshot(self) -> bytes:
        """Serialize the state of the stream, with the model's fingerprint; :meth:`restore` takes it on any machine."""
        with claimed(self._memory.handle, "stream.snapshot"):
            payload = np.concatenate(self._kept()).astype("<f4", copy=False).tobytes()
        return encode(STREAM, bytes.fromhex(self.model.fingerprint), payload)

    def restore(self, snapshot: bytes) -> None:
        """Restore the state of a :meth:`snapshot`, bit for bit.

        Raises
        ------
        StateError
            The snapshot is damaged, of another version or of another model, or another thread is in the stream; the
            stream is unchanged.
        """
        plan = self._memory.plan
        owner, _, payload = decode(STREAM, snapshot)
        if owner.hex() != self.model.fingerprint:
            raise StateError(
                f"restore got a snapshot of model {owner.hex()[:12]}…, expected one of {self.model.fingerprint[:12]}…; "
                f"load the model that the snapshot was taken with."
            )
        values = np.frombuffer(payload, "<f4")
        if not may_be_kept(plan, values):
            raise StateError("restore got a damaged snapshot with invalid values; use an older one, or reset().")
        with claimed(self._memory.handle, "stream.restore", even_mixed=True):
            for part in self._kept():
                part[:], values = values[: part.size], values[part.size :]

    def __copy__(self) -> Stream:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        return self.clone()

    def __reduce__(self) -> NoReturn:
        raise StateError("A stream cannot be pickled; save the model to a file and pass stream.snapshot() on with it.")

    def clone(self) -> Stream:
        """Make another stream of the same model, with a copy of the state."""
        other = Stream(self.model, on_nonfinite=self._on_nonfinite)
        other.copy_from(self)
        return other

    def copy_from(self, other: Stream) -> None:
        """Copy the state of another stream of the same model, bit for bit.

        Raises
        ------
        StateError
            The other stream has another model, or another thread is in one of the two.
        """
        if not isinstance(other, Stream):
            raise StateTypeError(f"stream.copy_from got {type(other).__name__}, expected a stream of {self.model!r}.")
        if other.model is not self.model and other.model.fingerprint != self.model.fingerprint:
            raise StateError(f"stream.copy_from got {other!r}, expected a stream of {self.model!r}.")
        with claimed(other._memory.handle, "stream.copy_from"):
            kept = [part.copy() for part in other._kept()]
        with claimed(self._memory.handle, "stream.copy_from", even_mixed=True):
            for mine, theirs in zip(self._kept(), kept, strict=True):
                mine[:] = theirs

    def _kept(self) -> list[F32]:
        """Views of all values that outlast a step: held samples for "hold", last output for "skip", and states."""
        return [self._view(slots) for slots in self._memory.plan.kept]

    def _view(self, slots: Slots) -> F32:
        start = slots.odd if self._memory.handle[Handle.PARITY] else slots.even
        return self._memory.arena[start : start + slots.size]
