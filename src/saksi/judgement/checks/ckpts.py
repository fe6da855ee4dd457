"""Is what is loaded what was saved: the bytes of model checkpoints from save to load, and which of them goes on.

Rules: what a load reads, or failed to, is looked for among everything that this run saved, wherever it was saved: a
file may be renamed, copied and linked. Only where the file at its own path was saved with another content, and no save
in the record made this one, is something said (`content_differs`); and where the content is an older one of this run
(`rolled_back`). A load waits a minute for saves that stand later in the log. What was saved without being recorded
(records were lost, a process ended while it wrote) is the first explanation, and then it is told as `info`.

Known weaknesses: a file that nobody saved under this name is not judged; nor is one whose saved content nobody read,
if it still is the same file in the same state. A process that was not watched may have saved anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Final

from saksi.judgement.checks.ckpt_saves import Saves, follows
from saksi.judgement.checks.ckpt_uses import SKEW_NS, Use, Uses, is_before
from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.spoken import ProcessKey, Speakers, Spoken
from saksi.judgement.items import Item
from saksi.words.digest import short_digest
from saksi.words.findings import Finding, Severity
from saksi.words.frames import DetachFrame, FaultFrame, UncoveredFrame, UpdateFrame
from saksi.words.records import AttachRecord, DetachRecord, GapRecord

__all__ = ["CKPTS", "CkptCheck"]

CHECK_NAME: Final = "ckpts"
DIFFERS: Final = "ckpt.content_differs"
ROLLED_BACK: Final = "ckpt.rolled_back"
RIPE_NS: Final = 60_000_000_000
"""After which no save from before a load is expected in the log any more: blocks are written every ten seconds."""
MAX_LOADS: Final = 4_096
"""That are looked at; the same content that a process loads again from the same file is one of them."""
MAX_EARLY: Final = 64
"""Loads of one process before its first Update that are kept."""
MAX_PROCESSES: Final = 16_384
MAX_VANISHED: Final = 256
_finding = partial(observation, check=CHECK_NAME)


class _Process:
    __slots__ = ("begun", "early", "ended", "last_ns", "left", "updated_ns")

    def __init__(self) -> None:
        self.begun: int | None = None  # the counter of its first Update
        self.early: list[tuple[Use, Use, Use]] | None = []  # loads before that: what was loaded, its save, the newest
        self.last_ns = 0  # when it spoke last
        self.updated_ns = 0  # when it made its last Update
        self.left = False  # whether it said goodbye
        self.ended = False


class _State:
    __slots__ = ("contested", "first_attempt", "incomplete", "late", "loads", "noted", "processes", "read", "saves",
                 "seen", "speakers", "uses", "vanished")  # fmt: skip

    def __init__(self) -> None:
        self.speakers = Speakers()
        self.noted = Noted()
        self.uses = Uses()
        self.saves = Saves()
        self.contested: set[tuple[int, int, int]] = set()  # loads of files that another process saved just then
        self.loads: deque[Use] = deque()  # that may have to be told of
        self.late: list[Use] = []  # of those, that weigh as much as what follows them
        self.seen: set[tuple[object, ...]] = set()
        self.read: set[tuple[object, ...]] = set()  # what was loaded, of that
        self.processes: dict[ProcessKey, _Process] = {}
        self.vanished: deque[tuple[int, int]] = deque(maxlen=MAX_VANISHED)  # last word and end of who said no goodbye
        self.incomplete = False  # records were lost: there may have been saves that nobody heard of
        self.first_attempt: int | None = None


class CkptCheck:
    """Every load against every save of the run."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        if state.first_attempt is None:
            state.first_attempt = item.record.attempt
        said = state.speakers.take(item)
        for each in said:
            _heard(state, each)
        _closed(state, item)
        state.incomplete = state.incomplete or isinstance(item.record, GapRecord)
        for use in state.uses.take(item, said):
            (_saved if use.action == "saved" else _loaded)(state, use)
        while state.loads and item.record.wall_ns >= state.loads[0].wall_ns + RIPE_NS:
            _ripen(state, state.loads.popleft())
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        waiting = (*state.late, *state.loads) if ended else ()
        return (*state.noted.kept(), *(each for load in waiting for each in _judged(state, load)), *_resumes(state))


def _heard(state: _State, said: Spoken) -> None:
    frame, process = said.frame, state.processes.get(said.process)
    unsaid = isinstance(frame, FaultFrame) or (isinstance(frame, UncoveredFrame) and "model checkpoints" in frame.what)
    if unsaid or frame.lost or said.hello.switched_off or state.uses.lost or state.saves.full:
        state.incomplete = True
    if process is None:
        if len(state.processes) >= MAX_PROCESSES:
            return
        process = state.processes[said.process] = _Process()
    process.last_ns = frame.wall_ns
    if isinstance(frame, UpdateFrame):
        process.updated_ns = frame.wall_ns
        process.begun = frame.update if process.begun is None else process.begun
    elif isinstance(frame, DetachFrame):
        process.left = True


def _closed(state: _State, item: Item) -> None:
    if isinstance(item.record, AttachRecord | DetachRecord) and state.speakers.closed is not None:
        process = state.processes.get(state.speakers.closed)
        if process is not None:
            process.ended = True
            if not process.left:
                state.vanished.append((process.last_ns, item.record.wall_ns))


def _saved(state: _State, save: Use) -> None:
    state.saves.note(save)
    for load in reversed(state.loads):
        if load.wall_ns < save.wall_ns - SKEW_NS:
            break
        if follows(save, load):
            state.contested.add(load.key)


