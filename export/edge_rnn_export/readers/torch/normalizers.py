"""Normalizers of observations in checkpoints of reinforcement learning: layers in front of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edge_rnn import cell
from edge_rnn.equations import clip
from edge_rnn.errors import InputError, ModelError
from edge_rnn.layers import Layer, Standardize
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.checkpoint import normalizers_of
from edge_rnn_export.readers.torch.state import listed

__all__ = ["Normalized", "normalized"]

_LIMIT = 5.0


class Normalized(NamedTuple):
    """Layers of a normalizer, and the arrays without those of normalizers."""

    layers: list[Layer]
    arrays: dict[str, AnyArray]
    notes: list[str]
    """What was assumed."""


def normalized(arrays: Mapping[str, AnyArray], normalizer: str | None, ignored: Sequence[str]) -> Normalized:
    """Return the layers of a normalizer of observations.

    Parameters
    ----------
    arrays
        Parameters and buffers of a state_dict by name.
    normalizer
        Path of the normalizer; None for none.
    ignored
        Names that inference does not use.

    Raises
    ------
    InputError
        There is a normalizer, and the caller does not say if it is used; or none of this path.
    ModelError
        Its statistics do not fit each other.
    """
    found = normalizers_of(arrays)
    if normalizer is None:
        open_ones = [path for path in found if not any(f"{path}.".startswith(f"{name}.") for name in ignored)]
        if open_ones:
            first = open_ones[0]
            spelled = listed([f"{path!r} ({found[path]})" for path in open_ones])
            raise InputError(
                f"from_torch found the statistics of normalizers, {spelled}; state the one in front of the network in "
                f"normalizer={first[:80]!r} (--normalizer {first[:80]}), or name them in ignore= if there is none."
            )
        return Normalized([], dict(arrays), [])
    if normalizer not in found:
        raise InputError(
            f"from_torch normalizer got {normalizer!r}, expected one of {listed([*found]) or 'none'}: statistics of "
            f"rsl_rl, rl_games or skrl."
        )
    rest = {name: each for name, each in arrays.items() if name.rpartition(".")[0] not in found}
    head = f"{normalizer}." if normalizer else ""
    mean, scale, limit, note = _READ[found[normalizer]](
        {name.removeprefix(head): np.asarray(each, np.float64).reshape(-1) for name, each in arrays.items()
         if name.rpartition(".")[0] == normalizer}
    )  # fmt: skip
    if mean.shape != scale.shape:
        raise ModelError(f"from_torch: {normalizer!r} got a mean of {mean.size} values and a scale of {scale.size}.")
    layers: list[Layer] = [Standardize(mean, scale, name="normalizer")]
    if limit:
        layers.append(_clipped(limit=limit, input_size=mean.size, name="clip"))
    return Normalized(layers, rest, [f"the normalizer {normalizer!r} with {found[normalizer]}'s {note}"])


@cell
def _clipped(p: Any, x: Any) -> Any:
    return clip(x, p.limit), {}


def _rsl_rl(given: Mapping[str, AnyArray]) -> tuple[AnyArray, AnyArray, float, str]:
    return given["_mean"], given["_std"] + 1e-2, 0.0, "epsilon of 0.01"


def _rl_games(given: Mapping[str, AnyArray]) -> tuple[AnyArray, AnyArray, float, str]:
    with np.errstate(invalid="ignore"):  # Standardize refuses it
        scale = np.sqrt(given["running_var"] + 1e-5)
    return given["running_mean"], scale, _LIMIT, "epsilon of 1e-05 below the root, and clipping to -5 .. 5"


def _skrl(given: Mapping[str, AnyArray]) -> tuple[AnyArray, AnyArray, float, str]:
    with np.errstate(invalid="ignore"):
        scale = np.sqrt(given["running_variance"]) + 1e-8
    return given["running_mean"], scale, _LIMIT, "epsilon of 1e-08, and clipping to -5 .. 5"


_READ = {"rsl_rl": _rsl_rl, "rl_games": _rl_games, "skrl": _skrl}
