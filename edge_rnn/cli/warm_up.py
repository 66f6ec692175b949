"""``edge-rnn warm-up``: compile kernels ahead of time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rnn.layers import Layer
    from edge_rnn.model import Model

__all__ = ["add", "all_models"]

_EPILOG = """\
Compiled kernels are cached for this processor in the folder EDGE_RNN_CACHE_DIR, or in edge_rnn in the user's cache
folder. The exit code is 1 if a kernel was compiled and cannot be cached.

examples:
  edge-rnn warm-up wrist.safetensors
  EDGE_RNN_CACHE_DIR=/opt/edge_rnn edge-rnn warm-up --all
"""
_LOOPS = ("generate", "rollout")


def add(subparsers: Any) -> None:
    """Add ``warm-up``."""
    parser = subparsers.add_parser(
        "warm-up",
        help="compile and cache the code that models need",
        description="Compile and cache all kernels that models need, so that later starts compile nothing, and for "
        "each model a step with its sizes as constants: small networks are up to a third faster by it.",
        epilog=_EPILOG,
    )
    parser.add_argument("models", metavar="MODEL", nargs="*", help="model files, .safetensors, or hf://user/model")
    parser.add_argument("--all", action="store_true", help="compile all kernels")
    parser.set_defaults(func=partial(_warm_up, parser))


def _warm_up(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from edge_rnn.cli.shared.console import say, spell_ns, warn
    from edge_rnn.kernels.entry import object_cache, programs
    from edge_rnn.spelling import counted
    from edge_rnn.storage.model_file import load
    from edge_rnn.streams.planner import plan_of

    if not args.models and not args.all:
        parser.error("expected a MODEL or --all")
    given = {path: load(path) for path in args.models}
    models = [*given.values(), *(all_models() if args.all else [])]
    names = list(dict.fromkeys(name for model in models for name in (*plan_of(model).ops, *_loops(model))))
    names += [name for name in _LOOPS if args.all and name not in names]
    can_compile = find_spec("numba") is not None
    own = given if can_compile else {}
    loads = {name: partial(object_cache.load, name) for name in names}
    loads |= {f"step of {path}": partial(programs.make, plan_of(model).structure) for path, model in own.items()}
    width = max(map(len, loads))
    start, compiled = time.perf_counter(), set()  # names, since models of equal structure share their step
    for name, load_one in loads.items():
        loaded = load_one()
        compiled |= set() if loaded.cached else {loaded.name}
        how = "cached" if loaded.cached else "compiled"
        say(f"{name:{width}}  {how:8}  {spell_ns(loaded.seconds * 1e9)}", flush=True)
    taken = spell_ns((time.perf_counter() - start) * 1e9)
    cache = object_cache.cache_directory()
    models_too = f" and {counted(len(own), 'model')}" if own else ""
    say(f"{counted(len(names), 'kernel')}{models_too}, {len(compiled)} compiled, {taken}, in {cache.path}")
    if given and not can_compile:
        say(
            "Numba is missing, so models run by the shipped kernels, which serve any size: pip install 'edge-rnn[jit]'."
        )
    if compiled and not cache.writable:
        warn(f"what was compiled cannot be cached: {cache.reason}.")
        return 1
    return 0


def _loops(model: Model) -> tuple[str, ...]:
    """Return the compiled functions that a model needs to run on its own outputs."""
    from edge_rnn.sampling.symbols import writes

    return tuple(
        name
        for name, needed in zip(_LOOPS, (writes(model), model.input_size == model.output_size), strict=True)
        if needed
    )


def all_models() -> list[Model]:
    """Return models of one unit that together need every kernel."""
    import numpy as np

    from edge_rnn.layers import INPUT, LAYER_TYPES, Dense
    from edge_rnn.model import Model

    layers = [layer for kind in LAYER_TYPES.values() for layer in _smallest(kind)]
    twice = Dense(np.ones((1, 2), np.float32), inputs=(INPUT, INPUT))  # covers the concatenation of inputs
    return [Model([layer], input_size=1) for layer in (*layers, twice)]


def _smallest(kind: type[Layer]) -> Iterator[Layer]:
    """Yield the smallest layer of a kind, once for each combination of the usual options.

    Array shapes are found by trial, so that a new kind of layer needs no entry here.
    """
    from edge_rnn.errors import ModelError

    for values in product(*kind.usual.values()):
        options = dict(zip(kind.usual, values, strict=True))
        for build in _attempts(kind):
            try:
                layer = build(**options)
                layer.output_size([1] * max(1, len(layer.inputs)))
            except (ModelError, TypeError):
                continue
            yield layer
            break


def _attempts(kind: type[Layer]) -> Iterator[Any]:
    import numpy as np

    from edge_rnn.layers import INPUT

    gates = len(getattr(kind, "gates", "h"))
    yield partial(kind, inputs=(INPUT, INPUT))
    for count, shape in product((1, 2), ((gates, 1), (1,))):
        yield partial(kind, *[np.ones(shape, np.float32)] * count)
