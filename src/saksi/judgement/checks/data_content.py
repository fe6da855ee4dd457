"""Is what comes under the same ids what came before: batches that stood still and changed.

Rules: a loader whose batches never stood still is not judged: random augmentation. One batch that changed between two
that did not is told as such; where everything from some batch on is another, that looks like a setting of the program.

Known weakness: only the same ids in the same order are compared, so a shuffled loader is judged only where its batches
are single samples; a batch that is changed again before it stood still three times makes its loader one that varies.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, NamedTuple

from saksi.words.frames import Batch

__all__ = ["MAX_KEPT", "Changed", "Content"]

MAX_KEPT: Final = 4_096
"""Batches of one loader; of a loader with more in an epoch, none comes again before it is forgotten."""
STOOD_STILL: Final = 2
"""Times that a batch came again unchanged, before a change of it is told."""


class Changed(NamedTuple):
    """A batch whose content is another: the first of those in a row. `alone`: batches around it stood still."""

    epoch: int
    place: int
    rank: int
    step: int | None
    entry: int
    alone: bool


class _Kept:
    __slots__ = ("digest", "same")

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.same = 0


class Content:
    """Digests of one loader's batches by their ids. `size` is how many are kept."""

    __slots__ = ("_kept", "_varies", "pending")

    def __init__(self) -> None:
        self._kept: dict[bytes, _Kept] = {}
        self._varies = False
        self.pending: Changed | None = None

    @property
    def size(self) -> int:
        """How many batches are kept."""
        return len(self._kept)

    def take(self, batch: Batch, rank: int, step: int | None, entry: int, room: int) -> Changed | None:
        """Takes a batch in; a change that is settled by it."""
        if self._varies or not batch.ids or batch.digest is None or batch.epoch is None or batch.place is None:
            return None
        key, digest = _short(struct.pack(f"<{len(batch.ids)}q", *batch.ids)), _short(batch.digest.encode())
        known = self._kept.pop(key, None)
        settled = self.settle(batch.epoch)
        if known is None:
            known = _Kept(digest)
        elif known.digest == digest:
            known.same += 1
            if self.pending is not None and known.same > STOOD_STILL and batch.place > self.pending.place:
                settled, self.pending = self.pending._replace(alone=True), None
        elif known.same >= STOOD_STILL:
            self.pending = self.pending or Changed(batch.epoch, batch.place, rank, step, entry, alone=False)
            known = _Kept(digest)
        else:
            self._varies, self.pending = True, None
            self._kept.clear()
            return settled
        self._keep(key, known, room)
        return settled

    def settle(self, epoch: int) -> Changed | None:
        """A change that nothing came behind in its own epoch, once another has begun."""
        if self.pending is None or self.pending.epoch == epoch:
            return None
        settled, self.pending = self.pending, None
        return settled

    def _keep(self, key: bytes, known: _Kept, room: int) -> None:
        self._kept[key] = known
        while len(self._kept) > max(1, min(MAX_KEPT, len(self._kept) - 1 + room)):
            del self._kept[next(iter(self._kept))]


def _short(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:16]
