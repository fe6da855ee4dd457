"""A stretch of the record beside a replay of it that resumed from a model checkpoint.

Only what two processes that begin at different places share is compared: counters are moved to where the checkpoint
was saved, numbers of loaders and batches are left out, of the batches before the first Step those that it used count,
the last ones, since a script may skip to its place by drawing others, and a generator that the run seeded nowhere is
left out. A difference is none of the run yet: a script that does not put everything back gives one too, so whoever
finds one asks a replay from the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from saksi.judgement.distance import without_threads
from saksi.judgement.items import Item
from saksi.judgement.replay.stretches import Stretch
from saksi.judgement.update_views import UpdateView, update_views

__all__ = ["Resumed", "are_apart_by_rounding", "compare_resumed", "first_step_apart", "is_of_other_data"]

_COMPARED: Final = (
    "groups", "batches", "rng", "inventory", "loss", "losses", "skipped", "gradient_norm", "fingerprints",
)  # fmt: skip
_BUT_ROUNDING: Final = ("groups", "batches", "rng", "hooks", "losses", "skipped", "begun")
"""What is the same on every machine: `hooks` are an inventory's, `begun` the sums with which a Step began."""
_OF_BATCHES: Final = ("digest", "ids", "items")
_OTHER_HOOKS: Final = "other hooks or modes are in force"
_AT: Final = {"ckpt": "saved", "resumed": "put in"}
"""Roots that count before others of the same Step: as a file was saved, and as a capsule was put in."""
_OTHER_DATA: Final = 0.01
"""Of a loss: far more than rounding makes of it in one Step."""
_MADE: Final = "rng"
"""A field that every Step has, and a root alone has not."""

