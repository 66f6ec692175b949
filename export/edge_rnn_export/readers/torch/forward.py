"""Whether a module's ``forward`` computes what the layers do that were read from it: run, and compared."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import Dense, Layer
from edge_rnn.model import Model
from edge_rnn.typing import F64
from edge_rnn_export.readers.torch.state import Part

__all__ = ["check_forward"]


_STEPS = 16
_SCALES = (1.0, 1.0, 3.0, 0.1)  # of the samples of each sequence: a relu may be silent on one of them

_DOUBLE_TOLERANCE = 1e-7
"""Largest difference in float64, as a share of a channel's peak: rounding (1e-16) and what 16 steps make of it."""

_SINGLE_TOLERANCE = 1e-3
"""The same in float32, for a forward that makes float32 tensors of its own and cannot run in another type."""


def check_forward(
    torch: Any, module: Any, layers: Sequence[Layer], parts: Sequence[Part], activations: Mapping[str, str]
) -> None:
    """See that ``module.forward`` gives what the layers give, on random sequences from a zero state.

    Parameters
    ----------
    module
        An ``nn.Module``; copies of it are run, in eval mode.
    layers
        What was read from it, without what was set in front since.
    parts, activations
        As :func:`~edge_rnn_export.readers.torch.state.layers_of` took them.

    Raises
    ------
    UnsupportedError
        It gives something else.
    InputError
        It cannot be called.
    """
    if type(module).forward is torch.nn.Module.forward and "forward" not in vars(module):
        return  # a ModuleList, or a class that only holds its modules
    rng = np.random.default_rng(0)
    model = Model(layers)
    sequences = [scale * rng.standard_normal((_STEPS, model.input_size)) for scale in _SCALES]
    sequences = [xs.astype(np.float32) for xs in sequences]
    expected = _references(model, sequences)
    runs: list[_Run] = []
    said = ""
    for dtype, tolerance in ((torch.float64, _DOUBLE_TOLERANCE), (torch.float32, _SINGLE_TOLERANCE)):
        for call in _calls(torch, module):
            try:
                run = _Run([_forward(torch, module, dtype, call, xs) for xs in sequences], tolerance)
            except Exception as error:  # forward is the user's: it may raise anything
                said = said or f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
                continue
            if _difference(run, expected).passed:
                return
            runs.append(run)
        if runs:
            break
    title = f"{type(module).__name__}.forward"
    if not runs:
        if all(_is_plain(torch.nn, each) for each in module.modules()):
            return  # a Sequential's order is the order of use, also where PyTorch cannot run it: an RNN gives a tuple
        raise InputError(
            f"from_torch could not run {title} on {_STEPS} random samples to compare it with the layers that were "
            f"found ({said.rstrip('.')}); from_torch(..., check=False) takes these unchecked, in the order of "
            f"definition or of modules=."
        )
    remedy = "Pass modules= in order of use, activations= where forward has some"
    for name, other in _other_activations(model, parts):
        if _least(runs, _references(other, sequences)).passed:
            activation = other.layers[-1].options["activation"]
            if activation == "none" and name in activations:
                return  # the loss function has it inside, so forward has not
            remedy = f"Pass activations={{{name!r}: {activation!r}}}"
            break
    raise UnsupportedError(
        f"from_torch: {title} does something else than {model!r}: on {_STEPS} random samples "
        f"{_least(runs, expected).text}. {remedy}, or build the Model by hand; check=False takes the layers as they "
        f"are."
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """What forward gave for each sequence, ``(time, O)`` or ``(O,)`` of the last step alone."""

    outputs: list[F64]
    tolerance: float


@dataclass(frozen=True, slots=True)
class _Difference:
    passed: bool
    largest: float
    text: str


def _is_plain(nn: Any, module: Any) -> bool:
    """Whether a module is one of PyTorch's own, and nobody has changed what it does."""
    ours = getattr(nn, type(module).__name__, None) is type(module)
    return ours and not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _calls(torch: Any, module: Any) -> Iterator[Callable[[Any, Any], Any]]:
    """Ways to hand a module ``(time, I)``, those that it was most likely written for first."""
    nn = torch.nn
    if isinstance(module, nn.RNNCellBase):
        yield _stepped
        return
    try:
        accepted = list(inspect.signature(module.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        accepted = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # PyTorch's own sign for states of zero.
    nones = [None for each in accepted if each.kind in positional and each.default is inspect.Parameter.empty]
    rnns = [each for each in module.modules() if isinstance(each, nn.RNNBase)]
    batch_axes = [0, None, 1] if rnns and rnns[0].batch_first else [1, None, 0] if rnns else [None, 1, 0]
    for axis in batch_axes:
        yield partial(_at_once, torch, axis, nones)
    if any(isinstance(each, nn.RNNCellBase) for each in module.modules()):
        yield _stepped


def _at_once(torch: Any, axis: int | None, nones: Sequence[None], run: Any, xs: Any) -> Any:
    return _output(torch, run(xs if axis is None else xs.unsqueeze(axis), *nones), axis)


def _stepped(run: Any, xs: Any) -> Any:
    """Step by step, as a cell is called: it gives its state, or an output and a state."""
    state, ys = None, []
    for x in xs:
        given = run(x[None], state)
        cell_of_two = isinstance(given, tuple) and type(run).__name__ == "LSTMCell"
        y, state = (given[0], given if cell_of_two else given[1]) if isinstance(given, tuple) else (given, given)
        ys.append(y[0].numpy())
    return np.stack(ys)


def _output(torch: Any, given: Any, axis: int | None) -> Any:
    """The first tensor, as ``(time, O)`` or ``(O,)``."""
    while isinstance(given, tuple | list):
        given = next(each for each in given if isinstance(each, tuple | list | torch.Tensor))
    if axis is not None and given.ndim == 3:
        given = given.squeeze(axis)
    elif given.ndim == 2 and given.shape[0] == 1:
        given = given[0]
    return given.numpy()


def _forward(torch: Any, module: Any, dtype: Any, call: Callable[[Any, Any], Any], xs: Any) -> F64:
    """One call of a copy: forward may keep a state in the module."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Through float32, as the layers' weights went.
        fresh = copy.deepcopy(module).cpu().eval().float().to(dtype)
        output = np.asarray(call(fresh, torch.from_numpy(xs).to(dtype)), dtype=np.float64)
    if output.ndim not in (1, 2):
        raise ValueError(f"an output of shape {output.shape}")
    return output


def _other_activations(model: Model, parts: Sequence[Part]) -> Iterator[tuple[str, Model]]:
    """Models that differ in the activation of the last layer, each with the name of its module."""
    last, part = model.layers[-1], [each for each in parts if each.kind != "Identity"][-1]
    if isinstance(last, Dense) and part.kind == "Linear":
        for activation in Dense.ACTIVATIONS:
            if activation != last.activation:
                head = replace(last, activation=activation)
                yield part.path, Model([*model.layers[:-1], head])


def _references(model: Model, sequences: Sequence[Any]) -> list[F64]:
    return [reference.run(model, xs)[0] for xs in sequences]


def _least(runs: Sequence[_Run], expected: Sequence[F64]) -> _Difference:
    """The smallest of the differences that the ways to call forward show."""
    return min((_difference(run, expected) for run in runs), key=lambda each: (not each.passed, each.largest))


def _difference(run: _Run, expected: Sequence[F64]) -> _Difference:
    peaks = np.max([np.abs(ys).max(0) for ys in expected], 0)
    errors = np.zeros_like(peaks)
    for output, ys in zip(run.outputs, expected, strict=True):
        given = output[:, None] if output.shape == ys.shape[:1] and ys.shape[1] == 1 else output
        wanted = ys if given.ndim == 2 else ys[-1]  # of the last step alone
        if given.shape != wanted.shape:
            text = f"it gives the shape {given.shape}, expected {wanted.shape}"
            return _Difference(False, np.inf, text)
        errors = np.maximum(errors, np.abs(given - wanted).reshape(-1, len(peaks)).max(0))
    passed = bool((errors <= run.tolerance * (peaks + 1e-6 * peaks.max())).all())
    largest = float(errors.max())
    return _Difference(passed, largest, f"they differ by up to {largest:.1e}, in outputs of up to {peaks.max():.1e}")
