"""Chain: front ends in series."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from numpy.typing import ArrayLike

from edge_rnn.errors import InputError, InputTypeError, StateError, StateTypeError
from edge_rnn.frontend.front_end import FrontEnd
from edge_rnn.frontend.options import fits_memory, fits_rate
from edge_rnn.spelling import counted
from edge_rnn.storage.snapshot import pack, unpack
from edge_rnn.typing import F32, AnyArray

__all__ = ["MOST_STAGES", "Chain"]

MOST_STAGES = 64
"""Maximum number of front ends in a chain."""


class Chain(FrontEnd):
    """Front ends in series; each one reads the output of the one before it.

    Parameters
    ----------
    stages
        One or more front ends.

    Attributes
    ----------
    stages
        The front ends, with nested chains flattened.
    y
        Output array of the last stage.

    Raises
    ------
    InputError
        There are no stages, or more than 64; a stage expects a different number of channels than the one before it
        outputs; or the stages together take more than 64 MB or produce more outputs per sample than :class:`Resample`
        may.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn.frontend import Chain, LogMel, Resample, Standardize
    >>> front = Chain([Resample(48000, 16000), LogMel(bands=2), Standardize([-5, -6], [2, 3])])
    >>> front.run(np.zeros(48000, np.float32)).shape
    (98, 2)
    >>> front.ratio
    Fraction(1, 480)
    """

    kind = "chain"

    def __init__(self, stages: Sequence[FrontEnd]) -> None:
        for stage in stages:
            if not isinstance(stage, FrontEnd):
                raise InputTypeError(f"Chain got {type(stage).__name__}, expected front ends.")
        self.stages: tuple[FrontEnd, ...] = tuple(
            part for stage in stages for part in (stage.stages if isinstance(stage, Chain) else (stage,))
        )
        if not self.stages:
            raise InputError("Chain got no front ends, expected at least one.")
        if len(self.stages) > MOST_STAGES:
            raise InputError(f"Chain got {len(self.stages):,} front ends, expected at most {MOST_STAGES}.")
        for one, other in zip(self.stages, self.stages[1:], strict=False):
            if one.output_size != other.input_size:
                raise InputError(
                    f"Chain: {one.spec} outputs {counted(one.output_size, 'value')}, but {other.spec} reads "
                    f"{other.input_size}."
                )
        if len({id(stage) for stage in self.stages}) < len(self.stages):
            raise InputError("Chain got the same front end twice; create a second instance.")
        ratio = Fraction(1)
        for stage in self.stages:
            ratio *= stage.ratio
            fits_rate("Chain", f"front ends up to a {stage.kind}", ratio, stage.output_size)
        taken = sum(stage.nbytes for stage in self.stages)
        fits_memory("Chain", f"{len(self.stages)} front ends", taken, "use fewer or smaller ones")
        first, last = self.stages[0], self.stages[-1]
        super().__init__(first.input_size, last.output_size, ratio, {})
        self.y = last.y

    @property
    def spec(self) -> str:
        return "|".join(stage.spec for stage in self.stages)

    @property
    def delay(self) -> Fraction:
        """Total delay of all stages, in samples of the chain's input."""
        total, rate = Fraction(0), Fraction(1)
        for stage in self.stages:
            total += stage.delay / rate
            rate *= stage.ratio
        return total

    @property
    def several(self) -> bool:
        return any(stage.several for stage in self.stages)

    @property
    def nbytes(self) -> int:
        return sum(stage.nbytes for stage in self.stages)

    def push(self, x: ArrayLike) -> F32 | None:
        y = self.stages[0].push(x)
        for stage in self.stages[1:]:
            if y is None:
                return self.more() if self.several else None
            y = stage.push(y)
        return self.more() if y is None and self.several else y

    def more(self) -> F32 | None:
        return self._pull(len(self.stages) - 1)

    def due(self, samples: int) -> int:
        for stage in self.stages:
            samples = stage.due(samples)
        return samples

    def run(self, xs: ArrayLike) -> F32:
        ys = self.stages[0].run(xs)
        for stage in self.stages[1:]:
            ys = stage.run(ys)
        return ys

    def _run(self, xs: F32, ys: F32) -> None:
        ys[:] = self.run(xs)

    def reset(self) -> None:
        for stage in self.stages:
            stage.reset()

    def snapshot(self) -> bytes:
        parts = [stage.snapshot() for stage in self.stages]
        return pack(self.spec, [], []) + b"".join(parts)

    def restore(self, snapshot: bytes) -> None:
        before = self.snapshot()
        if not isinstance(snapshot, (bytes, bytearray, memoryview)):
            raise StateTypeError(f"restore got {type(snapshot).__name__}, expected the bytes of snapshot().")
        data = bytes(snapshot)
        head = len(pack(self.spec, [], []))
        unpack(self.spec, data[:head], 0, [])
        if len(data) != len(before):
            raise StateError(
                f"restore got {counted(len(data), 'byte')}, expected {len(before)}; the snapshot is truncated or "
                "padded."
            )
        try:
            self._restore_stages(data[head:])
        except StateError:
            self._restore_stages(before[head:])
            raise

    def _restore_stages(self, data: bytes) -> None:
        for stage in self.stages:
            size = len(stage.snapshot())
            stage.restore(data[:size])
            data = data[size:]

    def _pull(self, place: int) -> F32 | None:
        """Return the next output of a stage, pulling inputs from the stages before it as needed."""
        stage = self.stages[place]
        y = stage.more()
        while y is None and place > 0:
            x = self._pull(place - 1)
            if x is None:
                return None
            y = stage.push(x)
        return y

    def _memory(self) -> Sequence[AnyArray]:
        return []
