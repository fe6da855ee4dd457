"""Which other runs recorded that they saved a content, or a file at a path. Journals are searched as bytes first.

Most runs name neither, and are not decoded: a thousand small runs take about as long as opening their files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from saksi.edges.runs import open_run
from saksi.edges.store.local import LocalStore
from saksi.judgement.origins import Saved
from saksi.judgement.story import use_of
from saksi.words.codec import decode_record
from saksi.words.errors import SaksiError
from saksi.words.records import FileRecord

__all__ = ["SavedElsewhere", "saved_elsewhere"]

_FILE = b'{"kind":"file"'


class SavedElsewhere(NamedTuple):
    """The saves found, and how many runs could not be asked."""

    saves: tuple[Saved, ...]
    unasked: int


def saved_elsewhere(runs: Mapping[str, Path], *, digests: Collection[str], paths: Collection[str]) -> SavedElsewhere:
    """The saves in `runs` of one of these contents, or at one of these paths. A damaged run is counted, not raised."""
    wanted = [each.encode() for each in digests] + [msgspec.json.encode(each)[1:-1] for each in paths]
    saves: list[Saved] = []
    unasked = 0
    for run, folder in runs.items():
        try:
            journal = LocalStore(folder).journal()
            if any(each in journal for each in wanted):
                saves += _saves(run, folder, digests, paths)
        except SaksiError:
            unasked += 1
    return SavedElsewhere(tuple(saves), unasked)


def _saves(run: str, folder: Path, digests: Collection[str], paths: Collection[str]) -> list[Saved]:
    found: list[Saved] = []
    for index, entry in enumerate(open_run(folder).entries):
        if not entry.startswith(_FILE):
            continue
        record = decode_record(entry, where=f"index {index}")
        if isinstance(record, FileRecord) and record.action == "saved":
            use = use_of(index, record)
            if use.digest in digests or use.path in paths:
                found.append(Saved(run=run, use=use))
    return found
