"""Write the figures of the boards' pages, as ``edge-rnn fit`` estimates them; see README.md in this folder."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from report import insert, markdown

import edge_rnn
from edge_rnn import Model, boards, data_path
from edge_rnn.bench.networks import CELLS, table
from edge_rnn.boards.fitting import fit
from edge_rnn.boards.fitting.step_time import METHODS
from edge_rnn.cli.shared.console import spell_ns

BEGIN, END = "<!-- fit -->", "<!-- /fit -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", action="append", help="only this one")
    parser.add_argument("--write", action="store_true", help="put the tables into the pages, else print them")
    args = parser.parse_args()
    models = list(networks())
    for name in args.device or boards.names():
        text = "\n".join(page(boards.load(name), models)) + "\n"
        if args.write:
            insert(data_path(f"{name}/README.md"), text, BEGIN, END)
        else:
            print(text)
    return 0


def networks() -> Iterator[tuple[str, Model]]:
    """Networks of the table: the smart watch's and two of the benchmark's."""
    yield "`smart_watch/gru`", edge_rnn.load(data_path("smart_watch/gru.safetensors"))
    for entry in table(["lstm"], [(16, 64), (64, 256)]):
        yield f"{CELLS[entry.cell]} ({entry.input_size}, {entry.hidden_size}), Dense 4", entry.model


def page(board: boards.Device, models: list[tuple[str, Model]]) -> Iterator[str]:
    rows, methods = [], {}
    for name, model in models:
        found = fit(model, board)
        methods[found.estimate.method.name] = found.estimate
        step = spell_ns(found.estimate.ns) if found.fits_memory else "too large"
        rows.append((name, f"{found.weight_bytes:,}", f"{found.code_bytes:,}", f"{found.state_bytes:,}", step))
    yield from markdown(("network", "weights, bytes", "code, bytes", "state, bytes", "step, estimated"), rows)
    yield ""
    for name, estimate in methods.items():
        method = METHODS[name]
        yield (
            f"Estimates, not measured on this board. Method: {method.how}. On x86-64, the only architecture where "
            f"this was checked, measured times were {method.low:g} to {method.high:g} times the estimates."
        )
        yield from (f"No better method: {reason}" for reason in estimate.why_not)


if __name__ == "__main__":
    raise SystemExit(main())
