"""What a replay is to be held to: the seal of the run, who approved it, and whether this place is as it says."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from saksi.doors.cli.reading import approvers_here
from saksi.doors.launch.environment import environment_reasons
from saksi.edges.environment.observe import Launch, observe
from saksi.edges.home import resolve_cache, resolve_home
from saksi.edges.keys import open_keyring
from saksi.edges.runs import RunMaterials
from saksi.edges.seal_files import read_seal_file
from saksi.judgement.approvals import approvers_of, signatures_of, was_changed
from saksi.judgement.checks.seal import held_to
from saksi.judgement.items import read_items
from saksi.judgement.replay.invocation import Invocation
from saksi.judgement.replay.values import EnvironmentLine
from saksi.judgement.seal import Seal
from saksi.judgement.seal_file import EnvironmentTree, SealFile, SignedSealFile, parse_seal_file
from saksi.words.errors import SaksiError, UsageError
from saksi.words.records import ApprovalRecord

__all__ = ["NOTHING_APPROVED", "Basis", "basis_of", "verify_here"]

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


def verify_here(basis: Basis, invocation: Invocation) -> EnvironmentLine:
    """Whether what would run here is what the seal file says, its files included. Raises `SaksiError`, `OSError`."""
    file = basis.signed.file
    reasons: list[str] = []
    if not basis.approved_by:
        reasons.append("no approver whose key is trusted here signed the seal file")
    reasons += [
        f"{each.subject}: {each.sentence}"
        for each in held_to(file, _observed(invocation, file))
        if each.weight == "matters" or (each.weight == "unknown" and each.news)
    ]
    reasons += _of_files(file, invocation)
    return EnvironmentLine(verified=not reasons, approved_by=basis.approved_by, differences=tuple(reasons[:_LISTED]))


def _of_files(file: SealFile, invocation: Invocation) -> tuple[str, ...]:
    tree = file.environment_tree
    if not isinstance(tree, EnvironmentTree):
        return ("the seal file does not hold the environment's files (saksi seal create --manifest FILE)",)
    found = environment_reasons(
        tree, invocation.argv, invocation.environment, Path(invocation.folder), now_ns=time.time_ns()
    )
    if not isinstance(tree.manifest, str):
        found += ("the environment's files agreed with no manifest as they were sealed (seal create --manifest FILE)",)
    return found


def _observed(invocation: Invocation, file: SealFile) -> Seal:
    """The seal that a launch of it would have, observed now under the keys of this home."""
    scratch = Path(tempfile.mkdtemp(prefix="saksi-"))
    try:
        launch = Launch(
            run="0" * 16,
            attempt=0,
            name=None,
            project=file.project,
            level=file.level,
            segment=file.segment,
            plan=file.plan,
            argv=invocation.argv,
            environment=invocation.environment,
            added={},
            folder=Path(invocation.folder),
            configuration=(),
            redaction_key=open_keyring(resolve_home(os.environ)).redaction_key,
            cache=resolve_cache(os.environ, uid=os.getuid()),
            scratch=scratch,
        )
        return observe(launch, now_ns=time.time_ns()).seal
    except FileNotFoundError as error:
        raise SaksiError(f"{invocation.folder}: {error.strerror}", remedy="replay where the project lies") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
