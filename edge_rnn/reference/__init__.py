"""Reference implementation: every layer in plain NumPy and float64, to compare kernels and exported graphs with."""

from __future__ import annotations

from edge_rnn.reference.run import initial_state, layer_step, run, single_steps, step, steps, trace, wide

__all__ = ["initial_state", "layer_step", "run", "single_steps", "step", "steps", "trace", "wide"]
