"""Plan of a model for compiled code: packed weights, records, and the place of every value in memory.

There are two blocks of memory, both sized here: the weights, read-only and shared by all streams of a model, and the
arena, one per stream, with the sample, the outputs, both slots of each state, and scratch. Offsets count floats;
everything that vector instructions access starts at a multiple of 8 floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_rnn.kernels.entry.python_function import data_address
from edge_rnn.kernels.program.record import Handle, padded
from edge_rnn.kernels.program.structure import Structure
from edge_rnn.typing import F32, I32

__all__ = ["DRIVER", "Plan", "Slots", "aligned"]

DRIVER = ("advance", "step", "run", "call", "call_run")
"""Compiled functions that every model needs in addition to those of its layers."""

_ALIGNMENT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Slots:
    """Place of a value in the arena, in floats.

    Parameters
    ----------
    even, odd
        Offsets in even and in odd steps. For a state that is replaced, those of the old value, which the step before
        wrote as its new value. A ring has a single place; each step writes a part of it.
    size
        Number of floats.
    """

    even: int
    odd: int
    size: int

    @property
    def swapped(self) -> Slots:
        """Place of a state's new value, given that of its old one."""
        return Slots(self.odd, self.even, self.size)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Plan:
    """Plan of a model: all that compiled code and streams need to know of it.

    Parameters
    ----------
    operations
        Name of the compiled function of each operation of a step.
    records
        ``(2, operations, length)`` int32: records for even and for odd steps, see
        :class:`edge_rnn.kernels.program.record.Record`.
    weights
        ``(n,)`` float32, packed, aligned to 64 bytes, read-only.
    arena_floats
        Length of a stream's arena.
    sample, held, last_output, output
        Places in the arena: of the sample, of each channel's last finite value (for ``on_nonfinite="hold"``), of the
        last output that counted, and of a step's output.
    initial
        ``(n,)`` float32: first part of the arena at the start of a stream; the rest is zero. It holds the initial
        states, the values that "hold" takes for a channel without a finite value so far, and NaN as the last output.
    checks_states
        True if a step has to check the new states in addition to the output, to find values that are not finite.
    rows
        Most values that the matrices of one operation multiply.
    states
        Place of each state's old value by ``"layer.state"``. All new values of a step are adjacent; rings follow both
        slots.
    """

    operations: tuple[str, ...]
    records: I32
    weights: F32
    arena_floats: int
    sample: Slots
    held: Slots
    last_output: Slots
    output: Slots
    states: Mapping[str, Slots]
    initial: F32
    checks_states: bool
    rows: int
    structure: Structure = field(init=False)
    """All of the plan that compiled code depends on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "structure", Structure.of(self.operations, self.records, self.words, self.rows))

    @property
    def state_floats(self) -> int:
        """Length of all replaced states, padding included; the even slots start at 0, the odd ones at this."""
        return sum(padded(slots.size) for slots in self.states.values() if slots.even != slots.odd)

    @property
    def words(self) -> dict[Handle, int]:
        """Offsets and lengths that a stream's handle holds, by word."""
        return {
            Handle.INPUT_SIZE: self.sample.size,
            Handle.OUTPUT_SIZE: self.last_output.size,
            Handle.OPERATIONS: len(self.operations),
            Handle.RECORD_LENGTH: self.records.shape[2],
            Handle.INPUT: self.sample.even,
            Handle.HELD: self.held.even,
            Handle.LAST_OUTPUT: self.last_output.even,
            Handle.OUTPUT_EVEN: self.output.even,
            Handle.OUTPUT_ODD: self.output.odd,
            Handle.STATES_EVEN: self.state_floats,
            Handle.STATES_ODD: 0,
            Handle.STATE_FLOATS: self.state_floats if self.checks_states else 0,
        }

    @property
    def kept(self) -> tuple[Slots, ...]:
        """Places of all values that outlast a step: held samples for "hold", last output for "skip", and states."""
        return (self.held, self.last_output, *self.states.values())

    @property
    def ops(self) -> tuple[str, ...]:
        """Names of all compiled functions that the model needs, without duplicates."""
        return tuple(dict.fromkeys((*DRIVER, *self.operations)))

    @property
    def weight_bytes(self) -> int:
        """Bytes of the packed weights, shared by all streams of the model."""
        return self.weights.nbytes

    @property
    def state_bytes(self) -> int:
        """Bytes that belong to one stream alone: arena, output, handle."""
        return 4 * (self.arena_floats + self.last_output.size) + len(Handle) * np.int64(0).itemsize


def aligned(size: int) -> F32:
    """Allocate ``(size,)`` float32 zeros that start at a multiple of 64 bytes."""
    extra = _ALIGNMENT_BYTES // 4
    block = np.zeros(size + extra, np.float32)
    start = -data_address(block) % _ALIGNMENT_BYTES // 4
    return block[start : start + size]
