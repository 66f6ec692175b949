"""Dtypes of annotations, in the spellings of several versions of NumPy."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_rnn.typing import array_dtype

SPELLINGS = {  # NumPy before 2.5 and from it on; with None; no arrays
    np.ndarray[Any, np.dtype[np.int8]]: np.int8,
    types.GenericAlias(NDArray, (np.float32,)): np.float32,
    np.ndarray[Any, np.dtype[np.float32]] | None: np.float32,
    types.GenericAlias(NDArray, (np.int8,)) | None: np.int8,
    float | None: None,
    list[int]: None,
}


@pytest.mark.parametrize(("hint", "dtype"), SPELLINGS.items(), ids=map(str, SPELLINGS))
def test_arrays_are_found_however_numpy_spells_their_type(hint: Any, dtype: Any) -> None:
    assert array_dtype(hint) == (dtype and np.dtype(dtype))
