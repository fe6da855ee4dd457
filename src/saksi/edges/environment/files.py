"""The files of a command line, and their digests within a budget.

The launcher has 0.4 s before the job starts: a file that is too large is named with its size and the reason that it
has no digest. Data is witnessed as it is read, not here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from saksi.edges.files import hash_file, state_of
from saksi.judgement.redaction import hmac_of, printable, redact_command, redact_text
from saksi.judgement.seal import MAX_FILES, SealedFile
from saksi.judgement.secrets import is_secret_name

__all__ = ["MAX_BYTES", "MAX_FILE_BYTES", "FileSealer", "files_given"]

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""Larger than any configuration; read in about 10 ms."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""All files of one seal together."""
_SECRET_FILES: Final = (".env", ".netrc", ".pgpass", ".pypirc", ".npmrc", "id_rsa", "id_ed25519")


class FileSealer:
    """Digests files within one budget of bytes; relative paths are taken from `folder`."""

    def __init__(self, folder: Path, redaction_key: bytes, *, budget: int = MAX_BYTES) -> None:
        self.folder = folder
        self._key = redaction_key
        self._left = budget

    def seal(self, path: str) -> SealedFile:
        """The file at `path` as it is now. Never raises: what cannot be read has a reason instead of a digest."""
        shown = redact_text(printable(path))[:4096]
        there = self.folder / path
        try:
            found = os.stat(there)  # noqa: PTH116 - the state that hash_file compares with
        except (OSError, ValueError) as error:
            return SealedFile(path=shown, digest=None, size=None, reason=_reason(error))
        if not stat.S_ISREG(found.st_mode):
            return SealedFile(path=shown, digest=None, size=None, reason="not a regular file")
        if found.st_size > min(MAX_FILE_BYTES, self._left):
            reason = f"more than the {min(MAX_FILE_BYTES, self._left)} bytes that are read before a start"
            return SealedFile(path=shown, digest=None, size=found.st_size, reason=reason)
        self._left -= found.st_size
        hashed = hash_file(there, state_of(found))
        digest = None if hashed.digest is None else str(hashed.digest)
        if digest is not None and _is_secret_file(path):
            # Its content may be a single word, which a bare digest would let anybody search for.
            digest = hmac_of(self._key, "file", digest)
        return SealedFile(path=shown, digest=digest, size=found.st_size, reason=hashed.reason)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _is_secret_file(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(_SECRET_FILES) or is_secret_name(name.lstrip(".").partition(".")[0])


def files_given(argv: Sequence[str], folder: Path, *, besides: Iterable[str] = ()) -> tuple[str, ...]:
    """The regular files that arguments name (`file`, `--x=file`, `@file`), in order, each once; not `besides`.

    At most `MAX_FILES`. What redaction hides is not looked at: the digest of a password's file must not be public.
    """
    seen = dict.fromkeys(besides)
    given: list[str] = []
    for argument, shown in zip(argv, redact_command(argv), strict=False):
        if printable(argument) != shown:
            continue
        for path in _candidates(argument):
            if path not in seen and len(given) < MAX_FILES and _is_regular(folder / path):
                seen[path] = None
                given.append(path)
    return tuple(given)


def _candidates(argument: str) -> list[str]:
    value = argument.partition("=")[2]
    plain = [] if argument.startswith("-") else [argument]
    return [each for each in (*plain, value, argument[1:] if argument.startswith("@") else "") if each]


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False
