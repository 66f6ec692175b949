"""Every layer in plain NumPy, float64: the truth that kernels and exported graphs are compared with."""

from __future__ import annotations

from edge_rnn.reference.run import initial_state, layer_step, run, single_steps, step, steps, trace, wide

__all__ = ["initial_state", "layer_step", "run", "single_steps", "step", "steps", "trace", "wide"]
