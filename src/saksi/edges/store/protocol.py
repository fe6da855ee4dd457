"""What a run's store promises. Storage is four verbs, a journal beside them, and nothing else.

Names are relative, `/`-separated, lower-case: `log/tile/entries/000`, `blobs/sha256/ab/cdef…`. A store belongs to
one run and has one writer at a time; readers need no lock and may come from other processes.

Guarantees every implementation keeps, and `tests/edges/store` checks for each:

- *Durable on return.* What `append`, `write_once` (with `durable`) and `swap_head` accepted survives a crash of the
  process and of the machine.
- *Failure is ambiguous.* If one of them raises, the bytes may or may not have persisted. The caller reopens and looks.
- *No torn reads.* `read`, `load_head` never return part of an object; `journal` may end in a torn tail after a crash,
  and the frame format of the journal lets the reader see that.
- *Only `StoreError` escapes*, with one line that names the file and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

__all__ = ["Store"]


class Store(Protocol):
    """One run's objects, its journal and its head."""

    def read(self, name: str) -> bytes:
        """The object's bytes. Raises `NotStored`."""

    def write_once(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Keep `content` under `name` for good; the same bytes again are accepted, others raise `Conflict`.

        With `durable=False` the write may be lost in a crash, never torn: for projections that can be made again.
        """

    def replace(self, name: str, content: bytes) -> None:
        """Keep `content` under `name` in place of what was there, atomically. Only for published projections."""

    def discard(self, name: str) -> None:
        """Remove a superseded partial tile. Absent names are accepted; nothing else is ever removed."""

    def names(self, prefix: str) -> Iterator[str]:
        """Every stored name that starts with `prefix`, sorted."""

    def append(self, frame: bytes) -> None:
        """Add `frame` to the end of the journal with one flush to the device."""

    def journal(self) -> bytes:
        """The whole journal, torn tail included."""

    def cut_journal(self, length: int) -> None:
        """Drop what follows the first `length` bytes: staged frames that were never acknowledged."""

    def load_head(self) -> bytes | None:
        """The current head, or `None` before the first."""

    def swap_head(self, expected: bytes | None, replacement: bytes) -> None:
        """Replace the head if it still is `expected`; otherwise raises `HeadConflict` and changes nothing."""

    def lock(self) -> None:
        """Become the only writer until `close`. Raises `LogBusy`, naming the process that holds it."""

    def close(self) -> None:
        """Give the lock back. Idempotent."""
