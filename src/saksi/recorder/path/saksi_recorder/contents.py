"""The digest of what a DataLoader handed out.

Rules: only containers whose contents lie plainly in them are looked into, past methods of the user's, which may work
them out as they are asked for; nothing is walked without end; what has no digest is named once for each kind.
"""

# ruff: noqa: SLF001  (`dataclasses.fields` asks the object; what tells its fields apart has no public name)

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import UserDict
from enum import Enum
from itertools import islice
from typing import Any, Iterator, NamedTuple, Optional

import torch

from . import bare, fingerprints, memory, rows, session
from .code_digest import is_literal
from .plain import text

MAX_DIGEST_BYTES = 1024 * 1024
MAX_VALUES = 10_000

_PLAIN = (type(None), int, float, complex, str, bytes)


class Said(NamedTuple):
    """The digest of a batch, how many items its first tensor has, and the digests of a few of its samples."""

    digest: Optional[str] = None
    items: Optional[int] = None
    rows: Optional[dict[str, Any]] = None


def digest(batch: Any, ids: Optional[list[int]]) -> Said:
    """What is said of a batch's tensors and arrays; nothing where there are none. `ids` of its samples. In `quiet`."""
    found, named = [], False
    for count, (path, value) in enumerate(islice(_values(batch), MAX_VALUES + 1)):
        if count == MAX_VALUES:
            session.uncovered("batches of more than %d values" % MAX_VALUES, "they have no digest")
            return Said()
        if bare.is_a(value, torch.Tensor) or _is_array(value):
            found.append((path, value))
        elif not bare.is_a(value, _PLAIN):
            named = True
            kind = bare.name_of(type(value))
            reason = "only tensors and arrays in lists, tuples, dictionaries and dataclasses are digested"
            session.uncovered("what batches hold in objects of class " + text(kind, 200), reason)
    if not found and not named:
        session.uncovered("batches without a tensor or an array", "they have no digest")
    return _digest(found, ids) if found else Said()


def _digest(found: list[tuple[str, Any]], ids: Optional[list[int]]) -> Said:
    tensors = [_bytes_of(value) if _is_array(value) else value for _, value in found]
    readable = memory.present(memory.readable((one for one in tensors if one is not None), "batches: "))
    if len(readable) != len(found):
        return Said()
    first = found[0][1]
    items = int(first.shape[0]) if len(first.shape) else None
    said = [
        (path, "numpy." + value.dtype.str if _is_array(value) else str(value.dtype), tuple(value.shape), tensor)
        for (path, value), tensor in zip(found, readable)  # noqa: B905  (strict= is newer than Python 3.9)
    ]
    drawn = rows.of(ids, said) if ids else None
    if sum(t.numel() * t.element_size() for t in readable) > MAX_DIGEST_BYTES:
        return Said("sum64-4096:" + str(fingerprints.sums(readable)), items, drawn)
    whole = hashlib.sha256()
    for path, kind, shape, tensor in said:
        line = json.dumps([path, kind, list(shape)], separators=(",", ":"))
        whole.update(line.encode("ascii") + b"\n")
        held = memory.hold(tensor)  # keeps a copy that was made while its view is read
        whole.update(held.view)
    return Said("sha256:" + whole.hexdigest(), items, drawn)


def _values(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    within = _inside(value) if depth < memory.MAX_DEPTH and not bare.is_a(value, torch.Tensor) else None
    if within is None:
        yield path, value
        return
    for key, item in within:
        yield from _values(item, path + "/" + _spelled(key), depth + 1)


def _spelled(key: Any) -> str:
    if is_literal(key) or (bare.is_a(key, Enum) and bare.is_pythons(bare.found(type(key), "__str__"))):
        return str(key)
    return bare.word(key) or bare.name_of(type(key))


def _inside(value: Any) -> Optional[Iterator[tuple[Any, Any]]]:
    if bare.is_a(value, (list, tuple)):
        return enumerate(list.__iter__(value) if bare.is_a(value, list) else tuple.__iter__(value))
    if bare.is_a(value, UserDict):
        value = bare.held(value).get("data")
    if bare.is_a(value, dict):
        return iter(bare.items(value))
    fields = bare.items(bare.found(type(value), "__dataclass_fields__"))
    names = [name for name, field in fields if type(field) is dataclasses.Field and _counts(field)]
    own = bare.held(value) if names else {}
    return ((name, own[name]) for name in names) if names and all(name in own for name in names) else None


def _counts(field: Any) -> bool:
    return field._field_type is dataclasses._FIELD  # type: ignore[attr-defined]


def _is_array(value: Any) -> bool:
    numpy = session.loaded("numpy")
    return numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject


def _bytes_of(array: Any) -> Any:
    """The memory of an array as a tensor of ours; a copy where it lies in another order; None if that is too large."""
    if not array.nbytes:
        return torch.empty(0, dtype=torch.uint8)
    if array.flags.c_contiguous:
        return torch.frombuffer(memory.view_of(array), dtype=torch.uint8)
    if array.nbytes > memory.MAX_COPY_BYTES:
        session.uncovered("arrays in batches that lie in another order", "larger than what is copied: not read")
        return None
    return torch.frombuffer(bytearray(array.tobytes()), dtype=torch.uint8)
