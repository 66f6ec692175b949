"""TorchScript archives: the weights, and the chain that the code of ``forward`` is, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torch_archive
from edge_rnn import Stream, reference
from edge_rnn.cli import main
from edge_rnn.errors import EdgeRnnError, InputError, UnsupportedError
from edge_rnn_export import from_torch
from torch_archive import Instance

RNG = np.random.default_rng(1965)
HEAD = {
    "weight": RNG.standard_normal((2, 4)).astype("f4"),
    "bias": RNG.standard_normal(2).astype("f4"),
    "training": False,
}
CODE = """\
class Head(Module):
  __parameters__ = ["weight", "bias", ]
  slope : Final[float] = 0.25
  def forward(self: __torch__.net.Head,
    x: Tensor) -> Tensor:
    weight = self.weight
    bias = self.bias
    {}
class Net(Module):
  head : __torch__.net.Head
  def forward(self: __torch__.net.Net,
    x: Tensor) -> Tensor:
    {}
"""
WHOLE = "return (self.head).forward(x, )"
PLAIN = "return torch.leaky_relu(torch.linear(x, weight, bias), self.slope)"


def archive(head: str = PLAIN, net: str = WHOLE, **attributes: Any) -> bytes:
    """Archive of a Linear whose forward is ``head``, in a network whose forward is ``net``."""
    root = Instance("__torch__.net.Net", {"head": Instance("__torch__.net.Head", HEAD), **attributes})
    lines = [text.replace("\n", "\n    ") for text in (head, net)]
    return torch_archive.zipped(root, {"constants.pkl": "", "code/__torch__/net.py": CODE.format(*lines)})


def written(folder: Path, data: bytes) -> Path:
    path = folder / "policy.pt"
    path.write_bytes(data)
    return path


FOLLOWED: dict[str, tuple[str, str, str]] = {
    "plain": (PLAIN, WHOLE, "leaky_relu:0.25"),
    "variables": ("y = torch.linear(x, weight, bias)\nz, _0, = (y, 3)\nreturn torch.tanh(z)", WHOLE, "tanh"),
    "a typed variable": ("y : Optional[Tensor] = torch.linear(x, weight, bias)\nreturn y", WHOLE, "none"),
    "addmm": ("return torch.addmm(bias, x, torch.t(weight))", WHOLE, "none"),
    "a condition on options": ("if self.training:\n  y = x\nelse:\n  y = torch.linear(x, weight, bias)\nreturn y",
                               WHOLE, "none"),
    "a check": ("if torch.ne(torch.size(x, -1), 4):\n  ops.prim.RaiseException(\"no\")\nelse:\n  pass\n" + PLAIN, WHOLE,
                "leaky_relu:0.25"),
    "axes to and fro": ("y = torch.squeeze(torch.unsqueeze(x, 0), 0)\nreturn torch.tanh(torch.linear(y, weight, bias))",
                        WHOLE, "tanh"),
    "a tuple": (PLAIN, "return ((self.head).forward(x, ), None)", "leaky_relu:0.25"),
    "by name": (PLAIN, "head = getattr(self, \"head\")\nreturn (head).forward(x, )", "leaky_relu:0.25"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLLOWED)
def test_code_is_followed(case: str, tmp_path: Path) -> None:
    head, net, activation = FOLLOWED[case]
    (layer,) = from_torch(written(tmp_path, archive(head, net))).layers
    assert layer.options["activation"] == activation
    assert np.array_equal(layer.arrays["weight"], HEAD["weight"])


REFUSED: dict[str, tuple[str, str, str]] = {
    "a sum": ("return torch.add(x, torch.linear(x, weight, bias))", WHOLE, r"it joins values by torch\.add"),
    "values joined": ("return torch.linear(torch.cat([x, x], 1), weight, bias)", WHOLE, r"joins values by torch\.cat"),
    "an unknown operator": ("return torch.mish(torch.linear(x, weight, bias))", WHOLE, r"it calls torch\.mish"),
    "a loop": ("for i in range(3):\n  x = x\n" + PLAIN, WHOLE, "it has the statement for"),
    "a condition on values": (
        "if torch.size(x, 0):\n  y = torch.linear(x, weight, bias)\nelse:\n  y = x\nreturn y", WHOLE, "a condition on"),
    "another weight": ("return torch.linear(x, bias, bias)", WHOLE, "'head.bias' in the place of 'weight'"),
    "a part of a weight": ("return torch.linear(x, torch.slice(weight, 0, 1), bias)", WHOLE, "computes 'weight' of a"),
    "a weight turned": ("return torch.linear(x, torch.t(weight), bias)", WHOLE, "computes 'weight' of a layer"),
    "a scaled weight": ("return torch.linear(x, torch.mul(weight, 2), bias)", WHOLE, "computes 'weight' of a layer"),
    "a weight changed": ("_0 = torch.mul_(weight, 2)\n" + PLAIN, WHOLE, r"it changes a parameter by torch\.mul_"),
    "a weight stored": ("_0 = torch.copy_(weight, x)\n" + PLAIN, WHOLE, r"it stores 'head\.weight'"),
    "a bias left out": ("return torch.linear(x, weight)", WHOLE, "it leaves out the bias of 'head'"),
    "a value changed in place": (
        "y = torch.linear(x, weight, bias)\nz = torch.relu_(y)\nreturn y", WHOLE, "returns a value that it changed"),
    "a part of the outputs": (
        "return torch.slice(torch.linear(x, weight, bias), 0, 0, 1)", WHOLE, "it takes a part of the values"),
    "softmax over time": ("return torch.softmax(torch.linear(x, weight, bias), 0)", WHOLE, "along another axis"),
    "dropout in training": ("return torch.dropout(torch.linear(x, weight, bias), 0.5, True)", WHOLE, "calls torch.d"),
    "two outputs": (PLAIN, "return (x, (self.head).forward(x, ))", "forward returns 2 outputs"),
    "a missing module": (PLAIN, "return (self.foot).forward(x, )", "'foot', which is not stored"),
    "a missing method": (PLAIN, "return (self.head).backward(x, )", "it has no 'backward'"),
    "no end": (PLAIN, "return (self).forward(x, )", "call each other without end"),
    "not Python": (PLAIN, "return )", r"its code is damaged \(SyntaxError\)"),
    "a lambda": (PLAIN, "return (lambda x: x)(x)", "it has the expression lambda"),
    "another input": (PLAIN, "return (self.head).forward(torch.select(x, 0, 3), )", "it takes"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_code_that_is_no_chain_is_refused_by_its_cause(case: str, tmp_path: Path) -> None:
    head, net, message = REFUSED[case]
    path = written(tmp_path, archive(head, net))
    with pytest.raises(UnsupportedError, match=f"cannot follow forward in this archive: .*{message}"):
        from_torch(path)
    if case != "a weight stored":
        assert from_torch(path, modules=["head"], activations={"head": "none"}).output_size == 2


def test_a_state_that_is_not_zero_is_refused(tmp_path: Path) -> None:
    names = ("weight_ih_l0", "weight_hh_l0")
    cell = {name: RNG.uniform(-1, 1, (12, 4)).astype("f4") for name in names}
    net = "y, h, = torch.gru(torch.unsqueeze(x, 0), self.h, [self.rnn.weight_ih_l0, self.rnn.weight_hh_l0], False, 1, "
    net += "0., False, False, False)\n_0 = torch.copy_(torch.slice(self.h), h)\nreturn torch.squeeze(y, 0)"
    rnn = Instance("__torch__.net.Head", cell)
    zero = archive(net=net, rnn=rnn, h=np.zeros((1, 1, 4), "f4"))
    assert [type(layer).__name__ for layer in from_torch(written(tmp_path, zero)).layers] == ["GRU"]
    with pytest.raises(UnsupportedError, match="its state 'h' is not zero; set it as h0 or c0 of the layer afterwards"):
        from_torch(written(tmp_path, archive(net=net, rnn=rnn, h=np.ones((1, 1, 4), "f4"))))
    forgets = archive(
        net=net.replace("_0 = torch.copy_(torch.slice(self.h), h)\n", ""), rnn=rnn, h=np.zeros((1, 1, 4), "f4")
    )
    with pytest.raises(UnsupportedError, match="it does not carry over the state 'h'"):
        from_torch(written(tmp_path, forgets))


def test_import_says_that_code_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(written(tmp_path, archive())), "-o", str(tmp_path / "net.safetensors")]) == 0
    assert "not compared forward is read from the file, and not run" in capsys.readouterr().out


def test_arguments_of_a_state_dict_are_refused_with_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"got a module and kinds="):
        from_torch(written(tmp_path, archive()), kinds={"head": "Linear"})


@pytest.mark.parametrize("place", range(40, 2000, 97))
def test_damaged_archive_gives_one_error_of_ours(place: int, tmp_path: Path) -> None:
    data = bytearray(archive())
    data[place % len(data)] ^= 0x55
    try:
        model = from_torch(written(tmp_path, bytes(data)))
    except EdgeRnnError as error:
        assert "policy.pt" in str(error) or "archive" in str(error)
    else:
        assert model.output_size == 2


def test_code_of_gigabytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeRnnError, match=r"bytes in code/|memory"):
        from_torch(written(tmp_path, archive(PLAIN + "\n#" + "x" * 10**6)))


@pytest.mark.parametrize(("robot", "within"), [("g1", 2e-5), ("h1", 2e-5)])
def test_walking_policies(robot: str, within: float, shared_data: Path) -> None:
    """PyTorch itself is 2.2e-6 off in float32, at actions of 11; float32 of another order, some times that."""
    folder = shared_data / "models" / "unitree"
    model = from_torch(folder / f"{robot}_motion.pt", sample_rate_hz=50)
    said = from_torch(
        folder / f"{robot}_motion.pt", modules=["memory", "actor"], activations={"actor.0": "elu", "actor.2": "none"},
        ignore=["hidden_state", "cell_state"], sample_rate_hz=50,
    )  # fmt: skip
    assert said.fingerprint == model.fingerprint
    expected = np.load(folder / f"{robot}.npz")
    assert np.abs(reference.run(model, expected["obs"])[0] - expected["action64"]).max() <= 1e-12
    assert np.abs(Stream(model).run(expected["obs"]) - expected["action64"]).max() <= within
