"""TFLite networks with loops, branches, lists and variables, as TensorFlow's converter writes Keras's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tflite_files import Net, T, const, uniform

__all__ = ["IN", "STEPS", "H", "begins", "body_of", "by_variables", "condition_of", "looped", "stateful", "weights_of"]

STEPS, IN, H = 6, 3, 4


def weights_of(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input weights, recurrent weights and bias."""
    rng = np.random.default_rng(seed)
    return uniform(rng, H, IN), uniform(rng, H, H), uniform(rng, H)


def condition_of(*carried: T, steps: int = STEPS) -> Net:
    """Condition: the counter, which is the first of the values, is less than a number."""
    net = Net(T([], type="int32"))
    for each in carried:
        net.input(each)
    net.outputs = net.op("LESS", [0, const(np.int32(steps))], [T([], type="bool")])
    return net


def body_of(*carried: T, write: Callable[[Net, int, int], int], fraction: float = 0.0) -> Net:
    """One step of an Elman network; carried are counter, list of outputs, state and samples.

    Parameters
    ----------
    write
        Function that puts an output into the list at the counter, and returns the list.
    fraction
        Share of the old state that is kept, as in a leaky network.
    """
    w, r, b = weights_of()
    net = Net(T([], type="int32"))
    every, state, samples = (net.input(each) for each in carried)
    (now,) = net.op("GATHER", [samples, 0], [T([1, IN])], "GatherOptions")
    (reads,) = net.op("FULLY_CONNECTED", [now, const(w), const(b)], [T([1, H])], "FullyConnectedOptions")
    (keeps,) = net.op("FULLY_CONNECTED", [state, const(r), None], [T([1, H])], "FullyConnectedOptions")
    (both,) = net.op("ADD", [reads, keeps], [T([1, H])], "AddOptions")
    (new,) = net.op("TANH", [both], [T([1, H])])
    if fraction:
        (some,) = net.op("MUL", [new, const(np.float32(1 - fraction))], [T([1, H])], "MulOptions")
        (old,) = net.op("MUL", [state, const(np.float32(fraction))], [T([1, H])], "MulOptions")
        (new,) = net.op("ADD", [some, old], [T([1, H])], "AddOptions")
    found = write(net, every, new)
    (after,) = net.op("ADD", [0, const(np.int32(1))], [T([], type="int32")], "AddOptions")
    net.outputs = [after, found, new, samples]
    return net


def by_concatenation(net: Net, every: int, item: int) -> int:
    """Parts of the list before and behind the counter, and the output between them."""
    (at,) = net.op("RESHAPE", [0, const(np.int32([1]))], [T([1], type="int32")])
    (next_at,) = net.op("ADD", [at, const(np.int32([1]))], [T([1], type="int32")], "AddOptions")
    axis = {"Axis": 0}
    rest, zeros = const(np.int32([-1, -1])), const(np.int32([0, 0]))
    (size,) = net.op("CONCATENATION", [at, rest], [T([3], type="int32")], "ConcatenationOptions", **axis)
    (before,) = net.op("SLICE", [every, const(np.int32([0, 0, 0])), size], [T([1, 1, H], signature=[-1, 1, H])])
    (begin,) = net.op("CONCATENATION", [next_at, zeros], [T([3], type="int32")], "ConcatenationOptions", **axis)
    whole = const(np.int32([-1, -1, -1]))
    (behind,) = net.op("SLICE", [every, begin, whole], [T([1, 1, H], signature=[-1, 1, H])])
    (row,) = net.op("RESHAPE", [item, const(np.int32([1, 1, H]))], [T([1, 1, H])])
    (made,) = net.op("CONCATENATION", [before, row, behind], [T([STEPS, 1, H])], "ConcatenationOptions", **axis)
    return made


def by_update(net: Net, every: int, item: int) -> int:
    (row,) = net.op("RESHAPE", [item, const(np.int32([1, 1, H]))], [T([1, 1, H])])
    (at,) = net.op("RESHAPE", [0, const(np.int32([1]))], [T([1], type="int32")])
    reads = [at, const(np.int32([0, 0]))]
    (start,) = net.op("CONCATENATION", reads, [T([3], type="int32")], "ConcatenationOptions", Axis=0)
    (made,) = net.op("DYNAMIC_UPDATE_SLICE", [every, row, start], [T([STEPS, 1, H])])
    return made


def by_list(net: Net, every: int, item: int) -> int:
    (made,) = net.op("CUSTOM:FlexTensorListSetItem", [every, 0, item], [T([], type="variant")])
    return made


def only_last(net: Net, every: int, item: int) -> int:
    (made,) = net.op("RESHAPE", [item, const(np.int32([1, 1, H]))], [T([1, 1, H])])
    return made


WRITES = {"concatenation": by_concatenation, "update": by_update, "list": by_list, "last": only_last}


