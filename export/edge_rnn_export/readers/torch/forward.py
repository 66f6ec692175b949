"""Run a module's ``forward`` and compare it with the layers read from the module."""

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
from edge_rnn.errors import InputError, ModelError, UnsupportedError
from edge_rnn.layers import Dense, Embedding, Layer
from edge_rnn.model import Model
from edge_rnn.typing import F64
from edge_rnn_export.readers.torch.state import BY_ONNX, Part

__all__ = ["check_forward"]


_STEPS = 16
_SCALES = (1.0, 1.0, 3.0, 0.1)  # share of the samples of each sequence: a relu may be silent on one of them

_DOUBLE_TOLERANCE = 1e-7
"""Largest difference in float64, relative to a channel's peak: rounding (1e-16), amplified over 16 steps."""

_SINGLE_TOLERANCE = 1e-3
"""The same in float32, for a forward that creates float32 tensors itself and cannot run in another dtype."""


def check_forward(
    torch: Any, module: Any, layers: Sequence[Layer], parts: Sequence[Part], activations: Mapping[str, str]
) -> list[Layer]:
    """Check that ``module.forward`` and the layers have the same outputs, on random sequences from a zero state.

    Where forward ends in log_softmax, the layers returned end in softmax; otherwise they are those given.

    Parameters
    ----------
    module
        An ``nn.Module``; copies of it are run, in eval mode.
    layers
        Layers read from it, without any that were put in front afterwards.
    parts, activations
        As :func:`~edge_rnn_export.readers.torch.state.layers_of` took them.

    Raises
    ------
    UnsupportedError
        The outputs differ.
    InputError
        ``forward`` cannot be called.
    """
    if type(module).forward is torch.nn.Module.forward and "forward" not in vars(module):
        return list(layers)  # a ModuleList, or a class that only holds its modules
    rng = np.random.default_rng(0)
    title = f"{type(module).__name__}.forward"
    model = _chained(layers, title)
    if isinstance(layers[0], Embedding):
        sequences = [rng.integers(0, len(layers[0].weight), _STEPS) for _ in _SCALES]
    else:
        drawn = [scale * rng.standard_normal((_STEPS, model.input_size)) for scale in _SCALES]
        sequences = [xs.astype(np.float32) for xs in drawn]
    expected = _references(model, sequences)
    runs: list[_Run] = []
    said = ""
    for dtype, tolerance in ((torch.float64, _DOUBLE_TOLERANCE), (torch.float32, _SINGLE_TOLERANCE)):
        for call in _calls(torch, module):
            try:
                run = _Run([_forward(torch, module, dtype, call, xs) for xs in sequences], tolerance)
            except Exception as error:  # forward is user code: it may raise anything
                said = said or f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
                continue
            if _difference(run, expected).passed:
                return list(layers)
            runs.append(run)
        if runs:
            break
    if not runs:
        if all(_is_plain(torch.nn, each) for each in module.modules()):
            return list(layers)  # a Sequential is used in order, even if PyTorch cannot run it: an RNN returns a tuple
        raise InputError(
            f"from_torch could not run {title} on {_STEPS} random samples to compare it with the layers that were "
            f"found ({said.rstrip('.')}); from_torch(..., check=False) accepts these unchecked, in the order of "
            f"definition or of modules=."
        )
    found = _without_log(model, parts, runs, sequences)
    if found is not None:
        return list(found.layers)
    remedy = "Pass modules= in order of use, activations= where forward has some"
    for name, other in _other_activations(model, parts):
        if _least(runs, _references(other, sequences)).passed:
            activation = other.layers[-1].options["activation"]
            if activation == "none" and name in activations:
                return list(layers)  # the loss function includes it, so forward does not
            remedy = f"Pass activations={{{name!r}: {activation!r}}}"
            break
    raise UnsupportedError(
        f"from_torch: {title} does not compute the same as {model!r}: on {_STEPS} random samples "
        f"{_least(runs, expected).text}. {remedy}, or build the Model by hand; {BY_ONNX}; check=False takes the "
        f"layers as they are."
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """Outputs of forward for each sequence, ``(time, O)`` or ``(O,)`` for the last step only."""

    outputs: list[F64]
    tolerance: float

    def exponential(self) -> _Run:
        """Return the run with the exponential of its outputs."""
        with np.errstate(over="ignore"):
            return replace(self, outputs=[np.exp(output) for output in self.outputs])


@dataclass(frozen=True, slots=True)
class _Difference:
    passed: bool
    largest: float
    text: str


def _chained(layers: Sequence[Layer], title: str) -> Model:
    try:
        return Model(layers)
    except ModelError as error:
        raise ModelError(
            f"{error} Pass modules= in order of use, if {title} applies one after the other; {BY_ONNX}."
        ) from None


def _without_log(model: Model, parts: Sequence[Part], runs: Sequence[_Run], sequences: Sequence[Any]) -> Model | None:
    """Return the model that ends in softmax and has the exponentials of forward's outputs; None if neither does."""
    for each in (model, *(other for _, other in _other_activations(model, parts))):
        last = each.layers[-1]
        softmax = isinstance(last, Dense) and last.activation == "softmax"
        if softmax and _least([run.exponential() for run in runs], _references(each, sequences)).passed:
            return each
    return None


def _is_plain(nn: Any, module: Any) -> bool:
    """True if a module is one of PyTorch's own and unmodified."""
    ours = getattr(nn, type(module).__name__, None) is type(module)
    return ours and not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _calls(torch: Any, module: Any) -> Iterator[Callable[[Any, Any], Any]]:
    """Yield ways to pass a module ``(time, I)``, the most likely ones first."""
    nn = torch.nn
    if isinstance(module, nn.RNNCellBase):
        yield _stepped
        return
    try:
        accepted = list(inspect.signature(module.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        accepted = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # PyTorch's own convention for zero states.
    nones = [None for each in accepted if each.kind in positional and each.default is inspect.Parameter.empty]
    rnns = [each for each in module.modules() if isinstance(each, nn.RNNBase)]
    batch_axes = [0, None, 1] if rnns and rnns[0].batch_first else [1, None, 0] if rnns else [None, 1, 0]
    for axis in batch_axes:
        yield partial(_at_once, torch, axis, lambda _: nones)
    if nones and rnns:
        for axis in batch_axes:
            yield partial(_at_once, torch, axis, partial(_zeros, torch, axis is not None, len(nones)))
    if any(isinstance(each, nn.RNNCellBase) for each in module.modules()):
        yield _stepped


def _at_once(torch: Any, axis: int | None, states: Callable[[Any], Sequence[Any]], run: Any, xs: Any) -> Any:
    return _output(torch, run(xs if axis is None else xs.unsqueeze(axis), *states(run)), axis)


def _zeros(torch: Any, batched: bool, count: int, run: Any) -> list[Any]:
    """Zero states for this many arguments, one state each: h and c of an LSTM as a pair if there is one argument."""
    rnn = next(each for each in run.modules() if isinstance(each, torch.nn.RNNBase))
    batch = (1,) if batched else ()
    h = rnn.weight_ih_l0.new_zeros(rnn.num_layers, *batch, rnn.proj_size or rnn.hidden_size)
    c = h.new_zeros(rnn.num_layers, *batch, rnn.hidden_size)
    states = [h, c] if rnn.mode == "LSTM" else [h]
    return [tuple(states)] if count == 1 and len(states) > 1 else states


def _stepped(run: Any, xs: Any) -> Any:
    """Run step by step, as a cell is called: it returns its state, or an output and a state."""
    state, ys = None, []
    for x in xs:
        given = run(x[None], state)
        cell_of_two = isinstance(given, tuple) and type(run).__name__ == "LSTMCell"
        y, state = (given[0], given if cell_of_two else given[1]) if isinstance(given, tuple) else (given, given)
        ys.append(y[0].numpy())
    return np.stack(ys)


def _output(torch: Any, given: Any, axis: int | None) -> Any:
    """First tensor of the result, as ``(time, O)`` or ``(O,)``."""
    while isinstance(given, tuple | list | Mapping):
        values = given.values() if isinstance(given, Mapping) else given
        given = next(each for each in values if isinstance(each, tuple | list | Mapping | torch.Tensor))
    if axis is not None and given.ndim == 3:
        given = given.squeeze(axis)
    elif given.ndim == 2 and given.shape[0] == 1:
        given = given[0]
    return given.numpy()


def _forward(torch: Any, module: Any, dtype: Any, call: Callable[[Any, Any], Any], xs: Any) -> F64:
    """Run a copy of the module once: forward may keep a state in the module."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Rounded to float32, like the layers' weights.
        fresh = copy.deepcopy(module).cpu().eval().float().to(dtype)
        given = torch.from_numpy(xs)
        output = np.asarray(call(fresh, given.to(dtype) if given.is_floating_point() else given), dtype=np.float64)
    if output.ndim not in (1, 2):
        raise ValueError(f"an output of shape {output.shape}")
    return output


def _other_activations(model: Model, parts: Sequence[Part]) -> Iterator[tuple[str, Model]]:
    """Yield models that differ in the activation of the last layer, each with the name of its module."""
    last, part = model.layers[-1], [each for each in parts if each.kind != "Identity"][-1]
    if isinstance(last, Dense) and part.kind == "Linear":
        for activation in Dense.ACTIVATIONS:
            if activation != last.activation:
                head = replace(last, activation=activation)
                yield part.path, Model([*model.layers[:-1], head])


def _references(model: Model, sequences: Sequence[Any]) -> list[F64]:
    return [reference.run(model, xs if xs.ndim > 1 else xs[:, None].astype(np.float32))[0] for xs in sequences]


def _least(runs: Sequence[_Run], expected: Sequence[F64]) -> _Difference:
    """Smallest difference among the ways to call forward."""
    return min((_difference(run, expected) for run in runs), key=lambda each: (not each.passed, each.largest))


def _difference(run: _Run, expected: Sequence[F64]) -> _Difference:
    peaks = np.max([np.abs(ys).max(0) for ys in expected], 0)
    errors = np.zeros_like(peaks)
    for output, ys in zip(run.outputs, expected, strict=True):
        given = output[:, None] if output.shape == ys.shape[:1] and ys.shape[1] == 1 else output
        wanted = ys if given.ndim == 2 else ys[-1]  # of the last step only
        if given.shape != wanted.shape:
            text = f"it returns the shape {given.shape}, expected {wanted.shape}"
            return _Difference(False, np.inf, text)
        errors = np.maximum(errors, np.abs(given - wanted).reshape(-1, len(peaks)).max(0))
    passed = bool((errors <= run.tolerance * (peaks + 1e-6 * peaks.max())).all())
    largest = float(errors.max())
    return _Difference(passed, largest, f"they differ by up to {largest:.1e}, in outputs of up to {peaks.max():.1e}")
