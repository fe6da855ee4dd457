"""How a manifest is made: from pristine wheels, or from a tree that an approver takes as the reference.

Rules:

- Every wheel is of the lock, where there is one, and every locked distribution has its wheel, or is said to be not
  covered.
- One environment has one wheel of a distribution, and one interpreter that all of its wheels are for.
- Nothing that could not be read enters a reference: a tree with a gap is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from saksi.judgement.environment import manifest as values
from saksi.judgement.environment.installer_files import (
    ACTIVATION,
    INSTALLER_FILES,
    SETTINGS,
    is_bytecode,
    metadata_folder_of,
)
from saksi.judgement.environment.lock import Lock, Locked
from saksi.judgement.environment.manifest import Manifest, NotCovered, PythonParts
from saksi.judgement.environment.scripts import BESIDE, generated_name, read_launcher
from saksi.judgement.environment.tree import Tree
from saksi.judgement.environment.wheel import Member, WheelContents
from saksi.judgement.environment.wheel_tags import common_python, require_made_for
from saksi.words.digest import sha256
from saksi.words.errors import MalformedInput, SaksiError, UsageError

__all__ = ["manifest_from_tree", "manifest_from_wheels"]

_WRAPPED: Final = (".exe", "-script.py", ".pya")
"""Endings of an old wheel's own wrappers: installers leave them out where an entry point has the name."""


def manifest_from_wheels(
    wheels: Sequence[WheelContents], *, lock: Lock | None = None, python: PythonParts | None = None
) -> Manifest:
    """What the environment holds into which exactly `wheels` were installed. Where `python` is given they are for it.

    Raises `UsageError` (2) for wheels that are not those of one environment and for a lock that is not met, and
    `MalformedInput` (1) for a wheel that is not the one that is locked.
    """
    ordered = sorted(wheels, key=lambda each: (each.name.distribution, each.file))
    _require_one_each(ordered)
    names = [(each.file, each.name) for each in ordered]
    made_for = common_python(names)
    if python is not None and python.implementation is not None and python.version is not None:
        require_made_for(names, python.implementation, python.version)
        made_for = PythonParts(
            implementation=python.implementation,
            version=".".join(python.version.split(".")[:2]),  # wheels know no more of a version
            cache_tag=python.cache_tag,
            platform=made_for.platform,
        )
    roots: dict[str, list[values.ExpectedFile]] = {}
    rewritten: list[values.RewrittenScript] = []
    for owner, wheel in enumerate(ordered):
        for label, path, member in _placed(wheel):
            if member.behind is not None and label == "scripts":
                digest, size = member.behind
                rewritten.append(values.RewrittenScript(path=path, owner=owner, digest=digest, size=size))
            else:
                file = values.ExpectedFile(path=path, digest=member.digest, size=member.size, owner=owner)
                roots.setdefault(label, []).append(file)
    return _made(
        source="wheels",
        python=made_for,
        distributions=tuple(_distribution(each) for each in ordered),
        roots=_roots(roots),
        generated=tuple(sorted(_generated(ordered), key=_script_key)),
        rewritten=tuple(sorted(rewritten, key=_script_key)),
        not_covered=() if lock is None else _met(lock, ordered),
    )


def _made(**parts: Any) -> Manifest:
    """The manifest. Raises `SaksiError` for one that cannot be written."""
    try:
        return Manifest(**parts)
    except ValueError as error:
        raise SaksiError(f"no manifest can hold this: {error}", remedy="make one for fewer distributions") from None


def _require_one_each(ordered: Sequence[WheelContents]) -> None:
    if not ordered:
        raise UsageError("no wheel to make a manifest from", remedy="`pip download -d DIR -r LOCK` fetches wheels")
    for earlier, later in pairwise(ordered):
        if earlier.name.distribution == later.name.distribution:
            raise UsageError(
                f"{later.file}: of the same distribution as {earlier.file}", remedy="keep the one that is installed"
            )


def _distribution(wheel: WheelContents) -> values.Distribution:
    return values.Distribution(
        name=wheel.name.distribution,
        version=wheel.name.version,
        metadata_folder=wheel.metadata_folder,
        wheel=values.Wheel(file=wheel.file, digest=wheel.digest, size=wheel.size),
    )


def _placed(wheel: WheelContents) -> Iterator[tuple[str, str, Member]]:
    """Where each member is installed: label, path, and the member. What installers write themselves is left out."""
    own = "purelib" if wheel.purelib else "platlib"
    data = wheel.metadata_folder.removesuffix(".dist-info") + ".data/"
    wrapped = {each.name for each in wheel.entry_points}
    for member in wheel.members:
        label, path = own, member.path
        if path.startswith(data):
            key, _, path = path.removeprefix(data).partition("/")
            label, path = ("scripts", path.removeprefix("bin/")) if (key, path[:4]) == ("data", "bin/") else (key, path)
        if label not in {"purelib", "platlib", "scripts", "headers", "data"} or not path:
            raise MalformedInput(
                "wheel", f"{member.path[:200]!r} is of no known kind of data", where=wheel.file, remedy="fetch it again"
            )
        if is_bytecode(path) or _is_installers(path, wheel.metadata_folder):
            continue
        if label == "scripts" and _unwrapped(path) in wrapped:
            continue
        yield label, f"{wheel.name.distribution}/{path}" if label == "headers" else path, member


