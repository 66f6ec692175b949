"""What has to wait for the disk, done in a thread of its own: a slow SD card costs the loop nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge_rnn.loop.report.journal import Journal

__all__ = ["Clerk"]

Job = Callable[[], None]


class Clerk:
    """Does jobs, one after another. Of each kind the latest waits: a job that has not begun is replaced by it."""

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
        """Have a job done soon, instead of the one of its kind that is still waiting."""
        with self._changed:
            self._jobs[kind] = job
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Until nothing is left to do; False if the time was over first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, seconds)

    def close(self, seconds: float) -> bool:
        """Finish what is waiting, and leave; False if the time was over first."""
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
            except Exception as error:  # the clerk goes on
                self._journal.tell(kind, str(error) or type(error).__name__)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