_Fields: TypeAlias = dict[str, Any]
_Of: TypeAlias = dict[tuple[int, int], _Fields]


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `equal` are the Steps, over all ranks, up to the first difference; `apart` says what that is.

    `rooted`: the state that the replay began with is bound by the same root as that which the record left there.
    """

    equal: int
    steps: int
    rooted: bool
    apart: str | None

    @property
    def matches(self) -> bool:
        """Whether the whole stretch was compared, from a state that is bound to a state that is as recorded."""
        return self.rooted and self.apart is None and self.equal == self.steps


def compare_resumed(
    stretch: Stretch, record: Iterable[Item], attempt: int, replay: Iterable[Item], *, beyond: bool = False
) -> Resumed:
    """The Steps of `stretch` in both, and with `beyond` the one behind it. Raises what reading the items raises.

    What was changed as a stretch ended, and is in no root (a rate, a generator), shows in the Step behind it: whoever
    resumes there resumes with the change.
    """
    behind = stretch.behind + beyond
    expected = _within(record, attempt, stretch.first - 1, behind)
    steps = behind - stretch.first
    made = {(rank, stretch.first + step): each for (rank, step), each in _within(replay, 0, -1, steps).items()}
    places = [
        (rank, step)
        for (rank, step), fields in sorted(expected.items(), key=_in_order)
        if step >= stretch.first and _MADE in fields
    ]
    own = sum(step < stretch.behind for _, step in places)
    ranks = sorted({rank for rank, _ in places})
    broken = next((said for rank in ranks if (said := _seam(stretch, rank, expected, made)) is not None), None)
    if broken is not None or not ranks:
        return Resumed(equal=0, steps=own, rooted=False, apart=broken or "the record has no step of it")
    for equal, place in enumerate(places):
        rank, step = place
        said = _apart(expected[place], made.get(place), is_first=step == stretch.first)
        if said is None and step == stretch.behind - 1 and not expected[place].get("roots"):
            said = "no root in the record binds its end"
        if said is not None:
            apart = f"step {step} of rank {rank}: {said}"
            return Resumed(equal=min(equal, own), steps=own, rooted=True, apart=apart)
    return Resumed(equal=own, steps=own, rooted=True, apart=None)


def first_step_apart(stretch: Stretch, record: Iterable[Item], attempt: int, replay: Iterable[Item]) -> str | None:
    """What differs in the first Step of `stretch` that is no rounding, or as it begins; `None` if nothing does.

    Raises what reading the items raises.
    """
    expected = _within(record, attempt, stretch.first - 1, stretch.first + 1)
    made = {(rank, stretch.first + step): each for (rank, step), each in _within(replay, 0, -1, 1).items()}
    ranks = sorted(rank for (rank, step), fields in expected.items() if step == stretch.first and _MADE in fields)
    if not ranks:
        return "the record has no step of it"
    if any(step == stretch.first and _MADE in each and rank not in ranks for (rank, step), each in made.items()):
        return "the replay has ranks that the record has not"
    for rank in ranks:
        place = (rank, stretch.first)
        broken = _seam(stretch, rank, expected, made)
        if broken is None:
            one, other = _but_rounding(expected[place]), made.get(place)
            there, may_skip = None if other is None else _but_rounding(other), stretch.first > 0
            said = _fields_apart(one, there, _BUT_ROUNDING, is_first=may_skip)
            broken = None if said is None else f"step {stretch.first} of rank {rank}: {said}"
        if broken is not None:
            return broken
    return None


def is_of_other_data(stretch: Stretch, record: Iterable[Item], attempt: int, replay: Iterable[Item]) -> bool:
    """Whether the first Step of `stretch` looks as if it had other data or random numbers in the replay.

    Of data that no loader gave the record has nothing: a loss that is far off tells, roughly. So this decides nothing
    but whether another way to get there is tried. Raises what reading the items raises.
    """
    record, replay = tuple(record), tuple(replay)
    if first_step_apart(stretch, record, attempt, replay) is not None:
        return True
    expected = _within(record, attempt, stretch.first, stretch.first + 1)
    made = {rank: each for (rank, _), each in _within(replay, 0, 0, 1).items()}
    losses = [(each.get("loss"), made.get(rank, {}).get("loss")) for (rank, _), each in expected.items()]
    return any(
        isinstance(one, float) and isinstance(other, float) and abs(one - other) > _OTHER_DATA * abs(one)
        for one, other in losses
    )


def are_apart_by_rounding(one: Iterable[Item], other: Iterable[Item]) -> bool:
    """Whether two replays that resumed at one place differ in their first Step, and in nothing but what rounding does.

    Then the program's kernels do not repeat themselves. Raises what reading the items raises.
    """
    ones, others = _within(one, 0, 0, 1), _within(other, 0, 0, 1)
    pairs = [(fields, others.get(place)) for place, fields in sorted(ones.items()) if _MADE in fields]
    if not pairs or any(each is None or _MADE not in each for _, each in pairs):
        return False
    same = all(
        each is not None
        and _fields_apart(_but_rounding(fields), _but_rounding(each), _BUT_ROUNDING, is_first=True) is None
        for fields, each in pairs
    )
    return same and any(_fields_apart(fields, each, _COMPARED, is_first=True) is not None for fields, each in pairs)


def _but_rounding(fields: _Fields) -> _Fields:
    """With what of these fields no machine makes another."""
    said = fields.get("inventory")
    hooks = {"hooks": without_threads(said["hooks"])} if isinstance(said, dict) else {"hooks": said}
    begun = {name: each["start"] for name, each in fields.get("fingerprints", {}).items() if each["start"] is not None}
    return {**fields, **hooks, "begun": begun}


def _in_order(place: tuple[tuple[int, int], _Fields]) -> tuple[int, int]:
    (rank, step), _ = place
    return step, rank


def _seam(stretch: Stretch, rank: int, expected: _Of, made: _Of) -> str | None:
    """Why what the replay began with is not what the Step before had left; `None` if it is.

    An edit just there is in the model checkpoint, and would be the baseline: so every root behind that Step has to bind
    the same of what is trained, and the sums with which it ended those with which the replay began. Averages go on
    behind a Step: of those, what was held as the file was saved counts.
    """
    before, begun = expected.get((rank, stretch.first - 1), {}), made.get((rank, stretch.first - 1), {})
    roots = before.get("saved") or before.get("roots", set())
    if len(before.get("trained", ())) > 1 or len(roots) > 1:
        return f"the record has several roots of rank {rank} behind step {stretch.first - 1}"
    put_in = begun.get("put in", set()) if stretch.means == "capsule" else set()
    if not roots or roots != (put_in or begun.get("roots", set())):
        return f"the state that rank {rank} resumed with is not bound by the root behind step {stretch.first - 1}"
    ended = before.get("fingerprints", {})
    starts = made.get((rank, stretch.first), {}).get("fingerprints", {})
    for name in ended:
        if name in starts and _other_sums(ended[name]["end"], starts[name]["start"]):
            return f"the state of rank {rank} was another as the next step began: {name}"
    return None


def _within(items: Iterable[Item], attempt: int, first: int, behind: int) -> _Of:
    """The fields of each rank's Steps from `first` on, with the roots behind them: several may be, by their value."""
    found: _Of = {}
    for view in _of_first_training(update_views(items), attempt):
        key = view.key
        if key.optimizer != 0 or not first <= key.update < behind:
            continue
        fields = found.setdefault((key.rank, key.update), {})
        if "root" in view.fields:
            root = view.fields["root"]["root"], view.fields["root"]["layout"]
            fields.setdefault("roots", set()).add(root)
            fields.setdefault("trained", set()).add(view.fields["trained"])
            if key.at in _AT:
                fields.setdefault(_AT[key.at], set()).add(root)
        else:
            fields |= {name: value for name, value in view.fields.items() if name not in view.lacking}
            fields["unseeded"] = view.unseeded
    return found


