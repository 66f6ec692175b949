"""Images of compiled code: some bytes with symbols, damaged mostly so that all lengths fit, and read but not run."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile.image import END_BYTES, Image, parse
from tests.fuzz import damage

__all__ = ["damaged", "read", "seeds"]


def seeds() -> list[Image]:
    code = bytes(range(200))
    return [Image(code, {"step": 0}), Image(code, {f"kernel_{place}": place for place in range(0, 200, 40)})]


def damaged(rng: Random, image: Image) -> bytes:
    if rng.random() < 0.3:
        return damage.bits(rng, image.to_bytes())
    code = image.code if rng.random() < 0.8 else damage.bits(rng, image.code)
    table = damage.as_json(damage.tree(rng, dict(image.symbols)))
    lengths = [len(code), len(table)]
    if rng.random() < 0.2:
        lengths[rng.randrange(2)] = rng.choice((*damage.NUMBERS, *damage.LARGE)) % 2**64
    return code + table + image.to_bytes()[-END_BYTES:][:8] + struct.pack("<QQ", *lengths)


def read(path: Path, number: int) -> str:
    data = path.read_bytes()
    image = parse(data)
    if image is None:
        raise CompileError("The image is damaged.")
    assert data.startswith(image.code)
    assert all(0 <= offset < len(image.code) for offset in image.symbols.values())
    return "read"
