"""Read TensorFlow Lite networks into edge_rnn's :class:`~edge_rnn.model.Model`, without TensorFlow or LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Unpack

from edge_rnn.checks import is_whole
from edge_rnn.errors import FileError, InputError, InputTypeError
from edge_rnn.model import Description, Model
from edge_rnn_export.readers.tflite.contents import Subgraph
from edge_rnn_export.readers.tflite.file import open_contents
from edge_rnn_export.readers.tflite.graph import graph_of
from edge_rnn_export.readers.tflite.kept import with_integers
from edge_rnn_export.readers.tracing.walk import read_graph

__all__ = ["from_tflite"]


def from_tflite(
    source: str | PathLike[str],
    *,
    keep_int8: bool = False,
    upto: str | int | Sequence[str | int] | None = None,
    after: str | int | None = None,
    **about: Unpack[Description],
) -> Model:
    """Read a ``.tflite`` file.

    Parameters
    ----------
    source
        Path of the file. Supported are LSTM and RNN operators (also without input gate, with peepholes, projection and
        clipping); what TensorFlow's converter makes of Keras's SimpleRNN, GRU and LSTM: WHILE with its lists of outputs
        (also those of Flex), unrolled steps, and variables of stateful layers; FULLY_CONNECTED and BATCH_MATMUL,
        elementwise operators, reductions over features, tables, and operators that move, slice and join axes or compute
        shapes. Weights may be float32, float16 or integers with scales, also those of dynamic-range quantization.
    keep_int8
        True to keep matrices that the file stores in int8 as :class:`edge_rnn.formats.Int8` (except a projection, and
        weights that are multiplied by other constants). By default they are dequantized to float32. Either way
        activations are not rounded to 8 bits as in an integer network, so that outputs differ by the effect of that
        rounding.
    upto
        Name or index of a tensor: the network is read from its input up to this tensor. By default up to the output,
        which must be the only one besides final states. The tensors of several names or indices follow one another.
    after
        Name or index of a tensor that is taken as the input: the network is read from this tensor. A head that takes a
        whole window of steps cannot be part of a stream; read it as a separate network, and pass it the outputs of the
        last steps in one row::

            cell = from_tflite("digits.tflite", upto="lstm")
            head = from_tflite("digits.tflite", after="lstm")

    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. A sample holds real numbers, even if the file's input is int8.

    Returns
    -------
    Model
        States start at zero. A network that returns only the last step returns every step. Layers are named after
        tensors: ``gru`` for ``sequential/gru/while/gru_cell/MatMul``.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or its shapes are inconsistent; the message names the operator.
    UnsupportedError
        An operator, an option or a type has no counterpart, or the network mixes steps; the message says which
        ``upto`` and ``after`` read the rest. Or the package ``tflite`` is not installed.
    ModelError
        An operator's arrays do not make a valid layer, or labels and names do not fit.
    InputError
        An argument is invalid: a tensor that does not exist, or ``keep_int8`` for a file without int8 matrices.
    """
    if not isinstance(source, str | PathLike):
        raise InputTypeError(f"from_tflite got {type(source).__name__}, expected the path of a .tflite file.")
    contents = open_contents(Path(source))
    main = contents.subgraphs[0]
    begin = None if after is None else _place(main, "after", after)
    heads = upto if isinstance(upto, list | tuple) and upto else [upto]
    ends = None if upto is None else [_place(main, "upto", each) for each in heads]
    graph, fixed, states, tensors, names = graph_of(contents, begin, ends)
    try:
        model = read_graph(graph, names, about, states=states).model
    except FileError:
        # Axes that are open by their signature, in a network that was converted for the lengths in the file.
        if fixed is graph:
            raise
        model = read_graph(fixed, names, about, states=states).model
    return with_integers(model, tensors, graph.budget) if keep_int8 else model


def _place(main: Subgraph, argument: str, wanted: object) -> int:
    """Index of the tensor that an argument names."""
    if not isinstance(wanted, str) and not is_whole(wanted):
        raise InputTypeError(f"from_tflite {argument} got {wanted!r}, expected a tensor's name or index.")
    if isinstance(wanted, str):
        found = [tensor.place for tensor in main.tensors if wanted in (tensor.name, tensor.label)]
    else:
        found = [wanted] if 0 <= wanted < len(main.tensors) else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"from_tflite {argument} names {wanted!r}, the name of {len(found)} tensors: {found[:8]}.")
    computed = ", ".join(main.tensors[place].title for place in list(main.producers)[:12] if place >= 0)
    raise InputError(f"from_tflite {argument} names {wanted!r}, which does not exist; expected one of {computed}.")
