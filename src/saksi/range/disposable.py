"""An environment to be edited: an interpreter and a folder of packages of its own, made of links in a second.

Only what a case may edit is a copy, torch's optimizers and its list of files; all the rest are links to what is
installed, and nothing is ever written through one.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

from saksi.range.launching import CaseFailed

__all__ = ["forge_bytecode", "list_anew", "make_environment", "write_in_site"]

_EDITED: Final = "optim"
_ASKED: Final = "import sysconfig; print(sysconfig.get_path('purelib'))"
_LIMIT_S: Final = 120.0
_FORGED: Final = """\
import importlib.util, sys
from importlib._bootstrap_external import _code_to_timestamp_pyc
from pathlib import Path

source, more = Path(sys.argv[1]), sys.argv[2]
found, compiled = source.stat(), Path(importlib.util.cache_from_source(source))
code = compile(source.read_text("utf-8") + more, str(source), "exec")
compiled.parent.mkdir(exist_ok=True)
compiled.write_bytes(_code_to_timestamp_pyc(code, int(found.st_mtime), found.st_size))
"""


def make_environment(folder: Path, python: Path) -> tuple[Path, Path]:
    """Its interpreter and its folder of packages, with what `python` has. Raises `CaseFailed`."""
    installed = Path(_ask(python, "-I", "-c", _ASKED))
    _ask(python, "-I", "-m", "venv", "--without-pip", "--symlinks", str(folder))
    own = folder / "bin" / "python"
    site = Path(_ask(own, "-I", "-c", _ASKED))
    for each in installed.iterdir():
        if each.name == "torch":
            _link_but_the_edited(each, site / each.name)
        elif each.name.startswith("torch-") and each.name.endswith(".dist-info"):
            shutil.copytree(each, site / each.name)
        elif each.name != "__pycache__" and each.suffix != ".pth":
            (site / each.name).symlink_to(each)
    if not (site / "torch" / _EDITED).is_dir():
        raise CaseFailed(f"{python} has no torch in {installed}")
    return own, site


def _link_but_the_edited(installed: Path, here: Path) -> None:
    here.mkdir()
    for each in installed.iterdir():
        if each.name == _EDITED:
            shutil.copytree(each, here / each.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif each.name != "__pycache__":
            (here / each.name).symlink_to(each)


def write_in_site(site: Path, name: str, text: str) -> None:
    """Append `text` to the file `name`, which may be new. Raises `CaseFailed` if it would be written through a link."""
    path = _own(site, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def forge_bytecode(python: Path, site: Path, name: str, text: str) -> None:
    """Compile the file `name` and `text` behind it to its bytecode, with a header that fits the file as it is.

    Raises `CaseFailed`, also if it would be written through a link.
    """
    _ask(python, "-I", "-c", _FORGED, str(_own(site, name)), text)


def _own(site: Path, name: str) -> Path:
    path = site / name
    if not path.resolve().is_relative_to(site.resolve()):
        raise CaseFailed(f"{name} is no file of the disposable environment")
    return path


def list_anew(site: Path, name: str) -> None:
    """Give a file of torch a row in RECORD that fits it, as somebody does who hides an edit. Raises `CaseFailed`."""
    content = (site / name).read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    for record in site.glob("torch-*.dist-info/RECORD"):
        lines = record.read_text("utf-8").splitlines(keepends=True)
        row = f"{name},sha256={digest},{len(content)}\n"
        anew = [row if each.startswith(f"{name},") else each for each in lines]
        if anew != lines:
            record.write_text("".join(anew), "utf-8")
            return
    raise CaseFailed(f"{name} is in no list of torch's files")


def _ask(python: Path, *words: str) -> str:
    try:
        done = subprocess.run([python, *words], capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CaseFailed(f"{python} does not answer: {error}") from None
    if done.returncode != 0:
        raise CaseFailed(f"{python} {' '.join(words[:3])}: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()
