"""Model: a trained network as a list of layers, independent of file formats and of compiled code.

A layer reads the one before it, or the layers that its ``inputs`` name (their outputs concatenated; ``"input"`` is the
model's own input).
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TypedDict, cast

from edge_rnn.digest import sha256
from edge_rnn.errors import ModelError, ModelTypeError
from edge_rnn.layers import INPUT, Embedding, Layer
from edge_rnn.printable import is_printable
from edge_rnn.spelling import counted
from edge_rnn.typing import F32

__all__ = ["Description", "Model"]


_EXPECTED = "expected a text without control characters, invisible ones or marks of direction; leave them out"


class Description(TypedDict, total=False):
    """Optional keywords of :class:`Model` that describe it; every reader of files takes them too."""

    name: str
    labels: Sequence[str]
    sample_rate_hz: float | None
    input_names: Sequence[str]
    input_units: Sequence[str]
    vocabulary: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Model:
    """Trained network: layers in topological order, and the metadata that a deployment needs.

    Parameters
    ----------
    layers
        At least one. The output of the last one is the model's.
    name
        Name of the network; free text.
    labels
        Class names, one per output, or empty.
    sample_rate_hz
        Sample rate that the network was trained for, in Hz, or None.
    input_names, input_units
        One per input, or empty: ``("ax", "ay")``, ``("m/s^2", "m/s^2")``.
    input_size
        Length of a sample. Needed only if it does not follow from the layers.
    vocabulary
        One text per symbol that the network reads (see :attr:`vocabulary_size`), all different, or empty:
        ``("a", "b")``. A text may have several characters; tab and newline are the only control characters in it. For
        networks that read symbols, and above all for those that generate them, see :mod:`edge_rnn.sampling`. Invisible
        characters, such as U+200B, are spelled out in the output of ``edge-rnn generate``.

    Attributes
    ----------
    sources
        For each layer, the indices in ``layers`` of those that it reads; -1 is the model's input.
    output_sizes
        For each layer, the length of its output.

    Raises
    ------
    ModelError
        Layers do not fit together, a name is unknown or used twice, or metadata has the wrong length or is not plain
        text (:func:`edge_rnn.printable.printable`).

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn import GRU, Dense, Model
    >>> gru = GRU(np.zeros((24, 3)), np.zeros((24, 8)))
    >>> Model([gru, Dense(np.zeros((2, 8)), activation="softmax")], labels=("rest", "move")).output_size
    2
    """

    layers: tuple[Layer, ...]
    name: str = field(default="", kw_only=True)
    labels: tuple[str, ...] = field(default=(), kw_only=True)
    sample_rate_hz: float | None = field(default=None, kw_only=True)
    input_names: tuple[str, ...] = field(default=(), kw_only=True)
    input_units: tuple[str, ...] = field(default=(), kw_only=True)
    input_size: int = field(default=0, kw_only=True)
    vocabulary: tuple[str, ...] = field(default=(), kw_only=True)
    sources: tuple[tuple[int, ...], ...] = field(init=False)
    output_sizes: tuple[int, ...] = field(init=False)
    _fingerprint: list[str] = field(init=False, repr=False)

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        name: str = "",
        labels: Sequence[str] = (),
        sample_rate_hz: float | None = None,
        input_names: Sequence[str] = (),
        input_units: Sequence[str] = (),
        input_size: int = 0,
        vocabulary: Sequence[str] = (),
    ) -> None:
        if not is_printable(str(name)):
            raise ModelError(f"Model name got {str(name)!r}, {_EXPECTED}.")
        named = _named(layers)
        sources = _wire(named)
        size = _input_size(named, sources, input_size)
        output_sizes: list[int] = []
        for layer, reads in zip(named, sources, strict=True):
            output_sizes.append(layer.output_size([size if i < 0 else output_sizes[i] for i in reads]))
        if sample_rate_hz is not None and not (isinstance(sample_rate_hz, Real) and 0 < sample_rate_hz < float("inf")):
            kind = ModelError if isinstance(sample_rate_hz, Real) else ModelTypeError
            raise kind(f"Model sample_rate_hz got {sample_rate_hz!r}, expected a positive number or None.")
        values: dict[str, object] = {
            "layers": named,
            "name": str(name),
            "labels": _names("labels", labels, output_sizes[-1], "outputs"),
            "sample_rate_hz": None if sample_rate_hz is None else float(sample_rate_hz),
            "input_names": _names("input_names", input_names, size, "inputs"),
            "input_units": _names("input_units", input_units, size, "inputs"),
            "input_size": size,
            "vocabulary": _vocabulary(vocabulary, _symbols(named, sources, size)),
            "sources": sources,
            "output_sizes": tuple(output_sizes),
            "_fingerprint": [],
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __repr__(self) -> str:
        chain = " > ".join(f"{layer.name}({size})" for layer, size in zip(self.layers, self.output_sizes, strict=True))
        return f"<Model {self.name + ': ' if self.name else ''}input({self.input_size}) > {chain}>"

    @property
    def output_size(self) -> int:
        """Length of an output."""
        return self.output_sizes[-1]

    @property
    def read_sizes(self) -> tuple[tuple[int, ...], ...]:
        """For each layer, the length of each of the values that it reads, in the order of :attr:`sources`."""
        return tuple(tuple(self.input_size if i < 0 else self.output_sizes[i] for i in each) for each in self.sources)

    @property
    def vocabulary_size(self) -> int:
        """Number of symbols that the network reads: rows of its Embedding, else the length of a sample."""
        return _symbols(self.layers, self.sources, self.input_size)

    @property
    def num_parameters(self) -> int:
        """Number of values in the layers' arrays."""
        return sum(layer.num_parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one step."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def initial_state(self) -> dict[str, F32]:
        """State at the start of a stream by ``"layer.state"``: ``{"lstm1.h": (H,), "lstm1.c": (H,)}``, float32."""
        return {f"{layer.name}.{key}": value for layer in self.layers for key, value in layer.initial_state.items()}

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex of all that a step depends on: layers, options, wiring and weights, but no metadata."""
        if self._fingerprint:
            return self._fingerprint[0]
        size = sum(array.nbytes for layer in self.layers for array in layer.arrays.values())
        size += sum(matrix.nbytes for layer in self.layers for matrix in layer.formats.values())
        digest = sha256(f"edge_rnn model 2, input {self.input_size}".encode(), size)
        for layer, reads in zip(self.layers, self.sources, strict=True):
            header = {
                "kind": layer.kind,
                "name": layer.name,
                "reads": reads,
                "options": layer.options,
                "arrays": {name: array.shape for name, array in layer.arrays.items()},
            }
            if layer.formats:
                header["formats"] = {
                    name: [matrix.format, matrix.options, {key: array.shape for key, array in matrix.arrays.items()}]
                    for name, matrix in layer.formats.items()
                }
            digest.update(json.dumps(header, sort_keys=True).encode())
            stored = [array for matrix in layer.formats.values() for array in matrix.arrays.values()]
            for array in (*layer.arrays.values(), *stored):
                digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
        self._fingerprint.append(digest.hexdigest())
        return self._fingerprint[0]


def _named(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Name the layers that have no name after their kind and position."""
    if not isinstance(layers, Sequence):
        raise ModelTypeError(f"Model layers got {type(layers).__name__}, expected a list of layers.")
    for position, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ModelTypeError(
                f"Model layers[{position}] got {type(layer).__name__}, expected a layer such as GRU or Dense."
            )
    if not layers:
        raise ModelError("Model got no layers; expected at least one.")
    taken = Counter(layer.name for layer in layers if layer.name)
    for name, count in taken.items():
        if count > 1:
            raise ModelError(f"Model has {counted(count, 'layer')} called {name!r}; give each a different name.")
    named = []
    for position, layer in enumerate(layers, start=1):
        name = layer.name or f"{layer.kind.lower()}{position}"
        if not layer.name and name in taken:
            raise ModelError(
                f"Model layer {position} would be called {name!r}, which another layer is; name one of the two."
            )
        named.append(layer if layer.name else layer.replaced(name=name))
    return tuple(named)


def _wire(layers: Sequence[Layer]) -> tuple[tuple[int, ...], ...]:
    """For each layer, the indices of the layers that it reads."""
    places = {INPUT: -1}
    sources = []
    for position, layer in enumerate(layers):
        for name in layer.inputs:
            if name not in places:
                raise ModelError(
                    f"{layer.title} inputs name {name!r}, which no earlier layer has; expected one of "
                    f"{', '.join(map(repr, places))}."
                )
        sources.append(tuple(places[name] for name in layer.inputs) or (position - 1,))
        places[layer.name] = position
    return tuple(sources)


def _input_size(layers: Sequence[Layer], sources: Sequence[tuple[int, ...]], given: int) -> int:
    """Length of a sample: as given, else the input size of the first layer that reads only the model's input."""
    if given:
        if not isinstance(given, Integral) or given < 0:
            kind = ModelError if isinstance(given, Integral) else ModelTypeError
            raise kind(f"Model input_size got {given!r}, expected a positive int.")
        return int(given)
    for layer, reads in zip(layers, sources, strict=True):
        if reads == (-1,) and hasattr(layer, "input_size"):
            return cast("int", layer.input_size)
    raise ModelError("Model input_size does not follow from the layers; pass it, such as Model(..., input_size=1).")


def _symbols(layers: Sequence[Layer], sources: Sequence[tuple[int, ...]], size: int) -> int:
    rows = [
        len(layer.weight)
        for layer, reads in zip(layers, sources, strict=True)
        if isinstance(layer, Embedding) and reads == (-1,)
    ]
    return min(rows, default=size)


def _vocabulary(values: Sequence[str], length: int) -> tuple[str, ...]:
    if isinstance(values, str):
        values = tuple(values)  # a letter each
    texts = _checked_texts("vocabulary", values, length, "symbols")
    seen = {""}
    for place, text in enumerate(texts):
        if any(unicodedata.category(each) in ("Cc", "Cs") and each not in "\t\n" for each in text):
            raise ModelError(f"Model vocabulary got {text!r}, expected a text without control characters.")
        if text in seen:
            raise ModelError(f"Model vocabulary got {text!r} as symbol {place}, expected different, non-empty texts.")
        seen.add(text)
    return texts


def _names(name: str, values: Sequence[str], length: int, what: str) -> tuple[str, ...]:
    texts = _checked_texts(name, values, length, what)
    for text in texts:
        if not is_printable(text):
            raise ModelError(f"Model {name} got {text!r}, {_EXPECTED}.")
    return texts


def _checked_texts(name: str, values: Sequence[str], length: int, what: str) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ModelTypeError(f"Model {name} got {values!r}, expected a sequence of {counted(length, 'text')}.")
    texts = tuple(str(value) for value in values)
    if texts and len(texts) != length:
        raise ModelError(
            f"Model {name} got {counted(len(texts), 'text')}, expected {length}, one for each of the model's {what}."
        )
    return texts
