"""A capsule is written to a file: its header, then the tensors straight from memory (`spec/capsule.md`).

Rules: the file has its name only once it is whole; of what does not lie in order there is one copy at a time; what
fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from typing import Any

import torch

from . import memory
from .capsule_files import DTYPES, FORMAT
from .plain import text

PIECE = 64 * 1024 * 1024
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class UnfitError(Exception):
    """Why there can be no capsule of this state."""


def header_of(entries: list[Any], **about: Any) -> bytes:
    """The file up to its tensors: `about` goes into the metadata, as it is where it is text. Raises `UnfitError`."""
    metadata = {"format": FORMAT, **_parts_of(entries), **about}
    lines: dict[str, Any] = {"__metadata__": {name: _encoded(value) for name, value in metadata.items()}}
    behind = 0
    for key, _, value in entries:
        if not isinstance(value, torch.Tensor):
            continue
        kind = _NAMES.get(value.dtype)
        if kind is None or not memory.lies_here(value):
            raise UnfitError("tensors of %s on %s have no place in one" % (value.dtype, memory.where(value)[0]))
        if key in lines:
            raise UnfitError("two tensors are called %s" % text(key, 200))
        lines[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [behind, behind + value.nbytes]}
        behind += value.nbytes
    encoded = json.dumps(lines, separators=(",", ":")).encode("ascii")
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded


def size_of(header: bytes, entries: list[Any]) -> int:
    """How long the file will be."""
    return len(header) + sum(value.nbytes for _, _, value in entries if isinstance(value, torch.Tensor))


def write(path: str, header: bytes, entries: list[Any]) -> None:
    """Write it, for its owner alone. Call inside `quiet`. Raises `OSError`."""
    partial = path + ".partial"
    at = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _pour(at, memoryview(header))
        for _, _, value in entries:
            if isinstance(value, torch.Tensor):
                held = memory.hold(value)  # keeps its memory, or that of a copy, while the view is read
                _pour(at, held.view)
        os.rename(partial, path)  # noqa: PTH104 - light, and what old interpreters know
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)  # noqa: PTH108 - as above
        raise
    finally:
        os.close(at)


def _pour(at: int, view: Any) -> None:
    done = 0
    while done < len(view):
        done += os.write(at, view[done : done + PIECE])


def _parts_of(entries: list[Any]) -> dict[str, Any]:
    return {
        "names": {key: alias for key, alias, value in entries if isinstance(value, torch.Tensor)},
        "values": {key: value for key, _, value in entries if not isinstance(value, torch.Tensor)},
    }


def _encoded(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        raise UnfitError("a number of an optimizer or a scaler is none that can be written") from None
