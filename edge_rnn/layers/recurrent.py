"""Recurrent cells."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np

from edge_rnn.activation import bound_of, is_share
from edge_rnn.equations.graph import Graph
from edge_rnn.errors import ModelError
from edge_rnn.layers.cell_equations import Equation, activation_numbers, elman, gru, lstm, recorded
from edge_rnn.layers.layer import INPUT, SELDOM, Layer, Weight, products
from edge_rnn.typing import F32

__all__ = ["GRU", "LSTM", "Elman", "Recurrent"]


@dataclass(frozen=True, slots=True, eq=False)
class Recurrent(Layer):
    """Base class of recurrent cells: matrices of ``G`` gates by ``H`` units, biases, and a state that starts at ``h0``.

    Parameters
    ----------
    weight_ih
        ``(G*H, I)`` from the input, gates in PyTorch's order; float32, or in another format of
        :mod:`edge_rnn.formats`.
    weight_hh
        ``(G*H, H)`` from the hidden state, likewise.
    bias_ih, bias_hh
        ``(G*H,)`` each, or None for no bias.
    h0
        ``(H,)`` trained initial hidden state, or None for zeros.
    gate_clip
        Pre-activations are clipped to ``-gate_clip .. gate_clip``; None for no clipping.

    Raises
    ------
    ModelError
        A shape does not fit, a value is not finite, or an option is unknown.
    """

    gates: ClassVar[str]
    equation: ClassVar[Equation]
    """See :mod:`edge_rnn.layers.cell_equations`."""

    matrices: ClassVar[Mapping[str, str]] = MappingProxyType({"weight_ih": INPUT, "weight_hh": "h"})
    emits: ClassVar[str] = "h"

    weight_ih: Weight
    weight_hh: Weight
    bias_ih: F32 | None = None
    bias_hh: F32 | None = None
    h0: F32 | None = field(default=None, kw_only=True)
    gate_clip: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        gates = len(self.gates)
        hidden = self._check_recurrent_matrix(gates)
        self._set_array("weight_ih", self.weight_ih, (gates * hidden, "I"))
        lengths = {"bias_ih": gates * hidden, "bias_hh": gates * hidden, "h0": self.weight_hh.shape[1]}
        for name, length in lengths.items():
            value = getattr(self, name)
            if value is not None:
                self._set_array(name, value, (length,))
        self._check_clip("gate_clip")

    def _check_recurrent_matrix(self, gates: int) -> int:
        """Check and store ``weight_hh``; return the number of units."""
        shape = self._checked("weight_hh", self.weight_hh).shape
        if len(shape) != 2 or shape[1] == 0 or shape[0] != gates * shape[1]:
            wanted = "(H, H)" if gates == 1 else f"({gates}*H, H), {gates} gates of H units each"
            raise ModelError(f"{self.title} weight_hh got shape {shape}, expected {wanted}.")
        self._set_array("weight_hh", self.weight_hh, shape)
        return int(shape[1])

    @property
    def hidden_size(self) -> int:
        """Number of units, H."""
        return int(self.weight_hh.shape[1])

    @property
    def input_size(self) -> int:
        """Number of values read per step, I."""
        return int(self.weight_ih.shape[1])

    @property
    def multiply_adds(self) -> int:
        return products(self.weight_ih) + products(self.weight_hh)

    @property
    def output_bound(self) -> float | None:
        if self._new_bound is None:
            return None
        return max(self._new_bound, float(np.abs(self.initial_state["h"]).max()))

    @property
    def rounding_bound(self) -> float | None:
        # An initial state far above all later ones would leave too few steps for the later ones.
        return self._new_bound if self.output_bound == self._new_bound else None

    @property
    def _new_bound(self) -> float | None:
        """Bound on the absolute value of a new state, unless the old one is larger; None if there is no bound."""
        raise NotImplementedError

    @property
    def bounded_state(self) -> bool:
        return self._new_bound is not None

    @property
    def initial_state(self) -> dict[str, F32]:
        return {"h": _or_zeros(self.h0, self.hidden_size)}

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the layer by name, and the parameters of its activations: ``gate_activation_0``."""
        fields = self._fields
        for name in [name for name in fields if name.endswith("activation")]:
            fields |= activation_numbers(name, fields[name])
        return fields

    @property
    def recorded_from(self) -> Hashable:
        # The equation of a user's subclass may change from one start to the next.
        return (self.kind, *self._given) if type(self).__module__ == __name__ else self.graph

    @property
    def graph(self) -> Graph:
        return recorded(type(self).equation, *self._given)

    @property
    def _given(self) -> tuple[Any, ...]:
        """Lengths of the states, and fields with shapes for arrays: inputs of the graph besides the equation."""
        states = {name: value.size for name, value in self.initial_state.items()}
        starts = {f"{state}0" for state in states}
        fields = [(name, value) for name, value in self.fields.items() if name not in starts]
        kept = ((name, 0.0 if isinstance(value, float) else getattr(value, "shape", value)) for name, value in fields)
        return tuple(states.items()), tuple(kept)

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(self.input_size, input_sizes)
        return self.hidden_size


