"""Blocks of random PyTorch modules that have a state, and those that a stream cannot do."""

from __future__ import annotations

from collections.abc import Callable

from tests.readers.trials.torch_program import Program

__all__ = ["OBSTACLES", "bare", "loop", "recurrent", "step"]

Shapes = list[tuple[int, ...]]


def _cell(p: Program) -> tuple[str, str]:
    """Return a kind of cell, and options."""
    kind = p.rng.choice(("RNN", "GRU", "GRU", "LSTM", "LSTM"))
    options = "" if p.chance(0.85) else ", bias=False"
    return kind, options + (", nonlinearity='relu'" if kind == "RNN" and p.chance(0.4) else "")


def recurrent(p: Program) -> None:
    """Add an RNN, a GRU or an LSTM, with its states in one of the ways in which people write them."""
    kind, options = _cell(p)
    residual = p.chance(0.15)
    hidden = out = p.size if residual else p.rng.randint(3, 8)
    layers = p.rng.choice((1, 1, 1, 2, 3))
    if layers > 1:
        options += f", num_layers={layers}" + (", dropout=0.2" if p.chance(0.3) else "")
    if kind == "LSTM" and not residual and hidden > 3 and p.chance(0.12):
        out = hidden - 2
        options += f", proj_size={out}"
    if p.axis == 1:
        options += ", batch_first=True"
    rnn = p.module("rnn", f"nn.{kind}({p.size}, {hidden}{options})")
    shapes: Shapes = [(layers, 1, out), *([(layers, 1, hidden)] if kind == "LSTM" else [])]
    if residual:
        p.add("r = v")
    final = _called(p, rnn, shapes)
    p.size = out
    p.last_state = f"{final}[-1]" if final else ""
    if residual:
        p.add("v = v + r")


def _called(p: Program, rnn: str, shapes: Shapes) -> str:
    """Add the call; return the name of the final h, if forward gives it one."""
    pair = len(shapes) == 2
    if p.given:
        number = len(p.returned) + 1
        start, names = _argument(p, shapes), f"(h{number}, c{number})" if pair else f"h{number}"
        p.add(f"v, {names} = {rnn}(v, {start})")
        p.returned.append(names)
        return f"h{number}"
    if p.chance(0.35):
        p.add(f"v, {'(h, c)' if pair else 'h'} = {rnn}(v, {_start(p, shapes)})")
        return "h"
    if p.chance(0.5):
        p.add(f"v, {'(h, _)' if pair else 'h'} = {rnn}(v)")
        return "h"
    p.add(p.rng.choice((f"v, _ = {rnn}(v)", f"v = {rnn}(v)[0]")))
    return ""


def _argument(p: Program, shapes: Shapes) -> str:
    """Make the states of a layer arguments; return the expression that the layer gets."""
    number = len(p.returned) + 1
    end, detach = ("=None", "") if p.optional else ("", p.rng.choice(("", ".detach()")))
    if len(shapes) == 1:
        p.arguments.append(f"h{number}{end}")
        p.states.append(shapes)
        return f"h{number}{detach}"
    if p.optional or p.chance(0.5):
        p.arguments.append(f"state{number}{end}")
        p.states.append(shapes)
        return f"state{number}"
    p.arguments += [f"h{number}", f"c{number}"]
    p.states += [[shape] for shape in shapes]
    return f"(h{number}{detach}, c{number}{detach})"


def _start(p: Program, shapes: Shapes) -> str:
    """Add zeros, or trained states, to forward; return the expression that the layer gets."""
    how = p.rng.choice(("torch.zeros({})", "torch.zeros({}, device=x.device)", "v.new_zeros({})", ""))
    for name, (layers, _, size) in zip(("h0", "c0"), shapes, strict=False):
        if how:
            p.add(f"{name} = {how.format(f'{layers}, {p.batch}, {size}')}")
        else:
            trained = p.module("start", f"nn.Parameter(0.3 * torch.randn({layers}, 1, {size}))")
            p.add(f"{name} = {trained}.expand(-1, {p.batch}, -1).contiguous()")
    return "(h0, c0)" if len(shapes) == 2 else "h0"


def step(p: Program) -> None:
    """Add one or two cells that compute one step, and whose states are arguments."""
    for _ in range(p.rng.choice((1, 1, 2))):
        kind, options = _cell(p)
        hidden, number = p.rng.randint(3, 8), len(p.returned) + 1
        cell = p.module("cell", f"nn.{kind}Cell({p.size}, {hidden}{options})")
        start = _argument(p, [(1, hidden)] * (2 if kind == "LSTM" else 1))
        names = f"h{number}, c{number}" if kind == "LSTM" else f"h{number}"
        p.add(f"{names} = {cell}(v, {start})", f"v = h{number}")
        p.returned.append(f"({names})" if kind == "LSTM" else names)
        p.size = hidden


