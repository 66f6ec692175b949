"""What a loop does beside its samples, at intervals: snapshots, the status file, word to systemd."""

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
    """Looks at the clock after each tick, and hands what is due to the clerk.

    Parameters
    ----------
    snapshot, snapshot_every_s
        File of the state, and how often it is taken; None for no snapshots.
    status, status_every_s
        File of the status, and how often it is written.
    describe
        Makes the status.

    Attributes
    ----------
    steps_before
        Steps of the network in earlier runs, by the snapshot that was restored.
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
        """Restore the state; returns what it was restored from.

        Raises
        ------
        FileError
            A file's folder is not there, or the status cannot be written.
        """
        saved = None
        for path in filter(None, (self._snapshot, self._status)):
            if not path.parent.is_dir():
                message = f"{path}: cannot be written: No such folder; mkdir -p {path.parent} makes it."
                raise missing_folder(message, path)
        if self._snapshot is not None:
            self._locked.enter_context(snapshot_file.locked(self._snapshot))
        if self._status is not None:  # which may be that of another loop, as long as it has the lock
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
        """Have the status told in the journal's place for messages, soon. Safe in a signal handler."""
        self._asked += 1

    def look(self, now_ns: int) -> None:
        """Do what is due."""
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
        """Save the state and the status once more, and wait until they are on the disk; if it was started."""
        if not self._due_ns:  # the files may be another loop's
            self._locked.close()
            return
        notify("STOPPING=1")
        if self._snapshot is not None:
            self._do_snapshot()
        if self._status is not None:
            self._clerk.post("status", self._write_status)
        if not self._clerk.close(_CLOSE_S):
            self._journal.tell("disk", f"the disk did not answer for {_CLOSE_S:g} s; the last snapshot may be missing.")
        self._locked.close()

    def _do_snapshot(self) -> None:
        if self._counters.steps == self._saved_steps:  # nothing is new, and memory cards wear out
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