def looped(way: str, *, fraction: float = 0.0, state: int | None = None, net: Net | None = None) -> Net:
    """Elman network over a sequence as a loop that keeps its outputs in a list, in one of the :data:`WRITES`.

    Parameters
    ----------
    net, state
        Network that is continued, and its tensor with the initial state; without these it begins with zeros.
    """
    net = net or Net(T([1, STEPS, IN], name="x"))
    listed = T([], type="variant") if way == "list" else T([1 if way == "last" else STEPS, 1, H])
    carried = [listed, T([1, H]), T([STEPS, 1, IN])]
    (samples,) = net.op("TRANSPOSE", [0, const(np.int32([1, 0, 2]))], [T([STEPS, 1, IN])])
    every: T | int = const(np.zeros(listed.shape, np.float32))
    if way == "list":
        reads = [const(np.int32([-1, H])), const(np.int32(STEPS))]
        (every,) = net.op("CUSTOM:FlexTensorListReserve", reads, [T([], type="variant")])
    begin = const(np.zeros((1, H), np.float32)) if state is None else state
    first = len(net.others) + 1
    net.others += [condition_of(*carried), body_of(*carried, write=WRITES[way], fraction=fraction)]
    writes = [T([], type="int32"), *carried]
    options = {"CondSubgraphIndex": first, "BodySubgraphIndex": first + 1}
    _, found, last, _ = net.op("WHILE", [const(np.int32(0)), every, begin, samples], writes, "WhileOptions", **options)
    if way == "list":
        (found,) = net.op("CUSTOM:FlexTensorListStack", [found, const(np.int32([-1, H]))], [T([STEPS, 1, H])])
    shape = [1, 1 if way == "last" else STEPS, H]
    net.outputs = net.op("TRANSPOSE", [found, const(np.int32([1, 0, 2]))], [T(shape, name="y")])
    net.tensors[last].name = "last state"
    return net


def begins(net: Net, name: str, value: Any) -> Net:
    """Add a variable that a subgraph initializes; its tensor is what the last operator returns."""
    about = {"Container": "", "SharedName": name}
    starts = [options["InitSubgraphIndex"] for kind, *_, options in net.operators if kind == "CALL_ONCE"]
    if not starts:
        first = Net(T([0], type="int32"))
        first.inputs, first.outputs = [], []
        net.others.append(first)
        starts = [len(net.others)]
        net.op("CALL_ONCE", [], [], "CallOnceOptions", InitSubgraphIndex=starts[0])
    first = net.others[starts[0] - 1]
    (handle,) = first.op("VAR_HANDLE", [], [T([], type="resource")], "VarHandleOptions", **about)
    first.op("ASSIGN_VARIABLE", [handle, const(np.asarray(value, np.float32))], [], "AssignVariableOptions")
    net.op("VAR_HANDLE", [], [T([], type="resource")], "VarHandleOptions", **about)
    return net


def by_variables(
    *, initialized: bool = True, changed: bool = False, changed_outside: bool = False, exchanged: bool = False
) -> Net:
    """Network of :func:`looped` whose loop reads its recurrent weights from a variable that it carries.

    Parameters
    ----------
    initialized
        False to leave the variable without numbers.
    changed, changed_outside
        True to assign the variable in the loop, or behind it.
    exchanged
        True to give back another variable than that which the loop takes.
    """
    net = Net(T([1, STEPS, IN], name="x"))
    places = [begins(net, name, weights_of()[1]).operators[-1][2][0] for name in ("weights", "others")]
    if not initialized:
        del net.others[0].operators[:2]
    net = looped("update", net=net)
    condition, body = net.others[1:]
    for inner in (condition, body):
        inner_places = [inner.input(T([], type="resource")) for _ in places]
    body.outputs += inner_places[::-1] if exchanged else inner_places
    where, (kind, reads, *rest) = next(
        each for each in enumerate(body.operators) if each[1][0] == "FULLY_CONNECTED" and each[1][1][0] == 2
    )
    (weights,) = body.op("READ_VARIABLE", inner_places[:1], [T([H, H])], "ReadVariableOptions")
    body.operators[where] = (kind, [reads[0], weights, reads[2]], *rest)  # type: ignore[assignment]
    body.operators.insert(0, body.operators.pop())
    where, (kind, reads, writes, *rest) = next(each for each in enumerate(net.operators) if each[1][0] == "WHILE")
    writes = writes + [net.tensor(T([], type="resource")) for _ in places]
    net.operators[where] = (kind, reads + places, writes, *rest)  # type: ignore[assignment]
    if changed:
        body.op("ASSIGN_VARIABLE", [inner_places[0], weights], [], "AssignVariableOptions")
    if changed_outside:
        net.op("ASSIGN_VARIABLE", [places[0], const(weights_of()[1])], [], "AssignVariableOptions")
    return net


def stateful(start: Any = 0.0, *, assigned: bool = True, initialized: bool = True) -> Net:
    """Network whose state is a variable, which begins with a number."""
    net = Net(T([1, STEPS, IN], name="x"))
    handle = begins(net, "rnn/state", np.full((1, H), start)).operators[-1][2][0]
    if not initialized:
        net.others[0].operators.clear()
    (state,) = net.op("READ_VARIABLE", [handle], [T([1, H])], "ReadVariableOptions")
    net = looped("concatenation", net=net, state=state)
    if assigned:
        last = next(place for place, tensor in enumerate(net.tensors) if tensor.name == "last state")
        net.op("ASSIGN_VARIABLE", [handle, last], [], "AssignVariableOptions")
    return net
