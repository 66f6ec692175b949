"""Report of ``edge-rnn shrink``: a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_rnn.cli.report import page
from edge_rnn.cli.report.confusion import confusion, draw_confusion
from edge_rnn.cli.shared.console import spell_bytes, spell_ns
from edge_rnn.cli.shrink.plots import draw_drift, draw_front, draw_sensitivity, drifts, listed, spell_error
from edge_rnn.printable import as_html
from edge_rnn.spelling import counted
from edge_rnn.typing import F32

if TYPE_CHECKING:
    from edge_rnn.model import Model
    from edge_rnn.quantization.trials import Shrunk, Trial

__all__ = ["write_page"]

_NOTICED = 0.02


def write_page(
    target: str,
    model: Model,
    shrunk: Shrunk,
    xs: F32,
    labels: NDArray[np.intp] | None,
    facts: Mapping[str, str],
) -> None:
    """Write the page atomically.

    Parameters
    ----------
    model
        The original float32 model.
    xs
        ``(time, input_size)`` float32, in the sensor's units: the recording used.
    labels
        ``(time,)`` int: output that each sample belongs to; None without labels.
    facts
        Names and values shown below the title, such as the files and the bound.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    name = model.name or "Unnamed model"
    page.write(
        target,
        page.Page(
            title=f"{name}, quantized",
            heading=name,
            verdict=_verdict(shrunk),
            facts=facts,
            table_title="Pareto front",
            table_note="No other trial is at least as good in bytes, error and time at once. Each matrix has its own "
            "format; memory is that of the weights in a running stream.",
            table=_table(shrunk),
            plots=_plots(model, shrunk, xs, labels),
            measured=_measured(shrunk, xs, labels is not None),
        ),
    )


def _verdict(shrunk: Shrunk) -> str:
    """Summarize the best model against the float32 one in a sentence."""
    plain, best = shrunk.trials[0], shrunk.best
    if best is plain:
        return f"Nothing smaller is within the bound: the model stays in float32, with {spell_bytes(plain.nbytes)}."
    smaller = f"{plain.nbytes:,} bytes become {best.nbytes:,}, {plain.nbytes / best.nbytes:.1f} times smaller"
    parts = [f"{smaller}, at an error of {_per_cent(best.error)}"]
    if plain.accuracy is not None and best.accuracy is not None:
        was, now = _spell_accuracy(plain.accuracy), _spell_accuracy(best.accuracy)
        parts.append(f"accuracy stays at {was}" if was == now else f"accuracy changes from {was} to {now}")
    if best.speedup and best.step_ns and best.baseline_ns:
        times = f"a step takes {spell_ns(best.step_ns)} instead of {spell_ns(best.baseline_ns)} on this machine"
        if best.speedup > 1 + _NOTICED:
            parts.append(f"{times}, a speed-up of {best.speedup:.2f}")
        else:
            parts.append(f"{times}: smaller, but not faster")
    else:
        parts.append("the step time was not measured")
    return "; ".join(parts) + "."


def _table(shrunk: Shrunk) -> str:
    """Format the Pareto front, including the float32 model and the chosen one, largest first."""
    plain, best = shrunk.trials[0], shrunk.best
    names = list(plain.formats)
    heads = "".join(f'<th class="text">{as_html(name).replace(".", ".<br>", 1)}</th>' for name in names)
    heads += "".join(f"<th>{head}</th>" for head in ("bytes", "memory,<br>bytes", "error"))
    heads += "<th>accuracy</th>" if plain.accuracy is not None else ""
    heads += "<th>step time</th><th>speed-up</th>"
    rows, row, mark = [], ' class="chosen"', ' ▶<span class="word"> chosen</span>'
    for number, trial in enumerate(listed(shrunk), start=1):
        cells = [f'<th scope="row">{number}{mark if trial is best else ""}</th>']
        for name in names:
            format_ = trial.formats[name]
            cells.append(f'<td class="text{" same" if format_ == "float32" else ""}">{as_html(format_)}</td>')
        cells += [f"<td>{figure}</td>" for figure in _figures(trial)]
        rows.append(f"<tr{row if trial is best else ''}>{''.join(cells)}</tr>")
    lines = "\n".join(rows)
    return f"<table>\n<thead><tr><th></th>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _figures(trial: Trial) -> Iterator[str]:
    yield f"{trial.nbytes:,}"
    yield f"{trial.memory_bytes:,}"
    yield spell_error(trial.error)
    if trial.accuracy is not None:
        yield _spell_accuracy(trial.accuracy)
    yield spell_ns(trial.step_ns) if trial.step_ns else "–"
    yield f"{trial.speedup:.2f}" if trial.speedup else "–"


