"""The key that the recorders of one attempt draw the places of their samples with, so that ranks draw the same ones.

Rules: it comes from `draw`, the kernel's generator, and is known to nobody before the attempt; it is sent as a recorder
has said hello, to those that read what they are sent; sending neither waits nor fails. What a recorder drew with it
says so itself.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Final

from saksi.processes.agent.connection import Connection
from saksi.words.frames import AnyFrame, HelloFrame

__all__ = ["SAYS", "SampleKey"]

SAYS: Final = b"saksi-samples/v1 "
BYTES: Final = 32
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class SampleKey:
    """The key of one attempt, under one agent. `draw(n)` gives `n` random bytes."""

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._packet = SAYS + draw(BYTES).hex().encode("ascii")

    def heard(self, connection: Connection, frame: AnyFrame) -> None:
        """A frame came: whoever says hello is told."""
        if isinstance(frame, HelloFrame) and frame.answers:
            with contextlib.suppress(OSError):  # it is gone already
                connection.socket.send(self._packet, _FLAGS)
