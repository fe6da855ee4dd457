"""What became of one file of an environment between two looks at it."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from saksi.words.digest import DIGEST_PATTERN

__all__ = ["MAX_FILE_CHANGES", "FileChange", "FileChangeKind"]

MAX_FILE_CHANGES: Final = 256
"""Of one look; an entry has room for about as many, and a reinstalled package has as many files."""

DigestText = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
Text = Annotated[str, Meta(max_length=4096)]
FileChangeKind: TypeAlias = Literal["changed", "removed", "added", "rewritten", "relinked"]


class FileChange(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """A file of the environment, by its root's label and its path, at two looks. A digest is null where there is none.

    A path that ends with `/` is a folder, which has no digest. `rewritten`: its state moved, and its content (of a
    folder: its names) is the same; `relinked`: so did owner, mode, links, device or inode, and its mtime did not.
    """

    label: Annotated[str, Meta(max_length=128)]
    path: Text
    what: FileChangeKind
    before: DigestText | None
    after: DigestText | None
