"""Stream: a network at work on one sequence, the only mutable object."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.arrays import float32_array, refusal
from edge_rnn.checks import choice
from edge_rnn.errors import InputError, InputTypeError, StateError, StateTypeError
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry import python_function as fast
from edge_rnn.kernels.program.driver import not_done
from edge_rnn.kernels.program.record import Handle, Policy, Status
from edge_rnn.model import Model
from edge_rnn.storage.snapshot import STREAM, decode, encode
from edge_rnn.streams.claim import check_alone, claimed
from edge_rnn.streams.plan import Slots
from edge_rnn.streams.stream_memory import StreamMemory, stream_memory
from edge_rnn.typing import F32

__all__ = ["MemoryBytes", "Stream"]


class MemoryBytes(NamedTuple):
    """Memory of a stream, by part, in bytes."""

    weights: int
    """Packed weights, shared by all streams of one model object."""
    state: int
    """What belongs to this stream alone: state, sample, outputs, scratch, handle."""


class Stream:
    """A model at work on one sequence, sample by sample, in memory that is fixed here and now.

    Streams of one model object share its packed weights; each has its own state. A stream is for one thread at a time,
    and a call that finds another one in it is a StateError; different streams may be in different threads.

    Parameters
    ----------
    model
        What to run.
    on_nonfinite
        What to do with a sample that holds a NaN or an infinity, or that makes the output so. ``"raise"``: an
        InputError, state and output as before the sample. ``"hold"``: each such channel takes its last finite value;
        without one, the mean of the model's Standardize, or zero. ``"skip"``: the last output once more, state
        untouched. Under ``"hold"`` a sample whose output is not finite is skipped, and so is one without any finite
        value before there was an output. Before the first output, what is skipped gives NaN: there is no answer yet.

    Attributes
    ----------
    step
        ``step(x) -> y``: one time step. ``x`` is ``(input_size,)`` float32; the result is ``(output_size,)`` float32,
        the same array each time: copy it to keep it. With one channel a plain number will do for ``x``, and with one
        output too, a float is returned. Lists, arrays of other number types and arrays that are not contiguous are
        converted, which takes a few microseconds. A plain attribute, so ``step = stream.step`` saves the look-up in a
        loop.

    Raises
    ------
    InputError
        ``on_nonfinite`` is none of the three, or ``model`` is not a Model.
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
        policies = {policy.name.lower(): policy for policy in Policy}
        choice("Stream", "on_nonfinite", on_nonfinite, policies)
        self.model = model
        self._on_nonfinite = on_nonfinite
        memory = self._memory = stream_memory(model, policies[on_nonfinite])
        slow = partial(_convert_and_step, memory)
        self._run: Callable[[ArrayLike], F32] | None = None
        self.step = fast.make_callable("step", memory.handle, (model.input_size,), memory.y, slow)
        self.reset()

    def __repr__(self) -> str:
        return f"<Stream of {self.model!r}>"

    @property
    def on_nonfinite(self) -> Literal["raise", "hold", "skip"]:
        """Answer to a value that is not finite, as it was given."""
        return self._on_nonfinite

    @property
    def input_size(self) -> int:
        """Length of a sample."""
        return self.model.input_size

    @property
    def output_size(self) -> int:
        """Length of what a step returns."""
        return self.model.output_size

    @property
    def handle(self) -> int:
        """Address for ``edge_rnn.step`` in compiled loops; good for as long as the stream lives."""
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
        """A copy of each layer's state by ``"layer.state"``: ``{"gru1.h": (H,) float32}``."""
        with claimed(self._memory.handle, "stream.state"):
            return {name: self._view(slots).copy() for name, slots in self._memory.plan.states.items()}

    def run(self, xs: ArrayLike, out: F32 | None = None) -> F32:
        """Many time steps: ``stream.step`` for each row, without Python in between and with the GIL released.

        Parameters
        ----------
        xs
            ``(time, input_size)``; converted to float32 if it is not.
        out
            ``(time, output_size)`` float32, C-contiguous, to write to; made if None.

        Returns
        -------
        ``out``.

        Raises
        ------
        InputError
            A shape does not fit; or, with ``on_nonfinite="raise"``, a sample is not finite: the samples before it are
            done, and their outputs written.
        StateError
            Another thread is in the stream.
        """
        if out is not None:
            return _convert_and_run(self._memory, xs, out)
        if self._run is None:
            memory = self._memory
            sizes = self.input_size, self.output_size
            self._run = fast.make_runner(memory.handle, sizes, partial(_convert_and_run, memory), _refuse_row)
        return self._run(xs)

    def reset(self) -> None:
        """Back to the start: initial states, no last output, nothing refused so far.

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

    def _step_back(self) -> None:
        """The last step undone; once, and only right after one that counted. The last output stays what it was."""
        self._memory.handle[Handle.PARITY] ^= 1  # old and new states change places again

    def set_state(self, states: Mapping[str, ArrayLike]) -> None:
        """Go on from states that were computed elsewhere: by another network, from a vector that says what to begin.

        Parameters
        ----------
        states
            By ``"layer.state"``, as in :attr:`state`, float32 of the same shapes; those not named stay as they are.

        Raises
        ------
        StateError
            A state is unknown, of another shape, or not finite, or larger than any that the layer comes to where a
            matrix in integers reads it; or another thread is in the stream. All are as they were.
        """
        if not isinstance(states, Mapping):
            raise StateTypeError(
                f"stream.set_state got {type(states).__name__}, expected states by name, as stream.state."
            )
        checked = {}
        for name, value in states.items():
            slots = self._memory.plan.states.get(name)
            if slots is None:
                known = ", ".join(self._memory.plan.states) or "none"
                raise StateError(f"stream.set_state got the state {name!r}, expected names out of: {known}.")
            given = float32_array("stream.set_state", name, value)
            if given.shape != (slots.size,) or not np.isfinite(given).all():
                got = f"shape {given.shape}" if given.shape != (slots.size,) else "numbers that are not finite"
                raise StateError(f"stream.set_state got {got} as {name}, expected ({slots.size},) finite numbers.")
            limit = _clips_at(self.model, name)
            if limit is not None and np.abs(given).max() > limit:
                raise StateError(
                    f"stream.set_state got {np.abs(given).max():.6g} in {name}, which a matrix in integers cuts off at "
                    f"{limit:.6g}, expected no larger; use a model whose matrices are in float32 or float16."
                )
            checked[name] = given
        with claimed(self._memory.handle, "stream.set_state"):
            for name, given in checked.items():
                self._view(self._memory.plan.states[name])[:] = given

    def classify(self, window: ArrayLike) -> F32:
        """The answer after a window of samples: the output of the last step of a run from the start.

        :class:`~edge_rnn.streams.WindowedStream` gives it for windows that overlap.

        Parameters
        ----------
        window
            ``(time, input_size)``, one sample or more.

        Returns
        -------
        ``(output_size,)`` float32, an array of its own; NaN if every sample was skipped. The stream is left at the end
        of the window.

        Raises
        ------
        InputError, StateError
            As for :meth:`run`; or the window is empty.
        """
        with claimed(self._memory.handle, "stream.classify", even_mixed=True):
            self._reset()
            inside = self._memory.inside()
            try:
                ys = _convert_and_run(inside, window)
            finally:
                self._memory.take_over(inside)
        if not len(ys):
            raise InputError("stream.classify got an empty window, expected one sample or more.")
        answer: F32 = ys[-1].copy()
        return answer

    def snapshot(self) -> bytes:
        """The state of the stream, in bytes that name the model; :meth:`restore` takes them, on any machine."""
        with claimed(self._memory.handle, "stream.snapshot"):
            payload = np.concatenate(self._kept()).astype("<f4", copy=False).tobytes()
        return encode(STREAM, bytes.fromhex(self.model.fingerprint), payload)

    def restore(self, snapshot: bytes) -> None:
        """Go on from where :meth:`snapshot` was taken, bit for bit.

        Raises
        ------
        StateError
            The bytes are damaged, of another version, or of another model, or another thread is in the stream; the
            stream is as it was.
        """
        plan = self._memory.plan
        owner, _, payload = decode(STREAM, snapshot)
        if owner.hex() != self.model.fingerprint:
            raise StateError(
                f"restore got a snapshot of model {owner.hex()[:12]}…, expected one of {self.model.fingerprint[:12]}…; "
                f"load the model that it was taken from."
            )
        values = np.frombuffer(payload, "<f4")
        if values.size != sum(slots.size for slots in plan.kept) or not _may_be_kept(
            values, plan.held, plan.last_output
        ):
            raise StateError("restore got a damaged snapshot: no stream has such values; use an older one, or reset.")
        with claimed(self._memory.handle, "stream.restore", even_mixed=True):
            for part in self._kept():
                part[:], values = values[: part.size], values[part.size :]

    def __copy__(self) -> Stream:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        return self.clone()

    def __reduce__(self) -> NoReturn:
        raise StateError("A stream cannot be pickled; save the model to a file, and take the snapshot along.")

    def clone(self) -> Stream:
        """Another stream of the same model, at the same point, with a state of its own."""
        other = Stream(self.model, on_nonfinite=self._on_nonfinite)
        other.copy_from(self)
        return other

    def copy_from(self, other: Stream) -> None:
        """Go on from where another stream of the same model is, bit for bit.

        Raises
        ------
        StateError
            It is a stream of another model, or another thread is in one of the two.
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
        """Views of all that outlasts a step: what "hold" holds, what "skip" repeats, the states."""
        return [self._view(slots) for slots in self._memory.plan.kept]

    def _view(self, slots: Slots) -> F32:
        start = slots.odd if self._memory.handle[Handle.PARITY] else slots.even
        return self._memory.arena[start : start + slots.size]


