"""In what the environments of two seal files differ, as `saksi seal diff` says it."""

from __future__ import annotations

import msgspec

from saksi.judgement.deviations import Deviation, Weight
from saksi.judgement.seal_file import EnvironmentTree, SealFile

__all__ = ["tree_deviation"]

_FIELD = "environmentTree"


def tree_deviation(before: SealFile, after: SealFile) -> Deviation | None:
    """How the sealed trees differ; `None` if they are equal, or neither file has one."""
    was, now = before.environment_tree, after.environment_tree
    if isinstance(was, EnvironmentTree) and isinstance(now, EnvironmentTree):
        if was.digest != now.digest:
            sentence = f"The environment's files are others: {was.files:,} before, {now.files:,} now."
            return _deviation("matters", sentence, was.digest, now.digest)
        if was.manifest != now.manifest:
            sentence = "The environment's files are the same; the manifest that they were compared with is another."
            return _deviation("told", sentence, was.manifest or None, now.manifest or None)
        return None
    if was is msgspec.UNSET and now is msgspec.UNSET:
        return None
    which = "A" if was is msgspec.UNSET else "B"
    return _deviation("unknown", f"The environment's files were not compared: {which} does not name them.", None, None)


def _deviation(weight: Weight, sentence: str, before: str | None, after: str | None) -> Deviation:
    return Deviation(weight=weight, field=_FIELD, subject=_FIELD, sentence=sentence, before=before, after=after)
