"""How the job ended. A job that was stopped is an observation, not a verdict on whoever stopped it.

Severity `warning` is kept for a signal that somebody other than the user of the launcher must have sent; a signal that
the launcher passed on, and one that a process raises by its own fault, are `info`.
"""

from __future__ import annotations

from typing import Final

from saksi.judgement.items import Item
from saksi.words.findings import Finding, Severity
from saksi.words.records import ExitRecord, SignalRecord

__all__ = ["AVAILABILITY", "Availability", "signal_name"]

# Linux on x86-64 and AArch64. Written out, since the reader's system may number them otherwise.
_SIGNALS: Final = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
    24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip
_OWN_FAULT: Final = frozenset({4, 5, 6, 7, 8, 11, 31})


def signal_name(number: int) -> str:
    """`SIGKILL` for 9, wherever the reader's system is."""
    return _SIGNALS.get(number, f"signal {number}")


class _Ends:
    """What was heard of signals and exits: small, since attempts are few."""

    __slots__ = ("exits", "forwarded")

    def __init__(self) -> None:
        self.forwarded: dict[int, set[str]] = {}
        self.exits: list[tuple[int, ExitRecord]] = []


class Availability:
    """Exit codes and signals of every attempt."""

    name = "availability"

    def start(self) -> _Ends:
        """See `Check.start`."""
        return _Ends()

    def step(self, state: _Ends, item: Item) -> tuple[_Ends, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, SignalRecord) and record.forwarded:
            state.forwarded.setdefault(record.attempt, set()).add(record.signal)
        elif isinstance(record, ExitRecord):
            state.exits.append((item.index, record))
            return state, self._of(state, item.index, record)
        return state, ()

    def finish(self, state: _Ends, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended  # an exit record is final
        return tuple(finding for index, record in state.exits for finding in self._of(state, index, record))

    def _of(self, state: _Ends, index: int, record: ExitRecord) -> tuple[Finding, ...]:
        if record.signal is not None:
            name = signal_name(record.signal)
            if record.signal in _OWN_FAULT:
                message = f"The job ended by {name}, which a process usually raises by a fault of its own."
                return (self._finding("availability.failed", "info", index, record, message),)
            if name in state.forwarded.get(record.attempt, ()):
                message = f"The job ended by {name}, which reached the launcher and was passed on: somebody stopped it."
                return (self._finding("availability.killed", "info", index, record, message),)
            message = (
                f"The job ended by {name}, which did not come through the launcher; "
                "the kernel short of memory, a scheduler's limit or another process send it."
            )
            return (self._finding("availability.killed", "warning", index, record, message),)
        if record.code is None or record.code == 0:
            return ()
        message = f"The job ended with code {record.code}; a script that raises or calls exit ends so."
        return (self._finding("availability.failed", "info", index, record, message),)

    def _finding(self, code: str, severity: Severity, index: int, record: ExitRecord, message: str) -> Finding:
        return Finding(
            code=code,
            severity=severity,
            first_step=None,
            last_step=None,
            ranks=(),
            subject=f"attempt {record.attempt}",
            check=self.name,
            message=message,
            evidence=(index,),
        )


AVAILABILITY: Final = Availability()
