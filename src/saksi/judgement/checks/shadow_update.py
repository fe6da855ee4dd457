"""Is what an optimizer's step made of its parameters what its rule makes of them: the shadow update.

Samples of parameter, gradient and state before and after (`sample` frames) are recomputed with the hyper-parameters of
the same Update. Any element outside of what rounding explains is told, with the first Step, the tensors and what the
difference looks like. Samples are claims, as everything that the job says; where there is no rule, that is said.

Known weakness: who edits a gradient before the optimizer reads it, or a parameter after the samples were taken, is not
seen here; nor is a difference below rounding, or in elements that were not drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.sampled_process import SampledProcess
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.checks.thinned import THINNED, Thinned
from saksi.judgement.items import Item
from saksi.judgement.updates.compare import PARAMETER, Apart, Shape, differences, moved, needed, shape_of
from saksi.judgement.updates.precision import PRECISIONS
from saksi.judgement.updates.rules import RULES, NoRule, Recompute, rule_of
from saksi.judgement.updates.samples import Layout, Sampled, around_each
from saksi.judgement.updates.thinning import is_left_out
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding
from saksi.words.frames import OptimizerFrame, SampledFrame, SampleFrame, UpdateFrame

__all__ = ["SHADOW_UPDATES", "ShadowUpdateCheck"]

CHECK_NAME: Final = "shadow_update"
UPDATE: Final = "optimizer.update_differs"
STATE: Final = "optimizer.state_differs"
NOT_RECOMPUTED: Final = "optimizer.not_recomputed"
"""There is no rule, so this check does not apply: continuity and replay see what such an optimizer does."""
NOT_CHECKABLE: Final = "optimizer.not_checkable"
"""There is a rule, and what it needs is not there."""
MAX_LINES: Final = 1 << 20
"""Of all layouts of all processes; what is said beyond is not kept, and its samples are not judged."""
MAX_NAMED: Final = 4
"""Tensors that a finding names; of more it tells how many."""
MAX_CASES: Final = 1_024
CAUSES: Final = (
    "A hook that edits parameters after the step (weight clipping, an EMA that is swapped in), an optimizer that was "
    "patched and an edited torch look the same; `saksi env verify` and the inventory of live code tell which code ran."
)
LARGEST: Final = {dtype: each.largest for dtype, each in PRECISIONS.items()}
"""What overflows in one precision need not in another; in half precision the overflow itself is worked out."""
ELSEWHERE: Final = "State continuity is checked all the same."
_HEARD: Final = OptimizerFrame | SampledFrame | SampleFrame | UpdateFrame
_finding = partial(observation, check=CHECK_NAME)


class _State:
    __slots__ = ("cases", "followed", "noted", "thinned", "unjudged")

    def __init__(self) -> None:
        self.noted = Noted()
        self.unjudged = Noted()  # apart, so that what does not apply takes no room from what was not judged
        self.followed = Followed(
            SampledProcess, size=MAX_LINES, noted=self.unjudged, what="updates are not recomputed",
            max_resting=0,  # on another connection it says all of this again
        )  # fmt: skip
        self.cases: dict[tuple[str, str, int, Shape], Finding] = {}
        self.thinned = Thinned()


class ShadowUpdateCheck:
    """Every sampled Update, recomputed with the hyper-parameters that it said it had."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, _HEARD):
            _take(state, process, said)
        return state, (*state.noted.news(), *state.unjudged.news())

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return (*state.noted.kept(), *state.unjudged.kept(), *state.cases.values(), *state.thinned.findings())


def _take(state: _State, process: SampledProcess, said: Spoken) -> None:
    frame = said.frame
    if isinstance(frame, OptimizerFrame):
        process.announce(frame)
    elif isinstance(frame, SampledFrame | SampleFrame):
        process.hears(frame, state.followed.room)
    elif isinstance(frame, UpdateFrame):
        _Judged(state, process, frame, said).take(process.of(frame))


