"""Parameters, optimizer state, counters, averages, buffers: the root after Step N beside the one the other began with.

Rules: equal roots of equal layouts settle everything at once. Else tensors are matched by key and compared by their
digests, where both records hold them. Buffers were read after a forward pass had run, so another value there decides
nothing; nor does one of averages, which a program may make anew. A root without parameters was taken where they could
not be read: what else it lacks may be there too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from saksi.judgement.continuation.earlier import Earlier
from saksi.judgement.continuation.later import Later
from saksi.judgement.continuation.side import Leaves, Lines, leaves_of
from saksi.judgement.continuation.values import MAY_BE_UNKNOWN, Part, PartName
from saksi.judgement.trained_state import BESIDE

__all__ = ["state_parts"]

_KEY: Final = re.compile(r"\d+/\d+/\d+(?:/(.+))?", re.DOTALL)
_EXAMPLES: Final = 8
_STATE: Final[tuple[PartName, ...]] = ("parameters", "optimizer_state", "update_counters", "averages", "buffers")
_WORDS: Final[dict[PartName, tuple[str, str]]] = {
    "parameters": ("the parameters", "tensors"),
    "optimizer_state": ("the optimizer's moments", "tensors"),
    "update_counters": ("the optimizer's update counters", "counters"),
    "averages": ("the weights that no optimizer updates", "tensors"),
    "buffers": ("the buffers", "tensors"),
}


_EXPLAINED: Final[dict[PartName, str]] = {
    "averages": "which is so of a copy that is made anew, and of an average that was not restored",
    "buffers": "which a forward pass before the first step explains for those that it writes (batch norm)",
}


def state_parts(earlier: Earlier, later: Later, rank: int) -> Iterator[Part]:
    """One part for each kind of state that either side has."""
    a, b = earlier.root, later.root
    if a is None or b is None:
        where = f"after step {earlier.step}" if a is None else "at the start of the attempt that continues"
        yield _unknown("parameters", rank, f"there is no state root {where}")
        return
    lines_a, lines_b = earlier.lines(a), later.lines(b)
    if lines_a is None or lines_b is None:
        yield _unknown("parameters", rank, "the list of the tensors under a state root is not in the record")
        return
    leaves_a, leaves_b = leaves_of(a.leaves, lines_a), leaves_of(b.leaves, lines_b)
    equal = (a.root, a.layout) == (b.root, b.layout)
    kinds_a, kinds_b = _by_kind(lines_a), _by_kind(lines_b)
    for name in _STATE:
        keys_a, keys_b = kinds_a[name], kinds_b[name]
        unread = not (keys_a or kinds_a["parameters"]) or not (keys_b or kinds_b["parameters"])
        if not keys_a and not keys_b:
            if name == "parameters":
                yield _unknown(name, rank, "they are in neither record")
        elif unread and name not in MAY_BE_UNKNOWN:
            yield _unknown(name, rank, "the record of one attempt has none of them, nor of the parameters")
        else:
            part = _part(name, rank, keys_a, keys_b, None if equal else (leaves_a, leaves_b))
            yield part if earlier.doubt is None or part.outcome != "differs" else _doubted(part, earlier)


def _by_kind(lines: Lines) -> dict[PartName, Lines]:
    found: dict[PartName, Lines] = {name: [] for name in _STATE}
    for line in lines:
        found[_kind(line[0])].append(line)
    return found


def _kind(key: str) -> PartName:
    found = _KEY.fullmatch(key)
    if found is None:
        return "averages" if key.startswith(BESIDE) else "buffers"
    state = found[1]
    if state is None:
        return "parameters"
    return "update_counters" if state.rpartition("/")[2] == "step" else "optimizer_state"


def _part(
    name: PartName, rank: int, lines_a: Lines, lines_b: Lines, leaves: tuple[Leaves | None, Leaves | None] | None
) -> Part:
    what, unit = _WORDS[name]
    forms_a, forms_b = ({key: (dtype, shape) for key, _, dtype, shape in lines} for lines in (lines_a, lines_b))
    aliases = {key: alias or key for key, alias, _, _ in (*lines_b, *lines_a)}
    missing, added = [key for key in forms_a if key not in forms_b], [key for key in forms_b if key not in forms_a]
    shaped = [key for key in forms_a if key in forms_b and forms_a[key] != forms_b[key]]
    if (missing or added or shaped) and name != "averages":
        return _other_form(name, rank, len(forms_a), [aliases[key] for key in (*missing, *added, *shaped)], missing)
    count = max(len(forms_a), len(forms_b))
    if leaves is None:
        return Part(name=name, outcome="same", rank=rank, sentence=f"{what} are the same ({count:,} {unit})", of=count)
    a, b = leaves
    if a is None or b is None:
        return _unknown(name, rank, "the state differs somewhere, and the record has no digest of each tensor", count)
    apart = [key for key in {**forms_a, **forms_b} if a.get(key) != b.get(key)]
    if not apart:
        return Part(name=name, outcome="same", rank=rank, sentence=f"{what} are the same ({count:,} {unit})", of=count)
    found = f"{len(apart):,} of {count:,} {unit} differ"
    examples = tuple(aliases[key] for key in apart[:_EXAMPLES])
    explained = name in _EXPLAINED
    reason = f"{found}, {_EXPLAINED.get(name, '')}"
    return Part(
        name=name,
        outcome="not_checkable" if explained else "differs",
        rank=rank,
        sentence=f"{what} cannot be compared: {reason}" if explained else f"{what} were not restored: {found}",
        differing=len(apart),
        of=count,
        examples=examples,
    )


def _other_form(name: PartName, rank: int, count: int, examples: list[str], missing: list[str]) -> Part:
    what, unit = _WORDS[name]
    if missing and count:
        sentence = f"{what} were not restored: {len(missing):,} of {count:,} {unit} are missing"
    else:
        most = max(count, len(examples))
        sentence = f"{what} have another form: {len(examples):,} of {most:,} {unit} are new or of another shape"
    return Part(
        name=name,
        outcome="differs",
        rank=rank,
        sentence=sentence,
        differing=len(examples),
        of=max(count, len(examples)),
        examples=tuple(examples[:_EXAMPLES]),
    )


def _doubted(part: Part, earlier: Earlier) -> Part:
    """A difference from a root that need not be what was saved."""
    count = f"{part.differing:,} of {part.of:,} {_WORDS[part.name][1]}"
    root = f"the only state root after step {earlier.step}, {earlier.doubt}"
    sentence = f"{_WORDS[part.name][0]} cannot be compared: {count} differ from {root}"
    return msgspec.structs.replace(part, outcome="not_checkable", sentence=sentence)


def _unknown(name: PartName, rank: int, reason: str, of: int = 0) -> Part:
    what, _ = _WORDS[name]
    return Part(name=name, outcome="not_checkable", rank=rank, sentence=f"{what} cannot be compared: {reason}", of=of)
