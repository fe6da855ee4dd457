"""The files of an environment as values: what is where, under names that do not change with the place.

Rules:

- A file is named by the label of its root and its path below it, never by an absolute path: the same packages in
  another folder, or on another machine, have the same names and the same tree digest.
- Files are sorted by name and each is listed once; what could not be read has no digest and says why.
- The tree digest covers every file's name, digest and size. A tree with an unreadable file has none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from saksi.words.digest import DIGEST_PATTERN, Digest

__all__ = ["LABEL_PATTERN", "MAX_TREE_FILES", "Root", "Tree", "TreeFile", "digest_of_lines", "tree_digest"]

LABEL_PATTERN: Final = (
    r"^(executable|stdlib|purelib|platlib|scripts|base-site:[0-9]+|user-site|path:[0-9]+|editable:[a-z0-9-]+)$"
)
"""What a root is to the interpreter.

`executable`: its own file and what it loads to start; `stdlib`: the standard library with its extension modules;
`purelib` and `platlib`: where wheels go (one root, `purelib`, where both are one folder); `scripts`: the folder of
console scripts; `base-site:N`: folders of the base interpreter's packages that a venv sees; `user-site`; `path:N`: the
N-th further entry of the search path, by PYTHONPATH or a `.pth` line; `editable:NAME`: the checkout of an editable
installation, by its normalised name.
"""
MAX_TREE_FILES: Final = 2_000_000
"""A torch environment has 21,000 files; a tree a hundred times that is a data set in the wrong place."""

Label = Annotated[str, Meta(pattern=LABEL_PATTERN)]
DigestText = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class TreeFile(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """A file below a root: `path` relative with `/`; `link` is where a symbolic link points, as it is written.

    `digest` is of the content, links followed; it is null with a `reason` where there is none.
    """

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    digest: DigestText | None
    size: Size
    link: Annotated[str, Meta(max_length=4096)] | None = None
    reason: Annotated[str, Meta(max_length=1024)] | None = None


class Root(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One root and its files, sorted by path. `reason` says why a root could not be listed whole."""

    label: Label
    files: tuple[TreeFile, ...]
    reason: Annotated[str, Meta(max_length=1024)] | None = None

    def __post_init__(self) -> None:
        paths = [each.path for each in self.files]
        if any(earlier >= later for earlier, later in pairwise(paths)):
            raise ValueError(f"the files of {self.label} are not sorted by path, or one is listed twice")


class Tree(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every root of an environment, in order of label."""

    roots: tuple[Root, ...]

    def __post_init__(self) -> None:
        labels = [each.label for each in self.roots]
        if labels != sorted(set(labels)):
            raise ValueError("the roots are not sorted by label, or one is listed twice")

    def files(self) -> Iterator[tuple[str, TreeFile]]:
        """Each file with its root's label, in order."""
        return ((root.label, each) for root in self.roots for each in root.files)


def tree_digest(tree: Tree) -> Digest | None:
    """The digest of every file's name, content and size: see `digest_of_lines`.

    `None` where a file or a root could not be read: such a tree is equal to nothing.
    """
    lines = []
    for root in tree.roots:
        if root.reason is not None:
            return None
        for each in root.files:
            if each.digest is None:
                return None
            lines.append((root.label, each.path, each.digest, each.size))
    return digest_of_lines(lines)


def digest_of_lines(lines: Iterable[tuple[str, str, str, int]]) -> Digest:
    """SHA-256 of `saksi.tree/v1` and a line break, then a line of JSON `[label, path, digest, size]` for each file."""
    digest = hashlib.sha256(b"saksi.tree/v1\n")
    for line in lines:
        path = line[1]
        if path.isascii() and path.isprintable() and '"' not in path and "\\" not in path:
            # As below, in a tenth of the time: nothing in it is written otherwise in JSON.
            digest.update(f'["{line[0]}","{path}","{line[2]}",{line[3]}]\n'.encode("ascii"))
        else:
            digest.update(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")
    return Digest(digest.digest())
