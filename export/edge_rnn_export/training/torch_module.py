"""Turn a model or a layer into a PyTorch module."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from edge_rnn.errors import InputTypeError, UnsupportedError
from edge_rnn.layers import Layer
from edge_rnn.model import Model

if TYPE_CHECKING:
    from edge_rnn_export.training.modules import TorchLayer, TorchModel

__all__ = ["to_torch"]


def to_torch(source: Model | Layer) -> TorchModel | TorchLayer:
    """Return a PyTorch module that computes what a model, or one layer, does, to train its weights.

    Parameters
    ----------
    source
        A model or a layer, all matrices in float32.

    Returns
    -------
    torch.nn.Module
        Called as ``ys, states = module(xs, states)``. ``xs`` is time first, as PyTorch's recurrent modules have it:
        ``(time, batch, input_size)``, or ``(time, input_size)`` without a batch; ``ys`` likewise. ``states`` are
        tensors ``(batch, H)`` or ``(H,)`` by name, ``"rnn.h"`` of a model and ``"h"`` of a layer; without them the
        sequence starts from the initial states. Those that are returned belong to the step after the last; detach them
        where gradients must not go back further.

        Parameters are float32 and have the names of the layer's: all arrays and numbers, and initial states that are
        not zero. Options and the numbers that an equation spells are constants, and so is a Standardize layer.

        ``module.trained()`` returns the model or layer with the parameters as they are now; so does
        :func:`~edge_rnn_export.from_torch` for a model's module.

    Raises
    ------
    UnsupportedError
        torch is not installed, a matrix is in another format than float32, or PyTorch has no such layer.
    InputTypeError
        ``source`` is neither a model nor a layer.

    Notes
    -----
    An Elman, GRU or LSTM that PyTorch has too runs as PyTorch's own. Every other cell runs operation by operation as
    its equation says: what does not depend on a state at once for all steps, the rest step by step.
    """
    if not isinstance(source, (Model, Layer)):
        raise InputTypeError(f"to_torch got {type(source).__name__}, expected a Model or a layer such as GRU.")
    if find_spec("torch") is None:
        raise UnsupportedError("to_torch needs PyTorch, which is not installed: pip install torch.")
    from edge_rnn_export.training.modules import TorchLayer, TorchModel

    return TorchModel(source) if isinstance(source, Model) else TorchLayer(source)
