"""A model as a program for a board: its plan, its compiled functions, and what they take up."""

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
"""The compiled function that calls the others, as in a built library. A Stream also claims itself, in 0 to 5 ns."""


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Everything that runs on a board.

    Parameters
    ----------
    plan
        Weights, records, and where everything lies.
    objects
        Object code by the name of the function, that of the step first.
    input_size, output_size
        Floats of a sample and of an output.
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
        """Bytes of the weights as packed, and of the records that say where they are."""
        return self.plan.weight_bytes + self.plan.records.nbytes

    @property
    def state_bytes(self) -> int:
        """Bytes that each stream has for itself, on this board."""
        words = len(Handle) + len(self.plan.operations)
        return 4 * (self.plan.arena_floats + padded(self.output_size)) + 8 * words

    @property
    def code_bytes(self) -> int:
        """Bytes of machine code and its constants."""
        return sum(map(code_bytes, self.objects.values()))


def program(model: Model, device: Device) -> Program:
    """The program of ``model`` for a board, compiled now; about 0.2 s for each kind of layer.

    Raises
    ------
    CompileError
        Numba is not there.
    """
    plan = plan_for(model, device.target)
    names = dict.fromkeys((STEP, *plan.operations))
    objects = {name: _compiled(name, device.target) for name in names}
    return Program(plan, objects, model.input_size, model.output_size, device)


@cache
def _compiled(name: str, target: Target) -> bytes:
    return bytes(object_cache.compile_for(name, target))
