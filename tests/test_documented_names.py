"""Full names in README and docs exist, in a process that has imported only the two packages."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edge_rnn.loop.schemes import SINKS, SOURCES
from edge_rnn_export.readers.by_file_name import READERS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "devices/*/README.md")
    for path in ROOT.glob(pattern)
    if "generated" not in path.parts
)
BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?P<ticks>`+)(?P<code>[^`].*?)(?P=ticks)", re.DOTALL)
DOTTED = re.compile(r"(?<![\w./])edge_rnn(?:_export)?(?:\.[A-Za-z_]\w*)+")
# Each name in a fresh copy of the process: one that was looked up before may have imported what the next one needs.
RESOLVE = """
import os, sys, edge_rnn, edge_rnn_export
import numpy  # which most of them need, once
from functools import reduce
for line in sys.stdin.read().splitlines():
    sys.stdout.flush()
    if not os.fork():
        try:
            if line.startswith("from "):
                exec(line)
            else:
                first, *others = line.split(".")
                reduce(getattr, others, globals()[first])
        except Exception as error:
            print(f"{line}: {type(error).__name__}: {error}", flush=True)
        os._exit(0)
    os.wait()
"""


def names_in(text: str) -> set[str]:
    """Dotted names in the code of a page, and imports from the two packages in its Python blocks, one per line.

    Groups of entry points are spelled like modules, and are none.
    """
    blocks = list(BLOCK.finditer(text))
    code = [block["code"] for block in blocks] + [span["code"] for span in SPAN.finditer(BLOCK.sub("", text))]
    found = {name for piece in code for name in DOTTED.findall(re.sub(r"\bfrom \S+ import .*", "", piece))}
    for block in blocks:
        if block["kind"] != "python":
            continue
        for node in ast.walk(ast.parse(textwrap.dedent(block["code"]))):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("edge_rnn", "edge_rnn_export"):
                found |= {f"from {node.module} import {alias.name}" for alias in node.names}
    return found - {registry.group for registry in (SOURCES, SINKS, READERS)}


def unresolved(names: set[str]) -> list[str]:
    """Names that do not exist, each with the error."""
    if not names:
        return []
    path = os.pathsep.join([str(ROOT), str(ROOT / "export")])
    result = subprocess.run(
        [sys.executable, "-c", RESOLVE],
        input="\n".join(sorted(names)),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def missing(request: pytest.FixtureRequest) -> dict[str, str]:
    """Names of the pages of this run that do not exist, with the error; a name in several pages is looked up once."""
    cases = [item.callspec for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    pages = {case.params["path"] for case in cases}
    lines = unresolved(set().union(*(names_in(path.read_text(encoding="utf-8")) for path in pages)))
    return {line.partition(": ")[0]: line for line in lines}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.sampled(2)
def test_names_that_a_page_spells_in_full_are_there(path: Path, missing: dict[str, str]) -> None:
    assert not [missing[name] for name in names_in(path.read_text(encoding="utf-8")) if name in missing]


def test_names_are_found_in_spans_and_blocks_and_missing_ones_reported() -> None:
    text = (
        "Outside of code edge_rnn.nothing. In a span `with\nedge_rnn.live.no_such(loop):`, a path `edge_rnn/a.py`.\n"
        "```python\nfrom edge_rnn.loop import (\n    SensorLoop,\n    no_such,\n)\n\nedge_rnn.load(3)\n```\n"
        "```sh\npython -c 'edge_rnn_export.nothing()'  # `edge_rnn.live.serving`\n```\n"
    )
    found = names_in(text)
    assert found == {
        "edge_rnn.live.no_such",
        "edge_rnn.live.serving",
        "edge_rnn.load",
        "edge_rnn_export.nothing",
        "from edge_rnn.loop import SensorLoop",
        "from edge_rnn.loop import no_such",
    }
    assert [line.partition(": ")[0] for line in unresolved(found)] == [
        "edge_rnn.live.no_such",
        "edge_rnn_export.nothing",
        "from edge_rnn.loop import no_such",
    ]


def test_readme_and_docs_name_enough_for_the_search_to_be_one() -> None:
    found = set().union(*(names_in(path.read_text(encoding="utf-8")) for path in PAGES))
    assert len(found) > 25
    assert "edge_rnn.live.serving" in found
