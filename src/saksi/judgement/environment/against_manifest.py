"""What a comparison with an external manifest means for the verdict on an environment.

Rules:

- A file that is missing, extra or of other content is a difference. One that could not be read, and every root whose
  files Python could execute and of which the manifest does not speak, cannot be checked.
- Wheels never hold the interpreter and its standard library: with a manifest from wheels these two are trusted, and
  that is said; it does not keep an environment from being verified.
"""

from __future__ import annotations

from typing import Final

import msgspec

from saksi.judgement.environment.differences import Comparison, Difference, NotCompared
from saksi.judgement.environment.manifest import Manifest
from saksi.judgement.environment.ownership import Gathered
from saksi.judgement.environment.report import DifferenceKind
from saksi.judgement.environment.tree import Tree

__all__ = ["Against", "gather"]

_KINDS: Final[dict[str, DifferenceKind]] = {
    "missing": "missing",
    "extra": "unowned",
    "differs": "content_differs",
    "size": "content_differs",
}
_OF_THE_INTERPRETER: Final = ("executable", "stdlib")


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest whose signature verified, and the environment's comparison with it. `said` names who signed it."""

    manifest: Manifest
    comparison: Comparison
    said: tuple[str, ...]


def gather(gathered: Gathered, against: Against, tree: Tree) -> None:
    """Put everything that the comparison says into `gathered`."""
    for difference in against.comparison.differences:
        _differ(gathered, difference)
    files = {root.label: len(root.files) for root in tree.roots}
    for each in against.comparison.not_covered:
        _leave(gathered, each, files.get(each.label or "", 0), from_wheels=against.manifest.source == "wheels")
    gathered.matched.update(against.comparison.agreeing)
    if not any(root.files for root in against.manifest.roots):
        gathered.not_checked(None, None, "the manifest is empty", files=0)


def _differ(gathered: Gathered, found: Difference) -> None:
    kind = _KINDS.get(found.kind)
    if kind is None:  # unread, or for another interpreter
        gathered.not_checked(found.label, found.path or None, found.detail, distribution=found.distribution)
        return
    gathered.unlisted[found.label] += found.kind == "extra"
    gathered.differ(kind, found.label, found.path, found.detail, distribution=found.distribution)


def _leave(gathered: Gathered, left: NotCompared, files: int, *, from_wheels: bool) -> None:
    if from_wheels and left.label in _OF_THE_INTERPRETER:
        gathered.trusted[f"{left.label}, of which wheels say nothing"] += files
    elif left.executed:
        reason = left.reason if left.label == left.subject else f"{left.subject}: {left.reason}"
        gathered.not_checked(left.label, None, reason, files=files)
    else:
        gathered.note(left.label, None, f"{left.subject}: {left.reason}")