def _convert_and_step(memory: StreamMemory, x: ArrayLike) -> Any:
    """One step for a sample that the fast path does not take; says what is wrong with it, or converts it."""
    given = float32_array("stream.step", "x", x)
    expected = memory.plan.sample.size
    scalar = given.ndim == 0 and expected == 1
    if scalar:
        given = given[None]
    if given.shape != (expected,):
        hint = ""
        if given.ndim == 2 and given.shape[1] == expected:
            hint = f" One call is one time step; use stream.run for a {given.shape} array."
        raise InputError(f"stream.step got shape {given.shape}, expected ({expected},) float32.{hint}")
    status = _stepper()(memory.address, given.ctypes.data, memory.y.ctypes.data)
    check_alone(status, "stream.step")
    if status != Status.DONE:
        raise InputError(refusal("stream.step", given))
    return float(memory.y[0]) if scalar and memory.y.size == 1 else memory.y


def _convert_and_run(memory: StreamMemory, xs: ArrayLike, out: F32 | None = None) -> F32:
    """Many steps for samples that the fast path does not take, or into a given array."""
    given = float32_array("stream.run", "xs", xs)
    inputs, outputs = memory.plan.sample.size, memory.plan.last_output.size
    if given.ndim != 2 or given.shape[1] != inputs:
        hint = " Use stream.step for a single sample." if given.ndim == 1 else ""
        raise InputError(f"stream.run got shape {given.shape}, expected (time, {inputs}).{hint}")
    shape = (given.shape[0], outputs)
    if out is None:
        out = np.empty(shape, np.float32)
    elif not (isinstance(out, np.ndarray) and out.dtype == np.float32 and out.shape == shape and out.flags.carray):
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"stream.run got {got} as out, expected a writable, C-contiguous float32 array {shape}.")
    if np.may_share_memory(given, out) and not (
        inputs == outputs and fast.data_address(given) == fast.data_address(out)
    ):
        given = given.copy()  # outputs would overwrite samples that are still to come
    done = _runner()(memory.address, fast.data_address(given), fast.data_address(out), given.shape[0])
    if done < given.shape[0]:
        _refuse_row(given, done)
    return out


