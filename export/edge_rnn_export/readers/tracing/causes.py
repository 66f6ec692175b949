"""Refuse a graph for the operator that explains it: looked for in all of it, before any operator is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edge_rnn_export.readers.tracing.graph import Graph, Operator

__all__ = ["check_causes", "convolves"]

_BACKWARD = (
    "in reverse it needs the whole sequence before the first output; a stream has seen no more than the samples so far."
)
_RECURRENT = ("RNN", "GRU", "LSTM")
_POOLS = ("AveragePool", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool")
_QUANTIZED = (
    "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger",
    "MatMulIntegerToFloat", "QAttention", "QGemm", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
)  # fmt: skip


def check_causes(graph: Graph) -> None:
    """Refuse what a stream cannot compute, that first which explains most; also inside loops and branches.

    Raises
    ------
    UnsupportedError
        An operator runs over a sequence backward, is quantized, or convolves or pools over positions.
    """
    operators = list(_all(graph))
    for check in _CHECKS:
        found = [(operator, reason) for operator in operators if (reason := check(graph, operator))]
        if found:
            operator, reason = found[0]
            raise operator.refuse(f"{reason}{_rest(graph, [each for each, _ in found])}")


def _backward(_: Graph, operator: Operator) -> str:
    direction = operator.attributes.get("direction", "forward")
    if operator.kind in _RECURRENT and direction in ("reverse", "bidirectional"):
        return f"its direction is {direction!r}, and {_BACKWARD}"
    return f"it reverses sequences, and {_BACKWARD}" if operator.kind == "ReverseSequence" else ""


def _quantized(_: Graph, operator: Operator) -> str:
    if operator.kind not in _QUANTIZED:
        return ""
    return (
        "it is an operator of a quantized network, whose activations are rounded too; read the network that it was "
        "made of, and shrink it by edge_rnn.quantize."
    )


def _convolution(graph: Graph, operator: Operator) -> str:
    if operator.kind in _POOLS:
        return "it combines several positions, for which there is no layer."
    if operator.kind != "Conv" or len(operator.inputs) < 2 or operator.inputs[1] not in graph.constants:
        return ""
    kernel = operator.attributes.get("kernel_shape") or []
    return convolves(kernel, operator.attributes.get("group", 1))


def convolves(kernel: Sequence[int], groups: int) -> str:
    """Reason why a convolution over these lengths is no layer; empty for one over single positions."""
    what = f" over {' x '.join(map(str, kernel))} positions" if any(length != 1 for length in kernel) else ""
    what += f" in {groups} groups" if groups != 1 else ""
    return f"it is a convolution{what}, for which there is no layer." if what else ""


_CHECKS: Sequence[Callable[[Graph, Operator], str]] = (_backward, _quantized, _convolution)


def _rest(graph: Graph, refused: Sequence[Operator]) -> str:
    """Advice to read the part behind the last refused operator, if something recurrent is there."""
    last = max((place for place, each in enumerate(graph.operators) if each in refused), default=-1)
    rest = graph.operators[last + 1 :]
    if last < 0 or not any(each.kind in (*_RECURRENT, "Loop", "Scan", "If") for each in rest):
        return ""
    names = list(graph.operators[last].outputs[:1])
    activation = next((each for each in rest if names[0] in each.inputs), None)
    if activation is not None and activation.kind in ("Relu", "Sigmoid", "Tanh"):
        names += activation.outputs[:1]
    if graph.known_as:
        names = [graph.known_as[name] for name in names if name in graph.known_as]
    return f" What is behind it is read by after={names[-1][:80]!r}." if names else ""


def _all(graph: Graph) -> Iterator[Operator]:
    for operator in graph.operators:
        yield operator
        for body in operator.bodies.values():
            yield from _all(body)
