"""Which findings a replay that gives every Step as recorded explains: those of numbers, which the program makes itself.

What stands of files, hooks, modes, processes and model checkpoints need not show in any number, and is explained by
nothing here.
"""

from __future__ import annotations

from typing import Final

__all__ = ["is_of_numbers", "is_own_doing"]

_OF_NUMBERS: Final = (
    "agreement.", "data.", "dynamics.", "gradient.", "metrics.", "optimizer.", "plan.", "randomness.",
    "state.",
)  # fmt: skip
_OF_ARITHMETIC: Final = frozenset({
    "metrics.loss_differs", "optimizer.state_differs", "optimizer.update_differs",
})  # fmt: skip
_OF_THE_MACHINE: Final = frozenset({"live.limit_changed", "live.stream_changed", "availability.update_overran"})
"""How long it took and what it was held to: on a replay nobody acts but the program itself."""


def is_of_numbers(code: str) -> bool:
    """Whether a finding of this code speaks of what training computed, and of nothing that acted on it."""
    return code.startswith(_OF_NUMBERS)


def is_own_doing(code: str) -> bool:
    """Whether a finding of this code, of a replay in a verified environment, speaks of nothing but the sealed program.

    Other arithmetic than an optimizer's rule, or another loss than was computed, may be that of a library which no seal
    covers: the same in the run and in its replay.
    """
    return (is_of_numbers(code) and code not in _OF_ARITHMETIC) or code in _OF_THE_MACHINE
