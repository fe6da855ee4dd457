"""Where results are shown: how wide, in which characters, with or without colour, in which time zone.

Everything a run says about itself may be hostile: `Screen.plain` is the one way by which such text reaches a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Final, TextIO

import msgspec

__all__ = [
    "MAX_WIDTH",
    "MIN_WIDTH",
    "PIPE_WIDTH",
    "ReaderLeft",
    "Screen",
    "duration",
    "plain",
    "screen_of",
    "screen_of_output",
    "size",
    "tell",
    "write",
]

MIN_WIDTH: Final = 40
"""Below this, nothing that we draw is of use: it is drawn for this and the terminal wraps it."""
MAX_WIDTH: Final = 400
"""No terminal is wider; COLUMNS is a number that anybody may set."""
PIPE_WIDTH: Final = 120
"""When nobody's terminal is at the other end."""
_PROBE: Final = "▁█…─→▲"  # the characters that we draw with
_NO_SIZE: Final = os.terminal_size((0, 0))
_DIGITS: Final = 6
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")
_THOUSAND: Final = 1000
_MILLI: Final = 1e-3
_MINUTE: Final = 60
_HOUR: Final = 3600


class ReaderLeft(Exception):
    """Nobody reads our output any more (`saksi show | head`). No `OSError`: typer would end the process for one."""


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """A place to show results on. `unicode` is whether its encoding has the characters that we draw with."""

    width: int
    height: int | None
    unicode: bool
    colour: bool
    zone: tzinfo | None

    def plain(self, text: str, limit: int = 400) -> str:
        """`text` as one harmless line: see `plain`. Longer than `limit` characters, its middle is left out."""
        shown = plain(text, unicode=self.unicode)
        if len(shown) <= limit:
            return shown
        half = (limit - len(self.more)) // 2
        return shown[:half] + self.more + shown[-half:]

    @property
    def more(self) -> str:
        """The sign that something was left out."""
        return "…" if self.unicode else "..."

    @property
    def caret(self) -> str:
        """What points at a place in the line above."""
        return "▲" if self.unicode else "^"

    @property
    def arrow(self) -> str:
        """From the first value to the last."""
        return "→" if self.unicode else "->"

    def moment(self, at: datetime | None, form: str = "%Y-%m-%d %H:%M") -> str:
        """A point in time, in the screen's zone; `-` if it is not known or beyond the calendar."""
        if at is None:
            return "-"
        try:
            return at.astimezone(self.zone).strftime(form)
        except (OverflowError, ValueError, OSError):
            return "-"


def plain(text: str, *, unicode: bool = True) -> str:
    r"""`text` without anything that could steer a terminal: what is not printable is shown as an escape.

    Control characters, line breaks, text-direction overrides and lone surrogates become `\x1b`, `\n`, `\u202e`.
    Without `unicode`, everything beyond ASCII does.
    """
    if text.isprintable() and (unicode or text.isascii()):
        return text
    return "".join(
        each if each.isprintable() and (unicode or each.isascii()) else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def duration(seconds: float) -> str:
    """A length of time, short: `85 us`, `850 ms`, `12.4 s`, `3 min 20 s`, `5 h 2 min`."""
    if seconds < _MILLI:
        return f"{seconds * 1e6:.3g} us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR:,} h {whole % _HOUR // _MINUTE} min"


def size(count: float) -> str:
    """A number of bytes, short: `85 bytes`, `12.4 MB`."""
    for unit in _UNITS:
        if count < _THOUSAND or unit == _UNITS[-1]:
            break
        count /= _THOUSAND
    return f"{count:.0f} {unit}" if unit == _UNITS[0] else f"{count:.1f} {unit}"


def screen_of(stream: TextIO, environ: Mapping[str, str]) -> Screen:
    """The screen at the other end of `stream`. Colour only on a terminal that has it, and never with NO_COLOR set."""
    terminal = stream.isatty()
    size = _size(stream) if terminal else _NO_SIZE
    dumb = environ.get("TERM", "") in ("", "dumb", "unknown")
    try:
        _PROBE.encode(stream.encoding or "ascii")
        unicode = True
    except (UnicodeEncodeError, LookupError):
        unicode = False
    return Screen(
        width=min(max(_columns(environ) or size.columns or PIPE_WIDTH, MIN_WIDTH), MAX_WIDTH),
        height=size.lines or None,
        unicode=unicode,
        colour=terminal and not dumb and not environ.get("NO_COLOR"),
        zone=None,
    )


def _columns(environ: Mapping[str, str]) -> int:
    """What COLUMNS says; 0 if it says nothing of use."""
    text = environ.get("COLUMNS", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0


def _size(stream: TextIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return _NO_SIZE


def screen_of_output() -> Screen:
    """The screen at the other end of standard output."""
    return screen_of(sys.stdout, os.environ)


def write(text: str) -> None:
    """A result, on standard output. Raises `ReaderLeft`."""
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    except BrokenPipeError:
        raise ReaderLeft from None


def tell(message: str) -> None:
    """One line of ours, on standard error."""
    stream = sys.stderr
    unicode = "utf" in (stream.encoding or "").lower()
    stream.write(f"saksi: {plain(message, unicode=unicode)}\n")
