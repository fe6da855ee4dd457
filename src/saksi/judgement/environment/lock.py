"""What a lock file allows: for each distribution the SHA-256 of every archive that it may come from.

Two forms: requirements with `--hash=sha256:…` (pip), and `pylock.toml` (PEP 751). Rules:

- An entry without a hash refuses the file: it would let any archive pass.
- What is locked to a folder, a repository or a source archive alone is not covered by wheels, and is said so.
- Files that a lock refers to are not followed: one file says everything.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from saksi.judgement.environment.manifest import NotCovered
from saksi.judgement.environment.wheel import normalise
from saksi.words.errors import UnsupportedVersion, UsageError

__all__ = ["MAX_LOCK_BYTES", "Lock", "Locked", "parse_lock"]

MAX_LOCK_BYTES: Final = 32 << 20
"""A thousand distributions with fifty wheels each are 4 MB."""
_MAX_LOCKED: Final = 20_000
"""As in a manifest."""

_HASH: Final = re.compile(r"--hash(?:=|\s+)(\S+)")
_OPTION: Final = re.compile(r"\s--?[A-Za-z]")
_SHA256: Final = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?"  # as long as a manifest may name
_REQUIREMENT: Final = re.compile(rf"(?P<name>{_NAME})\s*(?:\[[^\]]*\])?\s*(?P<rest>.*)", re.ASCII | re.DOTALL)
_PINNED: Final = re.compile(r"\(?\s*={2,3}\s*(?P<version>[A-Za-z0-9_.!+-]+)\s*\)?", re.ASCII)
_IGNORED: Final = frozenset(
    [
        "-i",
        "--index-url",
        "--extra-index-url",
        "-f",
        "--find-links",
        "--no-index",
        "--no-binary",
        "--only-binary",
        "--prefer-binary",
        "--pre",
        "--require-hashes",
        "--trusted-host",
        "--use-feature",
    ]
)
"""Where pip looks, which does not matter once the digest decides."""
_FOLLOWED: Final = frozenset(["-r", "--requirement", "-c", "--constraint"])
_WITH_HASHES: Final = "make it with hashes: `pip-compile --generate-hashes`, `uv export`, or `pip lock`"


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution and the archives it may come from; `marker` is the condition under which it is installed."""

    name: str
    version: str | None
    digests: frozenset[str]
    marker: str | None
    place: str


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """What may be installed, and what no wheel can be asked about."""

    entries: tuple[Locked, ...]
    not_covered: tuple[NotCovered, ...]


def parse_lock(content: bytes, *, name: str) -> Lock:
    """The lock in a file called `name`: `pylock.toml` by its suffix, else requirements.

    Raises `UsageError` naming the line or package, for a lock without hashes too; `UnsupportedVersion`.
    """
    if len(content) > MAX_LOCK_BYTES:
        raise UsageError(f"{name}: longer than {MAX_LOCK_BYTES} bytes", remedy="give a lock file")
    try:
        text = content.decode("utf-8-sig")  # pip reads over such a mark too
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 ({error.reason})", remedy="give a lock file") from None
    lock = _pylock(text, name) if name.endswith(".toml") else _requirements(text, name)
    if not lock.entries and not lock.not_covered:
        raise UsageError(f"{name}: locks nothing", remedy="give a lock file with at least one distribution")
    if len(lock.entries) + len(lock.not_covered) > _MAX_LOCKED:
        raise UsageError(f"{name}: more than {_MAX_LOCKED} entries", remedy="give a lock file of one environment")
    return lock


