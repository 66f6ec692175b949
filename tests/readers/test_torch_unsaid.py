"""``from_torch`` asks for what a state_dict does not hold, or lists it: case by case, and in seeded trials."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
import needs
from edge_rnn import reference
from edge_rnn.cli import main
from edge_rnn.errors import EdgeRnnError, InputError, ReadingWarning, UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export import from_torch

torch = needs.package("torch")
nn = torch.nn
prune = needs.package("torch", "torch.nn.utils.prune")
pytestmark = pytest.mark.torch

Net = Any
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "none": lambda x: x,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, -1),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Chain(nn.Module):  # type: ignore[name-defined,misc]
    """Modules by name, each with the activation after it, in order of use."""

    def __init__(self, *steps: tuple[str, Any, str]) -> None:
        super().__init__()
        self.steps = steps
        for path, module, _ in steps:
            self.add_module(path, module)
        self.eval()

    def forward(self, x: Any) -> Any:
        for _, module, activation in self.steps:
            x = module(x)
            x = ACTIVATIONS[activation](x[0] if isinstance(x, tuple) else x)
        return x

    def said(self) -> dict[str, Any]:
        """All arguments that the state_dict leaves open."""
        answers: dict[str, Any] = {"modules": [], "activations": {}, "kinds": {}}
        for path, module, activation in self.steps:
            answers["modules"].append(path)
            if isinstance(module, nn.Linear):
                answers["activations"][path] = activation
            if isinstance(module, nn.RNN):
                answers["activations"][path] = module.nonlinearity
            if isinstance(module, nn.Embedding) or (isinstance(module, nn.Linear) and module.bias is None):
                answers["kinds"][path] = type(module).__name__
        return answers


def samples(net: Net) -> Any:
    first = net.steps[0][1]
    rng = np.random.default_rng(0)
    if isinstance(first, nn.Embedding):
        return rng.integers(0, first.num_embeddings, 40)
    return rng.standard_normal((40, first.weight.shape[1] if isinstance(first, nn.Linear) else first.input_size))


def off(model: Model, net: Net) -> float:
    """Largest difference, infinite if the shapes differ."""
    xs = samples(net)
    with torch.no_grad():
        whole = torch.from_numpy(xs) if xs.ndim == 1 else torch.from_numpy(xs).float().double()
        expected = net.double()(whole).numpy()
    net.float()
    given = xs[:, None] if xs.ndim == 1 else xs.astype(np.float32)
    if model.input_size != given.shape[1]:
        return np.inf
    ys = reference.run(model, given.astype(np.float32))[0]
    return float(np.abs(ys - expected).max()) if ys.shape == expected.shape else np.inf


def stated(message: str) -> dict[str, Any]:
    """Arguments that a message names, as it writes them."""
    found = re.findall(r"\b(modules|activations|kinds)=(\[[^]]*\]|\{[^}]*\})", message)
    return {name: ast.literal_eval(value) for name, value in found}


def flags(message: str) -> list[str]:
    """The same for the command line."""
    return re.findall(r"--(?:modules|activation|kind) [^\s)]+", message)


def told(source: Any, **options: Any) -> tuple[Model | None, str]:
    """Model, and the text of the refusal or of the warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = from_torch(source, **options)
        except EdgeRnnError as error:
            return None, str(error)
    assert all(each.category is ReadingWarning and each.filename == __file__ for each in caught)
    assert len(caught) <= 1
    return model, "".join(str(each.message) for each in caught)


def followed(net: Net) -> Model:
    """Model read by following each message, with the truth for the values that it names, until none is left."""
    options: dict[str, Any] = {}
    for _ in range(6):
        model, message = told(net.state_dict(), **options)
        if not message:
            assert model is not None
            return model
        named = stated(message)
        assert named, message
        for name, value in named.items():
            truth = net.said()[name]
            if name == "modules":
                assert sorted(value) == sorted(truth), message
                options[name] = truth
            else:
                assert not value.keys() & options.get(name, {}).keys(), message
                options[name] = options.get(name, {}) | {path: truth[path] for path in value}
    raise AssertionError(message)


