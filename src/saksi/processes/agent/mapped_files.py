"""Looking up what a process has mapped, beside everything else: where each object lies, what it holds, what was sealed.

A thread takes what was read of /proc, one look after the other. Of an attempt each object is told once, again only when
it lies elsewhere, is another file, or its state moved; one that cannot be looked up is told with a reason. What is not
sealed is hashed first: should the attempt close before everything is read, the rest says so. The thread is nice, and
reads at most `MAX_HASHED` bytes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from saksi.edges.environment.object_places import CACHES, ObjectPlaces, SealedFiles, Surroundings, named_objects
from saksi.edges.environment.stat_cache import Known, stamp_key
from saksi.edges.files import OnBehalf, hash_file, state_of
from saksi.edges.host.mapped import Mapped, MappedFile, Raw, parse_environ, parse_maps
from saksi.judgement.environment.door_variables import VARIABLES
from saksi.words.errors import MalformedInput
from saksi.words.records import MappedObject

__all__ = ["LookedAt", "MappedFiles", "Moment", "Taken"]

_logger = logging.getLogger(__name__)

NICE: Final = 15
LAST_S: Final = 1.0
"""How long the worker may take to end: a file of a gigabyte that it is reading is not waited for."""
MAX_WAITING: Final = 256
MAX_WAITING_BYTES: Final = 64 << 20
"""Of looks that wait, as they were read of /proc: a process with torch has 100 kB of mappings."""
MAX_OBJECTS: Final = 16_384
"""Of one attempt; those beyond are counted. A job that compiles without end makes a few thousand."""
MAX_HASHED: Final = 32 << 30
"""Bytes that are read for one attempt: torch with CUDA's libraries has 5 GB, once."""
FOREIGN: Final = frozenset({"tree", "cache", "search_path", "elsewhere"})
ELSEWHERE: Final = "the process has another root or mount namespace: its paths are not the agent's"
CLOSED: Final = "the attempt was closed before it was read"
HIDDEN: Final = (
    "its mappings may not be read: another account's process, or one made undumpable, and no CAP_SYS_PTRACE; or it"
    " is not visible from here"
)
Moment = Literal["begin", "ckpt", "drawn", "end"]
_NAMES: Final = frozenset(each.name for each in VARIABLES)


class Taken(NamedTuple):
    """One look at one process, as it was read. `first`: its variables are wanted too."""

    connection: int
    pid: int
    rank: int
    step: int | None
    moment: Moment
    raw: Raw | Literal["permission"]
    first: bool


