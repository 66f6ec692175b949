"""Public networks: what they are, where they come from, how they are read, and how near the outputs must be."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import edge_rnn_export
import keras_js
import paper_networks
from edge_rnn import GRU, Dense, Model, reference
from edge_rnn.errors import ReadingWarning
from edge_rnn_export.readers.by_file_name import import_file
from paper_networks import PaperNetwork
from tests.scoreboard import known
from tests.scoreboard.known import Error

__all__ = ["FURTHER", "NETWORKS", "Cell", "Further", "Network", "Part"]


@dataclass(frozen=True)
class Part:
    """A file of a network, and how it is read.

    Parameters
    ----------
    file
        File in the folder of networks.
    reader
        Name of a function of ``edge_rnn_export``; empty for what ``edge-rnn import`` does with the file.
    options
        Arguments of the reader.
    error
        Largest error of a model; None if no outputs are known, or none that a stream could give.
    allowed
        Largest error that is right: what float32 programs are apart, or what the weights are rounded to.
    """

    file: str
    error: Error | None = None
    allowed: float = 0.0
    reader: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def call(self) -> str:
        """The call, as a user writes it."""
        name = Path(self.file).name
        if not self.reader:
            return f"edge-rnn import {name}"
        return f"{self.reader}({', '.join([repr(name), *(f'{key}={value!r}' for key, value in self.options.items())])})"

    def read(self, models: Path) -> Model:
        """Read the file."""
        path = models / self.file
        if not self.reader:
            return import_file(path).model
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReadingWarning)
            model: Model = getattr(edge_rnn_export, self.reader)(path, **self.options)
        return model

    def largest(self, models: Path, model: Model) -> float | None:
        """Largest error; None if no outputs are known."""
        return self.error(models, model) if self.error else None


@dataclass(frozen=True)
class Cell(Part):
    """Arrays by name that are no file of a network: a cell by its equation."""

    build: Callable[[Path], list[PaperNetwork]] = lambda models: []
    every: int = 1
    """Steps from one known output to the next."""

    @property
    def call(self) -> str:
        return f"its equation, with the arrays of `{Path(self.file).name}`"

    def read(self, models: Path) -> Model:
        return self.build(models)[0].model

    def largest(self, models: Path, model: Model) -> float:
        """Largest error over all sequences, relative to outputs beyond 1."""
        errors = []
        for each, xs, ys in self.build(models):
            found = reference.run(each, xs)[0][:: self.every]
            errors.append(float(abs(found - ys).max() / max(1.0, abs(ys).max())))
        return max(errors)


@dataclass(frozen=True)
class ByHand(Part):
    """Arrays of another layout: layers by hand."""

    make: Callable[[Path], Model] = lambda models: Model([])

    @property
    def call(self) -> str:
        return f"layers by hand, with the arrays of `{Path(self.file).name}`"

    def read(self, models: Path) -> Model:
        return self.make(models)


@dataclass(frozen=True)
class Digits(Part):
    """A network that reads all of its steps at the end: read up to a tensor, and after it."""

    tensor: str = ""

    @property
    def call(self) -> str:
        name = Path(self.file).name
        return f"from_tflite({name!r}, upto={self.tensor!r}), and after={self.tensor!r}"

    def read(self, models: Path) -> Model:
        return edge_rnn_export.from_tflite(models / self.file, upto=self.tensor)

    def largest(self, models: Path, model: Model) -> float:
        head = edge_rnn_export.from_tflite(models / self.file, after=self.tensor)
        kind = "_int8" if "int8" in self.file else ""
        with np.load(models / "tflm" / f"tflm_mnist{kind}.npz") as arrays:
            images, wanted = arrays["x"], arrays["out"]
        ys = [reference.step(head, reference.run(model, x)[0].reshape(-1), {})[0] for x in images]
        return float(abs(np.array(ys) - wanted).max())


@dataclass(frozen=True)
class KerasJs(Part):
    """Layers in JSON: files of Keras made of those that do not read backwards."""

    @property
    def call(self) -> str:
        return f"`from_keras`, of an HDF5 file made of each layer of `{Path(self.file).name}` that reads forwards"

    def _models(self, models: Path) -> list[tuple[Model, keras_js.KerasJsLayer]]:
        with tempfile.TemporaryDirectory() as folder:
            path, found = Path(folder, "layer.h5"), []
            for layer in keras_js.layers(models, Path(self.file).stem):
                if not layer.backwards:
                    path.write_bytes(layer.data)
                    found.append((edge_rnn_export.from_keras(path), layer))
            return found

    def read(self, models: Path) -> Model:
        return self._models(models)[0][0]

    def largest(self, models: Path, model: Model) -> float:
        errors = []
        for each, layer in self._models(models):
            ys, state = reference.run(each, layer.xs)
            if layer.stateful:
                ys, _ = reference.run(each, layer.xs, state)
            errors.append(float(abs((ys if layer.ys.ndim == 2 else ys[-1]) - layer.ys).max()))
        return max(errors)


@dataclass(frozen=True)
class Network:
    """A public network, and its files."""

    name: str
    layers: str
    licence: str
    source: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Further:
    """A public network that was not tried."""

    name: str
    licence: str
    source: str


GROUPED = {"6_3_3_1_3": 3, "6_3_4_10_3": 31, "6_6_1_1_6": 1}
"""Windows of convolutions with groups by their names: channels in and out, kernel, dilation, groups."""

MICROTCN = ("conv1", "bn", "relu", "res")
CAUSAL = ("rtneural-conv/conv_x_python.csv", "rtneural-conv/conv_y_python.csv")

LSTM_TENSOR = "tfl.unidirectional_sequence_lstm"


def _rtneural(cell: str) -> tuple[Part, ...]:
    stated = {"modules": (cell, f"{cell}2", "dense"), "activations": {"dense": "none"}}
    torch = known.lines(*(f"rtneural/{cell}_torch_{each}_python.csv" for each in "xy"))
    listed = known.lines(*(f"rtneural/{cell}_{each}_python.csv" for each in "xy"))
    return (
        Part(f"rtneural/{cell}_torch.json", torch, 1e-6, "from_json", stated),
        Part(f"rtneural/{cell}.json", listed, 1e-6, "from_json"),
    )


def _conv(kind: str, window: int, every: int = 1, x: str = "") -> Part:
    head, tail = f"rtneural-conv/conv1d_torch{x}", f"_{kind}" if kind else ""
    ends = (f"_x_python{tail if not x else ''}", f"_y_python{tail}")
    error = known.channels(*(f"{head}{end}.csv" for end in ends), window, every)
    return Part(f"{head}{tail}.json", error, 1e-6, "from_json")


def _nam(file: str, key: str) -> Part:
    return Part(f"nam/{file}", known.series("nam/pluck.npz", "x", key, f"{key}_receptive", 12000), 1e-6, "from_json")


def _robot(name: str) -> Part:
    return Part(f"unitree/{name}_motion.pt", known.series(f"unitree/{name}.npz", "obs", "action64"), 3e-6, "from_torch")


def _spelling(part: str, error: Error, head: Mapping[str, str], **stated: Any) -> Part:
    """Encoder or decoder of g2p-en: arrays of PyTorch's layout under other names."""
    roles = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
    names = {f"{part}_emb": "emb.weight", **{f"{part}_{short}": f"rnn.{name}_l0" for short, name in roles.items()}}
    modules = ["emb", "rnn", *(["fc"] if head else [])]
    options = {"names": names | dict(head), "modules": modules, "kinds": {"emb": "Embedding"}, **stated}
    return Part("g2p/checkpoint20.npz", error, 9e-6, "from_torch", options)


