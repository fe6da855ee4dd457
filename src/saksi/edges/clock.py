"""The clock, as a value that is handed down: nothing below the processes reads time by itself."""

from __future__ import annotations

import time
from typing import Protocol

from saksi.edges.host.procfs import boot_id

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Wall and monotonic nanoseconds, and the boot they belong to."""

    boot: str

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch; may jump."""

    def mono_ns(self) -> int:
        """Nanoseconds since some point of this boot; never goes back."""


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self.boot = boot_id()

    def wall_ns(self) -> int:
        """See `Clock`."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """See `Clock`."""
        return time.monotonic_ns()
