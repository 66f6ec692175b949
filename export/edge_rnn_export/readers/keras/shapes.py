"""Write Keras's layers that move, join and cut axes, as ONNX operators. Whether a stream can compute them is traced."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from math import prod

from edge_rnn.errors import FileError
from edge_rnn_export.readers.keras.emission import At, Tensor
from edge_rnn_export.readers.keras.options import axes_of, count_of

__all__ = ["concatenated", "cropping", "flattened", "joined_shape", "permuted", "repeated", "reshape_to", "reshaped"]

_END = 2**31 - 1


def reshaped(at: At, x: Tensor) -> Tensor:
    """Reshape to ``target_shape``, after the batch."""
    target = at.config.get("target_shape")
    if not isinstance(target, list) or not all(type(n) is int or n is None for n in target):
        raise FileError(f"{at.title} target_shape got {reprlib.repr(target)}, expected whole numbers.")
    made = reshape_to(at, x, [x.shape[0], *(-1 if n is None else n for n in target)])
    _note_join(at, x, made)
    return made


def _note_join(at: At, x: Tensor, made: Tensor) -> None:
    """Note a layer that gives steps and features another layout, in case that a stream cannot compute it."""
    if len(x.shape) > 2 and set(x.shape[1:-1]) != {1} and x.shape[-1:] != made.shape[-1:]:
        at.emission.joins = at.emission.joins or f"the {at.title} makes {made.shape[1:]} of {x.shape[1:]}"


def reshape_to(at: At, x: Tensor, shape: Sequence[int | None]) -> Tensor:
    """Reshape; -1 stands for the length that remains, and None for the length of the same axis."""
    rest = None if None in x.shape[1:] or x.shape[:1] != tuple(shape[:1]) else prod(n or 0 for n in x.shape[1:])
    inner = prod(length for length in shape[1:] if length is not None and length > 0) or 1
    lengths = tuple((None if rest is None else rest // inner) if length == -1 else length for length in shape)
    return Tensor(at("Reshape", x, [0 if length is None else length for length in shape]), lengths)


def flattened(at: At, x: Tensor) -> Tensor:
    """Join all axes after the batch."""
    if at.config.get("data_format") == "channels_first" and len(x.shape) > 2:
        raise at.refuse("its data_format is channels_first, expected channels_last.")
    size = None if None in x.shape[1:] else prod(length or 0 for length in x.shape[1:])
    made = Tensor(at("Flatten", x, axis=1), (x.shape[0], size))
    _note_join(at, x, made)
    return made


def permuted(at: At, x: Tensor) -> Tensor:
    """Transpose; ``dims`` count from 1, without the batch."""
    dims = at.config.get("dims")
    if not isinstance(dims, list) or not all(type(n) is int for n in dims) or sorted(dims) != [*range(1, len(x.shape))]:
        raise FileError(f"{at.title} dims got {reprlib.repr(dims)}, expected an order of {len(x.shape) - 1} axes.")
    return Tensor(at("Transpose", x, perm=[0, *dims]), (x.shape[0], *(x.shape[axis] for axis in dims)))


def repeated(at: At, x: Tensor) -> Tensor:
    """Repeat a vector as each step of a sequence."""
    count = count_of(at.title, at.config, "n")
    return Tensor(at("Expand", at("Unsqueeze", x, [1]), [1, count, 1]), (x.shape[0], count, *x.shape[1:]))


def cropping(at: At, x: Tensor) -> Tensor:
    """Leave out steps at both ends."""
    given = at.config.get("cropping")
    if not isinstance(given, list) or len(given) != 2 or not all(type(n) is int and n >= 0 for n in given):
        raise FileError(f"{at.title} cropping got {reprlib.repr(given)}, expected two whole numbers.")
    steps = x.shape[1] if len(x.shape) > 1 else None
    length = None if steps is None else steps - sum(given)
    ends = [-given[1] if given[1] else _END]
    return Tensor(at("Slice", x, [given[0]], ends, [1]), (x.shape[0], length, *x.shape[2:]))


def concatenated(at: At, tensors: Sequence[Tensor], axis: object) -> Tensor:
    """Concatenate along an axis."""
    (place,) = axes_of(at.title, axis, len(tensors[0].shape))
    return Tensor(at("Concat", *tensors, axis=place), joined_shape(at, tensors, place))


def joined_shape(at: At, tensors: Sequence[Tensor], place: int) -> tuple[int | None, ...]:
    """Shape of tensors that are joined along an axis; the other axes must have the same lengths."""
    shapes = [tensor.shape for tensor in tensors]
    others = {(*shape[:place], *shape[place + 1 :]) for shape in shapes}
    if len(others) > 1 and (len({len(each) for each in others}) > 1 or any(None not in each for each in others)):
        raise at.refuse(
            f"it joins the shapes {' and '.join(map(str, shapes[:8]))}; a sequence and its last step "
            f"(return_sequences=False) cannot be combined in a stream."
        )
    lengths = [shape[place] for shape in shapes]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    return (*shapes[0][:place], total, *shapes[0][place + 1 :])