def _keyword_spotter(models: Path) -> Model:
    """TensorFlow 1's GRUCell: [x; h] stacked, gates r and z in one matrix, the candidate in another, reset before."""
    with np.load(models / "ml-kws" / "gru_s.npz") as arrays:
        found = {name.rpartition("gru_cell|")[2]: arrays[name] for name in arrays.files}
    matrix = np.hstack([found["gates|kernel"], found["candidate|kernel"]]).T
    bias = np.concatenate([found["gates|bias"], found["candidate|bias"]])
    cell = GRU(matrix[:, :10], matrix[:, 10:], bias, reset_after=False)
    return Model([cell, Dense(found["w:W_o"].T, found["w:b_o"], activation="softmax")])


def _recurrent_cells() -> tuple[Part, ...]:
    def build(file: str) -> Callable[[Path], list[PaperNetwork]]:
        return lambda models: [paper_networks.torchrecurrent(models, file)]

    files = (*paper_networks.TORCHRECURRENT, "peepholelstm")
    return tuple(Cell(f"torchrecurrent/{file}.npz", allowed=1e-6, build=build(file)) for file in files)


def _liquid_cells() -> tuple[Part, ...]:
    def cfc(mode: str) -> Callable[[Path], list[PaperNetwork]]:
        return lambda models: [paper_networks.cfc(models, mode)]

    def ltc(file: str) -> Callable[[Path], list[PaperNetwork]]:
        return lambda models: [paper_networks.ltc(models, file)]

    modes, files = ("default", "no_gate", "pure"), ("ltc", "ltc_ncp")
    return (
        *(Cell(f"ncps/cfc_{mode}.npz", allowed=1e-6, build=cfc(mode)) for mode in modes),
        *(Cell(f"ncps/{file}.npz", allowed=1e-6, build=ltc(file)) for file in files),
    )


