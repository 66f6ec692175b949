"""Fold parameters that PyTorch computes others from: weight_norm, spectral_norm, pruning, weight drop.

References
----------
.. [1] T. Salimans, D. Kingma, "Weight Normalization", NeurIPS 2016: w = g v / |v|.
.. [2] T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018: W / (u' W v).
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from edge_rnn.errors import ModelError
from edge_rnn.typing import AnyArray

__all__ = ["copied", "folded", "without_reparametrizations"]

_HOOKS = {f"torch.nn.utils.{name}" for name in ("weight_norm", "spectral_norm", "prune")}

_HOOK = re.compile(r"(?P<base>(?:.+\.)?(?:weight|bias)\w*)_(?P<role>g|v|u|orig|mask)")
_NEW = re.compile(r"(?P<head>(?:.+\.)?)parametrizations\.(?P<name>\w+)\.(?P<role>original[01]?|0\._[uv])")
_RAW = re.compile(r"(?P<head>(?:.+\.)?)(?P<name>(?:weight|bias)_(?:ih|hh|hr)(?:_l\d+)?)_raw")


def folded(arrays: Mapping[str, AnyArray]) -> tuple[dict[str, AnyArray], list[str]]:
    """Return the arrays with each folded parameter in place of those that it is computed from, and what was assumed.

    Names are PyTorch's: ``weight_g``, ``weight_v`` and ``parametrizations.weight.original0``, ``original1`` of
    weight_norm; ``weight_orig``, ``weight_u``, ``weight_v`` and ``parametrizations.weight.original``, ``0._u``,
    ``0._v`` of spectral_norm; ``weight_orig``, ``weight_mask`` of pruning; ``weight_hh_l0_raw`` of weight drop. Others
    stay.

    Raises
    ------
    ModelError
        The shapes do not belong together.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in arrays:
        match = _NEW.fullmatch(name)
        base, role = (match["head"] + match["name"], match["role"]) if match else ("", "")
        hook = _HOOK.fullmatch(name)
        if not match and hook:
            base, role = hook["base"], hook["role"]
        if base and base not in arrays:
            groups.setdefault(base, {})[role] = name
    first, gone, notes = {}, set(), []
    for base, roles in groups.items():
        fold = _FOLDS.get(frozenset(roles))
        if fold is None:
            continue
        given = {role: arrays[name] for role, name in roles.items()}
        try:
            first[next(iter(roles.values()))] = base, fold(*(given[role] for role in sorted(given)))
        except (TypeError, ValueError):
            shapes = ", ".join(f"{roles[role]} {array.shape}" for role, array in given.items())
            raise ModelError(f"from_torch found shapes that do not belong together: {shapes[:400]}.") from None
        gone |= set(roles.values())
        if roles.keys() == {"original0", "original1"}:
            notes.append(f"{base!r} as weight_norm computes it")
        elif fold in (_spectral, _spectral_of) and any(a.ndim > 1 and len({*a.shape}) == 1 for a in given.values()):
            notes.append(f"{base!r} as spectral_norm with dim=0 computes it")
    result: dict[str, AnyArray] = {}
    for name, array in arrays.items():
        if name in first:
            result[first[name][0]] = first[name][1]
        elif name not in gone:
            result[name] = array
    return _without_drop(result), notes


def without_reparametrizations(module: Any) -> Any:
    """Return a module with plain parameters instead of computed ones: itself if it has no others, else a copy.

    Parameters
    ----------
    module
        An ``nn.Module``.
    """
    if not any("parametrizations" in part._modules or [*_hooks(part)] for part in module.modules()):
        return module
    fresh = copied(module).double()
    modes = {part: part.training for part in fresh.modules()}
    fresh.eval()  # in training mode, spectral_norm changes its vectors
    parameter = sys.modules["torch"].nn.Parameter
    for part in modes:
        if "parametrizations" in part._modules:  # PyTorch's own removal would change the class, which the copy shares
            computed = {name: getattr(part, name).detach() for name in part._modules["parametrizations"]}
            del part._modules["parametrizations"]
            part.__class__ = type(part).__bases__[0]
            for name, value in computed.items():
                part.register_parameter(name, parameter(value, requires_grad=False))
        for key, hook in [*_hooks(part)]:
            hook.remove(part)
            del part._forward_pre_hooks[key]
    for part, training in modes.items():
        part.training = training
    return fresh


def _hooks(part: Any) -> Iterator[tuple[int, Any]]:
    """Yield the hooks of a module that compute its parameters before forward."""
    for key, hook in part._forward_pre_hooks.items():
        if any(cls.__module__ in _HOOKS for cls in type(hook).__mro__):
            yield key, hook


def copied(module: Any) -> Any:
    """Copy a module, also one with a weight that was computed with gradients, which PyTorch does not copy."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in (*vars(part).values(), *getattr(part, "_flat_weights", ())):
            if getattr(value, "grad_fn", None) is not None:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(module, memo)


def _normed(g: AnyArray, v: AnyArray) -> AnyArray:
    """``g v / |v|``, the norm along the axes where g has one value."""
    g, v = np.asarray(g, np.float64), np.asarray(v, np.float64)
    lone = g.ndim == v.ndim and all(size in (1, full) for size, full in zip(g.shape, v.shape, strict=True))
    if g.ndim and (not lone or sum(size > 1 for size in g.shape) > 1):
        raise ValueError
    axes = tuple(axis for axis in range(v.ndim) if not g.ndim or g.shape[axis] == 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(v * (g / np.sqrt((v * v).sum(axis=axes, keepdims=True))))


def _spectral(orig: AnyArray, u: AnyArray, v: AnyArray) -> AnyArray:
    """``W / (u' W v)``, with the rows of W along the axis that has as many as u values."""
    orig, u, v = (np.asarray(each, np.float64) for each in (orig, u, v))
    if orig.ndim < 2 or u.ndim != 1 or v.ndim != 1:
        raise ValueError
    rows = orig if orig.ndim != 2 or orig.shape == (*u.shape, *v.shape) else orig.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(orig / (u @ rows.reshape(len(rows), -1) @ v))


def _spectral_of(u: AnyArray, v: AnyArray, orig: AnyArray) -> AnyArray:
    return _spectral(orig, u, v)


def _pruned(mask: AnyArray, orig: AnyArray) -> AnyArray:
    if mask.shape != orig.shape:
        raise ValueError
    return np.asarray(mask, np.float64) * np.asarray(orig, np.float64)


_FOLDS: Mapping[frozenset[str], Callable[..., AnyArray]] = {
    frozenset({"g", "v"}): _normed,
    frozenset({"original0", "original1"}): _normed,
    frozenset({"orig", "u", "v"}): _spectral,
    frozenset({"original", "0._u", "0._v"}): _spectral_of,
    frozenset({"mask", "orig"}): _pruned,
}
"""Computation of a parameter, by the roles of those that it is computed from, which it takes in alphabetical order."""


def _without_drop(arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Return the arrays with the whole weights of weight drop, which inference uses, under their own names."""
    result = dict(arrays)
    for name in arrays:
        match = _RAW.fullmatch(name)
        if match:
            inner = f"{match['head']}module."
            inside = any(each.startswith(inner) for each in arrays)
            result[(inner if inside else match["head"]) + match["name"]] = result.pop(name)
    return result
