"""Kernels that wheels hold: the layers that they cover, and their compilation to one archive for each target.

A network runs without a compiler if each of its layers is covered, in any sizes, with biases and initial states or
without. Anything else needs the extra ``jit``; the error names the layer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from edge_rnn.kernels.compile.shipped_targets import SHIPPED
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry.archive import archived
from edge_rnn.kernels.entry.shipped_kernels import SOURCES
from edge_rnn.kernels.lower.lowered import lower
from edge_rnn.kernels.lower.template import generalized, template_of
from edge_rnn.layers import GRU, INPUT, LSTM, Add, Dense, Elman, Embedding, Recurrent, Standardize
from edge_rnn.layers.cell_equations import recorded
from edge_rnn.model import Model
from edge_rnn.quantization.apply import quantize
from edge_rnn.streams.planner import plan_for
from edge_rnn.typing import F32

__all__ = [
    "CELLS",
    "DENSE",
    "FUNCTIONS",
    "SPELLINGS",
    "Covered",
    "covered_models",
    "entries",
    "lowered_texts",
    "names_for",
    "write",
]

# Sizes of the layers below: values read, units, and values of a projection; see edge_rnn.kernels.lower.template.
I, H, P = 11, 13, 17  # noqa: E741
CELL = "cell"
_BIASES = ("bias_ih", "bias_hh")


class Covered(NamedTuple):
    """Kind of cell, with options, that wheels have kernels for."""

    kind: type[Recurrent]
    options: Mapping[str, Any] = MappingProxyType({})
    mixed: bool = False
    """True if its two matrices may be in different formats; otherwise both are in the same one."""


def _ones(*shape: int) -> F32:
    return np.ones(shape, np.float32)


_PEEPHOLE = {"peephole": _ones(3 * H)}
_PROJECTION = {"weight_hr": _ones(P, H)}

CELLS: Sequence[Covered] = (
    Covered(Elman, mixed=True),
    Covered(Elman, {"activation": "relu"}),
    Covered(Elman, {"activation": "sigmoid"}),
    Covered(GRU, mixed=True),
    Covered(GRU, {"gate_activation": "hard_sigmoid"}),
    Covered(GRU, {"reset_after": False}, mixed=True),
    Covered(GRU, {"reset_after": False, "gate_activation": "hard_sigmoid"}),
    Covered(LSTM, mixed=True),
    Covered(LSTM, {"gate_activation": "hard_sigmoid"}),
    Covered(LSTM, {"coupled": "input"}),
    Covered(LSTM, {"coupled": "forget"}),
    Covered(LSTM, {"cell_clip": 1.0}),
    Covered(LSTM, _PEEPHOLE),
    Covered(LSTM, _PROJECTION),
    Covered(LSTM, {**_PROJECTION, "projection_clip": 1.0}),
    Covered(LSTM, {**_PEEPHOLE, **_PROJECTION}),
)
"""Recurrent cells; numbers, such as the parameters of an activation, may have any value."""

DENSE: Sequence[str] = Dense.ACTIVATIONS
"""Activations of Dense layers, which may be in any format."""

SPELLINGS: Sequence[str] = ("float32", "float16", "int8", "w8a8", "int4", "sparse:0.5", "rank:1")
"""A spelling of each format of matrices."""

FUNCTIONS: Sequence[str] = ("bank", "rollout", "generate", "read")
"""Functions in addition to those that every step needs."""


def covered_models() -> Iterator[Model]:
    """Yield models of a layer each that together need every kernel of the wheels."""
    for cell in CELLS:
        model = Model([_cell(cell.kind, cell.options)])
        pairs = product(SPELLINGS, repeat=2) if cell.mixed else ((each, each) for each in SPELLINGS)
        for first, second in pairs:
            yield quantize(model, {f"{CELL}.weight_ih": first, f"{CELL}.weight_hh": second})
    for outputs, activation, spelling in product((4, 16), DENSE, SPELLINGS):
        yield quantize(Model([Dense(_ones(outputs, I), activation=activation)]), spelling)
    twice = (INPUT, INPUT)
    yield Model([Standardize(_ones(I), _ones(I))])
    yield Model([Embedding(_ones(I, H))])
    yield Model([Add(inputs=twice)], input_size=I)
    yield Model([Dense(_ones(16, 2 * I), inputs=twice)], input_size=I)  # copies its inputs


def names_for(target: Target) -> list[str]:
    """Names of all functions for a target, those of a cell one after the other."""
    found = dict.fromkeys(name for model in covered_models() for name in plan_for(model, target).ops)
    groups = [object_cache.grouped(name, target.group) for name in found] if target.group > 1 else []
    return [*found, *filter(None, groups), *FUNCTIONS]


def lowered_texts() -> dict[str, str]:
    """Texts of the lowered graphs of all cells, see :mod:`edge_rnn.kernels.lower.template`."""
    found = {}
    for cell, *biases in product(CELLS, (False, True), (False, True)):
        given = {name: _ones(len(cell.kind.gates) * H) for name, there in zip(_BIASES, biases, strict=True) if there}
        layer = _cell(cell.kind, {**cell.options, **given})
        name, _ = template_of(layer.recorded_from) or ("", {})
        found[name] = generalized(layer.recorded_from, partial(_lowered, cell.kind))
    return found


def _lowered(kind: type[Recurrent], states: Any, fields: Any) -> str:
    matrices = frozenset(kind.matrices)  # formats make no difference, as no two matrices multiply the same vector
    return json.dumps(astuple(lower(recorded(kind.equation, states, fields), matrices)))


def _cell(kind: type[Recurrent], options: Mapping[str, Any]) -> Recurrent:
    rows = len(kind.gates) * H
    return kind(_ones(rows, I), _ones(rows, P if "weight_hr" in options else H), name=CELL, **options)


def entries(target: Target, names: Sequence[str], processes: int) -> dict[str, bytes]:
    """Compile functions for a target; return what an archive with them holds."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        images = pool.map(partial(_image, target), names, chunksize=8)
        found = dict(zip(map(str, names), images, strict=True))
    texts = {name: text.encode() for name, text in lowered_texts().items()}
    return {**found, **texts, SOURCES: object_cache.sources_digest()}


def _image(target: Target, name: str) -> bytes:
    return object_cache.image_for(name, target).to_bytes()


def write(architecture: str, folder: Path, processes: int) -> list[Path]:
    """Write the archives for all targets of an architecture to a folder; return their paths."""
    paths = []
    for each in SHIPPED[architecture]:
        paths.append(folder / each.file)
        paths[-1].write_bytes(archived(entries(each.target, names_for(each.target), processes)))
    return paths


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), os.cpu_count() or 1)
