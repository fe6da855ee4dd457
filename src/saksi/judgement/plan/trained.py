"""Which parameters have a gradient at each Update, against the names that the plan's `trained` gives.

Rules: a name is known by a gradient that it had in this process; one that fits a pattern, had a gradient and has none
at an Update is not trained at it. Where samples leave any tensor out for another reason, an Update is not judged.

Known weakness: what never had a gradient is not known by name, and is told as a pattern that nothing fits, at most.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from fnmatch import translate
from typing import Final, NamedTuple

from saksi.judgement.plan.idle import Tensors
from saksi.words.frames import SampledFrame, SampleFrame, UpdateFrame

__all__ = ["Names", "Trained", "Untrained"]

MAX_KNOWN: Final = 1 << 16
"""Names of one process; a sampled optimizer has 4,096 tensors at most."""
MAX_NAMED: Final = 4


class Names:
    """The patterns of a plan, as a shell has them: `*`, `?` and `[…]`."""

    __slots__ = ("_matches", "patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._matches = tuple(re.compile(translate(each)).match for each in patterns)

    def fit(self, name: str) -> bool:
        """Whether one of the patterns is the whole name."""
        return any(match(name) for match in self._matches)

    def unused(self, names: Collection[str]) -> list[str]:
        """The patterns that none of these names fits."""
        both = zip(self.patterns, self._matches, strict=True)
        return [pattern for pattern, match in both if not any(match(name) for name in names)]


class Untrained(NamedTuple):
    """Tensors that lost their gradient at the same Update `since`. `left`: the optimizer holds fewer since then."""

    names: tuple[str, ...]
    since: int
    left: bool

    @property
    def subject(self) -> str:
        """The first of them, and how many more."""
        more = len(self.names) - 1
        return self.names[0] if not more else f"{self.names[0]} and {more} more"

    @property
    def message(self) -> str:
        """What is not as planned."""
        more = "" if len(self.names) <= MAX_NAMED else f" and {len(self.names) - MAX_NAMED} more"
        named = ", ".join(self.names[:MAX_NAMED]) + more
        they_are, they_have = ("are", "have") if len(self.names) > 1 else ("is", "has")
        if self.left:
            what = f"Since update {self.since} {named} {they_are} in no group of the optimizer any longer"
        else:
            what = f"At update {self.since} {named} {they_have} no gradient"
        return f"{what}, and {they_are} to be trained."


class Trained:
    """The tensors of optimizer 0. `lacks`: of some Update it is not known which had a gradient."""

    __slots__ = ("_held", "_known", "_missing", "_names", "_tensors", "is_seen", "lacks")

    def __init__(self, names: Names) -> None:
        self._names = names
        self._tensors = Tensors()
        self._known: dict[str, bool] = {}  # whether it is to be trained
        self._missing: dict[str, Untrained] = {}
        self._held: int | None = None  # tensors of all groups
        self.is_seen = False  # some Update's tensors were in the record
        self.lacks = False

    @property
    def size(self) -> int:
        """What is kept, in lines of layouts."""
        return self._tensors.size

    def sampled(self, frame: SampledFrame, room: int) -> None:
        """Takes a part of a layout in."""
        self._tensors.sampled(frame, min(room, MAX_KNOWN - self._tensors.size))

    def sample(self, frame: SampleFrame) -> None:
        """Takes a sample in, which comes before its Update."""
        self._tensors.take(frame)

    def take(self, frame: UpdateFrame) -> Iterator[Untrained]:
        """Takes an Update in; what has no gradient at it and is to have one."""
        before, self._held = self._held, sum(frame.tensors) if frame.tensors else None
        listed = None if frame.skipped else self._tensors.at(frame.update)
        if listed is None:
            self._held = self._held if before is None else before  # what left is told with the next samples
            return
        if listed.lacks:
            self.lacks = True
            return
        self.is_seen = True
        now = set(listed.names)
        for name in listed.names:
            if name not in self._known and len(self._known) < MAX_KNOWN:
                self._known[name] = self._names.fit(name)
            self._missing.pop(name, None)
        lost = [name for name, wanted in self._known.items() if wanted and name not in now]
        new = tuple(name for name in lost if name not in self._missing)
        if new:
            left = before is not None and self._held is not None and self._held <= before - len(new)
            self._missing.update(dict.fromkeys(new, Untrained(new, frame.update, left)))
        yield from dict.fromkeys(self._missing[name] for name in lost)

    def unfitted(self) -> list[str]:
        """Patterns that fit no tensor that had a gradient."""
        return self._names.unused(self._known)
