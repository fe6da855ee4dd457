"""What a state root binds of what is trained: without averages, or without all that no optimizer holds.

Averages go on once an update has returned: a root that is taken then and one that is taken as a file is saved behind it
may differ in them, with the buffers of their models, and in nothing else. Which models a process still holds, with
their buffers and averages, may be Python's doing. Rules: the digests of single tensors count only where layout and root
follow from them; where they are not there, the root itself is taken.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from saksi.words.frames import LayoutFrame, RootFrame

__all__ = ["BESIDE", "Bound", "TrainedStates", "averages_in", "digests_in"]

BESIDE: Final = "beside/"
"""How the keys of averages begin."""
MAX_LAYOUTS: Final = 16
MAX_LINES: Final = 2_048
"""Of one layout: a root has at most 1,300 digests in its frame."""
_DIGEST: Final = 32


def averages_in(keys: Iterable[str]) -> frozenset[str]:
    """The numbers of the models that stand beside what is trained, with what they count in buffers."""
    return frozenset(key.split("/")[1] for key in keys if key.startswith(BESIDE))


class Bound(NamedTuple):
    """The same for two roots that bind the same: of all but averages, and of what optimizers hold."""

    trained: str
    optimized: str


class _Layout:
    """The lines of a layout as they come, and once they are all there, which of them are of what."""

    __slots__ = ("_found", "_lines")

    def __init__(self) -> None:
        self._lines: list[Any] = []
        self._found: tuple[bool, list[int], list[int]] | None = None

    def add(self, lines: Sequence[Any]) -> None:
        self._found = None
        self._lines += lines[: MAX_LINES + 1 - len(self._lines)]

    def bound(self, frame: RootFrame, content: bytes) -> Bound:
        """Of a root with these digests."""
        self._found = self._found or self._read(frame.layout)
        is_it, trained, optimized = self._found
        root = hashlib.sha256(b"saksi.state/v1\n" + bytes.fromhex(frame.layout) + content).hexdigest()
        if not is_it or root != frame.root or len(content) != _DIGEST * len(self._lines):
            return Bound(frame.root, frame.root)
        return Bound(self._digest(trained, content), self._digest(optimized, content))

    def _read(self, layout: str) -> tuple[bool, list[int], list[int]]:
        """Whether the layout is a digest of just these lines (`spec/frames.md`, state roots), and which are of what."""
        text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in self._lines)
        parts = [key.split("/", 2) for key, *_ in self._lines]
        averages = averages_in(key for key, *_ in self._lines)
        optimized = [at for at, each in enumerate(parts) if each[0].isdigit()]
        others = [at for at, each in enumerate(parts) if not each[0].isdigit() and averages.isdisjoint(each[1:2])]
        is_it = hashlib.sha256(text.encode("ascii")).hexdigest() == layout
        return is_it, [*optimized, *others], optimized

    def _digest(self, numbers: list[int], content: bytes) -> str:
        digest = hashlib.sha256()
        for at in numbers:
            key, _, dtype, shape = self._lines[at]
            digest.update(json.dumps([key, dtype, shape]).encode("ascii"))
            digest.update(content[_DIGEST * at : _DIGEST * (at + 1)])
        return digest.hexdigest()


class TrainedStates:
    """The roots of one connection; the layouts that were said last are kept."""

    __slots__ = ("_layouts",)

    def __init__(self) -> None:
        self._layouts: dict[str, _Layout] = {}

    def lay(self, frame: LayoutFrame) -> None:
        """Takes a part of a layout in; parts come in order."""
        layout = _Layout() if frame.part == 0 else self._layouts.pop(frame.layout, _Layout())
        layout.add(frame.lines)
        self._layouts[frame.layout] = layout
        if len(self._layouts) > MAX_LAYOUTS:
            del self._layouts[next(iter(self._layouts))]

    def of(self, frame: RootFrame) -> Bound:
        """What a root binds."""
        layout = self._layouts.get(frame.layout)
        content = digests_in(frame.leaves)
        return Bound(frame.root, frame.root) if layout is None or not content else layout.bound(frame, content)


def digests_in(leaves: str | None) -> bytes:
    """The digests that a root's frame says, one behind the other; nothing where it says none that can be read."""
    try:
        return base64.b64decode(leaves or "", validate=True)
    except (binascii.Error, ValueError):
        return b""
