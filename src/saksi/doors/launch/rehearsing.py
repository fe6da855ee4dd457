"""`saksi seal create --rehearse N`: the command runs under witness for N steps, and what it did goes into the file.

Rules: the rehearsal's record lies in a home of its own and is gone afterwards; when this returns or raises, no process
of the job runs, however many signals came meanwhile. The command really runs: what it writes within N steps is written.

BUG: a process that leaves the job's tree altogether (a daemon of a system's own service manager) is not found.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.home import Home
from saksi.edges.host.ending_signals import EndingSignals
from saksi.edges.host.procfs import children_of, descendants_of
from saksi.edges.host.self_protection import orphans_adopted
from saksi.edges.run_folders import all_runs
from saksi.edges.runs import open_run
from saksi.judgement.checks.live_code import told_in
from saksi.judgement.items import Item, read_items
from saksi.judgement.rehearsal.first_steps import FirstSteps, rehearsal_of
from saksi.judgement.rehearsal.values import MAX_STEPS, Rehearsal
from saksi.words.errors import SaksiError, UsageError

__all__ = ["NotRehearsed", "rehearse", "require_steps"]

_LOOK_S: Final = 0.25
_ROOT_S: Final = 5.0
"""How long the state root after the last Step is waited for: one of a device is said later."""
_TERM_S: Final = 10.0
"""How long a job that was asked to end is waited for: it may save a model checkpoint."""
_CLOSE_S: Final = 60.0
"""How long the witness is waited for after that: it hashes what the job saved."""
_LEAVE_S: Final = 5.0
"""How long a launcher may take to leave, once nobody waits for the witness."""
_NEGATIVE: Final = 1
_INCONCLUSIVE: Final = 3
_OPERATIONAL: Final = 4
_NOT_STARTED: Final = (125, 126, 127)


class NotRehearsed(SaksiError):
    """The command cannot be rehearsed: why, and the exit code to end with."""

    def __init__(self, message: str, *, code: int, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class _Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What the record says so far."""

    steps: int
    ranks: int
    over: bool
    rooted: bool
    items: tuple[Item, ...]


def require_steps(steps: int) -> int:
    """Returns `steps` if so many can be rehearsed. Raises `UsageError`."""
    if not 1 <= steps <= MAX_STEPS:
        raise UsageError(f"--rehearse {steps} is not a number of steps", remedy=f"1 to {MAX_STEPS}")
    return steps


@orphans_adopted()
def rehearse(
    command: Sequence[str],
    environment: Mapping[str, str],
    steps: int,
    *,
    quiet: bool,
    said: Callable[[int], None] = lambda _: None,
) -> Rehearsal:
    """The first `steps` Steps of `command`, which is then ended. `said` hears how many there are so far.

    Raises `NotRehearsed`, `SaksiError`, `OSError`.
    """
    before = frozenset(children_of(os.getpid()))
    with EndingSignals() as signals, _scratch() as scratch:
        with _job(command, environment, scratch, before, signals, quiet=quiet) as job, signals.interruptible():
            code = _watch(job, scratch, environment, steps, said)
        heard = _hear(scratch, environment, steps)
        if heard is None or heard.steps < steps:
            raise _why_not(heard, steps, code)
        return msgspec.structs.replace(rehearsal_of(heard.items, steps), code=told_in(heard.items) or msgspec.UNSET)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="saksi-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _job(
    command: Sequence[str],
    environment: Mapping[str, str],
    scratch: Path,
    before: frozenset[int],
    signals: EndingSignals,
    *,
    quiet: bool,
) -> Iterator[subprocess.Popen[bytes]]:
    """The launcher of the command. At the end it and all that it started are gone."""
    (scratch / "home").mkdir(mode=0o700)
    (scratch / "runs").mkdir(mode=0o700)
    added = {"SAKSI_HOME": str(scratch / "home"), "SAKSI_SCRATCH": str(scratch / "runs"), "SAKSI_AGENT": "embedded"}
    own = [sys.executable, "-P", "-m", "saksi.doors.main"]  # -P: a module of the project's must not be taken for ours
    words = [*own, "run", "--require", "--level", "full", "-q", "--", *command]
    job = subprocess.Popen(
        words,
        env={**environment, **added},
        stdin=subprocess.DEVNULL,  # what is typed is for whoever typed the command
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
        start_new_session=True,  # Ctrl-C is ours to pass on
    )
    try:
        yield job
    finally:
        _end(job, before, signals)


