"""Finds the model checkpoint that links two attempts, and says whether the later one continues the earlier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from saksi.judgement.continuation.course_parts import course_parts
from saksi.judgement.continuation.sides import read_earlier, read_later
from saksi.judgement.continuation.state_parts import state_parts
from saksi.judgement.continuation.values import MAY_BE_UNKNOWN, PARTS, Continuation, Part
from saksi.judgement.items import Item
from saksi.judgement.origins import origin_of_load, saves_of
from saksi.judgement.story import CkptUse, GroupStory, Story
from saksi.words.digest import short_digest

__all__ = ["Link", "Read", "compare_continuation", "link_of"]

_LISTED: Final = 8
_WORST: Final = ("same", "not_checkable", "differs")

Read = Callable[[], Iterable[Item]]
"""The items of one side, from the start, each time it is called."""


class Link(NamedTuple):
    """A load of the later attempt whose bytes the earlier one had saved after Step `step`."""

    load: CkptUse
    step: int
    earlier: GroupStory
    later: GroupStory


def link_of(a: Story, b: Story, *, run_a: str, run_b: str) -> Link | None:
    """The load of `b` before its first Step that continues furthest what `a` saved; `None` if there is none."""
    saves = saves_of(run_a, a.files)
    found: list[Link] = []
    for load in b.files:
        if load.action != "loaded" or load.step >= 0 or load.group is None:
            continue
        own, others = (saves, ()) if run_a == run_b else ((), saves)
        origin = origin_of_load(load, run=run_b, own=own, others=others)
        earlier = _group(a.groups, origin.attempt, origin.group)
        later = _group(b.groups, load.attempt, load.group)
        if origin.kind == "saved" and earlier is not None and later is not None and origin.step is not None:
            found.append(Link(load, origin.step, earlier, later))
    first = min(((each.later.attempt, each.later.number) for each in found), default=None)
    of_first = [each for each in found if (each.later.attempt, each.later.number) == first]
    return max(of_first, key=lambda each: each.step, default=None)


def _group(groups: Sequence[GroupStory], attempt: int | None, number: int | None) -> GroupStory | None:
    return next((each for each in groups if (each.attempt, each.number) == (attempt, number or 0)), None)


def compare_continuation(link: Link, read_a: Read, read_b: Read) -> Continuation:
    """Everything that both records hold around the link, the worst over all ranks."""
    earlier, later = read_earlier(read_a(), link.earlier, link.step), read_later(read_b(), link.later)
    ranks = tuple(sorted({*earlier} & {*later}))
    parts = list(_of_one_side({*earlier}, {*later}))
    for rank in ranks:
        parts += state_parts(earlier[rank], later[rank], rank)
        parts += course_parts(earlier[rank], later[rank], rank)
    worst = tuple(_worst([each for each in parts if each.name == name]) for name in PARTS if _has(parts, name))
    continues = _continues(worst)
    return Continuation(
        attempt_a=link.earlier.attempt,
        group_a=link.earlier.number,
        attempt_b=link.later.attempt,
        group_b=link.later.number,
        step=link.step,
        digest=link.load.digest or "",
        path=link.load.path,
        ranks=ranks,
        parts=worst,
        continues=continues,
        sentence=_sentence(link, worst, continues, ranks),
    )


def _of_one_side(earlier: set[int], later: set[int]) -> Iterator[Part]:
    """What is said of ranks that only one record has, as of parameters, without which nothing continues."""
    for ranks, other in ((sorted(earlier - later), "later"), (sorted(later - earlier), "earlier")):
        if ranks:
            listed = ", ".join(str(each) for each in ranks[:_LISTED]) + (", …" if len(ranks) > _LISTED else "")
            word = "rank" if len(ranks) == 1 else "ranks"
            sentence = f"{word} {listed} cannot be compared: no such rank is in the record of the {other} attempt"
            yield Part(name="parameters", outcome="not_checkable", rank=ranks[0], sentence=sentence)


def _has(parts: Sequence[Part], name: str) -> bool:
    return any(each.name == name for each in parts)


def _worst(parts: Sequence[Part]) -> Part:
    return max(parts, key=lambda each: (_WORST.index(each.outcome), -each.rank))


def _continues(parts: Sequence[Part]) -> bool | None:
    """`None` where nothing differs and not everything could be compared."""
    if any(each.outcome == "differs" for each in parts):
        return False
    known = {each.name for each in parts if each.outcome == "same"}
    if "parameters" not in known or any(each.outcome != "same" and each.name not in MAY_BE_UNKNOWN for each in parts):
        return None
    return True


def _sentence(link: Link, parts: Sequence[Part], continues: bool | None, ranks: tuple[int, ...]) -> str:  # noqa: FBT001 - three values
    step = "the state before the first step" if link.step < 0 else f"step {link.step}"
    restart = f", restart {link.earlier.number}" if link.earlier.number else ""
    what = f"{step} of attempt {link.earlier.attempt}{restart} ({short_digest(link.load.digest)})"
    apart = [each for each in parts if each.outcome == "differs"]
    if not ranks:
        return f"It loaded the model checkpoint of {what}; the records share no rank, so nothing could be compared."
    if apart:
        rank = f" (rank {apart[0].rank})" if len(ranks) > 1 else ""
        others = len(apart) - 1
        more = f"; {others} other {'part differs' if others == 1 else 'parts differ'} too" if others else ""
        return f"It does not continue {what} unchanged: {apart[0].sentence}{rank}{more}."
    if continues:
        names = ", ".join(each.name.replace("_", " ") for each in parts if each.outcome == "same")
        return f"It continues {what}; compared and the same: {names}."
    unknown = [each.sentence for each in parts if each.outcome == "not_checkable" and each.name not in MAY_BE_UNKNOWN]
    why = unknown[0] if unknown else "the parameters could not be compared"
    return f"It loaded the model checkpoint of {what}, and nothing that was compared differs, but {why}."
