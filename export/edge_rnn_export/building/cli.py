"""The subcommand ``build`` of the ``edge-rnn`` command."""

from __future__ import annotations

import argparse
from typing import Any

from edge_rnn.cli.shared.console import say
from edge_rnn.spelling import counted

__all__ = ["add_build"]

_EPILOG = """\
edge-rnn devices lists the boards. The folder gets the library (an object file for a board without an operating system,
a module for wasm), a C header, an example with a Makefile, a loader for Python or JavaScript, a README and a JSON file
that describes them. The compiled code is checked first: it has no external references, writes to nothing but the
caller's state, and uses no instruction that the board lacks.

examples:
  edge-rnn build wrist.safetensors --device raspberry_pi_zero_w -o built
  edge-rnn build wrist.safetensors --device cortex_m4f -o built --name wrist
"""


def add_build(subparsers: Any) -> None:
    """Add ``build``, which compiles a model file to a library for a board."""
    parser = subparsers.add_parser(
        "build",
        help="compile a model for a board, to call it from C or plain Python",
        description="Compile a model ahead of time for a board, to a library that is called from C, or from Python "
        "without Numba and without edge_rnn.",
        epilog=_EPILOG,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    parser.add_argument("--device", metavar="NAME", required=True, help="board: raspberry_pi_zero_2w, cortex_m4f, ...")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="output folder, created if necessary")
    parser.add_argument("--name", default="", help="prefix of C names and files (default: the model's name)")
    parser.set_defaults(func=_build)


def _build(args: argparse.Namespace) -> int:
    from edge_rnn.storage.hub import named_after
    from edge_rnn.storage.model_file import load
    from edge_rnn_export.building.builder import build, identifier_of

    name = args.name or identifier_of(named_after(args.model).stem)
    built = build(load(args.model), args.device, args.output, name=name)
    meta = built.meta
    say(
        f"built        {built.folder / meta['library']}, {counted(built.files[meta['library']], 'byte')}, for "
        f"{meta['device']}"
    )
    say(f"compiled     for {meta['cpu']}, {meta['triple']}" + "".join(f", needs {word}" for word in meta["cpuinfo"]))
    say(f"memory       {counted(meta['weight_bytes'], 'byte')} of weights, {meta['state_bytes']} of state")
    say(f"other files  {', '.join(file for file in built.files if file != meta['library'])}")
    if built.note:
        say(f"missing      {built.note}")
    return 0
