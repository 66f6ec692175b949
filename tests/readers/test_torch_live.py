"""``from_torch`` reads a module by what its forward does: any order, skips, joins, states, layouts, heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, InputError, InputTypeError, UnsupportedError
from edge_rnn.layers import Standardize
from edge_rnn.model import Model
from edge_rnn_export import from_torch

torch = needs.package("torch")
nn = torch.nn
pytestmark = pytest.mark.torch

I, H, O = 3, 5, 2  # noqa: E741
TOLERANCE = 1e-10  # both in float64 from the same float32 weights, values near 1, 80 steps


@pytest.fixture(autouse=True)
def _one_thread_same_weights() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def network(forward: Callable[..., Any], **modules: Any) -> Any:
    """User class with this forward and these modules, in eval mode, BatchNorm with statistics."""
    made = type("Net", (nn.Module,), {"forward": forward})()
    for name, module in modules.items():
        setattr(made, name, module)
    for each in made.modules():
        if isinstance(each, nn.BatchNorm1d):
            each.running_mean.normal_()
            each.running_var.uniform_(0.5, 2)
    return made.eval()


def samples(steps: int = 80, size: int = I) -> Any:
    return np.random.default_rng(1).standard_normal((steps, size)).astype(np.float32)


def in_double(module: Any, run: Callable[[Any], Any]) -> np.ndarray:
    """Output of ``run`` with the module in float64."""
    with torch.no_grad():
        found = run(module.double())
    module.float()
    return np.asarray(found.numpy())


def off(model: Model, expected: np.ndarray, xs: np.ndarray) -> float:
    return float(np.abs(reference.run(model, xs)[0] - expected).max())


def skipping(self: Any, x: Any) -> Any:
    return self.out(x + self.rnn(x)[0])


def joining(self: Any, x: Any) -> Any:
    return self.out(torch.cat([x, self.rnn(x)[0]], -1))


def normalizing(self: Any, x: Any) -> Any:
    return self.out(self.rnn((x - self.norm.weight) / 3)[0])


def channels_first(self: Any, x: Any) -> Any:
    return self.out(self.rnn(self.bn(x.transpose(1, 2)).transpose(1, 2))[0])


def turned_twice(self: Any, x: Any) -> Any:
    y, _ = self.rnn(x.transpose(0, 1))
    return torch.relu(self.out(y.transpose(0, 1)))


def flattened(self: Any, x: Any) -> Any:
    y, _ = self.rnn(x)
    return self.out(y.reshape(-1, H)).view(*x.shape[:-1], O)


def of_a_float(self: Any, x: Any) -> Any:
    return (self.out(self.rnn(x)[0].contiguous().detach().clone()) / 1.5).to(torch.float32)


FORWARDS: dict[str, Callable[[], Any]] = {
    "a residual": lambda: network(skipping, rnn=nn.GRU(I, I, batch_first=True), out=nn.Linear(I, O)),
    "a join": lambda: network(joining, rnn=nn.LSTM(I, I, batch_first=True), out=nn.Linear(2 * I, O)),
    "samples less a weight": lambda: network(
        normalizing, rnn=nn.GRU(I, H, batch_first=True), out=nn.Linear(H, O), norm=nn.LayerNorm(I)
    ),
    "batch norm, channels first": lambda: network(
        channels_first, bn=nn.BatchNorm1d(I), rnn=nn.GRU(I, H, batch_first=True), out=nn.Linear(H, O)
    ),
    "axes turned and turned back": lambda: network(turned_twice, rnn=nn.RNN(I, H), out=nn.Linear(H, O)),
    "steps and batch in one axis": lambda: network(
        flattened, rnn=nn.GRU(I, H, 2, batch_first=True), out=nn.Linear(H, O)
    ),
    "detached, cast and copied": lambda: network(
        of_a_float, rnn=nn.RNN(I, H, nonlinearity="relu", batch_first=True), out=nn.Linear(H, O)
    ),
    "a module used twice": lambda: network(
        lambda self, x: self.rnn(self.rnn(x)[0])[0], rnn=nn.GRU(I, I, batch_first=True)
    ),
    "another order than defined": lambda: network(
        lambda self, x: self.out(self.rnn(x)[0]), out=nn.Linear(H, O), rnn=nn.GRU(I, H, batch_first=True)
    ),
    "other activations": lambda: nn.Sequential(
        nn.Linear(I, 4), nn.LeakyReLU(0.2), nn.Linear(4, 4), nn.ELU(), nn.Linear(4, 4), nn.Softplus(), nn.Hardsigmoid()
    ).eval(),
    "a projection": lambda: network(
        lambda self, x: self.out(self.rnn(x)[0]),
        rnn=nn.LSTM(I, 7, 2, proj_size=H, batch_first=True),
        out=nn.Linear(H, O),
    ),
    "dropout in eval mode": lambda: network(
        lambda self, x: self.out(self.drop(self.rnn(x)[0])),
        rnn=nn.LSTM(I, H, 2, dropout=0.5, batch_first=True),
        drop=nn.Dropout(0.5),
        out=nn.Linear(H, O),
    ),
    "an unused head": lambda: network(
        lambda self, x: self.out(self.rnn(x)[0]),
        rnn=nn.GRU(I, H, batch_first=True),
        out=nn.Linear(H, O),
        other=nn.Linear(H, 9),
    ),
    "a subclass of a PyTorch module": lambda: network(
        lambda self, x: self.out(self.rnn(x)[0]),
        rnn=type("Own", (nn.GRU,), {})(I, H, batch_first=True),
        out=nn.Linear(H, O),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARDS)
def test_forward_is_read_as_it_is(name: str) -> None:
    module = FORWARDS[name]()
    xs = samples()
    expected = in_double(module, lambda net: net(torch.from_numpy(xs).double()[None])[0])
    # Some round to float32: forward itself, a factor of batch norm, the sixth in hardsigmoid.
    tolerance = 1e-6 if name.startswith(("detached", "batch", "other")) else TOLERANCE
    assert off(from_torch(module), expected, xs) <= tolerance


def test_standardize_goes_before_everything_that_reads_the_samples() -> None:
    module = FORWARDS["a join"]()
    xs, mean, scale = samples(), np.float32([1, 2, 3]), np.float32([0.5, 2, 4])
    model = from_torch(module, standardize=Standardize(mean, scale), labels=["a", "b"], sample_rate_hz=50)
    scaled = (xs.astype(np.float64) - mean) / scale
    expected = in_double(module, lambda net: net(torch.from_numpy(scaled)[None])[0])
    assert off(model, expected, xs) <= TOLERANCE
    assert (model.labels, model.sample_rate_hz) == (("a", "b"), 50.0)


def test_module_is_left_as_it_is() -> None:
    module = nn.utils.parametrizations.weight_norm(network(joining, rnn=nn.GRU(I, I), out=nn.Linear(2 * I, O)).out)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random, default = torch.get_rng_state(), torch.get_default_dtype()
    from_torch(module)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_default_dtype() is default
    assert torch.nn.utils.parametrize.is_parametrized(module, "weight")
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def stepped(module: Any, xs: np.ndarray, *states: Any) -> np.ndarray:
    """Outputs of a module that takes one step and its states."""
    with torch.no_grad():
        module.double()
        found = []
        for x in torch.from_numpy(xs).double():
            y, *states = module(x[None], *states)
            found.append(y[0].numpy())
        module.float()
    return np.array(found)


def gru_step(self: Any, x: Any, h: Any) -> Any:
    h = self.cell(x, h)
    return self.out(h), h


def lstm_step(self: Any, x: Any, state: Any) -> Any:
    h, c = self.cell(x, state)
    return torch.sigmoid(self.out(h)), (h, c)


def pair(self: Any, x: Any, h: Any, c: Any) -> Any:
    y, (h, c) = self.rnn(x, (h, c))
    return self.out(y), h, c


def optional(self: Any, x: Any, state: Any = None) -> Any:
    y, state = self.rnn(x, state)
    return {"logits": self.out(y), "state": state}


def test_a_step_with_its_state_as_an_argument() -> None:
    xs = samples()
    module = network(gru_step, cell=nn.GRUCell(I, H), out=nn.Linear(H, O))
    zeros = torch.zeros(1, H, dtype=torch.float64)
    assert off(from_torch(module), stepped(module, xs, zeros), xs) <= TOLERANCE
    module = network(lstm_step, cell=nn.LSTMCell(I, H), out=nn.Linear(H, O))
    assert off(from_torch(module), stepped(module, xs, (zeros, zeros)), xs) <= TOLERANCE


def loop(self: Any, x: Any) -> Any:
    h, ys = None, []
    for u in x.unbind(1):
        h = self.cell(u, h)
        ys.append(self.out(h[0] if isinstance(h, tuple) else h))
    return torch.stack(ys, 1)


def filled(self: Any, x: Any) -> Any:
    """Writes its outputs into one tensor."""
    h = x.new_zeros(x.shape[1], H)
    ys = x.new_empty(x.shape[0], x.shape[1], O)
    for t in range(len(x)):
        h = self.cell(x[t], h)
        ys[t] = self.out(h)
    return ys


CELLS = {
    "gru": lambda **options: nn.GRUCell(I, H, **options),
    "lstm": lambda **options: nn.LSTMCell(I, H, **options),
    "tanh": lambda **options: nn.RNNCell(I, H, **options),
    "relu": lambda **options: nn.RNNCell(I, H, nonlinearity="relu", **options),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_a_loop_over_a_cell_is_the_layer(kind: str, bias: bool) -> None:
    xs = samples()
    module = network(loop, cell=CELLS[kind](bias=bias), out=nn.Linear(H, O))
    model = from_torch(module)
    assert [layer.kind for layer in model.layers] == [{"gru": "GRU", "lstm": "LSTM"}.get(kind, "Elman"), "Dense"]
    expected = in_double(module, lambda net: net(torch.from_numpy(xs).double()[None])[0])
    assert off(model, expected, xs) <= 1e-6  # the sum of two biases is rounded


def test_a_loop_that_writes_into_a_tensor() -> None:
    xs = samples()
    module = network(filled, cell=nn.GRUCell(I, H), out=nn.Linear(H, O))
    expected = in_double(module, lambda net: net(torch.from_numpy(xs).double()[:, None])[:, 0])
    assert off(from_torch(module), expected, xs) <= 1e-6


@pytest.mark.parametrize("forward", [pair, optional])
def test_states_of_sequences_start_at_zero(forward: Callable[..., Any]) -> None:
    xs = samples()
    module = network(forward, rnn=nn.LSTM(I, H, 2), out=nn.Linear(H, O))
    zeros = torch.zeros(2, 1, H, dtype=torch.float64)
    states = (zeros, zeros) if forward is pair else ()

    def first(net: Any) -> Any:
        given = net(torch.from_numpy(xs).double()[:, None], *states)
        return (given[0] if forward is pair else given["logits"])[:, 0]

    assert off(from_torch(module), in_double(module, first), xs) <= TOLERANCE


class Remembering(nn.Module):  # type: ignore[name-defined,misc]
    """Keeps its state in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(I, H)
        self.out = nn.Linear(H, O)
        self.register_buffer("h", torch.zeros(1, 1, H))

    def forward(self, x: Any) -> Any:
        y, self.h = self.rnn(x, self.h)
        return self.out(y)


