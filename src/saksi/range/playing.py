"""A case or a variant, played once: files, launch, and what was left of it for the detectors."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from saksi.edges.runs import open_run
from saksi.judgement.items import read_items
from saksi.range.case import Case, Parameters, Variant
from saksi.range.compose import clean_files, compiled_files, sabotaged_files, site_files
from saksi.range.detectors.protocol import Seen, StepNumbers
from saksi.range.disposable import forge_bytecode, list_anew, make_environment, write_in_site
from saksi.range.launching import CaseFailed, Desk, Done
from saksi.range.replaying import audits_of, keep, write_files
from saksi.range.sealing import seal_project, under_seal
from saksi.words.errors import SaksiError
from saksi.words.findings import Coverage, Finding, FindingsReport, Verdict
from saksi.words.frames import Number, UpdateFrame
from saksi.words.records import BlockRecord

__all__ = ["Played", "play_case", "play_variant"]

_MARK: Final = "acted"
_NOT_HASHED: Final = frozenset({".git", "__pycache__"})
_NOT_STARTED: Final = frozenset({125, 126, 127})


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What the detectors are given, and what the launch, the judging and the replays took."""

    seen: Seen
    code: int
    launch_s: float
    judging_s: float
    replaying_s: float = 0.0


def play_case(
    case: Case, parameters: Parameters, desk: Desk, *, approved_with_it: bool, replay: bool = False
) -> Played:
    """The case's launch. `approved_with_it`: its files had come in before the hashes of the approved files were taken.

    With `replay` it is audited too. Raises `CaseFailed` if it did not run as written: no launch, no record,
    another end, or a payload that never acted.
    """
    mark, site, trains = desk.folder / _MARK, None, desk
    if case.site or case.bytecode:
        python, site = make_environment(desk.folder / "venv", desk.python)
        desk = msgspec.structs.replace(desk, python=python)
    sabotaged = sabotaged_files(case, parameters, str(mark))
    clean = clean_files(case.program)
    write_files(desk.project, clean)
    command = (case.program, *case.arguments)
    if case.sealed:
        seal_project(desk, command, environment=site is not None)
    if case.settings or (approved_with_it and not case.sealed):  # the seal is the approval
        write_files(desk.project, sabotaged)
    if case.settings:
        seal_project(desk, command, environment=False, settings=case.settings)
    approved = _digests(desk.project, site)
    write_files(desk.project, sabotaged)
    if site is not None:
        _edit(case, parameters, desk.python, site, str(mark))
    options = under_seal(desk) if case.sealed or case.settings else ()
    launched = _digests(desk.project, site)
    played = _launches(desk, case, approved, launched, options)
    if not mark.exists():
        raise CaseFailed(f"{case.id}: the payload never acted")
    if not replay:
        return played
    if site is not None:  # whoever audits builds a clean one
        shutil.rmtree(desk.folder / "venv")
        make_environment(desk.folder / "venv", trains.python)
    return _audited(played, desk, case, approved=clean, found=sabotaged)


def _edit(case: Case, parameters: Parameters, python: Path, site: Path, mark: str) -> None:
    for name, text in site_files(case, parameters, mark).items():
        write_in_site(site, name, text)
    for name in case.listed:
        list_anew(site, name)
    for name, text in compiled_files(case, parameters, mark).items():
        forge_bytecode(python, site, name, text)


def _audited(
    played: Played,
    desk: Desk,
    entry: Case | Variant,
    *,
    approved: Mapping[str, str],
    found: Mapping[str, str],
) -> Played:
    began = time.monotonic()
    audits = audits_of(desk, entry, approved=approved, found=found)
    seen = msgspec.structs.replace(played.seen, audits=audits)
    return msgspec.structs.replace(played, seen=seen, replaying_s=time.monotonic() - began)


