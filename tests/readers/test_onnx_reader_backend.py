"""ONNX's own tests of RNN, GRU and LSTM: each is read and computed, or refused for the reason listed here."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import onnx
import onnx.backend.test.case.node as cases
import pytest

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn.streams.stream import Stream
from edge_rnn_export import from_onnx

TOLERANCE = 1e-5
REFUSED = ("reverse", "bidirectional")  # each of RNN, GRU and LSTM: they need the end of a sequence first


def collect() -> dict[str, Any]:
    for operator in ("rnn", "gru", "lstm"):
        importlib.import_module(f"onnx.backend.test.case.node.{operator}")
    found = {}
    for case in cases._NodeTestCases:
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in ("RNN", "GRU", "LSTM"):
            found[case.name] = case
    return found


CASES = collect()


def with_numbers(case: Any) -> onnx.ModelProto:
    """The case as a file would be: all but the samples are initializers."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.model)
    for value, array in zip(case.model.graph.input, case.data_sets[0][0], strict=True):
        if value.name != "X":
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    return proto


def test_there_are_eighteen() -> None:
    assert len(CASES) == 18
    assert sum(name.endswith(REFUSED) for name in CASES) == 6


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith(REFUSED)])
@pytest.mark.sampled(6)
def test_case_is_read(name: str) -> None:
    case = CASES[name]
    model = from_onnx(with_numbers(case))
    batch_first = any(each.name == "layout" and each.i for each in case.model.graph.node[0].attribute)
    (xs, *_), outputs = case.data_sets[0]
    xs = xs.swapaxes(0, 1) if batch_first else xs
    expected = dict(zip([value.name for value in case.model.graph.output], outputs, strict=True))
    assert expected.keys() <= {"Y", "Y_h"}
    for place in range(xs.shape[1]):
        exact, state = reference.run(model, xs[:, place])
        streamed = Stream(model).run(np.ascontiguousarray(xs[:, place]))
        for ys in (exact, streamed):
            if "Y" in expected:
                wanted = expected["Y"][place, :, 0] if batch_first else expected["Y"][:, 0, place]
                np.testing.assert_allclose(ys, wanted, atol=TOLERANCE, rtol=0)
            if "Y_h" in expected:
                wanted = expected["Y_h"][place, 0] if batch_first else expected["Y_h"][0, place]
                np.testing.assert_allclose(ys[-1], wanted, atol=TOLERANCE, rtol=0)
        name_of_h = next(key for key in state if key.endswith(".h"))
        np.testing.assert_array_equal(state[name_of_h], exact[-1])


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith(REFUSED)])
def test_backward_case_is_refused(name: str) -> None:
    direction = name.rpartition("_")[2]
    operator = CASES[name].model.graph.node[0].op_type
    reason = rf"cannot read the {operator} node .*its direction is '{direction}', and in reverse it needs the whole seq"
    with pytest.raises(UnsupportedError, match=reason):
        from_onnx(with_numbers(CASES[name]))


def test_weights_that_are_handed_in_are_asked_for() -> None:
    with pytest.raises(UnsupportedError, match=r"its input 1, 'W', is not in the file but computed or an input"):
        from_onnx(CASES["test_gru_defaults"].model)
