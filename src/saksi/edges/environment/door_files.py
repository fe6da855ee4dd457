"""Facts about a file that may be a door: what it is, its digest, who may write it and each folder on the way to it.

Never raises: what cannot be looked at is told as such. Folders are looked at once; a thousand files share them.

BUG: access control lists and the permissions of network file systems are not read. Whoever may write by those alone
is not named. Of a folder that is a link to a link, only the first and the last place are looked at.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.files import hash_file, state_of
from saksi.judgement.environment.doors import FileFacts, Writer
from saksi.judgement.environment.startup_doors import shown

__all__ = ["MAX_HASHED", "Content", "DoorFiles"]

MAX_HASHED: Final = 1 << 30
"""A gigabyte takes a second; the largest library of a torch installation has 434 MB."""
_MAX_LINKS: Final = 40  # the kernel's own limit
_MAX_WRITERS: Final = 64


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of a small file, or why there are none."""

    content: bytes | None
    reason: str | None = None


class DoorFiles:
    """Looks at files, and remembers what it saw of their folders."""

    def __init__(self) -> None:
        self._writers: dict[str, tuple[Writer, ...]] = {}
        self._real: dict[str, str] = {}

    def facts(self, path: Path) -> FileFacts:
        """What is at `path`, symbolic links followed."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return FileFacts(form="missing", writers=self._who_could_make(path), reason="no such file or folder")
        except (OSError, ValueError) as error:
            return FileFacts(form="unreadable", reason=_reason(error))
        facts = FileFacts(
            form="folder",
            uid=found.st_uid,
            gid=found.st_gid,
            mode=f"{stat.S_IMODE(found.st_mode):04o}",
            link=self._link(path),
            writers=self.writers(path),
        )
        if stat.S_ISDIR(found.st_mode):
            return facts
        if not stat.S_ISREG(found.st_mode):
            return msgspec.structs.replace(facts, form="other", reason="neither a file nor a folder")
        if found.st_size > MAX_HASHED:
            reason: str | None = f"more than {MAX_HASHED:,} bytes are not read"
            return msgspec.structs.replace(facts, form="file", size=found.st_size, reason=reason)
        hashed = hash_file(path, state_of(found))
        digest, reason = None if hashed.digest is None else str(hashed.digest), _own_words(hashed.reason)
        return msgspec.structs.replace(facts, form="file", digest=digest, size=found.st_size, reason=reason)

    def read(self, path: Path, limit: int) -> Content:
        """The first `limit` bytes of a regular file; `reason` also if there are more."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened above
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return Content(content=None, reason="not a regular file")
                content = file.read(limit + 1)
        except (OSError, ValueError) as error:
            return Content(content=None, reason=_reason(error))
        if len(content) > limit:
            return Content(content=content[:limit], reason=f"only its first {limit:,} bytes are read")
        return Content(content=content)

    def writers(self, path: Path) -> tuple[Writer, ...]:
        """Who may write what `path` names: it, what its links lead to, and each folder on the way to either."""
        found: dict[Writer, None] = {}
        for each in self._ways(path):
            found.update(dict.fromkeys(self._folders(each.parent)))
            found.update(dict.fromkeys(self._of_one(each, of_folder=False)))
        return tuple(sorted(found, key=lambda writer: (writer.who, writer.id or 0, writer.path)))[:_MAX_WRITERS]

    def real(self, path: Path) -> str:
        """Where `path` really is; of the folder that it is in, that is asked once."""
        place = os.path.abspath(path)  # noqa: PTH100 - `resolve` would ask for every part of every path
        if os.path.islink(place):  # noqa: PTH114 - a text, not a Path
            return os.path.realpath(place)
        folder, _, name = place.rpartition("/")
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder or "/")
        return f"{self._real[folder].rstrip('/')}/{name}"

    def _ways(self, path: Path) -> list[Path]:
        """The path, and where each link that it is leads, to the end."""
        ways = [Path(os.path.abspath(path))]  # noqa: PTH100 - links are followed one by one below
        for _ in range(_MAX_LINKS):
            try:
                target = ways[-1].readlink()
            except (OSError, ValueError):
                break
            ways.append(Path(os.path.abspath(ways[-1].parent / target)))  # noqa: PTH100 - as above
        real = Path(self.real(path))
        return ways if real in ways else [*ways, real]

    def _folders(self, folder: Path) -> tuple[Writer, ...]:
        known = self._writers.get(str(folder))
        if known is None:
            above = () if folder.parent == folder else self._folders(folder.parent)
            known = tuple(dict.fromkeys((*above, *self._of_one(folder, of_folder=True))))
            self._writers[str(folder)] = known
        return known

    def _of_one(self, path: Path, *, of_folder: bool) -> list[Writer]:
        try:
            found = path.stat()
        except (OSError, ValueError):
            return []
        at = shown(str(path))
        writers = [Writer(who="owner", id=found.st_uid, path=at)]
        # In a sticky folder only a file's owner may replace it.
        if not (of_folder and found.st_mode & stat.S_ISVTX):
            if found.st_mode & stat.S_IWGRP:
                writers.append(Writer(who="group", id=found.st_gid, path=at))
            if found.st_mode & stat.S_IWOTH:
                writers.append(Writer(who="others", id=None, path=at))
        return writers

    def _who_could_make(self, path: Path) -> tuple[Writer, ...]:
        """Who may make a file that is not there: whoever may write the nearest folder that is, sticky or not."""
        folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - nothing to resolve: it is not there
        try:
            while not folder.is_dir() and folder.parent != folder:
                folder = folder.parent
        except (OSError, ValueError):
            return ()
        return tuple(dict.fromkeys((*self._folders(folder), *self._of_one(folder, of_folder=False))))[:_MAX_WRITERS]

    def _link(self, path: Path) -> str | None:
        real = self.real(path)
        return None if real == os.path.abspath(path) else shown(real)  # noqa: PTH100 - compared as it was named


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _own_words(reason: str | None) -> str | None:
    return None if reason is None else reason.replace("the agent's account", "this account")
