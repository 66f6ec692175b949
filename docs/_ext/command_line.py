"""Pages of the command line, a command each, from the parsers of argparse."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
from collections.abc import Iterable, Mapping

from edge_rnn.cli import make_parser
from edge_rnn.cli.shared.parser import Parser

__all__ = ["pages"]

_COLUMNS = "84"  # width of usage and of texts that keep their lines


def pages() -> Mapping[str, str]:
    """Pages by command; ``index`` lists them."""
    os.environ["COLUMNS"] = _COLUMNS
    parser, missing = make_parser()
    if missing:
        raise RuntimeError(f"commands without their packages: {', '.join(missing.values())}")
    commands = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    helps = {each.dest: each.help or "" for each in commands._choices_actions}
    found = {name: _page(name, command) for name, command in commands.choices.items()}
    rows = [f"| [`edge-rnn {name}`]({name}.md) | {_escaped(helps[name])} |" for name in found]
    toctree = ["```{toctree}", ":hidden:", "", *found, "```"]
    table = ["| command | what it does |", "| --- | --- |", *rows]
    text = (
        "Exit codes: 0 success, 1 failure with the reason in one sentence on stderr, 2 usage error.\n"
        "`--debug` shows the traceback of an error."
    )
    return {"index": "\n".join(["# Command line", "", text, "", *table, "", *toctree, ""]), **found}


def _page(name: str, parser: Parser) -> str:
    """Page of a command: description, usage, options by group, and its notes and examples as they are in ``--help``."""
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        parser.parse_args(["--help"])  # adds options that are added late, and wraps the texts
    description = _escaped(" ".join((parser.description or "").split()))
    lines = [f"# edge-rnn {name}", "", description, "", "```text", _usage(parser), "```", ""]
    for group in parser._action_groups:
        options = [each for each in group._group_actions if each.help is not argparse.SUPPRESS]
        if options:
            lines += [f"## {(group.title or 'options').capitalize()}", "", *_options(parser, options)]
    if parser.epilog:
        lines += ["## Notes and examples", "", "```text", parser.epilog.strip("\n"), "```", ""]
    return "\n".join(lines)


def _usage(parser: Parser) -> str:
    return parser.format_usage().removeprefix("usage: ").strip()


def _options(parser: Parser, options: Iterable[argparse.Action]) -> Iterable[str]:
    formatter = parser.formatter_class(parser.prog)
    for option in options:
        spelled = formatter._format_action_invocation(option)
        yield f"`{spelled}`"
        yield f": {_escaped(formatter._expand_help(option)) if option.help else ''}"
        yield ""


def _escaped(text: str) -> str:
    """Text in which Markdown finds no markup."""
    return re.sub(r"([\\`*_<>\[\]{}|$#])", r"\\\1", text)
