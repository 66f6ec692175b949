"""Read PyTorch networks into edge_rnn's :class:`~edge_rnn.model.Model`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.errors import InputError, ReadingWarning, UnsupportedError
from edge_rnn.layers import Dense, Layer, Standardize
from edge_rnn.model import Description, Model
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.files import as_array
from edge_rnn_export.readers.torch.forward import check_forward
from edge_rnn_export.readers.torch.normalizers import normalized
from edge_rnn_export.readers.torch.source import is_module, opened
from edge_rnn_export.readers.torch.state import Part, layers_of, listed, split_name
from edge_rnn_export.readers.torch.unsaid import assumptions, resolved

__all__ = ["Reading", "from_torch", "read_torch"]


class Reading(NamedTuple):
    """Network, and what was taken for granted to read it."""

    model: Model
    assumed: str
    """Assumptions, each with the argument that states it; empty if there are none."""
    left_out: str = ""
    """Part of forward that was left out, with the arguments that state it; empty if there is none."""
    from_code: bool = False
    """True if forward was read from the code of TorchScript or the graph of torch.export."""


def from_torch(
    source: Any,
    *,
    state: str | None = None,
    names: Mapping[str, str] | None = None,
    modules: Sequence[str] | None = None,
    activations: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    normalizer: str | None = None,
    standardize: Standardize | tuple[ArrayLike, ArrayLike] | None = None,
    check: bool = True,
    **about: Unpack[Description],
) -> Model:
    """Read a PyTorch network: a module, a state_dict, or a file with a state_dict.

    Parameters
    ----------
    source
        An ``nn.Module``: ``nn.RNN``, ``GRU``, ``LSTM`` (any number of layers, with or without bias), ``RNNCell``,
        ``GRUCell``, ``LSTMCell``, ``Linear``, ``Embedding``, or containers and classes of your own that hold these,
        with ``Tanh``, ``Sigmoid``, ``ReLU``, ``Softmax``, ``LogSoftmax`` (read as Softmax), ``Identity``, ``Dropout``
        and ``Flatten`` between; layers of
        :func:`~edge_rnn_export.to_torch` may be among these. A whole model of it needs no further argument and comes
        back with its wiring and description. Or a state_dict: tensors, arrays or lists by name, or a checkpoint that
        holds one under any name. Or the path of a file with one, recognized by its contents: ``.safetensors``, ``.pt``,
        ``.pth``, ``.ckpt``, ``.bin``, ``.pt2``, ``.npz``. Neither PyTorch nor the classes that a file names are needed,
        and nothing in it is run. Of a whole module, the state_dict is read; of TorchScript and ``.pt2``, also
        ``forward``, if it is a chain of the modules above.
    state
        Dotted name of the state_dict that is meant, in a checkpoint with several, ``"ema"`` or ``"model.ema"``; or the
        beginning of the names of parameters, if these are of several networks: ``"state_dict.generator"``. Empty for
        all tensors of the checkpoint.
    names
        PyTorch's names by those of the arrays, if a file spells them otherwise: ``{"enc_w_ih": "rnn.weight_ih_l0"}``.
        Arrays that are not named are left out.
    modules
        Names in order of use, ``("rnn", "head")``, dotted for nested ones. Without this argument, the order of
        definition is the order of use of a module's parts; in a state_dict, the sizes must determine the order, or
        numbered names state it.
    activations
        Activations by module name that are not modules themselves, such as ``{"fc1": "relu"}`` if ``forward`` calls
        ``F.relu(self.fc1(x))``, and those that a state_dict does not hold: after each Linear (``"none"`` for Dropout
        and the like), and of each ``nn.RNN`` (``"tanh"`` or ``"relu"``). Only that of the last Linear may be left out.
        An activation of the last layer may be one that the loss function includes.
    kinds
        In a state_dict, ``"Embedding"`` or ``"Linear"`` by name, for each module whose weight is two-dimensional and
        that has no bias.
    ignore
        Parameters and buffers, or modules that hold them, which inference does not use. Any other unused one is an
        error. (Name a trained initial state here too, and set it in its layer afterwards: ``dataclasses.replace(layer,
        h0=...)``.)
    normalizer
        Path of the running mean and variance of observations in a checkpoint of rsl_rl, rl_games or skrl,
        ``"running_mean_std"``: put in front, with that library's default epsilon, and clipping to -5 .. 5 in the latter
        two.
    standardize
        ``(mean, scale)``, each ``(input_size,)`` in the sensor's units, or a Standardize layer: put in front, so that
        the stream takes samples in the sensor's units.
    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`.
    check
        True to run a module's ``forward``, on a copy in eval mode, and compare it with the layers on random sequences
        of 16 steps. Nothing else reveals what ``forward`` does: a skip connection, a module used twice, ``F.relu``, a
        hook. It may take ``(time, I)``, ``(time, 1, I)`` or ``(1, time, I)``, and return all steps or the last one,
        alone or first in a tuple or dict; state arguments are passed as None, and then as zeros. A network whose first
        module is an Embedding gets random symbols. A module without a ``forward`` and a state_dict cannot be checked.

    Returns
    -------
    Model
        Weights of any floating type converted to float32. An activation that follows any other module than a Linear
        becomes a Dense with an identity matrix.

    Raises
    ------
    UnsupportedError
        A module, an option or a parameter cannot be converted (bidirectional, dropout in training mode, modules not
        listed above); the message names it. Or ``forward`` does not compute the same as the layers in sequence.
    InputError
        An argument names a module or a state_dict that does not exist, a checkpoint holds several state_dicts,
        ``forward`` cannot be called with samples alone, or a state_dict leaves open what changes the outputs: the order
        of use, an activation, an Embedding or a Linear without bias, a network without a recurrent module. The message
        names the argument that states it.

    ModelError
        Parameters are missing or have inconsistent shapes.
    FileError
        The file cannot be read, is damaged, or holds no state_dict.

    Warns
    -----
    ReadingWarning
        A state_dict was read, and no argument states the order of use or the activation of the last Linear; the warning
        lists what was assumed. Or a module ends in log_softmax, which is read as softmax.

    Examples
    --------
    >>> import numpy as np
    >>> state = {"rnn.weight_ih_l0": np.zeros((24, 6)), "rnn.weight_hh_l0": np.zeros((24, 8)),
    ...          "head.weight": np.zeros((2, 8)), "head.bias": np.zeros(2)}
    >>> from_torch(state, modules=("rnn", "head"), activations={"head": "softmax"}, labels=("rest", "move"))
    <Model input(6) > rnn(8) > head(2)>
    """
    if is_module(source) and isinstance(getattr(source, "model", None), Model) and hasattr(source, "trained"):
        if state or names or modules or activations or kinds or ignore or normalizer or standardize is not None:
            raise InputError(
                "from_torch got a model of to_torch and state=, names=, modules=, activations=, kinds=, ignore= or "
                "standardize=; expected none of these, the layers are those of the model."
            )
        trained: Any = source.trained()
        described: Model = replace(trained, **about)
        return described
    reading = read_torch(
        source,
        state=state,
        names=names,
        modules=modules,
        activations=activations,
        kinds=kinds,
        ignore=ignore,
        normalizer=normalizer,
        standardize=standardize,
        check=check,
        **about,
    )
    if reading.assumed:
        text = f"from_torch read a state_dict, which does not hold forward, and assumed: {reading.assumed}."
        warnings.warn(text, ReadingWarning, stacklevel=2)
    if reading.left_out:
        warnings.warn(f"from_torch: {reading.left_out}.", ReadingWarning, stacklevel=2)
    return reading.model


def read_torch(
    source: Any,
    *,
    state: str | None = None,
    names: Mapping[str, str] | None = None,
    modules: Sequence[str] | None = None,
    activations: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    normalizer: str | None = None,
    standardize: Standardize | tuple[ArrayLike, ArrayLike] | None = None,
    check: bool = True,
    **about: Unpack[Description],
) -> Reading:
    """Read as :func:`from_torch` does, and return what was assumed instead of a warning."""
    parts, arrays, plain, notes, module, forward, unread = opened(source, state, names)
    chosen = {plain(name): activation for name, activation in (activations or {}).items()}
    kinds = {plain(name): kind for name, kind in (kinds or {}).items()}
    ignored = [plain(name) for name in ((ignore,) if isinstance(ignore, str) else ignore)]
    modules = modules if modules is None or isinstance(modules, str) else [plain(name) for name in modules]
    live = module is not None
    if unread and modules is None:
        raise UnsupportedError(
            f"from_torch cannot follow forward in this archive: {unread}. If it is a chain nevertheless, "
            f"name its modules in order of use in modules=, some of {_names(parts)}, and their activations=."
        )
    if forward is not None and modules is None:
        parts, arrays = forward, {name: each for name, each in arrays.items() if _belongs(name, forward)}
    known = live or parts is forward
    front: list[Layer] = []
    if not known:
        front, arrays, told = normalized(arrays, None if normalizer is None else plain(normalizer), ignored)
        notes += told
    elif normalizer is not None:
        raise InputError("from_torch got normalizer= and a source with forward; expected it with a state_dict only.")
    if not known:
        left = {split_name(name)[0] for name in arrays if not any(_is_inside(name, wanted) for wanted in ignored)}
        parts = [part for part in parts if part.path in left]
    used_parts = parts if modules is None else _selected(parts, modules)
    _check_activations(chosen, used_parts)
    assumed = notes
    if not known:
        selected = None if modules is None else used_parts
        used_parts = resolved(parts, selected, arrays, chosen, kinds)
        assumed = assumptions(used_parts, chosen, named=modules is not None) + notes
    elif kinds:
        raise InputError("from_torch got a module and kinds=; expected kinds= with a state_dict only.")
    layers, used = layers_of(used_parts, arrays, chosen)
    _check_all_used(arrays, used, ignored)
    without_log = False
    if live and check and layers:
        given, layers = layers, check_forward(sys.modules["torch"], module, layers, used_parts, chosen)
        without_log = layers[-1] is not given[-1]
    left_out = _left_out(used_parts, without_log=without_log)
    layers = [*front, *layers]
    if standardize is not None:
        layers.insert(0, standardize if isinstance(standardize, Standardize) else _standardize(*standardize))
    return Reading(Model(layers, **about), "; ".join(assumed), left_out, parts is forward)


def _belongs(name: str, parts: Sequence[Part]) -> bool:
    path, last = split_name(name)
    return any(part.path == path and part.kind != "Activation" for part in parts) and last.startswith(
        ("weight", "bias")
    )


def _left_out(used: Sequence[Part], *, without_log: bool) -> str:
    """Sentence about the logarithm that was left out of a last log_softmax; empty if there was none.

    ``without_log`` is True if ``forward`` has one that is no module.
    """
    computing = [part for part in used if part.kind != "Identity"]
    if not (without_log or (computing and computing[-1].log)):
        return ""
    text = "forward ends in log_softmax; read as softmax, probabilities in the same order"
    kept = [part for part in computing if not part.log]
    if kept[-1].kind != "Linear":
        return text
    names = [part.path for part in kept]
    return f"{text} (state it: modules={names}, activations={ {names[-1]: 'softmax'} })"


def _standardize(mean: Any, scale: Any) -> Standardize:
    return Standardize(as_array("from_torch: mean", mean), as_array("from_torch: scale", scale))


def _selected(parts: Sequence[Part], modules: Sequence[str]) -> list[Part]:
    """Return the parts named in ``modules``, in that order; a name stands for everything inside it."""
    if isinstance(modules, str):
        raise InputError(f"from_torch modules got the string {modules!r}, expected a sequence of names.")
    selected: list[Part] = []
    for wanted in modules:
        inside = [part for part in parts if _is_inside(part.path, wanted)]
        if not inside:
            raise InputError(
                f"from_torch modules name {wanted!r}, which does not exist; expected some of {_names(parts)}."
            )
        selected += inside
    if not selected:
        raise InputError(f"from_torch modules got no names, expected some of {_names(parts)}, in order of use.")
    return selected


def _is_inside(path: str, outer: str) -> bool:
    return path == outer or path.startswith(outer + ".")


def _names(parts: Sequence[Part]) -> str:
    return listed([repr(part.path) for part in parts])


def _check_activations(activations: Mapping[str, str], parts: Sequence[Part]) -> None:
    """Check that each name belongs to a part that takes an activation and has none of its own."""
    takes = [part for part in parts if part.kind == "Linear" or (part.kind == "RNN" and not part.activation)]
    for name, activation in activations.items():
        part = next((part for part in takes if part.path == name), None)
        refused = next((each.refusal for each in parts if each.path == name and each.refusal), "")
        if refused:
            raise UnsupportedError(refused)
        if part is None:
            raise InputError(
                f"from_torch activations name {name!r}; expected one of {_names(takes) or 'none'}: a Linear, or an RNN "
                f"of a state_dict."
            )
        allowed = Dense.ACTIVATIONS if part.kind == "Linear" else ("tanh", "relu")
        if activation not in allowed:
            raise InputError(
                f"from_torch activations got {activation!r} for {name!r}, expected one of {', '.join(allowed)}."
            )


def _check_all_used(arrays: Mapping[str, AnyArray], used: set[str], names: Sequence[str]) -> None:
    for wanted in names:
        if not any(_is_inside(key, wanted) for key in arrays):
            raise InputError(f"from_torch ignore names {wanted!r}, which does not exist; expected names of parameters.")
        taken = sorted(key for key in used if _is_inside(key, wanted))
        if taken:
            raise InputError(
                f"from_torch ignore names {wanted!r}, but {taken[0]!r} is used; remove it from one of the two."
            )
    left = [key for key in arrays if key not in used and not any(_is_inside(key, wanted) for wanted in names)]
    if left:
        found = listed([f"{key[:80]} {np.shape(arrays[key])}" for key in left])
        raise UnsupportedError(
            f"from_torch found parameters that belong to no supported layer: {found}. "
            f"Name them in ignore= if inference does not use them."
        )
