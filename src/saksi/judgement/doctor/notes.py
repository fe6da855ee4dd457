"""The notes that the recorder writes for the doctor: parsed strictly, one process after the other.

Rules: what does not parse is left out, from there on: notes explain, and prove nothing. Their form is
`spec/doctor-notes.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

__all__ = ["MAX_NOTES", "Began", "Ended", "Iterated", "Note", "Renamed", "Restored", "Saved", "notes_of", "read_notes"]

MAX_NOTES: Final = 4096
"""Of one process; the recorder writes no more."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Step = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
Text = Annotated[str, Meta(max_length=4096)]


class _Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """`step` is the last Step by then, -1 before the first."""

    step: Step


class Began(_Note, frozen=True, tag="began"):
    """The first update begins: the settings in force. `compiled`: a module that training holds is compiled."""

    rank: Count
    world_size: Count
    threads: Count
    deterministic: bool
    compiled: bool


class Restored(_Note, frozen=True, tag="restored"):
    """A global generator was given a state, by the line `at`."""

    generator: Annotated[str, Meta(max_length=64)]
    state: Text | None
    at: Text | None


class Iterated(_Note, frozen=True, tag="iterated"):
    """An iterator of a DataLoader was made. `own`: it has a generator of its own; `drew`: torch's moved meanwhile."""

    workers: Count
    own: bool
    drew: bool
    at: Text | None


class Saved(_Note, frozen=True, tag="saved"):
    """A model checkpoint was saved: name, checksum and size of each member; null where it is no zip of torch's."""

    path: Text | None
    members: Annotated[list[tuple[Text, Count, Count]], Meta(max_length=4096)] | None


class Renamed(_Note, frozen=True, tag="renamed"):
    """What was saved at `path` is about to have another name."""

    path: Text
    to: Text


class Ended(_Note, frozen=True, tag="ended"):
    """The recorder ends this process, as it was asked to. It is the last note of a process."""

    rank: Count
    world_size: Count


Note = Began | Restored | Iterated | Saved | Renamed | Ended


def read_notes(content: bytes) -> tuple[Note, ...]:
    """The notes of one process."""
    found: list[Note] = []
    for line in content.splitlines()[:MAX_NOTES]:
        try:
            found.append(msgspec.json.decode(line, type=Note))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            break
    return tuple(found)


def notes_of(contents: Iterable[bytes], rank: int) -> tuple[Note, ...]:
    """The notes of the process that trained as `rank`; empty where none says so."""
    for content in contents:
        notes = read_notes(content)
        if any(isinstance(each, Began) and each.rank == rank for each in notes):
            return notes
    return ()
