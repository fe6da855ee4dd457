"""Do recorders answer when they are asked, and with the number they were asked with.

A question counts as unanswered once Updates came that were made after it and the answer did not come before them: the
recorder looks for questions where an Update begins, and what it says keeps its order. Frames that were dropped may have
held the answer; those are said elsewhere. A question that is open as its connection ends is asked anew on the next one
of the process: a process that leaves several in a row that way does not answer either.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import FaultFrame, Frame, HelloFrame, LiveFrame, UpdateFrame
from saksi.words.records import AttachRecord, BlockRecord, ChallengeRecord, DetachRecord

__all__ = ["CHALLENGES", "FAULTS", "ChallengeCheck"]

FAULTS: Final = frozenset({"live", "install.live_code"})
"""Parts of the recorder without which it takes no inventory: it has said so, and `live_code` says what follows."""
_finding = partial(observation, check="challenges")
UPDATES: Final = 3
"""Updates made after a question: the one that was under way does not count, nor the one in which it is found."""
AFTER_NS: Final = 2_000_000_000
LATEST_NS: Final = 60_000_000_000
"""By the agent's own clock, whatever the job says when its frames were made."""
LEFT: Final = 3
"""Questions in a row that a process leaves by connecting anew: a connection may break, but not with each of them."""
MAX_OPEN: Final = 64
MAX_PROCESSES: Final = 16_384
"""Whose connections are counted together; the oldest are forgotten first."""
MAX_NONCES: Final = 4_096
"""Remembered for one connection; the oldest go first."""


class _Question:
    __slots__ = ("asked_ns", "entry", "first_step", "lost", "updates")

    def __init__(self, entry: int, asked_ns: int, lost: int) -> None:
        self.entry = entry
        self.asked_ns = asked_ns
        self.lost = lost
        self.updates = 0
        self.first_step: int | None = None


class _Asked:
    __slots__ = ("failed", "lost", "nonces", "open", "ordinal", "process", "rank", "unknown")

    def __init__(self, process: _Process | None = None) -> None:
        self.process = process  # `None` where its id is not known
        self.ordinal = 0 if process is None else process.attached
        self.nonces: dict[str, None] = {}
        self.open: dict[str, _Question] = {}
        self.lost = 0
        self.unknown: list[tuple[str, int, int, int]] = []  # answers whose question is not in the log yet
        self.rank = 0
        self.failed = False  # the recorder said that this part of it is off, which is a finding of its own


class _Process:
    """A process with its connections one after another, and the questions that it left open with them."""

    __slots__ = ("attached", "hello_lost", "left", "open")

    def __init__(self) -> None:
        self.attached = 0
        self.hello_lost = 0  # what was lost as its last connection began
        self.open: _Question | None = None  # of its last connection, which has ended
        self.left: list[_Question] = []  # in a row


class _State:
    __slots__ = ("asked", "noted", "processes")

    def __init__(self) -> None:
        self.asked: dict[tuple[int, int], _Asked] = {}
        self.processes: dict[tuple[int, int], _Process] = {}  # by attempt, and process id as the kernel says
        self.noted = Noted()


