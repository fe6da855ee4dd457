"""Reading and compiling the sources of the code that the job says it executes, beside everything else.

A thread asks a limited child for what the functions of each file compile to; each file is read once for each Python,
again only for functions that nobody had asked for. What the job names is bounded: what is beyond is left out, and what
nothing was said of is judged by nobody.

The child is the job's own interpreter where the job's account is ours. Where it is not, no program of that account is
started: our own interpreter compiles, if it has the same version.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from saksi.edges.environment.compiled import Compiled, Wanted, compile_sources
from saksi.edges.environment.object_places import Surroundings
from saksi.edges.environment.source_places import OwnCode, Placed, SourcePlaces
from saksi.edges.files import OnBehalf
from saksi.edges.host.procfs import read_process
from saksi.judgement.seal import Interpreter, Seal
from saksi.processes.agent.connection import Connection
from saksi.words.frames import HelloFrame, LiveFrame

__all__ = ["CompiledSource", "LiveSources", "own_code_of", "surroundings_of"]

_logger = logging.getLogger(__name__)

MAX_FILES: Final = 4_096
MAX_FUNCTIONS: Final = 65_536
"""Of one attempt: torch's own are about a thousand, and a large program names some thousands more."""
MAX_WAITING: Final = 256
MAX_GATHERED: Final = 1_024
"""Processes whose inventories are not all here."""
MAX_PYTHONS: Final = 16
"""Different versions of Python, and ways to optimize, of one attempt."""
_VERSION: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")
_HMAC: Final = "hmac-sha256:"
PREFIXED: Final = ("bin", "lib", "lib64", "targets")
"""Folders of an interpreter's prefix that hold shared objects; `targets` is conda's for CUDA."""


class CompiledSource(msgspec.Struct, frozen=True, kw_only=True):
    """One file, where it lies, under which Python it was compiled, and whether it changed since the attempt began."""

    compiled: Compiled
    placed: Placed
    python: str
    optimize: int
    changed: bool


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    executable: str | None
    python: str
    optimize: int
    wanted: tuple[Wanted, ...]


def own_code_of(seal: Seal) -> OwnCode:
    """The user's own code, and the interpreter's, as the seal names them."""
    folder = seal.working_directory
    script = None if seal.script is None else _absolute(folder, seal.script.path)
    beside = () if script is None else (script.rpartition("/")[0] or "/",)
    return OwnCode(
        script=script,
        folders=tuple(dict.fromkeys((folder, *beside))),
        installations=_installations(seal),
        sites=() if seal.interpreter is None else _sites(seal.interpreter),
    )


def _installations(seal: Seal) -> tuple[str, ...] | None:
    """The interpreter's own prefixes, and the folders that the user names to it.

    `None`, as without an interpreter, where the seal keeps what the user names secret: it could be any folder.
    """
    python = seal.interpreter
    if python is None:
        return None
    given = [seal.environment.get(name, "") for name in ("PYTHONPATH", "PYTHONUSERBASE")]
    if any(each.startswith(_HMAC) for each in given):
        return None
    named = [_absolute(seal.working_directory, each) for value in given for each in value.split(":") if each]
    return tuple(dict.fromkeys((python.prefix, python.base_prefix, *named)))


def surroundings_of(seal: Seal) -> Surroundings:
    """Where shared objects of the job may come from, as the seal says. For a job that is root's."""
    python = seal.interpreter
    prefixes = () if python is None else dict.fromkeys((python.prefix, python.base_prefix))
    variable = seal.environment.get("LD_LIBRARY_PATH", "")
    named = () if variable.startswith(_HMAC) else re.split("[:;]", variable)
    return Surroundings(
        own=own_code_of(seal),
        prefixes=tuple(f"{prefix.rstrip('/')}/{each}" for prefix in prefixes for each in PREFIXED),
        libraries=() if python is None else _libraries(python),
        search_path=tuple(_absolute(seal.working_directory, each) for each in named if each),
    )


def _libraries(python: Interpreter) -> tuple[str, ...]:
    return _library(python, python.base_prefix), f"{_library(python, python.prefix)}/site-packages"


def _sites(python: Interpreter) -> tuple[str, ...]:
    prefixes = dict.fromkeys((python.prefix, python.base_prefix))
    return tuple(f"{_library(python, each)}/site-packages" for each in prefixes)


def _library(python: Interpreter, prefix: str) -> str:
    return f"{prefix.rstrip('/')}/lib/python{'.'.join(python.version.split('.')[:2])}"


def _absolute(folder: str, path: str) -> str:
    while path.startswith("./"):
        path = path[2:]
    return path if path.startswith("/") else f"{folder.rstrip('/')}/{path}"


