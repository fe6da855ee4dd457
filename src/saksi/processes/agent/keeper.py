"""After the run: compile what was imported and keep it for the next run of the same environment.

Sources are read and hashed here; the compiling is done by the job's own interpreter (another version's bytecode is
another language), isolated and without site, which gets the bytes' digests and refuses a source that is no longer what
was hashed. No bytecode the job wrote is read. Paths, and the interpreter itself, are what the job said they are: only
regular files are read, what comes back is bounded and compared with what was asked for, and nothing raises.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.bytecode import INDEX, KeptStore, Stamped, StoreIndex, read_index, stamp_of

__all__ = ["MAX_FILES", "keep"]

_logger = logging.getLogger(__name__)

TIME_LIMIT_S: Final = 180
MAX_SOURCE: Final = 16 * 1024 * 1024
MAX_FILES: Final = 50_000
MAX_ANSWER: Final = 64 * 1024 * 1024
"""Of what the compiler says: a line for each file."""

_COMPILE: Final = """
import sys, json, hashlib, os, importlib.util, importlib._bootstrap_external as external
for line in sys.stdin:
    source, digest = json.loads(line)
    try:
        with open(source, "rb") as file:
            raw = file.read()
        if hashlib.sha256(raw).hexdigest() != digest:
            continue
        code = compile(raw, source, "exec", dont_inherit=True)
        pyc = importlib.util.cache_from_source(source)
        content = external._code_to_hash_pyc(code, importlib.util.source_hash(raw), True)
        os.makedirs(os.path.dirname(pyc), mode=0o700, exist_ok=True)
        staged = pyc + ".staged"
        with open(staged, "wb") as file:
            file.write(content)
        os.replace(staged, pyc)
        print(json.dumps([source, digest, pyc]), flush=True)
    except (OSError, SyntaxError, ValueError):
        continue
"""


def keep(store: KeptStore, *, interpreter: str, sources: Iterable[str]) -> int:
    """Add what is missing of `sources` to the store; how many files it then holds.

    Gives up quietly if it is busy. Never raises: without the store the next run compiles for itself.
    """
    try:
        return _keep_locked(store, interpreter, sources)
    except (OSError, ValueError) as error:
        _logger.warning("bytecode is not kept: %s", error)
        return 0


def _keep_locked(store: KeptStore, interpreter: str, sources: Iterable[str]) -> int:
    store.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (store.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0
        return _keep(store, interpreter, sources)


def _keep(store: KeptStore, interpreter: str, sources: Iterable[str]) -> int:
    index = read_index(store)
    held = {each.source: each for each in (index.files if index else ()) if stamp_of(each.pyc) == each.stamp}
    wanted: dict[str, str] = {}
    for source in sorted(set(sources))[:MAX_FILES]:
        digest = _digest(source)
        if digest is not None and (source not in held or held[source].source_sha256 != digest):
            wanted[source] = digest
    if not wanted:
        return len(held)
    for source, digest, pyc in _compiled(store, interpreter, wanted):
        stamp = stamp_of(pyc) if wanted.get(source) == digest and _lies_under(store.prefix, pyc) else None
        if stamp is not None:
            held[source] = Stamped(source=source, source_sha256=digest, pyc=pyc, stamp=stamp)
    kept = StoreIndex(interpreter=interpreter, files=tuple(held[name] for name in sorted(held)))
    staged = store.folder / f"{INDEX}.staged"
    staged.write_bytes(msgspec.json.encode(kept))
    staged.replace(store.folder / INDEX)
    return len(held)


def _compiled(store: KeptStore, interpreter: str, wanted: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Source, digest and `.pyc` of each file that was compiled, as the compiler says."""
    questions = "".join(json.dumps(each) + "\n" for each in wanted.items())
    with tempfile.TemporaryFile(dir=store.folder) as answers:
        try:
            subprocess.run(
                [interpreter, "-I", "-S", "-B", "-X", f"pycache_prefix={store.prefix}", "-c", _COMPILE],
                input=questions.encode("ascii"),
                stdout=answers,
                stderr=subprocess.DEVNULL,
                timeout=TIME_LIMIT_S,
                check=False,
                env={"PATH": os.defpath},
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        answers.seek(0)
        lines = answers.read(MAX_ANSWER).splitlines()
    try:
        return [msgspec.json.decode(line, type=tuple[str, str, str]) for line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []  # it is not the interpreter that it was taken for


def _lies_under(prefix: Path, pyc: str) -> bool:
    """Whether `pyc` is a file of the store itself, by its name and by what the name leads to."""
    path = Path(pyc)
    try:
        return (
            ".." not in path.parts
            and path.is_relative_to(prefix)
            and path.resolve(strict=True).is_relative_to(prefix.resolve(strict=True))
            and stat.S_ISREG(path.lstat().st_mode)
        )
    except (OSError, ValueError, RuntimeError):
        return False


def _digest(source: str) -> str | None:
    try:
        if not stat.S_ISREG(
            Path(source).stat().st_mode
        ):  # asked before it is opened: opening a device can do something
            return None
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened above
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            content = file.read(MAX_SOURCE + 1)
    except (OSError, ValueError):
        return None
    return None if len(content) > MAX_SOURCE else hashlib.sha256(content).hexdigest()