def test_a_state_that_the_module_keeps_in_a_buffer() -> None:
    xs = samples()
    module = Remembering().eval()
    model = from_torch(module)
    assert not module.h.any()
    expected = in_double(module, lambda net: net(torch.from_numpy(xs).double()[:, None])[:, 0])
    assert off(model, expected, xs) <= TOLERANCE


class Stepping(nn.Module):  # type: ignore[name-defined,misc]
    """Keeps its state in an attribute, and counts its calls; one step each."""

    def __init__(self, start: Any) -> None:
        super().__init__()
        self.cell = nn.GRUCell(I, H)
        self.out = nn.Linear(H, O)
        self.h = start
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Any) -> Any:
        self.h = self.cell(x, self.h)
        self.calls += 1
        return self.out(self.h)


def test_a_state_that_the_module_keeps_in_an_attribute() -> None:
    xs = samples()
    module = Stepping(torch.zeros(1, H)).eval()
    model = from_torch(module)
    assert not module.h.any()
    module.h = torch.zeros(1, H, dtype=torch.float64)
    expected = in_double(module, lambda net: torch.cat([net(x[None]) for x in torch.from_numpy(xs).double()]))
    assert off(model, expected, xs) <= TOLERANCE
    module.h = module.h.float()
    with pytest.raises(UnsupportedError, match=r"forward updates 'h', which is not zero .* set it to zero"):
        from_torch(module)
    module.h = torch.zeros(1, H)
    assert from_torch(module).fingerprint == model.fingerprint
    module.h = None  # the first call makes it
    assert from_torch(module).fingerprint == model.fingerprint


