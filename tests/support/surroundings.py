"""Settings that tests would inherit from the shell or service that starts them, set to known values.

A variable that a test is about it sets itself. Nothing is changed for pytest's own output.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

__all__ = ["default_signals"]

_DROPPED = (
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "LC_COLLATE"),
    *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"),  # of a service that runs the tests
    *("EDGE_RNN_DEBUG", "NUMBA_DISABLE_JIT"),
)
_PYTHON_KEPT = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
_HANDLED = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGUSR1: signal.SIG_DFL,
    signal.SIGUSR2: signal.SIG_DFL,
}


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    for name in list(os.environ):
        if name in _DROPPED or (name.startswith("PYTHON") and name not in _PYTHON_KEPT):
            del os.environ[name]
    # For LC_ALL alone, gettext searches several folders for translations of each text of argparse; for "C", none.
    os.environ |= {"LANGUAGE": "C", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    os.umask(0o022)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would hide the exit codes of child processes


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Default signal handling, as in the foreground of a terminal, in this process and in its children.

    ``nohup`` ignores SIGHUP, a shell's ``&`` SIGINT; what is ignored, or blocked, is inherited.
    """
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    before = {number: signal.signal(number, handler) for number, handler in _HANDLED.items()}
    yield
    for number, handler in before.items():
        if handler is not None:  # of C, which Python cannot put back
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
