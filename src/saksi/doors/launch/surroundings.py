"""What a launch puts around the command: the recorder's folder, the bytecode prefix, a short private folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

import saksi
from saksi.doors.launch.arguments import LaunchArguments
from saksi.doors.launch.attempt import Attempted
from saksi.doors.launch.capsules import asked_of_recorder
from saksi.edges.bytecode import KeptStore, environment_id, is_sound
from saksi.edges.environment.observe import Launch
from saksi.edges.home import resolve_cache
from saksi.words.run import ASKED_BY_AUDITS

__all__ = ["BytecodePrefix", "bytecode_prefix", "launch_of", "notes_on", "recorder_environment", "runtime_folder"]

MAX_RUNTIME_FOLDER: Final = 72
RECORDER: Final = Path(saksi.__file__).parent / "recorder" / "path"


class BytecodePrefix(msgspec.Struct, frozen=True, kw_only=True):
    """The bytecode prefix of one launch: the kept store behind it, and what the environment gets."""

    store: KeptStore | None
    added: dict[str, str]


def launch_of(
    attempt: Attempted,
    arguments: LaunchArguments,
    environment: Mapping[str, str],
    folder: Path,
    *,
    added: dict[str, str],
    scratch: Path,
    redaction_key: bytes,
) -> Launch:
    """What the seal is made from: one launch as it was asked for, in its surroundings."""
    return Launch(
        run=attempt.run,
        attempt=attempt.number,
        name=attempt.name,
        project=attempt.project,
        level=attempt.level,
        segment=attempt.segment,
        plan=attempt.plan,
        expect=attempt.expect,
        data=attempt.data,
        argv=arguments.command,
        environment=environment,
        added=added,
        folder=folder,
        configuration=attempt.configuration,
        redaction_key=redaction_key,
        cache=resolve_cache(environment, uid=os.getuid()),
        scratch=scratch,
        key=arguments.key,
    )


def recorder_environment(
    attempt: Attempted,
    arguments: LaunchArguments,
    environment: Mapping[str, str],
    *,
    socket: Path,
    token: str,
) -> dict[str, str]:
    """What leads the recorder into the command, and to the agent's socket.

    Launches of audits and of the doctor are known by their folder for bytecode.

    What audits and the doctor ask of it, and a segment that no option names, is taken from whoever set it for a launch
    of their own: fewer roots would bind less of the run.
    """
    inherited = environment.get("PYTHONPATH")
    added = {
        "PYTHONPATH": f"{RECORDER}{os.pathsep}{inherited}" if inherited else str(RECORDER),
        "SAKSI_SOCKET": str(socket),
        "SAKSI_TOKEN": token,
        "SAKSI_LEVEL": attempt.level,
    }
    if attempt.segment is not None:
        added["SAKSI_SEGMENT"] = str(attempt.segment)
    if arguments.overhead_budget is not None:
        added["SAKSI_OVERHEAD_BUDGET"] = str(arguments.overhead_budget)
    if arguments.capsules is not None:
        added |= asked_of_recorder(arguments.capsules, environment, attempt.run, attempt.number)
    asked = () if arguments.bytecode is not None else ASKED_BY_AUDITS
    return {**{name: "" for name in ("SAKSI_SEGMENT", *asked) if name in environment}, **added}


def bytecode_prefix(
    arguments: LaunchArguments, environment: Mapping[str, str], folder: Path, scratch: Path
) -> BytecodePrefix:
    """The kept store if it is sound, read-only by request; otherwise a prefix of this launch's own.

    The replays of an audit share one of the audit's own instead, and nothing of it is kept.
    """
    if arguments.bytecode is not None:
        return BytecodePrefix(store=None, added={"PYTHONPYCACHEPREFIX": arguments.bytecode})
    own = {"PYTHONPYCACHEPREFIX": str(scratch / "bytecode")}
    cache = resolve_cache(environment, uid=os.getuid())
    program = shutil.which(arguments.command[0], path=environment.get("PATH", os.defpath))
    if cache is None or program is None:
        return BytecodePrefix(store=None, added=own)
    store = KeptStore(folder=cache / "bytecode" / environment_id(os.path.abspath(folder / program)))  # noqa: PTH100 - unresolved: a venv's interpreter is a link
    if is_sound(store):
        return BytecodePrefix(
            store=store, added={"PYTHONPYCACHEPREFIX": str(store.prefix), "PYTHONDONTWRITEBYTECODE": "1"}
        )
    return BytecodePrefix(store=store, added=own)


def notes_on(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What stands in the record before everything else."""
    if environment.get("SAKSI_DISABLE") == "1":
        return ("SAKSI_DISABLE=1 was set: the recorder was switched off for this launch",)
    return ()


def runtime_folder(environment: Mapping[str, str]) -> str:
    """A private, short path for the socket: a Unix socket's path has 107 bytes at most."""
    for folder in (environment.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if folder and _is_usable(folder):
            return folder
    return "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it


def _is_usable(folder: str) -> bool:
    path = Path(folder)
    fits = len(os.fsencode(folder)) <= MAX_RUNTIME_FOLDER
    return fits and path.is_absolute() and path.is_dir() and os.access(folder, os.W_OK | os.X_OK)