class LookedAt(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found. `variables` are not redacted. `took_ns` is CPU time, the reading of files left out."""

    taken: Taken
    tree: bool = False
    total: int = 0
    anonymous: int = 0
    omitted: int = 0
    objects: tuple[MappedObject, ...] = ()
    variables: dict[str, str] | None = None
    looks: int = 0
    took_ns: int = 0
    reason: str | None = None


class _Found(NamedTuple):
    """The objects that are news, how many more there are than are told, and why the rest is not known."""

    objects: tuple[MappedObject, ...] = ()
    omitted: int = 0
    reason: str | None = None


class MappedFiles:
    """A worker thread. `wake` is called, from any thread, whenever there is something to `collect`."""

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        around: Surroundings,
        sealed_files: Callable[[], SealedFiles | Literal["later"] | None],
        cache: Path | None = None,
        on_behalf_of: OnBehalf | None = None,
    ) -> None:
        self._wake = wake
        self._around = around
        self._places = ObjectPlaces(around, on_behalf_of=on_behalf_of)
        self._sealed_files = sealed_files
        self._on_behalf_of = on_behalf_of
        self._cache = cache
        self._digests: Known | None = None
        self._seen: set[tuple[MappedFile, bytes | None]] = set()
        self._hashed = 0
        self._waiting: queue.Queue[Taken | None] = queue.Queue(MAX_WAITING)
        self._done: queue.SimpleQueue[LookedAt] = queue.SimpleQueue()
        self._given: deque[Taken] = deque()  # and not yet collected: the worker keeps the order
        self._bytes = self._looks = 0
        self._thread: threading.Thread | None = None
        self._hurries = self._closed = False
        self._reading_ns = 0

    @property
    def pending(self) -> int:
        """How many looks were given and not yet collected."""
        return len(self._given)

    def give(self, taken: Taken) -> bool:
        """Look into `taken` when its turn comes. False if too many wait: then it is left out."""
        size = taken.raw.size if isinstance(taken.raw, Raw) else 0
        if self._given and self._bytes + size > MAX_WAITING_BYTES:
            return False
        if self._thread is None:  # not before it is needed: most processes of a cluster never train
            self._thread = threading.Thread(target=self._work, name="saksi-mapped", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(taken)
        except queue.Full:
            return False
        self._given.append(taken)
        self._bytes += size
        return True

    def collect(self) -> list[LookedAt]:
        """What has been found since the last call."""
        out: list[LookedAt] = []
        while not self._closed:
            try:
                out.append(self._done.get_nowait())
            except queue.Empty:
                return out
            taken = self._given.popleft()
            self._bytes -= taken.raw.size if isinstance(taken.raw, Raw) else 0
        return out

    def left(self) -> list[Taken]:
        """The looks that were given and not collected. Nothing is found any more."""
        self._closed = self._hurries = True
        left = list(self._given)
        self._given.clear()
        return left

    def hurry(self) -> None:
        """Read no more files: what is not read yet says so."""
        self._hurries = True

    def close(self) -> None:
        """Let the worker end behind what it does now, and keep for the next attempt what it has hashed."""
        self._closed = self._hurries = True
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._thread is not None:
            self._thread.join(LAST_S)

    def _work(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while (taken := self._waiting.get()) is not None and not self._closed:
            try:
                looked = self._look(taken)
            except Exception as error:  # what one process maps must not end the work on all others
                _logger.exception("mapped objects could not be looked up")
                looked = LookedAt(taken=taken, reason=_failed(error))
            self._done.put(looked)
            self._wake()
        if self._digests is not None:
            self._digests.save()

    def _look(self, taken: Taken) -> LookedAt:
        self._looks += 1
        if not isinstance(taken.raw, Raw):
            return LookedAt(taken=taken, looks=self._looks, reason=HIDDEN)
        while (sealed := self._sealed_files()) == "later" and not self._hurries:
            time.sleep(0.02)
        known = sealed if isinstance(sealed, SealedFiles) else None
        self._reading_ns = -self._places.read_ns
        begun = time.thread_time_ns()
        try:
            mapped = parse_maps(taken.raw.maps)
        except MalformedInput as error:
            return LookedAt(taken=taken, looks=self._looks, reason=str(error)[:256])
        environ = {} if taken.raw.environ is None else parse_environ(taken.raw.environ, _NAMES)
        try:
            found = self._objects(mapped, environ, known, same_root=taken.raw.same_root)
        except Exception as error:  # the variables are told all the same
            _logger.exception("mapped objects could not be looked up")
            found = _Found(reason=_failed(error))
        return LookedAt(
            taken=taken,
            tree=known is not None,
            total=len(mapped.files) + mapped.omitted,
            anonymous=mapped.anonymous,
            omitted=mapped.omitted + found.omitted,
            objects=found.objects,
            variables=environ if taken.first and taken.raw.environ is not None else None,
            looks=self._looks,
            took_ns=max(0, time.thread_time_ns() - begun - self._reading_ns - self._places.read_ns),
            reason=found.reason or (taken.raw.reason if taken.first else None),
        )

    def _objects(
        self, mapped: Mapped, environ: dict[str, str], sealed: SealedFiles | None, *, same_root: bool
    ) -> _Found:
        news: list[tuple[MappedFile, os.stat_result | None]] = []
        keys: set[tuple[MappedFile, bytes | None]] = set()
        omitted = 0
        for each in mapped.files:
            found = _state(each.path) if same_root and each.whole and not each.deleted else None
            key = (each, None if found is None else stamp_key(found))
            if key in self._seen:
                continue
            if len(self._seen) + len(keys) >= MAX_OBJECTS:
                omitted += 1
                continue
            keys.add(key)
            news.append((each, found))
        if not news:
            return _Found(omitted=omitted)
        folders = self._around.own.folders
        named = named_objects(environ, folders[0] if folders else "/")
        caches = tuple(filter(None, (environ.get(name) for name in CACHES)))
        told = [
            (self._place(each, found, sealed, named, caches) if same_root else _unknown(each, ELSEWHERE), found)
            for each, found in news
        ]
        told.sort(key=lambda each: each[0].origin not in FOREIGN)
        objects = tuple(self._read(each, found, sealed) for each, found in told)
        self._seen |= keys
        return _Found(objects, omitted)

    def _place(
        self,
        file: MappedFile,
        found: os.stat_result | None,
        sealed: SealedFiles | None,
        named: dict[str, str],
        caches: tuple[str, ...],
    ) -> MappedObject:
        was = None if sealed is None or not file.whole else sealed.at(file.path, found)
        try:
            origin = "sealed" if was is not None else self._places.place(file.path, caches)
        except (OSError, ValueError) as error:
            return _unknown(file, f"where it lies cannot be looked up: {_spelled(error)}"[:256])
        return MappedObject(
            path=file.path,
            device=file.device,
            inode=file.inode,
            deleted=file.deleted,
            origin=origin,
            named_by=named.get(file.path) or named.get(file.path.rpartition("/")[2]),
            digest=None,
            sealed=None if was is None else was.digest,
            reason=None,
        )

    def _read(self, told: MappedObject, found: os.stat_result | None, sealed: SealedFiles | None) -> MappedObject:
        if told.origin in ("device", "memory", "unknown"):
            return told
        if found is None:
            reason = "its name is gone, or another file's" if told.deleted else "no file that the agent could look at"
            return msgspec.structs.replace(told, reason=reason)
        digest = None if sealed is None else sealed.digest(found)
        digest = digest or self._recall(found)
        if digest is not None:
            return msgspec.structs.replace(told, digest=digest)
        return self._hash(told, found)

    def _hash(self, told: MappedObject, found: os.stat_result) -> MappedObject:
        if self._hurries or self._hashed + found.st_size > MAX_HASHED:
            return msgspec.structs.replace(
                told, reason=CLOSED if self._hurries else f"more than the {MAX_HASHED:,} bytes that are read"
            )
        begun = time.thread_time_ns()
        self._hashed += found.st_size
        read = hash_file(Path(told.path), state_of(found), on_behalf_of=self._on_behalf_of)
        if read.digest is not None:
            self._known().learn(stamp_key(found), found, bytes.fromhex(read.digest.hex), b"")
        self._reading_ns += time.thread_time_ns() - begun
        reason = None if read.reason is None else read.reason[:256]
        return msgspec.structs.replace(told, digest=read.digest and str(read.digest), reason=reason)

    def _recall(self, found: os.stat_result) -> str | None:
        kept = self._known().recall(stamp_key(found))
        return None if kept is None else f"sha256:{kept[:32].hex()}"

    def _known(self) -> Known:
        if self._digests is None:
            begun = time.thread_time_ns()
            cached = None if self._cache is None else self._cache / "mapped"
            self._digests = Known(cached, now_ns=time.time_ns())
            self._reading_ns += time.thread_time_ns() - begun
        return self._digests


def _state(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - as text: some hundreds a look
    except (OSError, ValueError):
        return None


def _failed(error: Exception) -> str:
    return f"the agent failed: {type(error).__name__}"[:256]


def _spelled(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _unknown(file: MappedFile, reason: str) -> MappedObject:
    return MappedObject(
        path=file.path,
        device=file.device,
        inode=file.inode,
        deleted=file.deleted,
        origin="unknown",
        named_by=None,
        digest=None,
        sealed=None,
        reason=reason,
    )
