"""Models on the Hugging Face Hub, by addresses such as ``hf://user/model``.

A file is fetched when it is asked for, by ``huggingface_hub`` (the extra ``hub``), and stays in the cache of the Hub's
own tools. Their variables apply: ``HF_ENDPOINT``, ``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from edge_rnn.errors import FileAccessError, FileError, InputError, MissingFileError, UnsupportedError, reason_of
from edge_rnn.storage.budget import MAX_FILE_BYTES

__all__ = [
    "DEFAULT_FILE",
    "SCHEME",
    "HubAddress",
    "check_target",
    "is_hub_address",
    "is_model_name",
    "local_file",
    "named_after",
]

SCHEME = "hf://"
DEFAULT_FILE = "model.safetensors"
"""File of a model that the Hub's own tools look for."""

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_ADDRESS = re.compile(
    rf"hf://(?P<model>{_MODEL.pattern})(@(?P<revision>refs/(?:convert|pr)/[^/@]+|[^/@]+))?"
    r"(/(?P<file>[^/@][^@]*))?(@(?P<last>[^@]+))?"
)
_OTHER_KINDS = ("buckets", "datasets", "kernels", "spaces")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """Address of a model file on the Hub: ``hf://user/model[/file][@revision]``.

    The revision may also stand right behind the model, as in the Hub's own addresses.

    Parameters
    ----------
    model
        User or organization, and model: ``"user/model"``.
    file
        Path inside the model's repository.
    revision
        Branch, tag or commit; None for the default branch.
    """

    model: str
    file: str = DEFAULT_FILE
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Parse an address.

        Raises
        ------
        InputError
            It is malformed, or not of a ``.safetensors`` file of a model.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None or (found["revision"] and found["last"]) or not is_model_name(found["model"]):
            raise InputError(f"load got {text!r}, expected hf://user/model, hf://user/model/file.safetensors@revision.")
        file = found["file"] or DEFAULT_FILE
        path = PurePosixPath(file)
        if path.suffix != ".safetensors" or file != str(path) or ".." in path.parts:
            raise InputError(f"load got the file {file!r} in {text!r}, expected the name of a .safetensors file.")
        return cls(found["model"], file, found["revision"] or found["last"])


def is_model_name(text: str) -> bool:
    """True if a text names a model on the Hub: ``"user/model"``."""
    return _MODEL.fullmatch(text) is not None and text.split("/")[0] not in _OTHER_KINDS


def is_hub_address(path: object) -> bool:
    """True if a path is an address on the Hub."""
    return isinstance(path, str) and path.startswith(SCHEME)


def check_target(path: object) -> None:
    """Refuse an address on the Hub as the target of :func:`edge_rnn.save`."""
    if is_hub_address(path):
        raise InputError(
            f"save got {path!r}, expected a file; save to {DEFAULT_FILE}, and upload it: hf upload USER/MODEL."
        )


def named_after(path: str | os.PathLike[str]) -> Path:
    """Path to name results after: a path itself; for an address on the Hub, the model's or the file's name alone."""
    if not is_hub_address(path):
        return Path(path)
    address = HubAddress.parse(os.fspath(path))
    name = address.model.split("/")[1] + ".safetensors" if address.file == DEFAULT_FILE else address.file
    return Path(PurePosixPath(name).name)


def local_file(path: str | os.PathLike[str]) -> Path:
    """Path on this machine of a model file; one on the Hub is fetched, unless the cache has it.

    Parameters
    ----------
    path
        Path, or address on the Hub.

    Raises
    ------
    UnsupportedError
        The extra ``hub`` is not installed.
    InputError
        The address is malformed.
    FileError
        There is no such model, revision or file; it is not accessible, too large, or the Hub cannot be reached.
    """
    if not is_hub_address(path):
        return Path(path)
    text = os.fspath(path)
    address = HubAddress.parse(text)
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError:
        raise UnsupportedError(
            f"{text}: needs huggingface_hub, which is not installed: pip install 'edge-rnn[hub]'."
        ) from None
    with _hub_errors(text, address):
        place = (address.model, address.file)
        fetch = partial(hf_hub_download, *place, revision=address.revision, library_name="edge-rnn")
        size = fetch(dry_run=True).file_size  # no byte of the file yet
        if size is not None and size > MAX_FILE_BYTES:
            raise FileError(f"{text}: is not a model: it has {size} bytes, expected at most {MAX_FILE_BYTES}.")
        return Path(fetch())


@contextmanager
def _hub_errors(text: str, address: HubAddress) -> Iterator[None]:
    """Turn errors of huggingface_hub into a FileError with a remedy."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        problem = "access is restricted; accept its terms on its page, then run hf auth login"
        raise FileAccessError(f"{text}: {problem}.", errno.EACCES, text) from None
    except errors.RepositoryNotFoundError:
        problem = f"the Hub has no model {address.model!r}, or it is private; check the name, or run hf auth login"
        raise MissingFileError(f"{text}: {problem}.", errno.ENOENT, text) from None
    except errors.RevisionNotFoundError:
        problem = f"{address.model} has no revision {address.revision!r}; name a branch, a tag or a commit that it has"
        raise MissingFileError(f"{text}: {problem}.", errno.ENOENT, text) from None
    except errors.LocalEntryNotFoundError:
        problem = (
            "is not in the cache, and the Hub cannot be reached; connect, or unset HF_HUB_OFFLINE, to fetch it once"
        )
        raise MissingFileError(f"{text}: {problem}.", errno.ENOENT, text) from None
    except errors.EntryNotFoundError:
        problem = f"{address.model} has no file {address.file!r}; name one that it has: hf://{address.model}/FILE"
        raise MissingFileError(f"{text}: {problem}.", errno.ENOENT, text) from None
    except FileError:
        raise
    except Exception as error:  # those of its HTTP client, which changes, derive from no common class of the Hub's
        raise FileError(f"{text}: cannot be fetched: {reason_of(error).splitlines()[0].rstrip('.')}.") from None
