"""Kernels of wheels: which layers they cover, and that they compute what compiled ones do, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from checkout import environment
from edge_rnn import Model
from edge_rnn.activation import ACTIVATIONS
from edge_rnn.cli.warm_up import all_models
from edge_rnn.formats import FORMATS
from edge_rnn.kernels.compile.image import parse
from edge_rnn.kernels.compile.shipped_targets import SHIPPED
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry.archive import archived
from edge_rnn.layers import GRU, LAYER_TYPES, LSTM, Dense, Elman, Recurrent
from edge_rnn.quantization.apply import matrices, quantize
from edge_rnn.streams.planner import plan_for
from edge_rnn_export.building.wheel_kernels import CELLS, SPELLINGS, Covered, entries, names_for
from shipped_networks import best_target, computed

TARGETS = [each for targets in SHIPPED.values() for each in targets]
NAMES = [each.name for each in TARGETS]


@cache
def shipped_names(target: str) -> frozenset[str]:
    return frozenset(names_for(TARGETS[NAMES.index(target)].target))


def is_covered(model: Model, target: str = "x86-64-v3") -> bool:
    return shipped_names(target).issuperset(plan_for(model, TARGETS[NAMES.index(target)].target).ops)


def network(
    covered: Covered, first: str = "float32", second: str = "float32", head: str = "none", seed: int = 0
) -> Model:
    """A network with random weights, of sizes that no other test of these kernels has."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32) * np.float32(0.4)

    inputs, units, projected = 5, 21, 9
    rows, recurrent = len(covered.kind.gates) * units, projected if "weight_hr" in covered.options else units
    shapes = {"peephole": (3 * units,), "weight_hr": (projected, units)}
    options = {key: random(*shapes[key]) if key in shapes else value for key, value in covered.options.items()}
    arrays = random(rows, inputs), random(rows, recurrent), random(rows), random(rows)
    model = Model(
        [
            covered.kind(*arrays, name="rnn", **options),
            Dense(random(4, recurrent), random(4), activation=head, name="few"),
            Dense(random(19, 4), activation=head, name="many"),
        ]
    )
    rest = {name: first for name in matrices(model) if not name.startswith("rnn")}
    return quantize(model, {"rnn.weight_ih": first, "rnn.weight_hh": second, **rest})


def save_all(models: Iterator[Model], folder: Path) -> list[Path]:
    paths = []
    for number, model in enumerate(models):
        paths.append(folder / f"{number}.safetensors")
        edge_rnn.save(model, paths[-1])
    return paths


# ---- what is covered


def test_every_format_is_covered() -> None:
    assert [spelling.partition(":")[0] for spelling in SPELLINGS] == ["float32", *FORMATS]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("target", NAMES)
def test_every_kind_of_layer_is_covered_with_its_usual_options(target: str) -> None:
    models = all_models()
    assert {type(layer) for model in models for layer in model.layers} == {*LAYER_TYPES.values()}
    assert all(is_covered(model, target) for model in models)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("target", NAMES)
def test_dense_layers_are_covered_with_every_activation_in_every_format(target: str) -> None:
    for outputs, activation, spelling in product((2, 40), Dense.ACTIVATIONS, SPELLINGS):
        model = quantize(Model([Dense(np.ones((outputs, 30)), np.ones(outputs), activation=activation)]), spelling)
        assert is_covered(model, target), (outputs, activation, spelling)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("kind", "options"),
    [(Elman, {}), (GRU, {}), (GRU, {"reset_after": False}), (LSTM, {})],
    ids=["Elman", "GRU", "GRU, reset before", "LSTM"],
)
@pytest.mark.parametrize("target", NAMES)
def test_cells_are_covered_in_every_pair_of_formats(
    target: str, kind: type[Recurrent], options: dict[str, Any]
) -> None:
    for first, second in product(SPELLINGS, repeat=2):
        assert is_covered(network(Covered(kind, options), first, second), target), (first, second)


COVERED_ALONE = {
    (Elman, "activation"): {"tanh", "relu", "sigmoid"},
    (GRU, "gate_activation"): {"sigmoid", "hard_sigmoid"},
    (GRU, "candidate_activation"): {"tanh"},
    (LSTM, "gate_activation"): {"sigmoid", "hard_sigmoid"},
    (LSTM, "cell_activation"): {"tanh"},
    (LSTM, "output_activation"): {"tanh"},
}


