"""Blocks of random PyTorch modules that compute each step by itself."""

from __future__ import annotations

from tests.readers.trials.torch_program import Program

__all__ = ["ENDS", "front", "linear", "mixed"]

MODULES = (
    *("nn.Tanh()", "nn.Sigmoid()", "nn.ReLU()", "nn.LeakyReLU(0.2)", "nn.LeakyReLU()", "nn.ELU()", "nn.ELU(0.7)"),
    *("nn.Softplus()", "nn.Hardsigmoid()", "nn.SiLU()", "nn.Softmax(dim=-1)"),
)
FUNCTIONS = (
    *("torch.tanh({v})", "{v}.tanh()", "torch.sigmoid({v})", "{v}.sigmoid()", "F.relu({v})", "torch.relu({v})"),
    *("F.leaky_relu({v}, 0.1)", "F.elu({v})", "F.softplus({v})", "F.hardsigmoid({v})", "F.silu({v})"),
    *("{v}.clamp(min=0)", "torch.clamp({v}, -2.0, 2.0)", "{v}.clip(-1, 1)", "{v} * torch.sigmoid({v})"),
    *("torch.softmax({v}, dim=-1)", "F.softmax({v}, -1)"),
)
SELDOM_MODULES = (
    *("nn.GELU()", "nn.Hardtanh()", "nn.ReLU6()", "nn.Softsign()", "nn.PReLU()", "nn.Hardswish()", "nn.SELU()"),
    *("nn.Mish()", "nn.LogSigmoid()", "nn.Softplus(beta=2)", "nn.GELU(approximate='tanh')", "nn.Threshold(0.1, 0.0)"),
)
SELDOM_FUNCTIONS = (
    *("F.gelu({v})", "F.hardtanh({v}, -2.0, 2.0)", "torch.maximum({v}, 0.1 * {v})", "{v}.abs()", "torch.sin({v})"),
    *("torch.where({v} > 0, {v}, 0.2 * {v})", "torch.exp(-{v}.abs())", "torch.atan({v})", "1.0 - {v}", "{v}.square()"),
)
ENDS = ("torch.softmax({v}, -1)", "F.softmax({v}, dim=-1)", "torch.sigmoid({v})", "torch.tanh({v})")

NORMALIZED = (
    "v = (v - {mean}) / {std}",
    "v = (v - {mean}) / ({std} + 1e-3)",
    "v = (v - {mean}) * (1.0 / {std})",
    "v = (v - {mean}) / torch.sqrt({std} + 1e-5)",
    "v = ((v - {mean}) / {std}).clamp(-5, 5)",
)
SCALED = ("v = torch.clamp(v, -5.0, 5.0)", "v = v.clip(-3, 3)", "v = v * 0.5 + 0.1", "v = v / 9.81", "v = -v")


def front(p: Program) -> None:
    """Symbols through a table; else in some cases a normalizer whose numbers are buffers, a scale or a clip."""
    if p.symbols:
        p.size = p.rng.randint(3, 6)
        options = p.rng.choice(("", "", ", padding_idx=0"))
        p.add(f"v = {p.module('table', f'nn.Embedding({p.inputs}, {p.size}{options})')}(v)")
    elif p.chance(0.25):
        mean, std = p.buffer("mean", f"torch.randn({p.size})"), p.buffer("std", f"torch.rand({p.size}) + 0.5")
        p.add(p.rng.choice(NORMALIZED).format(mean=mean, std=std))
    elif p.chance(0.12):
        p.add(p.rng.choice(SCALED))


def mixed(p: Program) -> None:
    """Add one of these blocks."""
    p.rng.choices(list(_BLOCKS), list(_BLOCKS.values()))[0](p)


def linear(p: Program, out: int = 0) -> None:
    """Add a Linear, or a product with a matrix that is a parameter."""
    size, p.size = p.size, out or p.rng.randint(3, 8)
    if p.chance(0.08):
        matrix = p.module("w", f"nn.Parameter(torch.randn({p.size}, {size}) / {size} ** 0.5)")
        p.add(f"v = F.linear(v, {matrix})" if p.chance(0.5) else f"v = v @ {matrix}.t()")
    else:
        options = "" if p.chance(0.85) else ", bias=False"
        p.add(f"v = {p.module('fc', f'nn.Linear({size}, {p.size}{options})')}(v)")


