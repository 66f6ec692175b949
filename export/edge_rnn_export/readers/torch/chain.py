"""Check what a caller states about a chain of modules: names, activations, and parameters to ignore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import Dense
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.state import Part, listed

__all__ = ["check_activations", "check_all_used", "is_inside", "names_of", "selected"]


def selected(parts: Sequence[Part], modules: Sequence[str]) -> list[Part]:
    """Return the parts named in ``modules``, in that order; a name stands for everything inside it."""
    if isinstance(modules, str):
        raise InputError(f"from_torch modules got the string {modules!r}, expected a sequence of names.")
    found: list[Part] = []
    for wanted in modules:
        inside = [part for part in parts if is_inside(part.path, wanted)]
        if not inside:
            raise InputError(
                f"from_torch modules name {wanted!r}, which does not exist; expected some of {names_of(parts)}."
            )
        found += inside
    if not found:
        raise InputError(f"from_torch modules got no names, expected some of {names_of(parts)}, in order of use.")
    return found


def is_inside(path: str, outer: str) -> bool:
    """True if a dotted name is that of a module, or of something in it."""
    return path == outer or path.startswith(outer + ".")


def names_of(parts: Sequence[Part]) -> str:
    """Names of parts, for messages."""
    return listed([repr(part.path) for part in parts])


def check_activations(activations: Mapping[str, str], parts: Sequence[Part]) -> None:
    """Check that each name belongs to a part that takes an activation and has none of its own."""
    takes = [part for part in parts if part.kind == "Linear" or (part.kind == "RNN" and not part.activation)]
    for name, activation in activations.items():
        part = next((part for part in takes if part.path == name), None)
        refused = next((each.refusal for each in parts if each.path == name and each.refusal), "")
        if refused:
            raise UnsupportedError(refused)
        if part is None:
            raise InputError(
                f"from_torch activations name {name!r}; expected one of {names_of(takes) or 'none'}: a Linear, or an "
                f"RNN of a state_dict."
            )
        allowed = Dense.ACTIVATIONS if part.kind == "Linear" else ("tanh", "relu")
        if activation not in allowed:
            raise InputError(
                f"from_torch activations got {activation!r} for {name!r}, expected one of {', '.join(allowed)}."
            )


def check_all_used(arrays: Mapping[str, AnyArray], used: set[str], names: Sequence[str]) -> None:
    """Check that each array is used or among the names to ignore, and none is both."""
    for wanted in names:
        if not any(is_inside(key, wanted) for key in arrays):
            raise InputError(f"from_torch ignore names {wanted!r}, which does not exist; expected names of parameters.")
        taken = sorted(key for key in used if is_inside(key, wanted))
        if taken:
            raise InputError(
                f"from_torch ignore names {wanted!r}, but {taken[0]!r} is used; remove it from one of the two."
            )
    left = [key for key in arrays if key not in used and not any(is_inside(key, wanted) for wanted in names)]
    if left:
        found = listed([f"{key[:80]} {np.shape(arrays[key])}" for key in left])
        raise UnsupportedError(
            f"from_torch found parameters that belong to no supported layer: {found}. "
            f"Name them in ignore= if inference does not use them."
        )
