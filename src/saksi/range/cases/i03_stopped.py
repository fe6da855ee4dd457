"""I03. Another process stops this one for some seconds."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SECONDS": rng.choice((3, 4))}


CASE: Final = Case(
    row="I03",
    name="stopped",
    what="Another process stops this one for some seconds.",
    layers=("outside",),
    named=(Named(code=r"availability.stopped"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    import os
    import subprocess
    import sys

    acted()
    program = (
        "import os, sys, time;"
        "os.kill(int(sys.argv[1]), 19);"
        "time.sleep(int(sys.argv[2]));"
        "os.kill(int(sys.argv[1]), 18)"
    )
    subprocess.Popen([sys.executable, "-I", "-S", "-c", program, str(os.getpid()), str(SECONDS)])
    time.sleep(0.5)
""",
    },
)
