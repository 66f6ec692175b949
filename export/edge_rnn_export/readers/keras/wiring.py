"""Connect layers: the flows between them, and scalings waiting to be folded into weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn.layers import INPUT, Add, Dense, Layer
from edge_rnn.typing import F64
from edge_rnn_export.readers.layer_names import free_name, plain_name

__all__ = ["Flow", "Wiring"]


MAX_IDENTITY_VALUES = 2**22
"""Maximum number of values in matrices without weights in the file: those of standalone activations."""

MAX_PARTS = 256
"""Maximum number of concatenated outputs: nested concatenations double in number each time."""


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Value that passes from one Keras layer to the next.

    Parameters
    ----------
    reads
        Names of the layers whose outputs it concatenates; ``"input"`` is the model's input.
    shape
        Without the batch: ``(steps, size)`` or ``(size,)``; steps may be None.
    last
        True if it holds only the last step of a sequence.
    shared
        True if another layer reads it too, so that its producer must not be changed.
    gain, offset
        ``(size,)`` each, float64: a pending scaling, ``gain * y + offset``; None for none.
    """

    reads: tuple[str, ...]
    shape: tuple[int | None, ...]
    last: bool = False
    shared: bool = False
    gain: F64 | None = None
    offset: F64 | None = None

    @property
    def size(self) -> int:
        """Number of values per step; 0 if unknown."""
        return self.shape[-1] or 0 if self.shape else 0

    @property
    def scaling(self) -> tuple[F64, F64]:
        """Gain and offset of the pending scaling; ones and zeros if there is none."""
        if self.gain is None or self.offset is None:
            return np.ones(self.size), np.zeros(self.size)
        return self.gain, self.offset


class Wiring:
    """The layers so far.

    Attributes
    ----------
    layers
        In topological order, each with a name.
    """

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._left = MAX_IDENTITY_VALUES

    def place(self, name: str, flow: Flow) -> dict[str, Any]:
        """Options ``name`` and ``inputs`` of a layer that is named after a Keras layer and reads a flow."""
        taken = {INPUT, *(layer.name for layer in self.layers)}
        free = free_name(plain_name(name) or plain_name(f"layer_{name}"), taken)
        before = self.layers[-1].name if self.layers else INPUT
        return {"name": free, "inputs": () if flow.reads == (before,) else flow.reads}

    def append(self, layer: Layer, flow: Flow, size: int) -> Flow:
        """Add a layer that reads ``flow``; return its output."""
        self.layers.append(layer)
        return Flow((layer.name,), (*flow.shape[:-1], size), flow.last)

    def scaled(self, flow: Flow, gain: F64, offset: F64) -> Flow:
        """``gain * flow + offset``: folded into the Dense layer before if it has no other reader, otherwise pending."""
        before = self._linear(flow)
        if before is not None:
            weight: Any = gain[:, None] * np.asarray(before.weight, np.float64)
            bias: Any = gain * (0.0 if before.bias is None else before.bias) + offset
            self._put(replace(before, weight=weight, bias=bias))
            return flow
        first, then = flow.scaling
        return replace(flow, gain=gain * first, offset=gain * then + offset)

    def folded(self, weight: F64, bias: F64 | None, flow: Flow) -> tuple[F64, F64 | None]:
        """Matrix ``(O, I)`` and bias of a layer that reads the flow, with the pending scaling folded in."""
        if flow.gain is None or flow.offset is None:
            return weight, bias
        return weight * flow.gain, weight @ flow.offset + (0.0 if bias is None else bias)

    def activated(self, title: str, name: str, flow: Flow, activation: str) -> Flow:
        """Flow after an activation: applied in the Dense layer before, or in an added one with an identity matrix."""
        if activation == "none":
            return flow
        before = self._linear(flow)
        if before is not None:
            self._put(replace(before, activation=activation))
            return flow
        return self._diagonal(title, name, flow, activation)

    def added(self, title: str, name: str, flows: Sequence[Flow]) -> Flow:
        """Sum of the flows."""
        self._check_alike(title, flows)
        if len({flow.size for flow in flows}) > 1:
            sizes = " and ".join(str(flow.size) for flow in flows[:8])
            raise UnsupportedError(f"{title} reads {sizes} values; expected the same number from each.")
        plain = [self.plain(title, name, flow) for flow in flows]
        reads = tuple(flow.reads[0] for flow in plain)
        layer = Add(**{**self.place(name, plain[0]), "inputs": reads})
        return self.append(layer, flows[0], flows[0].size)

    def joined(self, title: str, flows: Sequence[Flow]) -> Flow:
        """Concatenation of the flows, which needs no layer."""
        self._check_alike(title, flows)
        reads = tuple(name for flow in flows for name in flow.reads)
        if len(reads) > MAX_PARTS:
            raise UnsupportedError(f"{title} concatenates {len(reads)} outputs, expected {MAX_PARTS} at most.")
        size = sum(flow.size for flow in flows)
        joined = replace(flows[0], reads=reads, shape=(*flows[0].shape[:-1], size), shared=True)
        if all(flow.gain is None for flow in flows):
            return joined
        gains, offsets = zip(*(flow.scaling for flow in flows), strict=True)
        return replace(joined, gain=np.concatenate(gains), offset=np.concatenate(offsets))

    def plain(self, title: str, name: str, flow: Flow) -> Flow:
        """Flow as the output of one layer or the input, with no pending scaling."""
        if len(flow.reads) == 1 and flow.gain is None:
            return flow
        return self._diagonal(title, name, flow, "none")

    def finished(self, title: str, name: str, flow: Flow) -> None:
        """Make the flow the output of the last layer."""
        if flow.gain is not None or not self.layers or flow.reads != (self.layers[-1].name,):
            self._diagonal(title, name, flow, "none")

    def _diagonal(self, title: str, name: str, flow: Flow, activation: str) -> Flow:
        self._left -= flow.size**2
        if self._left < 0:
            raise UnsupportedError(
                f"{title} of {flow.size} values would take {flow.size} times {flow.size} weights, beyond the "
                f"{MAX_IDENTITY_VALUES} that layers without weights may take."
            )
        gain, offset = flow.scaling
        weight: Any = np.diag(gain)
        bias: Any = None if flow.offset is None else offset
        layer = Dense(weight, bias, activation=activation, **self.place(name, flow))
        return self.append(layer, flow, flow.size)

    def _linear(self, flow: Flow) -> Dense | None:
        """Dense layer without activation that produces the flow and has no other reader, or None."""
        found = next((layer for layer in self.layers if flow.reads == (layer.name,)), None)
        free = isinstance(found, Dense) and found.activation == "none" and flow.gain is None and not flow.shared
        return found if free and isinstance(found, Dense) else None

    def _put(self, layer: Layer) -> None:
        self.layers = [layer if layer.name == each.name else each for each in self.layers]

    def _check_alike(self, title: str, flows: Sequence[Flow]) -> None:
        """Refuse to combine steps of a sequence with its last step only, or with values without steps."""
        if any(not flow.size for flow in flows):
            raise UnsupportedError(f"{title} reads an input whose size is unknown.")
        if len({(flow.shape[:-1], flow.last) for flow in flows}) > 1:
            shapes = " and ".join(str(flow.shape) for flow in flows[:8])
            raise UnsupportedError(
                f"{title} reads the shapes {shapes}, expected the same steps from each: a sequence and its last step "
                f"(return_sequences=False) cannot be combined in a stream."
            )
