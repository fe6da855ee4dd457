"""J04. Something is said on the recorder's own connection that the recorder did not say."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="J04",
    name="invented-frame",
    what="Something is said on the recorder's own connection that the recorder did not say.",
    layers=("outside",),
    named=(Named(code=r"witness\.(chain_broken|frame_refused)"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    import os
    import socket

    for number in range(3, 256):
        try:
            held = socket.socket(fileno=os.dup(number))
            if held.type == socket.SOCK_SEQPACKET and held.getpeername() is not None:
                held.send(b'{"type":"update","n":1}')
                acted()
        except OSError:
            continue
""",
    },
)
