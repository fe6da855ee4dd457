"""How the commands reach runs and keys: names become folders, folders become values. Nothing is made by reading."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from saksi.doors.cli.attempt_lines import sought_elsewhere
from saksi.edges.approver_keys import approver_keys
from saksi.edges.home import find_run, resolve_home
from saksi.edges.keys import read_trust_file
from saksi.edges.run_folders import all_runs
from saksi.edges.run_labels import label_of, seal_in
from saksi.edges.runs import RunMaterials, open_run
from saksi.edges.saved_files import saved_elsewhere
from saksi.edges.store.durable import told
from saksi.edges.suppressions import read_suppressions
from saksi.judgement.approvals import Approvers, assurance_of, has_approval
from saksi.judgement.history import History
from saksi.judgement.history_builder import HistoryBuilder
from saksi.judgement.items import Item, read_items
from saksi.judgement.launch_key import LaunchKey
from saksi.judgement.log_materials import LogMaterials
from saksi.judgement.origins import Saved
from saksi.judgement.seal import Seal
from saksi.judgement.story import Story
from saksi.judgement.suppressions import Scope, SetApart, set_apart
from saksi.judgement.verdict import NOTHING_ASSURED, Assurance, Judgement, judge
from saksi.proofs.tlog.note_key import VerifierKey
from saksi.words.codec import decode_record
from saksi.words.errors import SaksiError, UsageError

__all__ = [
    "AttemptNamed",
    "approvers_here",
    "assurance_for",
    "catalogue",
    "find",
    "find_attempt",
    "history_within",
    "items_of",
    "items_within",
    "judged",
    "launch_keys_of",
    "open_reading",
    "saves_elsewhere",
    "scope_of",
    "seal_of",
    "suppressions_on",
    "trusted_keys",
]

_SEAL: Final = b'{"kind":"seal"'
_DIGITS: Final = 9


def catalogue() -> dict[str, Path]:
    """Ids and folders of all runs; empty where there is no home. Raises `StoreError`."""
    return all_runs(resolve_home(os.environ), os.environ, uid=os.getuid())


def find(text: str) -> str:
    """The id of the run that `text` means. Raises `UsageError`."""
    return find_run(text, catalogue(), label_of)


def open_reading(run: str) -> RunMaterials:
    """What the run with this id holds now. Raises `UsageError`, `MalformedInput`, `StoreError`."""
    folders = catalogue()
    return open_run(folders[find_run(run, folders, label_of)])


def items_of(reading: RunMaterials) -> Iterator[Item]:
    """The run's items, in order."""
    return read_items(reading.entries, reading.blob)


def judged(reading: RunMaterials) -> Judgement:
    """The run's judgement. A log that is not whole is never `clean`. Raises `MalformedInput`, `StoreError`."""
    judgement = judge(items_of(reading), run=reading.run, live=reading.live, assurance=assurance_for(reading.log))
    if reading.short is None or judgement.report.verdict != "clean":
        return judgement
    return msgspec.structs.replace(judgement, report=msgspec.structs.replace(judgement.report, verdict="unknown"))


def suppressions_on(reading: RunMaterials, judgement: Judgement, *, now: datetime) -> SetApart:
    """Which findings of the run count here at the time `now`. Raises `UsageError`, `StoreError`."""
    suppressions = read_suppressions(resolve_home(os.environ))
    if not suppressions:
        return SetApart(standing=judgement.report.items, suppressed=(), expired=())
    return set_apart(judgement.report.items, suppressions, scope_of(reading), now=now)


def scope_of(reading: RunMaterials) -> Scope:
    """What a suppression may be held to. The project is what a launch calls itself, not what somebody proved."""
    seal = seal_of(reading)
    return Scope(run=reading.run, project=None if seal is None else seal.project)


def assurance_for(log: LogMaterials) -> Assurance:
    """What approvals assure of a run, under the keys that are trusted here. Raises `UsageError`, `StoreError`."""
    if not has_approval(log.entries):
        return NOTHING_ASSURED
    return assurance_of(log.entries, log.blob, approvers_here())


