"""Keras files that are refused, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn_export.readers.keras.activations import FUNCTIONS
from keras_files import (
    IN,
    OUT,
    H,
    Spec,
    archive,
    changed,
    dense,
    functional_2,
    glued,
    hdf5,
    normalized,
    read,
    recurrent,
    sequential,
    weights,
)


def wired(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The functional model, changed."""
    document, specs = functional_2()
    change(document["config"])
    specs.append(Spec("GRU", {**specs[0].config, "name": "last"}, specs[0].arrays))
    return hdf5(specs, document)


def two_inputs(config: dict[str, Any], shape: list[int | None]) -> None:
    """The sum adds a second input."""
    first = config["layers"][0]
    config["layers"].append({**first, "name": "x2", "config": {"name": "x2", "batch_shape": shape}})
    config["layers"][3]["inbound_nodes"][0].append(["x2", 0, 0, {}])
    config["input_layers"].append(["x2", 0, 0])


def last_step_too(config: dict[str, Any]) -> None:
    """A second output holds the last step alone."""
    record = {**config["layers"][1], "name": "last"}
    record["config"] = {**record["config"], "name": "last", "return_sequences": False}
    config["layers"].append(record)
    config["output_layers"].append(["last", 0, 0])


def call_with(config: dict[str, Any], **options: Any) -> None:
    config["layers"][1]["inbound_nodes"][0][0][3].update(options)


GRU_AFTER = recurrent("GRU", reset_after=True)
LSTM_LAST = recurrent("LSTM", return_sequences=False)

