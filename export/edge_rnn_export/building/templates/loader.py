"""Recurrent network in a machine-code library, for plain Python with ctypes.

The library, its .json and this file are in the same folder under the same name::

    from wrist import Stream
    stream = Stream()
    y = stream.step([0.1, 0.2, 0.3])

If the program has imported NumPy, results are NumPy arrays; otherwise they are ``array.array``.
"""

from __future__ import annotations

import array
import ctypes
import json
import pathlib
import platform
import struct
import sys
import zlib
from typing import Any

__all__ = ["META", "Stream"]

_HERE = pathlib.Path(__file__).resolve()
META: dict[str, Any] = json.loads(_HERE.with_suffix(".json").read_text(encoding="utf-8"))
"""Metadata of the network: sizes, labels, units, target of the build."""

_NAME = META["name"]
_POLICIES = ("raise", "hold", "skip")
_REFUSED = {1: "contains a non-finite value", 2: "produces a non-finite value"}
_SNAPSHOT = struct.Struct("<8s32sII")
_MAGIC = b"ERNNst01"
_Float = ctypes.c_float


def _missing() -> str:
    """Describe the requirements that this machine does not meet; empty if it meets all."""
    if platform.machine() not in META["machines"]:
        return f"it is for {' or '.join(META['machines'])}, this is {platform.machine()}"
    lacks: set[str] = set()
    if META["hwcap"]:
        asked = ctypes.CDLL(None).getauxval
        asked.restype, asked.argtypes = ctypes.c_ulong, (ctypes.c_ulong,)
        has = asked(16)  # AT_HWCAP
        lacks = {word for word, bit in META["hwcap"].items() if not has >> bit & 1}
    elif META["cpuinfo"]:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
        words = [set(line.partition(":")[2].split()) for line in text.splitlines() if line.startswith("flags")]
        lacks = set(META["cpuinfo"]) - set[str].intersection(*words) if words else set()
    return f"this processor lacks {', '.join(sorted(lacks))}" if lacks else ""


def _load() -> ctypes.CDLL:
    reason = _missing()
    if reason:
        raise OSError(f"{_NAME} was built for {META['device']} and cannot run here: {reason}; build it for this board.")
    library = ctypes.CDLL(str(_HERE.with_name(META["library"])))
    for name in ("reset", "step", "run", "save", "restore", "set_policy", "refused", "self_test", "state_bytes"):
        function = getattr(library, f"{_NAME}_{name}")
        function.restype = ctypes.c_int32
    meta = json.loads(ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(library, f"{_NAME}_meta"))))
    if meta["fingerprint"] != META["fingerprint"] or library[f"{_NAME}_state_bytes"]() != META["state_bytes"]:
        raise OSError(f"{META['library']} and {_HERE.stem}.json are from different builds; copy both again.")
    return library


_LIBRARY = _load()


def _function(name: str, *types: Any) -> Any:
    function = getattr(_LIBRARY, f"{_NAME}_{name}")
    function.argtypes = types
    return function


_POINTER = ctypes.c_void_p
_RESET = _function("reset", _POINTER)
_STEP = _function("step", _POINTER, _POINTER, _POINTER)
_RUN = _function("run", _POINTER, _POINTER, ctypes.c_int32, _POINTER)
_SAVE = _function("save", _POINTER, _POINTER)
_RESTORE = _function("restore", _POINTER, _POINTER)
_SET_POLICY = _function("set_policy", _POINTER, ctypes.c_int32)
_REFUSED_SO_FAR = _function("refused", _POINTER)
_SELF_TEST = _function("self_test", _POINTER)


def _floats(values: Any) -> tuple[memoryview, tuple[int, ...]]:
    """Contiguous float32 values and their shape: a view of a float32 buffer, a copy of anything else."""
    try:
        view = memoryview(values)
    except TypeError:
        view = None
    if view is not None and view.format == "f" and view.c_contiguous:
        return view, tuple(view.shape or ())
    try:
        rows = values.tolist() if hasattr(values, "tolist") else list(values)
        if rows and isinstance(rows[0], (list, tuple, array.array)):
            if len({len(row) for row in rows}) > 1:
                raise ValueError(f"{_NAME} got rows of different lengths, expected {META['input_size']}.")
            return memoryview(array.array("f", [v for row in rows for v in row])), (len(rows), len(rows[0]))
        return memoryview(array.array("f", rows)), (len(rows),)
    except (TypeError, OverflowError):
        raise ValueError(
            f"{_NAME} got {type(values).__name__}, expected rows of length {META['input_size']}."
        ) from None


def _address(view: memoryview) -> Any:
    """Address of a buffer; a read-only one is copied, since ctypes takes only writable ones."""
    if view.readonly:
        view = memoryview(bytearray(view))
    return (ctypes.c_char * view.nbytes).from_buffer(view) if view.nbytes else ctypes.c_char()


