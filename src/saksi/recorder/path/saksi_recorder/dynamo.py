"""Dynamo has been imported, by somebody else: it runs our code as it is, and compiles none of it.

Rules: the step hooks are wrapped in `torch._dynamo.disable`, so that a compiled step still calls them. All our other
code is marked to be skipped where it would be a frame of its own, as under a compiled function whose graph has broken.
Neither hinders Dynamo from tracing through a patched function into the original: that is what fullgraph needs.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is used here)

from __future__ import annotations

import sys
from types import CodeType
from typing import Any, Iterator

import torch

from . import steps
from .guard import guarded


@guarded("dynamo")
def hide() -> None:
    """Wrap the hooks and mark the code."""
    disable = sys.modules["torch._dynamo"].disable
    for table, place, hook in list(steps.hooks()):
        table[place] = disable(hook)
    # It has lived in two places.
    skip = getattr(sys.modules["torch._dynamo.eval_frame"], "skip_code", None) or torch._C._dynamo.eval_frame.skip_code
    for code in _ours():
        skip(code)


def _ours() -> Iterator[CodeType]:
    prefix = __package__ + "."
    for name, module in list(sys.modules.items()):
        if name.startswith(prefix):
            for value in list(vars(module).values()):
                yield from _of(value, name)


def _of(value: Any, module: str) -> Iterator[CodeType]:
    if isinstance(value, type) and value.__module__ == module:
        for member in vars(value).values():
            yield from _of(getattr(member, "fget", member), module)
    code = getattr(value, "__code__", None)
    if isinstance(code, CodeType) and "saksi_recorder" in code.co_filename:
        yield from _nested(code)
    inner = getattr(value, "__wrapped__", None)  # behind a guard
    if inner is not None and inner is not value:
        yield from _of(inner, module)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
