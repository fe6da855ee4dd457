"""A pool of workers on this machine: an `Executor` whose replays go on side by side.

Rules: each try of a task is a worker of its own, with a folder and a key of its own, and sees no other task. A worker
that dies, or leaves what it did not sign, is lost with whatever it left: its processes are ended, and the task is tried
once more. However this ends, no worker runs afterwards.

A worker that hangs, or was stopped, is ended behind a time that leaves room for its replay's own limit.

Known weakness: replays side by side take processors from each other, and each may take its limit of time in full. A
killed worker's processes are ended as soon as that is seen, and not before.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from saksi.edges.host.procfs import children_of
from saksi.edges.host.self_protection import orphans_adopted
from saksi.processes.auditor.executor import Lost, Outcome, Task
from saksi.processes.auditor.kept import KeptResults
from saksi.processes.auditor.launches import GRACE_S, LOOK_S, NotReplayed, end_all, last_words_in
from saksi.processes.auditor.outcomes import outcome_in
from saksi.processes.auditor.worker import Order, order_bytes, task_bytes
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey
from saksi.words.errors import SaksiError

__all__ = ["LocalPool"]

_TRIES: Final = 2
_SIGNER: Final = "worker"
_SEED_BYTES: Final = 32
SLACK_S: Final = 600.0
"""What a worker may take beyond twice its replay's limit: to look at the environment before, and to sign behind it."""


class _Try(NamedTuple):
    """A worker at its task."""

    task: Task
    number: int
    folder: Path
    job: subprocess.Popen[bytes]
    key: VerifierKey
    digest: str
    until: float


class LocalPool:
    """At most `size` workers at a time, with folders below `place`, which is the caller's to remove.

    For the main thread; `waiting` is entered where it may be interrupted. What is `kept` of an audit that did not come
    to its end is taken up.
    """

    def __init__(
        self,
        place: Path,
        size: int,
        *,
        waiting: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        kept: KeptResults | None = None,
    ) -> None:
        self._place = place
        self._size = size
        self._waiting = waiting
        self._kept = kept

    @orphans_adopted()
    def run(self, tasks: Sequence[Task], *, said: Callable[[int], None] = lambda _: None) -> dict[str, Outcome]:
        """As `Executor` says."""
        before = frozenset(children_of(os.getpid()))
        found = self._taken_up(tasks)
        for task in tasks:
            (self._place / task.name).mkdir(mode=0o700)
        to_do = deque((self._apart(task, tasks), 0) for task in tasks if task.name not in found)
        running: list[_Try] = []
        if found:
            said(len(found))
        try:
            while to_do or running:
                while to_do and len(running) < self._size:
                    running.append(self._begun(*to_do.popleft()))
                with self._waiting():
                    time.sleep(LOOK_S)
                _end_late(running)
                for each in [one for one in running if one.job.poll() is not None]:
                    running.remove(each)
                    end_all(each.job, before | _pids(running))
                    outcome = _outcome(each)
                    if isinstance(outcome, Lost) and outcome.tries < _TRIES:
                        to_do.append((each.task, outcome.tries))
                        continue
                    found[each.task.name] = outcome
                    if self._kept is not None and each.task.kept:
                        self._kept.keep(each.task, each.digest, each.key, outcome, each.folder)
                    said(len(found))
        finally:
            _end(running, before)
        return found

    def _taken_up(self, tasks: Sequence[Task]) -> dict[str, Outcome]:
        if self._kept is None:
            return {}
        kept = {task.name: self._kept.take_up(task) for task in tasks if task.kept}
        return {name: outcome for name, outcome in kept.items() if outcome is not None}

    def _apart(self, task: Task, tasks: Sequence[Task]) -> Task:
        """With the folders of the others hidden, whose replays may go on at the same time."""
        others = [self._place / each.name for each in tasks if each.name != task.name]
        asked = msgspec.structs.replace(task.replay, hidden=(*task.replay.hidden, *others))
        return msgspec.structs.replace(task, replay=asked)

    def _begun(self, task: Task, number: int) -> _Try:
        folder = self._place / task.name / str(number)
        folder.mkdir(mode=0o700)
        earlier = [folder.parent / str(each) for each in range(number)]
        hidden = (*task.replay.hidden, *earlier)
        replay = msgspec.structs.replace(task.replay, hidden=hidden)
        said = task_bytes(msgspec.structs.replace(task, replay=replay, salt=secrets.token_hex(_SEED_BYTES)))
        seed = secrets.token_bytes(_SEED_BYTES)
        order = Order(task=msgspec.Raw(said), folder=str(folder), signer=_SIGNER, seed=seed, parent=os.getpid())
        with (folder / "stderr").open("wb") as errors:
            job = subprocess.Popen(
                [sys.executable, "-I", "-m", "saksi.processes.auditor.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        until = time.monotonic() + 2 * task.replay.limit_s + SLACK_S
        try:
            if job.stdin is not None:
                with contextlib.suppress(BrokenPipeError), job.stdin:
                    job.stdin.write(order_bytes(order))
        except BaseException:
            job.kill()  # it has not begun anything yet
            job.wait()
            raise
        digest = hashlib.sha256(said).hexdigest()
        return _Try(task, number, folder, job, NoteSigner(_SIGNER, seed).key, digest, until)


def _pids(tries: Sequence[_Try]) -> frozenset[int]:
    return frozenset(each.job.pid for each in tries)


def _end_late(running: Sequence[_Try]) -> None:
    for each in running:
        if time.monotonic() > each.until:
            each.job.kill()


def _end(running: list[_Try], before: frozenset[int]) -> None:
    """All are asked before any is waited for, and what has not ended in the time for one is killed."""
    for each in running:
        each.job.terminate()
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until and any(each.job.poll() is None for each in running):
        time.sleep(LOOK_S / 10)
    for each in running:
        each.job.kill()
    while running:
        end_all(running.pop().job, before | _pids(running))


def _outcome(tried: _Try) -> Outcome:
    """What came of a try whose worker has ended. Raises `NotReplayed`."""
    lost = _lost(tried)
    if lost is not None:
        return Lost(tried.number + 1, lost)
    try:
        return outcome_in(tried.folder, tried.key, tried.digest)
    except NotReplayed:
        raise
    except (SaksiError, OSError) as reason:
        return Lost(tried.number + 1, f"what its worker left is not what it signed: {reason}")


def _lost(tried: _Try) -> str | None:
    code = tried.job.returncode
    if code == 0:
        return None
    if code < 0:
        names = {each.value: each.name for each in signal.Signals}
        return f"its worker was ended by {names.get(-code, f'signal {-code}')}"
    return f"its worker ended with exit code {code}: {last_words_in(tried.folder / 'stderr')}"
