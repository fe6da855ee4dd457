"""The digest of what a DataLoader handed out.

Rules: only containers whose contents lie plainly in them are looked into, past methods of the user's, which may work
them out as they are asked for; nothing is walked without end; what has no digest is named once for each kind.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import UserDict
from itertools import islice
from typing import Any, Iterator, Optional

import torch

from . import fingerprints, memory, session
from .plain import text

MAX_DIGEST_BYTES = 1024 * 1024
MAX_VALUES = 10_000

_PLAIN = (type(None), int, float, complex, str, bytes)


def digest(batch: Any) -> tuple[Optional[str], Optional[int]]:
    """The digest of a batch's tensors and arrays, and the items in the first; None where there is none. In `quiet`."""
    found, named = [], False
    for count, (path, value) in enumerate(islice(_values(batch), MAX_VALUES + 1)):
        if count == MAX_VALUES:
            session.uncovered("batches of more than %d values" % MAX_VALUES, "they have no digest")
            return None, None
        if isinstance(value, torch.Tensor) or _is_array(value):
            found.append((path, value))
        elif not isinstance(value, _PLAIN):
            named = True
            kind = type(value).__module__ + "." + type(value).__qualname__
            reason = "only tensors and arrays in lists, tuples, dictionaries and dataclasses are digested"
            session.uncovered("what batches hold in objects of class " + text(kind, 200), reason)
    if not found and not named:
        session.uncovered("batches without a tensor or an array", "they have no digest")
    return _digest(found) if found else (None, None)


def _digest(found: list[tuple[str, Any]]) -> tuple[Optional[str], Optional[int]]:
    tensors = [_bytes_of(value) if _is_array(value) else value for _, value in found]
    readable = memory.present(memory.readable((one for one in tensors if one is not None), "batches: "))
    if len(readable) != len(found):
        return None, None
    first = found[0][1]
    items = int(first.shape[0]) if len(first.shape) else None
    if sum(t.numel() * t.element_size() for t in readable) > MAX_DIGEST_BYTES:
        return "sum64-4096:" + str(fingerprints.sums(readable)), items
    whole = hashlib.sha256()
    for (path, value), tensor in zip(found, readable):  # noqa: B905  (strict= is newer than Python 3.9)
        kind = "numpy." + value.dtype.str if _is_array(value) else str(value.dtype)
        line = json.dumps([path, kind, list(value.shape)], separators=(",", ":"))
        whole.update(line.encode("ascii") + b"\n")
        held = memory.hold(tensor)  # keeps a copy that was made while its view is read
        whole.update(held.view)
    return "sha256:" + whole.hexdigest(), items


def _values(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    within = _inside(value) if depth < memory.MAX_DEPTH and not isinstance(value, torch.Tensor) else None
    if within is None:
        yield path, value
        return
    for key, item in within:
        yield from _values(item, path + "/" + str(key), depth + 1)


def _inside(value: Any) -> Optional[Iterator[tuple[Any, Any]]]:
    if isinstance(value, (list, tuple)):
        return enumerate(value)
    if isinstance(value, UserDict):
        value = value.__dict__.get("data")
    if isinstance(value, dict):
        return iter(value.items())
    own = getattr(value, "__dict__", None) if dataclasses.is_dataclass(type(value)) else None
    names = [] if own is None else [field.name for field in dataclasses.fields(value)]
    return ((name, own[name]) for name in names) if names and all(name in own for name in names) else None


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
