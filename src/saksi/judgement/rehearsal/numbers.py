"""Generators, batches, losses and state roots of two processes, Step by Step: what must be the same bit for bit.

Each difference comes with the generators that excuse it. A generator that nobody seeded (or of whose seed nobody knows)
begins anywhere: where its state is another one, what was drawn from it is too. It excuses batches, and the state before
the first Step; later state only if it moved meanwhile, or if what went into the Step was another already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from saksi.judgement.rehearsal.values import RehearsedBatch, RehearsedRank, RehearsedUpdate

__all__ = ["Apart", "Excused", "numbers_apart"]


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. `code` is the finding's, `step` the Step at which it was seen first."""

    code: str
    subject: str
    sentence: str
    step: int | None


Excused: TypeAlias = tuple[Apart, str]
"""A difference, and the reason that alleges nothing; empty if there is none."""

_Pair: TypeAlias = tuple[RehearsedUpdate, RehearsedUpdate]


def numbers_apart(before: RehearsedRank, after: RehearsedRank) -> Iterator[Excused]:
    """The first difference of generators, of batches, of losses, and of state roots."""
    pairs = _pairs(before, after)
    seeded = _seeded(before) & _seeded(after)
    yield from _rng(before, after, pairs, seeded)
    batch = next(_batches(pairs), None)
    start = _start_differs(before, after)
    if batch is not None:
        yield batch, _excuse(_loose(pairs, seeded, before=batch.step))
    for each in (next(_losses(pairs), None), next(_roots(before, after), None)):
        if each is None:
            continue
        inputs_apart = start or (batch is not None and (batch.step or 0) <= (each.step or 0))
        names = _loose(pairs, seeded, before=each.step)
        yield each, _excuse(names if inputs_apart else names & _moved(pairs, before=each.step))


def _seeded(side: RehearsedRank) -> set[str]:
    return {each.generator for each in side.seeded}


def _pairs(before: RehearsedRank, after: RehearsedRank) -> list[_Pair]:
    theirs = {(each.update, each.optimizer): each for each in after.updates}
    ours = {(each.update, each.optimizer): each for each in before.updates}
    return [(ours[key], theirs[key]) for key in sorted({*ours} & {*theirs})]


def _rng(before: RehearsedRank, after: RehearsedRank, pairs: list[_Pair], seeded: set[str]) -> Iterator[Excused]:
    for was, now in pairs:
        for name in sorted({*was.rng} & {*now.rng}):
            if was.rng[name] == now.rng[name] or _seeder_of(name) not in seeded:
                continue
            sentence = f"The generator {name} has another state after step {now.update} than in the rehearsal"
            sentence += f"{_seeds(before, after, _seeder_of(name))}."
            yield Apart(code="rehearsal.rng_differs", subject=name, sentence=sentence, step=now.update), ""
            return


def _seeder_of(generator: str) -> str:
    """Whose seed decides a generator's state. One of numpy's own has a seed that nobody told; torch's sets loaders'."""
    return "torch" if generator.startswith("loader.") else generator


def _seeds(before: RehearsedRank, after: RehearsedRank, generator: str) -> str:
    was, now = ({each.seed for each in side.seeded if each.generator == generator} for side in (before, after))
    if was == now:
        return ""
    return f"; {generator} was seeded with {_first(now)}, and with {_first(was)} then"


def _first(seeds: set[str]) -> str:
    return min(seeds)[:40]


def _batches(pairs: list[_Pair]) -> Iterator[Apart]:
    for was, now in pairs:
        field = _batch_apart(was, now)
        if field is not None:
            sentence = f"Step {now.update} had another batch than in the rehearsal: {field} differs."
            yield Apart(code="rehearsal.batch_differs", subject=field, sentence=sentence, step=now.update)


def _batch_apart(was: RehearsedUpdate, now: RehearsedUpdate) -> str | None:
    if len(was.batches) + was.batches_omitted != len(now.batches) + now.batches_omitted:
        return "the number of batches"
    for at, (old, new) in enumerate(zip(was.batches, now.batches, strict=False)):
        if (was.batches_omitted or now.batches_omitted) and (old.loader, old.ordinal) != (new.loader, new.ordinal):
            continue  # which are in a record is for its recorder to say
        for name in RehearsedBatch.__struct_fields__:
            a, b = getattr(old, name), getattr(new, name)
            if a != b and a is not None and b is not None:
                return f"batches[{at}].{name}"
    return None


def _losses(pairs: list[_Pair]) -> Iterator[Apart]:
    for was, now in pairs:
        if was.loss is not None and now.loss is not None and was.loss != now.loss:
            sentence = f"The loss of step {now.update} is {now.loss}, and was {was.loss} in the rehearsal."
            yield Apart(code="rehearsal.loss_differs", subject="loss", sentence=sentence, step=now.update)


def _roots(before: RehearsedRank, after: RehearsedRank) -> Iterator[Apart]:
    ours = {each.step: each for each in before.roots}
    for now in after.roots:
        was = ours.get(now.step)
        if was is None or was.root == now.root:
            continue
        when = f"after step {now.step}" if now.step >= 0 else "before the first step"
        what = "other tensors are held" if was.layout != now.layout else "the state is not the same bit for bit"
        sentence = f"The state root {when} is not that of the rehearsal: {what}."
        yield Apart(code="rehearsal.root_differs", subject="state", sentence=sentence, step=max(now.step, 0))


def _start_differs(before: RehearsedRank, after: RehearsedRank) -> bool:
    """Whether the state before the first Step is not known to be the same."""
    roots = [{each.root for each in side.roots if each.step < 0} for side in (before, after)]
    return not roots[0] or roots[0] != roots[1]


def _loose(pairs: list[_Pair], seeded: set[str], *, before: int | None) -> set[str]:
    """Generators not known to be seeded whose state is another one, up to a Step."""
    return {
        name
        for was, now in pairs
        for name in {*was.rng} | {*now.rng}
        if (before is None or now.update <= before)
        and _seeder_of(name) not in seeded
        and was.rng.get(name) != now.rng.get(name)
    }


def _moved(pairs: list[_Pair], *, before: int | None) -> set[str]:
    """Generators whose state did not stay what it was, on either side, up to a Step."""
    seen: dict[tuple[int, str], set[str]] = {}
    for pair in pairs:
        if before is not None and pair[1].update > before:
            break
        for side, update in enumerate(pair):
            for name, state in update.rng.items():
                seen.setdefault((side, name), set()).add(state)
    return {name for (_, name), states in seen.items() if len(states) > 1}


def _excuse(names: set[str]) -> str:
    if not names:
        return ""
    listed = ", ".join(sorted(names)[:3])
    which = f"the generator {listed} is" if len(names) == 1 else f"the generators {listed} are"
    return f"{which} not known to have been seeded both times"
