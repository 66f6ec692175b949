"""Refuse modules that count in plain attributes and compute with these, which torch.export takes as constants."""

from __future__ import annotations

import warnings
from itertools import chain
from typing import Any

import numpy as np

from edge_rnn_export.readers.torch.calls import tensors_of
from edge_rnn_export.readers.torch.running import Read
from edge_rnn_export.readers.torch.traced import in_use
from edge_rnn_export.readers.torch.writer import counting

__all__ = ["check_attributes"]

_FURTHER = (*range(1, 1025), 10**4, 10**5, 10**6)
"""Numbers of calls later at which forward must still compute the same."""


def check_attributes(torch: Any, module: Any, read: Read) -> None:
    """Check that what forward computes does not depend on the numbers that it changes in plain attributes.

    Raises
    ------
    UnsupportedError
        It does: after some calls the network would be another one.
    """
    rng, fresh = np.random.default_rng(0), in_use(module)
    args = read.call.made(torch, read.call.sizes[-1])
    buffers = dict(fresh.named_buffers())
    starts = {
        target: torch.from_numpy(rng.uniform(-1, 1, tuple(buffers[target].shape))).to(buffers[target].dtype)
        for target, _, _ in read.program.kept
    }
    begun = _numbers(fresh)

    def run(further: int, changed: dict[tuple[Any, str], float]) -> list[Any]:
        for (part, name), number in begun.items():
            setattr(part, name, number + further if (part, name) in changed else number)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of user code
            for target, start in starts.items():
                dict(fresh.named_buffers())[target].copy_(start)
            found = tensors_of(torch, fresh(*args))
            held = dict(fresh.named_buffers())
            return [each.clone() for each in (*found, *(held[target] for target in starts))]

    expected = run(0, {})
    changed = {key: number for key, number in _numbers(fresh).items() if begun.get(key, number) != number}
    for further in _FURTHER if changed else ():
        try:
            found = run(further, changed)
            same = all(
                torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in zip(found, expected, strict=True)
            )
        except Exception:  # forward is user code: it may raise anything
            same = False
        if not same:
            part, name = next(iter(changed))
            path = next(path for path, each in fresh.named_modules() if each is part)
            where = f"attribute {'.'.join(filter(None, (path, name)))!r}"
            raise counting(f"{type(module).__name__}.forward", where, type(begun[part, name]).__name__)


def _numbers(module: Any) -> dict[tuple[Any, str], float]:
    """Plain numbers of a module and those inside, without what PyTorch keeps."""
    values = chain.from_iterable(
        ((part, name, value) for name, value in vars(part).items()) for part in module.modules()
    )
    return {(part, name): value for part, name, value in values if type(value) in (int, float)}
