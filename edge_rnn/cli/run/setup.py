"""``edge-rnn setup``: a systemd service that runs a model as a sensor loop, written for this machine."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from edge_rnn.cli.run.loop import check_source
from edge_rnn.cli.run.options import RunOptions, add_loop_options
from edge_rnn.cli.run.unit_file import Service, unit_text
from edge_rnn.cli.shared.console import say, warn
from edge_rnn.errors import FileError, InputError

if TYPE_CHECKING:
    from edge_rnn.loop.scheme import Scheme, Secret

__all__ = ["add"]

_EPILOG = """\
The service is restarted when it fails, and when it has been unresponsive for 30 s; it may use half of the memory (at
most 512 MiB), and write only to its state, its status and the folder of its sink. On a machine with several processors
it runs on the last one. Its state is in /var/lib/edge-rnn-NAME, its status in /run/edge-rnn-NAME/status.json. Paths are
made absolute. The unit contains no secrets: systemd reads a broker's password_file and passes it as a credential; user
name and password as variables belong in /etc/edge-rnn/edge-rnn-NAME.env.

examples:
  edge-rnn setup wrist.safetensors --source 'mpu6050:1?si=1' --rate 50 --resample --sink mqtt://broker/wrist \\
      -o edge-rnn-wrist.service
  sudo cp edge-rnn-wrist.service /etc/systemd/system/ && sudo systemctl enable --now edge-rnn-wrist
