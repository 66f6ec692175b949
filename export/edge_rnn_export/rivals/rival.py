"""Rival: a network set up in another runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model
from edge_rnn.typing import F32

__all__ = ["Rival", "Step", "chain"]

Step = Callable[[F32], F32]


@dataclass(frozen=True, slots=True)
class Rival:
    """Network set up in another runtime.

    Parameters
    ----------
    name, version
        Name of the runtime and of the interface used, and its version.
    how
        Settings, as text.
    start
        Returns a ``step(x) -> y`` at the initial state: ``(I,)`` to ``(O,)`` float32.
    run
        ``run(xs) -> ys`` from the initial state: ``(time, I)`` to ``(time, O)`` float32. None if not supported.
    """

    name: str
    version: str
    how: str
    start: Callable[[], Step]
    run: Callable[[F32], F32] | None = None


def chain(model: Model, *kinds: str) -> tuple[Any, ...]:
    """Layers of a model that is a plain chain of the given kinds, each layer reading the one before.

    Raises
    ------
    UnsupportedError
        The model is not such a chain.
    """
    if model.sources != tuple((place - 1,) for place in range(len(model.layers))):
        raise UnsupportedError("only networks in which each layer reads the one before are supported there")
    other = next((layer for layer in model.layers if layer.kind not in kinds), None)
    if other is not None:
        raise UnsupportedError(f"{other.title} is not supported there")
    for layer in model.layers:
        seldom = {*layer.options, *layer.arrays} & {"gate_clip", "coupled", "cell_clip", "weight_hr", "peephole"}
        seldom |= {name for name in layer.options if name.endswith("_activation")}
        usual = ("none", "tanh", "sigmoid", "relu", "softmax")
        if seldom or layer.options.get("activation", "none") not in usual:
            raise UnsupportedError(
                f"{layer.title} with its {', '.join(sorted(seldom)) or 'activation'} is not supported there"
            )
    return model.layers
