"""Tensors of a safetensors file: its header is JSON, and the bytes lie behind it in C order.

Source: the format's own description (safetensors, "Format"): eight bytes of length, a header of at most 100 MB, data.
"""

from __future__ import annotations

import io
import itertools
import json
from typing import Any, Final

import msgspec

from saksi.edges.tensors.form import MAX_DIMENSIONS, MAX_TENSORS, NotTensors, Slot, read_tensor, spelled
from saksi.words.tensors import Tensors

__all__ = ["looks_like_safetensors", "safetensors_in"]

MAX_HEADER: Final = 100_000_000
_LENGTH: Final = 8
_METADATA: Final = "__metadata__"
_TYPES: Final = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu", "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32",
    "U32": "uint32", "F32": "float32", "I64": "int64", "U64": "uint64", "F64": "float64", "C64": "complex64",
}  # fmt: skip


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file may be one, by its first nine bytes: a length that can be, and the beginning of an object."""
    return head[_LENGTH:] == b"{" and int.from_bytes(head[:_LENGTH], "little") <= MAX_HEADER


def safetensors_in(file: io.FileIO) -> Tensors:
    """Every tensor, in the order of names. Raises `NotTensors`, `OSError`."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    begin = _LENGTH + int.from_bytes(file.read(_LENGTH), "little")
    if not _LENGTH < begin <= min(size, _LENGTH + MAX_HEADER):
        raise NotTensors("its header is longer than the file")
    slots = sorted(_slots(_header(file.read(begin - _LENGTH)), size - begin), key=lambda each: each.start)
    for one, other in itertools.pairwise(slots):
        if one.start + one.length > other.start:
            raise NotTensors(f"{one.name[:80]} and {other.name[:80]} lie in the same bytes")
    found = []
    source = io.BufferedReader(file)
    try:
        for slot in slots:
            source.seek(begin + slot.start)
            found.append(read_tensor(source, slot))
    finally:
        source.detach()  # the file is the caller's to close
    return Tensors(tuple(sorted(found)))


def _header(content: bytes) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(content, object_pairs_hook=_once)  # it begins as an object
    except (ValueError, RecursionError) as error:
        raise NotTensors(f"its header is no JSON: {error}") from None
    header.pop(_METADATA, None)
    if len(header) > MAX_TENSORS:
        raise NotTensors(f"it has more than {MAX_TENSORS:,} tensors")
    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # two readers might take two different ones
        raise ValueError("a name stands in it twice")
    return found


def _slots(header: dict[str, Any], room: int) -> list[Slot]:
    slots = []
    for given, said in header.items():
        name = spelled(given)
        try:
            entry = msgspec.convert(said, type=_Entry)
        except msgspec.ValidationError as error:
            raise NotTensors(f"{name[:80]} is no tensor: {error}") from None
        start, end = entry.data_offsets
        if entry.dtype not in _TYPES:
            raise NotTensors(f"{name[:80]} is of type {entry.dtype[:20]!r}, which is not known")
        if len(entry.shape) > MAX_DIMENSIONS or any(each < 0 for each in entry.shape):
            raise NotTensors(f"{name[:80]} has no shape that can be")
        slot = Slot(name, _TYPES[entry.dtype], tuple(entry.shape), start)
        if not 0 <= start <= end <= room or end - start != slot.length:
            raise NotTensors(f"{name[:80]} does not lie in the file as its shape says")
        slots.append(slot)
    return slots
