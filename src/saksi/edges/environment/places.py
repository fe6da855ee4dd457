"""Where the files were changed that two seals name: a version counts only if it has the digest that the seal says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.environment.repository import script_folder
from saksi.edges.environment.versions import Versions
from saksi.judgement.changed_lines import Place, first_changed_line
from saksi.judgement.seal import Sealed, SealedFile
from saksi.judgement.seal_differences import paths_apart
from saksi.words.digest import sha256

__all__ = ["Places"]

_MAX_PLACES: Final = 20
"""Files of one difference that are named; each is asked of git."""


class Places:
    """Looks places up in the work tree around the folder that the seals name, if it is on this machine."""

    def __init__(self, before: Sealed, after: Sealed, environment: Mapping[str, str]) -> None:
        self._before = before
        self._after = after
        folder = next((Path(s.working_directory) for s in (after, before) if _is_folder(s.working_directory)), None)
        self._versions = None if folder is None else Versions(folder, environment, first=_first(folder, after))

    def of(self, field: str) -> tuple[Place, ...]:
        """The places of the difference in `field`; none where it is about no file. Never raises."""
        before, after = self._before, self._after
        if field == "script":
            return self._file(before.script, after.script)
        if field.startswith("files."):
            path = field.removeprefix("files.")
            return self._file(*(next((f for f in side.files if f.path == path), None) for side in (before, after)))
        if before.git is None or after.git is None:
            return ()
        paths: list[str] = []
        if field == "git.dirtyDigest":
            paths = paths_apart(before.git.changed, after.git.changed)
        elif field == "git.commit" and before.git.commit and after.git.commit and self._versions is not None:
            paths = list(self._versions.changed_between(before.git.commit, after.git.commit))
        elif field == "git.untracked":
            return tuple(
                Place(path=each, line=None)
                for each in paths_apart(before.git.untracked, after.git.untracked)[:_MAX_PLACES]
            )
        return tuple(Place(path=each, line=self._tracked_line(each)) for each in paths[:_MAX_PLACES])

    def _file(self, before: SealedFile | None, after: SealedFile | None) -> tuple[Place, ...]:
        if before is None or after is None or before.path != after.path:
            return ()
        versions, line = self._versions, None
        if versions is not None and before.digest is not None and after.digest is not None:
            at_hand = [versions.on_disk(after.path)]
            path = versions.path_in_tree(after.path)
            if path is not None:
                at_hand += [versions.at_commit(commit, path) for commit in self._commits()]
            line = _line(_with_digest(at_hand, before.digest), _with_digest(at_hand, after.digest))
        return (Place(path=after.path, line=line),)

    def _commits(self) -> list[str]:
        found = (None if side.git is None else side.git.commit for side in (self._before, self._after))
        return list(dict.fromkeys(each for each in found if each is not None))

    def _tracked_line(self, path: str) -> int | None:
        if self._versions is None:
            return None
        at_hand = [self._versions.in_tree(path)]
        committed = {commit: self._versions.at_commit(commit, path) for commit in self._commits()}
        contents = []
        for side in (self._before, self._after):
            git = side.git
            if git is None:
                return None
            change = next((each for each in git.changed if each.path == path), None)
            if change is None:
                contents.append(None if git.commit is None else committed.get(git.commit))
            else:
                contents.append(
                    None if change.digest is None else _with_digest([*at_hand, *committed.values()], change.digest)
                )
        return _line(*contents)


def _first(folder: Path, sealed: Sealed) -> Path | None:
    prefix = None if sealed.interpreter is None else Path(sealed.interpreter.prefix)
    return script_folder(folder, None if sealed.script is None else sealed.script.path, prefix)


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_absolute() and Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _with_digest(versions: list[bytes | None], digest: str) -> bytes | None:
    return next((each for each in versions if each is not None and str(sha256(each)) == digest), None)


def _line(before: bytes | None, after: bytes | None) -> int | None:
    return None if before is None or after is None else first_changed_line(before, after)
