"""Loops, branches, lists and variables of TFLite, as ONNX writes them, against LiteRT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn_export.readers.tflite.file import open_contents
from edge_rnn_export.readers.tflite.graph import graph_of
from edge_rnn_export.readers.tracing.graph import Graph
from edge_rnn_export.runtime.session import session
from tflite_files import Net, T, const
from tflite_loops import IN, STEPS, WRITES, H, by_variables, condition_of, looped, stateful
from tflite_models import litert, lstm_net, read
from tracing_graphs import as_onnx

XS = np.random.default_rng(5).normal(size=(3, 1, STEPS, IN)).astype(np.float32)
TOLERANCE = STEPS * (IN + H + 4) * 2.0**-24  # as of fused operators


def graph(net: Net, folder: Path) -> Graph:
    path = folder / "net.tflite"
    path.write_bytes(net.bytes())
    return graph_of(open_contents(path), None, None).graph


def outputs(net: Net, folder: Path) -> np.ndarray:
    """Outputs of the written graph by onnxruntime, call by call, with the states carried along."""
    runs = session(as_onnx(graph(net, folder)).SerializeToString())
    states = {each.name: np.zeros(each.shape, np.float32) for each in runs.get_inputs()[1:]}
    found = []
    for x in XS:
        y, *after = runs.run(None, {"x": x, **states})
        states = dict(zip(states, after, strict=True))
        found.append(y)
    return np.array(found)


@pytest.mark.parametrize("way", [way for way in WRITES if way != "list"])
def test_a_loop_computes_what_litert_computes(tmp_path: Path, way: str) -> None:
    net = looped(way, fraction=0.25)
    np.testing.assert_allclose(outputs(net, tmp_path), litert(net.bytes(), *XS), rtol=0, atol=TOLERANCE)


def test_a_body_has_few_operators_as_each_step_takes_all_of_them(tmp_path: Path) -> None:
    """16 of the file, the condition, and what masks, shapes and axes of ONNX add."""
    (loop,) = (each for each in graph(looped("concatenation"), tmp_path).operators if each.kind == "Loop")
    kinds = [each.kind for each in loop.bodies["body"].operators]
    assert kinds.count("Identity") == 1  # the samples, which every step passes on
    assert kinds.count("Cast") == 0
    assert len(kinds) <= 16 + 1 + 4


def test_lists_of_tensors_compute_what_arrays_do(tmp_path: Path) -> None:
    """LiteRT lacks TensorFlow's operators on lists."""
    arrays = outputs(looped("update"), tmp_path)
    assert np.array_equal(outputs(looped("list"), tmp_path), arrays)
    builtin = looped("list")
    for net in (builtin, *builtin.others):
        net.operators = [(kind.replace("Flex", ""), *rest) for kind, *rest in net.operators]
    assert np.array_equal(outputs(builtin, tmp_path), arrays)


def test_a_variable_is_a_state_that_goes_in_and_out(tmp_path: Path) -> None:
    net = stateful()
    written = graph(net, tmp_path)
    assert [port.name for port in written.inputs] == ["x", "rnn/state"]
    assert len(written.outputs) == 2
    np.testing.assert_allclose(outputs(net, tmp_path), litert(net.bytes(), *XS), rtol=0, atol=TOLERANCE)


def test_a_variable_that_is_never_assigned_is_a_constant(tmp_path: Path) -> None:
    net = stateful(0.5, assigned=False)
    assert len(graph(net, tmp_path).inputs) == 1
    np.testing.assert_allclose(outputs(net, tmp_path), litert(net.bytes(), *XS), rtol=0, atol=TOLERANCE)


def test_weights_may_be_variables_that_a_loop_reads(tmp_path: Path) -> None:
    net = by_variables()
    assert len(graph(net, tmp_path).inputs) == 1
    np.testing.assert_allclose(outputs(net, tmp_path), litert(net.bytes(), *XS), rtol=0, atol=TOLERANCE)
    assert np.array_equal(outputs(net, tmp_path), outputs(looped("update"), tmp_path))


def branched(condition: bool) -> Net:
    """Twice the input or its square."""
    net = Net(T([1, STEPS, IN], name="x"))
    for kind in ("ADD", "MUL"):
        branch = Net(T([1, STEPS, IN]))
        branch.outputs = branch.op(kind, [0, 0], [T([1, STEPS, IN])], f"{kind.capitalize()}Options")
        net.others.append(branch)
    options = {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 2}
    net.outputs = net.op("IF", [const(np.bool_(condition)), 0], [T([1, STEPS, IN])], "IfOptions", **options)
    return net