def _plots(model: Model, shrunk: Shrunk, xs: F32, labels: NDArray[np.intp] | None) -> Iterator[page.Plot]:
    caption = (
        f"All {counted(len(shrunk.trials), 'trial')}; pale ones are equaled or beaten in all three by another. "
        f"Numbers are those of the table."
    )
    yield page.Plot("front", "Size, error and time", draw_front(shrunk), caption)
    lines = drifts(model, shrunk, xs)
    caption = (
        f"RMS difference from the float32 model's outputs, relative to their RMS, from the start up to each of "
        f"{counted(max(map(len, lines.values()), default=0), 'step')}. Lines that level off do not drift."
    )
    yield page.Plot("drift", "Does the error accumulate?", draw_drift(lines), caption)
    if shrunk.sensitivity:
        caption = "Error with one matrix in a format and all others in float32; the chosen format is framed. "
        caption += "Blank where the format would save nothing. The rank is given before a colon."
        yield page.Plot("sensitivity", "Sensitivity of each matrix", draw_sensitivity(shrunk), caption)
    if labels is not None and model.output_size > 1:
        names = model.labels or tuple(map(str, range(model.output_size)))
        for when, who, each in (("before", "The float32 model", model), ("after", "The chosen model", shrunk.model)):
            counts = confusion(each, xs, labels)
            share = np.trace(counts) / max(counts.sum(), 1)
            right = f"{np.trace(counts):,} of {counted(counts.sum(), 'sample')}, {share:.2%}"
            caption = f"{who} is correct for {right}. Colors show shares of a row."
            yield page.Plot(when, f"Confusion matrix, {when}", draw_confusion(when, counts, names), caption)


def _measured(shrunk: Shrunk, xs: F32, has_labels: bool) -> str:
    from edge_rnn.quantization.apply import JUDGED_STEPS

    repeated = ", the recording repeated" if len(xs) < JUDGED_STEPS else ""
    steps = counted(max(JUDGED_STEPS, len(xs)), "step") + repeated
    return (
        f"{page.measured_on()}. Formats were calibrated, and errors and accuracies measured, on the same recording of "
        f"{counted(len(xs), 'sample')}. Error: RMS deviation of the outputs from the float32 "
        f"model's, relative to the RMS of "
        f"those, over {steps}, state carried. "
        + ("Accuracy: share of samples whose largest output is their label. " if has_labels else "")
        + "Bytes: size of all arrays as stored in a file. The step time of float32 is the minimum in a "
        "compiled loop. Each trial was timed in turn with float32, and its step time is derived from the speed-up "
        "measured then. A call from Python adds overhead."
        + (" The search was stopped early." if shrunk.stopped else "")
    )


def _per_cent(error: float) -> str:
    return f"{error:.2g} ({error:.2%})" if 1e-4 <= error < np.inf else spell_error(error)


def _spell_accuracy(accuracy: float) -> str:
    """Format an accuracy in percent, or the value of another metric."""
    return f"{accuracy:.2%}" if 0 <= accuracy <= 1 else f"{accuracy:.4g}"
