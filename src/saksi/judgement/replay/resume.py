"""How a program is told to resume: the table `[replay]` of a project's settings, or words on the command line.

It says where a replay may begin, never what counts: a difference behind a resume is none until a replay from the start
shows it, so that whoever writes these words can make an audit longer, and not another.
"""

from __future__ import annotations

import shlex
from typing import Final

import msgspec

from saksi.words.errors import UsageError

__all__ = ["CKPT", "Resume", "resume_in", "resume_of"]

CKPT: Final = "{ckpt}"
"""What stands for the path of the model checkpoint."""
_KEYS: Final = ("ckpts", "resume")
_MAX: Final = 1_000


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Words behind those of the command, of which one has `{ckpt}` in it, and the names of files to resume from."""

    words: tuple[str, ...]
    named: str = "*"

    def words_for(self, path: str) -> tuple[str, ...]:
        """The words, with the model checkpoint at `path`."""
        return tuple(each.replace(CKPT, path) for each in self.words)


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
    if not isinstance(words, str):
        raise UsageError(f"{where}: replay.resume is not a text", remedy='such as resume = "--resume {ckpt}"')
    if not isinstance(named, str) or not named or "/" in named:
        raise UsageError(f"{where}: replay.ckpts is no pattern of file names", remedy='such as ckpts = "ckpt-*.pt"')
    return resume_of(words, f"{where}: replay.resume", named=named)


def resume_of(text: str, where: str, *, named: str = "*") -> Resume:
    """The words in `text`, as a shell would take them apart. Raises `UsageError`."""
    try:
        words = tuple(shlex.split(text[:_MAX]))
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    if len(text) > _MAX or sum(CKPT in each for each in words) == 0:
        raise UsageError(f"{where}: {text[:80]!r} does not say where {CKPT} goes", remedy='such as "--resume {ckpt}"')
    return Resume(words=words, named=named)