def _room(*shape: int) -> Any:
    """Allocate float32 output: a NumPy array if NumPy is imported."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        return numpy.zeros(shape, numpy.float32)
    count = 1
    for size in shape:
        count *= size
    return array.array("f", bytes(4 * count))


class Stream:
    """Stream of the network over one sequence, in memory allocated at construction; not thread-safe.

    ``on_nonfinite`` selects the handling of a sample that is not finite, or that makes the output so: ``"raise"``
    raises ValueError, ``"hold"`` uses the last finite value of each channel (its mean, or zero, before the first one),
    ``"skip"`` ignores the sample and repeats the last output. Before the first output, that is NaN: there is no answer
    yet.
    """

    def __init__(self, *, on_nonfinite: str = "raise") -> None:
        if on_nonfinite not in _POLICIES:
            raise ValueError(f"Stream on_nonfinite got {on_nonfinite!r}, expected 'raise', 'hold' or 'skip'.")
        self._policy = _POLICIES.index(on_nonfinite)
        self.input_size, self.output_size = META["input_size"], META["output_size"]
        self.labels = tuple(META["labels"])
        alignment = META["state_alignment"]
        self._memory = ctypes.create_string_buffer(META["state_bytes"] + alignment)
        self._state = ctypes.addressof(self._memory) + -ctypes.addressof(self._memory) % alignment
        self._x = (_Float * self.input_size)()
        self._y = _room(self.output_size)
        self._y_address = ctypes.addressof(_Float.from_buffer(self._y))
        if _SELF_TEST(self._state):
            raise OSError(f"{META['library']}: the self-test failed: this machine computes different results.")
        self.reset()

    @property
    def nbytes(self) -> int:
        """Bytes of weights and state together."""
        return int(META["weight_bytes"] + META["state_bytes"])

    @property
    def rejected_samples(self) -> int:
        """Number of samples so far that were held or skipped."""
        return int(_REFUSED_SO_FAR(self._state))

    def step(self, x: Any) -> Any:
        """Take one time step: ``input_size`` numbers in, ``output_size`` out, in the same array each time."""
        try:
            self._x[:] = x
        except (TypeError, ValueError):
            view, shape = _floats(x)
            if shape != (self.input_size,):
                raise ValueError(
                    f"step got shape {shape}, expected ({self.input_size},): one call is one time step."
                ) from None
            self._x[:] = view
        status = _STEP(self._x, self._y_address, self._state)
        if status:
            raise ValueError(f"step got a sample that {_REFUSED.get(status, status)}; the state is unchanged.")
        return self._y

    def run(self, xs: Any) -> Any:
        """Take many time steps: ``(time, input_size)`` numbers, as rows or flat; outputs ``(time, output_size)``."""
        view, shape = _floats(xs)
        if (len(shape) == 2 and shape[1] != self.input_size) or view.nbytes % (4 * self.input_size):
            raise ValueError(f"run got shape {shape}, expected (time, {self.input_size}).")
        count = view.nbytes // (4 * self.input_size)
        ys = _room(count, self.output_size)
        if count:
            given = _address(view)
            done = _RUN(ctypes.byref(given), ctypes.addressof(_Float.from_buffer(ys)), count, self._state)
            if done < count:
                raise ValueError(
                    f"run got xs[{done}], which is not finite or makes the output so; the samples before it have "
                    "been processed."
                )
        return ys

    def reset(self) -> None:
        """Restore the initial state."""
        _RESET(self._state)
        _SET_POLICY(self._state, self._policy)

    def snapshot(self) -> bytes:
        """Serialize the state, in the format of edge_rnn's Stream.snapshot(); each can restore the other's."""
        saved = array.array("f", bytes(4 * META["saved_floats"]))
        _SAVE(self._state, saved.buffer_info()[0])
        if sys.byteorder != "little":
            saved.byteswap()
        payload = saved.tobytes()
        return _SNAPSHOT.pack(_MAGIC, bytes.fromhex(META["fingerprint"]), len(saved), zlib.crc32(payload)) + payload

    def restore(self, snapshot: bytes) -> None:
        """Continue from the state of a :meth:`snapshot`; on a ValueError the state is unchanged."""
        data = bytes(snapshot)
        payload, size = data[_SNAPSHOT.size :], 4 * META["saved_floats"]
        head = (_MAGIC, bytes.fromhex(META["fingerprint"]), META["saved_floats"], zlib.crc32(payload))
        if len(payload) != size or data[: _SNAPSHOT.size] != _SNAPSHOT.pack(*head):
            raise ValueError("restore got bytes that are not a snapshot of this network, or are damaged.")
        saved = array.array("f", payload)
        if sys.byteorder != "little":
            saved.byteswap()
        if _RESTORE(self._state, saved.buffer_info()[0]):
            raise ValueError("restore got a snapshot with non-finite values.")


if __name__ == "__main__":
    stream = Stream()
    print(f"{_NAME}: self-test passed; inputs: {stream.input_size}, outputs: {stream.output_size}")
    for line in sys.stdin:
        print(*(f"{value:.9g}" for value in stream.step([float(word) for word in line.replace(",", " ").split()])))