@pytest.mark.parametrize(("kind", "option"), COVERED_ALONE, ids=str)
def test_activations_of_cells_are_covered_or_not(kind: type[Recurrent], option: str) -> None:
    found = {name for name in ACTIVATIONS if is_covered(network(Covered(kind, {option: name})))}
    assert found == COVERED_ALONE[kind, option]


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        (LSTM, {"coupled": "input"}, True),
        (LSTM, {"coupled": "forget"}, True),
        (LSTM, {"peephole": None}, True),
        (LSTM, {"weight_hr": None}, True),
        (LSTM, {"weight_hr": None, "projection_clip": 0.7}, True),
        (LSTM, {"weight_hr": None, "peephole": None}, True),
        (LSTM, {"cell_clip": 0.7}, True),
        (LSTM, {"gate_activation": "hard_sigmoid:0.1:0.4"}, True),
        (LSTM, {"cell_clip": 0.7, "peephole": None}, False),
        (LSTM, {"gate_clip": 0.7}, False),
        (GRU, {"gate_clip": 0.7}, False),
        (Elman, {"gate_clip": 0.7}, False),
    ],
    ids=str,
)
@pytest.mark.sampled(24)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_options_of_cells_are_covered_or_not(
    kind: type[Recurrent], options: dict[str, Any], expected: bool, spelling: str
) -> None:
    assert is_covered(network(Covered(kind, options), spelling, spelling)) == expected


def names_of(kind: type[Recurrent]) -> set[str]:
    return {each.name for each in fields(kind)}


def test_every_option_of_a_cell_is_tried_here() -> None:
    tried = {(kind, option) for kind, option in COVERED_ALONE} | {(Elman, "gate_clip"), (GRU, "gate_clip")}
    tried |= {
        (LSTM, name) for name in ("coupled", "peephole", "weight_hr", "projection_clip", "cell_clip", "gate_clip")
    }
    tried |= {(GRU, "reset_after")}
    weights = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "h0", "c0", "name", "inputs"}
    there = {(kind, name) for kind in (Elman, GRU, LSTM) for name in names_of(kind) if name not in weights}
    assert tried == there


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.sampled(3)
def test_streams_of_a_bank_have_kernels_of_their_own(target: str) -> None:
    group = TARGETS[NAMES.index(target)].target.group
    grouped = {name for name in shipped_names(target) if f"_x{group}" in name}
    assert bool(grouped) == (group > 1)
    assert len(grouped) in (0, 32)


# ---- what they compute

FEW = [network(Covered(GRU)), network(Covered(LSTM), "int8", "int8", "softmax", 1)]


