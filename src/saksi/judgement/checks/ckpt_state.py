"""Does training go on with what the model checkpoint held: the state at a save beside that of the first Update behind.

Rules: a load is joined to the save of the same content, by the same rank among as many, whose file held every
parameter and all of the optimizer's state; the root that was taken at that save is compared with the root as the first
Update behind the load began. Only what the file held can be missing: weights that are taken alone from such a file
into another run, another program or another optimizer are not judged, nor are averages of several files, nor state
that stayed as it was.

Known weaknesses: files that were saved of copies (on another device, gathered from ranks) are not known to be whole;
more than 1,300 tensors have no digest of each in the record; of loads that follow each other soon, within training,
only the first is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.ckpt_roots import Layouts, Root, Unlike, compared
from saksi.judgement.checks.ckpt_uses import Use, Uses, is_before, keep
from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.spoken import ProcessKey, Speakers, Spoken
from saksi.judgement.invocation import is_python_name, read_python_arguments
from saksi.judgement.items import Item
from saksi.words.findings import Finding, Severity
from saksi.words.frames import CkptFrame, Holding, LayoutFrame, OptimizerFrame, RootFrame, UpdateFrame
from saksi.words.records import ProcessRecord

__all__ = ["CKPT_STATES", "CkptStateCheck"]

CHECK_NAME: Final = "ckpt_state"
DIFFERS: Final = "ckpt.state_differs"
MAX_PROCESSES: Final = 4_096
MAX_ROOTS: Final = 512
"""Of saves, the last ones: 30 MB at most."""
MAX_SAVES: Final = 4_096
MAX_LOADS: Final = 64
"""Between two Updates."""
MAX_SEAMS: Final = 1_024
MAX_OPTIMIZERS: Final = 64
MAX_COMMANDS: Final = 16_384
_finding = partial(observation, check=CHECK_NAME)


class _Gap(NamedTuple):
    """Files that were loaded before one Update; `step` is -1 before a process's first, where `early`."""

    step: int
    early: bool
    loads: list[tuple[int, int, int]]


class _Process:
    __slots__ = ("begun", "classes", "gap", "latest")

    def __init__(self) -> None:
        self.begun = False
        self.classes: dict[int, str] = {}
        self.gap: _Gap | None = None
        self.latest: Root | None = None  # of the state that it had last, as far as is known


class _Seam(NamedTuple):
    """A load, and the state with which training went on."""

    process: ProcessKey
    rank: int
    world_size: int
    gap: _Gap
    after: Root
    before: Root | None


class _Source(NamedTuple):
    """What was loaded: by which save it came about, and the state that was saved."""

    save: Use
    load: Use
    root: Root


class _State:
    __slots__ = ("commands", "layouts", "loaded", "noted", "processes", "roots", "saves", "seams", "speakers", "uses")

    def __init__(self) -> None:
        self.speakers = Speakers()
        self.noted = Noted()
        self.uses = Uses()
        self.layouts = Layouts()
        self.processes: dict[ProcessKey, _Process] = {}
        self.roots: dict[tuple[ProcessKey, int], Root] = {}
        self.saves: dict[str, Use] = {}  # of everything that is held, by content: the last one
        self.loaded: dict[tuple[int, int, int], Use] = {}
        self.seams: list[_Seam] = []
        self.commands: dict[tuple[int, int], tuple[str, ...]] = {}


