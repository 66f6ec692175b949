"""Model compiled as a program for a board: its plan, its functions, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from edge_rnn.boards.profile import Device
from edge_rnn.kernels.compile.object_size import code_bytes
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.record import Handle, padded
from edge_rnn.model import Model
from edge_rnn.streams.plan import Plan
from edge_rnn.streams.planner import plan_for

__all__ = ["STEP", "Program", "program"]

STEP = "advance"
"""Compiled function that calls the others, as in a built library. A Stream also claims itself, in 0 to 5 ns."""


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Program for a board.

    Parameters
    ----------
    plan
        Weights, records, and the memory layout.
    objects
        Object code by function name, the step function first.
    input_size, output_size
        Floats per sample and per output.
    device
        The board.
    """

    plan: Plan
    objects: Mapping[str, bytes]
    input_size: int
    output_size: int
    device: Device

    @property
    def weight_bytes(self) -> int:
        """Bytes of the packed weights, and of the records that locate them."""
        return self.plan.weight_bytes + self.plan.records.nbytes

    @property
    def state_bytes(self) -> int:
        """Bytes of each stream on this board."""
        return 4 * (self.plan.arena_floats + padded(self.output_size)) + 8 * len(Handle)

    @property
    def code_bytes(self) -> int:
        """Bytes of machine code and its constants."""
        return sum(map(code_bytes, self.objects.values()))


def program(model: Model, device: Device) -> Program:
    """Compile ``model`` for a board; takes about 0.2 s for each kind of layer.

    Raises
    ------
    CompileError
        Numba is not installed.
    """
    plan = plan_for(model, device.target)
    names = dict.fromkeys((STEP, *plan.operations))
    objects = {name: _compiled(name, device.target) for name in names}
    return Program(plan, objects, model.input_size, model.output_size, device)


@cache
def _compiled(name: str, target: Target) -> bytes:
    return bytes(object_cache.compile_for(name, target))
