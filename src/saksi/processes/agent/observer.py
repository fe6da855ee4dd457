"""The job's processes, seen from outside: who is there, who has torch, who never attached.

A process is written down when it attached, when it has torch's libraries mapped, or when it lived longer than
`WORTH_A_RECORD`; compilers and shells that come and go are not. Torch's libraries are mapped before the recorder can
arm itself, so that "has torch and never attached" is said only when the process ends, after `GRACE`, or when the job
ends.

Known weakness: a process that lives and dies between two looks is not seen. A fork without exec of an attached
process counts as its worker: it inherits the recorder, which attaches anew as soon as that child does anything that
is recorded; a child that removes the recorder first is not seen here. A process that attached and then execs another
program counts as attached: its command alone does not tell that from a title that it gave itself.

Where the kernel does not let us look into a process (another account's, without CAP_SYS_PTRACE), whether it has torch
is not known: one that never attached is written down with `torch` null, so that nothing unseen passes in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from saksi.edges.host.procfs import ProcessFacts, descendants_of, has_torch_mapped, maps_are_hidden, read_process
from saksi.words.records import ProcessRecord

__all__ = ["Observer", "Seen"]

WORTH_A_RECORD: Final = 1_000_000_000
GRACE: Final = 30_000_000_000
MAX_RECORDED: Final = 4_096
"""A job may start processes for ever; the log may not grow with it. What is left out is counted."""


class Seen(msgspec.Struct, kw_only=True):
    """What is known of one process; changes as it is watched. Owned by the observer."""

    facts: ProcessFacts
    since_ns: int
    forked: bool
    attached: bool = False
    torch: bool | None = None
    hidden: bool = False
    recorded: bool = False
    announced: bool = False
    left_out: bool = False
    next_look_ns: int = 0
    looks: int = 0


class Observer:
    """Watches the descendants of `root` (the launcher), leaving out `without` (the agent itself)."""

    def __init__(
        self,
        root: int,
        *,
        without: frozenset[int],
        read: Callable[[int], ProcessFacts | None] = read_process,
        descendants: Callable[..., tuple[int, ...]] = descendants_of,
        torch_mapped: Callable[[int], bool | None] = has_torch_mapped,
        hidden: Callable[[int], bool] = maps_are_hidden,
    ) -> None:
        self._roots: dict[int, int] = {}  # with the ticks at which each started: its id may be given to another
        self._without = without
        self._read = read
        self._descendants = descendants
        self._torch_mapped = torch_mapped
        self._hidden = hidden
        self._seen: dict[int, Seen] = {}
        self.left_out = 0  # processes that were worth a record and got none
        self._recorded = 0
        self._launcher = root
        self.follow(root)

    def follow(self, pid: int) -> None:
        """Watch `pid` and its descendants too, also when it is no longer a descendant of the launcher."""
        facts = self._read(pid)
        if facts is not None:
            self._roots[pid] = facts.started_ticks

    def recall(self, records: Iterable[ProcessRecord], now_ns: int) -> None:
        """What the agent before this one wrote down: known processes go on, and those that are gone have ended."""
        for record in records:
            if record.event == "ended":
                self._seen.pop(record.pid, None)
                continue
            facts = ProcessFacts(
                pid=record.pid,
                ppid=record.ppid,
                started_ticks=record.started_ticks,
                state="?",
                executable=record.executable,
                command=(),  # what was written down is redacted
                uid=record.uid,
            )
            self._seen[record.pid] = Seen(
                facts=facts,
                since_ns=now_ns,
                forked=record.forked,
                attached=record.attached,
                torch=record.torch,
                recorded=True,
                announced=bool(record.torch),
            )

    def attached(self, pid: int, now_ns: int) -> Seen | None:
        """A recorder connected from `pid`: what is known of that process."""
        seen = self._seen.get(pid)
        if seen is None:
            facts = self._read(pid)
            if facts is None:
                return None
            seen = self._remember(facts, now_ns)
        seen.attached = True
        seen.torch = True
        return seen

    def look(self, now_ns: int) -> Iterator[tuple[str, Seen]]:
        """One look at the process tree: ("seen" or "ended", process) for each that is to be written down."""
        alive = self._alive()
        for pid, facts in sorted(alive.items()):
            known = self._seen.get(pid)
            if known is not None and known.facts.started_ticks != facts.started_ticks:
                yield from self._end(pid)
                known = None
            seen = known or self._remember(facts, now_ns)
            self._update(seen, facts, now_ns)
            if self._worth_a_record(seen, now_ns) and self._claim(seen):
                yield "seen", seen
        for pid in [pid for pid in self._seen if pid not in alive]:
            yield from self._end(pid)

    def close(self, now_ns: int) -> Iterator[tuple[str, Seen]]:
        """The job is over: the last look, and everything that was still in its grace."""
        yield from self.look(now_ns)
        for seen in self._seen.values():
            if (seen.torch or seen.hidden) and self._claim(seen):
                yield "seen", seen

    def known(self) -> tuple[Seen, ...]:
        """The processes that are watched."""
        return tuple(self._seen.values())

    def state_of(self, pid: int) -> str | None:
        """The state of a process as of the last look; `None` if it is not watched."""
        seen = self._seen.get(pid)
        return None if seen is None else seen.facts.state

    def alive(self) -> frozenset[int]:
        """The processes of the job that exist now, the launcher and the agent left out."""
        return frozenset(self._alive())

    def _alive(self) -> dict[int, ProcessFacts]:
        """Those in the tree, and those seen before that still exist.

        A walk leaves living processes out: the kernel's list of children is not whole while one of them exits
        (proc(5)), an orphan leaves the tree, and a recorder in a container of a daemon was never in it.
        """
        self._roots = {pid: ticks for pid, ticks in self._roots.items() if self._is_still(pid, ticks)}
        found = {pid for pid in self._roots if pid != self._launcher}
        for root in self._roots:
            found.update(self._descendants(root, without=self._without))
        alive: dict[int, ProcessFacts] = {}
        for pid in found | self._seen.keys():
            facts = self._read(pid)
            if facts is None or facts.state in "ZX":
                continue
            if pid in found or facts.started_ticks == self._seen[pid].facts.started_ticks:
                alive[pid] = facts
        return alive

    def _is_still(self, pid: int, started_ticks: int) -> bool:
        facts = self._read(pid)
        return facts is not None and facts.started_ticks == started_ticks

    def _remember(self, facts: ProcessFacts, now_ns: int) -> Seen:
        parent = self._seen.get(facts.ppid)
        forked = parent is not None and (parent.attached or parent.forked) and _same_program(parent.facts, facts)
        seen = Seen(facts=facts, since_ns=now_ns, forked=forked)
        self._seen[facts.pid] = seen
        return seen

    def _update(self, seen: Seen, facts: ProcessFacts, now_ns: int) -> None:
        if seen.facts.command and facts.command and not _same_program(seen.facts, facts):
            seen.forked = False  # it has exec'ed: another program now, with no recorder inherited
            seen.next_look_ns = 0  # what was seen of the one before says nothing about it
        seen.facts = facts if facts.command else seen.facts
        if seen.torch or now_ns < seen.next_look_ns:
            return
        looked = self._torch_mapped(facts.pid)
        seen.hidden = looked is None and not seen.attached and self._hidden(facts.pid)
        seen.torch = None if seen.hidden else looked if looked is not None else seen.torch
        seen.looks += 1
        # Reading maps takes the process's memory lock for a moment: often at first, then rarely.
        seen.next_look_ns = now_ns + (500_000_000 if seen.looks < 20 else 10_000_000_000)  # noqa: PLR2004 - 10 s of looks

    def _worth_a_record(self, seen: Seen, now_ns: int) -> bool:
        if seen.attached:
            return True
        age = now_ns - seen.since_ns
        return age >= GRACE if seen.torch or seen.hidden else age >= WORTH_A_RECORD and seen.torch is False

    def _claim(self, seen: Seen) -> bool:
        """Whether to write this one down now: once without torch, and once more if torch came later."""
        if seen.recorded and (seen.announced or not ((seen.torch or seen.hidden) and not seen.attached)):
            return False
        if self._recorded >= MAX_RECORDED:
            self.left_out += not seen.left_out  # processes, not looks at them
            seen.left_out = True
            return False
        seen.recorded = True
        seen.announced = bool(seen.torch or seen.hidden)
        self._recorded += 1
        return True

    def _end(self, pid: int) -> Iterator[tuple[str, Seen]]:
        seen = self._seen.pop(pid)
        if (seen.torch or seen.hidden) and not seen.attached and self._claim(seen):
            yield "seen", seen
        if seen.recorded:
            yield "ended", seen


def _same_program(one: ProcessFacts, other: ProcessFacts) -> bool:
    return one.executable == other.executable and one.command == other.command
