"""State on devices, for a state root: all of it copied to pinned memory in order, hashed beside training, said later.

Rules: a root is taken of everything at one moment or not at all: the copies are asked for one after the other on the
current stream, into memory that has room for all of them, so that neither the host nor the device ever has to wait for
the hashing. That memory comes in chunks of one size, so that what held a small root serves a larger one. State that
needs more than `limit()` is left out, and said; a root that falls due while the last ones are still in that memory is
not taken, and counted. A thread hashes, in pieces, only memory that is never freed; it stops when the process ends.
"""

from __future__ import annotations

import _thread
import hashlib
import time
from typing import Any, Callable, Iterator, Optional

from . import deferred, device, guard, host_memory, memory, readings, session
from .chunks import Piece, laid_out
from .guard import guarded
from .pinned import BLOCK, Pool

STAGING_BYTES = 512 * 1024 * 1024
PART_OF_RAM = 16
MAX_ROOTS = 8
CHUNK = 8 * 1024 * 1024
PIECE = 4 * 1024 * 1024
AT_ONCE = 256 * 1024  # so much is hashed without a thread

NOT_TAKEN = "state roots that were not taken of a device"
NOT_COME = "state roots that a device did not deliver"

_pool: list[Optional[Pool]] = [None]
_roots: list["Staged"] = []


class Staged:
    """One root's tensors on devices, and what to do with their digests."""

    def __init__(self, sizes: list[int], parts: list[tuple[Any, list[Piece]]]) -> None:
        self.out: list[Optional[bytes]] = [None] * len(sizes)
        self.sizes = sizes
        self.parts = parts  # each reading, with the pieces of tensors in it; those of a tensor are in order
        self.then: Callable[[list[bytes]], None] = lambda _: None
        self._done: Any = None
        self._stop = False

    def is_there(self) -> bool:
        """Whether every byte has come."""
        return all(reading.there for reading, _ in self.parts)

    def is_hashed(self) -> bool:
        """Whether the digests are known; begins with them if they are not. Call once everything is there."""
        if self._done is None:
            self._done = _thread.allocate_lock()
            work: list[list[Any]] = [[] for _ in self.sizes]
            for reading, pieces in self.parts:
                for one in pieces:
                    view = memory.hold(reading.slot.tensor[one.at : one.at + one.length]).view
                    work[one.number].append(view)
            if sum(self.sizes) <= AT_ONCE:
                self._hash(work)
            else:
                self._begin(work)
        return not self._done.locked()

    def _begin(self, work: list[list[Any]]) -> None:
        self._done.acquire()
        try:
            _thread.start_new_thread(self._run, (work,))
        except Exception:  # no thread to be had, and this one does not wait for so many bytes: no digests
            self._done.release()

    def _run(self, work: list[list[Any]]) -> None:
        try:
            self._hash(work)
            guard.add_cpu_ns(time.thread_time_ns())
        except Exception:  # what lacks a digest is said as lacking
            pass
        finally:
            self._done.release()

    def is_hashing(self) -> bool:
        """Whether a thread is at work."""
        return self._done is not None and self._done.locked()

    def stop(self) -> None:
        """Nobody will ask for the digests."""
        self._stop = True

    def _hash(self, work: list[list[Any]]) -> None:
        for number, views in enumerate(work):
            digest = hashlib.sha256()
            for view in views:
                for at in range(0, len(view), PIECE):
                    if self._stop:
                        return
                    digest.update(view[at : at + PIECE])
            self.out[number] = digest.digest()


