"""The witness itself: do the frames of each connection follow one another, and what was refused.

Every frame names its number, the bytes of the one before it and how many were dropped. A number that is missing and
not dropped, or other bytes before it, means that the record is not what the recorder sent. Frames that the agent
refused are recorded as refused; the numbers they used up are not held against the chain.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Final

import msgspec

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.items import Item, Line
from saksi.words.findings import Finding
from saksi.words.frames import STEP_HOOKS, FaultFrame, UncoveredFrame, UpdateFrame
from saksi.words.records import AttachRecord, BlockRecord, DetachRecord, RefusedRecord

__all__ = ["CHAINS", "ChainCheck"]

_MAX_BREAKS: Final = 256
"""Breaks kept for one connection; more of them say nothing new."""
_finding = partial(observation, check="witness")
_MAX_BROKEN: Final = 1_024
"""Connections with breaks that are kept, and ..."""
_MAX_KEPT: Final = 8_192
"""... breaks of all of them together."""
_UNKNOWN_ACCOUNT: Final = "an unknown account"
_FIRST_PREV: Final = "0" * 64


class _Break(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a chain does not hold. `skipped` numbers are missing there, if that is all that is wrong."""

    entry: int
    rank: int
    step: int | None
    skipped: int
    what: str


class _Chain:
    """One connection's chain. `prev` and `lost` are `None` after a block that could not be read."""

    __slots__ = ("begun", "breaks", "lost", "prev", "refused", "seq", "step")

    def __init__(self) -> None:
        self.begun = False
        self.seq = -1
        self.prev: str | None = _FIRST_PREV
        self.lost: int | None = 0
        self.step: int | None = None
        self.refused = 0
        self.breaks: list[_Break] = []


class _Heard:
    __slots__ = ("chains", "done", "kept", "noted", "uids")

    def __init__(self) -> None:
        self.chains: dict[tuple[int, int], _Chain] = {}
        self.done: list[_Chain] = []
        self.kept = 0
        self.uids: set[int] = set()
        self.noted = Noted()


