"""The rows of a RECORD file: which files an installed wheel says are its own, and with which digest.

Rows are read for a look-up only. That all of them are there and true is another question.
"""

from __future__ import annotations

import base64
import binascii
import csv
from collections.abc import Iterator
from typing import Final

from saksi.words.digest import Digest

__all__ = ["MAX_RECORD", "digest_of_row", "record_rows"]

MAX_RECORD: Final = 64 * 1024 * 1024
"""Torch's, with 13,000 rows, has 1.6 MB."""
_SHA256: Final = "sha256="
_DIGEST_BYTES: Final = 32


def record_rows(content: bytes) -> Iterator[tuple[str, str]]:
    """Each path as it is written, and what stands for its digest. Lines that are no row are passed over."""
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        row = _quoted(line) if line.startswith('"') else line.split(",")
        if len(row) == 3 and row[0]:  # noqa: PLR2004 - path, digest, size
            yield row[0], row[1]


def _quoted(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def digest_of_row(text: str) -> Digest | None:
    """The SHA-256 that stands in a row; None for another algorithm, or for none."""
    if not text.startswith(_SHA256):
        return None
    encoded = text.removeprefix(_SHA256)
    try:
        value = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return None
    return Digest(value) if len(value) == _DIGEST_BYTES else None