def _is_installers(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/") and path.removeprefix(f"{folder}/") in INSTALLER_FILES


def _unwrapped(name: str) -> str:
    return next((name.removesuffix(each) for each in _WRAPPED if name.endswith(each)), name)


def _generated(ordered: Sequence[WheelContents]) -> Iterator[values.GeneratedScript]:
    for owner, wheel in enumerate(ordered):
        named = {generated_name(each.name): each for each in wheel.entry_points}
        for name, entry in named.items():
            yield values.GeneratedScript(path=name, owner=owner, module=entry.module, attribute=entry.attribute)


def _script_key(script: values.GeneratedScript | values.RewrittenScript) -> tuple[str, int]:
    return script.path, -1 if script.owner is None else script.owner


def _roots(found: Mapping[str, Iterable[values.ExpectedFile]]) -> tuple[values.ExpectedRoot, ...]:
    return tuple(
        values.ExpectedRoot(
            label=label,
            files=tuple(sorted(found[label], key=lambda each: (each.path, -1 if each.owner is None else each.owner))),
        )
        for label in sorted(found)
    )


def _met(lock: Lock, ordered: Sequence[WheelContents]) -> tuple[NotCovered, ...]:
    """What the lock names and no wheel covers. Raises `MalformedInput`, `UsageError`."""
    locked: dict[str, list[Locked]] = {}
    for entry in lock.entries:
        locked.setdefault(entry.name, []).append(entry)
    present = {each.name.distribution for each in ordered}
    for wheel in ordered:
        _require_locked(wheel, locked.get(wheel.name.distribution, []))
    not_covered = {each.name: each for each in lock.not_covered if each.name not in present}
    for name, entries in locked.items():
        if name in present:
            continue
        if any(each.marker is None for each in entries):
            raise UsageError(
                f"{entries[0].place}: {name} is locked and has no wheel in the folder",
                remedy="`pip download -d DIR -r LOCK` fetches wheels",
            )
        reason = f"locked only where {entries[0].marker!r}, and no wheel of it is in the folder"
        not_covered[name] = NotCovered(name=name, version=entries[0].version, reason=reason)
    return tuple(not_covered[name] for name in sorted(not_covered))


def _require_locked(wheel: WheelContents, entries: Sequence[Locked]) -> None:
    if not entries:
        raise UsageError(
            f"{wheel.file}: {wheel.name.distribution} is not in the lock",
            remedy="take the wheel out of the folder, or lock it",
        )
    if not any(wheel.digest in each.digests for each in entries):
        raise MalformedInput(
            "wheel",
            f"its digest {wheel.digest} is none of those at {entries[0].place}",
            where=wheel.file,
            remedy="fetch it again; if it was built here, make a manifest with --reference",
        )


def manifest_from_tree(
    tree: Tree, *, python: PythonParts, scripts: Mapping[str, bytes], interpreters: Collection[str]
) -> Manifest:
    """What `tree` holds, as its approver takes it. `scripts` are the contents of the scripts in it, by path.

    Scripts that start one of `interpreters`, the environment's own, are bound without that line, so that the same
    environment in another place is the same. Raises `SaksiError` for a tree that could not be read whole.
    """
    folders = {folder for _, each in tree.files() if (folder := metadata_folder_of(each.path)) is not None}
    roots: dict[str, list[values.ExpectedFile]] = {}
    rewritten: list[values.RewrittenScript] = []
    for root in tree.roots:
        if root.reason is not None:
            raise SaksiError(
                f"{root.label} could not be read whole: {root.reason}", remedy="make it readable, then again"
            )
        for each in root.files:
            if each.digest is None:
                reason = f"{root.label}, {each.path[:200]!r} could not be read: {each.reason}"
                raise SaksiError(reason, remedy="make it readable or take it away, then again")
            folder, _, name = each.path.partition("/")
            if is_bytecode(each.path) or (folder in folders and name in INSTALLER_FILES):
                continue
            if (root.label == "scripts" and each.path in ACTIVATION) or (
                root.label == "executable" and each.path in SETTINGS
            ):
                continue
            content = scripts.get(each.path) if root.label == "scripts" else None
            launcher = None if content is None or str(sha256(content)) != each.digest else read_launcher(content)
            if launcher is not None and launcher.interpreter in {*interpreters, BESIDE}:
                body = launcher.body
                script = values.RewrittenScript(path=each.path, owner=None, digest=str(sha256(body)), size=len(body))
                rewritten.append(script)
            else:
                file = values.ExpectedFile(path=each.path, digest=each.digest, size=each.size, owner=None)
                roots.setdefault(root.label, []).append(file)
    return _made(
        source="reference",
        python=python,
        distributions=tuple(_installed(folders)),
        roots=_roots(roots | {each.label: roots.get(each.label, []) for each in tree.roots}),
        generated=(),
        rewritten=tuple(rewritten),
        not_covered=(),
    )


def _installed(folders: Iterable[str]) -> Iterator[values.Distribution]:
    """One for each name, in order: of two installations of one name, both folders' files are listed all the same."""
    found: dict[str, tuple[str, str]] = {}
    for folder in sorted(folders):
        name, _, version = folder.removesuffix(".dist-info").partition("-")
        found.setdefault(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:256] or "not-named", (version, folder))
    for name in sorted(found):
        version, folder = found[name]
        yield values.Distribution(name=name, version=version, metadata_folder=folder, wheel=None)
