"""Which run an attempt belongs to: a new one, or with `--resume` one that is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from saksi.doors.launch.arguments import LaunchArguments
from saksi.edges.configuration import read_configuration
from saksi.edges.filesystem import LogFolder
from saksi.edges.home import Home, find_run
from saksi.edges.keys import Keyring
from saksi.edges.run_folders import all_runs, folder_for
from saksi.edges.run_labels import label_of
from saksi.judgement.expect.values import Expectation
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.plan.values import Plan
from saksi.proofs.tlog.note import VerifierKey
from saksi.words.errors import UsageError
from saksi.words.run import Level, run_id_from

__all__ = ["Attempted", "begin_attempt"]


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """What is settled before anything is written. `previous_keys` signed the log's heads so far."""

    run: str
    number: int
    folder: Path
    name: str | None
    project: str | None
    level: Level
    segment: int | None
    configuration: tuple[str, ...]
    plan: Plan | None = None
    expect: tuple[Expectation, ...] = ()
    data: DataPlan | None = None
    previous_keys: tuple[VerifierKey, ...] = ()


def begin_attempt(
    arguments: LaunchArguments,
    environment: Mapping[str, str],
    folder: Path,
    *,
    home: Home,
    place: LogFolder,
    keyring: Keyring,
) -> Attempted:
    """The attempt that `arguments` ask for; options win over the project's configuration. Raises `SaksiError`."""
    found = read_configuration(folder)
    settings = found.settings
    configuration = () if found.path is None else (str(found.path),)
    if arguments.resume is None:
        run = run_id_from(os.urandom(8))
        target = folder_for(run, home, place)
        if place.moves_home:
            target.mkdir(parents=True, mode=0o700)
        else:
            home.create_run(run)
        return Attempted(
            run=run,
            number=0,
            folder=target,
            name=arguments.name or settings.name,
            project=arguments.project or settings.project,
            level=arguments.level or settings.level or "standard",
            segment=arguments.segment or settings.segment,
            configuration=configuration,
            plan=settings.plan,
            expect=settings.expect,
            data=settings.data,
        )
    from saksi.edges.resumable import resumable  # noqa: PLC0415 - loads what verifies a log: a first launch needs none of it

    runs = all_runs(home, environment, uid=os.getuid())
    if place.moves_home:
        raise UsageError(
            f"--resume {arguments.resume}: {place.reason}, and a run that was moved there cannot be continued there",
            remedy="set SAKSI_HOME to a folder on a local disk, or start a new run",
        )
    earlier = resumable(runs[find_run(arguments.resume, runs, label_of)], keyring.trusted())
    return Attempted(
        run=earlier.run,
        number=earlier.attempts,
        folder=earlier.folder,
        name=earlier.seal.name,
        project=earlier.seal.project,
        level=arguments.level or earlier.seal.level,
        segment=arguments.segment or earlier.seal.segment,
        configuration=configuration,
        plan=settings.plan,
        expect=settings.expect,
        data=settings.data,
        previous_keys=earlier.keys,
    )