@pytest.mark.parametrize("condition", [False, True])
def test_a_branch_computes_what_litert_computes(tmp_path: Path, condition: bool) -> None:
    net = branched(condition)
    np.testing.assert_array_equal(outputs(net, tmp_path), litert(net.bytes(), *XS))


def changed(change: Callable[[Net], object], way: str = "update") -> Callable[[], Net]:
    def build() -> Net:
        net = looped(way)
        change(net)
        return net

    return build


def option(kind: str, **options: int) -> Callable[[Net], None]:
    """Change of the options of an operator."""

    def change(net: Net) -> None:
        place = next(place for place, operator in enumerate(net.operators) if operator[0] == kind)
        *rest, given = net.operators[place]
        net.operators[place] = (*rest, given | options)  # type: ignore[assignment]

    return change


def body_in_itself(net: Net) -> None:
    """The body of the loop is a loop with the same body."""
    body = net.others[1]
    carried = [T([STEPS, 1, H]), T([1, H]), T([STEPS, 1, IN])]
    writes = [T([], type="int32"), *carried]
    options = {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2}
    body.outputs = body.op("WHILE", body.inputs, writes, "WhileOptions", **options)


def doubled(net: Net, depth: int = 7) -> None:
    """Each body has three loops with the next body: 3 to the 7th of the last one, written out."""
    carried = [T([STEPS, 1, H]), T([1, H]), T([STEPS, 1, IN])]
    body = net.others.pop()
    for level in range(depth):
        inner = Net(T([], type="int32"))
        places = [0, *(inner.input(each) for each in carried)]
        for _ in range(3):
            options = {"CondSubgraphIndex": 1, "BodySubgraphIndex": level + 3}
            places = inner.op("WHILE", places, [T([], type="int32"), *carried], "WhileOptions", **options)
        inner.outputs = places
        net.others.append(inner)
    net.others.append(body)


REFUSED: dict[str, tuple[Callable[[], Net], type[EdgeRnnError], str]] = {
    "no graph": (
        changed(option("WHILE", BodySubgraphIndex=9)),
        FileError,
        r"WHILE \(operator 1\) has the graph 9, expected",
    ),
    "other inputs": (
        changed(lambda net: net.others.__setitem__(0, condition_of())),
        FileError,
        r"WHILE \(operator 1\) has a graph of 1 inputs, expected 4",
    ),
    "other outputs": (
        changed(lambda net: net.others[1].outputs.pop()),
        FileError,
        r"has a body of 3 outputs, expected 4",
    ),
    "no output": (changed(lambda net: net.operators[0][2].clear()), FileError, r"has 0 outputs, expected 1"),
    "no condition": (
        changed(lambda net: setattr(net.others[0], "outputs", [])),
        FileError,
        r"a condition of 0 outputs, expected one",
    ),
    "in itself": (changed(body_in_itself), UnsupportedError, r"got loops in loops, more than 8 deep"),
    "doubled": (changed(doubled), UnsupportedError, r"got a file of more than 16384 operators"),
    "unknown rank": (lambda: of_rank(), UnsupportedError, r"it makes a list of tensors of unknown rank"),
    "branch": (lambda: short_branch(), FileError, r"IF \(operator 0\) has a branch of 0 outputs"),
    "other numbers": (
        lambda: stateful(0.5),
        UnsupportedError,
        r"begins with other numbers than zero; reset the states",
    ),
    "not initialized": (
        lambda: stateful(initialized=False),
        UnsupportedError,
        r"READ_VARIABLE \(operator 2\): the file does not hold the numbers of the variable 'rnn/state'",
    ),
    "not initialized, in a loop": (
        lambda: by_variables(initialized=False),
        UnsupportedError,
        r"WHILE \(operator \d\): the file does not hold the numbers of the variable 'weights'.*from_keras",
    ),
    "no start": (lambda: started(9), FileError, r"CALL_ONCE \(operator 0\) has the graph 9, expected 1 to 3"),
    "computed start": (lambda: started(1), UnsupportedError, r"TANH \(operator 2 of graph 1\): it initializes the"),
    "no variable": (
        lambda: in_loop(),
        FileError,
        r"READ_VARIABLE \(operator 10 of graph 2\) has an input 0 that is no",
    ),
    "changed in a loop": (
        lambda: by_variables(changed=True),
        UnsupportedError,
        r"ASSIGN_VARIABLE \(operator \d+ of graph 3\): it changes a variable in a loop",
    ),
    "read in a loop": (
        lambda: by_variables(changed_outside=True),
        UnsupportedError,
        r"READ_VARIABLE \(operator \d+ of graph 3\): it reads a variable in a loop or a branch that the network",
    ),
    "exchanged": (lambda: by_variables(exchanged=True), UnsupportedError, r"gives back other variables than it takes"),
}


