"""Who is asked about each launch: the list is here, and a further detector is one entry in it."""

from __future__ import annotations

from typing import Final

from saksi.range.detectors.file_hashes import FileHashes
from saksi.range.detectors.findings import Findings
from saksi.range.detectors.jumps import Jumps
from saksi.range.detectors.protocol import Detector
from saksi.range.detectors.with_replay import WithReplay

__all__ = ["ALL", "asked"]

ALL: Final[tuple[Detector, ...]] = (Findings(), Jumps(), FileHashes())
"""saksi first: it is the one that is held to its honest variants."""


def asked(*, replay: bool) -> tuple[Detector, ...]:
    """Who is asked: with a `replay`, saksi once more as it is with one."""
    return (*ALL, WithReplay()) if replay else ALL
