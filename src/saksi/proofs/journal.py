"""The journal's frames: how entries are staged. Pure: bytes in, values out.

    magic      8 bytes   "saksi/j1"
    first      8 bytes   index in the log of the frame's first entry, big-endian
    count      4 bytes   number of entries, 1 to 65,536
    length     4 bytes   bytes of all entries together
    lengths    2 bytes each
    entries    one after the other
    digest     32 bytes  SHA-256 of everything before it in the frame

The digest finds torn and changed frames; it is no protection against a forger, which is the head's signature over the
tree. A journal is read up to the first frame that is not whole, whatever the cause. Whether the bytes after that were
ever acknowledged is not decided here: the head knows.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from saksi.words.errors import MalformedInput
from saksi.words.limits import MAX_ENTRY_BYTES

__all__ = [
    "MAGIC",
    "MAX_FRAME",
    "MAX_FRAME_ENTRIES",
    "Frame",
    "JournalContents",
    "JournalReader",
    "Torn",
    "encode_frames",
    "frame_at",
    "frames_of",
    "parse_journal",
]

MAGIC: Final = b"saksi/j1"

MAX_FRAME_ENTRIES: Final = 65_536
"""Entries of one frame: far above the batches the agent makes (8,192), small enough to parse in one piece."""

MAX_FRAME_CONTENT: Final = 1 << 26
"""Bytes of the entries of one frame, 64 MiB: what a reader must be ready to hold at once."""

_HEADER: Final = struct.Struct(">8sQII")
_DIGEST: Final = 32
_WINDOW: Final = 1 << 23  # bytes a reader asks for at a time
MAX_FRAME: Final = _HEADER.size + 2 * MAX_FRAME_ENTRIES + MAX_FRAME_CONTENT + _DIGEST
"""Bytes of the largest frame: a reader that holds this many from a frame's start can decide about it."""


class Frame(NamedTuple):
    """One whole frame: the entries from index `first` on, and where in the bytes it ends."""

    first: int
    entries: tuple[bytes, ...]
    end: int


class Torn(NamedTuple):
    """At `offset` no whole frame starts, and why."""

    offset: int
    reason: str


class JournalContents(NamedTuple):
    """What a journal holds up to the first frame that is not whole, which is `torn` if there is one."""

    entries: list[bytes]
    good_length: int
    frames: int
    torn: Torn | None


JournalReader = Callable[[int, int], bytes]
"""`read(offset, limit)`: at most `limit` bytes of the journal; fewer only at its end."""


def encode_frames(first: int, entries: Sequence[bytes]) -> bytes:
    """The frames that stage `entries` from index `first` on: one, or more if a limit of a frame asks for it.

    Raises `MalformedInput` if an entry is over the limit. No entries make no frames.
    """
    return b"".join(_encoded(start, part) for start, part in _parts(first, entries))


def _parts(first: int, entries: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    start = size = 0
    for i, entry in enumerate(entries):
        if len(entry) > MAX_ENTRY_BYTES:
            where = f"index {first + i}"
            raise MalformedInput("entry", f"{len(entry)} bytes, the limit is {MAX_ENTRY_BYTES}", where=where)
        if i - start == MAX_FRAME_ENTRIES or size + len(entry) > MAX_FRAME_CONTENT:
            yield first + start, entries[start:i]
            start, size = i, 0
        size += len(entry)
    if start < len(entries):
        yield first + start, entries[start:]


def _encoded(first: int, entries: Sequence[bytes]) -> bytes:
    lengths = list(map(len, entries))
    header = _HEADER.pack(MAGIC, first, len(entries), sum(lengths))
    body = b"".join((header, struct.pack(f">{len(lengths)}H", *lengths), *entries))
    return body + hashlib.sha256(body).digest()


def frame_at(journal: bytes, offset: int, expected_first: int) -> Frame | Torn:
    """The frame that starts at `offset`, or the reason why there is no whole one.

    It must continue the log: its first index is `expected_first`.
    """
    if len(journal) - offset < _HEADER.size:
        return Torn(offset, "a frame's header is cut short")
    magic, first, count, length = _HEADER.unpack_from(journal, offset)
    if magic != MAGIC:
        return Torn(offset, f"no frame starts here: {magic.hex()}")
    if first != expected_first:
        return Torn(offset, f"a frame starts with entry {first}, entry {expected_first} was expected")
    if not 1 <= count <= MAX_FRAME_ENTRIES or length > MAX_FRAME_CONTENT:
        return Torn(offset, f"a frame of {count} entries and {length} bytes is over the limits")
    at = offset + _HEADER.size + 2 * count
    end = at + length + _DIGEST
    if end > len(journal):
        return Torn(offset, "a frame is cut short")
    if hashlib.sha256(memoryview(journal)[offset : end - _DIGEST]).digest() != journal[end - _DIGEST : end]:
        return Torn(offset, "a frame does not have the digest it ends with")
    lengths = struct.unpack_from(f">{count}H", journal, at - 2 * count)
    if sum(lengths) != length:
        return Torn(offset, "a frame's lengths do not add up")
    ends = list(itertools.accumulate(lengths, initial=at))
    return Frame(first, tuple([journal[a:b] for a, b in itertools.pairwise(ends)]), end)


def frames_of(read: JournalReader, offset: int = 0, first: int = 0) -> Iterator[Frame | Torn]:
    """The frames from `offset` on, where the frame of entry `first` starts; a `Torn` is the last that comes.

    Holds a window of the journal, never all of it: a run of a month has a journal of many gigabytes.
    """
    size = _WINDOW
    while True:
        window = read(offset, size)
        at, found = 0, frame_at(window, 0, first)
        while isinstance(found, Frame):
            yield found._replace(end=offset + found.end)
            at, first = found.end, first + len(found.entries)
            found = frame_at(window, at, first)
        offset += at
        if at == 0 and len(window) == size < MAX_FRAME:
            size = MAX_FRAME  # a frame larger than the usual window
        elif at == 0:
            if window:
                yield Torn(offset, found.reason)
            return
        else:
            size = _WINDOW


def parse_journal(journal: bytes) -> JournalContents:
    """Everything in a journal up to its first frame that is not whole. Never raises."""
    entries: list[bytes] = []
    good_length = frames = 0
    for found in frames_of(lambda offset, limit: journal[offset : offset + limit]):
        if isinstance(found, Torn):
            return JournalContents(entries, good_length, frames, found)
        entries.extend(found.entries)
        good_length, frames = found.end, frames + 1
    return JournalContents(entries, good_length, frames, None)