class _Judged:
    """One Update: its samples, of several layouts perhaps, and what lies apart in them."""

    def __init__(self, state: _State, process: SampledProcess, update: UpdateFrame, said: Spoken) -> None:
        self._state = state
        self._layouts = process.layouts
        self._class = process.classes.get(update.optimizer)
        self._rule = process.rules.get(update.optimizer)  # that of a class of the program's own is its base's
        self._update = update
        self._key = process.key or bytes.fromhex(said.hello.fingerprint_key)
        step = update.update if update.optimizer == 0 else None
        self._of = partial(_finding, steps=(step, step), ranks=(said.rank,), evidence=(said.entry,))
        self._apart: dict[str, list[Apart]] = {}
        self._sampled: Counter[str] = Counter()

    def take(self, samples: list[SampleFrame]) -> None:
        """Recompute what was sampled of it, and tell what lies apart."""
        if not samples:
            if not self._update.skipped:
                self._unsampled()
            return
        try:
            for each in samples:
                self._recompute(each)
            self._tell()
        except (ArithmeticError, TypeError, ValueError):  # whoever speaks as the job chooses the numbers
            name = "samples" if self._class is None else self._class
            self._unjudged(name, "Updates were not recomputed: numbers are beyond all bounds.")

    def _recompute(self, sample: SampleFrame) -> None:
        layout = self._layouts.get(sample.layout)
        if layout is None:
            self._unjudged("samples", "Samples were not judged: their layout was not heard.")
            return
        for what in layout.left_out:
            self._not_recomputed(layout.rule, f"{what} give no samples")
        rule = rule_of(layout.rule, layout.dtype)
        if rule is None or not layout.tensors:
            why = "no tensor of it has a gradient that is read" if rule else f"there is no rule with {layout.dtype}"
            self._not_recomputed(layout.rule, why)
            return
        apart = self._apart.setdefault(layout.rule, [])
        try:
            for sampled in around_each(layout, sample):
                apart += self._differences(rule, layout, sampled)
        except MalformedInput as error:
            self._unjudged(layout.rule, f"Samples that do not fit their layout were not judged: {error.reason}.")

    def _differences(self, rule: Recompute, layout: Layout, sampled: Sampled) -> Iterator[Apart]:
        if self._update.skipped or sampled.idle:
            yield from moved(sampled)
            return
        try:
            expected = rule(sampled.around, self._hyper_parameters(sampled))
        except NoRule as error:
            self._unjudged(layout.rule, f"Updates of {layout.rule} were not judged: {error}.")
            return
        yield from differences(sampled, expected, largest=LARGEST.get(layout.dtype, math.inf))
        self._sampled[layout.rule] += len(sampled.around.parameter)

    def _unsampled(self) -> None:
        """No samples came with it: of an optimizer that has no rule none are expected."""
        update = self._update
        if self._rule in RULES and is_left_out(self._key, update.optimizer, update.update, update.thinned):
            found = self._of(code=THINNED, severity="info", subject=self._rule, message=Thinned.first)
            self._state.thinned.take(self._state.noted, found)
        elif self._class in RULES:
            self._unjudged(self._class, "Updates were not recomputed: they came without samples.")
        elif self._class is not None:
            self._not_recomputed(self._class, "there is no rule for its step")

    def _tell(self) -> None:
        """Make a finding of what lies apart, one for each rule and kind of difference."""
        for rule, apart in self._apart.items():
            counted = [each for each in apart if not self._is_rounding(each.quantity, rule, apart)]
            for code, of_parameters in ((UPDATE, True), (STATE, False)):
                found = [each for each in counted if (each.quantity == PARAMETER) == of_parameters]
                if found:
                    self._case(code, rule, found)

    def _is_rounding(self, quantity: str, rule: str, apart: list[Apart]) -> bool:
        """Whether of a quantity in half precision only the bits of a few elements are others."""
        same = [each for each in apart if each.quantity == quantity]
        return all(each.by_bits for each in same) and sum(each.bad for each in same) < needed(self._sampled[rule])

    def _case(self, code: str, rule: str, apart: list[Apart]) -> None:
        shape, share = shape_of(apart)
        if shape == "scaled" and any(each.by_bits for each in apart):
            shape, share = "other", None  # by how much rounding hides
        message = _message(code, rule, apart, shape, share)
        found = self._of(code=code, severity="warning", subject=f"{rule}.step", message=message)
        if self._state.noted.keeps_as_expected(found):
            return
        cases, key = self._state.cases, (code, rule, self._update.optimizer, shape)
        if key in cases:
            cases[key] = joined(cases[key], found)
        elif len(cases) < MAX_CASES:
            cases[key] = found
            self._state.noted.announce(found)

    def _hyper_parameters(self, sampled: Sampled) -> dict[str, Any]:
        place = sampled.tensor.group
        if place >= len(self._update.groups):
            raise NoRule("its hyper-parameters were not said")
        return self._update.groups[place]

    def _not_recomputed(self, subject: str, why: str) -> None:
        message = f"What its updates make of the parameters is not recomputed: {why}. {ELSEWHERE}"
        self._state.noted.note(self._of(code=NOT_RECOMPUTED, severity="info", subject=subject, message=message))

    def _unjudged(self, subject: str, message: str) -> None:
        self._state.unjudged.note(self._of(code=NOT_CHECKABLE, severity="info", subject=subject, message=message))


def _message(code: str, rule: str, apart: list[Apart], shape: Shape, share: float | None) -> str:
    names = list(dict.fromkeys(each.name for each in apart))
    where = ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    if code == STATE:
        states = ", ".join(dict.fromkeys(each.quantity for each in apart))
        what = f"What it keeps ({states}) is not what {rule} makes of it"
    else:
        what = f"The parameters it left are not those that {rule} makes of them"
    looks = {
        "unchanged": "they did not change at all",
        "reversed": "they moved the other way",
        "scaled": f"the change is {share:.4g} times the expected one" if share is not None else "",
        "other": "the differences follow no simple pattern",
    }[shape]
    bad, of = sum(each.bad for each in apart), sum(each.of for each in apart)
    return f"{what}: {looks}, in {bad} of {of} sampled elements of {where}. {CAUSES}"


SHADOW_UPDATES: Final = ShadowUpdateCheck()
