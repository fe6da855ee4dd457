"""The capsules that a replay begins with, and what it is told of the updates before them, in a folder of its own.

Rules: a capsule has to hold the bytes that the agent read as it was written: the digest is taken of the copy, which
nobody else writes to. What it holds is put into the program by the recorder, which reads no pickle.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.judgement.replay.stretches import CapsuleFile, Restart
from saksi.processes.auditor.ckpt_in_place import opened, pour
from saksi.words.errors import UsageError

__all__ = ["put_capsules"]


_RESERVE: Final = 64 << 20
"""Bytes that the record of the replay may take on the same disk."""


def put_capsules(restart: Restart, made: Mapping[int, str], folder: Path) -> Path:
    """`folder`, which is made, with both for each rank. Raises `UsageError`, `OSError`; then it is gone."""
    wanted = sum(capsule.size or 0 for capsule in restart.capsules)
    if shutil.disk_usage(folder.parent).free < wanted + _RESERVE:
        raise UsageError(f"{folder.parent} has no room for {wanted:,} bytes of capsules", remedy="set TMPDIR")
    folder.mkdir(mode=0o700)
    try:
        for capsule in restart.capsules:
            _put(capsule, folder / f"{capsule.rank}.safetensors")
            (folder / f"{capsule.rank}.json").write_text(made[capsule.rank], encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # as large as the state
        raise
    return folder


def _put(capsule: CapsuleFile, copy: Path) -> None:
    path = Path(capsule.path)
    with opened(path) as file:
        is_as_long = capsule.size is None or os.fstat(file.fileno()).st_size == capsule.size
        if is_as_long:
            with copy.open("xb") as out:
                pour(file, out)
    if not is_as_long or _digest(copy) != capsule.digest:
        raise UsageError(f"{path} has changed since the run wrote it")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
