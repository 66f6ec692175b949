"""Generation with networks: symbol by symbol, each drawn from the network's output and fed back as its next input.

>>> import numpy as np
>>> from edge_rnn import Dense, Elman, Model, Stream
>>> from edge_rnn.sampling import decode, generate
>>> turn = np.roll(np.eye(3), 1, axis=0)  # after each letter the next one
>>> model = Model([Elman(turn, np.zeros((3, 3))), Dense(9 * np.eye(3))], vocabulary="abc")
>>> decode(model, generate(Stream(model), "a", max_length=4, temperature=0).symbols)
'bcab'

The network reads symbols one-hot (one input per symbol) or as ids (with an ``Embedding`` at the input). Its last layer
is a ``Dense`` with one output per symbol: with the activation ``"none"`` the outputs are the scores (logits); with
``"softmax"`` their logarithms are, with outputs clipped to 1.2e-38 from below.

**Reproducibility.** Given bit-identical network outputs, a seed gives the same symbols and bit-identical
log-probabilities on every machine: each product and sum of a choice is rounded separately, in float32 and in a fixed
order; weights and random numbers (Philox4x32-10) are integers. On one machine, outputs are bit-identical in any number
of calls, and so are texts.

**Limits.** Outputs are float32 sums, whose last bits differ between CPUs with and without fused multiply-add, or with
different vector widths, by about 1e-6 for scores of ordinary size. A different symbol is chosen only if a draw falls
that close to the border between two symbols, or if two scores are that close to a tie: about once in a million symbols,
and from there on the texts differ. Beam search compares sums of logarithms in float64 from NumPy, and steps several
texts together as :class:`~edge_rnn.StreamBank` does; the same limits apply to it, with the same 1e-6.
"""

from __future__ import annotations

from edge_rnn.sampling.beams import beam_search
from edge_rnn.sampling.generated import Generated
from edge_rnn.sampling.rollout import rollout
from edge_rnn.sampling.sampler import Sampler, generate, generate_iter
from edge_rnn.sampling.symbols import decode, encode

__all__ = ["Generated", "Sampler", "beam_search", "decode", "encode", "generate", "generate_iter", "rollout"]
