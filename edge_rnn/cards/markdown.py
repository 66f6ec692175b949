"""Model card as Markdown, with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_rnn.cards.description import COLUMNS, facts, layer_rows, sentence
from edge_rnn.printable import printable

__all__ = ["Measured", "escape", "model_card"]

_MARKUP = re.compile(r"[\\`*{}\[\]<>#|~&$!@^]|_(?![A-Za-z0-9])|(?<![A-Za-z0-9])_|(?<=www)\.|:(?=//)", re.IGNORECASE)
"""Characters that could begin markup, HTML, a link, a mention or a formula inside of a line."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Metric that was measured on a recording when the card was written.

    Parameters
    ----------
    metric
        Name among the Hub's metrics: ``"accuracy"``.
    value
        Its value.
    recording
        Name of the recording.
    text
        The value, spelled out.
    method
        How it was measured, in one or two sentences.
    """

    metric: str
    value: float
    recording: str
    text: str
    method: str


def model_card(
    found: Mapping[str, Any],
    *,
    drawing: str = "",
    license_id: str = "",
    address: str = "",
    measured: Sequence[Measured] = (),
) -> str:
    """Write a model card, of what the model file says and what was measured: nothing else is in it.

    Parameters
    ----------
    found
        Result of :func:`edge_rnn.cards.description.describe`.
    drawing
        File name of a drawing in the card's folder, to show in the card.
    license_id
        License as the Hub spells it, such as ``"mit"``; empty: the card says that none is stated.
    address
        Where it will be on the Hub, ``"user/model"``, for the example.
    measured
        Metrics.

    Returns
    -------
    str
        Text of a ``README.md``. Names from the model file are escaped: they are never markup.
    """
    name = found["name"] or "Unnamed network"
    layers = [[cell.replace("  ", ", ") for cell in row] for row in layer_rows(found)]
    parts = [
        _front_matter(found, license_id, measured),
        f"# {escape(name)}",
        escape(sentence(found)),
        *([f"![Layers of the network]({drawing})"] if drawing else []),
        _table(("", ""), ("left", "left"), facts(found).items()),
        "## Use",
        _use(found, address),
        "## Layers",
        _table(tuple(COLUMNS), tuple(COLUMNS.values()), layers),
    ]
    equations = {each["name"]: each["equation"]["text"] for each in found["layers"] if "equation" in each}
    if equations:
        parts.append("## Equations")
        if any(each["states"] for each in found["layers"] if "equation" in each):
            parts.append("A prime marks the new value of a state.")
        parts += [f"{escape(name)}:\n\n```text\n{text}\n```" for name, text in equations.items()]
    if measured:
        parts += ["## Measured", _table(("metric", "value"), ("left", "left"), [(m.metric, m.text) for m in measured])]
        parts += [escape(each.method) for each in measured]
    parts += ["## Not stated", _not_stated(license_id, measured)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Escape a text for a line of Markdown: no markup, no HTML, no links; non-printable characters spelled out."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(printable(text).split()))


def _front_matter(found: Mapping[str, Any], license_id: str, measured: Sequence[Measured]) -> str:
    """Front matter in YAML: every text from outside is a JSON string on one line, which YAML reads as one text."""
    kinds = list(dict.fromkeys(each["kind"].lower() for each in found["layers"] if each["states"]))
    lines = ["---", "library_name: edge-rnn"]
    lines += [f"license: {_quoted(license_id)}"] if license_id else []
    lines += ["tags:", *(f"- {tag}" for tag in ("edge-rnn", "recurrent-neural-network", "streaming", *kinds))]
    if measured:
        lines += ["metrics:", *(f"- {_quoted(each.metric)}" for each in measured), "model-index:"]
        lines += [f"- name: {_quoted(found['name'] or 'unnamed')}", "  results:"]
        for each in measured:
            lines += ["  - task:", "      type: other", "    dataset:", f"      name: {_quoted(each.recording)}"]
            lines += ["      type: recording", "    metrics:", f"    - type: {_quoted(each.metric)}"]
            lines += [f"      value: {each.value!r}"]
    return "\n".join([*lines, "---"])


def _quoted(text: str) -> str:
    return json.dumps(printable(text), ensure_ascii=False)


def _table(names: Sequence[str], sides: Sequence[str], rows: Any) -> str:
    rules = ["---:" if side == "right" else "---" for side in sides]
    lines = [names, rules, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _use(found: Mapping[str, Any], address: str) -> str:
    extra, place = ("[hub]", f"hf://{address}") if address else ("", "model.safetensors")
    sample = "one sample, in the units above" if found["input_units"] else "one sample"
    lines = [
        f"`pip install 'edge-rnn{extra}'`, then for each sample as it comes:",
        "",
        "```python",
        "import edge_rnn",
        "import numpy as np",
        "",
        f'model = edge_rnn.load("{place}")',
        "stream = edge_rnn.Stream(model)  # keeps the state from sample to sample",
        f"x = np.zeros({found['input_size']}, np.float32)  # {sample}",
        "y = stream.step(x)" + ("\nprint(model.labels[y.argmax()])" if len(found["labels"]) > 1 else ""),
        "```",
    ]
    return "\n".join(lines)


def _not_stated(license_id: str, measured: Sequence[Measured]) -> str:
    """Say what a reader would look for and the model file does not tell."""
    missing = [
        "what it is for, and what it must not be used for",
        "the data that it was trained on",
        *([] if measured else ["its accuracy"]),
        *([] if license_id else ["its license"]),
    ]
    return "The card was written from the model file, which does not say: " + "; ".join(missing) + "."
