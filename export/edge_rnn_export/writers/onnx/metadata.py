"""What an exported graph says of its model beside the computation, and whether that is so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

import edge_rnn
from edge_rnn.errors import FileError
from edge_rnn.model import Model
from edge_rnn.typing import F32
from edge_rnn_export.writers.onnx.precision import Precision

__all__ = ["METADATA_KEY", "metadata", "mismatches", "precision_of", "trained_states"]

METADATA_KEY = "edge_rnn"
"""Key of the JSON text in the file's ``metadata_props``; :func:`metadata` says what it holds."""

_FORMAT = 1


def metadata(model: Model, form: str = "step", precision: str | None = None, head: str = "model") -> dict[str, str]:
    """What goes into a graph's ``metadata_props``.

    Returns
    -------
    dict
        ``{"edge_rnn": JSON}``: ``format`` (1), ``version`` of edge_rnn, ``fingerprint`` of the model, ``form``
        (``"step"`` or ``"sequence"``), ``precision`` (null: that of the model's own matrices), ``head`` (see
        :mod:`edge_rnn_export.writers.onnx.head`; the rest is of the model that ``y`` is computed by), ``name``,
        ``labels``, ``sample_rate_hz`` (or null), ``input_names``, ``input_units``, ``vocabulary``, ``input_size``,
        ``layers``, for each its ``kind``, ``name``, ``inputs``, ``options``, the names of its ``arrays`` and its
        ``formats`` (and ``idle_peephole``, numbers that no operator reads); and ``initial_state``: state name to list
        of numbers, for those that do not start at zero.
    """
    description = {
        "format": _FORMAT,
        "version": edge_rnn.__version__,
        "fingerprint": model.fingerprint,
        "form": form,
        "precision": precision,
        "head": head,
        "name": model.name,
        "labels": model.labels,
        "sample_rate_hz": model.sample_rate_hz,
        "input_names": model.input_names,
        "input_units": model.input_units,
        "vocabulary": model.vocabulary,
        "input_size": model.input_size,
        "layers": [_layer(layer) for layer in model.layers],
        "initial_state": _initial_state(model),
    }
    return {METADATA_KEY: json.dumps(description)}


def mismatches(model: Model, found: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Hold a graph's metadata against the model.

    Returns
    -------
    mismatches, notes
        What is not as the model has it, and what the graph does not say; a sentence each.
    """
    if METADATA_KEY not in found:
        note = "The graph does not say which initial states it is for; those of the model were taken."
        return (), (note,)
    try:
        description = json.loads(found[METADATA_KEY])
    except (ValueError, RecursionError):
        description = None
    got = description.get("format") if isinstance(description, dict) else None
    if not isinstance(description, dict) or got != _FORMAT:
        return (f"The graph has metadata of the format {got!r}, expected {_FORMAT}; export the model anew.",), ()
    wrong = []
    if description.get("fingerprint") != model.fingerprint:
        wrong.append(
            f"The graph says that it was written for another model: its fingerprint is "
            f"{str(description.get('fingerprint'))[:12]}, expected {model.fingerprint[:12]}; export the model anew."
        )
    if description.get("initial_state") != _initial_state(model):
        wrong.append(
            "The graph says that it begins with other initial states than the model; a program that goes by it would "
            "give other outputs. Export the model anew."
        )
    return tuple(wrong), ()


def precision_of(found: Mapping[str, str]) -> Precision | None:
    """The precision that a graph's metadata say it was written at; None for that of the model's own matrices."""
    try:
        precision = json.loads(found.get(METADATA_KEY, "{}")).get("precision")
    except (ValueError, AttributeError, RecursionError):
        return None
    return precision if precision in get_args(Precision) else None


def trained_states(found: Mapping[str, str]) -> dict[str, F32]:
    """Initial states that are not zero, by name, ``(H,)`` float32, as a graph's metadata say; empty where they do not.

    Raises
    ------
    FileError
        The metadata are damaged.
    """
    try:
        states = json.loads(found.get(METADATA_KEY, "{}")).get("initial_state", {})
        return {str(name): np.array(value, np.float32) for name, value in states.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise FileError(f"the graph's metadata {METADATA_KEY!r} are damaged; export the model anew.") from None


def _layer(layer: Any) -> dict[str, Any]:
    from edge_rnn_export.writers.onnx.elementary import idle_gate  # needs onnx, which is there where graphs are written

    described = {
        "kind": layer.kind,
        "name": layer.name,
        "inputs": layer.inputs,
        "options": layer.options,
        "arrays": [*layer.arrays, *layer.formats],
    }
    if layer.formats:
        described["formats"] = {name: matrix.format for name, matrix in layer.formats.items()}
    idle = idle_gate(layer)
    return described | ({"idle_peephole": np.split(layer.peephole, 3)["ifo".index(idle)].tolist()} if idle else {})


def _initial_state(model: Model) -> dict[str, Any]:
    return {
        name: np.asarray(value).tolist() for name, value in model.initial_state.items() if value.tobytes().strip(b"\0")
    }
