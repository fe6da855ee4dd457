"""The part of the seal about git: what HEAD is, and what lies in the work tree beside it.

What git does not list and an import would execute counts as not tracked: code that is ignored, behind a link to a
folder, in a repository inside this one. A submodule's changes are the work tree's.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from saksi.edges.environment.files import MAX_FILE_BYTES, FileSealer
from saksi.edges.environment.git import (
    GITLINK,
    SYMLINK,
    Listed,
    ask,
    linked_in,
    listed_changes,
    questions,
    safe_path,
    shadow,
)
from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.repository import Repository, find_repository
from saksi.edges.environment.unlisted_code import UnlistedCode
from saksi.judgement.redaction import printable, redact_text
from saksi.judgement.seal import MAX_CHANGES, MAX_UNTRACKED, Change, Git, SealedFile, digest_of_changes
from saksi.judgement.untracked import is_code

__all__ = ["GIT_SECONDS", "MAX_CHANGED_BYTES", "MAX_SUBMODULES", "observe_git"]

GIT_SECONDS: Final = 1.0
"""A repository of 100,000 files answers in about half of it; the job waits meanwhile."""
MAX_CHANGED_BYTES: Final = 64 * 1024 * 1024
"""Of a repository and its submodules."""
MAX_SUBMODULES: Final = 32
"""Of one work tree, submodules of submodules among them; each is three processes of git."""

_Status = Literal["added", "deleted", "modified", "type", "unmerged"]
_STATUS: Final[dict[str, _Status]] = {"A": "added", "D": "deleted", "T": "type", "U": "unmerged"}


def observe_git(
    folder: Path,
    environment: Mapping[str, str],
    *,
    redaction_key: bytes,
    scratch: Path,
    clock: Callable[[], float],
    unobserved: dict[str, str],
) -> Git | None:
    """The state of the repository around `folder`, or `None`; what is not known, and why, is added to `unobserved`.

    What git ignores counts below `folder`, where it is code. `scratch` is a private folder that exists; `clock` gives
    monotonic seconds.
    """
    until = clock() + GIT_SECONDS
    try:
        repository = find_repository(folder)
        # Also for submodules: what lies in the work tree around one is no git of ours.
        asking = _Asking({**environment, "PATH": safe_path(environment, repository.top)}, scratch, clock, until)
        answers = asking.of(repository, beside=folder)
    except NotKnown as reason:
        unobserved["git"] = str(reason)
        return None
    except OSError as error:
        unobserved["git"] = f"the repository could not be read: {error.strerror}"
        return None
    tree = answers.get("tree", b"").decode("ascii", "replace").strip() or None
    if tree is None and repository.commit is not None:
        unobserved["git.tree"] = "git does not find the commit, or took too long"
    found = _WorkTree(asking, unobserved)
    found.look(repository, answers, "")
    changes = None if found.changes is None else tuple(sorted(found.changes, key=lambda each: each.path))
    untracked, total = found.untracked(repository.top, redaction_key)
    return Git(
        commit=repository.commit,
        tree=tree,
        branch=None if repository.branch is None else redact_text(printable(repository.branch))[:4096],
        dirty=None if changes is None else bool(changes),
        dirty_digest=str(digest_of_changes(changes)) if changes else None,
        changed=tuple(changes or ())[:MAX_CHANGES],
        changed_total=None if changes is None else len(changes),
        untracked=untracked,
        untracked_total=total,
    )


class _Asking(NamedTuple):
    """How git is asked, and until when."""

    environment: Mapping[str, str]
    scratch: Path
    clock: Callable[[], float]
    until: float

    def of(self, repository: Repository, *, beside: Path) -> dict[str, bytes]:
        """What git answers about a repository. Raises `NotKnown` and `OSError`."""
        with shadow(repository, self.scratch) as git_dir:
            asked = questions(repository, beside)
            return ask(repository, git_dir, self.environment, until=self.until, clock=self.clock, asked=asked)

    def go_on(self) -> bool:
        """Whether there is time left."""
        return self.clock() < self.until


class _WorkTree:
    """What lies in a work tree beside its commit, and in those of its submodules, under paths from the topmost one."""

    def __init__(self, asking: _Asking, unobserved: dict[str, str]) -> None:
        self._asking = asking
        self._unobserved = unobserved
        self._left = MAX_SUBMODULES
        self._budget = _Budget(MAX_CHANGED_BYTES)
        self._paths: dict[str, None] | None = {}
        self.changes: tuple[Change, ...] | None = ()

    def look(self, repository: Repository, answers: Mapping[str, bytes], below: str) -> None:
        """Add everything of one repository whose work tree lies at `below`, which ends with `/` or is empty."""
        reader = _ChangeReader(repository, below, self._budget)
        try:
            listed = listed_changes(answers)
            self._add(change for each in listed.values() if (change := reader.read(each)) is not None)
        except NotKnown as reason:
            self._unobserved["git.changed"] = str(reason)
            self.changes = None
        self._unlisted(repository, answers, below)
        for path, mode in linked_in(answers):
            if mode == GITLINK:
                self._submodule(repository.top / os.fsdecode(path), f"{below}{os.fsdecode(path)}")

    def _add(self, changes: Iterable[Change]) -> None:
        if self.changes is not None:
            self.changes = (*self.changes, *changes)

    def _unlisted(self, repository: Repository, answers: Mapping[str, bytes], below: str) -> None:
        """What git does not track, and the code in what it does not list."""
        if self._paths is None:
            return
        if "untracked" not in answers:
            self._unobserved["git.untracked"] = "git failed, or took too long, listing the files that it does not track"
            self._paths = None
            return
        untracked = _names(answers["untracked"])
        top = os.path.realpath(repository.top)
        code = UnlistedCode(top, self._asking.go_on)
        code.take(each for each in untracked if "." not in each.rstrip("/").rpartition("/")[2] and _leads_on(top, each))
        code.take(_names(answers.get("ignored", b"")))
        linked = [os.fsdecode(path) for path, mode in linked_in(answers) if mode == SYMLINK]
        code.take(each for each in linked if _leads_out(top, each))
        code.look()
        if code.reason is not None or "ignored" not in answers:
            self._unobserved["git.ignored"] = code.reason or "git failed, or took too long, listing what it ignores"
        self._paths.update((f"{below}{each}", None) for each in (*untracked, *code.paths))

    def _submodule(self, folder: Path, path: str) -> None:
        """What lies in the work tree of a submodule; where it is not checked out, the code that lies there."""
        self._left -= 1
        if self._left < 0:
            reason = f"more than {MAX_SUBMODULES} submodules are not looked into"
            self._add([_change(path, "modified", executable=False, reason=reason)])
            return
        try:
            if (folder / ".git").exists():
                repository = find_repository(folder)
                self.look(repository, self._asking.of(repository, beside=folder), f"{path}/")
            elif self._paths is not None:
                code = UnlistedCode(os.path.realpath(folder.parent), self._asking.go_on)
                code.take([folder.name])
                code.look()
                above = path.removesuffix(folder.name)
                self._paths.update((f"{above}{each}", None) for each in code.paths)
        except (NotKnown, OSError) as error:
            self._add([_change(path, "modified", executable=False, reason=str(error)[:1024])])

    def untracked(self, top: Path, redaction_key: bytes) -> tuple[tuple[SealedFile, ...], int | None]:
        """What git does not track, code first, and how much there is."""
        if self._paths is None:
            return (), None
        paths = sorted(self._paths, key=lambda each: (not is_code(each), each))
        sealer = FileSealer(top, redaction_key)
        return tuple(sealer.seal(each) for each in paths[:MAX_UNTRACKED]), len(paths)


def _names(answer: bytes) -> list[str]:
    return [os.fsdecode(each) for each in answer.split(b"\0") if each]


def _leads_on(top: str, path: str) -> bool:
    """Whether an entry that git lists as one leads to a folder: another repository, or a link."""
    return path.endswith("/") or os.path.isdir(f"{top}/{path}")  # noqa: PTH112 - as text


def _leads_out(top: str, path: str) -> bool:
    """Whether a link leads to where git lists nothing."""
    return not f"{os.path.realpath(f'{top}/{path}')}/".startswith(f"{top}/")


class _Budget:
    """Bytes that may still be read."""

    def __init__(self, left: int) -> None:
        self.left = left


class _ChangeReader:
    """Looks at the files of one repository that may differ, within the budget of them all."""

    def __init__(self, repository: Repository, below: str, budget: _Budget) -> None:
        self._repository = repository
        self._below = below
        self._budget = budget

    def read(self, listed: Listed) -> Change | None:
        """The change of one file, or `None` if its content and mode are those of the commit after all."""
        path = os.path.join(os.fsencode(self._repository.top), listed.path)  # noqa: PTH118 - names are bytes to git
        try:
            found = os.lstat(path)
        except OSError:
            # A file that skip-worktree leaves out is meant not to be there.
            return None if listed.letter == "S" else self._change(listed, "deleted", executable=False)
        executable = stat.S_ISREG(found.st_mode) and bool(found.st_mode & stat.S_IXUSR)
        if listed.mode == GITLINK or stat.S_ISDIR(found.st_mode):
            return self._submodule(listed, Path(os.fsdecode(path)))
        status = _STATUS.get(listed.letter, "modified")
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            return self._change(listed, "type", executable=False, reason="not a regular file")
        if found.st_size > min(MAX_FILE_BYTES, self._budget.left):
            return self._change(listed, status, executable=executable, reason=f"{found.st_size} bytes: not read")
        self._budget.left -= found.st_size
        try:
            content = os.fsencode(Path(os.fsdecode(path)).readlink()) if stat.S_ISLNK(found.st_mode) else _read(path)
        except OSError as error:
            return self._change(listed, status, executable=executable, reason=error.strerror)
        mode = SYMLINK if stat.S_ISLNK(found.st_mode) else "100755" if executable else "100644"
        same_mode = mode == listed.mode or (not self._repository.file_mode and mode[:3] == listed.mode[:3])
        if same_mode and self._object_id(content) == listed.object_id:
            return None
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return self._change(listed, status, executable=executable, digest=digest)

    def _object_id(self, content: bytes) -> str:
        # git's own name of the content. SHA-1 is what the repository has; `digest` binds, this only compares.
        framed = b"blob %d\0" % len(content) + content
        return hashlib.new(self._repository.object_format, framed, usedforsecurity=False).hexdigest()

    def _submodule(self, listed: Listed, path: Path) -> Change | None:
        try:
            commit = find_repository(path).commit
        except NotKnown as reason:
            return self._change(listed, "modified", executable=False, reason=str(reason))
        if commit == listed.object_id:
            return None
        return self._change(listed, "modified", executable=False, reason=f"submodule at {commit}")

    def _change(
        self, listed: Listed, status: _Status, *, executable: bool, digest: str | None = None, reason: str | None = None
    ) -> Change:
        path = f"{self._below}{os.fsdecode(listed.path)}"
        return _change(path, status, executable=executable, digest=digest, reason=reason)


def _change(
    path: str, status: _Status, *, executable: bool, digest: str | None = None, reason: str | None = None
) -> Change:
    shown = redact_text(printable(path))[:4096]
    return Change(path=shown, status=status, executable=executable, digest=digest, reason=reason)


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - names are bytes to git
        return file.read(MAX_FILE_BYTES)