@dataclass(frozen=True, slots=True, eq=False)
class Elman(Recurrent):
    """Elman network, PyTorch's ``nn.RNN`` [1]_: ``h' = activation(W_ih x + b_ih + W_hh h + b_hh)``.

    Parameters
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh, h0, gate_clip
        See :class:`Recurrent`; one gate.
    activation
        ``"tanh"``, ``"relu"`` or another of :mod:`edge_rnn.activation`.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990), doi:10.1207/s15516709cog1402_1.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn import Elman
    >>> Elman(np.zeros((16, 6)), np.zeros((16, 16)), activation="relu").initial_state["h"].shape
    (16,)
    """

    gates: ClassVar[str] = "h"
    equation: ClassVar[Equation] = staticmethod(elman)
    usual: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType({"activation": ("tanh", "relu")})

    activation: str = field(default="tanh", kw_only=True)

    def __post_init__(self) -> None:
        Recurrent.__post_init__(self)
        self._check_activation("activation")

    @property
    def _new_bound(self) -> float | None:
        return bound_of(self.activation)


@dataclass(frozen=True, slots=True, eq=False)
class LSTM(Recurrent):
    """Long short-term memory with forget gate [1]_ [2]_, gates in the order i f g o.

    ``c' = gate(f) c + gate(i) cell(g)``, ``h' = gate(o) output(c')``; i f g o are the parts of
    ``W_ih x + b_ih + W_hh h + b_hh``, with the peepholes added. With a projection ``h' = W_hr (gate(o) output(c'))``.

    Parameters
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh, h0, gate_clip
        See :class:`Recurrent`; four gates. With a projection ``weight_hh`` is ``(4*H, P)`` and ``h0`` ``(P,)``.
    c0
        ``(H,)`` trained initial cell state, or None for zeros.
    weight_hr
        ``(P, H)`` projection of the output, PyTorch's ``proj_size`` [3]_, or None for none.
    peephole
        ``(3*H,)`` from the cell state to the gates i f o: the old state for i and f, the new one for o [4]_; None for
        none.
    coupled
        ``"input"``: the input gate is 1 minus the forget gate (TFLite's CIFG); ``"forget"``: the forget gate is 1 minus
        the input gate (ONNX's ``input_forget``). The rows of the dependent gate are not used.
    cell_clip, projection_clip
        The new cell state, and the projected output, are clipped to this absolute value; None for no clipping.
    gate_activation, cell_activation, output_activation
        Activations of the gates i f o, of g, and of the new cell state for the output.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997),
       doi:10.1162/neco.1997.9.8.1735.
    .. [2] F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to forget", Neural Computation 12 (2000),
       doi:10.1162/089976600300015015.
    .. [3] H. Sak, A. Senior, F. Beaufays, "Long short-term memory based recurrent neural network architectures for
       large vocabulary speech recognition", 2014, arXiv:1402.1128.
    .. [4] F. A. Gers, N. N. Schraudolph, J. Schmidhuber, "Learning precise timing with LSTM recurrent networks",
       Journal of Machine Learning Research 3 (2002).

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn import LSTM
    >>> cell = LSTM(np.zeros((64, 6)), np.zeros((64, 16)))  # four gates of 16 units
    >>> {name: state.shape for name, state in cell.initial_state.items()}
    {'h': (16,), 'c': (16,)}
    """

    gates: ClassVar[str] = "ifgo"
    equation: ClassVar[Equation] = staticmethod(lstm)

    c0: F32 | None = field(default=None, kw_only=True)
    weight_hr: F32 | None = field(default=None, kw_only=True)
    peephole: F32 | None = field(default=None, kw_only=True)
    coupled: Literal["none", "input", "forget"] = field(default="none", kw_only=True, metadata=SELDOM)
    cell_clip: float | None = field(default=None, kw_only=True)
    projection_clip: float | None = field(default=None, kw_only=True)
    gate_activation: str = field(default="sigmoid", kw_only=True, metadata=SELDOM)
    cell_activation: str = field(default="tanh", kw_only=True, metadata=SELDOM)
    output_activation: str = field(default="tanh", kw_only=True, metadata=SELDOM)

    def __post_init__(self) -> None:
        Recurrent.__post_init__(self)
        for name, length in {"c0": self.hidden_size, "peephole": 3 * self.hidden_size}.items():
            if getattr(self, name) is not None:
                self._set_array(name, getattr(self, name), (length,))
        self._check_option("coupled", ("none", "input", "forget"))
        for name in ("cell_clip", "projection_clip"):
            self._check_clip(name)
        if self.projection_clip is not None and self.weight_hr is None:
            raise ModelError(f"{self.title} has a projection_clip, but no projection weight_hr.")
        for name in ("gate_activation", "cell_activation", "output_activation"):
            self._check_activation(name)

    def _check_recurrent_matrix(self, gates: int) -> int:
        if self.weight_hr is None:
            return Recurrent._check_recurrent_matrix(self, gates)
        projected, hidden = self._set_array("weight_hr", self.weight_hr, ("P", "H"))
        self._set_array("weight_hh", self.weight_hh, (gates * hidden, projected))
        return int(hidden)

    @property
    def hidden_size(self) -> int:
        return int(self.weight_hh.shape[0]) // 4

    @property
    def multiply_adds(self) -> int:
        projection = 0 if self.weight_hr is None else self.weight_hr.size
        return products(self.weight_ih) + products(self.weight_hh) + projection

    @property
    def initial_state(self) -> dict[str, F32]:
        return {"h": _or_zeros(self.h0, self.weight_hh.shape[1]), "c": _or_zeros(self.c0, self.hidden_size)}

    @property
    def _new_bound(self) -> float | None:
        largest = bound_of(self.output_activation)
        if largest is None or not is_share(self.gate_activation):
            return None
        if self.weight_hr is None:
            return largest
        limit = largest * float(np.abs(self.weight_hr).sum(axis=1).max())
        return limit if self.projection_clip is None else min(limit, self.projection_clip)

    @property
    def bounded_state(self) -> bool:
        held = is_share(self.gate_activation) and bound_of(self.cell_activation) is not None
        return self._new_bound is not None and (held or self.cell_clip is not None)

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(self.input_size, input_sizes)
        return int(self.weight_hh.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class GRU(Recurrent):
    """Gated recurrent unit [1]_, gates in the order r z n: ``h' = (1 - z) n + z h``.

    Parameters
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh, h0, gate_clip
        See :class:`Recurrent`; three gates.
    reset_after
        True: ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``, as PyTorch, cuDNN and Keras (``reset_after=True``) do;
        ONNX's ``linear_before_reset=1``. False: ``n = tanh(W_in x + b_in + W_hn (r h) + b_hn)``, as in the paper.
    gate_activation, candidate_activation
        Activations of the gates r and z, and of n.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
       translation", EMNLP 2014, doi:10.3115/v1/D14-1179.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn import GRU
    >>> cell = GRU(np.zeros((48, 6)), np.zeros((48, 16)))  # three gates of 16 units
    >>> cell.input_size, cell.hidden_size
    (6, 16)
    """

    gates: ClassVar[str] = "rzn"
    equation: ClassVar[Equation] = staticmethod(gru)
    usual: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType({"reset_after": (True, False)})

    reset_after: bool = field(default=True, kw_only=True)
    gate_activation: str = field(default="sigmoid", kw_only=True, metadata=SELDOM)
    candidate_activation: str = field(default="tanh", kw_only=True, metadata=SELDOM)

    def __post_init__(self) -> None:
        Recurrent.__post_init__(self)
        self._check_option("reset_after", (True, False))
        self._check_activation("gate_activation")
        self._check_activation("candidate_activation")

    @property
    def _new_bound(self) -> float | None:
        return bound_of(self.candidate_activation) if is_share(self.gate_activation) else None


def _or_zeros(array: F32 | None, size: int) -> F32:
    return np.zeros(size, np.float32) if array is None else array
