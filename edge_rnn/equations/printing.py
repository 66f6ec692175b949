"""Print equations as maths: plain text for errors and cards, LaTeX for pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import OPERATIONS

__all__ = ["as_latex", "as_text"]

_SUMS = ("sub", "div")
"""Operations whose second argument needs a higher precedence than their own."""


def as_text(graph: Graph) -> str:
    """Format a graph as text, one equation per line: values that are used more than once, new states, and the output.

    New states carry a prime: ``h' = tanh(W x + U h)``.
    """
    return "\n".join(f"{name} = {right}" for name, right in _lines(graph, "text"))


def as_latex(graph: Graph) -> str:
    """Format a graph like :func:`as_text`, as rows of LaTeX's ``aligned``."""
    rows = " \\\\\n".join(f"{name} &= {right}" for name, right in _lines(graph, "latex"))
    return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"


def _lines(graph: Graph, form: Literal["text", "latex"]) -> Iterator[tuple[str, str]]:
    uses = [0] * len(graph.nodes)
    for node in graph.nodes:
        for place in node.args:
            uses[place] += 1
    names: dict[int, str] = {}
    for state, place in graph.new_states.items():
        names.setdefault(place, _named(f"{state}'", form))
    names.setdefault(graph.output, _named("y", form))
    taken = {*graph.parameters, *dict(graph.sizes), "x", "y"}
    letters = (name for name in _letters() if name not in taken)
    written: list[tuple[str, int]] = []  # text and precedence
    for place, node in enumerate(graph.nodes):
        text, binds = _written(graph, node, written, form, uses)
        is_leaf = OPERATIONS[node.op].rule == "leaf"
        if place not in names and uses[place] > 1 and not is_leaf:
            names[place] = next(letters)
        if place in names:
            yield names[place], text
            text, binds = names[place], 3
        written.append((text, binds))
    for state, place in graph.new_states.items():  # a value that is several new states, or a state and the output
        if names[place] != _named(f"{state}'", form):
            yield _named(f"{state}'", form), names[place]
    if names[graph.output] != "y":
        yield "y", names[graph.output]


def _letters() -> Iterator[str]:
    yield from "abcdefgijklmnopqrstuvwz"
    number = 1
    while True:
        yield f"v{number}"
        number += 1


def _written(
    graph: Graph, node: Node, written: list[tuple[str, int]], form: Literal["text", "latex"], uses: list[int]
) -> tuple[str, int]:
    operation, is_text = OPERATIONS[node.op], form == "text"
    if node.op == "input":
        return "x", 3
    if node.op in ("state", "parameter"):
        return _named(node.name, form), 3
    if node.op == "number":
        return f"{node.number:g}" if float(f"{node.number:g}") == node.number else repr(node.number), 3
    args = [written[place] for place in node.args]
    if node.op == "product":
        inner = _bracketed(args[0], 3)
        return (f"{node.name} @ {inner}" if is_text else rf"{_named(node.name, form)} \, {inner}"), 2
    if node.op == "part":
        stop = node.start + node.shape[0]
        return f"{_bracketed(args[0], 3)}{f'[{node.start}:{stop}]' if is_text else f'_{{{node.start}:{stop}}}'}", 3
    if node.op == "concat":
        return f"[{', '.join(text for text, _ in args)}]", 3
    if node.op == "total" and graph.nodes[node.args[0]].shape == (1,):
        return args[0]
    if node.op == "sub" and graph.nodes[node.args[0]] == Node("number"):
        return f"-{_bracketed(args[1], 2)}", 1
    if (vector := _mean_of(graph, node, uses)) is not None:
        text, _ = written[vector]
        return (f"mean({text})" if is_text else rf"\operatorname{{mean}}({text})"), 3
    pattern = operation.text if is_text else operation.latex or operation.text
    if operation.binds == 3:
        return pattern.format(*(text for text, _ in args)), 3
    least = (operation.binds, operation.binds + (node.op in _SUMS or _is_product(graph, node, form)))
    return pattern.format(*(_bracketed(arg, most) for arg, most in zip(args, least, strict=True))), operation.binds


def _mean_of(graph: Graph, node: Node, uses: list[int]) -> int | None:
    """Place of the vector whose mean a node is; None if it is no mean, or if its sum has another use."""
    if node.op != "mul" or graph.nodes[node.args[0]].op != "total" or uses[node.args[0]] > 1:
        return None
    (vector,) = graph.nodes[node.args[0]].args
    return vector if graph.nodes[node.args[1]] == Node("number", number=1.0 / graph.nodes[vector].shape[0]) else None


def _is_product(graph: Graph, node: Node, form: Literal["text", "latex"]) -> bool:
    """Return True if the last argument is a matrix product that needs brackets, as in ``a * (W @ x)``."""
    return form == "text" and graph.nodes[node.args[-1]].op == "product" and node.op in ("mul", "div")


def _bracketed(written: tuple[str, int], least: int) -> str:
    text, binds = written
    return text if binds >= least else f"({text})"


def _named(name: str, form: Literal["text", "latex"]) -> str:
    if form == "text":
        return name
    bare = name.rstrip("'")
    head, _, tail = bare.partition("_")
    plain = tail.replace("_", ", ")
    spelled = head if len(head) == 1 else rf"\mathrm{{{head}}}"
    return f"{spelled}{f'_{{{plain}}}' if plain else ''}{name[len(bare) :]}"
