"""As many threads as torch had in the run that is replayed: what a sum is depends on how it is divided among them.

Only an audit asks for it (`SAKSI_THREADS`). What the program's own variables say of threads stands, and so does what
it sets itself afterwards.

Known weakness: to set a number is not quite to find it: torch then tells MKL to keep to it, which else may take fewer.
"""

from __future__ import annotations

import os
from typing import Any

import torch

MOST = 1024
OF_THE_PROGRAM = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

_here: list[int] = []


def install() -> None:
    """Set them, before the first frame says how many there are; what torch would have had here is said with it."""
    asked = os.environ.get("SAKSI_THREADS", "")
    if not (asked.isascii() and asked.isdigit()) or any(name in os.environ for name in OF_THE_PROGRAM):
        return
    here, threads = torch.get_num_threads(), int(asked)
    if here != threads and 0 < threads <= MOST:
        torch.set_num_threads(threads)
        _here.append(here)


def said() -> dict[str, Any]:
    """What the first frame says of it besides: how many torch would have had, where it has others."""
    return {"threads_here": _here[0]} if _here else {}