"""
_MOST_BYTES = 512 << 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}|[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class _End:
    """Source or sink: its URL and scheme."""

    url: str
    scheme: Scheme

    @property
    def place(self) -> str:
        return self.url.partition(":")[2].partition("?")[0]

    def absolute(self) -> _End:
        """Return a copy with absolute file paths: a service starts in another folder."""
        name, _, rest = self.url.partition(":")
        place, mark, query = rest.partition("?")
        if self.scheme.kind == "file" and place and place != "-":
            place = _full(place)
        parts = [each.partition("=") for each in query.split("&")]
        named = (f"{option}{equals}{self._full_option(option, value)}" for option, equals, value in parts)
        return replace(self, url=f"{name}:{place}{mark}{'&'.join(named)}")

    def files_of(self, secret: Secret) -> set[str]:
        """Return the files given for a secret."""
        return {unquote_plus(each) for each in self._option_of(secret).findall(self.url)}

    def without(self, secret: Secret) -> _End:
        """Return a copy without the file of a secret."""
        return replace(self, url=self._option_of(secret).sub("", self.url).rstrip("?&"))

    def _option_of(self, secret: Secret) -> re.Pattern[str]:
        return re.compile(rf"(?<=[?&]){re.escape(secret.option)}=([^&]*)&?")

    def _full_option(self, name: str, value: str) -> str:
        return quote(_full(unquote_plus(value)), safe="/") if name in self.scheme.files and value else value


def add(subparsers: Any) -> None:
    """Add ``setup``."""
    parser = subparsers.add_parser(
        "setup",
        help="write a systemd service that runs a model on this machine",
        description="Write a systemd service for this machine that does what edge-rnn run does with the same options.",
        epilog=_EPILOG,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="unit file to write (default: stdout)")
    parser.add_argument("--name", help="name of the service: edge-rnn-NAME (default: the model's file name)")
    parser.add_argument("--user", help="user to run as (default: you)")
    parser.add_argument("--on-bad", choices=("raise", "skip", "hold"), default="skip", help="as for run")
    parser.add_argument("--on-nonfinite", choices=("raise", "hold", "skip"), default="hold", help="as for run")
    add_loop_options(parser)
    parser.set_defaults(func=_setup)


def _setup(args: argparse.Namespace) -> int:
    from edge_rnn.atomic import write
    from edge_rnn.loop import open_source
    from edge_rnn.loop.schemes import SINKS, SOURCES, parse_sink, scheme_of
    from edge_rnn.storage.hub import HubAddress, is_hub_address
    from edge_rnn.storage.model_file import load

    options = RunOptions.of(args)
    if is_hub_address(args.model):
        address = HubAddress.parse(args.model)
        revision = f" --revision {address.revision}" if address.revision else ""
        raise InputError(
            f"setup got {args.model}, but a service needs a file that stays; fetch it first: "
            f"hf download {address.model} {address.file}{revision} --local-dir ."
        )
    if not options.source or not options.sink:
        raise InputError("setup needs --source and --sink, as for edge-rnn run; a service has no stdin.")
    model = load(args.model)
    given = _End(options.source, scheme_of(options.source, SOURCES)), _End(options.sink, scheme_of(options.sink, SINKS))
    source, sink = (each.absolute() for each in given)
    if source.scheme.kind == "file" and source.place == "-":
        raise InputError(f"setup got --source {options.source}, but a service has no stdin; expected another source.")
    parse_sink(sink.url, model)
    check_source(model, options, open_source(source.url, model))  # both report problems now
    service = _service(args, options, model, source, sink)
    text = unit_text(service)
    for note in _notes(service, _secrets(source, sink)):
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


def _service(args: argparse.Namespace, options: RunOptions, model: Any, source: _End, sink: _End) -> Service:
    path = Path(args.model).resolve()
    name = f"edge-rnn-{args.name or path.stem}"
    if not _NAME.fullmatch(name):
        raise InputError(f"setup got the name {name[:80]!r}, expected letters, digits, - and _; give --name.")
    user = args.user or os.environ.get("SUDO_USER") or getpass.getuser()
    if not _USER.fullmatch(user):
        raise InputError(f"setup got the user {user[:80]!r}, expected a name of letters, digits, - and _, or a number.")
    source, sink, credentials = _without_secrets(source, sink)
    words = [sys.executable, "-m", "edge_rnn", "run", str(path), "--source", source.url, "--sink", sink.url]
    words += ["--on-bad", args.on_bad, "--on-nonfinite", args.on_nonfinite]
    words += ["--snapshot", _full(options.snapshot) or f"/var/lib/{name}/state"]
    words += ["--status", _full(options.status) or f"/run/{name}/status.json"]
    words += options.words(without=("source", "sink", "snapshot", "status", "cpus"))
    return Service(
        name=name,
        model=model.name or path.name,
        command=tuple(words),
        user=user,
        group=_existing(source.scheme.group),
        cpus=options.cpus or _last_cpu(),
        memory_bytes=min(_memory_bytes() // 2, _MOST_BYTES),
        priority=options.priority,
        locks_memory=options.lock_memory,
        network="network" in (source.scheme.kind, sink.scheme.kind),
        writes=tuple(dict.fromkeys(str(Path(each).resolve().parent) for each in _written(options, sink))),
        credentials=credentials,
        environment_file=f"/etc/edge-rnn/{name}.env" if _secrets(source, sink) else "",
    )


def _full(path: str | None) -> str:
    return str(Path(path).absolute()) if path else ""


def _secrets(*ends: _End) -> dict[str, Secret]:
    """Return the secrets that these may use, by credential name."""
    return {secret.credential: secret for end in ends if (secret := end.scheme.secret) is not None}


def _without_secrets(source: _End, sink: _End) -> tuple[_End, _End, tuple[tuple[str, str], ...]]:
    """Move secret files from the URLs to systemd credentials; leave them if one secret has several files."""
    credentials = []
    for name, secret in _secrets(source, sink).items():
        found = {file for end in (source, sink) for file in end.files_of(secret)}
        if len(found) == 1:
            source, sink = source.without(secret), sink.without(secret)
            credentials.append((name, found.pop()))
    return source, sink, tuple(credentials)


def _written(options: RunOptions, sink: _End) -> list[str]:
    """Return the files written outside the service's own folders."""
    files = [sink.place] if sink.scheme.kind == "file" and sink.place != "-" else []
    return [*files, *(each for each in (options.snapshot, options.status) if each)]


def _notes(service: Service, secrets: Mapping[str, Secret]) -> Iterator[str]:
    """Yield what is still missing before the service can start."""
    import pwd

    for folder in service.writes:
        if not Path(folder).is_dir():
            yield f"{folder} does not exist, and the service cannot start without it: mkdir -p {folder}"
    if not service.user.isdecimal() and service.user not in {each.pw_name for each in pwd.getpwall()}:
        yield f"the user {service.user!r} does not exist: sudo useradd --system {service.user}"
    handed_over = {name for name, _ in service.credentials}
    for name, secret in secrets.items():
        if name not in handed_over:
            variables = " and ".join(f"{variable}=…" for variable in secret.variables)
            yield f"put {secret.what} into {service.environment_file} (sudo chmod 600), one per line: {variables}"


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
        raise FileError("this system does not report its memory size; setup is for Linux.") from None
