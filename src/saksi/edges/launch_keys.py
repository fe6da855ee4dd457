"""Which run a launch's key led to last: one small file for each key, so that it is known without reading any run.

    <home>/launch-keys/<identity>     {"kind": "slurm", "label": "4711", "run": "00112233445566aa"}

The files are a projection of the seals: where the folder is missing, it is made again from the first seal of every
run. They are written without a flush: a lost one costs a further attempt that is not recognised, never a record.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.home import Home
from saksi.edges.run_labels import first_seal_of
from saksi.edges.store.durable import make_folders
from saksi.judgement.launch_key import LaunchKey, identity
from saksi.words.run import RUN_ID

__all__ = ["keep_run_of_key", "run_of_key"]

_FOLDER: Final = "launch-keys"
_MAX_BYTES: Final = 4096


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One file's content. Kind and label are for whoever looks into the folder."""

    kind: str
    label: str
    run: str


def run_of_key(home: Home, key: LaunchKey, command: str, runs: Callable[[], Mapping[str, Path]]) -> str | None:
    """The run that this key led to last. `runs` are asked for where the folder is missing. Raises `OSError`."""
    folder = home.root / _FOLDER
    if not folder.is_dir():
        _make_again(home, runs())
    try:
        with (folder / identity(key, command)).open("rb") as file:
            kept = msgspec.json.decode(file.read(_MAX_BYTES), type=_Kept)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    return kept.run if RUN_ID.fullmatch(kept.run) else None


def keep_run_of_key(home: Home, key: LaunchKey, command: str, run: str) -> None:
    """From now on this key leads to `run`. Raises `OSError`."""
    folder = home.root / _FOLDER
    make_folders(folder, durable=False)
    path = folder / identity(key, command)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_bytes(msgspec.json.encode(_Kept(kind=key.kind, label=key.label, run=run)))
    staged.replace(path)


def _make_again(home: Home, runs: Mapping[str, Path]) -> None:
    found = [(seal.created_ns, seal) for seal in map(first_seal_of, runs.values()) if seal is not None]
    make_folders(home.root / _FOLDER, durable=False)
    for _, seal in sorted(found, key=lambda each: each[0]):
        if isinstance(seal.launch_key, LaunchKey):
            keep_run_of_key(home, seal.launch_key, seal.command.hmac, seal.run)
