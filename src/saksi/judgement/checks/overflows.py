"""Was there an overflow where a gradient scaler left an update out for one.

A scaler of torch's own leaves an update out if a gradient holds a value that is not finite, and nothing else makes it
do so. Where the recorder found all of them finite, something raised the flag: behind the scaler's look, or in it.

Rules: told only where every gradient was read, as the scaler had looked if it said so itself; of several ranks only as
`info`, since a program may join what they say.

Known weakness: gradients that were made infinite by hand are an overflow here, for `gradients` to tell; nothing is
known of flags or gradients on devices, nor of updates that a fused optimizer leaves out by itself.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.spoken import Speakers, Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import OverflowFrame

__all__ = ["OVERFLOWS", "OverflowCheck"]

CHECK_NAME: Final = "overflows"
NOT_FOUND: Final = "optimizer.overflow_not_found"
BEHIND: Final = "its flag was raised after it had looked at them and found none."
WITHIN: Final = "its flag stood as it had looked at them."
ONE: Final = "A program that raises the flag by hand, to leave a bad batch out, looks the same."
SEVERAL: Final = "Of several ranks, a program that joins what they found looks the same."
_finding = partial(observation, check=CHECK_NAME)


class _State:
    __slots__ = ("noted", "speakers")

    def __init__(self) -> None:
        self.noted = Noted()
        self.speakers = Speakers()


class OverflowCheck:
    """Every update that a scaler left out, against what its gradients were."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said in state.speakers.take(item):
            if isinstance(said.frame, OverflowFrame) and _is_unfounded(said.frame):
                state.noted.note(_of(said, said.frame))
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.noted.kept()


def _is_unfounded(frame: OverflowFrame) -> bool:
    return frame.flagged is not None and frame.tensors > 0 and frame.not_finite == 0 and frame.unread == 0


def _of(said: Spoken, frame: OverflowFrame) -> Finding:
    step = frame.update if frame.optimizer == 0 else None
    alone = said.hello.world_size <= 1
    return _finding(
        code=NOT_FOUND, severity="warning" if alone else "info", subject=f"scaler of optimizer {frame.optimizer}",
        message="The scaler left the update out for an overflow, and all gradients were finite: "
        f"{WITHIN if frame.flagged else BEHIND} {ONE if alone else SEVERAL}",
        steps=(step, step), ranks=(said.rank,), evidence=(said.entry,),
    )  # fmt: skip


OVERFLOWS: Final = OverflowCheck()
