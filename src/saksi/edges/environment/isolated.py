"""How a Python of the environment is started as a child of ours, so that the environment has no say in it.

Rules:

- Isolated, without site: no `.pth`, no `sitecustomize`, no variable of Python's, nothing from the current folder.
- It reads no bytecode of the standard library, which may say something else than its source, and writes none.
- Of the environment's variables it gets `LD_LIBRARY_PATH`, without which some clusters' interpreters do not start, and
  of that the absolute folders only: an empty entry is the current folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

__all__ = ["ISOLATED", "isolated_environment", "library_folders"]

ISOLATED: Final = ("-I", "-S", "-B", "-X", "pycache_prefix=/nonexistent/saksi", "-W", "ignore")
"""What stands behind the interpreter, before what it is to do."""


def library_folders(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The folders of `LD_LIBRARY_PATH` that a child gets, in order."""
    parts = environment.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
    return tuple(part for part in parts if os.path.isabs(part))  # noqa: PTH117 - as text


def isolated_environment(environment: Mapping[str, str], **more: str) -> dict[str, str]:
    """All of a child's variables: `more`, its locale, and where libraries are."""
    folders = library_folders(environment)
    libraries = {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}
    return {"LC_ALL": "C.UTF-8", **libraries, **more}
