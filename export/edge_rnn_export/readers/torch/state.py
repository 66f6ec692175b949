"""Identify modules from PyTorch's parameters, by name, and convert them to layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.errors import ModelError, UnsupportedError
from edge_rnn.layers import GRU, INPUT, LSTM, Dense, Elman, Embedding, Layer, Recurrent
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.layer_names import free_name, plain_name

__all__ = ["BY_ONNX", "RECURRENT", "UNWRAP", "Part", "layers_of", "listed", "parts_of", "split_name", "wrapped"]


RECURRENT: Mapping[str, type[Recurrent]] = {"RNN": Elman, "GRU": GRU, "LSTM": LSTM}
"""Layer classes by PyTorch's names; the suffix ``Cell`` means that parameters lack ``_l0``."""

_KINDS = {len(cls.gates): kind for kind, cls in RECURRENT.items()}
_PARAMETER = re.compile(r"(?P<role>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?P<suffix>_l\d+)?")

_WRAPPED = re.compile(r"(weight|bias)\w*_(g|v|u|orig|mask)|parametrizations\..*")

BY_ONNX = (
    "from_onnx reads more (sums, joins, normalization, other activations), from a graph of "
    "torch.onnx.export(module, (x,), 'net.onnx', dynamo=False)"
)
"""Remedy for modules and forwards that are more than a chain of the modules read here."""

UNWRAP = (
    "PyTorch computes its weights from these (weight_norm, spectral_norm, pruning); make them plain parameters first, "
    "with torch.nn.utils.parametrize.remove_parametrizations, remove_weight_norm, remove_spectral_norm or prune.remove."
)
"""Remedy for the parameters that :func:`wrapped` recognizes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One module of a network, as found in a module or in the names of a state_dict.

    Parameters
    ----------
    path
        Dotted name in the network, ``"encoder.rnn"``; empty for the network itself.
    kind
        ``"RNN"``, ``"GRU"``, ``"LSTM"``, ``"Linear"``, ``"Embedding"``, ``"Activation"`` or
        ``"Identity"``.
    suffixes
        For a recurrent module, the suffix of its parameters' names per layer: ``("_l0", "_l1")``, for a cell ``("",)``.
    activation
        Activation of an RNN or an Activation; empty if unknown.
    refusal
        Reason why the part cannot be converted; empty if it can.
    layer
        The layer that a module of :func:`~edge_rnn_export.to_torch` has become by training; None for any other.
    log
        True for an Activation that returns the logarithm, which is left out: LogSoftmax.
    """

    path: str
    kind: str
    suffixes: tuple[str, ...] = ()
    activation: str = ""
    refusal: str = ""
    layer: Layer | None = None
    log: bool = False

    def parameter(self, name: str) -> str:
        """Full name of one of the part's parameters."""
        return f"{self.path}.{name}" if self.path else name


def parts_of(arrays: Mapping[str, AnyArray]) -> list[Part]:
    """Identify modules from a state_dict's names and shapes, in the order of their first parameters."""
    groups: dict[str, dict[str, AnyArray]] = {}
    for name, array in arrays.items():
        path, last = split_name(name)
        groups.setdefault(path, {})[last] = array
    return [_part_of(path, group) for path, group in groups.items()]


def split_name(name: str) -> tuple[str, str]:
    """Split a parameter's name into the path of its module and its own name: ``("encoder.rnn", "weight_ih_l0")``."""
    parametrized = re.match(r"(?:(.+)\.)?(parametrizations\..+)", name)  # submodules that PyTorch puts in the module
    if parametrized:
        return parametrized[1] or "", parametrized[2]
    path, _, last = name.rpartition(".")
    return path, last


def _part_of(path: str, group: Mapping[str, AnyArray]) -> Part:
    title = f"state_dict's {path!r}" if path else "state_dict"

    def refuse(reason: str) -> Part:
        return Part(path, "", refusal=f"from_torch cannot read the {title}: {reason}")

    if wrapped(group):
        return refuse(f"it holds {listed([*group])}. {UNWRAP}")
    if any(name.endswith("_reverse") for name in group):
        return refuse("it is bidirectional, and the backward half needs samples that a stream has not seen yet.")
    suffixes: dict[str, None] = {}
    for name in group:
        match = _PARAMETER.fullmatch(name)
        if match:
            suffixes[match["suffix"] or ""] = None
    if suffixes:
        expected = ("",) if "" in suffixes else tuple(f"_l{k}" for k in range(len(suffixes)))
        if set(suffixes) != set(expected):
            return refuse(f"it has the layers {listed(list(suffixes))}, expected {listed(expected)} without gaps.")
        if f"weight_hh{expected[0]}" not in group:
            return refuse(f"there is no weight_hh{expected[0]}, only {listed(list(group))}.")
        shape = np.shape(group[f"weight_hh{expected[0]}"])
        gates = shape[0] // shape[1] if len(shape) == 2 and shape[1] and shape[0] % shape[1] == 0 else 0
        if f"weight_hr{expected[0]}" in group:  # proj_size, which only an LSTM has
            gates = 4
        if gates not in _KINDS:
            return refuse(f"weight_hh{expected[0]} got shape {shape}, expected (H, H), (3*H, H) or (4*H, H).")
        return Part(path, _KINDS[gates], expected)
    if np.ndim(group.get("weight", 0.0)) == 2:
        return Part(path, "Linear")
    known = "weight_ih_l0 and weight_hh_l0 of RNN, GRU and LSTM, weight_ih and weight_hh of their cells, and a "
    holds = listed([f"{name[:80]} {np.shape(array)}" for name, array in group.items()])
    return refuse(
        f"it holds {holds}; supported are {known}Linear's two-dimensional weight. Name it in ignore= (--ignore) if "
        f"inference does not use it."
    )


