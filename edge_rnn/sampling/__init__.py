"""Networks that write: symbol after symbol, each chosen from what the network puts out and read back by it.

>>> import numpy as np
>>> from edge_rnn import Dense, Elman, Model, Stream
>>> from edge_rnn.sampling import decode, generate
>>> turn = np.roll(np.eye(3), 1, axis=0)  # after each letter the next one
>>> model = Model([Elman(turn, np.zeros((3, 3))), Dense(9 * np.eye(3))], vocabulary="abc")
>>> decode(model, generate(Stream(model), "a", max_length=4, temperature=0).symbols)
'bcab'

The network reads symbols one-hot (a sample has a number for each symbol) or by their numbers (an ``Embedding`` at the
input), and its last layer is a ``Dense`` with an output for each symbol: with the activation ``"none"`` its outputs are
the scores; with ``"softmax"`` their logarithms are, outputs below 1.2e-38 counting as that.

**What is the same everywhere.** Given the same outputs of the network, bit for bit, a seed gives the same symbols and
the same bits of their log-probabilities on every machine: products and sums of a choice are rounded one by one, in
float32 and in a fixed order; weights and random numbers (Philox4x32-10) are integers. On one machine, outputs are the
same bits in any number of calls, and so are texts.

**What is not guaranteed.** Outputs are float32 sums, whose last bits differ between CPUs with and without fused
multiply-add, or with vectors of another width, by some 1e-6 in scores of ordinary size. Another symbol is chosen there
only where a draw falls within as little of the border between two, or where two scores are as near to a tie: about once
in a million symbols, and from there on the texts differ. Beam search compares sums of logarithms in float64 from NumPy,
and steps several texts together as :class:`~edge_rnn.StreamBank` does: the same holds for it, with the same 1e-6.
"""

from __future__ import annotations

from edge_rnn.sampling.beams import beam_search
from edge_rnn.sampling.generated import Generated
from edge_rnn.sampling.rollout import rollout
from edge_rnn.sampling.sampler import Sampler, generate, generate_iter
from edge_rnn.sampling.symbols import decode, encode

__all__ = ["Generated", "Sampler", "beam_search", "decode", "encode", "generate", "generate_iter", "rollout"]
