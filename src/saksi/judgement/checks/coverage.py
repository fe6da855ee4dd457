"""What was not watched. Nothing found must never look like nothing observed.

Everything here is about coverage, not about what the run did: it turns `clean` into `unknown`, never into `affected`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks import missing
from saksi.judgement.checks.deferrals import Deferrals
from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.gaps import MAX_GAPS, Gap
from saksi.judgement.checks.trainee import Heard, Trainee
from saksi.judgement.checks.watched import AttemptFacts, Watched
from saksi.judgement.items import Item, Line
from saksi.words.codec import decode_frame
from saksi.words.errors import MalformedInput
from saksi.words.findings import Coverage, Finding, is_about_coverage
from saksi.words.frames import STEP_HOOKS, DeferredFrame, DetachFrame, HelloFrame, UncoveredFrame, UpdateFrame
from saksi.words.records import (
    AttachRecord,
    AttemptKeyRecord,
    BlockRecord,
    DetachRecord,
    ExitRecord,
    FileRecord,
    GapRecord,
    GpusRecord,
    ProcessRecord,
)

__all__ = ["COVERAGE", "CoverageCheck"]

_finding = partial(observation, check="coverage")
_NOT_CHECKABLE: Final = (
    *("coverage.process_not_checkable", "coverage.uncovered", "ckpt.not_checkable", "witness.recorder_fault"),
)


class _State(Watched):
    """What was watched, and what was said not to be."""

    def __init__(self) -> None:
        super().__init__()
        self.noted = Noted()
        self.gaps: list[Gap] = []
        self.announced: set[str] = set()


class CoverageCheck:
    """Steps, ranks, processes and stretches of time that have no witness."""

    name = "coverage"

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        match record:
            case BlockRecord():
                self._block(state, item, record)
            case AttachRecord():
                _attach(state, item.index, record)
            case DetachRecord():
                _detach(state, item.index, record)
            case ProcessRecord():
                _process(state, item.index, record)
            case GpusRecord():
                state.on_gpu(item.index, record)
            case FileRecord():
                _file(state, item.index, record)
            case GapRecord():
                _gap(state, item.index, record)
            case AttemptKeyRecord():
                _begin(state, item.index, record)
            case ExitRecord():
                _exit(state, item.index, record)
            case _:
                pass
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        return (
            *state.noted.kept(),
            *(each.finding(state) for each in state.gaps),
            *(finding for each in state.trainees for finding in missing.of_trainee(state, each, ended=ended)),
            *missing.processes(state),
            *missing.attempts(state, ended=ended),
            *missing.ranks(state, ended=ended),
        )

    def value(
        self, state: _State, findings: tuple[Finding, ...], *, ended: bool, planned_steps: int | None
    ) -> Coverage:
        """The coverage that a report states; `findings` are those of all checks."""
        about = [each for each in findings if is_about_coverage(each)]
        heard, witnessed = state.steps(ended=ended)
        expected: int | None = heard if planned_steps is None else max(planned_steps, heard)
        if heard == 0 or any(each.code == "coverage.process_unwitnessed" for each in about):
            expected = None
        return Coverage(
            complete=ended and not about and expected is not None and witnessed == expected,
            steps_expected=expected,
            steps_witnessed=witnessed,
            ranks=state.ranks(),
            dropped_records=state.dropped(),
            not_checkable=tuple(
                dict.fromkeys(f"{each.subject}: {each.message}" for each in about if each.code in _NOT_CHECKABLE)
            ),
        )

    def _block(self, state: _State, item: Item, record: BlockRecord) -> None:
        heard = state.open.get((record.attempt, record.connection))
        if heard is None:  # frames without an attach record still count as heard
            heard = state.unannounced(item.index, record.attempt, record.connection, record.rank)
        heard.last_entry = item.index
        if record.updates:
            _updated(state, heard.trainee, record.mono_ns)
        if item.unread is not None:
            state.noted.note(
                _finding(
                    code="coverage.block_absent",
                    subject="blocks",
                    message="Frames that the log commits to are not at hand; an incomplete copy has this.",
                    steps=(heard.trainee.last_step, heard.trainee.last_step),
                    ranks=(heard.rank,),
                    evidence=(item.index,),
                )
            )
        for line in item.lines:
            _line(state, heard, item.index, line)


def _updated(state: _State, trainee: Trainee, now_ns: int) -> None:
    if not state.updated(trainee, now_ns):
        return
    for finding in missing.ranks(state, ended=False):
        if finding.subject not in state.announced:
            state.announced.add(finding.subject)
            state.noted.announce(finding)


def _line(state: _State, heard: Heard, entry: int, line: Line) -> None:
    frame = line.frame
    if frame.lost > heard.lost:
        first = heard.trainee.lost == 0
        heard.lost, heard.lost_entry = frame.lost, entry
        if first:
            state.noted.announce(missing.dropped(heard.trainee))
    if isinstance(frame, UpdateFrame):
        counter = heard.counter(frame.optimizer, entry)
        if counter is not None and not counter.take(frame.update, entry) and len(counter.stretches) == 1:
            for finding in missing.steps(heard.trainee, frame.optimizer):
                state.noted.announce(finding)
        if frame.deferred:
            heard.deferrals = heard.deferrals or Deferrals()
            heard.deferrals.announce(frame)
    elif isinstance(frame, DeferredFrame):
        if heard.deferrals is not None:
            heard.deferrals.arrive(frame)
    elif isinstance(frame, UncoveredFrame) and frame.what != STEP_HOOKS:  # which `witness` tells of
        step = max(frame.step, 0)
        state.noted.note(
            _finding(
                code="coverage.uncovered",
                severity="info",
                subject=frame.what,
                message=f"The recorder knows that it does not see this: {frame.reason}.",
                steps=(step, step),
                ranks=(heard.rank,),
                evidence=(entry,),
            )
        )
    elif isinstance(frame, DetachFrame):
        heard.told = tuple(frame.updates)


def _file(state: _State, entry: int, record: FileRecord) -> None:
    if record.digest is None:
        message = f"The agent could not read a model checkpoint's file: {record.reason or 'no reason given'}."
    elif record.claimed_digest is not None and record.claimed_digest != record.digest:
        message = (
            "The agent found other bytes in a model checkpoint's file than the job said; "
            "a file that is written again soon after has this."
        )
    else:
        return
    step = max(record.step, 0)
    state.noted.note(
        _finding(
            code="ckpt.not_checkable",
            severity="info",
            subject="model checkpoints",
            message=message,
            steps=(step, step),
            ranks=(record.rank,),
            evidence=(entry,),
        )
    )


def _gap(state: _State, entry: int, record: GapRecord) -> None:
    if len(state.gaps) < MAX_GAPS:
        state.gaps.append(Gap(state, entry, record))
        state.noted.announce(state.gaps[-1].finding(state))


def _begin(state: _State, index: int, record: AttemptKeyRecord) -> None:
    last = state.attempts[-1] if state.attempts else None
    if last is None or last.number != record.attempt or last.exited:
        state.attempts.append(AttemptFacts(record.attempt, index))


def _exit(state: _State, entry: int, record: ExitRecord) -> None:
    if record.left_running:
        message = (
            f"{record.left_running} of the job's processes still ran when the record was closed, so what they did "
            "afterwards is not known; services that a script starts and leaves behind end so."
        )
        subject = "processes left running"
        state.noted.note(_finding(code="coverage.gap", subject=subject, message=message, evidence=(entry,)))
    if state.attempts and state.attempts[-1].number == record.attempt:
        state.attempts[-1].exited = True


def _attach(state: _State, index: int, record: AttachRecord) -> None:
    try:
        frame = decode_frame(record.claimed)
    except MalformedInput:
        frame = None
    state.attach(index, record, frame if isinstance(frame, HelloFrame) else None)
    for key in [key for key in state.unwitnessed if key[:2] == (record.attempt, record.peer.pid)]:
        del state.unwitnessed[key]
    for key in [key for key in state.on_gpus if key[:2] == (record.attempt, record.peer.pid)]:
        del state.on_gpus[key]


def _detach(state: _State, index: int, record: DetachRecord) -> None:
    heard = state.open.pop((record.attempt, record.connection), None)
    if heard is None:
        return
    heard.left = record.clean
    if heard.deferrals is not None:
        heard.deferrals.close()
    heard.last_entry = heard.ended = index
    if record.lost > heard.lost:
        heard.lost, heard.lost_entry = record.lost, index
    state.left(heard)


def _process(state: _State, index: int, record: ProcessRecord) -> None:
    state.observe(record)
    key = (record.attempt, record.pid, record.started_ticks)
    if record.attached or record.forked:
        state.unwitnessed.pop(key, None)
    elif record.torch is not False:  # null: the agent may not look, so it is not known
        known = state.unwitnessed.get(key)
        if known is None or (record.torch and known[1].torch is None):
            state.unwitnessed[key] = (index, record)


COVERAGE: Final = CoverageCheck()
