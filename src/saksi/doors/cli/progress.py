"""How far a long piece of work is: one line on standard error, only on a terminal, gone when the work is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

__all__ = ["progress"]

_FIRST_S: Final = 0.5  # what is done by then needs no line
_EVERY_S: Final = 0.1
_WIDTH: Final = 20

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


def _draw(done: int, total: int, what: str) -> None:
    filled = _WIDTH * done // total
    sys.stderr.write(f"\rsaksi: {what} [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total}\x1b[K")
    sys.stderr.flush()
