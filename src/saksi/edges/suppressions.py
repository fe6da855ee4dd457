"""The journal of suppressions: `suppressions.jsonl` in the home, never in a project.

Rules:

- Acts are appended and flushed under a lock, and nothing is ever taken out: who suppressed what, and until when,
  stays to be read.
- A line that a crash left unfinished was never acknowledged; the next act takes its place.
- A file that another account owns or may write is refused, since it could silence what is held against its runs.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from saksi.edges.home import Home
from saksi.edges.own_file import read_own_file, require_own
from saksi.edges.store.durable import FILE_MODE, flush_folder, make_folders, told, write_all
from saksi.judgement.suppressions import (
    MAX_ACTS,
    MAX_JOURNAL_BYTES,
    Ended,
    Made,
    Suppression,
    format_act,
    parse_suppressions,
)
from saksi.words.errors import UsageError

__all__ = ["JOURNAL", "add_suppression", "end_suppression", "read_suppressions"]

JOURNAL: Final = "suppressions.jsonl"


def read_suppressions(home: Home) -> tuple[Suppression, ...]:
    """Everything that was ever suppressed in this home; nothing where there is no journal.

    Raises `UsageError` naming the file and the line, `StoreError`.
    """
    path = home.root / JOURNAL
    with told("read", path):
        content = read_own_file(path, MAX_JOURNAL_BYTES)
    if content is None:
        return ()
    return parse_suppressions(content, where=str(path))


def add_suppression(home: Home, made: Callable[[str], Made], *, draw: Callable[[int], bytes] = os.urandom) -> Made:
    """Append the suppression that `made` gives for a new id; durable on return. Raises `UsageError`, `StoreError`."""
    with _appending(home) as (suppressions, append):
        taken = {each.made.id for each in suppressions}
        # Ids are drawn so that one is never meant for another home's; among MAX_ACTS of four bytes a few draws do.
        chosen = draw(4).hex()
        while chosen in taken:
            chosen = draw(4).hex()
        act = made(chosen)
        append(format_act(act))
    return act


def end_suppression(home: Home, text: str, *, now: datetime, account: int) -> Made:
    """Append the end of the suppression whose id is or begins with `text`; what it was.

    Raises `UsageError` if none or more than one that was not ended is meant, `StoreError`.
    """
    with _appending(home) as (suppressions, append):
        meant = [each.made for each in suppressions if each.ended is None and text and each.made.id.startswith(text)]
        if len(meant) != 1:
            reason = "no suppression" if not meant else f"{len(meant)} suppressions"
            raise UsageError(
                f"{text[:80]!r} means {reason} that can be ended", remedy="see `saksi findings suppressions`"
            )
        append(format_act(Ended(id=meant[0].id, at=now.astimezone(UTC), account=account)))
    return meant[0]


@contextmanager
def _appending(home: Home) -> Iterator[tuple[tuple[Suppression, ...], Callable[[bytes], None]]]:
    """What is in the journal, and how to append to it, while nobody else does."""
    path = home.root / JOURNAL
    with told("write", path):
        make_folders(home.root)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            require_own(path, fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            with open(fd, "rb", closefd=False) as file:
                content = file.read(MAX_JOURNAL_BYTES + 1)
            suppressions = parse_suppressions(content, where=str(path))

            def append(line: bytes) -> None:
                whole = content.rfind(b"\n") + 1
                if content.count(b"\n") >= MAX_ACTS or whole + len(line) > MAX_JOURNAL_BYTES:
                    raise UsageError(f"{path} is full", remedy="move it away and begin anew")
                if whole < len(content):
                    os.ftruncate(fd, whole)
                write_all(fd, line)
                os.fsync(fd)
                flush_folder(home.root)

            yield suppressions, append
        finally:
            os.close(fd)
