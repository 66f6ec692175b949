"""Compare graphs in smaller formats with those in float32, all in onnxruntime; see README.md in this folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from report import PACKAGES, insert, markdown

import edge_rnn
from edge_rnn.bench.conditions import conditions
from edge_rnn.bench.networks import CELLS, table
from edge_rnn.cli.shared.console import spell_ns
from edge_rnn.recordings.random_samples import random_samples
from edge_rnn.timing import Make, calls, time_chunks, turns
from edge_rnn_export.runtime.session import bound_step, session
from graphs import graph_of

SHAPES = ((16, 64), (40, 128), (64, 256), (128, 512))
TARGETS = {
    "float32": ("float32", "onnxruntime"),
    "float16": ("float16", "onnxruntime"),
    "int8": ("int8", "onnxruntime"),
    "int8, standard": ("int8", "standard"),
    "int8-weights": ("int8-weights", "onnxruntime"),
    "int4": ("int4", "onnxruntime"),
    "int4, standard": ("int4", "standard"),
}
FORMS = {
    "step": "A step, I/O binding",
    "turn": "A step where four such networks take turns, and share the caches",
    "sequence": "A step of a sequence of 100 in one call",
}
BEGIN, END = "<!-- benchmark: onnx precision -->", "<!-- /benchmark: onnx precision -->"
STEPS = 100
NETWORKS = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the tables between this file's markers")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep what was measured")
    parser.add_argument("--from", metavar="FILE", type=Path, dest="source", help="take what was measured from here")
    args = parser.parse_args()
    found = json.loads(args.source.read_text(encoding="utf-8")) if args.source else measure()
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = "\n".join(report(found)) + "\n"
    if args.write:
        insert(args.write, text, BEGIN, END)
    else:
        print(text, end="")
    return 0


def measure() -> dict[str, Any]:
    return {**conditions(), "rows": [_row(entry) for entry in table(CELLS, SHAPES)]}


def _row(entry: Any) -> dict[str, Any]:
    """Time all targets in turn, on one thread that does not spin."""
    model, xs = entry.model, random_samples(entry.model, STEPS)
    expected = edge_rnn.Stream(model).run(xs).astype(np.float64)
    nbytes, errors, makes = {}, {}, {}
    for name, target in TARGETS.items():
        step = graph_of(model, "step", *target).SerializeToString(deterministic=True)
        sequence = graph_of(model, "sequence", *target).SerializeToString(deterministic=True)
        nbytes[name] = len(step)
        call = bound_step(session(step), model)
        ys = np.array([call(x).copy() for x in xs], np.float64)
        errors[name] = float(np.sqrt(np.square(ys - expected).sum() / np.square(expected).sum()))
        makes[f"step {name}"] = calls(bound_step(session(step), model), xs[:64])
        makes[f"turn {name}"] = turns(
            partial(_each, [bound_step(session(step), model) for _ in range(NETWORKS)], xs[0])
        )
        makes[f"sequence {name}"] = _whole(session(sequence), model, xs)
    makes["for"] = calls(None, xs[:64])
    times = time_chunks(makes, seconds=0.4)
    ns = {f"step {name}": times[f"step {name}"].ns - times["for"].ns for name in TARGETS}
    ns |= {f"turn {name}": times[f"turn {name}"].ns / NETWORKS for name in TARGETS}
    ns |= {f"sequence {name}": times[f"sequence {name}"].ns / STEPS for name in TARGETS}
    return {
        "cell": entry.cell,
        "input_size": entry.input_size,
        "hidden_size": entry.hidden_size,
        "bytes": nbytes,
        "relative_rms": errors,
        "ns": {name: round(each, 1) for name, each in ns.items()},
    }


def _each(steps: list[Any], x: Any) -> None:
    for step in steps:
        step(x)


def _whole(loaded: Any, model: edge_rnn.Model, xs: Any) -> Make:
    states = {name: value[None, None] for name, value in model.initial_state.items()}
    return turns(partial(loaded.run, None, {"x": xs[:, None], **states}))


def report(found: dict[str, Any]) -> Iterator[str]:
    """Format the tables as lines of Markdown."""
    others = [name for name in TARGETS if name != "float32"]

    def title(row: dict[str, Any]) -> str:
        return f"{CELLS[row['cell']]} ({row['input_size']}, {row['hidden_size']})"

    for form, what in FORMS.items():
        yield f"{what}, and speed-up over float32:"
        yield ""
        rows = [
            (
                title(row),
                spell_ns(row["ns"][f"{form} float32"]),
                *(
                    f"{spell_ns(row['ns'][f'{form} {name}'])}, "
                    f"{row['ns'][f'{form} float32'] / row['ns'][f'{form} {name}']:.2f}x"
                    for name in others
                ),
            )
            for row in found["rows"]
        ]
        yield from markdown(("", "float32", *others), rows)
        yield ""
    yield "Bytes of the file of a step, how many times smaller, and relative RMS from float32 over 100 steps:"
    yield ""
    rows = [
        (
            title(row),
            f"{row['bytes']['float32']:,}",
            *(
                f"{row['bytes'][name]:,}, {row['bytes']['float32'] / row['bytes'][name]:.2f}x, "
                f"{row['relative_rms'][name]:.1e}"
                for name in others
            ),
        )
        for row in found["rows"]
    ]
    yield from markdown(("", "float32", *others), rows)
    yield ""
    versions = ", ".join(f"{each} {found['packages'][each]}" for each in PACKAGES if each in found["packages"])
    yield (
        f"Measured {found['date'][:10]} with edge_rnn {found['version']} on {found['processor']}, one thread, no "
        f"spinning; {versions}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
