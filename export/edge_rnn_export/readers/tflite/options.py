"""Options of operators in the schema of ``.tflite`` files: the table of each, and the fields that are read."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["OPTIONS", "TEXTS", "VECTORS"]

VECTORS = ("NewShape", "SqueezeDims")
"""Fields that are vectors of integers."""

TEXTS: Mapping[str, int] = {"Container": 4, "SharedName": 6}
"""Fields that are strings, by their slots in the table."""

_FUSED = ("FusedActivationFunction",)

OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ADD": ("AddOptions", _FUSED),
    "BATCH_MATMUL": ("BatchMatMulOptions", ("AdjX", "AdjY")),
    "CALL_ONCE": ("CallOnceOptions", ("InitSubgraphIndex",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", *_FUSED)),
    "CONV_2D": ("Conv2DOptions", ("StrideH", "StrideW", *_FUSED)),
    "DIV": ("DivOptions", _FUSED),
    "FULLY_CONNECTED": ("FullyConnectedOptions", (*_FUSED, "WeightsFormat", "KeepNumDims")),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims")),
    "GELU": ("GeluOptions", ("Approximate",)),
    "IF": ("IfOptions", ("ThenSubgraphIndex", "ElseSubgraphIndex")),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "LSTM": ("LSTMOptions", (*_FUSED, "CellClip", "ProjClip", "KernelType")),
    "MUL": ("MulOptions", _FUSED),
    "PACK": ("PackOptions", ("ValuesCount", "Axis")),
    "RESHAPE": ("ReshapeOptions", ("NewShape",)),
    "RNN": ("RNNOptions", _FUSED),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "SPLIT": ("SplitOptions", ("NumSplits",)),
    "SPLIT_V": ("SplitVOptions", ("NumSplits",)),
    "SQUEEZE": ("SqueezeOptions", ("SqueezeDims",)),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset"),
    ),
    "SUB": ("SubOptions", _FUSED),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        "UnidirectionalSequenceLSTMOptions",
        (*_FUSED, "CellClip", "ProjClip", "TimeMajor", "DiagonalRecurrentTensors"),
    ),
    "UNIDIRECTIONAL_SEQUENCE_RNN": ("SequenceRNNOptions", (*_FUSED, "TimeMajor")),
    "UNPACK": ("UnpackOptions", ("Num", "Axis")),
    "VAR_HANDLE": ("VarHandleOptions", ("Container", "SharedName")),
    "WHILE": ("WhileOptions", ("CondSubgraphIndex", "BodySubgraphIndex")),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), ("ReducerOptions", ("KeepDims",))),
}
"""Table of options and its fields, by the kind of operator."""
