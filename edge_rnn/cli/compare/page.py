"""Report of ``edge-rnn compare``: a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge_rnn.analysis.tasks import RecordingTask
from edge_rnn.cli.compare.plots import draw_lags, draw_memory, draw_sizes, draw_times
from edge_rnn.cli.compare.view import Asked, rows, spell_share, verdict
from edge_rnn.cli.report import page
from edge_rnn.cli.report.confusion import confusion, draw_confusion
from edge_rnn.printable import as_html
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from edge_rnn.analysis.comparison import Compared

__all__ = ["write_page"]

_MOST_CONFUSIONS = 6


def write_page(target: str, found: Sequence[Compared], asked: Asked, paths: Sequence[str]) -> None:
    """Write the page atomically.

    Parameters
    ----------
    paths
        Files of the networks, in order.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    names = " and ".join([", ".join(each.name for each in found[:-1]), found[-1].name][len(found) == 1 :])
    page.write(
        target,
        page.Page(
            title=f"Comparison of {names}: {asked.name}",
            heading=f"{names}: {asked.name}",
            verdict=" ".join(verdict(found, asked)),
            facts={"networks": ", ".join(paths), "data": asked.path},
            table_title="Comparison",
            table_note="Bytes: size of all arrays as stored in a file. Memory: weights of a running network, and state "
            "per stream.",
            table=_table(found),
            plots=_plots(found, asked),
            measured=_measured(found, asked),
        ),
    )


def _table(found: Sequence[Compared]) -> str:
    heads = "".join(f"<th>{as_html(each.name)}</th>" for each in found)
    lines = "\n".join(
        f'<tr><td class="label">{as_html(name)}</td>{"".join(map(_cell, cells))}</tr>' for name, cells in rows(found)
    )
    return f"<table>\n<thead><tr><th></th>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _cell(text: str) -> str:
    """Format a cell, allowing line breaks in a list of layers on narrow screens."""
    broken = as_html(text).replace(" + ", " +<br>")
    return f"<td>{broken}</td>"


def _plots(found: Sequence[Compared], asked: Asked) -> Iterator[page.Plot]:
    task = asked.task
    recording = task if isinstance(task, RecordingTask) else None
    counts = ", ".join(f"{each.of:,}" for each in found[0].score.bins)
    title = "Accuracy after a change of label" if recording else "Accuracy by memory span"
    caption = f"{counts} answers, from left to right. Vertical lines: 95 % confidence intervals."
    svg = draw_lags(found, asked.lag, recording.commonest if recording else None)
    yield page.Plot("lags", title, svg, caption)
    caption = "Circles: float32. Squares: the same network with all matrices as int8."
    yield page.Plot("sizes", "Size and accuracy", draw_sizes(found), caption)
    caption = "Minimum step time on this machine, networks timed in turn within one run."
    boards = [each.on_board for each in found if each.on_board]
    if boards:
        method = boards[0].estimate.method
        caption += f" Bars: estimates for {boards[0].device.name} ({method.how}), from best to worst case."
    yield page.Plot("times", "Step time", draw_times(found), caption)
    caption = "Full color: packed weights, shared by all streams. Pale: state of one stream."
    yield page.Plot("memory", "Memory at run time", draw_memory(found), caption)
    if recording is None or len(found) > _MOST_CONFUSIONS:
        return
    for place, each in enumerate(found):
        names = each.model.labels or tuple(map(str, range(each.model.output_size)))
        table = confusion(each.model, recording.xs, recording.labels)
        right = f"{np.trace(table):,} of {counted(table.sum(), 'sample')}, {spell_share(each.score.accuracy)}"
        caption = f"Correct: {right}. Colors show shares of a row."
        key = f"confusion{place}"
        yield page.Plot(key, f"Confusion matrix of {each.name}", draw_confusion(key, table, names), caption)


def _measured(found: Sequence[Compared], asked: Asked) -> str:
    total = found[0].score.of
    if isinstance(asked.task, RecordingTask):
        how = (
            f"An answer is correct if the largest output is the sample's label ({counted(total, 'sample')} in total; "
            f"state carried from the first to the last)."
        )
    else:
        how = (
            f"After each symbol of {counted(len(asked.task.texts), 'text')} ({total:,} in total), an answer is correct "
            f"if the most likely symbols, as many as the grammar allows next, are exactly the allowed ones; state is "
            f"reset before each text. The lag is the number of preceding symbols needed to determine the allowed ones."
        )
    times = "The step time is the minimum in a compiled loop; a call from Python adds overhead."
    return f"{page.measured_on()}. {how} {times}"