def wrapped(names: Iterable[str]) -> bool:
    """True if parameters of a module are those of a reparametrization: weight_norm, spectral_norm, pruning."""
    return any(_WRAPPED.fullmatch(name) for name in names)


def listed(names: Sequence[str]) -> str:
    """Names for a message: all if few, otherwise the first ones."""
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(name[:120] for name in names[:12]) + more


def layers_of(
    parts: Sequence[Part], arrays: Mapping[str, AnyArray], activations: Mapping[str, str]
) -> tuple[list[Layer], set[str]]:
    """Return layers for the parts, and the names of the parameters used in them.

    Parameters
    ----------
    activations
        Activations by path, of a Linear, and of each RNN whose part has none.

    Raises
    ------
    ModelError
        A parameter is missing, or has a wrong shape.
    UnsupportedError
        A part cannot be converted; the message names it and says why.
    """
    layers: list[Layer] = []
    used: set[str] = set()

    def take(part: Part, name: str, required: bool = True) -> AnyArray | None:
        full = part.parameter(name)
        if full in arrays:
            used.add(full)
            if arrays[full].dtype.kind != "f":
                raise UnsupportedError(f"from_torch: {full} got dtype {arrays[full].dtype}, expected floating point.")
        elif required:
            others = [key for key in arrays if key.rpartition(".")[0] == part.path]
            raise ModelError(f"from_torch found no {full!r} for the {part.kind}, only {listed(others) or 'nothing'}.")
        return arrays.get(full)

    _check_convertible(parts)
    for part in parts:
        if part.layer is not None:
            used |= {name for name in arrays if name.startswith(part.parameter(""))}
            layers.append(part.layer.replaced(name=_layer_name(part.path, layers), inputs=()))
        elif part.kind == "Linear":
            name = _layer_name(part.path, layers)
            weight, bias = take(part, "weight"), take(part, "bias", required=False)
            layers.append(_made(Dense, name, weight, bias, activation=activations.get(part.path, "none")))
        elif part.kind == "Embedding":
            layers.append(_made(Embedding, _layer_name(part.path, layers), take(part, "weight")))
        elif part.kind == "Activation":
            _activate(layers, part)
        elif part.kind in RECURRENT:
            options: dict[str, Any] = {}
            if part.kind == "RNN":
                options["activation"] = part.activation or activations[part.path]
            for suffix in part.suffixes:
                stacked = suffix if len(part.suffixes) > 1 else ""
                name = _layer_name(part.path + stacked if part.path else "", layers)
                weights = [take(part, f"{role}{suffix}") for role in ("weight_ih", "weight_hh")]
                roles = [f"{role}{suffix}" for role in ("bias_ih", "bias_hh")]
                biases = [take(part, role, required=False) for role in roles]
                if (biases[0] is None) != (biases[1] is None):
                    there, lost = roles if biases[1] is None else reversed(roles)
                    raise ModelError(
                        f"from_torch found {part.parameter(there)!r} but no {part.parameter(lost)!r}; PyTorch has "
                        f"both or neither, so one is missing."
                    )
                projection = take(part, f"weight_hr{suffix}", required=False)
                more = options if projection is None else {**options, "weight_hr": projection}
                layers.append(_made(RECURRENT[part.kind], name, *weights, *biases, **more))
    return layers, used


def _check_convertible(parts: Sequence[Part]) -> None:
    computing = [part for part in parts if part.kind != "Identity"]
    for part in parts:
        if part.refusal:
            raise UnsupportedError(part.refusal)
        if part.log and part is not computing[-1]:
            raise UnsupportedError(
                f"from_torch cannot convert nn.LogSoftmax {part.path!r} before other modules. {BY_ONNX}."
            )


def _made(cls: Callable[..., Layer], name: str, *arrays: AnyArray | None, **options: Any) -> Layer:
    return cls(*arrays, name=name, **options)


def _activate(layers: list[Layer], part: Part) -> None:
    """Apply the activation in the last layer, or in an added identity Dense if that layer cannot have it."""
    last = layers[-1] if layers else None
    if isinstance(last, Dense) and last.activation == "none":
        layers[-1] = _made(Dense, last.name, np.asarray(last.weight), last.bias, activation=part.activation)
    elif isinstance(last, Dense | Recurrent):
        size = last.weight.shape[0] if isinstance(last, Dense) else last.weight_hh.shape[1]
        name = _layer_name(part.path, layers)
        layers.append(_made(Dense, name, np.eye(size, dtype=np.float32), None, activation=part.activation))
    else:
        raise UnsupportedError(
            f"from_torch cannot convert {part.path!r}: an activation before the first layer with weights; apply it to "
            f"the samples, or remove it from modules=."
        )


def _layer_name(path: str, layers: Sequence[Layer]) -> str:
    """Return a layer name for a dotted path that no earlier layer has; empty if it starts with a digit."""
    name = plain_name(path)
    return free_name(name, {INPUT, *(layer.name for layer in layers)}) if name else ""
