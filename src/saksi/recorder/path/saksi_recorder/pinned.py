"""Memory of the host that devices copy to: bounded, and used again, never freed.

Rules: what is taken and what lies free is at most `limit` bytes in all; a slot is given back only when no copy to it
can be under way; sizes are powers of two, as torch rounds them itself.
"""

from __future__ import annotations

from typing import Any, Optional

from .device import Accelerator

SMALLEST = 64
BLOCK = 64 * 1024  # smaller slots are cut from one of these


class Slot:
    """A piece of pinned memory."""

    __slots__ = ("capacity", "kind", "tensor")

    def __init__(self, kind: str, tensor: Any, capacity: int) -> None:
        self.kind = kind
        self.tensor = tensor
        self.capacity = capacity


def capacity_for(nbytes: int) -> int:
    """The size of the slot that so many bytes need."""
    return max(SMALLEST, 1 << max(0, nbytes - 1).bit_length())


class Pool:
    """Slots of all sizes; at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._free: dict[tuple[str, int], list[Slot]] = {}

    def take(self, accelerator: Accelerator, nbytes: int) -> Optional[Slot]:
        """A slot of at least so many bytes; None if the limit is reached. Raises what the allocation raises."""
        capacity = capacity_for(nbytes)
        free = self._free.setdefault((accelerator.kind, capacity), [])
        try:
            return free.pop()
        except IndexError:  # none, or another thread took it
            pass
        whole = max(capacity, BLOCK)
        if self.held + whole > self.limit:
            return None
        block = accelerator.pinned(whole)
        self.held += whole
        free.extend(
            Slot(accelerator.kind, block[at : at + capacity], capacity) for at in range(0, whole - capacity, capacity)
        )
        return Slot(accelerator.kind, block[whole - capacity :], capacity)

    def has(self, capacity: int, counts: dict[tuple[str, int], int]) -> bool:
        """Whether so many slots of a capacity can be taken for each device. Another thread may take them first."""
        kinds: dict[str, int] = {}
        for (kind, _), count in counts.items():
            kinds[kind] = kinds.get(kind, 0) + count
        block = max(capacity, BLOCK)
        needed = 0
        for kind, count in kinds.items():
            lacking = max(0, count - len(self._free.get((kind, capacity), ())))
            needed += -(-lacking * capacity // block) * block
        return self.held + needed <= self.limit

    def give(self, slot: Slot) -> None:
        """Back to the others."""
        self._free[slot.kind, slot.capacity].append(slot)
