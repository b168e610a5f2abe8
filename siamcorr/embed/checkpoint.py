"""Checkpoint files, read as data: nothing in them runs, and they take no more memory than their size says.

A checkpoint is a pickle, and a pickle is a program. Rules:

- Only ``torch.load(weights_only=True)`` reads one: it builds tensors and plain containers, and refuses
  the rest. What it refuses is refused; there is no way round.
- Numbers of numpy's, as authors' checkpoints have them beside the weights, become blanks: numpy's names
  stand for a class here that ignores what it is given.
- What torch allows and takes as much memory as a number in the file says, without as many bytes of it, is
  refused by its name wherever that stands: ``bytearray``, and tensors and storages that are made by size.
- torch writes an archive without compression, so an archive is no larger than its file. Compressed
  entries, and entries that share their bytes, are refused before anything is unpacked.
- torch reads a copy of the entries that were checked. Its own reader of archives and Python's could
  otherwise see different ones in the same file.

Way rejected: to allow numpy's own ``dtype`` and ``scalar``. A dtype takes its flags from the file, and
with flags that are not its own it reads numbers as addresses.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import torch

from siamcorr.errors import InvalidArgument

__all__ = ["read_checkpoint"]

_EXPECTED = "a checkpoint that torch.load reads with weights_only=True, or a safetensors file"
_NUMPY = ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_MADE_BY_SIZE = (b"bytearray\n", b"Tensor\n", b"UntypedStorage\n", b"TypedStorage\n")  # in a pickle
_ARCHIVE = b"PK\x03\x04"
_HEADER_AT = 8  # in a safetensors file, behind the header's length: a JSON object
_REFUSED_NAME = re.compile(r"GLOBAL ([\w.]+)")


def read_checkpoint(path: str, *, blank_foreign: bool = False) -> object:
    """Return what is in a file of ``torch.save``, on the CPU, or the tensors of a safetensors file by name.

    Args:
        path: the file. Its content says which it is.
        blank_foreign: objects of any class become blanks, not numpy's numbers alone. In a file of torch
            before 1.6 they are refused all the same.

    Raises:
        InvalidArgument: names ``model``: the file cannot be read, is neither, or holds more than data.
    """
    try:
        with Path(path).open("rb") as file:
            return _read(file, blank_foreign=blank_foreign)
    except OSError as error:
        found = f"no readable file at {path!r} ({error.strerror})"
        raise InvalidArgument.found("model", found, _EXPECTED) from error
    except Exception as error:  # the readers pass on whatever a broken file makes them hit
        found = f"{path!r}, which is refused ({_reason(error)})"
        raise InvalidArgument.found("model", found, _EXPECTED) from error


class _Refused(Exception):
    """Says what is wrong with a file."""


class _Blank:
    """Stands for an object of the file, whatever it was to be."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _read(file: BinaryIO, *, blank_foreign: bool) -> object:
    head = file.read(_HEADER_AT + 1)
    file.seek(0)
    if not head:
        raise _Refused("it is empty")
    if head.startswith(_ARCHIVE):
        archive = _checked_copy(file)
        _refuse_made_by_size(archive.getvalue())
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(archive) if blank_foreign else ()
        archive.seek(0)
        return _load(archive, [*_NUMPY, *foreign])
    if head[_HEADER_AT:] == b"{":
        from safetensors.torch import load  # noqa: PLC0415 - most files are not of this kind

        return load(file.read())
    _refuse_made_by_size(file.read())
    file.seek(0)
    return _load(file, _NUMPY)


def _refuse_made_by_size(content: bytes) -> None:
    for name in _MADE_BY_SIZE:
        if name in content:
            raise _Refused(f"it makes a {name.decode().strip()} by its size")


def _load(file: BinaryIO, blanks: Iterable[str]) -> object:
    with torch.serialization.safe_globals([(_Blank, name) for name in blanks]):
        loaded: object = torch.load(file, map_location="cpu", weights_only=True)
    return loaded


def _checked_copy(file: BinaryIO) -> io.BytesIO:
    """Return the same archive, written anew, if it unpacks to no more than the file's size."""
    size_bytes = file.seek(0, io.SEEK_END)
    copy = io.BytesIO()
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise _Refused("a compressed archive, which torch.save does not write")
        unpacked_bytes = sum(entry.file_size for entry in entries)
        if unpacked_bytes > size_bytes:
            raise _Refused(f"an archive of {size_bytes} bytes that unpacks to {unpacked_bytes}")
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as written:
            for entry in entries:
                written.writestr(entry.filename, archive.read(entry))
    copy.seek(0)
    return copy


def _reason(error: Exception) -> str:
    if isinstance(error, _Refused):
        return str(error)
    name = _REFUSED_NAME.search(str(error))
    return f"{type(error).__name__}: it holds {name[1][:80]}" if name else type(error).__name__
