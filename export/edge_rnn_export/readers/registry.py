"""Readers of trained networks from elsewhere: what one is, and what ``edge-rnn import`` asks on its behalf."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_rnn.errors import InputError

__all__ = ["ABOUT", "UPTO", "Option", "Reader", "conflict", "names", "numbers", "pairs"]
__all__ += ["takers_of_options"]

ABOUT = ("name", "labels", "sample_rate_hz", "input_names", "input_units")
"""Options of every reader: what the Model says of itself."""

_FLAGS = ("-h", "--help", "--debug", "-o", "--output", *(f"--{name.replace('_', '-')}" for name in ABOUT))


@dataclass(frozen=True, slots=True)
class Option:
    """An option that some readers have and others have not. Readers that share a flag share the option.

    Parameters
    ----------
    name
        Of the reader's keyword.
    flag
        As it is typed: ``"--upto"``.
    help
        What it does, in a few words.
    metavar
        What is typed behind it; empty for a switch.
    parse
        Makes the keyword's value of that text, by default the text itself; of the list of all texts, where the option
        may be ``repeated``. It raises ValueError for what it does not take.
    expected
        What it takes, for the message of that error.
    repeated
        Whether the option may be given several times.
    """

    name: str
    flag: str
    help: str
    metavar: str = ""
    parse: Callable[[Any], Any] = str
    expected: str = ""
    repeated: bool = False

    def value(self, given: Any) -> Any:
        """The keyword's value, of what argparse found: a text, a list of texts, or True.

        Raises
        ------
        InputError
            It is none.
        """
        if not self.metavar:
            return given
        try:
            return self.parse(given)
        except ValueError as error:
            shown = str(error) if self.repeated else repr(given)
            raise InputError(f"import got {self.flag} {shown}, expected {self.expected or self.metavar}.") from None


UPTO = Option("upto", "--upto", "what comes before this tensor alone", "TENSOR")
"""Of kinds that have tensors with names."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of one kind of file.

    Parameters
    ----------
    kind
        What such a file is called: ``"Keras"``.
    what
        One of them in words: ``"a Keras model"``.
    suffixes
        Endings of file names that say so, in small letters: ``(".keras", ".h5")``.
    read
        ``read(path, **options)`` of a Path: a :class:`~edge_rnn.Model`, or anything with one as its ``model``. The
        options are those of :data:`ABOUT`, each None or empty where it was not given, and of ``options`` those that
        were given.
    options
        What else it takes.
    check
        ``check(read, path)``: compares what ``read`` gave with the file, run or recorded by others, and returns in
        words with what and how far it is off; empty where the file holds nothing to compare with. It raises
        UnsupportedError, whose text says why, where the file cannot be compared here. None for readers without.
    recognize
        ``recognize(path)``: whether a file is of the kind, whatever its name; for kinds that do not go by their names'
        endings. None for readers that do.
    examples
        Command lines for the help.
    """

    kind: str
    what: str
    suffixes: tuple[str, ...]
    read: Callable[..., Any]
    options: tuple[Option, ...] = ()
    check: Callable[[Any, Path], str] | None = None
    recognize: Callable[[Path], bool] | None = None
    examples: tuple[str, ...] = ()


def takers_of_options(readers: Iterable[Reader]) -> dict[Option, tuple[str, ...]]:
    """Kinds of the readers that have each option, in the order of the readers."""
    takers: dict[Option, tuple[str, ...]] = {}
    for reader in readers:
        for option in reader.options:
            takers[option] = (*takers.get(option, ()), reader.kind)
    return takers


def conflict(reader: Reader, others: Iterable[Reader]) -> str:
    """Why a reader cannot stand beside others: it means something else by a flag or a keyword; empty if it can."""
    taken = [option for other in others for option in other.options]
    for option in reader.options:
        if option in taken:
            continue
        if option.name in ABOUT or option.flag in _FLAGS:
            return f"its option {option.flag} is one that all readers have"
        if any(option.flag == each.flag or option.name == each.name for each in taken):
            return f"its option {option.flag} means something else to another reader"
    return ""


def names(text: str) -> list[str]:
    """``"a, b"`` as a list; empty for an empty text."""
    return [part.strip() for part in text.split(",")] if text else []


def numbers(text: str) -> list[float]:
    """``"1,2.5"`` as a list of numbers."""
    return [float(part) for part in text.split(",")]


def pairs(texts: list[str]) -> dict[str, str]:
    """``["head=softmax"]`` as a dict."""
    found = dict(text.partition("=")[::2] for text in texts)
    for name, value in found.items():
        if not name or not value:
            raise ValueError(repr(name or value))
    return found
