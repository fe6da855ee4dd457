"""The source files of the modules this process has imported, told as it ends."""

# ruff: noqa: PTH100  (plain os: light, and also what old interpreters know)

from __future__ import annotations

import os
import sys
from typing import Any

from . import session
from .channel import MAX_FRAME_BYTES
from .guard import guarded
from .plain import text

MAX_PART_BYTES = MAX_FRAME_BYTES - 4096
MAX_MODULES = 20_000
MAX_NAME = 512


@guarded("environment")
def say() -> None:
    """Say every module that came from a .py file, in parts."""
    parts = _parts(_modules())
    for number, part in enumerate(parts):
        session.say("environment", {"part": number, "parts": len(parts), "modules": part})


def _modules() -> list[list[str]]:
    out = []
    for name, module in list(sys.modules.items()):
        # `__dict__` and not getattr: a lazy module would start importing.
        spec = getattr(module, "__dict__", {}).get("__spec__")
        origin = getattr(spec, "origin", None)
        if spec is None and name == "__main__":
            origin = module.__dict__.get("__file__")
        if isinstance(origin, str) and origin.endswith(".py"):
            out.append([text(name, MAX_NAME), text(os.path.abspath(origin))])
    return out[:MAX_MODULES]


def _parts(modules: list[list[str]]) -> list[list[Any]]:
    parts: list[list[Any]] = [[]]
    room = MAX_PART_BYTES
    for pair in modules:
        size = len(pair[0].encode("ascii", "backslashreplace")) + len(pair[1].encode("ascii", "backslashreplace")) + 8
        if parts[-1] and size > room:
            parts.append([])
            room = MAX_PART_BYTES
        parts[-1].append(pair)
        room -= size
    return parts
