"""Tells commands and URLs of findings from threads of their own: the agent never waits for one.

Each hook has a thread, started with the first finding, and a queue of `MAX_QUEUED`, in which what is graver takes the
place of what is less. A finding goes to each hook once, and again only if its cause has become graver. One try each:
what was not taken, did not fit or was left at the end is counted and said. As the attempt closes, all hooks together
have `LAST_NOTICES_S`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from saksi.edges.clock import Clock
from saksi.edges.hooks import Hook
from saksi.judgement.notice import About, notice_of
from saksi.words.errors import SaksiError
from saksi.words.findings import SEVERITIES, Finding, Severity, at_or_above

__all__ = ["LAST_NOTICES_S", "MAX_QUEUED", "Notices", "notices_of"]

LAST_NOTICES_S: Final = 5.0
"""As an attempt closes: how long all hooks together may take for what is still to be told."""
BROKEN_OFF_S: Final = 0.5
"""How long all hooks together may take to end once they were told to."""
MAX_QUEUED: Final = 64
"""Findings that wait for one hook. A run has a handful; more at once is a flood that nobody reads."""
MAX_CAUSES: Final = 1_024
"""Of each severity, as many as an agent writes down."""
MAX_SAID: Final = 32
"""Failures of one hook that are written to the log one by one."""

_logger = logging.getLogger(__name__)


class Notices:
    """Where findings of one attempt go at once. `document` makes what is sent, and may raise nothing."""

    def __init__(
        self, hooks: Sequence[Hook] = (), *, severity: Severity = "warning", document: Callable[[Finding], bytes]
    ) -> None:
        self._severity: Severity = severity
        self._told: dict[tuple[str, str], Severity] = {}
        self._causes: Counter[Severity] = Counter()
        self._left_out = 0
        self._workers = tuple(_Worker(each, document) for each in hooks)

    def __bool__(self) -> bool:
        return bool(self._workers)

    def recall(self, finding: Finding) -> None:
        """A finding that was told of before, by the agent that this one replaces."""
        self._is_new(finding)

    def offer(self, finding: Finding) -> None:
        """Take a finding for telling, if it is grave enough and new. Returns at once; never raises."""
        if self._is_new(finding):
            for each in self._workers:
                each.offer(finding)

    def close(self, seconds: float = LAST_NOTICES_S) -> int:
        """Let all hooks take what is queued, beside one another; how many notices were never taken. Once."""
        until = time.monotonic() + seconds
        for each in self._workers:
            each.finish()
        for each in self._workers:
            each.wait(until)
        for each in self._workers:
            each.break_off()
        until = time.monotonic() + BROKEN_OFF_S
        for each in self._workers:
            each.wait(until)
        return self._left_out * len(self._workers) + sum(each.lost() for each in self._workers)

    def _is_new(self, finding: Finding) -> bool:
        cause = (finding.code, finding.subject)
        told = self._told.get(cause)
        if not at_or_above(finding.severity, self._severity):
            return False
        if told is not None and at_or_above(told, finding.severity):
            return False
        if self._causes[finding.severity] >= MAX_CAUSES:
            self._left_out += 1
            return False
        self._causes[finding.severity] += 1
        self._told[cause] = finding.severity
        return True


def notices_of(hooks: Sequence[Hook], about: About, *, severity: Severity, clock: Clock) -> Notices:
    """The notices of one attempt."""

    def document(finding: Finding) -> bytes:
        at = datetime.fromtimestamp(clock.wall_ns() / 1e9, tz=UTC)
        return msgspec.json.encode(notice_of(finding, about, at=at)) + b"\n"

    return Notices(hooks, severity=severity, document=document)


def _weight(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)


class _Worker:
    """One hook, its queue and its thread."""

    def __init__(self, hook: Hook, document: Callable[[Finding], bytes]) -> None:
        self._hook = hook
        self._document = document
        # Everything below is guarded by the condition; a send happens outside it.
        self._changed = threading.Condition()
        self._queue: deque[Finding] = deque()
        self._closing = self._broken_off = self._sending = False
        self._lost = 0
        self._thread: threading.Thread | None = None

    def offer(self, finding: Finding) -> None:
        with self._changed:
            self._queue.append(finding)
            if len(self._queue) > MAX_QUEUED:
                # Of the least grave ones the last: what came first leads to the cause.
                del self._queue[max(range(len(self._queue)), key=lambda at: (-_weight(self._queue[at]), at))]
                self._lost += 1
            if self._thread is None and not self._start():
                return
            self._changed.notify_all()

    def finish(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def wait(self, until: float) -> None:
        """Wait for the thread to end, until then at most."""
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))

    def break_off(self) -> None:
        """Let go of whatever is still being told."""
        if self._thread is not None and self._thread.is_alive():
            with self._changed:
                self._broken_off = True
            self._hook.stop()

    def lost(self) -> int:
        """How many notices were not taken."""
        with self._changed:
            lost = self._lost + len(self._queue) + self._sending
        if lost:
            _logger.warning("%d notices were not taken by %s", lost, self._hook.target)
        return lost

    def _start(self) -> bool:
        """Start the thread; if there is none to be had, what is queued stays so and is counted at the end."""
        thread = threading.Thread(target=self._work, name="saksi-notices", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            _logger.warning("no thread for %s: %s", self._hook.target, error)
            return False
        self._thread = thread
        return True

    def _work(self) -> None:
        while (finding := self._next()) is not None:
            try:
                self._hook.send(self._document(finding))
            except SaksiError as error:
                self._note_failure(str(error))
            except Exception as error:  # noqa: BLE001 - a hook's defect is counted, it must not end the thread
                self._note_failure(f"{type(error).__name__}: {error}")

    def _next(self) -> Finding | None:
        """The finding to tell of now; `None` to end the thread."""
        with self._changed:
            self._sending = False
            self._changed.wait_for(lambda: self._closing or self._queue)
            if self._broken_off or not self._queue:
                return None
            self._sending = True
            return self._queue.popleft()

    def _note_failure(self, reason: str) -> None:
        with self._changed:
            self._lost += 1
            self._sending = False
            lost = self._lost
        if lost <= MAX_SAID:
            _logger.warning("a notice was not taken: %s", reason)
