"""What one group of ranks makes of its gradients: learned from its first Updates, and what departs from that.

Rules: what is so once or twice is told as `info`, and weighs from the third Update in a row on: a rank that leaves a
bad batch out, or clips its own gradient, does it otherwise each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.means_said import Said
from saksi.judgement.updates.means import Elements, Reached, mean_of, reached, weights_of
from saksi.words.findings import Finding

__all__ = ["CHECK_NAME", "ENOUGH", "NOT_DIVIDED", "NOT_MEAN", "WEIGHED", "Averaging"]

CHECK_NAME: Final = "means"
WEIGHED: Final = "agreement.ranks_weighed"
NOT_MEAN: Final = "agreement.gradient_not_mean"
NOT_DIVIDED: Final = "agreement.gradient_not_divided"
ENOUGH: Final = 5
"""Updates from the first compared on at which it was the mean, after which a departure is no habit of the program's."""
ENOUGH_FOR_OTHERS: Final = 8
"""As above, where no weights of ranks explain it: as many as of gradients that are changed in one process."""
IN_A_ROW: Final = 3
MAX_NAMED: Final = 8
NEAR: Final = 1e-3
"""How near to each other factors and weights lie that are taken for the same."""
ALIKE: Final = 1e-2
"""How near weights of several Updates lie that are taken for the same, as a share of how far they are from equal ones:
ranks that clip their own gradients count nearly alike, and otherwise each time."""
LOOK: Final = "An exchange that was changed and one that is wrong look the same."
PURPOSE: Final = (
    "A rank that counts otherwise on purpose, an exchange that was changed and one that is wrong look the same."
)
OTHERS: Final = "Noise that is added, a projection and gradients that are exchanged in another way look the same."
_finding = partial(observation, check=CHECK_NAME)


class _Row(NamedTuple):
    """A departure that came so many times in a row, with the same numbers."""

    numbers: tuple[float, ...]
    times: int
    finding: Finding


