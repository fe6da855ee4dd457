"""Is the program the same twice? If not: the first field that differs, and what that usually means."""

from __future__ import annotations

from saksi.judgement.doctor.course import Course
from saksi.judgement.doctor.ingredients import ingredient
from saksi.judgement.doctor.launched import Launch
from saksi.judgement.doctor.parting import Parting, unseeded_in
from saksi.judgement.doctor.values import Ingredient, Seen

__all__ = ["not_repeated", "where"]


def not_repeated(first: Launch, second: Launch, parting: Parting) -> tuple[Ingredient, ...]:
    """What is missing, where the same command from the start parts from itself; nothing if it does not."""
    if not parting.fields:
        return ()
    one, other = first.courses[parting.rank], second.courses[parting.rank]
    lead = parting.fields[0]
    seeds = [name for name in one.seeds if other.seeds.get(name, one.seeds[name]) != one.seeds[name]]
    if seeds:
        name = seeds[0]
        seen = Seen(
            rank=parting.rank, step=-1, field=f"seed of {name}", expected=one.seeds[name], found=other.seeds[name]
        )
        sentence = f"the seed of {name}'s generator was {seen.expected} the first time, and {seen.found} the second"
        return (ingredient("seed_varies", "repeat", sentence, seen),)
    unseeded = _to_blame(first, second, parting)
    if unseeded:
        sentence = f"{_names(unseeded)} never seeded; {where(lead)}"
        return (ingredient("unseeded_generator", "repeat", sentence, lead, usually=_usually(unseeded)),)
    return (_other(first, (one, other), parting, lead),)


def _to_blame(first: Launch, second: Launch, parting: Parting) -> list[str]:
    """Generators that nobody seeded and that may have made the difference: torch's always, others if they moved."""
    one, other = first.courses[parting.rank], second.courses[parting.rank]
    apart = unseeded_in(one, other)
    return ["torch"] if "torch" in apart else [name for name in sorted(apart) if name in one.moved]


def _names(names: list[str]) -> str:
    listed = ", ".join(f"{name}'s" for name in names)
    return f"{listed} generator is" if len(names) == 1 else f"{listed} generators are"


def _usually(names: list[str]) -> str:
    calls = {"torch": "torch.manual_seed", "python": "random.seed", "numpy": "numpy.random.seed"}
    called = " or ".join(calls.get(name, f"a seed for {name}") for name in names)
    return f"{called} is called nowhere, or not before the first draw"


def _other(first: Launch, courses: tuple[Course, Course], parting: Parting, lead: Seen) -> Ingredient:
    said = where(lead)
    field = lead.field
    if field.startswith("groups"):
        return ingredient("hyper_parameters", "repeat", said, lead, usually="a hyper-parameter comes of the clock")
    if field.startswith("batches") and not field.endswith(".digest"):
        never = sorted(unseeded_in(*courses) & {"python", "numpy"})
        also = f"; {_names(never)} never seeded" if never else ""
        return ingredient("sample_order", "repeat", f"{said}{also}", lead)
    if field.startswith("batches"):
        return ingredient("augmentation", "repeat", f"the same samples, other content: {said}", lead)
    if field.startswith("rng"):
        usual = "it was seeded, and then drawn from a different number of times: by what depends on time or threads"
        return ingredient("seed_varies", "repeat", said, lead, usually=usual)
    if parting.step < 0:
        return ingredient("initial_state", "repeat", f"before the first step: {said}", lead)
    began = first.began(parting.rank)
    if began is not None and began.compiled:
        return ingredient("compile", "repeat", f"compiled, from equal state and data: {said}", lead)
    threads = "" if began is None else f", with {began.threads} {'thread' if began.threads == 1 else 'threads'}"
    return ingredient("arithmetic", "repeat", f"from equal state, data and generators{threads}: {said}", lead)


def where(seen: Seen) -> str:
    """One observation in words."""
    at = "before the first step" if seen.step < 0 else f"at step {seen.step}"
    rank = f" of rank {seen.rank}" if seen.rank else ""
    return f"{at}{rank} {seen.field} is {_shown(seen.expected)} and {_shown(seen.found)}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    return "not there" if value is None else str(value)[:60]