def _watch(
    job: subprocess.Popen[bytes],
    scratch: Path,
    environment: Mapping[str, str],
    steps: int,
    said: Callable[[int], None],
) -> int | None:
    """Until the last Step was heard (`None`), or the job ended by itself (its exit code)."""
    told, rooted_by = 0, None
    while job.poll() is None:
        with contextlib.suppress(SaksiError):  # a log that is being written may be half there
            heard = _hear(scratch, environment, steps)
            if heard is not None and heard.steps > told:
                told = heard.steps
                said(told)
            if heard is not None and heard.over:
                rooted_by = rooted_by or time.monotonic() + _ROOT_S
                if heard.rooted or time.monotonic() >= rooted_by:
                    return None
        time.sleep(_LOOK_S)
    return job.returncode


def _hear(scratch: Path, environment: Mapping[str, str], steps: int) -> _Heard | None:
    """What the record in the home says; `None` where there is none yet."""
    home = Home(scratch / "home")
    folders = all_runs(home, {**environment, "SAKSI_SCRATCH": str(scratch / "runs")}, uid=os.getuid())
    if not folders:
        return None
    run = open_run(next(iter(folders.values())))
    items = tuple(read_items(run.entries, run.blob))
    first = FirstSteps(steps)
    for item in items:
        first.take(item)
    ranks = first.ranks.values()
    return _Heard(
        steps=min((each.heard for each in ranks), default=0),
        ranks=first.attached,
        over=first.over,
        rooted=all(each.has_last_root for each in ranks),
        items=items,
    )


def _why_not(heard: _Heard | None, steps: int, code: int | None) -> NotRehearsed:
    if heard is not None and code is None:
        message = f"more was said of {heard.steps} steps than a seal file holds"
        return NotRehearsed(message, code=_NEGATIVE, remedy="rehearse fewer steps")
    if code in _NOT_STARTED or heard is None:
        message = "the command was not started under witness"
        return NotRehearsed(message, code=_OPERATIONAL, remedy="`saksi run -- COMMAND` says why")
    if code:
        how = f"failed with exit code {code}"
        return NotRehearsed(f"the command {how} after {heard.steps} of {steps} steps", code=_OPERATIONAL)
    if heard.steps:
        message = f"the command ended after {heard.steps} of {steps} steps"
        return NotRehearsed(message, code=_NEGATIVE, remedy=f"rehearse at most {heard.steps} steps")
    if heard.ranks:
        return NotRehearsed("the command ended without a training step", code=_INCONCLUSIVE)
    remedy = "only Python programs that import torch are witnessed"
    return NotRehearsed("no training process attached", code=_INCONCLUSIVE, remedy=remedy)


def _end(job: subprocess.Popen[bytes], before: frozenset[int], signals: EndingSignals) -> None:
    """Ask the job to end, then make it; wait for the witness, and leave no process behind.

    Nothing of it is left out for a signal that comes meanwhile: that only shortens the waiting.
    """

    def wait(there: Callable[[], bool], seconds: float, *, whatever: bool = False) -> None:
        until = time.monotonic() + seconds
        while not there() and (whatever or not signals.hurry) and time.monotonic() < until:
            time.sleep(0.05)

    if job.poll() is None:
        job.terminate()  # the launcher passes it on
        wait(lambda: not _of_the_job(job.pid) or job.poll() is not None, _TERM_S)
        for pid in _of_the_job(job.pid):
            _kill(pid)
        wait(lambda: job.poll() is not None, _CLOSE_S)
    if job.poll() is None:
        job.terminate()  # now it waits for its witness no longer, and removes what it made
        wait(lambda: job.poll() is not None, _LEAVE_S, whatever=True)
    if job.poll() is None:
        job.kill()
    job.wait()
    # What outlived the launcher has come to us: orphans of the job, and a witness that did not end in time.
    for _ in range(100):
        left = descendants_of(os.getpid(), without=before)
        for pid in left:
            _kill(pid)
        for pid in children_of(os.getpid()):
            if pid not in before:
                with contextlib.suppress(OSError):
                    os.waitpid(pid, os.WNOHANG)
        if not left:
            return
        time.sleep(0.05)


def _of_the_job(launcher: int) -> tuple[int, ...]:
    """The living processes below the launcher without the witness, which has a session of its own and no children.

    The command shares the launcher's session; a child of the launcher in another one is the witness, or an orphan.
    """
    found: list[int] = []
    for child in children_of(launcher):
        with contextlib.suppress(OSError):
            if os.getsid(child) == launcher:
                found += [child, *descendants_of(child)]
    return tuple(found)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
