"""Cache of compiled kernels: used if possible, never stale or damaged, and not required."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.entry import object_cache

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = r"""
import json, sys
import numpy as np
from edge_rnn import Elman, Model, Standardize, Stream
from edge_rnn.kernels.entry import object_cache as library
from edge_rnn.streams.planner import plan_of
layer = Elman(np.eye(2), np.eye(2) / 2) if "recurrent" in sys.argv else Standardize([0.1, 0.3], [2, 3])
stream = Stream(Model([layer]))
y = stream.step(np.array([0.1, 0.2], np.float32)).tolist() + stream.run(np.array([[0.3, 0.4]], np.float32))[0].tolist()
names = ("step", "run", *plan_of(stream.model).operations)
names += () if type(stream.step).__name__ == "partial" else ("call",)
heavy = ("numba", "llvmlite", "importlib.metadata", "edge_rnn.kernels.compile.link")
json.dump({
    "y": y,
    "cached": [library.load(name).cached for name in names],
    "writable": library.cache_directory().writable,
    "heavy": [name for name in heavy if name in sys.modules],
    "lowered": "edge_rnn.kernels.lower.lowered" in sys.modules,
}, sys.stdout)
"""


def start(cache: Path, source: Path = ROOT, network: str = "scaling", **environment: str) -> subprocess.Popen[str]:
    variables = os.environ | {"PYTHONPATH": str(source), "EDGE_RNN_CACHE_DIR": str(cache)} | environment
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, network],
        env=variables,
        cwd=ROOT.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def report(process: subprocess.Popen[str]) -> dict[str, object]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return dict(json.loads(out))


@pytest.mark.slow
def test_two_processes_fill_one_cache_at_once_and_a_third_imports_no_compiler(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    both = [start(cache) for _ in range(2)]
    first, second = (report(process) for process in both)
    assert first["heavy"] == ["numba", "llvmlite", "importlib.metadata", "edge_rnn.kernels.compile.link"]
    third = report(start(cache))
    assert third["heavy"] == []
    assert third["cached"] == [True] * 4
    assert first["y"] == second["y"] == third["y"]
    assert {path.suffix for path in cache.iterdir()} == {".image", ".json"}


@pytest.mark.slow
def test_a_damaged_file_is_compiled_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    good = report(start(cache))
    files = sorted(cache.iterdir())
    sizes = [path.stat().st_size for path in files]
    for number, path in enumerate(files):
        data = path.read_bytes()
        path.write_bytes([b"", data[: len(data) // 2], data[:-1] + b"\0", b"\0" * len(data), data[40:]][number % 5])
    again = report(start(cache))
    assert again["cached"] == [False] * 4
    assert again["y"] == good["y"]
    assert [path.stat().st_size for path in files] == sizes


def resigned(path: Path, data: bytes) -> None:
    """Write a cache file with a checksum that fits."""
    path.write_bytes(data + hashlib.sha256(data).digest())
    path.chmod(0o600)


@pytest.mark.slow
def test_image_that_is_none_is_compiled_again_whatever_its_checksum(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    good = report(start(cache))
    wrong = (
        b"\x7fELF" + bytes(100),
        Image(b"\xc3", {"another": 0}).to_bytes(),
        Image(b"\xc3", {"standardize": 1}).to_bytes(),
        Image(b"\xc3" * 8, {"standardize": 4}).to_bytes()[1:],
    )
    (path,) = cache.glob("standardize-*.image")
    kept = path.read_bytes()
    for data in wrong:
        resigned(path, data)
        again = report(start(cache))
        assert again["y"] == good["y"]
        assert sorted(again["cached"]) == [False, True, True, True]  # type: ignore[call-overload]
        assert path.read_bytes() == kept


AT_THE_END = """
import builtins, os, sys
import numpy as np
from edge_rnn import Model, Standardize, Stream

class Last:
    def __init__(self, step, x, modules, write):
        self.step, self.x, self.modules, self.write = step, x, modules, write
    def __del__(self):
        self.write(1, b"%r %r" % (self.step(self.x).tolist(), [*self.modules]))