def approvers_here() -> Approvers:
    """The keys of the home, for judging seal files; without a home none. Raises `UsageError`, `StoreError`."""
    try:
        home = resolve_home(os.environ)
    except SaksiError:
        return Approvers(approvers=())
    return Approvers(approvers=approver_keys(home), known=trusted_keys(()))


def seal_of(reading: RunMaterials, attempt: int | None = None) -> Seal | None:
    """What the run says that it is, not verified here: `saksi verify` judges the signature. `None` if unreadable.

    The seal of the first attempt, or of the one that is asked for.
    """
    if not attempt:
        return seal_in(reading.entries[0], reading.blob) if reading.entries else None
    for entry in reading.entries:
        if entry.startswith(_SEAL):
            record = decode_record(entry)
            if record.attempt == attempt:
                return seal_in(entry, reading.blob)
    return None


def launch_keys_of(reading: RunMaterials) -> dict[int, LaunchKey]:
    """The keys that the seals of the attempts claim, where they claim any."""
    seals = (seal_in(entry, reading.blob) for entry in reading.entries if entry.startswith(_SEAL))
    return {
        each.attempt: each.launch_key for each in seals if each is not None and isinstance(each.launch_key, LaunchKey)
    }


class AttemptNamed(NamedTuple):
    """A run, and one attempt of it where one was named."""

    run: str
    attempt: int | None

    def __str__(self) -> str:
        return self.run if self.attempt is None else f"{self.run}@{self.attempt}"


def find_attempt(text: str) -> AttemptNamed:
    """What `RUN` or `RUN@N` means; a run whose name is the whole text goes first. Raises `UsageError`."""
    whole, at, number = text.rpartition("@")
    if not at or not whole or not (number.isascii() and number.isdigit()) or len(number) > _DIGITS:
        return AttemptNamed(find(text), None)
    try:
        return AttemptNamed(find(text), None)
    except UsageError:
        run = find(whole)
    reading = open_reading(run)
    count = sum(entry.startswith(_SEAL) for entry in reading.entries)
    if int(number) >= count:
        have = "attempt 0 only" if count == 1 else f"attempts 0 to {count - 1}"
        raise UsageError(f"run {run} has no attempt {int(number)}", remedy=f"it has {have}" if count else "it has none")
    return AttemptNamed(run, int(number))


def items_within(reading: RunMaterials, attempt: int | None) -> Iterator[Item]:
    """The run's items, or those of one attempt."""
    return (each for each in items_of(reading) if attempt is None or each.record.attempt == attempt)


def history_within(reading: RunMaterials, attempt: int) -> History:
    """The history of one attempt alone."""
    builder = HistoryBuilder()
    for item in items_within(reading, attempt):
        builder.take(item)
    return builder.build()


def saves_elsewhere(reading: RunMaterials, story: Story) -> tuple[Saved, ...]:
    """What other runs saved of that which this one loaded; nothing is read where it saved all of that itself."""
    sought = sought_elsewhere(reading.run, story)
    if not sought.digests and not sought.paths:
        return ()
    others = {run: folder for run, folder in catalogue().items() if run != reading.run}
    return saved_elsewhere(others, digests=sought.digests, paths=sought.paths).saves


def trusted_keys(files: Sequence[Path]) -> tuple[VerifierKey, ...]:
    """The keys of `files`, else the public keys of the home; without a home none.

    Raises `UsageError`, `StoreError`.
    """
    if files:
        return tuple(dict.fromkeys(key for file in files for key in read_trust_file(file)))
    try:
        folder = resolve_home(os.environ).keys
    except SaksiError:
        return ()
    with told("read", folder):
        homely = [path for path in (folder / "installation.vkey", folder / "trusted.vkeys") if path.exists()]
    return tuple(dict.fromkeys(key for file in homely for key in read_trust_file(file)))
