"""``edge-rnn setup``: a systemd service that runs a model as a sensor loop, written for this machine."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Any

from edge_rnn.cli.run_loop import add_loop_options
from edge_rnn.cli.unit_file import Service, unit_text
from edge_rnn.errors import FileError, InputError

__all__ = ["add"]

_EPILOG = """\
The service is restarted when it fails, and when it has not been heard of for 30 s; it may use half of the memory
(512 MiB at most), and write to nothing but its state, its status and the folder of its sink. Of several processors it
gets the last. Its state is in /var/lib/edge-rnn-NAME, its status in /run/edge-rnn-NAME/status.json.

examples:
  edge-rnn setup wrist.safetensors --source mpu6050:1 --rate 50 --sink mqtt://broker/wrist -o edge-rnn-wrist.service
  sudo cp edge-rnn-wrist.service /etc/systemd/system/ && sudo systemctl enable --now edge-rnn-wrist
"""
_MOST_BYTES = 512 << 20
_GROUPS = {"serial": "dialout", "mpu6050": "i2c", "mic": "audio"}


def add(subparsers: Any) -> None:
    """Add ``setup``."""
    parser = subparsers.add_parser(
        "setup",
        help="write a systemd service that runs a model on this machine",
        description="Write a systemd service for this machine that does what edge-rnn run does with the same options.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="where to write it (default: stdout)")
    parser.add_argument("--name", help="of the service: edge-rnn-NAME (default: the model's file)")
    parser.add_argument("--user", help="who it runs as (default: you)")
    parser.add_argument("--on-bad", choices=("raise", "skip", "hold"), default="skip", help="as for run")
    parser.add_argument("--on-nonfinite", choices=("raise", "hold", "skip"), default="hold", help="as for run")
    add_loop_options(parser)
    parser.set_defaults(func=_setup)


def _setup(args: argparse.Namespace) -> int:
    from edge_rnn.atomic import write
    from edge_rnn.files import load
    from edge_rnn.loop import open_source

    if not args.source or not args.sink:
        raise InputError("setup takes --source and --sink, as edge-rnn run does; a service has no stdin.")
    model = load(args.model)
    source = _absolute(args.source)
    if not source.startswith(("csv:-", "jsonl:-")):
        open_source(source, model)  # says now what is wrong with it
    text = unit_text(_service(args, model, source, _absolute(args.sink)))
    if args.output is None:
        print(text, end="")
        return 0
    write(args.output, text.encode())
    name = args.output.name
    print(
        f"edge-rnn: {args.output} is written; sudo cp {args.output} /etc/systemd/system/ && "
        f"sudo systemctl enable --now {name.removesuffix('.service')}",
        file=sys.stderr,
    )
    return 0


def _service(args: argparse.Namespace, model: Any, source: str, sink: str) -> Service:
    path = Path(args.model).resolve()
    name = f"edge-rnn-{args.name or path.stem}"
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise InputError(f"setup got the name {name!r}, expected letters, digits, - and _; give --name.")
    options = {
        "--source": source,
        "--sink": sink,
        "--rate": args.rate,
        "--policy": args.policy,
        "--on-bad": args.on_bad,
        "--on-nonfinite": args.on_nonfinite,
        "--every": args.every,
        "--reset-after": args.reset_after,
        "--stall-after": args.stall_after,
        "--priority": args.priority,
        "--snapshot": args.snapshot or f"/var/lib/{name}/state",
        "--status": args.status or f"/run/{name}/status.json",
    }
    words = [sys.executable, "-m", "edge_rnn", "run", str(path)]
    for option, value in options.items():
        if value is not None:
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    words += ["--lock-memory"] * args.lock_memory
    scheme = source.partition(":")[0]
    return Service(
        name=name,
        model=model.name or path.name,
        command=tuple(words),
        user=args.user or os.environ.get("SUDO_USER") or getpass.getuser(),
        group=_existing(_GROUPS.get(scheme, "")),
        cpus=args.cpus or _last_cpu(),
        memory_bytes=min(_memory_bytes() // 2, _MOST_BYTES),
        priority=args.priority,
        locks_memory=args.lock_memory,
        network=any(each.startswith("mqtt") for each in (source, sink)),
        writes=tuple(str(Path(each).resolve().parent) for each in _written(args, sink)),
    )


def _absolute(url: str) -> str:
    """The same with the full path of a file: a service starts elsewhere."""
    scheme, _, rest = url.partition(":")
    place, mark, query = rest.partition("?")
    if scheme in ("csv", "jsonl", "wav") and place and place != "-":
        return f"{scheme}:{Path(place).absolute()}{mark}{query}"
    return url


def _written(args: argparse.Namespace, sink: str) -> list[str]:
    """Files that are written beside the service's own folders."""
    scheme, _, rest = sink.partition(":")
    place = rest.partition("?")[0]
    files = [place] if scheme in ("csv", "jsonl") and place != "-" else []
    return [*files, *(each for each in (args.snapshot, args.status) if each)]


def _existing(group: str) -> str:
    import grp

    return group if group in {each.gr_name for each in grp.getgrall()} else ""


def _last_cpu() -> tuple[int, ...]:
    usable = sorted(os.sched_getaffinity(0))
    return (usable[-1],) if len(usable) > 1 else ()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        raise FileError("this system does not tell how much memory it has; setup is for Linux.") from None
