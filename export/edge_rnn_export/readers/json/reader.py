"""Read networks in JSON, written by several programs, into edge_rnn's :class:`~edge_rnn.model.Model`."""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from edge_rnn.errors import EdgeRnnError, FileError, InputError, InputTypeError, ReadingWarning
from edge_rnn.model import Description, Model
from edge_rnn_export.readers.file_bytes import read_bytes
from edge_rnn_export.readers.json.aidax import Reference, read_layer_list
from edge_rnn_export.readers.json.guitarml import read_guitarml
from edge_rnn_export.readers.json.nam import read_nam
from edge_rnn_export.readers.json_text import MAX_JSON_BYTES, array_of, check_weights, parse_object
from edge_rnn_export.readers.torch.files import MAX_NAME, MAX_PARAMETERS
from edge_rnn_export.readers.torch.reader import read_torch

__all__ = ["Reading", "from_json", "read_json"]


class Reading(NamedTuple):
    """Network and the recording to check it against."""

    model: Model
    recording: Reference | None
    """Recording that ``reference.run(model, recording.xs)[0]`` should match within rounding; None if the file has
    none.
    """
    assumed: str = ""
    """Assumptions about a state_dict, each with the argument that states it; empty if there are none."""


def from_json(
    source: str | PathLike[str],
    *,
    modules: Sequence[str] | None = None,
    activations: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    **about: Unpack[Description],
) -> Model:
    """Read a network from a JSON file; the contents determine its kind.

    Parameters
    ----------
    source
        Path of one of these:

        - RTNeural's list of layers (``dense``, ``time-distributed-dense``, ``gru``, ``lstm``, ``activation``) with
          Keras's weights;
        - AIDA-X, which is such a list with ``in_skip``, ``in_gain``, ``out_gain``, ``input_batch``, ``output_batch``;
        - GuitarML, Proteus and NeuralPi: ``model_data`` and ``state_dict``;
        - Neural Amp Modeler's ``.nam`` with the architecture LSTM, initial state included;
        - a PyTorch state_dict, nested lists by name.
    modules, activations, kinds, ignore
        For a state_dict, see :func:`~edge_rnn_export.from_torch`.
    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. Name and sample rate default to those in the file.

    Returns
    -------
    Model
        Weights converted to float32. Gains in dB are in the weights; a skip connection is an Add at the end.

    Raises
    ------
    FileError
        The file cannot be read, is damaged or of another kind, or its shapes are inconsistent.
    UnsupportedError
        It is well formed, but a layer, an activation or an architecture cannot be converted; the message names it.
    InputError
        The argument is not a path, or a state_dict leaves open what changes the outputs.
    ModelError
        A weight does not fit float32, or labels and names do not fit the network.

    Warns
    -----
    ReadingWarning
        A state_dict was read with assumptions, which the warning lists.
    """
    said = {"modules": modules, "activations": activations, "kinds": kinds, "ignore": ignore}
    reading = read_json(
        source, {name: value for name, value in said.items() if value is not None and value != ()}, **about
    )
    if reading.assumed:
        text = f"{source} holds a state_dict, without forward; from_json assumed: {reading.assumed}."
        warnings.warn(text, ReadingWarning, stacklevel=2)
    return reading.model


def read_json(
    source: str | PathLike[str], said: Mapping[str, Any] | None = None, **about: Unpack[Description]
) -> Reading:
    """Read a network as :func:`from_json` does, and the recording to check it against if the file has one (AIDA-X).

    Parameters
    ----------
    source, about
        See :func:`from_json`.
    said
        Arguments for a state_dict, by name.

    Raises
    ------
    FileError, UnsupportedError, InputError, ModelError
        See :func:`from_json`.
    """
    if not isinstance(source, str | PathLike):
        raise InputTypeError(f"from_json got {type(source).__name__}, expected the path of a JSON file.")
    path = Path(source)
    data = read_bytes(path, MAX_JSON_BYTES)
    try:
        document = parse_object(data)
        about["name"] = about.get("name") or _name(document)
        if about.get("sample_rate_hz") is None:
            about["sample_rate_hz"] = _rate(document)
        return _read(document, said or {}, about)
    except EdgeRnnError as error:
        raise type(error)(f"{path}: {error}") from None


def _read(document: Mapping[str, Any], said: Mapping[str, Any], about: Description) -> Reading:
    """Recognize the kind and read the network."""
    check_weights(document)
    kinds = [key for key in ("architecture", "model_data", "layers") if key in document]
    if len(kinds) > 1:
        raise FileError(f"it holds {' and '.join(map(repr, kinds))}, which are of different programs; expected one.")
    if kinds and said:
        raise InputError(f"it holds {kinds[0]!r}, and {next(iter(said))}= is for a state_dict only.")
    if kinds == ["architecture"]:
        return Reading(read_nam(document, about), None)
    if kinds == ["model_data"]:
        return Reading(read_guitarml(document, about), None)
    if kinds == ["layers"]:
        return Reading(*read_layer_list(document, about))
    state = document["state_dict"] if isinstance(document.get("state_dict"), dict) else document
    values = list(state.values())
    if not any(isinstance(value, list) for value in values) or any(isinstance(value, str | dict) for value in values):
        raise FileError(
            f"it holds {reprlib.repr(list(document))}, expected layers (RTNeural, AIDA-X), model_data (GuitarML), "
            f"architecture (Neural Amp Modeler), or a state_dict's arrays by name."
        )
    if len(state) > MAX_PARAMETERS or max(map(len, state)) > MAX_NAME or not all(map(str.isprintable, state)):
        raise FileError(
            f"its state_dict has {len(state)} arrays with names of up to {max(map(len, state))} letters, expected "
            f"{MAX_PARAMETERS} of {MAX_NAME} at most, and none that steers a terminal."
        )
    read = read_torch({key: array_of(reprlib.repr(key), value) for key, value in state.items()}, **said, **about)
    return Reading(read.model, None, read.assumed)


def _name(document: Mapping[str, Any]) -> str:
    """Name of the network in the file, or an empty string."""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _rate(document: Mapping[str, Any]) -> float | None:
    """Sample rate in Hz, under the keys of the various programs; a number or a numeric string; None if unknown."""
    metadata = document.get("metadata")
    places = (("samplerate", metadata), ("samplerate", document), ("sample_rate", document))
    for key, record in places:
        value = record.get(key) if isinstance(record, dict) else None
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
            value = int(value)
        if value is None or value == -1 or isinstance(value, str):  # Neural Amp Modeler writes -1 for unknown
            continue
        if type(value) not in (int, float) or not 0 < value < 1e9:
            raise FileError(f"{key} got {reprlib.repr(value)}, expected a sample rate in Hz.")
        return float(value)
    return None
