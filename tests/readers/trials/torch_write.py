"""Random PyTorch modules: ten ways to write ``forward``, as text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.readers.trials.torch_blocks import ENDS, front, mixed
from tests.readers.trials.torch_program import Program
from tests.readers.trials.torch_recurrent import OBSTACLES, bare, loop, recurrent, step

__all__ = ["LAYOUTS", "WAYS", "write"]

LAYOUTS = {"batch": 8, "time": 4, "turned": 2, "single": 1, "channels": 1}
"""Weights of the axes of samples: ``(batch, time, I)``; ``(time, batch, I)``; the first, of a network that computes in
the second; ``(time, I)``; ``(batch, I, time)``."""

WAYS = {"sequence": 8, "states given": 3, "step": 3, "loop": 4, "bare": 1}
"""Weights of: modules over sequences; these with states as arguments; cells that compute one step; a loop over time; a
module of PyTorch's own."""

_AXES = {"batch": 1, "time": 0, "turned": 0, "single": 1, "channels": 1, "step": None}
_INTO = {
    "turned": ("v = x.transpose(0, 1)", "v = x.permute(1, 0, 2)"),
    "channels": ("v = x.transpose(1, 2)", "v = x.permute(0, 2, 1)", "v = x.mT"),
    "single": ("v = x.unsqueeze(0)", "v = x[None]"),
}
_BACK = {"turned": ".transpose(0, 1)", "single": ".squeeze(0)", "channels": ".transpose(1, 2)"}


def write(rng: Random) -> Program:
    """Return a random program."""
    way = rng.choices(list(WAYS), list(WAYS.values()))[0]
    layout = "step" if way == "step" else rng.choices(list(LAYOUTS), list(LAYOUTS.values()))[0]
    p = Program(rng, layout, rng.randint(2, 6), optional=rng.random() < 0.4, given=way in ("step", "states given"))
    if way == "bare":
        bare(p)
        return p
    if way != "step" and p.chance(0.2):
        p.obstacle = rng.choice(sorted(OBSTACLES))
    p.axis, p.size = _AXES[layout], p.inputs
    if layout in ("batch", "time", "step") and p.chance(0.15):
        p.symbols, p.inputs = True, rng.randint(8, 20)
    p.add(rng.choice(_INTO.get(layout, ("v = x",))))
    front(p)
    for block in _blocks(p, way):
        block(p)
    _last_step(p)
    _return(p, _heads(p))
    return p


def _blocks(p: Program, way: str) -> list[Callable[[Program], None]]:
    core = {"loop": loop, "step": step}.get(way, recurrent)
    before: list[Callable[[Program], None]] = [mixed for _ in range(p.rng.randint(0, 2))]
    after: list[Callable[[Program], None]] = [mixed for _ in range(p.rng.randint(0, 2))]
    if core is recurrent and p.chance(0.25):
        after.append(recurrent)
    cores = [] if way == "sequence" and p.chance(0.06) else [core]
    obstacle = [OBSTACLES[p.obstacle]] if p.obstacle else []
    return [*before, *cores, *obstacle, *after]


def _last_step(p: Program) -> None:
    """Take the last step in some cases: of the value, or the last recurrent layer's final state."""
    if p.obstacle == "mean over time at the end":
        p.last = True
        p.add(f"v = v.mean({p.axis})" if p.chance(0.5) else f"v = torch.mean(v, dim={p.axis})")
    elif p.axis is not None and not p.obstacle and p.chance(0.3):
        p.last = True
        forms = ["v[:, -1]", "v[:, -1, :]", "v[:, -1:, :].squeeze(1)"] if p.axis == 1 else ["v[-1]", "v[-1, :, :]"]
        p.add(f"v = {p.rng.choice([*forms, *(2 * [p.last_state] if p.last_state else [])])}")


def _heads(p: Program) -> list[str]:
    """Add heads to forward; return the expression of each."""
    names = []
    for number in range(p.rng.choice((0, 1, 1, 1, 1, 2))):
        out, name = p.rng.choice((1, 2, 3, 4)), f"y{number}"
        p.add(f"{name} = {p.module('head', f'nn.Linear({p.size}, {out})')}(v)")
        log = out > 1 and p.chance(0.12)
        if log:
            p.add(f"{name} = F.log_softmax({name}, dim=-1)")
        elif p.chance(0.35):
            p.add(f"{name} = {p.rng.choice(ENDS[2 * (out == 1) :]).format(v=name)}")
        p.logs.append(log)
        names.append(f"{name}.squeeze(-1)" if out == 1 and p.layout == "batch" and p.chance(0.3) else name)
    if len(names) == 2 and not any(p.logs) and ".squeeze(-1)" not in "".join(names) and p.chance(0.3):
        names, p.logs = ["torch.cat([y0, y1], dim=-1)"], [False]
    if not names:
        names, p.logs = ["v"], [False]
    back = _BACK.get(p.layout, "")
    if back and p.layout != "single" and (p.last or p.chance(0.2)):
        back = ""
    p.features_first = back != "" and p.layout == "channels"
    return [f"{name}{back}" for name in names]


def _return(p: Program, names: list[str]) -> None:
    """Add the return statement: a tensor, a tuple or a dict, with new states after the outputs."""
    states = p.returned
    if len(names) == 1 and not states and p.chance(0.85):
        p.add(f"return {names[0]}")
        p.heads = [None]
    elif p.chance(0.25):
        p.heads = [f"out{place}" for place in range(len(names))] if len(names) > 1 else [p.rng.choice(("logits", "y"))]
        p.new_states = [f"state{place}" for place in range(len(states))]
        pairs = zip([*p.heads, *p.new_states], [*names, *states], strict=True)
        p.add(f"return {{{', '.join(f'{key!r}: {value}' for key, value in pairs)}}}")
    else:
        p.heads = list(range(len(names)))
        p.new_states = [len(names) + place for place in range(len(states))]
        p.add(f"return ({', '.join([*names, *states])},)" if len(names) + len(states) == 1 else
              f"return {', '.join([*names, *states])}")  # fmt: skip
