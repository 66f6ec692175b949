"""Comparison of a source with what the model is for: rate, units, range."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

from edge_rnn.errors import InputError, SampleWarning
from edge_rnn.loop.schedule import Kind
from edge_rnn.model import Model
from edge_rnn.recordings.range_watch import RangeMonitor
from edge_rnn.recordings.rate import RateMeter, check_rate, same_rate
from edge_rnn.recordings.units import check_units
from edge_rnn.typing import F32

if TYPE_CHECKING:
    from edge_rnn.recordings.resampling import Resampling

__all__ = ["ON_MISMATCH", "Checks", "OnMismatch"]

OnMismatch = Literal["warn", "raise"]
ON_MISMATCH: tuple[OnMismatch, ...] = get_args(OnMismatch)

_MOST_TIMES = 512


class Checks:
    """Looks at a source when the loop is made, and at its first samples' times.

    Parameters
    ----------
    kind
        Of the source.
    rate_hz
        The loop's.
    on_mismatch
        ``"warn"``: a :class:`~edge_rnn.errors.SampleWarning`; ``"raise"``: an InputError for rate and units, and a
        message for the range.
    any_rate
        Whether another rate is meant.
    resample
        Whether another rate is to be made the model's.
    say
        Takes messages where nothing is warned of.

    Attributes
    ----------
    resampling
        What makes the model's rate; None where none is needed, or it is not known yet.
    notes
        All that was warned of.

    Raises
    ------
    InputError
        Rate or units are not the model's and ``on_mismatch`` is ``"raise"``; or there is nothing to resample to.
    """

    def __init__(
        self,
        model: Model,
        source: Any,
        kind: Kind,
        rate_hz: float | None,
        on_mismatch: OnMismatch,
        any_rate: bool,
        resample: bool,
        say: Callable[[str], None],
    ) -> None:
        if resample and model.sample_rate_hz is None:
            raise InputError("resample takes a model that says its sample rate; give sample_rate_hz when it is made.")
        self._model = model
        self._raises = on_mismatch == "raise"
        self._checks_rate = not any_rate and not resample and model.sample_rate_hz is not None
        self._resamples = resample
        self._say = say
        self._meter = RateMeter(model.sample_rate_hz)
        self._range = RangeMonitor(model)
        self._waits = False
        self._seen = 0
        self.resampling: Resampling | None = None
        self.notes: list[str] = []
        own = getattr(source, "sample_rate_hz", None)
        played = kind == "stored" and (own is not None or getattr(source, "timed", False))
        self._paced_hz = rate_hz
        called = str(getattr(source, "name", "") or type(source).__name__)
        known = own if rate_hz is None or played else rate_hz
        if known is not None:
            self._meter.done = True
            self._set_rate(known, called if known is own else "the loop's steps (--rate, rate_hz)")
            if own is not None and known is rate_hz and kind == "arriving" and not resample:
                self._set_rate(own, called)
        else:
            self._waits = resample or self._checks_rate
        found = check_units(
            getattr(source, "units", ()),
            model.input_units,
            model.input_names,
            called,
            getattr(source, "units_remedy", "convert it before the model"),
        )
        if found:
            self._mismatch(found)

    def look(self, x: F32, t_s: float) -> None:
        """Take a sample's numbers, and its own time (NaN for none)."""
        if self._range.active:
            self._note(self._range.add(x))
        if self._waits:
            self._time(t_s)

    def finish(self) -> None:
        """No more will come.

        Raises
        ------
        InputError
            As when the checks are made, where too few samples came to say it before.
        """
        self._note(self._range.finish())
        if self._waits and self._meter.finish():
            self._measured()

    @property
    def waits(self) -> bool:
        """True where samples have to be kept until the rate is known."""
        return self._resamples and self._waits

    def _time(self, t_s: float) -> None:
        self._seen += 1
        if self._meter.add(t_s):
            self._measured()
        elif math.isnan(t_s) and self._seen == 1:  # then none of them has a time
            if self._paced_hz is not None:
                self._waits = False
                self._set_rate(self._paced_hz, "the loop's steps (--rate, rate_hz)")
            elif self._resamples:
                raise InputError(
                    "resample takes a source that knows its rate, or samples with times: give ?rate=HZ or ?time=COLUMN "
                    "of the source, or --rate."
                )
        elif self._seen == _MOST_TIMES:
            self._waits = False
            if self._resamples:
                raise InputError("the samples' times do not go forwards, so they tell no rate; give ?rate=HZ.")

    def _measured(self) -> None:
        self._waits = False
        found = self._meter.rate_hz
        assert found is not None
        fits = self._meter.unit_that_fits("s")
        more = f" (of times in {fits} it would be: ?time=COLUMN,{fits})" if fits else ""
        if not (self._resamples and same_rate(found, self._model.sample_rate_hz or found)):
            self._set_rate(found, "the source, by its times,", more, measured=True)

    def _set_rate(self, found_hz: float, what: str, more: str = "", measured: bool = False) -> None:
        model_hz = self._model.sample_rate_hz
        if self._resamples and model_hz is not None:
            if found_hz != model_hz:
                from edge_rnn.recordings.resampling import Resampling  # filters, which few loops need

                self.resampling = Resampling(found_hz, model_hz, self._model.input_size, measured)
        elif self._checks_rate:
            problem = check_rate(found_hz, model_hz, what, more)
            if problem:
                self._mismatch(problem)

    def _mismatch(self, text: str) -> None:
        if self._raises:
            raise InputError(text)
        self._note(text)

    def _note(self, text: str) -> None:
        if not text:
            return
        self.notes.append(text)
        if self._raises:
            self._say(text)
        else:
            warnings.warn(text, SampleWarning, stacklevel=4)
