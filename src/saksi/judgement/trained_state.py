"""What a state root binds of what is trained: all under it but averages, which go on once an update has returned.

A root that is taken as an update returns and one that is taken as a file is saved behind it may differ in averages,
with the buffers of their models, and in nothing else. Rules: the digests of single tensors count only where layout
and root follow from them; where they are not there, the root itself is taken.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any, Final

import msgspec

from saksi.words.frames import LayoutFrame, RootFrame

__all__ = ["BESIDE", "TrainedStates"]

BESIDE: Final = "beside/"
"""How the keys of averages begin."""
MAX_LAYOUTS: Final = 16
MAX_LINES: Final = 2_048
"""Of one layout: a root has at most 1,300 digests in its frame."""
_DIGEST: Final = 32


class TrainedStates:
    """The roots of one connection; the layouts that were said last are kept."""

    __slots__ = ("_layouts",)

    def __init__(self) -> None:
        self._layouts: dict[str, list[Any]] = {}

    def lay(self, frame: LayoutFrame) -> None:
        """Takes a part of a layout in; parts come in order."""
        lines = [] if frame.part == 0 else self._layouts.pop(frame.layout, [])
        if len(lines) + len(frame.lines) > MAX_LINES:
            return
        self._layouts[frame.layout] = [*lines, *frame.lines]
        if len(self._layouts) > MAX_LAYOUTS:
            del self._layouts[next(iter(self._layouts))]

    def of(self, frame: RootFrame) -> str:
        """The same for two roots that bind the same of all that is trained; the root, if nothing else is under it."""
        lines = self._layouts.get(frame.layout, [])
        if not any(key.startswith(BESIDE) for key, *_ in lines):
            return frame.root
        content = _content(frame)
        if len(content) != _DIGEST * len(lines) or not _binds(frame, lines, content):
            return frame.root
        averages = {key.split("/")[1] for key, *_ in lines if key.startswith(BESIDE)}
        digest = hashlib.sha256()
        for at, (key, *form) in enumerate(lines):
            if key[:1].isdigit() or key.split("/")[1] not in averages:
                digest.update(msgspec.json.encode([key, *form]) + content[_DIGEST * at : _DIGEST * (at + 1)])
        return digest.hexdigest()


def _content(frame: RootFrame) -> bytes:
    try:
        return base64.b64decode(frame.leaves or "", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _binds(frame: RootFrame, lines: list[Any], content: bytes) -> bool:
    """Whether layout and root are digests of just that (`spec/frames.md`, state roots)."""
    layout = hashlib.sha256(b"".join(_line(each) for each in lines)).digest()
    root = hashlib.sha256(b"saksi.state/v1\n" + layout + content)
    return (layout.hex(), root.hexdigest()) == (frame.layout, frame.root)


def _line(line: Any) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
