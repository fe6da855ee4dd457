"""How much a home may hold, and what is given up first: the frames' bytes, then everything.

From `THIN_FROM` of the quota on, blobs are no longer stored: their digests still stand in the records, so that what
is missing is known and stated. At the quota itself nothing is written any more, which the agent treats like a full
disk. Whoever drives an attempt asks for `QuotaStore.news`, and writes a gap record while there is still room for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from saksi.edges.store.protocol import Store
from saksi.words.errors import StoreError

__all__ = ["THIN_FROM", "Quota", "QuotaStore"]

THIN_FROM: Final = 0.9
_BLOBS: Final = "blobs/"
_BLOCK: Final = 4_096
"""What a file takes at least on most disks: small ones must not come for free."""


class Quota:
    """What a home holds, of what it may. Counted here as it grows, and measured now and then. Thread-safe."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._used = 0
        self._guard = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes that the home holds, as far as is known."""
        return self._used

    def measured(self, used: int) -> None:
        """The home was looked through: so much it holds."""
        with self._guard:
            self._used = used

    def grew(self, size: int) -> None:
        """So many bytes more were written."""
        with self._guard:
            self._used += size

    def takes_blobs(self) -> bool:
        """Whether blobs are still kept."""
        return self.limit is None or self._used < self.limit * THIN_FROM

    def takes_records(self) -> bool:
        """Whether anything is still written."""
        return self.limit is None or self._used < self.limit


class QuotaStore:
    """A store that heeds a quota. See `Store` for what each verb promises."""

    def __init__(self, store: Store, quota: Quota) -> None:
        self._store = store
        self._quota = quota
        self.begun = False  # until then nothing is given up: a run without its seal means nothing
        self.thinned = 0  # blobs that were not kept
        self._told = False

    def read(self, name: str) -> bytes:
        """See `Store.read`."""
        return self._store.read(name)

    def write_once(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """See `Store.write_once`; a blob is left out where the quota says so."""
        if self.begun and name.startswith(_BLOBS) and not self._quota.takes_blobs():
            self.thinned += 1
            return
        self._store.write_once(name, content, durable=durable)
        self._quota.grew(-(-len(content) // _BLOCK) * _BLOCK)

    def news(self) -> str | None:
        """What is to stand in the record, once: that blobs were not kept."""
        if not self.thinned or self._told:
            return None
        self._told = True
        return (
            "the quota of the agent's home is nearly used up: from here on the frames' bytes are not kept, "
            "only their digests"
        )

    def replace(self, name: str, content: bytes) -> None:
        """See `Store.replace`."""
        self._store.replace(name, content)

    def discard(self, name: str) -> None:
        """See `Store.discard`."""
        self._store.discard(name)

    def names(self, prefix: str) -> Iterator[str]:
        """See `Store.names`."""
        return self._store.names(prefix)

    def append(self, frame: bytes) -> None:
        """See `Store.append`; refused where the quota says so."""
        if not self._quota.takes_records():
            raise StoreError(
                f"the quota of {self._quota.limit:,} bytes is used up", remedy="raise quota_bytes in agent.toml"
            )
        self._store.append(frame)
        self._quota.grew(len(frame))

    def journal(self, offset: int = 0, limit: int | None = None) -> bytes:
        """See `Store.journal`."""
        return self._store.journal(offset, limit)

    def cut_journal(self, length: int) -> None:
        """See `Store.cut_journal`."""
        self._store.cut_journal(length)

    def load_head(self) -> bytes | None:
        """See `Store.load_head`."""
        return self._store.load_head()

    def swap_head(self, expected: bytes | None, replacement: bytes) -> None:
        """See `Store.swap_head`."""
        self._store.swap_head(expected, replacement)

    def lock(self) -> None:
        """See `Store.lock`."""
        self._store.lock()

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()
