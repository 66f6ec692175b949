"""Registry of readers of trained networks: their kinds of files, options and checks, for ``edge-rnn import``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_rnn.errors import InputError

__all__ = ["ABOUT", "AFTER", "UPTO", "Option", "Reader", "conflict", "names", "numbers", "pairs"]
__all__ += ["takers_of_options"]

ABOUT = ("name", "labels", "sample_rate_hz", "input_names", "input_units")
"""Options of every reader: the Model's own description."""

_FLAGS = ("-h", "--help", "--debug", "-o", "--output", *(f"--{name.replace('_', '-')}" for name in ABOUT))


@dataclass(frozen=True, slots=True)
class Option:
    """Option that only some readers have. Readers that share a flag share the option.

    Parameters
    ----------
    name
        Name of the reader's keyword.
    flag
        Option on the command line: ``"--upto"``.
    help
        Description in a few words.
    metavar
        Placeholder for the value; empty for a switch.
    parse
        Function from that text to the keyword's value, by default the text itself; from the list of all texts if the
        option may be ``repeated``. It raises ValueError for an invalid text.
    expected
        Description of valid texts, for the message of that error.
    repeated
        True if the option may be given several times.
    """

    name: str
    flag: str
    help: str
    metavar: str = ""
    parse: Callable[[Any], Any] = str
    expected: str = ""
    repeated: bool = False

    def value(self, given: Any) -> Any:
        """Convert the value from argparse (a string, a list of strings, or True) to the keyword's value.

        Raises
        ------
        InputError
            The value is invalid.
        """
        if not self.metavar:
            return given
        try:
            return self.parse(given)
        except ValueError as error:
            shown = str(error) if self.repeated else repr(given)
            raise InputError(f"import got {self.flag} {shown}, expected {self.expected or self.metavar}.") from None


UPTO = Option(
    "upto",
    "--upto",
    "read only the part before this tensor, or up to this layer of Keras; several are joined: repeat it",
    "TENSOR",
    lambda texts: texts[0] if len(texts) == 1 else texts,
    repeated=True,
)
"""For kinds of files with named tensors or layers."""


AFTER = Option("after", "--after", "read only the part after this tensor or layer", "TENSOR")
"""For kinds of files with named tensors or layers."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reader for one kind of file.

    Parameters
    ----------
    kind
        Name of the kind: ``"Keras"``.
    what
        Description of such a file: ``"a Keras model"``.
    suffixes
        File name extensions, in lower case: ``(".keras", ".h5")``.
    read
        ``read(path, **options)`` of a Path: a :class:`~edge_rnn.Model`, or anything with one as its ``model``. The
        options are those of :data:`ABOUT`, each None or empty if not given, and those of ``options`` that were given.
    options
        Options besides those of :data:`ABOUT`.
    check
        ``check(read, path)``: compares the result of ``read`` with the file, run by its own framework or against its
        recording. It returns a description with the largest error; an empty text if the file holds nothing to compare
        with. It raises UnsupportedError with the reason if the file cannot be compared here. None: no check.
    recognize
        ``recognize(path)``: True if the contents show that the file is of this kind, under any name. None: the file
        name extension decides.
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
    """Map each option to the kinds of the readers that have it, in the order of the readers."""
    takers: dict[Option, tuple[str, ...]] = {}
    for reader in readers:
        for option in reader.options:
            takers[option] = (*takers.get(option, ()), reader.kind)
    return takers


def conflict(reader: Reader, others: Iterable[Reader]) -> str:
    """Explain why a reader conflicts with others, using a flag or a keyword differently; empty if it does not."""
    taken = [option for other in others for option in other.options]
    for option in reader.options:
        if option in taken:
            continue
        if option.name in ABOUT or option.flag in _FLAGS:
            return f"its option {option.flag} (keyword {option.name!r}) is an option of all readers"
        if any(option.flag == each.flag or option.name == each.name for each in taken):
            return f"its option {option.flag} (keyword {option.name!r}) means something else to another reader"
    return ""


def names(text: str) -> list[str]:
    """Parse ``"a, b"`` as a list; empty for an empty string."""
    return [part.strip() for part in text.split(",")] if text else []


def numbers(text: str) -> list[float]:
    """Parse ``"1,2.5"`` as a list of numbers."""
    return [float(part) for part in text.split(",")]


def pairs(texts: list[str]) -> dict[str, str]:
    """Parse ``["head=softmax"]`` as a dict; the name may be empty, ``"=relu"``, for the network itself."""
    found = dict(text.partition("=")[::2] for text in texts)
    for name, value in found.items():
        if not value:
            raise ValueError(repr(name))
    return found
