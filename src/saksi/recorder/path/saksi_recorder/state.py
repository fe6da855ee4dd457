"""State roots: every parameter, optimizer state tensor and buffer, byte for byte, as `spec/frames.md` orders them.

Rules: SHA-256 over the memory itself; a tensor that is listed twice is hashed once, under its first key; the layout is
said before the first root that uses it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from . import leaves, memory, modules, optimizers, session
from .channel import MAX_FRAME_BYTES
from .guard import guarded
from .plain import text

FIRST, LATER = 10, 100  # Steps in each of the first ten segments, and in those after
MAX_LINES = 1024
MAX_PART_BYTES = MAX_FRAME_BYTES - 2048
MAX_LEAVES = 1300  # 41,600 bytes are 55,468 in base64

_said: set[str] = set()
_last_ckpt = [None]
_bound = [-2]  # the Step of the last root; -1 is the initial state


def listed() -> list[tuple[str, Any, Any]]:
    """Key, alias and tensor of everything a root covers, in order."""
    names = modules.names()
    seen: set[int] = set()
    out = []

    def add(key: str, alias: Any, tensor: Any) -> None:
        if id(tensor) not in seen and memory.readable([tensor]):
            seen.add(id(tensor))
            out.append((key, alias, tensor))

    for ordinal, optimizer in optimizers.living():
        for number, group in enumerate(optimizer.param_groups):
            for index, parameter in enumerate(group["params"]):
                key = "%d/%d/%d" % (ordinal, number, index)
                add(key, names.get(id(parameter)), parameter)
                for name, tensor in optimizers.states(optimizer, parameter):
                    add(key + "/" + name, None, tensor)
    for key, name, buffer in modules.buffers():
        add(key, name, buffer)
    return out


@guarded("root")
def root(at: str, step: int) -> bool:
    """Take a state root and say it; False if there is nothing to take it of."""
    with memory.quiet():
        tensors = listed()
        if not tensors:
            return False
        lines = [
            [text(key), None if alias is None else text(alias), str(tensor.dtype), list(tensor.shape)]
            for key, alias, tensor in tensors
        ]
        encoded = [json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n" for line in lines]
        layout = hashlib.sha256(b"".join(encoded))
        digest = hashlib.sha256(b"saksi.state/v1\n" + layout.digest())
        found, total = leaves.digests([tensor for _, _, tensor in tensors])
    for leaf in found:
        digest.update(leaf)
    if layout.hexdigest() not in _said:
        _said.add(layout.hexdigest())
        _say_layout(layout.hexdigest(), lines, [len(one) for one in encoded])
    _bound[0] = step
    session.say(
        "root",
        {
            "at": at,
            "step": step,
            "root": digest.hexdigest(),
            "layout": layout.hexdigest(),
            "tensors": len(found),
            "bytes": total,
            "leaves": base64.b64encode(b"".join(found)).decode("ascii") if len(found) <= MAX_LEAVES else None,
        },
    )
    return True


def bound_until() -> int:
    """The last Step whose state a root binds; -2 before the first root."""
    return _bound[0]


def at_segment_end(step: int) -> bool:
    """Whether a binding root is due as this Step returns."""
    done = step + 1
    if session.level == "full":
        return True
    if session.segment is not None:
        return done % session.segment == 0
    return done % FIRST == 0 if done <= LATER else done % LATER == 0


@guarded("root")
def at_ckpt(size: int) -> None:
    """A file was saved: one root for each Step, if the file is large enough to hold a model.

    A quarter, because a model may be exported in half precision and in two files; much smaller files are
    statistics that a script may save at every step.
    """
    with memory.quiet():
        held = [p for _, one in optimizers.living() for p in optimizers.parameters(one)]
        nbytes = sum(p.numel() * p.element_size() for p in held)
    if held and size * 4 >= nbytes and _last_ckpt[0] != session.step:
        _last_ckpt[0] = session.step  # type: ignore[call-overload]
        root("ckpt", session.step)


def _say_layout(layout: str, lines: list[Any], sizes: list[int]) -> None:
    parts: list[list[Any]] = [[]]
    room = MAX_PART_BYTES
    for line, size in zip(lines, sizes):  # noqa: B905  (strict= is newer than Python 3.9)
        if parts[-1] and (len(parts[-1]) >= MAX_LINES or size > room):
            parts.append([])
            room = MAX_PART_BYTES
        parts[-1].append(line)
        room -= size
    for number, part in enumerate(parts):
        session.say("layout", {"layout": layout, "part": number, "parts": len(parts), "lines": part})


def _forget() -> None:
    _last_ckpt[0] = None
    _bound[0] = -2


session.forgetters.append(_said.clear)
session.wakers.append(_forget)
