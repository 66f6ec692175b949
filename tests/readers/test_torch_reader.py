"""``from_torch`` on live modules: the reference equals PyTorch, and no part of a module is ignored."""

from __future__ import annotations

import io
import itertools
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, FileError, InputError, UnsupportedError
from edge_rnn.layers import Dense, Elman, Standardize
from edge_rnn.model import Model
from edge_rnn_export import from_torch
from edge_rnn_export.readers.torch import files

torch = needs.package("torch")
nn = torch.nn
pytestmark = pytest.mark.torch

# Both sides compute in float64 from the same float32 weights; values stay near 1, so 1e-12 is some thousand roundings.
TOLERANCE = 1e-12
I, H, O, T = 3, 5, 4, 60  # noqa: E741


@pytest.fixture(autouse=True)
def _one_thread_same_weights() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


class Network(nn.Module):  # type: ignore[name-defined,misc]
    """User class: an rnn, then a head."""

    def __init__(self, rnn: Any, head: Any, **others: Any) -> None:
        super().__init__()
        self.rnn = rnn
        self.head = head
        for name, module in others.items():
            setattr(self, name, module)

    def forward(self, xs: Any) -> Any:
        return self.head(self.rnn(xs)[0])


def samples(steps: int = T) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((steps, I)).astype(np.float32)


def assert_equal_to_torch(model: Model, forward: Callable[[Any], Any]) -> None:
    """``forward`` takes (T, I) float64 and gives (T, O); its modules must be in float64 by then."""
    xs = samples()
    with torch.no_grad():
        expected = forward(torch.from_numpy(xs).double()).numpy()
    np.testing.assert_allclose(reference.run(model, xs)[0], expected, rtol=0, atol=TOLERANCE)


def stepped(cell: Any) -> Callable[[Any], Any]:
    def forward(xs: Any) -> Any:
        state, ys = None, []
        for x in xs:
            state = cell(x, state)
            ys.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(ys)

    return forward


KINDS: dict[str, Callable[..., Any]] = {
    "tanh": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="tanh", **options),
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": lambda *sizes, **options: nn.GRU(*sizes, **options),
    "lstm": lambda *sizes, **options: nn.LSTM(*sizes, **options),
}


@pytest.mark.parametrize(
    ("kind", "layers", "bias", "source"),
    list(itertools.product(KINDS, [1, 2, 3], [True, False], ["module", "state_dict"])),
)
def test_recurrent_modules(kind: str, layers: int, bias: bool, source: str) -> None:
    module = KINDS[kind](I, H, num_layers=layers, bias=bias)
    if source == "module":
        model = from_torch(module)
    else:
        model = from_torch(module.state_dict(), activations={"": kind} if kind in ("tanh", "relu") else None)
    assert len(model.layers) == layers
    assert_equal_to_torch(model, lambda xs: module.double()(xs)[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda bias: nn.RNNCell(I, H, bias=bias),
        lambda bias: nn.RNNCell(I, H, bias=bias, nonlinearity="relu"),
        lambda bias: nn.GRUCell(I, H, bias=bias),
        lambda bias: nn.LSTMCell(I, H, bias=bias),
    ],
)
def test_cells(make: Callable[[bool], Any], bias: bool) -> None:
    cell = make(bias)
    assert_equal_to_torch(from_torch(cell), stepped(cell.double()))


@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid", "ReLU", "Softmax", "Identity"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_with_activation(activation: str, bias: bool) -> None:
    options = {"dim": -1} if activation == "Softmax" else {}
    module = nn.Sequential(nn.Linear(I, O, bias=bias), getattr(nn, activation)(**options))
    model = from_torch(module)
    assert [layer.kind for layer in model.layers] == ["Dense"]
    assert_equal_to_torch(model, module.double())


