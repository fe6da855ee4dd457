"""The interpreters at hand, old ones too: users train with what they have."""

from __future__ import annotations

import re
import sys
from pathlib import Path

# pyenv names a folder after the version in it.
VERSION = re.compile(r"(?:^|\D)(\d+)\.(\d+)")


def installed() -> list[tuple[tuple[int, int], str]]:
    """Version and path of each, sorted; the one that runs the tests comes last."""
    found = []
    for folder in sorted((Path.home() / ".pyenv/versions").glob("*")):
        version = VERSION.search(folder.name)
        if version is not None and (folder / "bin/python").exists():
            found.append(((int(version[1]), int(version[2])), str(folder / "bin/python")))
    return [*sorted(found), (sys.version_info[:2], sys.executable)]


BEFORE_3 = [python for version, python in installed() if version < (3, 0)]
SINCE_3 = [python for version, python in installed() if version >= (3, 0)]
SINCE_3_9 = [python for version, python in installed() if version >= (3, 9)]
