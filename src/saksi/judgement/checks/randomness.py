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
from saksi.judgement.checks.spoken import ProcessKey, Speakers, Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding, Severity
from saksi.words.frames import CkptFrame, DetachFrame, UpdateFrame

__all__ = ["RANDOMNESS", "RandomnessCheck"]

CHECK_NAME: Final = "randomness"
REPEATED: Final = "randomness.state_repeated"
MAX_PROCESSES: Final = 4_096
MAX_GENERATORS: Final = 64
"""Of one process that are followed."""
MAX_STATES: Final = 4_096
"""States of one generator that are remembered, as the first eight bytes of their digests."""
_finding = partial(observation, check=CHECK_NAME)


class _Generator:
    __slots__ = ("last", "seen")

    def __init__(self) -> None:
        self.last = b""
        self.seen: dict[bytes, int] = {}

    def becomes(self, state: bytes, entry: int) -> int | None:
        """The entry in which it had this state, if it has moved since; `None` if it is new, or the same still."""
        if state == self.last:
            return None
        self.last = state
        before = self.seen.get(state)
        self.seen[state] = entry
        if len(self.seen) > MAX_STATES:
            del self.seen[next(iter(self.seen))]
        return before


class _Process:
    __slots__ = ("generators", "loads")

    def __init__(self) -> None:
        self.generators: dict[str, _Generator] = {}
        self.loads = 0  # model checkpoints that were loaded since the last Update


class _State:
    __slots__ = ("noted", "processes", "speakers")

    def __init__(self) -> None:
        self.speakers = Speakers()
        self.processes: dict[ProcessKey, _Process] = {}
        self.noted = Noted()


class RandomnessCheck:
    """Every generator's state at the end of every Update against those before it in the same process."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said in state.speakers.take(item):
            if isinstance(said.frame, DetachFrame):
                state.processes.pop(said.process, None)
            elif isinstance(said.frame, UpdateFrame | CkptFrame):
                self._take(state, said, said.frame)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.noted.kept()

    def _take(self, state: _State, said: Spoken, frame: UpdateFrame | CkptFrame) -> None:
        process = state.processes.get(said.process)
        if process is None:
            if len(state.processes) >= MAX_PROCESSES:
                return
            process = state.processes[said.process] = _Process()
        if isinstance(frame, CkptFrame):
            process.loads += frame.action == "loaded"
            return
        for name, digest in frame.rng.items():
            generator = process.generators.get(name)
            if generator is None:
                if len(process.generators) >= MAX_GENERATORS:
                    continue
                generator = process.generators[name] = _Generator()
            before = generator.becomes(bytes.fromhex(digest[:16]), said.entry)
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
