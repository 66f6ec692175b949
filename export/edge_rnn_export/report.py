"""What a comparison of reference, Stream and onnxruntime found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Deviation", "Report"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far the three are apart in one output or state, over all steps.

    Parameters
    ----------
    name
        ``"y"``, or a state: ``"gru1.h"``.
    peak
        Largest absolute value that the reference gave.
    tolerance
        What the channel ``channel`` may differ by: the report's tolerance, times what the channel's values are made of.
    reference_vs_stream, reference_vs_onnx, stream_vs_onnx
        Largest absolute differences, over all channels.
    share
        Largest difference as a share of its own channel's tolerance: the value has passed up to 1.
    channel
        Index of the output or unit that this is in.
    """

    name: str
    peak: float
    tolerance: float
    reference_vs_stream: float
    reference_vs_onnx: float
    stream_vs_onnx: float
    share: float
    channel: int

    @property
    def passed(self) -> bool:
        """Whether all differences are within the tolerances of their channels."""
        return self.share <= 1  # NaN is not


@dataclass(frozen=True, slots=True)
class Report:
    """What :func:`~edge_rnn_export.verify` found.

    Parameters
    ----------
    steps
        How many steps were taken, the state carried from each to the next.
    deviations
        Of the output ``y`` and of each state.
    drift
        By how much the reference itself moves when its state is rounded to float32 after each step, relative to what
        each channel's values are made of: what no float32 program can avoid.
    tolerance
        Between 1e-5 and 1e-4: 64 times the drift, within these. For each channel it is multiplied by what the channel's
        values are made of.
    mismatches
        What the file says of itself that is not so of the model, a sentence each.
    notes
        What could not be compared, a sentence each.
    """

    steps: int
    deviations: tuple[Deviation, ...]
    drift: float
    tolerance: float
    mismatches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reference_vs_stream(self) -> float:
        """Largest absolute difference of Stream from the reference, over outputs and states."""
        return float(np.max([each.reference_vs_stream for each in self.deviations]))

    @property
    def reference_vs_onnx(self) -> float:
        """Largest absolute difference of onnxruntime from the reference, over outputs and states."""
        return float(np.max([each.reference_vs_onnx for each in self.deviations]))

    @property
    def stream_vs_onnx(self) -> float:
        """Largest absolute difference of onnxruntime from Stream, over outputs and states."""
        return float(np.max([each.stream_vs_onnx for each in self.deviations]))

    @property
    def max_abs_error(self) -> float:
        """The largest of the three."""
        return float(np.max([self.reference_vs_stream, self.reference_vs_onnx, self.stream_vs_onnx]))

    @property
    def passed(self) -> bool:
        """Whether output and states are all within their tolerances, and the file says that it is of this model."""
        return not self.mismatches and all(each.passed for each in self.deviations)

    def __str__(self) -> str:
        width = max(len(each.name) for each in self.deviations)
        lines = [f"{self.steps} steps, largest absolute differences", ""]
        lines.append(f"{'':{width}}  reference-Stream  reference-ONNX  Stream-ONNX  of tolerance")
        for each in self.deviations:
            figures = f"{each.reference_vs_stream:16.1e}  {each.reference_vs_onnx:14.1e}  {each.stream_vs_onnx:11.1e}"
            share = f"{each.share:12.1%}" if each.share < 100 else f"{each.share:11.1e}x"
            verdict = "" if each.passed else f"  FAILED at index {each.channel}"
            lines.append(f"{each.name:{width}}  {figures}  {share}{verdict}")
        lines += [f"FAILED: {mismatch}" for mismatch in self.mismatches]
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)
