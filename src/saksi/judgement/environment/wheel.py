"""A wheel, as its own texts describe it: its name, WHEEL, RECORD and entry points. The bytes come from the edges.

References: PEP 427 and the "Binary distribution format" and "Entry points" pages of the packaging specifications.
Known weakness: what an archive means is the word of the one library that reads it; two readers may disagree about an
archive that was made for that. Names that occur twice are refused, which is the usual way.
"""

from __future__ import annotations

import base64
import binascii
import csv
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from saksi.words.errors import MalformedInput, UnsupportedVersion

__all__ = [
    "MAX_ENTRY_POINTS_BYTES",
    "MAX_RECORD_BYTES",
    "MAX_WHEEL_TEXT_BYTES",
    "EntryPoint",
    "Member",
    "RecordRow",
    "WheelContents",
    "WheelName",
    "behind_first_line",
    "is_safe_path",
    "normalise",
    "parse_entry_points",
    "parse_record",
    "parse_wheel_name",
    "root_is_purelib",
    "without_record",
]

MAX_RECORD_BYTES: Final = 64 << 20
"""torch has 12,000 rows in 1.3 MB; a wheel of as many files as fit a manifest has 20 MB."""
MAX_WHEEL_TEXT_BYTES: Final = 1 << 16
"""WHEEL is some 100 bytes; a wheel with many tags has a line for each."""
MAX_ENTRY_POINTS_BYTES: Final = 1 << 20
"""The longest known (plug-ins of one framework) has 20 kB."""

_NAME: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?)-(?P<version>[A-Za-z0-9_.!+]+)"
    r"(?:-(?P<build>[0-9][A-Za-z0-9_.]*))?"
    r"-(?P<pythons>[A-Za-z0-9_.]+)-(?P<abis>[A-Za-z0-9_.]+)-(?P<platforms>[A-Za-z0-9_.]+)\.whl",
    re.ASCII,
)
_MAX_FILE_NAME: Final = 255  # the kernel's limit
_ENTRY: Final = re.compile(r"(?P<module>[\w.]+)\s*(?::\s*(?P<attribute>[\w.]+)\s*)?(?:\[[^\]]*\]\s*)?")
_SCRIPT_GROUPS: Final = ("console_scripts", "gui_scripts")
_DIGEST_BYTES: Final = {"sha256": 32, "sha384": 48, "sha512": 64}
"""What the specification allows: no algorithm weaker than SHA-256."""
_RECORD_COLUMNS: Final = 3
_WITHOUT_RECORD: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")


class WheelName(msgspec.Struct, frozen=True, kw_only=True):
    """What the file's name says; the tags are alternatives."""

    distribution: str
    version: str
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]


class RecordRow(msgspec.Struct, frozen=True, kw_only=True):
    """What RECORD says of a member; both are null for RECORD itself."""

    algorithm: str | None
    digest: bytes | None
    size: int | None


class EntryPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A console script that installers are asked to write."""

    name: str
    module: str
    attribute: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a wheel. `behind` is digest and size behind the first line, of a script that says `#!python` there."""

    path: str
    digest: str
    size: int
    behind: tuple[str, int] | None = None


class WheelContents(msgspec.Struct, frozen=True, kw_only=True):
    """A whole wheel: its own RECORD agrees with its members. `metadata_folder` is `NAME-VERSION.dist-info`."""

    file: str
    digest: str
    size: int
    name: WheelName
    metadata_folder: str
    purelib: bool
    members: tuple[Member, ...]
    entry_points: tuple[EntryPoint, ...]


def normalise(name: str) -> str:
    """A distribution's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_wheel_name(file: str) -> WheelName:
    """The parts of a wheel's file name. Raises `MalformedInput`."""
    found = _NAME.fullmatch(file) if len(file) <= _MAX_FILE_NAME else None
    if found is None:
        raise MalformedInput(
            "wheel",
            "its name is not NAME-VERSION-PYTHON-ABI-PLATFORM.whl",
            where=file[:300],
            remedy="give it back the name it was published under",
        )
    return WheelName(
        distribution=normalise(found["name"]),
        version=found["version"].replace("_", "-"),
        pythons=tuple(found["pythons"].split(".")),
        abis=tuple(found["abis"].split(".")),
        platforms=tuple(found["platforms"].split(".")),
    )


def is_safe_path(path: str) -> bool:
    """Whether a member's name stays below the folder that it is unpacked in, on every system."""
    return not (
        "\\" in path
        or "\0" in path
        or any(part in {"", ".", ".."} for part in path.split("/"))
        or re.match(r"[A-Za-z]:", path) is not None
    )


