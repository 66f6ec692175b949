"""Page of ``edge-rnn inspect``: a self-contained HTML file with a drawing of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.cards.description import COLUMNS, facts, layer_rows, sentence
from edge_rnn.cards.drawing import draw
from edge_rnn.cli.report import page
from edge_rnn.cli.shared.console import spell_bytes
from edge_rnn.printable import as_html

__all__ = ["write_page"]


def write_page(target: str, found: Mapping[str, Any], verdict: str = "", recording: str = "", steps: str = "") -> None:
    """Write the page atomically.

    Parameters
    ----------
    target
        File to write.
    found
        Description of the model, with ``file`` and ``file_bytes``.
    verdict
        Result of a run over a recording; empty if there was none.
    recording, steps
        The recording, and the length of the run.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    name = found["name"] or "Unnamed network"
    measured = f"{page.measured_on()}: {recording}, repeated with state carried over for {steps}." if verdict else ""
    about = {"file": f"{found['file']}, {spell_bytes(found['file_bytes'])}"} | facts(found)
    page.write(
        target,
        page.Page(
            title=name,
            heading=name,
            verdict=" ".join(filter(None, [sentence(found), verdict])),
            facts=about,
            table_title="Layers",
            table_note="In the order in which a step computes them. Multiply-adds are those of one step.",
            table=_table(found),
            measured=measured,
            lead=draw(found),
        ),
    )


def _table(found: Mapping[str, Any]) -> str:
    kinds = [' class="text"' if side == "left" else "" for side in COLUMNS.values()]
    heads = "".join(f"<th{kind}>{name}</th>" for name, kind in zip(COLUMNS, kinds, strict=True))
    rows = "\n".join(
        f"<tr>{''.join(f'<td{kind}>{as_html(cell)}</td>' for cell, kind in zip(row, kinds, strict=True))}</tr>"
        for row in layer_rows(found)
    )
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
