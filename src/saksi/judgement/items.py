"""A log, entry by entry, with the frames of each block unfolded: what every fold of judgement reads.

Rules: order is the log's order; a block that cannot be read is said so in the item and never skipped; one block is held
at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from saksi.words.codec import decode_block, decode_record
from saksi.words.digest import Digest, sha256
from saksi.words.errors import MalformedInput
from saksi.words.frames import AnyFrame
from saksi.words.records import AnyRecord, ApprovalRecord, BlockRecord, SealRecord

__all__ = ["BlobReader", "Item", "Line", "Unread", "blob_of", "item_of", "lines_of", "read_items"]

BlobReader: TypeAlias = Callable[[Digest], bytes | None]
"""The bytes that a digest names, or `None` where they are not at hand. What comes back is checked, not believed."""

Unread = Literal["absent", "differs", "malformed"]
"""Why what a blob holds is not there: no blob, a blob with another digest, or bytes that are no block."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One frame as it was received: the exact bytes, and what they say."""

    received_ns: int
    raw: bytes
    frame: AnyFrame


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `lines` are the frames of a block, `content` the bytes of a seal's or a seal file's blob.

    Where `unread` says why lines or a seal file are missing, `reason` says more; of a seal, `content` is not there.
    """

    index: int
    record: AnyRecord
    lines: tuple[Line, ...] = ()
    content: bytes | None = None
    unread: Unread | None = None
    reason: str = ""


def blob_of(record: AnyRecord) -> Digest | None:
    """The blob that a record commits to, or `None`."""
    if isinstance(record, BlockRecord):
        return Digest.parse(record.blob)
    if isinstance(record, SealRecord | ApprovalRecord):
        return Digest.parse(record.envelope)
    return None


def lines_of(blob: bytes, *, where: str | None = None) -> tuple[Line, ...]:
    """The lines of a block. Raises `MalformedInput`."""
    return tuple(
        Line(received_ns=received_ns, raw=raw, frame=frame)
        for received_ns, raw, frame in decode_block(blob, where=where)
    )


def item_of(index: int, record: AnyRecord, blob: BlobReader) -> Item:
    """The item for `record` at `index`; the blob that it names is asked for, compared with its digest and read."""
    digest = blob_of(record)
    if digest is None:
        return Item(index=index, record=record)
    content = blob(digest)
    if isinstance(record, SealRecord) and (content is None or sha256(content) != digest):
        return Item(index=index, record=record)  # `verify` judges seals by themselves
    if content is None:
        return Item(index=index, record=record, unread="absent", reason=f"no blob {digest}")
    if sha256(content) != digest:
        return Item(index=index, record=record, unread="differs", reason=f"its bytes are not {digest}")
    if not isinstance(record, BlockRecord):
        return Item(index=index, record=record, content=content)
    try:
        lines = lines_of(content, where=f"entry {index}")
    except MalformedInput as error:
        return Item(index=index, record=record, unread="malformed", reason=str(error))
    return Item(index=index, record=record, lines=lines)


def read_items(entries: Iterable[bytes], blob: BlobReader, *, first: int = 0) -> Iterator[Item]:
    """The items of a log from index `first` on. Raises `MalformedInput` for an entry that is no record."""
    for index, entry in enumerate(entries, start=first):
        yield item_of(index, decode_record(entry, where=f"index {index}"), blob)
