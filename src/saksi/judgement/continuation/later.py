"""The attempt that loaded, as it began."""

from __future__ import annotations

from saksi.judgement.continuation.settings import MAX_OPTIMIZERS
from saksi.judgement.continuation.side import AFTER, Side
from saksi.words.frames import AnyFrame, LayoutFrame, RootFrame, UpdateFrame

__all__ = ["Later"]


class Later(Side):
    """One rank. `root` is the state before its first Step, `firsts` the first update of each optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[UpdateFrame] = []
        self.firsts: dict[int, UpdateFrame] = {}
        self.root: RootFrame | None = None

    def take(self, frame: AnyFrame) -> None:
        """Takes one of the rank's frames in."""
        if isinstance(frame, LayoutFrame):
            self.lay(frame)
        elif isinstance(frame, RootFrame) and frame.at == "attach":
            self.root = frame
        elif isinstance(frame, UpdateFrame):
            if frame.optimizer < MAX_OPTIMIZERS:
                self.firsts.setdefault(frame.optimizer, frame)
            else:
                self.more_optimizers = True
            step = self.gather(frame)
            if step is not None and len(self.updates) < AFTER:
                self.updates.append(step)

    @property
    def first(self) -> UpdateFrame | None:
        """Its first Step, if it was heard."""
        return self.updates[0] if self.updates and self.updates[0].update == 0 else None
