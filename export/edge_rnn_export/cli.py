"""Subcommands ``import``, ``export`` and ``verify`` of the ``edge-rnn`` command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_rnn.cli.shared.console import say
from edge_rnn.errors import InputError
from edge_rnn.spelling import counted, listed

__all__ = ["add_export", "add_import", "add_verify"]

_EXPORT = """\
examples:
  edge-rnn export wrist.safetensors -o wrist.onnx
  edge-rnn export wrist.safetensors -o whole.onnx --form sequence
  edge-rnn export wrist.safetensors -o scores.onnx --head logits
  edge-rnn export letters.safetensors -o greedy.onnx --head greedy
  edge-rnn export wrist.safetensors -o small.onnx --precision int8
"""

_VERIFY = """\
examples:
  edge-rnn verify wrist.safetensors wrist.onnx
  edge-rnn verify wrist.safetensors small.onnx --recording walk.csv --steps 10000
"""

_DEST = "option of a reader: "


def add_import(subparsers: Any) -> None:
    """Add ``import``: convert a trained network of another framework to a model file."""
    parser = subparsers.add_parser(
        "import",
        help="convert a trained network of another framework to a model file",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="file of the network; its kind follows from the contents or the file name extension",
    )
    parser.add_argument("-o", "--output", metavar="MODEL", required=True, help="model file to write, .safetensors")
    parser.add_argument("--name", default="", help="name of the network")
    parser.add_argument("--labels", metavar="A,B", help="labels of the outputs")
    parser.add_argument("--sample-rate-hz", metavar="HZ", type=float, help="sample rate in Hz")
    parser.add_argument("--input-names", metavar="A,B", help="names of the inputs")
    parser.add_argument("--input-units", metavar="A,B", help="units of the inputs")
    parser.complete_with(_add_readers)
    parser.set_defaults(func=_import)


def _add_readers(parser: argparse.ArgumentParser) -> None:
    """Add the readers' kinds of files, options and examples to the help."""
    from edge_rnn_export.readers.by_file_name import READERS
    from edge_rnn_export.readers.registry import takers_of_options

    readers = READERS.unique()
    *most, last = (f"{each.what} ({', '.join(each.suffixes)})" for each in readers)
    parser.description = (
        f"Convert a trained network of another framework to a model file of edge_rnn: {', '.join(most)} or {last}. If "
        f"the file holds a recording to check against, or can be run itself (.onnx; Keras if it is installed), "
        f"the result is checked."
    )
    examples = [f"  {example}\n" for each in readers for example in each.examples]
    parser.epilog = "".join(["examples:\n", *examples, *(f"\n{fault}\n" for fault in READERS.contents().faults)])
    groups: dict[tuple[str, ...], Any] = {}
    for option, kinds in takers_of_options(readers).items():
        group = groups.get(kinds) or groups.setdefault(kinds, parser.add_argument_group(f"for {listed(kinds)}"))
        about: dict[str, Any] = {"dest": _DEST + option.name, "help": option.help, "default": None}
        if option.metavar:
            about |= {"metavar": option.metavar, "action": "append" if option.repeated else "store"}
        else:
            about["action"] = "store_true"
        group.add_argument(option.flag, **about)


def add_export(subparsers: Any) -> None:
    """Add ``export``: write a model as an ONNX step graph, verified before it appears."""
    parser = subparsers.add_parser(
        "export",
        help="write a model as an ONNX graph",
        description="Write a model as an ONNX graph of one step or of whole sequences, any batch, with every state as "
        "an input and an output. "
        "Reference, Stream and onnxruntime take the same steps first; the file appears only if they agree.",
        epilog=_EXPORT,
    )
    parser.complete_with(_add_export_options)
    parser.set_defaults(func=_export)


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    from edge_rnn.formats import precisions

    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: MODEL with the extension .onnx")
    parser.add_argument(
        "--form", choices=("step", "sequence"), default="step", help="a graph of one step (default) or of a sequence"
    )
    parser.add_argument(
        "--precision",
        choices=precisions(),
        help="precision of weights; int8 also rounds the vectors they multiply (default: that of the model's matrices)",
    )
    parser.add_argument(
        "--operators",
        choices=("onnxruntime", "standard"),
        default="onnxruntime",
        help="also onnxruntime's own where they are faster (default), or only ONNX's standard operators",
    )
    parser.add_argument(
        "--head",
        choices=("model", "logits", "probabilities", "greedy"),
        default="model",
        help="output of the graph: the model's own (default); scores without softmax; probabilities; or, for text "
        "generation, additionally the best next symbol, with symbols as input",
    )
    parser.add_argument(
        "--opset", metavar="N", type=int, help="ONNX operator set, 17 to 24 (default: the first with all operators)"
    )
    _add_samples(parser)


