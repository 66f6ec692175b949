"""Archive of named byte strings in one file, from which a few are read at a time.

Entries are compressed one by one. Since they resemble each other, all of them share a dictionary: bytes that a
compressed entry refers to instead of repeating them. The file consists of the entries, the dictionary, a table in JSON
with the offset and the length of each entry, and 24 bytes that say how long the last two are.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from edge_rnn.errors import FileError

__all__ = ["Archive", "archived"]

_END = struct.Struct("<8sQQ")
_MAGIC = b"ERNNar01"
_DICTIONARY_BYTES = 32768  # all that zlib refers back to


class Archive:
    """Archive in a file; entries are read when they are asked for.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileError
        It is no archive, or damaged.
    OSError
        It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                # Mapped, as the file may be replaced, or its descriptor closed by a daemon, while it is in use.
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._read_table()
        except (ValueError, RecursionError, struct.error) as error:
            raise FileError(f"{path} is not an archive of kernels, or damaged; reinstall edge-rnn.") from error

    def _read_table(self) -> None:
        magic, dictionary, table = _END.unpack(self._bytes[-_END.size :])
        self._end = len(self._bytes) - _END.size - table - dictionary
        if magic != _MAGIC or self._end < 0:
            raise ValueError(magic)
        behind = self._end + dictionary
        self._dictionary = self._bytes[self._end : behind]
        self._table = json.loads(self._bytes[behind : behind + table])
        if not isinstance(self._table, dict):
            raise ValueError(self._table)

    def names(self) -> list[str]:
        """Names of all entries."""
        return [*self._table]

    def get(self, name: str) -> bytes | None:
        """Read an entry; None if there is none of this name.

        Raises
        ------
        FileError
            The entry is damaged.
        """
        if name not in self._table:
            return None
        try:
            start, length = self._table[name]
            if not 0 <= start <= start + length <= self._end:
                raise ValueError(length)
            reader = zlib.decompressobj(zdict=self._dictionary)
            data = reader.decompress(self._bytes[start : start + length])
            if not reader.eof:
                raise ValueError(name)
        except (ValueError, TypeError, zlib.error) as error:
            raise FileError(f"{self.path} is damaged at {name}; reinstall edge-rnn.") from error
        return data


def archived(entries: Mapping[str, bytes]) -> bytes:
    """Contents of an archive; the same entries give the same bytes."""
    dictionary = _dictionary(entries)
    parts, table, used = [], {}, 0
    for name, data in entries.items():
        writer = zlib.compressobj(9, zdict=dictionary)
        parts.append(writer.compress(data) + writer.flush())
        table[name] = used, len(parts[-1])
        used += len(parts[-1])
    listed = json.dumps(table, separators=(",", ":")).encode()
    return b"".join([*parts, dictionary, listed, _END.pack(_MAGIC, len(dictionary), len(listed))])


def _dictionary(entries: Mapping[str, bytes]) -> bytes:
    """Some of the entries, evenly spread."""
    data = [*entries.values()]
    step = max(1, sum(map(len, data)) // _DICTIONARY_BYTES)
    return b"".join(data[::step])[-_DICTIONARY_BYTES:]
