"""How a program is told to resume: the table `[replay]` of a project's settings, or words on the command line.

A difference behind a resume is none until a replay from the start shows it. But the words are part of what is replayed,
and of no seal: so they are told with the answer, and taken from what is replayed or from whoever audits.
"""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import Final

import msgspec

from saksi.words.errors import UsageError

__all__ = ["Resume", "resume_in", "resume_of"]

_CKPT: Final = "{ckpt}"
_FOLDER: Final = "{folder}"
_KEYS: Final = ("ckpts", "resume")
_MAX: Final = 4_096


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Words behind those of the command: `{ckpt}` and `{folder}` stand for a model checkpoint and where it lies.

    `named` is a pattern for the names of the files to resume from.
    """

    words: tuple[str, ...]
    named: str = "*"

    @property
    def chooses(self) -> bool:
        """Whether the words say from which model checkpoint, and not the program itself."""
        return any(_CKPT in each for each in self.words)

    def words_for(self, path: str) -> tuple[str, ...]:
        """The words, with the model checkpoint at `path`."""
        folder = str(PurePath(path).parent)
        return tuple(each.replace(_CKPT, path).replace(_FOLDER, folder) for each in self.words)


def resume_in(found: object, where: str) -> Resume | None:
    """The table `[replay]`. Raises `UsageError`."""
    if found is None:
        return None
    if not isinstance(found, dict):
        raise UsageError(f"{where}: replay is not a table")
    for key in sorted(found):
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown key {f'replay.{key}'[:80]!r}", remedy=f"known: {', '.join(_KEYS)}")
    words, named = found.get("resume"), found.get("ckpts", "*")
    if words is None and "ckpts" not in found:
        return None
    if not isinstance(words, str):
        raise UsageError(f"{where}: replay.resume is not a text", remedy='such as resume = "--resume {ckpt}"')
    if not isinstance(named, str) or not named or "/" in named:
        raise UsageError(f"{where}: replay.ckpts is no pattern of file names", remedy='such as ckpts = "ckpt-*.pt"')
    return resume_of(words, f"{where}: replay.resume", named=named)


def resume_of(text: str, where: str, *, named: str = "*") -> Resume:
    """The words in `text`, as a shell would take them apart. Raises `UsageError`."""
    if len(text) > _MAX:
        raise UsageError(f"{where}: a text of more than {_MAX} characters")
    try:
        return Resume(words=tuple(shlex.split(text)), named=named)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", remedy="put each quoted word between two quotes") from None
