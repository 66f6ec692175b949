"""URL schemes of sources and sinks, such as ``serial:PORT?baud=9600``: parsing, opening and describing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from edge_rnn.errors import InputError

__all__ = ["PASSWORD", "Scheme", "Secret", "Url", "flag", "masked", "names", "number", "whole"]

PASSWORD = re.compile(r"(://[^:@/?#]*:)(?!\d+/)(.*)@", re.DOTALL)
"""Matches the password in front of a host name."""

_SECRET_OPTION = re.compile(r"([?&](?:pass\w*|pwd|secret|token)=)(?<!password_file=)[^&]*", re.IGNORECASE)

Kind = Literal["file", "device", "network", "none"]


def masked(url: str) -> str:
    """Return ``url`` without its password, safe to print."""
    return _SECRET_OPTION.sub(r"\1***", PASSWORD.sub(r"\1***@", url))


@dataclass(frozen=True, slots=True)
class Url:
    """Parsed URL of a source or a sink.

    Parameters
    ----------
    text
        The URL as given.
    scheme
        The part before the first colon.
    place
        The part between that colon and the question mark.
    options
        Values of the options after it, by name; only those given.
    header
        True if a sink that writes lines starts with a header.
    """

    text: str
    scheme: str
    place: str
    options: dict[str, Any] = field(default_factory=dict)
    header: bool = True


@dataclass(frozen=True, slots=True)
class Secret:
    """Secret that a scheme uses.

    Parameters
    ----------
    what
        Description: ``"user name and password of a broker that requires them"``.
    option
        Option that gives the path of the secret file.
    credential
        Name of that file among systemd's credentials (``LoadCredential=``), where the source or sink looks by default.
    variables
        Environment variables that may hold the secret instead.
    """

    what: str
    option: str
    credential: str
    variables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """URL scheme of a source or a sink.

    Parameters
    ----------
    name
        Text before the colon.
    place
        Placeholder in the help for the text after the colon: ``"PORT"``.
    help
        Description of the scheme and its options, for the help.
    open
        ``open(url, model)``. For a source it returns what :class:`edge_rnn.loop.SensorLoop` accepts: the source, or a
        factory if the source can be reopened after a failure. For a sink it returns a factory. An invalid URL raises
        InputError at once.
    options
        Parsers of the option values, by name. They raise ValueError for invalid text.
    kind
        ``"file"``: the place is a path, or ``-`` for stdin or stdout. ``"network"``: a service waits for the network.
        ``"device"``: a device. ``"none"``: none of these.
    aliases
        Further names of the scheme.
    group
        System group whose members may use the device.
    files
        Options that are file paths.
    secret
        Secret that the scheme uses.
    check
        ``check(text)`` raises InputError before the URL is parsed.
    packages, install
        Packages that the scheme needs, and the pip requirement that installs them: ``"edge-rnn[serial]"``.
    ability
        Description of these packages' purpose in ``edge-rnn doctor``: ``"read a serial line"``.
    """

    name: str
    place: str
    help: str
    open: Callable[[Url, Any], Any]
    options: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    kind: Kind = "none"
    aliases: tuple[str, ...] = ()
    group: str = ""
    files: tuple[str, ...] = ()
    secret: Secret | None = None
    check: Callable[[str], None] = lambda text: None
    packages: tuple[str, ...] = ()
    install: str = ""
    ability: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Return name and aliases."""
        return (self.name, *self.aliases)

    @property
    def form(self) -> str:
        """Return the form shown in the help: ``"serial:PORT"``."""
        return f"{self.name}:{self.place}"

    def parse(self, text: str, *, header: bool = True) -> Url:
        """Parse a URL.

        Raises
        ------
        InputError
            An option is unknown, or its value is invalid.
        """
        self.check(text)
        name, _, rest = text.partition(":")
        place, _, query = rest.partition("?")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError:
            raise InputError(f"{masked(text)!r}: expected NAME=VALUE&NAME=VALUE after the question mark.") from None
        given = {}
        for option, value in pairs:
            if option not in self.options:
                known = ", ".join(self.options) or "none"
                raise InputError(f"{masked(text)!r} has the unknown option {option!r}, expected {known}.")
            try:
                given[option] = self.options[option](value)
            except ValueError:
                raise InputError(f"{masked(text)!r} has the invalid {option}={value!r}, expected a number.") from None
        return Url(text, name, place, given, header)


def flag(text: str) -> bool:
    """Parse a flag, ``"1"`` or ``"0"``."""
    return bool(int(text))


def whole(text: str) -> int:
    """Parse an integer, decimal or hexadecimal (``"0x68"``)."""
    return int(text, 0)


def number(text: str) -> float:
    """Parse a positive number, such as a rate."""
    value = float(text)
    if not 0 < value < 1e12:
        raise ValueError
    return value


def names(text: str) -> tuple[str, ...]:
    """Split ``"ax, ay"`` into a tuple of names."""
    return tuple(each.strip() for each in text.split(","))
