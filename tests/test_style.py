"""ruff, mypy, and what they do not look at: __all__, and paths of somebody's machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
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


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "mypy"])
def test_tool_finds_nothing(command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_is_public(path: Path) -> None:
    statements = ast.parse(path.read_text(encoding="utf-8")).body[1:]  # a package may hold a docstring alone
    assert not statements or any(ast.unparse(node).startswith(("__all__ = ", "__all__: ")) for node in statements)


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
