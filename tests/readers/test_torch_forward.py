"""``from_torch`` compares a chain that the caller states with a module's forward, in any layout."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, InputError, ReadingWarning, UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export import from_onnx, from_torch

torch = needs.package("torch")
nn = torch.nn
pytestmark = pytest.mark.torch

Forward = Callable[..., Any]


@pytest.fixture(autouse=True)
def _one_thread_same_weights() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def network(forward: Forward, **modules: Any) -> Any:
    """User class with this forward and these modules."""
    made = type("Net", (nn.Module,), {"forward": forward})()
    for name, module in modules.items():
        setattr(made, name, module)
    return made.eval()


def in_order(self: Any, x: Any) -> Any:
    return self.out(self.rnn(x)[0])


def hooked() -> Any:
    module = nn.Sequential(nn.Linear(3, 4))
    module[0].register_forward_hook(lambda module, inputs, output: 3 * output)
    return module


def aliased() -> Any:
    rnn = nn.GRU(4, 4)
    return network(in_order, rnn=rnn, layers=nn.ModuleList([rnn]), out=nn.Linear(4, 2))


class Negative(nn.Sequential):  # type: ignore[name-defined,misc]
    def forward(self, x: Any) -> Any:
        return -super().forward(x)


def two_relus(self: Any, x: Any) -> Any:
    return self.c(self.act(self.b(self.act(self.a(x)))))


OTHERWISE: dict[str, Callable[[], Any]] = {
    "skip": lambda: network(lambda self, x: self.out(x + self.rnn(x)[0]), rnn=nn.GRU(3, 3), out=nn.Linear(3, 2)),
    "gated": lambda: network(
        lambda self, x: self.a(self.rnn(x)[0]) * torch.sigmoid(self.b(self.rnn(x)[0])),
        rnn=nn.GRU(3, 8),
        a=nn.Linear(8, 8),
        b=nn.Linear(8, 8),
    ),
    "used twice": lambda: network(lambda self, x: self.rnn(self.rnn(x)[0])[0], rnn=nn.GRU(4, 4)),
    "other order": lambda: network(lambda self, x: self.a(self.b(x)[0]), a=nn.Linear(8, 8), b=nn.GRU(8, 8)),
    "one relu twice": lambda: network(
        two_relus, a=nn.Linear(3, 4), act=nn.ReLU(), b=nn.Linear(4, 4), c=nn.Linear(4, 2)
    ),
    "alias": aliased,
    "hook": hooked,
    "sequential": lambda: Negative(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
    "tiny": lambda: network(lambda self, x: -self.out(x), out=nn.Linear(3, 1)).apply(
        lambda module: [parameter.detach().mul_(1e-7) for parameter in module.parameters(recurse=False)]
    ),
    "alternatives": lambda: network(
        lambda self, x: self.heads["b"](x), heads=nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    ),
    "other shape": lambda: network(lambda self, x: self.a(x), a=nn.Linear(3, 3), b=nn.Linear(3, 2)),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_forward_that_does_something_else_is_refused(name: str) -> None:
    module = OTHERWISE[name]()
    message = r"does not compute the same as <Model .*(differ by up to|it returns the shape) .*Pass modules= in order"
    modules = [path for path, _ in module.named_children()]
    with pytest.raises(UnsupportedError, match=message):
        from_torch(module, modules=modules)
    assert isinstance(from_torch(module, modules=modules, check=False), Model)


MORE: dict[str, Callable[[], Any]] = {
    "a module of another kind": lambda: network(
        lambda self, x: self.act(in_order(self, x)), rnn=nn.GRU(3, 4), out=nn.Linear(4, 2), act=nn.ELU()
    ),
    "sum": OTHERWISE["skip"],
    "join": lambda: network(
        lambda self, x: self.out(torch.cat([x, self.rnn(x)[0]], -1)), rnn=nn.GRU(3, 3), out=nn.Linear(6, 2)
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_from_onnx_reads_what_the_refusal_sends_there(name: str, tmp_path: Path) -> None:
    module, path = MORE[name](), tmp_path / "net.onnx"
    with pytest.raises(
        EdgeRnnError, match=r"from_onnx reads more .*torch\.onnx\.export\(module, \(x,\), 'net\.onnx', dyn"
    ):
        from_torch(module, modules=[path for path, _ in module.named_children()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(5, 1, 3),), path, dynamo=False)
    xs = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(xs)[:, None])[:, 0].numpy()
    assert np.abs(reference.run(from_onnx(path), xs)[0] - expected).max() <= 1e-5


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("used twice", ("rnn", "rnn")),
        ("other order", ("b", "a")),
        ("one relu twice", ("a", "act", "b", "act", "c")),
        ("alias", ("rnn", "out")),
    ],
)
def test_modules_in_order_of_use_are_taken(name: str, modules: tuple[str, ...]) -> None:
    ignore = ("layers",) if name == "alias" else ()
    assert len(from_torch(OTHERWISE[name](), modules=modules, ignore=ignore).layers) >= 2


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "relu", "tanh"])
def test_functional_activation_is_found_and_said(activation: str) -> None:
    functions = {"softmax": lambda x: torch.softmax(x, -1)}
    function = functions.get(activation, getattr(torch, activation))
    module = network(lambda self, x: function(in_order(self, x)), rnn=nn.GRU(3, 4), out=nn.Linear(4, 3))
    with pytest.raises(UnsupportedError, match=rf"Pass activations={{'out': '{activation}'}}, or build"):
        from_torch(module, modules=("rnn", "out"))
    model = from_torch(module, activations={"out": activation})
    assert model.layers[-1].options == {"activation": activation}
    xs = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    np.testing.assert_array_equal(reference.run(from_torch(module), xs)[0], reference.run(model, xs)[0])


def test_activation_inside_the_loss_function_is_taken() -> None:
    module = network(in_order, rnn=nn.GRU(3, 4), out=nn.Linear(4, 3))
    assert from_torch(module, activations={"out": "softmax"}).layers[-1].options == {"activation": "softmax"}


@pytest.mark.parametrize("module", [True, False])
def test_log_softmax_at_the_end_is_read_as_it_is_and_in_a_chain_as_softmax(module: bool) -> None:
    last = {"log": nn.LogSoftmax(-1)} if module else {}
    net = network(
        lambda self, x: torch.log_softmax(in_order(self, x), -1), rnn=nn.GRU(3, 4), out=nn.Linear(4, 3), **last
    )
    stated = {"modules": ["rnn", "out"], "activations": {"out": "softmax"}}
    exact, expected = from_torch(net), from_torch(net, **stated)  # without a warning
    with pytest.warns(ReadingWarning, match=re.escape("modules=['rnn', 'out'], activations={'out': 'softmax'}")):
        assert from_torch(net, modules=["rnn", "out"]).fingerprint == expected.fingerprint
    if module:
        with pytest.warns(ReadingWarning, match=r"ends in log_softmax; read as softmax"):
            assert from_torch(net, modules=["rnn", "out", "log"]).fingerprint == expected.fingerprint
    xs = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    with torch.no_grad():
        outputs = net.double()(torch.from_numpy(xs).double()).numpy()
    np.testing.assert_allclose(reference.run(exact, xs)[0], outputs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(reference.run(expected, xs)[0], np.exp(outputs), rtol=0, atol=1e-12)


def test_log_softmax_after_a_recurrent_module_names_no_argument() -> None:
    with pytest.warns(ReadingWarning, match=r"probabilities in the same order\.$"):
        model = from_torch(nn.ModuleList([nn.GRU(3, 4), nn.LogSoftmax(-1)]))
    assert model.layers[-1].options == {"activation": "softmax"}


def test_log_softmax_elsewhere_is_refused() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(-1), nn.Linear(4, 2))
    for check in (True, False):
        with pytest.raises(UnsupportedError, match=r"nn\.LogSoftmax '1' before other modules"):
            from_torch(module, modules=("0", "1", "2"), check=check)


def states_asked_for(self: Any, x: Any, state: Any) -> Any:
    h, state = self.rnn(x, state)
    return self.out(h), state


def states_made(self: Any, x: Any) -> Any:
    return self.out(self.rnn(x, torch.zeros(1, x.size(0), 4))[0])  # float32 for any x


def step_of_a_cell(self: Any, x: Any, h: Any = None) -> Any:
    h = self.cell(x, h)
    return self.out(h), h


def sequence_of_a_cell(self: Any, xs: Any) -> Any:
    h, ys = None, []
    for x in xs:
        h = self.cell(x, h)
        ys.append(self.out(h))
    return torch.stack(ys)


def noisy(self: Any, x: Any) -> Any:
    import warnings

    warnings.warn("look", stacklevel=1)
    self.seen = getattr(self, "seen", 0) + 1
    return in_order(self, x)


def zeros_asked_for(self: Any, x: Any, h: Any, c: Any) -> Any:
    y, (h, c) = self.rnn(x, (h.detach(), c.detach()))
    return self.out(y), h, c


def pair_asked_for(self: Any, x: Any, state: Any) -> Any:
    h, c = state
    return self.out(self.rnn(x, (h.detach(), c.detach()))[0])


def named(self: Any, x: Any, h: Any) -> dict[str, Any]:
    y, h = self.rnn(x, h.detach())
    return {"logits": self.out(y), "hidden": h}


TAKEN: dict[str, tuple[Forward, dict[str, Callable[[], Any]]]] = {
    "time first": (in_order, {"rnn": lambda: nn.GRU(3, 4)}),
    "batch first": (in_order, {"rnn": lambda: nn.LSTM(3, 4, 2, batch_first=True)}),
    "last step": (lambda self, x: self.out(self.rnn(x)[0])[:, -1], {"rnn": lambda: nn.GRU(3, 4, batch_first=True)}),
    "last step of time first": (lambda self, x: self.out(self.rnn(x)[0][-1]), {"rnn": lambda: nn.GRU(3, 4)}),
    "last state": (lambda self, x: self.out(self.rnn(x)[1][-1]), {"rnn": lambda: nn.GRU(3, 4)}),
    "with states": (lambda self, x: (in_order(self, x), self.rnn(x)[1]), {"rnn": lambda: nn.RNN(3, 4)}),
    "nested tuple": (lambda self, x: ((None, in_order(self, x)), 0), {"rnn": lambda: nn.RNN(3, 4)}),
    "states asked for": (states_asked_for, {"rnn": lambda: nn.LSTM(3, 4, batch_first=True)}),
    "two zero states": (zeros_asked_for, {"rnn": lambda: nn.LSTM(3, 4, 2)}),
    "a pair of zero states": (pair_asked_for, {"rnn": lambda: nn.LSTM(3, 4, batch_first=True)}),
    "a projected state": (pair_asked_for, {"rnn": lambda: nn.LSTM(3, 7, proj_size=4)}),
    "a zero state, outputs by name": (named, {"rnn": lambda: nn.GRU(3, 4, batch_first=True)}),
    "states made": (states_made, {"rnn": lambda: nn.GRU(3, 4, batch_first=True)}),
    "cell, one step": (step_of_a_cell, {"cell": lambda: nn.GRUCell(3, 4)}),
    "cell, sequence": (sequence_of_a_cell, {"cell": lambda: nn.GRUCell(3, 4)}),
    "with a warning": (noisy, {"rnn": lambda: nn.GRU(3, 4)}),
}


@pytest.mark.parametrize(("name", "outputs"), [(name, 1 + place % 2) for place, name in enumerate(TAKEN)])
def test_layouts(name: str, outputs: int) -> None:
    forward, modules = TAKEN[name]
    module = network(forward, **{key: make() for key, make in modules.items()}, out=nn.Linear(4, outputs))
    assert from_torch(module).output_size == outputs
    assert not hasattr(module, "seen")


def symbols(self: Any, x: Any, hidden: Any = None) -> Any:
    y, hidden = self.rnn(self.encoder(x), hidden)
    return self.out(y), hidden


@pytest.mark.parametrize("batch_first", [False, True])
def test_embedding_is_checked_with_symbols(batch_first: bool) -> None:
    parts = {"encoder": nn.Embedding(20, 3), "rnn": nn.LSTM(3, 4, 2, batch_first=batch_first), "out": nn.Linear(4, 20)}
    module = network(symbols, **parts)
    model = from_torch(module)
    chosen = np.arange(20)
    with torch.no_grad():
        expected = module.double()(torch.from_numpy(chosen)[None if batch_first else slice(None)])[0].numpy()
    np.testing.assert_allclose(
        reference.run(model, chosen[:, None].astype(np.float32))[0], expected.reshape(20, 20), rtol=0, atol=1e-12
    )
    wrong = network(lambda self, x: symbols(self, x // 2)[0], **parts)
    with pytest.raises(UnsupportedError, match=r"forward does not compute the same"):
        from_torch(wrong, modules=("encoder", "rnn", "out"))


@pytest.mark.parametrize("axes", [(), (-1,)])
def test_single_output_without_its_axis(axes: tuple[int, ...]) -> None:
    module = network(lambda self, x: in_order(self, x).squeeze(*axes), rnn=nn.GRU(3, 4), out=nn.Linear(4, 1))
    assert from_torch(module).output_size == 1


def test_module_is_left_as_it_is() -> None:
    module = network(in_order, rnn=nn.GRU(3, 4, 2, dropout=0.0), out=nn.Linear(4, 2)).train()
    module.out.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    from_torch(module)
    assert module.training
    assert module.rnn.training
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in module.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])
    assert [parameter.grad for parameter in module.parameters()] == [None] * 10


def test_forward_that_cannot_be_called_is_named() -> None:
    def demanding(self: Any, x: Any, mask: Any) -> Any:
        return in_order(self, x * mask.float())

    module = network(demanding, rnn=nn.GRU(3, 4), out=nn.Linear(4, 2))
    with pytest.raises(InputError, match=r"could not run Net\.forward .*'NoneType' .* check=False"):
        from_torch(module)
    assert len(from_torch(module, check=False).layers) == 2


@pytest.mark.parametrize("make", [nn.RNNCell, nn.GRUCell, nn.LSTMCell, nn.RNN, nn.GRU, nn.LSTM, nn.Linear])
def test_plain_modules(make: Callable[..., Any]) -> None:

    module = make(3, 4)
    assert from_torch(module).fingerprint == from_torch(module, check=False).fingerprint


def test_sequential_that_pytorch_cannot_run_is_taken_unless_it_was_changed() -> None:
    module = nn.Sequential(nn.GRU(3, 4), nn.Linear(4, 2))  # the GRU hands a tuple on
    assert [layer.kind for layer in from_torch(module).layers] == ["GRU", "Dense"]
    module[0].register_forward_pre_hook(lambda module, inputs: inputs)
    with pytest.raises(InputError, match=r"could not run Sequential\.forward .*check=False"):
        from_torch(module)


class Counting(nn.Module):  # type: ignore[name-defined,misc]
    """Keeps a state that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3, 2)
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return self.out(x) * self.calls


def test_a_state_that_the_program_does_not_show_is_found_by_running() -> None:
    with pytest.raises(UnsupportedError, match=r"does not compute the same .* at a later call: it keeps a state"):
        from_torch(Counting().eval())
