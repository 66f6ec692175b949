"""Cycles per step from a roofline: lower bounds for loads and multiply-adds, and an allowance for the rest."""

from __future__ import annotations

from edge_rnn.boards.fitting.program import Program
from edge_rnn.model import Model

__all__ = ["cycles"]

# Fitted on x86-64 by tests/benchmarks/fit_error.py: instructions per vector of activations, and cycles for entering a
# function of the step, starting and ending its loops, and waiting for its results.
_ACTIVATION_INSTRUCTIONS = 30
_OPERATION_CYCLES = 35


def cycles(program: Program, model: Model) -> float:
    """Cycles of a step with all data in the L1 cache."""
    device = program.device
    lanes = device.register_bits // 32
    loads = program.plan.weight_bytes * 8 / device.register_bits / device.loads_per_cycle
    multiplies = model.multiply_adds / lanes / device.fma_per_cycle
    work = max(loads, multiplies) if device.out_of_order else loads + multiplies
    values = sum(
        len(getattr(layer, "gates", "h")) * size for layer, size in zip(model.layers, model.output_sizes, strict=True)
    )
    activations = values / lanes * _ACTIVATION_INSTRUCTIONS / device.issue_width
    return work + activations + _OPERATION_CYCLES * (1 + len(program.plan.operations))
