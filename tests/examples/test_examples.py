"""Examples other than the training scripts: the four modes, and the embedded Reber grammar."""

from __future__ import annotations

import importlib
import random
from types import ModuleType

import numpy as np
import pytest

from edge_rnn import Stream, data_path, load, reference
from edge_rnn.sampling import rollout

ROOT = "export/examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    """A module of the examples, by name."""
    monkeypatch.syspath_prepend(str(request.config.rootpath / ROOT))
    return importlib.import_module(request.param)


modes = pytest.mark.parametrize("example", ["modes"], indirect=True)
reber = pytest.mark.parametrize("example", ["reber"], indirect=True)


@modes
@pytest.mark.slow
def test_many_to_many_and_many_to_one(example: ModuleType) -> None:
    assert example.many_to_many() == 3646 / 4000  # as the page of devices/smart_watch says
    folder = data_path("smart_watch")
    model, recording = load(folder / "gru.safetensors"), np.load(folder / "recording.npz")
    starts = [t for t in range(0, 3951, 10) if recording["recording"][t] == recording["recording"][t + 49]]
    answers = [reference.run(model, recording["x"][t : t + 50])[0][-1].argmax() for t in starts]
    assert example.many_to_one() == np.mean(answers == recording["y"][starts])


@modes
def test_one_to_many(example: ModuleType) -> None:
    for text, second in zip(example.one_to_many(), "TP", strict=True):
        assert text.startswith(f"B{second}B")
        assert text.endswith(f"{second}E")
    wave = rollout(Stream(example.oscillator(1.0, 8.0)), [1.0, 0.0], 800)
    t = np.arange(1, 801) / 8
    # Each step rounds twice, and turns what was rounded before it: errors add up.
    np.testing.assert_allclose(wave[:, 0], np.cos(2 * np.pi * t), rtol=0, atol=800 * 2.0**-23)


@modes
@pytest.mark.slow
def test_encoder_and_decoder(example: ModuleType) -> None:
    rng = random.Random(3)
    words = ["", "a", "ab", "recurrent", "z" * example.LONGEST]
    words += ["".join(rng.choices(example.ALPHABET[:-1], k=rng.randint(1, example.LONGEST))) for _ in range(20)]
    for word in words:
        assert example.reversed_by(word) == word[::-1]
        assert example.reversed_by(word, width=3) == word[::-1]


@modes
@pytest.mark.slow
def test_it_prints(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main() == 0
    out = capsys.readouterr().out
    assert "tnerrucer, by beam search skrowten" in out


@reber
def test_strings_of_the_grammar(example: ModuleType) -> None:
    for text in ("BTBTXSETE", "BPBPVVEPE", "BTBPTVPXTVVETE", "BPBTSSXXTVPSEPE"):
        assert example.accepts(text), text
    for text in ("BTBTXSEPE", "BTBTXSET", "BTBTXSETEE", "BBTXSEE", "BTXSE", "", "BTBTSETE", "btbtxsete"):
        assert not example.accepts(text), text
    assert [example.allowed(each) for each in ("", "B", "BT", "BTB", "BTBT", "BTBTX", "BTBTXX", "BTBTXS")] == [
        "B", "PT", "B", "PT", "SX", "SX", "TV", "E",
    ]  # fmt: skip
    assert (example.allowed("BPBTXSE"), example.allowed("BPBTXSEP"), example.allowed("BPBTXSEPE")) == ("P", "E", "")
    with pytest.raises(ValueError, match="letter 3"):
        example.allowed("BTT")


@reber
def test_drawn_strings_are_of_the_grammar(example: ModuleType) -> None:
    rng = random.Random(0)
    for back, lowest, highest in ((0.0, 5, 6), (0.5, 6.5, 8.5), (0.75, 13, 19)):
        texts = [example.draw(rng, back) for _ in range(2000)]
        assert all(map(example.accepts, texts))
        assert lowest <= np.mean([example.lag(text) for text in texts]) <= highest
        assert min(map(example.lag, texts)) == 5
        assert 900 < sum(text[1] == "T" for text in texts) < 1100