def _reservoirs() -> tuple[Part, ...]:
    def build(file: str) -> Callable[[Path], list[PaperNetwork]]:
        return lambda models: [paper_networks.leaky_elman(models, file)]

    return tuple(
        Cell(f"reservoirpy/{file}.npz", allowed=1e-6, build=build(file), every=10) for file in ("esn", "esn_leaks")
    )


NETWORKS = (
    Network(
        "Walking policies of the robots G1 and H1",
        "LSTM 64, Linear 32, ELU, Linear; state inside",
        "BSD-3-Clause",
        "github.com/unitreerobotics/unitree_rl_gym @276801e, `deploy/pre_train`",
        (_robot("g1"), _robot("h1")),
    ),
    Network(
        "DTLN, noise suppression",
        "2 LSTM 128, Dense; the second network with LayerNorm and LSTMs spelled out",
        "MIT",
        "github.com/breizhn/DTLN @1de1f15, `pretrained_model`",
        (
            Part("dtln/model_1.onnx", known.dtln_mask, 4e-6, "from_onnx"),
            Part("dtln/model_2.onnx", known.dtln_signal, 4e-6, "from_onnx"),
        ),
    ),
    Network(
        "Silero VAD, voice activity",
        "STFT and 4 Conv1d in a frame, LSTM 128, Dense",
        "MIT",
        "PyPI silero-vad 6.2.3",
        (
            Part("silero-vad/silero_vad_16k_sequence.onnx", known.silero("probability64"), 2e-6, "from_onnx"),
            Part("silero-vad/silero_vad_16k_op15.onnx", known.silero("probability64"), 2e-6, "from_onnx"),
            Part(
                "silero-vad/silero_vad_16k_op15.onnx",
                known.silero_encoded,
                2e-6,
                "from_onnx",
                {"after": known.SILERO_ENCODED, "given": {"sr": 16000}},
            ),
            Part("silero-vad/silero_vad_16k.safetensors", known.silero("safetensors64"), 2e-6, "from_torch"),
        ),
    ),
    Network(
        "g2p-en, spelling to phonemes",
        "Embedding 29x256, GRU 256; Embedding 74x256, GRU 256, Dense 74",
        "Apache-2.0",
        "PyPI g2p-en 2.1.0",
        (
            _spelling("enc", known.encoded, {}),
            _spelling("dec", known.decoded, {"fc_w": "fc.weight", "fc_b": "fc.bias"}, activations={"fc": "none"}),
        ),
    ),
    Network(
        "MNIST rows of TFLite Micro",
        "LSTM 20 over 28 rows, Dense 10 of all rows",
        "Apache-2.0",
        "github.com/tensorflow/tflite-micro",
        (
            Digits("tflm/trained_lstm.tflite", allowed=28 * 48 * 2.0**-24, tensor=LSTM_TENSOR),
            # In integers a sum in front of softmax is off by half a step of 0.174; softmax moves by a quarter of that.
            Digits("tflm/trained_lstm_int8.tflite", allowed=0.174 / 4 + 1 / 256, tensor=LSTM_TENSOR),
        ),
    ),
    Network(
        "wrn-gru-mesa of SleepECG, sleep stages",
        "Masking, BatchNormalization, Dense 64, 2 bidirectional GRU 8, Dense 4",
        "BSD-3-Clause",
        "PyPI sleepecg 0.6.0",
        (
            Part(
                "sleepecg/wrn-gru-mesa.keras",
                known.series("sleepecg/wrn-gru-mesa.npz", "x", "y64"),
                1e-6,
                "from_keras",
                {"unpadded": True},
            ),
            Part("sleepecg/wrn-gru-mesa.keras", None, 0.0, "from_keras", {"unpadded": True, "upto": "re_lu"}),
        ),
    ),
    Network(
        "okay_nabu and vad of microWakeWord",
        "int8; streaming depthwise and pointwise convolutions",
        "Apache-2.0",
        "github.com/esphome/micro-wake-word-models @05b6592, `models/v2`",
        (Part("microwakeword/okay_nabu.tflite"), Part("microwakeword/vad.tflite")),
    ),
    Network(
        "Streaming wake word of MLPerf Tiny",
        "4 depthwise and pointwise convolutions, BatchNorm, Dense",
        "Apache-2.0",
        "github.com/mlcommons/tiny @1afd2c9, `benchmark/training/streaming_wakeword`",
        (Part("mlperf-streaming/str_ww_ref_model.h5"), Part("mlperf-streaming/str_ww_ref_model.tflite")),
    ),
    Network(
        "Keyword spotter GRU-S of ML-KWS-for-MCU",
        "GRU 154 of TensorFlow 1, Dense 12; arrays by name",
        "Apache-2.0",
        "github.com/ARM-software/ML-KWS-for-MCU",
        (ByHand("ml-kws/gru_s.npz", known.keywords, 164 * 2.0**-24, make=_keyword_spotter),),
    ),
    Network(
        "BeatNet, beats in music",
        "Conv1d and MaxPool in a frame, Linear 150, 2 LSTM 150, Linear 3",
        "CC BY 4.0",
        "PyPI BeatNet 1.1.3",
        (Part("beatnet/model_1_weights.pt", known.series("beatnet/frames.npz", "x", "logits64"), 6e-6, "from_torch"),),
    ),
    Network(
        "Captures of Neural Amp Modeler",
        "LSTM 3; WaveNets of dilated convolutions",
        "MIT",
        "github.com/sdatkinson/NeuralAmpModelerCore @daae2d0, `example_models`",
        (
            _nam("lstm.nam", "lstm"),
            _nam("wavenet.nam", "wavenet"),
            _nam("wavenet_a1_standard.nam", "wavenet_a1_standard"),
            Part("nam/A2.nam", reader="from_json"),
        ),
    ),
    Network(
        "Test networks of RTNeural",
        "PyTorch: 4 GRU or LSTM 8, Linear; lists of layers: Dense 8, GRU or LSTM 8, Dense",
        "BSD-3-Clause",
        "github.com/jatinchowdhury18/RTNeural",
        (*_rtneural("gru"), *_rtneural("lstm")),
    ),
    Network(
        "Convolutions of RTNeural",
        "Conv1d with strides, dilations, groups; Conv2D",
        "BSD-3-Clause",
        "github.com/jatinchowdhury18/RTNeural @1fb1f07, `models`",
        (
            _conv("", 5),
            _conv("stride_3", 5, 3),
            *(_conv(kind, window, x="_group") for kind, window in GROUPED.items()),
            Part("rtneural-conv/conv.json", known.lines(*CAUSAL), 1e-6, "from_json"),
            Part("rtneural-conv/conv_stateless.json", reader="from_json"),
            Part("rtneural-conv/conv2d.json", reader="from_json"),
            *(
                Part(f"rtneural-conv/microtcn/{part}.json", reader="from_json")
                for part in ("conv1", "bn", "relu", "res")
            ),
        ),
    ),
    Network(
        "Layers of keras-js",
        "27 layers of Keras 2.0 with all options, rounded to six decimals",
        "MIT",
        "github.com/transcranial/keras-js",
        tuple(KerasJs(f"keras-js/{kind}.json", allowed=1e-5) for kind in keras_js.KINDS),
    ),
    Network(
        "FastGRNN of EdgeML, digits of USPS",
        "FastGRNN 32 of rank 5",
        "MIT",
        "github.com/microsoft/EdgeML @81025fc, `c_reference/tests/fastgrnn`",
        (Cell("edgeml-fastgrnn/usps.npz", allowed=1e-6, build=paper_networks.fast_grnn),),
    ),
    Network(
        "Echo state networks of ReservoirPy",
        "200 leaky units, W 10 % full",
        "MIT",
        "made with PyPI reservoirpy 0.4.2",
        _reservoirs(),
    ),
    Network(
        "Cells of torchrecurrent",
        "FastRNN, FastGRNN, IndRNN, MGU, LiGRU, MinimalRNN, UGRNN, JANET, LSTM with peepholes",
        "MIT",
        "made with PyPI torchrecurrent 0.2.5",
        _recurrent_cells(),
    ),
    Network(
        "Liquid cells of ncps",
        "CfC and LTC over uneven steps",
        "Apache-2.0",
        "made with PyPI ncps 1.0.1",
        _liquid_cells(),
    ),
)
"""Networks whose files are in the folder of networks by others."""

FURTHER = (
    Further("RNNoise, noise suppression (3 GRU, Dense)", "BSD-3-Clause", "github.com/xiph/rnnoise"),
    Further("Models for RNNoise (`.rnnn`)", "not subject to copyright, says its README",
            "github.com/GregorR/rnnoise-models"),
    Further("GTCRN, speech enhancement (`.tar`, `.onnx`)", "MIT",
            "github.com/Xiaobin-Rong/gtcrn, `checkpoints` and `stream/onnx_models`"),
    Further("DeepFilterNet, speech enhancement", "MIT or Apache-2.0", "github.com/Rikorose/DeepFilterNet"),
    Further("TEN VAD, voice activity (`.onnx`)", "Apache-2.0 with conditions", "github.com/TEN-framework/ten-vad"),
    Further("Mycroft Precise, wake words (GRU in a frozen `.pb`)", "as its repository states",
            "github.com/MycroftAI/precise-data, branch `models`"),
    Further("LSTMs for activity recognition (TensorFlow 1)", "MIT",
            "github.com/guillaume-chevalier/LSTM-Human-Activity-Recognition"),
)  # fmt: skip
"""Networks that were not tried."""
