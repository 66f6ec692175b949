"""PyTorch modules made from models: values, gradients, and the weights read back."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import paper_cells
from edge_rnn import GRU, LSTM, Dense, Elman, Embedding, Model, Standardize, cell, quantize, reference
from edge_rnn.activation import ACTIVATIONS
from edge_rnn.equations import concat, mean, sigmoid, tanh, total
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.errors import InputError, InputTypeError, UnsupportedError
from edge_rnn.layers import Add
from edge_rnn_export import from_torch, to_torch
from needs import package
from normals import normal
from random_equations import Program, as_cell, programs

torch = package("torch")
pytestmark = pytest.mark.torch

from edge_rnn_export.training import equation, layers  # noqa: E402 - they import torch

INPUTS, H = 3, 5


def of_gates(kind: Any, gates: int, **options: Any) -> Any:
    shapes = ((gates * H, INPUTS), (gates * H, H), (gates * H,), (gates * H,))
    return kind(*(normal(seed, *shape) for seed, shape in enumerate(shapes)), **options)


@cell
def all_sorts(p: Any, x: Any, h: Any, c: Any) -> Any:
    a = tanh(p.w @ concat(x[1:3], h, c[2:5])) * p.gain
    new = a[0:5] / mean(abs(a))
    return concat(a[1:6], h[0:2], p.b * total(h * h), p.b), {"h": new, "c": p.b + sigmoid(p.v @ a)}


def make_all_sorts() -> Any:
    given = {"w": normal(0, 13, 10), "v": normal(1, 7, 13), "b": normal(2, 7), "gain": 0.75}
    return all_sorts(**given, input_size=3, h=normal(3, 5), c=7)


@cell
def normed(p: Any, x: Any) -> Any:
    return (x - mean(x)) * p.scale * p.gain, {}


@cell
def fixed(p: Any, x: Any) -> Any:
    return concat(p.b, p.b * p.b), {}


MODELS = {
    "elman": lambda: Model([of_gates(Elman, 1), Dense(normal(7, 2, H), normal(8, 2), activation="softmax")]),
    "elman relu, one bias": lambda: Model(
        [Elman(normal(0, H, INPUTS), normal(1, H, H), normal(2, H), activation="relu")]
    ),
    "gru": lambda: Model([Standardize([1, 2, 3], [1, 2, 4]), of_gates(GRU, 3, h0=normal(9, H))]),
    "lstm": lambda: Model([of_gates(LSTM, 4), Dense(normal(7, 2, H), activation="elu:0.5")]),
    "lstm, projected": lambda: Model([LSTM(normal(0, 20, INPUTS), normal(1, 20, 2), weight_hr=normal(2, 2, 5))]),
    "all sorts": lambda: Model([make_all_sorts()]),
    "without states": lambda: Model([normed(scale=normal(0, INPUTS), gain=0.5), of_gates(Elman, 1)]),
    "constant": lambda: Model([fixed(b=normal(0, 2), input_size=INPUTS)]),
    "wired": lambda: Model(
        [
            Dense(normal(0, INPUTS, INPUTS), name="a"),
            Add(inputs=("input", "a"), name="b"),
            of_gates(GRU, 3, name="c"),
            paper_cells.mgu(
                weight_ih=normal(1, 8, INPUTS + H), weight_hh=normal(2, 8, 4), bias_ih=normal(3, 8),
                bias_hh=normal(4, 8), inputs=("c", "input"), name="d",
            ),
        ]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_module_computes_what_the_reference_does(name: str) -> None:
    model, xs = MODELS[name](), normal(9, 12, INPUTS)
    module = to_torch(model).double()
    with torch.no_grad():
        ys, states = module(torch.tensor(xs, dtype=torch.float64))
        first, between = module(torch.tensor(xs[:5], dtype=torch.float64))
        second, after = module(torch.tensor(xs[5:], dtype=torch.float64), between)
    expected, ends = reference.run(model, xs)
    np.testing.assert_allclose(ys, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(torch.cat([first, second]), expected, rtol=0, atol=1e-12)
    assert {*states} == {*after} == {*ends}
    for state, values in ends.items():
        np.testing.assert_allclose(states[state], values, rtol=0, atol=1e-12)
        np.testing.assert_allclose(after[state], values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_batch_is_as_many_sequences(name: str) -> None:
    model = MODELS[name]()
    xs = normal(9, 6, 4, INPUTS)
    with torch.no_grad():
        ys, states = to_torch(model).double()(torch.tensor(xs, dtype=torch.float64))
    for k in range(4):
        expected, ends = reference.run(model, xs[:, k])
        np.testing.assert_allclose(ys[:, k], expected, rtol=0, atol=1e-12)
        for state, values in ends.items():
            np.testing.assert_allclose(states[state][k], values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    module = to_torch(MODELS[name]()).double()
    names, values = zip(*module.named_parameters(), strict=True)
    xs = torch.tensor(normal(9, 4, 2, INPUTS), dtype=torch.float64, requires_grad=True)

    def function(xs: Any, *given: Any) -> Any:
        ys, states = torch.func.functional_call(module, dict(zip(names, given, strict=True)), (xs,))
        return ys, *states.values()

    assert torch.autograd.gradcheck(function, (xs, *values), fast_mode=True)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs())
def test_random_equation_computes_what_the_reference_does(program: Program) -> None:
    model = Model([as_cell(program)])
    xs = normal(program.seed, 4, program.inputs)
    with torch.no_grad():
        ys, _ = to_torch(model).double()(torch.tensor(xs, dtype=torch.float64))
    expected, _ = reference.run(model, xs)
    np.testing.assert_allclose(ys, expected, rtol=1e-9, atol=1e-9)


def test_every_operation_and_activation_has_its_function() -> None:
    assert {*equation.FUNCTIONS} == {n for n, each in OPERATIONS.items() if each.rule in ("units", "reduction")}
    assert {*layers.ACTIVATIONS} == {*ACTIVATIONS}
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)
    for name, parameters in ACTIVATIONS.items():
        text = ":".join([name, *(str(1.5 * value + 0.25) for value in parameters)])
        model = Model([Dense(np.eye(1), activation=text)])
        expected, _ = reference.run(model, x.numpy()[:, None])
        ys, _ = to_torch(model).double()(x[:, None])
        np.testing.assert_allclose(ys.detach(), expected, rtol=0, atol=1e-12, err_msg=name)


def test_embedding_takes_integers_and_its_nearest_rows() -> None:
    model = Model([Embedding(normal(0, 4, INPUTS)), of_gates(GRU, 3)])
    ids = np.array([[0], [3], [9], [-2]])
    ys, _ = to_torch(model)(torch.tensor(ids))
    np.testing.assert_allclose(ys.detach(), reference.run(model, ids)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_model_comes_back_as_it_went(name: str) -> None:
    model = replace(MODELS[name](), name="there and back", sample_rate_hz=10.0)
    module = to_torch(model)
    for again in (module.trained(), from_torch(module)):
        assert again.fingerprint == model.fingerprint
        assert (again.name, again.sample_rate_hz) == ("there and back", 10.0)


@pytest.mark.parametrize("name", ["gru", "all sorts", "wired"])
def test_training_lowers_the_loss_and_the_trained_model_computes_what_the_module_does(name: str) -> None:
    model, xs = MODELS[name](), normal(9, 8, 6, INPUTS)
    module = to_torch(model)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    wanted = torch.tensor(normal(4, 8, 6, model.output_size))
    losses = []
    for _ in range(20):
        ys, _ = module(torch.tensor(xs))
        loss = ((ys - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.99 * losses[0]
    trained = from_torch(module)
    assert trained.fingerprint != model.fingerprint
    ys, _ = to_torch(trained).double()(torch.tensor(xs[:, 0], dtype=torch.float64))
    np.testing.assert_allclose(ys.detach(), reference.run(trained, xs[:, 0])[0], rtol=0, atol=1e-12)
    with torch.no_grad():
        single, _ = module(torch.tensor(xs[:, 0]))
    np.testing.assert_allclose(single, ys.detach(), rtol=0, atol=1e-4)
    other = to_torch(model)
    other.load_state_dict(module.state_dict())
    assert other.trained().fingerprint == trained.fingerprint


def test_layer_alone_has_states_by_their_own_names() -> None:
    layer = make_all_sorts()
    module = to_torch(layer)
    xs = torch.tensor(normal(9, 6, INPUTS))
    ys, states = module(xs)
    whole, _ = to_torch(Model([layer]))(xs)
    assert torch.equal(ys, whole)
    assert {name: tuple(state.shape) for name, state in states.items()} == {"h": (5,), "c": (7,)}
    assert module.trained().arrays.keys() == layer.arrays.keys()
    assert "all_sorts" in repr(module)


def test_what_a_standardize_holds_is_not_trained() -> None:
    module = to_torch(Model([Standardize([1, 2], [3, 4]), Dense(np.ones((1, 2)))]))
    assert [name for name, _ in module.named_parameters()] == ["layers.1.weight"]


def test_parameter_with_a_name_reserved_by_pytorch() -> None:
    @cell
    def odd(p: Any, x: Any, h: Any) -> Any:
        h = tanh(p.forward * x + p.train_ * h)
        return h, {"h": h}

    model = Model([odd(forward=normal(0, 3), train_=0.5)])
    assert to_torch(model).trained().fingerprint == model.fingerprint


VARIANTS = {
    "elman elu": lambda: of_gates(Elman, 1, activation="elu:0.5"),
    "elman clip": lambda: of_gates(Elman, 1, gate_clip=0.4),
    "gru before": lambda: of_gates(GRU, 3, reset_after=False),
    "gru hard": lambda: of_gates(GRU, 3, gate_activation="hard_sigmoid"),
    "lstm peephole": lambda: of_gates(LSTM, 4, peephole=normal(7, 3 * H), cell_clip=0.5),
    "lstm coupled": lambda: of_gates(LSTM, 4, coupled="input", output_activation="scaled_tanh:1.5:0.5"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_layer_that_pytorch_has_none_of_is_computed_by_its_equation(name: str) -> None:
    model, xs = Model([VARIANTS[name]()]), normal(9, 12, INPUTS)
    with torch.no_grad():
        ys, _ = to_torch(model).double()(torch.tensor(xs, dtype=torch.float64))
    np.testing.assert_allclose(ys, reference.run(model, xs)[0], rtol=0, atol=1e-6)
    assert to_torch(model).trained().fingerprint == model.fingerprint


def test_what_does_not_fit_is_refused() -> None:
    model = MODELS["elman"]()
    with pytest.raises(UnsupportedError, match=r"weight_ih in int8, expected float32: .*dequantize"):
        to_torch(quantize(model, "int8"))
    with pytest.raises(InputTypeError, match="got dict, expected a Model or a layer"):
        to_torch({})
    module = to_torch(model)
    with pytest.raises(InputError, match=r"got shape \(4, 2\), expected a tensor of shape \(time, 3\) or"):
        module(torch.zeros(4, 2))
    with pytest.raises(InputError, match="got ndarray"):
        module(np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"got the states \['h'\], expected \['elman1.h'\]"):
        module(torch.zeros(4, 3), {"h": torch.zeros(5)})
    with pytest.raises(InputError, match=r"got the states \{'h': \(4,\)\}"):
        module(torch.zeros(4, 3), {"elman1.h": torch.zeros(4)})


def test_layer_in_a_custom_network_is_read_back() -> None:
    class Network(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = to_torch(make_all_sorts())
            self.head = torch.nn.Linear(21, 2)

        def forward(self, xs: Any) -> Any:
            ys, _ = self.rnn(xs)
            return torch.tanh(self.head(ys))

    network, xs = Network(), normal(9, 8, INPUTS)
    model = from_torch(network, activations={"head": "tanh"})
    assert [layer.name for layer in model.layers] == ["rnn", "head"]
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.tensor(xs)), reference.run(model, xs)[0], rtol=0, atol=1e-5)
    with pytest.raises(UnsupportedError, match="does not compute the same"):
        from_torch(network, modules=["rnn", "head"])


def test_module_can_be_copied_and_pickled() -> None:
    module = to_torch(MODELS["wired"]())
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert again.trained().fingerprint == module.trained().fingerprint


def test_model_of_to_torch_takes_a_description_alone() -> None:
    module = to_torch(MODELS["gru"]())
    assert from_torch(module, name="new").name == "new"
    for wrong in ({"standardize": ([0, 0, 0], [1, 1, 1])}, {"kinds": {"rnn": "Linear"}}):
        with pytest.raises(InputError, match="expected none of these, the layers are those of the model"):
            from_torch(module, **wrong)
