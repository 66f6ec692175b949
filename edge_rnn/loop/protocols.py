"""What a loop reads from and writes to: two protocols that a class of ten lines fits."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from numpy.typing import ArrayLike

from edge_rnn.errors import InputError
from edge_rnn.typing import F32

__all__ = ["SampleError", "Sink", "SinkClosed", "Source", "SourceUnfit", "Timed"]


class Timed(NamedTuple):
    """A sample with the time at which it was taken."""

    x: ArrayLike
    """``(input_size,)`` float32."""

    t_s: float
    """Seconds, of any clock that goes forwards: Unix time, or from the start of a recording."""


class SampleError(InputError):
    """There was a sample, but it cannot be used; the source goes on with its next one."""


class SourceUnfit(InputError):  # noqa: N818 - told as it is, and not one sample's error
    """What a source gives is not what the model reads, and no retry will change that: the loop ends with this error."""


class SinkClosed(Exception):  # noqa: N818 - a piece of news, not an error
    """Whoever read the results wants no more of them: the loop ends as if it had been asked to."""


class Source(Protocol):
    """Where samples come from.

    Attributes tell the loop how to treat it; without them it is ``blocks = True``, ``live = True``, ``steady = False``:

    ``blocks``
        Whether ``read`` may wait. Such a source is read in a thread of its own, into a ring of fixed size. One that
        does not wait is read in the loop's thread, at each tick; if it hangs after all, so does the loop, and only
        systemd's watchdog sees it.
    ``live``
        Whether samples come at the world's pace, so that old ones lose their worth. False for a recording: none of its
        samples is ever dropped.
    ``steady``
        Whether it is never silent while it works, as a microphone: silence is then answered by making it again. Of
        others (a sensor that reports changes, a broker) silence is only reported.

    Three more are for what the source knows; the loop compares them with what the model is for:

    ``sample_rate_hz``
        Samples a second, or None. A source without it whose samples are :class:`Timed` is measured.
    ``units``
        A text a channel, such as ``"m/s^2"``; unknown ones are compared with nothing.
    ``timed``
        True where samples may be :class:`Timed`, so that a ``rate_hz`` of the loop is only how fast they are played.

    A ``close()``, if there is one, is called at the end and from another thread than ``read``, which it should wake.

    Examples
    --------
    >>> import numpy as np
    >>> class Ramp:
    ...     blocks = False
    ...     live = False
    ...     i = 0
    ...     def read(self):
    ...         self.i += 1
    ...         return np.array([self.i], np.float32) if self.i <= 100 else None
    """

    def read(self) -> ArrayLike | Timed | None:
        """The next sample ``(input_size,)``, or with its time; None, or StopIteration, at the end, for good.

        Raises
        ------
        SampleError
            This one cannot be used. It is counted; the next one is asked for at once.
        Exception
            Whatever else is a failure: it is reported, and after a delay that grows the source is read again, or made
            anew where the loop was given a function that makes it.
        """


class Sink(Protocol):
    """Where outputs go. A ``close()``, if there is one, is called at the end, and waited for, 15 s at most.

    A sink that hands outputs on by itself may have an attribute ``undelivered``: how many it took and has not
    delivered. Those that are left after ``close`` are counted as lost.
    """

    def write(self, y: F32, t_s: float) -> None:
        """Take one output, soon: the loop waits for it.

        Parameters
        ----------
        y
            ``(output_size,)`` float32, the same array each time: copy it to keep it.
        t_s
            Time of the sample in seconds: the source's own, else Unix time at which it came.

        Raises
        ------
        SinkClosed
            The reader wants no more of them.
        BlockingIOError
            There is no place for it now. The samples of a recording that nothing presses are kept waiting for some
            seconds; else it is as any failure.
        Exception
            Whatever else is a failure: it is reported, this output is lost, and after a delay that grows the sink is
            tried with the then current one.
        """
