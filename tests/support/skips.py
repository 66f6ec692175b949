"""Comparison of skipped tests with a list: ``pytest --skips tests/skips.toml`` fails for any that is not listed.

An entry of the list names tests by a pattern, the reason that they give, and, where they are skipped on some machines
only, which those are. One that is skipped nowhere in the run is reported, so that the list does not outlive its tests.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

__all__ = ["Entry", "Skips", "entries"]


@dataclass(frozen=True)
class Entry:
    """Tests that may be skipped.

    Parameters
    ----------
    tests
        Pattern of their identifiers, as in a shell.
    reason
        A part of the reason that they give.
    where
        Machines on which they are skipped, in words; empty: every one.
    """

    tests: str
    reason: str
    where: str = ""

    def covers(self, test: str, reason: str) -> bool:
        """Return True if a skipped test is one of these."""
        return fnmatchcase(test, self.tests) and self.reason in reason


def entries(path: Path) -> list[Entry]:
    """Entries of a list."""
    return [Entry(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["skip"]]


class Skips:
    """Skipped tests of a run, and their entries in the list."""

    def __init__(self, listed: list[Entry]) -> None:
        self.listed = listed
        self.skipped: list[tuple[str, str]] = []

    def unexpected(self) -> list[tuple[str, str]]:
        """Tests, with their reasons, that no entry covers."""
        return [each for each in self.skipped if not any(entry.covers(*each) for entry in self.listed)]

    def outlived(self) -> list[Entry]:
        """Entries for every machine that cover no test."""
        return [e for e in self.listed if not e.where and not any(e.covers(*each) for each in self.skipped)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            said = report.longrepr[2] if isinstance(report.longrepr, tuple | list) else str(report.longrepr)
            self.skipped.append((report.nodeid, said.removeprefix("Skipped: ")))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        for test, reason in self.unexpected():
            write(f"SKIPPED, and tests/skips.toml does not list it: {test}: {reason}", red=True)
        for entry in self.outlived():
            write(f"tests/skips.toml lists what was not skipped: {entry.tests}: {entry.reason}", yellow=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skips", type=Path, metavar="FILE", help="fail for a skipped test that this list does not have")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--skips")
    if path is not None and not hasattr(config, "workerinput"):  # a worker's reports come here
        config.pluginmanager.register(Skips(entries(path)), "edge_rnn_skips")
