"""The Python that will run a command: which file it is, and what it says of itself.

Rules:

- The interpreter is asked once, isolated (see `isolated`), and remembered while its file is the same, and all else that
  its answer depends on: the files beside it that move its search path, its `site.py`, where it finds its libraries. No
  code of the training environment runs: no `.pth`, no `sitecustomize`.
- A venv's interpreter is a link. The link decides about the prefix (its `pyvenv.cfg`), the file behind it about
  everything else.

BUG: commands that start Python in a roundabout way (`env python`, `uv run`, a shell script, a container) are not
looked through; the interpreter is then not known, and the seal says so.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.environment.isolated import ISOLATED, isolated_environment, library_folders
from saksi.edges.environment.remembered import recall, remember, stamp_of
from saksi.edges.files import hash_file
from saksi.judgement.invocation import MAX_SHEBANG, is_python_name, read_shebang

__all__ = [
    "NotKnown",
    "Python",
    "describe",
    "find_program",
    "path_files",
    "python_of",
    "python_path",
    "site_folders",
    "user_site",
    "venv_site",
]

ASK_SECONDS: Final = 5.0
"""A cold start from a network file system takes a second or two; it happens once."""
_MAX_ANSWER: Final = 65_536
_MAX_CONFIG: Final = 65_536
_MAX_FOLDERS: Final = 64
"""Folders of `LD_LIBRARY_PATH` that are looked at; module systems put a dozen there."""
_PREFIX: Final = "/@prefix@"
# Answers are separated by NUL. `import site` under -S runs nothing; it only defines functions, and Debian's knows
# its own folders. The made-up prefix shows how the folders of a venv are made from its prefix.
_QUESTION: Final = f"""
import sys, site
path = [each for each in sys.path if each]
maps = open("/proc/self/maps", "rb").read().decode("utf-8", "surrogateescape").split("\\n")
mapped = sorted({{each.split(None, 5)[5] for each in maps if "/libpython" in each}})
magic = getattr(sys.modules.get("_frozen_importlib_external"), "MAGIC_NUMBER", b"")
own = site.getsitepackages([sys.base_prefix])
sys.prefix = sys.exec_prefix = {_PREFIX!r}
answers = ["saksi", "%d.%d.%d" % sys.version_info[:3] + ("" if sys.version_info[3] == "final" else sys.version_info[3]),
    sys.implementation.name, sys.implementation.cache_tag or "", sys.base_prefix, sys.executable,
    "\\n".join(own), "\\n".join(site.getsitepackages([sys.prefix])), sys.version.replace("\\n", " "),
    "\\n".join(path), "\\n".join(mapped), magic.hex()]
sys.stdout.buffer.write("\\0".join(answers).encode("utf-8", "surrogateescape"))
"""
_ANSWERS: Final = 12
_CONFIG_LINE: Final = re.compile(r"^\s*([\w-]+)\s*=\s*(.*?)\s*$", re.MULTILINE)


class NotKnown(Exception):
    """Something could not be observed; the text is the reason that the seal records."""


class PythonFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the executable says of itself, and its digest: all that is remembered.

    `stdlib` is its whole search path when it is isolated and knows no site folders; `libraries` are the libpython that
    it maps; `magic` are the first four bytes of the bytecode that it reads, as hexadecimal digits.
    """

    digest: str
    version: str
    build: str
    implementation: str
    cache_tag: str | None
    base_prefix: str
    executable: str
    base_site: tuple[str, ...]
    site_below_prefix: tuple[str, ...]
    stdlib: tuple[str, ...]
    libraries: tuple[str, ...]
    magic: str


