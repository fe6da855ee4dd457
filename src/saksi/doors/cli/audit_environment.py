"""What a replay is to be held to: the seal of the run, who approved it, and whether this place is as it says."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from saksi.doors.cli.reading import approvers_here
from saksi.doors.launch.environment import environment_reasons
from saksi.edges.environment.clean_clone import clone_commit
from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.repository import find_repository
from saksi.edges.host.confinement import outermost
from saksi.edges.runs import RunMaterials
from saksi.edges.seal_files import read_seal_file
from saksi.judgement.approvals import approvers_of, signatures_of, was_changed
from saksi.judgement.checks.seal import held_to
from saksi.judgement.items import read_items
from saksi.judgement.replay.invocation import Invocation
from saksi.judgement.replay.values import EnvironmentLine
from saksi.judgement.seal import Seal
from saksi.judgement.seal_file import EnvironmentTree, SealFile, SignedSealFile, parse_seal_file
from saksi.words.errors import UsageError
from saksi.words.records import ApprovalRecord

__all__ = ["NOTHING_APPROVED", "Basis", "basis_of", "clean_project", "led", "verify_here"]

NOTHING_APPROVED: Final = EnvironmentLine(
    verified=False,
    approved_by=(),
    differences=("the run was launched without `--seal`, and no seal file was given: nothing says what should run",),
)
_LISTED: Final = 12


class Basis(NamedTuple):
    """The seal file that counts, and its approvers."""

    signed: SignedSealFile
    approved_by: tuple[str, ...]


def basis_of(reading: RunMaterials, attempt: int, given: Path | None) -> Basis | None:
    """The seal file on the command line, else the one that the attempt was launched under; `None` without either.

    Raises `UsageError`, `MalformedInput`, `StoreError`.
    """
    signed = read_seal_file(given) if given is not None else _recorded(reading, attempt)
    if signed is None:
        return None
    signatures = signatures_of(signed.envelope, approvers_here())
    if was_changed(signatures):
        raise UsageError(f"{given or 'the seal file of the run'}: changed after it was signed")
    return Basis(signed, approvers_of(signatures))


def _recorded(reading: RunMaterials, attempt: int) -> SignedSealFile | None:
    for item in read_items(reading.entries, reading.blob):
        if isinstance(item.record, ApprovalRecord) and item.record.attempt == attempt and item.content is not None:
            return parse_seal_file(item.content)
    return None


def verify_here(
    basis: Basis, invocation: Invocation, observed: Seal | None, placed: Sequence[tuple[Path, Path]] = ()
) -> EnvironmentLine:
    """Whether what was replayed is what the seal file says, its files included. Raises `SaksiError`, `OSError`.

    `observed` is the seal that the command had where it was replayed, seen before it was started; of each pair that was
    `placed` the first folder stood in the place of the second.
    """
    file = basis.signed.file
    reasons: list[str] = []
    if not basis.approved_by:
        reasons.append("no approver whose key is trusted here signed the seal file")
    reasons += ["what was started could not be observed"] if observed is None else against(file, observed)
    reasons += _of_files(file, invocation, placed)
    return EnvironmentLine(verified=not reasons, approved_by=basis.approved_by, differences=tuple(reasons[:_LISTED]))


def against(file: SealFile, observed: Seal) -> list[str]:
    """In what a launch with the seal `observed` is not as the file says, as far as it matters."""
    return [
        f"{each.subject}: {each.sentence}"
        for each in held_to(file, observed)
        if each.weight == "matters" or (each.weight == "unknown" and each.news)
    ]


def _of_files(file: SealFile, invocation: Invocation, placed: Sequence[tuple[Path, Path]]) -> tuple[str, ...]:
    tree = file.environment_tree
    if not isinstance(tree, EnvironmentTree):
        return ("the seal file does not hold the environment's files (saksi seal create --manifest FILE)",)
    found = environment_reasons(
        tree, invocation.argv, _searched(invocation, placed), Path(invocation.folder), now_ns=time.time_ns()
    )
    if not isinstance(tree.manifest, str):
        found += ("the environment's files agreed with no manifest as they were sealed (seal create --manifest FILE)",)
    return found


def _searched(invocation: Invocation, placed: Sequence[tuple[Path, Path]]) -> dict[str, str]:
    """The variables, with PYTHONPATH as it leads to what stood there while it was replayed."""
    entries = invocation.environment.get("PYTHONPATH")
    if not entries or not placed:
        return invocation.environment
    found = [str(led(Path(invocation.folder, each), placed)) if each else each for each in entries.split(os.pathsep)]
    return {**invocation.environment, "PYTHONPATH": os.pathsep.join(found)}


def led(entry: Path, placed: Sequence[tuple[Path, Path]]) -> Path:
    """Where a path leads while that stands there: what was placed last goes before what it was placed upon."""
    for source, target in reversed(placed):
        if entry.resolve().is_relative_to(target):
            return source / entry.resolve().relative_to(target)
    return entry


def clean_project(
    basis: Basis, invocation: Invocation, observed: Seal | None, scratch: Path
) -> tuple[tuple[Path, Path], ...]:
    """What stands in the place of what while it is replayed: the sealed commit, checked out beside, for the project.

    Empty where the project is as sealed, or the seal is of no clean commit that is here: what lies there is replayed
    then. Environments inside of the project stay, that of saksi too.
    """
    file = basis.signed.file
    if observed is not None and not against(file, observed):
        return ()
    if file.git is None or file.git.commit is None or file.git.dirty:
        return ()
    clone = scratch / "project"
    try:
        folder = Path(invocation.folder)
        script = folder if file.script is None else (folder / file.script.path).parent
        top = find_repository(script.resolve()).top
        clone_commit(top, file.git.commit, clone, os.environ)
        stays = [sys.prefix] if file.interpreter is None else [sys.prefix, file.interpreter.prefix]
        within = [each for each in outermost(Path(prefix) for prefix in stays) if each.is_relative_to(top)]
        kept = [(prefix, scratch / f"kept-{number}") for number, prefix in enumerate(within) if prefix != top]
        for prefix, place in kept:
            for each in (place, clone / prefix.relative_to(top)):
                each.mkdir(parents=True, exist_ok=True)
    except (NotKnown, OSError):
        return ()
    return (*kept, (clone, top), *((place, prefix) for prefix, place in kept))
