"""Text of a systemd service unit (systemd.service(5), systemd.exec(5))."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_rnn.errors import InputError

__all__ = ["Service", "unit_text"]


@dataclass(frozen=True, slots=True)
class Service:
    """Settings of a service.

    Parameters
    ----------
    name
        Name without ``.service``, also that of its folders.
    model
        Model name for the description.
    command
        Words of the command, the first an absolute path.
    user, group
        User to run as, and the group that may use the device (a list of allowed devices would exclude one plugged in
        later); empty for none.
    cpus
        Processors to run on; empty for all.
    memory_bytes
        Memory limit.
    priority, locks_memory
        Real-time options for which limits are raised.
    network
        True to start after the network is up.
    writes
        Folders that it may write to, besides its own.
    credentials
        Names of secrets and absolute paths of their files, which systemd reads and passes on.
    environment_file
        Absolute path of an optional file of variables; empty for none.

    Raises
    ------
    InputError
        A text contains characters that a unit cannot: line ends, control or non-printable characters.
    """

    name: str
    model: str
    command: tuple[str, ...]
    user: str
    group: str
    cpus: tuple[int, ...]
    memory_bytes: int
    priority: int | None
    locks_memory: bool
    network: bool
    writes: tuple[str, ...]
    credentials: tuple[tuple[str, str], ...] = ()
    environment_file: str = ""

    def __post_init__(self) -> None:
        files = (*self.writes, *(path for _, path in self.credentials), self.environment_file)
        for text in (self.name, self.user, self.group, *self.command, *files):
            if not text.isprintable():
                raise InputError(f"a service got {text!r}, expected printable text on one line; rename it.")
        if "$" in self.command[0]:
            raise InputError(f"a service got the program {self.command[0]!r}, expected a path without $; move it.")


def unit_text(service: Service) -> str:
    """Return the text of the unit file."""
    install = iter([("WantedBy", "multi-user.target")])
    sections = {"Unit": _unit(service), "Service": _service(service), "Install": install}
    blocks = []
    for title, entries in sections.items():
        lines = [f"{key}={value}" for key, value in entries]
        blocks.append("\n".join([f"[{title}]", *lines]) + "\n")
    return "\n".join(blocks)


def _unit(service: Service) -> Iterator[tuple[str, str]]:
    yield "Description", f"{_plain(service.model)} by edge-rnn"
    if service.network:
        yield "Wants", "network-online.target"
        yield "After", "network-online.target"
    yield "StartLimitIntervalSec", "0"  # retry forever


def _service(service: Service) -> Iterator[tuple[str, str]]:
    yield "Type", "notify"
    # systemd unescapes %% everywhere, but $$ only in command arguments.
    program, *arguments = service.command
    yield "ExecStart", " ".join([_word(program), *(_word(each.replace("$", "$$")) for each in arguments)])
    yield "User", service.user
    if service.group:
        yield "SupplementaryGroups", service.group
    yield "Restart", "on-failure"
    yield "RestartSec", "5"
    yield "TimeoutStartSec", "300"  # kernels are compiled at the first start
    yield "TimeoutStopSec", "60"  # time to deliver the last results and save the state
    yield "WatchdogSec", "30"
    yield "StateDirectory", service.name
    yield "RuntimeDirectory", service.name
    yield "CacheDirectory", service.name
    yield "Environment", f"EDGE_RNN_CACHE_DIR=/var/cache/{service.name} PYTHONUNBUFFERED=1"
    if service.environment_file:
        yield "EnvironmentFile", "-" + service.environment_file.replace("%", "%%")
    for name, path in service.credentials:
        yield "LoadCredential", f"{name}:{path.replace('%', '%%')}"
    if service.cpus:
        yield "CPUAffinity", " ".join(map(str, service.cpus))
    yield "MemoryMax", str(service.memory_bytes)
    yield "OOMScoreAdjust", "-500"
    if service.priority is not None:
        yield "LimitRTPRIO", str(service.priority)
    if service.locks_memory:
        yield "LimitMEMLOCK", "infinity"
    yield "NoNewPrivileges", "yes"
    yield "ProtectSystem", "strict"
    yield "ProtectHome", "read-only"
    yield "PrivateTmp", "yes"
    yield "ProtectKernelTunables", "yes"
    yield "ProtectKernelModules", "yes"
    yield "ProtectControlGroups", "yes"
    yield "RestrictSUIDSGID", "yes"
    yield "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6" if service.network else "AF_UNIX"
    if service.writes:
        yield "ReadWritePaths", " ".join(map(_word, service.writes))


def _word(text: str) -> str:
    """Quote one word for systemd, with specifiers taken literally."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if not text or any(each in text for each in " '\";\\") else text


def _plain(text: str) -> str:
    return "".join(each for each in text if each.isprintable()).replace("%", "%%")