def root_is_purelib(text: bytes, *, where: str) -> bool:
    """What WHEEL says of where the files go. Raises `MalformedInput`, and `UnsupportedVersion` for another format."""
    members: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            members.setdefault(name.strip().lower(), value.strip())
    version = members.get("wheel-version", "")
    if re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", version) is None:
        raise MalformedInput("wheel", "its WHEEL names no Wheel-Version", where=where)
    if not version.startswith(("0.", "1.")):
        raise UnsupportedVersion(f"wheel, {where}: of format {version[:20]}; 1.x is known here")
    return members.get("root-is-purelib", "").lower() == "true"


def parse_record(text: bytes, *, where: str) -> Mapping[str, RecordRow]:
    """RECORD by path. Raises `MalformedInput`, also for two rows of one path that differ."""
    rows: dict[str, RecordRow] = {}
    try:
        for number, row in enumerate(csv.reader(_lines(text), strict=True), start=1):
            if row:
                path, parsed = _record_row(row, where=f"{where}, RECORD, row {number}")
                if rows.setdefault(path, parsed) != parsed:
                    raise MalformedInput("wheel", f"two rows of {path[:200]!r} differ", where=f"{where}, RECORD")
    except (csv.Error, UnicodeDecodeError) as error:
        raise MalformedInput("wheel", f"not comma-separated text: {error}", where=f"{where}, RECORD") from None
    return rows


def _lines(text: bytes) -> list[str]:
    # Not `splitlines`: a path may hold what it takes for the end of a line.
    return [line.removesuffix("\r") for line in text.decode("utf-8").split("\n")]


def _record_row(row: list[str], *, where: str) -> tuple[str, RecordRow]:
    if len(row) != _RECORD_COLUMNS:
        raise MalformedInput("wheel", f"{len(row)} columns instead of {_RECORD_COLUMNS}", where=where)
    path, hashed, size = row
    if not (size == "" or (size.isascii() and size.isdigit() and len(size) <= len(str(2**63)))):
        raise MalformedInput("wheel", f"{size[:40]!r} is not a size", where=where)
    algorithm, equals, encoded = hashed.partition("=")
    if not hashed:
        return path, RecordRow(algorithm=None, digest=None, size=None if size == "" else int(size))
    if not equals or algorithm not in _DIGEST_BYTES:
        raise MalformedInput("wheel", f"{hashed[:80]!r} is not a SHA-256, SHA-384 or SHA-512", where=where)
    try:
        digest = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _DIGEST_BYTES[algorithm]:
        raise MalformedInput("wheel", f"{hashed[:120]!r} is not a digest", where=where)
    return path, RecordRow(algorithm=algorithm, digest=digest, size=None if size == "" else int(size))


def behind_first_line(content: bytes) -> bytes:
    """What stands behind the first line of a wheel's script: the part that installers keep."""
    return content.partition(b"\n")[2]


def without_record(path: str, metadata_folder: str) -> bool:
    """Whether a member cannot have a digest in RECORD: RECORD itself and what signs it."""
    return path.removeprefix(f"{metadata_folder}/") in _WITHOUT_RECORD and path.startswith(f"{metadata_folder}/")


def parse_entry_points(text: bytes, *, where: str) -> tuple[EntryPoint, ...]:
    """The console scripts of `entry_points.txt`, sorted; a name that is there twice has its last value.

    Raises `MalformedInput`.
    """
    found: dict[str, EntryPoint] = {}
    place = f"{where}, entry_points.txt"
    for name, value in _scripts_of(text, where=place):
        entry = _ENTRY.fullmatch(value)
        if entry is None or entry["attribute"] is None:
            raise MalformedInput("wheel", f"{value[:80]!r} names no function", where=place)
        if not is_safe_path(name) or "/" in name:
            raise MalformedInput("wheel", f"{name[:80]!r} cannot be the name of a script", where=place)
        found[name] = EntryPoint(name=name, module=entry["module"], attribute=entry["attribute"])
    return tuple(found[name] for name in sorted(found))


def _scripts_of(text: bytes, *, where: str) -> Iterable[tuple[str, str]]:
    try:
        lines = text.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise MalformedInput("wheel", f"not UTF-8: {error}", where=where) from None
    group = None
    for line in map(str.strip, lines):
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group in _SCRIPT_GROUPS:
            name, equals, value = line.partition("=")
            if not equals:
                raise MalformedInput("wheel", f"{line[:80]!r} is not NAME = MODULE:FUNCTION", where=where)
            yield name.strip(), value.strip()
