"""The layout of a stored log: tiles of hashes and bundles of entries (C2SP tlog-tiles).

A tile is 256 consecutive hashes of one tree level that is a multiple of 8; the rightmost ones are partial.
Level 0 holds leaf hashes; a bundle holds the entries of the level-0 tile with the same index and width.
Tiles are never trusted: what is made from them is a proof, and a proof is verified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from saksi.proofs.canonical import MAX_UINT63, decimal
from saksi.proofs.tlog.merkle import HASH_SIZE, HashReader, root_of
from saksi.words.errors import MalformedInput
from saksi.words.limits import MAX_ENTRY_BYTES

__all__ = [
    "ENTRIES",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "Tile",
    "TileReader",
    "bundles_for",
    "decode_bundle",
    "encode_bundle",
    "hash_from_tiles",
    "new_bundles",
    "new_tiles",
    "parse_tile_path",
    "tile_content",
    "tile_path",
    "tiles_for",
]

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
ENTRIES: Final = -1  # the "level" of entry bundles, which lie beside the hash tiles

_MAX_LEVEL: Final = 63  # C2SP tlog-tiles, "Merkle Tree"
# Six groups of three digits name every tile of a tree of 2**63 leaves; more can only be an attack.
_PATH: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?", re.ASCII)


class Tile(msgspec.Struct, frozen=True, order=True):
    """The coordinates of a tile, or with level `ENTRIES` of a bundle. A `width` below 256 is a partial one."""

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not ENTRIES <= self.level <= _MAX_LEVEL:
            raise MalformedInput("tile", f"level {self.level} is not between 0 and {_MAX_LEVEL}")
        if not 0 <= self.index <= MAX_UINT63 >> TILE_HEIGHT:
            raise MalformedInput("tile", f"index {self.index} is outside every tree")
        if not 1 <= self.width <= TILE_WIDTH:
            raise MalformedInput("tile", f"width {self.width} is not between 1 and {TILE_WIDTH}")


TileReader = Callable[[Tile], bytes]


def tile_path(tile: Tile) -> str:
    """The relative path a tile is stored and served under: `tile/0/x001/x234/067.p/8`."""
    digits = f"{tile.index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join([*("x" + group for group in groups[:-1]), groups[-1]])
    level = "entries" if tile.level == ENTRIES else str(tile.level)
    partial = "" if tile.width == TILE_WIDTH else f".p/{tile.width}"
    return f"tile/{level}/{place}{partial}"


def parse_tile_path(path: str) -> Tile:
    """The inverse of `tile_path`. Raises `MalformedInput` for any other spelling of the same tile too."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise MalformedInput("tile path", f"{path[:80]!r} is not 'tile/<level>/<index>[.p/<width>]'")
    level = ENTRIES if match[1] == "entries" else decimal(match[1], what="tile path", most=_MAX_LEVEL)
    index = int(match[2].replace("x", "").replace("/", ""))
    width = TILE_WIDTH if match[3] is None else decimal(match[3], what="tile path", most=TILE_WIDTH - 1)
    tile = Tile(level, index, width)
    if tile_path(tile) != path:
        raise MalformedInput("tile path", f"{path[:80]!r} is not the canonical path of its tile")
    return tile


def new_tiles(old_size: int, new_size: int) -> list[Tile]:
    """The hash tiles, all levels, that a log growing from `old_size` to `new_size` writes; partial ones too."""
    tiles: list[Tile] = []
    level = 0
    while new_size >> (TILE_HEIGHT * level):
        tiles.extend(_grown(level, old_size >> (TILE_HEIGHT * level), new_size >> (TILE_HEIGHT * level)))
        level += 1
    return tiles


def tiles_for(size: int) -> list[Tile]:
    """Every hash tile of a tree of `size` leaves."""
    return new_tiles(0, size)


def new_bundles(old_size: int, new_size: int) -> list[Tile]:
    """The entry bundles that a log growing from `old_size` to `new_size` writes."""
    return list(_grown(ENTRIES, old_size, new_size))


