"""Looking at the environment's files beside everything else, for a launch whose seal file names them.

A thread looks once at the start, each minute, and when the job has ended, then at every byte again. Between two looks
only what moved is read, so that a look costs what listing the folders costs. While the job runs the thread is nice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from saksi.edges.environment.listing import Question
from saksi.edges.environment.object_places import SealedFiles
from saksi.edges.environment.watched_files import look_at, recall_tree
from saksi.judgement.environment.watched_files import Changes, FilesAt, changes_between, tree_of
from saksi.judgement.redaction import printable
from saksi.processes.agent.scribe import Scribe
from saksi.words.records import EnvironmentRecord

__all__ = ["EnvironmentFiles", "EnvironmentWatch", "Looked", "Watch"]

_logger = logging.getLogger(__name__)

NICE: Final = 10
LAST_S: Final = 2.0
"""How long a look that is told to stop may still take: it asks after every few hundred files."""
CLOSED: Final = "the attempt was closed before the environment's files were read again"
Moment = Literal["start", "pass", "end"]


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched: the environment, and the digest of its tree as it was sealed.

    Without a `question` nothing can be looked at, and `reason` says why.
    """

    question: Question | None
    sealed: str
    reason: str | None = None


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """One look, and what was not as before: at the start, not as it was sealed, where that is known file by file."""

    moment: Moment
    tree: str | None
    reason: str | None
    files: int = 0
    changes: Changes = Changes()
    whole: bool = False
    looks: int = 0
    took_ns: int = 0


class EnvironmentFiles:
    """Looks in a thread of their own, one at a time; of passes only those are told that found a change.

    `wake` is called, from any thread, whenever there is something to `collect`.
    """

    def __init__(self, watch: Watch, wake: Callable[[], None]) -> None:
        self._watch = watch
        self._wake = wake
        self._done: queue.SimpleQueue[Looked] = queue.SimpleQueue()
        self._before: FilesAt | None = None
        self._looks = 0
        self._closed = False
        self._busy: Moment | None = None
        self._reason: str | None = None
        self._sealed: SealedFiles | None = None
        self._begun = watch.question is not None

    def sealed_files(self) -> SealedFiles | Literal["later"] | None:
        """The files as they were sealed; `later` while the look at the start goes on, `None` where they are not known.

        May be asked from any thread.
        """
        return "later" if self._begun and not self._closed else self._sealed

    @property
    def pending(self) -> bool:
        """Whether a look that was asked for is not over."""
        return self._busy is not None

    def look(self, moment: Moment) -> None:
        """Look, unless a look goes on."""
        if self._watch.question is None:
            if moment != "pass":
                self._done.put(Looked(moment=moment, tree=None, reason=self._watch.reason))
                self._wake()
        elif self._busy is None and not self._closed:
            self._busy = moment
            given = (self._watch.question, moment)
            threading.Thread(target=self._work, args=given, name="saksi-environment", daemon=True).start()

    def collect(self) -> list[Looked]:
        """What has been found since the last call."""
        looked: list[Looked] = []
        while True:
            try:
                looked.append(self._done.get_nowait())
            except queue.Empty:
                return looked

    def close(self) -> None:
        """Let a look that goes on end within some hundredths of a second."""
        self._closed = True

    def _work(self, question: Question, moment: Moment) -> None:
        if moment != "end":  # then somebody waits for us, and training is over
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        begun = time.monotonic_ns()
        try:
            looked = self._look(question, moment)
        except Exception as error:  # one look must not end the others
            _logger.exception("the environment's files could not be looked at")
            reason = f"the agent failed: {type(error).__name__}: {error}"[:1024]
            looked = Looked(moment=moment, tree=None, reason=reason)
        if moment != "pass" or looked.changes.totals or looked.reason != self._reason:
            self._reason = looked.reason
            self._done.put(msgspec.structs.replace(looked, looks=self._looks, took_ns=time.monotonic_ns() - begun))
        self._begun = False
        self._busy = None
        self._wake()

    def _look(self, question: Question, moment: Moment) -> Looked:
        whole = moment == "end"
        found = look_at(
            question,
            now_ns=time.time_ns(),
            before=self._before,
            whole=whole,
            go_on=lambda: not self._closed,
        )
        self._looks += 1
        digest = tree_of(found)
        tree = None if digest is None else str(digest)
        before = self._before
        if moment == "start":
            before = None if tree == self._watch.sealed else recall_tree(question, self._watch.sealed)
            sealed = found if tree == self._watch.sealed else before
            self._sealed = None if sealed is None else SealedFiles(sealed, found)
        changes = Changes() if before is None else changes_between(before, found)
        if not self._closed:
            self._before = found
        return Looked(
            moment=moment, tree=tree, reason=found.reason, files=len(found.files), changes=changes, whole=whole
        )


class EnvironmentWatch:
    """The looks of one attempt, written down. Owned by the agent's one thread; without a `watch` it does nothing."""

    def __init__(self, watch: Watch | None, wake: Callable[[], None], scribe: Scribe) -> None:
        self._scribe = scribe
        self._files = None if watch is None else EnvironmentFiles(watch, wake)
        self._ended = False

    def sealed_files(self) -> SealedFiles | Literal["later"] | None:
        """See `EnvironmentFiles.sealed_files`."""
        return None if self._files is None else self._files.sealed_files()

    def look(self, moment: Moment) -> None:
        """Look beside everything else."""
        if self._files is not None:
            self._files.look(moment)

    def write(self) -> None:
        """Write down what was found since the last call."""
        if self._files is None:
            return
        for each in self._files.collect():
            self._ended |= each.moment == "end"
            self._write(each)

    def close(self, may_wait: Callable[[], bool]) -> None:
        """Look for the last time, for as long as `may_wait` says; what was not read by then says so."""
        files = self._files
        if files is None or not may_wait():
            self.write()
            return
        for asked in (False, True):
            if asked:
                files.look("end")
            while files.pending and may_wait():
                time.sleep(0.01)
        files.close()
        until = time.monotonic() + LAST_S
        while files.pending and time.monotonic() < until:
            time.sleep(0.01)
        self.write()
        if not self._ended:
            self._write(Looked(moment="end", tree=None, reason=CLOSED))

    def let_go(self) -> None:
        """Nothing more is looked at."""
        if self._files is not None:
            self._files.close()

    def _write(self, looked: Looked) -> None:
        record = EnvironmentRecord(
            moment=looked.moment,
            tree=looked.tree,
            reason=None if looked.reason is None else printable(looked.reason)[:1024],
            files=looked.files,
            changed=list(looked.changes.listed),
            totals=dict(looked.changes.totals),
            whole=looked.whole,
            looks=looked.looks,
            took_ns=looked.took_ns,
            **self._scribe.stamp(),
        )
        self._scribe.write(record)
