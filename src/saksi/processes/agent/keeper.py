"""After the run: compile what was imported and keep it for the next run of the same environment.

Sources are read and hashed here; the compiling is done by the job's own interpreter (another version's bytecode is
another language), isolated and without site, which gets the bytes' digests and refuses a source that is no longer what
was hashed. Nothing the job wrote is read.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.bytecode import INDEX, KeptStore, Stamped, StoreIndex, read_index, stamp_of

__all__ = ["keep"]

TIME_LIMIT_S: Final = 180
MAX_SOURCE: Final = 16 * 1024 * 1024
MAX_FILES: Final = 50_000

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
    """Add what is missing of `sources` to the store; how many files it then holds. Gives up quietly if it is busy."""
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
    wanted = []
    for source in sorted(set(sources))[:MAX_FILES]:
        digest = _digest(source)
        if digest is not None and (source not in held or held[source].source_sha256 != digest):
            wanted.append(json.dumps([source, digest]))
    if not wanted:
        return len(held)
    for source, digest, pyc in _compiled(store, interpreter, wanted):
        stamp = stamp_of(pyc)
        if stamp is not None:
            held[source] = Stamped(source=source, source_sha256=digest, pyc=pyc, stamp=stamp)
    kept = StoreIndex(interpreter=interpreter, files=tuple(held[name] for name in sorted(held)))
    staged = store.folder / f"{INDEX}.staged"
    staged.write_bytes(msgspec.json.encode(kept))
    staged.replace(store.folder / INDEX)
    return len(held)


def _compiled(store: KeptStore, interpreter: str, wanted: list[str]) -> list[tuple[str, str, str]]:
    try:
        done = subprocess.run(
            [interpreter, "-I", "-S", "-B", "-X", f"pycache_prefix={store.prefix}", "-c", _COMPILE],
            input="\n".join(wanted) + "\n",
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
            env={"PATH": os.defpath},
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    compiled = (json.loads(line) for line in done.stdout.splitlines())
    return [(str(source), str(digest), str(pyc)) for source, digest, pyc in compiled]


def _digest(source: str) -> str | None:
    try:
        if Path(source).stat().st_size > MAX_SOURCE:
            return None
        return hashlib.sha256(Path(source).read_bytes()).hexdigest()
    except OSError:
        return None
