"""When the agent looks at what the processes that train have mapped, and what it writes down of it.

Rules: only a process with a recorder that trains or saves is looked at. The first look comes as its first Update is
heard, since it may not live long; the next within two seconds, at a moment that is drawn; then at each model checkpoint
and as it says goodbye; between them at times drawn like those of the challenges, and apart from them: nothing that the
process could see is sent. A look reads two files of /proc, once a second of a process and a few at a time; all else is
done beside (`mapped_files`), and so is what it says that it imported (`imports`). A first look that never came about
leaves a record that says why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from saksi.edges.clock import Clock
from saksi.edges.environment.object_places import SealedFiles, Surroundings
from saksi.edges.files import OnBehalf
from saksi.edges.host.mapped import Raw, read_raw
from saksi.judgement.redaction import printable, redact_environment
from saksi.processes.agent.challenges import FIRST_NS, drawn_pause_ns, drawn_share
from saksi.processes.agent.connection import Connection
from saksi.processes.agent.imports import Imports
from saksi.processes.agent.mapped_files import LookedAt, MappedFiles, Moment, Taken
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame, CkptFrame, DetachFrame
from saksi.words.records import MappedObject, MappedRecord

__all__ = ["MappedWatch"]

MAX_FOLLOWED: Final = 4_096
CKPT_NS: Final = 1_000_000_000
"""Between two looks at model checkpoints: a framework may save hundreds of files for one."""
LAST_NS: Final = 5_000_000_000
"""How long what was looked at may still be looked up as the attempt closes; no file is read in that time."""
PID_NS: Final = 1_000_000_000
"""Between two looks at one process, of which a job may have many connections."""
MAX_AT_ONCE: Final = 8
"""Looks in one turn of the loop, of 1 to 3 ms each; the rest come in the next."""
MAX_ENDS_AT_ONCE: Final = 64
"""A process that said goodbye is not there any more in the next turn."""
GONE: Final = "the process was gone before it was looked at"
CLOSED: Final = "the attempt was closed before it was looked up"
BUSY: Final = "too much was waiting to be looked up"
MANY: Final = f"{MAX_FOLLOWED:,} processes trained at once, as many as are looked at"
MAX_SPELLED: Final = 40_000
"""Bytes of an entry for its objects; the variables and the rest take up to some thousand."""
MAX_VARIABLES: Final = 16_000
"""Bytes of an entry for the variables; of those that do not fit, only the length is told."""


class _Followed:
    __slots__ = ("begun_ns", "ckpt_ns", "due_ns", "first", "missed")

    def __init__(self, now_ns: int, due_ns: int) -> None:
        self.begun_ns = now_ns
        self.due_ns = due_ns
        self.ckpt_ns: int | None = None
        self.first = True
        self.missed = False


class MappedWatch:
    """The looks of one attempt, and the imports that it claims. Owned by the agent's one thread.

    `wake` rings, from any thread, when there is something to `write`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        scribe: Scribe,
        wake: Callable[[], None],
        around: Surroundings,
        sealed_files: Callable[[], SealedFiles | Literal["later"] | None],
        draw: Callable[[int], bytes],
        redaction_key: bytes | None,
        cache: Path | None = None,
        on_behalf_of: OnBehalf | None = None,
    ) -> None:
        self._clock = clock
        self._scribe = scribe
        self._draw = draw
        self._redaction_key = redaction_key
        self._files = MappedFiles(
            wake, around=around, sealed_files=sealed_files, cache=cache, on_behalf_of=on_behalf_of
        )
        self._imports = Imports(
            scribe=scribe, wake=wake, around=around, sealed_files=sealed_files, on_behalf_of=on_behalf_of
        )
        self._followed: dict[Connection, _Followed] = {}
        self._known: set[int] = set()
        self._hidden: set[int] = set()
        self._looked_ns: dict[tuple[int, bool], int] = {}
        self._at_once = self._ends_at_once = 0

    def heard(self, connection: Connection, frame: AnyFrame) -> None:
        """A frame came in."""
        self._imports.heard(connection, frame)
        now = self._clock.mono_ns()
        each = self._followed.get(connection)
        saved = isinstance(frame, CkptFrame) and frame.action == "saved"
        if each is None:
            if not (connection.trained or saved):
                return
            if len(self._followed) >= MAX_FOLLOWED:
                if connection.number not in self._known:
                    self._tell(LookedAt(taken=self._taken(connection, _Followed(now, now), "begin"), reason=MANY))
                return
            again = now + PID_NS + int(drawn_share(self._draw) * FIRST_NS)
            each = self._followed[connection] = _Followed(now, again)
            if not saved and not self._look(connection, each, "begin"):  # many begin to train within a second
                each.due_ns = now
        if saved and (each.ckpt_ns is None or now - each.ckpt_ns >= CKPT_NS):
            each.ckpt_ns = now
            if not self._look(connection, each, "ckpt"):
                each.due_ns = min(each.due_ns, now)
        elif isinstance(frame, DetachFrame):
            if not self._look(connection, each, "end"):
                self._miss(connection, each, "end", BUSY)
            self._followed.pop(connection, None)

    def look(self) -> None:
        """Look at whatever is due."""
        now = self._clock.mono_ns()
        self._at_once = self._ends_at_once = 0
        self._looked_ns = {each: when for each, when in self._looked_ns.items() if now - when < PID_NS}
        for connection, each in list(self._followed.items()):
            if not connection.is_open:  # it was closed without a goodbye
                self._miss(connection, each, "drawn", GONE)
                del self._followed[connection]
            elif now >= each.due_ns and self._look(connection, each, "begin" if each.first else "drawn"):
                each.due_ns = now + drawn_pause_ns(self._draw, now - each.begun_ns)

    def _look(self, connection: Connection, each: _Followed, moment: Moment) -> bool:
        """Look at the process, unless it is too soon for that."""
        pid = connection.peer.pid
        if not self._may_look(pid, ends=moment == "end"):
            return False
        raw = read_raw(pid) if pid else "permission"  # 0: the kernel's word for a process of another pid namespace
        if raw == "gone":
            self._miss(connection, each, moment, GONE)
        elif isinstance(raw, Raw) or pid not in self._hidden:
            if self._files.give(self._taken(connection, each, moment, raw)):
                if isinstance(raw, Raw):
                    each.first = False
                else:
                    self._hidden.add(pid)
                    each.missed = True
            else:
                self._tell_once(connection, each, moment, BUSY)
        else:  # told of another connection of the process
            each.missed = True
        return True

    def _may_look(self, pid: int, *, ends: bool) -> bool:
        now = self._clock.mono_ns()
        if pid and now - self._looked_ns.get((pid, ends), -PID_NS) < PID_NS:
            return False
        if (self._ends_at_once >= MAX_ENDS_AT_ONCE) if ends else (self._at_once >= MAX_AT_ONCE):
            return False
        self._ends_at_once += ends
        self._at_once += not ends
        self._looked_ns[pid, ends] = now
        return True

    def _miss(self, connection: Connection, each: _Followed, moment: Moment, reason: str) -> None:
        """Write down that a process was never looked at, where that is so."""
        if each.first:
            self._tell_once(connection, each, moment, reason)

    def _tell_once(self, connection: Connection, each: _Followed, moment: Moment, reason: str) -> None:
        if not each.missed:
            each.missed = True
            self._tell(LookedAt(taken=self._taken(connection, each, moment), reason=reason))

    def _taken(
        self,
        connection: Connection,
        each: _Followed,
        moment: Moment,
        raw: Raw | Literal["permission"] = "permission",
    ) -> Taken:
        return Taken(
            connection=connection.number,
            pid=connection.peer.pid,
            rank=connection.rank,
            step=connection.last_step,
            moment=moment,
            raw=raw,
            first=each.first,
        )

    def _tell(self, looked: LookedAt) -> None:
        self._known.add(looked.taken.connection)
        for record in self._records(looked):
            self._scribe.write(record)

    def write(self) -> None:
        """Write down what was found since the last call; of a process that was seen, only what is new."""
        for looked in self._files.collect():
            is_news = looked.objects or looked.omitted or looked.reason is not None or looked.variables is not None
            if is_news or looked.taken.connection not in self._known:
                self._tell(looked)
        self._imports.write()

    def finish(self) -> None:
        """The attempt closes: what was looked at is looked up, without reading files."""
        self._files.hurry()
        until = self._clock.mono_ns() + LAST_NS
        while self._files.pending and self._clock.mono_ns() < until:
            time.sleep(0.01)
            self.write()
        self.write()
        left = {taken.connection: taken for taken in reversed(self._files.left())}  # of each process the first
        for taken in left.values():
            self._tell(LookedAt(taken=taken, reason=CLOSED))
        for connection, each in self._followed.items():
            self._miss(connection, each, "drawn", CLOSED)
        self._followed.clear()
        self._imports.finish()
        self.write()

    def close(self) -> None:
        """Let the workers go."""
        self._files.close()
        self._imports.close()

    def _records(self, looked: LookedAt) -> Iterator[MappedRecord]:
        taken = looked.taken
        variables = None if looked.variables is None else self._shown(looked.variables)
        for number, part in enumerate(_parts(looked.objects)):
            yield MappedRecord(
                connection=taken.connection,
                pid=taken.pid,
                rank=taken.rank,
                step=taken.step,
                moment=taken.moment,
                tree=looked.tree,
                total=looked.total,
                anonymous=looked.anonymous,
                omitted=looked.omitted,
                objects=part,
                variables=None if number else variables,
                looks=looked.looks,
                took_ns=looked.took_ns,
                reason=None if looked.reason is None else printable(looked.reason)[:256],
                **self._scribe.stamp(),
            )

    def _shown(self, variables: Mapping[str, str]) -> dict[str, str]:
        shown = redact_environment(variables, self._redaction_key)
        room = MAX_VARIABLES
        for name in sorted(shown, key=lambda each: len(shown[each])):
            room -= len(msgspec.json.encode(shown[name]))
            if room < 0:
                shown[name] = f"[{len(shown[name])} characters]"
        return shown


def _parts(objects: tuple[MappedObject, ...]) -> Iterator[list[MappedObject]]:
    part: list[MappedObject] = []
    room = MAX_SPELLED
    for each in objects:
        size = len(msgspec.json.encode(each)) + 1
        if part and size > room:
            yield part
            part, room = [], MAX_SPELLED
        part.append(each)
        room -= size
    yield part
