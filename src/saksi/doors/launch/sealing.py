"""What `saksi run` would seal, without starting anything: the seal file of a command."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.configuration import read_configuration
from saksi.edges.environment.interpreter import NotKnown, find_program
from saksi.edges.environment.observe import Launch, observe
from saksi.edges.home import resolve_cache, resolve_home
from saksi.edges.keys import open_keyring
from saksi.judgement.configuration import check_label
from saksi.judgement.rehearsal.values import Rehearsal
from saksi.judgement.seal_file import (
    MAX_SEAL_FILE_BYTES,
    EnvironmentTree,
    SignedSealFile,
    format_seal_file,
    make_file_statement,
    seal_file_of,
)
from saksi.proofs.attest.envelope import IN_TOTO, sign
from saksi.words.errors import UsageError

__all__ = ["check_command", "default_file", "make_seal_file"]

_ROOM: Final = 64 << 10
"""Of a seal file, for 16 signatures with long labels and what stands around them."""
_NO_RUN: Final = "0" * 16
"""A seal is observed for some run; what a seal file keeps of it names none."""


def make_seal_file(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    name: str | None,
    project: str | None,
    now_ns: int,
    environment_tree: EnvironmentTree | None = None,
    rehearsed: Callable[[], Rehearsal] | None = None,
) -> SignedSealFile:
    """The seal file of `command`, signed by the installation's key. Raises `SaksiError`, `OSError`.

    `environment_tree` is what its environment consists of, where that was looked at. `rehearsed` runs the command once
    it was observed, and gives what goes into the file of that.
    """
    check_command(command, environment, folder, name=name, project=project)
    found = read_configuration(folder)
    keyring = open_keyring(resolve_home(environment))
    scratch = Path(tempfile.mkdtemp(prefix="saksi-"))
    try:
        launch = Launch(
            run=_NO_RUN,
            attempt=0,
            name=name or found.settings.name,
            project=project or found.settings.project,
            level=found.settings.level or "standard",
            segment=found.settings.segment,
            plan=found.settings.plan,
            expect=found.settings.expect,
            data=found.settings.data,
            argv=tuple(command),
            environment=environment,
            added={},
            folder=folder,
            configuration=() if found.path is None else (str(found.path),),
            redaction_key=keyring.redaction_key,
            cache=resolve_cache(environment, uid=os.getuid()),
            scratch=scratch,
        )
        file = seal_file_of(observe(launch, now_ns=now_ns).seal)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if environment_tree is not None:
        file = msgspec.structs.replace(file, environment_tree=environment_tree)
    if rehearsed is not None:
        file = msgspec.structs.replace(file, rehearsal=rehearsed())
    statement = make_file_statement(file)
    if rehearsed is not None and len(statement) * 4 // 3 > MAX_SEAL_FILE_BYTES - _ROOM:
        raise UsageError("the rehearsal is larger than a seal file may be", remedy="rehearse fewer steps")
    return format_seal_file(sign(IN_TOTO, statement, [keyring.signer]))


def default_file(folder: Path, name: str | None) -> Path:
    """Where the seal file of a command goes if nobody says: named like the run. Raises `UsageError`."""
    if name is not None:
        check_label(name, what="--name")
    return Path(f"{name or read_configuration(folder).settings.name or 'run'}.seal")


def check_command(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, *, name: str | None, project: str | None
) -> None:
    """Say what cannot be sealed before anything is looked at. Raises `UsageError`."""
    if not command:
        raise UsageError("no command to seal", remedy="saksi seal create -- python train.py")
    for option, label in (("--name", name), ("--project", project)):
        if label is not None:
            check_label(label, what=option)
    try:
        find_program(command[0], environment, folder)
    except NotKnown:
        raise UsageError(f"{command[0]}: not found", remedy="seal the command that would run") from None
