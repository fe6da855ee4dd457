"""The files of an environment that a seal names and a run watches: which they are, and what changed between two looks.

Rules:

- Bytecode in `__pycache__` is left out: Python writes it while it runs, and `saksi run` gives the interpreter a
  bytecode folder of its own. Bytecode beside its source, which Python would execute, counts.
- Of checkouts (`path:N`, `editable:NAME`) only what an import could execute counts: a run writes its output there.
- A change of the file's state that leaves its content is told too: an edit that was taken back moves the kernel's
  ctime. Owner, mode and further links move it as well, and a container that copies a file up, or a folder that is
  mounted again, changes device and inode: a file where those changed and its mtime did not is *relinked*, no more.
- A folder of installed packages that was written to and has the same names is told as *rewritten*: something was there
  between two looks, or the whole folder was another. Folders of checkouts, where runs write, and those of bytecode, are
  left out.
- What is new in a checkout matters only if it came while the command ran: what was there at its start is listed by git.

BUG: a process that the command starts with `-I` or `-E` reads `__pycache__` after all; `saksi env verify` compares it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.environment.tree import digest_of_lines
from saksi.words.digest import Digest
from saksi.words.file_changes import MAX_FILE_CHANGES, FileChange, FileChangeKind

__all__ = [
    "Changes",
    "FileAt",
    "FilesAt",
    "FolderAt",
    "changes_between",
    "is_watched",
    "matters",
    "name_of",
    "tree_of",
    "watches_folder",
]

_CODE: Final = (
    *(".py", ".pyc", ".pyd", ".so", ".pth", ".start", ".egg-link", ".zip", ".egg"),
    *("._pth", "pyvenv.cfg", "pybuilddir.txt"),
)
"""Endings of what an interpreter that finds it on its path may execute, `libx.so.1` is one as well, and of the files
that tell it where its path is."""
_MAX_SPELLED: Final = 40_000
"""Bytes of an entry for the files that it lists; the rest of it takes a few hundred."""
_ORDER: Final[tuple[FileChangeKind, ...]] = ("changed", "removed", "added", "rewritten", "relinked")


class FileAt(NamedTuple):
    """A file at one look. `state` is device, inode, size, mtime, ctime; `holder` is mode, owner, group, links.

    Both are empty where only content is known, as of a tree that was sealed.
    """

    digest: str | None
    size: int
    state: tuple[int, ...] = ()
    holder: tuple[int, ...] = ()


class FolderAt(NamedTuple):
    """A folder at one look: device, inode, mtime and ctime; mode, owner and group; a hash of the names in it."""

    state: tuple[int, int, int, int]
    holder: tuple[int, int, int]
    names: int


class FilesAt(msgspec.Struct, frozen=True, kw_only=True):
    """All watched files at one look, by label and path; `reason` says why they are not all, or not all read.

    `folders` are those whose own changes are told, by label and path with `/` at its end; `places` are where the roots
    lie, by label, where they were looked at.
    """

    files: Mapping[tuple[str, str], FileAt]
    now_ns: int
    folders: Mapping[tuple[str, str], FolderAt] = {}
    places: Mapping[str, str] = {}
    reason: str | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What changed: as much of it as one entry holds, what matters most first, and how much there was of each kind."""

    listed: tuple[FileChange, ...] = ()
    totals: dict[FileChangeKind, int] = {}

    @property
    def matter(self) -> bool:
        """Whether anything is there, before the command runs, that could change what runs.

        It is listed first, if there is room for it at all.
        """
        return any(map(matters, self.listed)) or (bool(self.totals) and not self.listed)


def is_watched(label: str, path: str) -> bool:
    """Whether the file counts: see the rules of this module."""
    if "__pycache__/" in path and (path.startswith("__pycache__/") or "/__pycache__/" in path):
        return False
    return not _is_checkout(label) or _is_code(path)


def watches_folder(label: str, path: str) -> bool:
    """Whether a folder's own changes are told; `path` ends with `/`, and is empty for the root."""
    return not _is_checkout(label) and label != "executable" and is_watched(label, path)


