"""``edge-rnn inspect``: show the contents of a model file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_rnn.cli.shared.options import add_rate_options, positive_int
from edge_rnn.errors import InputError
from edge_rnn.spelling import counted

__all__ = ["add"]

_STEPS = 1_000_000
_WIDE = 110
"""Columns of a terminal from which on the arrays of a layer are next to its sizes, not below all of them."""
_LINES = 40
_EPILOG = """\
with --recording, on samples as for edge-rnn run, .npz with x, .npy, or texts of a grammar (.json):
  the recording is repeated with state carried over, and the state is examined after each step: its norm over time,
  units that are nearly always saturated (at 99 % of their bound or more), dead units (hardly any change). In addition,
  how far a change of one sample affects later outputs. A verdict summarizes this. Memory use does not grow
  with --steps.

examples:
  edge-rnn inspect wrist.safetensors
  edge-rnn inspect wrist.safetensors --page wrist.html
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
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    add_rate_options(parser)
    parser.add_argument("--recording", metavar="FILE", type=Path, help="recording to repeat, see below")
    parser.add_argument("--steps", metavar="N", type=positive_int, help=f"steps to run (default: {_STEPS:,})")
    parser.add_argument("--page", metavar="FILE", help="also write an HTML page with a drawing of the network, .html")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=_inspect)


def _inspect(args: argparse.Namespace) -> int:
    from edge_rnn.cards.description import describe
    from edge_rnn.cli.shared.console import print_json, waiting
    from edge_rnn.storage.hub import local_file
    from edge_rnn.storage.model_file import load_local

    if args.page:
        from edge_rnn.cli.report.page import check_target

        check_target(args.page, "--page", has_plots=False)
    file = local_file(args.model)
    model = load_local(file, args.model)
    found = {"file": args.model, "file_bytes": file.stat().st_size, **describe(model)}
    if args.recording is None:
        if args.steps:
            raise InputError("--steps needs --recording, the data to run on.")
        if args.page:
            from edge_rnn.cli.inspect.page import write_page

            write_page(args.page, found)
        if args.json:
            print_json(found)
        else:
            _print(found)
        return 0
    from edge_rnn.cli.inspect.recording import as_json, examine, show, verdict

    steps = args.steps or _STEPS
    with waiting(f"running {counted(steps, 'step')}"):
        run, felt = examine(model, args.recording, steps, any_rate=args.any_rate, resample=args.resample)
    if args.page:
        from edge_rnn.cli.inspect.page import write_page

        write_page(args.page, found, verdict(run, felt), str(args.recording), counted(run.steps, "step"))
    if args.json:
        print_json({**found, "recording": as_json(str(args.recording), run, felt)})
    else:
        _print(found)
        show(run, felt)
    return 0


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    from edge_rnn.cards.description import COLUMNS, facts, layer_rows
    from edge_rnn.cli.shared.console import make_console, print_facts, print_table, spell_bytes

    console = make_console()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    rows, arrays = layer_rows(found), list(COLUMNS).index("arrays")
    shown = [place for place in range(len(COLUMNS)) if place != arrays or console.width >= _WIDE]
    for name, justify in (list(COLUMNS.items())[place] for place in shown):
        table.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(row[place] for place in shown))
    about = {"model": found["name"] or "unnamed", "file": f"{found['file']}, {spell_bytes(found['file_bytes'])}"}
    print_facts(console, about | facts(found))
    console.print()
    print_table(console, table)
    if arrays not in shown:
        console.print()
        print_facts(console, {row[0]: row[arrays] for row in rows if row[arrays]})
    for layer in found["layers"]:
        if "equation" in layer:
            prime = " (' marks the new value of a state)" if layer["states"] else ""
            _print_equation(console, f"{layer['name']} computes{prime}", layer["equation"]["text"].splitlines())


def _print_equation(console: Any, title: str, lines: list[str]) -> None:
    """Print what a cell computes, as far as one reads it in a terminal."""
    more = len(lines) - _LINES
    console.print(f"\n{title}", markup=False, highlight=False)
    for line in lines[:_LINES]:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if more > 0:
        console.print(f"  and {counted(more, 'line')} more, which --json prints", markup=False, highlight=False)
