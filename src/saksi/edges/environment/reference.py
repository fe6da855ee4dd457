"""An installed environment, read so that somebody can approve it as a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from saksi.edges.environment.given_file import read_given
from saksi.edges.environment.interpreter import NotKnown, Python, describe
from saksi.edges.environment.script_files import interpreter_names, read_scripts
from saksi.judgement.environment.manifest import PythonParts
from saksi.judgement.environment.tree import Tree
from saksi.proofs.attest.envelope import MAX_ENVELOPE_BYTES
from saksi.words.errors import SaksiError

__all__ = ["Reference", "interpreter_of", "names_of", "python_parts", "read_manifest_file", "read_reference"]


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest is made from: the interpreter and its names, every file, and the contents of scripts."""

    python: PythonParts
    interpreters: frozenset[str]
    tree: Tree
    scripts: Mapping[str, bytes]


def interpreter_of(path: Path, environment: Mapping[str, str], *, now_ns: int) -> Python:
    """What the interpreter at `path` is. Raises `SaksiError`."""
    try:
        return describe(path.absolute(), environment, cache=None, now_ns=now_ns)
    except NotKnown as unknown:
        raise SaksiError(f"{path}: {unknown}", remedy="name the environment's interpreter with --python") from None


def names_of(python: Python) -> frozenset[str]:
    """What the first line of a script may say to start `python`."""
    return interpreter_names(
        path=str(python.path),
        real_path=str(python.real_path),
        prefix=str(python.prefix),
        version=python.file.version,
    )


def python_parts(python: Python) -> PythonParts:
    """What an interpreter says of itself, as a manifest has it. Its platform is not asked for."""
    file = python.file
    return PythonParts(
        implementation=file.implementation, version=file.version, cache_tag=file.cache_tag, platform=None
    )


def read_manifest_file(path: Path) -> bytes:
    """The content of a manifest's file, at most as much as one may have. Raises `UsageError`."""
    return read_given(path, MAX_ENVELOPE_BYTES, remedy="`saksi env manifest -o FILE` makes one")


def read_reference(python: Python, *, read_tree: Callable[[Python], Tree]) -> Reference:
    """The environment of `python`, its files read by `read_tree`. Raises what that raises."""
    tree = read_tree(python)
    names = [each.path for label, each in tree.files() if label == "scripts"]
    return Reference(
        python=python_parts(python),
        interpreters=names_of(python),
        tree=tree,
        scripts=read_scripts(python.prefix / "bin", names),
    )
