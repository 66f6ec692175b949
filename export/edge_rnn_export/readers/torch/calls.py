"""Find arguments that a module's ``forward`` takes: samples in some layout, and states."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_rnn.errors import InputError, InputTypeError
from edge_rnn_export.readers.torch.traced import in_use

__all__ = ["Call", "Leaf", "calls_of", "given_call", "narrow", "ran", "runs", "tensors_of"]

# Lengths to try, more than two: a loop's first steps may be simplified.
_LONG, _SHORT = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37), (4, 3, 6, 8, 9, 10, 12, 14, 15, 16)
_MAX_STATES = 4
_MAX_TRIES = 400


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor among the arguments.

    Parameters
    ----------
    shape
        Lengths; ``"a"`` and ``"b"`` are open.
    symbols
        Number of symbols if it holds these; 0 for floating point.
    """

    shape: tuple[int | str, ...]
    symbols: int = 0

    @property
    def is_open(self) -> bool:
        """True if an axis is open."""
        return any(isinstance(length, str) for length in self.shape)

    def sized(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Shape with these open lengths."""
        return tuple(sizes[length] if isinstance(length, str) else length for length in self.shape)


@dataclass(frozen=True, slots=True)
class Call:
    """Way to call forward: arguments as a tree of leaves, tuples and None; the first one holds the samples.

    Parameters
    ----------
    sizes
        Two sets of open lengths; one if the module runs with these alone.
    """

    args: tuple[Any, ...]
    sizes: tuple[Mapping[str, int], ...]

    @property
    def samples(self) -> Leaf:
        """The samples."""
        found: Leaf = self.args[0]
        return found

    @property
    def states(self) -> list[Leaf]:
        """Tensors other than the samples, in order."""
        return list(_leaves(self.args[1:]))

    def made(self, torch: Any, sizes: Mapping[str, int]) -> list[Any]:
        """Arguments with random numbers."""
        rng = np.random.default_rng(0)
        return [_made(torch, each, sizes, rng) for each in self.args]


def _leaves(tree: Any) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
    elif isinstance(tree, tuple):
        for each in tree:
            yield from _leaves(each)


def _made(torch: Any, tree: Any, sizes: Mapping[str, int], rng: np.random.Generator) -> Any:
    if isinstance(tree, tuple):
        return tuple(_made(torch, each, sizes, rng) for each in tree)
    if not isinstance(tree, Leaf):
        return tree
    shape = tree.sized(sizes)
    if tree.symbols:
        return torch.from_numpy(rng.integers(0, tree.symbols, shape))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def tensors_of(torch: Any, given: Any) -> list[Any]:
    """Tensors in what forward returns, in order."""
    return [each for each in torch.utils._pytree.tree_leaves(given) if isinstance(each, torch.Tensor)]


def ran(torch: Any, module: Any, args: Sequence[Any]) -> Any:
    """Result of a fresh copy of the module; forward may keep states in it."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fresh = in_use(module)
        for each in fresh.modules():
            if isinstance(each, torch.nn.RNNCellBase):
                each.register_forward_pre_hook(_check_axes)
        return fresh(*args)


def _check_axes(_: Any, given: tuple[Any, ...]) -> None:
    """Refuse states of a cell with more axes than its input: PyTorch does not check these, and crashes."""
    x, *states = given
    flat = [each for state in states if state is not None for each in (state if isinstance(state, tuple) else (state,))]
    if any(each.dim() != x.dim() for each in flat):
        raise ValueError("a cell got an input and states of different numbers of axes")


def runs(torch: Any, module: Any, call: Call, sizes: Mapping[str, int]) -> bool:
    """True if forward runs with these lengths."""
    return not _failure(torch, module, call, sizes)


def narrow(torch: Any, module: Any, call: Call) -> list[Call]:
    """Return the same call with a batch of one, for both axes that may be that of the batch."""
    found = []
    for name in ("b", "a") if {"a", "b"} <= {*call.samples.shape} else ():
        sizes = tuple({**one, name: 1} for one in call.sizes)
        if sizes != call.sizes and all(runs(torch, module, call, one) for one in sizes):
            found.append(replace(call, sizes=sizes))
    return found


def given_call(torch: Any, module: Any, example: Any) -> Call:
    """Call with an example that the user gives.

    Raises
    ------
    InputError
        forward does not run with it.
    InputTypeError
        It is not an array or a tuple of arrays.
    """
    args = tuple(example) if isinstance(example, tuple | list) else (example,)
    tree = tuple(_as_leaf(torch, each) for each in args)
    if not tree or not isinstance(tree[0], Leaf):
        raise InputTypeError("from_torch example got no samples; expected an array, or a tuple with samples first.")
    call = Call(tree, ({},))
    message = _failure(torch, module, call, {})
    if message:
        raise InputError(
            f"from_torch could not run {type(module).__name__}.forward on arguments like those of example= "
            f"({message}); expected all that it needs: samples, or a tuple of samples and states."
        )
    return call


def _as_leaf(torch: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple | list):
        return tuple(_as_leaf(torch, each) for each in value)
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise InputTypeError(
            f"from_torch example got {type(value).__name__}, expected an array or a tensor, or a tuple of these."
        ) from None
    symbols = 0 if tensor.is_floating_point() else int(tensor.max()) + 1
    return Leaf(tuple(int(length) for length in tensor.shape), symbols)


def calls_of(torch: Any, module: Any) -> list[Call]:
    """Ways to call forward that run, at most one for each number of axes of the samples; the most likely one first.

    Raises
    ------
    InputError
        None runs; or samples of several sizes do.
    """
    said = ""
    found: list[Call] = []
    layouts = list(_layouts(torch, module))
    for layout, ones in [*itertools.product(layouts, [False]), *itertools.product(layouts, [True])]:
        if ones and found:
            break
        sized: list[Call] = []
        for leaf in layout:
            call, message = _with_states(torch, module, leaf, ones=ones)
            said = said or message
            if call is not None:
                sized.append(call)
        sized = [call for call in sized if 1 not in call.samples.shape] or sized
        if len(sized) > 1:
            shapes = ", ".join(str(call.samples.sized(call.sizes[0])) for call in sized[:4])
            raise InputError(
                f"from_torch: {type(module).__name__}.forward takes samples of several shapes, {shapes}; pass one in "
                f"example=, such as example=torch.zeros{sized[0].samples.sized(sized[0].sizes[0])}."
            )
        if sized and not (found and _is_turned(sized[0].samples)):
            found += sized
    if not found:
        raise InputError(
            f"from_torch could not run {type(module).__name__}.forward on random samples ({said.rstrip('.')}); pass "
            f"its arguments in example=, such as example=torch.zeros(1, 5, 3), or a tuple of all of them; check=False "
            f"takes its modules in the order of definition, unchecked."
        )
    return found


def _layouts(torch: Any, module: Any) -> Iterator[list[Leaf]]:
    """Samples by number of axes, in all sizes that the module's weights suggest."""
    sizes = _sizes(torch, module)
    if tables := [each.num_embeddings for each in module.modules() if isinstance(each, torch.nn.Embedding)]:
        for shape in (("a", "b"), ("a",), ("a", "b", 1)):
            yield [Leaf(shape, min(tables))]
    for before in (("a", "b"), ("a",), ()):
        yield [Leaf((*before, size)) for size in sizes]
    yield [Leaf(("a", size, "b")) for size in sizes]


def _is_turned(samples: Leaf) -> bool:
    """True if the features are not on the last axis, and are not symbols."""
    return not samples.symbols and isinstance(samples.shape[-1], str)


def _sizes(torch: Any, module: Any) -> list[int]:
    """Numbers of values per step that the weights suggest, in the order of definition."""
    nn, found, hidden = torch.nn, list[int](), list[int]()
    for each in module.modules():
        if isinstance(each, nn.RNNBase | nn.RNNCellBase):
            found.append(each.input_size)
            hidden.append(each.hidden_size)
        elif isinstance(each, nn.modules.conv._ConvNd):
            found.append(each.in_channels)
        elif isinstance(each, nn.Linear):
            found.append(each.in_features)
            hidden.append(each.out_features)
        else:
            found += [
                value.shape[-1]
                for value in itertools.chain(each.parameters(recurse=False), each.buffers(recurse=False))
                if value.ndim
            ]
    found += [one - other for one in found for other in hidden if one > other]  # x joined with a state
    return list(dict.fromkeys([*found, 1]))[:40]


def _with_states(torch: Any, module: Any, samples: Leaf, *, ones: bool) -> tuple[Call | None, str]:
    """Return a call with these samples, with the states that forward cannot do without; or the reason against it."""
    call, message = _tried(torch, module, Call((samples,), ()), ones=ones)
    if call is not None:
        return call, ""
    needed = _needed(module)
    if not 1 <= needed <= _MAX_STATES:
        return None, message
    call, other = _tried(torch, module, Call((samples, *[None] * needed), ()), ones=ones)
    if call is not None:
        return call, ""
    message = other or message
    for states in itertools.islice(_states(torch, module, samples, needed), _MAX_TRIES):
        call, _ = _tried(torch, module, Call((samples, *states), ()), ones=ones)
        if call is not None:
            return call, ""
    return None, message


def _needed(module: Any) -> int:
    """Number of arguments of forward without default, besides the samples."""
    try:
        accepted = list(inspect.signature(module.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        return 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is inspect.Parameter.empty for each in accepted)


def _states(torch: Any, module: Any, samples: Leaf, needed: int) -> Iterator[tuple[Any, ...]]:
    """Yield shapes of this many states, those of the recurrent modules first."""
    nn = torch.nn
    batched = len(samples.shape) > (1 if samples.symbols else 2)
    own: list[list[Leaf]] = []
    for each in module.modules():
        if isinstance(each, nn.RNNBase):
            layers = each.num_layers * (2 if each.bidirectional else 1)
            for batch in ("b", "a") if batched else (None,):
                own_batch = () if batch is None else (batch,)
                h = Leaf((layers, *own_batch, each.proj_size or each.hidden_size))
                own.append([h, Leaf((layers, *own_batch, each.hidden_size))] if each.mode == "LSTM" else [h])
        elif isinstance(each, nn.RNNCellBase):
            h = Leaf(("a", each.hidden_size))
            own.append([h, h] if isinstance(each, nn.LSTMCell) else [h])
    for start, stop in itertools.combinations(range(min(len(own), _MAX_STATES + 1) + 1), 2):
        groups = own[start:stop]
        for apart in itertools.product((True, False), repeat=len(groups)):
            args: list[Any] = []
            for group, each in zip(groups, apart, strict=True):
                args += group if each or len(group) == 1 else [tuple(group)]
            if len(args) == needed:
                yield tuple(args)
            elif needed == 1:
                yield (tuple(args),)
    sizes = list(dict.fromkeys(value.shape[0] for value in module.parameters() if value.ndim))
    lines: tuple[tuple[int | str, ...], ...] = (("a",), ("b",), (1, "a"), (1, "b"), ())
    for size in sizes:
        for line in lines:
            yield (Leaf((*line, size)),) * needed
            if needed == 1:
                yield ((Leaf((*line, size)),) * 2,)


def _tried(torch: Any, module: Any, call: Call, *, ones: bool) -> tuple[Call | None, str]:
    """Return the call with open lengths that run, or the reason why none does.

    With ``ones``, the batch has one sequence, whichever axis that is.
    """
    taken = {length for each in itertools.chain(module.parameters(), module.buffers()) for length in each.shape}
    # Lengths unlike those of weights, so that samples fit in one layout only.
    long, short = ([each for each in lengths if each not in taken][:2] for lengths in (_LONG, _SHORT))
    wide = [{"a": a, "b": b} for a, b in zip(long, short, strict=False)]
    message = ""
    single = () if _is_turned(call.samples) else (lambda one: {**one, "b": 1}, lambda one: {**one, "a": 1})
    for pick in single if ones else (lambda one: one,):
        sizes = [pick(one) for one in wide]
        message = _failure(torch, module, call, sizes[0])
        if not message:
            second = [] if _failure(torch, module, call, sizes[1]) else [sizes[1]]
            return replace(call, sizes=(sizes[0], *second)), ""
        if "b" not in call.samples.shape and "a" not in call.samples.shape:
            break
    return None, message


def _failure(torch: Any, module: Any, call: Call, sizes: Mapping[str, int]) -> str:
    """Reason why a call does not run, or empty. A state is one only if forward returns its successor."""
    args = call.made(torch, sizes)
    try:
        found = tensors_of(torch, ran(torch, module, args))
    except Exception as error:  # forward is user code: it may raise anything
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    shapes = [tuple(each.shape) for each in found]
    for state in call.states:
        if state.sized(sizes) not in shapes:
            return f"it returns no state of the shape {state.sized(sizes)}"
        shapes.remove(state.sized(sizes))
    return "" if found else "it returns no tensor"