ASKED: dict[str, tuple[Callable[[], Net], str]] = {
    "activation between Linears": (
        lambda: Chain(
            ("lstm", nn.LSTM(3, 8), "none"), ("fc1", nn.Linear(8, 6), "relu"), ("fc2", nn.Linear(6, 2), "none")
        ),
        r"activation after 'fc1'; state it in activations={'fc1': 'relu'} \(--activation fc1=relu\)",
    ),
    "activation before an LSTM": (
        lambda: Chain(("fc", nn.Linear(3, 5), "tanh"), ("lstm", nn.LSTM(5, 8), "none")),
        r"activation after 'fc'",
    ),
    "nonlinearity": (
        lambda: Chain(("rnn", nn.RNN(3, 8, nonlinearity="relu"), "none"), ("head", nn.Linear(8, 2), "none")),
        r"nonlinearity of the RNN 'rnn'; state it in activations={'rnn': 'tanh'}",
    ),
    "table of symbols": (
        lambda: Chain(
            ("emb", nn.Embedding(16, 16), "none"), ("gru", nn.GRU(16, 8), "none"), ("out", nn.Linear(8, 3), "none")
        ),
        r"whether 'emb', .* is an Embedding or a Linear; state it in kinds={'emb': 'Embedding'} \(--kind emb=Embedding",
    ),
    "Linear without bias": (
        lambda: Chain(("gru", nn.GRU(3, 8), "none"), ("out", nn.Linear(8, 2, bias=False), "sigmoid")),
        r"whether 'out', .* is an Embedding or a Linear",
    ),
    "two ends": (
        lambda: Chain(("head", nn.Linear(8, 8), "none"), ("gru", nn.GRU(8, 8), "none")),
        r"the sizes: head \(8 to 8\), gru \(8 to 8\)\. .*modules=\['head', 'gru'\] \(--modules head,gru\)",
    ),
    "a ring": (
        lambda: Chain(("gru", nn.GRU(1, 8), "none"), ("head", nn.Linear(8, 1), "none")),
        r"order of use from the sizes: gru \(1 to 8\), head \(8 to 1\)",
    ),
    "nothing recurrent": (
        lambda: Chain(("a", nn.Linear(3, 8), "tanh"), ("b", nn.Linear(8, 2), "none")),
        r"nothing recurrent in the state_dict, only 'a', 'b', .*modules=\['a', 'b'\] \(--modules a,b\)",
    ),
    "one Linear": (lambda: Chain(("a", nn.Linear(3, 8), "relu")), r"nothing recurrent"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_changes_the_outputs_is_asked_for(case: str) -> None:
    torch.manual_seed(0)
    make, message = ASKED[case]
    net = make()
    with pytest.raises(InputError, match=message):
        from_torch(net.state_dict())
    assert off(followed(net), net) <= 1e-10
    assert off(from_torch(net.state_dict(), **net.said()), net) <= 1e-10


@pytest.mark.parametrize("case", ASKED)
def test_the_command_line_takes_what_its_messages_name(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    net = ASKED[case][0]()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    truth, words = net.said(), []
    for _ in range(5):
        code = main(["import", str(tmp_path / "net.pt"), "-o", str(tmp_path / "net.safetensors"), *words])
        captured = capsys.readouterr()
        if code == 0:
            break
        assert flags(captured.err), captured.err
        for flag in flags(captured.err):
            option, value = flag.split()
            path = value.partition("=")[0]
            answers = {
                "--modules": lambda: ",".join(truth["modules"]),
                "--activation": lambda path=path: f"{path}={truth['activations'][path]}",
                "--kind": lambda path=path: f"{path}={truth['kinds'][path]}",
            }
            words += [option, answers[option]()]
    assert code == 0
    assert "not compared a state_dict does not hold forward" in captured.out
    for flag in flags(captured.out):
        option, value = flag.split()
        assert option == "--modules" or value.endswith("=none")
    # What is still assumed holds here, except for the activation of the last Linear.
    last = net.steps[-1]
    if not isinstance(last[1], nn.Linear) or last[2] == "none" or f"--activation {last[0]}=" not in captured.out:
        assert off(edge_rnn.load(tmp_path / "net.safetensors"), net) <= 1e-10


def test_what_is_left_is_listed_and_can_be_stated() -> None:
    torch.manual_seed(0)
    net = Chain(("gru", nn.GRU(3, 8), "none"), ("head", nn.Linear(8, 2), "none"))
    with pytest.warns(ReadingWarning, match=r"assumed: 'gru', 'head' in this order, .*; no activation after 'head'"):
        model = from_torch(net.state_dict())
    assert off(model, net) <= 1e-10
    with pytest.warns(ReadingWarning, match=r"assumed: no activation after 'head' \(activations={'head': 'none'}"):
        from_torch(net.state_dict(), modules=["gru", "head"])
    with pytest.warns(ReadingWarning, match=r"assumed: 'gru', 'head' in this order, .* in forward \([^;]*$"):
        from_torch(net.state_dict(), activations={"head": "none"})
    from_torch(net.state_dict(), modules=["gru", "head"], activations={"head": "none"})


def test_the_state_dict_of_a_recurrent_module_itself_leaves_nothing_open() -> None:
    for module in (nn.GRU(3, 8, 2), nn.LSTM(3, 8), nn.GRUCell(3, 8)):
        assert told(module.state_dict())[1] == ""
    with pytest.raises(InputError, match=r"nonlinearity of the RNN ''; state it in activations={'': 'tanh'}"):
        from_torch(nn.RNN(3, 8).state_dict())


def test_heads_of_one_network_are_read_one_at_a_time() -> None:
    torch.manual_seed(0)
    net = Chain(("gru", nn.GRU(3, 8), "none"), ("mu", nn.Linear(8, 2), "tanh"))
    net.add_module("sigma", nn.Linear(8, 2))
    with pytest.raises(InputError, match=r"order of use .*without those of other outputs, and those in ignore="):
        from_torch(net.state_dict())
    assert off(from_torch(net.state_dict(), **net.said(), ignore=["sigma"]), net) <= 1e-10


@pytest.mark.parametrize("name", ["criterion.pos_weight", "n_averaged", "h0", "norm.weight"])
def test_ignore_reaches_what_is_unknown(name: str) -> None:
    torch.manual_seed(0)
    net = Chain(("gru", nn.GRU(3, 8), "none"), ("head", nn.Linear(8, 2), "relu"))
    state = {name: torch.ones(2), **net.state_dict()}
    with pytest.raises(UnsupportedError, match=rf"{name.rpartition('.')[2]} .*ignore="):
        from_torch(state)
    assert off(from_torch(state, **net.said(), ignore=[name]), net) <= 1e-10
    with pytest.warns(ReadingWarning):
        from_torch(state, ignore=name)


@pytest.mark.parametrize(
    ("wrap", "unwrap", "path"),
    [
        (nn.utils.parametrizations.weight_norm, nn.utils.parametrize.remove_parametrizations, "lstm"),
        (nn.utils.parametrizations.spectral_norm, nn.utils.parametrize.remove_parametrizations, "lstm"),
        (nn.utils.parametrizations.spectral_norm, nn.utils.parametrize.remove_parametrizations, "head"),
        (nn.utils.spectral_norm, nn.utils.remove_spectral_norm, "head"),
        (lambda *where: prune.l1_unstructured(*where, amount=0.5), prune.remove, "lstm"),
    ],
)
def test_reparametrized_weights_are_those_that_remain_when_it_is_undone(wrap: Any, unwrap: Any, path: str) -> None:
    torch.manual_seed(0)
    net = Chain(("lstm", nn.LSTM(3, 8), "none"), ("head", nn.Linear(8, 2), "none"))
    place = (net.get_submodule(path), "weight_hh_l0" if path == "lstm" else "weight")
    wrap(*place)
    net.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadingWarning)
        found = [from_torch(net), from_torch(net.state_dict(), **net.said())]
    unwrap(*place)
    for model in found:
        for layer, plain in zip(model.layers, from_torch(net.state_dict(), **net.said()).layers, strict=True):
            for name, array in layer.arrays.items():
                np.testing.assert_allclose(array, plain.arrays[name], rtol=1e-6)  # PyTorch undoes it in float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": {"gru": "Linear"}}, r"kinds name 'gru'; expected one of 'emb', 'out': modules with a two-dim"),
        ({"kinds": {"emb": "Conv"}}, r"kinds got 'Conv' for 'emb', expected one of Linear, Embedding"),
        ({"kinds": {"emb": "Embedding"}, "activations": {"emb": "tanh"}}, r"activations name 'emb', an Embedding"),
    ],
)
def test_wrong_kinds(options: dict[str, Any], message: str) -> None:
    net = Chain(
        ("emb", nn.Embedding(9, 3), "none"), ("gru", nn.GRU(3, 8), "none"), ("out", nn.Linear(8, 2, bias=False), "none")
    )
    with pytest.raises(InputError, match=message):
        from_torch(net.state_dict(), **options)


