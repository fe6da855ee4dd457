"""Which tensors the roots of one Step bind otherwise, where record and replay both hold the digest of each."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from saksi.judgement.items import Item
from saksi.words.frames import LayoutFrame, RootFrame
from saksi.words.records import BlockRecord

__all__ = ["are_other_models", "leaves_at", "of_optimizers", "tensors_apart"]

_OF_MODELS: Final = re.compile(r"(?:.* \()?(?:buffer|beside)/", re.DOTALL)
_DIGEST: Final = 32


def leaves_at(items: Iterable[Item], *, attempt: int, rank: int, step: int) -> dict[str, bytes]:
    """The digest of each tensor under the first root of that Step, by the name that its model gives it.

    Empty where there is no root, or one without them.
    """
    layouts: dict[str, dict[int, list[str]]] = {}
    for item in items:
        record = item.record
        if not isinstance(record, BlockRecord) or record.attempt != attempt or record.rank != rank:
            continue
        for line in item.lines:
            frame = line.frame
            if isinstance(frame, LayoutFrame):
                names = [key if alias is None else f"{alias} ({key})" for key, alias, _, _ in frame.lines]
                layouts.setdefault(frame.layout, {})[frame.part] = names
            elif isinstance(frame, RootFrame) and frame.step == step and frame.leaves is not None:
                parts = layouts.get(frame.layout, {})
                found = _by_name(frame.leaves, [name for part in sorted(parts) for name in parts[part]])
                if found:
                    return found
    return {}


def tensors_apart(recorded: dict[str, bytes], replayed: dict[str, bytes]) -> tuple[str, ...]:
    """The names that have another digest in both, or are in one alone, parameters before their state."""
    apart = [name for name in {**recorded, **replayed} if recorded.get(name) != replayed.get(name)]
    return tuple(sorted(apart, key=_is_state))


def are_other_models(recorded: dict[str, bytes], replayed: dict[str, bytes]) -> bool:
    """Whether nothing is apart but that one side held models whose buffers, or averages, the other had not."""
    apart = tensors_apart(recorded, replayed)
    return bool(apart) and all(
        _OF_MODELS.match(name) is not None and (name in recorded) != (name in replayed) for name in apart
    )


def of_optimizers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those that optimizers hold."""
    return tuple(name for name in names if _OF_MODELS.match(name) is None)


def _is_state(name: str) -> bool:
    return name.endswith(")") is False and name.count("/") > 2  # noqa: PLR2004 - optimizer/group/index/state


def _by_name(leaves: str, names: list[str]) -> dict[str, bytes]:
    try:
        content = base64.b64decode(leaves, validate=True)
    except (binascii.Error, ValueError):
        return {}
    if len(content) != _DIGEST * len(names):
        return {}
    return {name: content[at * _DIGEST : (at + 1) * _DIGEST] for at, name in enumerate(names)}
