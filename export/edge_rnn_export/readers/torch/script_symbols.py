"""Symbols in place of tensors, with which the forward of an archive is followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

__all__ = ["BAD_AXES", "LAYOUTS", "OPAQUE", "RECURRENT", "Data", "LayoutError", "Step", "UnreadableError", "Weight"]
__all__ += ["check_steps"]

LAYOUTS = (
    ("T", "B", "F"), ("B", "T", "F"), ("T", "F"), ("B", "F"), ("F",),
    ("T", "B"), ("B", "T"), ("T",), ("B",),
)  # fmt: skip
"""Axes that an input may have: time, batch, features; of symbols, without features. Without time, it is one step."""


BAD_AXES = "it takes an input of other axes than time, batch and features"
RECURRENT = ("RNN", "GRU", "LSTM")


class UnreadableError(Exception):
    """The code is no chain of known operators; the argument says why."""


class LayoutError(UnreadableError):
    """The code does not fit an input of these axes."""


class _Opaque:
    """A value that depends on sizes, or a tensor of zeros: any but the data."""


OPAQUE: Final = _Opaque()


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the chain.

    Parameters
    ----------
    kind
        ``"RNN"``, ``"GRU"``, ``"LSTM"``, ``"Linear"``, ``"Embedding"`` or ``"Activation"``.
    path
        Path of the module that has its parameters.
    layers
        Number of stacked layers of a recurrent step.
    activation
        Activation of an RNN or an Activation.
    states
        Names of the buffers, or arguments, that hold its states between calls.
    biased
        True if it adds biases.
    log
        True for the logarithm of a softmax, which is left out.
    """

    kind: str
    path: str = ""
    layers: int = 1
    activation: str = ""
    states: tuple[str, ...] = ()
    biased: bool = False
    log: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Value that follows from the input: its chain, the meaning of its axes; a state if ``role`` is 0 (h) or 1 (c)."""

    chain: tuple[Step, ...]
    axes: tuple[str, ...]
    role: int = -1

    def after(self, step: Step) -> Data:
        """The value after another step."""
        return replace(self, chain=(*self.chain, step))


@dataclass(frozen=True, slots=True)
class Weight:
    """Parameter or buffer, or its transpose; ``shaped`` if it has other axes, as only states may have."""

    name: str
    turned: bool = False
    shaped: bool = False


def check_steps(
    steps: tuple[Step, ...],
    names: Collection[str],
    stored: Mapping[str, Any],
    returned: Sequence[Data],
    changed: Collection[tuple[Step, ...]],
    *,
    whole: bool,
) -> tuple[Step, ...]:
    """Return the steps of a forward, checked.

    Parameters
    ----------
    steps
        Chain of the output.
    names
        Names of all parameters and buffers.
    stored
        What forward stores in buffers, by their names.
    returned
        Values that it returns, states included.
    changed
        Chains of the values that it changes in place.
    whole
        True if the input is a whole sequence. One step must leave the states that the next begins with.

    Raises
    ------
    UnreadableError
        A bias is left out, a state is not carried over, or something else is stored.
    """
    if steps in changed:
        raise UnreadableError("it returns a value that it changed in place")
    for place, step in enumerate(steps):
        owned = [name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == step.path]
        if step.kind != "Activation" and not step.biased and any(name.startswith("bias") for name in owned):
            raise UnreadableError(f"it leaves out the bias of {step.path!r}")
        if step.kind in RECURRENT and not step.states and not whole:
            raise UnreadableError(f"{step.path!r} begins each call from zero")
        for role, state in enumerate(step.states):
            kept = [*([stored[state]] if state in stored else []), *returned]
            after = (steps[: place + 1], role)
            if not whole and not any(isinstance(each, Data) and (each.chain, each.role) == after for each in kept):
                raise UnreadableError(f"it does not carry over the state {state!r}")
    if other := sorted({*stored} - {state for step in steps for state in step.states}):
        raise UnreadableError(f"it stores {other[0]!r}")
    return steps
