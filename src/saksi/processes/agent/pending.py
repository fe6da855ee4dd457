"""A record on its way into the log: it becomes its entry when it is written, and one that is too long is cut."""

from __future__ import annotations

from typing import Final

import msgspec

from saksi.words.codec import decode_record, encode_record
from saksi.words.errors import MalformedInput
from saksi.words.records import AnyRecord, FindingRecord, ProcessRecord

__all__ = ["Pending", "cut", "kind_of", "pending"]

CUT_TEXT: Final = 512
"""Characters that are left of a text that made its record too long."""
CUT_WORDS: Final = 16
OBJECTS: Final = 1_024
"""About what a record takes beside its entry."""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """One record, the entry it has become, and the content of the blob that it names."""

    record: AnyRecord
    entry: bytes
    block: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes that are held for it."""
        return OBJECTS + len(self.entry) + (0 if self.block is None else len(self.block))


def pending(record: AnyRecord, block: bytes | None = None) -> Pending:
    """`record` as an entry that readers accept. Raises `MalformedInput`, or what a value of a wrong type raises."""
    entry = encode_record(record)
    decode_record(entry)  # an entry that is not canonical makes the whole log unreadable, and stays in it for good
    return Pending(record=record, entry=entry, block=block)


def cut(record: AnyRecord) -> AnyRecord:
    """`record` with its long texts cut. Raises `MalformedInput` for a kind that has none."""
    if isinstance(record, FindingRecord):
        finding = record.finding
        shorter = msgspec.structs.replace(
            finding,
            subject=_cut_text(finding.subject),
            message=_cut_text(finding.message),
            ranks=finding.ranks[:CUT_TEXT],
            evidence=finding.evidence[:CUT_TEXT],
        )
        return msgspec.structs.replace(record, finding=shorter)
    if isinstance(record, ProcessRecord):
        words = [_cut_text(word) for word in record.command[:CUT_WORDS]]
        executable = None if record.executable is None else _cut_text(record.executable)
        return msgspec.structs.replace(record, command=words, executable=executable)
    raise MalformedInput("entry", f"a {kind_of(record)} record has nothing that can be cut")


def _cut_text(text: str) -> str:
    whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return whole if len(whole) <= CUT_TEXT else f"{whole[:CUT_TEXT]}…"


def kind_of(record: AnyRecord) -> str:
    """The record's kind, as it stands in the log."""
    return str(type(record).__struct_config__.tag)
