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
    "ASKED_BY_AUDITS",
    "Level",
    "origin_of",
    "parse_run_id",
    "run_id_from",
]

Level = Literal["standard", "full"]

ASKED_BY_AUDITS: Final = (
    "SAKSI_CAPSULES", "SAKSI_DOCTOR", "SAKSI_HOLLOW", "SAKSI_PLANTED", "SAKSI_ROOTS", "SAKSI_SAMPLES", "SAKSI_THREADS",
    "SAKSI_TRANSCRIPT",
)  # fmt: skip
"""Variables by which audits and the doctor ask something of a recorder; of an ordinary launch they are none."""

RUN_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)


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
