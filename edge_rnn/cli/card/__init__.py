"""``edge-rnn card``: write a model card, with a drawing of the network, as a folder for the Hugging Face Hub."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.options import add_rate_options
from edge_rnn.errors import InputError

if TYPE_CHECKING:
    from edge_rnn.cards.markdown import Measured
    from edge_rnn.model import Model

__all__ = ["add"]

_CARD, _DRAWING, _MODEL = "README.md", "network.svg", "model.safetensors"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
_EPILOG = f"""\
Writes the three files of a model repository on the Hugging Face Hub:
  {_CARD:<18} the card: metadata of the model file, usage, measurements, and what is unknown
  {_DRAWING:<18} the network: layers, sizes, loops of state; in colors for light and dark pages
  {_MODEL:<18} the model

The accuracy is in the card only if it is measured now, on a labelled recording or texts as for edge-rnn compare.

examples:
  edge-rnn card wrist.safetensors -o wrist
  edge-rnn card wrist.safetensors -o wrist --recording test.npz --license mit --hub someone/wrist
  hf upload someone/wrist wrist
"""


def add(subparsers: Any) -> None:
    """Add ``card``."""
    parser = subparsers.add_parser(
        "card",
        help="write a model card for the Hugging Face Hub",
        description="Write a model card with a drawing of the network, as a folder that can be uploaded to the Hugging "
        "Face Hub.",
        epilog=_EPILOG,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, type=Path, help="folder, created if necessary")
    parser.add_argument("--license", metavar="ID", default="", help="license of the model as the Hub spells it: mit")
    parser.add_argument(
        "--hub", metavar="USER/MODEL", default="", help="its address on the Hub, for the example in the card"
    )
    parser.add_argument("--recording", metavar="FILE", type=Path, help="measure the accuracy on this recording")
    parser.add_argument("--labels", metavar="FILE", type=Path, help="one label per line, by name or index; or .npy")
    add_rate_options(parser)
    parser.add_argument("--force", action="store_true", help=f"replace an existing {_CARD}")
    parser.set_defaults(func=_card)


def _card(args: argparse.Namespace) -> int:
    from edge_rnn import atomic
    from edge_rnn.cards.description import describe
    from edge_rnn.cards.drawing import draw
    from edge_rnn.cards.markdown import model_card
    from edge_rnn.cli.shared.console import say, waiting
    from edge_rnn.errors import file_access
    from edge_rnn.storage.model_file import load, save

    _check(args)
    model = load(args.model)
    measured = []
    if args.recording:
        with waiting("measuring the accuracy"):
            measured.append(_measured(args, model))
    found = describe(model)
    card = model_card(found, drawing=_DRAWING, license_id=args.license, address=args.hub, measured=measured)
    with file_access(args.output, "cannot be created"):
        args.output.mkdir(parents=True, exist_ok=True)
    save(model, args.output / _MODEL)
    atomic.write(args.output / _DRAWING, draw(found).encode())
    atomic.write(args.output / _CARD, card.encode())
    say(f"written      {', '.join(str(args.output / name) for name in (_CARD, _DRAWING, _MODEL))}")
    for each in measured:
        say(f"{each.metric:<12} {each.text}")
    say(f"next         complete the card, then: hf upload {args.hub or 'USER/MODEL'} {args.output}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Check the options before anything is measured or written."""
    from edge_rnn.storage.hub import is_model_name

    if args.license and not _LICENSE.fullmatch(args.license):
        raise InputError(f"--license got {args.license!r}, expected an identifier of the Hub such as mit, apache-2.0.")
    if args.hub and not is_model_name(args.hub):
        raise InputError(f"--hub got {args.hub!r}, expected USER/MODEL.")
    if args.labels and not args.recording:
        raise InputError("--labels needs --recording, the samples that they belong to.")
    if (args.output / _CARD).exists() and not args.force:
        raise InputError(f"{args.output / _CARD} is there already; --force replaces it, and what was written into it.")


def _measured(args: argparse.Namespace, model: Model) -> Measured:
    """Measure the accuracy on the recording."""
    from edge_rnn.analysis.tasks import RecordingTask
    from edge_rnn.cards.markdown import Measured
    from edge_rnn.cli.compare.task import read_task
    from edge_rnn.cli.compare.view import spell_share
    from edge_rnn.cli.report.page import measured_on
    from edge_rnn.spelling import counted

    models = {"the model": model}
    asked = read_task("card", args.recording, args.labels, models, any_rate=args.any_rate, resample=args.resample)
    score = asked.task.score(model)
    name = args.recording.name
    if isinstance(asked.task, RecordingTask):
        of = counted(score.of, "sample")
        how = (
            f"share of samples of {name} whose largest output is their label, state carried from the first to the "
            f"last. Always answering with the most frequent label is correct for {asked.task.commonest:.2%}"
        )
    else:
        of = counted(score.of, "symbol")
        how = (
            f"share of symbols in {counted(len(asked.task.texts), 'text')} of {name} after which the most likely "
            f"symbols, as many as the grammar allows next, are exactly the allowed ones; state reset before each text"
        )
    text = f"{spell_share(score.accuracy)}, {score.right:,} of {of}"
    return Measured("accuracy", score.accuracy, name, text, f"Accuracy: {how}. {measured_on()}.")
