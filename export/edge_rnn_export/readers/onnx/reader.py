"""ONNX networks into edge_rnn's :class:`~edge_rnn.model.Model`, as PyTorch, edge_rnn and others export them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Description, Model

if TYPE_CHECKING:
    from edge_rnn_export.readers.onnx.walk import Reading

__all__ = ["from_onnx", "reading_of"]


def from_onnx(
    source: Any,
    *,
    upto: str | None = None,
    **about: Unpack[Description],
) -> Model:
    """Read an ONNX graph, of one step or of whole sequences.

    Parameters
    ----------
    source
        The path of an ``.onnx`` file (external data beside it are read too), its bytes, or an ``onnx.ModelProto``.
        Read are RNN, GRU and LSTM operators that go forward, with Gemm, MatMul, Add, Sub, Mul, Div, Sum,
        BatchNormalization, Gather with a table, activations and Softmax before, between and behind them, and what
        exporters write around them: Squeeze, Unsqueeze, Reshape, Flatten, Transpose, Slice, Gather, Split, Concat,
        Identity, Dropout, Cast, Expand, and shapes and zeros that are computed. Whatever
        :func:`~edge_rnn_export.to_onnx` writes is read back as the model that it was made of.
    upto
        Name of a value: the network is read from its input up to there. Without this argument up to the output, of
        which there must be one beside last states; then all of the graph must be used.
    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. Empty or None: what a graph by edge_rnn says.

    Returns
    -------
    Model
        States that the graph takes as inputs start at zero (of a graph by edge_rnn, as its metadata say); those that
        are numbers in the file are ``h0`` and ``c0``. A network that puts out the last step alone puts out every step.
        Layers are called after nodes: of ``/rnn/GRU`` it is ``rnn``.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or its shapes do not fit together; the message names the node.
    UnsupportedError
        A node has no counterpart: it is bidirectional, inside If, Loop or Scan, mixes steps, or is not known. Or a part
        of the graph does not lead to the output. Or the package onnx is not installed.
    ModelError
        A node's arrays make no layer, or labels and names do not fit.
    InputError
        ``upto`` names no value of the graph.

    Examples
    --------
    >>> model = from_onnx("wrist.onnx", labels=("stand", "walk", "run"))  # doctest: +SKIP
    """
    return reading_of(source, upto=upto, **about).model


def reading_of(source: Any, *, upto: str | None = None, **about: Unpack[Description]) -> Reading:
    """What :func:`from_onnx` reads, and how, for :func:`edge_rnn_export.readers.onnx.check.compared`."""
    try:
        from edge_rnn_export.readers.onnx.walk import read_onnx
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"from_onnx needs {error.name}: pip install 'edge-rnn[export]'.") from None
    return read_onnx(source, upto=upto, about=about)
