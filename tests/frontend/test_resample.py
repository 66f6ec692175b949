"""Resampling against SciPy's, and against the specification of the filter."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import needs
from edge_rnn.errors import InputError
from edge_rnn.frontend import Resample
from edge_rnn.frontend.kaiser import beta_of, half_length_of, low_pass

RATES = [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 16000), (100, 50), (50, 100), (49.7, 50), (3, 7)]
# Sums of up to 100 products in float64 are good to 1e-14; what is left is the rounding of the result to float32.
ROUNDING = 2.0**-24


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_it_is_upfirdn(rate_in: float, rate_out: float) -> None:
    signal = needs.package("scipy", "scipy.signal")
    resample = Resample(rate_in, rate_out, channels=3)
    xs = np.random.default_rng(1).standard_normal((3000, 3)).astype(np.float32)
    ys = resample.run(xs)
    expected = signal.upfirdn(resample.taps, xs.astype(np.float64), resample.up, resample.down, axis=0)[: len(ys)]
    np.testing.assert_allclose(ys, expected, rtol=ROUNDING, atol=1e-13)
    assert len(ys) == -(-3000 * resample.up // resample.down)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_it_is_resample_poly_but_late_by_what_it_says(rate_in: float, rate_out: float) -> None:
    signal = needs.package("scipy", "scipy.signal")
    resample = Resample(rate_in, rate_out)
    late, late_out = resample.delay, resample.delay_out
    assert late_out == late * resample.up / resample.down
    assert 1 in (late.denominator, late_out.denominator)
    # Whole at the output's rate, or made so by leaving out samples at the start: each is down / up of an output.
    xs = np.random.default_rng(2).standard_normal(4000).astype(np.float32)
    lead = next(n for n in range(resample.down) if ((late + n) * resample.up) % resample.down == 0)
    ys = Resample(rate_in, rate_out).run(np.concatenate([np.zeros(lead, np.float32), xs]))[:, 0]
    skip = int((late + lead) * resample.up / resample.down)
    window = resample.taps / resample.up
    expected = signal.resample_poly(xs.astype(np.float64), resample.up, resample.down, window=window)
    count = len(ys) - skip
    assert count > 1000
    np.testing.assert_allclose(ys[skip:], expected[:count], rtol=ROUNDING, atol=1e-13)


@pytest.mark.parametrize("attenuation_db", [30.0, 60.0, 80.0])
@pytest.mark.parametrize("passband", [0.5, 0.8, 0.9])
def test_the_filter_passes_and_stops_what_it_should(attenuation_db: float, passband: float) -> None:
    resample = Resample(3, 2, attenuation_db=attenuation_db, passband=passband)
    response = np.abs(np.fft.rfft(resample.taps, 1 << 16)) / resample.up
    share = np.arange(len(response)) / (len(response) - 1) * max(resample.up, resample.down)  # of the lower half
    ripple = 10 ** (-(attenuation_db - 1) / 20)  # Kaiser's formulas, fitted by hand, are good to less than 1 dB
    assert response[share >= 1].max() <= ripple
    # The gain at 0 Hz is made 1 where it would have been off by as much as that, so the others are off by twice that.
    assert np.abs(response[share <= passband] - 1).max() <= 2 * ripple


def test_the_design_is_scipys() -> None:
    signal = needs.package("scipy", "scipy.signal")
    for attenuation_db in (20.5, 21.0, 35.0, 50.0, 50.1, 96.0):
        assert beta_of(attenuation_db) == pytest.approx(signal.kaiser_beta(attenuation_db), abs=1e-12)
        assert abs(2 * half_length_of(attenuation_db, 0.1) - signal.kaiserord(attenuation_db, 0.1)[0]) <= 3
    taps = low_pass(57, 0.23, beta_of(64))
    np.testing.assert_allclose(taps, signal.firwin(115, 0.23, window=("kaiser", beta_of(64))), atol=1e-15)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_tone_stays_a_tone(rate_in: float, rate_out: float) -> None:
    """A tone in the pass band keeps its frequency and amplitude, delayed by ``delay``: 60 dB are 1e-3."""
    hz = 0.3 * min(rate_in, rate_out)
    resample = Resample(rate_in, rate_out)
    xs = np.sin(2 * np.pi * hz / rate_in * np.arange(4000)).astype(np.float32)
    ys = resample.run(xs)[:, 0]
    t = np.arange(len(ys)) / rate_out - float(resample.delay) / rate_in
    settled = slice(int(2 * resample.delay_out) + 2, None)
    assert np.abs(ys - np.sin(2 * np.pi * hz * t))[settled].max() < 2e-3


def test_44100_to_16000_is_160_to_441() -> None:
    resample = Resample(44100, 16000)
    assert resample.ratio == Fraction(160, 441)
    assert resample.nbytes < 400_000
    assert len(resample.run(np.zeros(44100 * 3, np.float32))) == 48000


def test_equal_rates_change_nothing() -> None:
    xs = np.random.default_rng(3).standard_normal((50, 2)).astype(np.float32)
    resample = Resample(16000, 16000.0, channels=2)
    np.testing.assert_array_equal(resample.run(xs), xs)
    assert resample.delay == 0


@pytest.mark.parametrize(
    "options",
    [
        {"rate_in_hz": -1},
        {"rate_in_hz": float("inf")},
        {"rate_out_hz": "16000"},
        {"channels": 0},
        {"channels": 1.0},
        {"attenuation_db": 10},
        {"passband": 1},
    ],
)
def test_options_out_of_bounds_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"Resample {next(iter(options))} got"):
        Resample(**{"rate_in_hz": 2, "rate_out_hz": 1, **options})  # type: ignore[arg-type]
