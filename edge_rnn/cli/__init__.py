"""Command ``edge-rnn``: each subcommand is one file or folder.

Modules here import NumPy, rich and the rest of the package inside functions, so that ``--help`` and usage errors are
instant, even on a small computer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module

from edge_rnn.cli.shared.console import warn
from edge_rnn.cli.shared.parser import DEBUG_VARIABLE, Parser
from edge_rnn.errors import EdgeRnnError, UnsupportedError, reason_of
from edge_rnn.printable import printable

__all__ = ["main", "make_parser"]

_COMMANDS = (
    "demo",
    "inspect",
    "card",
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
  edge-rnn demo                                 run a network on a recording from a smart watch
  edge-rnn import wrist.pt -o wrist.safetensors --labels stand,walk,run
  sensor | edge-rnn run wrist.safetensors       print one result per sample, unbuffered

Run edge-rnn COMMAND --help for details. Exit codes: 0 success, 1 failure, 2 usage error.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``edge-rnn`` with the given arguments, by default those of the process.

    Returns
    -------
    The exit code: 0 success, 1 failure (stderr has the reason in one sentence), 2 usage error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a replaced stdout, as in tests or embedding
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # print ? for µ if the encoding lacks it
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # raised by argparse, which has printed the reason
        return stop.code if isinstance(stop.code, int) else 1
    except BrokenPipeError:
        _leave_stdout()  # the reader has closed the pipe
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted.", debug=False)
    except EdgeRnnError as error:
        return _fail(str(error), debug)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # errors on our own files carry a filename
        where = f"{error.filename}: " if error.filename else "stdout cannot be written: " if full else ""
        return _fail(f"{where}{reason_of(error)}.", debug)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0] == "rich"  # an optional dependency of the library
        remedy = "this command prints with rich, which is not installed: pip install 'edge-rnn[cli]'."
        return _fail(remedy if missing else _unexpected(error), debug)
    except Exception as error:
        return _fail(_unexpected(error), debug)


def _unexpected(error: Exception) -> str:
    return f"unexpected {type(error).__name__}: {error} (this is a bug; --debug shows the traceback)."


def make_parser(command: str = "") -> tuple[Parser, Mapping[str, str]]:
    """Create the parser of ``edge-rnn``.

    Parameters
    ----------
    command
        Subcommand to parse. Installed plug-ins are searched, which is the slowest part, only if it is none of
        edge_rnn's own.

    Returns
    -------
    The parser, and by subcommand the reason why a plug-in cannot provide it.
    """
    parser = Parser(
        prog="edge-rnn",
        description="Streaming inference of recurrent networks on small computers.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"edge-rnn {_version()}")
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    for name in _COMMANDS:
        import_module(f"edge_rnn.cli.{_MODULES.get(name, name.replace('-', '_'))}").add(subparsers)
    if command in _COMMANDS:
        return parser, {}
    from edge_rnn import plugins

    return parser, plugins.add_commands(subparsers)


def _dispatch(arguments: list[str]) -> int:
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    parser, missing = make_parser(command)
    if command in missing:
        raise UnsupportedError(missing[command])
    args, left = parser.parse_known_args(arguments)
    if args.command == "run" and args.file == "-" and len(left) == 1 and not left[0].startswith("-"):
        args.file, left = left[0], []  # argparse accepts an optional FILE only directly after MODEL
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
    _flush()  # print pending results before the error
    with contextlib.suppress(OSError, ValueError):  # the terminal may be closed
        if debug:
            sys.stderr.write(printable(traceback.format_exc(), keep="\n"))
        warn(message)
    return 1


def _flush() -> None:
    """Write buffered stdout data."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _leave_stdout()  # otherwise the interpreter retries at exit, and prints an error


def _open_closed_streams() -> None:
    """Open the null device for any standard stream that was closed at start (``>&-``)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _leave_stdout() -> None:
    """Redirect stdout to the null device, so that the interpreter reports no error when closing it."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
