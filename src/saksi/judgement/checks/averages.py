"""Did averages of the weights, which belong to no optimizer, go on following the weights as they had done.

Elements of tensors that no optimizer updates stand beside those of the parameter that each may follow (`average`
frames). Whatever has moved at one pace in all of its elements at several Updates is an average, and what moves
otherwise after that was written to by something else. What never followed is not judged: a program may do with it what
it wants.

Known weakness: samples are claims in the job's own memory; elements that were not drawn, edits below rounding (in half
precision that is coarse), those of the first Updates and those behind the last one are not seen; an edit that keeps one
pace in common (a copy of the weights, a step too far) is told, and no more.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.updates.averages import AveragedLayout, Moved, averaged_layout_of, moved_in
from saksi.judgement.updates.following import MANY, Pace, Step, pace_of, unit_of
from saksi.words.average_frames import AveragedFrame, AverageFrame
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding, Severity
from saksi.words.frames import CkptFrame, UpdateFrame

__all__ = ["AVERAGES", "AverageCheck"]

CHECK_NAME: Final = "averages"
DIFFERS: Final = "state.average_differs"
PACE: Final = "state.average_pace_changed"
CHANGED: Final = "state.untrained_changed"
LEARNED: Final = 5
"""Updates at which a tensor followed, and at none did not, before it is held to that."""
STOOD_STILL: Final = 20
"""Updates that a tensor stood still from when it was first looked at, before a change of it is told."""
LEAPS: Final = 4.0
"""Times outside of all paces there were, from which on a pace is another one: averages of n states slow down as 1/n."""
NARROW: Final = 0.5
"""Of a pace, how far its bounds may lie apart for it to be remembered."""
MAX_LAYOUTS: Final = 256
MAX_TENSORS: Final = 1 << 14
"""Of one process, those of layouts included."""
MAX_ALL: Final = 1 << 19
MAX_CASES: Final = 1_024
MAX_NAMED: Final = 4
CAUSES: Final = (
    "Averages that are put back from memory, begun anew or pruned by hand look the same, and so does whoever edits "
    "what will be evaluated."
)
_finding = partial(observation, check=CHECK_NAME)


class _Tensor:
    """What one tensor has done."""

    __slots__ = ("follows", "high", "is_copy", "is_free", "low")

    def __init__(self) -> None:
        self.follows = 0
        self.is_free = False
        self.is_copy = True  # at each of them it came to be what the weights were
        self.low, self.high = 0.0, 0.0  # of the paces it had; 0: none yet

    @property
    def is_held(self) -> bool:
        """Whether it is known to follow."""
        return self.follows >= LEARNED and not self.is_free

    def is_leap(self, pace: Pace) -> bool:
        """Whether it never had a pace like this one."""
        return self.high > 0 and (pace.low > LEAPS * self.high or pace.high < self.low / LEAPS)

    def follow(self, step: Step, pace: Pace) -> None:
        """It moved at one pace; what begins with a copy has no pace yet."""
        if pace.low <= 0:
            self.is_free = self.is_free or not self.is_held  # away from what it should follow
            return
        self.follows += step.told > 1
        self.is_copy = self.is_copy and pace.low <= 1 <= pace.high
        is_first_copy = self.follows <= 1 and pace.low <= 1 <= pace.high
        if not is_first_copy and pace.high - pace.low <= NARROW * pace.low:
            self.low = min(self.low or pace.low, pace.low)
            self.high = max(self.high, pace.high)


class _Process:
    __slots__ = ("layouts", "loads", "marks", "size", "tensors")

    def __init__(self) -> None:
        self.layouts: dict[str, AveragedLayout] = {}
        self.tensors: dict[tuple[object, ...], _Tensor] = {}
        self.loads = 0  # model checkpoints that were loaded
        self.marks: dict[int, tuple[int, int]] = {}  # of each optimizer, how many by the last two updates
        self.size = 0

    def arrange(self, frame: AveragedFrame, room: int) -> None:
        """Take a part of a layout in, if there is room for its lines."""
        known = self.layouts.pop(frame.layout, None)
        joins = known is not None and frame.part > 0
        if known is not None and not joins:
            self.size -= len(known.tensors)
        if len(frame.tensors) <= min(room, MAX_TENSORS - self.size):
            self.size += len(frame.tensors)
            self.layouts[frame.layout] = (
                known.joined(frame) if known is not None and joins else averaged_layout_of(frame)
            )
        elif known is not None and joins:  # a part of it is of no use
            self.size -= len(known.tensors)
        while len(self.layouts) > MAX_LAYOUTS:
            self.size -= len(self.layouts.pop(next(iter(self.layouts))).tensors)

    def tensor(self, key: tuple[object, ...], room: int) -> _Tensor | None:
        """What a tensor has done; `None` if there is no room for a new one."""
        known = self.tensors.get(key)
        if known is None and self.size < MAX_TENSORS and room > 0:
            known = self.tensors[key] = _Tensor()
            self.size += 1
        return known

    def mark(self, optimizer: int) -> None:
        """An update of an optimizer ended."""
        if optimizer in self.marks or len(self.marks) < MAX_LAYOUTS:
            self.marks[optimizer] = self.marks.get(optimizer, (0, 0))[1], self.loads

    def loaded(self, optimizer: int) -> bool:
        """Whether something was loaded since the update before the last one ended."""
        return self.loads > self.marks.get(optimizer, (0, 0))[0]


class _Seen(NamedTuple):
    """What one tensor did that is told."""

    code: str
    tensor: Moved
    follows: int
    pace: Pace | None
    weighs: bool = False


class _State:
    __slots__ = ("cases", "followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        self.cases: dict[tuple[object, ...], Finding] = {}
        what = "averages of the weights are not compared"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what)


class AverageCheck:
    """Every tensor that followed the weights, between two Updates."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, AveragedFrame | AverageFrame | UpdateFrame | CkptFrame):
            frame = said.frame
            if isinstance(frame, AveragedFrame):
                process.arrange(frame, state.followed.room)
            elif isinstance(frame, UpdateFrame):
                process.mark(frame.optimizer)
            elif isinstance(frame, CkptFrame):
                process.loads += frame.action == "loaded"
            elif isinstance(frame, AverageFrame):
                _take(state, process, said, frame)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return (*state.noted.kept(), *state.cases.values())


