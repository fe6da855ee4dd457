"""Which run `--resume` means, and what its log already holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from saksi.edges.home import Home
from saksi.proofs.tlog.note import VerifierKey
from saksi.words.errors import UsageError
from saksi.words.run import Level

__all__ = ["Resumable", "resumable"]


class Resumable(msgspec.Struct, frozen=True, kw_only=True):
    run: str
    attempts: int
    folder: Path
    name: str | None
    project: str | None
    level: Level
    segment: int | None
    keys: tuple[VerifierKey, ...]


def resumable(text: str, home: Home, trusted: Sequence[VerifierKey]) -> Resumable:
    raise UsageError("--resume is not there yet")