def bundles_for(size: int) -> list[Tile]:
    """Every entry bundle of a log of `size` entries."""
    return new_bundles(0, size)


def _grown(level: int, old: int, new: int) -> Iterator[Tile]:
    """The tiles of one level that change when its number of hashes grows from `old` to `new`."""
    if old == new:
        return
    for index in range(old // TILE_WIDTH, -(-new // TILE_WIDTH)):
        yield Tile(level, index, min(TILE_WIDTH, new - index * TILE_WIDTH))


def tile_content(tile: Tile, read_hash: HashReader) -> bytes:
    """The bytes of a hash tile: its `width` hashes, one after the other."""
    first = tile.index * TILE_WIDTH
    return b"".join(read_hash(tile.level * TILE_HEIGHT, first + at) for at in range(tile.width))


def hash_from_tiles(read_tile: TileReader, size: int) -> HashReader:
    """A `HashReader` over the stored tiles of a tree of `size` leaves; each tile is read once.

    `read_tile` may answer a request for a partial tile with the full one, since logs may delete partial
    tiles. The reader raises `MalformedInput` for a tile of the wrong length, `ValueError` for a hash
    outside the tree, and whatever `read_tile` raises.
    """
    held: dict[tuple[int, int], bytes] = {}

    def read_hash(level: int, index: int) -> bytes:
        if level < 0 or index < 0 or (index + 1) << level > size:
            raise ValueError(f"no complete subtree {level}/{index} in a tree of {size} leaves")
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, first = divmod(index << height, TILE_WIDTH)
        content = held.get((tile_level, tile_index))
        if content is None:
            width = min(TILE_WIDTH, (size >> (TILE_HEIGHT * tile_level)) - tile_index * TILE_WIDTH)
            content = _checked(read_tile, Tile(tile_level, tile_index, width))
            held[tile_level, tile_index] = content
        hashes = [content[at : at + HASH_SIZE] for at in _offsets(first, 1 << height)]
        return root_of(hashes)

    return read_hash


def _checked(read_tile: TileReader, tile: Tile) -> bytes:
    content = read_tile(tile)
    if len(content) not in {tile.width * HASH_SIZE, TILE_WIDTH * HASH_SIZE}:
        raise MalformedInput("tile", f"{len(content)} bytes are not {tile.width} hashes", where=tile_path(tile))
    return content


def _offsets(first: int, count: int) -> range:
    return range(first * HASH_SIZE, (first + count) * HASH_SIZE, HASH_SIZE)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry behind its length as two big-endian bytes (C2SP tlog-tiles, "Log entries").

    Raises `MalformedInput` for no entries, more than 256, or one of more than 65,535 bytes.
    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise MalformedInput("entry", f"{len(entry)} bytes are above the limit of {MAX_ENTRY_BYTES}")
        parts += (len(entry).to_bytes(2, "big"), entry)
    if not 1 <= len(parts) // 2 <= TILE_WIDTH:
        raise MalformedInput("entry bundle", f"{len(parts) // 2} entries are not between 1 and {TILE_WIDTH}")
    return b"".join(parts)


def decode_bundle(content: bytes, *, width: int | None = None) -> list[bytes]:
    """The inverse of `encode_bundle`. Raises `MalformedInput`, also unless there are `width` entries if given."""
    entries: list[bytes] = []
    at, end = 0, len(content)
    while at < end:
        start = at + 2
        at = start + int.from_bytes(content[at:start], "big")
        if at > end:
            raise MalformedInput("entry bundle", f"entry {len(entries)} is cut off")
        if len(entries) == TILE_WIDTH:
            raise MalformedInput("entry bundle", f"more than {TILE_WIDTH} entries")
        entries.append(content[start:at])
    if not entries:
        raise MalformedInput("entry bundle", "no entries")
    if width is not None and len(entries) != width:
        raise MalformedInput("entry bundle", f"{len(entries)} entries instead of {width}")
    return entries