def _take(state: _State, process: _Process, said: Spoken, frame: AverageFrame) -> None:
    layout = process.layouts.get(frame.layout)
    unit = None if layout is None else unit_of(*layout.dtypes)
    if layout is None or unit is None:
        return
    seen: list[_Seen] = []
    try:
        moved = list(moved_in(layout, frame))
    except MalformedInput:
        return
    is_loaded = process.loaded(frame.optimizer)
    for each in moved:
        tensor = process.tensor((frame.optimizer, *each.key), state.followed.room)
        if tensor is not None:
            found = _judge(tensor, each, unit, is_loaded=is_loaded, still=frame.update - layout.since)
            seen += [] if found is None else [found]
    _tell(state, said, frame, seen)


def _judge(tensor: _Tensor, moved: Moved, unit: tuple[float, float], *, is_loaded: bool, still: int) -> _Seen | None:
    """What there is to tell of one tensor; what it did is remembered."""
    step, pace = _step(moved, unit)
    if step is None or not step.moved or is_loaded:
        return None
    was_held, is_first = tensor.is_held, not tensor.follows and not tensor.is_free
    if pace is not None and not step.partly:
        leaps = was_held and tensor.is_leap(pace)
        tensor.follow(step, pace)
        return _Seen(PACE, moved, tensor.follows - 1, pace) if leaps else None
    if _is_of_others(moved) or (not step.partly and _is_of_many(moved, unit)):
        return None
    if was_held and step.partly:
        return _Seen(PACE, moved, tensor.follows, None)
    if was_held:  # a copy that is filled from another one of the program's is none of the weights'
        return _Seen(DIFFERS, moved, tensor.follows, None, weighs=not tensor.is_copy)
    tensor.is_free = True
    return _Seen(CHANGED, moved, 0, None) if is_first and still >= STOOD_STILL else None


def _step(moved: Moved, unit: tuple[float, float]) -> tuple[Step | None, Pace | None]:
    """How it moved: beside the first of the parameters that it has one pace with."""
    steps = [pace_of(moved.before, moved.after, each, unit) for each in moved.parameters]
    known = [each for each in steps if each is not None]
    if len(known) < len(steps):
        return None, None
    whole = next((each for each in known if each.pace is not None and not each.partly), None)
    partly = next((each for each in known if each.partly), None)
    found = whole or partly or known[0]
    return found, found.pace


def _is_of_many(moved: Moved, unit: tuple[float, float]) -> bool:
    """Whether rounding of many moves, between the two updates, would make of one pace what is seen."""
    found = (pace_of(moved.before, moved.after, each, unit, roundings=MANY) for each in moved.parameters)
    return any(each is not None and each.pace is not None and not each.partly for each in found)


def _is_of_others(moved: Moved) -> bool:
    """Whether the parameter changed between the updates as well, which continuity tells."""
    return len(moved.parameters) > 2 and moved.parameters[0] != moved.parameters[1]  # noqa: PLR2004


def _tell(state: _State, said: Spoken, frame: AverageFrame, seen: list[_Seen]) -> None:
    step = frame.update + 1 if frame.optimizer == 0 else None
    for code, module in dict.fromkeys((each.code, each.tensor.tensor.module) for each in seen):
        those = [each for each in seen if (each.code, each.tensor.tensor.module) == (code, module)]
        severity: Severity = "warning" if any(each.weighs for each in those) else "info"
        found = _finding(
            code=code, severity=severity, message=_message(code, those),
            subject=f"averaged weights in {module}" if code != CHANGED else f"weights in {module}",
            steps=(step, step), ranks=(said.rank,), evidence=(said.entry,),
        )  # fmt: skip
        if state.noted.keeps_as_expected(found):
            continue
        key = (code, module, frame.optimizer, said.rank)
        if key in state.cases:
            state.cases[key] = joined(state.cases[key], found)
        elif len(state.cases) < MAX_CASES:
            state.cases[key] = found
            state.noted.announce(found)


def _message(code: str, those: list[_Seen]) -> str:
    names = [each.tensor.tensor.name for each in those]
    more = "" if len(names) <= MAX_NAMED else f" and {len(names) - MAX_NAMED} more"
    named = ", ".join(names[:MAX_NAMED]) + more
    often = Counter(each.follows for each in those).most_common(1)[0][0]
    before = f"as at {often:,} updates before"
    if code == DIFFERS:
        return (
            f"{named}, which no optimizer updates, changed between two updates, and not towards the weights that they "
            f"follow, by one share of the way in all elements, {before}. {CAUSES}"
        )
    if code == CHANGED:
        return (
            f"{named}, which no optimizer updates, stood still since they were first looked at, and changed. Models "
            "that are put in place later, layers that are unfrozen and adapters that are merged look the same."
        )
    paces = [each.pace for each in those if each.pace is not None]
    if not paces:
        return f"Some elements of {named} stood still while others followed the weights, not {before}."
    middle = (paces[0].low + paces[0].high) / 2
    return (
        f"{named} went {middle:.3g} of the way to the weights that they follow, as never at {often:,} updates "
        "before. Averages that begin anew, or whose pace follows a schedule, do that."
    )


AVERAGES: Final = AverageCheck()
