"""Sums over memory: weaker than a digest, cheap enough for both ends of every step.

Rules: `sum64-4096` and `mult64-4096` as in `spec/frames.md`; no temporary memory to speak of; torch sums integers
here, on tensors of ours that no graph, view or version counter of the user's tensors knows.
"""

from __future__ import annotations

import hashlib
from typing import Any, Optional

import torch

from . import memory, session

CHUNK = 4096
SHARES = 8

_factors: list[Any] = [b"", None]


def sums(tensors: list[Any], *, keyed: bool = False) -> Optional[str]:
    """32 hexadecimal digits over the tensors' bytes, in their order; None for no tensors. Call inside `quiet`."""
    parts = []
    for tensor in tensors:
        held = memory.hold(tensor)
        if held.nbytes:
            parts += _of(held, _key_factors() if keyed else None)
    if not tensors:
        return None
    digest = hashlib.sha256()
    if parts:
        joined = torch.cat(parts)
        digest.update(memory.hold(joined).view)
    return digest.hexdigest()[:32]


def share(tensors: list[Any], number: int) -> list[Any]:
    """The tensors of one rotating share."""
    return tensors[number % SHARES :: SHARES]


def _of(held: memory.Held, factors: Any) -> list[Any]:
    count = held.nbytes // 8
    out = []
    if count:
        words = torch.frombuffer(held.view, dtype=torch.int64, count=count)
        whole = count // CHUNK
        if whole:
            table = words if whole * CHUNK == count else words[: whole * CHUNK]
            table = table.view(whole, CHUNK)
            # A matrix times a vector: the products and their sum modulo 2^64, without a table of products.
            out.append(table.sum(1) if factors is None else torch.mv(table, factors))
        rest = count - whole * CHUNK
        if rest:
            last = words[whole * CHUNK :]
            out.append((last if factors is None else last * factors[:rest]).sum(0, keepdim=True))
    if held.nbytes % 8:
        tail = torch.frombuffer(held.view, dtype=torch.uint8, count=held.nbytes % 8, offset=count * 8)
        out.append(tail.sum(0, keepdim=True, dtype=torch.int64))
    return out


def _key_factors() -> Any:
    if _factors[0] != session.key:
        stream = bytearray(hashlib.shake_256(session.key).digest(CHUNK * 8))
        _factors[:] = [session.key, torch.frombuffer(stream, dtype=torch.int64)]
    return _factors[1]
