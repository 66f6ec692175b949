"""What ``edge-rnn shrink`` found as a page: one HTML file that needs nothing else, to hand on and to read anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_rnn.cli.report import page
from edge_rnn.cli.report.confusion import confusion, draw_confusion
from edge_rnn.cli.shared.console import spell_bytes, spell_ns
from edge_rnn.cli.shrink.plots import draw_drift, draw_front, draw_sensitivity, drifts, spell_error
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
    """Write the page, aside first and then under its name.

    Parameters
    ----------
    model
        The float32 model that was made smaller.
    xs
        ``(time, input_size)`` float32, in the sensor's units: the recording it was done with.
    labels
        ``(time,)`` int: which output each sample belongs to; None where nobody tells.
    facts
        What stands below the title, by name: the files, the bound.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    name = model.name or "A model without a name"
    page.write(
        target,
        page.Page(
            title=f"{name}, made smaller",
            heading=name,
            verdict=_verdict(shrunk),
            facts=facts,
            table_title="What there is to choose from",
            table_note="No other trial is as good in bytes, error and time at once. Each matrix has a format of its "
            "own; memory is what the weights take in a running stream.",
            table=_table(shrunk),
            plots=_plots(model, shrunk, xs, labels),
            measured=_measured(shrunk, xs, labels is not None),
        ),
    )


def _verdict(shrunk: Shrunk) -> str:
    """What the best model is like beside the float32 one, in one sentence."""
    plain, best = shrunk.trials[0], shrunk.best
    if best is plain:
        return f"Nothing smaller was good enough: the model stays in float32, with {spell_bytes(plain.nbytes)}."
    smaller = f"{plain.nbytes:,} bytes become {best.nbytes:,}, {plain.nbytes / best.nbytes:.1f} times smaller"
    parts = [f"{smaller}, at an error of {_per_cent(best.error)}"]
    if plain.accuracy is not None and best.accuracy is not None:
        was, now = _spell_accuracy(plain.accuracy), _spell_accuracy(best.accuracy)
        parts.append(f"accuracy stays at {was}" if was == now else f"accuracy goes from {was} to {now}")
    if best.speedup and best.step_ns and best.baseline_ns:
        times = f"a step here takes {spell_ns(best.step_ns)} instead of {spell_ns(best.baseline_ns)}"
        if best.speedup > 1 + _NOTICED:
            parts.append(f"{times}, {best.speedup:.2f} times as quick")
        else:
            parts.append(f"{times}: smaller, not quicker")
    else:
        parts.append("how long a step takes was not measured")
    return "; ".join(parts) + "."


def _table(shrunk: Shrunk) -> str:
    """The front, with the float32 model and the chosen one in any case; the largest first."""
    plain, best = shrunk.trials[0], shrunk.best
    names = list(plain.formats)
    heads = "".join(f'<th class="text">{page.escape(name).replace(".", ".<br>", 1)}</th>' for name in names)
    heads += "".join(f"<th>{head}</th>" for head in ("bytes", "memory,<br>bytes", "error"))
    heads += "<th>accuracy</th>" if plain.accuracy is not None else ""
    heads += "<th>step</th><th>times<br>as quick</th>"
    rows, row, mark = [], ' class="chosen"', '▶<span class="word"> chosen</span>'
    for trial in sorted(dict.fromkeys([plain, *shrunk.front, best]), key=lambda each: (-each.nbytes, each.error)):
        cells = [f'<td class="text">{mark if trial is best else ""}</td>']
        for name in names:
            format_ = trial.formats[name]
            cells.append(f'<td class="text{" same" if format_ == "float32" else ""}">{page.escape(format_)}</td>')
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
        f"All {counted(len(shrunk.trials), 'trial')}; faint are those that another one equals or betters in all three."
    )
    yield page.Plot("front", "Size, error and time", draw_front(shrunk), caption)
    lines = drifts(model, shrunk, xs)
    caption = (
        f"Difference from the float32 model's outputs, over these: root mean square from the start up to each of "
        f"{counted(max(map(len, lines.values()), default=0), 'step')}. Lines that stay level in the end do not drift."
    )
    yield page.Plot("drift", "Does the error pile up?", draw_drift(lines), caption)
    if shrunk.sensitivity:
        caption = "Error with one matrix in a format and all others in float32; framed is what was chosen. "
        caption += "Where a field is blank the format would save nothing. Before a colon stands the rank."
        yield page.Plot("sensitivity", "Which matrix bears which format?", draw_sensitivity(shrunk), caption)
    if labels is not None and model.output_size > 1:
        names = model.labels or tuple(map(str, range(model.output_size)))
        for when, who, each in (("before", "The float32 model", model), ("after", "The chosen model", shrunk.model)):
            counts = confusion(each, xs, labels)
            share = np.trace(counts) / max(counts.sum(), 1)
            right = f"{np.trace(counts):,} of {counted(counts.sum(), 'sample')}, {share:.2%}"
            caption = f"{who} is right about {right}. Colours are shares of a row."
            yield page.Plot(when, f"What is taken for what, {when}", draw_confusion(when, counts, names), caption)


def _measured(shrunk: Shrunk, xs: F32, has_labels: bool) -> str:
    from edge_rnn.quantization.apply import JUDGED_STEPS

    repeated = ", the recording repeated" if len(xs) < JUDGED_STEPS else ""
    steps = counted(max(JUDGED_STEPS, len(xs)), "step") + repeated
    return (
        f"{page.measured_on()}. Formats were calibrated, and errors and accuracies measured, on the same recording of "
        f"{counted(len(xs), 'sample')}. Error is the root mean square of how far outputs are from the float32 "
        f"model's, over "
        f"that of these outputs, over {steps}, state carried. "
        + ("Accuracy is the share of samples whose largest output is their label. " if has_labels else "")
        + "Bytes are those of all arrays as a file stores them. The time of float32's step is the least in a "
        "compiled loop. Each trial was timed in turn with float32, and its step is told by how many times as quick it "
        "was then. Where steps are called from Python, the call comes on top."
        + (" The search was stopped before its end." if shrunk.stopped else "")
    )


def _per_cent(error: float) -> str:
    return f"{error:.2g} ({error:.2%})" if 1e-4 <= error < np.inf else spell_error(error)


def _spell_accuracy(accuracy: float) -> str:
    """An accuracy in per cent, or what a metric said."""
    return f"{accuracy:.2%}" if 0 <= accuracy <= 1 else f"{accuracy:.4g}"
