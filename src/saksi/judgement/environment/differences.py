"""What a comparison with an external manifest says: values, and what each of their words means."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Comparison", "Difference", "Kind", "NotCompared"]

Kind = Literal["missing", "differs", "size", "extra", "unread", "python"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One file, or the interpreter, that is not as the manifest says.

    `unread`: it is there and its content could not be read, so it may be as expected. `size`: unread, and of another
    size than expected. `distribution` is whose file it should be, by name and version.
    """

    kind: Kind
    label: str
    path: str
    distribution: str | None
    expected: tuple[str, ...]
    found: str | None
    detail: str


class NotCompared(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the comparison does not speak of, and why. `label` is the root where it lies, if it is one.

    `executed` is whether Python could execute something there: then the environment is not known whole.
    """

    subject: str
    reason: str
    label: str | None = None
    executed: bool = True


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`agreeing` counts files that are as expected, by label; `bytecode` those left to their own proof.

    `unlisted` are distributions that are installed and not in the manifest; their files are `extra`.
    """

    agreeing: dict[str, int]
    bytecode: int
    differences: tuple[Difference, ...]
    not_covered: tuple[NotCompared, ...]
    unlisted: tuple[str, ...]
