"""State roots around saves and loads, tensor by tensor: what became of state that a model checkpoint held.

Rules: tensors are matched by their key; parameters decide whether the state is that of the file at all, and only then
the optimizer's state is asked about. What is neither as it was saved nor as it was before the load is told.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, NamedTuple

from saksi.judgement.checks.ckpt_uses import keep
from saksi.judgement.continuation.side import Leaves, Lines, leaves_of
from saksi.words.frames import LayoutFrame, RootFrame

__all__ = ["Kept", "Layouts", "Root", "Unlike", "compared"]

MAX_LAYOUTS: Final = 64
MAX_LINES: Final = 2_048
"""Of one layout: a root has at most 1,300 leaves in its frame."""
MAX_NAMES: Final = 4
_KEY: Final = re.compile(r"\d+/\d+/\d+(?:/(.+))?", re.DOTALL)


class Root(NamedTuple):
    """One root as it was said."""

    at: str
    step: int
    layout: str
    leaves: str | None
    entry: int

    @classmethod
    def of(cls, frame: RootFrame, entry: int) -> Root:
        """Of a frame."""
        return cls(frame.at, frame.step, frame.layout, frame.leaves, entry)


class Layouts:
    """The lists of tensors under roots, put together from their parts."""

    __slots__ = ("_parts", "_whole")

    def __init__(self) -> None:
        self._parts: dict[tuple[object, str], Lines] = {}
        self._whole: dict[str, Lines] = {}

    def take(self, process: object, frame: LayoutFrame) -> None:
        """Takes a part in; parts come in order."""
        lines = [] if frame.part == 0 else self._parts.pop((process, frame.layout), None)
        if lines is None or frame.layout in self._whole or len(lines) + len(frame.lines) > MAX_LINES:
            return
        lines += frame.lines
        if frame.part + 1 < frame.parts:
            keep(self._parts, (process, frame.layout), lines, MAX_LAYOUTS)
        else:
            keep(self._whole, frame.layout, lines, MAX_LAYOUTS)

    def kept(self, root: Root) -> Kept | None:
        """The tensors under a root, where both their list and the digest of each are there."""
        found = self.leaves(root)
        return None if found is None else Kept(*found)

    def leaves(self, root: Root) -> tuple[Lines, Leaves] | None:
        """The list of tensors under a root and the digest of each, where both are there."""
        lines = self._whole.get(root.layout)
        leaves = None if lines is None else leaves_of(root.leaves, lines)
        return None if lines is None or leaves is None else (lines, leaves)


class Kept:
    """Parameters and optimizer state of one moment, by key: type, shape and digest of each."""

    __slots__ = ("_names", "parameters", "state")

    def __init__(self, lines: Lines, leaves: Leaves) -> None:
        self.parameters: dict[str, tuple[object, ...]] = {}
        self.state: dict[str, tuple[object, ...]] = {}
        self._names: dict[str, str] = {}
        for key, alias, dtype, shape in lines:
            found = _KEY.fullmatch(key)
            if found is None:
                continue  # a buffer: a forward pass moves those
            part = self.parameters if found[1] is None else self.state
            part[key] = (dtype, tuple(shape), leaves[key])
            if alias is not None:
                self._names[key] = alias

    @property
    def optimizers(self) -> frozenset[int]:
        """The ordinals of the optimizers whose parameters these are."""
        return frozenset(int(key.partition("/")[0]) for key in self.parameters)

    def named(self, key: str) -> str:
        """A tensor in words: the parameter's name, and what of it."""
        parameter, what = "/".join(key.split("/")[:3]), "/".join(key.split("/")[3:])
        name = self._names.get(parameter, parameter)
        return f"{what} of {name}" if what else name


class Unlike(NamedTuple):
    """What is not as it was saved: `missing` and `other` of `of` tensors of the optimizer's state, or parameters."""

    what: str
    missing: int
    other: int
    of: int
    names: tuple[str, ...]


def compared(saved: Kept, after: Kept, before: Kept | None) -> Unlike | None:
    """What is neither as it was saved nor as it was before; `None` if nothing is, or it is another state altogether.

    `before` is the state before the load; `None` where there was none: the process began with it.
    """
    if not saved.parameters or not _alike(saved, after):
        return None
    apart = [key for key, found in saved.parameters.items() if after.parameters[key] != found]
    if apart:
        if 2 * len(apart) >= len(saved.parameters):
            return None  # another state: averaged, fine-tuned, or put in place later
        return Unlike("parameters", 0, len(apart), len(saved.parameters), _names(saved, apart))
    missing = [key for key in saved.state if key not in after.state and not _is_kept(key, after, before)]
    other = [
        key
        for key, found in saved.state.items()
        if key in after.state and after.state[key] != found and not _is_kept(key, after, before)
    ]
    if not missing and not other:
        return None
    return Unlike("state", len(missing), len(other), len(saved.state), _names(saved, [*other, *missing]))


def _alike(saved: Kept, after: Kept) -> bool:
    """Whether both are of the same parameters, in the same form."""
    return saved.parameters.keys() == after.parameters.keys() and all(
        saved.parameters[key][:2] == after.parameters[key][:2] for key in saved.parameters
    )


def _is_kept(key: str, after: Kept, before: Kept | None) -> bool:
    """Whether a tensor is as it was before the load, or was not there then and is not now."""
    return before is not None and before.state.get(key) == after.state.get(key)


def _names(saved: Kept, keys: list[str]) -> tuple[str, ...]:
    """Some of them, each kind of state once first."""
    kinds: Counter[str] = Counter()
    ranked: list[tuple[int, int, str]] = []
    for key in keys:
        kind = key.partition("/")[2].split("/", 2)[-1]
        kinds[kind] += 1
        ranked.append((kinds[kind], len(ranked), key))
    return tuple(saved.named(key) for _, _, key in sorted(ranked)[:MAX_NAMES])
