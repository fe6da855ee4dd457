"""What a seal says is to be run, as far as it can be run again from that: the words, the variables, the folder.

Rules: what was recorded by value counts as recorded; what was hidden is taken from whoever replays, if it is set there,
and named if not; nothing else of theirs is handed on.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from saksi.judgement.redaction import REDACTED, redact_command
from saksi.judgement.seal import Sealed
from saksi.judgement.seal_differences import KEYED

__all__ = ["Invocation", "invocation_of"]


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """A command that can be started. `lacking` are variables that were hidden and are not set here."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    lacking: tuple[str, ...] = ()


def invocation_of(
    seal: Sealed, own: Mapping[str, str], *, python: str | None = None, command: tuple[str, ...] = ()
) -> Invocation | str:
    """How to start it again, or why that is not known.

    `own` are the variables of whoever replays, `python` an interpreter to put in the place of the sealed one, `command`
    the whole command line where the seal could not hold it.
    """
    argv = command or seal.command.argv
    if not argv:
        return "the seal names no command"
    if not command:
        if len(argv) < seal.command.total:
            return f"the seal holds {len(argv)} of {seal.command.total} words of the command"
        if any(REDACTED in word for word in argv):
            return "a part of the command was hidden as it was recorded, since it looks like a secret"
    elif redact_command(command) != seal.command.argv:
        return "the command that was given is not the one that was sealed"
    environment: dict[str, str] = {}
    lacking: list[str] = []
    for name, value in seal.environment.items():
        if not value.startswith(KEYED):
            environment[name] = value
        elif name in own:
            environment[name] = own[name]
        else:
            lacking.append(name)
    if python is not None:
        argv = (python, *argv[1:])
    return Invocation(argv=argv, environment=environment, folder=seal.working_directory, lacking=tuple(lacking))