class RememberedPython(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an executable said of itself, and a digest of what else that depended on."""

    file: PythonFile
    basis: str


class Python(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter as a command names it: `path` may be a venv's link to `real_path`."""

    path: Path
    real_path: Path
    prefix: Path
    sees_base: bool
    file: PythonFile


def find_program(name: str, environment: Mapping[str, str], folder: Path) -> Path:
    """The file that running `name` in `folder` would execute. Raises `NotKnown`."""
    if "/" in name:
        places = [folder / name]
    else:
        # An empty entry of PATH is the current folder (execvp(3)).
        places = [folder / part / name for part in environment.get("PATH", os.defpath).split(os.pathsep)]
    for place in places:
        try:
            if place.is_file() and os.access(place, os.X_OK):
                return place.absolute()
        except (OSError, ValueError):
            continue
    raise NotKnown("the command was not found")


def python_of(program: Path, environment: Mapping[str, str], folder: Path) -> Path:
    """The interpreter that runs `program`: itself, or the one its first line names. Raises `NotKnown`."""
    shebang = _shebang(program)
    if is_python_name(program.name):
        # A script of that name (pyenv's shims) knows where the interpreter is, and only it does.
        return program if shebang is None else Path(_ask(program, environment).executable)
    if shebang is None or not is_python_name(shebang[0]):
        raise NotKnown("the command is not a Python program")
    return find_program(shebang[0], environment, folder)


def _shebang(program: Path) -> tuple[str, ...] | None:
    try:
        with program.open("rb") as file:
            return read_shebang(file.read(MAX_SHEBANG))
    except OSError as error:
        raise NotKnown(f"the command could not be read: {error.strerror}") from None


def describe(path: Path, environment: Mapping[str, str], *, cache: Path | None, now_ns: int) -> Python:
    """What the interpreter at `path` is. Raises `NotKnown`."""
    try:
        real = Path(os.path.realpath(path, strict=True))
        stamp = stamp_of(real)
    except OSError as error:
        raise NotKnown(f"the interpreter could not be read: {error.strerror}") from None
    known = None if cache is None else recall(cache, stamp, RememberedPython)
    if known is not None and known.basis == _basis(real, environment, known.file.stdlib):
        file = known.file
    else:
        file = _ask(real, environment)
        if cache is not None:
            basis = _basis(real, environment, file.stdlib)
            remember(cache, stamp, RememberedPython(file=file, basis=basis), now_ns=now_ns)
    configuration = _venv(path)
    prefix = Path(file.base_prefix) if configuration is None else configuration.parent
    sees_base = configuration is None or _includes_base(configuration)
    return Python(path=path, real_path=real, prefix=prefix, sees_base=sees_base, file=file)


def _basis(real: Path, environment: Mapping[str, str], stdlib: Sequence[str]) -> str:
    """One digest of what the interpreter's answer depends on besides its own file."""
    known = hashlib.sha256()
    for place in path_files(real):
        known.update(f"{place}\0{_small_digest(place)}\n".encode("utf-8", "surrogateescape"))
    for each in (*library_folders(environment)[:_MAX_FOLDERS], *(f"{each}/site.py" for each in stdlib)):
        try:
            found = os.stat(each)  # noqa: PTH116 - as text
            state = f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
        except (OSError, ValueError):
            state = "not there"
        known.update(f"{each}\0{state}\n".encode("utf-8", "surrogateescape"))
    return known.hexdigest()


def _small_digest(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking
            return hashlib.sha256(file.read(_MAX_CONFIG)).hexdigest()
    except OSError as error:
        return error.strerror or type(error).__name__


def path_files(program: Path) -> tuple[Path, ...]:
    """The files that move the search path of an interpreter that is started as `program`, wherever they are there."""
    beside, above = program.parent, program.parent.parent
    return (
        beside / "pyvenv.cfg",
        above / "pyvenv.cfg",
        beside / f"{program.name}._pth",
        beside / "pybuilddir.txt",
    )


def _venv(path: Path) -> Path | None:
    """The `pyvenv.cfg` of the venv that `path` is the interpreter of (PEP 405: beside it, or one folder up)."""
    places = (path.parent / "pyvenv.cfg", path.parent.parent / "pyvenv.cfg")
    return next((place for place in places if place.is_file()), None)


def _includes_base(configuration: Path) -> bool:
    try:
        with configuration.open("rb") as file:
            text = file.read(_MAX_CONFIG).decode("utf-8", "replace")
    except OSError:
        return False
    settings = {name.lower(): value.lower() for name, value in _CONFIG_LINE.findall(text)}
    return settings.get("include-system-site-packages") == "true"


def _ask(executable: Path, environment: Mapping[str, str]) -> PythonFile:
    # LD_PRELOAD and PYTHON* would let the environment answer in the interpreter's place.
    own = isolated_environment(environment, PATH="/usr/bin:/bin")
    try:
        answer = subprocess.run(
            [executable, *ISOLATED, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=own,
            cwd="/",
            timeout=ASK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotKnown(f"the interpreter did not answer within {ASK_SECONDS:.0f} s") from None
    except OSError as error:
        raise NotKnown(f"the interpreter could not be started: {error.strerror}") from None
    parts = answer.stdout[:_MAX_ANSWER].decode("utf-8", "surrogateescape").split("\0")
    if answer.returncode != 0 or len(parts) != _ANSWERS or parts[0] != "saksi":
        raise NotKnown("the interpreter did not answer as Python 3 does")
    hashed = hash_file(executable, None)
    if hashed.digest is None:
        raise NotKnown(f"the interpreter could not be read: {hashed.reason}")
    return PythonFile(
        digest=str(hashed.digest),
        version=parts[1],
        build=parts[8],
        implementation=parts[2],
        cache_tag=parts[3] or None,
        base_prefix=parts[4],
        executable=parts[5],
        base_site=tuple(parts[6].split("\n")),
        site_below_prefix=tuple(parts[7].split("\n")),
        stdlib=tuple(part for part in parts[9].split("\n") if part),
        libraries=tuple(part for part in parts[10].split("\n") if part),
        magic=parts[11],
    )


def site_folders(
    python: Python, environment: Mapping[str, str], folder: Path, letters: frozenset[str]
) -> tuple[Path, ...]:
    """Where this interpreter looks for distributions, under its single-letter flags `letters`, in order, each once."""
    found: list[Path] = []
    if not letters & {"I", "E"}:
        found += python_path(environment, folder)
    if "S" not in letters:
        found += user_site(python, environment, letters)
        found += venv_site(python)
        if python.sees_base:
            found += [Path(each) for each in python.file.base_site]
    return tuple(dict.fromkeys(found))


def python_path(environment: Mapping[str, str], folder: Path) -> list[Path]:
    """The folders of PYTHONPATH for what is started in `folder`: an empty entry is that folder itself."""
    value = environment.get("PYTHONPATH", "")
    return [folder / part for part in value.split(os.pathsep)] if value else []


def venv_site(python: Python) -> list[Path]:
    """The site folders of the venv itself; none where the interpreter is in no venv."""
    if python.prefix == Path(python.file.base_prefix):
        return []
    return [Path(each.replace(_PREFIX, str(python.prefix), 1)) for each in python.file.site_below_prefix]


def user_site(python: Python, environment: Mapping[str, str], letters: frozenset[str]) -> list[Path]:
    """The account's own site folder, if the interpreter would look there."""
    if letters & {"I", "s"} or not python.sees_base or ("E" not in letters and environment.get("PYTHONNOUSERSITE")):
        return []
    base = environment.get("PYTHONUSERBASE") or os.path.join(environment.get("HOME", "/nonexistent"), ".local")  # noqa: PTH118 - HOME may be relative
    version = ".".join(python.file.version.split(".")[:2])
    return [Path(base) / "lib" / f"python{version}" / "site-packages"]
