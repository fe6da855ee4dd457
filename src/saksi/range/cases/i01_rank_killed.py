"""I01. Another process kills one rank."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="I01",
    name="rank-killed",
    what="Another process kills one rank.",
    layers=("outside",),
    named=(Named(code=r"availability.killed"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT and rank == 1:
    import os
    import subprocess
    import sys

    acted()
    program = "import os, sys; os.kill(int(sys.argv[1]), 9)"
    subprocess.Popen([sys.executable, "-I", "-S", "-c", program, str(os.getpid())])
    time.sleep(10)
""",
    },
    program="ranks.py",
    ends=(9,),
)
