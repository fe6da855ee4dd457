"""Signals that end us while something has to be put in order behind it.

Rules: a signal ends only what is marked as interruptible, and so by way of everything that cleans up; it is never lost;
one that comes while things are put in order cuts nothing short, and says that whoever waits is in a hurry. A signal
that was ignored before stays ignored.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final, NoReturn, Self

__all__ = ["EndingSignals"]

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndingSignals:
    """A context that takes SIGINT, SIGTERM and SIGHUP. For the main thread.

    It ends with `KeyboardInterrupt` or `SystemExit` if one was heard, at the latest as it is left.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, object] = {}
        self._heard: signal.Signals | None = None
        self._may_end = False
        self.hurry = False
        """Whether a signal came while nothing could be interrupted."""

    def __enter__(self) -> Self:
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what `signal` itself gave us
        if self._heard is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
            self._end(self._heard)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """A signal ends what is inside."""
        self._may_end = True
        try:
            if self._heard is not None:
                self._end(self._heard)
            yield
        finally:
            self._may_end = False

    def _hear(self, number: int, _: FrameType | None) -> None:
        self._heard = self._heard or signal.Signals(number)
        if not self._may_end:
            self.hurry = True
            return
        self._end(self._heard)

    def _end(self, number: signal.Signals) -> NoReturn:
        self._may_end = False
        if number is signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
