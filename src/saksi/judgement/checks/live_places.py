"""What a `live` frame says of one place, with its files resolved; and what `source` records say of those files.

A claim is only ever compared with what the agent itself read and compiled; a file that it has said nothing of decides
nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from saksi.words.frames import LiveFrame, LivePiece, LivePlace, LiveSubject
from saksi.words.records import CompiledFunction, SourceOrigin, SourceRecord

__all__ = ["Compiler", "Piece", "Place", "Source", "Sources", "View", "places_of"]

MAX_SOURCES: Final = 16_384
"""Files of all attempts together; a job may name as many as it likes."""
MAX_FUNCTIONS: Final = 262_144


class Compiler(NamedTuple):
    """Under which Python a process runs: files are compiled once for each."""

    attempt: int
    python: str
    optimize: int


class Piece(NamedTuple):
    """One function, as claimed. `file` is `None` where its code names no file."""

    file: str | None
    name: str
    line: int
    code: str
    defaults: tuple[tuple[str, str], ...]
    closure: tuple[tuple[str, str], ...]

    @property
    def key(self) -> tuple[str, int]:
        """By what a file's functions are told apart: the last part of the name, and the first line."""
        return self.name.rpartition(".")[2], self.line

    @property
    def written(self) -> tuple[str | None, str, int, str]:
        """What it is, without what was given to it."""
        return self.file, self.name, self.line, self.code


class Place(NamedTuple):
    """One place, as claimed."""

    place: LivePlace
    name: str
    owner: str | None
    homes: tuple[tuple[str, str], ...]
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.place, self.name

    def files(self) -> set[str]:
        """Every file that has to be known before it is judged."""
        named = {self.owner, *(file for file, _ in self.homes), *(each.file for each in self.pieces)}
        return {each for each in named if each is not None}


def places_of(frame: LiveFrame) -> tuple[Place, ...] | None:
    """The places that a frame says, or `None` if it names a file that it does not list."""
    try:
        return tuple(_place(each, frame.files) for each in frame.subjects)
    except IndexError:
        return None


def _place(subject: LiveSubject, files: list[str]) -> Place:
    return Place(
        place=subject.place,
        name=subject.name,
        owner=None if subject.owner is None else files[subject.owner],
        homes=tuple((files[at], name) for at, name in subject.homes),
        pieces=tuple(_piece(each, files) for each in subject.pieces),
        notes=tuple(subject.notes),
    )


def _piece(piece: LivePiece, files: list[str]) -> Piece:
    return Piece(
        file=None if piece.file is None else files[piece.file],
        name=piece.name,
        line=piece.line,
        code=piece.code,
        defaults=tuple(sorted(piece.defaults.items())),
        closure=tuple(sorted(piece.closure.items())),
    )


class Source:
    """One file under one Python: what all records together say of it."""

    __slots__ = ("changed", "functions", "homes", "origin", "reason", "unit")

    def __init__(self, record: SourceRecord) -> None:
        self.origin: SourceOrigin = record.origin
        self.unit = record.unit
        self.changed = False
        self.reason: str | None = None
        self.functions: dict[tuple[str, int], CompiledFunction] = {}
        self.homes: dict[str, list[int]] = {}

    def knows(self, piece: Piece) -> bool:
        """Whether there is something to compare with, or a reason why not."""
        return self.reason is not None or piece.key in self.functions


class Sources:
    """The files that the agent has read and compiled."""

    def __init__(self) -> None:
        self._held: dict[tuple[Compiler, str], Source] = {}
        self._functions = 0

    def take(self, record: SourceRecord) -> None:
        """One record more."""
        key = Compiler(record.attempt, record.python, record.optimize), record.path
        source = self._held.get(key)
        if source is None:
            if len(self._held) >= MAX_SOURCES:
                return
            source = self._held[key] = Source(record)
        source.changed |= record.changed
        source.reason = record.reason if record.reason is not None else source.reason
        for each in record.functions:
            if self._functions < MAX_FUNCTIONS:
                self._functions += 1
                source.functions[each.name, each.line] = each
        source.homes.update(record.homes)

    def under(self, compiler: Compiler) -> View:
        """What is known under one Python."""
        return View(self._held, compiler)


class View:
    """The files as one Python compiles them."""

    __slots__ = ("_compiler", "_held")

    def __init__(self, held: dict[tuple[Compiler, str], Source], compiler: Compiler) -> None:
        self._held = held
        self._compiler = compiler

    def of(self, path: str | None) -> Source | None:
        """What is known of a file."""
        return None if path is None else self._held.get((self._compiler, path))

    def origin(self, piece: Piece) -> str | None:
        """Where the file of a function lies; `None` if it has none, or nothing is known of it."""
        source = self.of(piece.file)
        return None if source is None else source.origin

    def knows(self, place: Place) -> bool:
        """Whether everything is there that `place` is judged by."""
        if any(self.of(file) is None for file in place.files()):
            return False
        for each in place.pieces:
            source = self.of(each.file)
            if source is not None and not source.knows(each):
                return False
        for file, name in place.homes:
            home = self.of(file)
            if home is not None and home.reason is None and name not in home.homes:
                return False
        return True
