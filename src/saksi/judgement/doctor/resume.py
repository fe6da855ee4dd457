"""Does the resume really continue? If not: each ingredient that is missing, causes before what follows from them.

Rules: what differs in the state that the resume began with is named first, then generators, schedule and data; what its
Steps show is named only where none of that explains it. One cause is named once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from saksi.judgement.continuation.values import Continuation, Part
from saksi.judgement.doctor.ingredients import ingredient
from saksi.judgement.doctor.launched import Launch
from saksi.judgement.doctor.notes import Iterated, Note, Restored
from saksi.judgement.doctor.parting import Parting
from saksi.judgement.doctor.repeat import where
from saksi.judgement.doctor.rounding import are_rounded
from saksi.judgement.doctor.values import Code, Ingredient, Seen
from saksi.words.frames import UpdateFrame

__all__ = ["Seam", "not_restored"]

_GLOBAL = ("python", "numpy", "torch")


class Seam(NamedTuple):
    """The launch that went on, the one that resumed, and how these part. `repeats`: is the program the same twice."""

    first: Launch
    resumed: Launch
    continuation: Continuation
    parting: Parting
    repeats: bool

    @property
    def step(self) -> int:
        """The Step behind the seam."""
        return self.continuation.step + 1

    @property
    def rank(self) -> int:
        """The rank that is looked at: the one that parts first."""
        return self.parting.rank if self.parting.fields else self.resumed.rank

    def differing(self, name: str) -> Part | None:
        """The part of the state that differs, or `None`."""
        found = (each for each in self.continuation.parts if each.name == name and each.outcome == "differs")
        return next(found, None)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the process that resumed noted before its first Step."""
        return tuple(each for each in self.resumed.notes_of(self.rank) if each.step < 0)


def not_restored(seam: Seam) -> tuple[Ingredient, ...]:
    """What is missing, where the resume parts from the launch that went on; nothing if it does not."""
    if not seam.parting.fields:
        return ()
    found = [*_state(seam), *_hyper_parameters(seam), *_generators(seam), *_data(seam), *_loss(seam)]
    if found:
        return tuple(found)
    return tuple(_steps(seam))


def _state(seam: Seam) -> Iterator[Ingredient]:
    weights, moments, counters = (seam.differing(each) for each in ("parameters", "optimizer_state", "update_counters"))
    if weights is not None:
        code: Code = "rounded_weights" if _are_rounded(seam) else "weights"
        yield ingredient(code, "resume", weights.sentence, _tensor(seam, weights))
    if moments is not None:
        both = ", and its step counters are others too" if counters is not None else ""
        yield ingredient("optimizer_state", "resume", moments.sentence + both, _tensor(seam, moments))
    elif counters is not None:
        yield ingredient("update_counters", "resume", counters.sentence, _tensor(seam, counters))
    if weights is None and moments is None and counters is None and _are_buffers(seam):
        lead = seam.parting.fields[-1]
        yield ingredient("buffers", "resume", f"nothing but buffers differs: {where(lead)}", lead)


def _are_buffers(seam: Seam) -> bool:
    keys = seam.parting.tensors
    return bool(keys) and len(seam.parting.fields) == 1 and all(each.startswith("buffer/") for each in keys)


def _are_rounded(seam: Seam) -> bool:
    one, other = seam.first.courses[seam.rank], seam.resumed.courses[seam.rank]
    return are_rounded(other) and not are_rounded(one)


def _tensor(seam: Seam, part: Part) -> Seen | None:
    """The first tensor of a part that differs, with the start of its digest on both sides."""
    one, other = seam.first.courses.get(part.rank), seam.resumed.courses.get(part.rank)
    if one is None or other is None or not part.examples:
        return None
    saved, began = one.leaves(seam.continuation.step) or {}, other.leaves(-1) or {}
    named = [key for key in {**saved, **began} if part.examples[0] in (key, one.alias(seam.continuation.step, key))]
    key = next((each for each in named if saved.get(each) != began.get(each)), None)
    if key is None:
        return None
    values = [None if each is None else each.hex()[:12] for each in (saved.get(key), began.get(key))]
    name = one.alias(seam.continuation.step, key)
    return Seen(rank=part.rank, step=seam.continuation.step, field=name, expected=values[0], found=values[1])


def _hyper_parameters(seam: Seam) -> Iterator[Ingredient]:
    part, lead = seam.differing("hyper_parameters"), seam.parting.first("groups")
    if part is None and lead is None:
        return
    rates = [each for each in seam.parting.fields if each.field.endswith(".lr")]
    of_rate = bool(rates) or (part is not None and any(each.endswith(".lr") for each in part.examples))
    seen = rates[0] if rates else lead
    sentence = part.sentence if part is not None else where(seen) if seen is not None else ""
    yield ingredient("schedule" if of_rate else "hyper_parameters", "resume", sentence, seen)


def _generators(seam: Seam) -> Iterator[Ingredient]:
    part, seen = seam.differing("generators"), seam.parting.first("rng")
    names = [] if part is None else list(part.examples)
    if part is None and seen is not None and seam.parting.fields[0] is seen:
        names = [seen.field.removeprefix("rng.")]
    told = part.sentence if part is not None else where(seen) if seen is not None else ""
    of_loaders = [each for each in names if each.startswith("loader.")]
    restored = {each.generator for each in seam.notes if isinstance(each, Restored)}
    late = [each for each in names if each in restored]
    never = [each for each in names if each not in restored and each not in of_loaders]
    if late:
        yield ingredient("generator_order", "resume", _order(seam, late[0]), _of(seam, late[0], seen))
    if never:
        yield ingredient("generator", "resume", told, _of(seam, never[0], seen))
    if of_loaders:
        yield ingredient("loader_generator", "resume", told, _of(seam, of_loaders[0], seen))


