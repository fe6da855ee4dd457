"""The help of a command: what its docstring promises, then examples as they are typed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["help_text"]


def help_text(command: Callable[..., Any] | str, *examples: str) -> str:
    """The docstring (or the text given) and one line for each example."""
    text = command if isinstance(command, str) else inspect.getdoc(command) or ""
    # The backspace before a paragraph asks the parser not to wrap it.
    return "\n".join((text, "", "\b", "Example:", *(f"  {each}" for each in examples)))
