"""What a run's store promises. Storage is four verbs, a journal beside them, and nothing else.

Names are relative, `/`-separated, lower-case: `log/tile/entries/000`, `blobs/sha256/ab/cdef…` (see
`names`). A store belongs to one run and has one writer at a time; readers need no lock and may come from
other processes.

Guarantees every implementation keeps, and `tests/edges/store` checks for each:

- *Durable on return.* What `append`, `cut_journal`, `replace`, `swap_head` and `write_once` (with
  `durable`) accepted survives a crash of the process and of the machine.
- *Failure is ambiguous.* If one of them raises, the bytes may or may not have persisted. The caller reopens
  and looks.
- *No torn reads.* `read` and `load_head` never return part of an object while the machine stays up. After
  the machine died, an object written with `durable=False` may be absent, empty or torn: whoever wrote it
  knows how to make it again and compares. `journal` may end in a torn tail after any crash; its frame
  format lets the reader see that.
- *Only `StoreError` escapes*, with one line that names the file and the remedy. A name that breaks the
  naming law is a mistake of the caller and raises `ValueError`.
- *One writer.* `append`, `cut_journal`, `swap_head`, `write_once`, `replace` and `discard` need `lock`
  first. The writing verbs of one instance belong to one thread, but `write_once` (blobs) may be called from
  any thread.
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

        With `durable=False` a crash of the machine may lose it or tear it: for projections that can be made
        again. Durable on return also when the same bytes had been written before without `durable`.
        """

    def replace(self, name: str, content: bytes) -> None:
        """Keep `content` under `name` in place of what was there, atomically. For projections only."""

    def discard(self, name: str) -> None:
        """Remove a superseded partial tile. Absent names are accepted; any other name raises `ValueError`."""

    def names(self, prefix: str) -> Iterator[str]:
        """Every stored name that starts with `prefix`, sorted."""

    def append(self, frame: bytes) -> None:
        """Add `frame` to the end of the journal with one flush to the device."""

    def journal(self, offset: int = 0, limit: int | None = None) -> bytes:
        """The journal from `offset`, at most `limit` bytes, torn tail included. Empty past the end."""

    def cut_journal(self, length: int) -> None:
        """Drop what follows the first `length` bytes: staged frames that were never acknowledged."""

    def load_head(self) -> bytes | None:
        """The current head, or `None` before the first."""

    def swap_head(self, expected: bytes | None, replacement: bytes) -> None:
        """Replace the head if it still is `expected`; otherwise raises `HeadConflict` and changes nothing."""

    def lock(self) -> None:
        """Become the only writer until `close`. Raises `LogBusy`, naming who holds it. Idempotent."""

    def close(self) -> None:
        """Give the lock back. Idempotent. Reading stays possible, writing needs `lock` again."""
