"""Options shared by all line sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from edge_rnn.loop.scheme import names, number
from edge_rnn.model import Model

__all__ = ["LINE_OPTIONS", "line_options"]

LINE_OPTIONS: Mapping[str, Callable[[str], Any]] = MappingProxyType({"time": str, "columns": names, "rate": number})
"""Parsers of the options for the time column, the value columns and the sample rate."""


def line_options(given: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """Convert URL options to a source's keyword arguments, and add the model's units."""
    renamed = {"sample_rate_hz" if name == "rate" else name: value for name, value in given.items()}
    return {**renamed, "units": model.input_units}
