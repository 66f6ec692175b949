"""Read ONNX networks, from PyTorch, edge_rnn and others, into edge_rnn's :class:`~edge_rnn.model.Model`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from numpy.typing import ArrayLike

from edge_rnn.errors import ReadingWarning, UnsupportedError
from edge_rnn.model import Description, Model

if TYPE_CHECKING:
    from edge_rnn_export.readers.tracing.walk import Reading

__all__ = ["from_onnx", "reading_of"]


def from_onnx(
    source: Any,
    *,
    upto: str | Sequence[str] | None = None,
    after: str | None = None,
    given: Mapping[str, ArrayLike] | None = None,
    states: Mapping[str, str] | None = None,
    **about: Unpack[Description],
) -> Model:
    """Read an ONNX graph, of one step or of whole sequences.

    Parameters
    ----------
    source
        The path of an ``.onnx`` file (external data next to it are read too), its bytes, or an ``onnx.ModelProto``.
        Supported are forward RNN, GRU and LSTM operators, recurrences spelled in a Loop, a Scan or step by step, matrix
        products, functions of units, normalizations and Softmax over features, a table of symbols, and what exporters
        write around these. What is no layer of the library becomes one by its own equation. Any graph that
        :func:`~edge_rnn_export.to_onnx` writes is read back as its original model.
    upto
        Name of a value: the network is read from its input up to this value. By default up to the output, which must be
        the only one besides states; then the whole graph must be used. The values of several names follow one another.
    after
        Name of a value, also inside a branch, that is taken as the samples: what it is computed from, such as a
        front end that a stream computes otherwise, is not read.
    given
        Values of inputs by name, ``{"sr": 16000}``, which are constant from now on.
    states
        Names of inputs that are states, and of the values that are their new values, ``{"h": "h_new"}``: where names
        and shapes do not tell, an input may as well be a knob.
    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. Empty or None stands for the value in a graph written by edge_rnn.

    Returns
    -------
    Model
        States that are inputs of the graph start at zero (in a graph written by edge_rnn, as its metadata say);
        constant initial states become ``h0`` and ``c0``. A network that returns only the last step returns every step.
        Layers are named after nodes: ``rnn`` for ``/rnn/GRU``.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or its shapes are inconsistent; the message names the node.
    UnsupportedError
        A stream cannot compute a node: it is bidirectional, mixes steps, depends on a condition that samples decide, or
        is unknown. Or a part of the graph does not contribute to the output. Or the package onnx is not installed.
    ModelError
        A node's arrays do not make a valid layer, or labels and names do not fit.
    InputError
        ``upto``, ``after``, ``given`` or ``states`` is not the name of a value in the graph.

    Warns
    -----
    ReadingWarning
        A value named by ``after``, whose axes are open, was taken as a single step: what averages over steps behind it
        averages over one. Or a graph takes too much memory to be traced as far as its constants speak of.

    Examples
    --------
    >>> model = from_onnx("wrist.onnx", labels=("stand", "walk", "run"))  # doctest: +SKIP
    """
    reading = reading_of(source, upto=upto, after=after, given=given, states=states, **about)
    if reading.assumed:
        warnings.warn(f"from_onnx assumed: {reading.assumed}.", ReadingWarning, stacklevel=2)
    return reading.model


def reading_of(
    source: Any,
    *,
    upto: str | Sequence[str] | None = None,
    after: str | None = None,
    given: Mapping[str, ArrayLike] | None = None,
    states: Mapping[str, str] | None = None,
    **about: Unpack[Description],
) -> Reading:
    """Read as :func:`from_onnx` does, with details for :func:`edge_rnn_export.readers.onnx.check.compared`."""
    try:
        from edge_rnn_export.readers.onnx.reading import read_onnx
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"from_onnx needs {error.name}: pip install 'edge-rnn[export]'.") from None
    return read_onnx(source, upto, about, after=after, given=given, states=states)