def add_verify(subparsers: Any) -> None:
    """Add ``verify``: compare an ONNX graph with its model, with the result as the exit code."""
    parser = subparsers.add_parser(
        "verify",
        help="compare an ONNX graph with its model; exit code 1 if they differ",
        description="Compare a graph that export wrote with its model: reference, Stream and onnxruntime take the same "
        "steps, and every state is compared. The exit code is 0 if they agree, and 1 if they do not or if the graph "
        "belongs to another model according to its metadata.",
        epilog=_VERIFY,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    parser.add_argument("graph", metavar="FILE", help="the graph, .onnx or .ort")
    _add_samples(parser)
    parser.set_defaults(func=_verify)


def _add_samples(parser: Any) -> None:
    parser.add_argument(
        "--steps", type=int, help="steps to compare (default: 1000, or all of a recording if that is longer)"
    )
    parser.add_argument(
        "--recording",
        metavar="FILE",
        type=Path,
        help=".npz with x, .npy, or lines of CSV or JSON, to compare on, from its start; default: random samples",
    )


def _import(args: argparse.Namespace) -> int:
    from edge_rnn.storage.model_file import save
    from edge_rnn_export.readers.by_file_name import READERS, import_file
    from edge_rnn_export.readers.registry import names

    if Path(args.output).exists() and Path(args.output).samefile(args.file):
        raise InputError(f"import would overwrite {args.output}, the file that it reads; give -o another name.")
    given = {name: value for name, value in vars(args).items() if name.startswith(_DEST) and value is not None}
    options = {option.name: option for reader in READERS.unique() for option in reader.options}
    found = import_file(
        args.file,
        name=args.name,
        labels=names(args.labels or ""),
        sample_rate_hz=args.sample_rate_hz,
        input_names=names(args.input_names or ""),
        input_units=names(args.input_units or ""),
        **{(own := name.removeprefix(_DEST)): options[own].value(value) for name, value in given.items()},
    )
    save(found.model, args.output)
    say(f"read         {found.kind}: {found.model!r}")
    if found.checked:
        say(f"compared     with {found.checked}")
    if found.unchecked:
        say(f"not compared {found.unchecked}")
    say(f"written      {args.output}, {counted(found.model.num_parameters, 'parameter')}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from edge_rnn.storage.hub import local_file, named_after
    from edge_rnn.storage.model_file import load_local
    from edge_rnn_export.exporting.onnx_file import to_onnx

    output = args.output or str(named_after(args.model).with_suffix(".onnx"))
    file = local_file(args.model)
    if Path(output).exists() and Path(output).samefile(file):
        raise InputError(f"export would overwrite the model {args.model} with the graph; give -o another name.")
    model = load_local(file, args.model)
    xs = _recording(args, model)
    target: dict[str, Any] = {"form": args.form, "precision": args.precision, "operators": args.operators}
    target |= {"head": args.head, "opset": args.opset}
    report = to_onnx(model, output, **target, steps=args.steps, xs=xs)
    say(f"{report}\n\nwritten to {output}", lines=True)
    return 0


def _verify(args: argparse.Namespace) -> int:
    from edge_rnn.storage.model_file import load
    from edge_rnn_export.verification.check import verify

    model = load(args.model)
    report = verify(model, args.graph, steps=args.steps, xs=_recording(args, model))
    say(f"{report}\n\n{args.graph} {'agrees' if report.passed else 'DOES NOT AGREE'} with {args.model}", lines=True)
    return 0 if report.passed else 1


def _recording(args: argparse.Namespace, model: Any) -> Any:
    """Return the samples of ``--recording``, or None."""
    from edge_rnn.recordings.files import read_recording

    return None if args.recording is None else read_recording(args.recording, model, any_rate=True).xs