def test_activation_that_follows_no_linear_becomes_a_layer() -> None:
    network = Network(nn.LSTM(I, H), nn.Sequential(nn.ReLU(), nn.Linear(H, O), nn.Tanh(), nn.Sigmoid()))
    model = from_torch(network)
    assert [layer.kind for layer in model.layers] == ["LSTM", "Cell", "Dense", "Cell"]
    assert_equal_to_torch(model, network.double())


def test_own_class_with_nested_sequential_and_dropout() -> None:
    head = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Linear(H, H), nn.ReLU()), nn.Identity(), nn.Linear(H, O))
    network = Network(nn.GRU(I, H, 2, dropout=0.3, batch_first=True), head).eval()
    model = from_torch(network, name="wrist", labels=list("abcd"), sample_rate_hz=10, input_units=["g"] * 3)
    assert [layer.name for layer in model.layers] == ["rnn_l0", "rnn_l1", "head_1_0", "head_3"]
    assert (model.name, model.labels, model.sample_rate_hz) == ("wrist", ("a", "b", "c", "d"), 10.0)
    assert_equal_to_torch(model, lambda xs: network.double()(xs[None])[0])


def test_shared_activation_counts_as_often_as_it_stands_there() -> None:
    tanh = nn.Tanh()
    module = nn.Sequential(nn.Linear(I, H), tanh, nn.Linear(H, O), tanh)
    assert_equal_to_torch(from_torch(module), module.double())


def test_module_list_and_flatten_of_a_single_step() -> None:
    layers = nn.ModuleList([nn.GRU(I, H), nn.Flatten(start_dim=-1), nn.Linear(H, O)])
    model = from_torch(layers)
    layers.double()
    assert_equal_to_torch(model, lambda xs: layers[2](layers[0](xs)[0]))


def test_wrapped_module() -> None:
    network = Network(nn.GRU(I, H), nn.Linear(H, O))
    assert_equal_to_torch(from_torch(nn.DataParallel(network)), network.double())


def test_order_of_use_by_argument() -> None:
    class HeadFirst(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(H, O)
            self.rnn = nn.GRU(I, H)
            self.act = nn.Sigmoid()

    network = HeadFirst()
    with pytest.raises(EdgeRnnError, match=r"GRU 'rnn' reads 4 values, expected 3"):
        from_torch(network)
    model = from_torch(network, modules=("rnn", "head", "act"))
    assert_equal_to_torch(model, lambda xs: torch.sigmoid(network.double().head(network.rnn(xs)[0])))


def test_functional_activation_by_argument() -> None:
    network = Network(nn.RNN(I, H), nn.Linear(H, O))
    model = from_torch(network, activations={"head": "relu"})
    assert_equal_to_torch(model, lambda xs: torch.relu(network.double()(xs)))


@pytest.mark.parametrize("as_layer", [True, False])
def test_standardize_is_set_in_front(as_layer: bool) -> None:
    network = Network(nn.GRU(I, H), nn.Linear(H, O))
    mean, scale = np.float32([1, 2, 3]), np.float32([0.5, 2, 4])
    model = from_torch(network, standardize=Standardize(mean, scale) if as_layer else (torch.tensor(mean), scale))
    assert model.layers[0].kind == "Standardize"
    wide = [torch.from_numpy(array).double() for array in (mean, scale)]
    assert_equal_to_torch(model, lambda xs: network.double()((xs - wide[0]) / wide[1]))


def test_buffers_that_inference_does_not_use() -> None:
    network = Network(nn.GRU(I, H), nn.Linear(H, O), aux=nn.Linear(H, 1))
    network.register_buffer("steps_seen", torch.zeros(1), persistent=False)
    with pytest.raises(UnsupportedError, match=r"steps_seen \(1,\)"):
        from_torch(network, modules=("rnn", "head", "aux"))
    with pytest.raises(UnsupportedError, match=r"aux.weight \(1, 5\), aux.bias \(1,\)\. Name them in ignore="):
        from_torch(network, modules=("rnn", "head"), ignore=("steps_seen",))
    model = from_torch(network, modules=("rnn", "head"), ignore=("steps_seen", "aux"))
    assert_equal_to_torch(model, network.double())


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_floating_types_become_float32(dtype: str) -> None:
    module = nn.GRU(I, H).to(getattr(torch, dtype))
    model = from_torch(module)
    for name, array in model.layers[0].arrays.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, getattr(module, f"{name}_l0").detach().float().numpy())


