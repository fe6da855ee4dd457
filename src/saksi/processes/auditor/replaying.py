"""One replay: the command under witness, confined, with a home of its own; what is left is its record.

Rules: nothing that the run wrote is written over; the command gets no keys, no network, and a limit of time; when this
returns or raises, no process of it runs, and its scratch folder is the caller's to remove.

The limit of memory is watched from outside, and the replay ended behind it: under a limit of the kernel's a program
would meet allocations that fail, which the run did not, and could do otherwise than it did. An address space is no
measure either: torch maps many times what it uses.

Known weakness: a program that leaves its session and is adopted by a system's own service manager is not found. The
record of a replay lies where the program could write: it is read as testimony, in an environment that verified. What a
program takes between two looks at its memory can be more than the limit, and as much as the machine has.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from saksi.edges.host.confinement import outermost
from saksi.edges.host.procfs import children_of
from saksi.edges.host.self_protection import orphans_adopted
from saksi.edges.own_file import read_own_file
from saksi.edges.runs import RunMaterials
from saksi.judgement.replay.invocation import Invocation
from saksi.judgement.replay.transcript import MAX_TRANSCRIPT_BYTES
from saksi.judgement.seal import Seal
from saksi.processes.auditor.compiled_ahead import ahead_of
from saksi.processes.auditor.confined import Confined, Observed
from saksi.processes.auditor.launches import (
    LOOK_S,
    NotReplayed,
    end_all,
    environment_of,
    home_in,
    last_words_in,
    reading_in,
)
from saksi.processes.auditor.made import Made
from saksi.processes.auditor.taken import Taken
from saksi.processes.auditor.walls import CANNOT_CONFINE, Walls
from saksi.words.errors import UsageError
from saksi.words.run import ASKED_BY_AUDITS, Level

__all__ = ["Replay", "Replayed", "TookTooMuch", "look", "replay", "scratch_folder"]

_TRANSCRIPT: Final = "saksi.transcript"
_PLACES: Final = ("/var/tmp", "/tmp", "/dev/shm")  # noqa: S108 - a private folder is made there

_NO_SEGMENT: Final = 1_000_000
"""As many Steps as a segment may have: of those that are replayed none ends one."""

_SHORT: Final = 32
"""Bytes of a path below which a replay's folders leave a launch enough for the path of its socket."""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be replayed, and within which limits. `written` are folders that the run wrote into.

    `cache` is a folder of the audit's own, for the bytecode that its replays share: what this account's launches kept
    could have been written by a job.

    Of each pair that is `placed` the first folder stands in the place of the second while it is replayed, one pair
    after the other. With a `redaction_key`, the seal that the command would have there is observed before it is
    started, with the variables as they are sealed. Of rank and Step in `transcript` every operation is written down.

    `more` are words behind those of the command, which are none of the seal's: how it is told to resume. It is recorded
    at `recorded_at` where that is not the level of the run. With `roots_behind` a root is taken behind these of its own
    Steps, and behind none since it ends a segment. With `enough` it is ended once so many ranks made so many Steps
    each, and the root behind the last of them is there. All of its processes together take at most `memory` bytes, if
    that is given. They may use `cores` processors of those that are here, where that is given, and torch has `threads`,
    whose number this machine would make another, unless the program's variables say one.

    `samples` are drawn with that key, in hexadecimal, as if its first Step had that number. `planted`: in its first
    Step one label counts as another. `varied` are variables in the place of the run's, which make another replay of it.
    `sources` are files that the run imported: they are compiled before the program starts. `hollow` is a folder with a
    capsule and what the recorder is told of the updates before it, which becomes part of the replay's own.
    """

    invocation: Invocation
    level: Level
    segment: int | None
    project: str | None
    redaction_key: bytes | None
    placed: tuple[tuple[Path, Path], ...]
    written: tuple[Path, ...]
    hidden: tuple[Path, ...]
    cache: Path
    limit_s: float
    transcript: tuple[int, int] | None = None
    more: tuple[str, ...] = ()
    recorded_at: Level | None = None
    roots_behind: tuple[int, ...] = ()
    enough: tuple[int, int] | None = None
    memory: int | None = None
    cores: int | None = None
    threads: int | None = None
    samples: tuple[str, int] | None = None
    planted: bool = False
    varied: tuple[tuple[str, str], ...] = ()
    sources: tuple[str, ...] = ()
    hollow: Path | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay left: its record, how it ended, and the end of what it said on standard error.

    `transcript` is what was written of the operations of a Step; `None` where nothing was. `enough`: it was ended as
    it had made the Steps that were asked for; `took_more` is the limit of memory that it was ended behind.
    """

    reading: RunMaterials | None
    code: int | None
    last_words: str
    observed: Seal | None
    transcript: bytes | None = None
    enough: bool = False
    took_more: int | None = None

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.enough:
            return "it was ended as it had made enough steps"
        if self.took_more is not None:
            return f"it was ended as it took more than {self.took_more / (1 << 30):.3g} GiB of memory: see --memory"
        how = "it was ended after its limit of time" if self.code is None else f"it ended with exit code {self.code}"
        return f"{how}: {self.last_words}" if self.last_words and self.code != 0 else how


