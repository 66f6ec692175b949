"""SHA-256 with and without OpenSSL."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from checkout import environment
from edge_rnn import digest


@pytest.mark.parametrize("size", [0, 1000, 2 << 20])
@pytest.mark.parametrize("own", [True, False])
def test_it_is_that_of_hashlib(size: int, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not own:
        monkeypatch.setitem(sys.modules, "_sha2", None)
        monkeypatch.setitem(sys.modules, "_sha256", None)
    data = bytes(range(256)) * (size // 256)
    made = digest.sha256(b"first", len(data))
    made.update(data)
    assert made.hexdigest() == hashlib.sha256(b"first" + data).hexdigest()
    assert ("HASH" in type(made).__name__) == (not own or size >= 1 << 20)


def test_a_model_is_loaded_without_openssl() -> None:
    code = (
        "import sys, numpy as np, edge_rnn\n"
        "model = edge_rnn.load(edge_rnn.data_path('smart_watch/gru.safetensors'))\n"
        "assert len(model.fingerprint) == 64\n"
        "assert '_hashlib' not in sys.modules and 'secrets' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
