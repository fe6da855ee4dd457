"""Steps that both attempts made: the same loss and gradient norm, where both records have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from saksi.judgement.continuation.earlier import Earlier
from saksi.judgement.continuation.later import Later
from saksi.judgement.continuation.values import Part, Sameness, shown
from saksi.words.frames import UpdateFrame

__all__ = ["repeated_steps"]

_NAMES: Final = ("loss", "gradient norm")


def repeated_steps(earlier: Earlier, later: Later, rank: int) -> Iterator[Part]:
    """One part, or none if no Step was done twice. A value that one record lacks is not compared."""
    twice = compared = apart = 0
    counts = Counter(dict.fromkeys(_NAMES, 0))
    said = ""
    for a, b in zip(earlier.after, later.updates, strict=False):
        if a.update != earlier.step + 1 + b.update:
            break
        twice += 1
        values = [each for each in _values(a, b) if None not in each[1:]]
        counts.update(name for name, _, _ in values)
        compared += bool(values)
        other = next((each for each in values if each[1] != each[2]), None)
        if other is not None:
            name, one, two = other
            said = said or f"step {a.update} was done again with another {name}: {shown(one)} and {shown(two)}"
            apart += 1
    if not twice:
        return
    outcome: Sameness = "differs" if apart else "same" if compared else "not_checkable"
    sentence = said or _same(compared, counts) if compared else _unknown(twice)
    yield Part(name="repeated_steps", outcome=outcome, rank=rank, sentence=sentence, differing=apart, of=compared)


def _values(a: UpdateFrame, b: UpdateFrame) -> tuple[tuple[str, object, object], ...]:
    norms = [None if each.gradient_norm is None else each.gradient_norm.value for each in (a, b)]
    return (_NAMES[0], a.loss, b.loss), (_NAMES[1], norms[0], norms[1])


def _same(compared: int, counts: Counter[str]) -> str:
    names = (f"{name} ({times:,} of them)" if times < compared else name for name, times in counts.items() if times)
    return f"{_steps(compared)} done again with the same {' and '.join(names)}"


def _unknown(twice: int) -> str:
    return f"{_steps(twice)} done again, but no loss and no gradient norm of them is in both records"


def _steps(count: int) -> str:
    return f"{count:,} {'step was' if count == 1 else 'steps were'}"
