"""Write ``keras_tflite.tar.xz``: recurrent networks as TensorFlow's converter writes them, and the outputs of LiteRT.

For each cell (SimpleRNN, GRU, LSTM; then a Dense of 3 outputs) one set of weights, converted in four ways: ``default``
(any batch; with operators of TensorFlow, "Flex"), ``batch_1``, ``unrolled`` and ``stateful``, as float32 (``float``)
and with the larger matrices as int8 (``int8``, dynamic-range quantization). Windows of 5 steps, 5 inputs. Members:

- ``<cell>_<way>_<weights>.tflite``, 24 files.
- ``reference.npz``: ``x`` (windows, 5, 5) float32; ``<cell>_<way>_<weights>`` (windows, 5, 3) float32, the outputs, of
  the stateful ones in order from state zero; ``<cell>/<Keras's name>``, the float32 weights as Keras stores them.

No LiteRT from PyPI runs Flex operators: outputs of ``default`` are those of ``batch_1``, which has the same weights.
LiteRT's int8 kernels also quantize what they multiply, so that outputs of ``int8`` are only near what the weights of
the file compute: the script prints how near to the float32 weights.

    python tests/golden/make_keras_tflite.py [FOLDER]      # needs tensorflow; FOLDER: write the members there, too
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}

import keras
import numpy as np
import tensorflow as tf

TARGET = Path(__file__).with_name("keras_tflite.tar.xz")
WINDOWS, STEPS, INPUTS, OUTPUTS = 6, 5, 5, 3
UNITS = {"SimpleRNN": 32, "GRU": 20, "LSTM": 16}  # matrices of less than 1,024 weights remain float32
WAYS: dict[str, dict[str, Any]] = {
    "batch_1": {"batch": 1},
    "default": {},
    "unrolled": {"unroll": True},
    "stateful": {"batch": 1, "stateful": True},
}


def network(cell: str, batch: int | None = None, **options: Any) -> Any:
    """Network with weights that follow from the cell alone."""
    recurrent = getattr(keras.layers, cell)(UNITS[cell], return_sequences=True, name="rnn", **options)
    start = keras.Input((STEPS, INPUTS), batch_size=batch)
    model = keras.Sequential([start, recurrent, keras.layers.Dense(OUTPUTS, name="head")])
    rng = np.random.default_rng([len(cell), UNITS[cell]])
    model.set_weights([rng.uniform(-0.4, 0.4, value.shape).astype(np.float32) for value in model.get_weights()])
    return model


def converted(model: Any, quantized: bool) -> bytes:
    """Return a network as a TFLite file, by the converter's defaults as far as they go."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if model.input_shape[0] is None and not model.get_layer("rnn").unroll:  # what keras's export("litert") sets
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter._experimental_lower_tensor_list_ops = False
    return bytes(converter.convert())


def outputs(data: bytes, xs: np.ndarray) -> np.ndarray:
    """Outputs of LiteRT, one call a window."""
    interpreter = tf.lite.Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    reads, gives = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    ys = []
    for window in xs:
        interpreter.set_tensor(reads, window[None])
        interpreter.invoke()
        ys.append(interpreter.get_tensor(gives)[0].copy())
    return np.array(ys)


def main(folder: Path | None) -> None:
    """Write the archive."""
    members: dict[str, bytes] = {}
    xs = np.random.default_rng(7).standard_normal((WINDOWS, STEPS, INPUTS)).astype(np.float32)
    arrays: dict[str, np.ndarray] = {"x": xs}
    for cell in UNITS:
        for way, options in WAYS.items():
            model = network(cell, **options)
            arrays |= {f"{cell}/{weight.path}": np.asarray(weight.value) for weight in model.weights}
            wanted = np.concatenate([model(window[None]).numpy() for window in xs])
            if model.get_layer("rnn").stateful:
                model.get_layer("rnn").reset_state()  # or the file would begin with the last state
            for kind in ("float", "int8"):
                data, name = converted(model, kind == "int8"), f"{cell}_{way}_{kind}"
                arrays[name] = arrays[f"{cell}_batch_1_{kind}"] if way == "default" else outputs(data, xs)
                members[f"{name}.tflite"] = data
                print(f"{name}: {len(data)} bytes, up to {np.abs(arrays[name] - wanted).max():.1e} from Keras")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    members["reference.npz"] = buffer.getvalue()
    with tarfile.open(TARGET, "w:xz", preset=9) as archive:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                folder.joinpath(name).write_bytes(data)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, tensorflow {tf.__version__}, keras {keras.__version__}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
