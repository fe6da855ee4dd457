"""Live code: is the code that training executes the code that lies in the sources, and has it been so from the start.

Claims (`live` frames) are compared with what the agent compiled itself (`source` records). The first inventory of a
process is what it began with; whatever differs later is held against that. Processes that began with the same are
judged together, so that a thousand ranks cost what one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import msgspec

from saksi.judgement.checks.challenges import FAULTS
from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.followed import MAX_RESTING
from saksi.judgement.checks.live_flags import said_of_flag
from saksi.judgement.checks.live_judging import CODE_OF, judge
from saksi.judgement.checks.live_places import Compiler, Place, Sources, View, places_of
from saksi.judgement.checks.live_processes import Baseline, Context, LiveProcess
from saksi.judgement.checks.live_rehearsed import Rehearsed, as_rehearsed, code_at
from saksi.judgement.checks.live_said import Said, Since
from saksi.judgement.checks.live_tracers import judge_tracer
from saksi.judgement.checks.live_vanished import is_gone, judge_gone, judge_kind
from saksi.judgement.checks.spoken import ProcessKey
from saksi.judgement.items import Item, Line
from saksi.judgement.rehearsal.values import MAX_CODE, RehearsedCode
from saksi.words.findings import Finding
from saksi.words.frames import FaultFrame, HelloFrame, LiveFrame, UpdateFrame
from saksi.words.records import ApprovalRecord, AttachRecord, BlockRecord, DetachRecord, SourceRecord

__all__ = ["LIVE_CODE", "LiveCodeCheck", "told_in"]

MAX_PROCESSES: Final = 16_384
MAX_CASES: Final = 65_536
"""Places that changed, of all processes together; a job may change one at every challenge."""
MAX_CONTEXTS: Final = 4_096
"""Processes that began alike and of which a finding will tell, while sources are waited for."""
MAX_BASELINES: Final = 256
"""Different beginnings: ranks of one job begin alike."""
NOT_CHECKABLE: Final = "live.not_checkable"
_finding = partial(observation, check="live_code")


class _Case(msgspec.Struct, frozen=True):
    """A place that is to be judged once its files are known."""

    place: Place
    since: Since
    compiler: Compiler
    context: Context


class _Live:
    __slots__ = (
        "baselines",
        "cases",
        "dropped",
        "noted",
        "open",
        "processes",
        "rehearsed",
        "resting",
        "sources",
        "told",
    )

    def __init__(self) -> None:
        self.rehearsed = Rehearsed()
        self.told: set[RehearsedCode] = set()
        self.sources = Sources()
        self.noted = Noted()
        self.open: dict[tuple[int, int], LiveProcess] = {}
        self.processes: dict[ProcessKey, LiveProcess] = {}
        self.resting: dict[ProcessKey, None] = {}  # without a connection; the last come last
        self.baselines: dict[tuple[Compiler, int], Baseline] = {}
        self.cases: list[_Case] = []
        self.dropped = 0


class LiveCodeCheck:
    """Every place of every inventory. What the rehearsal in the seal file had stands against nobody."""

    name = "live_code"

    def start(self) -> _Live:
        """See `Check.start`."""
        return _Live()

    def step(self, state: _Live, item: Item) -> tuple[_Live, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, SourceRecord):
            state.sources.take(record)
            self.settle(state, last=False)
        elif isinstance(record, BlockRecord):
            for line in item.lines:
                self._line(state, item.index, record, line)
        elif isinstance(record, AttachRecord | DetachRecord):
            self._close(state, record)
        elif isinstance(record, ApprovalRecord):
            state.rehearsed.take(item)
        return state, state.noted.news()

    def finish(self, state: _Live, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        found = list(state.noted.kept())
        for process in state.processes.values():
            found += _silence(process, ended=ended)
        if ended:
            found += self._left(state)
        if state.dropped:
            message = f"{state.dropped} changes of code were not judged: more than are kept."
            found.append(_of(Said(NOT_CHECKABLE, "info", "live code", message), None))
        return tuple(found)

    # -- frames

    def _close(self, state: _Live, record: AttachRecord | DetachRecord) -> None:
        """A connection ended. The last processes that have none are kept: who comes back is held to what it was."""
        process = state.open.pop((record.attempt, record.connection), None)
        if process is None or any(other is process for other in state.open.values()):
            return
        state.resting[process.key] = None
        if len(state.resting) > MAX_RESTING:
            _let_go(state, next(iter(state.resting)))

    def _line(self, state: _Live, entry: int, record: BlockRecord, line: Line) -> None:
        frame = line.frame
        connection = (record.attempt, record.connection)
        if isinstance(frame, HelloFrame):
            key = ProcessKey(record.attempt, frame.pid, frame.fingerprint_key)
            process = state.processes.get(key)
            if process is None:
                process = LiveProcess(key, Compiler(record.attempt, frame.python, _optimize(frame)), frame)
                if len(state.processes) < MAX_PROCESSES:
                    state.processes[key] = process
                else:
                    state.dropped += 1
            state.resting.pop(key, None)
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
            self._inventory(state, process, frame, Context(record.rank, _step_of(frame), entry))

    def _inventory(self, state: _Live, process: LiveProcess, frame: LiveFrame, context: Context) -> None:
        places = places_of(frame)
        if places is None:
            message = "A part of an inventory names files that it does not list, and was left out."
            state.noted.note(_of(Said(NOT_CHECKABLE, "info", "live code", message), context))
            return
        if frame.omitted:
            message = "There are more places where code is looked up than there is room for; the rest were left out."
            state.noted.note(_of(Said(NOT_CHECKABLE, "info", "live code", message), context))
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
        for change in process.flags_changed(frame):
            state.noted.note(_of(said_of_flag(change), context))

    def _begin(self, state: _Live, process: LiveProcess, context: Context, *, last: bool = True) -> None:
        """A process has said what it began with; one that began with the same has been judged already, or is to be."""
        baseline = process.settle(last=last)
        unheard = process.unheard()
        if unheard is not None:
            state.noted.note(_of(Said(NOT_CHECKABLE, "info", "live code", unheard), context))
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
            known.waiting = list(baseline.places.values())
        process.baseline = known
        if known.waiting and len(known.contexts) < MAX_CONTEXTS:
            known.contexts.append(context)
        for said in known.said:
            state.noted.note(_of(said, context))
        self._settle_one(state, process.compiler, known, last=False)

    def _case(self, state: _Live, case: _Case) -> None:
        if len(state.cases) >= MAX_CASES:
            state.dropped += 1
        elif not self._judged(state, case, last=False):
            state.cases.append(case)

    # -- judging

    def settle(self, state: _Live, *, last: bool) -> None:
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
            for said in _said_of(state, place, Since(first=True), compiler):
                _tell(state, place, said)
                baseline.said.append(said)
                for context in baseline.contexts:
                    state.noted.note(_of(said, context))
        baseline.waiting = left
        if not left:
            baseline.contexts = []

    def _judged(self, state: _Live, case: _Case, *, last: bool) -> bool:
        if not last and not state.sources.under(case.compiler).knows(case.place):
            return False
        for said in _said_of(state, case.place, case.since, case.compiler):
            _tell(state, case.place, said)
            state.noted.note(_of(said, case.context))
        return True

    def _left(self, state: _Live) -> list[Finding]:
        """What can only be judged now that nothing more comes. The state stays as it was."""
        noted = Noted()
        for (compiler, _), baseline in state.baselines.items():
            for place in baseline.waiting:
                for said in _said_of(state, place, Since(first=True), compiler):
                    for context in baseline.contexts:
                        noted.note(_of(said, context))
        for case in state.cases:
            for said in _said_of(state, case.place, case.since, case.compiler):
                noted.note(_of(said, case.context))
        return list(noted.kept())


def told_in(items: Iterable[Item]) -> tuple[RehearsedCode, ...]:
    """The places of live code of which something is told in a whole record, at most `MAX_CODE`, in order."""
    state = LIVE_CODE.start()
    for item in items:
        state, _ = LIVE_CODE.step(state, item)
    LIVE_CODE.settle(state, last=True)
    return tuple(sorted(state.told)[:MAX_CODE])


def _tell(state: _Live, place: Place, said: Said) -> None:
    if said.code != NOT_CHECKABLE and len(state.told) < MAX_CASES:
        state.told.add(code_at(place))


def _said_of(state: _Live, place: Place, since: Since, compiler: Compiler) -> Iterator[Said]:
    """Everything to be said of a place; what was rehearsed as it stands stands against nobody."""
    rehearsed = since.before is None and state.rehearsed.has(compiler.attempt, place)
    for said in _judged_by_kind(place, since, state.sources.under(compiler)):
        yield as_rehearsed(said) if rehearsed and said.code != NOT_CHECKABLE else said


def _judged_by_kind(place: Place, since: Since, view: View) -> Iterator[Said]:
    if is_gone(place):
        yield from judge_gone(place, since, view)
        return
    found = list((judge_tracer if place.place == "tracer" else judge)(place, since, view))
    yield from found
    if not any(each.code == CODE_OF[place.place] for each in found):
        yield from judge_kind(place, since, view)


def _let_go(state: _Live, key: ProcessKey) -> None:
    state.resting.pop(key, None)
    process = state.processes.pop(key, None)
    if process is not None:
        for finding in _silence(process, ended=True):
            state.noted.keep(finding)


def _silence(process: LiveProcess, *, ended: bool) -> list[Finding]:
    silence = process.silence(ended=ended)
    return [] if silence is None else [_of(Said(NOT_CHECKABLE, "info", "live code", silence), process.context)]


def _step_of(frame: LiveFrame) -> int:
    """The first Step that was made with what an inventory found: it is taken as an Update begins, but for the last."""
    return max(0, frame.step if frame.at == "exit" else frame.step + 1)


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
