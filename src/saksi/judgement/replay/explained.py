"""Which findings a replay that gives every Step as recorded explains: those of numbers, which the program makes itself.

What stands of files, hooks, modes, processes and model checkpoints need not show in any number, and is explained by
nothing here.
"""

from __future__ import annotations

from typing import Final

__all__ = ["is_of_numbers"]

_OF_NUMBERS: Final = (
    "agreement.", "data.", "dynamics.", "gradient.", "metrics.", "optimizer.", "plan.", "randomness.",
    "state.",
)  # fmt: skip


def is_of_numbers(code: str) -> bool:
    """Whether a finding of this code speaks of what training computed, and of nothing that acted on it."""
    return code.startswith(_OF_NUMBERS)
