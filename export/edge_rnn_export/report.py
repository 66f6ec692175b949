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
        What the differences may be at most: the report's tolerance, times ``peak`` where that is above 1.
    reference_vs_stream, reference_vs_onnx, stream_vs_onnx
        Largest absolute differences.
    """

    name: str
    peak: float
    tolerance: float
    reference_vs_stream: float
    reference_vs_onnx: float
    stream_vs_onnx: float

    @property
    def passed(self) -> bool:
        """Whether all three differences are within the tolerance."""
        differences = (self.reference_vs_stream, self.reference_vs_onnx, self.stream_vs_onnx)
        return all(difference <= self.tolerance for difference in differences)  # NaN is not


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
        By how much the reference itself moves when its state is rounded to float32 after each step, relative to the
        values where these are above 1: what no float32 program can avoid.
    tolerance
        Between 1e-5 and 1e-4: 64 times the drift, within these.
    """

    steps: int
    deviations: tuple[Deviation, ...]
    drift: float
    tolerance: float

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
        """Whether output and states are all within their tolerances."""
        return all(each.passed for each in self.deviations)

    def __str__(self) -> str:
        width = max(len(each.name) for each in self.deviations)
        lines = [f"{self.steps} steps, largest absolute differences", ""]
        lines.append(f"{'':{width}}  reference-Stream  reference-ONNX  Stream-ONNX  tolerance")
        for each in self.deviations:
            figures = f"{each.reference_vs_stream:16.1e}  {each.reference_vs_onnx:14.1e}  {each.stream_vs_onnx:11.1e}"
            verdict = "" if each.passed else "  FAILED"
            lines.append(f"{each.name:{width}}  {figures}  {each.tolerance:9.1e}{verdict}")
        return "\n".join(lines)
