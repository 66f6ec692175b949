"""``edge-rnn generate``: continue a prompt, symbol by symbol."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.console import say
from edge_rnn.cli.shared.options import positive_int
from edge_rnn.errors import InputError
from edge_rnn.printable import printable

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["add"]

_EPILOG = """\
The prompt is split into symbols of the model's vocabulary, longest match first; edge-rnn inspect shows the vocabulary.
A model without a vocabulary reads and writes symbol ids, separated by spaces.

output:
  The prompt and its continuation, written symbol by symbol, and a newline. With --json, one line per text:
  {"prompt": "B", "text": "TBTX…", "symbols": [1, 0, …], "log_probabilities": [-0.7, …], "stopped": true}

The same seed gives the same text. With --count, text k uses the seed --seed + k, so that each can be reproduced alone.

examples:
  edge-rnn generate lstm.safetensors --prompt B --stop TE --stop PE --count 5
  edge-rnn generate letters.safetensors --prompt "The " --temperature 0.7 --top-p 0.95 --max-length 400
  echo -n "The " | edge-rnn generate letters.safetensors --prompt - | fold
  edge-rnn generate lstm.safetensors --prompt B --stop TE --stop PE --beam 64 --count 3
"""
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")


def add(subparsers: Any) -> None:
    """Add ``generate``."""
    parser = subparsers.add_parser(
        "generate",
        help="continue a prompt with a network of symbols",
        description="Continue a prompt with a network that reads and writes symbols; print each one as it is sampled.",
        epilog=_EPILOG,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    parser.add_argument("--prompt", metavar="TEXT", required=True, help="text to read first; - for stdin")
    parser.add_argument("--max-length", metavar="N", type=positive_int, default=200, help="symbols, default 200")
    parser.add_argument("--stop", metavar="TEXT", action="append", default=[], help="stop sequence; may be repeated")
    parser.add_argument("--temperature", metavar="T", type=float, help="0: always the most likely symbol; default 1")
    parser.add_argument("--top-k", metavar="K", type=int, help="sample from the K most likely symbols")
    parser.add_argument(
        "--top-p", metavar="P", type=float, help="sample from the fewest symbols with total probability P"
    )
    parser.add_argument(
        "--min-p", metavar="P", type=float, help="sample from symbols of at least P times the highest probability"
    )
    parser.add_argument("--repetition-penalty", metavar="R", type=float, help="above 1: makes repetitions less likely")
    parser.add_argument("--seed", metavar="S", type=int, help="random seed, default 0")
    parser.add_argument("--count", metavar="N", type=positive_int, default=1, help="number of texts, default 1")
    parser.add_argument(
        "--beam",
        metavar="WIDTH",
        type=positive_int,
        help="find the most likely texts by beam search instead of sampling",
    )
    parser.add_argument("--length-penalty", metavar="A", type=float, help="for beam search, default 0")
    parser.add_argument("--json", action="store_true", help="print one line of JSON per text")
    parser.set_defaults(func=_generate)


def _generate(args: argparse.Namespace) -> int:
    from edge_rnn.sampling.symbols import alphabet
    from edge_rnn.storage.model_file import load

    sampling = {name: getattr(args, name) for name in _SAMPLING if getattr(args, name) is not None}
    if args.beam and sampling:
        raise InputError(f"generate got --{next(iter(sampling)).replace('_', '-')} with --beam, which does not sample.")
    if args.length_penalty is not None and not args.beam:
        raise InputError("generate got --length-penalty without --beam.")
    if args.beam and args.count > args.beam:
        raise InputError(f"generate got --count {args.count}, expected {args.beam} at most, the width of --beam.")
    model = load(args.model)
    alphabet(model, "generate")  # report an unsuitable network before an invalid prompt
    words = _Words(model)
    prompt = words.numbers(_read_stdin() if args.prompt == "-" else args.prompt)
    stop = args.stop if model.vocabulary else [number for text in args.stop for number in words.numbers(text)]
    if args.beam:
        _search(model, prompt, stop, args, words)
        return 0
    from edge_rnn.sampling import Sampler
    from edge_rnn.streams.stream import Stream

    stream, seed = Stream(model), sampling.pop("seed", 0)
    for place in range(args.count):
        stream.reset()
        sampler = Sampler(stream, stop=stop, seed=seed + place, **sampling)
        if args.json:
            _print_json(words, prompt, *sampler.generate(prompt, max_length=args.max_length))
        else:
            _show(words, prompt, (symbol for symbol, _ in sampler.iterate(prompt, max_length=args.max_length)))
    return 0


def _search(model: Model, prompt: list[int], stop: list[Any], args: argparse.Namespace, words: _Words) -> None:
    from edge_rnn.sampling import beam_search
    from edge_rnn.streams.stream import Stream

    options = {"width": args.beam, "max_length": args.max_length, "length_penalty": args.length_penalty or 0.0}
    for text in beam_search(Stream(model), prompt, stop=stop, **options)[: args.count]:
        if args.json:
            _print_json(words, prompt, *text)
        else:
            _show(words, prompt, iter(text.symbols.tolist()))


class _Words:
    """Conversion between symbols and text: by the vocabulary, or as ids separated by spaces."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._vocabulary = model.vocabulary

    def numbers(self, text: str) -> list[int]:
        from edge_rnn.sampling import encode

        if self._vocabulary:
            return [int(number) for number in encode(self._model, text, call="generate --prompt")]
        try:
            return [int(part) for part in text.split()]
        except ValueError:
            raise InputError(
                f"generate got {text!r}, expected symbol ids separated by spaces: the model has no vocabulary."
            ) from None

    def shown(self, symbol: int, *, first: bool) -> str:
        if self._vocabulary:
            return printable(self._vocabulary[symbol], keep="\t\n\u200c\u200d")
        return str(symbol) if first else f" {symbol}"

    def exact(self, symbols: list[int]) -> str:
        """Return the unescaped text, for JSON, which has its own escapes."""
        if self._vocabulary:
            return "".join(self._vocabulary[symbol] for symbol in symbols)
        return " ".join(map(str, symbols))

    def text(self, symbols: list[int]) -> str:
        return "".join(self.shown(symbol, first=place == 0) for place, symbol in enumerate(symbols))


def _show(words: _Words, prompt: list[int], symbols: Iterator[int]) -> None:
    """Write the prompt, then each symbol as it comes."""
    write, flush = sys.stdout.write, sys.stdout.flush
    first = next(symbols)  # report an invalid prompt before anything is printed
    write(words.text(prompt) + words.shown(first, first=False))
    flush()
    for symbol in symbols:
        write(words.shown(symbol, first=False))
        flush()
    write("\n")
    flush()


def _print_json(words: _Words, prompt: list[int], symbols: Any, logarithms: Any, stopped: bool) -> None:
    import json

    written = symbols.tolist()
    line = {
        "prompt": words.exact(prompt),
        "text": words.exact(written),
        "symbols": written,
        "log_probabilities": [float(str(each)) for each in logarithms],  # shortest float32 representation
        "stopped": stopped,
    }
    say(json.dumps(line), flush=True)  # ASCII: contains no terminal escapes


def _read_stdin() -> str:
    """Read stdin, without the final newline, which the shell adds."""
    data = sys.stdin.buffer.read(_MAX_PROMPT_BYTES + 1)
    if len(data) > _MAX_PROMPT_BYTES:
        raise InputError(f"generate got a prompt of more than {_MAX_PROMPT_BYTES} bytes on stdin.")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InputError("generate got a prompt on stdin that is not UTF-8 text.") from None


_MAX_PROMPT_BYTES = 1 << 24