def mixed_states(self: Any, x: Any, h: Any, c: Any, state: Any) -> Any:
    h, c = self.a(x, (h, c))
    state = self.b(h, state)
    return self.out(state[0]), (h, c), state


def test_states_alone_and_in_pairs() -> None:
    xs = samples()
    module = network(mixed_states, a=nn.LSTMCell(I, H), b=nn.LSTMCell(H, 4), out=nn.Linear(4, O))
    states = [torch.zeros(1, size, dtype=torch.float64) for size in (H, H, 4, 4)]
    ys = []
    with torch.no_grad():
        module.double()
        for x in torch.from_numpy(xs).double():
            y, (states[0], states[1]), (states[2], states[3]) = module(x[None], *states[:2], tuple(states[2:]))
            ys.append(y[0].numpy())
        module.float()
    assert off(from_torch(module), np.array(ys), xs) <= TOLERANCE


def test_samples_that_would_crash_pytorch_are_not_tried() -> None:
    def of_a_width(self: Any, x: Any) -> Any:
        h = c = torch.zeros(x.size(1), I)  # with (time, I) in place of (time, batch, I), a matrix for a single step
        ys = []
        for u in x:
            h, c = self.cell(u, (h, c))
            ys.append(h)
        return torch.stack(ys)

    xs = samples()
    module = network(of_a_width, cell=nn.LSTMCell(I, I, bias=False))
    with torch.no_grad():
        expected = module(torch.from_numpy(xs)[:, None])[:, 0].numpy()
    assert off(from_torch(module), expected, xs) <= 1e-5  # in float32


