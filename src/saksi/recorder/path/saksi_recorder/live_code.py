"""The code that training executes, told to the agent: all of it at the first Update, what has changed whenever it asks.

Rules: an inventory is taken where an Update begins, never because time has passed; after the first one, places whose
signature is the same are not looked into again; what is known of a place is said once on a connection. All of it is a
claim like any other: whoever changed this process can change what it says here.
"""

from __future__ import annotations

import json
from typing import Any, Iterator, Optional

from . import live_hooks, live_subjects, memory, operators, pieces, session, steps
from .channel import MAX_FRAME_BYTES
from .guard import guarded
from .owners import Owner
from .plain import text

MAX_PART_BYTES = MAX_FRAME_BYTES - 8192  # beside the names of files and the flags
MAX_SUBJECT_BYTES = 16_384
MAX_FILES = 256  # that one part names
MAX_WORD = 200
OWNER, HOMES, PIECES, NOTES = 2, 3, 4, 5
SPELLED = 2  # bytes for a character of a path, where it is listed: names that are not ASCII take more
ASKS = b"saksi-challenge/v1 "
NONCE = 32  # hexadecimal digits

Key = tuple[str, str]

_spell = json.JSONEncoder(separators=(",", ":")).encode
_signatures: dict[Key, tuple[Any, ...]] = {}
_owners: dict[tuple[str, str], Owner] = {}
_said: dict[Key, str] = {}
_flags: dict[str, str] = {}
_taken = [False]
_count = [0]


def install() -> None:
    """Be called as each Update begins."""
    steps.begun.append(at_update)


def restore() -> None:
    """Be called no more."""
    steps.begun.remove(at_update)


@guarded("live")
def at_update() -> None:
    """An Update begins: the first inventory, or the answer to what the agent has asked since the last one."""
    if not _taken[0]:
        _taken[0] = True
        take("first", None)
        return
    asked = None if session.channel is None else session.channel.asked(len(ASKS) + NONCE)
    if asked is not None and asked.startswith(ASKS):
        take("challenge", asked[len(ASKS) :].decode("ascii", "replace"))


@guarded("live")
def at_exit() -> None:
    """The process is ending."""
    if _taken[0]:
        take("exit", None)


def take(at: str, nonce: Optional[str]) -> None:
    """Take an inventory and say what of it the connection has not heard."""
    if pieces.forget_when_full():
        _signatures.clear()
        _owners.clear()
    changed: list[tuple[list[Any], int]] = []
    with memory.quiet(), live_subjects.walked():
        compared = _look_at_owners(changed)
        for key, subject, count, first in _places(at):
            compared += 1
            signature = count, pieces.signature(subject.value)
            if _signatures.get(key) != signature:
                _signatures[key] = signature
                _look(key, subject, count, first, changed)
        flags = live_hooks.flags()
    news = {} if flags == _flags else flags
    _flags.clear()
    _flags.update(flags)
    omitted = max(0, compared - live_subjects.MAX_SUBJECTS)
    _say({"at": at, "nonce": nonce, "compared": compared - omitted, "omitted": omitted}, changed, news)


def _look_at_owners(changed: list[tuple[list[Any], int]]) -> int:
    """Modules and classes; how many places they have."""
    compared = 0
    for place, one, name in live_subjects.owners():
        values = list(vars(one).values())
        owner = _owners.get((place, name))
        if owner is not None and owner.is_as_before(one, values):
            again = owner.changed()
        else:
            owner, again = Owner(one), None
        if again is None or again:
            keys = {}
            for number, subject in live_subjects.members(place, one, name):
                keys[number] = key = subject.place, subject.name
                if again is None or number in again:
                    _look(key, subject, 1, "", changed)
            owner.remember(values, keys)
            _owners[place, name] = owner
        compared += len(owner.keys)
    return compared


