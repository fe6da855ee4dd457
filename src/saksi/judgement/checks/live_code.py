"""Live code: is the code that training executes the code that lies in the sources, and has it been so from the start.

Claims (`live` frames) are compared with what the agent compiled itself (`source` records). The first inventory of a
process is what it began with; whatever differs later is held against that. Processes that began with the same are
judged together, so that a thousand ranks cost what one does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from saksi.judgement.checks.challenges import FAULTS
from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.live_judging import CODE_OF, judge
from saksi.judgement.checks.live_places import Compiler, Place, Sources, View, places_of
from saksi.judgement.checks.live_processes import Baseline, Context, LiveProcess
from saksi.judgement.checks.live_said import Said, Since
from saksi.judgement.checks.live_tracers import judge_tracer
from saksi.judgement.checks.live_vanished import is_gone, judge_gone, judge_kind
from saksi.judgement.items import Item, Line
from saksi.words.findings import Finding
from saksi.words.frames import FaultFrame, HelloFrame, LiveFrame, UpdateFrame
from saksi.words.records import AttachRecord, BlockRecord, DetachRecord, SourceRecord

__all__ = ["LIVE_CODE", "Approved", "LiveCodeCheck"]

MAX_PROCESSES: Final = 16_384
MAX_CASES: Final = 65_536
"""Places that changed, of all processes together; a job may change one at every challenge."""
MAX_BASELINES: Final = 256
"""Different beginnings: ranks of one job begin alike."""
_finding = partial(observation, check="live_code")

Approved = frozenset[tuple[str, str, tuple[tuple[str, str], ...]]]
"""Places that a rehearsal had and somebody approved: place, name, and the name and code of each function behind it."""


class _Case(msgspec.Struct, frozen=True):
    """A place that is to be judged once its files are known."""

    place: Place
    since: Since
    compiler: Compiler
    context: Context


class _Live:
    __slots__ = ("baselines", "cases", "dropped", "noted", "open", "processes", "sources")

    def __init__(self) -> None:
        self.sources = Sources()
        self.noted = Noted()
        self.open: dict[tuple[int, int], LiveProcess] = {}
        self.processes: dict[tuple[int, int, str], LiveProcess] = {}
        self.baselines: dict[tuple[Compiler, int], Baseline] = {}
        self.cases: list[_Case] = []
        self.dropped = 0


class LiveCodeCheck:
    """Every place of every inventory. `approved`: what a rehearsal had is approved, what it lacks is a finding."""

    name = "live_code"

    def __init__(self, approved: Approved = frozenset()) -> None:
        self._approved = approved

    def start(self) -> _Live:
        """See `Check.start`."""
        return _Live()

    def step(self, state: _Live, item: Item) -> tuple[_Live, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, SourceRecord):
            state.sources.take(record)
            self._settle(state, last=False)
        elif isinstance(record, BlockRecord):
            for line in item.lines:
                self._line(state, item.index, record, line)
        elif isinstance(record, AttachRecord | DetachRecord):
            state.open.pop((record.attempt, record.connection), None)
        return state, state.noted.news()

    def finish(self, state: _Live, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        found = list(state.noted.kept())
        for process in state.processes.values():
            silence = process.silence(ended=ended)
            if silence is not None:
                found.append(_of(Said("live.not_checkable", "info", "live code", silence), process.context))
        if ended:
            found += self._left(state)
        if state.dropped:
            message = f"{state.dropped} changes of code were not judged: more than are kept."
            found.append(_of(Said("live.not_checkable", "info", "live code", message), None))
        return tuple(found)

    # -- frames

    def _line(self, state: _Live, entry: int, record: BlockRecord, line: Line) -> None:
        frame = line.frame
        connection = (record.attempt, record.connection)
        if isinstance(frame, HelloFrame):
            key = (record.attempt, frame.pid, frame.fingerprint_key)
            process = state.processes.get(key)
            if process is None:
                process = LiveProcess(Compiler(record.attempt, frame.python, _optimize(frame)), frame)
                if len(state.processes) < MAX_PROCESSES:
                    state.processes[key] = process
                else:
                    state.dropped += 1
            state.open[connection] = process
            return
        process = state.open.get(connection)
        if process is None:
            return
        if isinstance(frame, UpdateFrame):
            process.updated(Context(record.rank, frame.update if frame.optimizer == 0 else None, entry))
        elif isinstance(frame, FaultFrame):
            if frame.where in FAULTS:
                process.fault = frame.error
        elif isinstance(frame, LiveFrame):
            self._inventory(state, process, frame, Context(record.rank, max(0, frame.step), entry))

    def _inventory(self, state: _Live, process: LiveProcess, frame: LiveFrame, context: Context) -> None:
        places = places_of(frame)
        if places is None:
            message = "A part of an inventory names files that it does not list, and was left out."
            state.noted.note(_of(Said("live.not_checkable", "info", "live code", message), context))
            return
        if frame.omitted:
            message = "There are more places where code is looked up than there is room for; the rest were left out."
            state.noted.note(_of(Said("live.not_checkable", "info", "live code", message), context))
        if process.begins_with(frame):
            if process.gather(frame, places):
                self._begin(state, process, context)
        else:
            if process.baseline is None:  # parts of its first inventory were lost
                self._begin(state, process, context, last=False)
            for place in places:
                since = process.change(place, frame.number)
                if since is not None:
                    self._case(state, _Case(place, since, process.compiler, context))
        for name, old, new in process.flags_changed(frame):
            message = f"It was {old} at the first inventory and is {new} now."
            state.noted.note(_of(Said("live.flag_changed", "warning", name, message), context))

    def _begin(self, state: _Live, process: LiveProcess, context: Context, *, last: bool = True) -> None:
        """A process has said what it began with; one that began with the same has been judged already, or is to be."""
        baseline = process.settle(last=last)
        unheard = process.unheard()
        if unheard is not None:
            state.noted.note(_of(Said("live.not_checkable", "info", "live code", unheard), context))
        key = (process.compiler, baseline.identity)
        known = state.baselines.get(key)
        while known is not None and known.places != baseline.places:
            key = (key[0], key[1] + 1)
            known = state.baselines.get(key)
        if known is None:
            if len(state.baselines) >= MAX_BASELINES:
                state.dropped += 1
                return
            known = state.baselines[key] = baseline
            known.waiting = [each for each in baseline.places.values() if not self._is_approved(each)]
        process.baseline = known
        known.contexts.append(context)
        for said in known.said:
            state.noted.note(_of(said, context))
        self._settle_one(state, process.compiler, known, last=False)

    def _case(self, state: _Live, case: _Case) -> None:
        if self._is_approved(case.place):
            return
        if len(state.cases) >= MAX_CASES:
            state.dropped += 1
        elif not self._judged(state, case, last=False):
            state.cases.append(case)

    # -- judging

    def _is_approved(self, place: Place) -> bool:
        functions = tuple((each.name, each.code) for each in place.pieces)
        return (place.place, place.name, functions) in self._approved

    def _settle(self, state: _Live, *, last: bool) -> None:
        """Judge what can be judged by now; everything, the last time."""
        for (compiler, _), baseline in state.baselines.items():
            self._settle_one(state, compiler, baseline, last=last)
        state.cases = [each for each in state.cases if not self._judged(state, each, last=last)]

    def _settle_one(self, state: _Live, compiler: Compiler, baseline: Baseline, *, last: bool) -> None:
        left = []
        for place in baseline.waiting:
            if not last and not state.sources.under(compiler).knows(place):
                left.append(place)
                continue
            for said in _said_of(place, Since(first=True), state.sources.under(compiler)):
                baseline.said.append(said)
                for context in baseline.contexts:
                    state.noted.note(_of(said, context))
        baseline.waiting = left

    def _judged(self, state: _Live, case: _Case, *, last: bool) -> bool:
        if not last and not state.sources.under(case.compiler).knows(case.place):
            return False
        for said in _said_of(case.place, case.since, state.sources.under(case.compiler)):
            state.noted.note(_of(said, case.context))
        return True

    def _left(self, state: _Live) -> list[Finding]:
        """What can only be judged now that nothing more comes. The state stays as it was."""
        noted = Noted()
        for (compiler, _), baseline in state.baselines.items():
            for place in baseline.waiting:
                for said in _said_of(place, Since(first=True), state.sources.under(compiler)):
                    for context in baseline.contexts:
                        noted.note(_of(said, context))
        for case in state.cases:
            for said in _said_of(case.place, case.since, state.sources.under(case.compiler)):
                noted.note(_of(said, case.context))
        return list(noted.kept())


def _said_of(place: Place, since: Since, view: View) -> Iterator[Said]:
    """Everything to be said of a place, by the rules for its kind."""
    if is_gone(place):
        yield from judge_gone(place, since, view)
        return
    found = list((judge_tracer if place.place == "tracer" else judge)(place, since, view))
    yield from found
    if not any(each.code == CODE_OF[place.place] for each in found):
        yield from judge_kind(place, since, view)


def _optimize(hello: HelloFrame) -> int:
    value = hello.flags.get("optimize", 0)
    return value if value in {0, 1, 2} else 0


def _of(said: Said, context: Context | None) -> Finding:
    return _finding(
        code=said.code,
        severity=said.severity,
        subject=said.subject,
        message=said.message,
        steps=(None, None) if context is None else (context.step, context.step),
        ranks=() if context is None else (context.rank,),
        evidence=() if context is None else (context.entry,),
    )


LIVE_CODE: Final = LiveCodeCheck()
