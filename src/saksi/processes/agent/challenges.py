"""When recorders are asked for an inventory of the code that they execute: at times that nobody else knows.

Rules: only a recorder that says that it answers, and that trains, is asked; never two questions at once, and never one
after many went unanswered; a process that connected anew with a question open is asked again at once; asking neither
waits nor fails. Times and numbers come from `draw`, which is the kernel's
generator: whoever restores what was changed around the questions has to know when they come.
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable
from typing import Final

from saksi.processes.agent.connection import Connection
from saksi.words.frames import AnyFrame, CkptFrame, DetachFrame, LiveFrame

__all__ = ["FIRST_NS", "Challenges", "drawn_pause_ns", "drawn_share"]

ASKS: Final = b"saksi-challenge/v1 "
FIRST_NS: Final = 1_000_000_000
"""The first question comes within a second of the first Update: a run may be short."""
SHORTEST_NS: Final = 200_000_000
SHORTEST_MEAN_NS: Final = 1_000_000_000
LONGEST_MEAN_NS: Final = 20_000_000_000
LONGEST: Final = 4
"""Times the mean: an exponential draw has no end of its own."""
GIVEN_UP_NS: Final = 120_000_000_000
"""A question that is not answered for so long is followed by another; a step may take minutes."""
MAX_UNANSWERED: Final = 8
MAX_OWING: Final = 4_096
"""Processes that left a question open with their connection; the oldest are forgotten first."""
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class _Asked:
    """What is known of one connection."""

    __slots__ = ("due_ns", "nonce", "since_ns", "trained_ns", "unanswered")

    def __init__(self, trained_ns: int, due_ns: int) -> None:
        self.trained_ns = trained_ns
        self.due_ns = due_ns
        self.nonce: str | None = None
        self.since_ns = 0
        self.unanswered = 0


class Challenges:
    """The questions of one attempt. `draw(n)` gives `n` random bytes. Owned by the agent's one thread."""

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._draw = draw
        self._asked: dict[Connection, _Asked] = {}
        self._owing: dict[int, None] = {}  # ids of processes

    def heard(self, connection: Connection, frame: AnyFrame, now_ns: int) -> None:
        """A frame came: the first Update, an answer, a model checkpoint, or a goodbye."""
        asked = self._asked.get(connection)
        if isinstance(frame, DetachFrame):
            if asked is not None:
                self._left(connection)
        elif asked is None:
            if connection.trained and connection.hello is not None and connection.hello.answers:
                self._asked[connection] = _Asked(now_ns, self._first_due(connection, now_ns))
        elif isinstance(frame, LiveFrame):
            if asked.nonce is not None and frame.nonce == asked.nonce and frame.part + 1 >= frame.parts:
                asked.nonce, asked.unanswered = None, 0
                asked.due_ns = now_ns + drawn_pause_ns(self._draw, now_ns - asked.trained_ns)
        elif isinstance(frame, CkptFrame) and frame.action == "saved":
            asked.due_ns = min(asked.due_ns, now_ns)

    def ask(self, now_ns: int) -> list[tuple[Connection, str]]:
        """Ask whoever is due; whom, and with which number."""
        out = []
        for connection, asked in list(self._asked.items()):
            if not connection.is_open:  # it was closed without a goodbye
                self._left(connection)
            elif now_ns >= asked.due_ns and self._may_ask(asked, now_ns):
                nonce = self._draw(16).hex()
                with contextlib.suppress(OSError):  # its buffer is full, or it is gone: the next frame tells
                    connection.socket.send(ASKS + nonce.encode("ascii"), _FLAGS)
                    asked.nonce, asked.since_ns = nonce, now_ns
                    out.append((connection, nonce))
        return out

    def _first_due(self, connection: Connection, now_ns: int) -> int:
        """When a connection is asked first: at once, where its process owes an answer from one that it has left."""
        pid = connection.peer.pid
        for other in [each for each in self._asked if each.peer.pid == pid and not each.is_open]:
            self._left(other)
        if pid in self._owing:
            del self._owing[pid]
            return now_ns
        return now_ns + int(drawn_share(self._draw) * FIRST_NS)

    def _left(self, connection: Connection) -> None:
        pid = connection.peer.pid
        if self._asked.pop(connection).nonce is not None and pid:  # without an id nobody knows whose it was
            self._owing[pid] = None
            if len(self._owing) > MAX_OWING:
                del self._owing[next(iter(self._owing))]

    def _may_ask(self, asked: _Asked, now_ns: int) -> bool:
        if asked.nonce is None:
            return True
        if now_ns - asked.since_ns < GIVEN_UP_NS or asked.unanswered >= MAX_UNANSWERED:
            return False
        asked.unanswered += 1
        return True


def drawn_pause_ns(draw: Callable[[int], bytes], age_ns: int) -> int:
    """Exponential, of a mean that grows with the age of the training: short runs are looked at several times too."""
    mean = min(LONGEST_MEAN_NS, max(SHORTEST_MEAN_NS, age_ns // 3))
    drawn = -mean * math.log(1 - drawn_share(draw))
    return int(min(LONGEST * mean, max(SHORTEST_NS, drawn)))


def drawn_share(draw: Callable[[int], bytes]) -> float:
    """A number from 0 up to 1, all alike."""
    return int.from_bytes(draw(6), "big") / 2**48
