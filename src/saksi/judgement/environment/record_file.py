"""RECORD: the list of its files that a wheel's installer leaves beside a distribution. Never trusted.

Rules:

- Rows are `path,hash,size` as CSV. A hash is `sha256=` and unpadded URL-safe base64 in its one canonical form, or 64
  hexadecimal digits, which Debian's packages have; other algorithms are kept by name and have no digest here.
- Paths are relative to the folder that holds the distribution, with `/`; they are normalised, and may leave that
  folder (`../../../bin/x`). What was not in normal form, or is absolute, is said in `shape`.
- Whoever compares files with the list has it parsed strictly, and whole. Whoever only asks for the row of a file has
  it looked up: a line that is no row is passed over.

RECORD lies beside the files that it lists: whoever can change one can change the other.
"""

from __future__ import annotations

import csv
import posixpath
import re
from binascii import a2b_base64
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from saksi.words.errors import MalformedInput

__all__ = [
    "MAX_RECORD_BYTES",
    "MAX_RECORD_PATH",
    "MAX_RECORD_ROWS",
    "RecordRow",
    "Shape",
    "digest_of_row",
    "parse_record",
    "record_rows",
]

MAX_RECORD_BYTES: Final = 64 * 1024 * 1024
"""torch's RECORD, the largest in common use, has 1.5 MB."""
MAX_RECORD_ROWS: Final = 500_000
"""Forty times the files of torch."""
MAX_RECORD_PATH: Final = 4096
"""PATH_MAX of Linux."""
_FIELDS: Final = 3
_HASH: Final = re.compile(r"sha256=([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])=?", re.ASCII)
_HEX_HASH: Final = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)
_OTHER_HASH: Final = re.compile(r"([a-z0-9_]{1,32})=[A-Za-z0-9_=-]{1,256}", re.ASCII)
_SIZE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)

Shape = Literal["plain", "not-normal", "backslashes", "absolute"]


class RecordRow(msgspec.Struct, frozen=True, gc=False):
    """One file. `digest` is null where the row has none, or one of another `algorithm`."""

    path: str
    algorithm: str | None
    digest: str | None
    size: int | None
    shape: Shape = "plain"


def parse_record(content: bytes) -> tuple[RecordRow, ...]:
    """The rows, in their order. Raises `MalformedInput`, which names the row."""
    if len(content) > MAX_RECORD_BYTES:
        raise MalformedInput("RECORD", f"it has more than {MAX_RECORD_BYTES:,} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedInput("RECORD", f"byte {error.start} is not UTF-8") from None
    rows: list[RecordRow] = []
    reader = csv.reader((f"{line}\n" for line in text.split("\n")), strict=True)
    try:
        for fields in reader:
            if fields:
                rows.append(_row(fields, reader.line_num))
            if len(rows) > MAX_RECORD_ROWS:
                raise MalformedInput("RECORD", f"it has more than {MAX_RECORD_ROWS:,} rows")
    except csv.Error as error:
        raise MalformedInput("RECORD", str(error), where=f"line {reader.line_num}") from None
    return tuple(rows)


def record_rows(content: bytes) -> Iterator[tuple[str, str]]:
    """For a look-up: each path as it is written, and what stands for its digest."""
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        row = _quoted(line) if line.startswith('"') else line.split(",")
        if len(row) == _FIELDS and row[0]:
            yield row[0], row[1]


def _quoted(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def digest_of_row(text: str) -> str | None:
    """The SHA-256 that stands in a row; `None` for another algorithm, or for none."""
    try:
        return _hash(text, 0)[1]
    except MalformedInput:
        return None


def _row(fields: list[str], line: int) -> RecordRow:
    if len(fields) != _FIELDS:
        raise MalformedInput("RECORD", f"{len(fields)} fields instead of path, hash and size", where=f"line {line}")
    written, hash_text, size_text = fields
    path = written
    shape: Shape = "plain"
    if _needs_care(written):
        path, shape = _path(written, line)
    algorithm, digest = _hash(hash_text, line) if hash_text else (None, None)
    if size_text and _SIZE.fullmatch(size_text) is None:
        raise MalformedInput("RECORD", f"{size_text[:40]!r} is no size", where=f"line {line}")
    return RecordRow(path, algorithm, digest, int(size_text) if size_text else None, shape)


def _needs_care(path: str) -> bool:
    """Whether `path` may be anything but a plain relative one; cheap, since one in a thousand is."""
    return (
        not 0 < len(path) <= MAX_RECORD_PATH
        or path[0] in "./"
        or path[-1] == "/"
        or "/." in path
        or "//" in path
        or "\\" in path
        or "\0" in path
    )


def _path(written: str, line: int) -> tuple[str, Shape]:
    if not written or len(written) > MAX_RECORD_PATH or "\0" in written:
        raise MalformedInput("RECORD", "a path that is empty, too long, or has a NUL in it", where=f"line {line}")
    if "\\" in written and "/" not in written:
        return posixpath.normpath(written.replace("\\", "/")), "backslashes"
    normal = posixpath.normpath(written)
    if normal in {".", ".."} or normal.startswith("/"):
        shape: Shape = "absolute" if normal.startswith("/") else "not-normal"
        return normal, shape
    return normal, "plain" if normal == written else "not-normal"


def _hash(written: str, line: int) -> tuple[str | None, str | None]:
    known = _HASH.fullmatch(written)
    if known is not None:
        return "sha256", f"sha256:{a2b_base64(known[1].replace('-', '+').replace('_', '/') + '=').hex()}"
    spelled = _HEX_HASH.fullmatch(written)
    if spelled is not None:
        return "sha256", f"sha256:{spelled[1]}"
    other = _OTHER_HASH.fullmatch(written)
    if other is None or other[1] == "sha256":
        raise MalformedInput("RECORD", f"{written[:80]!r} is no hash", where=f"line {line}")
    return other[1], None
