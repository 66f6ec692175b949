"""Examples in docstrings run, and every public name of edge_rnn has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import edge_rnn

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = sorted(path for path in (ROOT / "edge_rnn").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0


@pytest.mark.parametrize("name", sorted(set(edge_rnn.__all__) - {"EdgeRnnError"}))
def test_name_at_the_top_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(getattr(edge_rnn, name)) or "")