def limit() -> int:
    """How much pinned memory roots may use: what the environment says, else a small part of what this process has."""
    wanted = session.count_of("SAKSI_STAGING_MIB", -1)
    if wanted >= 0:
        return wanted * 1024 * 1024
    return min(STAGING_BYTES, host_memory.limit() // PART_OF_RAM // _neighbours())


def _neighbours() -> int:
    """How many ranks may share the host: what their launcher says, else one for each device, as `mp.spawn` is used."""
    told = session.count_of("LOCAL_WORLD_SIZE", 0)
    if told:
        return told
    devices = [device.of(kind) for kind in memory.reached]
    return max([1, *(each.count() for each in devices if not isinstance(each, str))])


def left_in(tensors: list[Any]) -> bool:
    """Whether a root may cover those of the tensors that lie on devices; if not, that is said."""
    far = memory.on_devices(tensors)
    if not far:
        return True
    needed: dict[tuple[str, int], list[int]] = {}
    for one in far:
        needed.setdefault(memory.where(one), []).append(one.numel() * one.element_size())
    room = _room()
    chunk = _chunk(room)
    if chunk:
        nbytes = sum(len(laid_out(sizes, chunk)) * chunk for sizes in needed.values())
    else:
        nbytes = sum(sum(sizes) for sizes in needed.values())
    if nbytes > room.limit:
        what = "the state on " + " and ".join(sorted({kind for kind, _ in needed}))
        reason = "no root covers it: its copy would need %d MiB of pinned memory, and %d are allowed"
        session.uncovered(what, reason % (-(-nbytes >> 20), room.limit >> 20))
    return nbytes <= room.limit


def _room() -> Pool:
    if _pool[0] is None:
        _pool[0] = Pool(limit())
    return _pool[0]


def _chunk(room: Pool) -> int:
    """The size of a chunk: a power of two that the room holds at least once; 0 if it holds not even a small one."""
    return 0 if room.limit < BLOCK else min(CHUNK, 1 << (room.limit.bit_length() - 1))


@guarded("device")
def ask(tensors: list[Any]) -> Optional[Staged]:
    """Ask for all bytes of tensors on devices; None if they were not asked, which has been said. Call in `quiet`."""
    if len(_roots) >= MAX_ROOTS:
        _not_taken("the device has not delivered the last ones")
        return None
    before = sum(readings.refused.values())
    try:
        found = _ask(tensors)
    except Exception as error:
        if not readings.out_of_memory(error):
            raise
        found = None
    if found is None:
        reasons = sorted(readings.refused) if sum(readings.refused.values()) > before else ["there was no room for it"]
        _not_taken(reasons[0] if len(reasons) == 1 else "see `%s`" % readings.WHAT)
        return None
    _roots.append(found)
    return found


def _ask(tensors: list[Any]) -> Optional[Staged]:
    places: dict[tuple[str, int], list[int]] = {}
    for number, one in enumerate(tensors):
        places.setdefault(memory.where(one), []).append(number)
    accelerators = {place: device.of(place[0]) for place in places}
    if not all(readings.may_ask(accelerators[place], place[1]) for place in places):
        return None
    sizes = [one.numel() * one.element_size() for one in tensors]
    room = _room()
    plans = {place: laid_out([sizes[number] for number in numbers], _chunk(room)) for place, numbers in places.items()}
    if not room.has(_chunk(room), {place: len(plan) for place, plan in plans.items()}):
        readings.refuse("as much pinned memory as the recorder may have is in use")
        return None
    parts = []
    for (kind, index), numbers in places.items():
        accelerator: Any = accelerators[kind, index]
        sources = _Sources(accelerator, index, [tensors[number] for number in numbers])
        for plan in plans[kind, index]:
            lengths = [one.length for one in plan]
            reading = readings.start(accelerator, index, lengths, sources.of(plan), room, at_least=_chunk(room))
            if reading is None:
                return None
            parts.append((reading, [one._replace(number=numbers[one.number]) for one in plan]))
        for number in numbers:
            accelerator.outlive(index, tensors[number])
    return Staged(sizes, parts)


class _Sources:
    """The bytes of tensors on a device, piece by piece; one that has to be put in order first is so once."""

    def __init__(self, accelerator: Any, index: int, tensors: list[Any]) -> None:
        self._accelerator = accelerator
        self._index = index
        self._tensors = tensors
        self._last: tuple[int, Any] = (-1, None)

    def of(self, pieces: list[Piece]) -> Iterator[Any]:
        for one in pieces:
            if self._last[0] != one.number:
                self._last = (-1, None)  # let go before the next one is put in order
                found = device.bytes_of(self._accelerator, self._index, self._tensors[one.number])
                self._last = (one.number, found)
            yield self._last[1][one.start : one.start + one.length]


def _not_taken(reason: str) -> None:
    readings.refused["a root: " + reason] = readings.refused.get("a root: " + reason, 0) + 1
    session.uncovered(NOT_TAKEN, reason)


def _look() -> None:
    while _roots and _roots[0].is_there() and _roots[0].is_hashed():
        one = _roots.pop(0)
        if all(digest is not None for digest in one.out):
            one.then([digest for digest in one.out if digest is not None])
        else:
            session.uncovered(NOT_COME, "its bytes could not be hashed")


def _waits() -> bool:
    return bool(_roots)


def _end(ends: bool) -> None:  # noqa: FBT001  (called by position)
    if not _roots:
        return
    for one in _roots:
        one.stop()
    end = time.monotonic() + 0.2  # a thread looks up after each piece, which takes a few milliseconds
    while ends and any(one.is_hashing() for one in _roots) and time.monotonic() < end:
        time.sleep(deferred.POLL_S)
    reason = "the device failed, or the process ended, before their bytes had come and were hashed; %d of them"
    session.uncovered(NOT_COME, reason % len(_roots))
    _roots.clear()


def after_fork_in_child() -> None:
    """What the parent asked for is the parent's."""
    readings.bury((_pool[0], list(_roots)))
    _pool[0] = None
    _roots.clear()


deferred.pollers.append(_look)
deferred.waiting.append(_waits)
deferred.enders.append(_end)
