"""The lists of installed files, read from an environment: RECORD of wheels, conda's own, and what has none.

A list that cannot be read or parsed leaves its distribution without one, with the reason.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.environment.distributions import distribution_of
from saksi.edges.environment.tree import Read
from saksi.edges.environment.walk import Walked
from saksi.judgement.environment.installed import InstalledDistribution
from saksi.judgement.environment.record_file import MAX_RECORD_BYTES, RecordRow, parse_record
from saksi.judgement.redaction import printable
from saksi.words.errors import MalformedInput

__all__ = ["conda_distributions", "distributions_in", "list_digests"]

MAX_CONDA_BYTES: Final = 64 * 1024 * 1024
"""The list of a large package (a CUDA toolkit) has a few megabytes."""
MAX_CONDA_LISTS: Final = 10_000
MAX_LISTS_BYTES: Final = 1 << 30
"""RECORD of all distributions in one root; those of the largest environments known have 30 MB together."""
_SMALL: Final = 65_536
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EGG_INFO: Final = (".egg-info", ".egg")


class _CondaPath(msgspec.Struct, frozen=True):
    path: str = msgspec.field(name="_path")
    path_type: str = "hardlink"
    sha256: str | None = None
    sha256_in_prefix: str | None = None
    size_in_bytes: int | None = None


class _CondaPaths(msgspec.Struct, frozen=True):
    paths: tuple[_CondaPath, ...] = ()


class _CondaList(msgspec.Struct, frozen=True):
    name: str
    version: str
    files: tuple[str, ...] = ()
    paths_data: _CondaPaths = _CondaPaths()


def list_digests(label: str, files: Sequence[Walked], reads: Sequence[Read]) -> list[str]:
    """The digests of everything that `distributions_in` would read in this root: equal ones, equal lists."""
    return [
        f"{label}\0{file.path}\0{'' if read.digest is None else read.digest.hex()}"
        for file, read in zip(files, reads, strict=True)
        if "-info/" in file.path or ".egg" in file.path
    ]


def distributions_in(
    label: str, folder: str, files: Sequence[Walked], reads: Sequence[Read]
) -> Iterator[InstalledDistribution]:
    """Every distribution whose metadata lies in this root."""
    metadata: dict[str, dict[str, tuple[Walked, Read]]] = {}
    for file, read in zip(files, reads, strict=True):
        if "-info" not in file.path and ".egg" not in file.path:
            continue
        top, _, rest = file.path.partition("/")
        if top.endswith((".dist-info", *_EGG_INFO)):
            metadata.setdefault(top, {})[rest] = (file, read)
    left = MAX_LISTS_BYTES
    for top, inside in metadata.items():
        if top.endswith(".dist-info"):
            left -= _size_of(inside.get("RECORD"))
            yield _wheel(label, folder, top, inside, too_much=left < 0)
        elif label.startswith(("editable:", "path:")) and top.endswith(".egg-info"):
            continue  # a checkout's own metadata: it installs nothing
        else:
            yield _egg(label, folder, top, inside)


def _size_of(entry: tuple[Walked, Read] | None) -> int:
    return 0 if entry is None or entry[0].found is None else entry[0].found.st_size


def _wheel(
    label: str, folder: str, top: str, inside: dict[str, tuple[Walked, Read]], *, too_much: bool
) -> InstalledDistribution:
    named = distribution_of(Path(folder), top)
    modules = tuple(_text(inside, "top_level.txt").split())
    found = InstalledDistribution(
        name=named.name,
        version=named.version,
        kind="unlisted",
        label=label,
        place=printable(top),
        modules=modules,
        installer=_text(inside, "INSTALLER").strip() or None,
    )
    if "RECORD" not in inside:
        return msgspec.structs.replace(found, reason="its RECORD is missing")
    if too_much:
        reason = f"its RECORD: more than {MAX_LISTS_BYTES:,} bytes of lists in one root are not read"
        return msgspec.structs.replace(found, reason=reason)
    try:
        rows = parse_record(_same_content(*inside["RECORD"], MAX_RECORD_BYTES))
    except MalformedInput as error:
        return msgspec.structs.replace(found, reason=str(error))
    except OSError as error:
        return msgspec.structs.replace(found, reason=f"its RECORD could not be read: {error.strerror}")
    if not rows:
        return msgspec.structs.replace(found, reason="its RECORD is empty")
    return msgspec.structs.replace(found, kind="wheel", rows=rows)


def _egg(label: str, folder: str, top: str, inside: dict[str, tuple[Walked, Read]]) -> InstalledDistribution:
    named = distribution_of(Path(folder), top)
    return InstalledDistribution(
        name=named.name,
        version=named.version,
        kind="unlisted",
        label=label,
        place=printable(top),
        modules=tuple((_text(inside, "top_level.txt") or _text(inside, "EGG-INFO/top_level.txt")).split()),
        reason="it was installed without a list that has digests",
    )


def _text(inside: dict[str, tuple[Walked, Read]], name: str) -> str:
    if name not in inside:
        return ""
    try:
        return _content(inside[name][0].where, _SMALL).decode("utf-8", "replace")
    except OSError:
        return ""


def _same_content(file: Walked, read: Read, limit: int) -> bytes:
    """The content that was hashed. Raises `OSError`, also if it is another by now."""
    if read.digest is None:
        raise OSError(0, read.reason or "no reason was given")
    content = _content(file.where, limit + 1)
    if hashlib.sha256(content).digest() != read.digest:
        raise OSError(0, "it changed while it was read")
    return content


def _content(path: str, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking
        return file.read(limit)


def conda_distributions(prefix: str, folder: str) -> Iterator[InstalledDistribution]:
    """Everything that conda says it installed in `prefix`, as seen from purelib, which lies at `folder`."""
    meta = f"{prefix}/conda-meta"
    try:
        names = sorted(name for name in os.listdir(meta) if name.endswith(".json"))[:MAX_CONDA_LISTS]  # noqa: PTH208
    except OSError:
        return
    up = os.path.relpath(prefix, folder)
    for name in names:
        yield _conda(f"{meta}/{name}", name, up)


def _conda(path: str, name: str, up: str) -> InstalledDistribution:
    place = printable(f"conda-meta/{name}")
    try:
        # What is longer than the limit is cut, and does not parse.
        found = msgspec.json.decode(_content(path, MAX_CONDA_BYTES), type=_CondaList)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        stem = name.removesuffix(".json")
        return InstalledDistribution(
            name=stem, version="", kind="unlisted", label="purelib", place=place, reason=f"its list: {error}"
        )
    listed = found.paths_data.paths or tuple(_CondaPath(path=each) for each in found.files)
    rows = tuple(row for each in listed if (row := _conda_row(each, up)) is not None)
    return InstalledDistribution(
        name=found.name, version=found.version, kind="conda", label="purelib", place=place, rows=rows
    )


def _conda_row(listed: _CondaPath, up: str) -> RecordRow | None:
    if listed.path_type == "directory" or not listed.path or listed.path.startswith("/"):
        return None
    # Of a link the digest is that of some target at build time; the target has a row of its own.
    sha256 = None if listed.path_type == "softlink" else listed.sha256_in_prefix or listed.sha256
    digest = f"sha256:{sha256}" if sha256 is not None and _DIGEST.fullmatch(sha256) else None
    same = listed.sha256_in_prefix in (None, listed.sha256)
    return RecordRow(f"{up}/{listed.path}", None, digest, listed.size_in_bytes if same else None)
