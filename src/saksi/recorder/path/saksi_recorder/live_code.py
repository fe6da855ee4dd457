"""The code that training executes, told to the agent: all of it at the first Update, what has changed whenever it asks.

Rules: an inventory is taken where an Update begins, never because time has passed; after the first one, places whose
signature is the same are not looked into again; what is known of a place is said once on a connection; a place that
cannot be looked into costs itself only, and is said. All of it is a claim like any other: whoever changed this process
can change what it says here.
"""

from __future__ import annotations

import builtins
import json
import threading
import time
from typing import Any, Callable, Iterable, Iterator, Optional, TypeVar

from . import (
    bare,
    live_glance,
    live_hooks,
    live_names,
    live_objects,
    live_subjects,
    live_tree,
    memory,
    operators,
    pieces,
    session,
    steps,
)
from .guard import guarded, is_of_a_signal_handler
from .live_parts import NOTES, PIECES, parts_of
from .live_said import Heard, Key
from .owners import Owner
from .plain import text

MAX_SUBJECT_BYTES = 16_384
MAX_WORD = 200
MAX_NAMES = 4096  # of hooks, whose numbers are kept
ASKS = b"saksi-challenge/v1 "
NONCE = 32  # hexadecimal digits
EXIT_S = 0.2  # that the end of the process waits for an inventory of another thread
_DIGITS = frozenset(b"0123456789abcdef")

One = TypeVar("One")

_spell = json.JSONEncoder(separators=(",", ":")).encode
_signatures: dict[Key, tuple[Any, ...]] = {}
_owners: dict[Key, tuple[int, Owner]] = {}  # with the inventory that last met it
_heard = Heard()
_on: dict[Key, tuple[int, str]] = {}  # on how many objects a hook is, and the first, when all were last looked at
_numbers: dict[Key, dict[int, int]] = {}  # of hooks of one name, by their code
_flags: dict[str, str] = {}
_taken = [0]
_count = [0]
_lock = [threading.Lock()]


def install() -> None:
    """Be called as each Update begins."""
    steps.begun.append(at_update)


def restore() -> None:
    """Be called no more."""
    steps.begun.remove(at_update)


@guarded("live")
def at_update() -> None:
    """An Update begins: the first and the second inventory, the answer to what the agent has asked, or a prompt one."""
    lock = _lock[0]
    if not lock.acquire(blocking=False):  # another thread, or what a signal interrupted, takes one: the question waits
        return
    try:
        if not _taken[0]:
            take("first", None)
            return
        asked = None if session.channel is None else session.channel.asked(len(ASKS) + NONCE)
        differs = live_glance.differs()
        if asked is not None and _is_a_question(asked):
            take("challenge", asked[len(ASKS) :].decode("ascii"))
        elif _taken[0] == 1:
            take("second", None)
        elif differs:
            began = time.thread_time_ns()
            news = take("changed", None)
            live_glance.followed(time.thread_time_ns() - began, news=news)
    finally:
        lock.release()


@guarded("live")
def at_exit() -> None:
    """The process is ending."""
    lock = _lock[0]
    if _taken[0] and lock.acquire(timeout=EXIT_S):
        try:
            take("exit", None)
        finally:
            lock.release()


def _is_a_question(packet: bytes) -> bool:
    return len(packet) == len(ASKS) + NONCE and packet.startswith(ASKS) and _DIGITS.issuperset(packet[len(ASKS) :])


def take(at: str, nonce: Optional[str]) -> bool:
    """Take an inventory and say what of it the connection has not heard; whether that is anything."""
    turn, _taken[0] = _taken[0], _taken[0] + 1
    if pieces.forget_when_full():
        _signatures.clear()
        for _, owner in _owners.values():
            owner.look_anew()
    with memory.quiet(), live_tree.walked(turn) as walk:
        look = _Look(turn)
        look.at_owners()
        look.at_places(at)
        flags = live_hooks.flags()
        _let_go(turn - walk.rounds)
        if at != "exit":
            live_glance.rest(_owners)
    news = {} if flags == _flags else flags
    _flags.clear()
    _flags.update(flags)
    _say({"at": at, "nonce": nonce, "compared": look.compared, "omitted": look.omitted}, look.changed, news)
    return bool(look.changed or news)


