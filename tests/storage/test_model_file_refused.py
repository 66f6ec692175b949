"""Model files that are damaged or inconsistent."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_rnn.model import Model
from edge_rnn.storage.model_file import load, save
from model_file_parts import (
    REFUSED,
    Parts,
    pack,
    put,
    refusal,
    take_apart,
)
from model_files import (
    MakeModel,
    Shifted,
    assert_same,
)


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_load_refuses(make: Callable[[Parts], bytes], message: str, good: bytes, folder: Path) -> None:
    assert message in refusal(make(take_apart(good)), folder)


def test_taken_apart_and_put_together_is_the_same_model(good: bytes, folder: Path) -> None:
    """The files of the table above have no faults except those listed there."""
    (folder / "again.safetensors").write_bytes(take_apart(good).bytes())
    (folder / "first.safetensors").write_bytes(good)
    assert_same(load(folder / "again.safetensors"), load(folder / "first.safetensors"))


def test_a_vocabulary_is_of_version_2_and_no_file_without_one_changes(make_model: MakeModel, folder: Path) -> None:
    model = make_model("gru", 3, 4, head=3)
    save(replace(model, vocabulary=("a", "b", "\n")), folder / "words.safetensors")
    save(model, folder / "plain.safetensors")
    words, plain = (take_apart((folder / f"{name}.safetensors").read_bytes()) for name in ("words", "plain"))
    assert load(folder / "words.safetensors").vocabulary == ("a", "b", "\n")
    assert (words.description["version"], words.description["vocabulary"]) == (2, ["a", "b", "\n"])
    assert plain.description["version"] == 1
    assert "vocabulary" not in plain.description
    for change, message in [
        ({"vocabulary": ["a", "b"]}, "Model vocabulary got 2 texts, expected 3"),
        ({"vocabulary": ["a", "b", "b"]}, "Model vocabulary got 'b' as symbol 2, expected different, non-empty texts"),
        ({"vocabulary": ["a", "b", "\x1b[2J"]}, "expected a text without control characters"),
        ({"vocabulary": ["a", "b", 3]}, "metadata vocabulary got ['a', 'b', 3], expected list[str]"),
        ({"version": 1}, "metadata has"),
        ({"other": 1}, "metadata has"),
    ]:
        parts = copy.deepcopy(words)
        parts.description |= change
        assert message in refusal(parts.bytes(), folder)


def test_layers_of_one_name(good: bytes, folder: Path) -> None:
    parts = take_apart(good)
    parts.description["layers"].append(copy.deepcopy(parts.description["layers"][1]))
    assert "Model has 2 layers called 'dense2'" in refusal(parts.bytes(), folder)


def test_options_of_a_new_kind_are_checked(shifted: Shifted, folder: Path) -> None:
    save(Model([shifted], input_size=2), folder / "m.safetensors")
    data = (folder / "m.safetensors").read_bytes()
    for name, value, message in [
        ("mode", "left", "layer 'shifted1' mode got 'left', expected one of 'up', 'down'"),
        ("gain", "1", "layer 'shifted1' gain got '1', expected float"),
        ("gain", True, "layer 'shifted1' gain got True, expected float"),
        ("times", 1.5, "layer 'shifted1' times got 1.5, expected int"),
        ("note", 3, "layer 'shifted1' note got 3, expected str | None"),
    ]:
        assert message in refusal(put(f"layers.0.options.{name}", value)(take_apart(data)), folder)
    infinite = json.dumps(take_apart(data).description).replace('"gain": 0.1', '"gain": 1e999')
    header = {"__metadata__": {"edge_rnn": infinite}, **take_apart(data).header}
    refusal(pack(header, take_apart(data).data), folder)
