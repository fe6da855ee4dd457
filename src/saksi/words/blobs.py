"""What an entry is too small for is stored beside the log, under a name that its bytes decide."""

from __future__ import annotations

from saksi.words.digest import Digest

__all__ = ["blob_name"]


def blob_name(digest: Digest) -> str:
    """Where the bytes with this digest lie, in a store and in a bundle: `blobs/sha256/ab/<62 digits>`."""
    return f"blobs/sha256/{digest.hex[:2]}/{digest.hex[2:]}"