step = Stream(Model([Standardize([0.5, 0.25], [2, 4])])).step
builtins.last = Last(step, np.array([0.75, 0.25], np.float32), sys.modules, os.write)
"""


@pytest.mark.slow
def test_code_may_be_called_when_all_modules_have_been_torn_down(tmp_path: Path) -> None:
    for _ in range(2):  # just compiled, and from the cache
        done = subprocess.run(
            [sys.executable, "-c", AT_THE_END],
            env=os.environ | {"PYTHONPATH": str(ROOT), "EDGE_RNN_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "[0.125, 0.0] []"


@pytest.mark.slow
def test_an_unusable_directory_stops_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    result = report(start(blocked / "cache"))
    assert result["writable"] is False
    assert result["cached"] == [False] * 4
    assert blocked.read_text() == "in the way"


@pytest.mark.parametrize("place", ["searched", "x" * 300])
@pytest.mark.slow
def test_impossible_directories_stop_nothing(tmp_path: Path, place: str) -> None:
    if place == "searched":  # (root may search it all the same)
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o000)
        assert report(start(closed / "cache"))["y"]
        closed.chmod(0o700)
    else:
        assert report(start(tmp_path / place))["writable"] in (True, False)


@pytest.mark.slow
def test_no_home_directory_stops_nothing(tmp_path: Path) -> None:
    code = (
        "import os; [os.environ.pop(k, None) for k in ('HOME', 'XDG_CACHE_HOME', 'EDGE_RNN_CACHE_DIR')]\n"
        "import pathlib\n"
        "def no_home(self): raise RuntimeError('Could not determine home directory.')\n"
        "pathlib.Path.expanduser = no_home\n" + PROGRAM
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["writable"] is False
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_settings_for_debugging_change_nothing(tmp_path: Path) -> None:
    all_of_them = dict.fromkeys(("NUMBA_DEBUGINFO", "NUMBA_ENABLE_PROFILING", "NUMBA_BOUNDSCHECK"), "1")
    assert len(report(start(tmp_path / "cache", network="recurrent", **all_of_them))["y"]) == 4  # type: ignore[arg-type]


@pytest.mark.slow
def test_without_numba_a_full_cache_will_do_and_an_empty_one_says_what_to_install(tmp_path: Path) -> None:
    """Numba hidden, metadata and all."""
    hidden = (
        "import sys, importlib.metadata as metadata\n"
        "sys.modules['numba'] = None\n"
        "real = metadata.version\n"
        "def version(name):\n"
        "    if name == 'numba': raise metadata.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "metadata.version = version\n"
    )
    expected = report(start(tmp_path / "full"))["y"]
    for cache, wanted in (("full", ""), ("empty", "edge-rnn[jit]")):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "EDGE_RNN_CACHE_DIR": str(tmp_path / cache)}
        done = subprocess.run(
            [sys.executable, "-c", hidden + PROGRAM], env=environment, capture_output=True, text=True, check=False
        )
        if wanted:
            assert "CompileError" in done.stderr
            assert wanted in done.stderr
        else:
            assert json.loads(done.stdout)["y"] == expected


@pytest.mark.slow
def test_an_edited_kernel_never_runs_stale_code(tmp_path: Path) -> None:
    source, cache = tmp_path / "source", tmp_path / "cache"
    shutil.copytree(ROOT / "edge_rnn", source / "edge_rnn")
    cache.mkdir(mode=0o700)
    for path in object_cache.cache_directory().path.glob("*.image"):  # of the same sources: not to be compiled again
        shutil.copy2(path, cache)
    before = report(start(cache, source))
    kernel = source / "edge_rnn" / "kernels" / "cells" / "standardize.py"
    text = kernel.read_text()
    assert " - mean) / scale" in text
    kernel.write_text(text.replace(" - mean) / scale", " + mean) / scale"))
    after = report(start(cache, source))
    assert after["cached"] == [False] * 4
    assert after["y"] != before["y"]


@pytest.mark.slow
def test_a_second_start_lowers_nothing_unless_what_was_kept_is_damaged(tmp_path: Path) -> None:
    first, second = (report(start(tmp_path, network="recurrent")) for _ in range(2))
    assert (first["lowered"], second["lowered"]) == (True, False)
    assert second["cached"] == [True] * 4
    for kept in tmp_path.glob("*.json"):
        kept.write_bytes(kept.read_bytes()[:-1])
    third = report(start(tmp_path, network="recurrent"))
    assert third["lowered"] is True
    assert first["y"] == second["y"] == third["y"]


WORDS = ("arrays", "atomic", "checks", "digest", "errors", "own_files", "printable", "spelling", "typing")
"""Modules that decide on messages and files alone."""


def test_all_that_kernels_are_made_of_is_in_their_key() -> None:
    """Constants of formats and operations of equations determine code too."""
    package = ROOT / "edge_rnn"
    hashed = {path for pattern in object_cache.SOURCES for path in package.glob(pattern)}
    for path in hashed:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("edge_rnn."):
                place = package.joinpath(*node.module.split(".")[1:])
                found = {place.with_suffix(".py"), place / "__init__.py"} & {*package.rglob("*.py")}
                found = {each for each in found if each.stem not in WORDS}
                assert found <= hashed, f"{path.relative_to(package)} imports {node.module}"


@pytest.mark.slow
def test_another_cpu_gets_code_of_its_own(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    report(start(cache))
    other = report(start(cache, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=""))
    assert other["cached"] == [False] * 4


@pytest.mark.slow
def test_works_with_jit_disabled(tmp_path: Path) -> None:
    """``NUMBA_DISABLE_JIT=1`` is for debugging users' functions; the kernels are compiled nevertheless."""
    cache = tmp_path / "cache"
    assert report(start(cache, NUMBA_DISABLE_JIT="1"))["y"] == report(start(cache))["y"]


def test_a_kernel_that_needs_something_from_outside_is_refused() -> None:
    import math

    from numba.core import types

    from edge_rnn.errors import CompileError
    from edge_rnn.kernels.compile.compiler import FLOATS, compile_object
    from edge_rnn.kernels.entry.object_cache import host

    def kernel(values):  # type: ignore[no-untyped-def]
        values[0] = math.tanh(values[0])

    with pytest.raises(CompileError, match="tanh"):
        compile_object("kernel", kernel, types.void(FLOATS), host())
