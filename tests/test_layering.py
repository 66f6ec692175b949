"""The layers as a table, and that no import points upwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {"edge_rnn": ROOT / "edge_rnn", "edge_rnn_export": ROOT / "export" / "edge_rnn_export"}

# From the top down; what stands side by side is one layer. A module imports from its own layer and from those below.
LAYERS = {
    "edge_rnn": [
        {"cli", "__main__"},
        {"__init__"},
        {"live"},
        {"loop"},
        {"comparing"},
        {"shrinking", "fitting"},
        {"tasks"},
        {"judging"},
        {"timing"},
        {"quantization", "trials", "long_run", "sensitivity"},
        {"calibration"},
        {"rounding", "stretches"},
        {"sampling"},
        {"stream_bank", "windowed_stream"},
        {"stream"},
        {"stream_claim", "stream_memory"},
        {"device"},
        {"device_here"},
        {"device_profile"},
        {"plan", "kernels"},
        {"files", "reference", "result_lines"},
        {"header"},
        {"sample_range"},
        {"model"},
        {"layers"},
        {"backend"},
        {"frontend"},
        {"formats", "activation", "state_bytes", "grammar"},
        {"arrays", "one_thread"},
        {"sample_lines"},
        {"sample_csv"},
        {"sample_columns"},
        {"sample_rate"},
        {"sample_times", "sample_units"},
        {"numpy_files"},
        {"budget"},
        {"atomic", "file_kind", "own_files", "spelling"},
        {"errors"},
        {"printable"},
    ],
    "edge_rnn_export": [
        {"cli", "demo", "rivals"},
        {"__init__"},
        {"ort_format"},
        {"building", "export"},
        {"verifying", "cost"},
        {"comparison"},
        {"importing"},
        {"json_reader"},
        {"keras_reader", "keras_check"},
        {"keras_layers"},
        {"keras_scaling"},
        {"keras_cells", "keras_reading"},
        {"keras_source", "keras_wiring"},
        {"keras_graph", "keras_hdf5", "keras_options"},
        {"keras_calls", "keras_hdf5_child", "keras_job"},
        {"onnx_reader", "onnx_check"},
        {"onnx_walk"},
        {"onnx_own", "onnx_cells", "onnx_glue", "onnx_heads"},
        {"onnx_trace", "onnx_node"},
        {"onnx_codes"},
        {"onnx_drafts", "onnx_graph"},
        {"onnx_steps"},
        {"onnx_cut"},
        {"onnx_file"},
        {"tflite_reader"},
        {"tflite_cells"},
        {"tflite_axes", "tflite_constants"},
        {"tflite_file"},
        {"tflite_graph"},
        {
            "torch_reader",
            "onnx_writer",
            "ort_job",
            "torch_job",
            "ort_stream",
            "json_aidax",
            "json_guitarml",
            "json_nam",
        },
        {"json_rtneural", "json_skip"},
        {"json_text"},
        {"torch_files", "torch_modules", "torch_forward"},
        {"torch_state", "ort", "report", "magnitudes", "onnx_metadata", "onnx_recurrent", "rounded"},
        {"onnx_elementary"},
        {"onnx_loop", "onnx_products", "onnx_greedy"},
        {"onnx_nodes", "precision", "onnx_output", "layer_names"},
        {"ort_limited"},
        {"limited_process"},
        {"limited_worker"},
    ],
}
# Beyond the order: who never imports what.
FORBIDDEN = [
    ("edge_rnn", {"edge_rnn_export", "onnx", "onnxruntime", "torch"}),
    (
        "edge_rnn.kernels",
        {"edge_rnn.model", "edge_rnn.layers", "edge_rnn.plan", "edge_rnn.files", "edge_rnn.reference"},
    ),
    ("edge_rnn_export.torch_reader", {"edge_rnn_export.onnx_writer"}),
    ("edge_rnn_export.onnx_writer", {"edge_rnn_export.torch_reader"}),
]
ONLY_IN = {"numba": "edge_rnn.kernels", "llvmlite": "edge_rnn.kernels"}
NOT_PUBLIC = {"edge_rnn.plan", "edge_rnn.kernels"}  # for edge_rnn_export, but for `building`, which compiles them


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in SOURCES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports anywhere, also inside functions and for type checkers alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from {name if name in MODULES else str(node.module) for name in inside}


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _layer(name: str) -> int:
    package, _, rest = name.partition(".")
    part = rest.split(".")[0] or "__init__"
    places = [place for place, layer in enumerate(LAYERS[package]) if part in layer]
    assert places, f"{name} stands in no layer: give {part!r} a place in LAYERS"
    return places[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_downwards(module: str) -> None:
    package = module.partition(".")[0]
    layer = _layer(module)
    for name in _imports(MODULES[module]):
        if _within(name, package):
            assert layer <= _layer(name), f"{module} imports {name}, which stands above it"
        for who, what in FORBIDDEN:
            if _within(module, who):
                assert not any(_within(name, banned) for banned in what), f"{module} imports {name}"
        home = ONLY_IN.get(name.partition(".")[0])
        assert home is None or _within(module, home), f"{module} imports {name}, which only {home} does"
        if package == "edge_rnn_export" and not _within(module, "edge_rnn_export.building"):
            assert not any(_within(name, hidden) for hidden in NOT_PUBLIC), f"{module} imports {name}"


def test_every_module_is_found() -> None:
    assert {"edge_rnn", "edge_rnn.model", "edge_rnn.errors", "edge_rnn_export"} <= MODULES.keys()
