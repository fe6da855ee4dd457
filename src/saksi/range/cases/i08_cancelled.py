"""I08. Another process asks one rank to end, as a scheduler does that cancels a job."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng, 6, 30)}


CASE: Final = Case(
    row="I08",
    name="cancelled",
    what="Another process asks one rank to end, as a scheduler does that cancels a job.",
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
    program = "import os, sys; os.kill(int(sys.argv[1]), 15)"
    subprocess.Popen([sys.executable, "-I", "-S", "-c", program, str(os.getpid())])
    time.sleep(10)
""",
    },
    program="ranks.py",
    ends=(15,),
)
