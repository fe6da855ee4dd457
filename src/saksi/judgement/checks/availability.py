"""How the job went on and ended. A job that was stopped is an observation, not a verdict on whoever stopped it.

Severity `warning` is kept for a signal that somebody other than the user of the launcher must have sent; a signal that
the launcher passed on, one that a process raises by its own fault, and one that follows the end of another rank, are
`info`. A rank is told by its own end; the exit of a command that is a rank is not told once more.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from saksi.judgement.checks.fold import observation
from saksi.judgement.items import Item
from saksi.words.findings import Finding, Severity
from saksi.words.records import (
    AttachRecord,
    BlockRecord,
    DetachRecord,
    ExitRecord,
    ProcessRecord,
    SignalRecord,
    StateRecord,
)

__all__ = ["AVAILABILITY", "Availability", "signal_name"]

# Linux on x86-64 and AArch64. Written out, since the reader's system may number them otherwise.
_SIGNALS: Final = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
    24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip
_OWN_FAULT: Final = frozenset({4, 5, 6, 7, 8, 11, 31})
_SIGKILL: Final = 9
_SAID: Final = {"update": "an update", "root": "a binding root", "ckpt": "a model checkpoint"}
_DOING: Final = {"R": "was computing", "S": "was waiting", "D": "was waiting for a disk or a device"}
_FOLLOWS_NS: Final = 60_000_000_000
"""What ends within this time of another rank is taken to be ended by whoever started both."""
_MAX_KEPT: Final = 4_096
_finding = partial(observation, check="availability")


def signal_name(number: int) -> str:
    """`SIGKILL` for 9, wherever the reader's system is."""
    return _SIGNALS.get(number, f"signal {number}")


class _Ends:
    """What was heard of signals, stops and ends. `trained` are the processes of which updates were heard."""

    __slots__ = ("ended", "first_end", "kept", "open", "peers", "reached", "trained")

    def __init__(self) -> None:
        self.reached: dict[int, dict[str, bool]] = {}  # by attempt and signal, whether the launcher passed it on
        self.peers: dict[tuple[int, int], int] = {}
        self.trained: set[tuple[int, int]] = set()
        self.ended: set[tuple[int, int]] = set()
        self.first_end: dict[int, int] = {}
        self.open: dict[tuple[int, int, str], int] = {}  # where in `kept` the finding of a stop or silence stands
        self.kept: list[Finding] = []

    def keep(self, finding: Finding) -> tuple[Finding, ...]:
        """The finding, if there is room for it."""
        if len(self.kept) >= _MAX_KEPT:
            return ()
        self.kept.append(finding)
        return (finding,)


