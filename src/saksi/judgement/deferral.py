"""Updates as they were once their devices had delivered: an `update` frame and its `deferred` frame, joined.

Rules: order is kept, so what was said behind an Update stays behind it, and waits with it; what waits is bounded; a
`deferred` frame whose Update is not waiting is left out; a field that never came stays named in `deferred` of the
Update, so that nobody takes its absence for a value; hyper-parameters of which some never came count as omitted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

import msgspec

from saksi.words.frames import AnyFrame, DeferredFrame, UpdateFrame

__all__ = ["MAX_WAITING", "Deferral", "joined"]

MAX_WAITING: Final = 1024
"""Frames that wait behind an Update. A recorder waits for 16 Updates and says a few frames with each."""
MAX_WAITING_BYTES: Final = 2 * 1024 * 1024
"""Bytes of them as they came. Decoded, a frame of many small values takes some twenty times as much."""

T = TypeVar("T")


def joined(update: UpdateFrame, later: DeferredFrame) -> UpdateFrame:
    """The Update with the values that came later. Values that were not announced are not taken."""
    came: list[str] = [name for name in update.deferred if name not in later.lacking]
    changes: dict[str, Any] = {"deferred": [name for name in update.deferred if name in later.lacking]}
    for name in ("loss", "gradient_norm"):
        if name in came:
            changes[name] = getattr(later, name)
    if "skipped" in came:
        changes["skipped"] = bool(later.skipped)
    if "fingerprints" in came:
        changes["fingerprints"] = [*update.fingerprints, *later.fingerprints]
    if "groups" in came:
        changes["groups"] = _groups(update.groups, later.groups)
    return msgspec.structs.replace(update, **changes)


def _groups(groups: list[dict[str, Any]], values: list[Any]) -> list[dict[str, Any]]:
    out = [dict(group) for group in groups]
    for place, name, value in values:
        if place < len(out) and name in out[place]:
            out[place][name] = value
    return out


class Deferral(Generic[T]):
    """One connection's frames on their way to a reader, each with whatever the reader wants beside it."""

    def __init__(self) -> None:
        self._held: deque[_Held[T]] = deque()
        self._bytes = 0

    def take(self, frame: AnyFrame, beside: T, size: int = 0) -> Iterator[tuple[AnyFrame, T]]:
        """The frames that can be read now, in order. `size` is that of the frame as it came, in bytes."""
        if isinstance(frame, DeferredFrame):
            self._join(frame)
        elif not self._held and not _waits(frame):  # whoever trains without devices comes through here
            yield frame, beside
            return
        else:
            self._held.append(_Held(frame, beside, size))
            self._bytes += size
        while self._held and (self._is_full() or not self._held[0].waits):
            first = self._held.popleft()
            self._bytes -= first.size
            yield first.settled(), first.beside

    def _is_full(self) -> bool:
        return len(self._held) > MAX_WAITING or self._bytes > MAX_WAITING_BYTES

    def rest(self) -> Iterator[tuple[AnyFrame, T]]:
        """What still waits, as it is: nothing more will come."""
        self._bytes = 0
        while self._held:
            first = self._held.popleft()
            yield first.settled(), first.beside

    def _join(self, later: DeferredFrame) -> None:
        for held in self._held:
            frame = held.frame
            if held.waits and isinstance(frame, UpdateFrame) and _are_one(frame, later):
                held.frame, held.waits = joined(frame, later), False
                return


class _Held(Generic[T]):
    """A frame that is kept back, or behind one that is."""

    __slots__ = ("beside", "frame", "size", "waits")

    def __init__(self, frame: AnyFrame, beside: T, size: int) -> None:
        self.size = size
        self.frame = frame
        self.beside = beside
        self.waits = _waits(frame)

    def settled(self) -> AnyFrame:
        """The frame as it stays."""
        frame = self.frame
        if isinstance(frame, UpdateFrame) and "groups" in frame.deferred:
            omitted = frame.groups_omitted + len(frame.groups)
            return msgspec.structs.replace(frame, groups=[], groups_omitted=omitted)
        return frame


def _waits(frame: AnyFrame) -> bool:
    return isinstance(frame, UpdateFrame) and bool(frame.deferred)


def _are_one(update: UpdateFrame, later: DeferredFrame) -> bool:
    return (update.optimizer, update.update) == (later.optimizer, later.update)