def test_kinds_are_not_for_modules() -> None:
    with pytest.raises(InputError, match=r"a module and kinds="):
        from_torch(nn.Linear(3, 2, bias=False), kinds={"": "Linear"})


def test_messages_of_large_state_dicts_are_bounded() -> None:
    names = ["x" * 150 + str(number) for number in range(400)]
    for bias in (True, False):
        state = {f"{name}.weight": np.zeros((2, 2)) for name in names}
        state |= {f"{name}.bias": np.zeros(2) for name in names if bias}
        for options in ({}, {"modules": names}, {"activations": dict.fromkeys(names, "none")}):
            _, message = told(state, **options)
            assert 10 < len(message) < 2000
    recurrent = {f"{name}.weight_{role}_l0": np.zeros((2, 2)) for name in names for role in ("ih", "hh")}
    assert 10 < len(told(recurrent)[1]) < 2000


class Whole(Chain):
    """A chain with what leaves little or no trace in a state_dict: skips, norms, activations, heads, reversal."""

    def __init__(self, steps: list[tuple[str, Any, str]], extras: list[tuple[str, int]], ties: list[str]) -> None:
        super().__init__(*steps)
        self.extras, self.ties = extras, ties

    def forward(self, x: Any) -> Any:
        for place, (_, module, activation) in enumerate(self.steps):
            y = module(x)
            y = ACTIVATIONS[activation](y[0] if isinstance(y, tuple) else y)
            for extra, at in self.extras:
                if at == place:
                    y = self._extra(extra, x, y)
            x = y
        return torch.cat([x, *(self.get_submodule(tie)(x) for tie in self.ties)], -1) if self.ties else x

    def _extra(self, extra: str, x: Any, y: Any) -> Any:
        if extra == "residual":
            return x + y if x.shape == y.shape and x.is_floating_point() else y
        if extra == "flip":
            return y.flip(0)
        if extra in ACTIVATIONS:
            return ACTIVATIONS[extra](y)
        if extra == "scale":
            return 3 * y
        if extra == "plain norm":
            return nn.functional.layer_norm(y, y.shape[-1:])
        return self.get_submodule(extra)(y)