def of_rank() -> Net:
    net = looped("list")
    place = next(place for place, operator in enumerate(net.operators) if "Reserve" in operator[0])
    net.tensors[net.operators[place][1][0]] = const(np.int32(-1))
    return net


def short_branch() -> Net:
    net = branched(True)
    net.others[0].outputs = []
    return net


def started(index: int) -> Net:
    net = stateful()
    option("CALL_ONCE", InitSubgraphIndex=index)(net)
    net.others[0].op("TANH", [0], [T([1, H])])
    return net


def in_loop() -> Net:
    net = looped("update")
    net.others[1].op("READ_VARIABLE", [2], [T([1, H])], "ReadVariableOptions")
    return net


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        graph(make(), tmp_path)


def custom(name: str) -> Net:
    net = lstm_net()
    net.outputs = net.op(f"CUSTOM:{name}", net.outputs, [T([1, STEPS, H], name="strange")])
    return net.add("TANH", [], T([1, STEPS, H]))


def backward_in_a_loop() -> Net:
    net = looped("update")
    net.others[1].op("REVERSE_V2", [2, const(np.int32([0]))], [T([1, H])])
    return net


CAUSES: dict[str, tuple[Callable[[], Net], str]] = {
    "bidirectional": (
        lambda: lstm_net().add("BIDIRECTIONAL_SEQUENCE_LSTM", [], T([1])),
        r"BIDIRECTIONAL_SEQUENCE_LSTM \(operator 1\): it runs over a sequence backward.*\. upto='lstm' reads",
    ),
    "reversed, behind another": (
        lambda: lstm_net().add("TOPK_V2", [], T([1], name="top")).add("REVERSE_V2", [], T([1])),
        r"REVERSE_V2 \(operator 2\): it runs over a sequence backward.*\. upto='top' reads the part before it\.$",
    ),
    "convolution": (
        lambda: lstm_net().add("CONV_2D", [], T([1], name="convolved")).add("TANH", [], T([1])),
        r"CONV_2D \(operator 1\): it is a convolution.*\. upto='lstm' reads the part before it, after='convolved'",
    ),
    "flex": (
        lambda: custom("FlexCumprod"),
        r"it is TensorFlow's operator 'Cumprod'.*from_keras.* after='strange' reads what",
    ),
    "custom": (lambda: custom("MyOwn"), r"it is the custom operator 'MyOwn', whose meaning the file does not say"),
    "unknown": (lambda: lstm_net().add("TOPK_V2", [], T([1])), r"TOPK_V2 \(operator 1\): it is not one of ABS, ADD, "),
    "in a loop": (backward_in_a_loop, r"REVERSE_V2 \(operator \d+ of graph 2\): it runs over a sequence backward"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_the_cause_is_named_before_any_operator_is_read(tmp_path: Path, case: str) -> None:
    make, message = CAUSES[case]
    with pytest.raises(UnsupportedError, match=message):
        read(make(), tmp_path)


def test_several_outputs_are_joined_as_the_refusal_says(tmp_path: Path) -> None:
    net = lstm_net().add("TANH", [], T([1, STEPS, H], name="low")).add("LOGISTIC", [], T([1, STEPS, H], name="high"))
    net.outputs = [net.outputs[0] - 1, net.outputs[0]]
    with pytest.raises(UnsupportedError, match=r"found the outputs 'low', 'high', .* or several in a tuple"):
        read(net, tmp_path)
    model, xs = read(net, tmp_path, upto=("high", "low")), np.random.default_rng(1).normal(size=(9, 5))
    low, high = (reference.run(read(net, tmp_path, upto=name), xs)[0] for name in ("low", "high"))
    np.testing.assert_array_equal(reference.run(model, xs)[0], np.concatenate([high, low], -1))


def test_the_ways_out_that_a_refusal_names_are_ways_out(tmp_path: Path) -> None:
    net = custom("MyOwn").add("LOGISTIC", [], T([1, STEPS, H]))
    assert [layer.kind for layer in read(net, tmp_path, upto="lstm").layers] == ["LSTM"]
    assert read(net, tmp_path, after="strange").input_size == H
