"""Moving statistics against NumPy on each window, and after ten million samples."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import needs
from edge_rnn.frontend import Moving
from edge_rnn.frontend.moving import STATISTICS


def direct(windows: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of ``(windows, samples, channels)`` by their definitions, in float64."""
    signs = np.signbit(windows)
    energy = (windows**2).sum(axis=1)
    return {
        "mean": windows.mean(axis=1),
        "std": windows.std(axis=1),
        "min": windows.min(axis=1),
        "max": windows.max(axis=1),
        "range": windows.max(axis=1) - windows.min(axis=1),
        "rms": np.sqrt(energy / windows.shape[1]),
        "energy": energy,
        "crossings": (signs[:, 1:] != signs[:, :-1]).sum(axis=1),
    }


@given(
    window=st.integers(1, 40),
    hop=st.integers(1, 50),
    channels=st.integers(1, 5),
    seed=st.integers(0, 1000),
    order=st.permutations(STATISTICS),
    offset=st.sampled_from([0.0, 1e4]),
)
def test_each_window_by_its_definition(
    window: int, hop: int, channels: int, seed: int, order: list[str], offset: float
) -> None:
    xs = (np.random.default_rng(seed).standard_normal((200, channels)) + offset).astype(np.float32)
    moving = Moving(order, window=window, hop=hop, channels=channels)
    ys = moving.run(xs)
    starts = range(0, 200 - window + 1, hop)
    expected = direct(np.array([xs[start : start + window] for start in starts], np.float64))
    assert ys.shape == (len(starts), 8 * channels)
    assert moving.names[: channels + 1][-1] == (f"{order[1]} 0")
    for name, got in zip(order, np.split(ys, 8, axis=1), strict=True):
        # Sums of 40 terms in float64, then float32; a deviation is what is left of terms as large as the offset.
        np.testing.assert_allclose(got, expected[name], rtol=2.0**-23, atol=offset * 1e-14, err_msg=name)


def test_nothing_drifts_in_ten_million_samples() -> None:
    """A large offset, and a spike whose rounding error would stay in running sums."""
    rng = np.random.default_rng(5)
    moving = Moving(("mean", "std", "min", "max", "energy"), window=1000, hop=997)
    block = (1e3 + rng.standard_normal(1_000_000)).astype(np.float32)
    block[10] = 3e37
    for _ in range(10):
        ys = moving.run(block)
    end = 10_000_000 - (10_000_000 - 1000) % 997
    last = np.roll(np.tile(block, 2), -(end % 1_000_000))[-1000:].astype(np.float64).tolist()
    mean = math.fsum(last) / 1000
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in last) / 1000)
    expected = [mean, deviation, min(last), max(last), math.fsum(value * value for value in last)]
    np.testing.assert_array_equal(ys[-1], np.array(expected, np.float32))


def test_crossings_are_librosas() -> None:
    librosa = needs.package("librosa")
    xs = np.random.default_rng(6).integers(-2, 3, 5000).astype(np.float32)
    xs[100:200] = -0.0
    ys = Moving(("crossings",), window=50, hop=50).run(xs)[:, 0]
    expected = [librosa.zero_crossings(part, pad=False, threshold=0).sum() for part in xs.reshape(-1, 50)]
    np.testing.assert_array_equal(ys, expected)