class _Look:
    """One inventory: what is news of it, how many places there are, and for how many there was no room."""

    def __init__(self, turn: int) -> None:
        self.changed: list[tuple[list[Any], int]] = []
        self.compared = self.omitted = 0
        self._turn = turn

    def at_owners(self) -> None:
        """Modules and classes."""
        for place, one, name in _unless_failed("modules and classes", live_subjects.owners):
            for _ in _unless_failed("a module or class", lambda: self._at_owner(place, one, name)):  # noqa: B023
                pass

    def _at_owner(self, place: str, one: Any, name: str) -> Iterator[None]:
        values = [value for _, value in live_subjects.held_by(place, one)]
        _, owner = _owners.get((place, name), (0, None))
        has_room = _heard.has_room((place, name))
        if owner is None and not has_room:
            self.omitted += 1
            return
        again: Optional[set[int]] = None
        if owner is None or not owner.is_as_before(one, values):
            owner = Owner(one, owner.listed if owner is not None and owner.is_of(one) else ())
        elif not (owner.left_out and has_room):
            again = owner.changed()
        if again is None or again:
            keys, omitted = {}, self.omitted
            for number, subject in live_subjects.members(place, one, name, owner.listed):
                key = subject.place, subject.name
                if self._has_room(key):
                    keys[number] = key
                    if again is None or number in again:
                        self._into(key, subject, 1, "")
            for subject in live_subjects.lacking(place, one, name, owner.listed):
                self._at_gone(subject)
            owner.remember(values, keys)
            owner.left_out = self.omitted - omitted
        else:
            self.omitted += owner.left_out
        for key in owner.keys.values():
            _heard.meet(key, self._turn)
        _owners[place, name] = self._turn, owner
        self.compared += len(owner.keys)
        yield

    def _at_gone(self, subject: Any) -> None:
        """Nothing is found at a place any more: news if it was said to be something."""
        key = subject.place, subject.name
        if _heard.was_said(key):
            self._into(key, subject, 1, "")
            _signatures.pop(key, None)

    def at_places(self, at: str) -> None:
        """The other places: a few functions of modules, what objects carry, hooks and the like."""
        met: dict[Key, int] = {}
        for subject in _singles(at):
            key = subject.place, subject.name
            if subject.value is pieces.GONE:
                self._at_gone(subject)
                continue
            met[key] = met.get(key, 0) + 1
            self._at_place(key if met[key] == 1 else (key[0], "%s #%d" % (key[1], met[key])), subject, 1, "")
        for subject in live_subjects.lacking("builtin", builtins, "builtins", _heard.said_of("builtin")):
            self._at_gone(subject)
        hooks = [one for source in live_hooks.kinds() for one in _unless_failed("hooks", lambda: source)]  # noqa: B023
        for subject, count, first in _unless_failed("hooks", lambda: live_hooks.listed(hooks)):
            key = subject.place, subject.name
            met[key] = met.get(key, 0) + 1
            key = _numbered(subject, met[key] if count else 0)
            if count:
                _on[key] = count, first
            self._at_place(key, subject, *_on.get(key, (1, "")))

    def _at_place(self, key: Key, subject: Any, count: int, first: str) -> None:
        if not self._has_room(key):
            return
        self.compared += 1
        for signature in _unless_failed("a place", lambda: [(count, pieces.signature(subject.value))]):
            if _signatures.get(key) != signature:
                self._into(key, subject, count, first)
                _signatures[key] = signature

    def _has_room(self, key: Key) -> bool:
        """Asked before anything is looked into: there is no end to how many functions a program may make."""
        if not _heard.has_room(key):
            self.omitted += 1
            return False
        _heard.meet(key, self._turn)
        return True

    def _into(self, key: Key, subject: Any, count: int, first: str) -> None:
        """Look into one place, and note it if that is news."""
        for said in _unless_failed("a place", lambda: [_subject(key, subject, count, first)]):
            words = _spell(said)
            if len(words) > MAX_SUBJECT_BYTES:
                words = _spell(_cut(said))
            if _heard.is_news(key, words):
                self.changed.append((said, len(words)))


def _unless_failed(what: str, source: Callable[[], Iterable[One]]) -> Iterator[One]:
    """What a source gives until it fails: that is said, and everything else stands."""
    try:
        yield from source()
    except Exception as error:
        if is_of_a_signal_handler(error):
            raise
        session.uncovered("the code of %s" % what, "it could not be looked into: " + bare.qualname_of(type(error)))


def _singles(at: str) -> Iterator[Any]:
    yield from _unless_failed("single functions and constants", live_names.others)
    for one, name in _unless_failed("objects", live_objects.of_objects):
        yield from _unless_failed("an object", lambda: live_objects.of_object(one, name))  # noqa: B023
    for source in live_hooks.singles():
        yield from _unless_failed("modes, builtins, tracers or importers", lambda: source)  # noqa: B023
    yield from _unless_failed("operators", lambda: operators.listed(at))


def _numbered(subject: Any, number: int) -> Key:
    """The place of a hook: those of one name have numbers; 0 stands for that which it had when all had their turn."""
    key = subject.place, subject.name
    known = _numbers.setdefault(key, {})
    code = pieces.code_of(subject.value)
    number = known[code] = number or known.get(code, len(known) + 1)
    return key if number == 1 else (key[0], "%s #%d" % (key[1], number))


def _let_go(number: int) -> None:
    """What no inventory has met since that one is gone."""
    for key in _heard.gone_since(number):
        _signatures.pop(key, None)
        _on.pop(key, None)
    for key in [key for key, (met, _) in list(_owners.items()) if met < number]:
        _owners.pop(key, None)
    if len(_numbers) > MAX_NAMES:
        _numbers.clear()


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
    parts = parts_of(changed)
    for place, (files, subjects) in enumerate(parts):
        frame = {"number": number, **about, "step": session.step, "part": place, "parts": len(parts)}
        frame.update(files=files, subjects=subjects, flags=flags if place == 0 else {})
        session.say("live", frame)


def _forget() -> None:
    """Another connection begins: it has heard nothing."""
    _taken[0] = 0
    live_glance.forget()
    _heard.forget()
    for key, (_, owner) in list(_owners.items()):
        owner.look_anew()
        _owners[key] = 0, owner
    for held in (_signatures, _on, _numbers, _flags):
        held.clear()  # type: ignore[attr-defined]


def _begin_anew() -> None:
    """A forked child: its parent may have been in the middle of one, in a thread that the child does not have."""
    _lock[0] = threading.Lock()
    _forget()
    _count[0] = 0


session.forgetters.append(_forget)
session.wakers.append(_begin_anew)
