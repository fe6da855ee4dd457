"""How far a long piece of work is: one line on standard error, only on a terminal, gone when the work is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

__all__ = ["counter", "meter", "progress"]

_FIRST_S: Final = 0.5  # what is done by then needs no line
_EVERY_S: Final = 0.1
_WIDTH: Final = 20
_MIB: Final = 20  # as a shift

Value = TypeVar("Value")


def progress(values: Sequence[Value], what: str) -> Iterator[Value]:
    """`values` one after the other, with a bar while the loop over them takes long."""
    if not sys.stderr.isatty() or len(values) == 0:
        yield from values
        return
    following = time.monotonic() + _FIRST_S
    drawn = False
    try:
        for at, value in enumerate(values):
            now = time.monotonic()
            if now >= following:
                _draw(at, len(values), what)
                drawn, following = True, now + _EVERY_S
            yield value
    finally:
        if drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextmanager
def meter(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A function that hears how much of `total` bytes was done since it last heard; a bar while that takes long."""
    done, following, drawn = 0, time.monotonic() + _FIRST_S, False

    def hear(more: int) -> None:
        nonlocal done, following, drawn
        done += more
        now = time.monotonic()
        if now >= following:
            _draw(min(done, total) >> _MIB, max(total >> _MIB, 1), what, " MiB")
            drawn, following = True, now + _EVERY_S

    try:
        yield hear if sys.stderr.isatty() else _unheard
    finally:
        if drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextmanager
def counter(total: int, what: str, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A function that hears how many of `total` are done; a bar meanwhile, if it is to be `shown`."""
    drawn = shown and sys.stderr.isatty()

    def hear(done: int) -> None:
        _draw(min(done, total), total, what)

    if drawn:
        hear(0)
    try:
        yield hear if drawn else _unheard
    finally:
        if drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _unheard(_: int) -> None:
    """Nobody looks."""


def _draw(done: int, total: int, what: str, unit: str = "") -> None:
    filled = _WIDTH * done // total
    sys.stderr.write(f"\rsaksi: {what} [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total}{unit}\x1b[K")
    sys.stderr.flush()