def _of_first_training(views: Iterator[UpdateView], attempt: int) -> Iterator[UpdateView]:
    return (each for each in views if each.key.attempt == attempt and each.key.generation == 0)


def _apart(one: _Fields, other: _Fields | None, *, is_first: bool) -> str | None:
    """What differs in a Step, in words; `None` where nothing that both have does.

    A replay has a root wherever the record has one: what other optimizers did is in it.
    """
    said = _fields_apart(one, other, _COMPARED, is_first=is_first)
    if said is not None or other is None:
        return said
    if not one.get("roots", set()) <= other.get("roots", set()):
        return "the root of its state is another" if other.get("roots") else "the replay has no root of its state"
    return None


def _fields_apart(one: _Fields, other: _Fields | None, names: Iterable[str], *, is_first: bool) -> str | None:
    if other is None or _MADE not in other:
        return "the replay did not make it"
    for name in names:
        if name not in one:
            continue
        if name not in other:
            return f"the replay did not say its {name.replace('_', ' ')}"
        if name == "batches":
            said = _other_batches(one, other, is_first=is_first)
        else:
            said = _field(name, _counted(one, name), other[name])
        if said is not None:
            return said
    return None


def _counted(fields: _Fields, name: str) -> Any:
    value = fields[name]
    return {each: state for each, state in value.items() if each not in fields["unseeded"]} if name == "rng" else value


def _other_batches(one: _Fields, other: _Fields, *, is_first: bool) -> str | None:
    """Of the first Step the last batches alone count, as many as the record has without a gap.

    The replay may have drawn others on its way.
    """
    expected, used = one["batches"], other["batches"]
    if is_first and expected:
        expected, used = _latest(one), _latest(other)
        if not expected:
            return "the batches that it used are not in the record"
        used = used[-len(expected) :]
    return None if _batches(expected) == _batches(used) else "other batches"


def _latest(fields: _Fields) -> list[Mapping[str, Any]]:
    batches: list[Mapping[str, Any]] = fields["batches"]
    return batches[len(batches) - fields["latest"] :]


def _field(name: str, one: Any, other: Any) -> str | None:
    match name:
        case "rng":
            apart = next((each for each in one if each in other and one[each] != other[each]), None)
            return None if apart is None else f"{name} of {apart}"
        case "fingerprints":
            ends = ((each, end) for each in one if each in other for end in ("start", "end"))
            apart = next((each for each, end in ends if _other_sums(one[each][end], other[each][end])), None)
            return None if apart is None else f"{name} of {apart}"
        case "inventory":
            digests = [each["digest"] if isinstance(each, dict) else each for each in (one, other)]
            return None if digests[0] == digests[1] else _of_hooks(one, other)
        case "hooks":
            return None if one == other else _OTHER_HOOKS
        case "begun":
            apart = next((each for each in one if each in other and one[each] != other[each]), None)
            return None if apart is None else f"it began with another {apart}"
        case _:
            return None if one == other else f"another {name.replace('_', ' ')}"


def _of_hooks(one: Any, other: Any) -> str:
    """What is in force otherwise: a number of threads is the machine's, all else is somebody's."""
    both = [without_threads(each["hooks"]) for each in (one, other) if isinstance(each, dict)]
    are_equal = len(both) == 2 and both[0] == both[1]  # noqa: PLR2004 - each says what is in force
    return "torch has another number of threads" if are_equal else _OTHER_HOOKS


def _other_sums(one: str | None, other: str | None) -> bool:
    """Of shares that are looked at in turn each end is not in every Step, nor in the same ones of a resumed process."""
    return one is not None and other is not None and one != other


def _batches(batches: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(each.get(name) for name in _OF_BATCHES) for each in batches]