class Averaging:
    """One group. `held`: Updates from the first compared on that were the mean; `None`: this group averages nothing."""

    __slots__ = ("_is_coarse", "_noted", "_rows", "_told", "held", "is_plain")

    def __init__(self, noted: Noted) -> None:
        self._noted = noted
        self.held: int | None = 0
        self.is_plain = True  # nothing, or the clipping that was measured, was made of the mean
        self._is_coarse = False  # exchanged in a coarser type than the gradients'
        self._rows: dict[str, _Row] = {}
        self._told: dict[tuple[str, str], Finding] = {}

    def findings(self) -> Iterator[Finding]:
        """What is to be told of it."""
        yield from self._told.values()
        for row in self._rows.values():
            if row.times < IN_A_ROW:
                yield msgspec.structs.replace(row.finding, severity="info")

    def take(self, optimizer: int, ranks: Mapping[int, Said], of: partial[Finding]) -> None:
        """One Update of all ranks, in their order. Raises `MalformedInput`, `ArithmeticError`."""
        if self.held is None:
            return
        elements = {rank: each.elements() for rank, each in ranks.items()}
        own = [each for each, _ in elements.values()]
        if all(each.values == own[0].values for each in own):
            return  # exchanged inside of the backward, or all have the same data: no parts to be told apart
        of = partial(of, subject=f"gradients of optimizer {optimizer}")
        found = _reached(elements, own, coarse=self._is_coarse)
        if found is None:
            return
        if _is_mean(found):
            self._was_mean(ranks, found, of)
        elif self.held >= ENOUGH:
            self._departed(ranks, elements, own, found, of)
        else:
            self._learn(elements, own)

    def _learn(self, elements: Mapping[int, tuple[Elements, tuple[float, ...]]], own: Sequence[Elements]) -> None:
        """One of the first that is not the mean: exchanged in a coarser type, or this program has another way."""
        coarse = None if self._is_coarse else _reached(elements, own, coarse=True)
        if coarse is None or not _is_mean(coarse):
            self.held = None
        else:
            self._is_coarse, self.is_plain = True, False
            self.held = (self.held or 0) + 1

    def _was_mean(self, ranks: Mapping[int, Said], found: Mapping[int, Reached], of: partial[Finding]) -> None:
        held = self.held or 0
        self.held = held + 1
        factors = {rank: each.factor for rank, each in found.items() if each.factor is not None}
        odd = [rank for rank, each in factors.items() if not _is_as_said(each, ranks[rank])]
        summed = [rank for rank in odd if _is_as_said(factors[rank] / len(ranks), ranks[rank])]
        if not self.is_plain or not odd:
            self._end_rows()
        elif held < ENOUGH or not summed:
            self.is_plain = False  # a scaler, a sum, or a clipping that is not seen
            self._end_rows()
        elif len(summed) == len(ranks):
            what = f"The gradients that were read are {len(ranks)} times the mean of the ranks': their sum."
            message = f"{what} Until now it was divided by their number. {LOOK}"
            self._suspect((), of(code=NOT_DIVIDED, message=message, ranks=tuple(ranks)))

    def _departed(
        self,
        ranks: Mapping[int, Said],
        elements: Mapping[int, tuple[Elements, tuple[float, ...]]],
        own: Sequence[Elements],
        found: Mapping[int, Reached],
        of: partial[Finding],
    ) -> None:
        """What was the mean until now is not."""
        odd = [rank for rank, each in found.items() if each.kind not in {"mean", "clamped"}]
        known = {} if self._is_coarse else {rank: weights_of(elements[rank][1], own) for rank in odd}
        weights = [each for each in known.values() if each is not None]
        if len(weights) == len(odd):
            self._weighed(ranks, odd, weights, of)
            return
        bad, of_all = sum(found[rank].bad for rank in odd), sum(found[rank].of for rank in odd)
        what = f"What was read is not the mean of the ranks' gradients any more, in {bad} of {of_all} sampled elements."
        finding = of(code=NOT_MEAN, message=f"{what} {OTHERS}", ranks=tuple(odd))
        coarse = _reached(elements, own, coarse=True)
        is_turned = coarse is not None and all(coarse[rank].kind == "other" for rank in odd)
        if is_turned and (self.held or 0) >= ENOUGH_FOR_OTHERS:
            self._suspect((), finding)
        else:
            self._tell(msgspec.structs.replace(finding, severity="info"))

    def _weighed(
        self, ranks: Mapping[int, Said], odd: Sequence[int], weights: Sequence[Sequence[float]], of: partial[Finding]
    ) -> None:
        places = list(ranks)
        if not any(weights[0]):  # a bad batch that a program leaves out, say
            what = "Nothing was left of the ranks' gradients, where until now their mean was read."
            self._tell(of(code=NOT_MEAN, severity="info", message=what, ranks=tuple(odd)))
        elif _are_as_said(weights[0], list(ranks.values())):
            self._end_rows()
        elif len(odd) == len(ranks) and all(_is_own(place, each) for place, each in enumerate(weights)):
            what = (
                "Each rank reads its own gradient, and until now read the mean of all: they are not exchanged any more."
            )
            self._tell(of(code=NOT_MEAN, severity="info", message=what, ranks=tuple(odd)))
        elif not all(_are_near(each, weights[0]) for each in weights):
            what = "Ranks read other sums of their gradients than each other: they exchange them in parts."
            message = f"{what} Until now all read their mean."
            self._tell(of(code=NOT_MEAN, severity="info", message=message, ranks=tuple(odd)))
        else:
            message = f"{_in_words(places, weights[0])} Until now it was their mean. {PURPOSE}"
            named = tuple(odd) if len(odd) < len(ranks) else _standing_out(places, weights[0])
            finding = of(code=WEIGHED, message=message, ranks=named)
            largest = max(map(abs, weights[0]))
            self._suspect(tuple(each / largest for each in weights[0]), finding)

    def _suspect(self, numbers: tuple[float, ...], finding: Finding) -> None:
        """A departure; it weighs once it came so often in a row, with the same numbers."""
        if self._noted.keeps_as_expected(finding):
            return
        row = self._rows.pop(finding.code, None)
        self._end_rows()
        if row is not None and not _are_alike(row.numbers, numbers):
            self._end(row)
            row = None
        row = _Row(numbers, 1, finding) if row is None else _Row(numbers, row.times + 1, joined(row.finding, finding))
        self._rows[finding.code] = row
        if row.times >= IN_A_ROW:
            self._tell(row.finding)

    def _end_rows(self) -> None:
        """What departed is the mean again."""
        rows, self._rows = self._rows, {}
        for row in rows.values():
            self._end(row)

    def _end(self, row: _Row) -> None:
        if row.times < IN_A_ROW:
            self._tell(msgspec.structs.replace(row.finding, severity="info"))

    def _tell(self, finding: Finding) -> None:
        """Keep the first of a code and severity, stretched over those that follow."""
        kind = finding.code, finding.severity
        known = self._told.get(kind)
        self._told[kind] = finding if known is None else joined(known, finding)
        if known is None:
            self._noted.announce(finding)


