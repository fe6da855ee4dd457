"""Everything the seal says, looked up at once: the one call of the launcher."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from saksi.edges.environment.command import ObservedCommand, observe_command
from saksi.edges.environment.distributions import installed
from saksi.edges.environment.files import FileSealer, files_given
from saksi.edges.environment.hardware import kernel, machine
from saksi.edges.environment.interpreter import Python, site_folders
from saksi.edges.environment.repository import repository_folder
from saksi.edges.environment.work_tree import observe_git
from saksi.judgement.expect.values import Expectation
from saksi.judgement.invocation import seeds_of
from saksi.judgement.launch_key import LaunchKey
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.plan.values import Plan
from saksi.judgement.redaction import (
    NEVER_RECORDED,
    hmac_of,
    key_id,
    printable,
    redact_command,
    redact_environment,
    redact_text,
)
from saksi.judgement.seal import Command, Distribution, Interpreter, Seal
from saksi.words.run import Level

__all__ = ["Launch", "Observation", "observe"]


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for, and what saksi adds. `environment` is the user's, without `added`.

    `configuration` are files that saksi itself read its settings from. `cache` is the node-local cache folder, if
    there is one; `scratch` a private folder that exists.
    """

    run: str
    attempt: int
    name: str | None
    project: str | None
    level: Level
    segment: int | None
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    added: Mapping[str, str]
    folder: Path
    configuration: tuple[str, ...] = ()
    redaction_key: bytes
    cache: Path | None
    scratch: Path
    key: LaunchKey | None = None
    plan: Plan | None = None
    expect: tuple[Expectation, ...] = ()
    data: DataPlan | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The seal, and the interpreter as the launcher needs it (`None` if the command is no Python)."""

    seal: Seal
    python: Python | None


def observe(launch: Launch, *, now_ns: int, clock: Callable[[], float] = time.monotonic) -> Observation:
    """The seal of a launch, observed now. What is not known is in `unobserved`; nothing here stops a launch.

    Never raises for what it finds; `ValueError` for a redaction key of the wrong length.
    """
    unobserved: dict[str, str] = {}
    found = observe_command(
        launch.argv, launch.environment, launch.folder, cache=launch.cache, now_ns=now_ns, unobserved=unobserved
    )
    sealer = FileSealer(launch.folder, launch.redaction_key)
    script = None if found.script is None else sealer.seal(found.script)
    given = files_given(launch.argv[1:], launch.folder, besides=(found.script or "",))
    files = tuple(sealer.seal(path) for path in (*given, *launch.configuration))
    git = observe_git(
        repository_folder(launch.folder, found.first),
        launch.environment,
        redaction_key=launch.redaction_key,
        scratch=launch.scratch,
        clock=clock,
        unobserved=unobserved,
    )
    seal = Seal(
        run=launch.run,
        attempt=launch.attempt,
        name=launch.name,
        project=launch.project,
        created_ns=now_ns,
        level=launch.level,
        segment=launch.segment,
        plan=launch.plan,
        approved=False,
        redaction_key=key_id(launch.redaction_key),
        command=_command(launch),
        working_directory=_text(str(launch.folder)),
        seeds=seeds_of(launch.argv, launch.environment),
        script=script,
        git=git,
        files=files,
        distributions=_distributions(launch, found),
        environment=redact_environment(launch.environment, launch.redaction_key),
        environment_changed_by_saksi={
            name: _text(launch.added[name]) for name in sorted(launch.added) if name not in NEVER_RECORDED
        },
        interpreter=_interpreter(found),
        hardware=machine(),
        kernel=kernel(),
        unobserved=dict(sorted(unobserved.items())),
        launch_key=msgspec.UNSET if launch.key is None else launch.key,
        expect=launch.expect or msgspec.UNSET,
        data=msgspec.UNSET if launch.data is None else launch.data,
    )
    return Observation(seal=seal, python=found.python)


def _command(launch: Launch) -> Command:
    return Command(
        argv=redact_command(launch.argv),
        total=len(launch.argv),
        hmac=hmac_of(launch.redaction_key, "command", *launch.argv),
    )


def _distributions(launch: Launch, found: ObservedCommand) -> tuple[Distribution, ...]:
    if found.python is None:
        return ()
    return installed(site_folders(found.python, launch.environment, launch.folder, found.letters))


def _interpreter(found: ObservedCommand) -> Interpreter | None:
    python = found.python
    if python is None:
        return None
    return Interpreter(
        path=_text(str(python.path)),
        real_path=_text(str(python.real_path)),
        digest=python.file.digest,
        version=_text(python.file.version),
        implementation=_text(python.file.implementation),
        cache_tag=python.file.cache_tag,
        prefix=_text(str(python.prefix)),
        base_prefix=_text(python.file.base_prefix),
        flags=redact_command(found.flags),
    )


def _text(value: str) -> str:
    return redact_text(printable(value))[:4096]
