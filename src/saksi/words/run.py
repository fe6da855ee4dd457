"""The words for what is witnessed: a `Run`, its attempts, and the levels of recording.

A *run* is what one seal describes; an *attempt* is one launch of it. An *Update* is one outermost
`Optimizer.step` call, counted from 0 per rank and optimizer; a *Step* is the k-th Update of optimizer 0.
A *segment* is the Steps between two binding roots.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from saksi.words.errors import UsageError

__all__ = [
    "DENSE_SEGMENTS",
    "DENSE_STEPS",
    "SPARSE_STEPS",
    "Level",
    "is_segment_end",
    "origin_of",
    "parse_run_id",
    "run_id_from",
]

Level = Literal["standard", "full"]

RUN_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
DENSE_SEGMENTS: Final = 10
DENSE_STEPS: Final = 10
SPARSE_STEPS: Final = 100


def run_id_from(random_bytes: bytes) -> str:
    """The run id for 8 random bytes: 16 hexadecimal digits."""
    if len(random_bytes) != 8:  # noqa: PLR2004 - half of the 16 digits
        raise ValueError("a run id is made from 8 bytes")
    return random_bytes.hex()


def parse_run_id(text: str) -> str:
    """`text` if it is a whole run id. Raises `UsageError`."""
    if RUN_ID.fullmatch(text) is None:
        raise UsageError(
            f"{text[:80]!r} is not a run id", remedy="a run id has 16 hexadecimal digits; see `saksi runs`"
        )
    return text


def origin_of(run: str) -> str:
    """The origin line of the run's log (C2SP tlog-checkpoint)."""
    return f"saksi/run/{run}"


def is_segment_end(step: int, *, fixed: int | None = None) -> bool:
    """Whether the segment that holds `step` ends with it: every 10 Steps for ten segments, then every 100.

    `fixed` is `--segment N`. Model checkpoints, attach and exit end segments too; those are events, not arithmetic.
    """
    done = step + 1
    if fixed is not None:
        return done % fixed == 0
    dense = DENSE_SEGMENTS * DENSE_STEPS
    return done % DENSE_STEPS == 0 if done <= dense else (done - dense) % SPARSE_STEPS == 0
