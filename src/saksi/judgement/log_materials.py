"""What a log is judged from; apart from `verify`, so that who only reads a run does not load all checks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from saksi.judgement.items import BlobReader

__all__ = ["LogMaterials"]


class LogMaterials(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged: the entries that the head claims to cover, the head note, and where blobs are read."""

    run: str
    entries: Sequence[bytes]
    head: bytes | None
    blob: BlobReader
