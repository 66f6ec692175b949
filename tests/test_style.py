"""ruff, mypy, and rules that they do not check: ``__all__``, and paths of a developer's machine."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path
    for pattern in ("edge_rnn/**/*.py", "export/edge_rnn_export/**/*.py")
    for path in ROOT.glob(pattern)
    if path.name != "__main__.py"
)
MACHINE_PATH = re.compile(rb"/(?:home|Users|root|work|tmp)/[\w.]|\b[A-Z]:\\Users\\|\bfile:///")


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", pytest.param("mypy", marks=pytest.mark.slow)])
def test_tool_finds_nothing(command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"


def says_what_is_public(text: str) -> bool:
    statements = ast.parse(text).body[1:]  # a package may hold a docstring alone
    return not statements or any(
        isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(node).startswith(("__all__ = ", "__all__: "))
        for node in statements
    )


def test_modules_say_what_is_public() -> None:
    assert len(MODULES) > 200
    silent = [path for path in MODULES if not says_what_is_public(path.read_text(encoding="utf-8"))]
    assert not silent, "\n".join(path.relative_to(ROOT).as_posix() for path in silent)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"""A."""', True),
        ('"""A."""\n__all__ = ["a"]', True),
        ('"""A."""\nx = 1\n__all__: list[str] = []', True),
        ('"""A."""\nx = 1', False),
        ('"""A."""\nprint("__all__ = ")', False),
    ],
)
def test_module_that_does_not_say_what_is_public_is_found(text: str, says: bool) -> None:
    assert says_what_is_public(text) is says


def test_no_file_is_longer_than_one_reads_at_once() -> None:
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    tests = {path: path.read_text(encoding="utf-8").count("\n") for path in ROOT.glob("tests/**/*.py")}
    long = {path: count for path, count in lines.items() if count > 350}
    long |= {path: count for path, count in tests.items() if count > 500}
    assert not long, "\n".join(f"{path.relative_to(ROOT)}: {count} lines" for path, count in long.items())
    assert statistics.median(lines.values()) <= 150


@pytest.mark.needs("git")
def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.decode(errors='replace').strip()}"
        for path in paths
        if path.is_file() and b"\0" not in (content := path.read_bytes())
        for number, line in enumerate(content.splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert not found, "\n".join(found)


def test_command_line_prints_in_one_place_which_spells_out_what_steers_a_terminal() -> None:
    own = {"edge_rnn/cli/shared/console.py"}
    commands = [path for path in MODULES if "cli" in path.relative_to(ROOT).with_suffix("").parts]
    assert len(commands) > 20
    printing = {
        path.relative_to(ROOT).as_posix()
        for path in commands
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert printing == own


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbers and texts of the lines to compare, without blank lines, imports and docstrings."""
    text = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, (node.end_lineno or 0) + 1))
    numbered = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if number not in left_out and line.strip()]


def _repeated(paths: list[Path], length: int) -> list[str]:
    """Pairs of places that share at least this number of lines."""
    lines = {path: _lines(path) for path in paths}
    places: dict[tuple[str, ...], list[tuple[Path, int]]] = {}
    for path, numbered in lines.items():
        texts = [text for _, text in numbered]
        for start in range(len(texts) - length + 1):
            places.setdefault(tuple(texts[start : start + length]), []).append((path, start))

    def before(path: Path, start: int) -> str:
        return lines[path][start - 1][1] if start else str(path)

    def place(path: Path, start: int) -> str:
        return f"{path.relative_to(ROOT)}:{lines[path][start][0]}"

    return [
        f"{place(*one)} ~ {place(*other)}"
        for same in places.values()
        for one, other in combinations(same, 2)
        if before(*one) != before(*other)  # else it is the rest of a longer run
    ]


def test_fewer_than_ten_pairs_of_places_share_six_lines() -> None:
    found = _repeated(MODULES, 6)
    assert len(found) < 10, "\n".join(found)


def test_repeated_lines_are_found_and_a_longer_run_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "".join(f"    y = f({k})\n\n" for k in range(7))
    (tmp_path / "a.py").write_text(f'import x\n\n\ndef g():\n    """Once."""\n{body}')
    (tmp_path / "b.py").write_text(f"def h():\n{body}    z = 0\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert _repeated([tmp_path / "a.py", tmp_path / "b.py"], 6) == ["a.py:6 ~ b.py:2"]
    assert _repeated([tmp_path / "a.py", tmp_path / "b.py"], 8) == []
