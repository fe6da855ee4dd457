"""Did a generator come back to a state that it had before.

A generator that draws goes from state to state and does not return within any run: one that is back was seeded again
alike, or had its state put back, and from there on it gives the same numbers as before. Only states at the end of
Updates are known, so a generator that was put back in between, as `fork_rng` does, has not moved.

Known weakness: generators that the recorder does not know, and states further back than are kept.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding, Severity
from saksi.words.frames import CkptFrame, UpdateFrame

__all__ = ["RANDOMNESS", "RandomnessCheck"]

CHECK_NAME: Final = "randomness"
REPEATED: Final = "randomness.state_repeated"
MAX_GENERATORS: Final = 64
"""Of one process that are followed."""
MAX_STATES: Final = 4_096
"""States of one generator that are remembered, as the first eight bytes of their digests."""
MAX_ALL: Final = 1 << 19
"""States of all generators of all processes; beyond, each forgets its oldest for every new one."""
_finding = partial(observation, check=CHECK_NAME)


class _Generator:
    __slots__ = ("last", "seen")

    def __init__(self) -> None:
        self.last = b""
        self.seen: dict[bytes, int] = {}

    def becomes(self, state: bytes, entry: int, room: int) -> int | None:
        """The entry in which it had this state, if it has moved since; `None` if it is new, or the same still."""
        if state == self.last:
            return None
        self.last = state
        most = min(MAX_STATES, len(self.seen) + room)
        before = self.seen.get(state)
        self.seen[state] = entry
        if len(self.seen) > max(1, most):
            del self.seen[next(iter(self.seen))]
        return before


class _Process:
    __slots__ = ("generators", "loads", "size")

    def __init__(self) -> None:
        self.generators: dict[str, _Generator] = {}
        self.loads = 0  # model checkpoints that were loaded since the last Update
        self.size = 0

    def of(self, name: str) -> _Generator | None:
        """The generator of this name; `None` beyond what is followed."""
        generator = self.generators.get(name)
        if generator is None and len(self.generators) < MAX_GENERATORS:
            generator = self.generators[name] = _Generator()
        return generator


class _State:
    __slots__ = ("followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        what = "states of generators are not compared"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what)


class RandomnessCheck:
    """Every generator's state at the end of every Update against those before it in the same process."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, UpdateFrame | CkptFrame):
            if isinstance(said.frame, CkptFrame):
                process.loads += said.frame.action == "loaded"
            elif isinstance(said.frame, UpdateFrame):
                _take(state, process, said, said.frame)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.noted.kept()


def _take(state: _State, process: _Process, said: Spoken, frame: UpdateFrame) -> None:
    room = state.followed.room
    for name, digest in frame.rng.items():
        generator = process.of(name)
        if generator is None:
            continue
        held = len(generator.seen)
        before = generator.becomes(bytes.fromhex(digest[:16]), said.entry, room)
        room -= len(generator.seen) - held
        process.size += len(generator.seen) - held
        if before is not None:
            state.noted.note(_of(name, frame, said, before, loaded=bool(process.loads)))
    process.loads = 0


def _of(name: str, frame: UpdateFrame, said: Spoken, before: int, *, loaded: bool) -> Finding:
    step = frame.update if frame.optimizer == 0 else None
    severity: Severity = "info" if loaded else "warning"
    why = "A model checkpoint was loaded meanwhile." if loaded else (
        "From here on it gives the same numbers as before. A script that seeds at the start of each epoch, or before "
        "each evaluation, looks the same."
    )  # fmt: skip
    return _finding(
        code=REPEATED, severity=severity, subject=name,
        message=f"The generator is back in a state that it had after an earlier update. {why}",
        steps=(step, step), ranks=(said.rank,), evidence=(before, said.entry),
    )  # fmt: skip


RANDOMNESS: Final = RandomnessCheck()