def _may_be_kept(values: NDArray[np.floating[Any]], held: Slots, last_output: Slots) -> bool:
    """Whether all that a snapshot holds is finite; or NaN, of the last output, where there was none."""
    finite = np.isfinite(values)
    finite[held.size :][: last_output.size] |= np.isnan(values[held.size :][: last_output.size])
    return bool(finite.all())


def _refuse_row(xs: F32, row: int) -> NoReturn:
    """Say why ``run`` stopped at a row; a number below 0 stands for a stream that was in use."""
    check_alone(not_done(row), "stream.run")
    raise InputError(refusal(f"stream.run xs[{row}]", xs[row]))


@cache
def _stepper() -> Callable[[int, int, int], int]:
    return ctypes.PYFUNCTYPE(ctypes.c_int32, *(ctypes.c_void_p,) * 3)(object_cache.load("step").address)


@cache
def _runner() -> Callable[[int, int, int, int], int]:
    """Through CFUNCTYPE, which releases the GIL."""
    return ctypes.CFUNCTYPE(ctypes.c_ssize_t, *(ctypes.c_void_p,) * 3, ctypes.c_ssize_t)(
        object_cache.load("run").address
    )


def _clips_at(model: Model, name: str) -> float | None:
    """The largest size of a state that is not cut off where it is rounded for a matrix in integers; None: any."""
    place = next(i for i, layer in enumerate(model.layers) if name == f"{layer.name}.h" or name == f"{layer.name}.c")
    layer = model.layers[place]
    if name != f"{layer.name}.h":
        return None
    readers = [each.formats.values() for each, reads in zip(model.layers, model.sources, strict=True) if place in reads]
    matrices = [layer.formats.get("weight_hh"), *(matrix for reader in readers for matrix in reader)]
    return layer.rounding_bound if any(hasattr(matrix, "input_range") for matrix in matrices) else None