def test_rnn_keeps_its_nonlinearity() -> None:
    model = from_torch(Network(nn.RNN(I, H, nonlinearity="relu"), nn.Linear(H, O)))
    assert isinstance(model.layers[0], Elman)
    assert model.layers[0].activation == "relu"
    assert isinstance(model.layers[1], Dense)


@pytest.mark.parametrize("nested", ["", "model_state_dict", "net"])
@pytest.mark.parametrize("ending", [".pt", ".pth"])
def test_pickled_state_dict(tmp_path: Path, ending: str, nested: str) -> None:
    network = Network(nn.LSTM(I, H, 2), nn.Linear(H, O))
    path = tmp_path / f"state{ending}"
    state = network.state_dict()
    optimizer = torch.optim.Adam(network.parameters()).state_dict()
    rest = {"epoch": 3, "optimizer": optimizer, "means": {"loss": torch.ones(1)}}
    torch.save({**rest, nested: state} if nested else state, path)
    said: dict[str, Any] = {"modules": ("rnn", "head"), "activations": {"head": "none"}}
    assert_equal_to_torch(from_torch(path, **said), network.double())
    assert from_torch(str(path), **said).fingerprint == from_torch(path, **said).fingerprint


def scripted(module: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("whole", [True, False])
def test_lstm_with_a_projection(layers: int, bias: bool, whole: bool) -> None:
    module = nn.LSTM(I, H, layers, bias=bias, proj_size=2)
    model = from_torch(module if whole else module.state_dict())
    assert model.output_size == 2
    assert_equal_to_torch(model, lambda xs: module.double()(xs)[0])


REFUSED: list[tuple[Callable[[], Any], dict[str, Any], type[EdgeRnnError], str]] = [
    (lambda: nn.GRU(I, H, bidirectional=True), {}, UnsupportedError, r"nn\.GRU: bidirectional=True"),
    (lambda: nn.GRU(I, H, 2, dropout=0.1), {}, UnsupportedError, r"nn\.GRU: it drops values in training"),
    (
        lambda: Network(nn.GRU(I, H), nn.Sequential(nn.Dropout(0.2), nn.Linear(H, O))),
        {},
        UnsupportedError,
        r"nn\.Dropout 'head\.0': it drops values in training; call \.eval\(\)",
    ),
    (
        lambda: nn.Sequential(nn.Linear(I, O), nn.Softmax(dim=1)),
        {},
        UnsupportedError,
        r"nn\.Softmax '1': it works along axis 1",
    ),
    (
        lambda: nn.Sequential(nn.Linear(I, O), nn.Flatten()),
        {},
        UnsupportedError,
        r"does not hold the values of one step",
    ),
    (
        lambda: nn.Sequential(nn.Linear(I, H), nn.BatchNorm1d(H)),
        {},
        UnsupportedError,
        r"nn\.BatchNorm1d '1': it takes the mean over a batch in training; call \.eval\(\)",
    ),
    (lambda: nn.Sequential(nn.Embedding(9, I, max_norm=1), nn.GRU(I, H)), {}, UnsupportedError, r"'0': max_norm=1"),
    (lambda: nn.MultiheadAttention(4, 2), {}, InputError, r"could not run MultiheadAttention\.forward"),
    (
        lambda: scripted(nn.Sequential(nn.Linear(I, O))),
        {},
        UnsupportedError,
        r"cannot trace TorchScript; pass the module that it was made of, or its state_dict",
    ),
    (
        lambda: {"a.weight_g": torch.ones(4, 1), "a.bias": torch.ones(4)},
        {},
        UnsupportedError,
        r"'a': it holds weight_g, bias\. PyTorch computes .*remove_weight_norm",
    ),
    (
        lambda: Network(nn.GRU(I, H), nn.Linear(H, O)),
        {"modules": ["rnn", "haed"]},
        InputError,
        r"'haed'.*'rnn', 'head'",
    ),
    (lambda: Network(nn.GRU(I, H), nn.Linear(H, O)), {"modules": "rnn"}, InputError, r"the string 'rnn'"),
    (lambda: Network(nn.GRU(I, H), nn.Linear(H, O)), {"modules": []}, InputError, r"no names"),
    (lambda: Network(nn.GRU(I, H), nn.Linear(H, O)), {"ignore": ["head"]}, InputError, r"'head\.bias' is used"),
    (lambda: Network(nn.GRU(I, H), nn.Linear(H, O)), {"ignore": ["foot"]}, InputError, r"'foot', which does not exist"),
    (lambda: Network(nn.RNN(I, H), nn.Linear(H, O)), {"activations": {"rnn": "relu"}}, InputError, r"expected one of"),
    (lambda: Network(nn.GRU(I, H), nn.Linear(H, O)), {"activations": {"head": "gelu"}}, InputError, r"got 'gelu'"),
    (
        lambda: {"weight": torch.zeros(2, 3, dtype=torch.int32)},
        {"activations": {"": "none"}},
        UnsupportedError,
        r"weight got dtype int32",
    ),
    (lambda: {"weight": torch.eye(3).to_sparse()}, {}, UnsupportedError, r"weight is not an array of numbers"),
    (lambda: nn.LazyLinear(3), {}, UnsupportedError, r"nn\.LazyLinear: it has no weights yet; call the module once"),
    (lambda: 7, {}, InputError, r"got int, expected an nn\.Module"),
]


@pytest.mark.parametrize(("make", "options", "kind", "message"), REFUSED)
def test_refused(make: Callable[[], Any], options: dict[str, Any], kind: type[EdgeRnnError], message: str) -> None:
    with pytest.raises(kind, match=message):
        from_torch(make(), **options)


def test_state_dict_of_a_pickled_module_is_read(tmp_path: Path) -> None:
    path, network = tmp_path / "module.pt", Network(nn.GRU(I, H, num_layers=2), nn.Linear(H, O))
    torch.save({"model": network, "optimizer": torch.optim.SGD(network.parameters(), 0.1).state_dict()}, path)
    model = from_torch(path, modules=("rnn", "head"), activations={"head": "none"})
    assert_equal_to_torch(model, network.double())


VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "as it is": lambda full: full,
    "turned": lambda full: full.T,
    "part of another": lambda full: full[2:7, 1:],
    "every second": lambda full: full[::2, ::3],
    "one row, repeated": lambda full: full[3].expand(6, 12),
    "a parameter": lambda full: nn.Parameter(full),
    "a number": lambda full: full[1, 1],
    "empty": lambda full: full[:, :0],
}


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_a_file_are_those_that_torch_loads(tmp_path: Path, dtype: str, zipped: bool) -> None:
    full = (torch.arange(96).reshape(8, 12) * 1.37 - 60).to(getattr(torch, dtype))
    saved = {title: view(full) for title, view in VIEWS.items() if title != "a parameter" or full.is_floating_point()}
    torch.save({"net": saved}, tmp_path / "views.pt", _use_new_zipfile_serialization=zipped)
    found = files.read_pickle(tmp_path / "views.pt").arrays
    expected = torch.load(tmp_path / "views.pt", weights_only=True)["net"]
    assert found.keys() == expected.keys()
    for title, array in found.items():
        wanted = expected[title].float() if dtype == "bfloat16" else expected[title]
        assert np.array_equal(array, wanted.detach().numpy()), title
        assert array.dtype == wanted.detach().numpy().dtype


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 neither"])
def test_damaged_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"damaged\.pt"):
        from_torch(path)


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def repacked(data: bytes, **changed: bytes) -> bytes:
    """The archive with deflated members, and some with other content."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name.rpartition("/")[2].replace(".", "_"), old.read(name)))
    return file.getvalue()


def hashed_without_end() -> bytes:
    """Dict whose key is a tuple of two equal tuples, nested 60 times: its hash takes 2^60 steps."""
    key = b"X\x01\0\0\0a" + b"".join(b"q%ch%c\x86" % (place, place) for place in range(60))
    stored = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved({"a": torch.ones(1)}))) as old, zipfile.ZipFile(stored, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"\x80\x02}" + key + b"K\x01s." if name.endswith("data.pkl") else old.read(name))
    return stored.getvalue()


def of_many_disks() -> bytes:
    """Archive whose directory claims to be on one of nine disks: a word after the locator's signature."""
    data = bytearray(saved({"a": torch.ones(1)}))
    place = data.rindex(b"PK\x06\x07")
    data[place + 16 : place + 20] = (9).to_bytes(4, "little")
    return bytes(data)


