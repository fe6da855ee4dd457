"""The doctor's launches: from the start, again until it is killed, what resumes it, and one with other threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from saksi.doors.cli.progress import counter
from saksi.doors.cli.reading import items_of
from saksi.edges.home import resolve_home
from saksi.edges.host.ending_signals import EndingSignals
from saksi.judgement.doctor.judge import Launches, doctor_of, save_to_resume
from saksi.judgement.doctor.launched import Launch, read_launch
from saksi.judgement.doctor.values import Doctor
from saksi.judgement.replay.resume import Resume
from saksi.processes.auditor.replaying import scratch_folder
from saksi.processes.auditor.sitting import Launched, Place, Sitting, sit
from saksi.words.errors import SaksiError

__all__ = ["MAX_STEPS", "WAITED", "DoctorAsked", "examined"]

MAX_STEPS: Final = 1000
WAITED: Final = 100
"""Steps within which a first model checkpoint has to be saved."""
_OF_STEPS: Final = 25
"""So many times the number of steps that was asked for, where that is more."""
_MOST: Final = 4000
"""Of which a reader keeps every one."""
_LAUNCHES: Final = 4
_NOT_STARTED: Final = (125, 126, 127)


class DoctorAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be looked at. `resume` is how the command goes on from a model checkpoint, if not by itself."""

    command: tuple[str, ...]
    folder: Path
    steps: int
    resume: Resume | None
    limit_s: float
    threads: int | None
    with_threads: bool


def examined(asked: DoctorAsked) -> Doctor:
    """Makes the launches and judges them. Raises `SaksiError`, `OSError`."""
    written = tuple(_written(asked.command[1:], asked.folder))
    with EndingSignals() as signals, scratch_folder((asked.folder.resolve(), *written)) as scratch:
        (scratch / "cache").mkdir(mode=0o700)
        place = Place(
            folder=asked.folder,
            environment=os.environ,
            written=written,
            hidden=(resolve_home(os.environ).root,),
            cache=scratch / "cache",
        )
        with counter(_LAUNCHES, "launching", shown=True) as said:
            return _Examination(asked, place, scratch, signals, said).doctor()


class _Examination(NamedTuple):
    """One examination: what is asked, and where its launches run."""

    asked: DoctorAsked
    place: Place
    scratch: Path
    signals: EndingSignals
    said: Callable[[int], None]

    def doctor(self) -> Doctor:
        """Launch after launch, each as the one before says; its record is read before its folder is gone."""
        asked = self.asked
        first = self._first()
        launches = Launches(asked.command, (), first)
        if not first.courses:
            return doctor_of(launches._replace(reasons=(f"no training step was made: {first.ending}",)))
        with self._sitting("again") as sitting:
            launches = self._again(sitting, launches)
        found = doctor_of(launches)
        if found.verdict == "continues" and asked.with_threads:
            found = doctor_of(launches._replace(threaded=self._threaded(first)))
        return found

    def _first(self) -> Launch:
        steps = self.asked.steps
        most = min(_MOST, max(WAITED, _OF_STEPS * steps))
        with self._sitting("first") as sitting:
            launched = self._launch(sitting, self.asked.command, f"{2 * steps}:{steps + 1}:{most}", 1)
        if launched.reading is None or launched.code in _NOT_STARTED:
            raise SaksiError(f"the command was not started under witness: {launched.ending}")
        return _read(launched)

    def _again(self, sitting: Sitting, launches: Launches) -> Launches:
        steps, first = self.asked.steps, launches.first
        saved = min((each.step for each in first.saves), default=None)
        kill = 2 * steps if saved is None else max(steps, saved + 2)
        kill = min(kill, first.steps)
        killed = _read(self._launch(sitting, self.asked.command, f"{kill}:0:{kill}", 2))
        launches = launches._replace(killed=killed)
        if saved is None:
            why = f"no model checkpoint was saved within {first.steps} steps, so that nothing could be resumed"
            return launches._replace(reasons=(why,))
        if saved + 1 >= first.steps:
            why = f"the only model checkpoint is saved as the command ends, after step {saved}: nothing follows it"
            return launches._replace(reasons=(why,))
        ckpt = save_to_resume(killed)
        if ckpt is None:
            return launches._replace(reasons=("the second launch saved no model checkpoint before it was killed",))
        words = () if self.asked.resume is None else self.asked.resume.words_for(ckpt[1])
        resumed = _read(self._launch(sitting, (*self.asked.command, *words), f"{steps}:0:{steps}", 3))
        return launches._replace(resumed=resumed, resumed_with=words)

    def _threaded(self, first: Launch) -> Launch | None:
        began, steps = first.began(first.rank), self.asked.steps
        if began is None:
            return None
        other = self.asked.threads or (2 if began.threads == 1 else 1)
        variables = {"OMP_NUM_THREADS": str(other), "MKL_NUM_THREADS": str(other)}
        with self._sitting("threads") as sitting:
            return _read(self._launch(sitting, self.asked.command, f"{steps}:0:{steps}", 4, variables))

    @contextmanager
    def _sitting(self, name: str) -> Iterator[Sitting]:
        folder = self.scratch / name
        folder.mkdir(mode=0o700)
        with sit(self.place, folder) as sitting:
            yield sitting

    def _launch(
        self,
        sitting: Sitting,
        command: tuple[str, ...],
        ends: str,
        number: int,
        variables: dict[str, str] | None = None,
    ) -> Launched:
        self.said(number - 1)
        with self.signals.interruptible():
            return sitting.launch(command, ends, self.asked.limit_s, variables=variables)


def _read(launched: Launched) -> Launch:
    reading = launched.reading
    if reading is None:
        raise SaksiError(f"a launch left no record: {launched.ending}")
    return read_launch(
        reading.run, lambda: items_of(reading), launched.notes, ending=launched.ending, code=launched.code
    )


def _written(words: tuple[str, ...], folder: Path) -> Iterator[Path]:
    """Folders outside of `folder` that words of the command name: where something may be written."""
    for word in words:
        path = Path(word.rpartition("=")[2])
        if not path.is_absolute() or path.is_relative_to(folder.resolve()):
            continue
        while not path.is_dir():
            path = path.parent
        if path != Path("/") and not folder.resolve().is_relative_to(path.resolve()):
            yield path.resolve()
