"""Read archives of ``torch.export.save``: tensors by name, and forward as a graph in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edge_rnn.errors import EdgeRnnError, FileError
from edge_rnn_export.readers.torch.archive_members import ZipArchive
from edge_rnn_export.readers.torch.pickled import Storage, Tensor
from edge_rnn_export.readers.torch.script_operators import Operators
from edge_rnn_export.readers.torch.script_symbols import (
    LAYOUTS,
    OPAQUE,
    Data,
    LayoutError,
    Step,
    UnreadableError,
    Weight,
    check_steps,
)

__all__ = ["CONFIG", "OLD_STATE", "Exported"]

CONFIG = "data/weights/model_weights_config.json"
"""Member that names the tensors."""
OLD_STATE = "serialized_state_dict.pt"
"""Member with the state_dict, before PyTorch 2.8."""

_MOST_TEXT = 2**24
_TREE_BYTES = 16
"""Memory of a tree of JSON, per byte of text."""
_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 34: "uint32", 35: "uint64",
}  # fmt: skip
_WHOLE_NUMBERS = {1, 2, 3, 4, 5}


class Exported(ZipArchive):
    """The format since PyTorch 2.8."""

    def __init__(self, path: str, data: bytes) -> None:
        super().__init__(path, data, CONFIG)
        self.root = {name: _tensor(each) for name, each in self._json(CONFIG)["config"].items()}

    def steps(self, state: Mapping[str, Tensor]) -> tuple[Step, ...] | None:
        """Return the steps of forward, from its graph; None without one."""
        if f"{self._folder}models/model.json" not in self._names:
            return None
        try:
            return _steps(self._json("models/model.json")["graph_module"], set(state))
        except (EdgeRnnError, UnreadableError, MemoryError):
            raise
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableError(f"its graph is damaged ({type(error).__name__})") from None

    def _json(self, name: str) -> Any:
        found = json.loads(self._deflated(name, _MOST_TEXT, _TREE_BYTES) or "null")
        if not isinstance(found, dict):
            raise FileError(f"{self._path} holds no {name}.")
        return found

    def _bytes_of(self, storage: Storage) -> bytes:
        if storage.key not in self._raw:
            self._raw[storage.key] = self._stored(f"data/weights/{storage.key}")
        return self._raw[storage.key]


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    about = entry["tensor_meta"]
    dtype = _TYPES.get(about["dtype"], f"type {about['dtype']}")
    size, stride = (tuple(_number(each) for each in about[key]) for key in ("sizes", "strides"))
    refusal = "pickled inside of the archive" if entry["use_pickle"] else ""
    return Tensor(Storage(entry["path_name"], dtype, 0), _number(about["storage_offset"]), size, stride, dtype, refusal)


def _number(entry: Mapping[str, Any]) -> Any:
    return entry.get("as_int", entry)


def _steps(module: Mapping[str, Any], tensors: set[str]) -> tuple[Step, ...]:
    graph, signature = module["graph"], module["signature"]
    names: dict[str, Any] = {}
    inputs: list[str] = []
    for spec in signature["input_specs"]:
        ((kind, each),) = spec.items()
        if kind in ("parameter", "buffer"):
            names[each["arg"]["name"]] = Weight(each[f"{kind}_name"])
        elif kind == "user_input" and "as_tensor" in each["arg"]:
            inputs.append(each["arg"]["as_tensor"]["name"])
        elif kind != "user_input":
            raise UnreadableError(f"it has an input of the kind {kind[:40]!r}")
    if not inputs:
        raise UnreadableError("forward takes no tensor")
    names |= {name: Weight(f"argument {name}") for name in inputs}
    about = graph["tensor_values"][inputs[0]]
    found, others = set(), []
    for axes in LAYOUTS:
        if len(axes) == len(about["sizes"]) and (about["dtype"] in _WHOLE_NUMBERS) == ("F" not in axes):
            try:
                found.add(_followed(graph, signature, names | {inputs[0]: Data((), axes)}, tensors, axes))
            except LayoutError as error:
                others.append(str(error))
    if len(found) != 1:
        several = "its axes may be read in several ways" if found else f"its input has {len(about['sizes'])} axes"
        raise UnreadableError(next(iter([] if found else others), several))
    return found.pop()


def _followed(
    graph: Mapping[str, Any],
    signature: Mapping[str, Any],
    names: dict[str, Any],
    tensors: set[str],
    axes: Sequence[str],
) -> tuple[Step, ...]:
    """Follow the graph with an input whose axes have these meanings."""
    apply = Operators()
    for node in graph["nodes"]:
        title = str(node["target"])
        name = title.removeprefix("torch.ops.aten.").partition(".")[0]
        given = [_argument(each["arg"], names) for each in node["inputs"] if each["kind"] == 1]
        keywords = [_argument(each["arg"], names) for each in node["inputs"] if each["kind"] != 1]
        if any(isinstance(each, Data) for each in keywords) or not title.startswith("torch.ops.aten."):
            raise UnreadableError(f"it calls {title[:80]}")
        result = apply(f"torch.{name}", [apply.current(each) if name != "copy_" else each for each in given])
        results = result if isinstance(result, tuple) else (result,)
        outputs = [each["as_tensor"]["name"] for each in node["outputs"] if "as_tensor" in each]
        names |= dict(zip(outputs, results if len(results) == len(outputs) else [OPAQUE] * len(outputs), strict=True))
    returned = []
    for spec in signature["output_specs"]:
        ((kind, each),) = spec.items()
        value = names.get(each["arg"].get("as_tensor", each["arg"]).get("name"))
        if kind == "buffer_mutation":
            apply.stored[each["buffer_name"]] = value
        elif kind == "user_output":
            returned.append(value)
        else:
            raise UnreadableError(f"it has an output of the kind {kind[:40]!r}")
    data = [each for each in returned if isinstance(each, Data)]
    outputs_of_data = [each for each in data if each.role < 0]
    if len(outputs_of_data) != 1:
        raise UnreadableError(f"forward returns {len(outputs_of_data)} outputs")
    return check_steps(outputs_of_data[0].chain, tensors, apply.stored, data, apply.changed, whole="T" in axes)


def _argument(entry: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
    ((kind, value),) = entry.items()
    if kind == "as_tensor":
        return names.get(value["name"], OPAQUE)
    if kind in ("as_tensors", "as_optional_tensors"):
        return tuple(names.get(each.get("name", ""), OPAQUE) for each in value)
    if kind in ("as_int", "as_float", "as_bool"):
        return value
    return None if kind == "as_none" else tuple(value) if kind == "as_ints" else OPAQUE
