"""Which tensors the roots of one Step bind otherwise, where record and replay both hold the digest of each.

Which models a process still holds, with their buffers and averages, may be Python's doing: what a program has done with
may go only as garbage is collected. Other models are told apart from values that differ by whole models, whatever their
numbers are; a buffer that stands beside a trained parameter in its module is never one of those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from saksi.judgement.items import Item
from saksi.judgement.trained_state import digests_in
from saksi.words.frames import LayoutFrame, RootFrame
from saksi.words.records import BlockRecord

__all__ = ["Leaf", "Leaves", "Roots", "are_other_models", "named_apart", "roots_at"]

_DIGEST: Final = 32


class Leaf(NamedTuple):
    """What the program calls a tensor, if that is known, and its digest."""

    alias: str | None
    digest: bytes


Leaves: TypeAlias = dict[str, Leaf]
"""By key; empty where the record does not hold the digest of each."""
Roots: TypeAlias = dict[str, Leaves]
"""Of one Step, by where they were taken; the first of each."""
_Model: TypeAlias = frozenset[tuple[str, bytes]]


def roots_at(items: Iterable[Item], *, attempt: int, rank: int, step: int) -> Roots:
    """The roots behind that Step."""
    layouts: dict[str, dict[int, list[tuple[str, str | None]]]] = {}
    found: Roots = {}
    for item in items:
        record = item.record
        if not isinstance(record, BlockRecord) or record.attempt != attempt or record.rank != rank:
            continue
        for line in item.lines:
            frame = line.frame
            if isinstance(frame, LayoutFrame):
                layouts.setdefault(frame.layout, {})[frame.part] = [(key, alias) for key, alias, _, _ in frame.lines]
            elif isinstance(frame, RootFrame) and frame.step == step:
                parts = layouts.get(frame.layout, {})
                lines = [each for part in sorted(parts) for each in parts[part]]
                found.setdefault(frame.at, _by_key(frame.leaves, lines))
    return found


def named_apart(recorded: Roots, replayed: Roots, *, optimized: bool = False) -> tuple[str, ...]:
    """The tensors that the first root which differs binds otherwise, by the names that their model gives them.

    Parameters before their state; `optimized`: those that optimizers hold alone.
    """
    one, other = next(_apart(recorded, replayed), ({}, {}))
    ours, theirs = _digests(one), _digests(other)
    keys = (key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key))
    kept = sorted((key for key in keys if _is_of_optimizer(key) or not optimized), key=_is_state)
    leaves = {**other, **one}
    return tuple(key if leaves[key].alias is None else f"{leaves[key].alias} ({key})" for key in kept)


def _apart(recorded: Roots, replayed: Roots) -> Iterator[tuple[Leaves, Leaves]]:
    """Roots that are not the same in both, as far as the digests of both are there."""
    for at, one in recorded.items():
        other = replayed.get(at)
        if one and other and _digests(one) != _digests(other):
            yield one, other


def are_other_models(recorded: Roots, replayed: Roots) -> bool:
    """Whether nothing is apart but that one side held models whose buffers, or averages, the other had not."""
    pairs = [(one, replayed[at]) for at, one in recorded.items() if at in replayed]
    apart = [(one, other) for one, other in pairs if not one or _digests(one) != _digests(other)]
    return bool(apart) and all(_are_other_models(one, other) for one, other in apart)


def _are_other_models(one: Leaves, other: Leaves) -> bool:
    ours, theirs = ({key: leaf for key, leaf in each.items() if _is_of_optimizer(key)} for each in (one, other))
    if not ours or _digests(ours) != _digests(theirs):
        return False
    trained = {_parent(leaf.alias) for leaf in ours.values() if leaf.alias is not None}
    mine, its = _models(one), _models(other)
    lacking = (mine - its) or (its - mine)
    return not ((mine - its) and (its - mine)) and not any(_holds(model, trained) for model in lacking)


def _models(leaves: Leaves) -> Counter[_Model]:
    """What each model holds, without its number, and how many hold just that."""
    found: dict[str, set[tuple[str, bytes]]] = {}
    for key, leaf in leaves.items():
        if not _is_of_optimizer(key):
            kind, number, name = (*key.split("/", 2), "", "")[:3]
            found.setdefault(number, set()).add((f"{kind}/{name}", leaf.digest))
    return Counter(frozenset(each) for each in found.values())


def _holds(model: _Model, trained: set[str]) -> bool:
    """Whether it is the one that is trained: a buffer of it lies where a trained parameter does."""
    return any(key.startswith("buffer/") and _parent(key[len("buffer/") :]) in trained for key, _ in model)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _is_of_optimizer(key: str) -> bool:
    return key[:1].isdigit()


def _is_state(key: str) -> bool:
    return _is_of_optimizer(key) and key.count("/") > 2  # noqa: PLR2004 - optimizer/group/index/state


def _digests(leaves: Leaves) -> dict[str, bytes]:
    return {key: leaf.digest for key, leaf in leaves.items()}


def _by_key(leaves: str | None, lines: list[tuple[str, str | None]]) -> Leaves:
    content = digests_in(leaves)
    if len(content) != _DIGEST * len(lines):
        return {}
    return {key: Leaf(alias, content[at * _DIGEST : (at + 1) * _DIGEST]) for at, (key, alias) in enumerate(lines)}
