"""The attempts of a run as they are printed: how long, how far, what they continued from, who stopped them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from saksi.doors.cli.documents import AttemptLine, CapsulesLine, GroupLine, LoadLine, instant
from saksi.judgement.history import Attempt, History
from saksi.judgement.launch_key import LaunchKey
from saksi.judgement.launch_key import in_words as key_in_words
from saksi.judgement.origins import Origin, Saved, in_words, origin_of_load, saves_of
from saksi.judgement.story import CkptUse, GroupStory, Story
from saksi.judgement.timeline import exit_text

__all__ = ["Sought", "attempt_lines", "sought_elsewhere"]


class Sought(NamedTuple):
    """What is asked of other runs: contents that were loaded, and where they lay."""

    digests: frozenset[str]
    paths: frozenset[str]


class _Load(NamedTuple):
    use: CkptUse
    origin: Origin


def sought_elsewhere(run: str, story: Story) -> Sought:
    """The contents and paths of loads that this run itself did not save."""
    left = [each.use for each in _loads(run, story, ()) if each.origin.kind not in ("saved", "unread")]
    return Sought(
        frozenset(each.digest for each in left if each.digest is not None),
        frozenset(each.path for each in left if each.path is not None),
    )


def _loads(run: str, story: Story, others: Sequence[Saved]) -> list[_Load]:
    own = saves_of(run, story.files)
    loads = (each for each in story.files if each.action == "loaded")
    return [_Load(each, origin_of_load(each, run=run, own=own, others=others)) for each in loads]


def attempt_lines(
    run: str,
    history: History,
    others: Sequence[Saved] = (),
    keys: Mapping[int, LaunchKey] | None = None,
    capsules: Mapping[int, CapsulesLine] | None = None,
) -> tuple[AttemptLine, ...]:
    """One line for each attempt, in order; `others` are saves of other runs that were found, `keys` the launches'.

    `capsules` are those of attempts, by number.
    """
    story = history.story
    loads = _loads(run, story, others)
    before = _steps_before(run, story.groups, loads)
    return tuple(
        msgspec.structs.replace(
            _line(run, each, story, loads, before),
            joined_by=_joined_by((keys or {}).get(each.number)),
            capsules=(capsules or {}).get(each.number),
        )
        for each in history.attempts
    )


def _joined_by(key: LaunchKey | None) -> str | None:
    return key_in_words(key) if key is not None and key.joined else None


def _steps_before(run: str, groups: Sequence[GroupStory], loads: Sequence[_Load]) -> dict[tuple[int, int], int]:
    """How many Steps of this run lie before each group's first, as what it loaded before it tells."""
    before: dict[tuple[int, int], int] = {}
    for group in groups:
        place = (group.attempt, group.number)
        before[place] = 0
        for use, origin in loads:
            if (use.attempt, use.group) != place or use.step >= 0 or origin.kind != "saved" or origin.run != run:
                continue
            earlier = before.get((origin.attempt or 0, origin.group or 0), 0)
            before[place] = max(before[place], earlier + (-1 if origin.step is None else origin.step) + 1)
    return before


def _line(
    run: str, attempt: Attempt, story: Story, loads: Sequence[_Load], before: dict[tuple[int, int], int]
) -> AttemptLine:
    ended, number = attempt.exit, attempt.number
    groups = [each for each in story.groups if each.attempt == number]
    last = groups[-1] if groups else None
    return AttemptLine(
        number=number,
        started=instant(attempt.wall_ns),
        elapsed_seconds=None if ended is None else ended.elapsed_ns / 1e9,
        code=None if ended is None else ended.code,
        signal=None if ended is None else ended.signal,
        end=None if ended is None else exit_text(ended),
        ended_by=_ended_by(number, story),
        joined_by=None,
        steps_before=0 if last is None else before[number, last.number],
        first_step=None if last is None else last.first_step,
        last_step=None if last is None else last.last_step,
        ranks=0 if last is None else len(last.ranks),
        groups=tuple(_group(each, before[number, each.number]) for each in groups),
        saved=sum(each.action == "saved" and each.attempt == number for each in story.files),
        loaded=tuple(_load(run, each) for each in loads if each.use.attempt == number),
        capsules=None,
    )


def _ended_by(number: int, story: Story) -> str | None:
    """The signals that reached the launcher, with their senders where the kernel said who."""
    told = dict.fromkeys(_told(number, story))
    return ", ".join(told) or None


def _told(number: int, story: Story) -> Iterator[str]:
    for each in story.signals:
        if each.attempt == number:
            yield each.signal if each.sender is None else f"{each.signal} from {each.sender}"


def _group(group: GroupStory, before: int) -> GroupLine:
    return GroupLine(
        number=group.number,
        beginning=group.beginning,
        started=instant(group.began_ns),
        ended=instant(group.ended_ns),
        world_size=group.world_size,
        ranks=group.ranks,
        steps_before=before,
        first_step=group.first_step,
        last_step=group.last_step,
        steps=group.steps,
    )


def _load(run: str, load: _Load) -> LoadLine:
    use, origin = load
    return LoadLine(
        at=instant(use.wall_ns),
        entry=use.entry,
        group=use.group,
        ranks=use.ranks,
        step=use.step,
        path=use.path,
        digest=use.digest,
        observed=use.observed,
        origin=origin.kind,
        origin_run=origin.run,
        origin_attempt=origin.attempt,
        origin_group=origin.group,
        origin_step=origin.step,
        origin_digest=origin.digest,
        sentence=in_words(use, origin, run=run),
    )
