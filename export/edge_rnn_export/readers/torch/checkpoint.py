"""Find the state_dict in a checkpoint: next to optimizers, settings and averages, under any name."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from edge_rnn.errors import FileError, InputError
from edge_rnn_export.readers.torch.pickled import Object, Tensor, entries

__all__ = ["Contents", "PlainNames", "chosen", "contents_of", "normalizers_of", "with_normalizers"]

_DEPTH = 6
_MOST = 2**16
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Modules in which torch.compile, FSDP and activation checkpointing wrap others."""
_OPTIMIZER = {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg", "sum"}
"""Names of an optimizer's tensors for one parameter."""
NORMALIZERS: Mapping[frozenset[str], str] = {
    frozenset({"_mean", "_var", "_std"}): "rsl_rl",
    frozenset({"running_mean", "running_var", "count"}): "rl_games",
    frozenset({"running_mean", "running_variance", "current_count"}): "skrl",
}
"""Libraries whose normalizers of observations have these tensors."""
_STATISTICS = {"mean", "std", "var", "scale", "running_mean", "running_var", "running_variance"}
"""Names of the statistics of a normalizer, without leading underscores."""


@dataclass
class Contents:
    """Tensors of a checkpoint."""

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Tensors by name of each state_dict, by its dotted place: ``"model.ema"``; empty for the file itself."""
    tensors: dict[str, Any] = field(default_factory=dict)
    """All tensors by dotted name, but those of optimizers."""
    described: str = ""
    """Description of the whole."""

    def loose(self, state: Mapping[str, Any]) -> list[str]:
        """Names of tensors that are in no state_dict, but for single numbers that are no statistics of samples."""
        held = {id(each) for every in (state, *self.states.values()) for each in every.values()}
        found = [name for name, each in self.tensors.items() if id(each) not in held]
        return [name for name in found if _size(self.tensors[name]) > 1 or _last(name) in _STATISTICS]


class PlainNames:
    """Names of parameters without those of wrappers: ``module.`` of DataParallel, ``_orig_mod.`` of torch.compile.

    Parameters
    ----------
    names
        All names of a state_dict.
    """

    def __init__(self, names: Iterable[str]) -> None:
        inner = {self._unwrapped(name) for name in names}
        averaged = inner - {"n_averaged"}
        self._outer = bool(averaged) and all(name.startswith("module.") for name in averaged)

    def __call__(self, name: str) -> str:
        """Name of a parameter or a module without wrappers."""
        name = self._unwrapped(name)
        return name.removeprefix("module").removeprefix(".") if self._outer and _is_outer(name) else name

    def arrays(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays by plain name, without the counter of an average."""
        plain = {self(name): each for name, each in arrays.items() if not (self._outer and name == "n_averaged")}
        return plain if len(plain) >= len(arrays) - 1 else dict(arrays)

    @staticmethod
    def _unwrapped(name: str) -> str:
        return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _last(name: str) -> str:
    return name.rpartition(".")[2].lstrip("_")


def _size(tensor: Any) -> int:
    size = tensor.size if isinstance(tensor, Tensor) else tuple(tensor.shape)
    return prod(size) if all(type(each) is int for each in size) else 0


def _is_outer(name: str) -> bool:
    return name == "module" or name.startswith("module.")


def contents_of(root: object, is_tensor: Callable[[object], bool]) -> Contents:
    """Return the tensors of a checkpoint."""
    found = Contents(described=_described(root))
    _search(root, "", is_tensor, found, set(), _DEPTH)
    return found


def chosen(owner: str, contents: Contents, state: str | None) -> dict[str, Any]:
    """Return the tensors of the one state_dict, or of that named ``state``, by name.

    Raises
    ------
    FileError
        There is no state_dict.
    InputError
        There are several, or none of the name.
    """
    if state is not None:
        prefix = state + "." if state else ""
        named = {name.removeprefix(prefix): each for name, each in contents.tensors.items() if name.startswith(prefix)}
        if not named:
            raise InputError(f"{owner} holds no state_dict {state!r}; expected {_listed(contents.states) or 'none'}.")
        return named
    if not contents.states:
        raise FileError(f"{owner} holds {contents.described}; expected a state_dict, tensors by name.")
    if len(contents.states) > 1:
        first = next(iter(contents.states))
        raise InputError(
            f"{owner} holds {len(contents.states)} state_dicts, {_listed(contents.states)}; name the one that is "
            f"meant, such as state={first[:80]!r} (--state {first[:80]})."
        )
    return next(iter(contents.states.values()))


def normalizers_of(names: Iterable[str]) -> dict[str, str]:
    """Return the normalizers of observations among the tensors of these names: paths, and whose they are."""
    groups: dict[str, set[str]] = {}
    for name in names:
        path, _, last = name.rpartition(".")
        groups.setdefault(path, set()).add(last)
    found = {path: _library(held) for path, held in groups.items()}
    return {path: library for path, library in found.items() if library}


def with_normalizers(contents: Contents, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of a state_dict, and those of normalizers outside of it by their dotted names."""
    held, paths = {id(each) for each in state.values()}, normalizers_of(contents.tensors)
    outside = {
        name: each
        for name, each in contents.tensors.items()
        if name.rpartition(".")[0] in paths and id(each) not in held
    }
    return {**state, **outside}


def _library(names: Collection[str]) -> str:
    """Library of a normalizer with these tensors and no others; empty if there is none."""
    return next((found for held, found in NORMALIZERS.items() if held <= {*names} <= held | {"count"}), "")


def _search(
    value: object, place: str, is_tensor: Callable[[object], bool], found: Contents, seen: set[int], depth: int
) -> None:
    """Add the state_dicts in a value."""
    if id(value) in seen:
        return
    seen.add(id(value))
    module = value if isinstance(value, Object) and _is_module(value) else None
    held = None if module else entries(value)
    if module:
        state = dict(_of_module(module, "", is_tensor, set()))
    elif held is not None:
        if "param_groups" in held and "state" in held:  # an optimizer's state_dict
            return
        state = {name: each for name, each in held.items() if isinstance(name, str) and is_tensor(each)}
        if state.keys() and state.keys() <= _OPTIMIZER:
            return
    else:
        return
    for name, tensor in state.items():
        if len(found.tensors) < _MOST:
            found.tensors[f"{place}.{name}" if place else name] = tensor
    flat = module is not None or not any(_is_container(each) for each in (held or {}).values())
    if (
        state
        and flat
        and not (place and _library(state))
        and (not place or any(each.ndim > 1 for each in state.values()))
    ):
        found.states[place] = state  # others are means, counters, ...
    for name, each in (held or {}).items() if depth else ():
        if isinstance(name, str | int) and _is_container(each):
            _search(each, f"{place}.{name}" if place else str(name), is_tensor, found, seen, depth - 1)


def _is_container(value: object) -> bool:
    return bool(entries(value)) or (isinstance(value, Object) and _is_module(value))


def _is_module(value: Object) -> bool:
    """True for an ``nn.Module``, or a module of TorchScript."""
    return value.kind.startswith("__torch__.") or {"_parameters", "_modules"} <= value.attributes().keys()


def _of_module(value: Object, path: str, is_tensor: Callable[[object], bool], inside: set[int]) -> Iterator[Any]:
    """Yield the names and tensors of a module, as its state_dict would have them."""
    if id(value) in inside or len(inside) > 64:
        return
    held = value.attributes()
    groups = [held] if value.kind.startswith("__torch__.") else [held.get(key) for key in _GROUPS]
    for group in groups:
        for name, each in (entries(group) or {}).items():
            full = f"{path}.{name}" if path else str(name)
            if is_tensor(each):
                yield full, each
            elif isinstance(each, Object) and _is_module(each):
                yield from _of_module(each, full, is_tensor, {*inside, id(value)})


_GROUPS = ("_parameters", "_buffers", "_modules")


def _described(root: object) -> str:
    held = entries(root)
    if held is None:
        return root.kind[:80] if isinstance(root, Object) else type(root).__name__
    keys = ", ".join(reprlib.repr(key) for key in list(held)[:12])
    return f"a dict with {keys}{', and more' if len(held) > 12 else ''}"


def _listed(places: Mapping[str, Any]) -> str:
    names = [place[:80] or "''" for place in places]
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
