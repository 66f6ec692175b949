"""``edge-rnn serve``: run a loop and show it live on a web page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.run.loop import follow, make_loop, own_rate
from edge_rnn.cli.run.options import RunOptions, add_loop_options, tell
from edge_rnn.errors import InputError

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["add"]

_OWN = ("127.0.0.1", "::1", "localhost")

_EPILOG = """\
The page shows input, output, deadlines, lateness and warnings, also on a phone. /status.json gives the same to
programs, and /events is the stream of server-sent events that the page reads. The page is read-only. By default it is
served to this machine only; to view it from another one, use ssh -L 8765:localhost:8765 BOARD. --host 0.0.0.0 serves it
to the whole network, without a password. Host names other than the machine's own are refused unless given by
--allow-host.

Results are discarded unless --sink is given. A recording is played at the model's rate. SIGTERM, SIGINT and SIGHUP save
the state and exit with code 0.

examples:
  edge-rnn serve wrist.safetensors --source 'mpu6050:1?range_g=4&si=1' --rate 50 --resample
  edge-rnn serve load.safetensors --source proc:cpu,memory --rate 1 --sink csv:load.csv --snapshot load.state
"""


def add(subparsers: Any) -> None:
    """Add ``serve``."""
    parser = subparsers.add_parser(
        "serve",
        help="run a model on a sensor, and show it on a local web page",
        description="Run a model as a loop, as edge-rnn run --source does, and show it on a small web page.",
        epilog=_EPILOG,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8765, help="0 for any free port (default: 8765)")
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="additional host name of this machine"
    )
    parser.add_argument("--on-bad", choices=("raise", "skip", "hold"), default="skip", help="as for run")
    parser.add_argument("--on-nonfinite", choices=("raise", "hold", "skip"), default="hold", help="as for run")
    add_loop_options(parser)
    parser.set_defaults(func=_serve)


def _serve(args: argparse.Namespace) -> int:
    from edge_rnn.live import serving
    from edge_rnn.loop import open_source
    from edge_rnn.storage.model_file import load

    options = RunOptions.of(args)
    if not options.source:
        raise InputError("serve needs --source; edge-rnn serve --sources lists the forms.")
    model = load(args.model)
    source = open_source(options.source, model)
    rate_hz = options.rate or own_rate(source, model) or _played_rate(source, model)
    loop = make_loop(model, options, source, rate_hz, "null:")
    page = serving(loop, args.host, args.port, names=args.allow_host)
    return follow(loop, lambda: _told(page, args.host))


def _played_rate(source: Any, model: Model) -> float | None:
    """Return the playback rate of a recording, which would otherwise end at once; None for a live source."""
    if callable(source) or getattr(source, "blocks", True) or getattr(source, "live", True):
        return None
    rate_hz: float | None = getattr(source, "sample_rate_hz", None) or model.sample_rate_hz
    if rate_hz is None:
        raise InputError("neither the recording nor the model has a sample rate; give --rate.")
    return rate_hz


@contextmanager
def _told(page: AbstractContextManager[str], host: str) -> Iterator[None]:
    """Serve the page, and print its URL."""
    with page as url:
        open_to_all = "" if host in _OWN else " Anyone who can reach this machine can view it; there is no password."
        tell(f"{url} shows the loop.{open_to_all}")
        yield


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected 0 to 65535")
    return int(text)
