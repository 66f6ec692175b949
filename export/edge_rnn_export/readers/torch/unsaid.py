"""Ask for what a state_dict leaves open: its names and shapes do not tell what ``forward`` computes.

A guess that would change the outputs is refused, with the argument that answers it. What remains is assumed, and listed
for the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.state import RECURRENT, Part, listed

__all__ = ["assumptions", "resolved"]

_KINDS = ("Linear", "Embedding")


def resolved(
    parts: Sequence[Part],
    selected: Sequence[Part] | None,
    arrays: Mapping[str, AnyArray],
    activations: Mapping[str, str],
    kinds: Mapping[str, str],
) -> list[Part]:
    """Return the parts of a state_dict in order of use, with the kinds that the caller states.

    Parameters
    ----------
    parts
        All parts of the state_dict.
    selected
        Those that the caller names, in order of use; None if the caller does not say.
    activations, kinds
        Activations and kinds by path, as the caller states them.

    Raises
    ------
    UnsupportedError
        A part cannot be converted.
    InputError
        The state_dict leaves something open that changes the outputs, and no argument says it.
    """
    used = list(parts if selected is None else selected)
    for part in used:
        if part.refusal:
            raise UnsupportedError(part.refusal)
    used = _with_kinds(used, arrays, activations, kinds)
    if selected is None:
        lone = len(used) == 1 and not used[0].path
        if used and not lone and not any(part.kind in RECURRENT for part in used):
            raise InputError(
                f"from_torch found nothing recurrent in the state_dict, only {_quoted(used)}, and these may belong to "
                f"a cell of your own; if each reads the output of the one before, state it in {_in_order(used)}."
            )
        used = _chained(used, arrays)
    _check_gaps(parts, used, named=selected is not None)
    _check_activations(used, activations)
    return used


def assumptions(used: Sequence[Part], activations: Mapping[str, str], *, named: bool) -> list[str]:
    """List what was taken for granted, each with the argument that states it.

    Parameters
    ----------
    used
        Parts in order of use.
    activations
        Activations by path, as the caller states them.
    named
        True if the caller named the modules in order of use.
    """
    found = []
    if not named and any(part.path for part in used):
        path = f"{_quoted(used)} in this order, each on the output of the one before," if used[1:] else _quoted(used)
        found.append(f"{path} and nothing else in forward ({_in_order(used)})")
    if used and used[-1].kind == "Linear" and used[-1].path not in activations:
        found.append(f"no activation after {used[-1].path!r} ({_activation([used[-1]], 'none')})")
    return found


def _with_kinds(
    used: Sequence[Part], arrays: Mapping[str, AnyArray], activations: Mapping[str, str], kinds: Mapping[str, str]
) -> list[Part]:
    """Return the parts with the kind of each table, which may be a Linear without bias or an Embedding."""
    tables = [part for part in used if part.kind == "Linear" and part.parameter("bias") not in arrays]
    paths = {part.path for part in tables}
    for path, kind in kinds.items():
        if path not in paths:
            expected = f"one of {_quoted(tables)}" if tables else "none"
            raise InputError(
                f"from_torch kinds name {path!r}; expected {expected}: modules with a two-dimensional weight alone."
            )
        if kind not in _KINDS:
            raise InputError(f"from_torch kinds got {kind!r} for {path!r}, expected one of {', '.join(_KINDS)}.")
        if kind == "Embedding" and path in activations:
            raise InputError(f"from_torch activations name {path!r}, an Embedding; expected Linears and RNNs.")
    unsaid = [part for part in tables if part.path not in kinds and part.path not in activations]
    if unsaid:
        stated = {part.path: "Embedding" for part in unsaid}
        argument = _argument("kinds", stated, [f"--kind {path}=Embedding" for path in stated])
        raise InputError(
            f"from_torch: a state_dict does not hold whether {_quoted(unsaid)}, with a two-dimensional weight and no "
            f"bias, is an Embedding or a Linear; state it in {argument}, or 'Linear'."
        )
    return [replace(part, kind=kinds[part.path]) if part.path in kinds else part for part in used]


def _chained(parts: Sequence[Part], arrays: Mapping[str, AnyArray]) -> list[Part]:
    """Return the parts in order of use, if the caller does not specify it.

    Numbered parts (of an ``nn.Sequential``) go by number. Otherwise each must read the number of values that the one
    before it returns, and only one order may satisfy this.

    Raises
    ------
    InputError
        No order, or more than one, fits.
    """
    places = {part.path: _place(part) for part in parts}
    if len({head for head, number in places.values() if number >= 0}) == 1 and all(n >= 0 for _, n in places.values()):
        return sorted(parts, key=lambda part: places[part.path][1])
    sizes = {part.path: _sizes(part, arrays) for part in parts}

    def follows(part: Part, done: Sequence[Part]) -> bool:
        if part in done or (done and sizes[part.path][0] != sizes[done[-1].path][1]):
            return False
        head, number = places[part.path]
        earlier = [each for each in parts if places[each.path][0] == head and 0 <= places[each.path][1] < number]
        return all(each in done for each in earlier)

    def orders(done: list[Part]) -> Iterator[list[Part]]:
        if len(done) == len(parts):
            yield done
        for part in parts:
            if follows(part, done):
                yield from orders([*done, part])

    # Beyond a few parts the search could take forever, and a file could be built to cause it.
    found = list(islice(orders([]), 2)) if len(parts) <= 8 else []
    if len(found) == 1:
        return found[0]
    each = listed([f"{part.path[:80]} ({sizes[part.path][0]} to {sizes[part.path][1]})" for part in parts])
    raise InputError(
        f"from_torch cannot determine the order of use from the sizes: {each}. Name the modules in order of use, such "
        f"as {_in_order(parts)}, without those of other outputs, and those in ignore= (--ignore)."
    )


def _sizes(part: Part, arrays: Mapping[str, AnyArray]) -> tuple[int, int]:
    """Number of inputs and of outputs of a part."""
    if part.kind in _KINDS:
        rows, columns = np.shape(arrays[part.parameter("weight")])
        return (columns, rows) if part.kind == "Linear" else (1, columns)
    first = np.shape(arrays.get(part.parameter(f"weight_ih{part.suffixes[0]}"), ()))
    last = np.shape(arrays.get(part.parameter(f"weight_hh{part.suffixes[-1]}"), ()))
    return (first or (0,))[-1], (last or (0,))[-1]


def _check_gaps(parts: Sequence[Part], used: Sequence[Part], *, named: bool) -> None:
    """Check that no module is skipped between numbered ones: ``0.weight``, ``2.weight`` had something at 1.

    One that follows a Linear may be an activation, which is asked for by name.
    """
    numbered: dict[str, dict[int, Part]] = {}
    for part in parts:
        head, number = _place(part)
        if number >= 0:
            numbered.setdefault(head, {})[number] = part
    paths = {part.path for part in used}
    for head, members in numbered.items():
        for before, number in pairwise((-1, *sorted(members))):
            previous, part = members.get(before), members[number]
            if named or number - before == 1 or part.path not in paths:
                continue
            if previous is not None and (previous.kind == "Linear" or previous.path not in paths):
                continue
            place = f"{head}.{number - 1}" if head else str(number - 1)
            raise InputError(
                f"from_torch: a module without parameters was at {place!r}, before {part.path!r}, and a state_dict "
                f"does not hold it; if it computes nothing (Dropout, Flatten), name the modules in order of use in "
                f"{_in_order(used)}, or pass the module itself."
            )


def _check_activations(used: Sequence[Part], activations: Mapping[str, str]) -> None:
    """Check that the caller states the activation of each RNN, and that between a Linear and the next module."""
    linears = [part for part in used[:-1] if part.kind == "Linear" and part.path not in activations]
    rnns = [part for part in used if part.kind == "RNN" and part.path not in activations]
    if linears:
        raise InputError(
            f"from_torch: a state_dict does not hold the activation after {_quoted(linears)}; state it in "
            f"{_activation(linears, 'relu')}, or tanh, sigmoid, softmax; none for Dropout and the like, or pass the "
            f"module itself."
        )
    if rnns:
        raise InputError(
            f"from_torch: a state_dict does not hold the nonlinearity of the RNN {_quoted(rnns)}; state it in "
            f"{_activation(rnns, 'tanh')}, PyTorch's default, or relu."
        )


def _in_order(parts: Sequence[Part]) -> str:
    paths = [part.path for part in parts]
    return _argument("modules", paths, [f"--modules {','.join(paths)}"])


def _activation(parts: Sequence[Part], activation: str) -> str:
    stated = {part.path: activation for part in parts}
    return _argument("activations", stated, [f"--activation {path}={activation}" for path in stated])


def _argument(name: str, value: object, flags: Sequence[str]) -> str:
    """Argument in Python and on the command line, without its value if that is long."""
    text, line = repr(value), " ".join(flags)
    return f"{name}={text} ({line})" if len(text) <= 400 else f"{name}= ({line.partition(' ')[0]})"


def _quoted(parts: Sequence[Part]) -> str:
    return listed([repr(part.path[:60]) for part in parts])


def _place(part: Part) -> tuple[str, int]:
    """Path of the container and index in it; -1 if the last part of the name is not an index in an nn.Sequential."""
    head, _, last = part.path.rpartition(".")
    return head, int(last) if last.isdecimal() and len(last) <= 9 else -1
