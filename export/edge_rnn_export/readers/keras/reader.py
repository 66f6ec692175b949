"""Read Keras networks into edge_rnn's :class:`~edge_rnn.model.Model`, without Keras."""

from __future__ import annotations

from os import PathLike
from typing import Any, Unpack

from edge_rnn.errors import EdgeRnnError
from edge_rnn.model import Description, Model
from edge_rnn_export.readers.keras.layers import read_layers
from edge_rnn_export.readers.keras.reading import Reading
from edge_rnn_export.readers.keras.source import file_source, model_source, open_file

__all__ = ["from_keras"]


def from_keras(
    source: Any,
    *,
    unpadded: bool = False,
    **about: Unpack[Description],
) -> Model:
    """Read a Keras network: a file of Keras 2 or 3, or a live model.

    Parameters
    ----------
    source
        The path of a ``.keras`` archive or of a whole model in HDF5 (``.h5``, ``.hdf5``), which needs h5py but not
        Keras; no code in the file is run. Or a ``keras.Model`` of any backend. Sequential and functional models with
        one input and one output are supported, made of SimpleRNN, GRU, LSTM, their cells in an RNN, CuDNNGRU,
        CuDNNLSTM, Dense, TimeDistributed, Embedding, Normalization, BatchNormalization, the activations ReLU,
        LeakyReLU, ELU, Softmax and those given by name, Concatenate and Add of outputs, Dropout, and Flatten and
        Reshape if they mix no steps.
    unpadded
        True to state that sequences are not padded: Masking and ``mask_zero``, with which Keras skips padding steps,
        are then ignored. By default they are refused, as a stream has no padding.
    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. The name defaults to the model's own.

    Returns
    -------
    Model
        States start at zero, also those of stateful layers. A network that returns only the last step
        (``return_sequences=False``) returns every step. BatchNormalization is folded, in float64, into the weights of
        the layer after it or of the Dense before it. An activation that follows any other layer than a Dense becomes a
        Dense with an identity matrix.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or its shapes do not fit together; the message names the layer.
    UnsupportedError
        A layer or an option has no counterpart, or steps are mixed or processed in reverse; the message names it. Or
        the file holds only weights, or h5py is not installed.
    InputError
        The argument is neither a path nor a model.
    ModelError
        A weight does not fit float32, or labels and names do not fit the network.
    """
    is_file = isinstance(source, str | PathLike)
    given = open_file(source) if is_file else source
    try:
        opened = file_source(given) if is_file else model_source(given)
        reading = Reading(opened, unpadded=unpadded)
        config = opened.document.get("config")
        own = config.get("name") if isinstance(config, dict) else None
        read_layers(reading)
        if not about.get("name") and isinstance(own, str) and own.isprintable():
            about["name"] = own
        return Model(
            reading.wiring.layers,
            input_size=0 if reading.symbols else reading.input_size,
            **about,
        )
    except EdgeRnnError as error:
        raise type(error)(f"{source if is_file else 'from_keras'}: {error}") from None
