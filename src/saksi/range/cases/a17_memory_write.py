"""A17. Another process writes one weight into the memory of this one."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS), "VALUE": rng.choice((0.0, 0.5, -0.5))}


CASE: Final = Case(
    row="A17",
    name="memory-write",
    what="Another process writes one weight into the memory of this one.",
    layers=("live", "replay"),
    named=(Named(code=r"state.changed_between_steps"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    import ctypes
    import os
    import subprocess
    import sys

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 % 2**64), 0, 0, 0)  # PR_SET_PTRACER: where Yama asks for it
    place = dict(model.named_parameters())[TENSOR].data_ptr()
    program = (
        "import struct;"
        f"memory = open('/proc/{os.getpid()}/mem', 'r+b', buffering=0);"
        f"memory.seek({place});"
        f"memory.write(struct.pack('f', {VALUE}))"
    )
    if subprocess.run([sys.executable, "-I", "-S", "-c", program], check=False).returncode == 0:
        acted()
""",
    },
    delay=1,
)
