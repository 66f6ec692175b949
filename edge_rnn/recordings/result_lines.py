"""One output into one line of text: CSV or JSON. NaN is no output yet: the label and all values are empty, or null."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from edge_rnn.model import Model

__all__ = ["csv_cell", "csv_header", "csv_results", "json_results"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""What spreadsheets begin a formula with; those for Chinese and Japanese take the wide forms too."""


def csv_header(model: Model, when: str) -> str:
    """The line before CSV results: what ``when`` is, ``label`` for two or more labels, the outputs' names."""
    outputs = [csv_cell(label) for label in model.labels] or [f"y{i}" for i in range(model.output_size)]
    return ",".join([when, *(["label"] if _named(model) else []), *outputs]) + "\n"


def csv_results(model: Model) -> Callable[[Any, Any], str]:
    """Function of time and output ``(output_size,)`` that makes a line of CSV."""
    labels = [f"{csv_cell(label)}," if _named(model) else "" for label in model.labels] or [""] * model.output_size
    nothing = "," * (model.output_size - 1 + _named(model))
    return lambda t, y: f"{t},{labels[y.argmax()]}{','.join(map(str, y))}\n" if y[0] == y[0] else f"{t},{nothing}\n"


def json_results(model: Model, when: str) -> Callable[[Any, Any], str]:
    """Function of time and output ``(output_size,)`` that makes a line of JSON, the time under the key ``when``."""
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
    """A text as a cell of CSV: quoted as RFC 4180 has it, and never a formula.

    One that a spreadsheet would run, since it begins with ``=``, ``+``, ``-``, ``@``, a tab or CR and is no number,
    gets an apostrophe before it, which spreadsheets take as the sign of a text.
    """
    if text.startswith(_FORMULA) and not _is_number(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in ',"\r\n') else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text, re.ASCII) is not None