class LiveSources:
    """A worker thread. `wake` is called, from any thread, whenever there is something to `collect`."""

    def __init__(
        self, wake: Callable[[], None], *, own: OwnCode, began_wall_ns: int, on_behalf_of: OnBehalf | None = None
    ) -> None:
        self._wake = wake
        self._places = SourcePlaces(own, on_behalf_of=on_behalf_of)
        self._began_ns = began_wall_ns
        self._on_behalf_of = on_behalf_of
        self._asked: dict[tuple[str, int], dict[str, set[object]]] = {}
        self._functions = 0
        self._new: dict[Connection, dict[str, tuple[set[tuple[str, int]], set[str]]]] = {}
        self._waiting: queue.Queue[_Job | None] = queue.Queue(MAX_WAITING)
        self._done: queue.SimpleQueue[list[CompiledSource]] = queue.SimpleQueue()
        self._given = self._collected = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> int:
        """How many inventories are being looked into."""
        return self._given - self._collected

    def heard(self, connection: Connection, frame: LiveFrame) -> None:
        """A part of an inventory: what it names is read and compiled once its last part has come."""
        hello = connection.hello
        if hello is None or _VERSION.fullmatch(hello.python) is None:
            return
        optimize = _optimize(hello)
        if (hello.python, optimize) not in self._asked and len(self._asked) >= MAX_PYTHONS:
            return
        asked = self._asked.setdefault((hello.python, optimize), {})
        if connection not in self._new and len(self._new) >= MAX_GATHERED:
            # Those that broke off in the middle go first. What they named counts as asked: it has to be.
            for each in [each for each in self._new if not each.is_open]:
                self._ask(each)
            if len(self._new) >= MAX_GATHERED:
                return
        new = self._new.setdefault(connection, {})
        for path, function, home in _named(frame):
            known = asked.get(path)
            if known is None:
                if len(asked) >= MAX_FILES:
                    continue
                known = asked[path] = set()
                new.setdefault(path, (set(), set()))
            if function is not None and self._is_news(known, function):
                new.setdefault(path, (set(), set()))[0].add(function)
            if home is not None and self._is_news(known, home):
                new.setdefault(path, (set(), set()))[1].add(home)
        if frame.part + 1 >= frame.parts:
            self._ask(connection)

    def _is_news(self, known: set[object], one: object) -> bool:
        if one in known or self._functions >= MAX_FUNCTIONS:
            return False
        known.add(one)
        self._functions += 1
        return True

    def collect(self) -> list[CompiledSource]:
        """What has been compiled since the last call."""
        out: list[CompiledSource] = []
        while True:
            try:
                out += self._done.get_nowait()
            except queue.Empty:
                return out
            self._collected += 1

    def close(self) -> None:
        """Let the worker end behind what it compiles now."""
        self._closed = True
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def _ask(self, connection: Connection) -> None:
        new = self._new.pop(connection)
        hello = connection.hello
        if not new or hello is None:
            return
        wanted = tuple(
            Wanted(path=path, functions=tuple(sorted(functions)), homes=tuple(sorted(homes)))
            for path, (functions, homes) in sorted(new.items())
        )
        job = _Job(
            executable=self._interpreter(connection),
            python=hello.python,
            optimize=_optimize(hello),
            wanted=wanted,
        )
        if self._thread is None:  # not before it is needed: most processes of a cluster never train
            self._thread = threading.Thread(target=self._work, name="saksi-live-sources", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(job)
            self._given += 1

    def _interpreter(self, connection: Connection) -> str | None:
        if self._on_behalf_of is not None:
            return sys.executable
        facts = read_process(connection.peer.pid)
        return None if facts is None else facts.executable

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None and not self._closed:
            try:
                done = self._compile(job)
            except Exception:  # what one process names must not end the work on all others
                _logger.exception("sources could not be compiled")
                done = []
            self._done.put(done)
            self._wake()

    def _compile(self, job: _Job) -> list[CompiledSource]:
        if job.executable is None:
            reason = "the job's interpreter is not known"
            compiled = [Compiled(path=each.path, reason=reason) for each in job.wanted]
        else:
            compiled = compile_sources(
                job.executable,
                job.python,
                job.wanted,
                optimize=job.optimize,
                environment=os.environ,
                on_behalf_of=self._on_behalf_of,
            )
        return [
            CompiledSource(
                compiled=each,
                placed=self._placed(each, was_read=job.executable is not None),
                python=job.python,
                optimize=job.optimize,
                changed=each.changed_ns is not None and each.changed_ns > self._began_ns,
            )
            for each in compiled
        ]

    def _placed(self, compiled: Compiled, *, was_read: bool) -> Placed:
        # Nothing is told of what the job's account may not see; of a process that is gone no file was even tried.
        if compiled.digest is None and was_read:
            return Placed(origin="elsewhere", unit=compiled.path)
        return self._places.place(compiled.path)


def _optimize(hello: HelloFrame) -> int:
    told = hello.flags.get("optimize", 0)
    return told if told in {0, 1, 2} else 0


def _named(frame: LiveFrame) -> Iterator[tuple[str, tuple[str, int] | None, str | None]]:
    """Each file that a frame names, with a function or a qualified name to look for in it."""
    files = frame.files
    for subject in frame.subjects:
        if subject.owner is not None and subject.owner < len(files):
            yield files[subject.owner], None, None
        for at, name in subject.homes:
            if at < len(files):
                yield files[at], None, name
        for piece in subject.pieces:
            if piece.file is not None and piece.file < len(files):
                yield files[piece.file], (piece.name.rpartition(".")[2], piece.line), None
