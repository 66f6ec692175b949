"""One output into one line of text: CSV or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from edge_rnn.model import Model

__all__ = ["csv_header", "csv_results", "json_results"]


def csv_header(model: Model, when: str) -> str:
    """The line before CSV results: what ``when`` is, ``label`` for two or more labels, the outputs' names."""
    outputs = [_quoted(label) for label in model.labels] or [f"y{i}" for i in range(model.output_size)]
    return ",".join([when, *(["label"] if _named(model) else []), *outputs]) + "\n"


def csv_results(model: Model) -> Callable[[Any, Any], str]:
    """Function of time and output ``(output_size,)`` that makes a line of CSV."""
    labels = [f"{_quoted(label)}," if _named(model) else "" for label in model.labels] or [""] * model.output_size
    return lambda t, y: f"{t},{labels[y.argmax()]}{','.join(map(str, y))}\n"


def json_results(model: Model, when: str) -> Callable[[Any, Any], str]:
    """Function of time and output ``(output_size,)`` that makes a line of JSON, the time under the key ``when``."""
    labels = [""] * model.output_size
    if _named(model):
        labels = [f'"label": {json.dumps(label)}, ' for label in model.labels]
    return lambda t, y: f'{{"{when}": {t}, {labels[y.argmax()]}"y": [{", ".join(map(str, y))}]}}\n'


def _named(model: Model) -> bool:
    return len(model.labels) > 1


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in ',"\r\n') else text
