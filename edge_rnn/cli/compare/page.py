"""What ``edge-rnn compare`` found as a page: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge_rnn.analysis.tasks import RecordingTask
from edge_rnn.cli.compare.plots import draw_lags, draw_memory, draw_sizes, draw_times
from edge_rnn.cli.compare.view import Asked, rows, spell_share, verdict
from edge_rnn.cli.report import page
from edge_rnn.cli.report.confusion import confusion, draw_confusion
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from edge_rnn.analysis.comparison import Compared

__all__ = ["write_page"]

_MOST_CONFUSIONS = 6


def write_page(target: str, found: Sequence[Compared], asked: Asked, paths: Sequence[str]) -> None:
    """Write the page, aside first and then under its name.

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
            title=f"{names} compared: {asked.name}",
            heading=f"{names}: {asked.name}",
            verdict=" ".join(verdict(found, asked)),
            facts={"networks": ", ".join(paths), "asked on": asked.path},
            table_title="Side by side",
            table_note="Bytes are those of all arrays as a file stores them. Memory is that of a running network: "
            "weights once, and for each stream what it has for itself.",
            table=_table(found),
            plots=_plots(found, asked),
            measured=_measured(found, asked),
        ),
    )


def _table(found: Sequence[Compared]) -> str:
    heads = "".join(f"<th>{page.escape(each.name)}</th>" for each in found)
    lines = "\n".join(
        f'<tr><td class="label">{page.escape(name)}</td>{"".join(map(_cell, cells))}</tr>'
        for name, cells in rows(found)
    )
    return f"<table>\n<thead><tr><th></th>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _cell(text: str) -> str:
    """A cell; a list of layers may be broken on a telephone."""
    broken = page.escape(text).replace(" + ", " +<br>")
    return f"<td>{broken}</td>"


def _plots(found: Sequence[Compared], asked: Asked) -> Iterator[page.Plot]:
    task = asked.task
    recording = task if isinstance(task, RecordingTask) else None
    counts = ", ".join(f"{each.of:,}" for each in found[0].score.bins)
    title = "How long does it take to notice?" if recording else "How far back does it remember?"
    caption = f"Of {counts} answers, from left to right. Lines up and down: where the share lies with 95 % confidence."
    svg = draw_lags(found, asked.lag, recording.commonest if recording else None)
    yield page.Plot("lags", title, svg, caption)
    caption = "Circles: float32. Squares: the same network with all matrices as int8."
    yield page.Plot("sizes", "Size and right answers", draw_sizes(found), caption)
    caption = "The least time of a step, all networks in turn within one run."
    boards = [each.on_board for each in found if each.on_board]
    if boards:
        method = boards[0].estimate.method
        caption += f" There: on {boards[0].device.name}, an estimate ({method.how}), from its best to its worst."
    yield page.Plot("times", "Time of a step", draw_times(found), caption)
    caption = "In full colour packed weights, shared by all streams; faint what one stream has for itself."
    yield page.Plot("memory", "Memory at work", draw_memory(found), caption)
    if recording is None or len(found) > _MOST_CONFUSIONS:
        return
    for place, each in enumerate(found):
        names = each.model.labels or tuple(map(str, range(each.model.output_size)))
        table = confusion(each.model, recording.xs, recording.labels)
        right = f"{np.trace(table):,} of {counted(table.sum(), 'sample')}, {spell_share(each.score.accuracy)}"
        caption = f"Right in {right}. Colours are shares of a row."
        key = f"confusion{place}"
        yield page.Plot(key, f"What {each.name} takes for what", draw_confusion(key, table, names), caption)


def _measured(found: Sequence[Compared], asked: Asked) -> str:
    total = found[0].score.of
    if isinstance(asked.task, RecordingTask):
        how = (
            f"An answer is right if the largest output is the sample's label, {counted(total, 'sample')} in all, "
            f"state carried "
            f"from the first to the last."
        )
    else:
        how = (
            f"After each symbol of {counted(len(asked.task.texts), 'text')}, {total:,} in all, an answer is "
            f"right if the "
            f"likeliest symbols, as many as may follow, are those that may follow by the grammar; state is reset "
            f"before each text. A lag is how many of the last symbols it takes to tell what may follow."
        )
    times = "The time of a step is the least in a compiled loop; a call from Python comes on top."
    return f"{page.measured_on()}. {how} {times}"
