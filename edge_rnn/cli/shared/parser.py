"""Argument parser of ``edge-rnn`` and its subcommands."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from edge_rnn.printable import printable

__all__ = ["DEBUG_VARIABLE", "Parser"]

DEBUG_VARIABLE = "EDGE_RNN_DEBUG"


class Parser(argparse.ArgumentParser):
    """Parser that reports usage errors in one sentence; subcommands use this class too."""

    def __init__(self, *args: Any, epilog: str | Callable[[], str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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
        # The formatter preserves line breaks, because of the examples at the end.
        self.description = textwrap.fill(self.description or "", min(shutil.get_terminal_size().columns - 2, 110))
        if self._epilog is not None:
            self.epilog = self._epilog() if callable(self._epilog) else self._epilog
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        self.exit(2, printable(f"{self.prog}: {message}; see {self.prog} --help.") + "\n")
