"""Networks of the embedded Reber grammar: the figures of their page, and the strings that they generate."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from edge_rnn.cli import main
from edge_rnn.storage.model_file import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "devices" / "reber"
NETWORKS = {"elman": "Elman", "gru": "GRU", "lstm": "LSTM"}


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "export" / "examples"))
    return importlib.import_module("reber_score")


def promised(network: str) -> list[int]:
    """Figures of a row of the page's table, without percentages."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{network}` \|(.*)\|$", page, re.M)
    return [int(number) for number in re.findall(r"(?<![.\d])\d+(?![.\d]| %)", row)]


@pytest.mark.parametrize("network", NETWORKS)
def test_network_knows_its_letters(network: str, scoring: ModuleType) -> None:
    path = FOLDER / f"{network}.safetensors"
    assert path.stat().st_size < 10_000
    model = load(path)
    assert [layer.kind for layer in model.layers] == [NETWORKS[network], "Dense"]
    assert "".join(model.vocabulary) == "".join(model.labels) == "BTSXPVE"
    assert model.layers[-1].options == {"activation": "none"}
    assert promised(network)[-1] == model.num_parameters


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.slow
def test_network_is_as_its_page_says(network: str, scoring: ModuleType) -> None:
    found = scoring.score(load(FOLDER / f"{network}.safetensors"))
    letters, of_letters, far, of_far, *ranges, written, of_written, _ = promised(network)
    pairs = [number for pair in zip(found.far, found.of_far, strict=True) for number in pair]
    assert (of_letters, of_far, of_written) == (found.of_letters, 2000, 1000)
    if network == "elman":  # it guesses, so rounding on another CPU may turn a guess here and there
        assert abs(found.letters - letters) <= 5
        assert abs(sum(found.far) - far) <= 5
        assert sum(found.far) < 0.6 * 2000
    else:
        assert (found.letters, sum(found.far), pairs) == (letters, far, ranges)
        assert sum(found.far) == 2000
    assert abs(found.written - written) <= 5  # likewise: a draw at the border between two letters


@pytest.mark.parametrize("network", ["lstm", "gru"])
@pytest.mark.sampled(1)
def test_generate_writes_strings_of_the_grammar(
    network: str, scoring: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(FOLDER / f"{network}.safetensors")
    command = ["generate", path, "--prompt", "B", "--stop", "TE", "--stop", "PE", "--json"]
    assert main([*command, "--count", "300", "--seed", "1000"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 300
    assert sum(scoring.accepts(line["prompt"] + line["text"]) for line in lines) >= 0.95 * 300
    # The likeliest strings are all of it, and there are short ones enough.
    assert main([*command, "--beam", "64", "--count", "20"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(scoring.accepts(line["prompt"] + line["text"]) for line in lines)
    assert len({line["text"] for line in lines}) == 20