def archive(models: Iterable[Model], folder: Path) -> Path:
    """Write an archive for this machine that holds the kernels of networks into a folder, and return the folder."""
    target = best_target()
    names = dict.fromkeys(name for model in models for name in plan_for(model, target.target).ops)
    groups = filter(None, (object_cache.grouped(name, target.target.group) for name in names))
    wanted = [*names, "bank", *groups]
    assert shipped_names(target.name).issuperset(wanted)
    (folder / target.file).write_bytes(archived(entries(target.target, wanted, 1)))
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an archive for this machine that holds the kernels of two networks."""
    return archive(FEW, tmp_path_factory.mktemp("shipped"))


@pytest.mark.slow
def test_shipped_kernels_compute_what_compiled_ones_do(few: Path, tmp_path: Path) -> None:
    paths = save_all(iter(FEW), tmp_path)
    found = computed(paths, tmp_path, few)
    assert not (tmp_path / "cache").exists()  # nothing was lowered, nothing compiled
    assert found == computed(paths, tmp_path, None)
    assert all(line.split()[0] == best_target().target.cpu and float(line.split()[2]) > 0.01 for line in found)


@pytest.mark.slow
def test_a_start_loads_little(few: Path, tmp_path: Path) -> None:
    """Neither a compiler, even if there is one, nor what traces and lowers equations, nor OpenSSL."""
    code = (
        "import sys; from pathlib import Path; import edge_rnn\n"
        "from edge_rnn.kernels.entry import shipped_kernels\n"
        "shipped_kernels.FOLDER = Path(sys.argv[1])\n"
        "stream = edge_rnn.Stream(edge_rnn.load(sys.argv[2]))\n"
        "stream.step([0.0] * 5)\n"
        "print(sorted(name for name in sys.argv[3:] if name in sys.modules))\n"
    )
    (path,) = save_all(iter(FEW[:1]), tmp_path)
    heavy = ("numba", "llvmlite", "edge_rnn.kernels.lower.lowered", "_hashlib", "difflib", "importlib.metadata", "rich")
    command = [sys.executable, "-c", code, str(few), str(path), *heavy]
    found = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.slow
def test_shipped_kernels_of_every_fifth_network_compute_what_compiled_ones_do(tmp_path: Path) -> None:
    """Cells in pairs of formats, then heads: a fifth of all kernels, each cell and head among them."""
    networks: list[tuple[Any, ...]] = []
    for seed, cell in enumerate(CELLS):
        pairs = product(SPELLINGS, repeat=2) if cell.mixed else zip(SPELLINGS, SPELLINGS, strict=True)
        networks += [(cell, *pair, "none", seed) for pair in pairs]
    for seed, name in enumerate(Dense.ACTIVATIONS):
        head = f"{name}:0.01" if name == "thresholded_relu" else name  # by default above all outputs here
        networks += [(Covered(GRU), spelling, "float32", head, seed) for spelling in SPELLINGS]
    models = [network(*given) for given in networks[::5]]
    (tmp_path / "shipped").mkdir()
    paths = save_all(iter(models), tmp_path)
    found = computed(paths, tmp_path, archive(models, tmp_path / "shipped"))
    assert not (tmp_path / "cache").exists()
    assert found == computed(paths, tmp_path, None)
    assert len(found) > 60
    assert min(float(line.split()[2]) for line in found) > 1e-4


@pytest.mark.sampled(1)
@pytest.mark.parametrize("target", NAMES)
def test_kernels_are_linked_for_every_target(target: str) -> None:
    found = entries(TARGETS[NAMES.index(target)].target, ["add"], 1)
    image = parse(found.pop("add"))
    assert image is not None
    assert image.symbols == {"add": 0}
    assert len(found.pop("sources")) == 32
    assert all(name.startswith("lowered ") for name in found)


# ---- what is not covered


@pytest.mark.parametrize(
    ("covered", "formats", "said"),
    [
        (
            Covered(LSTM, {"gate_clip": 2.0, "peephole": None}),
            ("int8", "int4"),
            "LSTM 'rnn' (gate_clip=2.0, peephole, weight_ih int8, weight_hh int4)",
        ),
        (
            Covered(GRU, {"candidate_activation": "elu"}),
            ("float32", "float32"),
            "GRU 'rnn' (reset_after=True, candidate_activation='elu')",
        ),
    ],
    ids=["LSTM", "GRU"],
)
@pytest.mark.slow
def test_a_layer_without_a_kernel_is_named(
    covered: Covered, formats: tuple[str, str], said: str, few: Path, tmp_path: Path
) -> None:
    (line,) = computed(save_all(iter([network(covered, *formats)]), tmp_path), tmp_path, few)
    assert line == (
        f"CompileError: {said} has no kernel in this installation, and there is no compiler to make one: pip install "
        f"'edge-rnn[jit]'."
    )


@pytest.mark.slow
def test_a_cell_of_ones_own_without_a_kernel_is_named(few: Path, tmp_path: Path) -> None:
    @edge_rnn.cell
    def leaky(p: Any, x: Any, h: Any) -> Any:
        h = h + 0.1 * (p.A @ x - h)
        return h, {"h": h}

    model = Model([leaky(A=np.ones((3, 2), np.float32), name="slow")])
    (line,) = computed(save_all(iter([model]), tmp_path), tmp_path, few)
    assert "'slow' (an equation) has no kernel in this installation" in line


def test_without_shipped_kernels_and_without_a_compiler_the_extra_is_named(tmp_path: Path) -> None:
    (line,) = computed(save_all(iter(FEW[:1]), tmp_path), tmp_path, tmp_path / "nothing")
    assert line == (
        "NoCompilerError: Kernels have to be compiled, but llvmlite is not installed: pip install 'edge-rnn[jit]'."
    )


def test_everything_can_be_imported_without_numba() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('numba', 'llvmlite', 'rich')))\n"
        "from edge_rnn import *\n"
        "try: step(0, None, None)\n"
        "except EdgeRnnError as error: print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert "for functions compiled with numba.njit" in found.stdout
