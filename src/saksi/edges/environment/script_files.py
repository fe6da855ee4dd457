"""The scripts of an environment: their contents, and the names by which their first lines may mean its interpreter."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from saksi.judgement.environment.scripts import MAX_SCRIPT_BYTES

__all__ = ["interpreter_names", "read_scripts"]


def interpreter_names(*, path: str, real_path: str, prefix: str, version: str) -> frozenset[str]:
    """What the first line of a script may say to start an interpreter: its names in its own folder of programs.

    Folders with links in them count both as they were named and as they are.
    """
    major, minor = [*version.split("."), "", ""][:2]
    names = {"python", f"python{major}", f"python{major}.{minor}", f"python{major}.{minor}t", Path(path).name}
    found = {path, real_path}
    for each in (Path(prefix), Path(os.path.realpath(prefix))):
        found |= {str(each / "bin" / name) for name in names}
    return frozenset(found)


def read_scripts(folder: Path, names: Iterable[str]) -> Mapping[str, bytes]:
    """The contents of those of `names`, relative to `folder`, that are regular files and small enough. Never raises.

    What is not in the answer could not be read; whoever compares says so.
    """
    found: dict[str, bytes] = {}
    for name in names:
        try:
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor: without blocking, should it be a FIFO
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    content = file.read(MAX_SCRIPT_BYTES + 1)
                    if len(content) <= MAX_SCRIPT_BYTES:
                        found[name] = content
        except (OSError, ValueError):
            continue
    return found
