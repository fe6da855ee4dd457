"""What was asked of a device and will come: bytes in pinned memory, there once an event has passed.

Rules: at most `MAX_FLYING` readings and the pool's bytes are under way, and of other pools what they hold; where there
is no room nothing is asked for, and that is counted; a slot goes back only when its event has passed; after the device
was out of memory nothing is asked for a while, since asking makes the allocator let go of what the program may use.
"""

from __future__ import annotations

from typing import Any, Iterable, Optional, Union

import torch

from . import device, memory, session
from .device import Accelerator
from .guard import guarded, is_off
from .pinned import Pool, Slot

MAX_FLYING = 256
NEARLY = 16  # so near to the limit it is asked what has come
MAX_BYTES = 32 * 1024 * 1024
REST = 1000  # requests that are not made after the device was out of memory

WHAT = "values on a device that were not read"

pool = Pool(MAX_BYTES)
flying: list["Reading"] = []
flying_elsewhere: list["Reading"] = []
"""Those to other pools than ours, which are bounded by what these hold."""
refused: dict[str, int] = {}
_rest = [0]
_graves: list[Any] = []


class Reading:
    """Bytes that a device was asked for. Its slot goes back as nobody wants it any more and nothing is under way."""

    __slots__ = ("accelerator", "event", "index", "nbytes", "of", "slot", "there")

    def __init__(self, accelerator: Accelerator, index: int, slot: Slot, nbytes: int, of: Pool) -> None:
        self.accelerator = accelerator
        self.index = index
        self.slot = slot
        self.nbytes = nbytes
        self.of = of
        self.event: Any = None
        self.there = False

    def __del__(self) -> None:
        # While a copy may be under way, a list holds on to it; one that was never marked keeps its slot for good.
        if self.there:
            self.of.give(self.slot)

    def view(self) -> Any:
        """The bytes; only once it is there."""
        return memory.hold(self.slot.tensor[: self.nbytes]).view


class Awaited:
    """The number in a tensor of one element."""

    __slots__ = ("dtype", "reading")

    def __init__(self, reading: Reading, dtype: Any) -> None:
        self.reading = reading
        self.dtype = dtype

    def value(self) -> Optional[Union[int, float, str]]:
        """The number, once the reading is there."""
        return memory.decoded(bytes(self.reading.view()), self.dtype)


def refuse(reason: str) -> None:
    """Count what was not asked for, and name the reason the first time."""
    refused[reason] = refused.get(reason, 0) + 1
    session.uncovered(WHAT, reason)


def may_ask(accelerator: Accelerator, index: int) -> bool:
    """Whether there is room, and the device may be asked now; if not, that has been counted."""
    why: Optional[str] = None
    if len(flying) >= MAX_FLYING - NEARLY:  # updates are far apart: many backward passes, or many scalars, in one
        look()
    if _rest[0] > 0:
        _rest[0] -= 1
        why = "the device was out of memory a while ago"
    elif len(flying) >= MAX_FLYING:
        why = "the device has not delivered what it was asked for before"
    else:
        why = accelerator.not_now(index)
    if why is not None:
        refuse(why)
    return why is None


def start(
    accelerator: Accelerator, index: int, sizes: list[int], sources: Iterable[Any], of: Pool, *, at_least: int = 0
) -> Any:
    """Copy tensors of bytes to one piece of pinned memory, as `places` says; None if there is no room.

    `sources` are made one by one, as they are copied. The piece has `at_least` so many bytes. Raises what torch raises.
    """
    copies, nbytes = places(sizes)
    slot = of.take(accelerator, max(nbytes, at_least))
    if slot is None:
        refuse("as much pinned memory as the recorder may have is in use")
        return None
    reading = Reading(accelerator, index, slot, nbytes, of)
    for at, source in zip(copies, sources):  # noqa: B905  (strict= is newer than Python 3.9)
        accelerator.to_host(slot.tensor[at : at + len(source)], source)
    reading.event = accelerator.mark(index)
    (flying if of is pool else flying_elsewhere).append(reading)
    return reading


def places(sizes: list[int]) -> tuple[list[int], int]:
    """Where each of so many bytes begins, aligned for every type, and where the last one ends."""
    out, at = [], 0
    for size in sizes:
        at = -(-at // 16) * 16
        out.append(at)
        at += size
    return out, at


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what an error says; if so, nothing is asked for a while."""
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        _rest[0] = REST
        refuse("the device or the host had no memory for it")
        return True
    return False


@guarded("device")
def scalar(value: Any) -> Optional[Awaited]:
    """Ask for the number in a tensor of one element on a device; None where it is not asked for. Call in `quiet`."""
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not memory.has_number(value.dtype):
        return None
    if memory.unreadable(value, anywhere=True) is not None or memory.lies_here(value) or value.is_neg():
        return None
    kind, index = memory.where(value)
    accelerator = device.of(kind)
    if isinstance(accelerator, str) or not memory.present([value]) or not may_ask(accelerator, index):
        return None
    try:
        source = value.data.as_strided((1,), (1,)).view(torch.uint8)
        reading = start(accelerator, index, [len(source)], [source], pool)
        accelerator.outlive(index, value)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return None
    return None if reading is None else Awaited(reading, value.dtype)


@guarded("device")
def look() -> None:
    """Ask which readings are there. Never waits; asks nothing while one of the devices may not be asked."""
    may: dict[tuple[str, int], bool] = {}
    for many in (flying, flying_elsewhere):
        for one in list(many):
            place = one.accelerator.kind, one.index
            if place not in may:
                may[place] = one.accelerator.not_now(one.index) is None
            if may[place] and one.event.query():
                many.remove(one)
                one.there, one.event = True, None


def failed() -> bool:
    """Whether nothing more will come."""
    return is_off("device")


def bury(parents: Any) -> None:
    """Hold on for good to what belongs to the parent of a forked child."""
    _graves.append(parents)


def after_fork_in_child() -> None:
    """What the parent asked for is the parent's; its memory is not touched, nor let go."""
    global pool
    bury((pool, list(flying), list(flying_elsewhere)))
    pool = Pool(MAX_BYTES)
    flying.clear()
    flying_elsewhere.clear()
    refused.clear()
    _rest[0] = 0
