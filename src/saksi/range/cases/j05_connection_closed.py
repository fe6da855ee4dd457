"""J05. The recorder's connection is closed under it at each step."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="J05",
    name="connection-closed",
    what="The recorder's connection is closed under it at each step.",
    layers=("live", "outside"),
    named=(Named(code=r"witness\.connection_closed"),),
    draw=_draw,
    script={
        "batch": """\
if step >= AT:
    import os
    import socket

    for number in range(3, 256):
        try:
            with socket.socket(fileno=os.dup(number)) as held:
                is_one = held.type == socket.SOCK_SEQPACKET and held.getpeername() is not None
            if is_one:  # what looked at it is closed by now, and keeps nothing open
                os.close(number)
                acted()
        except OSError:
            continue
""",
    },
)