def _reached(
    elements: Mapping[int, tuple[Elements, tuple[float, ...]]], own: Sequence[Elements], *, coarse: bool
) -> dict[int, Reached] | None:
    """What each rank's gradient is to the mean; `None` where there is none, or a number is not finite."""
    mean = mean_of(own, coarse=coarse)
    if mean is None:
        return None
    each_read = {read: reached(read, mean) for _, read in elements.values()}  # mostly, all read the same
    found = {rank: each_read[read] for rank, (_, read) in elements.items()}
    known = {rank: each for rank, each in found.items() if each is not None}
    return known if len(known) == len(found) else None


def _is_mean(found: Mapping[int, Reached]) -> bool:
    return all(each.kind in {"mean", "clamped"} for each in found.values())


def _is_as_said(factor: float, said: Said) -> bool:
    """Whether nothing was made of the mean, or what the clipping that was measured makes of it."""
    return any(each is not None and abs(factor - each) <= NEAR * each for each in (1.0, said.coefficient))


def _are_as_said(weights: Sequence[float], ranks: Sequence[Said]) -> bool:
    """Whether ranks count as much as they had samples of data, or each as its own clipping makes it."""
    for each in ([said.items for said in ranks], [said.coefficient for said in ranks]):
        known = [number for number in each if number]
        total, whole = sum(known), sum(weights)
        if len(known) < len(each) or len(set(known)) == 1 or not whole:
            continue
        if all(abs(w / whole - number / total) <= NEAR for w, number in zip(weights, known, strict=True)):
            return True
    return False


def _is_own(place: int, weights: Sequence[float]) -> bool:
    """Whether only the rank at this place counts."""
    others = (each for at, each in enumerate(weights) if at != place)
    return weights[place] > 0 and all(abs(each) <= NEAR * weights[place] for each in others)


def _are_near(some: Sequence[float], others: Sequence[float]) -> bool:
    largest = max(map(abs, (*some, *others)))
    return all(abs(a - b) <= NEAR * largest for a, b in zip(some, others, strict=True))


def _are_alike(some: Sequence[float], others: Sequence[float]) -> bool:
    apart = ALIKE * max((1 - each for each in (*some, *others)), default=0.0)
    return len(some) == len(others) and all(abs(a - b) <= apart for a, b in zip(some, others, strict=True))


def _standing_out(ranks: Sequence[int], weights: Sequence[float]) -> tuple[int, ...]:
    """The ranks that do not count as the most of them do; without a majority those that do not count as in the mean."""
    counts = [round(each * len(ranks), 2) for each in weights]
    (usual, often), *_ = Counter(counts).most_common()
    wanted = usual if often * 2 > len(ranks) else 1.0
    return tuple(rank for rank, each in zip(ranks, counts, strict=True) if each != wanted) or tuple(ranks)


def _in_words(ranks: Sequence[int], weights: Sequence[float]) -> str:
    shown = [f"rank {rank}: {each * len(ranks):.3g}" for rank, each in zip(ranks, weights, strict=True)]
    more = f" and {len(ranks) - MAX_NAMED} more" if len(ranks) > MAX_NAMED else ""
    counts = f"{', '.join(shown[:MAX_NAMED])}{more} times"
    return f"Ranks do not count alike in the gradients that were read: {counts} what each counts in the mean."
