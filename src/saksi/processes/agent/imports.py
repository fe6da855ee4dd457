"""Where the modules came from that a process says it imported: looked up beside everything else, as it ends.

The job chooses what it names: of each module a bounded part is read, a folder that it names is listed only if its
account may see what lies there, and the thread is nice. What was not looked up leaves a record that says why.
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
from typing import Final, Literal

import msgspec

from saksi.edges.environment.import_places import MAX_MODULES, is_foreign, shadowed_imports, sites_among
from saksi.edges.environment.installations import may_list
from saksi.edges.environment.object_places import SealedFiles, Surroundings
from saksi.edges.environment.source_places import SourcePlaces
from saksi.edges.files import OnBehalf
from saksi.processes.agent.connection import Connection
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame, EnvironmentFrame
from saksi.words.records import ImportsRecord, ShadowedImport

__all__ = ["Imports"]

_logger = logging.getLogger(__name__)

NICE: Final = 15
MAX_WAITING: Final = 256
MAX_GATHERED: Final = 1_024
"""Processes whose frames are not all here."""
MAX_INSTALLED: Final = 8_192
"""Top-level modules of one process that lie in folders named like site folders or libraries."""
LAST_S: Final = 5.0
CLOSED: Final = "the attempt was closed before it was looked up"
BUSY: Final = "too much was waiting to be looked up"
BROKEN_OFF: Final = "the list of what was imported broke off"
CUT: Final = "more modules were named than are looked up"


class _Claim(msgspec.Struct, kw_only=True, eq=False):
    """`modules` lie outside anything that is named like a site folder or a library, `installed` within, as text."""

    connection: int
    pid: int
    rank: int
    modules: dict[str, str] = {}
    installed: dict[str, str] = {}
    folders: dict[str, None] = {}
    cut: bool = False


class _Found(msgspec.Struct, frozen=True):
    claim: _Claim
    total: int = 0
    shadowed: tuple[ShadowedImport, ...] = ()
    reason: str | None = None


class Imports:
    """The claims of one attempt. Owned by the agent's one thread, with a worker; `wake` rings when one is looked up."""

    def __init__(
        self,
        *,
        scribe: Scribe,
        wake: Callable[[], None],
        around: Surroundings,
        sealed_files: Callable[[], SealedFiles | Literal["later"] | None],
        on_behalf_of: OnBehalf | None = None,
    ) -> None:
        self._scribe = scribe
        self._wake = wake
        self._around = around
        self._sealed_files = sealed_files
        self._on_behalf_of = on_behalf_of
        self._places = SourcePlaces(around.own, on_behalf_of=on_behalf_of)
        self._open: dict[Connection, _Claim] = {}
        self._waiting: queue.Queue[_Claim | None] = queue.Queue(MAX_WAITING)
        self._done: queue.SimpleQueue[_Found] = queue.SimpleQueue()
        self._given: deque[_Claim] = deque()  # and not yet written: the worker keeps the order
        self._closed = False
        self._thread: threading.Thread | None = None

    def heard(self, connection: Connection, frame: AnyFrame) -> None:
        """A frame came in: a part of what was imported."""
        if not isinstance(frame, EnvironmentFrame):
            return
        claim = self._open.get(connection)
        if claim is None:
            if len(self._open) >= MAX_GATHERED:  # those that broke off in the middle of their list go first
                self._tell_broken_off([each for each in self._open if not each.is_open])
            claim = _Claim(connection=connection.number, pid=connection.peer.pid, rank=connection.rank)
            if len(self._open) >= MAX_GATHERED:
                if frame.part == 0:
                    self._tell(_Found(claim, reason=BUSY))
                return
            self._open[connection] = claim
        for name, path in frame.modules:
            if "." in name or name.startswith("__"):
                continue
            site = sites_among((path,))
            kept, limit = (claim.installed, MAX_INSTALLED) if site else (claim.modules, MAX_MODULES)
            if len(kept) < limit:
                kept[name] = path
            else:
                claim.cut = True
            if len(claim.folders) < MAX_GATHERED:
                claim.folders.update(dict.fromkeys(site))
        if frame.part + 1 >= frame.parts:
            self._give(self._open.pop(connection))

    def _tell_broken_off(self, connections: list[Connection]) -> None:
        for each in connections:
            self._tell(_Found(self._open.pop(each), reason=BROKEN_OFF))

    def _give(self, claim: _Claim) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="saksi-imports", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(claim)
        except queue.Full:
            self._tell(_Found(claim, reason=BUSY))
        else:
            self._given.append(claim)

    def write(self) -> None:
        """Write down what has been looked up."""
        while not self._closed:
            try:
                found = self._done.get_nowait()
            except queue.Empty:
                return
            self._given.popleft()
            self._tell(found)

    def _tell(self, found: _Found) -> None:
        if found.shadowed or found.reason is not None:
            record = ImportsRecord(
                connection=found.claim.connection,
                pid=found.claim.pid,
                rank=found.claim.rank,
                total=found.total,
                shadowed=list(found.shadowed),
                reason=found.reason,
                **self._scribe.stamp(),
            )
            self._scribe.write(record)

    def finish(self) -> None:
        """The attempt closes: what was said is looked up, within bounds; what was not says so."""
        self._tell_broken_off(list(self._open))
        until = time.monotonic() + LAST_S
        while self._given and time.monotonic() < until:
            time.sleep(0.01)
            self.write()
        self.write()
        self.close()
        while self._given:
            self._tell(_Found(self._given.popleft(), reason=CLOSED))

    def close(self) -> None:
        """Let the worker end behind the folder or the file that it reads now."""
        self._closed = True
        with contextlib.suppress(queue.Full):  # then it has something to wake up for
            self._waiting.put_nowait(None)

    def _work(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while (claim := self._waiting.get()) is not None and not self._closed:
            try:
                found = self._look(claim)
            except Exception as error:  # what one process says must not end the work on all others
                _logger.exception("the origins of imports could not be looked up")
                found = _Found(claim, reason=f"the agent failed: {type(error).__name__}"[:256])
            self._done.put(found)
            self._wake()

    def _look(self, claim: _Claim) -> _Found:
        sealed = self._sealed_files()
        has = self._places.installations.has
        folders = [each for each in claim.folders if has(Path(each)) and may_list(each, self._on_behalf_of)]
        astray = {name: path for name, path in claim.installed.items() if is_foreign(path, self._places.installations)}
        modules = claim.modules | astray
        shadowed = shadowed_imports(
            modules.items(),
            (*self._around.libraries, *folders),
            self._places,
            sealed if isinstance(sealed, SealedFiles) else None,
            on_behalf_of=self._on_behalf_of,
            is_over=lambda: self._closed,
        )
        return _Found(claim, len(modules), tuple(shadowed), CUT if claim.cut else None)
