"""Front ends: convert sensor samples into the features that a network was trained on, sample by sample.

>>> from edge_rnn.frontend import Chain, LogMel, Resample
>>> front = Chain([Resample(44100, 16000), LogMel(16000, frame=400, hop=160, bands=40)])
>>> front.input_size, front.output_size, front.spec
(1, 40, 'resample:rate_in=44100,rate_out=16000|logmel:rate=16000,frame=400,hop=160,bands=40')

Every front end has ``push(x) -> y | None`` for single samples, ``more()`` for further outputs of the same sample,
``run(xs)`` for blocks, and ``reset``, ``snapshot`` and ``restore``; see :class:`FrontEnd`. They depend on NumPy only.
"""

from __future__ import annotations

from edge_rnn.frontend.chain import Chain
from edge_rnn.frontend.features import Features
from edge_rnn.frontend.front_end import FrontEnd
from edge_rnn.frontend.log_mel import LogMel
from edge_rnn.frontend.mfcc import MFCC
from edge_rnn.frontend.micro import MicroFrontEnd
from edge_rnn.frontend.moving import Moving
from edge_rnn.frontend.parsing import parse
from edge_rnn.frontend.resample import Resample
from edge_rnn.frontend.sound_settings import PRESETS, SoundSettings
from edge_rnn.frontend.standardize import Standardize

__all__ = [
    "MFCC",
    "PRESETS",
    "Chain",
    "Features",
    "FrontEnd",
    "LogMel",
    "MicroFrontEnd",
    "Moving",
    "Resample",
    "SoundSettings",
    "Standardize",
    "parse",
]