class CkptStateCheck:
    """Every load of a whole file, if training goes on behind it."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, ProcessRecord) and record.command:
            keep(state.commands, (record.attempt, record.pid), tuple(record.command), MAX_COMMANDS)
        said = state.speakers.take(item)
        for each in said:
            _heard(state, each, getattr(record, "connection", 0))
        for use in state.uses.take(item, said):
            _used(state, use)
        if state.seams:
            state.seams = [each for each in state.seams if not _settled(state, each)]
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.noted.kept()


def _heard(state: _State, said: Spoken, connection: int) -> None:
    frame, process = said.frame, state.processes.get(said.process)
    if process is None:
        process = _Process()
        keep(state.processes, said.process, process, MAX_PROCESSES)
    match frame:
        case LayoutFrame():
            state.layouts.take(said.process, frame)
        case OptimizerFrame(ordinal=ordinal) if ordinal < MAX_OPTIMIZERS:
            process.classes[ordinal] = frame.class_name
        case CkptFrame(action="loaded"):
            _loads(process, frame, (said.process.attempt, connection, frame.seq))
        case RootFrame():
            _rooted(state, process, said, Root.of(frame, said.entry))
        case UpdateFrame():
            process.begun = True
        case _:
            pass


def _loads(process: _Process, frame: CkptFrame, key: tuple[int, int, int]) -> None:
    gap, early = process.gap, not process.begun
    if gap is None or gap.early != early or gap.step != frame.step:
        gap = process.gap = _Gap(frame.step, early, [])
    if len(gap.loads) <= MAX_LOADS:
        gap.loads.append(key)


def _rooted(state: _State, process: _Process, said: Spoken, root: Root) -> None:
    gap = process.gap
    if root.at == "ckpt":
        keep(state.roots, (said.process, root.step), root, MAX_ROOTS)
    if root.at in ("ckpt", "load", "step"):
        process.latest = root
    elif gap is not None and len(gap.loads) <= MAX_LOADS and len(state.seams) < MAX_SEAMS:
        latest = process.latest
        before = latest if latest is not None and latest.step == root.step else None
        if (root.at == "attach" and gap.early) or (root.at == "resumed" and not gap.early and gap.step == root.step):
            process.gap = None
            state.seams.append(_Seam(said.process, said.rank, said.hello.world_size, gap, root, before))


def _used(state: _State, use: Use) -> None:
    if use.action == "loaded":
        keep(state.loaded, use.key, use, MAX_SAVES)
    elif use.digest is not None and use.holds is not None:
        keep(state.saves, use.digest, use, MAX_SAVES)


def _is_whole(holds: list[Holding]) -> bool:
    """Whether files of one save held every parameter, and all state that there was."""
    parameters = any(each.parameters == each.of_parameters for each in holds)
    return parameters and any(each.state == each.of_state > 0 for each in holds)


def _settled(state: _State, seam: _Seam) -> bool:
    """Whether everything is known that there is to know of a seam; what is to be told of it is noted."""
    loads = [state.loaded.get(key) for key in seam.gap.loads]
    if None in loads:
        return False
    for each in _judged(state, seam, [load for load in loads if load is not None]):
        state.noted.note(each)
    return True


def _judged(state: _State, seam: _Seam, loads: list[Use]) -> Iterator[Finding]:
    source = _source(state, seam, loads)
    saver = None if source is None else state.processes.get(source.save.process)
    if source is None or saver is None:
        return
    saved, after = state.layouts.kept(source.root), state.layouts.kept(seam.after)
    before = None if seam.before is None else state.layouts.kept(seam.before)
    if saved is None or after is None:
        return
    process = state.processes.get(seam.process, saver)
    if any(process.classes.get(each) != saver.classes.get(each) for each in saved.optimizers):
        return  # another optimizer keeps other state
    unlike = compared(saved, after, before)
    if unlike is not None:
        is_known = seam.gap.early or before is not None
        yield _told(seam, source, unlike, _severity(state, seam, source.save, unlike, is_known=is_known))


def _source(state: _State, seam: _Seam, loads: list[Use]) -> _Source | None:
    """The one save that what is known among the loaded comes from; none if they are several, as of an average."""
    found: dict[tuple[ProcessKey, int], list[tuple[Use, Use]]] = {}
    for load in loads:
        save = state.saves.get(load.digest or "")
        if save is not None and is_before(save, load):
            found.setdefault((save.process, save.step), []).append((save, load))
    if len(found) != 1:
        return None
    ((place, pairs),) = found.items()
    root, (save, load) = state.roots.get(place), pairs[0]
    if root is None or (save.rank, save.world_size) != (seam.rank, seam.world_size):
        return None
    return _Source(save, load, root) if _is_whole([each.holds for each, _ in pairs if each.holds is not None]) else None


def _severity(state: _State, seam: _Seam, save: Use, unlike: Unlike, *, is_known: bool) -> Severity:
    """A warning if it is the optimizer's state that is not as it was, and the same program goes on."""
    if unlike.what != "state" or not is_known:
        return "info"
    if not seam.gap.early:
        return "warning"
    commands = [state.commands.get((each.attempt, each.pid)) for each in (save.process, seam.process)]
    if save.process.attempt == seam.process.attempt:
        return "warning" if commands[0] is not None and commands[0] == commands[1] else "info"
    programs = [_program(each) for each in commands]
    return "info" if None not in programs and programs[0] != programs[1] else "warning"


def _program(command: tuple[str, ...] | None) -> tuple[str, str] | None:
    """The script or module that a Python was told to run."""
    if not command or not is_python_name(command[0]):
        return None
    read = read_python_arguments(command[1:])
    return read.form, read.target


def _told(seam: _Seam, source: _Source, unlike: Unlike, severity: Severity) -> Finding:
    save = source.save
    step = "the state before the first step" if save.step < 0 else f"step {save.step}"
    place = f"{step} of attempt {save.process.attempt}"
    names = ", ".join(unlike.names)
    if unlike.what == "parameters":
        message = (
            f"Training goes on from what was saved after {place}, but for {unlike.other} of {unlike.of} parameters, "
            f"which are others: {names}. Layers that are made anew, pruned or normalised on use look the same."
        )
    else:
        others = "others than were saved" if seam.gap.early else "neither as saved nor as before the load"
        parts = [(unlike.missing, "missing"), (unlike.other, others)]
        counts = " and ".join(f"{number} {'is' if number == 1 else 'are'} {word}" for number, word in parts if number)
        message = (
            f"The parameters are those that were saved after {place}; of {unlike.of} tensors of the optimizer's state "
            f"that the file held {counts}: {names}. A resume that forgets the optimizer's state does this, and a "
            "program that begins it anew on purpose."
        )
    first, entries = seam.after.step + 1, {source.root.entry, source.load.entry, seam.after.entry}
    return _finding(
        code=DIFFERS, severity=severity, subject=source.load.path or "a file object", message=message,
        steps=(first, first), ranks=(seam.rank,), evidence=tuple(sorted(entries)),
    )  # fmt: skip


CKPT_STATES: Final = CkptStateCheck()
