"""Read PyTorch networks into edge_rnn's :class:`~edge_rnn.model.Model`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Unpack

from numpy.typing import ArrayLike

from edge_rnn.errors import EdgeRnnError, InputError, ModelError, ReadingWarning, UnsupportedError
from edge_rnn.layers import Layer, Standardize
from edge_rnn.model import Description, Model
from edge_rnn_export.readers.layer_names import free_name
from edge_rnn_export.readers.torch.chain import check_activations, check_all_used, is_inside, names_of, selected
from edge_rnn_export.readers.torch.files import as_array
from edge_rnn_export.readers.torch.forward import check_forward
from edge_rnn_export.readers.torch.live import Upto, Wanted, has_forward, read_module
from edge_rnn_export.readers.torch.normalizers import normalized
from edge_rnn_export.readers.torch.source import is_module, opened
from edge_rnn_export.readers.torch.state import Part, layers_of, split_name
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
    example: Any = None,
    upto: Upto = None,
    after: str | None = None,
    check: bool = True,
    **about: Unpack[Description],
) -> Model:
    """Read a PyTorch network: a module, a state_dict, or a file with a state_dict.

    Parameters
    ----------
    source
        An ``nn.Module``, read by what its ``forward`` does, as ``torch.export`` traces it: ``RNN``, ``GRU``, ``LSTM``,
        ``Linear``, ``Embedding``, ``BatchNorm1d`` in any order, activations, sums, joins, factors, slices of features,
        with states in arguments or in buffers, of sequences in any layout, of the last step, or of single steps.
        Weights that PyTorch computes (weight_norm, pruning) are computed once. Layers of
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
        Names in order of use, ``("rnn", "head")``, dotted for nested ones: the network is their chain, and a module's
        ``forward`` is only compared with it. Without this argument, ``forward`` says the order; for a module without
        one, that of definition; in a state_dict, the sizes must determine it, or numbered names.
    activations
        Activations by module name, of a chain: those that a state_dict does not hold, after each Linear (``"none"`` for
        Dropout and the like), and of each ``nn.RNN`` (``"tanh"`` or ``"relu"``); only that of the last Linear may be
        left out. Or for a module, one after its last Linear that the loss function includes.
    kinds
        In a state_dict, ``"Embedding"`` or ``"Linear"`` by name, for each module whose weight is two-dimensional and
        that has no bias.
    ignore
        Parameters and buffers, or modules that hold them, which inference does not use. In a chain, any other unused
        one is an error. (Name a trained initial state here too, and set it in its layer afterwards:
        ``dataclasses.replace(layer, h0=...)``.)
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
    example
        Arguments of a module's ``forward``: an array of samples, or a tuple of samples and states, like those that it
        is called with. By default they are found: samples of shape ``(time, batch, I)``, ``(batch, time, I)``,
        ``(time, I)``, ``(batch, I)`` or ``(batch, I, time)``, symbols for an Embedding, and the states that it needs.
        Values do not matter.
    upto
        Of a module, the output to read, if it returns several besides states: its key in a dict, its place in a tuple,
        ``"1.0"`` inside another; several in a tuple are joined. Or the name of a module: what this module returns.
    after
        Name of a module inside, whose output is taken as the samples; what is before it is not read.
    check
        True to run a module, on a copy in eval mode, and compare it with the model on random samples of 0.05 to 1000,
        sequences of 300 and 1100 steps and several calls, from random states if it takes some. They must agree in
        float64. A module without a ``forward`` and a state_dict cannot be checked.

    Returns
    -------
    Model
        Weights of any floating type converted to float32. An activation that follows any other module than a Linear
        becomes a Dense with an identity matrix.

    Raises
    ------
    UnsupportedError
        A stream cannot compute what ``forward`` does (bidirectional, a mean over time, packed sequences), an operator
        is unknown, ``torch.export`` cannot trace it, or a module is in training mode; the message names it. Or the
        module does not compute the same as the model.
    InputError
        An argument names a module or a state_dict that does not exist, a checkpoint holds several state_dicts,
        no arguments are found that ``forward`` takes, or a state_dict leaves open what changes the outputs: the order
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
        example=example,
        upto=upto,
        after=after,
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
    example: Any = None,
    upto: Upto = None,
    after: str | None = None,
    check: bool = True,
    **about: Unpack[Description],
) -> Reading:
    """Read as :func:`from_torch` does, and return what was assumed instead of a warning."""
    stated = bool(state or names or modules is not None or activations or kinds or normalizer)
    traced = is_module(source) and not stated and has_forward(source)
    wanted = Wanted(upto, after)
    said = example is not None or any(each is not None for each in wanted)
    if not traced and said:
        raise InputError(
            "from_torch got example=, upto= or after=, which say how to read the forward of a module; expected a "
            "module, without modules=, activations=, kinds=, names=, normalizer= and state=."
        )
    chain = partial(
        _chained,
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
        about=about,
    )
    if not traced:
        return chain()
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    try:
        model = read_module(source, example=example, wanted=wanted, ignore=ignored, compare=check)
    except (UnsupportedError, InputError, ModelError) as refusal:
        if said or not _may_be_chain(source, refusal):
            raise
        try:
            return chain()
        except EdgeRnnError:
            raise refusal from None
    return Reading(_described(model, standardize, about), "")


