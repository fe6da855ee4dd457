"""What stands in an environment without having come out of a wheel, by name: each with its reason.

These files are not compared with a manifest. None of them is imported or run by Python on its own; bytecode, which is
run, has a proof of its own (it must follow from its source).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ACTIVATION", "INSTALLER_FILES", "SETTINGS", "is_bytecode", "metadata_folder_of"]

INSTALLER_FILES: Final = {
    "RECORD": "installers add bytecode and scripts to it: what it says is judged for itself",
    "RECORD.jws": "signs a RECORD that installers rewrite",
    "RECORD.p7s": "as RECORD.jws",
    "INSTALLER": "the installer's name",
    "REQUESTED": "empty: whether a person asked for the distribution",
    "direct_url.json": "where the archive came from",
    "uv_cache.json": "uv's time of caching",
    "uv_build.json": "uv's settings of a build",
}
"""In a metadata folder: `importlib.metadata` reads them as text."""

ACTIVATION: Final = {
    "activate": "sh: sets PATH; holds the environment's folder",
    "activate.csh": "csh",
    "activate.fish": "fish",
    "activate.nu": "nushell",
    "activate.ps1": "PowerShell, by virtualenv",
    "activate.bat": "Windows, by uv",
    "activate.xsh": "xonsh, by virtualenv",
    "activate_this.py": "for embedding, by virtualenv and uv",
    "deactivate.bat": "Windows, by uv",
    "deactivate.nu": "nushell",
    "pydoc.bat": "Windows, by uv",
    "Activate.ps1": "PowerShell, by venv",
}
"""In `scripts`: what a virtual environment is switched on with in a shell. saksi starts the interpreter itself."""

SETTINGS: Final = frozenset({"pyvenv.cfg", "venv/pyvenv.cfg"})
"""In `executable`: what says where the interpreter's libraries are. It names folders of one machine; where it leads was
followed when the files were listed, so that what it decides is compared in `stdlib` and `base-site`."""

_BYTECODE: Final = re.compile(r"(?:.*/)?__pycache__/[^/]+\.pyc", re.DOTALL)
_METADATA: Final = re.compile(r"([^/]+-[^/]+\.dist-info)/METADATA")


def is_bytecode(path: str) -> bool:
    """Whether a file is cached bytecode, which Python uses only beside its source. Other `.pyc` are modules."""
    return _BYTECODE.fullmatch(path) is not None


def metadata_folder_of(path: str) -> str | None:
    """The metadata folder of an installed distribution, if `path` is its METADATA."""
    found = _METADATA.fullmatch(path)
    return None if found is None else found[1]
