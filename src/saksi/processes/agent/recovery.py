"""What a log's bytes must say about each other before somebody writes on: the rules of recovery.

1. The head says what was acknowledged. The journal's first N entries must hash to the root that the head signs for N.
   If they do not, the log is refused: closed, not repaired, whatever the cause.
2. Frames behind entry N were staged and never acknowledged. They are cut before anything new is staged.
3. No head known from elsewhere (the published one, an anchor) and no tile may be larger than the head: the head is
   made durable before any of them leaves, so a smaller head is a head that was rolled back.
4. Every known head must be the root of the journal at its size.
5. Tiles are a projection: one that is missing, torn or wrong is made again, after rules 1 to 4 hold.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from saksi.edges.store.protocol import Store
from saksi.proofs.journal import Frame, Torn, frames_of
from saksi.proofs.projection import LOG_FOLDER, PUBLISHED, Projection, Stored
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, open_log_checkpoint
from saksi.proofs.tlog.note import SignatureRefused, VerifierKey
from saksi.proofs.tlog.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, Tile, parse_tile_path
from saksi.words.errors import MalformedInput, NotStored, SaksiError

__all__ = ["LogRefused", "Replayed", "mend", "open_head", "open_published", "replay"]


class LogRefused(SaksiError):
    """The log contradicts its head or a head known elsewhere. It is closed; nothing here repairs it."""

    exit_code = 1

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the log and its head disagree: {reason}",
            remedy="keep the run's folder as it is, compare its anchors, and start a new run",
        )


class Replayed(NamedTuple):
    """A journal that agrees with its head: where its acknowledged part ends, its tiles, and which of them are wrong."""

    head: LogCheckpoint
    journal_end: int
    projection: Projection
    published_size: int
    partials: tuple[str, ...]
    missing: frozenset[str]
    wrong: frozenset[str]
    superseded: tuple[str, ...]

    @property
    def owed(self) -> frozenset[str]:
        """The missing tiles that the published head promises; full ones above it are not owed to anyone yet."""
        return frozenset(
            name
            for name in self.missing
            if _covers(parse_tile_path(name.removeprefix(LOG_FOLDER))) <= self.published_size
        )


def open_head(note: bytes, keys: Iterable[VerifierKey]) -> LogCheckpoint:
    """The log checkpoint of the note `head` holds. Raises `LogRefused`, and `MissingKey` without any key."""
    try:
        return open_log_checkpoint(note, keys)
    except (MalformedInput, SignatureRefused) as error:
        raise LogRefused(f"the head cannot be opened: {error}") from error


def open_published(store: Store, keys: Iterable[VerifierKey]) -> LogCheckpoint | None:
    """The published log checkpoint, `None` before the first. Raises `LogRefused`, `MissingKey`, `StoreError`."""
    try:
        return open_log_checkpoint(store.read(PUBLISHED), keys)
    except NotStored:
        return None
    except (MalformedInput, SignatureRefused) as error:
        raise LogRefused(f"{PUBLISHED} cannot be opened: {error}") from error


def replay(
    store: Store, head: LogCheckpoint, published: LogCheckpoint | None, known: Sequence[LogCheckpoint] = ()
) -> Replayed:
    """Read the whole journal against `head`, the published head, those `known` elsewhere, and the tiles.

    Writes nothing. Raises `LogRefused` for what rules 1, 3 and 4 forbid, `StoreError` if the store does.
    """
    heads = [head, *([] if published is None else [published]), *known]
    roots = _roots(head, heads)
    stored = _stored_tiles(store, head.size)
    published_size = 0 if published is None else published.size
    projection, end, partials = Projection(), 0, list[Stored]()
    missing, wrong = set[str](), set[str]()

    def compare(expected: Iterable[Stored]) -> None:
        for name, content in expected:
            if name not in stored:
                missing.add(name)
            elif store.read(name) != content:
                wrong.add(name)

    for frame in _acknowledged(store, head):
        for part in _split(frame.entries, projection.size, sorted(roots)):
            compare(projection.add(part))
            if projection.size in roots and roots[projection.size] != projection.edge().root():
                raise LogRefused(f"its first {projection.size} entries have another root than was signed")
            if projection.size == published_size:
                partials = projection.partials()
                compare(partials)
        end = frame.end
    current = tuple(each.name for each in partials)
    superseded = tuple(sorted(name for name in stored if _is_partial(name) and name not in current))
    return Replayed(head, end, projection, published_size, current, frozenset(missing), frozenset(wrong), superseded)


def mend(store: Store, replayed: Replayed) -> list[str]:
    """Make missing and wrong tiles again and remove superseded partial ones; the names of what was changed.

    Only after `replay`, whose result this is. Raises `StoreError`.
    """
    fresh = Projection()

    def write(expected: Iterable[Stored]) -> None:
        for name, content in expected:
            if name in replayed.wrong:
                store.replace(name, content)
            elif name in replayed.missing:
                store.write_once(name, content, durable=False)

    if replayed.wrong or replayed.missing:
        for frame in _acknowledged(store, replayed.head):
            for part in _split(frame.entries, fresh.size, [replayed.published_size]):
                write(fresh.add(part))
                if fresh.size == replayed.published_size:
                    write(fresh.partials())
    for name in replayed.superseded:
        store.discard(name)
    return sorted((*replayed.missing, *replayed.wrong, *replayed.superseded))


def _roots(head: LogCheckpoint, heads: Iterable[LogCheckpoint]) -> dict[int, bytes]:
    """The one root each size must have."""
    roots: dict[int, bytes] = {}
    for known in heads:
        if known.origin != head.origin:
            raise LogRefused(f"the head is of the log {head.origin}, another of {known.origin}")
        if known.size > head.size:
            raise LogRefused(f"a head of {known.size} entries was signed, the present one has {head.size}")
        if roots.setdefault(known.size, known.root) != known.root:
            raise LogRefused(f"two roots were signed for {known.size} entries")
    return roots


def _acknowledged(store: Store, head: LogCheckpoint) -> Iterator[Frame]:
    """The journal's frames up to the head's size. Raises `LogRefused` if they do not reach it exactly."""
    size = 0
    for found in frames_of(store.journal) if head.size else ():
        if isinstance(found, Torn):
            raise LogRefused(
                f"the journal ends after {size} of {head.size} entries, at byte {found.offset:,}: {found.reason}"
            )
        size += len(found.entries)
        if size > head.size:
            raise LogRefused(f"its {head.size} entries end inside a frame of the journal")
        yield found
        if size == head.size:
            return
    if size != head.size:
        raise LogRefused(f"the journal ends after {size} of {head.size} entries")


def _split(entries: Sequence[bytes], first: int, stops: Sequence[int]) -> Iterator[Sequence[bytes]]:
    """`entries`, the first of which has index `first`, in parts that end at each of the sorted `stops`."""
    start = 0
    for stop in stops[bisect_right(stops, first) :]:
        if stop - first >= len(entries):
            break
        yield entries[start : stop - first]
        start = stop - first
    yield entries[start:]


def _stored_tiles(store: Store, size: int) -> set[str]:
    """The names of the tiles there are. Raises `LogRefused` if one holds more than `size` entries fill."""
    names = set[str]()
    for name in store.names(LOG_FOLDER + "tile/"):
        try:
            tile = parse_tile_path(name.removeprefix(LOG_FOLDER))
        except MalformedInput:
            continue  # not a name readers ask for; `soundness.py` tells
        if _covers(tile) > size:
            raise LogRefused(f"{name} is of a log of at least {_covers(tile)} entries, the head has {size}")
        names.add(name)
    return names


def _covers(tile: Tile) -> int:
    """How many entries a log has at least that has this tile."""
    height = 0 if tile.level == ENTRIES else TILE_HEIGHT * tile.level
    return (tile.index * TILE_WIDTH + tile.width) << height


def _is_partial(name: str) -> bool:
    return parse_tile_path(name.removeprefix(LOG_FOLDER)).width < TILE_WIDTH