class TookTooMuch(NotReplayed):
    """A replay was ended as it took more memory than it may: what is in its record until then is compared with nothing.

    `replayed` is what it left.
    """

    def __init__(self, replayed: Replayed) -> None:
        super().__init__(f"the replay did not come to its end: {replayed.ending}")
        self.replayed = replayed


@contextlib.contextmanager
def scratch_folder(outside: tuple[Path, ...], *, rather: tuple[Path, ...] = ()) -> Iterator[Path]:
    """A new private folder that lies in none of `outside`, and rather in none of the others; removed at the end.

    Rather a short one too: a socket lies below it, whose path has 107 bytes at most. Raises `NotReplayed`.
    """
    places = [Path(each).resolve() for each in (tempfile.gettempdir(), *_PLACES)]
    fit = [each for each in places if each.is_dir() and os.access(each, os.W_OK) and not _is_within(each, outside)]
    for place in sorted(fit, key=lambda each: (_is_within(each, rather), len(os.fsencode(each)) > _SHORT)):
        with tempfile.TemporaryDirectory(prefix="saksi-", dir=place, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    raise NotReplayed("no folder for a replay lies outside of those that the run wrote into", remedy="set TMPDIR")


def _is_within(place: Path, folders: tuple[Path, ...]) -> bool:
    return any(place.is_relative_to(each) for each in outermost(folders))


@orphans_adopted()
def replay(
    asked: Replay,
    scratch: Path,
    *,
    said: Callable[[int], None] = lambda _: None,
    waiting: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Replayed:
    """Replay once, in `scratch`, which is empty. `said` hears the bytes of its record as they grow.

    Whatever ends the wait, inside of `waiting`, ends the replay too. Raises `NotReplayed`, `OSError`.
    """
    before = frozenset(children_of(os.getpid()))
    for name in ("home", "runs", "tmp"):
        (scratch / name).mkdir(mode=0o700)
    with _capsules(asked, scratch), (scratch / "stderr").open("w+b") as errors, _begun(asked, scratch, errors) as begun:
        job, hearing = begun
        try:
            with waiting():
                observed = _observed(hearing.read())
                made, taken = Made(asked.enough, scratch), Taken(asked.memory, before)
                until = time.monotonic() + asked.limit_s
                code = _wait(job, until, lambda: said(_grown(scratch)), lambda: made.enough() or taken.is_too_much())
        finally:
            end_all(job, before)
    words = last_words_in(scratch / "stderr")
    reading = reading_in(scratch)
    if code == CANNOT_CONFINE and reading is None:
        raise NotReplayed(words or "the replay could not be confined")
    return Replayed(
        reading=reading,
        code=code,
        last_words=words,
        observed=observed,
        transcript=_transcript(scratch),
        enough=made.reached,
        took_more=taken.limit if taken.was_too_much else None,
    )


def look(asked: Replay, scratch: Path) -> Seal | None:
    """The seal that the command would have where it would be replayed; nothing of it is started. Raises `OSError`."""
    (scratch / "tmp").mkdir(mode=0o700)
    with (scratch / "stderr").open("w+b") as errors, _begun(asked, scratch, errors, only_look=True) as (job, hearing):
        try:
            return _observed(hearing.read())
        finally:
            job.kill()
            job.wait()


@contextlib.contextmanager
def _begun(
    asked: Replay, scratch: Path, errors: IO[bytes], *, only_look: bool = False
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The process that confines itself, and where it says what it observed; whoever began it ends it."""
    heard, told = os.pipe()
    with os.fdopen(heard, "rb") as hearing:
        with os.fdopen(told, "wb"):
            job = subprocess.Popen(
                [sys.executable, "-I", "-m", "saksi.processes.auditor.confined"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                # Where nothing is observed nobody there would close it, and it would be listened to until the end.
                pass_fds=() if asked.redaction_key is None else (told,),
                start_new_session=True,
            )
        confined = _confined(asked, scratch, told)
        if only_look:
            confined = msgspec.structs.replace(confined, argv=())
        if job.stdin is not None:
            with contextlib.suppress(BrokenPipeError), job.stdin:
                job.stdin.write(msgspec.json.encode(confined))
        yield job, hearing


def _confined(asked: Replay, scratch: Path, told: int) -> Confined:
    prefix = asked.cache / "bytecode"
    options = ["-q", "--level", asked.recorded_at or asked.level, "--bytecode", str(prefix)]
    segment = _NO_SEGMENT if asked.roots_behind else asked.segment
    if segment is not None:
        options += ["--segment", str(segment)]
    own = (sys.executable, "-I", "-m", "saksi.doors.main", "run", *options, "--", *asked.invocation.argv, *asked.more)
    environment = environment_of(asked.invocation.environment, scratch, tmp=scratch / "tmp")
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(scratch / "tmp" / "inductor")
    environment = {name: value for name, value in environment.items() if name not in ASKED_BY_AUDITS}
    environment |= _asked_of_recorder(asked, scratch) | dict(asked.varied)
    folders = (Path(asked.invocation.folder), *asked.written)
    layered = tuple(str(each) for each in outermost(folders))
    home = home_in(asked.invocation.environment)
    gladly = [str(each) for each in home if each != Path("/")]
    return Confined(
        argv=own,
        environment=environment,
        walls=Walls(
            folder=asked.invocation.folder,
            scratch=str(scratch),
            writable=(str(asked.cache),),
            layered=layered,
            gladly=tuple(each for each in gladly if each not in layered),
            hidden=tuple(str(each) for each in asked.hidden if each.is_dir()),
            placed=tuple((str(source), str(target)) for source, target in asked.placed),
        ),
        observed=_to_observe(asked, told),
        cores=asked.cores,
        ahead=ahead_of(asked.invocation, asked.sources, prefix),
    )


def _asked_of_recorder(asked: Replay, scratch: Path) -> dict[str, str]:
    """What the recorder does for this replay alone, as variables."""
    found: dict[str, str] = {}
    if asked.roots_behind:
        found["SAKSI_ROOTS"] = ",".join(map(str, asked.roots_behind))
    if asked.threads is not None:
        found["SAKSI_THREADS"] = str(asked.threads)
    if asked.samples is not None:
        key, first = asked.samples
        found["SAKSI_SAMPLES"] = f"{key}:{first}"
    if asked.planted:
        found["SAKSI_PLANTED"] = "1"
    if asked.hollow is not None:
        found["SAKSI_HOLLOW"] = str(_hollow_in(scratch))
    if asked.transcript is not None:
        rank, step = asked.transcript
        found["SAKSI_TRANSCRIPT"] = f"{rank}:{step}:{scratch / 'tmp' / _TRANSCRIPT}"
    return found


@contextlib.contextmanager
def _capsules(asked: Replay, scratch: Path) -> Iterator[None]:
    """Those that the replay begins with, where it may read them: as large as the state, and gone with the replay."""
    try:
        if asked.hollow is not None:
            asked.hollow.rename(_hollow_in(scratch))
        yield
    finally:
        shutil.rmtree(_hollow_in(scratch), ignore_errors=True)


def _hollow_in(scratch: Path) -> Path:
    return scratch / "tmp" / "saksi.hollow"


def _to_observe(asked: Replay, told: int) -> Observed | None:
    if asked.redaction_key is None:
        return None
    return Observed(
        descriptor=told,
        argv=asked.invocation.argv,
        environment=asked.invocation.environment,
        project=asked.project,
        level=asked.level,
        segment=asked.segment,
        redaction_key=asked.redaction_key,
    )


def _observed(content: bytes) -> Seal | None:
    """What was observed before anything of the command ran; nothing after that can write it."""
    try:
        return msgspec.json.decode(content, type=Seal)
    except msgspec.DecodeError:
        return None


def _transcript(scratch: Path) -> bytes | None:
    try:
        return read_own_file(scratch / "tmp" / _TRANSCRIPT, MAX_TRANSCRIPT_BYTES)
    except (UsageError, OSError):  # a program may have put anything there
        return None


def _grown(scratch: Path) -> int:
    total = 0
    for path in (scratch / "home").rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _wait(
    job: subprocess.Popen[bytes], until: float, look: Callable[[], None], enough: Callable[[], bool]
) -> int | None:
    """The exit code; `None` if the limit of time came first, or enough was done."""
    while time.monotonic() < until:
        try:
            return job.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            look()
            if enough():
                return None
    return None
