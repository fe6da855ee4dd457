"""I06. Another process sees to it that the training can write no file any more, as on a full disk."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "BYTES": rng.choice((0, 4096))}


CASE: Final = Case(
    row="I06",
    name="no-room",
    what="Another process sees to it that the training can write no file any more, as on a full disk.",
    layers=("outside",),
    named=(Named(code=r"availability.(failed|killed)"), Named(code=r"live\.limit_changed", pattern=r"file size")),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    import os
    import subprocess
    import sys

    acted()
    program = "import resource, sys; resource.prlimit(int(sys.argv[1]), resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)"
    subprocess.run([sys.executable, "-I", "-S", "-c", program, str(os.getpid()), str(BYTES)], check=True)
    torch.save(model.state_dict(), "ckpt.pt")
""",
    },
    ends=(1,),
)
