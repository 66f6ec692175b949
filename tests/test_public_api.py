"""What `import edge_rnn` offers, and what it does not load."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edge_rnn
import edge_rnn_export

ROOT = Path(__file__).parents[1]
ERRORS = {"CompileError", "EdgeRnnError", "FileError", "InputError", "ModelError", "StateError", "UnsupportedError"}
LAYERS = {"Add", "Dense", "Elman", "Embedding", "GRU", "LSTM", "Standardize"}
FUNCTIONS = {"beam_search", "data_path", "dequantize", "generate", "load", "quantize", "save", "shrink", "step"}
RUNNING = {"Model", "SensorLoop", "Stream", "StreamBank", "WindowedStream"}
PUBLIC = ERRORS | LAYERS | FUNCTIONS | RUNNING | {"SampleWarning", "__version__"}
HEAVY = ("numba", "llvmlite", "onnx", "onnxruntime", "scipy", "torch")


def test_public_names_are_these() -> None:
    assert set(edge_rnn.__all__) == PUBLIC
    assert len(edge_rnn.__all__) == len(PUBLIC)
    assert set(dir(edge_rnn)) >= PUBLIC


@pytest.mark.parametrize(
    ("package", "name"),
    [(package, name) for package in ("edge_rnn", "edge_rnn_export") for name in sys.modules[package].__all__],
)
def test_public_name_has_a_docstring(package: str, name: str) -> None:
    value = getattr(sys.modules[package], name)
    if name == "__version__":
        assert isinstance(value, str)
    else:
        assert inspect.getdoc(value)


@pytest.mark.parametrize("package", ["edge_rnn", "edge_rnn_export"])
def test_functions_are_not_hidden_by_modules_of_the_same_name(package: str) -> None:
    folder = Path(str({"edge_rnn": edge_rnn, "edge_rnn_export": edge_rnn_export}[package].__file__)).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(sys.modules[package].__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        edge_rnn.no_such_name  # noqa: B018


@pytest.mark.parametrize("package", ["edge_rnn", "edge_rnn_export"])
def test_import_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print([name for name in {HEAVY!r} if name in sys.modules])"
    path = os.pathsep.join([str(ROOT), str(ROOT / "export")])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr
