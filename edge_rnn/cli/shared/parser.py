"""Argument parser of ``edge-rnn`` and its subcommands."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from edge_rnn.printable import printable

__all__ = ["DEBUG_VARIABLE", "GROUPS", "HelpFormatter", "Parser", "help_width"]

DEBUG_VARIABLE = "EDGE_RNN_DEBUG"

GROUPS = {
    "run": ("demo", "run", "serve", "setup", "generate"),
    "export": ("import", "export", "verify", "card"),
    "measure": ("inspect", "compare", "bench", "shrink"),
    "boards": ("devices", "fit", "build"),
    "this machine": ("warm-up", "doctor"),
}
"""Commands by purpose, in the order of the help; commands of other packages follow."""

_MOST_COLUMNS = 118
_TABLE = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)")
"""First column of a line of a table, up to the second one."""
_WRAPPED = 88
"""A line of a text that is at least as long goes on in the next one, if that has the same indent."""


def help_width() -> int:
    """Columns of every help text: those of the terminal, at most 118."""
    return min(shutil.get_terminal_size((_MOST_COLUMNS + 2, 24)).columns - 2, _MOST_COLUMNS)


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Formatter that wraps options, descriptions and examples to one width, and lists commands by purpose."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, **{"max_help_position": 28, **kwargs, "width": help_width()})

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in _wrapped(text, width))

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        listed = {each.dest: each for each in action._get_subactions()}
        others = tuple(name for name in listed if not any(name in names for names in GROUPS.values()))
        parts = []
        for title, names in {**GROUPS, "of other packages": others}.items():
            rows = [f"    {name:<10}{listed[name].help or ''}" for name in names if name in listed]
            parts += ["", f"  {title}:", *rows] if rows else []
        return "\n".join(_wrapped("\n".join(parts[1:]), self._width)) + "\n"


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Wrap long lines, joined with those that go on with them; commands and columns of tables stay."""
    lines = text.splitlines()
    while lines:
        line = last = lines.pop(0)
        column = _TABLE.match(line)
        indent = " " * (len(column[0]) if column else len(line) - len(line.lstrip()))
        while lines and len(last) >= _WRAPPED and not _is_command(line) and _goes_on(lines[0], indent):
            last = lines.pop(0)
            line = f"{line} {last.strip()}"
        if len(line) <= width:
            yield line
            continue
        after = indent + " " * (4 * _is_command(line))
        yield from textwrap.wrap(line, width, subsequent_indent=after, break_long_words=False, break_on_hyphens=False)


def _goes_on(after: str, indent: str) -> bool:
    text = after.removeprefix(indent)
    return after.startswith(indent) and text[:1] not in ("", " ") and "  " not in text


def _is_command(line: str) -> bool:
    return "edge-rnn " in line.lstrip()[:20] or " | " in line


class Parser(argparse.ArgumentParser):
    """Parser that reports usage errors in one sentence; subcommands use this class too."""

    def __init__(self, *args: Any, epilog: str | Callable[[], str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **{"formatter_class": HelpFormatter, **kwargs})
        self._epilog = epilog
        self._complete: Callable[[argparse.ArgumentParser], None] | None = None
        self.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,
            help=f"show the traceback of an error, as {DEBUG_VARIABLE}=1 does",
        )

    def complete_with(self, complete: Callable[[argparse.ArgumentParser], None]) -> None:
        """Defer the addition of slow options until they are parsed or printed."""
        self._complete = complete

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        complete, self._complete = self._complete, None
        if complete is not None:
            complete(self)
        return super().parse_known_args(*args, **kwargs)

    def format_help(self) -> str:
        if self._epilog is not None:
            self.epilog = self._epilog() if callable(self._epilog) else self._epilog
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        self.exit(2, printable(f"{self.prog}: {message}; see {self.prog} --help.") + "\n")
