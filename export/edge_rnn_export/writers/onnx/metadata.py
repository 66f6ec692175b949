"""Metadata of an exported graph: description of its model, and its check against a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

import edge_rnn
from edge_rnn.errors import FileError
from edge_rnn.model import Model
from edge_rnn.typing import F32
from edge_rnn_export.writers.onnx.precision import PRECISIONS, Precision

__all__ = ["METADATA_KEY", "metadata", "mismatches", "precision_of", "trained_states"]

METADATA_KEY = "edge_rnn"
"""Key of the JSON text in the file's ``metadata_props``; its contents are described in :func:`metadata`."""

_FORMAT = 1


def metadata(
    model: Model,
    form: str = "step",
    precision: str | None = None,
    head: str = "model",
    written: Model | None = None,
) -> dict[str, str]:
    """Return the ``metadata_props`` of a graph.

    ``written`` is the model whose layers the graph has operators of, where it is another one.

    Returns
    -------
    dict
        ``{"edge_rnn": JSON}``: ``format`` (1), ``version`` of edge_rnn, ``fingerprint`` of the model, ``form``
        (``"step"`` or ``"sequence"``), ``precision`` (null: that of the model's own matrices), ``head`` (see
        :mod:`edge_rnn_export.writers.onnx.head`; the rest describes the model that computes ``y``), ``name``,
        ``labels``, ``sample_rate_hz`` (or null), ``input_names``, ``input_units``, ``vocabulary``, ``input_size``,
        ``layers``, for each its ``kind``, ``name``, ``inputs``, ``options``, the names of its ``arrays`` and its
        ``formats``; and ``initial_state``: state name to list of numbers, for nonzero initial states. With cells that
        were written as operators of ONNX, ``written``: the fingerprint of the model of ``layers``.
    """
    written = written or model
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
        "layers": [_layer(layer) for layer in written.layers],
        "initial_state": _initial_state(model),
    }
    if written is not model:
        description["written"] = written.fingerprint
    return {METADATA_KEY: json.dumps(description)}


def mismatches(model: Model, found: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check a graph's metadata against the model.

    Returns
    -------
    mismatches, notes
        Differences from the model, and information missing from the graph; one sentence each.
    """
    if METADATA_KEY not in found:
        note = "The graph does not state its initial states; those of the model were used."
        return (), (note,)
    try:
        description = json.loads(found[METADATA_KEY])
    except (ValueError, RecursionError):
        description = None
    got = description.get("format") if isinstance(description, dict) else None
    if not isinstance(description, dict) or got != _FORMAT:
        return (f"The graph has metadata of the format {got!r}, expected {_FORMAT}; export the model again.",), ()
    wrong = []
    if description.get("fingerprint") != model.fingerprint:
        wrong.append(
            f"The graph was written for another model according to its metadata: its fingerprint is "
            f"{str(description.get('fingerprint'))[:12]}, expected {model.fingerprint[:12]}; export the model again."
        )
    if description.get("initial_state") != _initial_state(model):
        wrong.append(
            "The initial states in the graph's metadata differ from the model's; a program that uses them would "
            "give other outputs. Export the model again."
        )
    return tuple(wrong), ()


def precision_of(found: Mapping[str, str]) -> Precision | None:
    """The precision in a graph's metadata; None for that of the model's own matrices."""
    try:
        precision = json.loads(found.get(METADATA_KEY, "{}")).get("precision")
    except (ValueError, AttributeError, RecursionError):
        return None
    return precision if precision in PRECISIONS else None


def trained_states(found: Mapping[str, str]) -> dict[str, F32]:
    """Nonzero initial states in a graph's metadata, by name, ``(H,)`` float32; empty if there are none.

    Raises
    ------
    FileError
        The metadata are damaged.
    """
    try:
        states = json.loads(found.get(METADATA_KEY, "{}")).get("initial_state", {})
        return {str(name): np.array(value, np.float32) for name, value in states.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise FileError(f"the graph's metadata {METADATA_KEY!r} are damaged; export the model again.") from None


def _layer(layer: Any) -> dict[str, Any]:
    described = {
        "kind": layer.kind,
        "name": layer.name,
        "inputs": layer.inputs,
        "options": layer.options,
        "arrays": [*layer.arrays, *layer.formats],
    }
    if layer.formats:
        described["formats"] = {name: matrix.format for name, matrix in layer.formats.items()}
    return described


def _initial_state(model: Model) -> dict[str, Any]:
    return {
        name: np.asarray(value).tolist() for name, value in model.initial_state.items() if value.tobytes().strip(b"\0")
    }
