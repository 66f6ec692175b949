"""Public names of edge_rnn, and modules that importing it does not load."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import edge_rnn

ROOT = Path(__file__).parents[1]
LAYERS = {"Dense", "Elman", "Embedding", "GRU", "LSTM", "Standardize"}
FUNCTIONS = {"cell", "data_path", "load", "quantize", "save", "step"}
PUBLIC = LAYERS | FUNCTIONS | {"EdgeRnnError", "Model", "Stream", "StreamBank"}
PACKAGES = {"analysis", "backend", "boards", "cards", "equations", "errors", "formats", "frontend", "layers", "live",
            "loop", "quantization", "recordings", "reference", "sampling", "storage", "streams", "timing"}  # fmt: skip
LAZY = [
    "edge_rnn",
    "edge_rnn.loop",
    "edge_rnn.loop.sinks",
    "edge_rnn.loop.sources",
    "edge_rnn.quantization",
    "edge_rnn.storage",
    "edge_rnn.streams",
    "edge_rnn_export",
]
HEAVY = ("numba", "llvmlite", "numpy", "onnx", "onnxruntime", "rich", "scipy", "torch")


def _in_a_new_process(code: str) -> str:
    path = os.pathsep.join([str(ROOT), str(ROOT / "export")])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_public_names_are_these() -> None:
    assert set(edge_rnn.__all__) == PUBLIC
    assert len(edge_rnn.__all__) == len(PUBLIC) <= 16
    assert set(dir(edge_rnn)) >= PUBLIC | PACKAGES | {"__version__"}


@pytest.mark.parametrize("package", LAZY)
def test_lists_of_a_lazy_package_agree(package: str) -> None:
    """Names for type checkers, for ``import *``, and for loading on first use agree."""
    module = import_module(package)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    modules = {alias.name for node in imports if node.module == package for alias in node.names}
    source = {alias.name: str(node.module) for node in imports if node.module != package for alias in node.names}
    assert source.keys() == set(module.__all__)
    assert modules == (PACKAGES if package == "edge_rnn" else set())
    for name, home in source.items():
        assert getattr(module, name) is getattr(import_module(home), name)
    assert set(dir(module)) >= source.keys() | modules


@pytest.mark.parametrize(
    ("package", "name"),
    [(package, name) for package in LAZY for name in import_module(package).__all__],
)
def test_public_name_has_a_docstring(package: str, name: str) -> None:
    assert inspect.getdoc(getattr(sys.modules[package], name))


@pytest.mark.parametrize("package", LAZY)
def test_functions_are_not_hidden_by_modules_of_the_same_name(package: str) -> None:
    folder = Path(str(sys.modules[package].__file__)).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(sys.modules[package].__all__)


@pytest.mark.parametrize("package", LAZY)
def test_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'no_such_name'"):
        sys.modules[package].no_such_name  # noqa: B018


@pytest.mark.parametrize("package", ["edge_rnn", "edge_rnn_export"])
def test_import_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert _in_a_new_process(code) == "[]"


@pytest.mark.parametrize("name", sorted(PACKAGES))
@pytest.mark.sampled(6)
def test_package_is_an_attribute_as_soon_as_edge_rnn_is_imported(name: str) -> None:
    assert _in_a_new_process(f"import edge_rnn; print(edge_rnn.{name}.__name__)") == f"edge_rnn.{name}"
