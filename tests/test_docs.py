"""The site of docs/ builds without a warning: links, references, docstrings, and the notebooks of the gallery."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import edge_rnn
from checkout import ROOT, environment

DOCS = ROOT / "docs"
GALLERY = sorted(path.stem for path in (DOCS / "gallery").glob("*.md"))


@pytest.mark.slow
@pytest.mark.needs("sphinx")
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-j", "2", "-q", str(DOCS), str(tmp_path / "html")]
    result = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr
    for name in ("index", "benchmarks", "reference/generated/api/edge_rnn", "boards/generated/pico_2"):
        assert (tmp_path / "html" / f"{name}.html").is_file(), name
    commands = (tmp_path / "html" / "reference" / "generated" / "commands").glob("*.html")
    assert {"run", "import", "build"} <= {path.stem for path in commands}
    assert "onnxruntime" in (tmp_path / "html" / "benchmarks.html").read_text(encoding="utf-8")


def test_every_public_package_has_a_page() -> None:
    spec = importlib.util.spec_from_file_location("api", DOCS / "_ext" / "api.py")
    assert spec is not None
    assert spec.loader is not None
    api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(api)
    folders = {path.parent.name for path in ROOT.glob("edge_rnn/*/__init__.py")} - {"bench", "cli", "kernels"}
    public = {name for name in folders if hasattr(getattr(edge_rnn, name), "__all__")}
    assert len(public) > 10
    assert {f"edge_rnn.{name}" for name in public} | {"edge_rnn", "edge_rnn_export"} <= api.PACKAGES.keys()


def test_gallery_has_its_notebooks() -> None:
    assert {"board", "quantization", "sound", "text", "watch"} <= {*GALLERY}
    for name in GALLERY:
        text = (DOCS / "gallery" / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith("---\nfile_format: mystnb\n"), name
        assert "```{code-cell} python\n" in text, name


def test_pictures_are_small_and_fetch_nothing() -> None:
    pictures = sorted((DOCS / "images").glob("*.svg"))
    assert {path.stem for path in pictures} >= {"demo", "doors", "state_through_time", "stream_memory"}
    for path in pictures:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert len(text) < 60_000, path.name
        assert "http" not in text, path.name
        assert "<script" not in text, path.name
