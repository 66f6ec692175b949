"""Layout of a Model for compilation to a library, and the library's self-test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import InputError
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
"""Steps of a library's self-test; fewer for a network that amplifies rounding beyond the limit earlier."""

_LEAST_STEPS = 2
"""Two, so that the recurrent matrix is applied to a nonzero state however much the network amplifies differences."""

_APART = 4
"""Factor on the observed difference (:func:`~edge_rnn_export.building.wander.wander`) that two correct libraries may
have: both deviate, and other machines round differently from the perturbations tried."""

_BEARABLE = 4
"""Maximum tolerance of a test as a multiple of its format's tolerance; beyond it the test gets fewer steps instead."""

_TOLERANCE = 1e-5
"""Minimum tolerance, relative to the largest output, at least 1: that of ``verify``. If a matrix rounds its vectors to
steps, one of these steps, since a value between two of them may be rounded either way."""


@dataclass(frozen=True, slots=True, eq=False)
class SelfTest:
    """Test samples and expected outputs.

    Parameters
    ----------
    xs
        ``(time, I)`` float32.
    ys
        ``(time, O)`` float32, from the reference; from the kernels on this machine if vectors are rounded to integers.
    tolerance
        Maximum absolute error of an output, at every step.
    """

    xs: F32
    ys: F32
    tolerance: float


def self_test(model: Model, seed: int = 0) -> SelfTest:
    """Make a self-test from normally distributed samples in sensor units, or from symbols of an Embedding.

    The tolerance follows from the format and the network: one quantization step, or the effect on the network of some
    values of each vector being rounded the other way. If that effect grows from step to step, the test ends before
    wrong weights could go unnoticed.

    Raises
    ------
    InputError
        The model's values overflow float32 on the samples.
    """
    samples = random_samples(model, TEST_STEPS, seed)
    with np.errstate(all="ignore"):
        ys, _ = reference.run(model, samples)
        largest = float(np.abs(ys).max())
    if not largest < np.finfo(np.float32).max:
        raise InputError(f"build cannot test {model!r}: its values overflow float32 within 16 steps.")
    steps_of = [matrix.vector_steps for layer in model.layers for matrix in layer.formats.values()]
    step_sizes = [1 / each for each in steps_of if each is not None]
    least = max([_TOLERANCE, *step_sizes]) * max(1.0, largest)
    kernels = Stream(model).run(samples)
    apart = wander(model, samples, seed)
    rounds = bool(step_sizes)
    if not rounds:
        apart = np.maximum(apart, np.abs(kernels - ys).max(axis=1))
    asked = _APART * np.maximum.accumulate(apart)
    bearable = asked <= (_BEARABLE if rounds else 1) * least
    steps = max(_LEAST_STEPS, int(bearable.sum()))
    expected = kernels if rounds else ys.astype(np.float32)
    return SelfTest(samples[:steps], expected[:steps], max(least, float(asked[steps - 1])))


def layout_of(model: Model, target: Target, test: SelfTest) -> Layout:
    """Lay out the model for a CPU."""
    plan = plan_for(model, target)
    told = f"{model.fingerprint} {target} {plan.words} {plan.kept}"
    return Layout(
        structure=plan.structure,
        weights=plan.weights,
        arena_floats=plan.arena_floats,
        initial=plan.initial,
        kept=np.array([(slots.even, slots.odd, slots.size) for slots in plan.kept], np.int32),
        tag=int.from_bytes(hashlib.sha256(told.encode()).digest()[:4], "little", signed=True),
        test_x=test.xs,
        test_y=test.ys,
        test_tolerance=test.tolerance,
    )
