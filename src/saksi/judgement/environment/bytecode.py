"""Bytecode files by name and header (PEP 3147, PEP 552): which source each is of, and whether Python would execute it.

Nothing here reads code: what lies behind the header is hostile until it was compared, elsewhere, in a limited process.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import Final, Literal

import msgspec

from saksi.judgement.environment.tree import Tree

__all__ = [
    "HEADER_BYTES",
    "Bytecode",
    "Outcome",
    "Proof",
    "State",
    "Task",
    "is_bytecode",
    "read_name",
    "state_of",
    "without_bytecode",
]

HEADER_BYTES: Final = 16
_CACHED: Final = re.compile(r"(?P<module>[^/]+)\.(?P<tag>[^./]+)\.opt-(?P<level>[12])\.pyc", re.ASCII | re.DOTALL)
_HEADER: Final = Struct("<III")
_MASK: Final = 0xFFFF_FFFF
_HASH_BASED: Final = 1
_CHECKED: Final = 2

State = Literal[
    "executed", "unchecked", "hash-checked", "stale", "foreign", "orphan", "sourceless", "shadowed", "short"
]
"""Whether this interpreter would execute the file.

`executed`: its stamp is its source's; `hash-checked`: it is if the hash of the source inside is right; `unchecked`: it
is whatever the source says; `sourceless`: it is, there is no source. The rest is passed over: `stale` (the stamp is
another), `foreign` (of another Python, or not in a form that an import looks for), `orphan` (in `__pycache__` without
a source), `shadowed` (beside its source), `short` (not even a header).
"""
Outcome = Literal["equal", "normalised", "stale", "differs", "unreadable", "failed", "changed"]
"""`normalised`: equal but for the order in which constants were written. `failed`: the comparing process ended or took
too long, `changed`: a file was another one when it was compared."""


class Bytecode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One `.pyc`: where it is, which source it would be of, its optimisation level, and what Python does with it."""

    label: str
    path: str
    source: str | None
    level: int
    state: State


class Task(msgspec.Struct, frozen=True, gc=False):
    """A `.pyc` to be compared with its source: where both lie, and the SHA-256 of each as it was read."""

    bytecode: Bytecode
    file: str
    source_file: str
    digest: bytes
    source_digest: bytes


class Proof(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a comparison came to. `object` names the first function that differs, `detail` says in what."""

    bytecode: Bytecode
    outcome: Outcome
    object: str | None = None
    detail: str | None = None


def is_bytecode(path: str) -> bool:
    """Whether the name is one of compiled Python."""
    return path.endswith((".pyc", ".pyo"))


def read_name(path: str, tag: str | None) -> tuple[str, int] | None:
    """The path of the source that the `.pyc` at `path` is of, and its level; `None` where no import looks for it.

    `tag` is the interpreter's cache tag, for example `cpython-311`.
    """
    folder, _, name = path.rpartition("/")
    if folder != "__pycache__" and not folder.endswith("/__pycache__"):
        return path[:-1], 0
    end = f".{tag}.pyc"
    if tag is not None and name.endswith(end):
        return f"{folder[:-11]}{name[: -len(end)]}.py", 0
    found = _CACHED.fullmatch(name)
    if found is None or found["tag"] != tag:
        return None
    return f"{folder[:-11]}{found['module']}.py", int(found["level"])


def state_of(
    path: str, head: bytes, *, magic: bytes, named: tuple[str, int] | None, source: tuple[int, int] | None
) -> State:
    """What Python does with the `.pyc` at `path`; `named` is what `read_name` says of it.

    `source` is its source's size and mtime in ns, if there is one.
    """
    if named is None or path.endswith(".pyo"):
        return "foreign"
    if "__pycache__/" not in path:
        return "sourceless" if source is None else "shadowed"
    if source is None:
        return "orphan"
    if len(head) < HEADER_BYTES:
        return "short"
    if head[:4] != magic:
        return "foreign"
    flags, mtime, size = _HEADER.unpack_from(head, 4)
    if flags == 0:
        fits = size == source[0] & _MASK and mtime == source[1] // 10**9 & _MASK
        return "executed" if fits else "stale"
    if flags & ~(_HASH_BASED | _CHECKED) or not flags & _HASH_BASED:
        return "foreign"  # importlib refuses flags that it does not know
    return "hash-checked" if flags & _CHECKED else "unchecked"


def without_bytecode(tree: Tree) -> Tree:
    """The tree without compiled Python: bytecode is judged by its source, and comes and goes with use."""
    roots = tuple(
        msgspec.structs.replace(root, files=tuple(each for each in root.files if not is_bytecode(each.path)))
        for root in tree.roots
    )
    return Tree(roots=roots)
