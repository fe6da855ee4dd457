"""What is said of a tensor in a file, and how its bytes are read."""

from __future__ import annotations

import hashlib
import math
from typing import IO, Final, NamedTuple

from saksi.words.tensors import FileTensor

__all__ = ["MAX_DIMENSIONS", "MAX_TENSORS", "SIZES", "NotTensors", "Slot", "read_tensor", "spelled"]

MAX_TENSORS: Final = 100_000
MAX_NAME: Final = 500
MAX_DIMENSIONS: Final = 64
FEW: Final = 8
"""Elements. So few, or all of one value, are the same in many models: they do not tell two apart."""
_PIECE: Final = 1 << 20

SIZES: Final = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e8m0fnu": 1, "int16": 2,
    "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4, "float32": 4, "int64": 8, "uint64": 8,
    "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Bytes of an element, by the name that torch has for its type."""


class NotTensors(Exception):
    """A file is not one of those that are read here, or says what cannot be; the text is why."""


class Slot(NamedTuple):
    """Where a tensor's bytes lie: `length` from `start` on, in whatever it is read from."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def length(self) -> int:
        """Its bytes."""
        return SIZES[self.dtype] * math.prod(self.shape)


def spelled(name: str) -> str:
    """A name as it is told: cut, and what is no text by its number."""
    return name[:MAX_NAME].encode("utf-8", "backslashreplace").decode()


def read_tensor(source: IO[bytes], slot: Slot) -> FileTensor:
    """Hash one tensor; `source` stands at its first byte. Raises `NotTensors` if there are too few bytes, `OSError`."""
    digest = hashlib.sha256()
    left, size = slot.length, SIZES[slot.dtype]
    first, varies = b"", False
    while left:
        piece = source.read(min(left, _PIECE))
        if not piece:
            raise NotTensors(f"the bytes of {slot.name[:80]} are not all there")
        digest.update(piece)
        left -= len(piece)
        first = first or piece[:size]
        varies = varies or piece[:size] != first or piece[size:] != piece[:-size]
    tells = varies and math.prod(slot.shape) > FEW
    return FileTensor(slot.name, f"torch.{slot.dtype}", slot.shape, digest.digest(), tells)
