"""Options that all sources of lines have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from edge_rnn.loop.scheme import names, number
from edge_rnn.model import Model

__all__ = ["LINE_OPTIONS", "line_options"]

LINE_OPTIONS: Mapping[str, Callable[[str], Any]] = MappingProxyType({"time": str, "columns": names, "rate": number})
"""The column of times, those that are meant, and the rate of the samples."""


def line_options(given: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """Options by the names of a source's parameters, and the model's units."""
    renamed = {"sample_rate_hz" if name == "rate" else name: value for name, value in given.items()}
    return {**renamed, "units": model.input_units}
