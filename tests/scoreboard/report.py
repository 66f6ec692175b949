"""Read the public networks, and write the table of the documentation."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edge_rnn.errors import EdgeRnnError
from tests.scoreboard.networks import FURTHER, NETWORKS, Cell, Part

__all__ = ["Result", "page", "result"]

EXACT = 1e-9
"""Errors below are not spelled: rounding in float64, which differs between processors."""


class Result(NamedTuple):
    """Result of a file."""

    what: str
    """``"read"``, ``"unchecked"`` (read, but no outputs are known), ``"refused"`` or ``"wrong"``."""
    detail: str


def result(part: Part, models: Path) -> Result:
    """Read a file, and compare what the model computes with the known outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = part.read(models)
            error = part.largest(models, model)
        except EdgeRnnError as refusal:
            return Result("refused", _cause(str(refusal), models))
    if error is None:
        return Result("unchecked", "read; no outputs to compare with")
    if not error <= part.allowed:
        return Result("wrong", f"error {error:.1e}, at most {part.allowed:.0e} is right")
    return Result("read", f"error {_rounded(error)}")


def _rounded(error: float) -> str:
    digit, _, exponent = f"{max(error, EXACT):.0e}".partition("e")
    return f"{'' if error >= EXACT else 'below '}{digit}e{int(exponent)}"


def _cause(message: str, models: Path) -> str:
    """First sentence of a refusal, without folders."""
    message = re.sub(rf"^(from_\w+: )?{re.escape(str(models))}/\S*?([^/\s]+?)(?=[\s:,])", r"\2", message)
    first = re.split(r"(?<=[a-z0-9)'])[.;] ", message)[0].rstrip(".")
    return first if len(first) <= 160 else f"{first[:157].rsplit(' ', 1)[0]} …"


def page(models: Path) -> str:
    """Return the page of the documentation."""
    rows, files, cells = [], Counter[str](), Counter[str]()
    for network in NETWORKS:
        first = f"**{network.name}**: {network.layers}. {network.licence}, {network.source}"
        for part in network.parts:
            found = result(part, models)
            (cells if isinstance(part, Cell) else files)[found.what] += 1
            rows.append(f"| {first} | {part.call if '`' in part.call else f'`{part.call}`'} | {_shown(found)} |")
            first = ""
    further = [f"| {each.name} | {each.licence} | {each.source} |" for each in FURTHER]
    return "\n".join([*_introduction(files, cells), *rows, "", *_FURTHER_HEAD, *further, ""])


def _introduction(files: Counter[str], cells: Counter[str]) -> Iterator[str]:
    text = (
        f"Networks that people run, and what the readers make of their files. Of {files.total()} files "
        f"{files['read']} are read with the outputs of the authors' own programs, {files['unchecked']} without outputs "
        f"to compare, {files['refused']} are refused, {files['wrong'] or 'none'} are wrong. Of {cells.total()} cells "
        f"that are given by their equation {cells['read']} have the outputs of the other program. An error is the "
        f"largest difference, in float64 where the other program runs in it; of cells, relative to outputs beyond 1. "
        f"A refusal is the first sentence of the message."
    )
    yield "# Public networks"
    yield ""
    yield "<!-- Written by: python -m tests.scoreboard > docs/reference/public_networks.md -->"
    yield ""
    yield from textwrap.wrap(text, 120)
    yield ""
    yield "| network | read by | result |"
    yield "| --- | --- | --- |"


_FURTHER_HEAD = ["## Not tried", "", "| network | licence | from |", "| --- | --- | --- |"]


def _shown(found: Result) -> str:
    detail = re.sub(r"([\\*_<>\[\]{}|#])", r"\\\1", found.detail)
    return {"read": f"read, {detail}", "unchecked": detail}.get(found.what, f"{found.what}: {detail}")