def held_by_itself() -> bytes:
    held: dict[str, Any] = {}
    held["model"] = held
    return saved(held)


REPEATED = torch.ones(1).expand(2**13, 2**14)
COMPLEX = torch.ones(2, dtype=torch.complex64)
HOSTILE: dict[str, tuple[Callable[[], bytes], type[EdgeRnnError], str]] = {
    "one number, repeated": (lambda: saved({"a.weight": REPEATED}), FileError, r"a\.weight would take 536870912 bytes"),
    "packed": (lambda: repacked(saved({"a.weight": torch.zeros(2**20)})), FileError, r"expected no compressed data"),
    "an archive of many disks": (of_many_disks, FileError, r"is damaged: 'zipfiles that span multiple"),
    "a hash without end": (hashed_without_end, FileError, r"unpickling took more than .* s of CPU time"),
    "a dict in itself": (held_by_itself, FileError, r"holds a dict with 'model'; expected a state_dict"),
    "complex numbers": (lambda: saved({"a.weight": COMPLEX}), UnsupportedError, r"a\.weight holds complex64"),
    "sparse": (lambda: saved({"a.weight": torch.eye(3).to_sparse()}), UnsupportedError, r"is not an array of numbers"),
    "many names": (lambda: saved({f"n{k}" * 99: 1 for k in range(999)}), FileError, r"holds a dict with .*, and more;"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pickle_is_refused_in_bounded_time_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    make, kind, message = HOSTILE[case]
    path = tmp_path / "given.pt"
    path.write_bytes(make())
    if "hash" in case:
        monkeypatch.setattr(files, "SECONDS", 0.1)
    with pytest.raises(kind, match=message) as caught:
        from_torch(path)
    assert "given.pt" in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_checkpoint_of_several_networks_says_how_to_read_one(tmp_path: Path) -> None:
    network, path = Network(nn.GRU(I, H), nn.Linear(H, O)), tmp_path / "two.pt"
    torch.save(
        {"model": {"net": network.state_dict()}, "ema": Network(nn.GRU(I, H), nn.Linear(H, O)).state_dict()}, path
    )
    said: dict[str, Any] = {"modules": ("rnn", "head"), "activations": {"head": "none"}}
    for source in (path, torch.load(path)):
        with pytest.raises(InputError, match=r"2 state_dicts, model\.net, ema; name .* state='model\.net'"):
            from_torch(source, **said)
    assert_equal_to_torch(from_torch(path, state="model.net", **said), network.double())


def test_torchscript_is_read_as_a_state_dict(tmp_path: Path) -> None:
    path, network = tmp_path / "script.pt", nn.GRU(I, H)
    scripted(network).save(path)
    assert_equal_to_torch(from_torch(path), lambda xs: network.double()(xs)[0])


def test_pickle_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3, "loss": 0.5}, path)
    with pytest.raises(FileError, match=r"holds a dict with 'epoch', 'loss'; expected a state_dict"):
        from_torch(path)
