"""A process that was to get to a Step without training there, and cannot: it says why in one line, and ends itself.

Rules: an audit reads the exit status, and replays from the start then; nothing of what follows runs, since it would
train from a state that the run never had; there is no traceback, whatever the reason.
"""

from __future__ import annotations

import functools
import os
import sys
from contextlib import suppress
from typing import Any, Callable, TypeVar

from .guard import is_of_a_signal_handler
from .plain import text

STATUS = 97
MAX_REASON = 500

Function = TypeVar("Function", bound=Callable[..., Any])


class CannotBeHollowError(Exception):
    """Why it cannot."""


def say(reason: str) -> None:
    """The one line."""
    with suppress(Exception):  # a program may have closed it
        sys.stderr.write("saksi: hollow: %s\n" % text(" ".join(reason.split()), MAX_REASON))
        sys.stderr.flush()


def refuse(reason: str) -> None:
    """Say it and end this process, at once."""
    say(reason)
    os._exit(STATUS)


def or_refused(function: Function) -> Function:
    """A decorator: what the call raises is a reason."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CannotBeHollowError as error:
            refuse(str(error))
        except Exception as error:
            if is_of_a_signal_handler(error):
                raise
            refuse("%s: %s" % (type(error).__name__, error))

    return call  # type: ignore[return-value]
