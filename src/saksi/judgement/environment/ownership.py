"""Files against lists, in both directions: what differs, what is missing, what no list names.

The lists are RECORD and conda-meta, or an external manifest: the rules are the same, what they prove is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from saksi.judgement.environment.bytecode import is_bytecode
from saksi.judgement.environment.installed import Claim, InstalledDistribution
from saksi.judgement.environment.known_records import holds, known_row, known_unlisted
from saksi.judgement.environment.report import DifferenceKind, EnvironmentDifference, NotChecked, Note
from saksi.judgement.environment.tree import Root, TreeFile

__all__ = ["Gathered", "compare_root"]

_ALWAYS_OWNED: Final = ("purelib", "platlib", "base-site", "user-site")
"""Roots that hold what installers put there and nothing else."""
_LISTED: Final = frozenset({"wheel", "conda"})
_SYSTEM: Final = "/usr/lib/python3"


class Gathered:
    """What a judgement found so far. Lists of equal things are kept as one line with a count."""

    def __init__(self) -> None:
        self.differences: list[EnvironmentDifference] = []
        self.matched: Counter[str] = Counter()
        self.unlisted: Counter[str] = Counter()
        self.trusted: Counter[str] = Counter()
        self._not_checked: dict[tuple[str | None, str | None, str], tuple[str | None, int]] = {}
        self._notes: dict[tuple[str | None, str], tuple[str | None, int]] = {}

    def differ(
        self,
        kind: DifferenceKind,
        label: str,
        path: str,
        message: str,
        *,
        distribution: str | None = None,
        where: str | None = None,
    ) -> None:
        """One file is not as it should be."""
        self.differences.append(
            EnvironmentDifference(
                kind=kind, label=label, path=path, distribution=distribution, object=where, message=message
            )
        )

    def not_checked(
        self, label: str | None, path: str | None, reason: str, *, distribution: str | None = None, files: int = 1
    ) -> None:
        """Something could not be judged; equal reasons are counted, the first path is kept."""
        first, count = self._not_checked.get((label, distribution, reason), (path, 0))
        self._not_checked[label, distribution, reason] = first, count + files

    def note(self, label: str | None, path: str | None, message: str) -> None:
        """Something that stands against nothing."""
        first, count = self._notes.get((label, message), (path, 0))
        self._notes[label, message] = first, count + 1

    def reasons(self) -> tuple[NotChecked, ...]:
        """What could not be judged."""
        return tuple(
            NotChecked(label=label, path=path, distribution=distribution, files=count, reason=reason)
            for (label, distribution, reason), (path, count) in self._not_checked.items()
        )

    def notes(self) -> tuple[Note, ...]:
        """The notes."""
        return tuple(
            Note(label=label, path=path, files=count, message=message)
            for (label, message), (path, count) in self._notes.items()
        )


def compare_root(
    gathered: Gathered,
    root: Root,
    claims: Mapping[str, list[Claim]],
    distributions: Iterable[InstalledDistribution],
    *,
    folder: str,
    shebangs: Mapping[tuple[str, str], tuple[str, ...]],
    interpreter: frozenset[str],
    scripts_whole: bool,
    outside: frozenset[tuple[str, str]],
    contents: Mapping[tuple[str, str], bytes],
) -> None:
    """Judge one root against the claims on it. `interpreter` are digests of the interpreter's own files.

    `contents` are of files that no list has and that are known by their content.
    """
    if root.reason is not None:
        gathered.not_checked(root.label, None, root.reason, files=0)
    system = folder.startswith(_SYSTEM) and folder.endswith("/dist-packages")
    unlisted = _Unlisted(
        root.label, claims, distributions, interpreter, contents, scripts_whole=scripts_whole, system=system
    )
    for file in root.files:
        if file.digest is None:
            gathered.not_checked(root.label, file.path, file.reason or "it could not be read")
            continue
        made = claims.get(file.path)
        if made is None:
            unlisted.judge(gathered, file)
        elif made[0].digest == file.digest or any(each.digest == file.digest for each in made):
            gathered.matched[root.label] += 1
            if len(made) > 1:
                _shared(gathered, root.label, file, made)
        else:
            _differs(gathered, root.label, file, made, shebangs.get((root.label, file.path), ()), system=system)
    for path in sorted(claims.keys() - {file.path for file in root.files}):
        if (root.label, path) in outside:
            owner = claims[path][0].owner
            gathered.not_checked(
                root.label, path, "its list names files outside of the environment", distribution=owner
            )
        elif known_row(root.label, path, system=system) is None:
            owner = claims[path][0].owner
            gathered.differ("missing", root.label, path, "listed, and not there", distribution=owner)


def _shared(gathered: Gathered, label: str, file: TreeFile, made: list[Claim]) -> None:
    others = sorted({each.owner for each in made if each.digest not in (None, file.digest)})
    if others:
        owner = next(each.owner for each in made if each.digest == file.digest)
        gathered.note(label, file.path, f"{', '.join(others)} also lists it, with other content; it is that of {owner}")


def _differs(
    gathered: Gathered, label: str, file: TreeFile, made: list[Claim], originals: tuple[str, ...], *, system: bool
) -> None:
    owner = made[0].owner
    digests = [each for each in made if each.digest is not None]
    shape = known_row(label, file.path, system=system, digest=bool(digests))
    if any(each.digest in originals for each in digests):
        gathered.matched[label] += 1
        gathered.note(label, file.path, "its list has it as it was before the installer wrote the interpreter into it")
    elif shape is not None:
        gathered.unlisted[label] += 1
        if shape.executes and digests:
            gathered.not_checked(label, file.path, shape.reason, distribution=owner)
        elif shape.executes:
            gathered.trusted[shape.reason] += 1
    elif digests:
        sizes = sorted({each.size for each in digests if each.size is not None and each.size != file.size})
        words = f"; it has {file.size:,} bytes, its list says {sizes[0]:,}" if sizes else ""
        gathered.differ(
            "content_differs", label, file.path, f"its content is not what its list says{words}", distribution=owner
        )
    elif made[0].kind == "conda":
        gathered.unlisted[label] += 1
        gathered.trusted["made by conda at installation and listed without a digest"] += 1
    else:
        algorithm = next((each.algorithm for each in made if each.algorithm is not None), None)
        reason = "listed without a digest" if algorithm is None else f"listed with {algorithm}, which is not computed"
        gathered.unlisted[label] += 1
        gathered.not_checked(label, file.path, reason, distribution=owner)


class _Unlisted:
    """What to say of a file that no list names, in one root."""

    def __init__(
        self,
        label: str,
        claims: Mapping[str, list[Claim]],
        distributions: Iterable[InstalledDistribution],
        interpreter: frozenset[str],
        contents: Mapping[tuple[str, str], bytes],
        *,
        scripts_whole: bool,
        system: bool,
    ) -> None:
        here = [each for each in distributions if each.label == label]
        listed = any(each.kind in _LISTED for each in here)
        by_conda = any(claim.kind == "conda" for made in claims.values() for claim in made)
        self._label = label
        self._interpreter = interpreter
        self._contents = contents
        self._judged = (
            label.startswith(_ALWAYS_OWNED)
            or (label == "scripts" and scripts_whole)
            or (label.startswith("path:") and listed)
            or (label == "stdlib" and by_conda)
        )
        self._system = system
        self._without_list: dict[str, InstalledDistribution] = {}
        for each in here:
            if each.kind not in _LISTED:
                names = (each.place.split("/")[0], each.name.replace("-", "_"), *each.modules)
                self._without_list.update(dict.fromkeys(names, each))

    def judge(self, gathered: Gathered, file: TreeFile) -> None:
        gathered.unlisted[self._label] += 1
        shape = known_unlisted(self._label, file.path)
        if shape is not None and holds(shape, file.digest, self._contents.get((self._label, file.path))):
            if shape.executes:
                gathered.trusted[shape.reason] += 1
            return
        if shape is not None and shape.otherwise is not None:
            gathered.not_checked(self._label, file.path, shape.otherwise)
            return
        if not self._judged:
            if not is_bytecode(file.path):
                gathered.trusted[f"{self._label}: no list has its files"] += 1
            return
        if self._label == "scripts" and file.digest in self._interpreter:
            return
        top = file.path.split("/")[0]
        owner = self._without_list.get(top) or self._without_list.get(top.split(".")[0])
        if owner is not None:
            reason = owner.reason or "its distribution has no list of its files"
            gathered.not_checked(self._label, file.path, reason, distribution=owner.name)
        elif self._system:
            gathered.not_checked(self._label, file.path, "the system's packages have no lists with digests here")
        else:
            gathered.differ("unowned", self._label, file.path, "no list of an installed distribution has it")
