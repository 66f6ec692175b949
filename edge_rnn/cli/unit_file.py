"""The text of a systemd service (systemd.service(5), systemd.exec(5))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Service", "unit_text"]


@dataclass(frozen=True, slots=True)
class Service:
    """What a service is made of.

    Parameters
    ----------
    name
        Without ``.service``; its folders are called so too.
    model
        Told in the description.
    command
        Words of the command, the first a full path.
    user, group
        Who it runs as, and the group that may use the device (a list of allowed devices would shut out one that is
        plugged in later); empty for none.
    cpus
        Processors to run on, none for all.
    memory_bytes
        At most.
    priority, locks_memory
        Limits that have to be lifted for it.
    network
        Whether it starts once the network is there.
    writes
        Folders that it may write to, beside its own.
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


def unit_text(service: Service) -> str:
    """The file's text."""
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
    yield "StartLimitIntervalSec", "0"  # it is tried again for ever


def _service(service: Service) -> Iterator[tuple[str, str]]:
    yield "Type", "notify"
    yield "ExecStart", _quoted(service.command)
    yield "User", service.user
    if service.group:
        yield "SupplementaryGroups", service.group
    yield "Restart", "on-failure"
    yield "RestartSec", "5"
    yield "TimeoutStartSec", "300"  # kernels are compiled at the first start
    yield "TimeoutStopSec", "30"
    yield "WatchdogSec", "30"
    yield "StateDirectory", service.name
    yield "RuntimeDirectory", service.name
    yield "CacheDirectory", service.name
    yield "Environment", f"EDGE_RNN_CACHE_DIR=/var/cache/{service.name} PYTHONUNBUFFERED=1"
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
        yield "ReadWritePaths", _quoted(service.writes)


def _quoted(words: Sequence[str]) -> str:
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    """One word of a command line as systemd reads it, specifiers and variables taken literally."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if not text or any(each in text for each in " \t'\";\\") else text


def _plain(text: str) -> str:
    return "".join(each for each in text if each.isprintable()).replace("%", "%%")
