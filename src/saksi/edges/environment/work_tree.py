"""The part of the seal about git: what HEAD is, and what lies in the work tree beside it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from saksi.edges.environment.files import MAX_FILE_BYTES, FileSealer
from saksi.edges.environment.git import GITLINK, SYMLINK, Listed, ask, listed_changes, shadow
from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.repository import Repository, find_repository
from saksi.judgement.redaction import printable, redact_text
from saksi.judgement.seal import MAX_CHANGES, MAX_UNTRACKED, Change, Git, SealedFile, digest_of_changes
from saksi.judgement.untracked import is_code

__all__ = ["GIT_SECONDS", "MAX_CHANGED_BYTES", "observe_git"]

GIT_SECONDS: Final = 1.0
"""A repository of 100,000 files answers in about half of it; the job waits meanwhile."""
MAX_CHANGED_BYTES: Final = 64 * 1024 * 1024

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

    `scratch` is a private folder that exists; `clock` gives monotonic seconds.
    """
    try:
        repository = find_repository(folder)
        with shadow(repository, scratch) as git_dir:
            answers = ask(repository, git_dir, environment, until=clock() + GIT_SECONDS, clock=clock)
    except NotKnown as reason:
        unobserved["git"] = str(reason)
        return None
    except OSError as error:
        unobserved["git"] = f"the repository could not be read: {error.strerror}"
        return None
    tree = answers.get("tree", b"").decode("ascii", "replace").strip() or None
    if tree is None and repository.commit is not None:
        unobserved["git.tree"] = "git does not find the commit, or took too long"
    changes = _changes(repository, answers, unobserved)
    untracked, total = _untracked(repository.top, answers, redaction_key, unobserved)
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


def _changes(
    repository: Repository, answers: Mapping[str, bytes], unobserved: dict[str, str]
) -> tuple[Change, ...] | None:
    try:
        listed = listed_changes(answers)
    except NotKnown as reason:
        unobserved["git.changed"] = str(reason)
        return None
    reader = _ChangeReader(repository)
    return tuple(change for each in listed.values() if (change := reader.read(each)) is not None)


class _ChangeReader:
    """Looks at the files that may differ, within one budget of bytes."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._left = MAX_CHANGED_BYTES

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
        if found.st_size > min(MAX_FILE_BYTES, self._left):
            return self._change(listed, status, executable=executable, reason=f"{found.st_size} bytes: not read")
        self._left -= found.st_size
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

    @staticmethod
    def _change(
        listed: Listed, status: _Status, *, executable: bool, digest: str | None = None, reason: str | None = None
    ) -> Change:
        path = redact_text(printable(os.fsdecode(listed.path)))[:4096]
        return Change(path=path, status=status, executable=executable, digest=digest, reason=reason)


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - names are bytes to git
        return file.read(MAX_FILE_BYTES)


def _untracked(
    top: Path, answers: Mapping[str, bytes], redaction_key: bytes, unobserved: dict[str, str]
) -> tuple[tuple[SealedFile, ...], int | None]:
    if "untracked" not in answers:
        unobserved["git.untracked"] = "git failed, or took too long, listing the files that it does not track"
        return (), None
    paths = [os.fsdecode(each) for each in answers["untracked"].split(b"\0") if each]
    paths.sort(key=lambda path: (not is_code(path), os.fsencode(path)))
    sealer = FileSealer(top, redaction_key)
    return tuple(sealer.seal(each) for each in paths[:MAX_UNTRACKED]), len(paths)
