"""The capsules of a run's attempts as they are printed: how many are on the disk, of how many that were written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from saksi.doors.cli.documents import CapsulesLine
from saksi.judgement.story import CapsuleTold, Story

__all__ = ["capsule_lines", "is_there_below"]


def is_there_below(folder: Path, path: str, size: int | None) -> bool:
    """Whether a file of that size is at the path: a budget had some removed while the run went on.

    Nothing is looked for elsewhere than below the folder, whatever path a job says.
    """
    try:
        return Path(os.path.normpath(path)).is_relative_to(folder) and Path(path).lstat().st_size == size
    except (OSError, ValueError):
        return False


def capsule_lines(story: Story, there: Callable[[str, int | None], bool]) -> Mapping[int, CapsulesLine]:
    """A line for each attempt that has any, or says why it has none, by its number."""
    written = dict(story.capsules_written)
    attempts = sorted({each.attempt for each in story.capsules})
    return {number: _line([each for each in story.capsules if each.attempt == number], written.get(number, 0), there)
            for number in attempts}  # fmt: skip


def _line(told: list[CapsuleTold], written: int, there: Callable[[str, int | None], bool]) -> CapsulesLine:
    kept = [each for each in told if each.path is not None and each.read and there(each.path, each.size)]
    unread = [each for each in told if each.path is not None and not each.read]
    return CapsulesLine(
        written=written,
        unread=len(unread),
        kept=len(kept),
        bytes=sum(each.size or 0 for each in kept),
        first_step=min((each.step for each in kept), default=None),
        last_step=max((each.step for each in kept), default=None),
        folder=next((str(Path(each.path).parent) for each in kept if each.path is not None), None),
        unread_reason=unread[0].reason if unread else None,
        reason=next((each.reason for each in told if each.path is None), None),
    )
