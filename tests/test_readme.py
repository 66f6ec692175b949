"""Every block of the README and of the pages in docs/ runs; so do the blocks of the boards' pages that are marked.

A page's blocks run in order: Python ones in one namespace, shell ones in bash, all in one empty folder that has the
checkout's ``devices`` and ``export``. A comment in the line above a block says what is different about it:

    <!-- no-test: REASON -->      it does not run
    <!-- needs: torch keras -->   it runs where these packages are installed; all blocks of its page run there again
    <!-- run-in-test -->          in a board's page, where shell blocks run only with this mark
"""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from checkout import ROOT, environment

README = ROOT / "README.md"
PAGES = [README, *sorted(path for path in ROOT.glob("docs/**/*.md") if "generated" not in path.parts)]
BOARDS = sorted(ROOT.glob("devices/*/README.md"))
BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^\n]*) -->\n+)?```(?P<kind>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
USUAL = [README, *BOARDS]  # in the usual run; the other pages are slow
NEEDS = {"docs/how_to/add_cell.md": ["ziglang", "linker:raspberry_pi_zero_2w"]}
SHIM = '#!/bin/sh\nexec "{python}" {arguments} "$@"\n'


def _needs(mark: str | None) -> set[str]:
    return set((mark or "").removeprefix("needs: ").split()) if (mark or "").startswith("needs: ") else set()


def _page_needs(path: Path) -> list[str]:
    blocks = BLOCK.finditer(path.read_text(encoding="utf-8"))
    return sorted(set().union(*(_needs(block["mark"]) for block in blocks)))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _cases() -> list[object]:
    """Each page without the blocks that need a package, and the pages that have such blocks as a whole."""
    cases: list[object] = []
    for path in [*PAGES, *BOARDS]:
        marks = [pytest.mark.needs(*NEEDS[_name(path)])] if _name(path) in NEEDS else []
        marks += [] if path in USUAL else [pytest.mark.slow]
        cases.append(pytest.param(path, False, id=_name(path), marks=marks))
        if packages := _page_needs(path):
            marks = [*marks, pytest.mark.needs(*packages)]
            if "torch" in packages:  # PyTorch and Keras warn while they train and export
                marks += [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
            cases.append(pytest.param(path, True, id=f"{_name(path)}-whole", marks=marks))
    return cases


def _prepare(folder: Path) -> dict[str, str]:
    """Put the checkout's data into ``folder``; return an environment in which ``edge-rnn`` and ``python`` are ours."""
    (folder / "bin").mkdir()
    for name, arguments in (("edge-rnn", "-m edge_rnn"), ("python", "")):
        shim = folder / "bin" / name
        shim.write_text(SHIM.format(python=sys.executable, arguments=arguments), encoding="utf-8")
        shim.chmod(0o755)
    work = folder / "work"
    work.mkdir()
    for name in ("devices", "export"):
        (work / name).symlink_to(ROOT / name)
    return environment(folder / "bin")


@pytest.mark.parametrize(("path", "whole"), _cases())
def test_blocks_run(path: Path, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = _prepare(tmp_path)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    text = path.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        mark = block["mark"] or ""
        if mark.startswith(("no-test: ", "command: ", "file: ", "commands")) or (_needs(mark) and not whole):
            continue
        if block["kind"] == "python":
            # As many empty lines before it as in the file, so that a traceback names the page's own line.
            lines_before = text.count("\n", 0, block.start("code"))
            exec(compile("\n" * lines_before + block["code"], str(path), "exec"), namespace)
        elif block["kind"] == "sh" and (path not in BOARDS or mark == "run-in-test"):
            code = f"set -euo pipefail\n{block['code']}"
            result = subprocess.run(
                ["bash", "-c", code], env=env, capture_output=True, text=True, check=False, timeout=300
            )
            assert result.returncode == 0, f"{block['code']}\n{result.stdout}{result.stderr}"
    # Pages open archives as one does in a notebook, whose end closes them: here, and not within a later test.
    namespace.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("command", ["run", "test"])
def test_readme_has_its_two_commands_in_one_line_each(command: str) -> None:
    text = README.read_text(encoding="utf-8")
    marked = [block for block in BLOCK.finditer(text) if block["mark"] == f"command: {command}"]
    assert len(marked) == 1
    assert marked[0]["kind"] == "sh"
    assert len(marked[0]["code"].splitlines()) == 1


def test_readme_is_short_and_each_of_its_blocks_runs() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= 180
    assert not [block["mark"] for block in BLOCK.finditer(text) if (block["mark"] or "").startswith("no-test")]


def _rows(text: str) -> dict[str, list[str]]:
    """Rows of tables by their first cell, all of a page's rows with the same one together."""
    rows: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            first, *others = (cell.strip() for cell in line.strip("|").split("|"))
            rows.setdefault(first, []).extend(others)
    return rows


def test_times_in_the_readme_are_those_of_the_benchmarks_page() -> None:
    page = _rows((ROOT / "docs/benchmarks.md").read_text(encoding="utf-8"))
    table = README.read_text(encoding="utf-8").partition("\n## Speed\n")[2].partition("\n## ")[0]
    rows = {first: cells for first, cells in _rows(table).items() if "(" in first}
    assert 1 <= len(rows) <= 10
    for first, cells in rows.items():
        assert set(cells) <= set(page[first]), first


@pytest.mark.parametrize("path", sorted({*PAGES, *BOARDS, *ROOT.glob("*.md")}), ids=_name)
def test_links_to_files_lead_to_files(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)}
    local = {target for target in targets if target and not re.match(r"[a-z]+:", target)}
    generated = {target for target in local if "generated/" in target}
    assert not [target for target in local - generated if not (path.parent / target).exists()]
