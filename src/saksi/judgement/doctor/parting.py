"""Where two launches part: the first Step at which a field differs, and every field that does there, causes first.

Rules: Steps are matched by rank and by the Step that the second launch goes on from; counters of processes, times and
what only tells where a loader is are left out; at the seam only the batches that the Step used are compared, since
either side may have skipped or evaluated before. Generators that nobody seeded and that never agreed are set apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from saksi.judgement.continuation.side import Leaves
from saksi.judgement.doctor.course import Course
from saksi.judgement.doctor.values import Seen
from saksi.judgement.trained_state import averages_in
from saksi.words.frames import Batch, UpdateFrame

__all__ = ["Parting", "part", "unseeded_in"]

_FIELDS: Final = 32
_SHOWN: Final = 8
_DIGEST: Final = 12
_BUFFER: Final = "buffer/"


class Parting(msgspec.Struct, frozen=True, kw_only=True):
    """`fields` are those that differ at `step`, none where the launches do not part. `compared` Steps were equal.

    `tensors` are the keys of those that differ after the Step. `whole`: every Step had its root on both sides.
    """

    compared: int
    rank: int = 0
    step: int = -1
    fields: tuple[Seen, ...] = ()
    tensors: tuple[str, ...] = ()
    whole: bool = True

    def first(self, *names: str) -> Seen | None:
        """The first field that begins with one of `names`."""
        return next((each for each in self.fields if each.field.startswith(names)), None)


def part(first: dict[int, Course], second: dict[int, Course], offset: int) -> Parting:
    """How `second`, which goes on after `offset` Steps of `first`, parts from it: the earliest over all ranks."""
    found = [_part(first[rank], second[rank], offset, rank) for rank in sorted({*first} & {*second})]
    apart = [each for each in found if each.fields]
    if apart:
        return min(apart, key=lambda each: (each.step, each.rank))
    fewest = min((each.compared for each in found), default=0)
    return Parting(compared=fewest, whole=bool(found) and all(each.whole for each in found))


def unseeded_in(first: Course, second: Course) -> frozenset[str]:
    """Generators that neither launch seeded and whose states never agreed, as they are in any two launches."""
    if not first.updates or not second.updates:
        return frozenset()
    one, other = first.updates[0].rng, second.updates[0].rng
    apart = {name for name in one if name in other and one[name] != other[name]}
    return frozenset(name for name in apart if _seeder(name) not in first.seeds | second.seeds)


def _names(course: Course) -> frozenset[str]:
    return frozenset(name for each in course.updates[:1] for name in each.rng)


def _seeder(generator: str) -> str:
    return generator if generator in {"python", "numpy"} else "torch"


def _part(a: Course, b: Course, offset: int, rank: int) -> Parting:
    apart = unseeded_in(a, b) if offset == 0 else frozenset({*_names(a)} - a.moved - b.moved)
    compared, whole = 0, True
    if offset == 0:
        tensors = _tensors(a, b, -1, -1)
        if tensors:
            return Parting(
                compared=0, rank=rank, step=-1, fields=(_state(a, b, (-1, -1), tensors, rank),), tensors=tensors
            )
    steps = {each.update: each for each in a.updates}
    for update in b.updates:
        twin = steps.get(update.update + offset)
        if twin is None:
            break
        fields = [each for each in _fields(twin, update, rank, seam=update.update == 0 and offset > 0)
                  if each.field.removeprefix("rng.") not in apart]  # fmt: skip
        tensors = _tensors(a, b, twin.update, update.update)
        whole = whole and tensors is not None
        if tensors:
            fields.append(_state(a, b, (twin.update, update.update), tensors, rank))
        if fields:
            return Parting(
                compared=compared, rank=rank, step=twin.update, fields=tuple(fields[:_FIELDS]), tensors=tensors or ()
            )
        compared += 1
    return Parting(compared=compared, rank=rank, whole=whole and compared > 0)


def _fields(a: UpdateFrame, b: UpdateFrame, rank: int, *, seam: bool) -> Iterator[Seen]:
    for field, one, other in _values(a, b, seam=seam):
        if one != other:
            yield Seen(rank=rank, step=a.update, field=field, expected=one, found=other)


def _values(a: UpdateFrame, b: UpdateFrame, *, seam: bool) -> Iterator[tuple[str, Any, Any]]:
    if not {"groups"} & {*a.deferred, *b.deferred}:
        for at in range(max(len(a.groups), len(b.groups))):
            one, other = (each.groups[at] if at < len(each.groups) else {} for each in (a, b))
            for name in sorted({*one, *other}):
                yield f"groups[{at}].{name}", one.get(name), other.get(name)
    yield from _batches(a, b, seam=seam)
    of_loaders = {state for name, state in a.rng.items() if name.startswith("loader.")}
    for name in sorted({*a.rng} & {*b.rng}):
        if not (name.startswith("loader.") and b.rng[name] in of_loaders):  # they are numbered as they are first used
            yield f"rng.{name}", a.rng[name][:_DIGEST], b.rng[name][:_DIGEST]
    if not seam:  # a resume may warm up
        yield "losses", a.losses, b.losses
    lacking = {*a.deferred, *b.deferred}
    if "skipped" not in lacking:
        yield "skipped", a.skipped, b.skipped
    if "loss" not in lacking:
        yield "loss", a.loss, b.loss
    if "gradient_norm" not in lacking:
        norms = [None if each.gradient_norm is None else each.gradient_norm.value for each in (a, b)]
        yield "gradient_norm", norms[0], norms[1]


def _batches(a: UpdateFrame, b: UpdateFrame, *, seam: bool) -> Iterator[tuple[str, Any, Any]]:
    one, other = a.latest, b.latest
    all_there = not a.batches_omitted and not b.batches_omitted
    if not one or not other or not (seam or all_there):
        return  # not all of them are in the record, or one side hands them out without a DataLoader
    if seam:
        width = min(len(one), len(other))
        one, other = one[len(one) - width :], other[len(other) - width :]
    elif len(one) != len(other):
        yield "batches", len(one), len(other)
        return
    for at, (x, y) in enumerate(zip(one, other, strict=True)):
        yield f"batches[{at}].ids", *_ids(x, y)
        yield f"batches[{at}].digest", _short(x.digest), _short(y.digest)


def _ids(one: Batch, other: Batch) -> tuple[Any, Any]:
    """The ids of both, a few of them; `None` where either has none."""
    if one.ids is None or other.ids is None or one.ids == other.ids:
        return None, None
    return one.ids[:_SHOWN], other.ids[:_SHOWN] if other.ids[:_SHOWN] != one.ids[:_SHOWN] else other.ids


def _short(digest: str | None) -> str | None:
    return None if digest is None else digest.rpartition(":")[2][:_DIGEST]


def _tensors(a: Course, b: Course, at: int, other: int) -> tuple[str, ...] | None:
    """Keys of the tensors that differ; `None` where that is not known."""
    one, two = a.roots.get(at), b.roots.get(other)
    if one is None or two is None:
        return None
    if (one.root, one.layout) == (two.root, two.layout):
        return ()
    leaves = a.leaves(at), b.leaves(other)
    if leaves[0] is None or leaves[1] is None:
        return ("",)
    kept = [_without_averages(each) for each in leaves if each is not None]
    apart = [key for key in {**kept[0], **kept[1]} if kept[0].get(key) != kept[1].get(key)]
    buffers = [{each[key] for key in each if key.startswith(_BUFFER)} for each in kept]
    return tuple(key for key in apart if not (key.startswith(_BUFFER) and _is_elsewhere(key, kept, buffers)))


def _without_averages(leaves: Leaves) -> Leaves:
    """A program may make them anew for what it likes; whether a resume restored them, what is saved next tells."""
    averages = averages_in(leaves)
    return {
        key: leaf for key, leaf in leaves.items() if key[:1].isdigit() or averages.isdisjoint(key.split("/", 2)[1:2])
    }


def _is_elsewhere(key: str, leaves: Sequence[Leaves], buffers: Sequence[set[bytes]]) -> bool:
    """Whether such a buffer is on the other side under another number: modules are counted as they are met."""
    values = [each.get(key) for each in leaves]
    return None in values and all(
        value is None or value in theirs for value, theirs in zip(values, reversed(buffers), strict=True)
    )


def _state(a: Course, b: Course, steps: tuple[int, int], tensors: tuple[str, ...], rank: int) -> Seen:
    at, other = steps
    key = tensors[0]
    values = [leaves.get(key) if leaves else None for leaves in (a.leaves(at), b.leaves(other))]
    shown = [None if value is None else value.hex()[:_DIGEST] for value in values]
    count = f" and {len(tensors) - 1} others" if len(tensors) > 1 else ""
    field = f"state of {a.alias(at, key) if key else 'a tensor'}{count}"
    return Seen(rank=rank, step=at, field=field, expected=shown[0], found=shown[1])
