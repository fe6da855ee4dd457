"""The tiles that a log's entries make, and where they lie in a run's store. Pure: entries in, objects out.

A projection can be made again from the journal at any time, so it is never evidence of its own: what was acknowledged
is decided by the journal and the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from saksi.proofs.tlog.merkle import CompactRange, leaf_hashes, root_of
from saksi.proofs.tlog.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, Tile, encode_bundle, tile_path

__all__ = ["LOG_FOLDER", "PUBLISHED", "Projection", "Stored", "stored_name"]

LOG_FOLDER: Final = "log/"
PUBLISHED: Final = "log/checkpoint"
"""The head that readers see: a signed log checkpoint no larger than what the tiles hold."""


class Stored(NamedTuple):
    """An object of the projection and the bytes it has to have."""

    name: str
    content: bytes


def stored_name(tile: Tile) -> str:
    """Where a tile or bundle lies in a run's store."""
    return LOG_FOLDER + tile_path(tile)


class Projection:
    """The tiles of the first `size` entries: full ones as `add` completes them, the others from `partials`."""

    def __init__(self) -> None:
        self.size = 0
        self._bundle: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]

    def copy(self) -> Projection:
        """Another projection at the same size; adding to one leaves the other as it is."""
        other = Projection()
        other.size = self.size
        other._bundle = list(self._bundle)
        other._levels = [list(level) for level in self._levels]
        return other

    def add(self, entries: Sequence[bytes]) -> Iterator[Stored]:
        """Take in the next entries. What becomes full on the way is yielded; the caller must exhaust it."""
        start = 0
        while start < len(entries):
            part = entries[start : start + TILE_WIDTH - len(self._bundle)]
            start += len(part)
            self._bundle += part
            self._levels[0] += leaf_hashes(part)
            self.size += len(part)
            if len(self._bundle) == TILE_WIDTH:
                yield Stored(stored_name(Tile(ENTRIES, self.size // TILE_WIDTH - 1)), encode_bundle(self._bundle))
                self._bundle = []
                yield from self._close(0)

    def _close(self, level: int) -> Iterator[Stored]:
        """The full tile of this level, and those above it that become full with it."""
        hashes = self._levels[level]
        tile = Tile(level, (self.size >> (TILE_HEIGHT * (level + 1))) - 1)
        yield Stored(stored_name(tile), b"".join(hashes))
        self._levels[level] = []
        if level + 1 == len(self._levels):
            self._levels.append([])
        self._levels[level + 1].append(root_of(hashes))
        if len(self._levels[level + 1]) == TILE_WIDTH:
            yield from self._close(level + 1)

    def partials(self) -> list[Stored]:
        """The bundle and the tiles that are not full at this size; levels without a hash have none."""
        found: list[Stored] = []
        if self._bundle:
            tile = Tile(ENTRIES, self.size // TILE_WIDTH, len(self._bundle))
            found.append(Stored(stored_name(tile), encode_bundle(self._bundle)))
        for level, hashes in enumerate(self._levels):
            if hashes:
                tile = Tile(level, self.size >> (TILE_HEIGHT * (level + 1)), len(hashes))
                found.append(Stored(stored_name(tile), b"".join(hashes)))
        return found

    def edge(self) -> CompactRange:
        """The right edge of the tree at this size, for its root and for growing it."""
        hashes: list[bytes] = []
        for level in reversed(self._levels):
            # A hash of level L is a complete subtree; the open tile's binary parts are the edge's at that level.
            inner = CompactRange()
            inner.extend(level)
            hashes += inner.hashes
        return CompactRange(self.size, hashes)
