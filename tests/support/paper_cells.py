"""Cells from papers, as written by their authors or porters."""

from __future__ import annotations

from typing import Any

from edge_rnn import cell
from edge_rnn.equations import concat, exp, layer_norm, relu, sigmoid, split, tanh


@cell
def fast_rnn(p: Any, x: Any, h: Any) -> Any:
    """Kusupati et al. 2018, arXiv:1901.02358."""
    new = tanh(p.weight_ih @ x + p.bias_ih + p.weight_hh @ h + p.bias_hh)
    h = sigmoid(p.alpha) * new + sigmoid(p.beta) * h
    return h, {"h": h}


@cell
def fast_grnn(p: Any, x: Any, h: Any) -> Any:
    """Kusupati et al. 2018, arXiv:1901.02358, of low rank."""
    both = p.w2 @ (p.w1 @ x) + p.u2 @ (p.u1 @ h)
    z = sigmoid(both + p.b_gate)
    h = z * h + (p.zeta * (1 - z) + p.nu) * tanh(both + p.b_update)
    return h, {"h": h}


@cell
def fast_grnn_of_torchrecurrent(p: Any, x: Any, h: Any) -> Any:
    """FastGRNN with full matrices, and with tanh as its gate, as in torchrecurrent 0.2."""
    both, (b_gate, b_update) = p.weight_ih @ x + p.weight_hh @ h, split(p.bias_ih + p.bias_hh, 2)
    z = tanh(both + b_gate)
    h = z * h + (sigmoid(p.zeta) * (1 - z) + sigmoid(p.nu)) * tanh(both + b_update)
    return h, {"h": h}


@cell
def ind_rnn(p: Any, x: Any, h: Any) -> Any:
    """Li et al. 2018, arXiv:1803.04831: each unit sees itself alone."""
    h = tanh(p.weight_ih @ x + p.bias_ih + p.vector_u * h + p.bias_hh)
    return h, {"h": h}


@cell
def mgu(p: Any, x: Any, h: Any) -> Any:
    """Zhou et al. 2016, arXiv:1603.09420."""
    x_f, x_n = split(p.weight_ih @ x + p.bias_ih, 2)
    f = sigmoid(x_f + split(p.weight_hh @ h + p.bias_hh, 2)[0])
    n = tanh(x_n + split(p.weight_hh @ (f * h) + p.bias_hh, 2)[1])
    h = (1 - f) * h + f * n
    return h, {"h": h}


@cell
def li_gru(p: Any, x: Any, h: Any) -> Any:
    """Ravanelli et al. 2018, arXiv:1803.10225, without its batch normalization."""
    z, n = split(p.weight_ih @ x + p.bias_ih + p.weight_hh @ h + p.bias_hh, 2)
    z = sigmoid(z)
    h = z * h + (1 - z) * relu(n)
    return h, {"h": h}


@cell
def minimal_rnn(p: Any, x: Any, h: Any) -> Any:
    """Chen 2017, arXiv:1711.06788."""
    z = tanh(p.weight_ih @ x + p.bias_ih)
    u = sigmoid(p.weight_hh @ h + p.bias_hh + p.weight_mm @ z)
    h = u * h + (1 - u) * z
    return h, {"h": h}


@cell
def ugrnn(p: Any, x: Any, h: Any) -> Any:
    """Collins et al. 2017, arXiv:1611.09913."""
    c, g = split(p.weight_ih @ x + p.bias_ih + p.weight_hh @ h + p.bias_hh, 2)
    g = sigmoid(g)
    h = g * h + (1 - g) * tanh(c)
    return h, {"h": h}


@cell
def janet(p: Any, x: Any, h: Any, c: Any) -> Any:
    """Van der Westhuizen and Lasenby 2018, arXiv:1804.04849."""
    f, n = split(p.weight_ih @ x + p.bias_ih + p.weight_hh @ h + p.bias_hh, 2)
    c = sigmoid(f) * c + (1 - sigmoid(f - p.beta)) * tanh(n)
    return c, {"h": c, "c": c}


@cell
def min_gru(p: Any, x: Any, h: Any) -> Any:
    """Feng et al. 2024, arXiv:2410.01201: no gate sees the state."""
    z = sigmoid(p.weight_z @ x + p.bias_z)
    h = (1 - z) * h + z * (p.weight_h @ x + p.bias_h)
    return h, {"h": h}


@cell
def min_lstm(p: Any, x: Any, h: Any) -> Any:
    """Feng et al. 2024, arXiv:2410.01201, with gates that add up to 1."""
    f, i = sigmoid(p.weight_f @ x + p.bias_f), sigmoid(p.weight_i @ x + p.bias_i)
    h = f / (f + i) * h + i / (f + i) * (p.weight_h @ x + p.bias_h)
    return h, {"h": h}


@cell
def leaky_elman(p: Any, x: Any, h: Any) -> Any:
    """Jaeger et al. 2007, doi:10.1016/j.neunet.2007.04.016: an echo state network, with a leak for each unit."""
    h = (1 - p.leak) * h + p.leak * tanh(p.weight_in @ x + p.weight @ h + p.bias)
    return h, {"h": h}


@cell
def layer_norm_lstm(p: Any, x: Any, h: Any, c: Any) -> Any:
    """Ba et al. 2016, arXiv:1607.06450."""
    sums = layer_norm(p.weight_ih @ x, p.scale_ih, p.shift_ih) + layer_norm(p.weight_hh @ h, p.scale_hh, p.shift_hh)
    i, f, g, o = split(sums, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(layer_norm(c, p.scale_c, p.shift_c))
    return h, {"h": h, "c": c}


def lecun_tanh(x: Any) -> Any:
    return 1.7159 * tanh(0.666 * x)


@cell
def cfc(p: Any, x: Any, h: Any, *, elapsed: Any) -> Any:
    """Hasani et al. 2022, doi:10.1038/s42256-022-00556-7."""
    seen = lecun_tanh(p.weight @ concat(x, h) + p.bias)
    if p.mode == "pure":
        rate = p.weight_1 @ seen + p.bias_1
        h = -p.a * exp(-elapsed * (abs(p.w_tau) + abs(rate))) * rate + p.a
        return h, {"h": h}
    ff1, ff2 = tanh(p.weight_1 @ seen + p.bias_1), tanh(p.weight_2 @ seen + p.bias_2)
    share = sigmoid((p.weight_a @ seen + p.bias_a) * elapsed + p.weight_b @ seen + p.bias_b)
    h = ff1 + share * ff2 if p.mode == "no_gate" else ff1 * (1 - share) + share * ff2
    return h, {"h": h}


@cell
def ltc(p: Any, x: Any, v: Any, *, elapsed: Any) -> Any:
    """Hasani et al. 2021, arXiv:2006.04439, solved in six steps: membranes, and a synapse for each pair of units.

    A synapse opens by a sigmoid of the unit before it, and draws the unit behind it to its reversal potential; a row of
    ``synapses`` and of ``sensory`` is one of them.
    """
    opened = sigmoid(p.sensory @ (p.input_w * x + p.input_b) + p.sensory_bias)
    charge, conductance = p.sensory_charge @ opened, p.sensory_conductance @ opened
    inertia = p.capacity / (elapsed * (1 / 6))
    for _ in range(6):
        opened = sigmoid(p.synapses @ v + p.synapses_bias)
        drawn = inertia * v + p.leak * p.rest + p.charge @ opened + charge
        v = drawn / (inertia + p.leak + p.conductance @ opened + conductance + 1e-8)
    return p.output_w * v[0 : p.motors] + p.output_b, {"v": v}