def _may_be_chain(module: Any, refusal: EdgeRnnError) -> bool:
    """True for a forward that did not run, and for modules that hold layers of to_torch."""
    return isinstance(refusal, InputError) or any(hasattr(each, "trained") for each in module.modules())


def _chained(
    source: Any,
    *,
    state: str | None,
    names: Mapping[str, str] | None,
    modules: Sequence[str] | None,
    activations: Mapping[str, str] | None,
    kinds: Mapping[str, str] | None,
    ignore: Sequence[str],
    normalizer: str | None,
    standardize: Standardize | tuple[ArrayLike, ArrayLike] | None,
    check: bool,
    about: Description,
) -> Reading:
    """Read a state_dict, or the parts of a module, as a chain of layers."""
    parts, arrays, plain, notes, module, forward, unread = opened(source, state, names)
    chosen = {plain(name): activation for name, activation in (activations or {}).items()}
    kinds = {plain(name): kind for name, kind in (kinds or {}).items()}
    ignored = [plain(name) for name in ((ignore,) if isinstance(ignore, str) else ignore)]
    modules = modules if modules is None or isinstance(modules, str) else [plain(name) for name in modules]
    live = module is not None
    if unread and modules is None:
        raise UnsupportedError(
            f"from_torch cannot follow forward in this archive: {unread}. If it is a chain nevertheless, "
            f"name its modules in order of use in modules=, some of {names_of(parts)}, and their activations=."
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
        left = {split_name(name)[0] for name in arrays if not any(is_inside(name, wanted) for wanted in ignored)}
        parts = [part for part in parts if part.path in left]
    used_parts = parts if modules is None else selected(parts, modules)
    check_activations(chosen, used_parts)
    assumed = notes
    if not known:
        used_parts = resolved(parts, None if modules is None else used_parts, arrays, chosen, kinds)
        assumed = assumptions(used_parts, chosen, named=modules is not None) + notes
    elif kinds:
        raise InputError("from_torch got a module and kinds=; expected kinds= with a state_dict only.")
    layers, used = layers_of(used_parts, arrays, chosen)
    check_all_used(arrays, used, ignored)
    without_log = False
    if live and check and layers:
        given, layers = layers, check_forward(sys.modules["torch"], module, layers, used_parts, chosen)
        without_log = layers[-1] is not given[-1]
    left_out = _left_out(used_parts, without_log=without_log)
    layers = [*front, *layers]
    if standardize is not None:
        layers.insert(0, _standardize(standardize))
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


def _standardize(given: Standardize | tuple[ArrayLike, ArrayLike]) -> Standardize:
    if isinstance(given, Standardize):
        return given
    mean, scale = given
    return Standardize(as_array("from_torch: mean", mean), as_array("from_torch: scale", scale))


def _described(model: Model, standardize: Any, about: Description) -> Model:
    """Model with a description, and with a Standardize before each layer that reads its input."""
    if standardize is None:
        return Model(model.layers, input_size=model.input_size, **about)
    first = _standardize(standardize)
    first = first.replaced(name=free_name(first.name or "standardize1", [layer.name for layer in model.layers]))
    layers: list[Layer] = [first]
    for layer, reads in zip(model.layers, model.sources, strict=True):
        inputs = tuple(first.name if place < 0 else model.layers[place].name for place in reads)
        layers.append(layer.replaced(inputs=() if inputs == (layers[-1].name,) and layer.kind != "Add" else inputs))
    return Model(layers, **about)
