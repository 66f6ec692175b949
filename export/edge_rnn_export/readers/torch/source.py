"""Open what ``from_torch`` is given: a module, a state_dict, a checkpoint, or a file, recognized by its contents."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from edge_rnn.errors import InputError, InputTypeError
from edge_rnn.storage.file_kind import ARRAYS_FILE, MODEL_FILE, TENSORS_FILE, TORCH_FILE, FileKind, kind_of
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.checkpoint import PlainNames, chosen, contents_of, with_normalizers
from edge_rnn_export.readers.torch.files import Loaded, as_array, read_npz, read_pickle, read_safetensors
from edge_rnn_export.readers.torch.modules import parts_of_module
from edge_rnn_export.readers.torch.reparametrized import folded, without_reparametrizations
from edge_rnn_export.readers.torch.state import RECURRENT, Part, listed, parts_of

__all__ = ["SUFFIXES", "Opened", "is_module", "opened"]

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pt2", ".safetensors", ".npz")
"""File name extensions of state_dicts."""


class Opened(NamedTuple):
    """Parts of a network, with its parameters and buffers by name."""

    parts: list[Part]
    arrays: dict[str, AnyArray]
    plain: Callable[[str], str]
    """Function from a name as the source spells it to one as the arrays have it."""
    notes: list[str]
    """What was assumed or left out."""
    module: Any = None
    """The module, with plain parameters; None without one."""
    forward: list[Part] | None = None
    """Parts in order of use, as the code of TorchScript says; None if there is no code that does."""
    unread: str = ""
    """Reason why the code of TorchScript does not say it."""


def is_module(source: Any) -> bool:
    """True for an ``nn.Module``."""
    torch = sys.modules.get("torch")  # without it, there can be no module object
    return torch is not None and isinstance(source, torch.nn.Module)


def opened(source: Any, state: str | None, names: Mapping[str, str] | None = None) -> Opened:
    """Open a source of ``from_torch``.

    Parameters
    ----------
    source
        Module, mapping or path.
    state
        Dotted name of the state_dict, in a checkpoint with several.
    names
        Names of parameters by those of the arrays that hold them; others are left out.

    Raises
    ------
    FileError, UnsupportedError
        See :func:`~edge_rnn_export.from_torch`.
    InputError
        The file is of another kind, or ``state`` or ``names`` name what does not exist.
    InputTypeError
        The source has the wrong type.
    """
    if is_module(source):
        if state is not None or names:
            raise InputError("from_torch got a module and state= or names=; expected these with files and state_dicts.")
        module = without_reparametrizations(source)
        found = dict(module.named_parameters(remove_duplicate=False))
        found |= dict(module.named_buffers(remove_duplicate=False))
        arrays = {key: as_array(f"from_torch: {key}", value) for key, value in found.items()}
        return Opened(list(parts_of_module(sys.modules["torch"].nn, module)), arrays, lambda name: name, [], module)
    if isinstance(source, str | PathLike):
        loaded = _read(Path(source), state)
    elif isinstance(source, Mapping) and all(isinstance(key, str) for key in source):
        loaded = _taken(source, state)
    else:
        raise InputTypeError(
            f"from_torch got {type(source).__name__}, expected an nn.Module, a state_dict (tensors or arrays by name), "
            f"a checkpoint that holds one, or the path of a file."
        )
    if names:
        loaded = Loaded(_renamed(loaded.arrays, names))
    plain = PlainNames(loaded.arrays)
    arrays, notes = folded(plain.arrays(loaded.arrays))
    if loaded.loose:
        notes.append(f"{listed(loaded.loose)} in the checkpoint, outside of the state_dict, not used in forward")
    forward = None if loaded.steps is None else [_part(step, plain) for step in loaded.steps]
    return Opened(parts_of(arrays), arrays, plain, notes, None, forward, loaded.unread)


def _renamed(arrays: Mapping[str, AnyArray], names: Mapping[str, str]) -> dict[str, AnyArray]:
    """Return the named arrays, by their new names."""
    for name, new in names.items():
        if not isinstance(new, str):
            raise InputTypeError(f"from_torch names got {new!r:.80} for {name!r}, expected the name of a parameter.")
        if name not in arrays:
            raise InputError(f"from_torch names an array {name!r}, which does not exist; expected {listed([*arrays])}.")
    twice = [name for name in names.values() if list(names.values()).count(name) > 1]
    if twice:
        raise InputError(f"from_torch names several arrays {twice[0]!r}; expected each name once.")
    return {new: arrays[name] for name, new in names.items()}


def _part(step: Mapping[str, Any], plain: Callable[[str], str]) -> Part:
    suffixes = tuple(f"_l{layer}" for layer in range(step["layers"])) if step["kind"] in RECURRENT else ()
    return Part(plain(step["path"]), step["kind"], suffixes, step["activation"], log=step["log"])


def _read(path: Path, state: str | None) -> Loaded:
    """Read the arrays in a file."""
    kind = _kind(path)
    if kind is ARRAYS_FILE:
        return Loaded(_within(str(path), read_npz(path), state))
    if kind in (TENSORS_FILE, MODEL_FILE) or (kind is not TORCH_FILE and path.suffix == ".safetensors"):
        return Loaded(_within(str(path), read_safetensors(path), state))
    if kind is TORCH_FILE or path.suffix in SUFFIXES:
        return read_pickle(path, state)
    what = f", which is {kind.what}" if kind else ""
    raise InputError(f"from_torch got the file {str(path)!r}{what}; expected a state_dict: {', '.join(SUFFIXES)}.")


def _kind(path: Path) -> FileKind | None:
    """Kind of a file by its contents; None if they say nothing, or if it is missing under a name of another kind."""
    return kind_of(path) if path.suffix in SUFFIXES or path.is_file() else None


def _taken(source: Mapping[str, Any], state: str | None) -> Loaded:
    """Return the arrays of a state_dict, or of the one in a checkpoint."""
    if any(isinstance(value, Mapping) for value in source.values()):
        contents = contents_of(source, lambda value: hasattr(value, "detach") or hasattr(value, "__array__"))
        found = with_normalizers(contents, chosen("from_torch: the checkpoint", contents, state))
        arrays = {key: as_array(f"from_torch: {key}", value) for key, value in found.items()}
        return Loaded(arrays, contents.loose(found))
    arrays = {key: as_array(f"from_torch: {key}", value) for key, value in source.items()}
    return Loaded(_within("from_torch: the state_dict", arrays, state))


def _within(owner: str, arrays: dict[str, AnyArray], state: str | None) -> dict[str, AnyArray]:
    """Return the arrays whose names begin with ``state``, by the rest of their names."""
    if state is None:
        return arrays
    contents = contents_of(arrays, lambda value: hasattr(value, "__array__"))
    return chosen(owner, contents, state)
