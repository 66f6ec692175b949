"""``to_ort``: the file runs, and the list names the operators that it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_rnn import Model, Stream
from edge_rnn.errors import InputError
from edge_rnn_export import OrtStream, to_ort


@pytest.mark.parametrize("form", ["step", "sequence"])
def test_file_and_list(form: str, make_model: Callable[..., Model], tmp_path: Path) -> None:
    model = make_model("gru", 3, 7)
    report = to_ort(model, tmp_path / "wrist.ort", form=form, steps=50)  # type: ignore[arg-type]
    assert report.passed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrist.ort", "wrist.required_operators.config"]
    listed = (tmp_path / "wrist.required_operators.config").read_text(encoding="utf-8")
    assert "GRU" in listed
    assert str(tmp_path.parent) not in listed
    if form == "step":
        xs = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
        np.testing.assert_allclose(OrtStream(tmp_path / "wrist.ort").run(xs), Stream(model).run(xs), atol=3e-6)


def test_another_ending_is_refused(make_model: Callable[..., Model], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.ort"):
        to_ort(make_model("gru", 3, 7), tmp_path / "wrist.onnx")
    assert not list(tmp_path.iterdir())
