"""Write ``torch_functions.npz``: values of PyTorch's functions that equations may use, in float64.

Keys are ``x`` (29,), from -100 to 100, and ``weight`` and ``bias`` of its shape; ``<function>`` (29,) is the function
of ``x``. ``rsqrt`` and ``log`` are those of ``|x| + 0.5``.

    python tests/golden/make_torch_functions.py        # needs torch
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

TARGET = Path(__file__).with_name("torch_functions.npz")
POSITIVE = (1e-4, 0.01, 0.1, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 6.5, 20.0, 100.0)

FUNCTIONS: Mapping[str, Callable[[Any, Any, Any], Any]] = {
    "relu6": lambda x, weight, bias: functional.relu6(x),
    "prelu": lambda x, weight, bias: functional.prelu(x[None], weight)[0],
    "selu": lambda x, weight, bias: functional.selu(x),
    "celu": lambda x, weight, bias: functional.celu(x),
    "celu:0.5": lambda x, weight, bias: functional.celu(x, 0.5),
    "silu": lambda x, weight, bias: functional.silu(x),
    "hard_swish": lambda x, weight, bias: functional.hardswish(x),
    "mish": lambda x, weight, bias: functional.mish(x),
    "log_sigmoid": lambda x, weight, bias: functional.logsigmoid(x),
    "rsqrt": lambda x, weight, bias: torch.rsqrt(abs(x) + 0.5),
    "log": lambda x, weight, bias: torch.log(abs(x) + 0.5),
    "erf": lambda x, weight, bias: torch.erf(x),
    "gelu": lambda x, weight, bias: functional.gelu(x),
    "gelu:tanh": lambda x, weight, bias: functional.gelu(x, approximate="tanh"),
    "log_softmax": lambda x, weight, bias: functional.log_softmax(x, 0),
    "layer_norm": lambda x, weight, bias: functional.layer_norm(x, x.shape, weight, bias),
    "layer_norm:1": lambda x, weight, bias: functional.layer_norm(x, x.shape, eps=1.0),
    "rms_norm": lambda x, weight, bias: functional.rms_norm(x, x.shape, weight, eps=2.0**-23),
}


def values(x: Any, weight: Any, bias: Any) -> dict[str, Any]:
    """Values of all functions."""
    given = [torch.tensor(each, dtype=torch.float64) for each in (x, weight, bias)]
    return {name: function(*given).numpy() for name, function in FUNCTIONS.items()}


def main() -> None:
    random = np.random.default_rng(11)
    x = np.array([*(-value for value in POSITIVE), 0.0, *POSITIVE])
    weight, bias = random.uniform(0.1, 0.9, x.shape), random.normal(size=x.shape)
    arrays = {"x": x, "weight": weight, "bias": bias, **values(x, weight, bias)}
    np.savez_compressed(TARGET, **arrays)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, {len(arrays)} arrays, torch {torch.__version__}")


if __name__ == "__main__":
    main()