class ChainCheck:
    """Sequence, predecessor and drop counter of every frame; refusals; the recorder's own faults."""

    name = "witness"

    def start(self) -> _Heard:
        """See `Check.start`."""
        return _Heard()

    def step(self, state: _Heard, item: Item) -> tuple[_Heard, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, BlockRecord):
            self._block(state, item, record)
        elif isinstance(record, AttachRecord):
            state.uids.add(record.peer.uid)
            _close(state, record.attempt, record.connection)  # a new agent counts connections from 0 again
        elif isinstance(record, DetachRecord):
            _close(state, record.attempt, record.connection)
        elif isinstance(record, RefusedRecord):
            _refused(state, item.index, record)
        return state, state.noted.news()

    def finish(self, state: _Heard, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        found = [
            _with_account(state, each) if each.code == "witness.peer_refused" else each for each in state.noted.kept()
        ]
        for chain in (*state.done, *state.chains.values()):
            found += [_broken(each) for each in _unexplained(chain)]
        return tuple(found)

    def _block(self, state: _Heard, item: Item, record: BlockRecord) -> None:
        chain = state.chains.setdefault((record.attempt, record.connection), _Chain())
        if item.unread is not None:
            if item.unread != "absent":
                message = (
                    "Frames in the record are not the ones that the log commits to; "
                    "a damaged disk does that, and so does a later edit."
                )
                state.noted.note(
                    _finding(
                        code="witness.block_differs",
                        severity="critical",
                        subject="blocks",
                        message=message,
                        ranks=(record.rank,),
                        evidence=(item.index,),
                    )
                )
            chain.begun = True
            chain.seq, chain.prev, chain.lost = max(chain.seq, record.last_seq), None, None
            return
        if item.lines and (len(item.lines), item.lines[0].frame.seq, item.lines[-1].frame.seq) != (
            record.frames,
            record.first_seq,
            record.last_seq,
        ):
            self._break(state, chain, item, record, skipped=0, what="a block is not as its record describes it")
        for line in item.lines:
            self._line(state, chain, item, record, line)

    def _line(self, state: _Heard, chain: _Chain, item: Item, record: BlockRecord, line: Line) -> None:
        frame = line.frame
        if not chain.begun:  # `lost` goes on from the process's earlier connections, `seq` does not
            chain.begun, chain.lost = True, max(0, frame.lost - frame.seq)
        dropped = 0 if chain.lost is None else frame.lost - chain.lost
        skipped = frame.seq - chain.seq - 1 - dropped
        if dropped < 0 or frame.seq <= chain.seq or (skipped < 0 and chain.lost is not None):
            self._break(state, chain, item, record, skipped=0, what="frames go back in their own count")
        elif skipped > 0 and chain.lost is not None:
            self._break(state, chain, item, record, skipped=skipped, what="frames are missing that were not dropped")
        elif chain.prev is not None and frame.prev != chain.prev:
            self._break(state, chain, item, record, skipped=0, what="a frame names other bytes before it")
        chain.seq, chain.lost = frame.seq, frame.lost
        chain.prev = hashlib.sha256(line.raw).hexdigest()
        if isinstance(frame, UpdateFrame):
            if frame.optimizer == 0:
                chain.step = frame.update
        elif isinstance(frame, UncoveredFrame) and frame.what == STEP_HOOKS:
            state.noted.note(_cleared(item.index, record.rank, frame))
        elif isinstance(frame, FaultFrame):
            message = (
                f"The recorder failed in {frame.where} and went on without that part ({frame.error}); "
                "a framework it does not know yet is the usual cause."
            )
            state.noted.note(
                _finding(
                    code="witness.recorder_fault",
                    severity="info",
                    subject=frame.where,
                    message=message,
                    steps=(chain.step, chain.step),
                    ranks=(record.rank,),
                    evidence=(item.index,),
                )
            )

    def _break(self, state: _Heard, chain: _Chain, item: Item, record: BlockRecord, *, skipped: int, what: str) -> None:
        broken = _Break(entry=item.index, rank=record.rank, step=chain.step, skipped=skipped, what=what)
        if len(chain.breaks) < (_MAX_BREAKS if state.kept < _MAX_KEPT else 1):
            chain.breaks.append(broken)
            state.kept += 1
        if len(chain.breaks) == 1 and not skipped:  # missing numbers may yet be explained by a refusal
            state.noted.announce(_broken(broken))


def _close(state: _Heard, attempt: int, connection: int) -> None:
    """A connection ended. Of those that held nothing is kept: there may be many."""
    chain = state.chains.pop((attempt, connection), None)
    if chain is not None and chain.breaks and len(state.done) < _MAX_BROKEN:
        state.done.append(chain)


def _broken(broken: _Break) -> Finding:
    return _finding(
        code="witness.chain_broken",
        severity="critical",
        subject="frames",
        message=f"The frames of a connection do not follow one another: {broken.what}. "
        "A recorder of another version is an innocent cause; a process that speaks in its place is another.",
        steps=(broken.step, broken.step),
        ranks=(broken.rank,),
        evidence=(broken.entry,),
    )


def _cleared(entry: int, rank: int, frame: UncoveredFrame) -> Finding:
    return _finding(
        code="witness.hooks_cleared",
        subject="step hooks",
        message="The hooks by which the recorder hears of updates were taken out of torch's tables; it put them back "
        "as the next backward pass began. Updates that were made in between are not in the record. A program that "
        "clears these tables to be rid of hooks of its own does this.",
        steps=(frame.step + 1, frame.step + 1),
        ranks=(rank,),
        evidence=(entry,),
    )


def _refused(state: _Heard, index: int, record: RefusedRecord) -> None:
    if record.connection is None:
        subject = _UNKNOWN_ACCOUNT if record.peer is None else f"account {record.peer.uid}"
        message = f"A process of {subject} tried to attach and was refused: {record.reason}."
        code = "witness.peer_refused"
        state.noted.note(_finding(code=code, severity="info", subject=subject, message=message, evidence=(index,)))
        return
    chain = state.chains.setdefault((record.attempt, record.connection), _Chain())
    chain.refused += record.count
    state.noted.note(
        _finding(
            code="witness.frame_refused",
            subject="frames",
            message=f"Frames were refused: {record.reason}. "
            "A recorder of another version and a value that it did not expect are the usual causes.",
            steps=(chain.step, chain.step),
            ranks=() if record.rank is None else (record.rank,),
            evidence=(index,),
        )
    )


def _with_account(state: _Heard, finding: Finding) -> Finding:
    """Anybody may knock, so it says nothing against the run: whoever is refused has said nothing that is recorded."""
    if finding.subject == _UNKNOWN_ACCOUNT:
        return finding
    if finding.subject in {f"account {uid}" for uid in state.uids}:
        message = f"{finding.message} It is the job's own account: an environment left over from another launch."
        return msgspec.structs.replace(finding, message=message)
    message = f"{finding.message} It is not the job's account; a shared folder of sockets is an innocent cause."
    return msgspec.structs.replace(finding, message=message)


def _unexplained(chain: _Chain) -> list[_Break]:
    """The breaks that refused frames do not explain."""
    skipped = sum(each.skipped for each in chain.breaks)
    if skipped <= chain.refused:
        return [each for each in chain.breaks if not each.skipped]
    return chain.breaks


CHAINS: Final = ChainCheck()