class Availability:
    """Ends, signals, stops and silences of every attempt."""

    name = "availability"

    def start(self) -> _Ends:
        """See `Check.start`."""
        return _Ends()

    def step(self, state: _Ends, item: Item) -> tuple[_Ends, tuple[Finding, ...]]:
        """See `Check.step`."""
        found: tuple[Finding, ...] = ()
        match item.record:
            case SignalRecord() as record:
                reached = state.reached.setdefault(record.attempt, {})
                reached[record.signal] = record.forwarded or reached.get(record.signal, False)
            case AttachRecord() as record:
                state.peers[record.attempt, record.connection] = record.peer.pid
            case BlockRecord() as record if record.updates:
                pid = state.peers.get((record.attempt, record.connection))
                if pid is not None:
                    state.trained.add((record.attempt, pid))
            case DetachRecord() as record:
                state.peers.pop((record.attempt, record.connection), None)
            case ProcessRecord(event="ended") as record if record.attached:
                found = _process(state, item.index, record)
            case StateRecord() as record:
                found = _changed(state, item.index, record)
            case ExitRecord() as record if (record.attempt, record.pid) not in state.ended:
                found = _exit(state, item.index, record)
            case _:
                pass
        return state, found

    def finish(self, state: _Ends, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended  # what has happened is final
        return tuple(state.kept)


def _process(state: _Ends, index: int, record: ProcessRecord) -> tuple[Finding, ...]:
    """A process with a recorder ended. One that never trained may be a worker that its loader ends: no finding."""
    key = (record.attempt, record.pid)
    # The end may stand before the block with its first updates; the agent had heard of those, and says the last one.
    trained = key in state.trained or record.last_step is not None
    if not trained or (record.signal is None and record.code is None):
        return ()
    state.ended.add(key)
    if record.code == 0:
        return ()
    subject = "a process that trained" if record.rank is None else f"rank {record.rank}"
    where = "" if record.last_step is None else f" after step {record.last_step}"
    before = state.first_end.setdefault(record.attempt, record.mono_ns)
    follows = before < record.mono_ns <= before + _FOLLOWS_NS
    told = partial(
        _finding,
        subject=subject,
        steps=(record.last_step, record.last_step),
        ranks=() if record.rank is None else (record.rank,),
        evidence=(index,),
    )
    if record.signal is None:
        message = f"The process ended with code {record.code}{where}; a script that raises or calls exit ends so."
        return state.keep(told(code="availability.failed", severity="info", message=message))
    code, severity, message = _signalled(state, record.attempt, record.signal, f"The process ended{where}")
    if record.signal == _SIGKILL and record.killed_for_memory:
        message = f"The process ended{where} by SIGKILL, as the kernel was short of the memory that its cgroup may use."
    elif follows and code == "availability.killed":
        severity = "info"
        message = (
            f"The process ended{where} by {signal_name(record.signal)}, after another one of the attempt had; "
            "torchrun ends the others so."
        )
    return state.keep(told(code=code, severity=severity, message=message))


def _exit(state: _Ends, index: int, record: ExitRecord) -> tuple[Finding, ...]:
    """The command ended."""
    told = partial(_finding, subject=f"attempt {record.attempt}", evidence=(index,))
    if record.signal is not None:
        code, severity, message = _signalled(state, record.attempt, record.signal, "The job ended")
        return state.keep(told(code=code, severity=severity, message=message))
    if record.code is None or record.code == 0:
        return ()
    message = f"The job ended with code {record.code}; a script that raises or calls exit ends so."
    return state.keep(told(code="availability.failed", severity="info", message=message))


def _signalled(state: _Ends, attempt: int, number: int, ended: str) -> tuple[str, Severity, str]:
    """Code, severity and message of an end by a signal."""
    name = signal_name(number)
    if number in _OWN_FAULT:
        return (
            "availability.failed",
            "info",
            f"{ended} by {name}, which a process usually raises by a fault of its own.",
        )
    passed_on = state.reached.get(attempt, {}).get(name)
    if passed_on is not None:
        how = "and was passed on" if passed_on else "too, as one from a terminal or to a whole group does"
        return (
            "availability.killed",
            "info",
            f"{ended} by {name}, which reached the launcher {how}: somebody stopped it.",
        )
    message = (
        f"{ended} by {name}, which did not come through the launcher; "
        "the kernel short of memory, a scheduler's limit or another process send it."
    )
    return "availability.killed", "warning", message


def _changed(state: _Ends, index: int, record: StateRecord) -> tuple[Finding, ...]:
    """A stop or a silence begins, or one that was told ends: then its finding gets its last step."""
    what = "stopped" if record.event in {"stopped", "continued"} else "silent"
    key = (record.attempt, record.pid, what)
    step = record.last_step
    if record.event in {"continued", "heard"}:
        at = state.open.pop(key, None)
        if at is not None:
            told = state.kept[at]
            evidence = (*told.evidence, index)
            state.kept[at] = msgspec.structs.replace(told, last_step=step, evidence=evidence)
        return ()
    where = "before its first step" if step is None else f"after step {step}"
    severity: Severity = "info"
    if what == "silent":
        message = (
            f"A rank that trains said nothing for a long time {where}{_phase(record)}; evaluation, saving, a slow disk "
            "and waiting for another rank are the usual causes."
        )
    elif record.launcher_stopped:
        message = f"The process was stopped {where}, and the launcher too, as Ctrl-Z does."
    else:
        severity = "warning"
        message = (
            f"The process was stopped {where} and the launcher was not; a scheduler that suspends jobs does that, "
            "and so does anybody of the same account."
        )
    found = state.keep(
        _finding(
            code=f"availability.{what}",
            severity=severity,
            subject=f"rank {record.rank}",
            message=message,
            steps=(step, None),
            ranks=(record.rank,),
            evidence=(index,),
        )
    )
    if found:
        state.open[key] = len(state.kept) - 1
    return found


def _phase(record: StateRecord) -> str:
    """What it had said last, and what its main thread was seen to do."""
    said = "" if record.after is None else f", last heard of {_SAID.get(record.after, 'something else')}"
    doing = _DOING.get(record.process_state or "")
    return said if doing is None else f"{said}, and {doing}"


AVAILABILITY: Final = Availability()
