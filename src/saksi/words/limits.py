"""Limits that more than one part of saksi holds to.

The recorder imports nothing of saksi and has numbers of its own; `tests/recorder/test_limits.py` compares them.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_ENTRY_BYTES",
    "MAX_IDS",
    "MAX_LIVE_FILES",
    "MAX_LIVE_HOMES",
    "MAX_LIVE_PIECES",
    "MAX_LIVE_SUBJECTS",
    "MAX_METRICS",
    "MAX_METRIC_NAME",
    "MAX_OPTIMIZERS",
    "MAX_QUANTITIES",
    "MAX_SAMPLED",
]

MAX_ENTRY_BYTES: Final = 65_535
"""Of one entry: tlog-tiles gives an entry's length 16 bits. Larger things are blobs, by digest."""

MAX_OPTIMIZERS: Final = 1_024
"""For each process: an ordinal is a number that the job made up, and a counter is kept for this many."""

MAX_LIVE_SUBJECTS: Final = 4_096
"""Places in one inventory of live code: torch's own are about a thousand."""
MAX_LIVE_PIECES: Final = 16
"""Functions that one call goes through; torch's own wrappers are three or four deep."""
MAX_LIVE_HOMES: Final = 6
"""Classes from which a method may be inherited."""
MAX_LIVE_FILES: Final = 256
"""Source files that one part of an inventory names."""

MAX_IDS: Final = 256
"""Samples of one batch that are named."""
MAX_METRIC_NAME: Final = 200
"""Characters of the name under which a number is given to a tracker."""
MAX_METRICS: Final = 64
"""Numbers that one frame says of a call to a tracker."""

MAX_SAMPLED: Final = 1_024
"""Tensors in one layout of samples, and elements of one tensor that are taken."""
MAX_QUANTITIES: Final = 16
"""Parameter, gradient and states that an optimizer keeps for a tensor; torch's own have five at most."""
