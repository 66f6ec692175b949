"""``edge-rnn setup``: a systemd service that runs a model as a sensor loop, written for this machine."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_rnn.cli.run.loop import add_loop_options, check_source, loop_words
from edge_rnn.cli.run.unit_file import Service, unit_text
from edge_rnn.cli.shared.console import say, warn
from edge_rnn.errors import FileError, InputError

__all__ = ["add"]

_EPILOG = """\
The service is restarted when it fails, and when it has not been heard of for 30 s; it may use half of the memory
(512 MiB at most), and write to nothing but its state, its status and the folder of its sink. Of several processors it
gets the last. Its state is in /var/lib/edge-rnn-NAME, its status in /run/edge-rnn-NAME/status.json. Paths are made
full ones. No secret stands in it: a password_file of a broker is read by systemd and handed over as a credential; user
name and password as variables go into /etc/edge-rnn/edge-rnn-NAME.env.

examples:
  edge-rnn setup wrist.safetensors --source 'mpu6050:1?si=1' --rate 50 --resample --sink mqtt://broker/wrist \\
      -o edge-rnn-wrist.service
  sudo cp edge-rnn-wrist.service /etc/systemd/system/ && sudo systemctl enable --now edge-rnn-wrist
"""
_MOST_BYTES = 512 << 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}|[0-9]{1,9}")
_FILE_OPTIONS = ("password_file", "ca", "cert", "key")
_PASSWORD_FILE = re.compile(r"(?<=[?&])password_file=([^&]*)&?")
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
    from edge_rnn.loop import open_source
    from edge_rnn.loop.urls import parse_sink
    from edge_rnn.storage.model_file import load

    if not args.source or not args.sink:
        raise InputError("setup takes --source and --sink, as edge-rnn run does; a service has no stdin.")
    model = load(args.model)
    source, sink = _absolute(args.source), _absolute(args.sink)
    if source.partition("?")[0] in ("csv:-", "jsonl:-"):
        raise InputError(f"setup got --source {args.source}, but a service has no stdin; expected another source.")
    parse_sink(sink, model)
    check_source(model, args, open_source(source, model))  # both say now what is wrong with them
    service = _service(args, model, source, sink)
    text = unit_text(service)
    for note in _notes(service):
        warn(note)
    if args.output is None:
        say(text, lines=True, end="")
        return 0
    write(args.output, text.encode())
    name = args.output.name
    warn(
        f"{args.output} is written; sudo cp {args.output} /etc/systemd/system/ && "
        f"sudo systemctl enable --now {name.removesuffix('.service')}"
    )
    return 0


def _service(args: argparse.Namespace, model: Any, source: str, sink: str) -> Service:
    path = Path(args.model).resolve()
    name = f"edge-rnn-{args.name or path.stem}"
    if not _NAME.fullmatch(name):
        raise InputError(f"setup got the name {name[:80]!r}, expected letters, digits, - and _; give --name.")
    user = args.user or os.environ.get("SUDO_USER") or getpass.getuser()
    if not _USER.fullmatch(user):
        raise InputError(f"setup got the user {user[:80]!r}, expected a name of letters, digits, - and _, or a number.")
    source, sink, credentials = _without_secrets(source, sink)
    words = [sys.executable, "-m", "edge_rnn", "run", str(path), "--source", source, "--sink", sink]
    words += ["--on-bad", args.on_bad, "--on-nonfinite", args.on_nonfinite]
    words += ["--snapshot", _full(args.snapshot) or f"/var/lib/{name}/state"]
    words += ["--status", _full(args.status) or f"/run/{name}/status.json"]
    words += loop_words(args, without=("source", "sink", "snapshot", "status", "cpus"))
    network = any("://" in each for each in (source, sink))
    return Service(
        name=name,
        model=model.name or path.name,
        command=tuple(words),
        user=user,
        group=_existing(_GROUPS.get(source.partition(":")[0], "")),
        cpus=args.cpus or _last_cpu(),
        memory_bytes=min(_memory_bytes() // 2, _MOST_BYTES),
        priority=args.priority,
        locks_memory=args.lock_memory,
        network=network,
        writes=tuple(dict.fromkeys(str(Path(each).resolve().parent) for each in _written(args, sink))),
        credentials=credentials,
        environment_file=f"/etc/edge-rnn/{name}.env" if network else "",
    )


def _absolute(url: str) -> str:
    """The same with the full paths of its files: a service starts elsewhere."""
    scheme, _, rest = url.partition(":")
    place, mark, query = rest.partition("?")
    if scheme in ("csv", "jsonl", "wav") and place and place != "-":
        place = _full(place)
    parts = [each.partition("=") for each in query.split("&")]
    named = (f"{name}{equals}{_full_option(name, value)}" for name, equals, value in parts)
    return f"{scheme}:{place}{mark}{'&'.join(named)}"


def _full(path: str | None) -> str:
    return str(Path(path).absolute()) if path else ""


def _full_option(name: str, value: str) -> str:
    from urllib.parse import quote, unquote_plus

    return quote(_full(unquote_plus(value)), safe="/") if name in _FILE_OPTIONS and value else value


def _without_secrets(source: str, sink: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Both without the file of their password, and that file for systemd to read; as they are if there are several."""
    from urllib.parse import unquote_plus

    from edge_rnn.loop.mqtt_client import CREDENTIAL

    found = {unquote_plus(each) for url in (source, sink) for each in _PASSWORD_FILE.findall(url)}
    if len(found) != 1:
        return source, sink, ()
    source, sink = (_PASSWORD_FILE.sub("", url).rstrip("?&") for url in (source, sink))
    return source, sink, ((CREDENTIAL, found.pop()),)


def _written(args: argparse.Namespace, sink: str) -> list[str]:
    """Files that are written beside the service's own folders."""
    scheme, _, rest = sink.partition(":")
    place = rest.partition("?")[0]
    files = [place] if scheme in ("csv", "jsonl") and place != "-" else []
    return [*files, *(each for each in (args.snapshot, args.status) if each)]


def _notes(service: Service) -> Iterator[str]:
    """What has to be there before the service starts, and is not."""
    import pwd

    for folder in service.writes:
        if not Path(folder).is_dir():
            yield f"{folder} is not there, and the service does not start without it: mkdir -p {folder}"
    if not service.user.isdecimal() and service.user not in {each.pw_name for each in pwd.getpwall()}:
        yield f"the user {service.user!r} is not known here: sudo useradd --system {service.user}"
    if service.environment_file and not service.credentials:
        yield (
            f"user name and password of a broker that wants them go into {service.environment_file} (sudo chmod 600), "
            f"a line each: EDGE_RNN_MQTT_USERNAME=… and EDGE_RNN_MQTT_PASSWORD=…"
        )


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
