"""One Step where results may differ by rounding: the record beside replays of it from the state that it began with.

Rules: what is no arithmetic has to be equal (`resumed`), what the optimizer made of the gradient is worked out again,
and the gradient is held against a bound that nobody chooses: what replays of this very Step here differ by, with other
threads and other instructions, `MARGIN` times. A bound that a single changed label stays under is no bound.

Known weakness: what is smaller than the bound is not seen, and it is one bound for a tensor: in a row whose gradients
are far smaller than those of the others, a change may be large beside them and small beside the bound.

Source: the split check of `docs/audit.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple, TypeAlias

from saksi.judgement.replay.gradients import StepGradients
from saksi.judgement.replay.values import Split
from saksi.words.findings import Finding

__all__ = ["MARGIN", "Replays", "Unsplit", "key_of", "not_recomputed", "split_of", "too_far"]

MARGIN: Final = 10.0
"""How many times what replays here are apart the record may be: another machine's kernels add in orders of their own.
Of all that was measured (`docs/benchmarks.md`) an honest record was twice as far, and one label a thousand times."""
_ROUNDING: Final = {"torch.float64": 2.0**-53, "torch.float32": 2.0**-24, "torch.float16": 2.0**-11}
_COARSEST: Final = 2.0**-9
"""That of bfloat16: no result is nearer than rounding puts it, though two replays here may happen to be."""
_LOSS: Final = "the loss"
_NORM: Final = "the gradient norm"
_NUMBERS: Final = (_LOSS, _NORM)
"""What is no gradient: a bound of gradients is worth something if a label shows in those."""
_Quantities: TypeAlias = dict[str, tuple[float, ...]]
_UPDATE_CODES: Final = ("optimizer.update_differs", "optimizer.state_differs")
_UNJUDGED_CODES: Final = ("optimizer.not_checkable", "optimizer.not_recomputed")


class Replays(NamedTuple):
    """Replays of one Step, by rank: the one that is compared, those that differ by rounding alone, and the last one.

    That one is with a label changed.
    """

    base: Mapping[int, StepGradients]
    others: tuple[Mapping[int, StepGradients], ...]
    planted: Mapping[int, StepGradients]


class Unsplit(Exception):
    """Why nothing is said of a Step, in words."""


class _Ratio(NamedTuple):
    """How far something is from a replay, in bounds, and where it is furthest."""

    value: float
    where: str


def key_of(record: Mapping[int, StepGradients]) -> str:
    """What the samples of all ranks were drawn with. Raises `Unsplit`."""
    if not record:
        raise Unsplit("the record does not have it")
    for each in record.values():
        if each.lacking is not None:
            raise Unsplit(each.lacking)
    keys = {each.key for each in record.values()}
    if len(keys) > 1:
        raise Unsplit("each rank drew its samples with a key of its own")
    return keys.pop()


def not_recomputed(findings: Iterable[Finding], step: int) -> str | None:
    """Why it is not so that the Step's update is what its rule makes of the gradient, by what was found of the record.

    `None` where every element that was sampled was worked out again, and is.
    """
    for each in findings:
        first, last = each.first_step, each.last_step
        covers = first is None or first <= step <= (first if last is None else last)
        if each.code in _UNJUDGED_CODES:
            return f"not every update is worked out again: {each.message}"
        if each.code in _UPDATE_CODES and covers:
            return f"its update is not what {each.subject} makes of the gradient"
    return None


def split_of(step: int, record: Mapping[int, StepGradients], replays: Replays) -> Split:
    """What is so of a Step that has `key_of` and is recomputed. Raises `Unsplit`, where nothing can be said."""
    noise, slack, planted = 0.0, _Ratio(0.0, _LOSS), _Ratio(0.0, _LOSS)
    for rank, seen in sorted(record.items()):
        base, *others, last = (
            _there(each, rank, seen.key) for each in (replays.base, *replays.others, replays.planted)
        )
        spread, bounds = _bounds(base, others)
        noise = max(noise, spread)
        slack = max(slack, _furthest(seen, base, bounds))
        planted = max(planted, _furthest(last, base, {name: bounds[name] for name in bounds if name not in _NUMBERS}))
    if planted.value <= 1.0:
        raise Unsplit("one changed label does not show beyond what replays here differ by, or none could be changed")
    return Split(
        step=step,
        elements=sum(each.elements for each in record.values()),
        noise=noise,
        slack=_finite(slack.value),
        furthest=slack.where,
        planted=_finite(planted.value),
    )


def too_far(found: Split) -> str | None:
    """Why the record is not within what is allowed; `None` if it is.

    It proves nothing: the bound is of what rounding does on this machine.
    """
    if found.slack is None:
        return f"step {found.step}: {found.furthest} is another than in the replay, and rounding explains none of that"
    if found.slack <= 1.0:
        return None
    far = f"{found.slack:,.3g} times as far"
    return f"step {found.step}: {found.furthest} is {far} from the replay as rounding explains here"


def _finite(ratio: float) -> float | None:
    return None if math.isinf(ratio) else ratio


def _there(replay: Mapping[int, StepGradients], rank: int, key: str) -> StepGradients:
    if rank not in replay:
        raise Unsplit(f"a replay did not make it as rank {rank}")
    found = replay[rank]
    if found.key != key:
        raise Unsplit("a replay drew other elements")
    if not all(math.isfinite(each) for values in _quantities(found, found).values() for each in values):
        raise Unsplit("its loss or its gradient is no finite number in a replay")
    return found


def _bounds(base: StepGradients, others: Sequence[StepGradients]) -> tuple[float, dict[str, float]]:
    """How far replays are apart over all gradients, beside their size, and the bound of each quantity."""
    every = [base, *others]
    size = base.size
    rounding = max((_ROUNDING.get(each, _COARSEST) for each in base.dtypes), default=_COARSEST)
    pairs = [(_quantities(one, base), _quantities(other, base)) for one, other in combinations(every, 2)]
    apart = [{name: _distance(one[name], other[name]) for name in one} for one, other in pairs]
    whole = [math.hypot(*(value for name, value in each.items() if name not in _NUMBERS)) for each in apart]
    noise = max(rounding, max(whole, default=0.0) / size if size else 0.0)
    bounds = {
        name: MARGIN * max(noise * math.hypot(*values), *(each[name] for each in apart))
        for name, values in _quantities(base, base).items()
    }
    return noise, bounds


def _furthest(seen: StepGradients, base: StepGradients, bounds: Mapping[str, float]) -> _Ratio:
    mine, theirs = _quantities(seen, base), _quantities(base, base)
    return max(_Ratio(_in_bounds(_distance(mine[name], theirs[name]), bound), name) for name, bound in bounds.items())


def _in_bounds(distance: float, bound: float) -> float:
    if distance == 0.0:
        return 0.0
    return distance / bound if bound else math.inf


def _quantities(one: StepGradients, like: StepGradients) -> _Quantities:
    """What is compared, by a name that people read. Raises `Unsplit` where it is of other tensors than `like`."""
    shapes = [{name: len(values) for name, values in each.tensors.items()} for each in (one, like)]
    if shapes[0] != shapes[1] or one.max_norm != like.max_norm:
        raise Unsplit("the tensors that have gradients, or what they are clipped to, are others in a replay")
    found: _Quantities = {}
    for where, values in sorted(one.tensors.items()):
        label, (_, group, index) = f"the gradient of {one.names[where]}", where
        found[label if label not in found else f"{label} ({group}/{index})"] = values
    for name, value, other in ((_LOSS, one.loss, like.loss), (_NORM, one.norm, like.norm)):
        if (value is None) != (other is None):
            raise Unsplit(f"{name} is not in all of them")
        if value is not None:
            found[name] = (float(value),)
    return found


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Nothing is near to what is no finite number."""
    return math.dist(one, other) if all(map(math.isfinite, (*one, *other))) else math.inf