def _activation(p: Program) -> None:
    modules, functions = (SELDOM_MODULES, SELDOM_FUNCTIONS) if p.chance(0.12) else (MODULES, FUNCTIONS)
    if p.chance(0.5):
        p.add(f"v = {p.module('act', p.rng.choice(modules))}(v)")
    else:
        p.add(f"v = {p.rng.choice(functions).format(v='v')}")


def _dense(p: Program) -> None:
    linear(p)
    _activation(p)


def _dropout(p: Program) -> None:
    module = f"{p.module('drop', 'nn.Dropout(0.3)')}(v)"
    p.add(f"v = {module if p.chance(0.7) else 'F.dropout(v, 0.2, training=self.training)'}")


def _layer_norm(p: Program) -> None:
    options = p.rng.choice(("", "", ", eps=1e-3", ", elementwise_affine=False"))
    p.add(f"v = {p.module('norm', f'nn.LayerNorm({p.size}{options})')}(v)")


def _batch_norm(p: Program) -> None:
    norm = p.module("norm", f"nn.BatchNorm1d({p.size}{p.rng.choice(('', '', ', eps=1e-3', ', affine=False'))})")
    if p.axis is None:
        p.add(f"v = {norm}(v)")
    elif p.chance(0.3):
        p.add(f"v = {norm}(v.reshape(-1, {p.size})).view_as(v)")
    elif p.axis == 1:
        p.add(f"v = {norm}(v.transpose(1, 2)).transpose(1, 2)")
    else:
        p.add(f"v = {norm}(v.permute(1, 2, 0)).permute(2, 0, 1)")


def _residual(p: Program) -> None:
    size = p.size
    p.add("r = v")
    _dense(p)
    linear(p, size)
    p.add(p.rng.choice(("v = v + r", "v = r + v", "v = r + 0.5 * v", "v = torch.add(v, r)")))


def _joined(p: Program) -> None:
    size = p.size
    p.add("r = v")
    _dense(p)
    p.add(p.rng.choice(("v = torch.cat([v, r], dim=-1)", "v = torch.cat((r, v), -1)")))
    p.size += size


def _gated(p: Program) -> None:
    p.add(f"v = v * torch.sigmoid({p.module('gate', f'nn.Linear({p.size}, {p.size})')}(v))")


def _cut(p: Program) -> None:
    if p.size >= 4:
        p.size = 3
        p.add(p.rng.choice(("v = v[..., :3]", "v = v[..., -3:]", "v = v.narrow(-1, 1, 3)")))


def _sequential(p: Program) -> None:
    size, p.size = p.size, p.rng.randint(3, 8)
    parts = [f"nn.Linear({size}, {p.size})", p.rng.choice(MODULES)]
    parts += [p.rng.choice(("nn.Dropout(0.1)", f"nn.LayerNorm({p.size})", f"nn.Linear({p.size}, {p.size})"))]
    p.add(f"v = {p.module('mlp', 'nn.Sequential(' + ', '.join(parts) + ')')}(v)")


def _nested(p: Program) -> None:
    """A class inside of the network."""
    name = f"Block{len(p.classes)}"
    function = p.rng.choice(FUNCTIONS).format(v="self.a(x)")
    end = p.rng.choice(("x + self.b(h)", "self.norm(x + self.b(h))", "self.b(h)"))
    p.classes.append(
        f"class {name}(nn.Module):\n    def __init__(self, size):\n        super().__init__()\n"
        f"        self.a, self.b, self.norm = nn.Linear(size, 5), nn.Linear(5, size), nn.LayerNorm(size)\n\n"
        f"    def forward(self, x):\n        h = {function}\n        return {end}\n\n\n"
    )
    p.add(f"v = {p.module('block', f'{name}({p.size})')}(v)")


def _flat(p: Program) -> None:
    """A Linear over all steps as one batch."""
    if p.axis is None:
        linear(p)
        return
    size, p.size = p.size, p.rng.randint(3, 8)
    name = p.module("fc", f"nn.Linear({size}, {p.size})")
    p.add(f"v = {name}(v.reshape(-1, {size})).view(v.size(0), v.size(1), {p.size})")


def _same(p: Program) -> None:
    p.add(p.rng.choice(("v = v.contiguous()", "v = v.half() if v.dtype == torch.bfloat16 else v", "v = v.detach()")))


_BLOCKS = {
    linear: 3, _dense: 6, _activation: 2, _dropout: 2, _layer_norm: 2, _batch_norm: 2, _residual: 2, _joined: 1.5,
    _gated: 0.7, _cut: 0.4, _sequential: 2, _nested: 1.5, _flat: 0.8, _same: 0.6,
}  # fmt: skip
