"""Graphs by PyTorch's ONNX exporters of its recurrent modules are equal to PyTorch, or are refused."""

from __future__ import annotations

import io
import itertools
import logging
import warnings
from typing import Any

import numpy as np
import onnx
import pytest

import needs
from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model
from edge_rnn.streams.stream import Stream
from edge_rnn_export import from_onnx

torch = needs.package("torch")
pytestmark = pytest.mark.torch

TOLERANCE = 3e-6
STEPS, BATCH, INPUTS, HIDDEN = 9, 2, 3, 5
KINDS = {
    "tanh": (torch.nn.RNN, {"nonlinearity": "tanh"}),
    "relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "GRU": (torch.nn.GRU, {}),
    "LSTM": (torch.nn.LSTM, {}),
}


class Network(torch.nn.Module):
    """A recurrent module and a head, of each step or of the last one."""

    def __init__(self, kind: str, last: bool = False, **options: Any) -> None:
        super().__init__()
        cls, own = KINDS[kind]
        self.rnn = cls(INPUTS, HIDDEN, **own, **options)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(options.get("proj_size") or HIDDEN, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
        )
        self.last = last
        self.batch_first = options.get("batch_first", False)

    def forward(self, x: Any) -> Any:
        y, _ = self.rnn(x)
        if self.last:
            y = y[:, -1] if self.batch_first else y[-1]
        return torch.softmax(self.head(y), -1)


