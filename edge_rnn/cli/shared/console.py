"""Console output of subcommands, with terminal control characters escaped, and formatting of quantities."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from edge_rnn.printable import printable
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = [
    "BareConsole",
    "make_console",
    "print_facts",
    "print_json",
    "print_table",
    "reading",
    "say",
    "spell_bytes",
    "spell_ns",
    "waiting",
    "warn",
]

_PIPE_WIDTH = 120


def say(text: object = "", *, lines: bool = False, end: str = "\n", flush: bool = False) -> None:
    """Print a text on stdout with non-printable characters escaped; ``lines`` keeps newlines."""
    print(printable(str(text), keep="\n" * lines), end=end, flush=flush)


def warn(text: str, command: str = "edge-rnn") -> None:
    """Print one line on stderr, as ``edge-rnn: …``, unbuffered."""
    print(printable(f"{command}: {text}"), file=sys.stderr, flush=True)


class BareConsole:
    """Console where rich is not installed: it prints lines, and raises the error for rich when it has to draw."""

    is_terminal, is_dumb_terminal = False, True

    def __getattr__(self, name: str) -> NoReturn:
        raise ModuleNotFoundError("No module named 'rich'", name="rich")

    def print(self, text: object = "") -> None:
        """Print one line."""
        say(text)


def make_console(*, stderr: bool = False) -> Console:
    """Create a console that prints text literally: no markup, and terminal control characters are escaped.

    Lines are 120 columns wide when the output is a pipe. Without rich, it is a :class:`BareConsole`.
    """
    if not _has_rich():
        return BareConsole()  # type: ignore[return-value]  # for all that is done without drawing
    from edge_rnn.cli.shared.plain_console import PlainConsole

    console = PlainConsole(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = _PIPE_WIDTH
    return console


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show a message while something slow runs, if stderr is a terminal."""
    if not sys.stderr.isatty() or not _has_rich():
        yield
        return
    from rich.text import Text

    with make_console(stderr=True).status(Text(what)):  # a plain str would be parsed as markup
        yield


@contextmanager
def reading(source: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """Return ``source`` (``path`` opened), with a progress bar on stderr.

    The bar appears only if stderr is a terminal, stdout is not, and ``source`` is a regular file.
    """
    if not sys.stderr.isatty() or sys.stdout.isatty() or not path.is_file() or not _has_rich():
        yield source
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=make_console(stderr=True), redirect_stdout=False) as progress:
        yield progress.wrap_file(source, path.stat().st_size, description=path.name)


def print_facts(console: Console, facts: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns, wrapping long values within their column."""
    if isinstance(console, BareConsole):
        pairs = [*(facts.items() if isinstance(facts, Mapping) else facts)]
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            console.print(f"{name:{width}}  {value}".rstrip())
        return
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items() if isinstance(facts, Mapping) else facts:
        grid.add_row(name, value)
    print_table(console, grid)


def print_table(console: Console, table: RenderableType) -> None:
    """Print a table; when writing to a pipe, without trailing spaces."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()), file=console.file)


def _has_rich() -> bool:
    try:
        import rich  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def print_json(value: Any) -> None:
    """Print one indented JSON object, and nothing else."""
    import json

    print(json.dumps(value, indent=2, allow_nan=False))


def spell_ns(nanoseconds: float) -> str:
    """Format a time with three digits and a suitable unit: ``131 ns``, ``9.42 µs``."""
    units = ((1e3, 1.0, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms"), (float("inf"), 1e9, "s"))
    divisor, unit = next((divisor, unit) for limit, divisor, unit in units if nanoseconds < limit * 0.9995)
    value = nanoseconds / divisor
    digits = 0 if value >= 99.95 or unit == "ns" else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def spell_bytes(count: int) -> str:
    """Format a number of bytes in full, for comparison: ``5,248 bytes``."""
    return counted(count, "byte")
