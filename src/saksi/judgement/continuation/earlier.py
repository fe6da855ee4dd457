"""The attempt that saved, around the Step of the save. Memory is bounded: a few updates, and digests of batches."""

from __future__ import annotations

from collections import Counter, deque
from itertools import takewhile
from typing import Final

from saksi.judgement.continuation.settings import BEFORE, MAX_OPTIMIZERS, Place, Settings
from saksi.judgement.continuation.side import AFTER, Side
from saksi.words.frames import AnyFrame, LayoutFrame, RootFrame, UpdateFrame

__all__ = ["Earlier"]

MAX_SEEN: Final = 200_000
"""Batches that are remembered by digest."""
_ROOTS: Final = ("ckpt", "step", "attach", "released", "exit")
"""Roots after one Step, the nearest to the save first: what is held at the end may have changed since."""


class Earlier(Side):
    """One rank of the attempt that saved, around Step `step`."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.first: UpdateFrame | None = None
        self.before: deque[UpdateFrame] = deque(maxlen=BEFORE)
        self.after: list[UpdateFrame] = []
        self.moved: set[str] = set()
        self.seen: dict[str, int] = {}
        self.settings: dict[int, Settings] = {}
        self.others_between = False
        self._roots: dict[str, RootFrame] = {}
        self._repeats: Counter[int] = Counter()
        self._last: UpdateFrame | None = None

    def take(self, frame: AnyFrame) -> None:
        """Takes one of the rank's frames in."""
        if isinstance(frame, LayoutFrame):
            self.lay(frame)
        elif isinstance(frame, RootFrame) and frame.step == self.step and frame.at in _ROOTS:
            self._roots[frame.at] = frame
        elif isinstance(frame, UpdateFrame):
            self._settle(frame)
            step = self.gather(frame)
            if step is not None:
                self._update(step)

    def _settle(self, frame: UpdateFrame) -> None:
        place = self._place(frame)
        self.others_between = self.others_between or place == "between"
        if frame.optimizer < MAX_OPTIMIZERS:
            self.settings.setdefault(frame.optimizer, Settings()).take(frame, place)
        else:
            self.more_optimizers = True

    def _place(self, frame: UpdateFrame) -> Place:
        if frame.optimizer == 0:
            return "before" if frame.update <= self.step else "behind"
        reached = -1 if self._last is None else self._last.update
        if reached == self.step:
            return "between"
        return "before" if reached < self.step else "behind"

    def _update(self, frame: UpdateFrame) -> None:
        if self._last is not None:
            self.moved |= {name for name, state in frame.rng.items() if self._last.rng.get(name) != state}
        self._last = frame
        self.first = self.first or frame
        if frame.update > self.step:
            if len(self.after) < AFTER:
                self.after.append(frame)
            return
        self.before.append(frame)
        for batch in frame.latest[-self.width(frame) :]:
            if batch.digest is None or len(self.seen) >= MAX_SEEN:
                continue
            if batch.digest in self.seen and len(self._repeats) <= 1:
                self._repeats[frame.update - self.seen[batch.digest]] += 1
            self.seen[batch.digest] = frame.update

    @property
    def root(self) -> RootFrame | None:
        """The state that was saved, as near as a root comes to it."""
        found = [each for each in self._roots.values() if self._covers_an_optimizer(each)]
        return min(found, key=lambda each: _ROOTS.index(each.at), default=None)

    def _covers_an_optimizer(self, root: RootFrame) -> bool:
        """Whether something of an optimizer lies under a root; one whose layout is not there may have it."""
        lines = self.lines(root)
        return lines is None or any(key[:1].isdigit() for key, *_ in lines)

    @property
    def doubt(self) -> str | None:
        """Why what differs from `root` may have been saved all the same."""
        root = self.root
        if root is not None and root.at in ("released", "exit"):
            return "which was taken as the program ended"
        if root is not None and root.at != "ckpt" and self.others_between:
            return "and other optimizers went on before the save"
        return None

    @property
    def period(self) -> int | None:
        """After how many Steps batches come again; `None` unless at least two did, and all after the same number."""
        if len(self._repeats) != 1:
            return None
        ((steps, times),) = self._repeats.items()
        return steps if times > 1 else None

    def width(self, frame: UpdateFrame) -> int:
        """How many batches one update uses: the last ones of one loader, since others evaluate in between.

        The first may have more behind it that were skipped.
        """
        used = list(takewhile(lambda batch: batch.loader == frame.latest[-1].loader, reversed(frame.latest)))
        return 1 if frame is self.first else max(1, len(used))

    @property
    def at(self) -> UpdateFrame | None:
        """Step `step` itself, or `None` if it was not heard."""
        return self.before[-1] if self.before and self.before[-1].update == self.step else None

    @property
    def next(self) -> UpdateFrame | None:
        """The Step behind the seam, if this attempt made it too."""
        return self.after[0] if self.after and self.after[0].update == self.step + 1 else None
