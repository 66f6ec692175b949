"""Checks that a source matches the model: sample rate, units, range."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

from edge_rnn.errors import InputError, SampleWarning
from edge_rnn.loop.schedule import Kind
from edge_rnn.model import Model
from edge_rnn.recordings.elapsed import measured
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
    """Checks of a source, made when the loop is created and from the times of the first samples.

    Parameters
    ----------
    kind
        Kind of the source.
    rate_hz
        Rate of the loop.
    on_mismatch
        ``"warn"``: issue a :class:`~edge_rnn.errors.SampleWarning`. ``"raise"``: raise an InputError for a mismatch in
        rate or units, and report a range mismatch through ``say``.
    any_rate
        True to accept a rate that differs from the model's.
    resample
        True to resample the source to the model's rate.
    say
        Receiver of messages that are not issued as warnings.

    Attributes
    ----------
    resampling
        The resampler; None if none is needed or the source's rate is not known yet.
    notes
        All warnings issued so far.

    Raises
    ------
    InputError
        Rate or units differ from the model's and ``on_mismatch`` is ``"raise"``; or ``resample`` is True and the model
        has no sample rate.
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
            raise InputError("resample needs a model with a sample rate; set sample_rate_hz when you create the model.")
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
        units = getattr(source, "units", ())
        whole = len(units) == model.input_size  # not without the time since the last sample
        found = check_units(
            units,
            model.input_units if whole else measured(model, model.input_units),
            model.input_names if whole else measured(model, model.input_names),
            called,
            getattr(source, "units_remedy", "convert the values before the model"),
        )
        if found:
            self._mismatch(found)

    def look(self, x: F32, t_s: float) -> None:
        """Check a sample's values and its time (NaN if it has none)."""
        if self._range.active:
            self._note(self._range.add(x))
        if self._waits:
            self._time(t_s)

    def finish(self) -> None:
        """Complete the checks at the end of the input.

        Raises
        ------
        InputError
            A mismatch was found only now, because too few samples had arrived before; see the class.
        """
        self._note(self._range.finish())
        if self._waits and self._meter.finish():
            self._measured()

    @property
    def waits(self) -> bool:
        """True while samples must be buffered because the source's rate is not known yet."""
        return self._resamples and self._waits

    def _time(self, t_s: float) -> None:
        self._seen += 1
        if self._meter.add(t_s):
            self._measured()
        elif math.isnan(t_s) and self._seen == 1:  # if the first sample has no time, none has
            if self._paced_hz is not None:
                self._waits = False
                self._set_rate(self._paced_hz, "the loop's steps (--rate, rate_hz)")
            elif self._resamples:
                raise InputError(
                    "resample needs a source with a known rate, or samples with times; give the source ?rate=HZ or "
                    "?time=COLUMN, or use --rate."
                )
        elif self._seen == _MOST_TIMES:
            self._waits = False
            if self._resamples:
                raise InputError("sample times do not increase, so the rate cannot be measured; give ?rate=HZ.")

    def _measured(self) -> None:
        self._waits = False
        found = self._meter.rate_hz
        assert found is not None
        fits = self._meter.unit_that_fits("s")
        more = f" (it would match if times are in {fits}: ?time=COLUMN,{fits})" if fits else ""
        if not (self._resamples and same_rate(found, self._model.sample_rate_hz or found)):
            self._set_rate(found, "the source, measured from its times,", more, measured=True)

    def _set_rate(self, found_hz: float, what: str, more: str = "", measured: bool = False) -> None:
        model_hz = self._model.sample_rate_hz
        if self._resamples and model_hz is not None:
            if found_hz != model_hz:
                from edge_rnn.recordings.resampling import Resampling  # imports filters, which few loops need

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
