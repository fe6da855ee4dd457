"""Where the modules came from that a process says it imported: looked up beside everything else, as it ends."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from saksi.edges.environment.import_places import MAX_MODULES, is_foreign, shadowed_imports, sites_among
from saksi.edges.environment.object_places import SealedFiles, Surroundings
from saksi.edges.environment.source_places import SourcePlaces
from saksi.edges.files import OnBehalf
from saksi.processes.agent.connection import Connection
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame, EnvironmentFrame
from saksi.words.records import ImportsRecord, ShadowedImport

__all__ = ["Imports"]

_logger = logging.getLogger(__name__)

MAX_WAITING: Final = 256
MAX_GATHERED: Final = 1_024
"""Processes whose frames are not all here."""
LAST_S: Final = 5.0


class _Claim(NamedTuple):
    connection: int
    pid: int
    rank: int
    modules: dict[str, str]
    folders: dict[str, None]


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
        self._done: queue.SimpleQueue[tuple[_Claim, list[ShadowedImport]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def heard(self, connection: Connection, frame: AnyFrame) -> None:
        """A frame came in: a part of what was imported."""
        if not isinstance(frame, EnvironmentFrame):
            return
        claim = self._open.get(connection)
        if claim is None:
            if len(self._open) >= MAX_GATHERED:  # those that broke off in the middle of their list go first
                self._open = {each: kept for each, kept in self._open.items() if each.socket.fileno() >= 0}
            if len(self._open) >= MAX_GATHERED:
                return
            claim = _Claim(connection.number, connection.peer.pid, connection.rank, {}, {})
            self._open[connection] = claim
        for name, path in frame.modules:
            if "." in name or name.startswith("__"):
                continue
            if not is_foreign(path):
                if len(claim.folders) < MAX_GATHERED:
                    claim.folders.update(dict.fromkeys(sites_among((path,))))
            elif len(claim.modules) < MAX_MODULES:
                claim.modules[name] = path
        if frame.part + 1 >= frame.parts:
            self._give(self._open.pop(connection))

    def _give(self, claim: _Claim) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="saksi-imports", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(claim)

    def write(self) -> None:
        """Write down what has been looked up."""
        while True:
            try:
                claim, shadowed = self._done.get_nowait()
            except queue.Empty:
                return
            if shadowed:
                record = ImportsRecord(
                    connection=claim.connection,
                    pid=claim.pid,
                    rank=claim.rank,
                    total=len(claim.modules),
                    shadowed=shadowed,
                    **self._scribe.stamp(),
                )
                self._scribe.write(record)

    def finish(self) -> None:
        """The attempt closes: what was said is looked up, within bounds."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(None)
            self._thread.join(LAST_S)
        self.write()

    def _work(self) -> None:
        while (claim := self._waiting.get()) is not None:
            try:
                shadowed = self._look(claim)
            except Exception:  # what one process says must not end the work on all others
                _logger.exception("the origins of imports could not be looked up")
                shadowed = []
            self._done.put((claim, shadowed))
            self._wake()

    def _look(self, claim: _Claim) -> list[ShadowedImport]:
        sealed = self._sealed_files()
        return shadowed_imports(
            claim.modules.items(),
            (*self._around.libraries, *claim.folders),
            self._places,
            sealed if isinstance(sealed, SealedFiles) else None,
            on_behalf_of=self._on_behalf_of,
        )
