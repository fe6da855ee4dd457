"""How much memory this process may count on: the host's, or less where a control group says so.

Source: cgroup v2 (`memory.max`) and v1 (`memory.limit_in_bytes`) of the kernel's admin guide. Known weakness: a
hierarchy that is mounted elsewhere than under `/sys/fs/cgroup` is not found, and the host's memory counts.
"""

from __future__ import annotations

import os
from typing import Iterator, Optional

GROUPS = "/sys/fs/cgroup"
MINE = "/proc/self/cgroup"
MAX_BYTES = 64 * 1024  # of either file
MAX_DEPTH = 32
MAX_DIGITS = 20


def limit(groups: str = GROUPS, mine: str = MINE) -> int:
    """The least of the host's memory and what each control group around this process allows; 0 if neither is known."""
    known = [each for each in (_of_host(), *_of_groups(groups, mine)) if each is not None]
    return min(known, default=0)


def _of_host() -> Optional[int]:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _of_groups(groups: str, mine: str) -> Iterator[Optional[int]]:
    for line in _text(mine).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = groups + "/memory", "memory.limit_in_bytes"
        else:
            continue
        # Inside a namespace the path may name a group that is not mounted here: its ancestors are asked all the same.
        for folder in _upwards(path):
            yield _number(_text(top + folder + "/" + name))


def _upwards(path: str) -> Iterator[str]:
    parts = [each for each in path.split("/") if each not in ("", ".", "..")][:MAX_DEPTH]
    for count in range(len(parts), -1, -1):
        yield "".join("/" + each for each in parts[:count])


def _number(found: str) -> Optional[int]:
    word = found.strip()
    return int(word) if word.isdigit() and len(word) <= MAX_DIGITS else None  # "max" is none


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123  (pathlib takes 20 ms to import)
            return file.read(MAX_BYTES)
    except (OSError, ValueError):
        return ""
