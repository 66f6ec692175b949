"""Pages of the public API: one for each package, with all names that it makes public."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

__all__ = ["PACKAGES", "pages"]

PACKAGES = {
    "edge_rnn": "Models, streams and files: the names to begin with",
    "edge_rnn.layers": "Layers of a model",
    "edge_rnn.streams": "Streams, banks of streams, windows",
    "edge_rnn.loop": "Sensor loops",
    "edge_rnn.loop.sources": "Sources of a sensor loop",
    "edge_rnn.loop.sinks": "Sinks of a sensor loop",
    "edge_rnn.live": "The live page",
    "edge_rnn.frontend": "Features before a network",
    "edge_rnn.backend": "Events after a network",
    "edge_rnn.sampling": "Networks that write",
    "edge_rnn.equations": "Functions of a cell's equation",
    "edge_rnn.quantization": "Smaller models",
    "edge_rnn.formats": "Formats of matrices",
    "edge_rnn.boards": "Boards",
    "edge_rnn.boards.fitting": "Models on boards",
    "edge_rnn.reference": "The float64 reference",
    "edge_rnn.analysis.comparison": "Comparing networks of one task",
    "edge_rnn.analysis.long_run": "Stability over long runs",
    "edge_rnn.analysis.sensitivity": "Sensitivity to earlier samples",
    "edge_rnn.cards.description": "Descriptions of models",
    "edge_rnn.cards.drawing": "Drawings of models",
    "edge_rnn.cards.markdown": "Model cards",
    "edge_rnn.storage": "Files",
    "edge_rnn.timing": "Measuring step times",
    "edge_rnn.errors": "Errors and warnings",
    "edge_rnn_export": "Readers, ONNX graphs and builds",
    "edge_rnn_export.readers": "Readers of a package of your own",
}


def pages() -> Mapping[str, str]:
    """Pages by package; ``index`` lists them. A name is on the page of the first package that makes it public."""
    seen: set[int] = set()
    found = {package: "\n".join(_page(package, title, seen)) for package, title in PACKAGES.items()}
    text = "Everything public, from the docstrings. What is not listed here may change in any version."
    rows = [line for package, title in PACKAGES.items() for line in (f"   * - :doc:`{package}`", f"     - {title}")]
    table = [".. list-table::", "", *rows, ""]
    toctree = [".. toctree::", "   :hidden:", "", *(f"   {package}" for package in found), ""]
    return {"index": "\n".join([*_heading("Python API", "="), text, "", *table, *toctree]), **found}


def _heading(text: str, line: str) -> tuple[str, ...]:
    return text, line * len(text), ""


def _page(package: str, title: str, seen: set[int]) -> Iterator[str]:
    module: Any = import_module(package)
    yield from (*_heading(package, "="), f"{title}.", "", f".. py:module:: {package}", "")
    elsewhere = []
    for name in sorted(module.__all__, key=str.lower):
        value = getattr(module, name)
        if id(value) in seen and not isinstance(value, int | float | str | tuple):
            elsewhere.append(f"``{name}``")
            continue
        seen.add(id(value))
        yield from (*_heading(name, "-"), *_entry(package, name, value), "")
    if elsewhere:
        yield f"Also here, and described on an earlier page: {', '.join(elsewhere)}."
        yield ""


def _entry(package: str, name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield from (f".. autoclass:: {package}.{name}", "   :members:")
    elif callable(value):
        yield f".. autofunction:: {package}.{name}"
    else:
        yield f".. py:data:: {package}.{name}"
        shown = ", ".join(f"``{key!r}``" for key in value) if isinstance(value, dict | tuple) else f"``{value!r}``"
        yield from ("", f"   {'Keys: ' if isinstance(value, dict) else 'Value: '}{shown}")
