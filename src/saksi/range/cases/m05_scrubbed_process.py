"""M05. Another interpreter trains, with none of the variables by which a recorder comes in."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="M05",
    name="scrubbed-process",
    what="Another interpreter trains, with none of the variables by which a recorder comes in.",
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
    subprocess.run([sys.executable, "-c", program], env={}, check=True)
    acted()
""",
    },
    first=None,
)
