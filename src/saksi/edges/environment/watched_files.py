"""The watched files of an environment, looked at: whole, from the cache, or only what moved since the last look.

The listing of a tree that was sealed here is kept in the node-local cache under its digest, so that a later launch can
name the files that differ. It is believed only if it has that digest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.environment.interpreter import find_program, python_of
from saksi.edges.environment.listing import Listing, Question, cache_folder, list_environment
from saksi.edges.environment.remembered import RACY_NS
from saksi.edges.environment.stat_cache import Known, load_bytes, save_bytes
from saksi.edges.environment.tree import Progress, Read, read_files, silent
from saksi.edges.environment.walk import Walked
from saksi.judgement.environment.watched_files import FileAt, FilesAt, FolderAt, is_watched, tree_of, watches_folder
from saksi.judgement.redaction import printable
from saksi.words.digest import Digest
from saksi.words.errors import MalformedInput

__all__ = ["keep_tree", "look_at", "question_of", "recall_tree"]

_BATCH: Final = 512
"""Files between two questions whether to go on: some hundredths of a second."""
_MAX_LISTING: Final = 256 << 20
"""Two million files, as long as their names are."""
_KEPT: Final = 16
"""Listings that are kept of one environment, a megabyte or two each."""

_Lines = list[tuple[str, str, str, int]]


def question_of(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, *, cache: Path | None
) -> Question:
    """The environment that `command` would run in. Raises `NotKnown`."""
    program = find_program(command[0], environment, folder)
    python = python_of(program, environment, folder)
    return Question(python=python, environment=environment, folder=folder, cache=cache)


def look_at(
    question: Question,
    *,
    now_ns: int,
    before: FilesAt | None = None,
    whole: bool = False,
    go_on: Callable[[], bool] = lambda: True,
    progress: Progress = silent,
) -> FilesAt:
    """The watched files now. Raises `UsageError` if the path names no interpreter and no environment's folder.

    With `before`, only what moved since then is read, or was so young then that it could have changed unseen; with
    `whole`, everything, whatever a cache says. Once `go_on` is false, the rest is not read, and `reason` says so.
    """
    listing = list_environment(question, now_ns=now_ns, progress=progress, go_on=go_on)
    walked = [(root.place.label, _written(each), each) for root in listing.listed for each in root.walked]
    watched = [each for each in walked if is_watched(each[0], each[1])]
    reasons = [*listing.roots.unknown, *(each.reason for each in listing.listed if each.reason is not None)]
    if listing.python is None:
        reasons.append("the interpreter could not be asked for its paths")
    folder = cache_folder(question)
    # The cache keeps what was seen last: everything is looked up, also what is not watched, so that nothing is lost.
    cached = before is None and not whole
    known = Known(folder / "files" if cached and folder is not None else None, now_ns=now_ns)
    kept = {} if before is None or whole else _kept(watched, before)
    wanted = walked if cached else [each for each in watched if each[:2] not in kept]
    reads, stopped = _read([each for _, _, each in wanted], known, go_on, progress)
    known.save()
    files: dict[tuple[str, str], FileAt] = {}
    for label, path, each in watched:
        key = (label, path)
        if key in files:
            reasons.append(f"{label} {path}: two names that cannot be told apart in writing")
        if key in kept:
            files[key] = kept[key]
            continue
        read = reads.get(id(each))
        digest = None if read is None or read.digest is None else f"sha256:{read.digest.hex()}"
        if digest is None and not stopped:
            reasons.append(f"{label} {path}: {each.reason or (read and read.reason) or 'it was not read'}")
        files[key] = _at(each, digest)
    if stopped:
        reasons.insert(0, "the attempt was closed before every file was read")
    places = {root.place.label: root.place.folder for root in listing.listed}
    return FilesAt(files=files, now_ns=now_ns, folders=_folders(listing), reason=_said(reasons), places=places)


def _folders(listing: Listing) -> dict[tuple[str, str], FolderAt]:
    return {
        (root.place.label, path): FolderAt(
            (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns),
            (found.st_mode, found.st_uid, found.st_gid),
            names,
        )
        for root in listing.listed
        for path, found, names in root.folders
        if watches_folder(root.place.label, path)
    }


def _said(reasons: list[str]) -> str | None:
    if not reasons:
        return None
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{reasons[0][:512]}{more}"


def _written(each: Walked) -> str:
    return each.path if each.path.isascii() else printable(each.path)


def _at(each: Walked, digest: str | None) -> FileAt:
    found = each.found
    if found is None:
        return FileAt(None, 0)
    state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return FileAt(digest, found.st_size, state, (found.st_mode, found.st_uid, found.st_gid, found.st_nlink))


def _kept(watched: list[tuple[str, str, Walked]], before: FilesAt) -> dict[tuple[str, str], FileAt]:
    """The files that are in the state of the look before, and were not young then."""
    kept: dict[tuple[str, str], FileAt] = {}
    settled = before.now_ns - RACY_NS
    for label, path, each in watched:
        key = (label, path)
        was, now = before.files.get(key), each.found
        if was is None or was.digest is None or now is None or not was.state:
            continue
        device, inode, size, mtime, ctime = was.state
        same = ctime == now.st_ctime_ns and mtime == now.st_mtime_ns and size == now.st_size
        if same and inode == now.st_ino and device == now.st_dev and max(mtime, ctime) < settled:
            kept[key] = was
    return kept


def _read(
    files: list[Walked], known: Known, go_on: Callable[[], bool], progress: Progress
) -> tuple[dict[int, Read], bool]:
    """What each says, by identity, and whether the rest was left."""
    if progress is not silent:
        return {
            id(each): read for each, read in zip(files, read_files(files, known, progress=progress), strict=True)
        }, False
    reads: dict[int, Read] = {}
    for at in range(0, len(files), _BATCH):
        if not go_on():
            return reads, True
        batch = files[at : at + _BATCH]
        reads |= {id(each): read for each, read in zip(batch, read_files(batch, known), strict=True)}
    return reads, False


def keep_tree(question: Question, found: FilesAt) -> None:
    """Keep the listing of a whole tree, so that what differs from it can be named here. Costs at most its loss."""
    folder, digest = cache_folder(question), tree_of(found)
    if folder is None or digest is None:
        return
    lines: _Lines = [(label, path, at.digest or "", at.size) for (label, path), at in sorted(found.files.items())]
    trees = folder / "trees"
    save_bytes(trees / digest.hex, zlib.compress(msgspec.msgpack.encode(lines), level=1))
    with suppress(OSError):
        old = sorted(trees.iterdir(), key=lambda each: each.stat().st_mtime_ns)[:-_KEPT]
        for each in old:
            each.unlink()


def recall_tree(question: Question, digest: str) -> FilesAt | None:
    """The listing of the tree with this digest, if it was sealed here; `None` if it is not at hand."""
    folder = cache_folder(question)
    try:
        name = Digest.parse(digest).hex
    except MalformedInput:
        return None
    kept = None if folder is None else load_bytes(folder / "trees" / name)
    if kept is None:
        return None
    try:
        opened = zlib.decompressobj()
        lines = msgspec.msgpack.decode(opened.decompress(kept, _MAX_LISTING), type=_Lines)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    files = {(label, path): FileAt(each, size) for label, path, each, size in lines}
    found = FilesAt(files=files, now_ns=0)
    return found if str(tree_of(found)) == digest else None
