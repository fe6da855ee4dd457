"""I05. Another process takes away the memory that the training may still ask for."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "MIB": rng.choice((64, 256))}


CASE: Final = Case(
    row="I05",
    name="memory-taken",
    what="Another process takes away the memory that the training may still ask for.",
    layers=("outside",),
    named=(Named(code=r"availability.(failed|killed)"), Named(code=r"live\.limit_changed", pattern=r"address space")),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    import os
    import subprocess
    import sys

    acted()
    program = "import resource, sys; resource.prlimit(int(sys.argv[1]), resource.RLIMIT_AS, (2**24, 2**24))"
    subprocess.run([sys.executable, "-I", "-S", "-c", program, str(os.getpid())], check=True)
    torch.zeros(MIB * 2**18)
""",
    },
    ends=(1,),
)
