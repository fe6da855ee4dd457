"""A capsule as it lies in a file: the state of one rank behind one Step, in the format of safetensors.

Rules: parsed strictly, with limits; what does not follow the format to the last byte is refused, and so is a file that
is cut off; tensors are read one at a time, as they are asked for.
"""

# ruff: noqa: PTH123  (plain os: light)

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

import torch

from .cannot import CannotBeHollowError

FORMAT = "saksi.capsule/1"
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # as in safetensors' own reader
MAX_DIMENSIONS = 64  # as in torch
TEXTS = ("rank", "step", "root", "layout")
OBJECTS = {"names": dict, "values": dict, "generators": dict, "epochs": list, "scalers": list}
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
DTYPES = {name: getattr(torch, found) for name, found in _DTYPES.items() if hasattr(torch, found)}


class Entry(NamedTuple):
    """Where one tensor lies in the file."""

    dtype: Any
    shape: tuple[int, ...]
    begin: int
    nbytes: int


class Capsule:
    """What a file holds: `entries` by key, and the fields of its metadata."""

    def __init__(self, path: str) -> None:
        self._path = path
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            _demand(size >= LENGTH_BYTES and length <= min(MAX_HEADER_BYTES, size - LENGTH_BYTES), "is cut off")
            header = parsed(file.read(length))
        _demand(type(header) is dict, "has a header that is no object")
        metadata = header.pop("__metadata__", None)
        self.entries = _entries(header, LENGTH_BYTES + length, size)
        _demand(type(metadata) is dict and metadata.get("format") == FORMAT, "is of another format")
        _demand(all(type(metadata.get(name)) is str for name in (*TEXTS, *OBJECTS)), "lacks a field")
        self.rank, self.step, self.root, self.layout = (metadata[name] for name in TEXTS)
        found = {name: parsed(metadata[name].encode("utf-8")) for name in OBJECTS}
        _demand(all(type(found[name]) is kind for name, kind in OBJECTS.items()), "has a field of another kind")
        self.names: dict[str, Any] = found["names"]
        self.values: dict[str, Any] = found["values"]
        self.generators: dict[str, Any] = found["generators"]
        self.epochs: list[Any] = found["epochs"]
        self.scalers: list[Any] = found["scalers"]
        _demand(not set(self.values) & set(self.entries), "has a key twice")

    def tensor(self, key: str) -> Any:
        """One tensor, in memory of its own."""
        entry = self.entries[key]
        if not entry.nbytes:
            return torch.empty(entry.shape, dtype=entry.dtype)
        raw = bytearray(entry.nbytes)
        with open(self._path, "rb") as file:
            file.seek(entry.begin)
            _demand(file.readinto(raw) == entry.nbytes, "is cut off")
        return torch.frombuffer(raw, dtype=torch.uint8).view(entry.dtype).view(entry.shape)


def parsed(raw: bytes, what: str = "the capsule") -> Any:
    """JSON in which no name of an object comes twice. Raises `CannotBeHollowError`."""
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_none)
    except (ValueError, RecursionError) as error:
        raise CannotBeHollowError("%s is not readable: %s" % (what, error)) from None


def _none(word: str) -> Any:
    raise ValueError("%s is no number of JSON" % word)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    _demand(len(found) == len(pairs), "has a name twice")
    return found


def _entries(header: dict[str, Any], begin: int, size: int) -> dict[str, Entry]:
    out, spans = {}, []
    for key, about in header.items():
        _demand(type(about) is dict and set(about) == {"dtype", "shape", "data_offsets"}, "has an entry that is none")
        kind, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
        _demand(type(kind) is str and kind in DTYPES, "has a tensor of a type that is not known here")
        _demand(_are_counts(shape) and len(shape) <= MAX_DIMENSIONS, "has a shape that is none")
        _demand(_are_counts(offsets) and len(offsets) == 2, "has offsets that are none")  # noqa: PLR2004
        dtype = DTYPES[kind]
        nbytes = dtype.itemsize if hasattr(dtype, "itemsize") else torch.empty((), dtype=dtype).element_size()
        for length in shape:
            nbytes *= length
        _demand(offsets[1] - offsets[0] == nbytes, "has a tensor of another size than its shape")
        out[key] = Entry(dtype, tuple(shape), begin + offsets[0], nbytes)
        spans.append((offsets[0], offsets[1]))
    end = 0
    for first, last in sorted(spans):
        _demand(first == end, "has bytes that belong to no tensor, or to two")
        end = last
    _demand(begin + end == size, "is cut off, or goes on behind its tensors")
    return out


def _are_counts(given: Any) -> bool:
    return type(given) is list and all(type(one) is int and 0 <= one < 2**63 for one in given)


def _demand(condition: Any, otherwise: str) -> None:
    if not condition:
        raise CannotBeHollowError("the capsule " + otherwise)