def _loaded(state: _State, load: Use) -> None:
    process = state.processes.get(load.process)
    found = state.saves.of_content(load)
    if load.digest is None or process is None:
        return
    if found and load.action == "loaded" and process.begun is None and process.early is not None:
        _early(state, process, load, found)
    last = state.saves.at_path(load)
    if last is None:
        return
    what = (load.process, load.path, load.digest, last.key, load.action)
    if what not in state.seen and len(state.seen) < MAX_LOADS:
        state.seen.add(what)
        state.loads.append(load)
        if state.saves.is_followed(load):
            state.contested.add(load.key)
        if load.action == "loaded":
            state.read.add(what[:3])


def _early(state: _State, process: _Process, load: Use, found: list[Use]) -> None:
    """A load of something known, by a process that made no Update yet."""
    others = [each for each in state.saves.newest(load) if _has_ended(state, each.process)]
    if not others or process.early is None:
        return
    process.early.append((load, max(found, key=_by_position), max(others, key=_by_position)))
    if len(process.early) > MAX_EARLY:
        process.early = None


def _has_ended(state: _State, process: ProcessKey) -> bool:
    found = state.processes.get(process)
    return found is not None and found.ended


def _by_position(save: Use) -> tuple[int, int]:
    return save.position


def _ripen(state: _State, load: Use) -> None:
    """What a load is, now that every save before it was heard of."""
    found = tuple(_judged(state, load))
    if any(each.code == ROLLED_BACK and each.severity == "info" for each in found):
        state.late.append(load)
        return
    for each in found:
        state.noted.note(each)


def _judged(state: _State, load: Use) -> Iterator[Finding]:
    last = state.saves.at_path(load)
    if last is None or last.digest == load.digest or _was_tried_again(state, load):
        return
    known = state.saves.of_content(load)
    if known:
        yield from _older(state, load, max(known, key=_by_position), last)
    elif last.digest is not None:
        doubt = _doubt(state, load, last)
        text = f"other bytes ({short_digest(load.digest)}) than were saved at this path after step {last.step} "
        text += f"({short_digest(last.digest)}), and no save in the record made them"
        text += "; it could not be loaded" if load.action == "unread" else ""
        yield _told(DIFFERS, load, last, "info" if doubt else "warning", f"It holds {text}. {doubt or _INNOCENT}")
    elif last.file is not None and load.file is not None and last.file != load.file:
        text = f"what was saved at this path after step {last.step} was not read, and the file was written to since"
        yield _told(DIFFERS, load, last, "info", f"It may hold other bytes than were saved: {text}. {_INNOCENT}")


_INNOCENT: Final = (
    "A program that converts or cleans model checkpoints, a copy from elsewhere and a process that was not watched "
    "look the same."
)


def _was_tried_again(state: _State, load: Use) -> bool:
    """Whether what could not be loaded was, another way: programs try `weights_only` first."""
    return load.action == "unread" and (load.process, load.path, load.digest) in state.read


def _doubt(state: _State, load: Use, last: Use) -> str | None:
    """Why what was loaded may have been saved by this run all the same."""
    if load.file is None or last.file is None or load.file[0] != last.file[0]:
        return "It was saved to a stream, or is on another disk than what was saved: it may be another file."
    if state.saves.is_shared(last):
        return "Several processes saved at this path at the same step."
    if state.incomplete:
        return "Records are missing, or a save raised: it may have been saved without being heard of."
    other = state.processes.get(last.process) if load.process != last.process else None
    went_on = load.action == "unread" and other is not None and other.last_ns >= load.wall_ns
    if went_on or load.key in state.contested:
        return "Another process saved there and went on: it may have been writing the file just then."
    if state.first_attempt:
        return "Earlier attempts are not in what was judged here."
    if any(heard <= load.file[3] <= ended for heard, ended in state.vanished):
        return "It was written as a process of this run ended without a goodbye, which may have saved it."
    return None


def _older(state: _State, load: Use, found: Use, last: Use) -> Iterator[Finding]:
    """What was loaded is known: whether it is older than what was last saved where it lies."""
    one = found.process == last.process
    if not (is_before(found, last) if one else found.position < last.position):
        return
    process = state.processes.get(load.process)
    goes_on = process is not None and process.updated_ns > load.wall_ns
    same_disk = load.file is not None and last.file is not None and load.file[0] == last.file[0]
    severity: Severity = "warning" if goes_on and same_disk and not state.saves.is_shared(last) else "info"
    text = f"It holds what was saved after {_place(found)}, and {_place(last)} was saved at this path later"
    what = "training went on from it" if goes_on else "no update followed"
    if load.action == "unread":
        severity, what = "info", "it could not be loaded"
    yield _told(
        ROLLED_BACK, load, last, severity, f"{text}; {what}. An older file that was put back by hand looks the same."
    )


def _resumes(state: _State) -> Iterator[Finding]:
    """Processes that went on from something else than the newest that had been saved before they began."""
    for process in state.processes.values():
        if process.begun is None or not process.early:
            continue
        load, found, newest = max(process.early, key=lambda each: each[1].position)
        if found.position < newest.position:
            text = f"It goes on from {_place(found)}, and {_place(newest)} was saved later, at {newest.path}."
            yield _told(ROLLED_BACK, load, newest, "info", f"{text} People go back on purpose.", step=process.begun)


def _place(save: Use) -> str:
    step = "the state before the first step" if save.step < 0 else f"step {save.step}"
    return f"{step} of attempt {save.process.attempt}"


def _told(code: str, load: Use, save: Use, severity: Severity, message: str, *, step: int | None = None) -> Finding:
    at = load.step + 1 if step is None else step  # the first Step that works with it
    return _finding(
        code=code, severity=severity, subject=load.path or "a file object", message=message, steps=(at, at),
        ranks=(load.rank,), evidence=tuple(sorted({save.entry, load.entry})),
    )  # fmt: skip


CKPTS: Final = CkptCheck()
