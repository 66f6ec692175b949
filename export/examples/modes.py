"""Four modes of recurrent networks, on networks that ship and on two that are constructed by hand.

    python export/examples/modes.py

Many to many: an output at each sample (Stream.step). Many to one: an output after each window. One to many: the network
continues by itself from a state or a sample. Encoder and decoder: the state of one network after a text is the initial
state of another one.
"""

from __future__ import annotations

import sys

import numpy as np

from edge_rnn import Dense, Elman, Model, Stream, data_path, load
from edge_rnn.sampling import beam_search, decode, encode, generate, rollout
from edge_rnn.streams import WindowedStream

__all__ = ["decoder", "encoder", "main", "many_to_many", "many_to_one", "one_to_many", "oscillator", "reversed_by"]

LONGEST = 12
ALPHABET = "abcdefghijklmnopqrstuvwxyz."  # the last one ends a word


def many_to_many() -> float:
    """Classify each sample of the smart watch; return the accuracy."""
    folder = data_path("smart_watch")
    recording = np.load(folder / "recording.npz")
    ys = Stream(load(folder / "gru.safetensors")).run(recording["x"])
    return float((ys.argmax(axis=1) == recording["y"]).mean())


def many_to_one(window: int = 50, hop: int = 10) -> float:
    """Classify windows of 5 s of the smart watch, one per second; return the accuracy."""
    folder = data_path("smart_watch")
    recording = np.load(folder / "recording.npz")
    answers = WindowedStream(load(folder / "gru.safetensors"), window=window, hop=hop).run(recording["x"])
    ends = window - 1 + hop * np.arange(len(answers))
    inside = recording["recording"][ends] == recording["recording"][ends - window + 1]  # of one recording
    return float((answers.argmax(axis=1) == recording["y"][ends])[inside].mean())


def one_to_many() -> tuple[str, str]:
    """Generate Reber strings from a state that encodes the second letter, which is repeated as the last but one."""
    model = load(data_path("reber/lstm.safetensors"))
    stream, texts = Stream(model), []
    for beginning in ("BT", "BP"):
        stream.reset()
        stream.run(np.eye(model.vocabulary_size)[encode(model, beginning)])
        vector = stream.state  # {"rnn.h": …, "rnn.c": …}: arrays that may come from anywhere
        stream.reset()
        stream.set_state(vector)
        text = generate(stream, "B", max_length=200, stop=("TE", "PE"), seed=1)
        texts.append(f"{beginning}B{decode(model, text.symbols)}")
    return texts[0], texts[1]


def oscillator(hz: float, rate_hz: float) -> Model:
    """Network that rotates its state: after one sample, it goes round forever."""
    angle = 2 * np.pi * hz / rate_hz
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Model([Elman(turn, np.zeros((2, 2)), activation="affine:1:0")])


def encoder() -> Model:
    """Network that stacks its input: the last letter at index 1, the one before it at index 2, and so on.

    Its state has a place for each letter and depth; place 0 is left free for the decoder.
    """
    letters = len(ALPHABET)
    deeper = np.kron(np.eye(LONGEST + 1, k=-1), np.eye(letters))  # each place takes what is in the one above it
    deeper[letters : 2 * letters, :letters] = 0
    put = np.zeros(((LONGEST + 1) * letters, letters))
    put[letters : 2 * letters] = np.eye(letters)
    return Model([Elman(put, deeper, activation="relu", name="stack")], vocabulary=ALPHABET)


def decoder() -> Model:
    """Network that pops letter by letter off the stack, for any input, and outputs the one at index 0."""
    letters = len(ALPHABET)
    up = np.kron(np.eye(LONGEST + 1, k=1), np.eye(letters))
    head = np.hstack([20 * np.eye(letters), np.zeros((letters, LONGEST * letters))])
    bias = 10.0 * (np.arange(letters) == letters - 1)  # nothing there: the end
    cell = Elman(np.zeros((len(up), letters)), up, activation="relu", name="stack")
    return Model([cell, Dense(head, bias)], vocabulary=ALPHABET)


def reversed_by(word: str, *, width: int = 0) -> str:
    """Reverse a word by encoder and decoder; by beam search if a width is given, else greedily."""
    reads, writes = Stream(encoder()), Stream(decoder())
    reads.run(np.eye(len(ALPHABET))[encode(reads.model, word)])
    writes.set_state({"stack.h": reads.state["stack.h"]})
    if width:
        text = beam_search(writes, ".", width=width, max_length=LONGEST + 1, stop=".")[0]
    else:
        text = generate(writes, ".", max_length=LONGEST + 1, temperature=0, stop=".")
    return decode(writes.model, text.symbols).removesuffix(".")


def main() -> int:
    print(f"many to many        {many_to_many():.1%} of samples are right")
    print(f"many to one         {many_to_one():.1%} of windows of 5 s are right")
    print(f"one to many         {' and '.join(one_to_many())}")
    wave = rollout(Stream(oscillator(1.0, 8.0)), [1.0, 0.0], 8)
    print(f"one to many         {' '.join(f'{x:.2f}' for x in wave[:, 0])}: a circle from one sample")
    print(f"encoder, decoder    {reversed_by('recurrent')}, by beam search {reversed_by('networks', width=4)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
