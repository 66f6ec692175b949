"""``edge-rnn devices``: list the known boards, and show one."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from edge_rnn.boards.profile import Device

__all__ = ["add"]

_EPILOG = """\
examples:
  edge-rnn devices
  edge-rnn devices show raspberry_pi_zero_2w
  edge-rnn devices show pico_2 --json | jq .figures.clock_hz
"""
_OUTPUTS = {"shared": "shared library", "static": "static library, no system", "wasm": "WebAssembly module"}
_WIDE = 110
"""Columns of a terminal in which the list has titles."""


def add(subparsers: Any) -> None:
    """Add ``devices``."""
    parser = subparsers.add_parser(
        "devices",
        help="list the boards that edge_rnn knows",
        description="List the known boards, with this machine marked, or show one board in full: its compile target, "
        "and each figure with its source.",
        epilog=_EPILOG,
    )
    parser.add_argument("action", metavar="show NAME", nargs="*", help="show one board (default: list all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=partial(_devices, parser))


def _devices(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from edge_rnn import boards

    if not args.action:
        _list(args.json)
        return 0
    if len(args.action) != 2 or args.action[0] != "show":
        parser.error(f"got {' '.join(args.action)!r}, expected nothing or show NAME")
    _show(boards.load(args.action[1]), args.json)
    return 0


def _list(as_json: bool) -> None:
    from edge_rnn import boards
    from edge_rnn.cli.shared.console import make_console, print_json, print_table
    from edge_rnn.shipped import data_folder

    known = [boards.load(name) for name in boards.names()]
    here = boards.here()
    if as_json:
        print_json({"here": here.name if here else None, "devices": [_as_json(each) for each in known]})
        return
    from rich.table import Table

    console = make_console()
    columns = {"device": "left", "": "left", "processor": "left", "clock": "right", "RAM": "right", "runs as": "left"}
    if console.width < _WIDE:
        del columns[""]  # the title, which `show` has too
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in columns.items():
        whole = name == "device"  # which is copied into commands
        table.add_column(name, justify=justify, overflow="fold", no_wrap=whole)  # type: ignore[arg-type]
    for each in known:
        cells = {
            "device": each.name + (" *" if here and each.name == here.name else ""),
            "": each.title,
            "processor": each.cpu,
            "clock": _spell_hz(each.clock_hz),
            "RAM": _spell_size(each.ram_bytes),
            "runs as": _runs_as(each),
        }
        table.add_row(*(cells[name] for name in columns))
    print_table(console, table)
    here_text = f"* this machine: {here.title}" if here else "This machine is not in the list."
    console.print(f"\n{here_text}. edge-rnn devices show NAME shows details; board files are in {data_folder()}.")


def _show(each: Device, as_json: bool) -> None:
    from edge_rnn.cli.shared.console import make_console, print_facts, print_json, print_table
    from edge_rnn.shipped import data_folder

    if as_json:
        print_json(_as_json(each))
        return
    from rich.table import Table

    target, page = each.target, data_folder() / each.name / "README.md"
    console = make_console()
    facts = {
        "device": each.name,
        "board": each.title,
        "compiled for": f"{each.triple}, {each.cpu}" + (f", {each.features}" if each.features else ""),
        "calls": f"{each.float_abi} float calling convention" + (f", {each.abi}" if each.abi else ""),
        "addresses": f"{each.bits} bit",
        "double": "in hardware" if each.has_double else "in software: not used in compiled code",
        "kernels": f"{target.register_bits}-bit registers, blocks of {counted(target.block, 'vector')} of 8 floats",
        "needs": ", ".join(each.hwcaps) + " in /proc/cpuinfo" if each.hwcaps else "no feature beyond its architecture",
        "known by": " or ".join(f"{start!r}" for start in each.models) + " in /proc/device-tree/model"
        if each.models
        else "its processor architecture"
        if each.output == "shared"
        else "its name only",
        "Python": f"{each.python} or later" if each.python else "no version supported by edge_rnn",
        "Numba": "wheel on PyPI" if each.numba else "no wheel",
        "runs as": _runs_as(each),
        "built as": _OUTPUTS[each.output],
        "pipeline model": each.machine_model or "none in LLVM",
        "page": str(page) if page.is_file() else "none",
    }
    print_facts(console, facts)
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in (("figure", "left"), ("value", "right"), ("known", "left"), ("source", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name, figure in each.figures.items():
        table.add_row(name, f"{figure.value:,}", figure.kind, figure.source)
    print_table(console, table)


def _runs_as(each: Device) -> str:
    """Return ``Numba`` if the package itself runs there, ``library`` if ``edge-rnn build`` can target it."""
    return "Numba or library" if each.numba else "library"


def _as_json(each: Device) -> dict[str, Any]:
    from dataclasses import asdict, fields

    plain = {field.name: getattr(each, field.name) for field in fields(each) if field.name not in each.figures}
    del plain["figures"]
    return plain | {"figures": {name: asdict(figure) for name, figure in each.figures.items()}}


def _spell_hz(hertz: float) -> str:
    return f"{hertz / 1e9:g} GHz" if hertz >= 1e9 else f"{hertz / 1e6:g} MHz"


def _spell_size(count: int) -> str:
    for unit, size in (("GB", 2**30), ("MB", 2**20)):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count / 2**10:g} KB"
