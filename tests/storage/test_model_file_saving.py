"""Saving: errors, and existing files stay intact."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import FileError, InputError
from edge_rnn.layers import LAYER_TYPES, Add, Dense
from edge_rnn.model import Model
from edge_rnn.storage import model_file
from edge_rnn.storage.model_file import load, save
from model_files import (
    MakeModel,
    Shifted,
    assert_same,
)


@pytest.mark.parametrize("path", [3, None, b"m.safetensors", ["m"]])
def test_what_is_no_path(path: Any, make_model: MakeModel) -> None:
    with pytest.raises(InputError, match=f"load got {type(path).__name__} as the path, expected a str or"):
        load(path)
    with pytest.raises(InputError, match=f"save got {type(path).__name__} as the path"):
        save(make_model("gru", 1, 1), path)


def test_save_refuses(make_model: MakeModel, tmp_path: Path, shifted: Shifted, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("gru", 2, 3)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"kept")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    infinite = Model([Shifted(np.zeros(2, np.int8), gain=np.inf)], input_size=2)
    strange = Model([Shifted(np.zeros(2, np.int8), note={1})], input_size=2)  # type: ignore[arg-type]
    many = Model([Dense([[1.0]]) for _ in range(model_file.MAX_LAYERS + 1)])
    wide = Model([Add(inputs=("input", "input"))], input_size=model_file.MAX_VALUES)
    target = tmp_path / "m.safetensors"
    before = sorted(tmp_path.iterdir())
    cases: list[tuple[Any, Path | str, type[Exception], str]] = [
        ({}, target, InputError, "save got dict, expected a Model"),
        (model, tmp_path / "none" / "m", FileError, f"there is no folder {str(tmp_path / 'none')!r}; make it first."),
        (model, tmp_path / "file" / "m", FileError, "there is no folder"),
        (model, tmp_path / "folder", FileError, "cannot be written: it is a folder or a device"),
        (model, tmp_path / "fifo", FileError, "cannot be written: it is a folder or a device"),
        (model, tmp_path / "loop", FileError, "cannot be written: "),
        (model, f"{tmp_path}/a\0b", FileError, "embedded null"),
        (model, tmp_path / ("n" * 300), FileError, "cannot be written: File name too long"),
        (infinite, target, InputError, "save cannot store this model: "),
        (strange, target, InputError, "save cannot store this model: "),
        (many, target, InputError, "has 1001 layers, expected at most 1000"),
        (wide, target, InputError, "values in a step, expected at most 16777216"),
    ]
    for what, path, kind, message in cases:
        with pytest.raises(kind) as caught:
            save(what, path)
        assert message in str(caught.value)
        assert sorted(tmp_path.iterdir()) == before
    monkeypatch.setattr(model_file, "LAYER_TYPES", LAYER_TYPES)
    with pytest.raises(InputError, match="save cannot store Shifted 'shifted1'; files hold layers of Elman, LSTM, GRU"):
        save(Model([shifted], input_size=2), target)
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_save_leaves_everything_as_it_was(
    existing: bool,
    failing: str,
    error: BaseException,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "m.safetensors"
    if existing:
        save(make_model("gru", 2, 3, seed=1), path)
    before = {each: each.read_bytes() for each in tmp_path.iterdir()}

    def fail(*_: object) -> None:
        assert len(list(tmp_path.iterdir())) == len(before) + 1  # written aside, in the same folder
        raise error

    monkeypatch.setattr(*((os, "fsync", fail) if failing == "fsync" else (Path, "replace", fail)))
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else FileError
    with pytest.raises(expected) as caught:
        save(make_model("lstm", 2, 3, seed=2), path)
    if expected is FileError:
        assert str(caught.value) == f"{path}: cannot be written: No space left on device."
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_save_replaces(make_model: MakeModel, tmp_path: Path) -> None:
    path, link = tmp_path / "m.safetensors", tmp_path / "current"
    save(make_model("gru", 2, 3), path)
    link.symlink_to(path.name)
    new = make_model("lstm", 2, 3)
    save(new, link)
    assert link.is_symlink()
    assert_same(load(path), new)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["current", "m.safetensors"]


def test_save_asks_for_the_usual_rights(make_model: MakeModel, tmp_path: Path) -> None:
    """Another user's service may need to read the model: permissions follow the umask, not a temporary file's 0600."""
    (tmp_path / "plain").write_bytes(b"")
    save(make_model("gru", 2, 3), tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_save_into_the_working_folder(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = make_model("elman_relu", 2, 3)
    save(model, "m.safetensors")
    assert_same(load("m.safetensors"), model)