def _of(seam: Seam, name: str, otherwise: Seen | None) -> Seen | None:
    return next((each for each in seam.parting.fields if each.field == f"rng.{name}"), otherwise)


def _order(seam: Seam, name: str) -> str:
    """That a generator was put back, and what came after it."""
    notes = seam.notes
    last = max(at for at, each in enumerate(notes) if isinstance(each, Restored) and each.generator == name)
    put = notes[last]
    by = f" by {put.at}" if isinstance(put, Restored) and put.at else ""
    drew = [each for each in notes[last:] if isinstance(each, Iterated) and each.drew] if name == "torch" else []
    if drew:
        at = f" at {drew[0].at}" if drew[0].at else ""
        return f"{name}'s generator was put back{by}, and a DataLoader's iterator made after that{at} drew from it"
    what = f"and is not where it was at step {seam.step}: drawn from after that, or given another state"
    return f"{name}'s generator was put back{by}, {what}"


def _data(seam: Seam) -> Iterator[Ingredient]:
    part, parting = seam.differing("data_order"), seam.parting
    ids = next((each for each in parting.fields if each.field.endswith(".ids")), None)
    content = next((each for each in parting.fields if each.field.endswith(".digest")), None)
    accumulated = _accumulated(seam)
    if accumulated is not None:
        yield ingredient("accumulation", "resume", where(accumulated), accumulated)
        return
    if part is None and ids is None and content is None:
        return
    if ids is None and _has_ids(seam):
        yield from _content(seam, content)
        return
    if _is_new_epoch(seam) and seam.differing("generators") is not None:
        return  # the order of a new epoch is drawn from the generator that is named already
    seen = ids or content
    sentence = part.sentence if part is not None else where(seen) if seen is not None else ""
    if seen is not None or part is not None:
        yield ingredient("data_position", "resume", sentence, seen)


def _accumulated(seam: Seam) -> Seen | None:
    """That a Step has another number of backward passes; of the first one not, since a resume may warm up."""
    before = {each.losses for each in seam.first.courses[seam.rank].updates[1:]}
    now = {each.losses for each in seam.resumed.courses[seam.rank].updates[1:]}
    if len(before) != 1 or len(now) != 1 or before == now:
        return None
    return Seen(rank=seam.rank, step=seam.step + 1, field="losses", expected=before.pop(), found=now.pop())


def _content(seam: Seam, content: Seen | None) -> Iterator[Ingredient]:
    if content is None:
        return
    said = f"the same samples, other content: {where(content)}"
    if any(isinstance(each, Iterated) and each.workers for each in seam.resumed.notes_of(seam.rank)):
        yield ingredient("worker_rng", "resume", said, content)
    elif seam.differing("generators") is None:
        yield ingredient("augmentation", "resume", said, content)


def _has_ids(seam: Seam) -> bool:
    update = _behind(seam)
    return update is not None and bool(update.batches) and all(each.ids is not None for each in update.batches)


def _is_new_epoch(seam: Seam) -> bool:
    update = _behind(seam)
    return update is not None and bool(update.latest) and update.latest[-1].place == 0


def _behind(seam: Seam) -> UpdateFrame | None:
    course = seam.first.courses.get(seam.rank)
    step = seam.parting.step
    return None if course is None else next((each for each in course.updates if each.update == step), None)


def _loss(seam: Seam) -> Iterator[Ingredient]:
    """A loss that is another by a power of two, from state that is the same: it was scaled otherwise."""
    seen, skipped = seam.parting.first("loss"), seam.parting.first("skipped")
    if seen is not None and seen.field == "loss" and _is_scale(seen.expected, seen.found):
        ratio = float(seen.found) / float(seen.expected)
        yield ingredient("scaler", "resume", f"the loss was scaled by {ratio:g} of what it was: {where(seen)}", seen)
    elif skipped is not None and seam.parting.fields[0] is skipped:
        yield ingredient("scaler", "resume", where(skipped), skipped)


def _is_scale(one: object, other: object) -> bool:
    if not isinstance(one, float) or not isinstance(other, float) or not one or not other:
        return False
    mantissa, exponent = math.frexp(other / one)
    return mantissa == 0.5 and exponent != 1 and one * (other / one) == other  # noqa: PLR2004 - a power of two, and not one


def _steps(seam: Seam) -> Iterator[Ingredient]:
    """From equal state, generators, settings and data: what the Steps themselves show."""
    lead = seam.parting.fields[0]
    before, now = seam.first.began(seam.rank), seam.resumed.began(seam.rank)
    said = f"from equal state, data and generators {where(lead)}"
    if before is not None and now is not None and before.compiled != now.compiled:
        words = ("compiled", "not") if before.compiled else ("not compiled", "compiled")
        yield ingredient("compile", "resume", f"the model was {words[0]}, and is {words[1]} now; {said}", lead)
    elif before is not None and now is not None and before.threads != now.threads:
        threads = f"training had {before.threads} threads, and {now.threads} now"
        yield ingredient("threads", "resume", f"{threads}; {said}", lead)
    elif not seam.repeats:
        return  # the program does not do the same twice: the resume need not
    elif now is not None and now.compiled:
        yield ingredient("compile", "resume", f"the model is compiled; {said}", lead)
    elif lead.field in {"loss", "losses", "skipped"}:
        yield ingredient("forward", "resume", said, lead)
    elif now is not None and now.world_size > 1 and lead.step == seam.step:
        yield ingredient("cold_buckets", "resume", f"{now.world_size} ranks: {said}", lead)
    else:
        yield ingredient("arithmetic", "resume", said, lead)
