"""Periodic tasks of a loop: snapshots, the status file, the systemd watchdog."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edge_rnn.errors import missing_folder
from edge_rnn.loop.context import LoopContext
from edge_rnn.loop.persist import snapshot_file
from edge_rnn.loop.persist.disk_thread import Clerk
from edge_rnn.loop.persist.snapshot_file import Saved
from edge_rnn.loop.report.status import as_text, write_status
from edge_rnn.loop.system.systemd import notify, watchdog_s
from edge_rnn.streams.stream import Stream

__all__ = ["Chores"]

_CLOSE_S = 20.0
_NEVER_NS = 1 << 62


class Chores:
    """Schedule of the periodic tasks, checked after each tick; disk jobs are passed to the clerk thread.

    Parameters
    ----------
    snapshot, snapshot_every_s
        Path of the state snapshot and its interval in seconds; None for no snapshots.
    status, status_every_s
        Path of the status file and its interval in seconds.
    describe
        Returns the current status.

    Attributes
    ----------
    steps_before
        Steps of earlier runs, as recorded in the restored snapshot.
    """

    def __init__(
        self,
        stream: Stream,
        context: LoopContext,
        describe: Callable[[], dict[str, Any]],
        snapshot: Path | None,
        snapshot_every_s: float,
        status: Path | None,
        status_every_s: float,
    ) -> None:
        self._stream = stream
        self._counters = context.counters
        self._clock = context.clock
        self._journal = context.journal
        self._describe = describe
        self._snapshot = snapshot
        self._status = status
        self._clerk = Clerk(context.journal)
        self._locked = contextlib.ExitStack()
        watchdog = watchdog_s()
        self._every_ns = {
            "snapshot": int(1e9 * snapshot_every_s) if snapshot else _NEVER_NS,
            "status": int(1e9 * status_every_s) if status else _NEVER_NS,
            "watchdog": int(1e9 * watchdog) if watchdog else _NEVER_NS,
        }
        self._due_ns: dict[str, int] = {}
        self._next_ns = 0
        self._shown = self._asked = 0
        self._saved_steps = 0
        self.steps_before = 0
        self.saved_s: float | None = None

    def start(self) -> Saved | None:
        """Restore the state; return the snapshot used, if any.

        Raises
        ------
        FileError
            The folder of a file is missing, or the status cannot be written.
        """
        saved = None
        for path in filter(None, (self._snapshot, self._status)):
            if not path.parent.is_dir():
                message = f"{path}: cannot be written: No such folder; create it with mkdir -p {path.parent}."
                raise missing_folder(message, path)
        if self._snapshot is not None:
            self._locked.enter_context(snapshot_file.locked(self._snapshot))
        if self._status is not None:  # it may be another loop's, as long as that loop holds the lock
            self._write_status()
        if self._snapshot is not None:
            saved = snapshot_file.restore(self._stream, self._snapshot, partial(self._journal.tell, "restore"))
            if saved is not None:
                self.steps_before, self.saved_s = saved.steps, saved.at_s
        self._clerk.start()
        now_ns = self._clock.now_ns()
        self._due_ns = {kind: now_ns + every for kind, every in self._every_ns.items()}
        self._next_ns = min(self._due_ns.values())
        notify("READY=1")
        return saved

    def show(self) -> None:
        """Request a status report to the message handler (async-signal-safe)."""
        self._asked += 1

    def look(self, now_ns: int) -> None:
        """Run the tasks that are due."""
        if now_ns < self._next_ns and self._asked == self._shown:
            return
        if self._asked != self._shown:
            self._shown = self._asked
            self._clerk.post("show", self._tell_status)
        for kind, due_ns in self._due_ns.items():
            if now_ns >= due_ns:
                self._due_ns[kind] = now_ns + self._every_ns[kind]
                getattr(self, f"_do_{kind}")()
        self._next_ns = min(self._due_ns.values())

    def close(self) -> None:
        """Save state and status a last time and wait until they are on disk; do nothing if never started."""
        if not self._due_ns:  # the files may belong to another loop
            self._locked.close()
            return
        notify("STOPPING=1")
        if self._snapshot is not None:
            self._do_snapshot()
        if self._status is not None:
            self._clerk.post("status", self._write_status)
        if not self._clerk.close(_CLOSE_S):
            self._journal.tell("disk", f"the disk was busy for {_CLOSE_S:g} s; the last snapshot may be missing.")
        self._locked.close()

    def _do_snapshot(self) -> None:
        if self._counters.steps == self._saved_steps:  # nothing changed, and memory cards wear out
            return
        self._saved_steps = self._counters.steps
        at_s = self._clock.wall_s()
        data = snapshot_file.encode(self._stream, self.steps_before + self._counters.steps, at_s)
        self._clerk.post("snapshot", partial(self._write_snapshot, data, at_s))

    def _do_status(self) -> None:
        self._clerk.post("status", self._write_status)

    def _do_watchdog(self) -> None:
        notify("WATCHDOG=1")

    def _write_snapshot(self, data: bytes, at_s: float) -> None:
        assert self._snapshot is not None
        try:
            snapshot_file.write(self._snapshot, data)
        except Exception:
            self._counters.snapshot_failures += 1
            self._saved_steps = -1
            raise
        self._counters.snapshots += 1
        self.saved_s = at_s

    def _write_status(self) -> None:
        assert self._status is not None
        write_status(self._status, self._describe())

    def _tell_status(self) -> None:
        self._journal.say(f"status {as_text(self._describe())}")
