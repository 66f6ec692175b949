"""The command ``edge-rnn``: one subcommand, one file or folder.

Modules here import NumPy, rich and the rest of the package inside functions, so that ``--help`` and a mistyped option
answer at once, also on a small computer.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from edge_rnn.cli.shared.console import warn
from edge_rnn.cli.shared.parser import DEBUG_VARIABLE, Parser
from edge_rnn.errors import EdgeRnnError, UnsupportedError, reason_of
from edge_rnn.printable import printable

__all__ = ["main"]

_COMMANDS = (
    "demo",
    "inspect",
    "run",
    "serve",
    "setup",
    "generate",
    "shrink",
    "compare",
    "bench",
    "warm-up",
    "devices",
    "fit",
    "doctor",
)
_MODULES = {"serve": "run.serve", "setup": "run.setup"}
_EPILOG = """\
examples:
  edge-rnn demo                                 a network follows a recording from a smart watch
  edge-rnn import wrist.pt -o wrist.safetensors --labels stand,walk,run
  sensor | edge-rnn run wrist.safetensors       one result for each sample, at once

edge-rnn COMMAND --help tells more. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``edge-rnn`` with the given arguments, by default those of the process.

    Returns
    -------
    The exit code: 0 done, 1 failed (one sentence on stderr says why), 2 wrong usage.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a test's or an embedder's own
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without µ gets a ?
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # from argparse, which has said why
        return stop.code if isinstance(stop.code, int) else 1
    except BrokenPipeError:
        _leave_stdout()  # whoever read our output wants no more of it
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted.", debug=False)
    except EdgeRnnError as error:
        return _fail(str(error), debug)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # of a file of ours it has the name
        where = f"{error.filename}: " if error.filename else "stdout cannot be written: " if full else ""
        return _fail(f"{where}{reason_of(error)}.", debug)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0] == "rich"  # the library does without it
        remedy = "this command prints with rich, which is not installed; run pip install rich."
        return _fail(remedy if missing else _unexpected(error), debug)
    except Exception as error:
        return _fail(_unexpected(error), debug)


def _unexpected(error: Exception) -> str:
    return f"unexpected {type(error).__name__}: {error} (a bug; --debug shows where)."


def _dispatch(arguments: list[str]) -> int:
    parser = Parser(
        prog="edge-rnn",
        description="Recurrent networks on small computers, one sample at a time.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edge-rnn {_version()}")
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    for name in _COMMANDS:
        import_module(f"edge_rnn.cli.{_MODULES.get(name, name.replace('-', '_'))}").add(subparsers)
    if command not in _COMMANDS:  # looking for what is installed beside us takes longer than all else here
        from edge_rnn import plugins

        missing = plugins.add_commands(subparsers)
        if command in missing:
            raise UnsupportedError(missing[command])
    args, left = parser.parse_known_args(arguments)
    if args.command == "run" and args.file == "-" and len(left) == 1 and not left[0].startswith("-"):
        args.file, left = left[0], []  # argparse takes an optional FILE only where it follows MODEL at once
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if not args.command:
        parser.print_help(sys.stderr)
        return 2
    return int(args.func(args))


def _version() -> str:
    import edge_rnn

    return edge_rnn.__version__


def _fail(message: str, debug: bool) -> int:
    _flush()  # results come before the reason why there are no more
    with contextlib.suppress(OSError, ValueError):  # a terminal that has been closed
        if debug:
            sys.stderr.write(printable(traceback.format_exc(), keep="\n"))
        warn(message)
    return 1


def _flush() -> None:
    """Write what stdout still holds."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _leave_stdout()  # else the interpreter tries once more when it ends, and complains


def _open_closed_streams() -> None:
    """Give a process that was started with a standard stream closed (``>&-``) one that leads nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _leave_stdout() -> None:
    """Point stdout to nowhere, so that the interpreter does not complain when it closes it."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
