"""Read Keras networks into edge_rnn's :class:`~edge_rnn.model.Model`, without Keras."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Unpack

from edge_rnn.errors import EdgeRnnError, FileError, InputTypeError, ReadingWarning, UnsupportedError
from edge_rnn.model import Description, Model
from edge_rnn.spelling import counted, listed
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.keras.emission import READER, Emission
from edge_rnn_export.readers.keras.network import network_of
from edge_rnn_export.readers.keras.source import Source, file_source, model_source, open_file
from edge_rnn_export.readers.keras.walk import write_model
from edge_rnn_export.readers.tracing.damage import DAMAGED, reason_of
from edge_rnn_export.readers.tracing.walk import read_graph

__all__ = ["KerasReading", "from_keras", "reading_of"]


@dataclass(frozen=True, slots=True, eq=False)
class KerasReading:
    """Imported network, and what of the Keras model it computes.

    Parameters
    ----------
    upto, after
        Names of the layers at its end and before its start, or None.
    samples
        Names of the inputs with the samples, and where there are several, their numbers of features; all other inputs
        are states.
    places
        Indices of its outputs among the model's outputs.
    joins
        Inputs and outputs that are joined, for people.
    """

    model: Model
    upto: str | Sequence[str] | None
    after: str | None
    samples: Sequence[tuple[str, int]]
    places: Sequence[int]
    joins: Sequence[str] = ()


def from_keras(
    source: Any,
    *,
    upto: str | Sequence[str] | None = None,
    after: str | None = None,
    unpadded: bool = False,
    **about: Unpack[Description],
) -> Model:
    """Read a Keras network: a file of Keras 2 or 3, or a live model.

    Parameters
    ----------
    source
        The path of a ``.keras`` archive or of a whole model in HDF5 (``.h5``, ``.hdf5``), which needs h5py but not
        Keras; no code in the file is run. Or a ``keras.Model`` of any backend. Sequential and functional models, also
        inside one another, are supported, made of recurrent layers and their cells, Dense, Embedding, normalizations,
        activations, sums, products, averages, maxima, minima and concatenations of outputs, dropout, layers that move
        axes, TimeDistributed, and functions of ``keras.ops`` between them.
    upto
        Name of a layer: the network is read from its input up to the output of this layer, by default up to the model's
        own. A layer of a model inside the model is called ``"encoder/gru"``. The outputs of several layers follow one
        another.
    after
        Name of a layer of the model: its output is taken as the samples, and what it reads is left out.
    unpadded
        True to state that sequences are not padded: Masking and ``mask_zero``, with which Keras skips padding steps,
        are then ignored. By default they are refused, as a stream has no padding.
    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. The name defaults to the model's own.

    Returns
    -------
    Model
        States start at zero, also those of stateful layers and those that are inputs of the Keras model. A network that
        returns only the last step (``return_sequences=False``) returns every step. Several inputs of samples follow one
        another in each sample, and several outputs in the model's; final states are no outputs. Layers bear Keras's
        names.

    Warns
    -----
    ReadingWarning
        Inputs are joined, or outputs without ``upto``; the message lists them.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or its shapes do not fit together; the message names the layer.
    UnsupportedError
        A layer, a function or an option has no counterpart, or steps are mixed or processed in reverse; the message
        names the layer, and where it helps the part of the network that can be read. Or the file holds only weights, or
        h5py is not installed.
    InputError
        The source is neither a path nor a model, or ``upto`` or ``after`` is not the name of a layer.
    ModelError
        A weight does not fit float32, or labels and names do not fit the network.

    Examples
    --------
    >>> model = from_keras("gestures.keras", labels=("rest", "fist", "wave"))  # doctest: +SKIP
    """
    reading = reading_of(source, upto=upto, after=after, unpadded=unpadded, **about)
    for text in reading.joins:
        warnings.warn(f"{READER}: {text}.", ReadingWarning, stacklevel=2)
    return reading.model


def reading_of(
    source: Any,
    *,
    upto: str | Sequence[str] | None = None,
    after: str | None = None,
    unpadded: bool = False,
    **about: Unpack[Description],
) -> KerasReading:
    """Read as :func:`from_keras` does, with details for :mod:`edge_rnn_export.readers.keras.check`."""
    unknown = about.keys() - Description.__annotations__.keys()
    if unknown:
        raise TypeError(f"from_keras() got an unexpected keyword argument {min(unknown)!r}")
    names = upto if isinstance(upto, list | tuple) else [upto]
    for what, value in (*(("upto", each) for each in names), ("after", after)):
        if value is not None and not isinstance(value, str):
            raise InputTypeError(f"{READER} {what} got {value!r}, expected the name of a layer.")
    is_file = isinstance(source, str | PathLike)
    given = open_file(source) if is_file else source
    try:
        opened = file_source(given) if is_file else model_source(given)
        config = opened.document.get("config")
        own = config.get("name") if isinstance(config, dict) else None
        if not about.get("name") and isinstance(own, str) and own.isprintable():
            about["name"] = own
        return _read(opened, about, upto=upto, after=after, unpadded=unpadded)
    except EdgeRnnError as error:
        text = str(error)
        what = f"{source}: " if is_file else "" if text.startswith(READER) else f"{READER}: "
        raise type(error)(what + text.removeprefix(f"{READER}: ")) from None


def _read(
    source: Source, about: Description, *, upto: str | Sequence[str] | None, after: str | None, unpadded: bool
) -> KerasReading:
    emission = Emission(source)
    try:
        ends = write_model(network_of(source.document), emission, upto=upto, after=after, unpadded=unpadded)
    except EdgeRnnError:
        raise
    except DAMAGED as error:
        raise FileError(f"its description contradicts itself: {reason_of(error)}.") from None
    try:
        graph = emission.graph(tuple(ends.outputs), Budget.of_file(source.stored_bytes))
        found = read_graph(graph, None, about, states=emission.states or None)
    except UnsupportedError as error:
        if not emission.joins:
            raise
        raise UnsupportedError(
            f"{error} Note that {emission.joins}, which mixes steps and features. A head over a whole window is no "
            f"step of a stream; read the part before it by upto=."
        ) from None
    samples = found.trace and found.trace.samples and found.trace.samples.port
    name = samples.name if samples else ""
    joined = ends.joined if name not in {port.name for port in emission.ports[1:]} else ()
    places = ends.outputs[found.output]
    joins = [f"the inputs {_listed(joined)} follow one another in each sample"] if joined else []
    if len(places) > 1 and upto is None:
        joins.append(
            f"the outputs {_listed(ends.sizes)} follow one another in the model's; upto= names one or more of them"
        )
    return KerasReading(found.model, upto, after, joined or [(name, found.model.input_size)], places, joins)


def _listed(sizes: Sequence[tuple[str, int]]) -> str:
    return listed([f"{name!r} of {counted(size, 'value')}" for name, size in sizes])
