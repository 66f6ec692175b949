"""Layers of packages: no import points upwards, and there are no cycles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {"edge_rnn": ROOT / "edge_rnn", "edge_rnn_export": ROOT / "export" / "edge_rnn_export"}

# From the top down. A package, or a module next to the packages, imports from rows below its own and from itself.
ROWS = {
    "edge_rnn": [
        {"__main__"},
        {"cli"},
        {"bench"},
        {"__init__"},
        {"analysis", "cards", "live"},
        {"boards", "loop"},
        {"quantization"},
        {"backend", "recordings", "sampling", "timing"},
        {"frontend", "streams"},
        {"reference", "storage"},
        {"model"},
        {"kernels", "layers"},
        {"equations"},
        {"activation", "arrays", "atomic", "formats", "own_files", "plugins", "registry", "shipped"},
        {"checks"},
        {"errors", "spelling"},
        {"digest", "lazy", "printable", "typing"},
    ],
    "edge_rnn_export": [
        {"cli", "demo"},
        {"__init__"},
        {"exporting", "rivals", "training"},
        {"building", "verification"},
        {"readers"},
        {"runtime"},
        {"limits", "writers"},
    ],
}
# Beyond the order: who never imports what.
FORBIDDEN = [
    ("edge_rnn", {"edge_rnn_export", "onnx", "onnxruntime", "torch"}),
    ("edge_rnn.model", {"edge_rnn.kernels"}),
    ("edge_rnn.reference", {"edge_rnn.kernels"}),
    ("edge_rnn.storage", {"edge_rnn.kernels"}),
    *(
        (f"edge_rnn_export.readers.{kind}", {"edge_rnn_export.writers"})
        for kind in ("json", "keras", "tflite", "torch")
    ),
]
ONLY_IN = {"numba": "edge_rnn.kernels", "llvmlite": "edge_rnn.kernels", "rich": "edge_rnn.cli"}
# For edge_rnn_export, but for `building`, which compiles them.
NOT_PUBLIC = {"edge_rnn.streams.plan", "edge_rnn.kernels"}


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in SOURCES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(path: Path) -> Iterator[str]:
    """Full names of all imports of a file, including those inside functions and for type checkers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from {name if name in MODULES else str(node.module) for name in inside}


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _part(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


def _row(name: str) -> int:
    package = name.partition(".")[0]
    places = [place for place, row in enumerate(ROWS[package]) if _part(name) in row]
    assert places, f"{name} stands in no row: give {_part(name)!r} a place in ROWS"
    return places[0]


def _misplaced(module: str) -> Iterator[str]:
    """Imports of a module that point upwards, or that it must not make."""
    package = module.partition(".")[0]
    row = _row(module)
    for name in _imports(MODULES[module]):
        if _within(name, package) and _part(name) != _part(module) and row >= _row(name):
            yield f"{module} imports {name}, which does not stand below it"
        for who, what in FORBIDDEN:
            if _within(module, who) and any(_within(name, banned) for banned in what):
                yield f"{module} imports {name}"
        home = ONLY_IN.get(name.partition(".")[0])
        if home is not None and not _within(module, home):
            yield f"{module} imports {name}, which only {home} does"
        may_use_all = package != "edge_rnn_export" or _within(module, "edge_rnn_export.building")
        if not may_use_all and any(_within(name, hidden) for hidden in NOT_PUBLIC):
            yield f"{module} imports {name}"


@pytest.mark.parametrize("package", SOURCES)
def test_imports_point_downwards(package: str) -> None:
    found = [line for module in sorted(MODULES) if _within(module, package) for line in _misplaced(module)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "imported", "said"),
    [
        ("edge_rnn.model", "edge_rnn.loop.pace", "does not stand below it"),
        ("edge_rnn.storage.own", "edge_rnn.kernels.entry", "imports edge_rnn.kernels"),
        ("edge_rnn.loop.own", "onnx", "imports onnx"),
        ("edge_rnn.loop.own", "rich.table", "which only edge_rnn.cli does"),
        ("edge_rnn_export.writers.own", "edge_rnn.kernels.entry", "imports edge_rnn.kernels"),
        ("edge_rnn_export.building.own", "edge_rnn.kernels.entry", ""),
        ("edge_rnn.loop.own", "edge_rnn.model", ""),
    ],
)
def test_misplaced_import_is_found(
    module: str, imported: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.py"
    path.write_text(f"def f():\n    import {imported}\n", encoding="utf-8")
    monkeypatch.setitem(MODULES, module, path)
    found = list(_misplaced(module))
    assert len(found) == bool(said)
    assert all(said in line for line in found)


def test_no_imports_lead_in_a_circle() -> None:
    graph = {module: {name for name in _imports(path) if name in MODULES} for module, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' <- '.join(error.args[1])}")


def test_every_module_is_found() -> None:
    assert {"edge_rnn", "edge_rnn.model", "edge_rnn.errors", "edge_rnn_export"} <= MODULES.keys()


def test_every_row_holds_what_is_there() -> None:
    there = {package: {_part(name) for name in MODULES if _within(name, package)} for package in ROWS}
    assert {package: set().union(*rows) for package, rows in ROWS.items()} == there
    assert all(sum(map(len, rows)) == len(there[package]) for package, rows in ROWS.items())