def exported(module: Any, arguments: tuple[Any, ...], dynamo: bool, **options: Any) -> onnx.ModelProto:
    logging.getLogger("torch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            needs.package("onnxscript")
            program = torch.onnx.export(module, arguments, dynamo=True, verbose=False, **options)
            proto: onnx.ModelProto = program.model_proto
            return proto
        file = io.BytesIO()
        torch.onnx.export(module, arguments, file, dynamo=False, **options)
        return onnx.load_from_string(file.getvalue())


def module_and_samples(kind: str, **options: Any) -> tuple[Any, Any]:
    torch.manual_seed(3)
    x = torch.randn(BATCH, STEPS, INPUTS) if options.get("batch_first") else torch.randn(STEPS, BATCH, INPUTS)
    return Network(kind, **options).eval(), x


def check(model: Model, module: Any, x: Any) -> None:
    """Reference and Stream against the module, on each sequence of the batch."""
    with torch.no_grad():
        wanted = module(x).numpy()
    batch_first, last = module.batch_first, module.last
    for place in range(x.shape[0 if batch_first else 1]):
        xs = (x[place] if batch_first else x[:, place]).numpy()
        expected = wanted[place] if batch_first or last else wanted[:, place]
        for ys in (reference.run(model, xs)[0], Stream(model).run(np.ascontiguousarray(xs))):
            np.testing.assert_allclose(ys[-1] if last else ys, expected, atol=TOLERANCE, rtol=0)


GRID = list(itertools.product(KINDS, [1, 2, 3], [True, False]))


@pytest.mark.parametrize(("batch_first", "last"), [(False, False), (True, True)])
@pytest.mark.parametrize(("kind", "layers", "bias"), GRID)
def test_grid(kind: str, layers: int, bias: bool, batch_first: bool, last: bool) -> None:
    module, x = module_and_samples(kind, num_layers=layers, bias=bias, batch_first=batch_first, last=last)
    model = from_onnx(exported(module, (x,), dynamo=False))
    assert [layer.name for layer in model.layers] == [*["rnn", "rnn_2", "rnn_3"][:layers], "head_0", "head_2"]
    check(model, module, x)


@pytest.mark.parametrize(("kind", "layers", "bias"), GRID)
def test_grid_with_open_axes(kind: str, layers: int, bias: bool) -> None:
    module, x = module_and_samples(kind, num_layers=layers, bias=bias, batch_first=True, last=True)
    axes = {"x": {0: "batch", 1: "time"}}
    check(from_onnx(exported(module, (x,), False, input_names=["x"], dynamic_axes=axes)), module, x)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_modules_with_states(kind: str, layers: int) -> None:
    """The bare module: states in one input and one output for all layers."""
    torch.manual_seed(1)
    cls, own = KINDS[kind]
    module = cls(INPUTS, HIDDEN, layers, **own).eval()
    x, h, c = torch.randn(STEPS, BATCH, INPUTS), *torch.randn(2, layers, BATCH, HIDDEN)
    state = (h, c) if kind == "LSTM" else h
    model = from_onnx(exported(module, (x, state), dynamo=False))
    with torch.no_grad():
        wanted = module(x, state)[0].numpy()
    for place in range(BATCH):
        start = {}
        for layer, found in enumerate(model.layers):
            start |= {f"{found.name}.{key}": {"h": h, "c": c}[key][layer, place].numpy() for key in found.initial_state}
        ys, _ = reference.run(model, x[:, place].numpy(), start)
        np.testing.assert_allclose(ys, wanted[:, place], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("batch_first", "last"), [(False, False), (True, True)])
@pytest.mark.parametrize(
    ("kind", "layers", "bias"), [("GRU", 1, True), ("GRU", 2, False), ("LSTM", 2, True), ("LSTM", 1, False)]
)
def test_newer_exporter(kind: str, layers: int, bias: bool, batch_first: bool, last: bool) -> None:
    module, x = module_and_samples(kind, num_layers=layers, bias=bias, batch_first=batch_first, last=last)
    check(from_onnx(exported(module, (x,), dynamo=True)), module, x)


@pytest.mark.parametrize("kind", ["tanh", "relu"])
def test_newer_exporter_writes_out_the_steps_of_an_rnn(kind: str) -> None:
    module, x = module_and_samples(kind)
    model = from_onnx(exported(module, (x,), dynamo=True))
    assert [layer.kind for layer in model.layers] == ["Elman", "Dense", "Dense"]
    check(model, module, x)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("dynamo", [False, True])
def test_projections_are_refused(dynamo: bool, layers: int) -> None:
    """The older exporter refuses them; the newer one omits the projection and derives a wrong H.

    What it writes is no LSTM that PyTorch has; it is seen by the cell state, which is as long as H says.
    """
    module, x = module_and_samples("LSTM", proj_size=2, num_layers=layers)
    if not dynamo:
        with pytest.raises(torch.onnx.errors.SymbolicValueError, match=r"LSTMs with projections"):
            exported(module, (x,), dynamo)
        return
    with pytest.raises(
        UnsupportedError, match=r"LSTM node 'node_.*: its initial_c has shape \(1, 2, 5\), expected \(1, 2, 2"
    ):
        from_onnx(exported(module, (x,), dynamo))


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_bidirectional_is_refused(kind: str, dynamo: bool) -> None:
    torch.manual_seed(0)
    module = KINDS[kind][0](INPUTS, HIDDEN, bidirectional=True).eval()
    with pytest.raises(UnsupportedError, match=rf"{kind} node '.*: its direction is 'bidirectional'"):
        from_onnx(exported(module, (torch.randn(STEPS, BATCH, INPUTS),), dynamo))


def test_embedding_and_norm() -> None:
    """Symbols through a table, a batch normalization, and a cell."""

    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(11, 4)
            self.norm = torch.nn.BatchNorm1d(4)
            self.rnn = torch.nn.GRU(4, HIDDEN, batch_first=True)

        def forward(self, tokens: Any) -> Any:
            x = self.norm(self.table(tokens).transpose(1, 2)).transpose(1, 2)
            return self.rnn(x)[0]

    torch.manual_seed(2)
    module = Words()
    tokens = torch.randint(0, 11, (BATCH, STEPS))
    module(tokens)  # the norm counts
    module.eval()
    model = from_onnx(exported(module, (tokens,), dynamo=False))
    assert [layer.kind for layer in model.layers] == ["Embedding", "GRU"]
    for place in range(BATCH):
        ys, _ = reference.run(model, tokens[place].numpy()[:, None].astype(np.float32))
        with torch.no_grad():
            np.testing.assert_allclose(ys, module(tokens)[place].numpy(), atol=TOLERANCE, rtol=0)
