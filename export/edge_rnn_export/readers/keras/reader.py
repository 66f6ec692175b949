"""Keras networks into edge_rnn's :class:`~edge_rnn.model.Model`, without Keras."""

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
        The path of a ``.keras`` archive or of a whole model in HDF5 (``.h5``, ``.hdf5``), for which h5py is needed,
        but not Keras; no code in it is run. Or a ``keras.Model``, of whichever backend. Sequential and functional
        models with one input and one output are read, of SimpleRNN, GRU, LSTM, their cells in an RNN, CuDNNGRU,
        CuDNNLSTM, Dense, TimeDistributed, Embedding, Normalization, BatchNormalization, the activations ReLU,
        LeakyReLU, ELU, Softmax and by name, Concatenate and Add of outputs, Dropout, and Flatten and Reshape where
        they mix no steps.
    unpadded
        That sequences are not padded, as those of a stream are not: Masking and ``mask_zero``, with which Keras leaves
        out steps, are ignored. Without this argument they are refused.
    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. The model's own name is taken where none is given.

    Returns
    -------
    Model
        States start at zero, also those of stateful layers. A network that puts out the last step alone
        (``return_sequences=False``) puts out every step. BatchNormalization goes, in float64, into the weights of the
        layer behind it or of the Dense before it. An activation that follows something else than a Dense becomes a
        Dense with ones on its diagonal.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or its shapes do not fit together; the message names the layer.
    UnsupportedError
        A layer or an option has no counterpart, or steps are mixed or taken backwards; the message says which.
        Or the file holds weights alone, or h5py is not installed.
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
