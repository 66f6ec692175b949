"""Random Keras networks as text: Sequential and functional ones, of layers and options that people mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

__all__ = ["KerasProgram", "write"]

ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear", "elu", "softplus", "hard_sigmoid", "leaky_relu", "silu")
SELDOM = ("softsign", "gelu", "selu", "relu6", "hard_silu", "mish", "exponential", "celu")
ACTIVATION_LAYERS = (
    *("L.ReLU()", "L.LeakyReLU()", "L.LeakyReLU(negative_slope=0.1)", "L.ELU()", "L.ELU(alpha=0.5)", "L.Softmax()"),
    *("L.ReLU(max_value=6.0)", "L.ReLU(negative_slope=0.2)"),
)
MERGES = ("L.Add()([v, r])", "L.Multiply()([v, r])", "L.Subtract()([v, r])", "L.Average()([v, r])", "v + r", "r * v",
          "L.Maximum()([v, r])")  # fmt: skip


@dataclass
class KerasProgram:
    """Text of a function ``Net``, and what a caller has to know; ``v`` is the value that its layers compute.

    Parameters
    ----------
    functional
        True for a functional model, False for a Sequential one.
    inputs
        Numbers of features of each input; of symbols if ``symbols``.
    steps
        Steps of a call, if the network fixes them; otherwise 0.
    """

    rng: Random
    functional: bool
    inputs: list[int]
    symbols: bool = False
    steps: int = 0
    stateful: bool = False
    masked: bool = False
    """True if the network masks steps, so that a reader needs ``unpadded=True``."""
    obstacle: str = ""
    last: bool = False
    """True if the network returns only the last step."""
    size: int = 0
    sequences: bool = True
    """True if ``v`` has an axis of time."""
    _lines: list[str] = field(default_factory=list)
    _outputs: list[str] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.rng.random() < share

    def layer(self, expression: str) -> None:
        """Add a layer."""
        self._lines.append(f"v = {expression}(v)" if self.functional else f"{expression},")

    def line(self, line: str) -> None:
        """Add a line to a functional network."""
        assert self.functional
        self._lines.append(line)

    def output(self, name: str) -> None:
        """Add an output to a functional network."""
        self._outputs.append(name)

    @property
    def text(self) -> str:
        """The whole program."""
        steps = self.steps or None
        given = [f"({steps},)" if self.symbols else f"({steps}, {size})" for size in self.inputs]
        batch = ", batch_size=1" if self.stateful else ""
        starts = [f"keras.Input({each}{batch})" for each in given]
        head = "import keras\n\nL = keras.layers\n\n\ndef Net():\n"
        if not self.functional:
            layers = "".join(f"        {line}\n" for line in [f"{starts[0]},", *self._lines])
            return f"{head}    return keras.Sequential([\n{layers}    ])\n"
        names = ["x"] if len(starts) == 1 else [f"x{place}" for place in range(len(starts))]
        lines = [f"{name} = {start}" for name, start in zip(names, starts, strict=True)]
        lines.append("v = x" if len(names) == 1 else f"v = L.Concatenate()([{', '.join(names)}])")
        outputs = self._outputs or ["v"]
        listed = outputs[0] if len(outputs) == 1 else f"[{', '.join(outputs)}]"
        start = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
        lines += [*self._lines, f"return keras.Model({start}, {listed})"]
        return head + "".join(f"    {line}\n" for line in lines)


def write(rng: Random) -> KerasProgram:
    """Return a random program."""
    p = KerasProgram(rng, rng.random() < 0.55, [rng.randint(2, 6)])
    kind = rng.choices(("open", "fixed", "stateful"), (6, 3, 1))[0]
    p.steps, p.stateful = {"open": 0, "fixed": 8, "stateful": rng.choice((1, 4))}[kind], kind == "stateful"
    if p.functional and p.chance(0.1):
        p.inputs.append(rng.randint(1, 3))
    elif p.chance(0.15):
        p.symbols, p.inputs = True, [rng.randint(8, 20)]
    p.size = sum(p.inputs)
    if not p.stateful and p.chance(0.17):
        p.obstacle = rng.choice(sorted(_OBSTACLES))
    _front(p)
    for _ in range(rng.randint(0, 2)):
        _mixed(p)
    for place in range(count := rng.choice((1, 1, 1, 2, 2, 3))):
        is_last = place == count - 1
        if p.obstacle and is_last:
            _OBSTACLES[p.obstacle](p)
        if p.sequences:
            _recurrent(p, sequences=not is_last or p.chance(0.5) or bool(p.obstacle) or p.stateful)
        if p.chance(0.4):
            _mixed(p)
    if p.obstacle == "pooled":
        p.layer(p.rng.choice(("L.GlobalAveragePooling1D()", "L.GlobalMaxPooling1D()")))
        p.sequences = False
    _end(p)
    p.last = not p.sequences
    return p


def _front(p: KerasProgram) -> None:
    if p.symbols:
        p.size = p.rng.randint(3, 6)
        p.masked = p.chance(0.3)
        p.layer(f"L.Embedding({p.inputs[0]}, {p.size}{', mask_zero=True' if p.masked else ''})")
    elif p.chance(0.12):
        p.masked = True
        p.layer(f"L.Masking({p.rng.choice(('', 'mask_value=-1.0'))})")
    if not p.symbols and p.chance(0.25):
        mean = [round(p.rng.uniform(-2, 2), 2) for _ in range(p.size)]
        variance = [round(p.rng.uniform(0.2, 4), 2) for _ in range(p.size)]
        forms = (f"L.Normalization(mean={mean}, variance={variance})", "L.Rescaling(0.5, offset=-1.0)",
                 "L.Rescaling(1.0 / 255)")  # fmt: skip
        p.layer(p.rng.choice(forms))


def _mixed(p: KerasProgram) -> None:
    blocks = _BLOCKS | (_FUNCTIONAL if p.functional else {})
    p.rng.choices(list(blocks), list(blocks.values()))[0](p)


def _activation_name(p: KerasProgram) -> str:
    return p.rng.choice(SELDOM if p.chance(0.1) else ACTIVATIONS)


def _dense(p: KerasProgram, size: int = 0) -> None:
    p.size = size or p.rng.randint(3, 8)
    options = f", activation={_activation_name(p)!r}" * p.chance(0.6) + ", use_bias=False" * p.chance(0.15)
    dense = f"L.Dense({p.size}{options})"
    p.layer(f"L.TimeDistributed({dense})" if p.sequences and p.chance(0.2) else dense)


def _activation(p: KerasProgram) -> None:
    p.layer(p.rng.choice((f"L.Activation({_activation_name(p)!r})", p.rng.choice(ACTIVATION_LAYERS))))


def _normalized(p: KerasProgram) -> None:
    layer = p.rng.choice(("BatchNormalization", "LayerNormalization"))
    p.layer(f"L.{layer}({p.rng.choice(('', '', 'epsilon=1e-3', 'center=False', 'scale=False'))})")


def _inactive(p: KerasProgram) -> None:
    p.layer(p.rng.choice(("L.Dropout(0.3)", "L.GaussianNoise(0.1)", "L.Identity()", "L.ActivityRegularization(0.1)")))


def _residual(p: KerasProgram) -> None:
    size = p.size
    p.line("r = v")
    _dense(p)
    _dense(p, size)
    p.line(f"v = {p.rng.choice(MERGES)}")


def _joined(p: KerasProgram) -> None:
    size = p.size
    p.line("r = v")
    _dense(p)
    p.line("v = L.Concatenate()([r, v])")
    p.size += size


def _scaled(p: KerasProgram) -> None:
    p.line(p.rng.choice(("v = v * 0.5", "v = 1.0 - v", "v = keras.ops.tanh(v)", "v = v / 3.0", "v = v[..., :2]")))
    if p.rng and "[..., :2]" in p._lines[-1]:
        p.size = min(p.size, 2)


def _nested(p: KerasProgram) -> None:
    """A model as a layer."""
    size, p.size = p.size, p.rng.randint(3, 6)
    shape = f"(None, {size})" if p.sequences else f"({size},)"
    if p.sequences and p.steps:
        shape = f"({p.steps}, {size})"
    inside = f"L.Dense({p.size}, activation={p.rng.choice(ACTIVATIONS)!r}), L.Dense({p.size})"
    p.layer(f"keras.Sequential([keras.Input({shape}), {inside}])")


_BLOCKS: dict[Callable[[KerasProgram], None], float] = {
    _dense: 6, _activation: 2, _normalized: 3, _inactive: 3, _nested: 0.7,
}  # fmt: skip
_FUNCTIONAL: dict[Callable[[KerasProgram], None], float] = {_residual: 3, _joined: 2, _scaled: 1}


def _cell_options(p: KerasProgram, kind: str) -> str:
    options = f", activation={_activation_name(p)!r}" * p.chance(0.2) + ", use_bias=False" * p.chance(0.12)
    if kind != "SimpleRNN":
        options += ", recurrent_activation='hard_sigmoid'" * p.chance(0.2)
    if kind == "GRU":
        options += ", reset_after=False" * p.chance(0.3)
    if kind == "LSTM":
        options += ", unit_forget_bias=False" * p.chance(0.1)
    return options + ", dropout=0.2" * p.chance(0.1) + ", recurrent_dropout=0.2" * p.chance(0.05)


def _recurrent(p: KerasProgram, *, sequences: bool) -> None:
    kind, form = p.rng.choice(("SimpleRNN", "GRU", "GRU", "LSTM", "LSTM")), p.rng.random()
    residual = p.functional and sequences and p.chance(0.12)
    p.size = p.size if residual else p.rng.randint(3, 8)
    around = ", return_sequences=True" * sequences + ", stateful=True" * p.stateful
    around += ", unroll=True" * (p.steps > 1 and p.chance(0.3))
    if residual:
        p.line("r = v")
    if form < 0.1:
        p.layer(f"L.RNN(L.{kind}Cell({p.size}{_cell_options(p, kind)}){around})")
    elif form < 0.16 and not p.stateful:  # Keras cannot reset the states of stacked cells
        other = p.rng.randint(3, 6)
        first, second = f"L.{kind}Cell({other}{_cell_options(p, kind)})", f"L.GRUCell({p.size})"
        cells = p.rng.choice((f"[{first}, {second}]", f"L.StackedRNNCells([{first}, {second}])"))
        p.layer(f"L.RNN({cells}{around})")
    elif form < 0.24 and p.functional and not sequences:
        names = "_, v, _" if kind == "LSTM" else "_, v"
        p.line(f"{names} = L.{kind}({p.size}{_cell_options(p, kind)}{around}, return_state=True)(v)")
    elif form < 0.3 and p.functional and sequences and not p.steps and not p.obstacle:
        p.layer(f"L.{kind}({p.size}{_cell_options(p, kind)}{around})")
        p.line("v = v[:, -1]")
        sequences = False
    else:
        p.layer(f"L.{kind}({p.size}{_cell_options(p, kind)}{around})")
    if residual and sequences:
        p.line("v = L.Add()([v, r])")
    p.sequences = sequences


def _both_ways(p: KerasProgram) -> None:
    size, p.size = p.rng.randint(2, 5), 0
    merge = p.rng.choice(("concat", "sum"))
    p.size = 2 * size if merge == "concat" else size
    p.layer(f"L.Bidirectional(L.{p.rng.choice(('GRU', 'LSTM'))}({size}, return_sequences=True), merge_mode={merge!r})")


def _backwards(p: KerasProgram) -> None:
    p.size = p.rng.randint(3, 6)
    p.layer(f"L.LSTM({p.size}, return_sequences=True, go_backwards=True)")


def _convolution(p: KerasProgram) -> None:
    p.size = p.rng.randint(3, 6)
    p.layer(f"L.Conv1D({p.size}, 3, padding='same')")


def _pooled(p: KerasProgram) -> None:
    """Nothing here: the pooling is behind the last recurrent layer."""


_OBSTACLES: dict[str, Callable[[KerasProgram], None]] = {
    "both directions": _both_ways,
    "backwards": _backwards,
    "convolution that looks ahead": _convolution,
    "pooled": _pooled,
}
"""Layers that need samples which a stream does not have yet."""


def _end(p: KerasProgram) -> None:
    count = p.rng.choice((0, 1, 1, 1, 1, 2 if p.functional else 1))
    for number in range(count):
        out = p.rng.choice((1, 2, 3, 4))
        options = f", activation={p.rng.choice(('sigmoid', 'tanh', 'relu', *(['softmax'] * 3 * (out > 1))))!r}"
        dense = f"L.Dense({out}{options * p.chance(0.7)})"
        if p.functional:
            p.line(f"y{number} = {dense}(v)")
            p.output(f"y{number}")
        else:
            p.layer(dense)
