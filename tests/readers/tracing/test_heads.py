"""Several outputs as one: their features follow one another."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.errors import InputTypeError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port
from edge_rnn_export.readers.tracing.walk import read_graph

RNG = np.random.default_rng(3)
LEFT, RIGHT = RNG.standard_normal((3, 2)).astype(np.float32), RNG.standard_normal((3, 1)).astype(np.float32)
XS = RNG.standard_normal((5, 3)).astype(np.float32)
CONSTANTS = {name: Constant.of(array) for name, array in (("left", LEFT), ("right", RIGHT))}


def graph(*more: Operator) -> Graph:
    """Products ``a`` of two features and ``b`` of one."""
    operators = (
        Operator("MatMul", "/a/MatMul", ("x", "left"), ("a",)),
        Operator("MatMul", "/b/MatMul", ("x", "right"), ("b",)),
        *more,
    )
    return Graph(operators, (Port("x", ("batch", "time", 3)),), ("a", "b"), CONSTANTS, Budget(2**20))


def close(ys: np.ndarray, *weights: np.ndarray) -> None:
    np.testing.assert_allclose(ys, XS.astype(np.float64) @ np.concatenate(weights, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("names", [("a", "b"), ["b", "a"], ("b",)])
def test_values_follow_one_another_in_the_order_of_their_names(names: tuple[str, ...]) -> None:
    reading = read_graph(graph(), names, {})
    close(reference.run(reading.model, XS)[0], *({"a": LEFT, "b": RIGHT}[name] for name in names))
    assert reading.heads == (tuple(names) if len(names) > 1 else ())


def test_a_value_whose_feature_axis_was_removed_is_joined_too() -> None:
    squeezed = graph(Operator("Squeeze", "/Squeeze", ("b",), ("c",), {"axes": [2]}))
    reading = read_graph(squeezed, ("a", "c"), {})
    close(reference.run(reading.model, XS)[0], LEFT, RIGHT)
    assert reading.feature_axis == (2, 3)


def test_values_with_features_along_different_axes_are_refused() -> None:
    turned = graph(Operator("Transpose", "/Transpose", ("b",), ("c",), {"perm": [0, 2, 1]}))
    with pytest.raises(UnsupportedError, match=r"cannot join 'a', 'c': .* along the axes \[1, 2\]; read one at a time"):
        read_graph(turned, ("a", "c"), {})
    close(reference.run(read_graph(turned, "c", {}).model, XS)[0], RIGHT)


def test_values_inside_branches_are_refused() -> None:
    bodies = {
        name: Graph((Operator("Relu", f"/{name}", ("b",), ("inner",)),), (), ("inner",), {}, Budget(2**20))
        for name in ("then_branch", "else_branch")
    }
    chosen = Operator("If", "/If", ("yes",), ("c",), bodies=bodies)
    with_branch = graph(Operator("Constant", "/yes", (), ("yes",), {"value": np.array(True)}), chosen)
    assert read_graph(with_branch, "inner", {}).model.output_size == 1
    with pytest.raises(UnsupportedError, match="cannot join 'a', 'inner': 'inner' is inside a branch; read one"):
        read_graph(with_branch, ("a", "inner"), {})


@pytest.mark.parametrize("upto", [(), ("a", None), 3, ("a", 1)])
def test_only_names_are_accepted(upto: object) -> None:
    with pytest.raises(InputTypeError, match=r"from_onnx upto got .*, expected the name of a value"):
        read_graph(graph(), upto, {})  # type: ignore[arg-type]
