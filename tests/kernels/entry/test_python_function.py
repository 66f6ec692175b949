"""Addresses of arrays, read from the objects."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rnn.kernels.entry import python_function
from edge_rnn.kernels.entry.python_function import data_address

BLOCK = np.arange(20, dtype=np.float32)
ARRAYS = {
    "whole": BLOCK,
    "a part": BLOCK[3:],
    "backwards": BLOCK[::-1],
    "a matrix": BLOCK.reshape(4, 5)[1:, 2:],
    "words": np.zeros(3, np.int64),
    "read only": np.frombuffer(b"eight by", np.int8),
    "nothing": np.empty(0, np.float32),
    "no axes": np.array(2.5),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_address_of_an_array(array: np.ndarray, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert python_function._data_offset() is not None
    if not known:
        monkeypatch.setattr(python_function, "_data_offset", lambda: None)
    assert data_address(array) == array.ctypes.data
