"""Where a git repository lies and what its HEAD says, read as plain files: no git runs, no configuration is obeyed.

The repository is untrusted: it may be what was attacked. Of its configuration two facts are read, by pattern: the
object format, and whether the file system keeps the executable bit.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.environment.interpreter import NotKnown

__all__ = ["Repository", "find_repository", "read_bounded", "repository_folder", "script_folder"]

_MAX_SMALL: Final = 65_536
_MAX_PACKED_REFS: Final = 64 * 1024 * 1024
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_REF: Final = re.compile(r"refs/[^\x00-\x20~^:?*\[\\\x7f]+")
_SHA256_FORMAT: Final = re.compile(r"(?im)^\s*objectformat\s*=\s*\"?sha256")
_NO_FILE_MODE: Final = re.compile(r"(?im)^\s*filemode\s*=\s*\"?(?:false|no|off|0)\b")
_MAX_SYMBOLIC: Final = 5


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A work tree and its repository. `common` differs from `git_dir` in a linked work tree (`git worktree`)."""

    top: Path
    git_dir: Path
    common: Path
    commit: str | None
    branch: str | None
    object_format: str
    file_mode: bool


def find_repository(start: Path) -> Repository:
    """The repository around `start`, with its HEAD. Raises `NotKnown`."""
    for top in (start, *start.parents):
        place = top / ".git"
        if place.is_dir():
            return _read(top, place)
        if place.is_file():
            pointed = read_bounded(place).removeprefix("gitdir:").strip()
            return _read(top, top / pointed)
    raise NotKnown("the working directory is in no git repository")


def script_folder(folder: Path, script: str | None, prefix: Path | None) -> Path | None:
    """The folder that a script really lies in, where its modules are looked for first; `None` where it is no file.

    Neither has a program of the environment below `prefix` one: what it starts is looked for elsewhere.
    """
    if script is None:
        return None
    try:
        found = Path(os.path.realpath(folder / script))
        own = prefix is not None and found.is_relative_to(os.path.realpath(prefix))
        return found.parent if found.is_file() and not own else None
    except (OSError, ValueError):
        return None


def repository_folder(folder: Path, first: Path | None) -> Path:
    """Where the repository of a launch in `folder` is looked for: around its script's folder `first`, if one is there.

    A script that lies in none is sealed by itself; then it is the repository around `folder`.
    """
    if first is not None and any((each / ".git").exists() for each in (first, *first.parents)):
        return first
    return folder


def _read(top: Path, git_dir: Path) -> Repository:
    common_file = git_dir / "commondir"
    common = git_dir / read_bounded(common_file).strip() if common_file.is_file() else git_dir
    configuration = read_bounded(common / "config") if (common / "config").is_file() else ""
    commit, branch = _head(git_dir, common)
    return Repository(
        top=top,
        git_dir=git_dir.absolute(),
        common=common.absolute(),
        commit=commit,
        branch=branch,
        object_format="sha256" if _SHA256_FORMAT.search(configuration) else "sha1",
        file_mode=_NO_FILE_MODE.search(configuration) is None,
    )


def _head(git_dir: Path, common: Path) -> tuple[str | None, str | None]:
    """The commit and branch that HEAD names; no commit before the first one. Raises `NotKnown`."""
    text, branch = read_bounded(git_dir / "HEAD").strip(), None
    for _ in range(_MAX_SYMBOLIC):
        if _OBJECT_ID.fullmatch(text):
            return text, branch
        ref = text.removeprefix("ref:").strip()
        if not text.startswith("ref:") or _REF.fullmatch(ref) is None or ".." in ref:
            break
        if ref == "refs/heads/.invalid":
            raise NotKnown("the repository keeps its references as a reftable, which this build does not read")
        branch = branch or ref.removeprefix("refs/heads/")
        found = _loose(git_dir / ref) or _loose(common / ref) or _packed(common / "packed-refs", ref)
        if found is None:
            return None, branch
        text = found
    raise NotKnown("the repository's HEAD is not readable")


def _loose(path: Path) -> str | None:
    return read_bounded(path).strip() if path.is_file() else None


def _packed(path: Path, ref: str) -> str | None:
    if not path.is_file():
        return None
    found = re.search(rf"(?m)^([0-9a-f]{{40,64}}) {re.escape(ref)}$", read_bounded(path, limit=_MAX_PACKED_REFS))
    return None if found is None else found[1]


def read_bounded(path: Path, *, limit: int = _MAX_SMALL) -> str:
    """The text of a file of at most `limit` bytes. Raises `NotKnown`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking on a FIFO
            content = file.read(limit + 1)
    except OSError as error:
        raise NotKnown(f"{path.name} of the repository could not be read: {error.strerror}") from None
    if len(content) > limit:
        raise NotKnown(f"{path.name} of the repository is larger than {limit} bytes")
    return content.decode("utf-8", "surrogateescape")
