"""Formatting of outputs as lines of CSV or JSON. For NaN (no output yet) label and values are empty, or null."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from edge_rnn.model import Model

__all__ = ["csv_cell", "csv_header", "csv_results", "json_results"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""First characters of spreadsheet formulas; Chinese and Japanese versions accept the wide forms too."""


def csv_header(model: Model, when: str) -> str:
    """Return the CSV header: ``when``, ``label`` if there are two or more labels, and the output names."""
    outputs = [csv_cell(label) for label in model.labels] or [f"y{i}" for i in range(model.output_size)]
    return ",".join([when, *(["label"] if _named(model) else []), *outputs]) + "\n"


def csv_results(model: Model) -> Callable[[Any, Any], str]:
    """Return a function that formats time and output ``(output_size,)`` as a line of CSV."""
    labels = [f"{csv_cell(label)}," if _named(model) else "" for label in model.labels] or [""] * model.output_size
    nothing = "," * (model.output_size - 1 + _named(model))
    return lambda t, y: f"{t},{labels[y.argmax()]}{','.join(map(str, y))}\n" if y[0] == y[0] else f"{t},{nothing}\n"


def json_results(model: Model, when: str) -> Callable[[Any, Any], str]:
    """Return a function that formats time (under the key ``when``) and output ``(output_size,)`` as a line of JSON."""
    labels = [""] * model.output_size
    if _named(model):
        labels = [f'"label": {json.dumps(label)}, ' for label in model.labels]
    nothing = ('"label": "", ' if _named(model) else "") + f'"y": [{", ".join(["null"] * model.output_size)}]'

    def line(t: Any, y: Any) -> str:
        values = f'{labels[y.argmax()]}"y": [{", ".join(map(str, y))}]' if y[0] == y[0] else nothing
        return f'{{"{when}": {t}, {values}}}\n'

    return line


def _named(model: Model) -> bool:
    return len(model.labels) > 1


def csv_cell(text: str) -> str:
    """Format a text as a CSV cell: quoted by RFC 4180, and never a formula.

    A text that a spreadsheet would evaluate, because it begins with ``=``, ``+``, ``-``, ``@``, a tab or CR and is not
    a number, is prefixed with an apostrophe, which spreadsheets treat as a text marker.
    """
    if text.startswith(_FORMULA) and not _is_number(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in ',"\r\n') else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text, re.ASCII) is not None
