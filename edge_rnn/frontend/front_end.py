"""FrontEnd: base class of everything between a sensor and a network, and the rules that all front ends follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import float32_array
from edge_rnn.errors import InputError
from edge_rnn.storage.snapshot import pack, refused, unpack
from edge_rnn.typing import F32, AnyArray

__all__ = ["FrontEnd", "PerSample"]


_FLOAT32 = np.dtype(np.float32)


class FrontEnd(ABC):
    """Converter from samples at one rate to features at another, in memory that is allocated at construction.

    ``push`` takes samples one by one, ``run`` in blocks; the features are bit-identical however the samples are split.
    Each feature is computed from the current content of its window only, never from a running sum, so the result does
    not drift with the length of the stream. A non-finite value makes NaN or infinity of the features whose windows
    contain it and of no later ones (a class that differs documents it); it neither raises nor warns.

    Taking a sample allocates nothing. While a feature is computed from a window, NumPy's reductions and transforms
    allocate a few hundred bytes and release them.

    To add a kind, derive a class that sets ``kind``, lists its state in ``_numbers`` and ``_arrays``, restricts the
    valid values in ``_can_be``, and implements ``push``, ``due`` and ``_run``.

    Parameters
    ----------
    input_size
        Channels per sample.
    output_size
        Length of a feature vector.
    ratio
        Feature vectors per sample in the long run.
    options
        Constructor arguments, by the names that :func:`edge_rnn.frontend.parse` takes, without defaults.

    Attributes
    ----------
    y
        ``(output_size,)`` float32: the feature vector that ``push`` returns, the same array each time.
    """

    kind: ClassVar[str]
    """Name of the kind in :func:`edge_rnn.frontend.parse`."""
    _numbers: ClassVar[tuple[str, ...]] = ()
    """Names of integer attributes that change with the samples."""
    _arrays: ClassVar[tuple[str, ...]] = ()
    """Names of array attributes that change with the samples."""

    def __init__(self, input_size: int, output_size: int, ratio: Fraction | int, options: Mapping[str, Any]) -> None:
        self.input_size = input_size
        self.output_size = output_size
        self.ratio = Fraction(ratio)
        self.y: F32 = np.zeros(output_size, np.float32)
        self._shape = (input_size,)
        self._options = dict(options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec}: {self.input_size} -> {self.output_size}>"

    @property
    def spec(self) -> str:
        """Text that :func:`edge_rnn.frontend.parse` reads; front ends with equal specs behave identically."""
        options = ",".join(f"{name}={_spelled(value)}" for name, value in self._options.items())
        return f"{self.kind}:{options}" if options else self.kind

    @property
    def delay(self) -> Fraction:
        """Delay in input samples, from the middle of the span that a feature describes to the newest sample."""
        return Fraction(0)

    @property
    def several(self) -> bool:
        """True if one sample may give more than one feature vector; then call :meth:`more` after each ``push``."""
        return self.ratio > 1

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes; constant."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    @abstractmethod
    def push(self, x: ArrayLike) -> F32 | None:
        """Take one sample, and return the feature vector that it completes, or None.

        Parameters
        ----------
        x
            ``(input_size,)`` float32, or a scalar if there is one channel. Other numeric types are converted to float32
            first.

        Returns
        -------
        ``(output_size,)`` float32, the same array each time: copy it to keep it.

        Raises
        ------
        InputError
            The shape does not match.
        """

    def more(self) -> F32 | None:
        """Return the next further feature vector of the last sample, in the array that ``push`` returns, or None."""
        return None

    @abstractmethod
    def due(self, samples: int) -> int:
        """Number of feature vectors that the next ``samples`` samples will complete."""

    def run(self, xs: ArrayLike) -> F32:
        """Take a block of samples.

        Parameters
        ----------
        xs
            ``(time, input_size)``, or ``(time,)`` if there is one channel; converted to float32 if necessary.

        Returns
        -------
        ``(features, output_size)`` float32, a new array: all feature vectors that these samples completed, possibly
        none.

        Raises
        ------
        InputError
            The shape does not match.
        """
        block = float32_array(f"{self.kind}.run", "xs", xs)
        if block.ndim == 1 and self.input_size == 1:
            block = block[:, None]
        if block.ndim != 2 or block.shape[1] != self.input_size:
            hint = " Use push for a single sample." if block.ndim == 1 else ""
            raise InputError(f"{self.kind}.run got shape {block.shape}, expected (time, {self.input_size}).{hint}")
        ys = np.empty((self.due(len(block)), self.output_size), np.float32)
        self._run(block, ys)
        return ys

    @abstractmethod
    def _run(self, xs: F32, ys: F32) -> None:
        """Take the samples ``xs``, and write all feature vectors that are due to ``ys``."""

    def reset(self) -> None:
        """Restore the state after construction."""
        for name in self._arrays:
            getattr(self, name)[...] = 0

    def snapshot(self) -> bytes:
        """Serialize the state, tagged with the options; :meth:`restore` reads it on any machine."""
        return pack(self.spec, [getattr(self, name) for name in self._numbers], self._memory())

    def restore(self, snapshot: bytes) -> None:
        """Continue from the state of a :meth:`snapshot`, bit for bit.

        Raises
        ------
        StateError
            The bytes are damaged, come from another version or from a front end with other options, or hold values that
            this front end cannot reach. The state is left unchanged.
        """
        memory = self._memory()
        numbers, arrays = unpack(self.spec, snapshot, len(self._numbers), memory)
        if not self._can_be(numbers, arrays):
            raise refused(self.spec)
        for name, number in zip(self._numbers, numbers, strict=True):
            setattr(self, name, number)
        for array, values in zip(memory, arrays, strict=True):
            array[...] = values

    def _can_be(self, numbers: Sequence[int], arrays: Sequence[AnyArray]) -> bool:
        """True if these are valid values of ``_numbers`` and of the arrays of ``_memory``.

        A kind overrides this if it has integers, or arrays that determine where it reads and writes.
        """
        return True

    def _memory(self) -> Sequence[AnyArray]:
        return [getattr(self, name) for name in self._arrays]

    def _sample(self, x: ArrayLike) -> F32:
        """Return a sample as a float32 array; raise InputError if it does not fit."""
        if type(x) is np.ndarray and x.dtype is _FLOAT32 and x.shape == self._shape:
            return x
        given = float32_array(f"{self.kind}.push", "x", x)
        if given.ndim == 0 and self.input_size == 1:
            return given.reshape(1)
        if given.shape != self._shape:
            hint = " Use run for a (time, channels) array." if given.ndim == 2 else ""
            raise InputError(f"{self.kind}.push got shape {given.shape}, expected {self._shape} float32.{hint}")
        return given


class PerSample(FrontEnd):
    """A front end that returns a feature vector for every sample."""

    def push(self, x: ArrayLike) -> F32:
        return self._step(self._sample(x), self.y)

    def due(self, samples: int) -> int:
        return samples

    def _run(self, xs: F32, ys: F32) -> None:
        for x, y in zip(xs, ys, strict=True):
            self._step(x, y)

    @abstractmethod
    def _step(self, x: F32, y: F32) -> F32:
        """Write the features of the sample ``x`` to ``y``, and return that."""


def _spelled(value: Any) -> str:
    """Spell an option's value exactly as :func:`edge_rnn.frontend.parse` reads it."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, np.ndarray):
        return "/".join(map(_spelled, value.tolist()))
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
