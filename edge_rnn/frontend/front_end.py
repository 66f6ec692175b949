"""FrontEnd: what stands between a sensor and a network, and the rules that all of them keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.arrays import float32_array
from edge_rnn.errors import InputError
from edge_rnn.storage.snapshot import pack, refused, unpack

__all__ = ["Array", "FrontEnd"]

Array = NDArray[np.float32]

_FLOAT32 = np.dtype(np.float32)


class FrontEnd(ABC):
    """Samples of one rate in, features of another rate out, in memory that is fixed when it is made.

    ``push`` takes samples one by one, ``run`` in blocks; the features are the same bit for bit, however the samples are
    cut. A feature is computed from what its window holds at that moment and from nothing that was added up before:
    after a year it is what it would be after a minute, and a value that is not finite makes NaN or infinity of the
    features whose windows hold it, and of none after (a class that does otherwise says so). Neither raises nor warns.

    A sample takes no memory. While a feature is computed of a window, NumPy's reductions and transforms take some
    hundred bytes for themselves, and give them back.

    A further kind is a class that sets ``kind``, names what it has to remember in ``_numbers`` and ``_arrays``, says in
    ``_can_be`` what values these can have, and has ``push``, ``due`` and ``_run``.

    Parameters
    ----------
    input_size
        Channels of a sample.
    output_size
        Length of a feature vector.
    ratio
        Feature vectors for each sample in the long run.
    options
        What it was made with, by the names that :func:`edge_rnn.frontend.parse` takes; defaults are left out.

    Attributes
    ----------
    y
        ``(output_size,)`` float32: the feature vector that ``push`` returns, the same array each time.
    """

    kind: ClassVar[str]
    """What :func:`edge_rnn.frontend.parse` calls it."""
    _numbers: ClassVar[tuple[str, ...]] = ()
    """Attributes that are whole numbers and change with the samples."""
    _arrays: ClassVar[tuple[str, ...]] = ()
    """Attributes that are arrays and change with the samples."""

    def __init__(self, input_size: int, output_size: int, ratio: Fraction | int, options: Mapping[str, Any]) -> None:
        self.input_size = input_size
        self.output_size = output_size
        self.ratio = Fraction(ratio)
        self.y: Array = np.zeros(output_size, np.float32)
        self._shape = (input_size,)
        self._options = dict(options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec}: {self.input_size} -> {self.output_size}>"

    @property
    def spec(self) -> str:
        """What it is, as :func:`edge_rnn.frontend.parse` reads it: two with the same spec do the same."""
        options = ",".join(f"{name}={_spelled(value)}" for name, value in self._options.items())
        return f"{self.kind}:{options}" if options else self.kind

    @property
    def delay(self) -> Fraction:
        """How many samples behind the newest one the middle of what a feature stands for is."""
        return Fraction(0)

    @property
    def several(self) -> bool:
        """Whether one sample may give more than one feature vector: then ask :meth:`more` after each ``push``."""
        return self.ratio > 1

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays; it does not grow."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    @abstractmethod
    def push(self, x: ArrayLike) -> Array | None:
        """Take one sample; the feature vector that is complete with it, or None.

        Parameters
        ----------
        x
            ``(input_size,)`` float32. With one channel a plain number will do. Other number types are converted to
            float32 first.

        Returns
        -------
        ``(output_size,)`` float32, the same array each time: copy it to keep it.

        Raises
        ------
        InputError
            The shape does not fit.
        """

    def more(self) -> Array | None:
        """What else the last sample gave, one feature vector a call, in ``push``'s array; None when that is all."""
        return None

    @abstractmethod
    def due(self, samples: int) -> int:
        """How many feature vectors so many samples more will give."""

    def run(self, xs: ArrayLike) -> Array:
        """Take a block of samples.

        Parameters
        ----------
        xs
            ``(time, input_size)``, or ``(time,)`` with one channel; converted to float32 if it is not.

        Returns
        -------
        ``(features, output_size)`` float32, a new array: all that these samples completed, maybe none.

        Raises
        ------
        InputError
            The shape does not fit.
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
    def _run(self, xs: Array, ys: Array) -> None:
        """Take the samples ``xs``, and write all that is due to ``ys``."""

    def reset(self) -> None:
        """Back to how it was made."""
        for name in self._arrays:
            getattr(self, name)[...] = 0

    def snapshot(self) -> bytes:
        """What it remembers, in bytes that name its options; :meth:`restore` takes them, on any machine."""
        return pack(self.spec, [getattr(self, name) for name in self._numbers], self._memory())

    def restore(self, snapshot: bytes) -> None:
        """Go on from where :meth:`snapshot` was taken, bit for bit.

        Raises
        ------
        StateError
            The bytes are damaged, of another version, of a front end with other options, or hold what this one cannot
            have come to; it is as it was.
        """
        memory = self._memory()
        numbers, arrays = unpack(self.spec, snapshot, len(self._numbers), memory)
        if not self._can_be(numbers, arrays):
            raise refused(self.spec)
        for name, number in zip(self._numbers, numbers, strict=True):
            setattr(self, name, number)
        for array, values in zip(memory, arrays, strict=True):
            array[...] = values

    def _can_be(self, numbers: Sequence[int], arrays: Sequence[NDArray[Any]]) -> bool:
        """Whether these can be the values of ``_numbers``, and the arrays of ``_memory``, at some moment.

        A kind with whole numbers, or arrays that decide where it reads and writes, says so of its own.
        """
        return True

    def _memory(self) -> Sequence[NDArray[Any]]:
        return [getattr(self, name) for name in self._arrays]

    def _sample(self, x: ArrayLike) -> Array:
        """A sample as an array, or words about what is wrong with it."""
        if type(x) is np.ndarray and x.dtype is _FLOAT32 and x.shape == self._shape:
            return x
        given = float32_array(f"{self.kind}.push", "x", x)
        if given.ndim == 0 and self.input_size == 1:
            return given.reshape(1)
        if given.shape != self._shape:
            hint = " Use run for a (time, channels) array." if given.ndim == 2 else ""
            raise InputError(f"{self.kind}.push got shape {given.shape}, expected {self._shape} float32.{hint}")
        return given


def _spelled(value: Any) -> str:
    """An option's value as :func:`edge_rnn.frontend.parse` reads it, exactly."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, np.ndarray):
        return "/".join(map(_spelled, value.tolist()))
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