def test_an_embedding_reads_symbols() -> None:
    module = network(
        lambda self, x: self.out(self.rnn(self.table(x))[0])[:, -1],
        table=nn.Embedding(20, I),
        rnn=nn.GRU(I, H, batch_first=True),
        out=nn.Linear(H, O),
    )
    symbols = np.random.default_rng(1).integers(0, 20, 30)
    model = from_torch(module)
    expected = np.array(
        [in_double(module, lambda net, n=n: net(torch.from_numpy(symbols[None, :n]))[0]) for n in range(1, 31)]
    )
    assert off(model, expected, symbols[:, None].astype(np.float32)) <= TOLERANCE


def two_heads(self: Any, x: Any) -> Any:
    y, h = self.rnn(x)
    return {"mean": self.a(y), "scale": torch.sigmoid(self.b(y)), "state": h}


@pytest.mark.parametrize(
    ("upto", "function"), [("mean", lambda d: d["mean"]), ("scale", lambda d: d["scale"]), (1, lambda d: d["scale"])]
)
def test_one_of_several_outputs_by_name_or_index(upto: Any, function: Callable[[Any], Any]) -> None:
    xs = samples()
    module = network(two_heads, rnn=nn.GRU(I, H, batch_first=True), a=nn.Linear(H, O), b=nn.Linear(H, O))
    expected = in_double(module, lambda net: function(net(torch.from_numpy(xs).double()[None]))[0])
    assert off(from_torch(module, upto=upto), expected, xs) <= TOLERANCE


def test_several_outputs_are_joined_by_a_tuple_as_the_refusal_says() -> None:
    xs = samples()
    module = network(two_heads, rnn=nn.GRU(I, H, batch_first=True), a=nn.Linear(H, O), b=nn.Linear(H, O))
    with pytest.raises(UnsupportedError, match=r"name one by upto=, or several in a tuple, which are joined"):
        from_torch(module)

    def both(net: Any) -> Any:
        given = net(torch.from_numpy(xs).double()[None])
        return torch.cat([given["mean"], given["scale"]], -1)[0]

    assert off(from_torch(module, upto=("mean", "scale")), in_double(module, both), xs) <= TOLERANCE