def loop(p: Program) -> None:
    """Add a loop over time, around a cell or around equations."""
    hidden = p.rng.randint(3, 7)
    zeros = p.rng.choice(("torch.zeros({})", "v.new_zeros({})", "torch.zeros({}, device=v.device, dtype=v.dtype)"))
    p.add(f"h = {zeros.format(f'{p.batch}, {hidden}')}")
    inside = p.rng.choice((_cell_called, _cell_called, _minimal, _leaky, _spelled_lstm))(p, hidden)
    p.size, y = hidden, "h"
    if p.chance(0.4):
        p.size = p.rng.randint(2, 5)
        y = f"{p.module('out', f'nn.Linear({hidden}, {p.size})')}(h)"
    heads = [
        [f"for t in range(v.size({p.axis})):", f"    u = {p.at('t')}"],
        [f"for u in v.unbind({p.axis}):"],
        [f"for u in {'v' if p.axis == 0 else 'v.transpose(0, 1)'}:"],
    ]
    p.add("ys = []", *p.rng.choice(heads), *(f"    {line}" for line in [*inside, f"ys.append({y})"]))
    stacked = (f"torch.stack(ys, {p.axis})", f"torch.cat([y.unsqueeze({p.axis}) for y in ys], {p.axis})")
    p.add(f"v = {p.rng.choice(stacked)}")
    p.last_state = "h" if y == "h" else ""


def _cell_called(p: Program, hidden: int) -> list[str]:
    kind, options = _cell(p)
    cell = p.module("cell", f"nn.{kind}Cell({p.size}, {hidden}{options})")
    if kind != "LSTM":
        return [f"h = {cell}(u, h)"]
    p.add("c = torch.zeros_like(h)")
    return [f"h, c = {cell}(u, (h, c))"]


def _minimal(p: Program, hidden: int) -> list[str]:
    z, n = (p.module(name, f"nn.Linear({p.size + hidden}, {hidden})") for name in "zn")
    return [
        f"z = torch.sigmoid({z}(torch.cat([u, h], -1)))",
        f"n = torch.tanh({n}(torch.cat([u, z * h], -1)))",
        "h = (1 - z) * h + z * n",
    ]


def _leaky(p: Program, hidden: int) -> list[str]:
    i, r = p.module("i", f"nn.Linear({p.size}, {hidden})"), p.module("r", f"nn.Linear({hidden}, {hidden}, bias=False)")
    return [f"h = 0.7 * h + 0.3 * torch.tanh({i}(u) + {r}(h))"]


def _spelled_lstm(p: Program, hidden: int) -> list[str]:
    w, r = p.module("w", f"nn.Linear({p.size}, {4 * hidden})"), p.module("r", f"nn.Linear({hidden}, {4 * hidden})")
    p.add("c = torch.zeros_like(h)")
    return [
        f"i, f, g, o = ({w}(u) + {r}(h)).chunk(4, dim=-1)",
        "c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)",
        "h = torch.sigmoid(o) * torch.tanh(c)",
    ]


def _both_ways(p: Program) -> None:
    kind, options = _cell(p)
    hidden, options = p.rng.randint(3, 6), options + (", batch_first=True" if p.axis == 1 else "")
    p.add(f"v, _ = {p.module('rnn', f'nn.{kind}({p.size}, {hidden}{options}, bidirectional=True)')}(v)")
    p.size = 2 * hidden


def _weighted_sum(p: Program) -> None:
    p.add(f"w = torch.softmax({p.module('score', f'nn.Linear({p.size}, 1)')}(v), dim={p.axis})")
    p.add(f"v = v + (w * v).sum({p.axis}, keepdim=True)")


def _attention(p: Program) -> None:
    attention = p.module("attention", f"nn.MultiheadAttention({p.size}, 1, batch_first={p.axis == 1})")
    p.add(f"v = v + {attention}(v, v, v)[0]")


OBSTACLES: dict[str, Callable[[Program], None]] = {
    "both directions": _both_ways,
    "weighted sum of steps": _weighted_sum,
    "attention": _attention,
    "mean over time": lambda p: p.add(f"v = v - v.mean({p.axis}, keepdim=True)"),
    "mean over time at the end": lambda p: None,  # in torch_write
    "largest over time": lambda p: p.add(f"v = v + v.amax({p.axis}, keepdim=True)"),
    "reversed": lambda p: p.add(f"v = torch.flip(v, [{p.axis}])"),
    "softmax over time": lambda p: p.add(f"v = torch.softmax(v, dim={p.axis})"),
    "last step for all": lambda p: p.add(f"v = v + {p.at('-1:')}"),
}
"""Operations that need samples which a stream does not have yet."""


def bare(p: Program) -> None:
    """Make the module one of PyTorch's own."""
    kind, options = _cell(p)
    hidden, layers = p.rng.randint(3, 8), p.rng.choice((1, 1, 2))
    count = 2 if kind == "LSTM" else 1
    p.optional, p.logs = True, [False]
    if p.chance(0.35):
        p.layout, p.bare = "step", f"nn.{kind}Cell({p.inputs}, {hidden}{options})"
        p.states, p.heads, p.new_states = [[(1, hidden)] * count], [0 if kind == "LSTM" else None], [None]
    elif p.chance(0.6):
        p.layout = p.rng.choice(("batch", "time"))
        options += f", num_layers={layers}" + (", batch_first=True" if p.layout == "batch" else "")
        p.bare = f"nn.{kind}({p.inputs}, {hidden}{options})"
        p.states, p.heads, p.new_states = [[(layers, 1, hidden)] * count], [0], [1]
    else:
        parts = [f"nn.Linear({p.inputs}, {hidden})", p.rng.choice(("nn.Tanh()", "nn.ReLU()", "nn.ELU()"))]
        parts += [f"nn.LayerNorm({hidden})"] * p.chance(0.3) + [f"nn.Linear({hidden}, 3)"]
        p.bare, p.heads = f"nn.Sequential({', '.join(parts)})", [None]
