"""The errors saksi raises. An error says that saksi failed or was asked for something it cannot do.

What a run did wrong is never an error: it is a `Finding`.

    SaksiError              4   operational
    |- UsageError           2   the command line asks for something that is not there or not allowed
    |- MalformedInput       1   bytes that do not parse: where, and why
    |- UnsupportedVersion   3   a format of another version
    |- MissingKey           3   no key to judge with
    |- StoreError           4   the store could not read or keep something
       |- NotStored             no object under that name
       |- Conflict              a write-once name already holds other bytes
       |- HeadConflict          the head is not the one the writer expected
       |- LogBusy               another agent holds this log

Each carries the exit code the command line ends with, and where there is one, the remedy.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "Conflict",
    "HeadConflict",
    "LogBusy",
    "MalformedInput",
    "MissingKey",
    "NotStored",
    "SaksiError",
    "StoreError",
    "UnsupportedVersion",
    "UsageError",
]


class SaksiError(Exception):
    """One clear line for a person: what failed, and what to do next."""

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message if self.remedy is None else f"{self.message} ({self.remedy})"


class UsageError(SaksiError):
    """The command asks for something that does not exist or is not allowed."""

    exit_code = 2


class MalformedInput(SaksiError):
    """Bytes that do not parse strictly. Raised by parsers, never by checks."""

    exit_code = 1

    def __init__(self, what: str, reason: str, *, where: str | None = None, remedy: str | None = None) -> None:
        place = what if where is None else f"{what}, {where}"
        super().__init__(f"{place}: {reason}", remedy=remedy)
        self.what = what
        self.reason = reason
        self.where = where


class UnsupportedVersion(SaksiError):
    """The bytes are of a format version this build does not read."""

    exit_code = 3


class MissingKey(SaksiError):
    """There is no trusted key to judge a signature with."""

    exit_code = 3


class StoreError(SaksiError):
    """The store could not do what was asked. After one of these nothing may be assumed about the write."""


class NotStored(StoreError):
    """No object under that name."""


class Conflict(StoreError):
    """A write-once name already holds other bytes."""


class HeadConflict(StoreError):
    """The head is not the one the writer expected to replace."""


class LogBusy(StoreError):
    """Another agent is writing this log."""
