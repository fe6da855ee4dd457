"""The last signed head, in memory that the agent and its launcher share: it outlives an agent that is killed.

Two slots are written in turn, each with a count and a digest, so that a writer that dies half-way leaves the other one
whole. The next agent must find a log that contains this head: putting the folder back to an earlier state while no
agent runs is noticed, also without an anchor.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from typing import Final

__all__ = ["LastHead"]

_SLOT: Final = 8_192
"""A head's note has some hundreds of bytes; one that does not fit is not kept."""
_HEADER: Final = struct.Struct(">QI32s")


class LastHead:
    """One writer, one reader. Made before the fork; neither call raises."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 2 * _SLOT)

    def keep(self, note: bytes) -> None:
        """Let `note` be the last head."""
        if len(note) > _SLOT - _HEADER.size:
            return
        count = max((count for count, _ in self._whole()), default=0) + 1
        start = (count % 2) * _SLOT
        self._memory[start : start + _HEADER.size] = _HEADER.pack(count, len(note), _digest(count, note))
        self._memory[start + _HEADER.size : start + _HEADER.size + len(note)] = note

    def note(self) -> bytes | None:
        """The head that was kept last, `None` before the first."""
        return max(self._whole(), default=(0, None))[1]

    def _whole(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        for start in (0, _SLOT):
            count, length, digest = _HEADER.unpack(self._memory[start : start + _HEADER.size])
            note = self._memory[start + _HEADER.size : start + _HEADER.size + min(length, _SLOT)]
            if count and _digest(count, note) == digest:
                found.append((count, note))
        return found


def _digest(count: int, note: bytes) -> bytes:
    return hashlib.sha256(count.to_bytes(8, "big") + note).digest()