REFUSED: dict[str, tuple[Callable[[], bytes], type[EdgeRnnError], str]] = {
    "backwards": (
        lambda: glued(recurrent("LSTM", go_backwards=True)),
        UnsupportedError,
        r"cannot read the LSTM 'lstm': it has go_backwards=True: it starts with samples that a stream has not seen yet",
    ),
    "both ways": (
        lambda: glued(Spec("Bidirectional")),
        UnsupportedError,
        r"cannot read the Bidirectional 'bidirectional': the backward half",
    ),
    "lambda": (lambda: glued(Spec("Lambda")), UnsupportedError, r"cannot read the Lambda 'lambda': it is code"),
    "slopes": (
        lambda: glued(Spec("PReLU", arrays={"alpha": np.zeros(IN, np.float32)})),
        FileError,
        r"PReLU 'prelu' alpha got shape \(5,\), expected \(None, 5\), or 1 along shared axes",
    ),
    "inner model": (lambda: glued(Spec("Functional")), FileError, r"has no list of 1 to 1000 layers"),
    "own layer": (
        lambda: archive([dense()], json.loads(json.dumps(sequential(dense(IN))).replace('"Dense"', '"Perceiver"'))),
        UnsupportedError,
        r"cannot read the Perceiver 'dense': edge_rnn has no counterpart of it; expected Activation, ",
    ),
    "own module": (
        lambda: archive([dense()], {**sequential(dense(IN)), "module": "mine"}),
        UnsupportedError,
        r"the model is a 'Sequential', expected a Sequential or a functional model: what a class of your own",
    ),
    "class": (lambda: archive([], {"class_name": "Net", "config": {}}), UnsupportedError, r"the model is a 'Net'"),
    "last step": (
        lambda: glued(LSTM_LAST, Spec("Reshape", {"target_shape": [1, H]}), recurrent("GRU", H, name="b")),
        UnsupportedError,
        r"the GRU 'b': it reads sequences of 1, and the LSTM 'lstm' before it sequences of any .*return_sequences=True",
    ),
    "no steps": (
        lambda: hdf5([dense(IN), recurrent("GRU", OUT)], flat()),
        UnsupportedError,
        r"reads the shape \(None, 3\), expected steps",
    ),
    "window": (
        lambda: glued(recurrent("GRU", reset_after=True), Spec("Flatten"), steps=9),
        UnsupportedError,
        r"the Flatten 'flatten' makes \(36,\) of \(9, 4\), which mixes steps and features",
    ),
    "features": (
        lambda: glued(Spec("Reshape", {"target_shape": [IN, 9]}), steps=9),
        UnsupportedError,
        r"Reshape 'reshape' makes \(5, 9\) of \(9, 5\)",
    ),
    "masking": (
        lambda: glued(Spec("Masking")),
        UnsupportedError,
        r"the Masking 'masking': it skips padding steps .*unpadded=True",
    ),
    "axis": (
        lambda: glued(normalized(IN, axis=[1])),
        UnsupportedError,
        r"the BatchNormalization 'batchnormalization': it works along the axis 1 of the shape \(None, None, 5\)",
    ),
    "softmax axis": (lambda: glued(Spec("Softmax", {"axis": 1})), UnsupportedError, r"works along axis 1 of"),
    "sparsemax": (
        lambda: glued(dense(IN, activation="sparsemax")),
        UnsupportedError,
        r"Dense 'dense' activation got 'sparsemax', exp",
    ),
    "hard sigmoid of no version": (
        lambda: archive([dense()], sequential(dense(IN, activation="hard_sigmoid")), "", weights=weights([dense(IN)])),
        UnsupportedError,
        r"hard_sigmoid, which Keras 2 and 3 compute in two ways",
    ),
    "no input": (
        lambda: archive([dense(IN)], sequential(dense(IN), first=dense(IN, name="d").record)),
        UnsupportedError,
        r"the shape of the model's input is missing",
    ),
    "nothing": (lambda: glued(Spec("Dropout")), UnsupportedError, r"no layer between input and output"),
    "units": (lambda: glued(changed(dense(IN), "units", 2**40)), FileError, r"'dense' kernel got"),
    "no units": (lambda: glued(changed(GRU_AFTER, "units", None)), FileError, r"GRU 'gru' units got None"),
    "flag": (lambda: glued(changed(GRU_AFTER, "use_bias", 1)), FileError, r"GRU 'gru' use_bias got 1, expected true"),
    "input": (
        lambda: glued(GRU_AFTER, size=IN + 1),
        FileError,
        r"GRU 'gru' kernel got shape \(5, 12\), expected \(6, 12\), from its units and its input",
    ),
    "reset after": (
        lambda: glued(changed(GRU_AFTER, "reset_after", False)),
        FileError,
        r"GRU 'gru' bias got shape \(2, 12\), expected \(12,\)",
    ),
    "bias missing": (
        lambda: glued(changed(recurrent("LSTM", bias=False), "use_bias", True)),
        FileError,
        r"LSTM 'lstm' got 2 arrays, expected 3: kernel, recurrent_kernel, bias",
    ),
    "not a number": (
        lambda: glued(changed(dense(IN), "bias", np.full(OUT, np.nan, np.float32))),
        EdgeRnnError,
        r"Dense 'dense' bias holds nan",
    ),
    "variance": (
        lambda: glued(changed(normalized(IN), "moving_variance", np.full(IN, -2.0, np.float32))),
        FileError,
        r"moving_variance holds a negative number",
    ),
    "outputs": (
        lambda: wired(last_step_too),
        UnsupportedError,
        r"found the outputs 'all', 'last', expected one besides final states; name one by upto=",
    ),
    "inputs": (
        lambda: wired(lambda c: two_inputs(c, [None, IN])),
        UnsupportedError,
        r"the Add 'sum': it reads the shapes \(None, None, 5\) and \(None, None, 5\) and \(None, 5\), expected the",
    ),
    "no inputs": (lambda: wired(lambda c: c.update(input_layers=[])), FileError, r"has no input, no output, or an"),
    "half": (
        lambda: wired(lambda c: c.update(output_layers=[["rnn", 0, 0]])),
        UnsupportedError,
        r"Dense 'head' is not on a path between the model's input and its output",
    ),
    "circle": (
        lambda: wired(lambda c: c["layers"][1].update(inbound_nodes=[[["head", 0, 0, {}]]])),
        FileError,
        r"expected no cycle",
    ),
    "unknown": (
        lambda: wired(lambda c: c["layers"][1].update(inbound_nodes=[[["y", 0, 0, {}]]])),
        FileError,
        r"refers to a layer 'y', which does not exist",
    ),
    "call": (
        lambda: wired(lambda c: c["layers"][2].update(inbound_nodes=[[["rnn", 2, 0, {}]]])),
        FileError,
        r"reads call 2 of 'rnn', which does not exist",
    ),
    "state": (
        lambda: wired(lambda c: c["layers"][2].update(inbound_nodes=[[["rnn", 0, 1, {}]]])),
        FileError,
        r"reads output 1 of GRU 'rnn', which has 1",
    ),
    "initial state": (
        lambda: wired(lambda c: call_with(c, initial_state=["x", 0, 0])),
        UnsupportedError,
        r"the GRU 'rnn': it is given an initial state of the shape \(None, None, 5\), expected \(batch, units\)",
    ),
    "training": (
        lambda: wired(lambda c: call_with(c, training=True)),
        UnsupportedError,
        r"the GRU 'rnn': it is called with 'training', which a step of a stream does not have",
    ),
    "twice": (
        lambda: archive([dense(IN)], sequential(dense(IN), dense(OUT))),
        FileError,
        r"two of its layers have the same name",
    ),
    "Keras 1": (
        lambda: glued(Spec("Dense", {"output_dim": 3, "activation": "linear"}, dense(IN).arrays)),
        UnsupportedError,
        r"Dense 'dense' was written by Keras 1; load the model in Keras 2",
    ),
    "layers alone": (
        lambda: json.dumps(sequential(dense(IN))).encode(),
        UnsupportedError,
        r"it holds the layers of a Keras model without their weights; save the whole model, model.save\('model",
    ),
    "no layers": (lambda: glued(layers=[]), FileError, r"no list of 1 to 1000 layers"),
    "shape": (lambda: glued(dense(IN), size=-1), FileError, r"InputLayer 'x' has the shape \[None, None, -1\]"),
}


def flat() -> dict[str, Any]:
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, IN]}}
    return sequential(dense(IN), recurrent("GRU", OUT), first=first)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=rf"net\.keras: .*{message}"):
        read(make(), tmp_path)


def test_sequence_does_not_meet_its_last_step(tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["layers"][1]["config"]["return_sequences"] = False

    with pytest.raises(UnsupportedError, match=r"the Add 'sum': it reads the shapes \(None, 5\) and \("):
        read(wired(change), tmp_path)


@pytest.mark.parametrize("name", ["soft_shrink", "hard_shrink"])
def test_a_threshold_below_zero_has_no_middle_to_shrink(name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"^the layer has the threshold -1\.0, expected 0 or more\.$"):
        FUNCTIONS[name]("the layer", {"threshold": -1.0})
