"""Compare the formats of matrices with float32, and int8 with other runtimes' int8; see README.md in this folder."""

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
from edge_rnn.bench.networks import CELLS, SHAPES, table
from edge_rnn.cli.shared.console import spell_ns
from edge_rnn.quantization.apply import matrices
from edge_rnn.recordings.random_samples import random_samples
from edge_rnn.timing import calls, runs, time_chunks, turns
from edge_rnn_export.rivals.int8 import int8_rivals

FORMATS = ("float16", "int8", "w8a8", "int4", "sparse:0.75")
BEGIN, END = "<!-- benchmark: formats -->", "<!-- /benchmark: formats -->"
STEPS = 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the table between this file's markers")
    parser.add_argument("--litert", metavar="DIR", help="folder of .tflite files: lstm_16_64_int8.tflite …")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep what was measured")
    parser.add_argument("--from", metavar="FILE", type=Path, dest="source", help="take what was measured from here")
    args = parser.parse_args()
    found = json.loads(args.source.read_text(encoding="utf-8")) if args.source else measure(args.litert)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = "\n".join(report(found)) + "\n"
    if args.write:
        insert(args.write, text, BEGIN, END)
    else:
        print(text, end="")
    return 0


def measure(litert: str | None) -> dict[str, Any]:
    shapes = [shape for shape in SHAPES if shape[1] >= 32]
    rows = [_row(entry, litert) for entry in table(CELLS, shapes)]
    return {**conditions(), "rows": rows}


def _row(entry: Any, litert: str | None) -> dict[str, Any]:
    """Time steps in a compiled loop, formats in turn; then int8 against rivals, from Python and over a sequence."""
    xs = random_samples(entry.model, STEPS)
    models = {format_: _in_format(entry.model, format_) for format_ in FORMATS}
    streams = {"float32": edge_rnn.Stream(entry.model)} | {name: edge_rnn.Stream(m) for name, m in models.items()}
    loops = time_chunks({name: runs(stream, xs) for name, stream in streams.items()}, seconds=0.5)

    few, ours = xs[:64], streams["int8"]
    expected = edge_rnn.Stream(entry.model).run(xs)
    rivals = list(int8_rivals(entry.model, litert))
    makes = {"step": calls(ours.step, few), "for": calls(None, few), "run": turns(partial(ours.run, xs))}
    errors = {}
    for rival in rivals:
        step = rival.start()
        theirs = np.array([np.array(step(x)) for x in xs[:200]])
        errors[rival.name] = float(np.abs(theirs - expected[:200]).max())
        makes[f"step {rival.name}"] = calls(rival.start(), few)
        makes |= {f"run {rival.name}": turns(partial(rival.run, xs))} if rival.run else {}
    times = time_chunks(makes, seconds=0.3)
    loop = times["for"].ns
    return {
        "cell": entry.cell,
        "input_size": entry.input_size,
        "hidden_size": entry.hidden_size,
        "loop_ns": {name: round(each.ns, 2) for name, each in loops.items()},
        "weight_bytes": {name: stream.memory.weights for name, stream in streams.items()},
        "max_abs_error": errors | {"ours": float(np.abs(edge_rnn.Stream(models["int8"]).run(xs) - expected).max())},
        "python_ns": round(times["step"].ns - loop, 1),
        "run_ns": round(times["run"].ns / STEPS, 2),
        "rivals": {
            rival.name: {
                "python_ns": round(times[f"step {rival.name}"].ns - loop, 1),
                "run_ns": round(times[f"run {rival.name}"].ns / STEPS, 2) if rival.run else None,
            }
            for rival in rivals
        },
    }


def _in_format(model: edge_rnn.Model, format_: str) -> edge_rnn.Model:
    """Convert all matrices of a model to a format; a matrix with one column cannot be pruned."""
    if not format_.startswith("sparse"):
        return edge_rnn.quantize(model, format_)
    names = [name for name, matrix in matrices(model).items() if matrix.shape[1] > 1]
    return edge_rnn.quantize(model, dict.fromkeys(names, format_))


def report(found: dict[str, Any]) -> Iterator[str]:
    """Format the tables as lines of Markdown."""
    yield "Step time in a compiled loop, and speed-up over float32:"
    yield ""
    yield from markdown(
        ("", "float32", *FORMATS),
        [
            (
                f"{CELLS[row['cell']]} ({row['input_size']}, {row['hidden_size']})",
                spell_ns(row["loop_ns"]["float32"]),
                *(
                    f"{spell_ns(row['loop_ns'][name])}, {row['loop_ns']['float32'] / row['loop_ns'][name]:.2f}x"
                    for name in FORMATS
                ),
            )
            for row in found["rows"]
        ],
    )
    yield ""
    yield "int8 against int8 elsewhere, from Python and a step of a sequence of 1000, ours first:"
    yield ""
    names = list(dict.fromkeys(name for row in found["rows"] for name in row["rivals"]))
    columns = [(name, key) for name in names for key in ("python_ns", "run_ns")]
    columns = [each for each in columns if any(row["rivals"].get(each[0], {}).get(each[1]) for row in found["rows"])]
    spelled = {"python_ns": "from Python", "run_ns": "sequence"}
    yield from markdown(
        ("", "from Python", "sequence", *(f"{name}, {spelled[key]}" for name, key in columns)),
        [
            (
                f"{CELLS[row['cell']]} ({row['input_size']}, {row['hidden_size']})",
                spell_ns(row["python_ns"]),
                spell_ns(row["run_ns"]),
                *(_against(row, name, key) for name, key in columns),
            )
            for row in found["rows"]
            if row["rivals"]
        ],
    )
    yield ""
    versions = ", ".join(f"{each} {found['packages'][each]}" for each in PACKAGES if each in found["packages"])
    yield f"Measured {found['date'][:10]} with edge_rnn {found['version']} on {found['processor']}; {versions}."


def _against(row: dict[str, Any], name: str, key: str) -> str:
    theirs = row["rivals"].get(name, {}).get(key)
    return f"{spell_ns(theirs)}, {theirs / row[key]:.2f}x" if theirs else ""


if __name__ == "__main__":
    raise SystemExit(main())
