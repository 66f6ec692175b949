"""Measure this machine with ``edge-rnn bench`` and write the tables of docs/benchmarks.md; see README.md here."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_rnn.bench.networks import CELLS
from edge_rnn.cli import main as edge_rnn_command
from edge_rnn.cli.shared.console import spell_ns

BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
RIVALS = ("LiteRT", "onnxruntime, I/O binding", "onnxruntime", "PyTorch", "NumPy")
PACKAGES = ("numba", "numpy", "ai-edge-litert", "onnxruntime", "torch")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the tables between this file's markers")
    parser.add_argument("--litert", metavar="DIR", help="folder of .tflite files")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep what was measured")
    parser.add_argument("--from", metavar="FILE", type=Path, dest="source", help="take what was measured from here")
    parser.add_argument("--cell", action="append", choices=CELLS, help="only this cell")
    parser.add_argument("--shape", action="append", metavar="I,H", help="only this shape")
    args = parser.parse_args()
    if args.write and not (args.write.is_file() and BEGIN in args.write.read_text(encoding="utf-8")):
        parser.error(f"{args.write} has no line {BEGIN}")
    found = json.loads(args.source.read_text(encoding="utf-8")) if args.source else measure(args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = "\n".join(report(found)) + "\n"
    if args.write:
        insert(args.write, text)
    else:
        print(text, end="")
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Results of the three commands."""
    only = [word for cell in args.cell or () for word in ("--cell", cell)]
    only += [word for shape in args.shape or () for word in ("--shape", shape)]
    litert = ["--litert", args.litert] if args.litert else []
    return {
        "table": bench("--table", "--rivals", *litert, *only),
        "startup": bench("--startup"),
        "denormals": bench("--denormals"),
    }


def bench(*arguments: str) -> dict[str, Any]:
    """Run ``edge-rnn bench`` with these arguments, in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = edge_rnn_command(["bench", *arguments, "--json"])
    if code:
        raise SystemExit(code)
    result: dict[str, Any] = json.loads(out.getvalue())
    return result


def report(found: Mapping[str, Any]) -> Iterator[str]:
    """Format the tables as lines of Markdown."""
    table = found["table"]
    rows = table["rows"]
    yield "Time of one step of a cell and a Dense layer of 4, by input and hidden size:"
    yield ""
    yield from markdown(
        ("", "compiled loop", "from Python", "p99", "roofline", "`run`, 1000 steps"),
        [
            (
                name(row),
                spell_ns(row["loop_ns_min"]),
                spell_ns(row["python_ns"]),
                spell_ns(row["step_ns_p99"]),
                f"{row['roofline_fraction']:.0%}" if row["roofline_fraction"] else "",
                spell_ns(row["run_ns_1000"]),
            )
            for row in rows
        ],
    )
    present = [rival for rival in RIVALS if any(by_name(row, rival) for row in rows)]
    if present:
        yield ""
        yield (
            "Step times of other runtimes, called from Python, and their ratio to edge_rnn's, which was timed again in "
            "turn with them:"
        )
        yield ""
        whole = [rival for rival in present if any((by_name(row, rival) or {}).get("run_ratio") for row in rows)]
        yield from markdown(
            ("", "ours", *present, *(f"{rival}, 1000 steps in one call" for rival in ("ours", *whole))),
            [
                (
                    name(row),
                    ours(row, "ours_python_ns"),
                    *(against(by_name(row, rival), "python_ns", "ratio") for rival in present),
                    ours(row, "ours_run_ns_1000"),
                    *(against(by_name(row, rival), "run_ns_1000", "run_ratio") for rival in whole),
                )
                for row in rows
            ],
        )
        worst = max((rival["max_abs_error"] for row in rows for rival in row["rivals"]), default=0.0)
        yield ""
        yield f"Outputs were compared before timing and differ by {worst:.0e} at most."
        settings = {rival["name"]: rival["how"] for row in rows for rival in row["rivals"]}
        yield "; ".join(f"{rival}: {how}" for rival, how in settings.items()) + "."
    yield ""
    yield from startup(found["startup"])
    yield ""
    yield from denormals(found["denormals"]["rows"])
    yield ""
    versions = ", ".join(f"{each} {table['packages'][each]}" for each in PACKAGES if each in table["packages"])
    scaling = table["frequency_scaling"] or "not reported by the system"
    yield (
        f"Measured {table['date'][:10]} with edge_rnn {table['version']} on {table['processor']}, {table['python']}; "
        f"{versions}; one core, frequency scaling {scaling}. `tests/benchmarks/README.md` says how."
    )


def startup(found: Mapping[str, Any]) -> Iterator[str]:
    labels = {
        "python": "Python alone",
        "numpy": "`import numpy`",
        "numba": "`import numba`, call an empty cached function",
        "edge_rnn": "load a GRU and Dense, first step",
    }
    yield "From the start of a process to the first result:"
    yield ""
    rows = []
    for key, label in labels.items():
        cells = []
        for kind in (key, f"{key}_cold"):
            seconds, peak = found.get(f"{kind}_seconds"), found.get(f"{kind}_peak_bytes")
            cells += [spell_ns(seconds * 1e9), f"{peak / 1e6:.0f} MB"] if seconds and peak else ["", ""]
        rows.append((label, *cells))
    yield from markdown(("", "cached", "peak memory", "nothing cached", "peak memory"), rows)


def denormals(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ratios = [row["ratio"] for row in rows]
    yield (
        f"Steps from a state that has decayed below float32's normal range take {min(ratios):.2f} to "
        f"{max(ratios):.2f} of the usual step time."
    )


def name(row: Mapping[str, Any]) -> str:
    return f"{CELLS[row['cell']]} ({row['input_size']}, {row['hidden_size']})"


def by_name(row: Mapping[str, Any], rival: str) -> Mapping[str, Any] | None:
    return next((each for each in row["rivals"] if each["name"] == rival), None)


def ours(row: Mapping[str, Any], time: str) -> str:
    """Time of edge_rnn in the run with the rivals."""
    return next((spell_ns(rival[time]) for rival in row["rivals"] if rival[time]), "")


def against(rival: Mapping[str, Any] | None, time: str, ratio: str) -> str:
    if rival is None or rival[ratio] is None:
        return ""
    times = rival[ratio]
    return f"{spell_ns(rival[time])}, {times:.{0 if times >= 100 else 1 if times >= 10 else 2}f}x"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join(["---"] + ["---:"] * (len(head) - 1)) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def insert(path: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put ``text`` between the markers of a file, atomically."""
    before, opened, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise SystemExit(f"{path} has no {begin} with {end} after it")
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        aside.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


if __name__ == "__main__":
    raise SystemExit(main())