def test_what_a_module_inside_returns() -> None:
    xs = samples()
    module = network(over_time, rnn=nn.GRU(I, H, batch_first=True), out=nn.Linear(H, O))
    expected = in_double(module, lambda net: net.rnn(torch.from_numpy(xs).double()[None])[0][0])
    assert off(from_torch(module, upto="rnn"), expected, xs) <= TOLERANCE
    module = network(lambda self, x: self.b(torch.tanh(self.a(x))).sum(1), a=nn.Linear(I, H), b=nn.Linear(H, O))
    expected = in_double(module, lambda net: net.a(torch.from_numpy(xs).double()))
    assert off(from_torch(module, upto="a"), expected, xs) <= TOLERANCE


def test_several_outputs_are_listed() -> None:
    module = network(two_heads, rnn=nn.GRU(I, H, batch_first=True), a=nn.Linear(H, O), b=nn.Linear(H, O))
    with pytest.raises(InputError, match=r"one of the outputs 'mean', 'scale', 'state', or of the modules .*'rnn'"):
        from_torch(module, upto="median")
    with pytest.raises(InputTypeError, match=r"upto got 1\.5, expected the name or the index"):
        from_torch(module, upto=1.5)
    assert from_torch(module, upto="rnn").output_size == H


def test_example_says_what_forward_takes() -> None:
    module = network(lambda self, x: self.out(self.rnn(x[0])[0]), rnn=nn.GRU(I, H), out=nn.Linear(H, O))
    with pytest.raises(
        UnsupportedError, match=r"If it takes samples of the shape \(1, 4, 3\), pass example=torch\.zeros"
    ):
        from_torch(module)
    xs = samples()
    model = from_torch(module, example=np.zeros((1, 5, I), np.float32))
    expected = in_double(module, lambda net: net(torch.from_numpy(xs).double()[None]))
    assert off(model, expected, xs) <= TOLERANCE
    for wrong in ("text", (), {"x": 1}):
        with pytest.raises(InputTypeError, match=r"from_torch example got"):
            from_torch(module, example=wrong)


@pytest.mark.parametrize("option", [{"example": np.zeros((5, 1, I), np.float32)}, {"upto": "rnn"}])
def test_example_and_upto_are_for_forward(option: dict[str, Any]) -> None:
    module = network(lambda self, x: self.out(self.rnn(x)[0]), rnn=nn.GRU(I, H), out=nn.Linear(H, O))
    for source, more in ((module, {"modules": ("rnn", "out")}), (module.state_dict(), {})):
        with pytest.raises(InputError, match=r"example=, upto= or after=, which say how to read the forward"):
            from_torch(source, **option, **more)


def over_time(self: Any, x: Any) -> Any:
    return self.out(self.rnn(x)[0].mean(1))


def data_dependent(self: Any, x: Any) -> Any:
    return self.out(self.rnn(x)[0]) if x.sum() > 0 else self.rnn(x)[0]


def random(self: Any, x: Any) -> Any:
    return self.out(self.rnn(x + torch.randn_like(x))[0])


def packed(self: Any, x: Any) -> Any:
    lengths = torch.full((x.shape[0],), x.shape[1])
    rows = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    return self.out(nn.utils.rnn.pad_packed_sequence(self.rnn(rows)[0], batch_first=True)[0])


def reversed_(self: Any, x: Any) -> Any:
    return self.out(self.rnn(x.flip(1))[0])


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "the mean over time": (over_time, r"cannot read the mean in Net\.forward"),
    "an if about numbers": (data_dependent, r"Net\.forward.* depends on the values of tensors"),
    "random numbers": (random, r"randn_like in Net\.forward: it draws random numbers"),
    "packed sequences": (packed, r"it packs sequences, which have lengths of their own"),
    "reversed samples": (reversed_, r"in another order than that of the input"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_stream_cannot_do_is_refused_by_its_cause(name: str) -> None:
    forward, message = REFUSED[name]
    module = network(forward, rnn=nn.GRU(I, H, batch_first=True), out=nn.Linear(H, H))
    with pytest.raises(UnsupportedError, match=message):
        from_torch(module)


def test_no_refusal_leaves_a_package_of_others() -> None:
    module = network(lambda self, x: self.nothing(x), rnn=nn.GRU(I, H))
    with pytest.raises(
        EdgeRnnError,
        match=r"could not run Net\.forward on arguments like those of example= .*has no attribute 'nothing'",
    ):
        from_torch(module, example=np.zeros((1, 5, I), np.float32))
