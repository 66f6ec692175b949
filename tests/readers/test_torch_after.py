"""``from_torch(after=...)``: the part behind a module, such as a front end of convolutions; convolutions of width 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn import reference
from edge_rnn.errors import InputError, InputTypeError, UnsupportedError
from edge_rnn_export import from_torch

torch = needs.package("torch")
nn = torch.nn
pytestmark = pytest.mark.torch

I, F, H, O = 3, 4, 5, 2  # noqa: E741
TOLERANCE = 1e-10  # both in float64 from the same float32 weights, values near 1, 80 steps
EXAMPLE = np.zeros((1, 20, I), np.float32)


@pytest.fixture(autouse=True)
def _one_thread_same_weights() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def network(forward: Callable[..., Any], width: int = 3, **options: Any) -> Any:
    made = type("Net", (nn.Module,), {"forward": forward})()
    made.front = nn.Sequential(nn.Conv1d(I, F, width, **options), nn.ReLU())
    made.rnn, made.out = nn.GRU(F, H, batch_first=True), nn.Linear(H, O)
    return made.eval()


def convolved(self: Any, x: Any) -> Any:
    return self.out(self.rnn(self.front(x.mT).mT)[0])


def behind(module: Any, xs: Any) -> np.ndarray:
    with torch.no_grad():
        found = module.double().out(module.rnn(torch.from_numpy(xs).double()[None])[0])[0].numpy()
    module.float()
    return np.asarray(found)


def frames(steps: int = 80) -> Any:
    return np.random.default_rng(1).standard_normal((steps, F)).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"example": EXAMPLE}, {"upto": "out"}], ids=["found", "example", "upto"])
def test_what_is_behind_convolutions_is_read_as_the_refusal_says(options: dict[str, Any]) -> None:
    module, xs = network(convolved, stride=2), frames()
    with pytest.raises(
        UnsupportedError, match=r"nn\.Conv1d 'front\.0': it is a convolution.* is read by after='front'\.$"
    ):
        from_torch(module, **options)
    model = from_torch(module, after="front", **options)
    assert np.abs(reference.run(model, xs)[0] - behind(module, xs)).max() <= TOLERANCE
    assert model.fingerprint == from_torch(module, after="front.1", check=False, **options).fingerprint


def test_states_among_the_arguments_and_those_of_the_front_end() -> None:
    """States of layers before the module are no business of the network behind it."""

    def forward(self: Any, x: Any, h: Any) -> Any:
        y, h = self.rnn(self.front(x.mT).mT, h)
        return self.out(y)[:, -1], h

    module = network(forward)
    model = from_torch(module, after="front", example=(EXAMPLE, np.zeros((1, 1, H), np.float32)))
    xs = frames()
    assert np.abs(reference.run(model, xs)[0] - behind(module, xs)).max() <= TOLERANCE

    def of_the_front(self: Any, x: Any, h: Any) -> Any:
        y, h = self.rnn(x, h)
        return self.out(y), h

    module = network(of_the_front)
    shapes = (np.zeros((1, 6, F), np.float32), np.zeros((1, 1, H), np.float32))
    model = from_torch(module, after="rnn", upto="0", example=shapes)
    assert [layer.kind for layer in model.layers] == ["Dense"]


def later_twice(self: Any, x: Any) -> Any:
    y = convolved(self, x)
    return torch.cat([y[:, :100], 2 * y[:, 100:]], 1) if y.shape[1] > 100 else y


def also_samples(self: Any, x: Any) -> Any:
    return convolved(self, x) + x[:, 2:, :O]


def mean(self: Any, x: Any) -> Any:
    return self.out(self.rnn(self.front(x.mT).mT)[0].mean(1))


def twice(self: Any, x: Any) -> Any:
    return self.out(self.rnn(self.front(self.front(x.mT)[:, :I]).mT)[0])


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "change beyond the steps that are traced": (later_twice, r"does not compute the same as .* of about 1 output"),
    "samples of forward": (also_samples, r"reads the graph's input 'x' as samples in addition to 'front'"),
    "mean over time": (mean, r"cannot read the mean in Net\.forward"),
    "module called twice": (twice, r"after names 'front', which forward calls 2 times, expected once"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_behind_a_module(name: str) -> None:
    forward, message = REFUSED[name]
    with pytest.raises(UnsupportedError, match=message):
        from_torch(network(forward), after="front", example=EXAMPLE)


def test_only_names_of_modules_are_accepted() -> None:
    module = network(convolved)
    with pytest.raises(InputTypeError, match="after got 3, expected the name of a module"):
        from_torch(module, after=3)  # type: ignore[arg-type]
    for wrong in ("", "middle"):
        with pytest.raises(InputError, match=f"after got '{wrong}', expected one of the modules 'front', 'front.0'"):
            from_torch(module, after=wrong)
    with pytest.raises(InputError, match=r"example=, upto= or after=, which say how to read the forward of a module"):
        from_torch(module.state_dict(), after="front")


def single_sequence(self: Any, x: Any) -> Any:
    return self.out(self.rnn(self.front(x.mT).mT[None])[0])[0]


@pytest.mark.parametrize("forward", [convolved, single_sequence])
@pytest.mark.parametrize("padding", [0, "same"])
def test_a_convolution_of_width_1_is_a_matrix(forward: Callable[..., Any], padding: Any) -> None:
    module = network(forward, width=1, padding=padding)
    model = from_torch(module, example=EXAMPLE if forward is convolved else EXAMPLE[0])
    xs = np.random.default_rng(1).standard_normal((50, I)).astype(np.float32)
    given = torch.from_numpy(xs).double()
    with torch.no_grad():
        expected = module.double()(given[None] if forward is convolved else given).numpy().reshape(50, O)
    assert [layer.kind for layer in model.layers] == ["Dense", "GRU", "Dense"]
    assert np.abs(reference.run(model, xs)[0] - expected).max() <= TOLERANCE


@pytest.mark.parametrize("kind", [nn.MaxPool1d, nn.AvgPool1d])
def test_pools_are_named(kind: Any) -> None:
    module = network(convolved, width=1)
    module.front.append(kind(2))
    with pytest.raises(UnsupportedError, match=rf"nn\.{kind.__name__} 'front\.2': it combines several positions"):
        from_torch(module)


def test_transposed_convolutions_are_named() -> None:
    module = network(convolved)
    module.front[0] = nn.ConvTranspose1d(I, F, 3)
    with pytest.raises(UnsupportedError, match=r"nn\.ConvTranspose1d 'front\.0': it combines several positions"):
        from_torch(module)
