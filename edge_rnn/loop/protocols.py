"""Protocols of sources and sinks; a class of ten lines can implement one."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from numpy.typing import ArrayLike

from edge_rnn.errors import InputError
from edge_rnn.typing import F32

__all__ = ["SampleError", "Sink", "SinkClosed", "Source", "SourceUnfit", "Timed"]


class Timed(NamedTuple):
    """Sample with its time."""

    x: ArrayLike
    """``(input_size,)`` float32."""

    t_s: float
    """Time in seconds, of any clock that never goes backwards: Unix time, or since the start of a recording."""


class SampleError(InputError):
    """Unusable sample; the source continues with the next one."""


class SourceUnfit(InputError):  # noqa: N818 - reported as it stands, and not the error of one sample
    """Source that does not match the model's input, which no retry can change: the loop ends with this error."""


class SinkClosed(Exception):  # noqa: N818 - an event, not an error
    """End of the sink's reader: the loop ends as if a stop had been requested."""


class Source(Protocol):
    """Source of samples.

    Optional attributes control how the loop reads it; the defaults are ``blocks = True``, ``live = True``, ``steady =
    False``:

    ``blocks``
        True if ``read`` may wait. The source is then read in its own thread, into a ring of fixed size. A source that
        does not wait is read in the loop's thread, at each tick; if it hangs nevertheless, the loop hangs too, and only
        systemd's watchdog detects it.
    ``live``
        True if samples arrive in real time, so that old ones lose their value. False for a recording: none of its
        samples is ever dropped.
    ``steady``
        True if a working source is never silent, like a microphone; a silent one is then re-created. For other sources
        (a sensor that reports changes, a broker), silence is only reported.

    Three further attributes describe the samples; the loop compares them with the model's:

    ``sample_rate_hz``
        Sample rate in Hz, or None. If it is missing and the samples are :class:`Timed`, the loop measures the rate.
    ``units``
        One text per channel, such as ``"m/s^2"``; unknown units are not compared.
    ``timed``
        True if samples may be :class:`Timed`, so that the loop's ``rate_hz`` is only the playback speed.

    An optional ``close()`` is called at the end, from another thread than ``read``; it should make a waiting ``read``
    return.

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
        """Return the next sample ``(input_size,)``, with or without its time; None or StopIteration at the end.

        For a model with an input called ``elapsed`` a sample may leave that value out: ``(input_size - 1,)``. The loop
        then takes the seconds since the last sample that the network used from the samples' times; without times, from
        ``sample_rate_hz``; without that, from the arrival of live samples.

        Raises
        ------
        SampleError
            This sample is unusable. It is counted, and the next one is read at once.
        Exception
            Any other exception counts as a failure: it is reported, and the source is retried with exponential backoff
            (re-created if a factory was given).
        """


class Sink(Protocol):
    """Receiver of outputs. An optional ``close()`` is called at the end; the loop waits for it, at most 15 s.

    A sink that delivers outputs asynchronously may have an attribute ``undelivered``: the number of outputs accepted
    but not delivered yet. Those left after ``close`` are counted as lost.
    """

    def write(self, y: F32, t_s: float) -> None:
        """Accept one output, quickly: the loop waits for it.

        Parameters
        ----------
        y
            ``(output_size,)`` float32, the same array at each call: copy it to keep it.
        t_s
            Time of the sample in seconds: the source's own, else the Unix time of arrival.

        Raises
        ------
        SinkClosed
            The reader wants no more outputs.
        BlockingIOError
            The sink is full. For a recording that is not played in real time the loop retries for some seconds;
            otherwise it is a failure like any other.
        Exception
            Any other exception counts as a failure: it is reported, this output is lost, and the sink is retried with
            exponential backoff, with the output that is then current.
        """