def _requirements(text: str, name: str) -> Lock:
    entries: list[Locked] = []
    not_covered: list[NotCovered] = []
    for number, line in _logical_lines(text):
        read = _requirement(line, f"{name}, line {number}")
        if isinstance(read, Locked):
            entries.append(read)
        elif read is not None:
            not_covered.append(read)
    return Lock(entries=tuple(entries), not_covered=tuple(not_covered))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines as pip joins them, without comments; each with the number of its first one."""
    parts: list[str] = []
    first = 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = re.sub(r"(^|\s)#.*$", "", raw)
        first = first if parts else number
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        yield first, "".join((*parts, line)).strip()
        parts = []
    yield first, "".join(parts).strip()


def _requirement(line: str, place: str) -> Locked | NotCovered | None:
    word = line.partition(" ")[0].partition("=")[0]
    if not line or word in _IGNORED:
        return None
    if word in _FOLLOWED:
        raise UsageError(f"{place}: refers to another file", remedy="give one file that holds everything")
    if word in {"-e", "--editable"}:
        return _without_wheel(line[len(word) :].strip(" ="), "installed editable, from a folder")
    option = _OPTION.search(line)
    wanted, options = (line, "") if option is None else (line[: option.start()], line[option.start() :])
    before, semicolon, marker = wanted.partition(" ;") if " ;" in wanted else wanted.partition(";")
    found = _REQUIREMENT.fullmatch(before.strip())
    if found is None:
        if re.match(r"[./~]|[a-z+]+:", before) is not None:
            return _without_wheel(before.strip(), "installed from a folder or an address")
        raise UsageError(f"{place}: {line[:80]!r} is not a requirement", remedy=_WITH_HASHES)
    digests = _digests(_HASH.findall(options))
    if not digests and re.match(r"@\s*(git|hg|svn|bzr)\+|@\s*file:", found["rest"]) is not None:
        return _without_wheel(before.strip(), "installed from a folder or a repository")
    if not digests:
        raise UsageError(f"{place}: {found['name']} has no --hash=sha256:", remedy=_WITH_HASHES)
    pinned = _PINNED.fullmatch(found["rest"])
    if pinned is None and not found["rest"].startswith("@"):
        raise UsageError(f"{place}: {found['name']} is not pinned with ==", remedy="pin every version")
    return Locked(
        name=normalise(found["name"]),
        version=None if pinned is None else pinned["version"],
        digests=digests,
        marker=marker.strip()[:200] if semicolon else None,
        place=place,
    )


def _digests(hashes: list[str]) -> frozenset[str]:
    return frozenset(each for each in hashes if _SHA256.fullmatch(each) is not None)


def _without_wheel(source: str, reason: str) -> NotCovered:
    """Named as well as its source allows: `#egg=NAME`, `NAME @ …`, or the last part of the path."""
    egg = re.search(rf"#egg=({_NAME})", source, re.ASCII)
    direct = re.match(rf"({_NAME})\s*@", source, re.ASCII)
    last = re.sub(r"[^A-Za-z0-9._-]", "", source.rstrip("/").rpartition("/")[2])
    found = egg or direct
    name = normalise(found[1] if found is not None else last).strip("-")[:256].strip("-")
    return NotCovered(name=name or "not-named", version=None, reason=f"{reason}: no wheel says what it holds")


def _pylock(text: str, name: str) -> Lock:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also for a number of 5,000 digits
        raise UsageError(f"{name}: not TOML: {str(error)[:200]}", remedy="give a pylock.toml") from None
    version = document.get("lock-version")
    if not isinstance(version, str):
        raise UsageError(
            f"{name}: has no lock-version, so it is no pylock.toml", remedy="`uv export --format pylock.toml`"
        )
    if not version.startswith("1."):
        raise UnsupportedVersion(f"{name}: lock-version {version[:20]!r}; 1.x is known here")
    packages = document.get("packages", [])
    entries: list[Locked] = []
    not_covered: list[NotCovered] = []
    for number, each in enumerate(packages if isinstance(packages, list) else [packages], start=1):
        read = _package(each, f"{name}, package {number}")
        (entries if isinstance(read, Locked) else not_covered).append(read)  # type: ignore[arg-type]
    return Lock(entries=tuple(entries), not_covered=tuple(not_covered))


def _package(package: Any, place: str) -> Locked | NotCovered:
    if not isinstance(package, dict) or not isinstance(package.get("name"), str):
        raise UsageError(f"{place}: has no name", remedy="give a pylock.toml")
    found = re.fullmatch(_NAME, package["name"], re.ASCII)
    if found is None or not isinstance(package.get("version", ""), str):
        raise UsageError(
            f"{place}: {package['name'][:80]!r} is no name, or its version no text", remedy="give a pylock.toml"
        )
    name, version = normalise(found[0]), package.get("version")
    wheels = package.get("wheels", [])
    if not isinstance(wheels, list):
        raise UsageError(f"{place} ({name}): its wheels are no list", remedy="give a pylock.toml")
    if not wheels:
        kind = next((each for each in ("sdist", "directory", "vcs", "archive") if each in package), "nothing")
        return NotCovered(name=name, version=version, reason=f"locked to {kind} alone: no wheel says what it holds")
    marker = package.get("marker")
    return Locked(
        name=name,
        version=version,
        digests=frozenset(_digest_of(each, f"{place} ({name})") for each in wheels),
        marker=marker[:200] if isinstance(marker, str) else None,
        place=place,
    )


def _digest_of(wheel: Any, place: str) -> str:
    hashes: Mapping[str, Any] = wheel.get("hashes", {}) if isinstance(wheel, dict) else {}
    value = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(value, str) or _SHA256.fullmatch(f"sha256:{value}") is None:
        raise UsageError(f"{place}: a wheel has no sha256", remedy=_WITH_HASHES)
    return f"sha256:{value}"
