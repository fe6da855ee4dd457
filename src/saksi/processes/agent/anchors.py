"""Sends signed heads to an anchor from a thread of its own, so that a slow anchor never holds the agent up.

There is one slot, and the latest head wins it: a head that was superseded before it could be sent is not needed, since
a later one covers what it covered. A failed send is tried again, later each time, with whatever is then the latest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from saksi.words.errors import SaksiError

__all__ = ["AnchorStatistics", "AnchorWorker", "Sink", "close_all"]

LAST_HEAD_S: Final = 12.0
"""As an attempt closes: how long all anchors together may take for the last head."""

BACKOFF: Final = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds until the next try after the first, second, … failure in a row; the last one from then on."""

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """What an anchor does (`edges.anchors`)."""

    @property
    def target(self) -> str:
        """How records name it."""

    def send(self, run: str, size: int, note: bytes) -> None:
        """Keep the head outside. Raises `SaksiError` if it did not."""


class AnchorStatistics(NamedTuple):
    """What became of the heads offered. `longest_stretch` is in seconds, the time without an anchor so far included."""

    sent: int
    failed: int
    superseded: int
    last_size: int | None
    last_error: str | None
    longest_stretch: float


class AnchorWorker:
    """One anchor of one run. `clock` is monotonic, in seconds."""

    def __init__(
        self, anchor: Sink, run: str, *, clock: Callable[[], float], backoff: Sequence[float] = BACKOFF
    ) -> None:
        self._anchor = anchor
        self._run = run
        self._clock = clock
        self._backoff = tuple(backoff)
        # Everything below is guarded by the condition; a send happens outside it.
        self._changed = threading.Condition()
        self._slot: tuple[int, bytes] | None = None
        self._closing = self._tried_last = False
        self._sent = self._failed = self._superseded = self._failures_in_row = 0
        self._last_size: int | None = None
        self._last_error: str | None = None
        self._last_time = clock()
        self._longest = 0.0
        self._thread = threading.Thread(target=self._work, name=f"saksi-anchor-{run}", daemon=True)
        self._thread.start()

    @property
    def target(self) -> str:
        """How records name the anchor."""
        return self._anchor.target

    def offer(self, size: int, note: bytes) -> None:
        """Take the head of `size` entries for sending. Returns at once; never raises for what the anchor does."""
        with self._changed:
            if self._slot is not None:
                self._superseded += 1
            self._slot = (size, note)
            self._changed.notify_all()

    def statistics(self) -> AnchorStatistics:
        """What became of the heads so far."""
        with self._changed:
            return AnchorStatistics(
                sent=self._sent,
                failed=self._failed,
                superseded=self._superseded,
                last_size=self._last_size,
                last_error=self._last_error,
                longest_stretch=max(self._longest, self._clock() - self._last_time),
            )

    def close(self, seconds: float) -> bool:
        """Try the latest head once more if it is not sent, for at most `seconds`; whether it was sent. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        with self._changed:
            return self._slot is None and not self._thread.is_alive()

    def _work(self) -> None:
        while (head := self._next()) is not None:
            size, note = head
            try:
                self._anchor.send(self._run, size, note)
            except SaksiError as error:
                self._note_failure(head, str(error))
            except Exception as error:  # noqa: BLE001 - an anchor's defect is counted, it must not end the thread
                self._note_failure(head, f"{type(error).__name__}: {error}")
            else:
                self._note_success(size)

    def _next(self) -> tuple[int, bytes] | None:
        """The head to send now, taken from the slot; `None` to end the thread."""
        with self._changed:
            if self._failures_in_row:
                # The slot is looked at again when the time is up, however many heads arrive before.
                wait = self._backoff[min(self._failures_in_row, len(self._backoff)) - 1]
                self._changed.wait_for(lambda: self._closing, wait)
            self._changed.wait_for(lambda: self._closing or self._slot is not None)
            if self._closing:
                if self._slot is None or self._tried_last:
                    return None
                self._tried_last = True
            head, self._slot = self._slot, None
            return head

    def _note_success(self, size: int) -> None:
        with self._changed:
            now = self._clock()
            self._longest = max(self._longest, now - self._last_time)
            self._last_time, self._last_size = now, size
            self._sent += 1
            self._failures_in_row = 0

    def _note_failure(self, head: tuple[int, bytes], reason: str) -> None:
        _log.warning("anchor: %s", reason)
        with self._changed:
            self._failed += 1
            self._failures_in_row += 1
            self._last_error = reason
            if self._slot is None:
                self._slot = head
            else:
                self._superseded += 1


def close_all(workers: Sequence[AnchorWorker], seconds: float = LAST_HEAD_S) -> int:
    """Let all anchors try their latest head once more, beside one another; how many do not have it after `seconds`."""
    until = time.monotonic() + seconds
    for each in workers:
        each.close(0)
    return sum(not each.close(max(0.0, until - time.monotonic())) for each in workers)