def _look(key: Key, subject: Any, count: int, first: str, changed: list[tuple[list[Any], int]]) -> None:
    """Look into one place, and note it if that is news."""
    said = _subject(key, subject, count, first)
    words = _spell(said)
    if len(words) > MAX_SUBJECT_BYTES:
        words = _spell(_cut(said))
    if _said.get(key) == words:
        return
    if key in _said or len(_said) < live_subjects.MAX_SUBJECTS:
        _said[key] = words
        changed.append((said, len(words)))


def _places(at: str) -> Iterator[tuple[Key, Any, int, str]]:
    """The other places: a few functions of modules, what objects carry, hooks and the like."""
    met: dict[Key, int] = {}
    for subject, count, first in _both(at):
        key = subject.place, subject.name
        met[key] = met.get(key, 0) + 1
        if met[key] > 1:  # two hooks of one name, say
            key = subject.place, "%s #%d" % (subject.name, met[key])
        yield key, subject, count, first


def _both(at: str) -> Iterator[tuple[Any, int, str]]:
    for subject in live_subjects.others():
        yield subject, 1, ""
    yield from live_hooks.listed()
    for subject in operators.listed(at):
        yield subject, 1, ""


def _subject(key: Key, subject: Any, count: int, first: str) -> list[Any]:
    """A place as it is said, but for its files, which are named here."""
    found, notes = pieces.pieces_of(subject.value)
    if count > 1:
        notes.append("on %d" % count)
    if first:
        notes.append(text("first on " + first, MAX_WORD))
    homes = subject.homes
    if found and homes and (found[0].file, found[0].name) == homes[0]:
        homes = ()  # it is at home: nothing more to say
    return [key[1], key[0], subject.owner, homes, found, notes]


def _cut(said: list[Any]) -> list[Any]:
    said[PIECES] = said[PIECES][:2]
    said[NOTES] = ["more", *said[NOTES]]
    return said


def _say(about: dict[str, Any], changed: list[tuple[list[Any], int]], flags: dict[str, str]) -> None:
    number = _count[0]
    _count[0] += 1
    parts = _parts(changed)
    for place, (files, subjects) in enumerate(parts):
        frame = {"number": number, **about, "step": session.step, "part": place, "parts": len(parts)}
        frame.update(files=files, subjects=subjects, flags=flags if place == 0 else {})
        session.say("live", frame)


def _parts(changed: list[tuple[list[Any], int]]) -> list[tuple[list[str], list[Any]]]:
    """The places in parts that fit a packet, each with the files that it names by their number in a list."""
    parts: list[tuple[list[str], list[Any]]] = [([], [])]
    numbers: dict[str, int] = {}
    room = MAX_PART_BYTES
    for said, length in changed:
        named = [said[OWNER], *(file for file, _ in said[HOMES]), *(one.file for one in said[PIECES])]
        named = [file for file in named if file is not None]
        size = length - sum(len(file) for file in named) + sum(SPELLED * len(one) for one in {*named} - numbers.keys())
        if parts[-1][1] and (size > room or len(numbers) + len(named) > MAX_FILES):
            parts.append(([], []))
            numbers.clear()
            room = MAX_PART_BYTES
        files, subjects = parts[-1]
        for file in named:
            if file not in numbers:
                numbers[file] = len(files)
                files.append(file)
        subjects.append(_numbered(said, numbers))
        room -= max(size, 0)
    return parts


def _numbered(said: list[Any], numbers: dict[str, int]) -> list[Any]:
    name, place, owner, homes, found, notes = said
    return [
        name,
        place,
        numbers.get(owner),
        [[numbers[file], within] for file, within in homes],
        [[numbers.get(one.file), *one[1:]] for one in found],
        notes,
    ]


def _forget() -> None:
    """Another connection begins: it has heard nothing."""
    _taken[0] = False
    for held in (_signatures, _owners, _said, _flags):
        held.clear()  # type: ignore[attr-defined]


def _begin_anew() -> None:
    _forget()
    _count[0] = 0


session.forgetters.append(_forget)
session.wakers.append(_begin_anew)
