"""One launch as the doctor reads it: its ranks, its files, and the notes of its processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from saksi.judgement.doctor.course import Course, read_courses
from saksi.judgement.doctor.notes import Began, Note, Renamed, Saved, notes_of
from saksi.judgement.items import Item
from saksi.judgement.story import CkptUse, Story, StoryBuilder

__all__ = ["Launch", "read_launch"]


class Launch(NamedTuple):
    """`read` gives its items anew. `ending` is how it ended, in words; `code` its exit code.

    That is `None` where the doctor ended it.
    """

    run: str
    read: Callable[[], Iterable[Item]]
    courses: dict[int, Course]
    story: Story
    notes: tuple[bytes, ...]
    ending: str
    code: int | None

    @property
    def steps(self) -> int:
        """Steps that every rank made."""
        return min((len(each.updates) for each in self.courses.values()), default=0)

    @property
    def rank(self) -> int:
        """The first of its ranks."""
        return min(self.courses, default=0)

    def notes_of(self, rank: int) -> tuple[Note, ...]:
        """What the process that trained as `rank` noted."""
        return notes_of(self.notes, rank)

    def began(self, rank: int) -> Began | None:
        """The settings as training began."""
        return next((each for each in self.notes_of(rank) if isinstance(each, Began)), None)

    @property
    def saves(self) -> tuple[CkptUse, ...]:
        """Model checkpoints that it saved after a Step: those that its recorder took for one, where it noted any."""
        noted = {
            (each.step, each.path) for rank in self.courses for each in self.notes_of(rank) if isinstance(each, Saved)
        }
        saved = [each for each in self.story.files if each.action == "saved" and each.step >= 0]
        return tuple(each for each in saved if (each.step, each.path) in noted)

    def place_of(self, save: CkptUse) -> str | None:
        """Where what was saved lies at the end, under the last name that it was given; `None` for a stream."""
        path = save.path
        for rank in save.ranks:
            for each in self.notes_of(rank):
                if isinstance(each, Renamed) and each.path == path and each.step >= save.step:
                    path = each.to
        return path


def read_launch(
    run: str, read: Callable[[], Iterable[Item]], notes: tuple[bytes, ...], *, ending: str, code: int | None
) -> Launch:
    """The launch whose items `read` gives. Raises what reading them raises."""
    builder = StoryBuilder()
    for item in read():
        builder.take(item)
    return Launch(run, read, read_courses(read()), builder.build(), notes, ending, code)
