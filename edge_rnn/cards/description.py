"""Description of a model: sizes, layers and metadata, as plain values and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from edge_rnn.equations.printing import as_latex, as_text
from edge_rnn.layers import Cell, Layer
from edge_rnn.model import Model
from edge_rnn.quantization.apply import spelled
from edge_rnn.spelling import counted, spell_unit
from edge_rnn.streams.planner import plan_of

__all__ = ["COLUMNS", "describe", "facts", "layer_rows", "named_inputs", "sentence"]

COLUMNS: dict[str, Literal["left", "right"]] = {
    "layer": "left",
    "kind": "left",
    "reads": "left",
    "values": "left",
    "arrays": "left",
    "parameters": "right",
    "multiply-adds": "right",
}
"""Columns of the table of layers, with their alignment."""


def describe(model: Model) -> dict[str, Any]:
    """Describe a model in values that JSON can hold."""
    plan = plan_of(model)
    return {
        "name": model.name,
        "labels": list(model.labels),
        "sample_rate_hz": model.sample_rate_hz,
        "input_size": model.input_size,
        "input_names": list(model.input_names),
        "input_units": list(model.input_units),
        "output_size": model.output_size,
        "vocabulary": list(model.vocabulary),
        "parameters": model.num_parameters,
        "multiply_adds": model.multiply_adds,
        "weight_bytes": plan.weight_bytes,
        "state_bytes": plan.state_bytes,
        "operations": list(plan.operations),
        "fingerprint": model.fingerprint,
        "layers": [_layer(model, place) for place in range(len(model.layers))],
    }


def _layer(model: Model, place: int) -> dict[str, Any]:
    layer = model.layers[place]
    reads = ["input" if source < 0 else model.layers[source].name for source in model.sources[place]]
    return {
        "name": layer.name,
        "kind": layer.kind,
        "title": _title(layer),
        "reads": reads,
        "input_sizes": list(model.read_sizes[place]),
        "output_size": model.output_sizes[place],
        "options": layer.options,
        "arrays": {name: list(array.shape) for name, array in (layer.formats | layer.arrays).items()},
        "formats": {name: spelled(matrix) for name, matrix in layer.formats.items()},
        "states": {name: len(value) for name, value in layer.initial_state.items()},
        "parameters": layer.num_parameters,
        "multiply_adds": layer.multiply_adds,
        **_equation(layer),
    }


def _equation(layer: Layer) -> dict[str, Any]:
    """Return the equation of a cell as text and in LaTeX; nothing for other layers."""
    if not isinstance(layer, Cell):
        return {}
    return {"equation": {"text": as_text(layer.equation), "latex": as_latex(layer.equation)}}


def _title(layer: Layer) -> str:
    """Return the kind with its distinguishing options: ``GRU, reset_after``, ``Dense, softmax``."""
    if isinstance(layer, Cell):
        return f"{layer.kind}, {layer.options['function']}"
    options = [f"{name}" if value is True else f"{name}={value}" for name, value in layer.options.items()]
    return ", ".join([layer.kind, *(option.removeprefix("activation=") for option in options)])


def sentence(found: Mapping[str, Any]) -> str:
    """Describe the network in one sentence."""
    kinds = list(dict.fromkeys(each["kind"] for each in found["layers"] if each["states"]))
    words = found["vocabulary"]
    reads = f"one of {counted(len(words), 'symbol')}" if words else counted(found["input_size"], "value")
    rate = f", {found['sample_rate_hz']:g} times per second" if found["sample_rate_hz"] else ""
    gives = f"one of {counted(len(found['labels']), 'label')}" if len(found["labels"]) > 1 else ""
    gives = gives or counted(found["output_size"], "value")
    what = f"A recurrent network ({', '.join(kinds)})" if kinds else "A network without state"
    return f"{what} that reads {reads}{rate}, and answers each time with {gives}."


def facts(found: Mapping[str, Any]) -> dict[str, str]:
    """Spell out what :func:`describe` found of the model as a whole, as names and values."""
    rate, adds = found["sample_rate_hz"], found["multiply_adds"]
    words = " ".join(map(repr, found["vocabulary"]))
    states = [f"{each['name']}.{state} {size}" for each in found["layers"] for state, size in each["states"].items()]
    return {
        "inputs": _inputs(found),
        "outputs": f"{found['output_size']}: {', '.join(found['labels'])}"
        if found["labels"]
        else str(found["output_size"]),
        **({"vocabulary": f"{len(found['vocabulary'])}: {words}"} if words else {}),
        "sample rate": f"{rate:g} Hz" if rate else "not set",
        "parameters": f"{found['parameters']:,}",
        "multiply-adds": f"{adds:,} per step" + (f", {adds * rate:,.0f} per second" if rate else ""),
        "in memory": f"{counted(found['weight_bytes'], 'byte')} of packed weights, "
        f"{counted(found['state_bytes'], 'byte')} of state per stream",
        "state": ", ".join(states) or "none",
        "fingerprint": found["fingerprint"],
    }


def named_inputs(found: Mapping[str, Any]) -> list[str]:
    """Names of the inputs, with units if they are known: ``["ax (m/s²)"]``; empty if they have no names."""
    names, units = found["input_names"], found["input_units"]
    if not names or not units:
        return list(names)
    return [f"{name} ({spell_unit(unit)})" for name, unit in zip(names, units, strict=True)]


def layer_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows of the table of layers, see :data:`COLUMNS`."""
    return [
        (
            each["name"],
            each["title"],
            " + ".join(each["reads"]),
            f"{' + '.join(map(str, each['input_sizes']))} → {each['output_size']}",
            "  ".join(_array(name, shape, each["formats"].get(name)) for name, shape in each["arrays"].items()),
            f"{each['parameters']:,}",
            f"{each['multiply_adds']:,}",
        )
        for each in found["layers"]
    ]


def _array(name: str, shape: list[int], format_: str | None) -> str:
    """``weight_hh 48×16 int8``."""
    return " ".join([name, "×".join(map(str, shape)), *([format_] if format_ else [])])


def _inputs(found: Mapping[str, Any]) -> str:
    texts = named_inputs(found) or list(map(spell_unit, found["input_units"]))
    return f"{found['input_size']}: {', '.join(texts)}" if texts else str(found["input_size"])
