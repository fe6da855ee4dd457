"""Records become entries here and nowhere else; frames are only read.

Rules: decoding is strict (unknown kinds and fields are refused); an entry has one form, so what decodes but would
encode to other bytes is refused; exact bytes are what is stored, hashed and signed. What is accepted here is readable
wherever it is stored: a frame is its object and nothing around it, and is not nested deeper than a reader goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from saksi.words.errors import MalformedInput
from saksi.words.frames import MAX_FRAME_BYTES, AnyFrame, HelloFrame, OptimizerFrame, UpdateFrame
from saksi.words.limits import MAX_ENTRY_BYTES
from saksi.words.records import AnyRecord, BlockLine

__all__ = [
    "MAX_BLOCK_BYTES",
    "decode_block",
    "decode_frame",
    "decode_record",
    "encode_block_line",
    "encode_record",
]

MAX_BLOCK_BYTES: Final = 4 * 1024 * 1024
"""A block is flushed at about 64 KiB; one frame may exceed that, a hostile blob may not exceed this."""
MAX_DEPTH: Final = 32
"""Of values whose form is free. A decoder's own limit depends on how deep its caller stands."""

_FREE_FORM: Final = (HelloFrame, OptimizerFrame, UpdateFrame)
"""Frames whose depth their type does not bound."""
_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

_RECORD: Final = msgspec.json.Decoder(AnyRecord, strict=True)
_FRAME: Final = msgspec.json.Decoder(AnyFrame, strict=True)
_LINE: Final = msgspec.json.Decoder(BlockLine, strict=True)
_ENCODER: Final = msgspec.json.Encoder()


def encode_record(record: AnyRecord) -> bytes:
    """The entry for `record`. Raises `MalformedInput` if it is longer than an entry may be, or its text is no UTF-8."""
    try:
        entry = _ENCODER.encode(record)
    except UnicodeEncodeError as error:
        raise MalformedInput("entry", str(error)) from None
    if len(entry) > MAX_ENTRY_BYTES:
        raise MalformedInput("entry", f"{len(entry)} bytes is more than the {MAX_ENTRY_BYTES} an entry may have")
    return entry


def decode_record(entry: bytes, *, where: str | None = None) -> AnyRecord:
    """The record in `entry`. Raises `MalformedInput` for anything but its one canonical form."""
    if len(entry) > MAX_ENTRY_BYTES:
        raise MalformedInput("entry", f"{len(entry)} bytes, more than {MAX_ENTRY_BYTES}", where=where)
    try:
        record: AnyRecord = _RECORD.decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput("entry", str(error), where=where) from None
    if _ENCODER.encode(record) != entry:
        raise MalformedInput("entry", "not in canonical form", where=where)
    return record


def decode_frame(frame: bytes | msgspec.Raw, *, where: str | None = None) -> AnyFrame:
    """The frame in one packet. Raises `MalformedInput`; a frame is one object of at most 64 KiB, nothing around it."""
    raw = bytes(frame)
    if len(raw) > MAX_FRAME_BYTES:
        raise MalformedInput("frame", f"{len(raw)} bytes, more than {MAX_FRAME_BYTES}", where=where)
    if b"\n" in raw:
        raise MalformedInput("frame", "contains a line break", where=where)
    if not (raw.startswith(b"{") and raw.endswith(b"}")):  # a block or an entry would not keep what is around it
        raise MalformedInput("frame", "there is something around the object", where=where)
    try:
        decoded: AnyFrame = _FRAME.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput("frame", str(error), where=where) from None
    if isinstance(decoded, _FREE_FORM) and not _is_flat_enough(raw):
        raise MalformedInput("frame", f"nested deeper than {MAX_DEPTH}", where=where)
    return decoded


def encode_block_line(received_ns: int, frame: bytes) -> bytes:
    """One line of a block, line break included. `frame` must have passed `decode_frame`."""
    return _ENCODER.encode(BlockLine(received_ns=received_ns, frame=msgspec.Raw(frame))) + b"\n"


def decode_block(blob: bytes, *, where: str | None = None) -> Iterator[tuple[int, bytes, AnyFrame]]:
    """Each line of a block: when it was received, the frame's exact bytes, and the frame. Raises `MalformedInput`."""
    if len(blob) > MAX_BLOCK_BYTES:
        raise MalformedInput("block", f"{len(blob)} bytes, more than {MAX_BLOCK_BYTES}", where=where)
    if blob and not blob.endswith(b"\n"):
        raise MalformedInput("block", "the last line is not ended", where=where)
    for number, line in enumerate(blob.split(b"\n")[:-1], start=1):
        place = f"line {number}" if where is None else f"{where}, line {number}"
        try:
            parsed = _LINE.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedInput("block", str(error), where=place) from None
        raw = bytes(parsed.frame)
        yield parsed.received_ns, raw, decode_frame(raw, where=place)


def _is_flat_enough(raw: bytes) -> bool:
    """Whether the JSON in `raw` is nested at most `MAX_DEPTH` deep inside its object.

    Asked of the bytes and not of the values: of a member that is named twice, only the last value would be seen.
    """
    brackets = raw.translate(_BRACKETS, _NO_BRACKETS)
    if brackets.count(b"[") <= MAX_DEPTH + 1:
        return True
    brackets = _TEXT.sub(b"", raw).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH + 1):
        brackets = brackets.replace(b"[]", b"")  # the innermost layer
    return not brackets