def matters(change: FileChange, *, running: bool = False) -> bool:
    """Whether a change could change what runs. `running` is whether it came while the command ran.

    A new file in a checkout was there before the command in nearly all cases where it was not so sealed.
    """
    if change.what == "relinked":
        return False
    return change.what != "added" or (_is_code(change.path) and (running or not _is_checkout(change.label)))


def name_of(change: FileChange) -> str:
    """The file in a message, as `env verify` names it."""
    return f"{change.label} {change.path}"


def tree_of(found: FilesAt) -> Digest | None:
    """The tree digest (`saksi.tree/v1`) of the watched files; `None` if one was not read, or not all are known."""
    if found.reason is not None or any(each.digest is None for each in found.files.values()):
        return None
    return digest_of_lines((label, path, at.digest or "", at.size) for (label, path), at in sorted(found.files.items()))


def changes_between(before: FilesAt, after: FilesAt) -> Changes:
    """What is not in `after` as it was in `before`."""
    found = list(_changes(before.files, after.files))
    found += _folder_changes(before.folders, after.folders, _written_to(found))
    found.sort(
        key=lambda each: (
            not matters(each),
            not matters(each, running=True),
            _ORDER.index(each.what),
            each.label,
            each.path,
        )
    )
    listed: list[FileChange] = []
    left = _MAX_SPELLED
    for each in found[:MAX_FILE_CHANGES]:
        left -= len(msgspec.json.encode(each))
        if left < 0:
            break
        listed.append(each)
    counted = Counter(each.what for each in found)
    return Changes(listed=tuple(listed), totals={what: counted[what] for what in _ORDER if counted[what]})


def _changes(before: Mapping[tuple[str, str], FileAt], after: Mapping[tuple[str, str], FileAt]) -> Iterator[FileChange]:
    for key in before.keys() | after.keys():
        was, now = before.get(key), after.get(key)
        what = _what(was, now)
        if what is not None:
            label, path = key
            yield FileChange(
                label=label[:128], path=path[:4096], what=what, before=was and was.digest, after=now and now.digest
            )


def _what(was: FileAt | None, now: FileAt | None) -> FileChangeKind | None:
    if was is None or now is None:
        return "added" if was is None else "removed"
    if was.digest != now.digest or was.size != now.size:
        return "changed"
    if not was.state or not now.state or was.state == now.state:
        return None
    moved = was.holder != now.holder or was.state[:2] != now.state[:2]
    return "relinked" if moved and was.state[3] == now.state[3] else "rewritten"


def _folder_changes(
    before: Mapping[tuple[str, str], FolderAt],
    after: Mapping[tuple[str, str], FolderAt],
    explained: set[tuple[str, str]],
) -> list[FileChange]:
    """The folders of both looks that moved and have the same names, where no other change is the reason."""
    found: list[FileChange] = []
    for key in sorted(before.keys() & after.keys(), key=lambda each: (each[1].count("/"), each), reverse=True):
        was, now = before[key], after[key]
        if was.state == now.state or was.names != now.names or key in explained:
            continue
        moved = was.holder != now.holder or was.state[:2] != now.state[:2]
        what: FileChangeKind = "relinked" if moved and was.state[2] == now.state[2] else "rewritten"
        label, path = key
        found.append(FileChange(label=label[:128], path=path[:4096] or "./", what=what, before=None, after=None))
        explained |= _written_to(found[-1:])
    return found


def _written_to(changes: Iterable[FileChange]) -> set[tuple[str, str]]:
    """The folders that these changes explain: those that something was put into, or taken from."""
    parts = ((each.label, each.path.rstrip("/").rpartition("/")) for each in changes if each.what != "relinked")
    return {(label, f"{folder}/" if slash else "") for label, (folder, slash, _) in parts}


def _is_checkout(label: str) -> bool:
    return label.startswith(("path:", "editable:"))


def _is_code(path: str) -> bool:
    return path.endswith(_CODE) or ".so." in path.rpartition("/")[2]