def play_variant(variant: Variant, desk: Desk, *, seed: int, replay: bool = False) -> Played:
    """The variant's launch with this seed, the last of them. With `replay` it is audited too. Raises `CaseFailed`."""
    files = clean_files(variant.program, seed=seed)
    write_files(desk.project, files)
    command = (variant.program, *variant.arguments)
    if variant.settings:
        seal_project(desk, command, environment=False, settings=variant.settings)
    held_to = under_seal(desk) if variant.settings else ()
    approved = _digests(desk.project, None)
    played = _launches(desk, variant, approved, approved, held_to)
    return _audited(played, desk, variant, approved=files, found=files) if replay else played


def _launches(
    desk: Desk,
    entry: Case | Variant,
    approved: Mapping[str, str],
    launched: Mapping[str, str],
    options: tuple[str, ...] = (),
) -> Played:
    """Each launch of an entry, the last of them to be judged. Raises `CaseFailed` if one ends otherwise than it may."""
    command = (entry.program, *entry.arguments)
    for number in range(entry.launches):
        keep(desk, number)
        resuming = ("--resume", "last") if number else ()
        played = _launch(desk, command, approved, launched, (*options, *resuming))
        if played.code not in entry.ends:
            raise CaseFailed(f"{entry.id}: the training ended with {played.code}, not with {entry.ends}")
    return played


def _launch(
    desk: Desk,
    command: tuple[str, ...],
    approved: Mapping[str, str],
    launched: Mapping[str, str],
    options: tuple[str, ...],
) -> Played:
    began = time.monotonic()
    done = desk.saksi("run", "-q", *options, "--", str(desk.python), *command)
    ran = time.monotonic()
    folders = sorted((desk.home / "runs").glob("*")) if desk.home.is_dir() else []
    if done.code in _NOT_STARTED or len(folders) != 1:
        raise CaseFailed(f"saksi run recorded nothing: {done.last_words or f'code {done.code}'}")
    report = _report(desk.saksi("findings", "last", "--json"))
    judged = time.monotonic()
    if report.coverage.steps_witnessed == 0:
        raise CaseFailed(f"no step was witnessed: {done.last_words or f'code {done.code}'}")
    seen = Seen(report=report, numbers=tuple(_numbers(folders[0])), approved=approved, launched=launched)
    return Played(seen=seen, code=done.code, launch_s=ran - began, judging_s=judged - ran)


class _Printed(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of the document: members may be added within its version."""

    run: str
    verdict: Verdict
    coverage: Coverage
    items: tuple[dict[str, Any], ...]


def _report(done: Done) -> FindingsReport:
    try:
        printed = msgspec.json.decode(done.stdout, type=_Printed)
        known = [{name: each[name] for name in Finding.__struct_fields__} for each in printed.items]
        items = msgspec.convert(known, tuple[Finding, ...])
    except (KeyError, msgspec.DecodeError):
        raise CaseFailed(f"saksi findings printed no report: {done.last_words or f'code {done.code}'}") from None
    return FindingsReport(run=printed.run, verdict=printed.verdict, coverage=printed.coverage, items=items)


def _numbers(folder: Path) -> Iterator[StepNumbers]:
    """The curves of optimizer 0, from the record of the same run."""
    try:
        reading = open_run(folder)
        for item in read_items(reading.entries, reading.blob):
            rank = item.record.rank if isinstance(item.record, BlockRecord) else 0
            for line in item.lines:
                if isinstance(line.frame, UpdateFrame) and line.frame.optimizer == 0:
                    norm = line.frame.gradient_norm
                    yield StepNumbers(
                        rank=rank,
                        step=line.frame.update,
                        loss=_plain(line.frame.loss),
                        gradient_norm=None if norm is None else _plain(norm.value),
                    )
    except SaksiError as error:
        raise CaseFailed(f"the record cannot be read: {error}") from None


def _plain(value: Number | None) -> float | None:
    return math.nan if isinstance(value, str) else value


def _digests(project: Path, site: Path | None) -> dict[str, str]:
    """Every file that a payload could have been put into; what launches wrote is not there yet, and links are left."""
    folders = (project,) if site is None else (project, site)
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in _files(folder)
    }


def _files(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in _NOT_HASHED)
        yield from (path for name in sorted(names) if not (path := Path(at, name)).is_symlink())
