"""What the READMEs show works: their Python blocks, and the commands that are marked.

A file's blocks run in order, in one namespace and one empty folder. Of the shell blocks those run that follow a line
``<!-- run-in-test -->``, each line an ``edge-rnn`` command. A block after ``<!-- no-test: reason -->`` is left out, and
one after ``<!-- needs: torch -->`` where that package is not installed.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from needs import missing

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("devices/*/README.md"))]
BUILDING = pytest.param(
    ROOT / "docs/how_to/add_cell.md", marks=pytest.mark.needs("ziglang", "linker:raspberry_pi_zero_2w")
)
BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^\n]*) -->\n+)?```(?P<kind>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def _run_commands(code: str) -> None:
    from edge_rnn.cli import main

    for line in code.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words and words[0] == "edge-rnn":
            assert main(words[1:]) == 0, line


@pytest.mark.parametrize("path", [*READMES, BUILDING], ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        mark = block["mark"] or ""
        if mark.startswith("needs: ") and missing(mark.removeprefix("needs: ")):
            continue
        if block["kind"] == "python" and not mark.startswith("no-test: "):
            # As many empty lines before it as in the file, so that a traceback names the README's own line.
            lines_before = text.count("\n", 0, block.start("code"))
            exec(compile("\n" * lines_before + block["code"], str(path), "exec"), namespace)
        elif block["kind"] in ("sh", "console") and mark == "run-in-test":
            _run_commands(block["code"])


@pytest.mark.parametrize("command", ["run", "test"])
def test_readme_has_its_two_commands_in_one_line_each(command: str) -> None:
    text = READMES[0].read_text(encoding="utf-8")
    marked = [block for block in BLOCK.finditer(text) if block["mark"] == f"command: {command}"]
    assert len(marked) == 1
    assert marked[0]["kind"] == "sh"
    assert len(marked[0]["code"].splitlines()) == 1
