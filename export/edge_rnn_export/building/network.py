"""From a Model to the numbers that a library is compiled from, and the test that it carries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import InputError
from edge_rnn.formats import STEPS
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.standalone.c_layout import Layout
from edge_rnn.model import Model
from edge_rnn.recordings.random_samples import random_samples
from edge_rnn.streams.planner import plan_for
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32
from edge_rnn_export.building.wander import wander

__all__ = ["TEST_STEPS", "SelfTest", "layout_of", "self_test"]


TEST_STEPS = 16
"""Steps of a library's self-test; fewer of a network that amplifies rounding beyond what can be borne before."""

_LEAST_STEPS = 2
"""So that the recurrent matrix has met a state, whatever the network does with differences."""

_APART = 4
"""Times as far as what was seen (:func:`~edge_rnn_export.building.wander.wander`) two right libraries may be apart:
each goes its own way, and other machines round otherwise than the ways that were tried."""

_BEARABLE = 4
"""Times the tolerance of its format that a test may ask for before it is made of fewer steps instead."""

_TOLERANCE = {"": 1e-5} | {format_: 1 / steps for format_, steps in STEPS.items()}
"""Least tolerance, relative to the largest output, at least 1; by the format of a matrix: that of ``verify``, or the
size of a step where a vector is rounded to steps, since a value between two of them may fall to either side."""


@dataclass(frozen=True, slots=True, eq=False)
class SelfTest:
    """Samples and what has to come out of them.

    Parameters
    ----------
    xs
        ``(time, I)`` float32.
    ys
        ``(time, O)`` float32, of the reference; where steps are rounded to integers, of the kernels on this machine.
    tolerance
        By how much an output may be off, at every step.
    """

    xs: F32
    ys: F32
    tolerance: float


def self_test(model: Model, seed: int = 0) -> SelfTest:
    """Normally distributed samples in the sensor's units, symbols of an Embedding, and the answers to them.

    The tolerance is what the format and the network ask for: a step of rounding, or what the network makes of some
    values of each vector falling to the other side of one. Where that grows from step to step, the test ends before
    wrong weights could hide in it.

    Raises
    ------
    InputError
        The model's values leave the range of float32 on them.
    """
    samples = random_samples(model, TEST_STEPS, seed)
    with np.errstate(all="ignore"):
        ys, _ = reference.run(model, samples)
        largest = float(np.abs(ys).max())
    if not largest < np.finfo(np.float32).max:
        raise InputError(f"build cannot test {model!r}: its values leave the range of float32 within 16 steps.")
    formats = {matrix.format for layer in model.layers for matrix in layer.formats.values()}
    least = max(_TOLERANCE.get(format_, _TOLERANCE[""]) for format_ in (*formats, "")) * max(1.0, largest)
    kernels = Stream(model).run(samples)
    apart = wander(model, samples, seed)
    rounds = bool(formats & STEPS.keys())
    if not rounds:
        apart = np.maximum(apart, np.abs(kernels - ys).max(axis=1))
    asked = _APART * np.maximum.accumulate(apart)
    bearable = asked <= (_BEARABLE if rounds else 1) * least
    steps = max(_LEAST_STEPS, int(bearable.sum()))
    expected = kernels if rounds else ys.astype(np.float32)
    return SelfTest(samples[:steps], expected[:steps], max(least, float(asked[steps - 1])))


def layout_of(model: Model, target: Target, test: SelfTest) -> Layout:
    """The model, laid out for a CPU."""
    plan = plan_for(model, target)
    told = f"{model.fingerprint} {target} {plan.words} {plan.kept}"
    return Layout(
        operations=plan.operations,
        records=plan.records,
        weights=plan.weights,
        words=plan.words,
        arena_floats=plan.arena_floats,
        initial=plan.initial,
        kept=np.array([(slots.even, slots.odd, slots.size) for slots in plan.kept], np.int32),
        tag=int.from_bytes(hashlib.sha256(told.encode()).digest()[:4], "little", signed=True),
        test_x=test.xs,
        test_y=test.ys,
        test_tolerance=test.tolerance,
    )
