"""How the commands reach runs and keys: names become folders, folders become values. Nothing is made by reading."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from saksi.edges.home import find_run, resolve_home
from saksi.edges.keys import read_trust_file
from saksi.edges.run_folders import all_runs
from saksi.edges.run_labels import label_of, seal_in
from saksi.edges.runs import RunMaterials, open_run
from saksi.edges.store.durable import told
from saksi.judgement.items import Item, read_items
from saksi.judgement.seal import Seal
from saksi.judgement.verdict import Judgement, judge
from saksi.proofs.tlog.note_key import VerifierKey
from saksi.words.errors import SaksiError

__all__ = ["catalogue", "find", "items_of", "judged", "open_reading", "seal_of", "trusted_keys"]


def catalogue() -> dict[str, Path]:
    """Ids and folders of all runs; empty where there is no home. Raises `StoreError`."""
    return all_runs(resolve_home(os.environ), os.environ, uid=os.getuid())


def find(text: str) -> str:
    """The id of the run that `text` means. Raises `UsageError`."""
    return find_run(text, catalogue(), label_of)


def open_reading(run: str) -> RunMaterials:
    """What the run with this id holds now. Raises `UsageError`, `MalformedInput`, `StoreError`."""
    folders = catalogue()
    return open_run(folders[find_run(run, folders, label_of)])


def items_of(reading: RunMaterials) -> Iterator[Item]:
    """The run's items, in order."""
    return read_items(reading.entries, reading.blob)


def judged(reading: RunMaterials) -> Judgement:
    """The run's judgement. A log that is not whole is never `clean`. Raises `MalformedInput`, `StoreError`."""
    judgement = judge(items_of(reading), run=reading.run, live=reading.live)
    if reading.short is None or judgement.report.verdict != "clean":
        return judgement
    return msgspec.structs.replace(judgement, report=msgspec.structs.replace(judgement.report, verdict="unknown"))


def seal_of(reading: RunMaterials) -> Seal | None:
    """What the run says that it is, not verified here: `saksi verify` judges the signature. `None` if unreadable."""
    return seal_in(reading.entries[0], reading.blob) if reading.entries else None


def trusted_keys(files: Sequence[Path]) -> tuple[VerifierKey, ...]:
    """The keys of `files`, else the public keys of the home; without a home none.

    Raises `UsageError`, `StoreError`.
    """
    if files:
        return tuple(dict.fromkeys(key for file in files for key in read_trust_file(file)))
    try:
        folder = resolve_home(os.environ).keys
    except SaksiError:
        return ()
    with told("read", folder):
        homely = [path for path in (folder / "installation.vkey", folder / "trusted.vkeys") if path.exists()]
    return tuple(dict.fromkeys(key for file in homely for key in read_trust_file(file)))
