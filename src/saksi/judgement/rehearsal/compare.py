"""Is this process as it was rehearsed? The first field that differs, for each cause.

Rules:

- Only what both sides know at the same Step is compared, so a launch can be compared while it goes on.
- A hook or an optimizer that the rehearsal had is approved; what it lacks is named.
- What differs and could differ between two honest launches (another stack, a generator that nobody seeded, a model
  checkpoint that was loaded) is `not_checkable` with that reason, and alleges nothing. What is equal needs no excuse.
- A model checkpoint explains state, numbers and where a schedule stands. It explains no hook, no mode, no flag, no
  default of an optimizer and no hyper-parameter that stays what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from saksi.judgement.machines import FLAGS_OF_THE_MACHINE, Machine, other_machine
from saksi.judgement.rehearsal.numbers import Apart, Excused, numbers_apart
from saksi.judgement.rehearsal.values import RehearsedRank, RehearsedUpdate

__all__ = ["NOT_CHECKABLE", "compare"]

NOT_CHECKABLE: Final = "rehearsal.not_checkable"
_FLAGS: Final = "flags"
_LEARNING_RATE: Final = ".lr"
"""Of every hyper-parameter the one that schedules set, also where it did not move within the rehearsed steps."""
_LISTED: Final = 32
"""Hooks named one by one, and optimizers."""
_SHOWN: Final = 60


def compare(before: RehearsedRank, after: RehearsedRank, machines: tuple[Machine, Machine] | None) -> list[Apart]:
    """How `after` is not as `before` was rehearsed; empty if it is, as far as both are known.

    `machines` are those of the two; `None` if one of them is not known.
    """
    program = _other_program(before, after)
    loads = _other_loads(before, after)
    numbers = program or loads or _other_arithmetic(before, after, machines)
    found: list[Excused] = [(each, program) for each in (*_hooks(before, after), *_optimizers(before, after))]
    found += _first_of_each(_settings(before, after, program, loads))
    found += [(each, numbers or why) for each, why in numbers_apart(before, after)]
    kept = [each for each, why in found if not why]
    excused: dict[str, Apart] = {}
    for each, why in found:
        if why:
            sentence = f"{each.sentence} That may be so in an honest launch too: {why}."
            excused.setdefault(why, msgspec.structs.replace(each, code=NOT_CHECKABLE, sentence=sentence))
    return [*kept, *excused.values()]


def _other_program(before: RehearsedRank, after: RehearsedRank) -> str:
    for name, was, now in (
        ("torch", before.torch, after.torch),
        ("Python", before.python, after.python),
        ("a number of processes", before.world_size, after.world_size),
    ):
        if was != now:
            return f"the rehearsal had {name} {was}, and this launch has {now}"
    return ""


def _other_loads(before: RehearsedRank, after: RehearsedRank) -> str:
    if before.loads == after.loads:
        return ""
    return f"it began with {after.loads} model checkpoints, and the rehearsal with {before.loads}"


def _other_arithmetic(before: RehearsedRank, after: RehearsedRank, machines: tuple[Machine, Machine] | None) -> str:
    if before.threads != after.threads:
        return f"it has another number of threads, {after.threads} and not {before.threads}"
    name = next(
        (each for each in sorted({*before.flags, *after.flags}) if _differ(before.flags, after.flags, each)), None
    )
    if name is not None:
        was, now = (shown(each.flags.get(name)) for each in (before, after))
        return f"it has another build or setting of the libraries, {name} is {now} and not {was}"
    if machines is None:
        return "on which machine it runs is not known"
    other = other_machine(*machines)
    if other is not None:
        return f"it has {other}"
    if machines[1].gpus and not (before.deterministic and after.deterministic):
        return "the arithmetic of GPUs is the same each time only where deterministic algorithms are asked for"
    return ""


def _hooks(before: RehearsedRank, after: RehearsedRank) -> Iterator[Apart]:
    known = {(each.table, each.name) for each in before.hooks}
    added = (each for each in after.hooks if each.table != _FLAGS and (each.table, each.name) not in known)
    for each in islice(added, _LISTED):
        sentence = f"{each.name} is in force as {each.table}, first at step {each.step}; in the rehearsal it was not."
        yield Apart(code="rehearsal.hook_added", subject=each.name, sentence=sentence, step=each.step)


def _optimizers(before: RehearsedRank, after: RehearsedRank) -> Iterator[Apart]:
    known = {each.ordinal: each for each in before.optimizers}
    for each in islice((one for one in after.optimizers if one.ordinal not in known), _LISTED):
        sentence = f"Optimizer {each.ordinal}, {each.class_name}, was made; the rehearsal had {len(known)} optimizers."
        yield Apart(code="rehearsal.optimizer_added", subject=each.class_name, sentence=sentence, step=None)
    for each in after.optimizers:
        was = known.get(each.ordinal)
        if was is not None and was.class_name != each.class_name:
            sentence = f"Optimizer {each.ordinal} is {each.class_name}, and was {was.class_name} in the rehearsal."
            yield Apart(code="rehearsal.optimizer_added", subject=each.class_name, sentence=sentence, step=None)
            return


def _first_of_each(found: Iterator[Excused]) -> Iterator[Excused]:
    """The first difference for each excuse, and the first that has none: one that is excused hides no other."""
    met: set[str] = set()
    for each, why in found:
        if why not in met:
            met.add(why)
            yield each, why


def _settings(before: RehearsedRank, after: RehearsedRank, program: str, loads: str) -> Iterator[Excused]:
    """Differences of settings, those of the optimizers' updates first."""
    code = "rehearsal.settings_differ"
    updates = {(each.optimizer, each.update): each for each in before.updates}
    scheduled = _scheduled(before) if loads and not program else frozenset()
    for each in sorted(after.updates, key=lambda one: (one.update, one.optimizer)):
        was = updates.get((each.optimizer, each.update))
        if was is None or not _comparable(was.groups_omitted + each.groups_omitted, was.groups, each.groups):
            continue
        for path, old, new in _apart(list(was.groups), list(each.groups), "groups"):
            place = f"optimizers[{each.optimizer}].{path}" if each.optimizer else path
            sentence = f"{place} is {shown(new)} at step {each.update}, and was {shown(old)} in the rehearsal."
            moves = (each.optimizer, path) in scheduled or path.endswith(_LEARNING_RATE)
            why = program or (loads if moves else "")
            yield Apart(code=code, subject=place, sentence=sentence, step=each.update), why
    made = {each.ordinal: each for each in before.optimizers}
    for one in after.optimizers:
        if one.ordinal not in made:
            continue
        for path, old, new in _apart(made[one.ordinal].defaults, one.defaults, f"optimizers[{one.ordinal}].defaults"):
            sentence = f"{path} is {shown(new)}, and was {shown(old)} in the rehearsal."
            yield Apart(code=code, subject=path, sentence=sentence, step=None), program
    flags = {each.name for each in before.hooks if each.table == _FLAGS}
    for flag in after.hooks:
        if flag.table == _FLAGS and flag.name not in flags:
            sentence = f"The setting {flag.name} is in force at step {flag.step}; in the rehearsal it was not."
            yield Apart(code=code, subject=flag.name, sentence=sentence, step=flag.step), program


def _scheduled(side: RehearsedRank) -> frozenset[tuple[int, str]]:
    """The hyper-parameters that did not stay what they were at the first Update: optimizer, and path in its groups."""
    first: dict[int, RehearsedUpdate] = {}
    known = [each for each in side.updates if each.groups]
    for each in known:
        first.setdefault(each.optimizer, each)
    return frozenset(
        (each.optimizer, path)
        for each in known
        for path, _, _ in _apart(list(first[each.optimizer].groups), list(each.groups), "groups")
    )


def _comparable(omitted: int, was: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether both sides have every group: those that lay on a device and did not come are in neither."""
    return not omitted and bool(was) and bool(now)


def _apart(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Each place at which two values differ, with both."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _apart(old.get(name), new.get(name), f"{path}.{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for at, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from _apart(was, now, f"{path}[{at}]")
    elif old != new:
        yield path, old, new


def _differ(a: dict[str, Any], b: dict[str, Any], name: str) -> bool:
    return name not in FLAGS_OF_THE_MACHINE and bool(a.get(name) != b.get(name))


def shown(value: Any) -> str:
    """A value in a sentence."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}\u2026"
