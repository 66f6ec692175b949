"""GuitarML, Proteus and NeuralPi files: PyTorch's recurrent layers, a Linear, and the input added to the output.

Layout [1]_: ``model_data`` with the sizes, ``state_dict`` with ``rec.weight_ih_l0`` … and ``lin.weight``, ``lin.bias``;
``y = lin(rec(x)) + x[:skip]``.

References
----------
.. [1] A. Wright et al., "Real-time guitar amplifier emulation with deep learning", Applied Sciences 10 (2020),
   doi:10.3390/app10030766; Automated-GuitarAmpModelling, ``CoreAudioML/networks.py``, ``SimpleRNN``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Dense, Elman, Layer, Recurrent
from edge_rnn.model import Description, Model
from edge_rnn.storage.model_file import MAX_LAYERS
from edge_rnn.typing import F64
from edge_rnn_export.readers.json.skip import with_skip
from edge_rnn_export.readers.json_text import array_of, count_of

__all__ = ["read_guitarml"]


_UNITS: Mapping[str, type[Recurrent]] = {"LSTM": LSTM, "GRU": GRU, "RNN": Elman}


def read_guitarml(document: Mapping[str, Any], about: Description) -> Model:
    """Return the network that ``model_data`` and ``state_dict`` describe.

    Parameters
    ----------
    about
        Description of the Model: its arguments other than the layers.

    Raises
    ------
    FileError
        An entry is missing, has a wrong type, or has another shape than ``model_data`` implies.
    UnsupportedError
        The network is of an unsupported kind; the message names it.
    """
    data, state = document.get("model_data"), document.get("state_dict")
    if not isinstance(data, dict) or not isinstance(state, dict):
        lost = "model_data" if not isinstance(data, dict) else "state_dict"
        raise FileError(f"{lost} got {reprlib.repr(document.get(lost))}, expected an object.")
    model, unit = data.get("model", "SimpleRNN"), data.get("unit_type")
    if model != "SimpleRNN":
        raise UnsupportedError(f"model_data model got {reprlib.repr(model)}, expected 'SimpleRNN': LSTM, GRU or RNN.")
    if not isinstance(unit, str) or unit not in _UNITS:
        raise UnsupportedError(
            f"model_data unit_type got {reprlib.repr(unit)}, expected one of {', '.join(map(repr, _UNITS))}."
        )
    inputs, units, outputs = (count_of("model_data", data, f"{key}_size") for key in ("input", "hidden", "output"))
    stacked = count_of("model_data", data, "num_layers", default=1)
    skip = count_of("model_data", data, "skip", least=0)
    if stacked >= MAX_LAYERS:
        raise UnsupportedError(f"model_data num_layers got {stacked}, expected fewer than {MAX_LAYERS}.")
    rows = len(_UNITS[unit].gates) * units
    shapes: dict[str, tuple[int, ...]] = {}
    for k in range(stacked):
        shapes |= {f"rec.weight_ih_l{k}": (rows, units if k else inputs), f"rec.weight_hh_l{k}": (rows, units)}
        shapes |= {f"rec.bias_ih_l{k}": (rows,), f"rec.bias_hh_l{k}": (rows,)}
    shapes["lin.weight"] = (outputs, units)
    if _has_bias(data):
        shapes["lin.bias"] = (outputs,)
    return Model(with_skip(_layers(unit, stacked, _taken(state, shapes)), skip=skip), **about)


def _has_bias(data: Mapping[str, Any]) -> bool:
    value = data.get("bias_fl", True)
    if value not in (True, False) or type(value) not in (bool, int):
        raise FileError(f"model_data bias_fl got {reprlib.repr(value)}, expected true or false.")
    return bool(value)


def _taken(state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, F64]:
    """Return the parameters, after checking that their names and shapes are those that ``model_data`` implies."""
    if state.keys() != shapes.keys():
        lost, more = shapes.keys() - state.keys(), state.keys() - shapes.keys()
        raise FileError(
            f"state_dict lacks {reprlib.repr(sorted(lost))} and has {reprlib.repr(sorted(more))} beyond what "
            f"model_data says; expected {len(shapes)} arrays, {', '.join(list(shapes)[:4])} and so on."
        )
    arrays = {}
    for name, shape in shapes.items():
        arrays[name] = array_of(name, state[name])
        if arrays[name].shape != shape:
            raise FileError(f"{name} got shape {arrays[name].shape}, expected {shape}, as model_data says.")
    return arrays


def _layers(unit: str, stacked: int, arrays: Mapping[str, F64]) -> list[Layer]:
    layers: list[Layer] = []
    for k in range(stacked):
        parts: list[Any] = [arrays[f"rec.{part}_l{k}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        layers.append(_UNITS[unit](*parts, name=f"rec_l{k}" if stacked > 1 else "rec"))
    head: list[Any] = [arrays["lin.weight"], arrays.get("lin.bias")]
    return [*layers, Dense(*head, name="lin")]
