"""Disk writes in a separate thread, so that a slow SD card does not delay the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge_rnn.loop.report.journal import Journal

__all__ = ["Clerk"]

Job = Callable[[], None]


class Clerk:
    """Runs jobs in order. A job that has not started is replaced by a newer job of the same kind."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._busy = False
        self._leaving = False
        self._thread = threading.Thread(target=self._work, name="edge_rnn clerk", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def post(self, kind: str, job: Job) -> None:
        """Queue a job; it replaces a waiting job of the same kind."""
        with self._changed:
            self._jobs[kind] = job
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until all jobs are done, ``seconds`` at most; False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, seconds)

    def close(self, seconds: float) -> bool:
        """Finish the waiting jobs and end the thread; False on timeout."""
        done = self.wait(seconds)
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        return done

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._leaving)
                if not self._jobs:
                    return
                kind = next(iter(self._jobs))
                job = self._jobs.pop(kind)
                self._busy = True
            try:
                job()
            except Exception as error:  # the clerk must survive any job
                self._journal.tell(kind, str(error) or type(error).__name__)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
