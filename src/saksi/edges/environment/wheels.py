"""Pristine wheels in a folder: what each holds, after its own RECORD was compared with what is in it.

Rules:

- A wheel is read from one open file, and its state is the same before and after: digest and members belong together.
- Every member is read whole and hashed; what RECORD says and what the archive holds must agree, in both directions.
- What an archive may do to a reader is bounded: how many members, how large, how far they may expand. Nothing is
  unpacked to the disk, and nothing in a wheel is run.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

from saksi.edges.environment.given_file import read_given
from saksi.edges.files import BUFFER, state_of
from saksi.judgement.environment.lock import MAX_LOCK_BYTES
from saksi.judgement.environment.scripts import MAX_SCRIPT_BYTES
from saksi.judgement.environment.wheel import (
    MAX_ENTRY_POINTS_BYTES,
    MAX_RECORD_BYTES,
    MAX_WHEEL_TEXT_BYTES,
    Member,
    RecordRow,
    WheelContents,
    WheelName,
    behind_first_line,
    is_safe_path,
    normalise,
    parse_entry_points,
    parse_record,
    parse_wheel_name,
    root_is_purelib,
    without_record,
)
from saksi.words.errors import MalformedInput, SaksiError, UsageError

__all__ = ["packed_size", "read_lock_file", "read_wheel", "wheel_files"]

_MAX_WHEELS: Final = 20_000
"""As many distributions as a manifest may have."""
_MAX_MEMBERS: Final = 200_000
"""torch has 12,000; more than a manifest may list is no wheel of its."""
_MAX_MEMBER_BYTES: Final = 16 << 30
"""The largest library in a wheel (CUDA, cuBLAS) has 1 GB."""
_MAX_BYTES: Final = 64 << 30
"""Of one wheel, unpacked."""
_MAX_EXPANSION: Final = 200
"""Unpacked bytes for each packed one: libraries and text have 2 to 20, a bomb has a thousand."""
_FREE_BYTES: Final = 64 << 20
"""Up to here no expansion is asked about: small wheels of zeros are harmless."""

_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1
_AGAIN: Final = "fetch it again"


def wheel_files(folder: Path) -> tuple[Path, ...]:
    """The wheels in `folder`, sorted by name. Raises `UsageError` for a folder that has none, or too many."""
    try:
        found = sorted(path for path in folder.iterdir() if path.name.endswith(".whl"))
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", remedy="name a folder of wheels") from None
    if not found:
        raise UsageError(f"{folder}: no wheel in it", remedy="`pip download -d DIR -r LOCK` fetches wheels")
    if len(found) > _MAX_WHEELS:
        raise UsageError(
            f"{folder}: more than {_MAX_WHEELS} wheels", remedy="name a folder of one environment's wheels"
        )
    return tuple(found)


def read_lock_file(path: Path) -> bytes:
    """The content of a lock file. Raises `UsageError`."""
    return read_given(path, MAX_LOCK_BYTES, remedy="give a lock file with hashes")


def read_wheel(path: Path, *, told: Callable[[int], None] = lambda _: None) -> WheelContents:
    """What the wheel at `path` holds. `told` hears how many of its packed bytes were read since it last heard.

    Raises `MalformedInput` (1) for one that is broken or contradicts itself, `SaksiError` (4) if it cannot be read.
    """
    name = parse_wheel_name(path.name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor: without blocking, should it be a FIFO
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise UsageError(f"{path}: not a regular file", remedy="name a folder of wheels")
            contents = _read(file, name, path.name, before.st_size, told)
            if state_of(os.fstat(file.fileno())) != state_of(before):
                raise SaksiError(f"{path}: it changed while it was read", remedy="wait until it is fetched, then again")
            return contents
    except OSError as error:
        raise SaksiError(f"{path}: {error.strerror or error}", remedy="make it readable, then again") from None


def _read(file: BufferedReader, name: WheelName, where: str, size: int, told: Callable[[int], None]) -> WheelContents:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, where, size)
            folder = _metadata_folder(members, name, where)
            record = parse_record(_text(archive, members, f"{folder}/RECORD", MAX_RECORD_BYTES, where), where=where)
            pure = root_is_purelib(_text(archive, members, f"{folder}/WHEEL", MAX_WHEEL_TEXT_BYTES, where), where=where)
            entry_points = f"{folder}/entry_points.txt"
            scripts = b""
            if entry_points in members:
                scripts = _text(archive, members, entry_points, MAX_ENTRY_POINTS_BYTES, where)
            _require_same_names(members, record, folder, where)
            data = f"{folder.removesuffix('.dist-info')}.data/scripts/"
            read = []
            for each, found in members.items():
                read.append(_member(archive, found, record.get(each), where, is_script=each.startswith(data)))
                told(found.compress_size)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # `zipfile` names an archive that it cannot read by any of these.
        raise MalformedInput("wheel", f"a broken archive ({error})"[:300], where=where, remedy=_AGAIN) from None
    return WheelContents(
        file=where,
        digest=f"sha256:{digest}",
        size=size,
        name=name,
        metadata_folder=folder,
        purelib=pure,
        members=tuple(sorted(read, key=lambda each: each.path)),
        entry_points=parse_entry_points(scripts, where=where),
    )


def _members(archive: zipfile.ZipFile, where: str, size: int) -> Mapping[str, zipfile.ZipInfo]:
    """The files in the archive by name, folders left out, once none of them could do harm."""
    listed = archive.infolist()
    if len(listed) > _MAX_MEMBERS:
        raise MalformedInput("wheel", f"more than {_MAX_MEMBERS} members", where=where, remedy=_AGAIN)
    unpacked = sum(each.file_size for each in listed)
    if unpacked > min(_MAX_BYTES, max(_FREE_BYTES, size * _MAX_EXPANSION)):
        reason = f"it would unpack to {unpacked:,} bytes from {size:,}"
        raise MalformedInput("wheel", reason, where=where, remedy="look at who made it")
    found: dict[str, zipfile.ZipInfo] = {}
    for each in listed:
        unfit = _unfit(each, found)
        if unfit is not None:
            raise MalformedInput("wheel", f"{each.filename[:200]!r} {unfit}", where=where, remedy="look at who made it")
        if not each.is_dir():
            found[each.filename] = each
    return found


def _unfit(member: zipfile.ZipInfo, before: Mapping[str, zipfile.ZipInfo]) -> str | None:
    """Why a member cannot be one of a wheel; `None` if it can."""
    if not is_safe_path(member.filename.removesuffix("/")) or member.orig_filename != member.filename:
        return "leads out of the folder it is unpacked in"
    if member.filename in before:
        return "is there twice"
    if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
        return "is encrypted, or packed in a way that wheels are not"
    if member.file_size > _MAX_MEMBER_BYTES:
        return f"is larger than {_MAX_MEMBER_BYTES:,} bytes"
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a link or a device"
    return None


def _metadata_folder(members: Mapping[str, zipfile.ZipInfo], name: WheelName, where: str) -> str:
    folders = {path.partition("/")[0] for path in members if path.partition("/")[0].endswith(".dist-info")}
    if len(folders) != 1:
        reason = f"{len(folders)} folders of metadata (*.dist-info) instead of one"
        raise MalformedInput("wheel", reason, where=where, remedy=_AGAIN)
    (folder,) = folders
    if normalise(folder.removesuffix(".dist-info").partition("-")[0]) != name.distribution:
        raise MalformedInput(
            "wheel",
            f"its metadata is of another distribution: {folder[:200]!r}",
            where=where,
            remedy="give it its own name",
        )
    return folder


def _text(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], path: str, limit: int, where: str) -> bytes:
    found = members.get(path)
    if found is None or found.file_size > limit:
        reason = f"no {path[:200]!r} in it" if found is None else f"{path[:200]!r} has more than {limit:,} bytes"
        raise MalformedInput("wheel", reason, where=where, remedy=_AGAIN)
    with archive.open(found) as stream:
        return stream.read(limit)


def _require_same_names(
    members: Mapping[str, zipfile.ZipInfo], record: Mapping[str, RecordRow], folder: str, where: str
) -> None:
    unlisted = next((each for each in members if each not in record and not without_record(each, folder)), None)
    if unlisted is not None:
        reason = f"{unlisted[:200]!r} is in the archive and not in its RECORD"
        raise MalformedInput("wheel", reason, where=where, remedy=_AGAIN)
    absent = next((each for each in record if each not in members and not without_record(each, folder)), None)
    if absent is not None:
        reason = f"{absent[:200]!r} is in its RECORD and not in the archive"
        raise MalformedInput("wheel", reason, where=where, remedy=_AGAIN)
    unhashed = next((p for p, row in record.items() if row.digest is None and not without_record(p, folder)), None)
    if unhashed is not None:
        raise MalformedInput("wheel", f"RECORD has no hash of {unhashed[:200]!r}", where=where, remedy=_AGAIN)


def _member(
    archive: zipfile.ZipFile, found: zipfile.ZipInfo, row: RecordRow | None, where: str, *, is_script: bool
) -> Member:
    ours = hashlib.sha256()
    theirs = hashlib.new(row.algorithm) if row is not None and row.algorithm not in {None, "sha256"} else ours
    size = 0
    script = b""
    with archive.open(found) as stream:
        while chunk := stream.read(BUFFER):
            size += len(chunk)
            ours.update(chunk)
            if theirs is not ours:
                theirs.update(chunk)
            if is_script and size <= MAX_SCRIPT_BYTES:
                script += chunk
    if row is not None and row.digest is not None and (row.digest != theirs.digest() or row.size not in {None, size}):
        reason = f"{found.filename[:200]!r} is not what its RECORD says"
        raise MalformedInput("wheel", reason, where=where, remedy=_AGAIN)
    behind = None
    if script.startswith(b"#!python") and size <= MAX_SCRIPT_BYTES:
        rest = behind_first_line(script)
        behind = (f"sha256:{hashlib.sha256(rest).hexdigest()}", len(rest))
    return Member(path=found.filename, digest=f"sha256:{ours.hexdigest()}", size=size, behind=behind)


def packed_size(paths: Sequence[Path]) -> int:
    """How many bytes there are to read; what cannot be asked counts nothing. Never raises."""
    total = 0
    for path in paths:
        with suppress(OSError):
            total += path.stat().st_size
    return total
