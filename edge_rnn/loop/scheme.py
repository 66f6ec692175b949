"""Forms of sources and sinks, such as ``serial:PORT?baud=9600``: how a text is parsed, opened and described."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from edge_rnn.errors import InputError

__all__ = ["PASSWORD", "Scheme", "Secret", "Url", "flag", "masked", "names", "number", "whole"]

PASSWORD = re.compile(r"(://[^:@/?#]*:)(?!\d+/)(.*)@", re.DOTALL)
"""Matches the password before a host's name."""

_SECRET_OPTION = re.compile(r"([?&](?:pass\w*|pwd|secret|token)=)(?<!password_file=)[^&]*", re.IGNORECASE)

Kind = Literal["file", "device", "network", "none"]


def masked(url: str) -> str:
    """``url`` as it may be shown: without a password."""
    return _SECRET_OPTION.sub(r"\1***", PASSWORD.sub(r"\1***@", url))


@dataclass(frozen=True, slots=True)
class Url:
    """The text of a source or a sink, parsed.

    Parameters
    ----------
    text
        As it was given.
    scheme
        The part before the first colon.
    place
        The part between that colon and the question mark.
    options
        Values of the options behind it, by name; only those that were given.
    header
        True if a sink that writes lines begins with one of names.
    """

    text: str
    scheme: str
    place: str
    options: dict[str, Any] = field(default_factory=dict)
    header: bool = True


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that a scheme takes.

    Parameters
    ----------
    what
        Description: ``"user name and password of a broker that wants them"``.
    option
        Option that names the file of it.
    credential
        Name of that file where systemd hands it over (``LoadCredential=``); the source or sink looks there by itself.
    variables
        Environment variables that may hold it instead.
    """

    what: str
    option: str
    credential: str
    variables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A form of a source or a sink.

    Parameters
    ----------
    name
        What the text begins with, before the colon.
    place
        What comes behind the colon, in the words of the help: ``"PORT"``.
    help
        Description of the form and its options, for the help.
    open
        ``open(url, model)``. A source's returns what :class:`edge_rnn.loop.SensorLoop` takes: the source, or a factory
        if it can be opened again after a failure. A sink's returns a factory. An invalid text is an InputError at once.
    options
        Parsers of the text of each option, by name. They raise ValueError for invalid texts.
    kind
        ``"file"``: the place is a path, ``-`` for stdin or stdout. ``"network"``: a service waits for the network.
        ``"device"``, or ``"none"`` of these.
    aliases
        Further names.
    group
        Group of the system whose members may use the device.
    files
        Options that name files.
    secret
        A secret that it takes.
    check
        ``check(text)`` raises InputError before the text is parsed.
    packages, install
        Packages that it needs, and what pip installs to have them: ``"edge-rnn[serial]"``.
    ability
        What ``edge-rnn doctor`` calls the use of these packages: ``"read a serial line"``.
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
        """Name and aliases."""
        return (self.name, *self.aliases)

    @property
    def form(self) -> str:
        """Form in the help: ``"serial:PORT"``."""
        return f"{self.name}:{self.place}"

    def parse(self, text: str, *, header: bool = True) -> Url:
        """Parse a text.

        Raises
        ------
        InputError
            An option is unknown, or is not what it has to be.
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
                raise InputError(f"{masked(text)!r} has the option {option!r}, expected {known}.")
            try:
                given[option] = self.options[option](value)
            except ValueError:
                raise InputError(f"{masked(text)!r} has {option} {value!r}, expected a number.") from None
        return Url(text, name, place, given, header)


def flag(text: str) -> bool:
    """``"1"`` or ``"0"``."""
    return bool(int(text))


def whole(text: str) -> int:
    """A whole number, also ``"0x68"``."""
    return int(text, 0)


def number(text: str) -> float:
    """A number above 0, such as a rate."""
    value = float(text)
    if not 0 < value < 1e12:
        raise ValueError
    return value


def names(text: str) -> tuple[str, ...]:
    """``"ax, ay"`` as a tuple."""
    return tuple(each.strip() for each in text.split(","))