class ChallengeCheck:
    """Questions and answers of every connection."""

    name = "challenges"

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, AttachRecord):
            self._end(state, (record.attempt, record.connection))
            self._begin(state, record)
        elif isinstance(record, DetachRecord):
            self._detach(state, record)
        elif isinstance(record, ChallengeRecord):
            asked = state.asked.setdefault((record.attempt, record.connection), _Asked())
            asked.nonces[record.nonce] = None
            asked.rank = record.rank
            if len(asked.nonces) > MAX_NONCES:
                del asked.nonces[next(iter(asked.nonces))]
            answered = any(nonce == record.nonce for nonce, *_ in asked.unknown)
            if len(asked.open) < MAX_OPEN and not asked.failed and not answered:
                asked.open[record.nonce] = _Question(item.index, record.mono_ns, asked.lost)
        elif isinstance(record, BlockRecord):
            asked = state.asked.setdefault((record.attempt, record.connection), _Asked())
            asked.rank = record.rank
            for line in item.lines:
                self._frame(state, asked, line.frame, line.received_ns, item.index)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        found = list(state.noted.kept())
        for asked in state.asked.values() if ended else ():
            found += [
                _wrong(asked.rank, step, entry) for nonce, step, entry, _ in asked.unknown if nonce not in asked.nonces
            ]
        return tuple(found)

    def _frame(self, state: _State, asked: _Asked, frame: Frame, received_ns: int, entry: int) -> None:
        asked.lost = frame.lost
        if isinstance(frame, HelloFrame):
            self._greet(state, asked, frame)
        elif isinstance(frame, LiveFrame):
            if frame.nonce is None:
                return
            asked.open.pop(frame.nonce, None)
            if asked.process is not None and frame.nonce in asked.nonces:
                asked.process.left.clear()
            if frame.nonce not in asked.nonces and len(asked.unknown) < MAX_OPEN:
                asked.unknown.append((frame.nonce, frame.step, entry, received_ns))
        elif isinstance(frame, FaultFrame) and frame.where in FAULTS:
            asked.failed = True
            asked.open.clear()
        elif isinstance(frame, UpdateFrame):
            step = frame.update if frame.optimizer == 0 else None
            for nonce, question in list(asked.open.items()):
                made_ns = max(frame.mono_ns, received_ns - LATEST_NS)
                if made_ns <= question.asked_ns:
                    continue
                question.updates += 1
                question.first_step = step if question.first_step is None else question.first_step
                if frame.lost != question.lost:
                    del asked.open[nonce]  # the answer may be among what was dropped
                elif question.updates >= UPDATES and made_ns - question.asked_ns >= AFTER_NS:
                    del asked.open[nonce]
                    state.noted.note(_unanswered(asked.rank, question))

    # -- connections that come and go

    def _begin(self, state: _State, record: AttachRecord) -> None:
        process = None
        if record.peer.pid:  # 0 is that of every process whose pid namespace is not seen
            key = record.attempt, record.peer.pid
            process = state.processes.setdefault(key, _Process())
            process.attached += 1
            if len(state.processes) > MAX_PROCESSES:
                del state.processes[next(iter(state.processes))]
        state.asked[record.attempt, record.connection] = _Asked(process)

    def _greet(self, state: _State, asked: _Asked, hello: HelloFrame) -> None:
        """A process connected anew: what its last connection left open is left for good."""
        process = asked.process
        if process is None:
            return
        process.hello_lost = hello.lost
        question, process.open = process.open, None
        if question is not None:
            self._leave(state, asked.rank, process, question)

    def _detach(self, state: _State, record: DetachRecord) -> None:
        asked = self._end(state, (record.attempt, record.connection))
        if asked is None or asked.process is None or not asked.open or record.lost != asked.lost:
            return  # a goodbye makes no difference: a process that connects anew had not ended
        question = next(iter(asked.open.values()))
        if asked.process.attached > asked.ordinal:
            self._leave(state, record.rank, asked.process, question)
        else:
            asked.process.open = question

    def _leave(self, state: _State, rank: int, process: _Process, question: _Question) -> None:
        if process.hello_lost != question.lost:
            return  # the answer may be among what was not delivered
        process.left.append(question)
        if len(process.left) == LEFT:
            state.noted.note(_left_open(rank, process.left))
            process.left.clear()

    def _end(self, state: _State, key: tuple[int, int]) -> _Asked | None:
        asked = state.asked.pop(key, None)
        for nonce, step, entry, _ in asked.unknown if asked is not None else ():
            if asked is not None and nonce not in asked.nonces:
                state.noted.note(_wrong(asked.rank, step, entry))
        return asked


def _unanswered(rank: int, question: _Question) -> Finding:
    message = (
        "The recorder was asked for an inventory of the code that it executes, and updates went on without an answer. "
        "A recorder that failed in that part says so; one that was changed may not."
    )
    return _finding(
        code="witness.challenge_unanswered",
        subject=f"rank {rank}",
        message=message,
        steps=(question.first_step, question.first_step),
        ranks=(rank,),
        evidence=(question.entry,),
    )


def _left_open(rank: int, left: list[_Question]) -> Finding:
    message = (
        f"The recorder was asked {LEFT} times in a row for an inventory of the code that it executes, and connected "
        "anew each time instead of answering. A program that closes all descriptors does so once and not always."
    )
    return _finding(
        code="witness.challenge_unanswered",
        subject=f"rank {rank}",
        message=message,
        steps=(left[0].first_step, left[-1].first_step),
        ranks=(rank,),
        evidence=tuple(each.entry for each in left),
    )


def _wrong(rank: int, step: int, entry: int) -> Finding:
    return _finding(
        code="witness.challenge_unanswered",
        subject=f"rank {rank}",
        message="An inventory answers a question that the agent did not ask.",
        steps=(step, step),
        ranks=(rank,),
        evidence=(entry,),
    )


CHALLENGES: Final = ChallengeCheck()