def drawn(seed: int) -> Whole:
    """Random network: a chain, often with more."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = [int(rng.choice([1, 3, 5, 8], p=[0.1, 0.3, 0.2, 0.4])) for _ in range(7)]
    steps: list[tuple[str, Any, str]] = []
    if rng.random() < 0.25:
        steps.append((rng.choice(["emb", "encoder"]), nn.Embedding(int(rng.choice([8, 20])), sizes[0]), "none"))
    numbered = rng.random() < 0.3
    position = int(rng.integers(2))
    for place in range(int(rng.integers(1, 5))):
        kind = rng.choice(["RNN", "GRU", "LSTM", "Linear", "Linear"])
        bias = bool(rng.random() < 0.8)
        path = str(position) if numbered else f"{kind.lower()}{place}"
        position += int(rng.integers(1, 3))
        if kind == "Linear":
            activation = str(rng.choice([*ACTIVATIONS]))
            steps.append((path, nn.Linear(sizes[place], sizes[place + 1], bias=bias), activation))
            continue
        options = {"nonlinearity": str(rng.choice(["tanh", "relu"]))} if kind == "RNN" else {}
        module = getattr(nn, kind)(sizes[place], sizes[place + 1], int(rng.integers(1, 3)), bias=bias, **options)
        steps.append((path, module, "none"))
    extras: list[tuple[str, int]] = []
    modules: list[tuple[str, Any]] = []
    width = steps[-1][1].out_features if isinstance(steps[-1][1], nn.Linear) else sizes[place + 1]
    if rng.random() < 0.6:
        choices = ["residual", "flip", "scale", "plain norm", "tanh", "relu", "norm", "dropout"]
        for extra in rng.choice(choices, int(rng.integers(1, 3)), replace=False):
            at = len(steps) - 1 if extra == "norm" else int(rng.integers(len(steps)))
            extras.append((str(extra), at))
            if extra == "norm":
                affine = bool(rng.random() < 0.7)
                norms = (nn.LayerNorm(width, elementwise_affine=affine), nn.BatchNorm1d(width, affine=affine))
                modules.append(("norm", norms[int(rng.integers(2))]))
            if extra == "dropout":
                modules.append(("dropout", nn.Dropout(0.5)))
    ties = [f"head{k}" for k in range(int(rng.integers(1, 3)))] if rng.random() < 0.2 else []
    modules += [(tie, nn.Linear(width, sizes[6])) for tie in ties]
    net = Whole(steps, extras, ties)
    for name, module in modules:
        net.add_module(name, module)
    return net.eval()


def tried(seed: int) -> str:
    """Outcome of one trial; an error if a network is read wrong without a word, or if a true answer is refused."""
    net = drawn(seed)
    state = net.state_dict()
    if seed % 3 == 0:  # of another order of definition
        names = [*state]
        np.random.default_rng(seed).shuffle(names)
        state = {name: state[name] for name in names}
    model, message = told(state)
    if model is not None and not message:
        assert off(model, net) <= 1e-6, f"seed {seed} was read wrong without a word: {model!r}"
    if net.extras or net.ties:
        return "refused" if model is None else "listed"
    assert off(followed(net), net) <= 1e-6, f"seed {seed}"
    whole = from_torch(state, **net.said())
    assert off(whole, net) <= 1e-6, f"seed {seed}"
    return "followed"


def test_no_random_network_is_read_wrong_without_a_word() -> None:
    counts = Counter(tried(seed) for seed in range(150))
    assert min(counts[outcome] for outcome in ("refused", "listed", "followed")) >= 3, counts
    assert counts["followed"] >= 40


@pytest.mark.slow
def test_no_network_of_many_is_read_wrong_without_a_word() -> None:
    counts = Counter(tried(seed) for seed in range(150, 2000))
    assert counts["followed"] >= 500
