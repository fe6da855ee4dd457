"""State roots: what is trained, optimizer state, buffers, averages, byte for byte, as `spec/frames.md` orders them.

Rules: SHA-256 over the memory itself; a tensor that is listed twice is hashed once, under its first key; the layout is
said before the first root that uses it. What lies on a device is copied as the root is taken, and the root is said when
the copy has been hashed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Callable, Optional

import torch

from . import beside, deferred, leaves, memory, modules, optimizers, session, staged
from .channel import MAX_FRAME_BYTES
from .guard import guarded
from .plain import number, text

FIRST, LATER = 10, 100  # Steps in each of the first ten segments, and in those after
MAX_LINES = 1024
MAX_PART_BYTES = MAX_FRAME_BYTES - 2048
MAX_LAYOUTS = 256  # remembered as said; one that is not remembered is said again
MAX_LEAVES = 1300  # 41,600 bytes are 55,468 in base64

AT_LOADS = ("load", "resumed")

saved: list[Callable[[], None]] = []
"""Called as a file was saved that may hold a model."""

also_due: list[Callable[[int], bool]] = []
"""Asked whether a root is due behind a Step where none is otherwise."""
last_said: list[Optional[tuple[int, str, str]]] = [None]
"""Step, root and layout of the root that was said last."""

_said: dict[str, None] = {}  # the layouts that this connection has heard, the newest last
_last_ckpt = [None]
_bound = [-2]  # the Step of the last root; -1 is the initial state
_unbound = [0]  # updates since
_refused = [False]  # whether a device was not asked for the last one that fell due


def listed() -> list[tuple[str, Any, Any]]:
    """Key, alias and value of everything a root covers, in order: tensors, and numbers or text that optimizers keep."""
    names = modules.names()
    seen: set[int] = set()
    trained = []
    out = []

    def add(key: str, alias: Any, value: Any) -> None:
        if not isinstance(value, torch.Tensor):
            out.append((key, alias, value))
        elif id(value) not in seen:
            seen.add(id(value))
            out.extend((key, alias, one) for one in memory.present(memory.reachable([value])))

    for ordinal, optimizer in optimizers.living():
        optimizers.name_what_no_root_covers(optimizer)
        for place, group in enumerate(optimizer.param_groups):
            for index, parameter in enumerate(group["params"]):
                key = "%d/%d/%d" % (ordinal, place, index)
                trained.append(parameter)
                add(key, names.get(id(parameter)), parameter)
                for name, value in optimizers.states(optimizer, parameter):
                    add(key + "/" + name, None, value)
    for key, name, buffer in modules.buffers():
        add(key, name, buffer)
    known = len(out)
    for key, name, parameter in beside.of(trained, names):
        add(key, name, parameter)
    if known < len(out) > MAX_LEAVES:  # what is trained is told from them by the digests of each
        session.uncovered("averages beside what is trained", "more tensors than a root says the digests of: in no root")
        return out[:known]
    return out


@guarded("root")
def root(at: str, step: int) -> bool:
    """Take a state root and say it, now or once a device has delivered it; False if there is nothing to take it of."""
    if session.hollow:
        return False
    with memory.quiet():
        entries = listed()
        if not staged.left_in([value for _, _, value in entries if isinstance(value, torch.Tensor)]):
            entries = [one for one in entries if not isinstance(one[2], torch.Tensor) or memory.lies_here(one[2])]
        if not entries:
            return False
        tensors = [value for _, _, value in entries if isinstance(value, torch.Tensor)]
        far = memory.on_devices(tensors)
        awaited = staged.ask(far) if far else None
        _refused[0] = bool(far) and awaited is None
        if _refused[0]:
            return False
        taken = _Taken(at, step, entries)
        hashed, total = leaves.digests([one for one in tensors if memory.lies_here(one)])
    if at not in AT_LOADS:  # the state that is left at the end is another one
        _bound[0], _unbound[0] = step, 0
    if awaited is None:
        taken.say(hashed, [], total)
    else:
        everything = total + sum(awaited.sizes)
        awaited.then = lambda found: taken.say(hashed, found, everything)
        deferred.say_what_came()
    return True


class _Taken:
    """A root whose digests may not be known yet: what it is of, and nothing of the program's memory."""

    def __init__(self, at: str, step: int, entries: list[tuple[str, Any, Any]]) -> None:
        self.at = at
        self.step = step
        self.lines = [
            [text(key), None if alias is None else text(alias), *_form(value)] for key, alias, value in entries
        ]
        # Of each line its digest, or whether that is one of memory or of a device.
        self.found = [
            memory.lies_here(value) if isinstance(value, torch.Tensor) else _leaf(value) for _, _, value in entries
        ]

    def say(self, here: list[bytes], there: list[bytes], total: int) -> None:
        """Say it, with the digests of tensors in memory and on devices, each in the order of lines."""
        encoded, layout, found, digest = self.joined(here, there)
        if layout.hexdigest() not in _said:
            _said[layout.hexdigest()] = None
            if len(_said) > MAX_LAYOUTS:
                del _said[next(iter(_said))]
            _say_layout(layout.hexdigest(), self.lines, [len(one) for one in encoded])
        last_said[0] = self.step, digest.hexdigest(), layout.hexdigest()
        session.say(
            "root",
            {
                "at": self.at,
                "step": self.step,
                "root": digest.hexdigest(),
                "layout": layout.hexdigest(),
                "tensors": len(found),
                "bytes": total,
                "leaves": base64.b64encode(b"".join(found)).decode("ascii") if len(found) <= MAX_LEAVES else None,
            },
        )

    def joined(self, here: list[bytes], there: list[bytes]) -> tuple[list[bytes], Any, list[bytes], Any]:
        """The lines as they are encoded, the layout that they make, the leaves, and the root."""
        encoded = [json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n" for line in self.lines]
        layout = hashlib.sha256(b"".join(encoded))
        digest = hashlib.sha256(b"saksi.state/v1\n" + layout.digest())
        of_memory, of_devices = iter(here), iter(there)
        found = [one if isinstance(one, bytes) else next(of_memory) if one else next(of_devices) for one in self.found]
        for leaf in found:
            digest.update(leaf)
        return encoded, layout, found, digest


def digests(entries: list[tuple[str, Any, Any]]) -> tuple[str, str]:
    """The root and the layout of what is listed, all of it in this host's memory. Call inside `quiet`."""
    hashed, _ = leaves.digests([value for _, _, value in entries if isinstance(value, torch.Tensor)])
    _, layout, _, root_of_all = _Taken("", 0, entries).joined(hashed, [])
    return root_of_all.hexdigest(), layout.hexdigest()


def _form(value: Any) -> tuple[str, list[int]]:
    return (str(value.dtype), list(value.shape)) if isinstance(value, torch.Tensor) else ("json", [])


def _leaf(value: Any) -> bytes:
    return hashlib.sha256(json.dumps(number(value) if isinstance(value, float) else value).encode("ascii")).digest()


def bound_until() -> int:
    """The last Step whose state a root binds; -2 before the first root."""
    return _bound[0]


def was_refused() -> bool:
    """Whether the last root that fell due was not taken, because a device was not asked for it; that has been said."""
    return _refused[0]


def updated() -> None:
    """An update returned: the last root is no longer of the state as it is."""
    _unbound[0] += 1


def unbound() -> int:
    """How many updates follow the last root."""
    return _unbound[0]


def at_segment_end(step: int) -> bool:
    """Whether a binding root is due as this Step returns."""
    done = step + 1
    if session.level == "full" or step in session.roots_behind or any(is_due(step) for is_due in also_due):
        return True
    if session.segment is not None:
        return done % session.segment == 0
    return done % FIRST == 0 if done <= LATER else done % LATER == 0


@guarded("root")
def at_ckpt(size: int) -> None:
    """A file was saved: one root for each Step, if the file is large enough to hold a model."""
    if session.hollow:
        return
    may_hold = may_hold_a_model(size)
    for act in saved if may_hold else ():
        act()
    if may_hold and _last_ckpt[0] != session.step:
        if session.trains_elsewhere():
            reason = (
                "updates go on meanwhile: no root is taken, and the Step it is said with is the one they had reached"
            )
            session.uncovered("the state in a model checkpoint that another thread saved", reason)
            return
        _last_ckpt[0] = session.step  # type: ignore[call-overload]
        root("ckpt", session.step)


def may_hold_a_model(size: int) -> bool:
    """Whether a file of this size has room for a quarter of the parameters that are trained.

    A quarter, because a model may be exported in half precision and in two files; much smaller files are
    statistics that a script may save at every step.
    """
    with memory.quiet():
        held = [p for _, one in optimizers.living() for p in optimizers.parameters(one)]
        return bool(held) and size * 4 >= sum(p.numel() * p.element_size() for p in held)


def _say_layout(layout: str, lines: list[Any], sizes: list[int]) -> None:
    parts: list[list[Any]] = [[]]
    room = MAX_PART_BYTES
    for line, size in zip(lines, sizes):  # noqa: B905  (strict= is newer than Python 3.9)
        if parts[-1] and (len(parts[-1]) >= MAX_LINES or size > room):
            parts.append([])
            room = MAX_PART_BYTES
        parts[-1].append(line)
        room -= size
    for place, part in enumerate(parts):
        session.say("layout", {"layout": layout, "part": place, "parts": len(parts), "lines": part})


def _forget() -> None:
    _last_ckpt[0] = None
    _bound[0], _unbound[0] = -2, 0


session.forgetters.append(_said.clear)
session.wakers.append(_forget)
