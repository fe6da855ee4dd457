"""Where the site folders of an environment point to: editable installations and path lines.

Nothing is imported. What points somewhere is read as text: `.pth` lines, `.egg-link`, `direct_url.json`, and the
mapping in an `__editable__` finder, which setuptools writes on one line.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from saksi.edges.environment.distributions import normal_name
from saksi.judgement.environment.record_file import record_rows

__all__ = ["MAX_POINTED", "Pointed", "pointed_to"]

MAX_SMALL: Final = 1 << 20
"""Of a `.pth`, `direct_url.json` or finder; the largest in use have a few kilobytes."""
MAX_POINTED: Final = 10_000
"""Lines of one file, and packages of one editable installation."""
_MAPPING: Final = re.compile(r"^MAPPING(?::[^=\n]+)?\s*=\s*(\{.*\})\s*$", re.MULTILINE)
_PAIR: Final = re.compile(r"'[^'\\]*': '([^'\\]*)'")
_FINDER: Final = re.compile(r"__editable___.+_finder\.py")


class Pointed(msgspec.Struct, frozen=True, kw_only=True):
    """What one site folder points to: `editable` installations by name, each with its paths, and further `paths`."""

    editable: dict[str, tuple[str, ...]]
    paths: tuple[str, ...]


class _Info(msgspec.Struct, frozen=True):
    editable: bool = False


class _DirectUrl(msgspec.Struct, frozen=True):
    url: str = ""
    dir_info: _Info = _Info()


class _Editable(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    checkout: str
    files: frozenset[str]


def pointed_to(site: str) -> Pointed:
    """Editable installations and path lines of one site folder; paths may lead nowhere. Never raises."""
    try:
        names = sorted(os.listdir(site))  # noqa: PTH208 - as text
    except OSError:
        return Pointed(editable={}, paths=())
    editable = [each for name in names if name.endswith(".dist-info") for each in _direct_url(f"{site}/{name}", name)]
    links = {
        checkout: normal_name(name[: -len(".egg-link")])
        for name in names
        if name.endswith(".egg-link")
        for checkout in _lines(f"{site}/{name}")[:1]
    }
    checkouts = {each.name: each.checkout for each in editable} | {name: path for path, name in links.items()}
    found: dict[str, list[str]] = {name: [] for name in checkouts}
    further: list[str] = []
    for name in names:
        if not name.endswith(".pth") or name.startswith("."):
            continue
        owner = next((each.name for each in editable if name in each.files), None)
        for line in _lines(f"{site}/{name}"):
            if line.startswith(("#", "import ", "import\t")):
                continue
            path = os.path.normpath(os.path.join(site, line))  # noqa: PTH118 - what a line says may be anything
            of = owner or links.get(line) or links.get(path)
            (further if of is None else found[of]).append(path)
    for each in editable:
        finders = [name for name in names if _FINDER.fullmatch(name) and name in each.files]
        found[each.name] += [path for name in finders for path in _mapped(f"{site}/{name}")]
    return Pointed(
        editable={name: tuple(paths) or (checkouts[name],) for name, paths in found.items()}, paths=tuple(further)
    )


def _direct_url(folder: str, name: str) -> list[_Editable]:
    """The editable installation that this `.dist-info` is of, if it is of one."""
    try:
        found = msgspec.json.decode(_small(f"{folder}/direct_url.json"), type=_DirectUrl)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    url = urlsplit(found.url)
    if not found.dir_info.editable or url.scheme != "file":
        return []
    try:
        files = frozenset(path for path, _ in record_rows(_small(f"{folder}/RECORD")))
    except OSError:
        files = frozenset()
    return [_Editable(name=normal_name(name.partition("-")[0]), checkout=unquote(url.path), files=files)]


def _mapped(path: str) -> list[str]:
    """Where the packages of an `__editable__` finder lie: the values of its MAPPING, where they are plain strings.

    No parser of Python reads it, since nesting can crash one. A path with a quote or a backslash in it is not found;
    then the checkout is followed as a whole.
    """
    try:
        found = _MAPPING.search(_small(path).decode("utf-8", "replace"))
    except OSError:
        return []
    values = [] if found is None else _PAIR.findall(found[1])[:MAX_POINTED]
    return [each if os.path.exists(each) else f"{each}.py" for each in values]  # noqa: PTH110 - as text


def _lines(path: str) -> list[str]:
    try:
        text = _small(path).decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.split("\n") if line.strip()][:MAX_POINTED]


def _small(path: str) -> bytes:
    """The beginning of a plain file. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(MAX_SMALL)
