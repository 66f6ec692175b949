"""``edge-rnn inspect``: show the contents of a model file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.options import add_rate_options, positive_int
from edge_rnn.errors import InputError
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from edge_rnn.layers import Layer
    from edge_rnn.model import Model

__all__ = ["add"]

_STEPS = 1_000_000
_EPILOG = """\
with --recording, on samples as for edge-rnn run, .npz with x, .npy, or texts of a grammar (.json):
  the recording is repeated with state carried over, and the state is examined after each step: its norm over time,
  units that are nearly always saturated (at 99 % of their bound or more), dead units (hardly any change). In addition,
  how far a change of one sample affects later outputs. A verdict summarizes this. Memory use does not grow with
--steps.

examples:
  edge-rnn inspect wrist.safetensors
  edge-rnn inspect wrist.safetensors --json | jq .multiply_adds
  edge-rnn inspect wrist.safetensors --recording walk.csv --steps 10000000
"""


def add(subparsers: Any) -> None:
    """Add ``inspect``."""
    parser = subparsers.add_parser(
        "inspect",
        help="show a model's layers, sizes and metadata",
        description="Show a model's layers, their inputs, shapes, parameters, multiply-adds and bytes; and with a "
        "recording, the behavior of its state over a million steps, and its memory span.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    add_rate_options(parser)
    parser.add_argument("--recording", metavar="FILE", type=Path, help="run the model on this repeatedly, see below")
    parser.add_argument("--steps", metavar="N", type=positive_int, help=f"steps to run (default: {_STEPS:,})")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=_inspect)


def _inspect(args: argparse.Namespace) -> int:
    from edge_rnn.cli.shared.console import print_json, waiting
    from edge_rnn.storage.model_file import load

    model = load(args.model)
    found = _description(model, args.model)
    if args.recording is None:
        if args.steps:
            raise InputError("--steps needs --recording, the data to run on.")
        if args.json:
            print_json(found)
        else:
            _print(model, found)
        return 0
    from edge_rnn.cli.inspect.recording import as_json, examine, show

    steps = args.steps or _STEPS
    with waiting(f"running {counted(steps, 'step')}"):
        run, felt = examine(model, args.recording, steps, any_rate=args.any_rate, resample=args.resample)
    if args.json:
        print_json({**found, "recording": as_json(str(args.recording), run, felt)})
    else:
        _print(model, found)
        show(run, felt)
    return 0


def _description(model: Model, path: str) -> dict[str, Any]:
    from edge_rnn.storage.hub import local_file
    from edge_rnn.streams.planner import plan_of

    plan = plan_of(model)
    return {
        "file": path,
        "file_bytes": local_file(path).stat().st_size,
        "name": model.name,
        "labels": list(model.labels),
        "sample_rate_hz": model.sample_rate_hz,
        "input_size": model.input_size,
        "input_names": list(model.input_names),
        "input_units": list(model.input_units),
        "output_size": model.output_size,
        "vocabulary": list(model.vocabulary),
        "parameters": model.num_parameters,
        "multiply_adds": model.multiply_adds,
        "weight_bytes": plan.weight_bytes,
        "state_bytes": plan.state_bytes,
        "operations": list(plan.operations),
        "fingerprint": model.fingerprint,
        "layers": [_layer(model, place) for place in range(len(model.layers))],
    }


def _layer(model: Model, place: int) -> dict[str, Any]:
    from edge_rnn.quantization.apply import spelled

    layer = model.layers[place]
    reads = ["input" if source < 0 else model.layers[source].name for source in model.sources[place]]
    sizes = [model.input_size if source < 0 else model.output_sizes[source] for source in model.sources[place]]
    return {
        "name": layer.name,
        "kind": layer.kind,
        "reads": reads,
        "input_sizes": sizes,
        "output_size": model.output_sizes[place],
        "options": layer.options,
        "arrays": {name: list(array.shape) for name, array in (layer.formats | layer.arrays).items()},
        "formats": {name: spelled(matrix) for name, matrix in layer.formats.items()},
        "states": {name: len(value) for name, value in layer.initial_state.items()},
        "parameters": layer.num_parameters,
        "multiply_adds": layer.multiply_adds,
    }


def _print(model: Model, found: dict[str, Any]) -> None:
    from rich.table import Table

    from edge_rnn.cli.shared.console import make_console, print_facts, print_table, spell_bytes

    console = make_console()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in (("layer", "left"), ("kind", "left"), ("reads", "left"), ("values", "left"),
                          ("arrays", "left"), ("parameters", "right"), ("multiply-adds", "right")):  # fmt: skip
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for layer, each in zip(model.layers, found["layers"], strict=True):
        table.add_row(
            each["name"],
            _kind(layer),
            " + ".join(each["reads"]),
            f"{' + '.join(map(str, each['input_sizes']))} → {each['output_size']}",
            "  ".join(_array(name, shape, each["formats"].get(name)) for name, shape in each["arrays"].items()),
            f"{each['parameters']:,}",
            f"{each['multiply_adds']:,}",
        )
    rate = model.sample_rate_hz
    facts = {
        "model": model.name or "unnamed",
        "file": f"{found['file']}, {spell_bytes(found['file_bytes'])}",
        "inputs": _inputs(model),
        "outputs": f"{model.output_size}: {', '.join(model.labels)}" if model.labels else str(model.output_size),
        **(
            {"vocabulary": f"{len(model.vocabulary)}: {' '.join(map(repr, model.vocabulary))}"}
            if model.vocabulary
            else {}
        ),
        "sample rate": f"{rate:g} Hz" if rate else "not set",
        "parameters": f"{model.num_parameters:,}",
        "multiply-adds": f"{model.multiply_adds:,} per step"
        + (f", {model.multiply_adds * rate:,.0f} per second" if rate else ""),
        "in memory": f"{spell_bytes(found['weight_bytes'])} of packed weights, {spell_bytes(found['state_bytes'])} of "
        f"state per stream",
        "state": ", ".join(f"{name} {len(value)}" for name, value in model.initial_state.items()) or "none",
        "fingerprint": model.fingerprint,
    }
    print_facts(console, facts)
    console.print()
    print_table(console, table)


def _array(name: str, shape: list[int], format_: str | None) -> str:
    """``weight_hh 48×16 int8``."""
    return " ".join([name, "×".join(map(str, shape)), *([format_] if format_ else [])])


def _kind(layer: Layer) -> str:
    """Return the kind with its distinguishing options: ``GRU, reset_after``, ``Dense, softmax``."""
    options = [f"{name}" if value is True else f"{name}={value}" for name, value in layer.options.items()]
    return ", ".join([layer.kind, *(option.removeprefix("activation=") for option in options)])


def _inputs(model: Model) -> str:
    names = model.input_names or model.input_units
    if not names:
        return str(model.input_size)
    units = model.input_units if model.input_names else ()
    spelled = [f"{name} ({unit})" for name, unit in zip(names, units, strict=True)] if units else list(names)
    return f"{model.input_size}: {', '.join(spelled)}"
