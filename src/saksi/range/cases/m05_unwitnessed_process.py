"""M05. Another interpreter trains, started so that no recorder is in it."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="M05",
    name="unwitnessed-process",
    what="Another interpreter trains, started so that no recorder is in it.",
    layers=("outside",),
    named=(Named(code=r"coverage.process_unwitnessed"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    import subprocess
    import sys

    program = (
        "import time, torch;"
        "weights = torch.zeros(9, requires_grad=True);"
        "optimizer = torch.optim.SGD([weights], 0.1);"
        "weights.sum().backward();"
        "optimizer.step();"
        "time.sleep(2)"
    )
    subprocess.run([sys.executable, "-I", "-c", program], check=True)
    acted()
""",
    },
    first=None,
)
